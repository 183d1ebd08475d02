//! The accepting machine of messenger v2 against a dialler that the input plays, by operations: bytes
//! as they are, frames that are right or almost, a handshake that stops anywhere, any session that may
//! exist already, reads and writes cut anywhere, and what an owner may do meanwhile.
//!
//! Two bytes of options, then operations of one byte and what they need.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ceph_msgr::auth::{AuthConnector, AuthServer, ConMode};
use ceph_msgr::limits;
use ceph_msgr::msgr::v2::control::{
    AckFrame, AuthBadMethod, AuthDoneFrame, AuthReplyMoreFrame, AuthRequestMoreFrame,
    AuthSignatureFrame, ClientIdentFrame, ControlFrame, HelloFrame, ReconnectFrame, RetryFrame,
    RetryGlobalFrame, ServerIdentFrame,
};
use ceph_msgr::msgr::v2::{Revision, Role};
use ceph_msgr::msgr::{
    Accept, AcceptContext, ConState, Consequence, Context, Decision, Event, Existing, Fault, Local,
    Message, MsgId, Offer, Options, Policies, Policy, Rx, Throttle, Tx, con_fault,
};
use ceph_msgr::types::{
    ConnectSeq, EntityAddr, EntityType, Features, GlobalId, GlobalSeq, Seq, UTime,
};

use crate::input::Input;
use crate::keys::{NOW, name};
use crate::memory::bounded;
use crate::pipe::Pipe;
use crate::service::{Asks, GLOBAL_ID, Shows, server};
use crate::v2::{Far, Frame, message, seqs, tag};

const MAX_OPS: usize = 256;
/// Steps of a whole handshake, with a few answers after which the dialler tries again.
const HANDSHAKE: u8 = 12;
/// All segments of one message, at their longest.
const LONGEST: usize =
    (limits::MSG_MAX_FRONT_LEN + limits::MSG_MAX_MIDDLE_LEN + limits::MSG_MAX_DATA_LEN) as usize;
/// What a socket without a session may take: transcripts, an authorizer, its parts, and its answer.
const HALF_OPEN: usize = 256 << 10;
/// Messages and bytes that the owner holds at most.
const ROOM: (usize, usize) = (3, 10_000);
const MODES: [&[ConMode]; 4] = [
    &[ConMode::Crc],
    &[ConMode::Secure],
    &[ConMode::Crc, ConMode::Secure],
    &[ConMode::Secure, ConMode::Crc],
];

/// The target.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(input.u8(), input.u8());
    world.accept();
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.check();
    }
    let throttle = Arc::clone(&world.throttle);
    drop(world);
    assert_eq!(throttle.held(), (0, 0), "nothing is left");
}

/// A socket, and its other end.
struct Socket {
    accept: Option<Accept>,
    pipe: Pipe,
    far: Far,
    connector: AuthConnector,
    greeted: bool,
    /// Something came that is not what the other end believes to have sent.
    tampered: bool,
}

/// The session.
struct Con {
    rx: Rx,
    tx: Tx,
    socket: Option<Socket>,
    /// The number of the last message that its owner got.
    last: u64,
    /// The last of each kind that went out on this socket.
    out: u64,
    acked: u64,
    sent: Vec<MsgId>,
}

struct World {
    asks: Asks,
    revision: Revision,
    own: EntityAddr,
    local: Local,
    auth: Box<dyn AuthServer>,
    policy: Policy,
    policies: Policies,
    throttle: Arc<Throttle>,
    shows: Shows,
    now: Instant,
    socket: Option<Socket>,
    con: Option<Con>,
    /// What the next offer finds, in place of what there is.
    pretend: Option<Existing>,
    /// Of the dialler.
    nonce: u64,
    global_seq: u64,
    client_cookie: u64,
    server_cookie: u64,
    connect_seq: u64,
    peer_seq: u64,
    held: Vec<Message>,
}

