//! One scenario at a time, and what it leaves.

use std::sync::Mutex;

use crate::common::client::until;

static ALONE: Mutex<()> = Mutex::new(());

/// Runs a scenario with no other beside it; then it has left nothing.
pub(crate) fn alone(scenario: impl FnOnce()) {
    let _guard = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let before = (threads(), descriptors());
    scenario();
    // Who drops a connection does not wait for its thread. And /proc may show too few threads while
    // one of them ends.
    until("threads and descriptors are gone", || {
        threads() <= before.0 && descriptors() <= before.1
    });
}

/// Those of messengers and proxies: the test harness has others, which come and go.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("msgr-") || name.starts_with("interceptor")).count()
}

/// Sockets and eventfds.
fn descriptors() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").expect("/proc");
    let targets = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    targets
        .filter(|t| {
            ["socket:", "anon_inode:"].iter().any(|kind| t.to_string_lossy().starts_with(kind))
        })
        .count()
}
