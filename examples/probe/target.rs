//! The address on the command line.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use ceph_msgr::types::{AddrType, EntityAddr};

const DEFAULT_PORT: u16 = 6789;

/// Whom to probe.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) place: Place,
    /// The instance that the peer must say it is, if the user knows.
    pub(crate) nonce: Option<u32>,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    Addr(SocketAddr),
    Host(String, u16),
}

impl Target {
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
            if addr.addr_type == AddrType::MSGR2 {
                return Err("messenger v1 is spoken here, not v2".to_owned());
            }
            let mut place = addr.sockaddr.ok_or("an IP address is expected")?;
            if place.port() == 0 {
                place.set_port(DEFAULT_PORT);
            }
            let nonce = s.contains('/').then_some(addr.nonce);
            return Ok(Self { place: Place::Addr(place), nonce });
        }
        let (host, port) = match s.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| format!("no port: {port:?}"))?),
            None => (s, DEFAULT_PORT),
        };
        // What is none of these was meant to be an address.
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if host.is_empty() || !host.chars().all(is_name) {
            return Err("[v1:]IP[:PORT][/NONCE] or HOST[:PORT] is expected".to_owned());
        }
        Ok(Self { place: Place::Host(host.to_owned(), port), nonce: None })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.nonce) {
            (Place::Addr(addr), None) => write!(f, "v1:{addr}"),
            (Place::Addr(addr), Some(nonce)) => write!(f, "v1:{addr}/{nonce}"),
            (Place::Host(host, port), _) => write!(f, "{host}:{port}"),
        }
    }
}
