//! Our own connecting and accepting machines against each other, with the owners
//! and the network played by the input: messages from both sides, taken back or not, bytes that
//! are carried a few at a time, sockets that are cut, stall, or die without a sign, sessions that
//! are closed, and processes that begin anew. At the end everything is carried that can be.
//!
//! Two bytes of options, then operations of one byte and what they need.

use std::sync::Arc;
use std::time::Instant;

use ceph_msgr::auth::{AuthServer, ConMode};
use ceph_msgr::msgr::{
    Accept, AcceptContext, ConState, Consequence, Context, Decision, Event, Existing, Fault, Local,
    Message, MsgId, Offer, Options, Peer, Policies, Policy, Retry, Rx, TakeOver, Throttle, Tx,
    con_fault, connection,
};
use ceph_msgr::types::{
    AddrType, EntityAddr, EntityName, EntityType, Features, GlobalSeq, Tid, UTime,
};

use crate::input::Input;
use crate::keys::{NOW, name};
use crate::pipe::Pipe;
use crate::service::{Asks, Shows, server};

const MAX_OPS: usize = 128;
const MAX_SENT: usize = 200;
/// Rounds in which nothing new arrives, as where one waits for a backoff.
const MAX_ROUNDS: usize = 64;
/// The end of a socket that has dialled it, and the one that has accepted it.
const DIALLER: usize = 0;
const ACCEPTOR: usize = 1;

/// The modes of a pair that speaks messenger v2.
const MODES: [&[ConMode]; 4] = [
    &[ConMode::Crc],
    &[ConMode::Secure],
    &[ConMode::Crc, ConMode::Secure],
    &[ConMode::Secure, ConMode::Crc],
];

/// The target, with the protocol of such addresses.
pub fn run(protocol: AddrType, data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(protocol, input.u8(), input.u8());
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.finish();
}

/// A socket.
#[derive(Default)]
struct Wire {
    ends: [Pipe; 2],
    closed: [bool; 2],
    /// Nothing gets through any more, not even its end.
    dead: bool,
    /// How many sessions its dialler had lost when it began.
    lost: usize,
}

impl Wire {
    /// Carries up to `n` bytes away from an end.
    fn carry(&mut self, from: usize, n: usize) -> bool {
        if self.dead || self.ends[1 - from].reset {
            return false;
        }
        let [dialler, acceptor] = &mut self.ends;
        let (out, into) = if from == DIALLER { (dialler, acceptor) } else { (acceptor, dialler) };
        let before = out.uncarried();
        out.carry(into, n);
        let moved = before != out.uncarried();
        if self.closed[from] && out.uncarried() == 0 {
            into.eof = true;
        }
        if self.closed[1 - from] && moved {
            out.reset = true;
        }
        moved
    }

    fn close(&mut self, end: usize, abrupt: bool) {
        self.closed[end] = true;
        self.ends[1 - end].reset |= abrupt && !self.dead;
    }
}

/// A connection of one side.
struct Con {
    id: usize,
    rx: Rx,
    tx: Tx,
    /// Its socket, and which end of it.
    wire: Option<(usize, usize)>,
    take_over: Option<(usize, TakeOver)>,
    registered: bool,
    /// Is to be dialled by the peer first.
    waits: bool,
    /// The session is open, and the peer knows it.
    open: bool,
    /// The peer's owner has closed what was open: this one must be told.
    owed: bool,
    /// How many sessions the peer had lost when this one heard of it last.
    seen: usize,
    /// The last message that came, and the connection that it came from.
    last: Option<usize>,
    from: Option<usize>,
}

/// A process.
struct Side {
    own: EntityAddr,
    peer: Peer,
    listens: bool,
    local: Local,
    policies: Policies,
    auth: Box<dyn AuthServer>,
    shows: Shows,
    throttle: Arc<Throttle>,
    cons: Vec<Con>,
    accepts: Vec<(usize, Accept)>,
    /// Messages that its owner has yet to be done with.
    held: Vec<Message>,
    /// Sessions that its owner has closed.
    lost: usize,
    revoked: bool,
}

