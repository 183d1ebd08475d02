use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

use byteorder::{BigEndian, ByteOrder, LittleEndian};

use super::Features;
use crate::denc::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Length of an address as messenger v1 sends it in its hello.
pub const LEGACY_ADDR_LEN: usize = 136;

/// `entity_addr_t::type_t`: which protocol is spoken at an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddrType(pub u32);

impl AddrType {
    /// No address.
    pub const NONE: Self = Self(0);
    /// Messenger v1.
    pub const LEGACY: Self = Self(1);
    /// Messenger v2.
    pub const MSGR2: Self = Self(2);
    /// A client that speaks either.
    pub const ANY: Self = Self(3);

    fn prefix(self) -> &'static str {
        match self {
            Self::NONE => "-",
            Self::LEGACY => "v1",
            Self::MSGR2 => "v2",
            Self::ANY => "any",
            _ => "???",
        }
    }
}

impl fmt::Debug for AddrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix() {
            "???" => write!(f, "{}", self.0),
            name => f.write_str(name),
        }
    }
}

/// `entity_addr_t`: where a peer is, and which instance of it (`src/msg/msg_types.h`).
///
/// Two processes at one IP address differ only by the nonce. Printed as Ceph does:
/// `v1:127.0.0.1:6789/0`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntityAddr {
    /// The protocol spoken there.
    pub addr_type: AddrType,
    /// The instance: 0 for a monitor, random for a client, from the map for others.
    pub nonce: u32,
    /// IP address and port; `None` for an address of an unknown family, which Ceph takes as blank.
    pub sockaddr: Option<SocketAddr>,
}

impl EntityAddr {
    /// No address at all.
    pub const NONE: Self = Self { addr_type: AddrType::NONE, nonce: 0, sockaddr: None };

    /// An address of messenger v1.
    pub fn legacy(sockaddr: SocketAddr, nonce: u32) -> Self {
        Self { addr_type: AddrType::LEGACY, nonce, sockaddr: Some(sockaddr) }
    }

    /// An address of messenger v2.
    pub fn msgr2(sockaddr: SocketAddr, nonce: u32) -> Self {
        Self { addr_type: AddrType::MSGR2, nonce, sockaddr: Some(sockaddr) }
    }

    /// Whether there is no IP address, or only the unspecified one.
    pub fn is_blank_ip(&self) -> bool {
        self.sockaddr.is_none_or(|a| a.ip().is_unspecified())
    }

    /// With the IP address of `other`, where it has none itself.
    #[must_use]
    pub(crate) fn with_ip_of(self, other: Self) -> Self {
        match other.sockaddr {
            Some(mut sockaddr) if self.is_blank_ip() => {
                sockaddr.set_port(self.port());
                Self { sockaddr: Some(sockaddr), ..self }
            }
            _ => self,
        }
    }

    /// IP address and port: flow label and scope of an IPv6 address do not tell peers apart.
    pub(crate) fn place(&self) -> Option<(IpAddr, u16)> {
        self.sockaddr.map(|a| (a.ip(), a.port()))
    }

    /// The port, 0 where there is none.
    pub fn port(&self) -> u16 {
        self.sockaddr.map_or(0, |a| a.port())
    }

