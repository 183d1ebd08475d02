use std::fmt;
use std::ops::{BitAnd, BitOr, Not};

/// One feature: its bit, and the incarnation bits that must be set too for the bit to have this
/// meaning, since bits were reused (`src/include/ceph_features.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Ceph's name without `CEPH_FEATURE_`.
    pub name: &'static str,
    /// The bit and its incarnation mask.
    pub mask: u64,
}

/// A set of `CEPH_FEATURE_*` bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Features(pub u64);

const INCARNATION_2: u64 = 1 << 57;
const INCARNATION_3: u64 = 1 << 57 | 1 << 28;

macro_rules! features {
    ($($name:ident = $bit:literal $(, $inc:ident)?;)*) => {
        impl Features {
            $(
                #[doc = concat!("`CEPH_FEATURE_", stringify!($name), "`, bit ", stringify!($bit), ".")]
                pub const $name: Feature =
                    Feature { name: stringify!($name), mask: 1 << $bit $(| $inc)? };
            )*

            /// Every feature with a name here, in the order of the bits.
            pub const NAMED: &'static [Feature] = &[$(Self::$name),*];
        }
    };
}

features! {
    UID = 0;
    NOSRCADDR = 1;
    SERVER_NAUTILUS = 2, INCARNATION_3;
    FLOCK = 3;
    SUBSCRIBE2 = 4;
    MONNAMES = 5;
    RECONNECT_SEQ = 6;
    DIRLAYOUTHASH = 7;
    OBJECTLOCATOR = 8;
    PGID64 = 9;
    INCSUBOSDMAP = 10;
    PGPOOL3 = 11;
    OSDREPLYMUX = 12;
    OSDENC = 13;
    SERVER_KRAKEN = 14, INCARNATION_2;
    MONENC = 15;
    SERVER_OCTOPUS = 16, INCARNATION_3;
    OS_PERF_STAT_NS = 17, INCARNATION_3;
    CRUSH_TUNABLES = 18;
    OSD_PGLOG_HARDLIMIT = 19, INCARNATION_2;
    SERVER_PACIFIC = 20, INCARNATION_3;
    SERVER_LUMINOUS = 21, INCARNATION_2;
    OSD_FIXED_COLLECTION_LIST = 22, INCARNATION_2;
    MSG_AUTH = 23;
    RECOVERY_RESERVATION_2 = 24, INCARNATION_2;
    CRUSH_TUNABLES2 = 25;
    CREATEPOOLID = 26;
    REPLY_CREATE_INODE = 27;
    SERVER_MIMIC = 28, INCARNATION_2;
    MDSENC = 29;
    OSDHASHPSPOOL = 30;
    MON_SINGLE_PAXOS = 31;
    STRETCH_MODE = 32, INCARNATION_3;
    SERVER_QUINCY = 33, INCARNATION_3;
    RANGE_BLOCKLIST = 34, INCARNATION_3;
    OSD_CACHEPOOL = 35;
    CRUSH_V2 = 36;
    EXPORT_PEER = 37;
    OSD_ERASURE_CODES = 38;
    OSDMAP_ENC = 39;
    MDS_INLINE_DATA = 40;
    CRUSH_TUNABLES3 = 41;
    MSGR_KEEPALIVE2 = 42;
    OSD_POOLRESEND = 43;
    ERASURE_CODE_PLUGINS_V2 = 44;
    OSD_FADVISE_FLAGS = 46;
    MDS_QUOTA = 47;
    CRUSH_V4 = 48;
    SERVER_SQUID = 49, INCARNATION_2;
    SERVER_TENTACLE = 50, INCARNATION_2;
    OSD_BITWISE_HOBJ_SORT = 51;
    OSD_PROXY_WRITE_FEATURES = 52;
    ERASURE_CODE_PLUGINS_V3 = 53;
    OSD_HITSET_GMT = 54;
    HAMMER_0_94_4 = 55;
    NEW_OSDOP_ENCODING = 56;
    SERVER_JEWEL = 57;
    CRUSH_TUNABLES5 = 58;
    MSG_ADDR2 = 59;
    OSD_RECOVERY_DELETES = 60;
    CEPHX_V2 = 61;
}

impl Features {
    /// No feature.
    pub const NONE: Self = Self(0);
    /// Every bit: for encodings that do not depend on a peer.
    pub const ALL: Self = Self(u64::MAX);
    /// What this library supports: the set of the Linux client (`CEPH_FEATURES_SUPPORTED_DEFAULT`
    /// of `ceph_features.h` without MDS_INLINE_DATA), and the server releases whose encodings
    /// it reads: SERVER_OCTOPUS among them, for the manager's own commands.
    pub const SUPPORTED: Self = Self(0x2f01_8eb8_7aa4_aafe | Self::SERVER_OCTOPUS.mask);

    /// Whether the feature is in the set, in the incarnation that it names.
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & feature.mask == feature.mask
    }

    /// The set with this feature, and with the bits that give it its meaning.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | feature.mask)
    }

    /// What of `self` is not in `other`.
    #[must_use]
    pub const fn missing_in(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Names of what is in the set, in the order of the bits; a bit without a name is `bit N`.
    pub fn names(self) -> impl Iterator<Item = String> {
        let own_bit = |f: &Feature| match f.mask {
            m if m.count_ones() == 1 => m,
            m if m & INCARNATION_3 == INCARNATION_3 && m.count_ones() == 3 => m & !INCARNATION_3,
            m => m & !INCARNATION_2,
        };
        (0..64).map(|bit| 1u64 << bit).filter(move |bit| self.0 & bit != 0).map(move |bit| {
            Self::NAMED
                .iter()
                .find(|f| own_bit(f) == bit && self.has(**f))
                .map_or_else(|| format!("bit {}", bit.trailing_zeros()), |f| f.name.to_owned())
        })
    }
}

impl BitAnd for Features {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Features {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Not for Features {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_bit_counts_only_in_its_incarnation() {
        // Bit 21 was MON_GV before it became SERVER_LUMINOUS.
        assert!(!Features(1 << 21).has(Features::SERVER_LUMINOUS));
        assert!(Features(1 << 21 | 1 << 57).has(Features::SERVER_LUMINOUS));
        assert!(!Features(1 << 2 | 1 << 57).has(Features::SERVER_NAUTILUS));
        assert!(Features(1 << 2 | 1 << 57 | 1 << 28).has(Features::SERVER_NAUTILUS));
    }

    #[test]
    fn names_of_the_set_that_a_16_2_15_monitor_sends() {
        let names: Vec<_> = Features(0x3f01_cfbd_fffd_ffff).names().collect();
        for want in ["SERVER_NAUTILUS", "SERVER_PACIFIC", "STRETCH_MODE", "MSG_ADDR2", "CEPHX_V2"] {
            assert!(names.iter().any(|n| n == want), "{want} in {names:?}");
        }
        assert!(!names.iter().any(|n| n.starts_with("bit ")), "all are named: {names:?}");
        assert!(!names.iter().any(|n| n == "SERVER_QUINCY"), "{names:?}");
        let unknown: Vec<_> = Features(1 << 45).names().collect();
        assert_eq!(unknown, ["bit 45"], "an unnamed bit is kept");
        let two: Vec<_> = Features(1 << 2).names().collect();
        assert_eq!(two, ["bit 2"], "the retired meaning has no name here");
    }
}
