//! A socket of messenger v2 that a test drives by hand, frame by frame.

use std::fmt::Write as _;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ceph_msgr::auth::{AuthConnector, AuthDone, ConMode};
use ceph_msgr::denc::Decode as _;
use ceph_msgr::messages::Body;
use ceph_msgr::msgr::v2::control::{
    AuthDoneFrame, AuthReplyMoreFrame, AuthRequestMoreFrame, AuthSignatureFrame, ClientIdentFrame,
    ControlFrame, HelloFrame, MsgHeader2, ServerIdentFrame,
};
use ceph_msgr::msgr::v2::{
    AuthSignatures, Banner, FrameRx, FrameTx, OutFrame, Read, Revision, Role, Tag, onwire_len,
    set_con_mode,
};
use ceph_msgr::msgr::{Fault, InBuf, Message, MsgHeader, OutKvec, Transport};
use ceph_msgr::types::{AddrType, EntityAddr, EntityName as PeerName, EntityType, Features, Seq};

/// Orders the attempts of this process.
pub(crate) static GLOBAL_SEQ: AtomicU64 = AtomicU64::new(1);

/// A blocking socket that keeps what went through it until somebody asks.
struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    sent: Vec<u8>,
}

impl Transport for Wire {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Nothing has come in time, and nobody here polls.
        let n = self.stream.read(buf).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => e,
        })?;
        self.received.extend_from_slice(&buf[..n]);
        Ok(n)
    }

    fn recv_spare(&mut self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let mut some = vec![0; max];
        let n = self.recv(&mut some)?;
        buf.extend_from_slice(&some[..n]);
        Ok(n)
    }

    fn send_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = bufs.iter().flat_map(|b| b.iter().copied()).collect();
        self.stream.write_all(&bytes)?;
        self.sent.extend_from_slice(&bytes);
        Ok(bytes.len())
    }
}

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) tag: Tag,
    payload: Vec<u8>,
    front: Bytes,
    data: Bytes,
}

impl Got {
    pub(crate) fn control<T: ControlFrame>(&self) -> T {
        assert_eq!(self.tag as u8, T::TAG, "{self:?}");
        let frame = T::from_payload(&self.payload).expect("a payload");
        assert_eq!(frame.to_payload(), self.payload);
        frame
    }

    fn header(&self) -> MsgHeader {
        assert_eq!(self.tag, Tag::Message, "{self:?}");
        let header = MsgHeader2::from_bytes(&self.payload).expect("a header");
        assert_eq!(header.to_array(), self.payload[..]);
        header.to_header(PeerName::new(EntityType::MON, 0))
    }

    fn message(&self) -> Message {
        let mut message = Message::new(0, self.front.clone()).with_data(self.data.clone());
        message.header = self.header();
        message
    }
}

/// A socket of messenger v2, driven by hand.
pub(crate) struct Link {
    pub(crate) own: EntityType,
    pub(crate) target: EntityAddr,
    local: SocketAddr,
    wire: Wire,
    in_buf: InBuf,
    tx: FrameTx,
    rx: FrameRx,
    secure: bool,
    /// The last numbers of both directions.
    out_seq: u64,
    in_seq: u64,
    /// Lines of the capture: its keys, and its frames.
    keys: String,
    record: String,
}

impl Link {
    /// Exchanges banners and HELLOs, as a client.
    pub(crate) fn dial(target: EntityAddr, peer_type: EntityType, supported: u64) -> Self {
        Self::dial_as(EntityType::CLIENT, target, peer_type, supported)
    }

