use std::sync::{Condvar, Mutex};

use super::Deadline;
use super::dispatch::may_block;
use crate::error::Result;

/// A place for one answer, handed straight from the thread that has it to the one that waits.
#[derive(Debug)]
pub(crate) struct Waiter<T> {
    slot: Mutex<Option<T>>,
    filled: Condvar,
}

impl<T> Waiter<T> {
    pub(crate) fn new() -> Self {
        Self { slot: Mutex::new(None), filled: Condvar::new() }
    }

    /// Gives the answer; the first one counts.
    pub(crate) fn fill(&self, value: T) {
        let mut slot = self.slot.lock().unwrap_or_else(|e| e.into_inner());
        if slot.is_none() {
            *slot = Some(value);
            self.filled.notify_one();
        }
    }

    /// The answer, or `None` where the deadline passes first.
    pub(crate) fn wait(&self, deadline: Deadline) -> Result<Option<T>> {
        may_block()?;
        let mut slot = self.slot.lock().unwrap_or_else(|e| e.into_inner());
        loop {
            if let Some(value) = slot.take() {
                return Ok(Some(value));
            }
            let (guard, in_time) = deadline.wait(&self.filled, slot);
            slot = guard;
            if !in_time {
                return Ok(slot.take());
            }
        }
    }
}
