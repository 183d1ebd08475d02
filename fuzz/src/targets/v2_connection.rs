//! The connecting machine of messenger v2 against a peer that the input plays, by operations: bytes
//! as they are, frames that are right or almost, in the mode that was agreed, answers of every kind,
//! a handshake that stops anywhere, reads and writes cut anywhere, cuts of the connection, and what an
//! owner may do meanwhile.
//!
//! Two bytes of options, then operations of one byte and what they need.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use ceph_msgr::auth::{AuthAcceptor, AuthAnswer, AuthServer, ConMode};
use ceph_msgr::limits;
use ceph_msgr::msgr::v2::control::{
    AckFrame, AuthDoneFrame, AuthOffer, AuthReplyMoreFrame, AuthRequestMoreFrame,
    AuthSignatureFrame, ControlFrame, HelloFrame, IdentMissingFeaturesFrame, KeepAliveFrame,
    KeepAliveFrameAck, ReconnectOkFrame, ResetFrame, RetryFrame, RetryGlobalFrame,
    ServerIdentFrame, WaitFrame,
};
use ceph_msgr::msgr::v2::{Revision, Role};
use ceph_msgr::msgr::{
    ConState, Consequence, Context, Event, Fault, Incoming, Local, Message, MsgId, Options, Peer,
    Policy, Rx, Tx, con_fault, connection,
};
use ceph_msgr::types::{EntityAddr, EntityName, EntityType, Features, Seq, UTime};

use crate::input::Input;
use crate::keys::{NOW, name};
use crate::memory::bounded;
use crate::pipe::Pipe;
use crate::service::{Asks, Shows, server};
use crate::v2::{BANNER_LEN, Far, Frame, message, seqs, tag};

const MAX_OPS: usize = 256;
/// Steps of a whole handshake, with a few answers after which the machine tries again.
const HANDSHAKE: u8 = 12;
/// All segments of one message, at their longest.
const LONGEST: usize =
    (limits::MSG_MAX_FRONT_LEN + limits::MSG_MAX_MIDDLE_LEN + limits::MSG_MAX_DATA_LEN) as usize;
const MODES: [&[ConMode]; 4] = [
    &[ConMode::Crc],
    &[ConMode::Secure],
    &[ConMode::Crc, ConMode::Secure],
    &[ConMode::Secure, ConMode::Crc],
];

/// The target.
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

struct Con {
    rx: Rx,
    tx: Tx,
    local: Local,
    shows: Shows,
    asks: Asks,
    pipe: Pipe,
    now: Instant,
    peer: Peer,
    revision: Revision,
    server: Box<dyn AuthServer>,
    modes: &'static [ConMode],
    /// Of this socket: the other end, how far that is, and what the machine has said to it.
    far: Far,
    acceptor: AuthAcceptor,
    greeted: bool,
    frames: VecDeque<Frame>,
    /// Of this socket: something came that is not what the other end believes to have sent.
    tampered: bool,
    /// The number of the last message that the owner got, and that which the peer sent.
    in_seq: u64,
    peer_seq: u64,
    /// Of this socket: what the peer said that it has, and the last of each kind that went out.
    peer_has: u64,
    out: u64,
    acked: u64,
    sent: Vec<MsgId>,
}

