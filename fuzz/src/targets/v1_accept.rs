//! The accepting machine of messenger v1 against a dialler that the input plays, by operations: bytes
//! as they are, whole hellos, connect messages and messages that are right or almost, authorizers
//! that were answered, damaged or recorded, any session that may exist already, reads and writes cut
//! anywhere, and what an owner may do meanwhile.
//!
//! Two bytes of options, then operations of one byte and what they need.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ceph_msgr::auth::{AuthServer, Authorizer};
use ceph_msgr::limits;
use ceph_msgr::msgr::v1::{Accept, Offer, Request, Rx, con_fault};
use ceph_msgr::msgr::{
    AcceptContext, ConState, Consequence, Context, Decision, Event, Existing, Fault, Local,
    Message, MsgId, Options, Policies, Policy, Throttle, Tx, protocol_version,
};
use ceph_msgr::types::{ConnectSeq, EntityAddr, EntityType, Features, GlobalId, GlobalSeq};

use crate::input::Input;
use crate::keys::{NOW, name};
use crate::memory::bounded;
use crate::pipe::Pipe;
use crate::service::{Asks, GLOBAL_ID, Shows, server};
use crate::v1::{
    ACCEPTOR_HELLO_LEN, Connect, Frame, Msg, Reply, addr, client_hello, parse_frame, tag,
};

const MAX_OPS: usize = 256;
const NONCE: u32 = 7;
/// All segments of one message, at their longest.
const LONGEST: usize =
    (limits::MSG_MAX_FRONT_LEN + limits::MSG_MAX_MIDDLE_LEN + limits::MSG_MAX_DATA_LEN) as usize;
/// What a socket without a session may take: an authorizer, its parts, and its answer.
const HALF_OPEN: usize = 64 << 10;
/// Messages and bytes that the owner holds at most.
const ROOM: (usize, usize) = (3, 10_000);

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

/// A socket that has no session yet.
struct Socket {
    accept: Accept,
    pipe: Pipe,
    /// What the dialler shows on it, and whether it has, and has answered a challenge.
    shows: Option<Authorizer>,
    shown: bool,
    answered: bool,
    /// How much of what was written has been looked at.
    parsed: usize,
    /// Connect messages that were processed, of which each has one answer.
    requests: usize,
    replies: usize,
    /// What is to be tried next, by the last of them.
    connect_seq: u32,
}

/// The session.
struct Con {
    rx: Rx,
    tx: Tx,
    pipe: Pipe,
    /// The reply that opens it has yet to be looked at.
    reply_due: bool,
    seq_due: bool,
    parsed: usize,
    /// The number of the last message that its owner got.
    last: u64,
    /// The last of each kind that went out on this socket.
    out: u64,
    acked: u64,
    sent: Vec<MsgId>,
}

