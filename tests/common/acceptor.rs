//! A peer that does what a test says, step by step: the accepting side of messenger v1, written from
//! the byte tables of the protocol over `std::net`. It shares no code with the library, so that an
//! encoder and a decoder that are wrong in the same way are found.
//!
//! Nearly every test plays the peer on its own thread; the client's side has threads of its own.
//! All that waits here ends in a panic after half a minute.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use ceph_msgr::msgr::Peer;
use ceph_msgr::msgr::Policy;
use ceph_msgr::types::{EntityAddr, EntityName, EntityType};
use socket2::{Domain, SockRef, Socket, Type};

const PATIENCE: Duration = Duration::from_secs(30);

/// The first bytes of both ends: 9, with neither NUL nor newline.
pub(crate) const BANNER: &[u8; 9] = b"ceph v027";
/// What a 16.2.15 daemon supports.
pub(crate) const FEATURES: u64 = 0x3f01_cfbd_fffd_ffff;
pub(crate) const MSG_AUTH: u64 = 1 << 23;
pub(crate) const MSGR_KEEPALIVE2: u64 = 1 << 42;

/// `CEPH_MSGR_TAG_*`.
pub(crate) const READY: u8 = 1;
pub(crate) const RESETSESSION: u8 = 2;
pub(crate) const WAIT: u8 = 3;
pub(crate) const RETRY_SESSION: u8 = 4;
pub(crate) const RETRY_GLOBAL: u8 = 5;
pub(crate) const CLOSE: u8 = 6;
pub(crate) const MSG: u8 = 7;
pub(crate) const ACK: u8 = 8;
pub(crate) const KEEPALIVE: u8 = 9;
pub(crate) const BADPROTOVER: u8 = 10;
pub(crate) const BADAUTHORIZER: u8 = 11;
pub(crate) const MISSING_FEATURES: u8 = 12;
pub(crate) const SEQ: u8 = 13;
pub(crate) const KEEPALIVE2: u8 = 14;
pub(crate) const KEEPALIVE2_ACK: u8 = 15;

/// A port on which a peer can be dialled.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
}

impl Acceptor {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        // accept(2) honours it.
        let socket = SockRef::from(&listener);
        socket.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
        Self { listener }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    /// Whom to dial: `osd.3`, nonce 0.
    pub(crate) fn peer(&self, policy: Policy) -> Peer {
        peer_at(self.addr(), policy)
    }

    /// The next client.
    pub(crate) fn accept(&self) -> Wire {
        let (stream, _) = self.listener.accept().expect("a client dials");
        stream.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
        stream.set_write_timeout(Some(PATIENCE)).expect("SO_SNDTIMEO");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Wire { stream, addr: self.addr(), features: 0, read_ahead: Vec::new() }
    }

    /// The next client, with the session opened: new, lossy or not, and with SEQ.
    pub(crate) fn open(&self, lossy: bool) -> Wire {
        let mut wire = self.accept();
        wire.hellos();
        let connect = wire.read_connect();
        wire.open(&connect, lossy, 0);
        wire
    }
}

/// `osd.3` at that address.
pub(crate) fn peer_at(addr: SocketAddr, policy: Policy) -> Peer {
    let name = EntityName::new(EntityType::OSD, 3);
    Peer { name, addr: EntityAddr::legacy(addr, 0), policy }
}

/// A port that is taken, so that nobody else gets it, and on which nobody listens.
pub(crate) fn closed_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

/// A listener that accepts nothing and whose backlog is full drops every SYN, as a host does that
/// is not there.
pub(crate) fn deaf_port() -> (Socket, Vec<TcpStream>, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let mut backlog = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
        backlog.push(stream);
        assert!(backlog.len() < 100, "the backlog does not fill");
    }
    (socket, backlog, addr)
}

/// One socket of the accepting side.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    addr: SocketAddr,
    /// What both sides can do, once the session is open.
    features: u64,
    /// Bytes that [`Wire::drain`] took from the socket.
    read_ahead: Vec<u8>,
}

/// `ceph_msg_connect`, and the authorizer behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) features: u64,
    pub(crate) host_type: u32,
    pub(crate) global_seq: u32,
    pub(crate) connect_seq: u32,
    pub(crate) protocol_version: u32,
    pub(crate) authorizer_protocol: u32,
    pub(crate) flags: u8,
    pub(crate) authorizer: Vec<u8>,
}

