//! Messenger v2 as bytes: banners, frames of revision 2.1 with checksums, and a socket of either side,
//! written from the byte tables of the protocol over `std::net` like [`super::acceptor`]. Who is asked
//! to authenticate shows, or takes, `none`: so no frame is signed or sealed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use ceph_msgr::msgr::{Peer, Policy};
use ceph_msgr::types::EntityAddr;

use super::acceptor::{Acceptor, FEATURES, crc32c_from, peer_at};
use super::dialler::{TYPE_CLIENT, TYPE_OSD, dial, none_authorizer};

/// What a 16.2.15 daemon sends: revision 1 supported, nothing required.
pub(crate) const BANNER_V2: &[u8; 26] = b"ceph v2\n\x10\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

pub(crate) const HELLO: u8 = 1;
pub(crate) const AUTH_REQUEST: u8 = 2;
pub(crate) const AUTH_BAD_METHOD: u8 = 3;
pub(crate) const AUTH_REPLY_MORE: u8 = 4;
pub(crate) const AUTH_REQUEST_MORE: u8 = 5;
pub(crate) const AUTH_DONE: u8 = 6;
pub(crate) const AUTH_SIGNATURE: u8 = 7;
pub(crate) const CLIENT_IDENT: u8 = 8;
pub(crate) const SERVER_IDENT: u8 = 9;
pub(crate) const IDENT_MISSING_FEATURES: u8 = 10;
pub(crate) const SESSION_RECONNECT: u8 = 11;
pub(crate) const SESSION_RESET: u8 = 12;
pub(crate) const SESSION_RETRY: u8 = 13;
pub(crate) const SESSION_RETRY_GLOBAL: u8 = 14;
pub(crate) const SESSION_RECONNECT_OK: u8 = 15;
pub(crate) const WAIT_V2: u8 = 16;
pub(crate) const MESSAGE: u8 = 17;
pub(crate) const KEEPALIVE2_V2: u8 = 18;
pub(crate) const KEEPALIVE2_ACK_V2: u8 = 19;
pub(crate) const ACK_V2: u8 = 20;

/// Mode CRC, and the flag of a lossy session.
pub(crate) const CRC: u32 = 1;
pub(crate) const LOSSY: u64 = 1;

/// A frame whose checksums were right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct V2Frame {
    pub(crate) tag: u8,
    pub(crate) segments: Vec<Vec<u8>>,
    /// All bytes of it.
    pub(crate) raw: Vec<u8>,
}

impl V2Frame {
    /// The payload of a control frame.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.segments[0]
    }
}

/// The preamble: tag, number of segments, lengths and alignments, flags, crc with seed 0.
pub(crate) fn preamble(tag: u8, lens: &[u32]) -> Vec<u8> {
    let mut out = vec![tag, lens.len() as u8];
    for i in 0..4 {
        let alignment: u16 = [8, 8, 8, 4096][i];
        let (len, alignment) = lens.get(i).map_or((0, 0), |len| (*len, alignment));
        out.extend(len.to_le_bytes());
        out.extend(alignment.to_le_bytes());
    }
    out.extend([0, 0]);
    out.extend(crc32c_from(0, &out).to_le_bytes());
    assert_eq!(out.len(), 32);
    out
}

/// A whole frame; the last segment is not empty where there are several.
pub(crate) fn frame(tag: u8, segments: &[&[u8]]) -> Vec<u8> {
    let crc = |segment: &[u8]| crc32c_from(u32::MAX, segment).to_le_bytes();
    let lens: Vec<_> = segments.iter().map(|s| s.len() as u32).collect();
    let mut out = preamble(tag, &lens);
    out.extend(segments[0]);
    if !segments[0].is_empty() {
        out.extend(crc(segments[0]));
    }
    if segments.len() > 1 {
        segments[1..].iter().for_each(|s| out.extend(*s));
        out.push(0xe);
        (1..4).for_each(|i| out.extend(segments.get(i).map_or([0; 4], |s| crc(s))));
    }
    out
}

