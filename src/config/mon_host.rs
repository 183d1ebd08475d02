//! `mon host`, and `mon addr` of the times before it (`MonMap::build_initial`, `src/mon/MonMap.cc`;
//! `entity_addr_t::parse`, `src/msg/msg_types.cc`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ConfigError;
use crate::types::{AddrType, EntityAddr, EntityAddrVec};

/// `CEPH_MON_PORT_LEGACY`: where a monitor speaks messenger v1 if nothing else is said.
pub const MON_PORT_LEGACY: u16 = 6789;
/// `CEPH_MON_PORT_IANA`: where a monitor speaks messenger v2 if nothing else is said.
pub const MON_PORT_IANA: u16 = 3300;

/// A monitor to try. As in Ceph's first monmap, an address that does not tell its protocol makes
/// two: one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonHost {
    /// `noname-a`, `noname-a-legacy` and so on, as Ceph calls them until it knows better; the
    /// real name where a section `[mon.X]` gives it.
    pub name: String,
    /// Where it is.
    pub at: MonAddr,
}

/// Where a monitor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MonAddr {
    /// Its addresses, each with protocol and port.
    Addrs(EntityAddrVec),
    /// A name that is yet to be resolved; see [`MonHost::resolved`].
    Host {
        /// The name, or a short form of an IPv4 address that resolvers know.
        host: String,
        /// The port, 0 if none was given.
        port: u16,
    },
}

impl MonHost {
    /// What this host name comes to when it resolves to these addresses. An entry with addresses
    /// is returned as it is.
    pub fn resolved(&self, ips: &[IpAddr]) -> Vec<Self> {
        let MonAddr::Host { port, .. } = self.at else { return vec![self.clone()] };
        let mut mons = Vec::new();
        for (i, &ip) in ips.iter().enumerate() {
            let name = if i == 0 { self.name.clone() } else { format!("{}{i}", self.name) };
            let sockaddr = Some(SocketAddr::new(ip, port));
            let addr = EntityAddr { addr_type: AddrType::ANY, nonce: 0, sockaddr };
            add_ambiguous(&mut mons, &name, addr);
        }
        mons
    }
}

/// Reads a list of monitors: addresses, vectors of addresses and host names between commas,
/// semicolons and blanks. Empty for an empty list.
///
/// Ceph resolves the whole list once there is a name in it, and then knows no prefixes and no
/// vectors; here names and addresses may be mixed.
pub(super) fn parse(list: &str) -> Result<Vec<MonHost>, ConfigError> {
    let mut mons = Vec::new();
    let mut count = 0;
    for item in list.split(|c: char| c == ';' || c.is_ascii_whitespace()) {
        let mut rest = item.trim_start_matches(',');
        while !rest.is_empty() {
            let name = noname(count);
            let (at, behind) = parse_item(rest)
                .map_err(|reason| ConfigError::BadMonHost { item: rest.to_owned(), reason })?;
            match at {
                MonAddr::Addrs(addrs) => match addrs.0.as_slice() {
                    &[addr] => add_ambiguous(&mut mons, &name, addr),
                    _ => add(&mut mons, name, with_default_ports(addrs)),
                },
                at @ MonAddr::Host { .. } => mons.push(MonHost { name, at }),
            }
            count += 1;
            rest = behind.trim_start_matches(',');
        }
    }
    Ok(mons)
}

/// A monitor of a section `[mon.X]`, from its `mon addr`: one address, of messenger v1 and at its
/// port unless it says otherwise. What follows it is ignored, as in Ceph.
pub(super) fn add_mon_addr(
    mons: &mut Vec<MonHost>,
    name: &str,
    text: &str,
) -> Result<(), &'static str> {
    let (mut addr, _) = parse_addr(text, AddrType::LEGACY)?.ok_or("not an IP address")?;
    set_port_if_none(&mut addr, MON_PORT_LEGACY);
    mons.retain(|mon| !contains(std::slice::from_ref(mon), addr));
    add_ambiguous(mons, name, addr);
    Ok(())
}

/// Ceph counts on behind `z` into signs that nobody can read.
fn noname(n: usize) -> String {
    match u8::try_from(n) {
        Ok(n @ 0..26) => format!("noname-{}", char::from(b'a' + n)),
        _ => format!("noname-{n}"),
    }
}

/// `MonMap::_add_ambiguous_addr`: without a prefix the well-known ports tell the protocol, and
/// at any other port both are tried.
fn add_ambiguous(mons: &mut Vec<MonHost>, name: &str, mut addr: EntityAddr) {
    let (v2, v1) = match (addr.addr_type, addr.port()) {
        (AddrType::LEGACY, 0) => (None, Some(MON_PORT_LEGACY)),
        (AddrType::MSGR2, 0) => (Some(MON_PORT_IANA), None),
        (AddrType::LEGACY, port) => (None, Some(port)),
        (AddrType::MSGR2, port) => (Some(port), None),
        (_, 0) => (Some(MON_PORT_IANA), Some(MON_PORT_LEGACY)),
        (_, MON_PORT_IANA) => (Some(MON_PORT_IANA), None),
        (_, MON_PORT_LEGACY) => (None, Some(MON_PORT_LEGACY)),
        (_, port) => (Some(port), Some(port)),
    };
    let legacy_name = match addr.addr_type {
        AddrType::LEGACY => name.to_owned(),
        _ => format!("{name}-legacy"),
    };
    for (addr_type, port, name) in
        [(AddrType::MSGR2, v2, name.to_owned()), (AddrType::LEGACY, v1, legacy_name)]
    {
        if let Some(port) = port {
            addr.addr_type = addr_type;
            set_port(&mut addr, port);
            add(mons, name, addr.into());
        }
    }
}