/// `ceph_msg_connect_reply`, 26 bytes.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) tag: u8,
    pub(crate) features: u64,
    pub(crate) global_seq: u32,
    pub(crate) connect_seq: u32,
    pub(crate) protocol_version: u32,
    pub(crate) authorizer_len: u32,
    pub(crate) flags: u8,
}

impl Reply {
    pub(crate) fn new(tag: u8) -> Self {
        Self {
            tag,
            features: FEATURES,
            global_seq: 0,
            connect_seq: 0,
            protocol_version: 24,
            authorizer_len: 0,
            flags: 0,
        }
    }

    /// READY or SEQ in answer to that connect message.
    pub(crate) fn opens(tag: u8, connect: &Connect, lossy: bool) -> Self {
        let connect_seq = connect.connect_seq + 1;
        Self { global_seq: 1, connect_seq, flags: lossy.into(), ..Self::new(tag) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.tag];
        out.extend(self.features.to_le_bytes());
        out.extend(self.global_seq.to_le_bytes());
        out.extend(self.connect_seq.to_le_bytes());
        out.extend(self.protocol_version.to_le_bytes());
        out.extend(self.authorizer_len.to_le_bytes());
        out.push(self.flags);
        assert_eq!(out.len(), 26);
        out
    }
}

/// A message as it was on the wire; its checksums were right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Msg {
    pub(crate) seq: u64,
    pub(crate) tid: u64,
    pub(crate) msg_type: u16,
    pub(crate) front: Vec<u8>,
    pub(crate) middle: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// What a client sends in an open session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Msg(Msg),
    Ack(u64),
    Keepalive,
    Keepalive2([u8; 8]),
    Keepalive2Ack([u8; 8]),
    Close,
    /// A message whose footer lacks COMPLETE: the sender took it back half-way.
    Aborted,
}

impl Frame {
    #[track_caller]
    pub(crate) fn msg(self) -> Msg {
        match self {
            Self::Msg(msg) => msg,
            other => panic!("{other:?} where a message was expected"),
        }
    }
}

/// An IPv4 address in the legacy encoding, 136 bytes: `u32` 0, `u32` nonce, family and port in
/// big-endian, the address, zeros.
pub(crate) fn legacy_addr(addr: SocketAddr, nonce: u32) -> [u8; 136] {
    let SocketAddr::V4(v4) = addr else { panic!("{addr}: not IPv4") };
    let mut out = [0; 136];
    out[4..8].copy_from_slice(&nonce.to_le_bytes());
    out[8..10].copy_from_slice(&[0, 2]);
    out[10..12].copy_from_slice(&v4.port().to_be_bytes());
    out[12..16].copy_from_slice(&v4.ip().octets());
    out
}

/// CRC-32C as the messenger uses it: reflected 0x82f63b78, seed 0, nothing inverted.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_from(0, bytes)
}

/// The same with another seed, which the frames of messenger v2 have.
pub(crate) fn crc32c_from(seed: u32, bytes: &[u8]) -> u32 {
    static TABLE: std::sync::OnceLock<[u32; 256]> = std::sync::OnceLock::new();
    let table = TABLE.get_or_init(|| {
        std::array::from_fn(|i| {
            (0..8).fold(i as u32, |c, _| if c & 1 == 1 { (c >> 1) ^ 0x82f6_3b78 } else { c >> 1 })
        })
    });
    bytes.iter().fold(seed, |c, b| (c >> 8) ^ table[usize::from(c as u8 ^ b)])
}

/// A whole message: tag 7, header (53), segments, footer (21 with MSG_AUTH, else 13).
pub(crate) fn message(
    seq: u64,
    msg_type: u16,
    front: &[u8],
    data: &[u8],
    features: u64,
) -> Vec<u8> {
    answer(seq, 0, msg_type, front, data, features)
}