impl World {
    fn new(options: u8, more: u8) -> Self {
        let bit = |n: u8| options & 1 << n != 0;
        let policy = [
            Policy::STATEFUL_SERVER,
            Policy::STATELESS_SERVER,
            Policy::STATELESS_REGISTERED_SERVER,
            Policy::LOSSLESS_PEER,
            Policy::LOSSLESS_PEER_REUSE,
        ][usize::from(options & 7) % 5];
        let asks = [Asks::Name, Asks::Ticket(false), Asks::Ticket(true)]
            [usize::from(options >> 3 & 3) % 3];
        let modes = match asks {
            Asks::Ticket(_) => MODES[usize::from(options >> 5 & 3)],
            _ => MODES[0],
        };
        let service = [EntityType::MDS, EntityType::OSD, EntityType::MON, EntityType::MGR]
            [usize::from(more & 3)];
        let required =
            if more & 16 != 0 { Features::NONE.with(Features::MSG_AUTH) } else { Features::NONE };
        let options = Options {
            crc_data: more & 8 == 0,
            required,
            modes,
            mon_modes: modes,
            ..Options::default()
        };
        let own: EntityAddr = "v2:127.0.0.1:6801/9".parse().expect("an address");
        let local = Local::new(service, 9, options);
        local.set_addrs(&[own]);
        Self {
            asks,
            revision: if bit(7) { Revision::V2_0 } else { Revision::V2_1 },
            own,
            local,
            auth: server(asks, service, more & 4 == 0),
            policy,
            policies: Policies::new(policy),
            throttle: Throttle::new(ROOM.0, ROOM.1),
            shows: Shows::new(asks, name(EntityType::CLIENT, "admin")),
            now: Instant::now(),
            socket: None,
            con: None,
            pretend: None,
            nonce: 0,
            global_seq: 0,
            client_cookie: 5,
            server_cookie: 0,
            connect_seq: 0,
            peer_seq: 0,
            held: Vec::new(),
        }
    }

    fn service(&self) -> EntityType {
        self.local.name().entity_type
    }

    /// The dialler makes another socket.
    fn accept(&mut self) {
        self.nonce += 1;
        let from = "10.1.2.3:51234".parse().expect("an address");
        let shown = self.shows.authorizer(self.service(), self.nonce).expect("it is asked for");
        let modes = self.local.options.modes;
        if self.server_cookie != 0 {
            self.connect_seq += 1;
        }
        self.socket = Some(Socket {
            accept: Some(Accept::new(self.own, self.local.addrs_by(self.own), from)),
            pipe: Pipe::default(),
            far: Far::new(Role::Connecting, self.revision, self.local.options.crc_data),
            connector: AuthConnector::with_authorizer(shown, self.service(), modes),
            greeted: false,
            tampered: false,
        });
    }

    /// Where the dialler's bytes go.
    fn target(&mut self) -> Option<&mut Socket> {
        let con = self.con.as_mut().and_then(|con| con.socket.as_mut());
        self.socket.as_mut().or(con)
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let op = input.u8();
        let flag = op & 0x80 != 0;
        match op % 19 {
            0 => {
                let times = if flag { 128 } else { 1 };
                let bytes = input.chunk().repeat(times);
                self.feed_other(&bytes);
            }
            1 => self.serve(HANDSHAKE, flag, input),
            2 => {
                let steps = input.u8();
                self.serve(steps % HANDSHAKE, flag, input);
            }
            3 => {
                let frame = Frame::control(input.u8() % 24, input.chunk().to_vec());
                let bytes = self.target().map(|s| s.far.enc.damaged(&frame, input));
                self.feed_other(&bytes.unwrap_or_default());
            }
            4 => {
                let tag = input.u8() % 24;
                let mut frame = Frame::control(tag, self.usual(tag, input));
                input.damage(&mut frame.segments[0]);
                self.feed_frame(&frame);
            }
            5 => self.feed_message(flag, input),
            6 => {
                let last = self.con.as_ref().map_or(0, |con| con.tx.progress().0.0);
                let ack = AckFrame(Seq(input.near(last)));
                self.feed_frame(&Frame::control(tag::ACK, ack.to_payload()));
            }
            7 => {
                let stamp = UTime { sec: input.u32(), nsec: input.u32() };
                let bytes = [stamp.sec.to_le_bytes(), stamp.nsec.to_le_bytes()].concat();
                self.feed_frame(&Frame::control(tag::KEEPALIVE2 + u8::from(flag), bytes));
            }
            8 => self.send(input),
            9 => {
                let n = usize::from(input.u8());
                if let Some(con) = &mut self.con
                    && let Some(id) = n.checked_rem(con.sent.len()).and_then(|n| con.sent.get(n))
                {
                    con.tx.revoke(*id);
                }
            }
            10 => {
                if let Some(con) = &mut self.con {
                    con.tx.keepalive();
                }
            }
            11 => self.target().into_iter().for_each(|socket| socket.pipe.eof = true),
            12 => self.target().into_iter().for_each(|socket| socket.pipe.reset = true),
            13 => {
                let per = |n: u8| if n == 0 { usize::MAX } else { n.into() };
                let knobs = [input.u8(), input.u8(), input.u8()].map(per);
                if let Some(Socket { pipe, .. }) = self.target() {
                    [pipe.per_recv, pipe.per_send, pipe.budget] = knobs;
                }
            }
            14 => self.target().into_iter().for_each(|s| s.pipe.budget = usize::MAX),
            15 if flag => self.close(),
            15 => self.fault(Fault::TimedOut("sign of life")),
            16 => self.accept(),
            17 => self.pretend = Some(self.existing(input)),
            _ if flag => (self.client_cookie, self.server_cookie) = (self.client_cookie + 1, 0),
            _ => self.held.clear(),
        }
        // Some operations wait for others before the machine runs.
        if op & 0x40 == 0 {
            self.work();
        }
    }