/// A message that was sent.
struct Sent {
    side: usize,
    con: usize,
    id: MsgId,
    len: usize,
    revoked: bool,
    /// Its session was closed or reset, and its sender knows.
    gone: bool,
    arrived: bool,
}

struct World {
    sides: [Side; 2],
    wires: Vec<Wire>,
    sent: Vec<Sent>,
    lossy: bool,
    seq: bool,
    abrupt: bool,
    now: Instant,
    wall: UTime,
    next_con: usize,
    /// Grows with all that happens.
    moves: usize,
}

struct Terms {
    types: [EntityType; 2],
    /// Towards the other.
    policies: [Policy; 2],
}

fn terms(n: u8) -> Terms {
    let (client, mon) = (EntityType::CLIENT, EntityType::MON);
    let (osd, mds) = (EntityType::OSD, EntityType::MDS);
    let (types, policies) = match n % 8 {
        0 | 1 => ([client, mds], [Policy::LOSSLESS_CLIENT, Policy::STATEFUL_SERVER]),
        2 | 3 => ([osd, osd], [Policy::LOSSLESS_PEER; 2]),
        4 | 5 => ([mon, mon], [Policy::LOSSLESS_PEER_REUSE; 2]),
        6 => ([client, mon], [Policy::LOSSY_CLIENT, Policy::STATELESS_SERVER]),
        _ => ([client, osd], [Policy::LOSSY_CLIENT, Policy::STATELESS_REGISTERED_SERVER]),
    };
    Terms { types, policies }
}

impl Side {
    fn new(
        protocol: AddrType,
        n: usize,
        terms: &Terms,
        options: Options,
        more: u8,
        asks: Asks,
    ) -> Self {
        let types = terms.types;
        let client = |n: usize| types[n] == EntityType::CLIENT;
        // Of two that dial each other, one has the lower address.
        let nonce = |n: usize| if (n == 0) == (more & 1 != 0) { 300 } else { 256 };
        let addr = |n: usize| -> EntityAddr {
            let addr = format!("v1:127.0.0.1:{}/{}", 6800 + n, nonce(n));
            EntityAddr { addr_type: protocol, ..addr.parse().expect("an address") }
        };
        let peer = Peer {
            name: EntityName::new(types[1 - n], 1 - n as i64),
            addr: addr(1 - n),
            policy: terms.policies[n],
        };
        let id = if client(n) { "admin" } else { ["0", "1"][n] };
        let room = if more & 2 != 0 { (2, 40) } else { (1000, 1 << 20) };
        let mut side = Self {
            own: addr(n),
            peer,
            listens: !client(n),
            local: Local::new(types[n], nonce(n), options),
            policies: Policies::new(terms.policies[n]),
            auth: server(asks, types[n], true),
            shows: Shows::new(asks, name(types[n], id)),
            throttle: Throttle::new(room.0, room.1),
            cons: Vec::new(),
            accepts: Vec::new(),
            held: Vec::new(),
            lost: 0,
            revoked: false,
        };
        side.begin();
        side
    }

    /// The process begins, or begins anew.
    fn begin(&mut self) {
        let own = self.local.name().entity_type;
        let seq = self.local.global_seq(GlobalSeq(0));
        self.local = Local::new(own, self.own.nonce, self.local.options);
        if self.own.addr_type == AddrType::MSGR2 {
            // There the process would have another nonce. With this one, and a counter that begins
            // anew, it stays out until it has tried often enough.
            self.local.global_seq(seq);
        }
        if self.listens {
            self.local.set_addrs(&[self.own]);
        }
    }

    fn dials(&self) -> bool {
        !self.peer.policy.server
    }

    /// The session that the peer can come back to, or the last one where there is none such.
    fn current(&self) -> Option<usize> {
        self.cons.iter().rposition(|con| con.registered || !self.dials())
    }
}

