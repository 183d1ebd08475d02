//! The address on the command line.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use ceph_msgr::types::{AddrType, EntityAddr, Msgr};

/// Where monitors listen for each messenger.
const PORT_V1: u16 = 6789;
const PORT_V2: u16 = 3300;

/// Whom to probe.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) place: Place,
    /// The instance that the peer must say it is, if the user knows.
    pub(crate) nonce: Option<u32>,
    /// The messenger that the address itself names.
    pub(crate) msgr: Option<Msgr>,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Port 0 stands for the monitors' own.
    Addr(SocketAddr),
    Host(String, u16),
}

impl Target {
    /// The port of monitors where none is given: that of the messenger which is to be spoken.
    pub(crate) fn set_default_port(&mut self, msgr: Msgr) {
        let default = if msgr == Msgr::V2 { PORT_V2 } else { PORT_V1 };
        match &mut self.place {
            Place::Addr(addr) if addr.port() == 0 => addr.set_port(default),
            Place::Host(_, port) if *port == 0 => *port = default,
            _ => {}
        }
    }

    /// Where to dial: what the name resolves to, if it is one.
    pub(crate) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.place {
            Place::Addr(addr) => Ok(vec![*addr]),
            Place::Host(host, port) => Ok((host.as_str(), *port).to_socket_addrs()?.collect()),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if let Ok(addr) = s.parse::<EntityAddr>() {
            let msgr = match addr.addr_type {
                AddrType::MSGR2 => Some(Msgr::V2),
                _ if s.starts_with("v1:") => Some(Msgr::V1),
                _ => None,
            };
            let place = addr.sockaddr.ok_or("an IP address is expected")?;
            let nonce = s.contains('/').then_some(addr.nonce);
            return Ok(Self { place: Place::Addr(place), nonce, msgr });
        }
        let (host, port) = match s.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| format!("no port: {port:?}"))?),
            None => (s, 0),
        };
        // What is none of these was meant to be an address.
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if host.is_empty() || !host.chars().all(is_name) {
            return Err("[v1:|v2:]IP[:PORT][/NONCE] or HOST[:PORT] is expected".to_owned());
        }
        Ok(Self { place: Place::Host(host.to_owned(), port), nonce: None, msgr: None })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Place::Addr(_), Some(msgr)) = (&self.place, self.msgr) {
            write!(f, "{msgr}:")?;
        }
        match (&self.place, self.nonce) {
            (Place::Addr(addr), None) => write!(f, "{addr}"),
            (Place::Addr(addr), Some(nonce)) => write!(f, "{addr}/{nonce}"),
            (Place::Host(host, port), _) => write!(f, "{host}:{port}"),
        }
    }
}
