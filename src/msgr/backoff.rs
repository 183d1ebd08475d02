use std::time::Duration;

/// The kernel's `BASE_DELAY_INTERVAL`, a quarter of a second.
const BASE_DELAY: Duration = Duration::from_millis(250);
/// The kernel's `MAX_DELAY_INTERVAL`.
const MAX_DELAY: Duration = Duration::from_secs(15);

/// How long to wait before the next attempt: 250 ms, doubling to 15 s.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff(Duration);

impl Backoff {
    /// An attempt has failed: how long to wait now.
    pub fn failed(&mut self) -> Duration {
        self.0 = if self.0.is_zero() { BASE_DELAY } else { (self.0 * 2).min(MAX_DELAY) };
        self.0
    }

    /// An attempt has succeeded.
    pub fn reset(&mut self) {
        self.0 = Duration::ZERO;
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
}