/// The same in revision 2.0: no checksum behind segment 0, and those of all four in an epilogue that
/// every frame has, behind late flags of 0.
pub(crate) fn frame_rev0(tag: u8, segments: &[&[u8]]) -> Vec<u8> {
    let lens: Vec<_> = segments.iter().map(|s| s.len() as u32).collect();
    let mut out = preamble(tag, &lens);
    segments.iter().for_each(|s| out.extend(*s));
    out.push(0);
    for i in 0..4 {
        let crc = segments.get(i).map_or(0, |s| crc32c_from(u32::MAX, s));
        out.extend(crc.to_le_bytes());
    }
    out
}

/// The next frame; the error of the socket, or `InvalidData` where it is none.
pub(crate) fn read_frame(from: &mut impl Read) -> io::Result<V2Frame> {
    let mut raw = Vec::new();
    let mut read = |n: usize| {
        let at = raw.len();
        raw.resize(at + n, 0);
        from.read_exact(&mut raw[at..]).map(|()| raw[at..].to_vec())
    };
    let head = read(32)?;
    let tag = head[0];
    let lens: Vec<_> =
        (0..head[1].into()).map(|i: usize| u32_at(&head, 2 + 6 * i) as usize).collect();
    if preamble(tag, &lens.iter().map(|n| *n as u32).collect::<Vec<_>>())[..26] != head[..26] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut segments = vec![read(lens[0])?];
    let mut crcs = match lens[0] {
        0 => Vec::new(),
        _ => vec![u32_at(&read(4)?, 0)],
    };
    for len in &lens[1..] {
        segments.push(read(*len)?);
    }
    if lens.len() > 1 {
        let epilogue = read(13)?;
        assert_eq!(epilogue[0] & 0xf, 0xe, "the frame was taken back");
        crcs.extend((1..lens.len()).map(|i| u32_at(&epilogue, 4 * i - 3)));
    }
    assert_eq!(u32_at(&head, 28), crc32c_from(0, &head[..28]), "crc of the preamble");
    let skipped = segments.len() - crcs.len();
    for (segment, crc) in segments[skipped..].iter().zip(crcs) {
        assert_eq!(crc32c_from(u32::MAX, segment), crc, "crc of a segment of tag {tag}");
    }
    Ok(V2Frame { tag, segments, raw })
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// An address of messenger v2: marker, version 1, compat 1, length, type, nonce, length of the
/// sockaddr, family in little-endian, port and IP address in network order, and of IPv6 flow label and
/// scope.
pub(crate) fn addr_v2(addr: SocketAddr, nonce: u32) -> Vec<u8> {
    let mut sockaddr = Vec::new();
    match addr {
        SocketAddr::V4(v4) => {
            sockaddr.extend(2u16.to_le_bytes());
            sockaddr.extend(v4.port().to_be_bytes());
            sockaddr.extend(v4.ip().octets());
            sockaddr.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            sockaddr.extend(10u16.to_le_bytes());
            sockaddr.extend(v6.port().to_be_bytes());
            sockaddr.extend([0; 4]);
            sockaddr.extend(v6.ip().octets());
            sockaddr.extend(v6.scope_id().to_le_bytes());
        }
    }
    let mut out = vec![1, 1, 1];
    out.extend((12 + sockaddr.len() as u32).to_le_bytes());
    out.extend(2u32.to_le_bytes());
    out.extend(nonce.to_le_bytes());
    out.extend((sockaddr.len() as u32).to_le_bytes());
    out.extend(sockaddr);
    out
}

/// Several: marker 2, count, addresses.
pub(crate) fn addrvec(addrs: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![2];
    out.extend((addrs.len() as u32).to_le_bytes());
    addrs.iter().for_each(|addr| out.extend(addr));
    out
}

/// `u32` length and bytes.
fn blob(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

/// HELLO: `u8` type of its sender, address of its receiver.
pub(crate) fn hello_v2(entity_type: u32, peer_addr: SocketAddr) -> Vec<u8> {
    [&[entity_type as u8][..], &addr_v2(peer_addr, 0)].concat()
}

/// AUTH_REQUEST of `client.admin`.
pub(crate) fn auth_request() -> Vec<u8> {
    auth_request_of(TYPE_CLIENT, "admin")
}

/// AUTH_REQUEST: `u32` method (none), modes, and an authorizer.
pub(crate) fn auth_request_of(entity_type: u32, id: &str) -> Vec<u8> {
    let authorizer = none_authorizer(entity_type, id, 4100);
    [&1u32.to_le_bytes()[..], &1u32.to_le_bytes(), &CRC.to_le_bytes(), &blob(&authorizer)].concat()
}

/// AUTH_DONE: `u64` global_id, `u32` mode, payload.
pub(crate) fn auth_done(global_id: u64, mode: u32) -> Vec<u8> {
    [&global_id.to_le_bytes()[..], &mode.to_le_bytes(), &blob(&[])].concat()
}

/// What CLIENT_IDENT says.
#[derive(Clone, Debug)]
pub(crate) struct Ident {
    pub(crate) addr: SocketAddr,
    pub(crate) nonce: u32,
    pub(crate) target: SocketAddr,
    pub(crate) target_nonce: u32,
    pub(crate) gid: i64,
    pub(crate) global_seq: u64,
    pub(crate) features: u64,
    pub(crate) flags: u64,
    pub(crate) cookie: u64,
}

impl Ident {
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut out = addrvec(&[addr_v2(self.addr, self.nonce)]);
        out.extend(addr_v2(self.target, self.target_nonce));
        out.extend(self.gid.to_le_bytes());
        out.extend(numbers(&[self.global_seq, self.features, 1 << 59, self.flags, self.cookie]));
        out
    }
}

/// SERVER_IDENT: addresses, `i64` number, global_seq, supported and required features, flags, cookie.
pub(crate) fn server_ident(addrs: &[Vec<u8>], gid: i64, flags: u64, cookie: u64) -> Vec<u8> {
    let mut out = addrvec(addrs);
    out.extend(gid.to_le_bytes());
    out.extend(numbers(&[1, FEATURES, 1 << 59, flags, cookie]));
    out
}

/// A message with a front and data, of which one at least is not empty.
pub(crate) fn message_v2(seq: u64, msg_type: u16, front: &[u8], data: &[u8]) -> Vec<u8> {
    let header = header2(seq, msg_type);
    match data.is_empty() {
        true => frame(MESSAGE, &[&header, front]),
        false => frame(MESSAGE, &[&header, front, &[], data]),
    }
}

/// Segment 0 of a message.
pub(crate) fn header2(seq: u64, msg_type: u16) -> Vec<u8> {
    let mut h = numbers(&[seq, 0]);
    h.extend(msg_type.to_le_bytes());
    h.extend(127u16.to_le_bytes()); // priority
    h.extend(1u16.to_le_bytes()); // version
    h.extend([0; 6]); // padding in front of the data, data_off
    h.extend(0u64.to_le_bytes()); // ack_seq
    h.push(1); // COMPLETE
    h.extend(1u16.to_le_bytes()); // compat_version
    h.extend([0; 2]);
    assert_eq!(h.len(), 41);
    h
}

/// One socket of messenger v2, of either side.
#[derive(Debug)]
pub(crate) struct V2Wire {
    pub(crate) stream: TcpStream,
}

impl Acceptor {
    /// Whom to dial with messenger v2: `osd.3`, nonce 0.
    pub(crate) fn peer_v2(&self, policy: Policy) -> Peer {
        Peer { addr: EntityAddr::msgr2(self.addr(), 0), ..peer_at(self.addr(), policy) }
    }

    /// The next client, which is to speak messenger v2.
    pub(crate) fn accept_v2(&self) -> V2Wire {
        V2Wire { stream: self.accept().into_stream() }
    }

    /// The same with a session opened, as `osd.3`.
    #[track_caller]
    pub(crate) fn open_v2(&self, lossy: bool) -> V2Wire {
        let mut wire = self.accept_v2();
        wire.let_in(TYPE_OSD);
        wire.expect(CLIENT_IDENT);
        let (flags, cookie) = if lossy { (LOSSY, 0) } else { (0, 77) };
        wire.put(SERVER_IDENT, &server_ident(&[addr_v2(self.addr(), 0)], 3, flags, cookie));
        wire
    }
}

/// A socket to there, on which nothing is said yet.
#[track_caller]
pub(crate) fn dial_v2(addr: SocketAddr) -> V2Wire {
    V2Wire { stream: dial(addr).into_stream() }
}

impl V2Wire {
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the other side takes it");
    }

    #[track_caller]
    pub(crate) fn put(&mut self, tag: u8, payload: &[u8]) {
        self.send(&frame(tag, &[payload]));
    }

    /// Exactly `n` bytes.
    #[track_caller]
    pub(crate) fn recv(&mut self, n: usize) -> Vec<u8> {
        let mut out = vec![0; n];
        self.stream.read_exact(&mut out).unwrap_or_else(|e| panic!("{n} bytes: {e}"));
        out
    }

    pub(crate) fn try_frame(&mut self) -> io::Result<V2Frame> {
        read_frame(&mut self.stream)
    }

    #[track_caller]
    pub(crate) fn frame(&mut self) -> V2Frame {
        self.try_frame().unwrap_or_else(|e| panic!("no frame: {e}"))
    }

    /// A frame of that tag.
    #[track_caller]
    pub(crate) fn expect(&mut self, tag: u8) -> V2Frame {
        let frame = self.frame();
        assert_eq!(frame.tag, tag, "{frame:?}");
        frame
    }

    /// Banners and HELLOs, as an entity of that type.
    #[track_caller]
    pub(crate) fn hellos_v2(&mut self, own: u32) -> V2Frame {
        self.send(BANNER_V2);
        assert_eq!(self.recv(26), BANNER_V2);
        let peer = self.stream.peer_addr().expect("it is connected");
        self.put(HELLO, &hello_v2(own, peer));
        self.expect(HELLO)
    }

    /// The accepting side up to the signatures: who dials is let in.
    #[track_caller]
    pub(crate) fn let_in(&mut self, own: u32) {
        self.hellos_v2(own);
        self.expect(AUTH_REQUEST);
        self.put(AUTH_DONE, &auth_done(4100, CRC));
        self.put(AUTH_SIGNATURE, &[0; 32]);
        assert_eq!(self.expect(AUTH_SIGNATURE).payload(), [0; 32]);
    }

    /// The dialling side up to the signatures, as `client.admin`.
    #[track_caller]
    pub(crate) fn log_in(&mut self) {
        self.log_in_as(TYPE_CLIENT, "admin");
    }

    #[track_caller]
    pub(crate) fn log_in_as(&mut self, entity_type: u32, id: &str) {
        self.hellos_v2(entity_type);
        self.put(AUTH_REQUEST, &auth_request_of(entity_type, id));
        self.expect(AUTH_DONE);
        self.put(AUTH_SIGNATURE, &[0; 32]);
        assert_eq!(self.expect(AUTH_SIGNATURE).payload(), [0; 32]);
    }

    /// A new session, as a client.
    #[track_caller]
    pub(crate) fn open_session_v2(&mut self, nonce: u32, target_nonce: u32) -> V2Frame {
        self.log_in();
        let ident = self.ident(nonce, target_nonce);
        self.put(CLIENT_IDENT, &ident.payload());
        self.expect(SERVER_IDENT)
    }

    /// What a client says of itself that dials that daemon.
    pub(crate) fn ident(&self, nonce: u32, target_nonce: u32) -> Ident {
        Ident {
            addr: self.stream.local_addr().expect("it is connected"),
            nonce,
            target: self.stream.peer_addr().expect("it is connected"),
            target_nonce,
            gid: 4100,
            global_seq: 1,
            features: FEATURES,
            flags: LOSSY,
            cookie: 0,
        }
    }

    /// Waits until the other side has closed its end.
    #[track_caller]
    pub(crate) fn wait_closed(&mut self) {
        let mut buf = [0; 4096];
        loop {
            match self.stream.read(&mut buf) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return,
                Err(e) => panic!("the other side does not close: {e}"),
            }
        }
    }
}
