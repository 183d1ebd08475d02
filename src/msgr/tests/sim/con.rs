//! A connection and its worker, on the virtual clock.

use super::net::{End, Owner, SEC, Socket, Time};
use super::seeds::Protocol;
use super::world::{Event, World};
use crate::msgr::{
    self, Backoff, ConState, Consequence, Fault, Incoming, Message, MsgId, Peer, Rx, TakeOver, Tx,
    con_fault, v1, v2,
};
use crate::types::{ConnectSeq, Seq};

pub(super) const HANDSHAKE: Time = 10 * SEC;
const KEEPALIVE: Time = 10 * SEC;
/// How long whoever was told to WAIT does so.
const WAIT: Time = 15 * SEC;

#[derive(Debug)]
pub(super) struct Con {
    pub(super) node: usize,
    pub(super) peer: usize,
    pub(super) target: Peer,
    pub(super) rx: Rx,
    pub(super) tx: Tx,
    pub(super) end: Option<End>,
    /// A socket that it will take over.
    pub(super) take_over: Option<(Box<TakeOver>, End)>,
    /// Counts sockets and attempts, so that what was set for an old one is known.
    pub(super) attempt: u32,
    pub(super) dialling: bool,
    pub(super) delay: Time,
    backoff: Backoff,
    /// What a sender met.
    pub(super) fault: Option<Fault>,
    heard: Time,
    /// Bytes may be there that the socket does not tell of: they were read ahead.
    read_ahead: bool,
    acked: Seq,
    /// What has gone out says that everything up to this one has arrived.
    pub(super) told: Seq,
    accepted: bool,
    /// It has said READY, and not heard whether the peer got that.
    in_doubt: bool,
    pub(super) dead: bool,
    /// Messages that may be revoked, with their numbers in the model.
    pub(super) recent: Vec<(MsgId, usize)>,
    /// Up to which message some may have left on an earlier socket.
    pub(super) requeued: Option<usize>,
    /// The session as it was opened last (v2): the acceptor's name for it, and which connection.
    opened: Option<(u64, ConnectSeq)>,
}

impl Con {
    pub(super) fn new(node: usize, peer: usize, target: Peer, rx: Rx, tx: Tx) -> Self {
        Self {
            node,
            peer,
            target,
            rx,
            tx,
            end: None,
            take_over: None,
            attempt: 0,
            dialling: false,
            delay: 0,
            backoff: Backoff::default(),
            fault: None,
            heard: 0,
            read_ahead: false,
            acked: Seq(0),
            told: Seq(0),
            accepted: false,
            in_doubt: false,
            dead: false,
            recent: Vec::new(),
            requeued: None,
            opened: None,
        }
    }

    /// Something has been written.
    pub(super) fn note_told(&mut self) {
        if self.tx.is_unblocked() {
            self.told = self.tx.session.in_seq_acked;
        }
    }

    /// The number in the model of the oldest message that it keeps.
    fn oldest(&self) -> Option<usize> {
        let session = &self.tx.session;
        session.out_sent.iter().chain(&session.out_queue).next().map(|q| number(&q.msg))
    }
}

/// What was heard, if that is to be seen some time; and whether it says what the peer has.
fn heard(incoming: &Incoming) -> (Option<&'static str>, bool) {
    use v2::Tag;
    match incoming {
        Incoming::V1(v1::Incoming::ConnectReply(msg)) => {
            (Some(msg.reply.tag_name().unwrap_or("?")), false)
        }
        Incoming::V1(v1::Incoming::Seq(..)) => (Some("SEQ"), true),
        Incoming::V1(v1::Incoming::PeerSeq(_)) => (None, true),
        Incoming::V2(v2::Incoming::Control(tag, payload)) => match tag {
            Tag::AuthReplyMore => (Some("AUTH_REPLY_MORE"), false),
            Tag::ServerIdent => (Some("SERVER_IDENT"), false),
            Tag::SessionReset if payload[..] == [0] => (Some("SESSION_RESET"), false),
            Tag::SessionReset => (Some("SESSION_RESET full"), false),
            Tag::SessionRetry => (Some("SESSION_RETRY"), false),
            Tag::SessionRetryGlobal => (Some("SESSION_RETRY_GLOBAL"), false),
            Tag::SessionReconnectOk => (Some("SESSION_RECONNECT_OK"), true),
            Tag::Wait => (Some("WAIT"), false),
            _ => (None, false),
        },
        _ => (None, false),
    }
}

/// The number in the model that a message carries.
pub(super) fn number(msg: &Message) -> usize {
    msg.header.tid.0 as usize
}