/// The same with the tid of what it answers.
fn answer(seq: u64, tid: u64, msg_type: u16, front: &[u8], data: &[u8], features: u64) -> Vec<u8> {
    let mut h = Vec::new();
    h.extend(seq.to_le_bytes());
    h.extend(tid.to_le_bytes());
    h.extend(msg_type.to_le_bytes());
    h.extend(127u16.to_le_bytes()); // priority
    h.extend(1u16.to_le_bytes()); // version
    h.extend((front.len() as u32).to_le_bytes());
    h.extend(0u32.to_le_bytes()); // middle_len
    h.extend((data.len() as u32).to_le_bytes());
    h.extend(0u16.to_le_bytes()); // data_off
    h.push(4); // src: osd.3
    h.extend(3u64.to_le_bytes());
    h.extend(1u16.to_le_bytes()); // compat_version
    h.extend([0, 0]); // reserved
    assert_eq!(h.len(), 49);
    h.extend(crc32c(&h).to_le_bytes());

    let mut out = vec![MSG];
    out.extend(h);
    out.extend(front);
    out.extend(data);
    out.extend(crc32c(front).to_le_bytes());
    out.extend([0; 4]);
    out.extend(crc32c(data).to_le_bytes());
    if features & MSG_AUTH != 0 {
        out.extend([0; 8]); // sig
    }
    out.push(1); // COMPLETE
    out
}

impl Wire {
    /// A socket that was dialled, to play a client on.
    pub(crate) fn dialled(stream: TcpStream, features: u64) -> Self {
        let addr = stream.local_addr().expect("it is connected");
        Self { stream, addr, features, read_ahead: Vec::new() }
    }

    /// Banner, own address, and the client's as it is seen here: 281 bytes.
    pub(crate) fn hello_bytes(&self) -> Vec<u8> {
        let mut out = BANNER.to_vec();
        out.extend(legacy_addr(self.addr, 0));
        out.extend(legacy_addr(self.stream.peer_addr().expect("it is connected"), 0));
        assert_eq!(out.len(), 281);
        out
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the client takes it");
    }

    /// Exactly `n` bytes, or the error of the socket; `UnexpectedEof` where it ends before.
    pub(crate) fn try_recv(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let ahead = n.min(self.read_ahead.len());
        let mut out: Vec<u8> = self.read_ahead.drain(..ahead).collect();
        out.resize(n, 0);
        self.stream.read_exact(&mut out[ahead..])?;
        Ok(out)
    }

    #[track_caller]
    pub(crate) fn recv(&mut self, n: usize) -> Vec<u8> {
        self.try_recv(n).unwrap_or_else(|e| panic!("{n} bytes of the client: {e}"))
    }

    /// The client's hello: banner and own address.
    #[track_caller]
    pub(crate) fn read_hello(&mut self) -> [u8; 136] {
        assert_eq!(self.recv(9), BANNER);
        let addr = self.recv(136);
        assert_eq!(addr[..4], [0; 4], "the type in the hello is 0");
        addr.try_into().expect("136 bytes")
    }

    /// Both hellos.
    #[track_caller]
    pub(crate) fn hellos(&mut self) {
        let hello = self.hello_bytes();
        self.send(&hello);
        self.read_hello();
    }

    #[track_caller]
    pub(crate) fn read_connect(&mut self) -> Connect {
        let b = self.recv(33);
        let u32_at = |at: usize| u32::from_le_bytes(b[at..at + 4].try_into().expect("4 bytes"));
        let authorizer = self.recv(u32_at(28) as usize);
        Connect {
            features: u64::from_le_bytes(b[..8].try_into().expect("8 bytes")),
            host_type: u32_at(8),
            global_seq: u32_at(12),
            connect_seq: u32_at(16),
            protocol_version: u32_at(20),
            authorizer_protocol: u32_at(24),
            flags: b[32],
            authorizer,
        }
    }

    #[track_caller]
    pub(crate) fn reply(&mut self, reply: &Reply) {
        self.send(&reply.bytes());
    }

    /// Opens the session with SEQ; `in_seq` is the last message that the acceptor has. Returns the
    /// client's.
    #[track_caller]
    pub(crate) fn open(&mut self, connect: &Connect, lossy: bool, in_seq: u64) -> u64 {
        self.open_with(&Reply::opens(SEQ, connect, lossy), connect, in_seq)
    }

    #[track_caller]
    pub(crate) fn open_with(&mut self, reply: &Reply, connect: &Connect, in_seq: u64) -> u64 {
        let mut out = reply.bytes();
        out.extend(in_seq.to_le_bytes());
        self.send(&out);
        self.features = reply.features & connect.features;
        u64::from_le_bytes(self.recv(8).try_into().expect("8 bytes"))
    }

