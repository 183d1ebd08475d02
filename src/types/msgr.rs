//! Which messenger is spoken with a peer that has addresses of both.

use std::fmt;
use std::str::FromStr;

use super::{AddrType, EntityAddr, EntityAddrVec};

/// The messengers that may be spoken with a peer. Which one a connection speaks is decided by the
/// type of the address that it dials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Msgr {
    /// Messenger v1 alone (the kernel's `ms_mode=legacy`).
    V1,
    /// Messenger v2 alone.
    V2,
    /// Messenger v2, and v1 where the peer has no v2; with monitors also where none of v2 answers, so
    /// that whoever stands between can make it v1, unless secure mode alone is allowed.
    #[default]
    Auto,
}

impl Msgr {
    /// As options have it: `v1`, `v2` or `auto`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Auto => "auto",
        }
    }

    /// The types of address that are dialled, the best first.
    fn addr_types(self) -> &'static [AddrType] {
        match self {
            Self::V1 => &[AddrType::LEGACY],
            Self::V2 => &[AddrType::MSGR2],
            Self::Auto => &[AddrType::MSGR2, AddrType::LEGACY],
        }
    }
}

impl fmt::Display for Msgr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is none of `v1`, `v2` and `auto`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no messenger: v1, v2 or auto is expected")]
pub struct MsgrParseError(pub String);

impl FromStr for Msgr {
    type Err = MsgrParseError;

    fn from_str(s: &str) -> Result<Self, MsgrParseError> {
        let known = [Self::V1, Self::V2, Self::Auto].into_iter().find(|msgr| msgr.name() == s);
        known.ok_or_else(|| MsgrParseError(s.to_owned()))
    }
}

/// A peer cannot be dialled. The text completes "mon.0 has".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAddr {
    /// It has no address at all.
    #[error("no address")]
    None,
    /// It does not speak the messenger that is asked for.
    #[error("no address of messenger {}, only {addrs}", either(*.msgr))]
    OfMsgr {
        /// What may be spoken.
        msgr: Msgr,
        /// Where the peer is.
        addrs: EntityAddrVec,
    },
    /// It speaks messenger v1 alone, and nothing but secure mode is allowed.
    #[error("no address of messenger v2, only {0}: messenger v1 has no secure mode")]
    NotSecure(EntityAddrVec),
    /// Messenger v1 is asked for, and nothing but secure mode is allowed.
    #[error("no address to dial: messenger v1 has no secure mode, and no other is allowed")]
    V1NotSecure,
}

fn either(msgr: Msgr) -> &'static str {
    match msgr {
        Msgr::Auto => "v1 or v2",
        one => one.name(),
    }
}

impl EntityAddrVec {
    /// The addresses at which a peer may be dialled, the best first; not empty.
    pub fn candidates(&self, msgr: Msgr) -> Result<Vec<EntityAddr>, NoAddr> {
        let of_type = |t: AddrType| self.0.iter().copied().filter(move |a| a.addr_type == t);
        let addrs: Vec<_> = msgr.addr_types().iter().flat_map(|&t| of_type(t)).collect();
        match (addrs.is_empty(), self.0.is_empty()) {
            (false, _) => Ok(addrs),
            (true, true) => Err(NoAddr::None),
            (true, false) => Err(NoAddr::OfMsgr { msgr, addrs: self.clone() }),
        }
    }

    /// The best of them.
    pub fn choose(&self, msgr: Msgr) -> Result<EntityAddr, NoAddr> {
        let addrs = self.candidates(msgr)?;
        addrs.first().copied().ok_or(NoAddr::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vec(addrs: &[&str]) -> EntityAddrVec {
        EntityAddrVec(addrs.iter().map(|a| a.parse().unwrap()).collect())
    }

    fn shown(addrs: Result<Vec<EntityAddr>, NoAddr>) -> String {
        match addrs {
            Ok(addrs) => addrs.iter().map(|a| format!("{a} ")).collect(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn v2_comes_first_and_v1_behind_it() {
        let (v1, v2) = ("v1:10.0.0.1:6789/0", "v2:10.0.0.1:3300/0");
        for (addrs, auto, only_v1, only_v2) in [
            // Ceph writes v2 first; whoever else makes a vector may not.
            (vec(&[v2, v1]), format!("{v2} {v1} "), format!("{v1} "), format!("{v2} ")),
            (vec(&[v1, v2]), format!("{v2} {v1} "), format!("{v1} "), format!("{v2} ")),
            (
                vec(&[v1]),
                format!("{v1} "),
                format!("{v1} "),
                format!("no address of messenger v2, only {v1}"),
            ),
            (
                vec(&[v2]),
                format!("{v2} "),
                format!("no address of messenger v1, only {v2}"),
                format!("{v2} "),
            ),
            (
                vec(&["any:10.0.0.1:1"]),
                "no address of messenger v1 or v2, only any:10.0.0.1:1/0".into(),
                "no address of messenger v1, only any:10.0.0.1:1/0".into(),
                "no address of messenger v2, only any:10.0.0.1:1/0".into(),
            ),
            (vec(&[]), "no address".into(), "no address".into(), "no address".into()),
        ] {
            assert_eq!(shown(addrs.candidates(Msgr::Auto)), auto, "{addrs}");
            assert_eq!(shown(addrs.candidates(Msgr::V1)), only_v1, "{addrs}");
            assert_eq!(shown(addrs.candidates(Msgr::V2)), only_v2, "{addrs}");
            for msgr in [Msgr::Auto, Msgr::V1, Msgr::V2] {
                let first = addrs.candidates(msgr).map(|addrs| addrs[0]);
                assert_eq!(addrs.choose(msgr), first, "{addrs}");
            }
        }
    }

    #[test]
    fn of_two_networks_both_are_candidates() {
        let addrs = vec(&["v1:[::1]:1", "v2:[::1]:2", "v1:10.0.0.1:1", "v2:10.0.0.1:2"]);
        let all = "v2:[::1]:2/0 v2:10.0.0.1:2/0 v1:[::1]:1/0 v1:10.0.0.1:1/0 ";
        assert_eq!(shown(addrs.candidates(Msgr::Auto)), all);
    }

    #[test]
    fn names() {
        for msgr in [Msgr::V1, Msgr::V2, Msgr::Auto] {
            assert_eq!(msgr.to_string().parse(), Ok(msgr));
        }
        let e = "v3".parse::<Msgr>().unwrap_err();
        assert_eq!(e.to_string(), "\"v3\" is no messenger: v1, v2 or auto is expected");
    }
}