impl World {
    /// Knows a connection from now on.
    pub(super) fn add(&mut self, mut con: Con) -> usize {
        let id = self.cons.len();
        con.rx.set_throttle(Some(self.nodes[con.node].throttle.clone()));
        self.model.open(con.node, con.peer, self.plan.kind.lossless());
        self.nodes[con.node].cons.push(id);
        self.cons.push(con);
        self.after(KEEPALIVE, Event::Tick(id));
        id
    }

    /// The last things a worker does.
    pub(super) fn end_con(&mut self, id: usize) {
        let con = &mut self.cons[id];
        if std::mem::replace(&mut con.dead, true) {
            return;
        }
        con.tx.close();
        con.rx.forget();
        self.model.lost(con.node, con.peer);
        self.nodes[con.node].forget(id);
        let ends = [con.end.take(), con.take_over.take().map(|t| t.1)];
        for End { link, side } in ends.into_iter().flatten() {
            self.links[link].close(side);
            self.pump(link);
        }
    }

    /// One round of a worker.
    pub(super) fn step(&mut self, id: usize) {
        if self.cons[id].dead {
            return;
        }
        if self.cons[id].take_over.is_some() {
            // Nothing of the last socket counts any more, but it may have broken before.
            let reset = self.cons[id].end.filter(|e| self.links[e.link].reset[e.side]);
            if reset.is_some() && self.random.percent(50) {
                self.fault(id, &Fault::Io(std::io::ErrorKind::ConnectionReset));
            }
            return;
        }
        match self.cons[id].tx.state() {
            ConState::Standby | ConState::Closed => {}
            ConState::Preopen => self.open_con(id),
            _ => {
                let outcome = self.run_con(id);
                if let Some(end) = self.cons[id].end {
                    self.pump(end.link);
                }
                if let Err(fault) = outcome {
                    self.fault(id, &fault);
                }
            }
        }
    }

    /// Every ten seconds: is the peer alive?
    pub(super) fn tick(&mut self, id: usize) {
        let now = self.now;
        let con = &mut self.cons[id];
        if con.dead {
            return;
        }
        let silent = now.saturating_sub(con.heard);
        let quiet = con.accepted && con.target.name.is_client();
        match con.tx.state() {
            ConState::Standby => {
                self.stats.add("woken from standby", (!con.target.policy.server).into());
                con.tx.keepalive();
                self.wake(Owner::Con(id));
            }
            ConState::Open if silent >= 3 * KEEPALIVE && !quiet && con.take_over.is_none() => {
                self.fault(id, &Fault::TimedOut("answer to keepalives"));
            }
            ConState::Open if silent >= KEEPALIVE => {
                con.tx.keepalive();
                self.wake(Owner::Con(id));
            }
            _ => {}
        }
        self.after(KEEPALIVE, Event::Tick(id));
    }

    /// Writes, and reads until there is no more, or until something must be written first.
    fn run_con(&mut self, id: usize) -> Result<(), Fault> {
        let con = &mut self.cons[id];
        let Some(End { link, side }) = con.end else { return Ok(()) };
        if let Some(fault) = con.fault.take() {
            return Err(fault);
        }
        let cx = self.nodes[con.node].context(self.base);
        let mut sock = Socket { link: &mut self.links[link], side };
        con.tx.try_write(&mut sock, &cx)?;
        con.note_told();
        if con.tx.is_gated() || !sock.link.is_readable(side) && !con.read_ahead {
            return Ok(());
        }
        con.heard = self.now;
        con.read_ahead = false;
        con.rx.readable();
        loop {
            let con = &mut self.cons[id];
            let mut sock = Socket { link: &mut self.links[link], side };
            let Some(incoming) = con.rx.read_partial(&mut sock)? else { break };
            self.process(id, incoming)?;
            let con = &mut self.cons[id];
            if con.dead || con.tx.is_gated() {
                con.read_ahead = con.rx.has_read_ahead();
                break;
            }
        }
        let con = &mut self.cons[id];
        if con.dead {
            return Ok(());
        }
        if let Some(throttle) = con.rx.throttled() {
            con.read_ahead = true;
            self.stats.bump("throttled");
            let wakes = self.wakes.clone();
            throttle.wait(id, Box::new(move || wakes.lock().unwrap().push(id)));
        }
        let (now, con) = (self.base, &mut self.cons[id]);
        let mut sock = Socket { link: &mut self.links[link], side };
        con.tx.try_write(&mut sock, &self.nodes[con.node].context(now))?;
        con.note_told();
        let waits = con.tx.is_gated() || con.rx.throttled().is_some();
        if !waits && (self.links[link].is_readable(side) || con.read_ahead) {
            self.wake(Owner::Con(id));
        }
        Ok(())
    }