    /// The 136 bytes of messenger v1's hello: `u32` 0, `u32` nonce, a `sockaddr_storage` with
    /// its family in **big-endian** (the kernel's `ceph_encode_banner_addr`).
    pub fn encode_legacy(&self) -> [u8; LEGACY_ADDR_LEN] {
        let mut out = [0; LEGACY_ADDR_LEN];
        LittleEndian::write_u32(&mut out[4..8], self.nonce);
        // A blank address goes out as IPv4's, as Ceph's own clients send theirs.
        let addr =
            self.sockaddr.unwrap_or_else(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
        write_sockaddr(&mut out[8..], addr);
        out[8..10].reverse();
        out
    }

    /// Reads the 136 bytes of messenger v1's hello; the type becomes `LEGACY`.
    pub fn decode_legacy(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("legacy entity_addr_t");
        match r.u32()? {
            0 => {}
            other => return Err(r.error(DecodeErrorKind::BadValue(other.into()))),
        }
        let nonce = r.u32()?;
        let mut storage = r.array::<128>()?;
        storage[..2].reverse();
        Ok(Self { addr_type: AddrType::LEGACY, nonce, sockaddr: read_sockaddr(&storage) })
    }

    /// The body of an encoding with marker 1, behind that marker.
    fn decode_addr2(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.versioned("entity_addr_t", 1, |r, _| {
            let addr_type = AddrType(r.u32()?);
            let nonce = r.u32()?;
            let sockaddr = read_sockaddr(r.blob()?);
            Ok(Self { addr_type, nonce, sockaddr })
        })
    }
}

fn write_sockaddr(out: &mut [u8], addr: SocketAddr) -> usize {
    BigEndian::write_u16(&mut out[2..4], addr.port());
    match addr {
        SocketAddr::V4(a) => {
            LittleEndian::write_u16(out, AF_INET);
            out[4..8].copy_from_slice(&a.ip().octets());
            16
        }
        SocketAddr::V6(a) => {
            LittleEndian::write_u16(out, AF_INET6);
            // As the kernel's sockaddr_in6 has it in memory: what std gives is already that.
            LittleEndian::write_u32(&mut out[4..8], a.flowinfo());
            out[8..24].copy_from_slice(&a.ip().octets());
            LittleEndian::write_u32(&mut out[24..28], a.scope_id());
            28
        }
    }
}

fn read_sockaddr(b: &[u8]) -> Option<SocketAddr> {
    let port = BigEndian::read_u16(b.get(2..4)?);
    match LittleEndian::read_u16(b) {
        AF_INET => {
            let ip: [u8; 4] = b.get(4..8)?.try_into().ok()?;
            Some(SocketAddrV4::new(ip.into(), port).into())
        }
        AF_INET6 => {
            let ip: [u8; 16] = b.get(8..24)?.try_into().ok()?;
            let flowinfo = LittleEndian::read_u32(&b[4..8]);
            let scope = b.get(24..28).map_or(0, LittleEndian::read_u32);
            Some(SocketAddrV6::new(ip.into(), port, flowinfo, scope).into())
        }
        _ => None,
    }
}

impl Encode for EntityAddr {
    fn encode(&self, w: &mut Writer) {
        if !w.features().has(Features::MSG_ADDR2) {
            w.bytes(&self.encode_legacy());
            return;
        }
        let addr_type = match self.addr_type {
            AddrType::ANY if !w.features().has(Features::SERVER_NAUTILUS) => AddrType::LEGACY,
            t => t,
        };
        w.u8(1).versioned(1, 1, |w| {
            w.u32(addr_type.0).u32(self.nonce);
            let mut sockaddr = [0; 28];
            let len = self.sockaddr.map_or(0, |a| write_sockaddr(&mut sockaddr, a));
            w.blob(&sockaddr[..len]);
        });
    }
}

impl Decode for EntityAddr {
    /// Marker, version, compat, length, type, nonce, length of the sockaddr.
    const MIN: usize = 19;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match r.peek_u8()? {
            // Ceph looks at the first byte only and skips the three behind it.
            0 => {
                r.bytes(4)?;
                let nonce = r.u32()?;
                let mut storage = r.array::<128>()?;
                storage[..2].reverse();
                Ok(Self { addr_type: AddrType::LEGACY, nonce, sockaddr: read_sockaddr(&storage) })
            }
            1 => {
                r.u8()?;
                Self::decode_addr2(r)
            }
            m => Err(r.what("entity_addr_t").error(DecodeErrorKind::BadValue(m.into()))),
        }
    }
}

impl fmt::Display for EntityAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.addr_type == AddrType::NONE {
            return f.write_str("-");
        }
        write!(f, "{}:", self.addr_type.prefix())?;
        match self.sockaddr {
            Some(a) => write!(f, "{a}/{}", self.nonce),
            None => write!(f, ":/{}", self.nonce),
        }
    }
}