impl Con {
    fn new(options: u8, more: u8) -> Self {
        let bit = |n: u8| options & 1 << n != 0;
        let policy = [
            Policy::LOSSLESS_CLIENT,
            Policy::LOSSY_CLIENT,
            Policy::LOSSLESS_PEER,
            Policy::LOSSLESS_PEER_REUSE,
        ][usize::from(options & 3)];
        let asks = [Asks::Name, Asks::Ticket(false), Asks::Ticket(true)]
            [usize::from(options >> 2 & 3) % 3];
        let modes = match asks {
            Asks::Ticket(_) => MODES[usize::from(options >> 4 & 3)],
            _ => MODES[0],
        };
        let peer_type = [EntityType::MDS, EntityType::OSD, EntityType::MON, EntityType::MGR]
            [usize::from(more & 3)];
        let supported = if more & 8 != 0 { Features::NONE } else { Features::SUPPORTED };
        let local_options = Options {
            crc_data: !bit(6),
            supported: supported.with(Features::MSG_ADDR2),
            modes,
            mon_modes: modes,
            ..Options::default()
        };
        let own = if policy.standby { EntityType::OSD } else { EntityType::CLIENT };
        let local = Local::new(own, 0x1234_5678, local_options);
        if policy.standby {
            local.set_addrs(&["v2:127.0.0.1:6800".parse().expect("an address")]);
        }
        let addr: EntityAddr = "v2:127.0.0.1:6801/7".parse().expect("an address");
        let peer = Peer { name: EntityName::new(peer_type, 3), addr, policy };
        let (rx, tx) = connection(peer, &local);
        let revision = if bit(7) { Revision::V2_0 } else { Revision::V2_1 };
        let id = if own == EntityType::CLIENT { "admin" } else { "0" };
        Self {
            rx,
            tx,
            shows: Shows::new(asks, name(own, id)),
            asks,
            pipe: Pipe::default(),
            now: Instant::now(),
            peer,
            revision,
            server: server(asks, peer_type, more & 4 == 0),
            modes,
            far: Far::new(Role::Accepting, revision, local.options.crc_data),
            acceptor: AuthAcceptor::new(own, modes),
            local,
            greeted: false,
            frames: VecDeque::new(),
            tampered: false,
            in_seq: 0,
            peer_seq: 0,
            peer_has: 0,
            out: 0,
            acked: 0,
            sent: Vec::new(),
        }
    }

