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
