use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Deadline;
use crate::error::{Error, ErrorKind, Result};

type Job = Box<dyn FnOnce() + Send>;

/// One thread for everything above the connections that has to happen later: hunting, renewal of
/// tickets, resending. It starts with the first job and runs one at a time, with no lock held.
#[derive(Clone, Debug, Default)]
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
    /// The monotonic clock, for owners of timers.
    pub(crate) fn now() -> Instant {
        Instant::now()
    }

    /// Runs `job` on the timer's thread after `delay`, unless the timer is stopped before.
    pub(crate) fn after(&self, delay: Duration, job: impl FnOnce() + Send + 'static) -> Result<()> {
        let Some(at) = Instant::now().checked_add(delay) else { return Ok(()) };
        let mut state = self.0.lock();
        if state.stopped {
            return Ok(());
        }
        let id = state.next;
        state.next += 1;
        state.jobs.insert((at, id), Box::new(job));
        if state.thread.is_none() {
            let inner = self.0.clone();
            let thread = std::thread::Builder::new()
                .name("msgr-timer".into())
                .spawn(move || inner.run())
                .map_err(|e| Error::new(ErrorKind::Io, format!("no thread for timers: {e}")))?;
            state.thread = Some(thread);
        }
        self.0.changed.notify_one();
        Ok(())
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
                    if let Some((_, job)) = job {
                        job();
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
