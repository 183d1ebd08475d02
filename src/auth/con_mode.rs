use std::fmt;

use super::CEPH_AUTH_NONE;

/// `CEPH_CON_MODE_*`: how the frames of a msgr2 connection are kept from harm once both sides know
/// each other. The numbers that there are no names for here are passed over in lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConMode {
    /// Checksums, against accidents alone.
    Crc,
    /// AES-128-GCM, with keys that are cut from a [`ConnectionSecret`](super::ConnectionSecret).
    Secure,
}

impl ConMode {
    /// 1 or 2, as frames have it.
    pub fn number(self) -> u32 {
        match self {
            Self::Crc => 1,
            Self::Secure => 2,
        }
    }

    /// The mode of that number.
    pub fn from_number(n: u32) -> Option<Self> {
        [Self::Crc, Self::Secure].into_iter().find(|mode| mode.number() == n)
    }

    /// The mode that options call `crc` or `secure`; case counts.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Crc, Self::Secure].into_iter().find(|mode| mode.name() == name)
    }

    /// As options have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc => "crc",
            Self::Secure => "secure",
        }
    }

    /// These modes, each once, as a list that lives as long as the program.
    pub fn list(modes: &[Self]) -> &'static [Self] {
        let others = |first: &Self| modes.iter().any(|mode| mode != first);
        match modes.first() {
            None => &[],
            Some(first @ Self::Crc) if others(first) => &[Self::Crc, Self::Secure],
            Some(first @ Self::Secure) if others(first) => &[Self::Secure, Self::Crc],
            Some(Self::Crc) => &[Self::Crc],
            Some(Self::Secure) => &[Self::Secure],
        }
    }

    /// Those of a frame's list that there are names for.
    pub(super) fn known(numbers: &[u32]) -> &'static [Self] {
        let known: Vec<_> = numbers.iter().filter_map(|n| Self::from_number(*n)).collect();
        Self::list(&known)
    }

    /// Several, for a person to read.
    pub(super) fn names(modes: &[Self]) -> String {
        match modes {
            [] => "no mode".to_owned(),
            modes => modes.iter().map(|mode| mode.name()).collect::<Vec<_>>().join(", "),
        }
    }

    /// How long a secret an accepting side makes for it (`CEPH_CON_MODE_SECURE`: 16 * 4).
    pub fn connection_secret_len(self) -> usize {
        match self {
            Self::Crc => 0,
            Self::Secure => 64,
        }
    }

    /// How much of a secret is needed: a key and two nonces.
    pub(super) fn least_secret_len(self) -> usize {
        match self {
            Self::Crc => 0,
            Self::Secure => 40,
        }
    }

    /// Of what one side allows, that which a method can keep: without a key there is no secret
    /// (`AuthRegistry::get_supported_modes`).
    pub(super) fn supported(allowed: &[Self], method: u32) -> Vec<Self> {
        let can_be = |mode: &Self| method != CEPH_AUTH_NONE || *mode == Self::Crc;
        allowed.iter().copied().filter(can_be).collect()
    }

    /// The first of the peer's modes, in the peer's order, that is supported
    /// (`AuthRegistry::pick_mode`).
    pub(super) fn pick(preferred: &[u32], supported: &[Self]) -> Option<Self> {
        let known = preferred.iter().filter_map(|n| Self::from_number(*n));
        known.into_iter().find(|mode| supported.contains(mode))
    }

    pub(super) fn numbers(modes: &[Self]) -> Vec<u32> {
        modes.iter().map(|mode| mode.number()).collect()
    }
}

impl fmt::Display for ConMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::ConMode::{self, Crc, Secure};

    #[test]
    fn a_list_keeps_the_order_and_each_mode_once() {
        for (modes, list) in [
            (&[][..], &[][..]),
            (&[Crc], &[Crc]),
            (&[Secure], &[Secure]),
            (&[Crc, Secure], &[Crc, Secure]),
            (&[Secure, Crc], &[Secure, Crc]),
            (&[Secure, Secure], &[Secure]),
            (&[Secure, Secure, Crc, Secure], &[Secure, Crc]),
        ] {
            assert_eq!(ConMode::list(modes), list, "{modes:?}");
        }
    }
}