impl fmt::Debug for EntityAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an address as Ceph writes them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address: [v1:|v2:|any:]IP[:PORT][/NONCE] is expected")]
pub struct AddrParseError(pub String);

impl FromStr for EntityAddr {
    type Err = AddrParseError;

    /// `[v1:|v2:|any:]IP[:PORT][/NONCE]`; the type is `ANY` without a prefix, port and nonce 0.
    /// An IPv6 address with a port stands in brackets.
    fn from_str(s: &str) -> Result<Self, AddrParseError> {
        let bad = || AddrParseError(s.to_owned());
        let (addr_type, rest) = [AddrType::LEGACY, AddrType::MSGR2, AddrType::ANY]
            .into_iter()
            .find_map(|t| Some((t, s.strip_prefix(t.prefix())?.strip_prefix(':')?)))
            .unwrap_or((AddrType::ANY, s));
        let (host, nonce) = match rest.rsplit_once('/') {
            Some((host, nonce)) => (host, nonce.parse().map_err(|_| bad())?),
            None => (rest, 0),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let sockaddr = host
            .parse::<SocketAddr>()
            .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)))
            .map_err(|_| bad())?;
        Ok(Self { addr_type, nonce, sockaddr: Some(sockaddr) })
    }
}

/// `entity_addrvec_t`: the addresses of one peer, one for each protocol that it speaks.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct EntityAddrVec(pub Vec<EntityAddr>);

impl EntityAddrVec {
    /// The address of messenger v1, if there is one.
    pub fn legacy(&self) -> Option<EntityAddr> {
        self.of_type(AddrType::LEGACY)
    }

    /// By which a peer is known that speaks messenger v2: its address of that, or a client's of either.
    pub fn msgr2_or_first(&self) -> Option<EntityAddr> {
        self.of_type(AddrType::MSGR2).or_else(|| self.0.first().copied())
    }

    /// The first address of that type.
    pub fn of_type(&self, addr_type: AddrType) -> Option<EntityAddr> {
        self.0.iter().copied().find(|a| a.addr_type == addr_type)
    }
}

impl From<EntityAddr> for EntityAddrVec {
    fn from(addr: EntityAddr) -> Self {
        Self(vec![addr])
    }
}

impl Encode for EntityAddrVec {
    /// Marker 2, `u32` count, the addresses; for a peer without MSG_ADDR2 only the 136 bytes of
    /// the address of messenger v1.
    fn encode(&self, w: &mut Writer) {
        if w.features().has(Features::MSG_ADDR2) {
            w.u8(2).put(&self.0);
        } else {
            w.bytes(&self.legacy().unwrap_or(EntityAddr::NONE).encode_legacy());
        }
    }
}

impl Decode for EntityAddrVec {
    const MIN: usize = 5;
    /// A lone address in either encoding is a vector of one.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match r.peek_u8()? {
            0 | 1 => Ok(r.get::<EntityAddr>()?.into()),
            2 => {
                r.u8()?;
                r.get().map(Self)
            }
            m => Err(r.what("entity_addrvec_t").error(DecodeErrorKind::BadValue(m.into()))),
        }
    }
}

impl fmt::Display for EntityAddrVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => one.fmt(f),
            all => {
                f.write_str("[")?;
                for (i, addr) in all.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    addr.fmt(f)?;
                }
                f.write_str("]")
            }
        }
    }
}

