//! The virtual clock, and what happens by itself: applications that send, and a network that fails
//! them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;

use super::con::Con;
use super::model::{Model, Violation};
use super::net::{Link, MS, Owner, Random, SEC, Time, Way};
use super::node::{Accepting, Node};
use super::seeds::{Kind, Plan, Protocol};
use crate::msgr::{ConState, Fault, Message};
use crate::types::Tid;

/// What happens next.
#[derive(Debug)]
pub(super) enum Event {
    /// Bytes that this side of a link has sent arrive.
    Deliver(usize, usize),
    /// This side of a link learns that it is cut.
    Reset(usize, usize),
    Wake(Owner),
    Dial(usize, u32),
    Dialled(usize, u32),
    DialFailed(usize, u32, Fault),
    /// The handshake of an attempt has taken too long.
    Timeout(usize, u32),
    AcceptTimeout(usize),
    TakeOver(usize),
    Tick(usize),
    /// The owner of a lossy session that has ended wants another one.
    Redial(usize, usize),
    /// An application is done with a message.
    Release(usize),
    /// An application does something.
    Act,
    /// The network does.
    Fail,
    /// An application takes back what it has sent.
    Revoke(usize),
}

struct Due(Time, u64, Event);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// How often what was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Stats(pub(super) BTreeMap<&'static str, u64>);

impl Stats {
    pub(super) fn bump(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub(super) fn add(&mut self, what: &'static str, n: u64) {
        if n > 0 {
            *self.0.entry(what).or_default() += n;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, n)| self.add(what, *n));
    }
}

/// Everything.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) random: Random,
    pub(super) now: Time,
    /// The machines' clock, which they only pass on.
    pub(super) base: Instant,
    due: BinaryHeap<Reverse<Due>>,
    serial: u64,
    turns: u64,
    pub(super) links: Vec<Link>,
    pub(super) nodes: Vec<Node>,
    pub(super) cons: Vec<Con>,
    pub(super) accepting: Vec<Option<Accepting>>,
    pub(super) model: Model,
    pub(super) stats: Stats,
    /// Connections whose throttle has room again.
    pub(super) wakes: Arc<Mutex<Vec<usize>>>,
    pub(super) held: Vec<Option<(usize, Message)>>,
    /// Until when two nodes cannot reach each other.
    pub(super) parted: [[Time; 3]; 3],
    /// How many have met something: a link, or a session.
    pub(super) faults: usize,
    pub(super) healed: bool,
    tracing: bool,
}

/// What came of a seed.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) stats: Stats,
    pub(super) messages: usize,
    pub(super) faults: usize,
    pub(super) violation: Option<Violation>,
}

