use std::sync::{Condvar, MutexGuard};
use std::time::{Duration, Instant};

/// The point in time at which a call gives up; shared by everything the call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Waits for ever.
    pub const NEVER: Self = Self(None);

    /// That much from now on; for ever where the clock does not reach so far.
    pub fn after(d: Duration) -> Self {
        Self(Instant::now().checked_add(d))
    }

    /// At that instant.
    pub fn at(at: Instant) -> Self {
        Self(Some(at))
    }

    /// The earlier of the two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (a, b) => Self(a.or(b)),
        }
    }

    /// What is left; `None` is for ever.
    pub fn remaining(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether it has passed.
    pub fn has_passed(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }

    /// Waits for a notification; false once the deadline has passed.
    pub(crate) fn wait<'a, T>(
        self,
        cond: &Condvar,
        guard: MutexGuard<'a, T>,
    ) -> (MutexGuard<'a, T>, bool) {
        match self.remaining() {
            None => (cond.wait(guard).unwrap_or_else(|e| e.into_inner()), true),
            Some(Duration::ZERO) => (guard, false),
            Some(left) => {
                let (guard, _) = cond.wait_timeout(guard, left).unwrap_or_else(|e| e.into_inner());
                (guard, true)
            }
        }
    }
}

impl From<Duration> for Deadline {
    fn from(d: Duration) -> Self {
        Self::after(d)
    }
}
