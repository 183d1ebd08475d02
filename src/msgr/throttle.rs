//! How much a messenger takes in before what it took is done with (`src/common/Throttle.h`,
//! `Policy::throttler_bytes` and `throttler_messages`).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::limits;

/// A budget for messages that were received and are not dropped yet, shared by as many connections
/// as one likes. A connection for whose next message there is no room is not read from, and so its
/// peer waits.
pub struct Throttle {
    max_messages: usize,
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: usize,
    bytes: usize,
    /// Whom to call when there is room again.
    waiters: Vec<(WaiterId, Waker)>,
}

/// Names who waits, so that one who goes is not remembered: any number that is its own.
pub(crate) type WaiterId = usize;

/// Called once, with no lock held, when there may be room again.
pub(crate) type Waker = Box<dyn FnOnce() + Send>;

impl Throttle {
    /// Room for that many messages with so many bytes of segments in all. The last quarter of the
    /// bytes is for messages of up to [`limits::SMALL_MESSAGE_LEN`]. A message for which there is not
    /// room enough in all passes alone.
    pub fn new(max_messages: usize, max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_messages, max_bytes, state: Mutex::default() })
    }

    /// Messages and bytes that are held now.
    pub fn held(&self) -> (usize, usize) {
        let state = self.lock();
        (state.messages, state.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Takes room for one message of `bytes`, if there is.
    pub(crate) fn try_get(self: &Arc<Self>, bytes: usize) -> Option<Budget> {
        let mut state = self.lock();
        let reserved = if bytes > limits::SMALL_MESSAGE_LEN { self.max_bytes / 4 } else { 0 };
        let fits = state.messages < self.max_messages
            && state.bytes.saturating_add(bytes) <= self.max_bytes - reserved;
        if !fits && state.messages > 0 {
            return None;
        }
        state.messages += 1;
        state.bytes += bytes;
        drop(state);
        Some(Budget(Some(Arc::new(Held { throttle: Arc::clone(self), bytes }))))
    }

    /// Calls `waker` when something has been released; at once where nothing is held.
    pub(crate) fn wait(&self, id: WaiterId, waker: Waker) {
        let mut state = self.lock();
        if state.messages > 0 {
            state.waiters.push((id, waker));
            return;
        }
        drop(state);
        waker();
    }

    /// Forgets the waker of one that no longer waits.
    pub(crate) fn cancel(&self, id: WaiterId) {
        let gone: Vec<_> = {
            let mut state = self.lock();
            state.waiters.extract_if(.., |(waiter, _)| *waiter == id).collect()
        };
        drop(gone);
    }

    /// Whether somebody waits for room.
    pub(crate) fn is_contended(&self) -> bool {
        !self.lock().waiters.is_empty()
    }

    fn put(&self, bytes: usize) {
        let waiters = {
            let mut state = self.lock();
            if mutant!(ThrottleReleasedTwice) {
                state.messages = state.messages.saturating_sub(2);
                state.bytes = state.bytes.saturating_sub(2 * bytes);
            } else {
                state.messages -= 1;
                state.bytes -= bytes;
            }
            if mutant!(ThrottleWakesNobody) {
                return;
            }
            std::mem::take(&mut state.waiters)
        };
        waiters.into_iter().for_each(|(_, wake)| wake());
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (messages, bytes) = self.held();
        let (max_messages, max_bytes) = (self.max_messages, self.max_bytes);
        write!(f, "Throttle({messages}/{max_messages} messages, {bytes}/{max_bytes} bytes)")
    }
}

/// What one message holds of a throttle, given back when the last clone is dropped. Two messages
/// are equal whatever they hold.
#[derive(Clone, Default)]
pub struct Budget(Option<Arc<Held>>);

struct Held {
    throttle: Arc<Throttle>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.throttle.put(self.bytes);
    }
}

impl PartialEq for Budget {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Budget {}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.as_ref().map_or(0, |held| held.bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[test]
    fn both_counts_bound_what_is_taken_and_each_is_given_back_once() {
        let throttle = Throttle::new(2, 100);
        let a = throttle.try_get(60).unwrap();
        assert!(throttle.try_get(41).is_none(), "too many bytes");
        let b = throttle.try_get(40).unwrap();
        assert!(throttle.try_get(0).is_none(), "too many messages");
        let c = a.clone();
        drop(a);
        assert_eq!(throttle.held(), (2, 100), "a clone holds it still");
        drop(c);
        assert_eq!(throttle.held(), (1, 40));
        drop(b);
        assert_eq!(throttle.held(), (0, 0));
    }

    #[test]
    fn what_is_larger_than_all_the_room_passes_alone() {
        let throttle = Throttle::new(2, 100);
        let small = throttle.try_get(1).unwrap();
        assert!(throttle.try_get(101).is_none());
        drop(small);
        let large = throttle.try_get(101).unwrap();
        assert!(throttle.try_get(0).is_none());
        drop(large);
        assert_eq!(throttle.held(), (0, 0));
    }

    #[test]
    fn what_is_long_leaves_room_for_what_is_short() {
        let long = limits::SMALL_MESSAGE_LEN + 1;
        let throttle = Throttle::new(10, 4 * long);
        let _long: Vec<_> = (0..3).map(|_| throttle.try_get(long).unwrap()).collect();
        assert!(throttle.try_get(long).is_none());
        assert!(throttle.try_get(long - 1).is_some());
    }

    #[test]
    fn who_waits_is_called_once_and_at_once_where_nothing_is_held() {
        let throttle = Throttle::new(1, 1);
        let calls = Arc::new(AtomicUsize::new(0));
        let waker = || -> Waker {
            let calls = calls.clone();
            Box::new(move || {
                calls.fetch_add(1, Relaxed);
            })
        };
        throttle.wait(1, waker());
        assert_eq!(calls.load(Relaxed), 1);
        let held = throttle.try_get(1).unwrap();
        throttle.wait(1, waker());
        assert_eq!(calls.load(Relaxed), 1);
        drop(held);
        assert_eq!(calls.load(Relaxed), 2);
        drop(throttle.try_get(1));
        assert_eq!(calls.load(Relaxed), 2);
    }

    #[test]
    fn who_no_longer_waits_is_forgotten_and_what_it_held_with_it() {
        let throttle = Throttle::new(1, 1);
        let held = throttle.try_get(1).unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        for id in [1, 2] {
            let calls = calls.clone();
            throttle.wait(
                id,
                Box::new(move || {
                    calls.fetch_add(id, Relaxed);
                }),
            );
        }
        throttle.cancel(1);
        throttle.cancel(3);
        assert_eq!(Arc::strong_count(&calls), 2);
        drop(held);
        assert_eq!(calls.load(Relaxed), 2);
    }
}
