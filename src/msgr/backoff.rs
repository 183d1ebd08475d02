use std::time::Duration;

/// The kernel's `BASE_DELAY_INTERVAL`, a quarter of a second.
const BASE_DELAY: Duration = Duration::from_millis(250);
/// The kernel's `MAX_DELAY_INTERVAL`.
const MAX_DELAY: Duration = Duration::from_secs(15);

/// How long to wait before the next attempt: 250 ms, doubling to 15 s.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    /// `None` until something fails.
    last: Option<Duration>,
}

impl Backoff {
    /// An attempt has failed: how long to wait now.
    pub fn failed(&mut self) -> Duration {
        let delay = match self.last {
            None | Some(Duration::ZERO) => BASE_DELAY,
            Some(last) => (last * 2).min(MAX_DELAY),
        };
        self.last = Some(delay);
        delay
    }

    /// An open session has broken: the first time it is dialled again at once. A session that
    /// breaks again before anything was heard on it waits as an attempt that failed does, or a
    /// peer that refuses what it is sent would be dialled in a loop.
    pub fn broken(&mut self) -> Duration {
        match self.last {
            None => *self.last.insert(Duration::ZERO),
            Some(_) => self.failed(),
        }
    }

    /// The peer is to dial first: how long to wait for it.
    pub fn longest(&mut self) -> Duration {
        *self.last.insert(MAX_DELAY)
    }

    /// Something was heard on an open session.
    pub fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_second_doubling_to_fifteen() {
        let mut b = Backoff::default();
        let ms: Vec<_> = (0..8).map(|_| b.failed().as_millis()).collect();
        assert_eq!(ms, [250, 500, 1000, 2000, 4000, 8000, 15000, 15000]);
        b.reset();
        assert_eq!(b.failed(), BASE_DELAY);
    }

    #[test]
    fn a_session_that_keeps_breaking_is_not_dialled_in_a_loop() {
        let mut b = Backoff::default();
        let ms: Vec<_> = (0..4).map(|_| b.broken().as_millis()).collect();
        assert_eq!(ms, [0, 250, 500, 1000]);
        b.reset();
        assert_eq!((b.broken(), b.failed()), (Duration::ZERO, BASE_DELAY));
    }
}
