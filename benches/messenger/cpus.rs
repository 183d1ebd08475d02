//! Which CPU a thread, and those that it starts from then on, may run on.

use anyhow::Result;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs that this process may use.
pub(crate) struct Cpus {
    all: CpuSet,
    each: Vec<usize>,
}

impl Cpus {
    pub(crate) fn new() -> Result<Self> {
        let all = sched_getaffinity(None)?;
        let each = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect();
        Ok(Self { all, each })
    }

    pub(crate) fn are_many(&self) -> bool {
        self.each.len() > 1
    }

    /// Runs something that starts the threads of one end, on the CPU of that end where it is to
    /// have one of its own.
    pub(crate) fn at<T>(&self, end: Option<usize>, f: impl FnOnce() -> T) -> Result<T> {
        let mut set = CpuSet::new();
        match end {
            Some(end) => set.set(self.each[end % self.each.len()]),
            None => set = self.all,
        }
        sched_setaffinity(None, &set)?;
        let value = f();
        sched_setaffinity(None, &self.all)?;
        Ok(value)
    }
}