struct World {
    asks: Asks,
    require_challenge: bool,
    small_only: bool,
    own: EntityAddr,
    local: Local,
    auth: Box<dyn AuthServer>,
    policy: Policy,
    policies: Policies,
    throttle: Arc<Throttle>,
    shows: Shows,
    nonce: u64,
    recorded: Vec<u8>,
    now: Instant,
    socket: Option<Socket>,
    con: Option<Con>,
    /// What the next offer finds, in place of what there is.
    pretend: Option<Existing>,
    global_seq: u32,
    /// The number of the last message that the dialler sent as it should.
    peer_seq: u64,
    held: Vec<Message>,
    /// Number, front and middle of all messages that were signed with the session's key.
    signed: Vec<(u64, Vec<u8>, Vec<u8>)>,
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
        ]
        .get(usize::from(options & 7))
        .copied()
        .unwrap_or(Policy::STATEFUL_SERVER);
        let asks = Asks::new(options >> 3);
        let service = [EntityType::MDS, EntityType::OSD, EntityType::MON, EntityType::MGR]
            [usize::from(more & 3)];
        let required =
            if more & 4 != 0 { Features::NONE.with(Features::MSG_AUTH) } else { Features::NONE };
        let supported = if more & 8 != 0 { Features::NONE } else { Features::SUPPORTED };
        let options = Options {
            crc_data: !bit(6),
            sign_messages: !bit(7),
            supported,
            required,
            ..Options::default()
        };
        Self {
            asks,
            require_challenge: !bit(5),
            small_only: more & 16 != 0,
            own: "v1:127.0.0.1:6801/9".parse().expect("an address"),
            local: Local::new(service, 9, options),
            auth: server(asks, service, !bit(5)),
            policy,
            policies: Policies::new(policy),
            throttle: Throttle::new(ROOM.0, ROOM.1),
            shows: Shows::new(asks, name(EntityType::CLIENT, "admin")),
            nonce: 0,
            recorded: Vec::new(),
            now: Instant::now(),
            socket: None,
            con: None,
            pretend: None,
            global_seq: 0,
            peer_seq: 0,
            held: Vec::new(),
            signed: Vec::new(),
        }
    }

    /// The dialler makes another socket.
    fn accept(&mut self) {
        self.nonce += 1;
        let accept = Accept::new(self.own, "10.1.2.3:51234".parse().expect("an address"));
        let shows = self.shows.authorizer(self.service(), self.nonce);
        self.socket = Some(Socket {
            accept,
            pipe: Pipe::default(),
            shows,
            shown: false,
            answered: false,
            parsed: 0,
            requests: 0,
            replies: 0,
            connect_seq: self.con.as_ref().map_or(0, |con| con.tx.existing().connect_seq.0),
        });
    }

    fn service(&self) -> EntityType {
        self.local.name().entity_type
    }

    /// Where the dialler's bytes go.
    fn feed(&mut self, bytes: &[u8]) {
        if let Some(pipe) = self.pipe() {
            pipe.feed(bytes);
        }
    }

    fn pipe(&mut self) -> Option<&mut Pipe> {
        let con = self.con.as_mut().map(|con| &mut con.pipe);
        self.socket.as_mut().map(|socket| &mut socket.pipe).or(con)
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let op = input.u8();
        let flag = op & 0x80 != 0;
        match op % 23 {
            0 => {
                let times = if flag { 128 } else { 1 };
                let bytes = input.chunk().repeat(times);
                self.feed(&bytes);
            }
            1 => self.feed(&client_hello(NONCE + u32::from(input.u8() & 1))),
            2 => {
                let known = [b"ceph v027", &addr([10, 0, 0, 1], 6800, NONCE)[..]].concat();
                let mut bytes = if flag { known } else { client_hello(NONCE) };
                input.damage(&mut bytes);
                self.feed(&bytes);
            }
            3 => self.feed_connect(input),
            // From a new socket to an open session, as it should be.
            4 => self.open(flag),
            5 => self.feed_message(input),
            6 => {
                let lens = [input.u32(), input.u32(), input.u32()];
                self.feed(&[tag::MSG]);
                let seq = input.near(self.peer_seq.wrapping_add(1));
                self.feed(&Msg::header(seq, lens));
            }
            7 => {
                let last = self.con.as_ref().map_or(0, |con| con.tx.progress().0.0);
                self.feed_word(tag::ACK, input.near(last));
            }
            8 => self.feed_word(tag::KEEPALIVE2 + u8::from(flag), input.u64()),
            9 => self.feed(&[if flag { tag::CLOSE } else { tag::KEEPALIVE }]),
            10 => self.send(input),
            11 => {
                let n = usize::from(input.u8());
                if let Some(con) = &mut self.con
                    && let Some(id) = n.checked_rem(con.sent.len()).and_then(|n| con.sent.get(n))
                {
                    con.tx.revoke(*id);
                }
            }
            12 => {
                if let Some(con) = &mut self.con {
                    con.tx.keepalive();
                }
            }
            13 => self.pipe().into_iter().for_each(|pipe| pipe.eof = true),
            14 => self.pipe().into_iter().for_each(|pipe| pipe.reset = true),
            15 => {
                let per = |n: u8| if n == 0 { usize::MAX } else { n.into() };
                let knobs = [input.u8(), input.u8(), input.u8()].map(per);
                if let Some(pipe) = self.pipe() {
                    [pipe.per_recv, pipe.per_send, pipe.budget] = knobs;
                }
            }
            16 => self.pipe().into_iter().for_each(|pipe| pipe.budget = usize::MAX),
            17 => self.fault(Fault::TimedOut("sign of life")),
            18 if flag => self.close(),
            18 => self.held.clear(),
            19 => self.accept(),
            // What it says that it has, behind SEQ.
            20 => {
                let out = self.con.as_ref().map_or(0, |con| con.tx.progress().1.0);
                self.feed(&input.near(out).to_le_bytes());
            }
            21 => self.pretend = Some(existing(input)),
            _ => self.dial(),
        }
        // Some operations wait for others before the machine runs.
        if op & 0x40 == 0 {
            self.work();
        }
    }

    fn feed_word(&mut self, tag: u8, word: u64) {
        self.feed(&[tag]);
        self.feed(&word.to_le_bytes());
    }

    fn connect(&mut self, connect_seq: u32) -> Connect {
        self.global_seq += 1;
        let shows = self.socket.as_ref().and_then(|socket| socket.shows.as_ref());
        Connect {
            features: Features::SUPPORTED.0,
            host_type: EntityType::CLIENT.0.into(),
            global_seq: self.global_seq,
            connect_seq,
            protocol_version: protocol_version(self.service(), EntityType::CLIENT),
            authorizer_protocol: shows.map_or(0, Authorizer::protocol),
            authorizer: shows.map_or(Vec::new(), |shows| shows.bytes().to_vec()),
        }
    }

    fn feed_connect(&mut self, input: &mut Input<'_>) {
        let seen = self.con.as_ref().map_or(0, |con| con.tx.existing().connect_seq.0);
        let mut connect = self.connect(input.near(seen.into()) as u32);
        let mut ours = true;
        match input.u8() {
            0 => {}
            1 => connect.features = input.u64(),
            2 => connect.features &= !(1 << (input.u8() & 63)),
            3 => {
                connect.host_type = input.u8().into();
                let kind = EntityType(connect.host_type as u8);
                connect.protocol_version = protocol_version(self.service(), kind);
            }
            4 => connect.protocol_version = input.u32(),
            5 => connect.global_seq = input.near(connect.global_seq.into()) as u32,
            6 => connect.authorizer_protocol = input.u8().into(),
            7 => (connect.authorizer, ours) = (input.long_chunk().to_vec(), false),
            8 => (connect.authorizer, ours) = (self.recorded.clone(), false),
            _ => drop(input.damage(&mut connect.authorizer)),
        }
        let mut bytes = connect.bytes();
        if input.bool() {
            input.damage(&mut bytes[..33]);
        }
        // Without a challenge, what was recorded is as good as new.
        let recorded = !self.recorded.is_empty() && !self.require_challenge;
        if let Some(socket) = &mut self.socket {
            socket.shown |= ours || recorded;
        }
        self.feed(&bytes);
    }

    /// All of a handshake, from wherever it is.
    fn open(&mut self, new: bool) {
        if new || self.socket.is_none() {
            self.accept();
        }
        if let Some(socket) = &mut self.socket
            && !socket.accept.is_introduced()
            && socket.pipe.unread() == 0
        {
            socket.pipe.feed(&client_hello(NONCE));
        }
        self.work();
        for _ in 0..4 {
            let Some((seq, replies)) = self.socket.as_ref().map(|s| (s.connect_seq, s.replies))
            else {
                break;
            };
            let connect = self.connect(seq);
            if let Some(socket) = &mut self.socket {
                socket.shown = true;
                socket.pipe.feed(&connect.bytes());
            }
            self.work();
            if self.socket.as_ref().is_some_and(|socket| socket.replies == replies) {
                break;
            }
        }
        if let Some(con) = &mut self.con
            && self.socket.is_none()
            && con.tx.state() == ConState::AcceptingWaitSeq
        {
            con.pipe.feed(&con.tx.progress().1.0.to_le_bytes());
            self.work();
        }
    }

    fn feed_message(&mut self, input: &mut Input<'_>) {
        let seq = input.near(self.peer_seq.wrapping_add(1));
        let segments = [input.chunk(), input.chunk(), input.long_chunk()].map(<[u8]>::to_vec);
        let key = self.shows.session_key().filter(|_| self.local.options.sign_messages);
        let flags = match input.u8() {
            0 => 1 | if key.is_some() { 4 } else { 0 },
            other => other,
        };
        let features = self.con.as_ref().map_or(Features::NONE, |con| con.tx.features());
        // Or with no key at all.
        let key = key.filter(|_| flags & 0x80 == 0);
        if key.is_some() {
            self.signed.push((seq, segments[0].clone(), segments[1].clone()));
        }
        let mut bytes = Msg { seq, segments, flags }.bytes(features, key);
        input.damage(&mut bytes);
        self.feed(&bytes);
        self.peer_seq = seq;
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let msg = Message::new(42, Bytes::copy_from_slice(input.chunk()));
        let data = vec![input.u8(); input.u16().into()];
        if let Some(con) = &mut self.con {
            con.sent.push(con.tx.send(msg.with_data(data)));
        }
    }

    /// A side that may dial does, into the void.
    fn dial(&mut self) {
        let cx = Context { now: self.now, wall: NOW, local: &self.local, auth: &self.shows };
        if let Some(con) = &mut self.con
            && con.tx.state() == ConState::Preopen
            && !self.policy.server
        {
            con.new_pipe();
            con.rx.prepare_read_banner();
            con.tx.prepare_write_banner(&cx);
        }
    }

    /// Once the loops of both workers.
    fn work(&mut self) {
        while let Some(mut socket) = self.socket.take() {
            match self.handshake(&mut socket) {
                Ok(None) => {
                    self.socket = Some(socket);
                    break;
                }
                Ok(Some(offer)) => self.settle(socket, offer),
                Err(_) => break,
            }
        }
        let runs = self.con.as_ref().is_some_and(|con| {
            !matches!(con.tx.state(), ConState::Closed | ConState::Preopen | ConState::Standby)
        });
        if runs && let Err(fault) = self.round() {
            self.fault(fault);
        }
    }

    fn context(&self) -> AcceptContext<'_> {
        let (local, auth, policies) = (&self.local, &*self.auth, &self.policies);
        AcceptContext { wall: NOW, local, auth, policies }
    }

    fn handshake(&self, socket: &mut Socket) -> Result<Option<Offer>, Fault> {
        loop {
            let done = socket.accept.try_write(&mut socket.pipe)?;
            self.look_at_replies(socket);
            let before = (socket.pipe.unread(), done);
            let Socket { accept, pipe, .. } = socket;
            accept.readable();
            let read = bounded(HALF_OPEN, || accept.read_partial(pipe));
            if before.0 != pipe.unread() {
                assert!(done, "nothing is read before everything is written");
            }
            if let Err(fault) = &read {
                let _ = fault.to_string();
                let mut other = Pipe::default();
                other.feed(&client_hello(NONCE));
                accept.readable();
                let again = accept.read_partial(&mut other).err();
                assert!(again.as_ref() == Some(fault), "a fault is for ever");
            }
            let Some(request) = read? else { return Ok(None) };
            let (introduced, is_hello) =
                (accept.is_introduced(), matches!(request, Request::Hello(_)));
            assert!(introduced != is_hello || socket.requests == 0, "one hello on each socket");
            socket.requests += usize::from(!is_hello);
            let offer = bounded(HALF_OPEN, || accept.process(request, &self.context()))?;
            if offer.is_some() {
                return Ok(offer);
            }
        }
    }

    /// Everything that goes out before a session opens.
    fn look_at_replies(&self, socket: &mut Socket) {
        let output = &socket.pipe.output;
        if socket.requests == 0 {
            let hello = [
                b"ceph v027",
                &addr([127, 0, 0, 1], 6801, 9)[..],
                &addr([10, 1, 2, 3], 51234, 0)[..],
            ];
            assert!(hello.concat().starts_with(output), "{} bytes of a hello", output.len());
            return;
        }
        socket.parsed = socket.parsed.max(ACCEPTOR_HELLO_LEN);
        while let Some((reply, rest)) = Reply::parse(&socket.pipe.output[socket.parsed..]) {
            socket.parsed = socket.pipe.output.len() - rest.len();
            socket.replies += 1;
            let proofs = reply.authorizer.len();
            match reply.tag {
                tag::BADPROTOVER | tag::BADAUTHORIZER | tag::FEATURES => assert_eq!(proofs, 0),
                tag::CHALLENGE_AUTHORIZER => {
                    assert!(matches!(self.asks, Asks::Ticket(_)) && proofs > 0);
                    let shows = socket.shows.as_mut().expect("it has a ticket");
                    socket.answered |= shows.add_challenge(&reply.authorizer).is_ok();
                }
                tag::RESETSESSION | tag::WAIT | tag::RETRY_SESSION | tag::RETRY_GLOBAL => {
                    assert_eq!(proofs > 0, matches!(self.asks, Asks::Ticket(_)));
                }
                other => panic!("tag {other} where nothing opens"),
            }
            match reply.tag {
                tag::RETRY_SESSION => socket.connect_seq = reply.connect_seq,
                tag::RESETSESSION => socket.connect_seq = 0,
                _ => {}
            }
            assert!(reply.flags == 0);
            assert!(reply.connect_seq == 0 || reply.tag == tag::RETRY_SESSION);
            assert!(reply.global_seq == 0 || reply.tag == tag::RETRY_GLOBAL);
        }
        assert!(socket.replies <= socket.requests, "each request has one answer");
        assert!(socket.requests <= limits::MAX_CONNECT_ROUNDS as usize + 1);
    }

    fn must_be_proved(&self, socket: &Socket, offer: &Offer) {
        let Some(accepted) = offer.authorizer() else {
            assert_eq!(self.asks, Asks::Nothing, "nothing was shown");
            return;
        };
        assert_ne!(self.asks, Asks::Nothing, "nothing was asked for");
        assert_eq!(accepted.peer.name.entity_type, offer.peer().name.entity_type);
        if let Asks::Ticket(_) = self.asks {
            assert!(socket.shown, "nobody has shown the ticket");
            assert!(socket.answered || !self.require_challenge, "nobody has answered");
            assert_eq!(accepted.peer.name, name(EntityType::CLIENT, "admin"));
            assert_eq!(accepted.peer.global_id, GlobalId(GLOBAL_ID));
        }
    }

    fn settle(&mut self, mut socket: Socket, offer: Offer) {
        self.must_be_proved(&socket, &offer);
        let real = self.con.as_ref().map(|con| con.tx.existing());
        let seen = self.pretend.take().or(real);
        let decision = offer.decide(seen.as_ref(), self.own);
        let ex = seen.filter(|ex| ex.state != ConState::Closed);
        let retry = match decision {
            Decision::Open | Decision::ReplaceLossy => {
                assert!(self.policy.is_stateless() || ex.is_none_or(|ex| ex.lossy));
                self.con = None;
                self.take_over(socket, offer, false);
                return;
            }
            Decision::Replace | Decision::ReplaceReset => {
                assert!(!self.policy.is_stateless() && ex.is_some());
                self.take_over(socket, offer, decision == Decision::ReplaceReset);
                return;
            }
            Decision::Retry(retry) => retry,
            Decision::Stale => panic!("which v1 never is"),
        };
        socket.accept.retry(&offer, retry, &self.context());
        self.socket = Some(socket);
    }

    fn take_over(&mut self, socket: Socket, offer: Offer, reset: bool) {
        let Socket { accept, pipe, shows, replies, requests, .. } = socket;
        assert_eq!(replies + 1, requests, "the answers before are out");
        self.recorded = shows.map_or(Vec::new(), |shows| shows.bytes().to_vec());
        let is_client = offer.peer().name.is_client();
        let (parsed, lossy) = (pipe.output.len(), offer.peer().policy.lossy);
        let taken = accept.take_over(offer, reset, &self.context());
        let (mut rx, tx) = taken.connection(&self.local);
        rx.set_throttle(Some(Arc::clone(&self.throttle)));
        rx.set_small_only(self.small_only);
        let new = || Con {
            rx,
            tx,
            pipe: Pipe::default(),
            reply_due: true,
            seq_due: false,
            parsed: 0,
            last: 0,
            out: 0,
            acked: 0,
            sent: Vec::new(),
        };
        let con = self.con.get_or_insert_with(new);
        con.new_pipe();
        (con.pipe, con.parsed) = (pipe, parsed);
        if reset {
            con.last = 0;
        }
        let queued = con.tx.queued_bytes();
        let events = con.rx.take_over(&mut con.tx, taken);
        con.reply_due = true;
        con.seq_due = con.tx.state() == ConState::AcceptingWaitSeq;
        assert_eq!(con.tx.existing().lossy, lossy);
        assert_eq!(con.tx.takes_keepalives(), !is_client);
        match events {
            [Some(Event::RemoteReset), rest] => {
                assert!(reset && self.policy.resetcheck && con.tx.queued_bytes() == 0);
                assert!(rest.is_none_or(|event| matches!(event, Event::Accepted(_))));
            }
            [None, rest] => {
                assert!(!reset || !self.policy.resetcheck);
                assert_eq!(con.tx.queued_bytes(), queued, "nothing is lost");
                assert_eq!(rest.is_some(), !con.seq_due);
            }
            other => panic!("{other:?}"),
        }
    }

    fn round(&mut self) -> Result<(), Fault> {
        loop {
            let Some(con) = &mut self.con else { return Ok(()) };
            let cx = Context { now: self.now, wall: NOW, local: &self.local, auth: &self.shows };
            let before = (con.pipe.unread(), con.pipe.output.len());
            con.tx.try_write(&mut con.pipe, &cx)?;
            con.rx.readable();
            let mut event = None;
            if !con.tx.is_gated() {
                let longest =
                    if self.small_only { limits::MAX_UNAUTHENTICATED_LEN } else { LONGEST };
                let limit = longest + (128 << 10) + 4 * before.0;
                let read = bounded(limit, || con.rx.read_partial(&mut con.pipe));
                if let Err(fault) = &read {
                    let again = con.rx.read_partial(&mut Pipe::default()).err();
                    assert_eq!(again.as_ref(), Some(fault), "a fault is for ever");
                }
                let read = read?;
                let progress = read.is_some();
                if let Some(incoming) = read {
                    event = con.rx.process(&mut con.tx, incoming, &cx)?;
                }
                if !progress && before == (con.pipe.unread(), con.pipe.output.len()) {
                    return Ok(());
                }
            } else if before == (con.pipe.unread(), con.pipe.output.len()) {
                return Ok(());
            }
            if let Some(event) = event {
                self.tell(event);
            }
        }
    }

    fn tell(&mut self, event: Event) {
        let Some(con) = &mut self.con else { return };
        match event {
            Event::Accepted(features) => {
                assert!(con.seq_due && con.tx.state() == ConState::Open);
                assert!((features & self.local.options.supported) == features);
            }
            Event::Message(msg) => {
                let seq = msg.header.seq.0;
                assert!(msg.header.seq.ahead_of(ceph_msgr::types::Seq(con.last)) > 0, "{seq}");
                con.last = seq;
                assert!(msg.len() <= LONGEST);
                let signs = self.local.options.sign_messages
                    && matches!(self.asks, Asks::Ticket(_))
                    && con.tx.features().has(Features::MSG_AUTH);
                if signs {
                    let key = |(n, front, middle): &(u64, Vec<u8>, Vec<u8>)| {
                        *n == seq && msg.front == front[..] && msg.middle == middle[..]
                    };
                    assert!(self.signed.iter().any(key), "nobody has signed {seq}");
                }
                self.held.push(msg);
                if !self.small_only {
                    let (messages, bytes) = self.throttle.held();
                    assert!(messages <= ROOM.0 && (bytes <= ROOM.1 || messages == 1));
                }
            }
            Event::Acked(seq) => assert!(seq.ahead_of(con.tx.progress().0) <= 0),
            Event::KeepaliveAck(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn fault(&mut self, fault: Fault) {
        let _ = fault.to_string();
        let Some(con) = &mut self.con else { return };
        let cx = Context { now: self.now, wall: NOW, local: &self.local, auth: &self.shows };
        let queued = con.tx.queued_bytes();
        let consequence = con_fault(&mut con.rx, &mut con.tx, &fault, &cx);
        con.new_pipe();
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
            con.new_pipe();
            con.last = 0;
            assert!(con.tx.is_acked() && con.tx.is_flushed() && !con.tx.wants_write());
            assert_eq!(con.tx.queued_bytes(), 0);
        }
    }

    /// What has gone out of the session.
    fn check(&mut self) {
        let Some(con) = &mut self.con else { return };
        assert!(!con.tx.is_acked() || con.tx.queued_bytes() == 0);
        let state = con.tx.state();
        if !matches!(state, ConState::Open | ConState::AcceptingWaitSeq) {
            return;
        }
        let output = &con.pipe.output;
        if con.reply_due {
            let Some((reply, rest)) = Reply::parse(&output[con.parsed..]) else { return };
            let Some(rest) = rest.get(if con.seq_due { 8 } else { 0 }..) else { return };
            assert_eq!(reply.tag, if con.seq_due { tag::SEQ } else { tag::READY });
            assert_eq!(reply.features, self.local.options.supported.0);
            assert_eq!(reply.connect_seq, con.tx.existing().connect_seq.0);
            assert_eq!(reply.flags, u8::from(self.policy.lossy));
            assert_eq!(!reply.authorizer.is_empty(), matches!(self.asks, Asks::Ticket(_)));
            con.parsed = output.len() - rest.len();
            con.reply_due = false;
        }
        let features = con.tx.features();
        while let Some((frame, rest)) = parse_frame(&output[con.parsed..], features) {
            assert_eq!(state, ConState::Open, "{frame:?} before the session is open");
            let tag = output[con.parsed];
            let asks = tag == tag::KEEPALIVE || tag == tag::KEEPALIVE2;
            assert!(con.tx.takes_keepalives() || !asks, "tag {tag} to a client");
            con.parsed = output.len() - rest.len();
            match frame {
                Frame::Msg(seq, ..) => {
                    assert!(con.out < seq, "{seq} went out behind {}", con.out);
                    con.out = seq;
                }
                Frame::Ack(seq) => {
                    assert!(con.acked <= seq && seq <= con.last, "ack {seq} of {}", con.last);
                    assert!(!self.policy.lossy, "no ack is due");
                    con.acked = seq;
                }
                Frame::Keepalive => {}
            }
        }
    }
}

impl Con {
    fn new_pipe(&mut self) {
        self.pipe = Pipe::default();
        (self.parsed, self.out, self.acked) = (0, 0, 0);
        (self.reply_due, self.seq_due) = (false, false);
    }
}

/// Any session that there may be.
fn existing(input: &mut Input<'_>) -> Existing {
    let states = [
        ConState::Closed,
        ConState::Preopen,
        ConState::V1Banner,
        ConState::V1ConnectMsg,
        ConState::AcceptingWaitSeq,
        ConState::Open,
        ConState::Standby,
    ];
    let (state, flags) = (input.u8(), input.u8());
    let bit = |n: u8| flags & 1 << n != 0;
    Existing {
        state: states[usize::from(state) % states.len()],
        connect_seq: ConnectSeq(input.near(0) as u32),
        peer_global_seq: GlobalSeq(input.near(1) as u32),
        lossy: bit(0),
        server: bit(1),
        once_ready: bit(2),
        replacing: bit(3),
        client_cookie: 0,
        server_cookie: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the operation that opens a session needs to be worth something.
    #[test]
    fn a_session_opens_with_every_policy_and_every_kind_of_authorizer() {
        assert_eq!(ACCEPTOR_HELLO_LEN, 281);
        assert_eq!(client_hello(1).len(), 145);
        for options in (0..64).filter(|options| options & 7 < 5) {
            for more in 0..4 {
                let mut world = World::new(options, more);
                for round in 1..4 {
                    world.open(true);
                    world.check();
                    let row = format!("options {options:#x}, {more:#x}, round {round}");
                    assert!(world.socket.is_none(), "{row}");
                    let con = world.con.as_ref().expect("a session");
                    assert_eq!(con.tx.state(), ConState::Open, "{row}");
                    // A whole message of one byte, signed where the session is.
                    let last = con.last;
                    world.peer_seq = last;
                    world.feed_message(&mut Input::new(&[0, 1, b'x']));
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