    /// What the other end does not count as its own.
    fn feed_other(&mut self, bytes: &[u8]) {
        if let Some(socket) = self.target() {
            // What is behind AUTH_SIGNATURE is not signed, but sealed, or may be anybody's.
            socket.tampered |= !bytes.is_empty() && socket.far.signature().is_none();
            socket.pipe.feed(bytes);
        }
    }

    fn feed_frame(&mut self, frame: &Frame) {
        let bytes = self.target().map(|socket| socket.far.enc.frame(frame));
        self.feed_other(&bytes.unwrap_or_default());
    }

    fn feed<T: ControlFrame>(&mut self, frame: &T) {
        if let Some(socket) = self.target() {
            let bytes = socket.far.control(frame);
            socket.pipe.feed(&bytes);
        }
    }

    /// What such a frame says if all is well, or almost.
    fn usual(&mut self, tag: u8, input: &mut Input<'_>) -> Vec<u8> {
        match tag {
            tag::HELLO => hello().to_payload(),
            tag::AUTH_SIGNATURE => vec![0; 32],
            tag::CLIENT_IDENT => {
                let mut ident = self.client_ident();
                ident.global_seq = input.near(ident.global_seq);
                ident.cookie = input.near(ident.cookie);
                ident.supported_features = Features(input.near(ident.supported_features.0));
                ident.to_payload()
            }
            tag::SESSION_RECONNECT => {
                let mut reconnect = self.reconnect();
                reconnect.global_seq = input.near(reconnect.global_seq);
                reconnect.connect_seq = input.near(reconnect.connect_seq);
                reconnect.client_cookie = input.near(reconnect.client_cookie);
                reconnect.msg_seq = Seq(input.near(reconnect.msg_seq.0));
                reconnect.to_payload()
            }
            _ => vec![0; 8],
        }
    }

    fn client_ident(&mut self) -> ClientIdentFrame {
        self.global_seq += 1;
        ClientIdentFrame {
            addrs: EntityAddr { nonce: 7, ..dialler() }.into(),
            target_addr: self.own,
            gid: GLOBAL_ID as i64,
            global_seq: self.global_seq,
            supported_features: Features::SUPPORTED,
            required_features: Features::NONE.with(Features::MSG_ADDR2),
            flags: self.policy.lossy.into(),
            cookie: if self.policy.lossy { 0 } else { self.client_cookie },
        }
    }

    fn reconnect(&mut self) -> ReconnectFrame {
        self.global_seq += 1;
        ReconnectFrame {
            addrs: EntityAddr { nonce: 7, ..dialler() }.into(),
            client_cookie: self.client_cookie,
            server_cookie: self.server_cookie,
            global_seq: self.global_seq,
            connect_seq: self.connect_seq,
            msg_seq: self.con.as_ref().map_or(Seq(0), |con| con.tx.progress().1),
        }
    }

