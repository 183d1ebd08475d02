//! The connecting machine of messenger v1 against a peer that the input plays, by operations: bytes
//! as they are, whole hellos, replies and messages that are right or almost, reads and writes cut
//! anywhere, cuts of the connection, and what an owner may do meanwhile.

use std::time::Instant;

use bytes::Bytes;
use ceph_msgr::auth::cephx::{CephXAuthorizer, CephXTicketBlob};
use ceph_msgr::auth::{AuthError, AuthNoneAuthorizer, AuthProvider, Authorizer};
use ceph_msgr::crypto::{CryptoKey, Usage};
use ceph_msgr::limits;
use ceph_msgr::msgr::v1::{Incoming, Rx, con_fault, connection};
use ceph_msgr::msgr::{
    ConState, Consequence, Context, Event, Fault, Local, Message, MsgId, Options, Peer, Policy, Tx,
};
use ceph_msgr::types::{EntityAddr, EntityName, EntityType, Features, GlobalId};

use crate::input::Input;
use crate::keys::{NOW, key, name};
use crate::memory::bounded;
use crate::pipe::Pipe;
use crate::v1::{CLIENT_HELLO_LEN, Frame, Msg, Reply, hello, parse_frame, tag};

const MAX_OPS: usize = 256;
const IP: [u8; 4] = [127, 0, 0, 1];
const PORT: u16 = 6801;
const NONCE: u32 = 7;
const AUTH_NONCE: u64 = 0x55;
/// Ceph 16.2.15.
const DAEMON: u64 = 0x3f01_cfbd_fffd_ffff;
/// All segments of one message, at their longest.
const LONGEST: usize =
    (limits::MSG_MAX_FRONT_LEN + limits::MSG_MAX_MIDDLE_LEN + limits::MSG_MAX_DATA_LEN) as usize;

/// The target. Two bytes of options, then operations of one byte and what they need.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut con = Con::new(input.u8(), input.u8());
    con.dial();
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        con.step(&mut input);
        con.check();
    }
}

#[derive(Clone, Debug)]
enum Auth {
    Absent,
    None,
    Cephx(CryptoKey),
    NoTicket,
}

impl AuthProvider for Auth {
    fn get_authorizer(
        &self,
        service: EntityType,
        _: Instant,
        _: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        match self {
            Self::Absent => Ok(None),
            Self::None => {
                let name = name(EntityType::CLIENT, "admin");
                Ok(Some((&AuthNoneAuthorizer { name, global_id: GlobalId(4242) }).into()))
            }
            Self::Cephx(key) => {
                let ticket = CephXTicketBlob { secret_id: 2, blob: vec![0xab; 112] };
                let authorizer =
                    CephXAuthorizer::new(GlobalId(4242), service, &ticket, key, AUTH_NONCE)?;
                Ok(Some(authorizer.into()))
            }
            Self::NoTicket => Err(AuthError::NoTicket { service }),
        }
    }

    fn invalidate(&self, _: EntityType) {}
}

struct Con {
    rx: Rx,
    tx: Tx,
    local: Local,
    auth: Auth,
    pipe: Pipe,
    now: Instant,
    policy: Policy,
    /// What the peer would open, as far as it knows.
    connect_seq: u32,
    /// The number of the last message that the owner got, and that of the session.
    in_seq: u64,
    /// The number of the last message that the peer sent as it should.
    peer_seq: u64,
    sent: Vec<MsgId>,
    /// Of this socket: where the frames of the open session begin in what was written.
    frames_at: Option<usize>,
    /// Of this socket: whether the peer's hello was accepted.
    heard: bool,
    /// Of this socket: what the peer said with SEQ that it has already.
    peer_has: u64,
}

impl Con {
    fn new(options: u8, more: u8) -> Self {
        let bit = |n: u8| options & 1 << n != 0;
        let policy = if bit(0) { Policy::LOSSY_CLIENT } else { Policy::LOSSLESS_CLIENT };
        let peer_type = [EntityType::MON, EntityType::OSD, EntityType::MDS, EntityType::MGR]
            [usize::from(options >> 1 & 3)];
        let auth = match options >> 3 & 3 {
            0 => Auth::Absent,
            1 => Auth::None,
            2 => Auth::Cephx(key(bit(5), 1)),
            _ if bit(5) => Auth::NoTicket,
            _ => Auth::Cephx(key(false, 1)),
        };
        let required =
            if more & 4 != 0 { Features::NONE.with(Features::MSG_AUTH) } else { Features::NONE };
        let supported = if more & 8 != 0 { Features::NONE } else { Features::SUPPORTED };
        let local_options = Options {
            crc_data: !bit(6),
            sign_messages: !bit(7),
            supported,
            required,
            ..Options::default()
        };
        let local = Local::new(EntityType::CLIENT, 0x1234_5678, local_options);
        let ip = if more & 1 != 0 { "v1:[::1]:6801/7" } else { "v1:127.0.0.1:6801/7" };
        let addr: EntityAddr = ip.parse().expect("an address");
        let (rx, tx) =
            connection(Peer { name: EntityName::new(peer_type, 3), addr, policy }, &local);
        Self {
            rx,
            tx,
            local,
            auth,
            pipe: Pipe::default(),
            now: Instant::now(),
            policy,
            connect_seq: 0,
            in_seq: 0,
            peer_seq: 0,
            sent: Vec::new(),
            frames_at: None,
            heard: false,
            peer_has: 0,
        }
    }

