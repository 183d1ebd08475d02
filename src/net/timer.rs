use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Deadline;
use crate::error::{Error, ErrorKind, Result};

type Job = Box<dyn FnOnce() + Send>;

/// One thread for everything above the connections that has to happen later: hunting, renewal of
/// tickets, resending. It runs one job at a time, with no lock held; a job that panics ends alone.
#[derive(Clone, Debug)]
pub(crate) struct Timer(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<(Instant, u64), Job>,
    next: u64,
    stopped: bool,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Timer")
    }
}

impl Timer {
    /// Starts the thread: an owner that has a timer can rely on it, whatever runs out later.
    pub(crate) fn new() -> Result<Self> {
        let timer = Self(Arc::default());
        let inner = timer.0.clone();
        let thread = std::thread::Builder::new()
            .name("msgr-timer".into())
            .spawn(move || inner.run())
            .map_err(|e| Error::new(ErrorKind::Io, format!("no thread for timers: {e}")))?;
        timer.0.lock().thread = Some(thread);
        Ok(timer)
    }

    /// The monotonic clock, for owners of timers.
    pub(crate) fn now() -> Instant {
        Instant::now()
    }

    /// Runs `job` on the timer's thread after `delay`, unless the timer is stopped before.
    pub(crate) fn after(&self, delay: Duration, job: impl FnOnce() + Send + 'static) {
        let Some(at) = Instant::now().checked_add(delay) else { return };
        let mut state = self.0.lock();
        if state.stopped {
            return;
        }
        let id = state.next;
        state.next += 1;
        state.jobs.insert((at, id), Box::new(job));
        self.0.changed.notify_one();
    }

    /// Drops all jobs; the thread ends by itself.
    pub(crate) fn cancel(&self) {
        let jobs = {
            let mut state = self.0.lock();
            state.stopped = true;
            self.0.changed.notify_one();
            std::mem::take(&mut state.jobs)
        };
        // A job may own what stops the timer when it is dropped: not under the lock.
        drop(jobs);
    }

    /// Drops all jobs and ends the thread; waits for it unless this is it.
    pub(crate) fn stop(&self) {
        self.cancel();
        let thread = self.0.lock().thread.take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.stopped {
            let now = Instant::now();
            let deadline = match state.jobs.first_key_value() {
                Some((&(at, _), _)) if at <= now => {
                    let job = state.jobs.pop_first();
                    drop(state);
                    if let Some((_, job)) = job
                        && catch_unwind(AssertUnwindSafe(job)).is_err()
                    {
                        log::error!("a job of the timer panicked");
                    }
                    state = self.lock();
                    continue;
                }
                Some((&(at, _), _)) => Deadline::at(at),
                None => Deadline::NEVER,
            };
            state = deadline.wait(&self.changed, state).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Waiter;

    #[test]
    fn a_job_that_panics_does_not_take_the_later_ones_with_it() {
        let timer = Timer::new().unwrap();
        let ran = Arc::new(Waiter::new());
        timer.after(Duration::ZERO, || panic!("as it is meant to"));
        let answer = ran.clone();
        timer.after(Duration::ZERO, move || answer.fill(()));
        let soon = Deadline::after(Duration::from_secs(30));
        assert_eq!(ran.wait(soon).unwrap(), Some(()), "the second job runs");
        timer.stop();
    }

    #[test]
    fn what_was_not_due_when_it_was_stopped_is_dropped() {
        let timer = Timer::new().unwrap();
        let owned = Arc::new(());
        let job = owned.clone();
        timer.after(Duration::from_secs(3600), move || drop(job));
        timer.stop();
        timer.after(Duration::ZERO, || panic!("it is stopped"));
        assert_eq!(Arc::strong_count(&owned), 1);
    }
}