    /// So many steps of a dialler, on a new socket or from wherever it is.
    fn serve(&mut self, steps: u8, new: bool, input: &mut Input<'_>) {
        if new || self.socket.is_none() {
            self.accept();
        }
        self.work();
        for _ in 0..steps {
            let Some(socket) = &mut self.socket else { return };
            if !socket.greeted {
                socket.greeted = true;
                let banner = socket.far.banner();
                socket.pipe.feed(&banner);
                self.feed(&hello());
            } else if let Some(frame) = socket.far.read_next(&socket.pipe.output) {
                self.answer(&frame, input);
            } else {
                return;
            }
            self.work();
        }
    }

    fn answer(&mut self, frame: &Frame, input: &mut Input<'_>) {
        let (now, payload) = (self.now, &frame.segments[0]);
        let Some(socket) = &mut self.socket else { return };
        let Socket { connector, tampered, far, .. } = socket;
        let tampered = *tampered;
        match frame.tag {
            tag::HELLO => {
                let request = connector.get_auth_request().expect("the first");
                self.feed(&request);
            }
            tag::AUTH_REPLY_MORE => {
                let more = AuthReplyMoreFrame::from_payload(payload).expect("a machine wrote it");
                match connector.handle_auth_reply_more(&more.payload, now) {
                    Ok(payload) => self.feed(&AuthRequestMoreFrame { payload }),
                    Err(e) => assert!(tampered, "{e}"),
                }
            }
            tag::AUTH_BAD_METHOD => {
                assert!(tampered, "what it shows is right");
                let bad = AuthBadMethod::from_payload(payload).expect("a machine wrote it");
                if let Ok(request) = connector.handle_auth_bad_method(&bad, now) {
                    self.feed(&request);
                }
            }
            tag::AUTH_DONE => {
                let done = AuthDoneFrame::from_payload(payload).expect("a machine wrote it");
                let AuthDoneFrame { global_id, con_mode, payload } = done;
                match connector.handle_auth_done(global_id, con_mode, &payload, now) {
                    Ok(done) => {
                        let secret = done.connection_secret.as_ref();
                        let secret = secret.map_or(&[][..], |secret| secret.as_bytes());
                        far.authenticated(done.mode, secret, done.session_key.as_ref());
                        let signature = far.signature().expect("it is its turn");
                        self.feed(&AuthSignatureFrame(signature));
                    }
                    Err(e) => assert!(tampered, "{e}"),
                }
            }
            tag::AUTH_SIGNATURE => {
                // It signs what it has received: whoever has changed that is found out here too.
                if let Asks::Ticket(_) = self.asks {
                    assert!(far.is_right(payload) || tampered, "nobody has changed anything");
                }
                self.ask(input);
            }
            tag::SESSION_RESET => {
                (self.server_cookie, self.connect_seq) = (0, 0);
                self.ask(input);
            }
            tag::SESSION_RETRY => {
                self.connect_seq =
                    RetryFrame::from_payload(payload).expect("a machine wrote it").0 + 1;
                self.ask(input);
            }
            tag::SESSION_RETRY_GLOBAL => {
                let seq = RetryGlobalFrame::from_payload(payload).expect("a machine wrote it").0;
                self.global_seq = self.global_seq.max(seq);
                self.ask(input);
            }
            tag::IDENT_MISSING_FEATURES | tag::WAIT => {}
            other => panic!("tag {other} to a dialler"),
        }
    }

    fn ask(&mut self, input: &mut Input<'_>) {
        match input.u8() {
            1 => {
                let frame = Frame::control(tag::CLIENT_IDENT, self.usual(tag::CLIENT_IDENT, input));
                self.feed_frame(&frame);
            }
            2 => {
                let payload = self.usual(tag::SESSION_RECONNECT, input);
                self.feed_frame(&Frame::control(tag::SESSION_RECONNECT, payload));
            }
            _ if self.server_cookie == 0 => {
                let ident = self.client_ident();
                self.feed(&ident);
            }
            _ => {
                let reconnect = self.reconnect();
                self.feed(&reconnect);
            }
        }
    }