fn add(mons: &mut Vec<MonHost>, name: String, addrs: EntityAddrVec) {
    if !addrs.0.iter().any(|&addr| contains(mons, addr)) {
        mons.push(MonHost { name, at: MonAddr::Addrs(addrs) });
    }
}

fn contains(mons: &[MonHost], addr: EntityAddr) -> bool {
    mons.iter().any(|mon| matches!(&mon.at, MonAddr::Addrs(addrs) if addrs.0.contains(&addr)))
}

/// Ceph takes a vector as it is and fails to connect to port 0; here it gets the usual ports.
fn with_default_ports(mut addrs: EntityAddrVec) -> EntityAddrVec {
    for addr in &mut addrs.0 {
        let port = if addr.addr_type == AddrType::LEGACY { MON_PORT_LEGACY } else { MON_PORT_IANA };
        set_port_if_none(addr, port);
    }
    addrs
}

fn set_port_if_none(addr: &mut EntityAddr, port: u16) {
    if addr.port() == 0 {
        set_port(addr, port);
    }
}

fn set_port(addr: &mut EntityAddr, port: u16) {
    if let Some(sockaddr) = &mut addr.sockaddr {
        sockaddr.set_port(port);
    }
}

/// One item of the list, and what stands behind it: nothing, or a comma and more.
fn parse_item(text: &str) -> Result<(MonAddr, &str), &'static str> {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(',');
    if let Some((addr, rest)) = parse_addr(text, AddrType::ANY)?.filter(|(_, rest)| ends(rest)) {
        return Ok((MonAddr::Addrs(addr.into()), rest));
    }
    if let Some((addrs, rest)) = parse_addrvec(text)?.filter(|(_, rest)| ends(rest)) {
        return Ok((MonAddr::Addrs(addrs), rest));
    }
    let (item, rest) = text.split_at(text.find(',').unwrap_or(text.len()));
    parse_host(item).map(|host| (host, rest))
}

/// `[ADDR,ADDR]`; inside it an address without prefix is of messenger v2.
fn parse_addrvec(text: &str) -> Result<Option<(EntityAddrVec, &str)>, &'static str> {
    let Some(mut rest) = text.strip_prefix('[') else { return Ok(None) };
    let mut addrs = Vec::new();
    loop {
        let Some((addr, behind)) = parse_addr(rest, AddrType::MSGR2)? else { return Ok(None) };
        addrs.push(addr);
        if let Some(behind) = behind.strip_prefix(']') {
            return Ok(Some((EntityAddrVec(addrs), behind)));
        }
        rest = behind
            .strip_prefix(',')
            .filter(|rest| !rest.is_empty())
            .ok_or("']' is missing, and there may be no blanks in front of it")?;
    }
}

/// `[v1:|v2:|any:]IP[:PORT][/NONCE]` at the start of a text, the IP in brackets or not; `None` if
/// there is no IP address.
fn parse_addr(
    text: &str,
    default_type: AddrType,
) -> Result<Option<(EntityAddr, &str)>, &'static str> {
    let (addr_type, rest) =
        [("v1:", AddrType::LEGACY), ("v2:", AddrType::MSGR2), ("any:", AddrType::ANY)]
            .into_iter()
            .find_map(|(prefix, t)| Some((t, text.strip_prefix(prefix)?)))
            .unwrap_or((default_type, text));
    let (rest, brackets) = match rest.strip_prefix('[') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let v4 = leading(rest, |c| c == '.' || c.is_ascii_digit());
    let v6 = leading(rest, |c| c == ':' || c.is_ascii_hexdigit());
    let (ip, mut rest) = if let Ok(ip) = v4.parse::<Ipv4Addr>() {
        (IpAddr::from(ip), &rest[v4.len()..])
    } else if let Ok(ip) = v6.parse::<Ipv6Addr>() {
        (IpAddr::from(ip), &rest[v6.len()..])
    } else {
        return Ok(None);
    };
    if brackets {
        let Some(behind) = rest.strip_prefix(']') else { return Ok(None) };
        rest = behind;
    }
    let mut port = 0;
    if let Some(behind) = rest.strip_prefix(':') {
        // Ceph cuts what is too large for a port to 16 bits and goes elsewhere.
        (port, rest) = parse_number(behind).ok_or("a port is at most 65535")?;
    }
    let mut nonce = 0;
    if let Some(behind) = rest.strip_prefix('/') {
        (nonce, rest) = parse_number(behind).ok_or("a nonce is at most 4294967295")?;
    }
    let sockaddr = Some(SocketAddr::new(ip, port));
    Ok(Some((EntityAddr { addr_type, nonce, sockaddr }, rest)))
}

/// Leading digits, none of them meaning 0; `None` if the number is too large.
fn parse_number<T: std::str::FromStr + Default>(text: &str) -> Option<(T, &str)> {
    let digits = leading(text, |c| c.is_ascii_digit());
    let number = if digits.is_empty() { T::default() } else { digits.parse().ok()? };
    Some((number, &text[digits.len()..]))
}

fn leading(text: &str, of: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !of(c)).unwrap_or(text.len())]
}

/// `NAME[:PORT]` or `[NAME]:PORT`; a name says nothing about the protocol.
fn parse_host(item: &str) -> Result<MonAddr, &'static str> {
    let (host, port) = match item.split_once(':') {
        Some((host, port)) => (host, port),
        None => (item, ""),
    };
    let port = match port {
        "" => 0,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map_err(|_| "a port is at most 65535")?
        }
        _ => return Err("neither an address nor NAME:PORT"),
    };
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || host == "-" || !host.chars().all(is_name) {
        return Err("neither an address nor a host name");
    }
    Ok(MonAddr::Host { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests;