    fn with<T>(&mut self, f: impl FnOnce(&mut Rx, &mut Tx, &mut Pipe, &Context<'_>) -> T) -> T {
        let cx = Context { now: self.now, wall: NOW, local: &self.local, auth: &self.auth };
        f(&mut self.rx, &mut self.tx, &mut self.pipe, &cx)
    }

    fn dial(&mut self) {
        self.pipe = Pipe::default();
        (self.frames_at, self.heard, self.peer_has) = (None, false, 0);
        self.with(|rx, tx, _, cx| {
            tx.prepare_write_banner(cx);
            rx.prepare_read_banner();
        });
        assert_eq!(self.tx.state(), ConState::V1Banner);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let op = input.u8();
        match op % 20 {
            0 => self.pipe.feed(input.chunk()),
            1 => self.pipe.feed(&hello(IP, PORT, NONCE)),
            2 => {
                let mut bytes = hello(IP, PORT, NONCE);
                input.damage(&mut bytes);
                self.pipe.feed(&bytes);
            }
            3 => self.feed_reply(input),
            // From a new socket to an open session, as it should be.
            4 => self.open(op & 0x80 != 0),
            5 => self.feed_message(input),
            6 => {
                let lens = [input.u32(), input.u32(), input.u32()];
                self.pipe.feed(&[tag::MSG]);
                self.pipe.feed(&Msg::header(input.near(self.peer_seq.wrapping_add(1)), lens));
            }
            7 => {
                let last = self.tx.progress().0.0;
                self.feed_word(tag::ACK, input.near(last));
            }
            8 => self.feed_word(tag::KEEPALIVE2 + (op >> 7), input.u64()),
            9 => self.pipe.feed(&[if op & 0x80 != 0 { tag::CLOSE } else { tag::KEEPALIVE }]),
            10 => self.send(input),
            11 => {
                let i = usize::from(input.u8()) % self.sent.len().max(1);
                if let Some(id) = self.sent.get(i).copied() {
                    self.tx.revoke(id);
                }
            }
            12 => self.tx.keepalive(),
            13 => self.pipe.eof = true,
            14 => self.pipe.reset = true,
            15 => {
                let per = |n: u8| if n == 0 { usize::MAX } else { n.into() };
                (self.pipe.per_recv, self.pipe.per_send) = (per(input.u8()), per(input.u8()));
                self.pipe.budget = per(input.u8());
            }
            16 => self.pipe.budget = usize::MAX,
            17 => self.fault(Fault::TimedOut("sign of life")),
            18 if op & 0x80 != 0 => self.close(),
            _ => {
                if self.tx.state() == ConState::Preopen {
                    self.dial();
                }
            }
        }
        // Some operations wait for others before the machine runs.
        if op & 0x40 == 0 {
            self.run();
        }
    }

    fn feed_word(&mut self, tag: u8, word: u64) {
        self.pipe.feed(&[tag]);
        self.pipe.feed(&word.to_le_bytes());
    }

    fn session_key(&self) -> Option<CryptoKey> {
        match &self.auth {
            Auth::Cephx(key) => Some(key.clone()),
            _ => None,
        }
    }

    fn proof(&self) -> Vec<u8> {
        let Some(key) = self.session_key() else { return Vec::new() };
        let plain = [&[1][..], &(AUTH_NONCE + 1).to_le_bytes()].concat();
        let sealed =
            key.encrypt_with(&[1; 16], Usage::AUTHORIZE_REPLY, &plain).expect("a whole key");
        [&(sealed.len() as u32).to_le_bytes()[..], &sealed].concat()
    }

    fn challenge(&self) -> Vec<u8> {
        let Some(key) = self.session_key() else { return vec![1; 8] };
        let plain = [&[1][..], &99u64.to_le_bytes()].concat();
        key.encrypt_with(&[2; 16], Usage::AUTHORIZE_CHALLENGE, &plain).expect("a whole key")
    }

    fn feed_reply(&mut self, input: &mut Input<'_>) {
        let tag = input.u8() % 18;
        let mut reply = Reply {
            tag,
            features: if input.bool() { input.u64() } else { DAEMON },
            global_seq: input.near(1) as u32,
            connect_seq: input.near(u64::from(self.connect_seq) + 1) as u32,
            flags: input.u8(),
            authorizer: match input.u8() % 4 {
                0 if tag == tag::CHALLENGE_AUTHORIZER => self.challenge(),
                0 | 1 => self.proof(),
                2 => Vec::new(),
                _ => input.chunk().to_vec(),
            },
        };
        input.damage(&mut reply.authorizer);
        self.pipe.feed(&reply.bytes());
        if tag == tag::SEQ {
            let last = self.tx.progress().0.0;
            self.pipe.feed(&input.near(last).to_le_bytes());
        }
    }

    fn open(&mut self, seq: bool) {
        if self.tx.state() == ConState::Preopen {
            self.dial();
        }
        self.pipe.feed(&hello(IP, PORT, NONCE));
        self.run();
        let reply = Reply {
            tag: if seq { tag::SEQ } else { tag::READY },
            features: DAEMON,
            global_seq: 1,
            connect_seq: self.connect_seq.wrapping_add(1),
            flags: u8::from(self.policy.lossy),
            authorizer: self.proof(),
        };
        self.pipe.feed(&reply.bytes());
        if seq {
            self.pipe.feed(&self.tx.progress().1.0.to_le_bytes());
        }
        self.run();
    }

    fn feed_message(&mut self, input: &mut Input<'_>) {
        let seq = input.near(self.peer_seq.wrapping_add(1));
        let segments = [input.chunk(), input.chunk(), input.long_chunk()].map(<[u8]>::to_vec);
        let signed = self.session_key().filter(|_| self.local.options.sign_messages);
        let flags = match input.u8() {
            0 => 1 | if signed.is_some() { 4 } else { 0 },
            other => other,
        };
        let mut bytes = Msg { seq, segments, flags }.bytes(self.tx.features(), signed.as_ref());
        input.damage(&mut bytes);
        self.pipe.feed(&bytes);
        self.peer_seq = seq;
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let msg = Message::new(42, Bytes::copy_from_slice(input.chunk()));
        let data = vec![input.u8(); input.u16().into()];
        let closed = self.tx.state() == ConState::Closed;
        self.sent.push(self.tx.send(msg.with_data(data)));
        assert!(!closed || self.tx.queued_bytes() == 0);
        assert_ne!(self.tx.state(), ConState::Standby, "a message wakes it");
    }

    /// Once the worker's loop.
    fn run(&mut self) {
        if !matches!(self.tx.state(), ConState::V1Banner | ConState::V1ConnectMsg | ConState::Open)
        {
            return;
        }
        if let Err(fault) = self.try_run() {
            self.fault(fault);
        }
    }

    fn try_run(&mut self) -> Result<(), Fault> {
        loop {
            let before = (self.pipe.unread(), self.pipe.output.len());
            self.rx.readable();
            while !self.tx.is_gated() {
                let limit = LONGEST + (1 << 20) + 4 * before.0;
                let read = bounded(limit, || self.with(|rx, _, pipe, _| rx.read_partial(pipe)));
                if let Err(fault) = &read {
                    self.must_stay_faulted(fault);
                }
                match read? {
                    Some(incoming) => self.process(incoming)?,
                    None => break,
                }
            }
            self.with(|_, tx, pipe, cx| tx.try_write(pipe, cx))?;
            if before == (self.pipe.unread(), self.pipe.output.len()) {
                return Ok(());
            }
        }
    }

    fn must_stay_faulted(&mut self, fault: &Fault) {
        let mut other = Pipe::default();
        other.feed(&hello(IP, PORT, NONCE));
        self.rx.readable();
        let again = self.rx.read_partial(&mut other);
        assert_eq!(again.err().as_ref(), Some(fault), "a fault is for ever");
    }

    fn process(&mut self, incoming: Incoming) -> Result<(), Fault> {
        let seq_came = matches!(incoming, Incoming::Seq(..));
        if let Incoming::Seq(_, seq) = incoming {
            // It cannot have what was never sent, and what it says of that means nothing.
            let (sent, _) = self.tx.progress();
            self.peer_has = if seq <= sent { seq.0 } else { 0 };
        }
        if matches!(incoming, Incoming::Hello(_)) {
            assert!(!self.heard, "one hello on each socket");
            assert_eq!(self.pipe.output.len(), CLIENT_HELLO_LEN);
            self.heard = true;
        }
        let state = self.tx.state();
        let event = self.with(|rx, tx, _, cx| rx.process(tx, incoming, cx))?;
        match event {
            None => {}
            Some(Event::Connected(features)) => {
                assert_eq!((state, self.tx.state()), (ConState::V1ConnectMsg, ConState::Open));
                assert_eq!(features, self.tx.features());
                assert!((features & self.local.options.supported) == features);
                self.frames_at = Some(self.pipe.output.len() + if seq_came { 8 } else { 0 });
                self.connect_seq = self.connect_seq.wrapping_add(1);
            }
            Some(Event::Message(msg)) => {
                assert_eq!(state, ConState::Open);
                assert_eq!(msg.header.seq.0, self.in_seq.wrapping_add(1), "once and in order");
                self.in_seq = msg.header.seq.0;
                assert!(msg.len() <= LONGEST);
            }
            Some(Event::RemoteReset) => {
                (self.in_seq, self.peer_seq, self.connect_seq) = (0, 0, 0);
                assert_eq!(self.tx.queued_bytes(), 0);
            }
            Some(Event::Acked(seq)) => {
                assert_eq!(state, ConState::Open);
                assert!(seq.ahead_of(self.tx.progress().0) <= 0, "more than was sent");
            }
            Some(_) => assert_eq!(state, ConState::Open),
        }
        Ok(())
    }

    fn fault(&mut self, fault: Fault) {
        let _ = fault.to_string();
        let queued = self.tx.queued_bytes();
        let consequence = self.with(|rx, tx, _, cx| con_fault(rx, tx, &fault, cx));
        let state = match consequence {
            Consequence::Close => ConState::Closed,
            Consequence::Standby => ConState::Standby,
            // At once or later, which is its owner's matter.
            _ => ConState::Preopen,
        };
        assert_eq!(self.tx.state(), state);
        if consequence == Consequence::Close {
            self.closed();
            return;
        }
        assert!(!self.policy.lossy);
        assert_eq!(self.tx.queued_bytes(), queued, "nothing is lost");
        self.pipe = Pipe::default();
        (self.frames_at, self.heard, self.peer_has) = (None, false, 0);
    }

    fn close(&mut self) {
        self.tx.close();
        self.closed();
    }

    /// Nothing is kept, and what is sent goes nowhere.
    fn closed(&mut self) {
        assert_eq!(self.tx.state(), ConState::Closed);
        assert!(self.tx.is_acked() && self.tx.is_flushed() && !self.tx.wants_write());
        assert_eq!(self.tx.queued_bytes(), 0);
        self.pipe = Pipe::default();
        (self.in_seq, self.frames_at, self.heard, self.peer_has) = (0, None, false, 0);
    }

    fn check(&self) {
        let output = &self.pipe.output;
        if !self.heard {
            assert!(output.len() <= CLIENT_HELLO_LEN, "{} bytes before a hello", output.len());
            assert!(b"ceph v027".starts_with(&output[..output.len().min(9)]));
        }
        assert_eq!(self.frames_at.is_some(), self.tx.state() == ConState::Open);
        assert!(!self.tx.is_acked() || self.tx.queued_bytes() == 0);
        let Some(mut rest) = self.frames_at.and_then(|at| output.get(at..)) else { return };
        let (mut last, mut acked) = (None, 0);
        while let Some((frame, behind)) = parse_frame(rest, self.tx.features()) {
            rest = behind;
            match frame {
                Frame::Msg(seq, ..) => {
                    assert!(last.is_none_or(|last| last < seq), "{seq} went out twice");
                    assert!(self.peer_has < seq, "{seq} goes out, {} has come", self.peer_has);
                    last = Some(seq);
                }
                Frame::Ack(seq) => {
                    assert!(acked <= seq && seq <= self.in_seq, "ack {seq} of {}", self.in_seq);
                    acked = seq;
                }
                Frame::Keepalive => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the operation that opens a session needs to be worth something.
    #[test]
    fn a_session_opens_with_every_kind_of_authorizer() {
        for auth in 0..3u8 {
            for (key_type, seq) in [(0, false), (1, false), (0, true), (1, true)] {
                let mut con = Con::new(1 << 1 | auth << 3 | key_type << 5, 0);
                con.dial();
                con.open(seq);
                assert_eq!(con.tx.state(), ConState::Open, "auth {auth}, type {key_type}, {seq}");
                // A whole message of one byte, signed where the session is.
                con.feed_message(&mut Input::new(&[0, 1, b'x']));
                con.send(&mut Input::new(&[1, b'y']));
                con.run();
                con.check();
                assert_eq!((con.tx.state(), con.in_seq), (ConState::Open, 1));
                assert_eq!(con.tx.progress().0.0, 1);
            }
        }
    }
}