    fn feed_message(&mut self, aborted: bool, input: &mut Input<'_>) {
        let seq = input.near(self.peer_seq.wrapping_add(1));
        let last = self.con.as_ref().map_or(0, |con| con.tx.progress().0.0);
        let ack_seq = input.near(last);
        let segments = [input.chunk(), input.chunk(), input.long_chunk()].map(<[u8]>::to_vec);
        let frame = Frame { aborted, ..message(seq, ack_seq, segments) };
        let bytes = self.target().map(|socket| {
            let mut bytes = socket.far.enc.frame(&frame);
            input.damage(&mut bytes);
            bytes
        });
        self.feed_other(&bytes.unwrap_or_default());
        if !aborted || frame.count() == 1 {
            self.peer_seq = seq;
        }
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let msg = Message::new(42, Bytes::copy_from_slice(input.chunk()));
        let data = vec![input.u8(); input.u16().into()];
        if let Some(con) = &mut self.con {
            con.sent.push(con.tx.send(msg.with_data(data)));
        }
    }

    fn context(&self) -> AcceptContext<'_> {
        let (local, auth, policies) = (&self.local, &*self.auth, &self.policies);
        AcceptContext { wall: NOW, local, auth, policies }
    }

    /// What the two workers do.
    fn work(&mut self) {
        if let Some(mut socket) = self.socket.take() {
            match self.handshake(&mut socket) {
                Ok(None) => self.socket = Some(socket),
                Ok(Some(offer)) => {
                    if let Err(fault) = self.settle(socket, offer) {
                        panic!("{fault}");
                    }
                    // It may go on at once.
                    if self.socket.is_some() {
                        self.work();
                    }
                }
                Err(fault) => {
                    let _ = fault.to_string();
                    let again = socket.accept.as_mut().expect("its own");
                    let again = again.read_partial(&mut Pipe::default());
                    let ended = matches!(&fault, Fault::Io(_)) || again.err() == Some(fault);
                    assert!(ended, "a fault is for ever");
                }
            }
        }
        if let Err(fault) = self.round() {
            self.fault(fault);
        }
    }

    fn handshake(&mut self, socket: &mut Socket) -> Result<Option<Offer>, Fault> {
        let Socket { accept, pipe, .. } = socket;
        let accept = accept.as_mut().expect("its own");
        loop {
            if !accept.try_write(pipe)? {
                return Ok(None);
            }
            accept.readable();
            let limit = HALF_OPEN + 4 * pipe.unread();
            let read = bounded(limit, || accept.read_partial(pipe));
            let Some(request) = read? else { return Ok(None) };
            let cx = self.context();
            if let Some(offer) = bounded(HALF_OPEN, || accept.process(request, &cx))? {
                return Ok(Some(offer));
            }
        }
    }

    fn must_be_proved(&self, socket: &Socket, offer: &Offer) {
        let shown = offer.auth_peer().expect("somebody is always shown");
        if let Asks::Ticket(_) = self.asks {
            assert!(!socket.tampered, "a handshake that was changed");
            assert!(socket.far.signature().is_some(), "nobody has signed");
            assert_eq!(shown.name, name(EntityType::CLIENT, "admin"));
            assert_eq!(shown.global_id, GlobalId(GLOBAL_ID));
        }
    }

    fn settle(&mut self, mut socket: Socket, offer: Offer) -> Result<(), Fault> {
        self.must_be_proved(&socket, &offer);
        let real = self.con.as_ref().map(|con| con.tx.existing());
        let seen = self.pretend.take().filter(|_| self.con.is_some()).or(real);
        let decision = offer.decide(seen.as_ref(), self.own);
        let ex = seen.filter(|ex| ex.state != ConState::Closed);
        match decision {
            Decision::Open | Decision::ReplaceLossy => {
                assert!(self.policy.is_stateless() || ex.is_none_or(|ex| ex.lossy));
                self.con = None;
                self.take_over(socket, offer, false)
            }
            Decision::Replace | Decision::ReplaceReset => {
                assert!(ex.is_some());
                self.take_over(socket, offer, decision == Decision::ReplaceReset)
            }
            Decision::Retry(retry) => {
                let accept = socket.accept.as_mut().expect("its own");
                accept.retry(&offer, retry, &self.context())?;
                self.socket = Some(socket);
                Ok(())
            }
            Decision::Stale => {
                assert!(ex.is_some());
                Ok(())
            }
        }
    }

    fn take_over(&mut self, mut socket: Socket, offer: Offer, reset: bool) -> Result<(), Fault> {
        let lossy = offer.peer().policy.lossy;
        let accept = socket.accept.take().expect("its own");
        let taken = accept.take_over(offer, reset, &self.context())?;
        let (mut rx, tx) = taken.connection(&self.local);
        rx.set_throttle(Some(Arc::clone(&self.throttle)));
        let new = || Con { rx, tx, socket: None, last: 0, out: 0, acked: 0, sent: Vec::new() };
        let con = self.con.get_or_insert_with(new);
        let (queued, cookie) = (con.tx.queued_bytes(), con.tx.existing().server_cookie);
        let events = match con.rx.take_over(&mut con.tx, taken) {
            Ok(events) => events,
            Err(fault) => {
                self.fault(fault);
                return Ok(());
            }
        };
        socket.far.set_ready();
        (con.out, con.acked) = (0, 0);
        con.socket = Some(socket);
        let existing = con.tx.existing();
        // With a new session both sides count anew; one that goes on keeps its cookie.
        if existing.lossy || existing.server_cookie != cookie {
            con.last = 0;
        }
        assert_eq!((con.tx.state(), existing.lossy), (ConState::Open, lossy));
        self.server_cookie = existing.server_cookie;
        match events {
            [Some(Event::RemoteReset), Some(Event::Accepted(_))] => {
                assert!(reset && self.policy.resetcheck && con.tx.queued_bytes() == 0);
            }
            [None, Some(Event::Accepted(features))] => {
                assert!(!reset || !self.policy.resetcheck);
                // A session that goes on has less: what the dialler says that it has.
                assert!(con.tx.queued_bytes() <= queued);
                assert!((features & self.local.options.supported) == features);
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    fn round(&mut self) -> Result<(), Fault> {
        loop {
            let Some(con) = &mut self.con else { return Ok(()) };
            let Some(socket) = &mut con.socket else { return Ok(()) };
            let cx = Context { now: self.now, wall: NOW, local: &self.local, auth: &self.shows };
            let before = (socket.pipe.unread(), socket.pipe.output.len());
            con.tx.try_write(&mut socket.pipe, &cx)?;
            con.rx.readable();
            let limit = LONGEST + (128 << 10) + 4 * before.0;
            let read = bounded(limit, || con.rx.read_partial(&mut socket.pipe));
            if let Err(fault) = &read {
                let again = con.rx.read_partial(&mut Pipe::default()).err();
                assert_eq!(again.as_ref(), Some(fault), "a fault is for ever");
            }
            let Some(incoming) = read? else {
                if before == (socket.pipe.unread(), socket.pipe.output.len()) {
                    return Ok(());
                }
                continue;
            };
            match con.rx.process(&mut con.tx, incoming, &cx)? {
                Some(Event::Message(msg)) => {
                    let seq = msg.header.seq;
                    assert!(seq.ahead_of(Seq(con.last)) > 0, "{seq} behind {}", con.last);
                    con.last = seq.0;
                    assert!(msg.len() <= LONGEST);
                    self.held.push(msg);
                    let (messages, bytes) = self.throttle.held();
                    assert!(messages <= ROOM.0 && (bytes <= ROOM.1 || messages == 1));
                }
                Some(Event::Acked(seq)) => assert!(seq.ahead_of(con.tx.progress().0) <= 0),
                None | Some(Event::KeepaliveAck(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn fault(&mut self, fault: Fault) {
        let _ = fault.to_string();
        let Some(con) = &mut self.con else { return };
        let cx = Context { now: self.now, wall: NOW, local: &self.local, auth: &self.shows };
        let queued = con.tx.queued_bytes();
        let consequence = con_fault(&mut con.rx, &mut con.tx, &fault, &cx);
        con.socket = None;
        if consequence == Consequence::Close {
            assert_eq!(con.tx.state(), ConState::Closed);
            con.last = 0;
            return;
        }
        assert!(!self.policy.lossy);
        assert_eq!(con.tx.queued_bytes(), queued, "nothing is lost");
        let waits = consequence == Consequence::Standby;
        assert_eq!(con.tx.state(), if waits { ConState::Standby } else { ConState::Preopen });
        assert!(waits || !self.policy.server, "a server does not dial");
    }

    fn close(&mut self) {
        if let Some(con) = &mut self.con {
            con.tx.close();
            con.socket = None;
            con.last = 0;
            assert!(con.tx.is_acked() && con.tx.is_flushed() && !con.tx.wants_write());
            assert_eq!(con.tx.queued_bytes(), 0);
        }
    }

    /// What has gone out of the session.
    fn check(&mut self) {
        let Some(con) = &mut self.con else { return };
        assert!(!con.tx.is_acked() || con.tx.queued_bytes() == 0);
        if con.tx.state() != ConState::Open {
            return;
        }
        let Some(socket) = &mut con.socket else { return };
        while let Some(frame) = socket.far.read_next(&socket.pipe.output) {
            let payload = &frame.segments[0];
            match frame.tag {
                tag::SERVER_IDENT => {
                    let ident = ServerIdentFrame::from_payload(payload).expect("ours");
                    assert_eq!(con.out, 0, "the first thing");
                    assert_eq!(ident.cookie, con.tx.existing().server_cookie);
                    assert_eq!(ident.flags, u64::from(self.policy.lossy));
                    assert_eq!(ident.supported_features, self.local.options.supported);
                }
                // Of the handshake, which the input has gone through in its own way.
                ..=tag::WAIT => assert_eq!(con.out, 0, "tag {} behind a message", frame.tag),
                tag::MESSAGE => {
                    let (seq, ack) = seqs(&frame);
                    assert!(con.out < seq, "{seq} went out behind {}", con.out);
                    assert!(ack <= con.last, "ack {ack} of {}", con.last);
                    con.out = seq;
                }
                tag::ACK => {
                    let ack = AckFrame::from_payload(payload).expect("an ack").0.0;
                    assert!(con.acked < ack && ack <= con.last, "{ack} of {}", con.last);
                    assert!(!self.policy.lossy, "no ack is due");
                    con.acked = ack;
                }
                tag::KEEPALIVE2 => assert!(con.tx.takes_keepalives(), "to a client"),
                tag::KEEPALIVE2_ACK => {}
                other => panic!("tag {other} in an open session"),
            }
        }
    }

    /// Any session that there may be.
    fn existing(&self, input: &mut Input<'_>) -> Existing {
        let states = [
            ConState::Closed,
            ConState::Preopen,
            ConState::V2Banner,
            ConState::V2SessionConnect,
            ConState::V2SessionReconnect,
            ConState::Open,
            ConState::Standby,
        ];
        let (state, flags) = (input.u8(), input.u8());
        let bit = |n: u8| flags & 1 << n != 0;
        Existing {
            state: states[usize::from(state) % states.len()],
            connect_seq: ConnectSeq(input.near(0) as u32),
            peer_global_seq: GlobalSeq(input.near(1) as u32),
            client_cookie: input.near(self.client_cookie),
            server_cookie: input.near(self.server_cookie),
            lossy: bit(0),
            server: bit(1),
            once_ready: bit(2),
            replacing: bit(3),
        }
    }
}

fn hello() -> HelloFrame {
    let peer_addr = "v2:127.0.0.1:6801/9".parse().expect("an address");
    HelloFrame { entity_type: EntityType::CLIENT, peer_addr }
}

fn dialler() -> EntityAddr {
    "v2:10.1.2.3:0/7".parse().expect("an address")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the operation that opens a session needs to be worth something.
    #[test]
    fn a_session_opens_and_opens_again_with_all_options() {
        for options in (0..=255).filter(|options| options & 7 < 5) {
            for more in 0..16 {
                let mut world = World::new(options, more);
                world.accept();
                for round in 1..4 {
                    world.serve(HANDSHAKE, round > 1, &mut Input::new(&[]));
                    world.check();
                    let row = format!("options {options:#x}, {more:#x}, round {round}");
                    assert!(world.socket.is_none(), "{row}");
                    let con = world.con.as_ref().expect("a session");
                    assert_eq!(con.tx.state(), ConState::Open, "{row}");
                    let last = con.last;
                    assert_eq!(last, if world.policy.lossy { 0 } else { round - 1 }, "{row}");
                    world.peer_seq = last;
                    world.feed_message(false, &mut Input::new(&[0, 0, 1, b'x']));
                    world.send(&mut Input::new(&[1, b'y']));
                    world.work();
                    world.check();
                    let con = world.con.as_ref().expect("a session");
                    assert_eq!((con.last, con.tx.state()), (last + 1, ConState::Open), "{row}");
                    assert!(con.out > 0, "{row}");
                    world.held.clear();
                }
            }
        }
    }
}