/// Runs one seed.
pub(super) fn run(protocol: Protocol, seed: u64, tracing: bool, base: Instant) -> Outcome {
    let mut random = Random(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let plan = Plan::new(&mut random, protocol);
    let nodes = (0..plan.addrs.len()).map(|num| Node::new(num, &plan)).collect();
    let mut world = World {
        model: Model::new(plan.kind == Kind::Peer),
        plan,
        random,
        now: 0,
        base,
        due: BinaryHeap::new(),
        serial: 0,
        turns: 0,
        links: Vec::new(),
        nodes,
        cons: Vec::new(),
        accepting: Vec::new(),
        stats: Stats::default(),
        wakes: Arc::default(),
        held: Vec::new(),
        parted: [[0; 3]; 3],
        faults: 0,
        healed: false,
        tracing,
    };
    world.trace(format_args!("{:?}", world.plan));
    world.live();
    let World { stats, model, faults, .. } = world;
    Outcome { stats, messages: model.len(), faults, violation: model.violation }
}

impl World {
    pub(super) fn trace(&self, what: fmt::Arguments<'_>) {
        if self.tracing {
            // Past libtest, which keeps back what a test prints that passes.
            let _ = writeln!(io::stderr(), "{:>12.6} {what}", self.now as f64 / SEC as f64);
        }
    }

    pub(super) fn after(&mut self, delay: Time, event: Event) {
        self.serial += 1;
        self.due.push(Reverse(Due(self.now + delay, self.serial, event)));
    }

    /// Its thread comes to it soon.
    pub(super) fn wake(&mut self, owner: Owner) {
        let lag = self.random.below(self.plan.lag);
        self.after(lag, Event::Wake(owner));
    }

    pub(super) fn latency(&mut self) -> Time {
        self.random.between(1, self.plan.latency)
    }

    pub(super) fn is_parted(&self, a: usize, b: usize) -> bool {
        self.parted[a.min(b)][a.max(b)] > self.now
    }

    /// Chaos, then peace.
    fn live(&mut self) {
        self.after(0, Event::Act);
        let first = self.random.below(self.plan.span / 4);
        self.after(first, Event::Fail);
        while self.model.violation.is_none() && !self.is_over() {
            self.turn();
        }
        self.trace(format_args!("the network is healed"));
        self.heal();
        let (from, end) = (self.now, self.now + 600 * SEC);
        let mut next = from;
        while self.model.violation.is_none() {
            self.turn();
            if self.now < next {
                continue;
            }
            next = self.now.saturating_add(200 * MS);
            let Some(unrest) = self.unrest_anywhere() else { break };
            if self.now > end {
                self.model.broken("waits for ever", unrest);
            }
        }
        if self.model.violation.is_none() {
            self.finish();
        }
    }

    /// Whether enough has been sent.
    pub(super) fn is_done(&self) -> bool {
        self.model.len() >= self.plan.messages
    }

    fn is_over(&self) -> bool {
        self.is_done() && self.faults >= self.plan.faults
    }

    /// The next thing that is due.
    fn turn(&mut self) {
        // Where nothing is due any more it is late.
        let never = Due(Time::MAX, 0, Event::Act);
        let Reverse(Due(at, _, event)) = self.due.pop().unwrap_or(Reverse(never));
        self.turns += 1;
        if self.turns > 200_000 {
            self.model.broken("does not come to rest", format!("{event:?}"));
        }
        self.now = at;
        match event {
            Event::Deliver(link, side) => self.deliver(link, side),
            Event::Reset(link, side) => {
                self.links[link].reset[side] = true;
                self.wake(self.links[link].owners[side]);
            }
            Event::Wake(Owner::Con(id)) => self.step(id),
            Event::Wake(Owner::Accept(id)) => self.step_accept(id),
            Event::Dial(id, attempt) => self.dial(id, attempt),
            Event::Dialled(id, attempt) => self.dialled(id, attempt),
            Event::DialFailed(id, attempt, fault) => self.dial_failed(id, attempt, &fault),
            Event::Timeout(id, attempt) => self.late(id, attempt),
            Event::AcceptTimeout(id) => self.accept_late(id),
            Event::TakeOver(id) => self.take_over(id),
            Event::Tick(id) => self.tick(id),
            Event::Redial(node, peer) => self.redial(node, peer),
            Event::Release(i) => self.release(i),
            Event::Act => self.act(),
            Event::Fail => self.fail(),
            Event::Revoke(node) => self.revoke_all(node),
        }
        let woken = std::mem::take(&mut *self.wakes.lock().unwrap());
        woken.into_iter().for_each(|id| self.wake(Owner::Con(id)));
    }

    pub(super) fn socket_pair(&mut self, from: usize, to: usize, owner: Owner) -> usize {
        self.links.push(Link {
            ways: [Way::default(), Way::default()],
            owners: [owner; 2],
            nodes: [from, to],
            closed: [false; 2],
            reset: [false; 2],
            dead: false,
            room: self.plan.room,
            quantum: self.plan.quantum,
            latency: self.plan.latency,
            losses: 0,
        });
        self.links.len() - 1
    }

    /// Sees to it that what was written arrives some time.
    pub(super) fn pump(&mut self, link: usize) {
        for side in 0..2 {
            let l = &mut self.links[link];
            let way = &mut l.ways[side];
            if l.dead {
                way.flight.clear();
            } else if !way.scheduled && (!way.flight.is_empty() || way.fin && !way.eof) {
                way.scheduled = true;
                let at = way.stalled.max(self.now + self.random.between(1, l.latency));
                self.after(at - self.now, Event::Deliver(link, side));
            }
        }
    }

    fn deliver(&mut self, link: usize, side: usize) {
        let l = &mut self.links[link];
        let receiver = 1 - side;
        let way = &mut l.ways[side];
        way.scheduled = false;
        if l.dead {
            return;
        }
        if way.stalled <= self.now {
            if l.closed[receiver] {
                // TCP answers with a reset.
                let late = !std::mem::take(&mut way.flight).is_empty();
                way.eof |= way.fin;
                if late && !l.closed[side] {
                    let latency = self.latency();
                    self.after(latency, Event::Reset(link, side));
                }
            } else {
                let all = way.flight.len();
                let n = if self.random.percent(60) { all } else { self.random.index(all + 1) };
                way.arrived.extend(way.flight.drain(..n));
                way.eof = way.fin && way.flight.is_empty();
                let owner = l.owners[receiver];
                self.wake(owner);
            }
            let l = &mut self.links[link];
            if std::mem::take(&mut l.ways[side].full) {
                let owner = l.owners[side];
                self.wake(owner);
            }
        }
        self.pump(link);
    }

    /// What message `n` consists of.
    pub(super) fn message(&self, n: usize) -> Message {
        Message::new(42, self.front(n)).with_data(self.data(n)).with_tid(Tid(n as u64))
    }

    pub(super) fn front(&self, n: usize) -> Bytes {
        vec![n as u8; 1 + n % 23].into()
    }

    pub(super) fn data(&self, n: usize) -> Bytes {
        let len = match n % 16 {
            0 => 20 * (n % 41),
            1 => 3 * n,
            7 if n.is_multiple_of(5) => 20_000,
            _ => 0,
        };
        vec![!n as u8; len].into()
    }

    /// The application keeps a message for a while.
    pub(super) fn hold(&mut self, node: usize, msg: Message) {
        self.held.push(Some((node, msg)));
        let hold = if self.healed { 0 } else { self.random.below(self.plan.hold + 1) };
        self.after(hold, Event::Release(self.held.len() - 1));
        self.check_throttles();
    }

    pub(super) fn release(&mut self, i: usize) {
        self.held[i] = None;
        self.check_throttles();
    }

    /// What the applications have, and what is half read on sockets that live, weighs on the
    /// throttles, and nothing else does.
    pub(super) fn check_throttles(&mut self) {
        for node in &self.nodes {
            let kept = self.held.iter().flatten().filter(|(of, _)| *of == node.num);
            let cons = node.cons.iter().map(|id| &self.cons[*id]);
            let open = cons.filter(|con| con.tx.state() == ConState::Open);
            let lens = kept.map(|(_, msg)| msg.len()).chain(open.filter_map(|c| c.rx.reading()));
            let due = lens.fold((0, 0), |(messages, bytes), len| (messages + 1, bytes + len));
            let held = node.throttle.held();
            if held != due {
                let text = format!("node {}: {held:?} are held, {due:?} are there", node.num);
                return self.model.broken("throttle", text);
            }
        }
    }

    /// What a lossy session has lost is lost, but the next one must work.
    fn redial(&mut self, node: usize, peer: usize) {
        let id = self.connect_to(node, peer);
        if self.healed {
            self.send(id);
        }
    }

    /// What is still going on, if anything.
    fn unrest_anywhere(&mut self) -> Option<String> {
        if self.accepting.iter().flatten().next().is_some() {
            return Some("a socket that was accepted finds no session".into());
        }
        let cons: Vec<usize> = self.nodes.iter().flat_map(|n| n.cons.clone()).collect();
        cons.into_iter().find_map(|id| self.unrest(id))
    }

    /// All is quiet: nothing is held, and nothing is queued.
    fn finish(&mut self) {
        self.check_throttles();
        self.held.clear();
        // Before anything is ended, which would give back what a connection keeps for no reason.
        self.check_throttles();
        for id in 0..self.cons.len() {
            let (bytes, state) = (self.cons[id].tx.queued_bytes(), self.cons[id].tx.state());
            if bytes > 0 {
                self.model.broken("queued bytes", format!("con {id}: {bytes} bytes in {state}"));
            }
            let idle = matches!(state, ConState::Open | ConState::Standby | ConState::Closed);
            if !idle {
                self.model.broken("waits for ever", format!("con {id}: {state}"));
            }
        }
        // What a peer that is gone has half sent is held still.
        for id in 0..self.cons.len() {
            self.end_con(id);
        }
        for node in &self.nodes {
            if node.throttle.held() != (0, 0) {
                let text = format!("node {}: {:?}", node.num, node.throttle);
                self.model.violation.get_or_insert(Violation { rule: "throttle", text });
            }
        }
    }
}