    fn process(&mut self, id: usize, incoming: Incoming) -> Result<(), Fault> {
        let con = &mut self.cons[id];
        let waits = con.tx.session.out_queue.len();
        let (what, seq) = heard(&incoming);
        what.into_iter().for_each(|what| self.stats.bump(what));
        let cx = self.nodes[con.node].context(self.base);
        let event = con.rx.process(&mut con.tx, incoming, &cx)?;
        con.in_doubt &= con.tx.state() != ConState::Open;
        if seq && con.tx.session.out_queue.len() < waits {
            self.stats.bump("trimmed");
        }
        let (_, acked) = con.tx.progress();
        if std::mem::replace(&mut con.acked, acked) != acked {
            con.backoff.reset();
        }
        if let Some(event) = event {
            self.tell(id, event);
        }
        let oldest = self.cons[id].oldest();
        self.model.kept(id, oldest);
        Ok(())
    }

    fn tell(&mut self, id: usize, event: msgr::Event) {
        let con = &mut self.cons[id];
        con.heard = self.now;
        match event {
            msgr::Event::Message(msg) => {
                con.backoff.reset();
                let (node, number) = (con.node, number(&msg));
                self.trace(format_args!("con {id}: message {number}, seq {}", msg.header.seq));
                self.model.deliver(id, node, number);
                if msg.front != self.front(number) || msg.data != self.data(number) {
                    self.model.broken("damaged", format!("message {number}"));
                }
                self.hold(node, msg);
                if self.random.percent(5) && !self.is_done() {
                    // From the callback, while what came with the message is still to be read.
                    self.send(id);
                }
            }
            msgr::Event::RemoteReset => {
                self.stats.bump("remote resets");
                con.recent.clear();
                let (node, peer, in_doubt, end) = (con.node, con.peer, con.in_doubt, con.end);
                self.trace(format_args!("con {id}: remote reset"));
                let losses = match end {
                    Some(End { link, side: 1 }) => self.links[link].losses,
                    _ => self.model.losses(peer, node),
                };
                self.model.remote_reset(id, losses, in_doubt);
            }
            msgr::Event::Connected(_) => {
                con.accepted = false;
                self.trace(format_args!("con {id}: connected"));
                self.check_opened(id);
                self.check_agreed(id);
            }
            msgr::Event::Accepted(_) => {
                con.accepted = true;
                self.trace(format_args!("con {id}: accepted"));
                self.check_opened(id);
            }
            msgr::Event::KeepaliveAck(_) => con.backoff.reset(),
            msgr::Event::Acked(_) => {}
        }
    }

    /// A session that goes on with messenger v2 does so as a later connection than before, on both
    /// sides.
    fn check_opened(&mut self, id: usize) {
        let con = &mut self.cons[id];
        let session = &con.tx.session;
        let (cookie, seq) = (session.server_cookie, session.connect_seq);
        if self.plan.protocol == Protocol::V1 || session.lossy {
            return;
        }
        let last = con.opened.replace((cookie, seq));
        if let Some((_, last)) = last.filter(|(c, last)| *c == cookie && *last >= seq) {
            let text = format!("con {id}: connect_seq {seq:?} came after {last:?}");
            self.model.broken("the session went back", text);
        }
    }

    /// Both ends of a socket on which a session has opened have the same name and number for it. The
    /// acceptor's name may differ: each may have accepted an attempt that the other had given up.
    fn check_agreed(&mut self, id: usize) {
        let Some(End { link, .. }) = self.cons[id].end else { return };
        let Owner::Con(other) = self.links[link].owners[1] else { return };
        if self.cons[other].end != Some(End { link, side: 1 }) {
            return;
        }
        let [ours, theirs] = [id, other].map(|id| {
            let session = &self.cons[id].tx.session;
            (session.client_cookie, session.server_cookie != 0, session.connect_seq)
        });
        if ours != theirs {
            let text = format!("con {id} has {ours:?}, con {other} has {theirs:?}");
            self.model.broken("the ends disagree", text);
        }
    }

    /// The worker takes over an accepted socket.
    pub(super) fn take_over(&mut self, id: usize) {
        let con = &mut self.cons[id];
        let Some((socket, end)) = con.take_over.take().filter(|_| !con.dead) else { return };
        if let Some(End { link, side }) = con.end.replace(end) {
            self.links[link].close(side);
            self.pump(link);
        }
        self.note_requeue(id);
        let con = &mut self.cons[id];
        con.attempt += 1;
        con.dialling = false;
        con.delay = 0;
        con.fault = None;
        con.heard = self.now;
        con.read_ahead = true;
        let waits = con.tx.queued_messages();
        let events = con.rx.take_over(&mut con.tx, *socket).expect("a reply");
        self.trace(format_args!("con {id}: takes over link {}", end.link));
        let reset = events.contains(&Some(msgr::Event::RemoteReset));
        let con = &mut self.cons[id];
        let trimmed = !reset && con.tx.queued_messages() < waits;
        self.stats.add("trimmed by who accepted", trimmed.into());
        let ready = events.iter().flatten().any(|e| matches!(e, msgr::Event::Accepted(_)));
        events.into_iter().flatten().for_each(|event| self.tell(id, event));
        if self.plan.protocol == Protocol::V1 {
            self.cons[id].in_doubt |= ready;
        } else {
            // The cookie tells in which of its lives the peer has dialled.
            self.model.meets(id, self.links[end.link].losses);
        }
        let oldest = self.cons[id].oldest();
        self.model.kept(id, oldest);
        self.after(HANDSHAKE, Event::Timeout(id, self.cons[id].attempt));
        self.step(id);
    }