impl fmt::Debug for EntityAddrVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    #[test]
    fn the_hello_of_a_live_monitor() {
        // 127.0.0.1:40001, nonce 0, as a 16.2.15 monitor sent it.
        let mut wire = hex("00000000 00000000 0002 9c41 7f000001");
        wire.resize(LEGACY_ADDR_LEN, 0);
        let addr = EntityAddr::decode_legacy(&mut Reader::new(&wire)).unwrap();
        assert_eq!(addr.to_string(), "v1:127.0.0.1:40001/0");
        assert_eq!(addr.encode_legacy(), wire[..]);
        assert_eq!(EntityAddr::from_bytes(&wire), Ok(addr));
    }

    #[test]
    fn a_typed_address_in_the_hello_is_refused() {
        let mut wire = vec![0; LEGACY_ADDR_LEN];
        wire[0] = 1;
        let e = EntityAddr::decode_legacy(&mut Reader::new(&wire)).unwrap_err();
        assert_eq!(e.kind, DecodeErrorKind::BadValue(1));
    }

    #[test]
    fn the_address_vector_of_a_live_monitor() {
        let wire = hex("02 02000000
             01 01 01 1c000000 02000000 00000000 10000000 0200 9c40 7f000001 0000000000000000
             01 01 01 1c000000 01000000 00000000 10000000 0200 9c41 7f000001 0000000000000000");
        let v = EntityAddrVec::from_bytes(&wire).unwrap();
        assert_eq!(v.to_string(), "[v2:127.0.0.1:40000/0,v1:127.0.0.1:40001/0]");
        assert_eq!(v.to_bytes(Features::ALL), wire);
        assert_eq!(v.to_bytes(Features::NONE), v.legacy().unwrap().encode_legacy());
        for n in 0..wire.len() {
            assert!(EntityAddrVec::from_bytes(&wire[..n]).is_err(), "{n} bytes");
        }
    }

    #[test]
    fn ipv6_and_no_address() {
        let wire = hex("0101012800000002000000050000001c0000000a001a9000000000
             fe80000000000000000000000001000200000000");
        let addr = EntityAddr::from_bytes(&wire).unwrap();
        assert_eq!(addr.to_string(), "v2:[fe80::1:2]:6800/5");
        assert_eq!(addr.to_bytes(Features::ALL), wire);
        let none = hex("0101010c000000000000000000000000000000");
        assert_eq!(EntityAddr::from_bytes(&none), Ok(EntityAddr::NONE));
        assert_eq!(EntityAddr::NONE.to_bytes(Features::ALL), none);
    }

    #[test]
    fn a_vector_may_be_one_bare_address_and_has_no_other_marker() {
        let one = hex("0101011c00000002000000090000001000000002000ce40a0102030000000000000000");
        assert_eq!(EntityAddrVec::from_bytes(&one).unwrap().to_string(), "v2:10.1.2.3:3300/9");
        let e = EntityAddrVec::from_bytes(&[3, 0, 0, 0, 0]).unwrap_err();
        assert_eq!(e.kind, DecodeErrorKind::BadValue(3));
    }

    #[test]
    fn type_any_is_sent_as_legacy_to_peers_before_nautilus() {
        let any: EntityAddr = "10.0.0.1:1/2".parse().unwrap();
        let old = Features::NONE.with(Features::MSG_ADDR2);
        let read = EntityAddr::from_bytes(&any.to_bytes(old)).unwrap();
        assert_eq!(read.addr_type, AddrType::LEGACY);
        assert_eq!(EntityAddr::from_bytes(&any.to_bytes(Features::ALL)), Ok(any));
    }

    #[test]
    fn text_forms() {
        for (text, shown) in [
            ("v1:1.2.3.4:5/6", "v1:1.2.3.4:5/6"),
            ("1.2.3.4", "any:1.2.3.4:0/0"),
            ("v2:[::1]:3300", "v2:[::1]:3300/0"),
            ("::1", "any:[::1]:0/0"),
            ("[::1]", "any:[::1]:0/0"),
        ] {
            assert_eq!(text.parse::<EntityAddr>().unwrap().to_string(), shown);
        }
        for bad in ["", "v1:", "host:1", "1.2.3.4:99999", "1.2.3.4:1/x", "v3:1.2.3.4:1"] {
            assert!(bad.parse::<EntityAddr>().is_err(), "{bad}");
        }
    }
}
