//! How much memory a piece of code holds at its worst, counted for each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(by: isize) {
    // A thread that ends frees what it held after these are gone.
    let _ = LIVE.try_with(|live| {
        let now = live.get() + by;
        live.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

// SAFETY: all of it is the system's allocator, with what the caller promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        // Both are there while it is copied.
        count(new as isize);
        count(-(layout.size() as isize));
        unsafe { System.realloc(ptr, layout, new) }
    }
}

/// Runs `f`, which must not hold more than `limit` bytes at any time beside what there is already.
pub fn bounded<T>(limit: usize, f: impl FnOnce() -> T) -> T {
    let (before, outer) = (LIVE.get(), PEAK.get());
    PEAK.set(before);
    let result = f();
    let used = PEAK.get() - before;
    PEAK.set(PEAK.get().max(outer));
    assert!(used <= limit as isize, "{used} bytes were held, {limit} are allowed");
    result
}

/// What decoding `len` bytes may hold: a small item takes some tens of bytes in memory, and each
/// of a few nested lists reserves 64 KiB before it has seen its items.
pub fn of_decoding(len: usize) -> usize {
    64 * len + (512 << 10)
}
