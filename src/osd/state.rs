use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};

/// `CEPH_OSD_*`: what an OSDMap says of one OSD, a set of bits (`src/include/rados.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OsdState(pub u32);

impl OsdState {
    /// The id is in use.
    pub const EXISTS: Self = Self(1 << 0);
    /// The daemon runs.
    pub const UP: Self = Self(1 << 1);
    /// It was marked out by the monitors and comes back in by itself.
    pub const AUTOOUT: Self = Self(1 << 2);
    /// It never was in.
    pub const NEW: Self = Self(1 << 3);
    /// `full_ratio` is reached.
    pub const FULL: Self = Self(1 << 4);
    /// `nearfull_ratio` is reached.
    pub const NEARFULL: Self = Self(1 << 5);
    /// `backfillfull_ratio` is reached.
    pub const BACKFILLFULL: Self = Self(1 << 6);
    /// Its data is gone; the id waits to be used again.
    pub const DESTROYED: Self = Self(1 << 7);

    /// Whether every bit of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Encode for OsdState {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.0);
    }
}

impl Decode for OsdState {
    const MIN: usize = 4;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.u32().map(Self)
    }
}
