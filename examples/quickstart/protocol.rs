//! What is run one after the other.

use std::fmt;
use std::net::Ipv4Addr;

use ceph_msgr::auth::ConMode;
use ceph_msgr::cluster::ClusterBuilder;
use ceph_msgr::msgr::Options;
use ceph_msgr::testing::{DAEMON_FEATURES, MonitorBuilder};
use ceph_msgr::types::{EntityAddr, Msgr};

/// A messenger, and how it keeps frames from harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    V1,
    V2(ConMode),
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::V1, Self::V2(ConMode::Crc), Self::V2(ConMode::Secure)];

    pub(crate) fn msgr(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2(_) => "v2",
        }
    }

    pub(crate) fn ms_mode(self) -> &'static str {
        match self {
            Self::V1 => "",
            Self::V2(ConMode::Crc) => "crc",
            Self::V2(ConMode::Secure) => "secure",
        }
    }

    /// A free port.
    pub(crate) fn any_port(self) -> EntityAddr {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        match self {
            Self::V1 => EntityAddr::legacy(any, 0),
            Self::V2(_) => EntityAddr::msgr2(any, 0),
        }
    }

    /// Of a daemon.
    pub(crate) fn options(self) -> Options {
        let options = Options { supported: DAEMON_FEATURES, ..Options::default() };
        match self {
            Self::V1 => options,
            Self::V2(mode) => {
                let modes = ConMode::list(&[mode]);
                Options { modes, mon_modes: modes, ..options }
            }
        }
    }

    /// Of a monitor, which speaks nothing else.
    pub(crate) fn configure_mon(self, mon: MonitorBuilder) -> MonitorBuilder {
        match self {
            Self::V1 => mon.msgr(Msgr::V1),
            Self::V2(mode) => mon.msgr(Msgr::V2).con_modes(&[mode]),
        }
    }

    /// Of a client.
    pub(crate) fn configure(self, client: ClusterBuilder) -> ClusterBuilder {
        match self {
            Self::V1 => client.msgr(Msgr::V1),
            Self::V2(mode) => client.msgr(Msgr::V2).con_modes(&[mode]),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1 => f.write_str("messenger v1"),
            Self::V2(mode) => write!(f, "messenger v2, {mode}"),
        }
    }
}
