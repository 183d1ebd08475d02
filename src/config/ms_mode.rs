use crate::auth::ConMode;
use crate::types::Msgr;

/// `ms_mode`, which is what the kernel calls a mount option: which messenger is spoken, and in which
/// connection modes, with everybody (`net/ceph/ceph_common.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MsMode {
    /// Messenger v1.
    Legacy,
    /// Messenger v2, in crc mode.
    Crc,
    /// Messenger v2, in secure mode.
    Secure,
    /// Messenger v2, in crc mode where the peer allows it and in secure mode where not.
    PreferCrc,
    /// The same the other way round.
    PreferSecure,
}

impl MsMode {
    /// All of them, as they are written.
    const NAMES: [(&str, Self); 5] = [
        ("legacy", Self::Legacy),
        ("crc", Self::Crc),
        ("secure", Self::Secure),
        ("prefer-crc", Self::PreferCrc),
        ("prefer-secure", Self::PreferSecure),
    ];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, mode)| mode)
    }

    /// Which messenger is spoken.
    pub fn msgr(self) -> Msgr {
        match self {
            Self::Legacy => Msgr::V1,
            _ => Msgr::V2,
        }
    }

    /// The connection modes that are allowed, the best first. Messenger v1 has none; the list is what
    /// would be as good.
    pub fn con_modes(self) -> &'static [ConMode] {
        match self {
            Self::Legacy | Self::Crc => &[ConMode::Crc],
            Self::Secure => &[ConMode::Secure],
            Self::PreferCrc => &[ConMode::Crc, ConMode::Secure],
            Self::PreferSecure => &[ConMode::Secure, ConMode::Crc],
        }
    }
}