impl World {
    fn new(protocol: AddrType, options: u8, more: u8) -> Self {
        let v2 = protocol == AddrType::MSGR2;
        let bit = |n: u8| options & 1 << n != 0;
        let terms = terms(options);
        let asks = match Asks::new(options >> 3) {
            // Somebody must be shown with messenger v2.
            Asks::Nothing if v2 => Asks::Name,
            asks => asks,
        };
        let modes = match asks {
            Asks::Ticket(_) => MODES[usize::from(options >> 5 & 3)],
            // There is no key for the other.
            _ => MODES[0],
        };
        // Of a peer that begins anew without SEQ, and without a check for that, nobody hears.
        let seq = v2 || !bit(5) || terms.policies[0] == Policy::LOSSLESS_PEER;
        let lacks = [
            (!seq, Features::RECONNECT_SEQ, 0),
            (!v2 && bit(6), Features::MSG_AUTH, 1),
            (bit(7), Features::MSGR_KEEPALIVE2, 1),
        ];
        let options_of = |n: usize| {
            let missing = lacks
                .iter()
                .filter(|(lacks, _, side)| *lacks && *side == n)
                .fold(Features::NONE, |all, (_, feature, _)| all.with(*feature));
            let supported = Features::SUPPORTED.missing_in(missing);
            // With v2 nothing tells the peer that there is none.
            let crc_data = if v2 { more & 4 == 0 } else { more & 4 << n == 0 };
            Options { supported, crc_data, modes, mon_modes: modes, ..Options::default() }
        };
        Self {
            sides: [0, 1].map(|n| Side::new(protocol, n, &terms, options_of(n), more, asks)),
            wires: Vec::new(),
            sent: Vec::new(),
            lossy: terms.policies[0].lossy,
            seq,
            abrupt: false,
            now: Instant::now(),
            wall: NOW,
            next_con: 0,
            moves: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let op = input.u8();
        let (s, flag) = (usize::from(op >> 4 & 1), op & 0x20 != 0);
        self.wall.sec += 1;
        let wire = self.wire_of(s);
        match op % 16 {
            0 => self.send(s, usize::from(input.u8()) << if flag { 6 } else { 0 }),
            1 => (0..input.u8() % 16).for_each(|n| self.send(s, n.into())),
            2 => self.revoke(s, input.u8().into()),
            3 => {
                if let Some(i) = self.sides[s].current() {
                    self.sides[s].cons[i].tx.keepalive();
                }
            }
            4 => {
                let n = input.u8().into();
                if let Some((w, end)) = wire {
                    self.wires[w].carry(if flag { 1 - end } else { end }, n);
                }
            }
            5 => {
                let (w, n) = (usize::from(input.u8()), input.u16().into());
                if let Some(wire) = w.checked_rem(self.wires.len()).map(|w| &mut self.wires[w]) {
                    wire.carry(s, n);
                }
            }
            6 => drop(self.carry_all()),
            7 => {
                if let Some((w, end)) = wire {
                    let wire = &mut self.wires[w];
                    match flag {
                        true => wire.ends.iter_mut().for_each(|end| end.reset = true),
                        false => wire.ends[end].reset = true,
                    }
                }
            }
            8 => {
                if let Some((w, _)) = wire {
                    self.wires[w].dead = true;
                }
            }
            9 => {
                if wire.is_some()
                    && let Some(i) = self.sides[s].current()
                {
                    self.fault(s, i, Fault::TimedOut("sign of life"));
                }
            }
            10 => {
                let per = |n: u8| if n == 0 { usize::MAX } else { n.into() };
                let knobs = [input.u8(), input.u8(), input.u8()].map(per);
                if let Some((w, end)) = wire {
                    let pipe = &mut self.wires[w].ends[end];
                    [pipe.per_recv, pipe.per_send, pipe.budget] = knobs;
                }
            }
            11 => self.dial(s),
            12 => {
                if let Some(i) = self.sides[s].current() {
                    self.close(s, i);
                }
            }
            13 => self.restart(s),
            14 => {
                self.abrupt = flag;
                self.sides[s].held.clear();
            }
            _ => {
                self.dial(s);
                self.pump();
            }
        }
        // Some operations wait for others before the machines run.
        if op & 0x40 == 0 {
            self.work();
        }
    }

    fn wire_of(&self, s: usize) -> Option<(usize, usize)> {
        self.sides[s].cons[self.sides[s].current()?].wire
    }

    /// `seen` is how many sessions the peer had lost.
    fn new_con(&mut self, s: usize, (rx, tx): (Rx, Tx), registered: bool, seen: usize) -> usize {
        let side = &mut self.sides[s];
        let mut rx = rx;
        rx.set_throttle(Some(Arc::clone(&side.throttle)));
        side.cons.push(Con {
            id: self.next_con,
            rx,
            tx,
            wire: None,
            take_over: None,
            registered,
            waits: false,
            open: false,
            owed: false,
            seen,
            last: None,
            from: None,
        });
        self.next_con += 1;
        side.cons.len() - 1
    }

    /// A connection to the peer, which a side that never dials cannot make.
    fn connect(&mut self, s: usize) -> Option<usize> {
        let side = &self.sides[s];
        if let Some(i) = side.current() {
            return Some(i);
        }
        if !side.dials() {
            return None;
        }
        let halves = connection(side.peer, &side.local);
        let seen = self.sides[1 - s].lost;
        Some(self.new_con(s, halves, true, seen))
    }

    fn send(&mut self, s: usize, len: usize) {
        if self.sent.len() >= MAX_SENT {
            return;
        }
        let Some(i) = self.connect(s) else { return };
        let tid = self.sent.len();
        let con = &mut self.sides[s].cons[i];
        let id = con.tx.send(message(tid, len));
        let con = con.id;
        let (revoked, gone, arrived) = (false, false, false);
        self.sent.push(Sent { side: s, con, id, len, revoked, gone, arrived });
    }

    fn revoke(&mut self, s: usize, back: usize) {
        // Without SEQ nobody can know which numbers are free, and the gap stays.
        if !self.seq && self.sides[s].listens {
            return;
        }
        let Some(i) = self.sides[s].current() else { return };
        let con = &mut self.sides[s].cons[i];
        let mine = self.sent.iter_mut().filter(|m| m.side == s && m.con == con.id);
        if let Some(m) = mine.rev().nth(back) {
            m.revoked = true;
            self.sides[s].revoked = true;
            con.tx.revoke(m.id);
        }
    }

    fn dial(&mut self, s: usize) {
        let Some(i) = self.connect(s) else { return };
        let side = &mut self.sides[s];
        let con = &mut side.cons[i];
        if con.tx.state() == ConState::Standby {
            con.tx.keepalive();
        }
        if con.tx.state() != ConState::Preopen || con.take_over.is_some() || !side.dials() {
            return;
        }
        let w = self.wires.len();
        self.wires.push(Wire { lost: side.lost, ..Wire::default() });
        let con = &mut side.cons[i];
        con.wire = Some((w, DIALLER));
        let (local, auth) = (&side.local, &side.shows);
        let cx = Context { now: self.now, wall: self.wall, local, auth };
        con.rx.prepare_banner(&mut con.tx, &cx);
        let from = "127.0.0.1:51234".parse().expect("an address");
        let other = &mut self.sides[1 - s];
        let all = other.local.addrs_by(other.own);
        other.accepts.push((w, Accept::new(other.own, all, from)));
    }

    /// What workers do whose sockets are ready.
    fn work(&mut self) {
        for s in 0..2 {
            let accepts = std::mem::take(&mut self.sides[s].accepts);
            for (w, accept) in accepts {
                match self.handshake(s, w, accept) {
                    Ok(Some(accept)) => self.sides[s].accepts.push((w, accept)),
                    Ok(None) => {}
                    Err(fault) => {
                        self.must_be_usual(s, &fault);
                        self.wires[w].close(ACCEPTOR, self.abrupt);
                    }
                }
            }
            let mut i = 0;
            while i < self.sides[s].cons.len() {
                let id = self.sides[s].cons[i].id;
                self.round(s, i);
                // Where it was closed, the next one has its place.
                i += usize::from(self.sides[s].cons.get(i).is_some_and(|con| con.id == id));
            }
        }
    }

    fn handshake(
        &mut self,
        s: usize,
        w: usize,
        mut accept: Accept,
    ) -> Result<Option<Accept>, Fault> {
        loop {
            let Self { sides, wires, .. } = self;
            let (side, pipe) = (&sides[s], &mut wires[w].ends[ACCEPTOR]);
            let before = (pipe.unread(), pipe.output.len());
            if !accept.try_write(pipe)? {
                return Ok(Some(accept));
            }
            accept.readable();
            let request = accept.read_partial(pipe)?;
            self.moves += usize::from(before != (pipe.unread(), pipe.output.len()));
            let Some(request) = request else { return Ok(Some(accept)) };
            let cx = accept_context(side, self.wall);
            if let Some(offer) = accept.process(request, &cx)? {
                match self.settle(s, w, accept, offer)? {
                    Some(again) => accept = again,
                    None => return Ok(None),
                }
            }
        }
    }

    fn settle(
        &mut self,
        s: usize,
        w: usize,
        mut accept: Accept,
        offer: Offer,
    ) -> Result<Option<Accept>, Fault> {
        let side = &self.sides[s];
        let existing = side.cons.iter().rposition(|con| con.registered);
        let seen = existing
            .map(|i| &side.cons[i])
            .map(|con| Existing { replacing: con.take_over.is_some(), ..con.tx.existing() });
        let own = side.own;
        let decision = offer.decide(seen.as_ref(), own);
        let retry = match decision {
            Decision::Replace | Decision::ReplaceReset => {
                let cx = accept_context(side, self.wall);
                let socket = accept.take_over(offer, decision == Decision::ReplaceReset, &cx)?;
                let ex = existing.expect("it is what was decided on");
                self.sides[s].cons[ex].take_over = Some((w, socket));
                return Ok(None);
            }
            Decision::Open | Decision::ReplaceLossy => {
                let registered = !offer.peer().policy.is_stateless();
                if let Some(ex) = existing {
                    assert_eq!(decision, Decision::ReplaceLossy, "there is a session");
                    self.end(s, ex);
                }
                let side = &self.sides[s];
                let socket = accept.take_over(offer, false, &accept_context(side, self.wall))?;
                let halves = socket.connection(&side.local);
                let i = self.new_con(s, halves, registered, self.wires[w].lost);
                self.sides[s].cons[i].take_over = Some((w, socket));
                return Ok(None);
            }
            Decision::Retry(retry) => retry,
            Decision::Stale => return Err(Fault::PeerClosed),
        };
        if retry == Retry::Wait {
            let ex = existing.expect("it is what was decided on");
            self.sides[s].cons[ex].tx.keepalive();
        }
        accept.retry(&offer, retry, &accept_context(&self.sides[s], self.wall))?;
        self.moves += 1;
        Ok(Some(accept))
    }

    /// Once a worker's loop.
    fn round(&mut self, s: usize, i: usize) {
        let con = &mut self.sides[s].cons[i];
        if let Some((w, socket)) = con.take_over.take() {
            let old = con.wire.replace((w, ACCEPTOR));
            con.waits = false;
            let events = con.rx.take_over(&mut con.tx, socket);
            self.moves += 1;
            if let Some((w, end)) = old {
                self.wires[w].close(end, self.abrupt);
            }
            let events = events.expect("of two that keep to the protocol");
            events.into_iter().flatten().for_each(|event| self.tell(s, i, event));
        }
        let con = &self.sides[s].cons[i];
        let runs =
            !matches!(con.tx.state(), ConState::Closed | ConState::Preopen | ConState::Standby);
        if runs
            && let Some((w, end)) = con.wire
            && let Err(fault) = self.try_round(s, i, w, end)
        {
            self.must_be_usual(s, &fault);
            self.fault(s, i, fault);
        }
    }

    fn try_round(&mut self, s: usize, i: usize, w: usize, end: usize) -> Result<(), Fault> {
        loop {
            let side = &mut self.sides[s];
            let (con, pipe) = (&mut side.cons[i], &mut self.wires[w].ends[end]);
            let before = (pipe.unread(), pipe.output.len());
            let (local, auth) = (&side.local, &side.shows);
            let cx = Context { now: self.now, wall: self.wall, local, auth };
            con.tx.try_write(pipe, &cx)?;
            con.rx.readable();
            let mut told = None;
            if !con.tx.is_gated()
                && let Some(incoming) = con.rx.read_partial(pipe)?
            {
                // A word of the peer, after which it must have heard that the session is open.
                let heard = !matches!(con.tx.state(), ConState::V1Banner | ConState::V2Banner);
                told = con.rx.process(&mut con.tx, incoming, &cx)?;
                con.open |= heard && con.tx.state() == ConState::Open;
            } else if before == (pipe.unread(), pipe.output.len()) {
                return Ok(());
            }
            self.moves += 1;
            told.into_iter().for_each(|event| self.tell(s, i, event));
        }
    }

    /// Its owner hears something.
    fn tell(&mut self, s: usize, i: usize, event: Event) {
        let con = &self.sides[s].cons[i];
        // Of what was under way when its sender closed, the receiver knows no better.
        let lost = self.sides[1 - s].lost;
        let seen = match con.wire {
            Some((w, ACCEPTOR)) => self.wires[w].lost,
            _ => lost,
        };
        let con = &mut self.sides[s].cons[i];
        match event {
            Event::Connected(features) | Event::Accepted(features) => {
                assert_eq!(con.tx.state(), ConState::Open);
                assert_eq!(features, con.tx.features());
                con.seen = con.seen.min(seen);
            }
            Event::Message(msg) => self.arrived(s, i, msg),
            Event::RemoteReset => {
                assert!(!self.lossy, "there is nothing to reset");
                assert!(lost > con.seen, "the peer has closed nothing");
                assert_eq!(con.tx.queued_bytes(), 0);
                (con.seen, con.open, con.owed) = (seen, false, false);
                let id = con.id;
                self.sent.iter_mut().filter(|m| m.con == id).for_each(|m| m.gone = true);
            }
            Event::Acked(seq) => assert!(seq <= con.tx.progress().0, "more than was sent"),
            Event::KeepaliveAck(stamp) => assert!(NOW <= stamp && stamp <= self.wall),
        }
    }

    fn arrived(&mut self, s: usize, i: usize, msg: Message) {
        let tid = usize::try_from(msg.header.tid.0).expect("a small number");
        let con = &mut self.sides[s].cons[i];
        let sent = self.sent.get(tid).expect("somebody has sent it");
        assert_eq!(sent.side, 1 - s, "the other side has sent it");
        let whole = message(tid, sent.len);
        assert!(msg.front == whole.front && msg.data == whole.data, "{tid} is not what was sent");
        assert!(con.last.is_none_or(|last| last < tid), "{tid} behind {:?}", con.last);
        con.last = Some(tid);
        if self.lossy {
            assert!(!sent.arrived, "{tid} has arrived twice");
            assert_eq!(*con.from.get_or_insert(sent.con), sent.con, "it is another session's");
        }
        let mut before = self.sent[..tid].iter().filter(|m| m.con == sent.con);
        let missing = before.find(|m| !m.arrived && !m.revoked && !m.gone);
        assert!(missing.is_none(), "{tid} has overtaken another");
        self.sent[tid].arrived = true;
        self.sides[s].held.push(msg);
    }

    /// Between our own machines few things can go wrong.
    fn must_be_usual(&self, s: usize, fault: &Fault) {
        let usual = match fault {
            Fault::Io(_) | Fault::PeerClosed | Fault::TimedOut(_) => true,
            Fault::Wait => self.sides[s].listens,
            // What is taken back half-way ends in zeros, or leaves a gap.
            Fault::Aborted | Fault::OutOfOrder { .. } => self.sides[1 - s].revoked,
            _ => false,
        };
        assert!(usual, "{fault}");
    }

    fn fault(&mut self, s: usize, i: usize, fault: Fault) {
        self.moves += 1;
        let side = &mut self.sides[s];
        let con = &mut side.cons[i];
        let queued = con.tx.queued_bytes();
        let (local, auth) = (&side.local, &side.shows);
        let cx = Context { now: self.now, wall: self.wall, local, auth };
        let consequence = con_fault(&mut con.rx, &mut con.tx, &fault, &cx);
        if let Some((w, end)) = con.wire.take() {
            self.wires[w].close(end, self.abrupt);
        }
        con.waits = consequence == Consequence::Wait;
        if consequence == Consequence::Close {
            assert!(self.lossy, "a session that is to survive does");
            self.end(s, i);
        } else {
            assert_eq!(con.tx.queued_bytes(), queued, "nothing is lost");
        }
    }

    /// The owner closes it.
    fn close(&mut self, s: usize, i: usize) {
        let open = self.sides[s].cons[i].open;
        if let Some(peer) = self.sides[1 - s].cons.iter_mut().find(|con| con.registered) {
            peer.owed |= open && peer.open;
        }
        self.sides[s].lost += 1;
        self.end(s, i);
    }

    fn end(&mut self, s: usize, i: usize) {
        let mut con = self.sides[s].cons.remove(i);
        con.tx.close();
        assert!(con.tx.is_acked() && con.tx.is_flushed() && con.tx.queued_bytes() == 0);
        let rest = con.take_over.map(|(w, _)| (w, ACCEPTOR));
        for (w, end) in con.wire.into_iter().chain(rest) {
            self.wires[w].close(end, self.abrupt);
        }
        self.sent.iter_mut().filter(|m| m.con == con.id).for_each(|m| m.gone = true);
        self.moves += 1;
    }

    /// The process dies, and another one comes at its address. Nothing of the old one is under way
    /// any more.
    fn restart(&mut self, s: usize) {
        while !self.sides[s].cons.is_empty() {
            self.close(s, 0);
        }
        self.sides[s].lost += 1;
        self.sides[s].accepts.clear();
        self.sides[1 - s].accepts.clear();
        for wire in &mut self.wires {
            wire.ends.iter_mut().for_each(|end| end.reset = true);
            (wire.closed, wire.dead) = ([true; 2], true);
        }
        self.sides[s].held.clear();
        self.sides[s].begin();
    }

    fn carry_all(&mut self) -> bool {
        let mut moved = false;
        for wire in &mut self.wires {
            for end in [DIALLER, ACCEPTOR] {
                moved |= wire.carry(end, usize::MAX);
            }
        }
        moved
    }

    /// Carries and works until nothing moves.
    fn pump(&mut self) {
        loop {
            let before = self.moves;
            self.work();
            if !self.carry_all() && self.moves == before {
                return;
            }
        }
    }

    /// From now on nothing goes wrong: whatever died is noticed, and whoever is read from is done
    /// with what came.
    fn mend(&mut self) -> bool {
        for wire in &mut self.wires {
            for end in &mut wire.ends {
                (end.per_recv, end.per_send, end.budget) = (usize::MAX, usize::MAX, usize::MAX);
            }
        }
        for s in 0..2 {
            self.sides[s].held.clear();
            let wires = &self.wires;
            self.sides[s].accepts.retain(|(w, _)| !wires[*w].dead);
            let cons = &self.sides[s].cons;
            let cut = cons.iter().position(|c| c.wire.is_some_and(|(w, _)| self.wires[w].dead));
            if let Some(i) = cut {
                self.fault(s, i, Fault::TimedOut("sign of life"));
                return true;
            }
        }
        false
    }

    fn arrivals(&self) -> usize {
        self.sent.iter().filter(|m| m.arrived).count()
    }

    fn is_settled(&self) -> bool {
        self.sides.iter().all(|side| {
            side.current().is_some_and(|i| {
                let tx = &side.cons[i].tx;
                tx.state() == ConState::Open && tx.is_flushed() && (self.lossy || tx.is_acked())
            })
        })
    }

    /// Lets everything arrive that can.
    fn drain(&mut self) {
        let (mut round, mut arrived) = (0, 0);
        while round < MAX_ROUNDS {
            round += 1;
            while self.mend() {}
            for s in 0..2 {
                let side = &self.sides[s];
                let waits = side.current().is_some_and(|i| side.cons[i].waits);
                // Whoever waits dials all the same, some time. Two that dial in step may give way to
                // each other for ever, which only the time that it takes can end.
                if side.dials() && (!waits || round % 8 == 7) {
                    self.dial(s);
                }
                self.pump();
            }
            let held = self.sides.iter().any(|side| !side.held.is_empty());
            if self.is_settled() && !held {
                return;
            }
            // There may be little room, and much to come.
            let before = std::mem::replace(&mut arrived, self.arrivals());
            round -= usize::from(arrived > before);
        }
        panic!("there is no end of it");
    }

    fn finish(&mut self) {
        self.drain();
        let first = self.sent.len();
        for s in 0..2 {
            self.send(s, 3);
        }
        self.drain();
        // What was taken back may leave a gap, which ends a lossy session with the next message.
        let gap = self.lossy && self.sides.iter().any(|side| side.revoked);
        for (tid, m) in self.sent.iter().enumerate() {
            assert!(m.arrived || m.revoked || m.gone, "{tid} has not arrived");
            assert!(
                tid < first || m.arrived || gap,
                "{tid} has not arrived, and nothing was closed"
            );
        }
        for side in &self.sides {
            assert_eq!(side.throttle.held(), (0, 0));
            for con in side.cons.iter().filter(|con| con.registered) {
                assert_eq!(con.tx.queued_bytes(), 0);
                assert!(!con.owed || !side.peer.policy.resetcheck, "nobody was told of a reset");
            }
        }
    }
}

/// What is sent as the `tid`th, recognisable in each byte.
fn message(tid: usize, len: usize) -> Message {
    let byte = (tid as u8).wrapping_mul(31);
    let data: Vec<_> = (0..len).map(|n| byte.wrapping_add(n as u8)).collect();
    Message::new(42, vec![byte; 3]).with_data(data).with_tid(Tid(tid as u64))
}

fn accept_context(side: &Side, wall: UTime) -> AcceptContext<'_> {
    let (local, auth, policies) = (&side.local, &*side.auth, &side.policies);
    AcceptContext { wall, local, auth, policies }
}

/// What the operations need to be worth something: with all options sessions open, and messages
/// arrive in both directions.
#[cfg(test)]
pub fn must_carry_with_all_options(protocol: AddrType) {
    for options in 0..=255 {
        for more in 0..4 {
            let mut world = World::new(protocol, options, more);
            (0..5).for_each(|_| world.send(0, 9));
            world.finish();
            (0..5).for_each(|_| world.send(1, 9));
            world.finish();
            let arrived = world.sent.iter().filter(|m| m.arrived).count();
            assert_eq!(arrived, world.sent.len(), "options {options:#x}, {more:#x}");
            assert_eq!(arrived, 14);
        }
    }
}
