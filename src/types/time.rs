use std::fmt;
use std::time::Duration;

use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};

/// `utime_t` and `ceph_timespec`: `u32` seconds, `u32` nanoseconds (`src/include/utime.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UTime {
    /// Seconds, since 1970 where it is a point in time.
    pub sec: u32,
    /// Nanoseconds; Ceph itself does not refuse a second or more.
    pub nsec: u32,
}

impl UTime {
    /// The time as a length, also since 1970.
    pub fn as_duration(self) -> Duration {
        Duration::from_secs(self.sec.into()) + Duration::from_nanos(self.nsec.into())
    }

    /// The point in time `d` later, or the last one there is.
    #[must_use]
    pub fn saturating_add(self, d: Duration) -> Self {
        let max = Self { sec: u32::MAX, nsec: 999_999_999 };
        self.as_duration().checked_add(d).map_or(max, |d| d.min(max.as_duration()).into())
    }

    /// How much later this point in time is than `earlier`; nothing if it is not.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.as_duration().saturating_sub(earlier.as_duration())
    }
}

impl From<Duration> for UTime {
    /// Seconds over `u32::MAX` wrap, as they do in Ceph.
    fn from(d: Duration) -> Self {
        Self { sec: d.as_secs() as u32, nsec: d.subsec_nanos() }
    }
}

impl fmt::Display for UTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.sec, self.nsec)
    }
}

impl Encode for UTime {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.sec).u32(self.nsec);
    }
}

impl Decode for UTime {
    const MIN: usize = 8;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { sec: r.u32()?, nsec: r.u32()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(sec: u32, nsec: u32) -> UTime {
        UTime { sec, nsec }
    }

    #[test]
    fn times_do_not_wrap() {
        let second = Duration::from_secs(1);
        assert_eq!(at(1, 999_999_999).saturating_add(Duration::from_nanos(1)), at(2, 0));
        assert_eq!(at(u32::MAX, 0).saturating_add(second), at(u32::MAX, 999_999_999));
        assert_eq!(at(0, 1).saturating_add(Duration::MAX), at(u32::MAX, 999_999_999));
        assert_eq!(at(3, 5).saturating_since(at(1, 5)), 2 * second);
        assert_eq!(at(1, 5).saturating_since(at(3, 5)), Duration::ZERO);
        // Of a peer that writes more nanoseconds than a second has.
        assert_eq!(at(1, u32::MAX).saturating_since(at(5, 0)), Duration::from_nanos(294_967_295));
    }
}