    /// The same as another kind of daemon, which says how the peer treats the session.
    pub(crate) fn dial_as(
        own: EntityType,
        target: EntityAddr,
        peer_type: EntityType,
        supported: u64,
    ) -> Self {
        let to = target.sockaddr.expect("an address");
        let mut stream = TcpStream::connect(to).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let ours = Banner { supported, required: 0 };
        stream.write_all(&ours.encode()).expect("written");
        let mut theirs = [0; 26];
        stream.read_exact(&mut theirs).expect("read");
        let peer = Banner::decode(&theirs[10..]).expect("a banner");
        let revision = ours.agree(&peer).expect("a revision");
        let want = if supported == 0 { Revision::V2_0 } else { Revision::V2_1 };
        assert_eq!(revision, want);

        let (mut tx, mut rx) = (FrameTx::new(revision), FrameRx::new(revision, Role::Connecting));
        tx.transcript().add(&ours.encode()).expect("room");
        rx.transcript().add(&theirs).expect("room");
        let mut record = String::new();
        write_bytes(&mut record, '>', "banner", &ours.encode());
        write_bytes(&mut record, '<', "banner", &theirs);
        let local = stream.local_addr().expect("an address");
        let wire = Wire { stream, received: Vec::new(), sent: Vec::new() };
        let mut link = Self {
            own,
            target,
            local,
            wire,
            in_buf: InBuf::new(),
            tx,
            rx,
            secure: false,
            out_seq: 0,
            in_seq: 0,
            keys: String::new(),
            record,
        };
        link.put(&HelloFrame { entity_type: own, peer_addr: target });
        let hello: HelloFrame = link.get();
        let seen = EntityAddr { addr_type: AddrType::MSGR2, nonce: 0, sockaddr: Some(local) };
        assert_eq!(hello, HelloFrame { entity_type: peer_type, peer_addr: seen });
        link
    }

    pub(crate) fn add(&mut self, title: &str, frame: OutFrame<'_>) {
        let mut out = OutKvec::default();
        self.tx.add_frame(&mut out, frame).expect("a frame");
        assert!(out.write_to(&mut self.wire).expect("written"));
        write_bytes(&mut self.record, '>', title, &std::mem::take(&mut self.wire.sent));
    }

    pub(crate) fn put<T: ControlFrame>(&mut self, frame: &T) {
        let tag = Tag::try_from(T::TAG).expect("a tag");
        self.add(&tag.to_string(), OutFrame::control(tag, &frame.to_payload()));
    }