    fn with<T>(&mut self, f: impl FnOnce(&mut Rx, &mut Tx, &mut Pipe, &Context<'_>) -> T) -> T {
        let cx = Context { now: self.now, wall: NOW, local: &self.local, auth: &self.shows };
        f(&mut self.rx, &mut self.tx, &mut self.pipe, &cx)
    }

    fn new_socket(&mut self) {
        self.pipe = Pipe::default();
        self.far = Far::new(Role::Accepting, self.revision, self.local.options.crc_data);
        self.acceptor = AuthAcceptor::new(self.local.name().entity_type, self.modes);
        (self.greeted, self.tampered) = (false, false);
        self.frames.clear();
        (self.peer_has, self.out, self.acked) = (0, 0, 0);
    }

    fn dial(&mut self) {
        self.new_socket();
        self.with(|rx, tx, _, cx| rx.prepare_banner(tx, cx));
        assert_eq!(self.tx.state(), ConState::V2Banner);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let op = input.u8();
        let flag = op & 0x80 != 0;
        match op % 17 {
            0 => self.feed_other(input.chunk()),
            // From wherever it is to an open session, or not all the way.
            1 => self.serve(HANDSHAKE, input),
            2 => {
                let steps = input.u8();
                self.serve(steps % HANDSHAKE, input);
            }
            3 => {
                let frame = Frame::control(input.u8() % 24, input.chunk().to_vec());
                let bytes = self.far.enc.damaged(&frame, input);
                self.feed_other(&bytes);
            }
            4 => {
                let tag = input.u8() % 24;
                let mut frame = Frame::control(tag, self.usual(tag));
                input.damage(&mut frame.segments[0]);
                let bytes = self.far.enc.frame(&frame);
                self.feed_other(&bytes);
            }
            5 => self.feed_message(flag, input),
            6 => {
                let seq = input.near(self.tx.progress().0.0);
                let bytes = self.far.enc.frame(&control(&AckFrame(Seq(seq))));
                self.feed_other(&bytes);
            }
            7 => {
                let stamp = UTime { sec: input.u32(), nsec: input.u32() };
                let frame = if flag {
                    control(&KeepAliveFrame(stamp))
                } else {
                    control(&KeepAliveFrameAck(stamp))
                };
                let bytes = self.far.enc.frame(&frame);
                self.feed_other(&bytes);
            }
            8 => self.send(input),
            9 => {
                let i = usize::from(input.u8());
                let id = i.checked_rem(self.sent.len()).and_then(|i| self.sent.get(i)).copied();
                if let Some(id) = id {
                    self.tx.revoke(id);
                }
            }
            10 => self.tx.keepalive(),
            11 => self.pipe.eof = true,
            12 => self.pipe.reset = true,
            13 => {
                let per = |n: u8| if n == 0 { usize::MAX } else { n.into() };
                (self.pipe.per_recv, self.pipe.per_send) = (per(input.u8()), per(input.u8()));
                self.pipe.budget = per(input.u8());
            }
            14 => self.pipe.budget = usize::MAX,
            15 if flag => self.close(),
            15 => self.fault(Fault::TimedOut("sign of life")),
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

    /// What the other end does not count as its own.
    fn feed_other(&mut self, bytes: &[u8]) {
        // What is behind AUTH_DONE is not signed, but sealed, or may be anybody's.
        self.tampered |= !bytes.is_empty() && self.far.signature().is_none();
        self.pipe.feed(bytes);
    }

    fn feed<T: ControlFrame>(&mut self, frame: &T) {
        let bytes = self.far.control(frame);
        self.pipe.feed(&bytes);
    }

    /// What such a frame says if all is well.
    fn usual(&self, tag: u8) -> Vec<u8> {
        match tag {
            tag::HELLO => self.hello().to_payload(),
            tag::AUTH_SIGNATURE => self.far.signature().unwrap_or_default().to_vec(),
            tag::SERVER_IDENT => self.server_ident().to_payload(),
            tag::SESSION_RECONNECT_OK => ReconnectOkFrame(self.tx.progress().1).to_payload(),
            tag::SESSION_RESET => ResetFrame(true).to_payload(),
            _ => vec![0; 8],
        }
    }

    fn hello(&self) -> HelloFrame {
        let peer_addr = "v2:127.0.0.1:51234/0".parse().expect("an address");
        HelloFrame { entity_type: self.peer.name.entity_type, peer_addr }
    }

    fn server_ident(&self) -> ServerIdentFrame {
        let lossy = self.peer.policy.lossy;
        ServerIdentFrame {
            addrs: self.peer.addr.into(),
            gid: 3,
            global_seq: 1,
            supported_features: Features(0x3f01_cfbd_fffd_ffff),
            required_features: Features::NONE.with(Features::MSG_ADDR2),
            flags: lossy.into(),
            cookie: if lossy { 0 } else { 77 },
        }
    }

    /// So many steps of the handshake as an accepting side has them.
    fn serve(&mut self, steps: u8, input: &mut Input<'_>) {
        if self.tx.state() == ConState::Preopen {
            self.dial();
        }
        self.run();
        for _ in 0..steps {
            if !self.greeted {
                self.greeted = true;
                let banner = self.far.banner();
                self.pipe.feed(&banner);
            } else if self.tx.state() != ConState::Open
                && let Some(frame) = self.frames.pop_front()
            {
                self.answer(&frame, input);
            } else {
                break;
            }
            self.run();
        }
    }

    fn answer(&mut self, frame: &Frame, input: &mut Input<'_>) {
        let payload = &frame.segments[0];
        let answer = match frame.tag {
            tag::HELLO => {
                self.feed(&self.hello());
                return;
            }
            tag::AUTH_REQUEST => {
                let offer = AuthOffer::from_payload(payload).expect("a machine wrote it");
                self.acceptor.handle_auth_request(&*self.server, &offer, NOW)
            }
            tag::AUTH_REQUEST_MORE => {
                let more = AuthRequestMoreFrame::from_payload(payload).expect("a machine wrote it");
                self.acceptor.handle_auth_request_more(&*self.server, &more.payload, NOW)
            }
            tag::AUTH_SIGNATURE => {
                // It signs what it has received: whoever has changed that is found out here.
                let key = matches!(self.asks, Asks::Ticket(_));
                if key && !self.far.is_right(payload) {
                    assert!(self.tampered, "nobody has changed anything");
                    self.pipe.eof = true;
                } else {
                    assert!(!key || !self.tampered, "a change that is not signed");
                }
                return;
            }
            tag::CLIENT_IDENT => {
                self.answer_ident(input);
                return;
            }
            tag::SESSION_RECONNECT => {
                self.answer_reconnect(input);
                return;
            }
            other => panic!("tag {other} in a handshake"),
        };
        match answer {
            Ok(AuthAnswer::BadMethod(bad, why)) => {
                assert!(self.tampered, "{why}");
                self.feed(&bad);
            }
            Ok(AuthAnswer::ReplyMore(payload)) => self.feed(&AuthReplyMoreFrame { payload }),
            Ok(AuthAnswer::Done(granted)) => {
                let con_mode = granted.mode.number();
                assert!(self.modes.contains(&granted.mode));
                let payload = granted.payload;
                self.feed(&AuthDoneFrame { global_id: granted.global_id, con_mode, payload });
                let secret = granted.connection_secret.as_ref().map_or(&[][..], |s| s.as_bytes());
                self.far.authenticated(granted.mode, secret, granted.session_key.as_ref());
                let signature = self.far.signature().expect("it is its turn");
                self.feed(&AuthSignatureFrame(signature));
            }
            Err(why) => assert!(self.tampered, "{why}"),
        }
    }

    fn answer_ident(&mut self, input: &mut Input<'_>) {
        match input.u8() {
            1 => self.feed(&IdentMissingFeaturesFrame(input.u64())),
            2 => self.feed(&WaitFrame),
            3 => self.feed(&ResetFrame(input.bool())),
            4 => {
                let mut ident = self.server_ident();
                ident.global_seq = input.near(1);
                ident.flags = input.near(ident.flags);
                ident.cookie = input.near(ident.cookie);
                ident.supported_features = Features(input.near(ident.supported_features.0));
                ident.required_features = Features(input.near(ident.required_features.0));
                self.feed(&ident);
            }
            _ => self.feed(&self.server_ident()),
        }
    }

    fn answer_reconnect(&mut self, input: &mut Input<'_>) {
        let (out, acked) = self.tx.progress();
        match input.u8() {
            1 => self.feed(&ResetFrame(input.bool())),
            2 => self.feed(&RetryFrame(input.near(0))),
            3 => self.feed(&RetryGlobalFrame(input.near(1))),
            4 => self.feed(&WaitFrame),
            5 => self.feed(&ReconnectOkFrame(Seq(input.near(out.0)))),
            _ => self.feed(&ReconnectOkFrame(acked)),
        }
    }

    fn feed_message(&mut self, aborted: bool, input: &mut Input<'_>) {
        let seq = input.near(self.peer_seq.wrapping_add(1));
        let ack_seq = input.near(self.tx.progress().0.0);
        let segments = [input.chunk(), input.chunk(), input.long_chunk()].map(<[u8]>::to_vec);
        let frame = Frame { aborted, ..message(seq, ack_seq, segments) };
        let whole = self.far.enc.frame(&frame);
        let mut bytes = whole.clone();
        input.damage(&mut bytes);
        self.feed_other(&bytes);
        // One that is taken back does not count.
        if !aborted || frame.count() == 1 {
            self.peer_seq = seq;
        }
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
        let idle = [ConState::Preopen, ConState::Standby, ConState::Closed];
        if idle.contains(&self.tx.state()) {
            return;
        }
        if let Err(fault) = self.try_run() {
            self.fault(fault);
            return;
        }
        if self.tx.state() == ConState::Open {
            self.far.set_ready();
        }
        self.frames.extend(self.far.read(&self.pipe.output));
    }

    fn try_run(&mut self) -> Result<(), Fault> {
        loop {
            let before = (self.pipe.unread(), self.pipe.output.len());
            self.with(|_, tx, pipe, cx| tx.try_write(pipe, cx))?;
            self.rx.readable();
            while !self.tx.is_gated() {
                let limit = LONGEST + (1 << 20) + 4 * before.0;
                let read = bounded(limit, || self.with(|rx, _, pipe, _| rx.read_partial(pipe)));
                if let Err(fault) = &read {
                    let again = self.rx.read_partial(&mut Pipe::default()).err();
                    assert_eq!(again.as_ref(), Some(fault), "a fault is for ever");
                }
                match read? {
                    Some(incoming) => self.process(incoming)?,
                    None => break,
                }
            }
            if before == (self.pipe.unread(), self.pipe.output.len()) {
                return Ok(());
            }
        }
    }

    fn process(&mut self, incoming: Incoming) -> Result<(), Fault> {
        let state = self.tx.state();
        let event = self.with(|rx, tx, _, cx| rx.process(tx, incoming, cx))?;
        match event {
            None => {}
            Some(Event::Connected(features)) => {
                assert_eq!(self.tx.state(), ConState::Open);
                assert_eq!(features, self.tx.features());
                assert!((features & self.local.options.supported) == features);
                let mode = self.tx.con_mode().expect("it is known");
                assert!(self.modes.contains(&mode), "{mode} was not offered");
                if state == ConState::V2SessionConnect {
                    (self.in_seq, self.peer_seq) = (0, 0);
                } else {
                    assert_eq!(state, ConState::V2SessionReconnect);
                    self.peer_seq = self.in_seq;
                    self.peer_has = self.tx.progress().1.0;
                }
            }
            Some(Event::Message(msg)) => {
                assert_eq!(state, ConState::Open);
                // Of a gap this side thinks nothing.
                let seq = msg.header.seq;
                assert!(seq.ahead_of(Seq(self.in_seq)) > 0, "{seq} behind {}", self.in_seq);
                self.in_seq = seq.0;
                assert!(msg.len() <= LONGEST);
            }
            Some(Event::RemoteReset) => {
                assert_eq!(state, ConState::V2SessionReconnect);
                (self.in_seq, self.peer_seq) = (0, 0);
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
        self.new_socket();
        if consequence == Consequence::Close {
            self.closed();
            return;
        }
        assert!(!self.peer.policy.lossy);
        assert_eq!(self.tx.queued_bytes(), queued, "nothing is lost");
    }

    fn close(&mut self) {
        self.tx.close();
        self.new_socket();
        self.closed();
    }

    /// Nothing is kept, and what is sent goes nowhere.
    fn closed(&mut self) {
        assert_eq!(self.tx.state(), ConState::Closed);
        assert!(self.tx.is_acked() && self.tx.is_flushed() && !self.tx.wants_write());
        assert_eq!(self.tx.queued_bytes(), 0);
        self.in_seq = 0;
    }

    fn check(&mut self) {
        if self.tx.state() == ConState::V2Banner {
            assert!(self.pipe.output.len() <= BANNER_LEN, "more than a banner before the peer's");
        }
        assert!(!self.tx.is_acked() || self.tx.queued_bytes() == 0);
        if self.tx.state() != ConState::Open {
            return;
        }
        while let Some(frame) = self.frames.pop_front() {
            match frame.tag {
                // Of the handshake, which the input has gone through in its own way.
                ..=tag::WAIT => assert_eq!(self.out, 0, "tag {} behind a message", frame.tag),
                tag::MESSAGE => {
                    let (seq, ack) = seqs(&frame);
                    assert!(self.out < seq, "{seq} went out behind {}", self.out);
                    assert!(self.peer_has < seq, "{seq} goes out, {} has come", self.peer_has);
                    assert!(ack <= self.in_seq, "ack {ack} of {}", self.in_seq);
                    self.out = seq;
                }
                tag::ACK => {
                    let ack = AckFrame::from_payload(&frame.segments[0]).expect("an ack").0.0;
                    assert!(self.acked < ack && ack <= self.in_seq, "{ack} of {}", self.in_seq);
                    assert!(
                        !self.peer.policy.lossy
                            || self.tx.existing().lossy != self.peer.policy.lossy
                    );
                    self.acked = ack;
                }
                tag::KEEPALIVE2 | tag::KEEPALIVE2_ACK => assert_eq!(frame.segments[0].len(), 8),
                other => panic!("tag {other} in an open session"),
            }
        }
    }
}

fn control<T: ControlFrame>(frame: &T) -> Frame {
    Frame::control(T::TAG, frame.to_payload())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the operation that opens a session needs to be worth something.
    #[test]
    fn a_session_opens_and_opens_again_with_all_options() {
        for options in 0..=255 {
            for more in 0..16 {
                let mut con = Con::new(options, more);
                con.dial();
                for round in 1..3 {
                    con.serve(HANDSHAKE, &mut Input::new(&[]));
                    let row = format!("options {options:#x}, {more:#x}, round {round}");
                    assert_eq!(con.tx.state(), ConState::Open, "{row}");
                    con.feed_message(false, &mut Input::new(&[0, 0, 1, b'x']));
                    con.send(&mut Input::new(&[1, b'y']));
                    con.run();
                    con.check();
                    assert_eq!(con.tx.state(), ConState::Open, "{row}");
                    assert_eq!((con.in_seq, con.out), (round, round), "{row}");
                    if con.peer.policy.lossy {
                        break;
                    }
                    con.feed_other(&[]);
                    let ack = con.far.enc.frame(&control(&AckFrame(Seq(round))));
                    con.feed_other(&ack);
                    con.run();
                    con.fault(Fault::PeerClosed);
                    con.send(&mut Input::new(&[0]));
                    con.tx.revoke(con.sent[con.sent.len() - 1]);
                }
            }
        }
    }
}