    /// Opens the session with READY, as a peer without RECONNECT_SEQ does.
    #[track_caller]
    pub(crate) fn ready(&mut self, connect: &Connect, lossy: bool) {
        let reply = Reply::opens(READY, connect, lossy);
        self.reply(&reply);
        self.features = reply.features & connect.features;
    }

    /// The next thing that the client sends, or how the socket ended.
    pub(crate) fn try_frame(&mut self) -> io::Result<Frame> {
        let stamp = |w: &mut Self| w.try_recv(8).map(|b| b.try_into().expect("8 bytes"));
        Ok(match self.try_recv(1)?[0] {
            MSG => self.try_msg()?,
            ACK => Frame::Ack(u64::from_le_bytes(stamp(self)?)),
            KEEPALIVE => Frame::Keepalive,
            KEEPALIVE2 => Frame::Keepalive2(stamp(self)?),
            KEEPALIVE2_ACK => Frame::Keepalive2Ack(stamp(self)?),
            CLOSE => Frame::Close,
            other => panic!("the client sends tag {other}"),
        })
    }

    #[track_caller]
    pub(crate) fn frame(&mut self) -> Frame {
        self.try_frame().unwrap_or_else(|e| panic!("no frame of the client: {e}"))
    }

    /// The next message; acks before it are passed over.
    #[track_caller]
    pub(crate) fn msg(&mut self) -> Msg {
        loop {
            match self.frame() {
                Frame::Ack(_) => {}
                frame => return frame.msg(),
            }
        }
    }

    fn try_msg(&mut self) -> io::Result<Frame> {
        let h = self.try_recv(53)?;
        let u32_at = |at: usize| u32::from_le_bytes(h[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(h[at..at + 8].try_into().expect("8 bytes"));
        assert_eq!(u32_at(49), crc32c(&h[..49]), "crc of the header");
        let front = self.try_recv(u32_at(22) as usize)?;
        let middle = self.try_recv(u32_at(26) as usize)?;
        let data = self.try_recv(u32_at(30) as usize)?;
        let len = if self.features & MSG_AUTH != 0 { 21 } else { 13 };
        let f = self.try_recv(len)?;
        if f[len - 1] & 1 == 0 {
            return Ok(Frame::Aborted);
        }
        for (name, bytes, at) in [("front", &front, 0), ("middle", &middle, 4), ("data", &data, 8)]
        {
            let crc = u32::from_le_bytes(f[at..at + 4].try_into().expect("4 bytes"));
            assert_eq!(crc, crc32c(bytes), "crc of the {name}");
        }
        let msg_type = u16::from_le_bytes([h[16], h[17]]);
        Ok(Frame::Msg(Msg { seq: u64_at(0), tid: u64_at(8), msg_type, front, middle, data }))
    }

    /// Sends a message with that number.
    #[track_caller]
    pub(crate) fn send_msg(&mut self, seq: u64, msg_type: u16, front: &[u8], data: &[u8]) {
        let bytes = message(seq, msg_type, front, data, self.features);
        self.send(&bytes);
    }

    /// The same, as the answer to the message with that tid.
    #[track_caller]
    pub(crate) fn send_answer(&mut self, seq: u64, tid: u64, msg_type: u16, front: &[u8]) {
        let bytes = answer(seq, tid, msg_type, front, b"", self.features);
        self.send(&bytes);
    }

    #[track_caller]
    pub(crate) fn send_ack(&mut self, seq: u64) {
        let mut out = vec![ACK];
        out.extend(seq.to_le_bytes());
        self.send(&out);
    }

    #[track_caller]
    pub(crate) fn send_stamp(&mut self, tag: u8, stamp: [u8; 8]) {
        let mut out = vec![tag];
        out.extend(stamp);
        self.send(&out);
    }

    /// Waits until the client has closed its end.
    #[track_caller]
    pub(crate) fn wait_closed(&mut self) {
        let mut buf = [0; 4096];
        loop {
            match self.stream.read(&mut buf) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return,
                Err(e) => panic!("the client does not close: {e}"),
            }
        }
    }

    /// No more comes from here, and the client is told so; what it has sent stays readable.
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it is connected");
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The socket, to speak another protocol on it.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}