    /// Bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.wire.stream.write_all(bytes).expect("written");
    }

    pub(crate) fn send(&mut self, message: &Message) {
        self.out_seq += 1;
        let header = MsgHeader { seq: Seq(self.out_seq), ..message.header };
        let header2 = MsgHeader2::new(&header, Seq(self.in_seq)).to_array();
        let (front, data) = (message.front.clone(), message.data.clone());
        let frame = OutFrame::message(self.out_seq, &header2, front, Bytes::new(), data);
        self.add(&format!("MESSAGE {}", header.type_name()), frame);
    }

    pub(crate) fn get_any(&mut self) -> Result<Got, Fault> {
        let secure = self.secure;
        let got = loop {
            self.in_buf.readable();
            if let Some(Read::Frame(f)) = self.rx.read(&mut self.in_buf, &mut self.wire)? {
                let middle = f.middle.len() as u32;
                assert_eq!(middle, 0);
                break Got {
                    tag: f.tag,
                    payload: f.payload.to_vec(),
                    front: f.front,
                    data: f.data,
                };
            }
        };
        let lens = [got.payload.len(), got.front.len(), 0, got.data.len()].map(|n| n as u32);
        let len = onwire_len(self.rx.revision(), secure, lens);
        let rest = self.wire.received.split_off(len);
        let frame = std::mem::replace(&mut self.wire.received, rest);
        let mut title = got.tag.to_string();
        if got.tag == Tag::Message {
            let _ = write!(title, " {}", got.header().type_name());
        }
        write_bytes(&mut self.record, '<', &title, &frame);
        Ok(got)
    }

    pub(crate) fn get<T: ControlFrame>(&mut self) -> T {
        self.get_any().expect("a frame").control()
    }

    /// Sends a message, and reads the one that answers it.
    pub(crate) fn ask<T: Body>(&mut self, message: &Message) -> (T, Bytes) {
        self.send(message);
        let reply = self.get_any().expect("a frame").message();
        self.in_seq += 1;
        assert_eq!(reply.header.seq, Seq(self.in_seq));
        (T::from_message(&reply).expect("a body"), reply.data)
    }

    /// Logs in, or shows a ticket, and signs.
    pub(crate) fn authenticate(&mut self, mut connector: AuthConnector) -> AuthDone {
        self.put(&connector.get_auth_request().expect("a request"));
        let now = Instant::now();
        let done = loop {
            let got = self.get_any().expect("a frame");
            match got.tag {
                Tag::AuthBadMethod => {
                    let offer = connector.handle_auth_bad_method(&got.control(), now);
                    self.put(&offer.expect("another offer"));
                }
                Tag::AuthReplyMore => {
                    let more: AuthReplyMoreFrame = got.control();
                    let payload = connector.handle_auth_reply_more(&more.payload, now);
                    self.put(&AuthRequestMoreFrame { payload: payload.expect("an answer") });
                }
                _ => {
                    let AuthDoneFrame { global_id, con_mode, payload } = got.control();
                    let done = connector.handle_auth_done(global_id, con_mode, &payload, now);
                    break done.expect("let in");
                }
            }
        };
        let key = done.session_key.as_ref();
        let (received, sent) = (self.rx.transcript().take(), self.tx.transcript().take());
        let signatures = AuthSignatures::new(key, &received, &sent).expect("a key");
        let secret = done.connection_secret.as_ref().map_or(&[][..], |s| s.as_bytes());
        set_con_mode(&mut self.tx, &mut self.rx, done.mode, secret).expect("a secret");
        self.secure = done.mode == ConMode::Secure;
        let secret: String = secret.iter().map(|b| format!("{b:02x}")).collect();
        if let Some(key) = key {
            let _ = writeln!(self.keys, "session key: {}", key.to_base64().as_str());
        }
        if self.secure {
            let _ = writeln!(self.keys, "connection secret: {secret}");
        }
        self.put(&AuthSignatureFrame(signatures.ours()));
        let theirs: AuthSignatureFrame = self.get();
        signatures.check(&theirs.0).expect("the peer's signature");
        done
    }

    /// What to ask a new session with.
    pub(crate) fn client_ident(
        &self,
        addr: EntityAddr,
        flags: u64,
        cookie: u64,
    ) -> ClientIdentFrame {
        ClientIdentFrame {
            addrs: addr.into(),
            target_addr: self.target,
            gid: -1,
            global_seq: GLOBAL_SEQ.fetch_add(1, Relaxed),
            supported_features: Features::SUPPORTED,
            required_features: Features::NONE,
            flags,
            cookie,
        }
    }

    /// Opens a new session.
    pub(crate) fn open(&mut self, addr: EntityAddr, flags: u64, cookie: u64) -> ServerIdentFrame {
        let ident = self.client_ident(addr, flags, cookie);
        self.put(&ident);
        let server: ServerIdentFrame = self.get();
        assert!(server.addrs.0.contains(&self.target), "{server:?}");
        self.rx.set_ready();
        server
    }

    /// The session is open on this socket too, and the peer has so many of its messages.
    pub(crate) fn go_on(&mut self, out_seq: u64) {
        self.out_seq = out_seq;
        self.rx.set_ready();
    }

    /// Writes what went through the socket into that file of the directory that is asked for.
    pub(crate) fn keep(self, version: &str, name: &str) {
        let Some(dir) = std::env::var_os("CAPTURES") else { return };
        let Self { target, local, keys, record, .. } = self;
        let text = format!("# {version}\ndialled: {target}\nfrom: {local}\n{keys}{record}");
        std::fs::write(PathBuf::from(dir).join(format!("{name}.txt")), text).expect("written");
    }
}

/// `> HELLO` or `< HELLO`, and the bytes in lines that begin with a blank.
fn write_bytes(record: &mut String, way: char, title: &str, bytes: &[u8]) {
    let _ = writeln!(record, "{way} {title}");
    for line in bytes.chunks(48) {
        let hex: String = line.iter().map(|b| format!("{b:02x}")).collect();
        let _ = writeln!(record, " {hex}");
    }
}
