use std::time::{Duration, Instant};

/// Whether a message goes out at once, on its sender's thread, or together with those that follow.
///
/// A sender that comes back sooner than any answer could has more to say. After a few messages at
/// that pace they wait for each other: the worker has been woken, and writes what is there when it
/// gets to it; a sender that is faster than that writes them itself when they are enough.
#[derive(Debug, Default)]
pub(super) struct Burst {
    /// When the last `send` was over.
    last: Option<Instant>,
    /// Messages in a row that came so soon after another.
    run: u32,
}

impl Burst {
    /// Shorter than the way to a peer and back over loopback, and longer than a loop around `send`.
    const GAP: Duration = Duration::from_micros(5);
    /// Messages that go out one by one before others wait.
    const ALONE: u32 = 8;
    /// Messages that fill one system call.
    const ENOUGH: usize = 21;

    /// Whether it is time to write, with so many messages that wait, the one that was just given
    /// among them.
    pub(super) fn is_due(&mut self, now: Instant, waiting: Option<usize>) -> bool {
        let soon = self.last.is_some_and(|last| now.saturating_duration_since(last) < Self::GAP);
        self.run = if soon { self.run.saturating_add(1) } else { 0 };
        match waiting {
            // The socket is full, and the worker waits for room in it.
            None => false,
            Some(1) => self.run < Self::ALONE,
            Some(waiting) => waiting >= Self::ENOUGH,
        }
    }

    /// A `send` is over.
    pub(super) fn sent(&mut self, now: Instant) {
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends at these distances, in microseconds, with nobody else who writes; which of them write.
    fn writes(gaps: impl IntoIterator<Item = u64>) -> Vec<bool> {
        let (mut burst, mut now, mut waiting) = (Burst::default(), Instant::now(), 0);
        let send = |gap: u64| {
            now += Duration::from_micros(gap);
            waiting += 1;
            let due = burst.is_due(now, Some(waiting));
            burst.sent(now);
            waiting = if due { 0 } else { waiting };
            due
        };
        gaps.into_iter().map(send).collect()
    }

    #[test]
    fn messages_with_a_pause_between_them_go_out_one_by_one() {
        assert!(writes([5; 100]).iter().all(|due| *due));
    }

    #[test]
    fn the_first_few_of_a_burst_go_out_and_then_as_many_as_are_enough_at_a_time() {
        let writes = writes([1; 100]);
        assert!(writes[..8].iter().all(|due| *due));
        let at: Vec<_> = (8..100).filter(|i| writes[*i]).collect();
        assert_eq!(at, [28, 49, 70, 91]);
    }

    #[test]
    fn a_pause_ends_a_burst_once_what_waits_is_written() {
        let mut gaps = vec![1; 29];
        gaps.extend([5, 1]);
        assert_eq!(writes(gaps)[28..], [true, true, true]);
    }

    #[test]
    fn a_full_socket_is_left_to_the_worker() {
        let (mut burst, now) = (Burst::default(), Instant::now());
        assert!(!burst.is_due(now, None));
        assert!(burst.is_due(now, Some(1)));
    }
}