    /// What was sent may have got through although its socket is gone.
    fn note_requeue(&mut self, id: usize) {
        let con = &mut self.cons[id];
        let sent = &con.tx.session.out_sent;
        self.stats.add("requeued two or more", (sent.len() >= 2).into());
        con.requeued = con.requeued.max(sent.back().map(|q| number(&q.msg)));
        if con.in_doubt {
            self.model.in_doubt(id);
        }
    }

    pub(super) fn fault(&mut self, id: usize, fault: &Fault) {
        self.note_requeue(id);
        self.check_honest(fault);
        if *fault == Fault::Aborted {
            self.stats.bump("revoked in mid-frame");
        }
        let con = &mut self.cons[id];
        let state = con.tx.state();
        con.attempt += 1;
        con.dialling = false;
        con.fault = None;
        con.read_ahead = false;
        let cx = self.nodes[con.node].context(self.base);
        let consequence = con_fault(&mut con.rx, &mut con.tx, fault, &cx);
        con.delay = match consequence {
            Consequence::Redial => con.backoff.broken().as_micros() as Time,
            Consequence::Backoff => con.backoff.failed().as_micros() as Time,
            Consequence::Wait => WAIT,
            _ => 0,
        };
        let ended = con.end.take();
        self.trace(format_args!("con {id}: {state}: {fault}; {consequence:?}"));
        if let Some(End { link, side }) = ended {
            self.links[link].close(side);
            self.pump(link);
        }
        if consequence == Consequence::Close {
            let Con { node, peer, .. } = self.cons[id];
            if !self.cons[id].target.policy.server {
                self.after(SEC, Event::Redial(node, peer));
            }
            return self.end_con(id);
        }
        let oldest = self.cons[id].oldest();
        self.model.kept(id, oldest);
        self.check_throttles();
        self.step(id);
    }

    /// What the network alone cannot do: both peers are honest. What it damages is found, with messenger
    /// v2.
    pub(super) fn check_honest(&mut self, fault: &Fault) {
        let network = matches!(
            fault,
            Fault::Io(_) | Fault::PeerClosed | Fault::TimedOut(_) | Fault::Wait | Fault::Replaced
        );
        // A dialler takes no gap, and a message that is taken back half-way is none.
        let revoked = matches!(fault, Fault::Aborted | Fault::OutOfOrder { .. })
            && self.stats.0.contains_key("revoked");
        // Who is told to try again as long as a worker does not come to a socket gives up some time.
        let busy = matches!(fault, Fault::TooManyRounds(_))
            && self.cons.iter().any(|c| !c.dead && c.take_over.is_some());
        let found = matches!(
            fault,
            Fault::BadPreamble(_)
                | Fault::BadSegmentCrc(_)
                | Fault::BadLateStatus(_)
                | Fault::BadSeal
        );
        let damaged = found && self.links.iter().any(|l| l.ways.iter().any(|w| w.damaged));
        self.stats.add("damage found", damaged.into());
        if !network && !busy && !revoked && !damaged {
            self.model.broken("a fault between honest peers", fault.to_string());
        }
    }

    /// Whether it has said and heard all there is; or else what it waits for.
    pub(super) fn unrest(&mut self, id: usize) -> Option<String> {
        let missing = self.model.missing(id);
        let con = &self.cons[id];
        let lossless = self.plan.kind.lossless();
        let what = match con.tx.state() {
            ConState::Open | ConState::Standby => match () {
                () if con.take_over.is_some() => "a socket to be taken over",
                () if !con.tx.is_flushed() => "room in the socket",
                () if lossless && !con.tx.is_acked() => "an acknowledgement",
                () if missing.is_some() => "the delivery of what it has sent",
                () if lossless && con.tx.session.ack_due() && con.tx.state() == ConState::Open => {
                    "its own acknowledgement"
                }
                () => return None,
            },
            _ => "an open session",
        };
        Some(format!("con {id} of node {}: {}: {what} ({missing:?})", con.node, con.tx.state()))
    }
}
