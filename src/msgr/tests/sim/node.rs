//! A messenger: its address, the sessions by their peers' addresses, and the sockets that have yet
//! to find theirs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::auth::{provider, server};
use super::con::Con;
use super::net::{End, MS, Owner, SEC, Socket};
use super::seeds::{Plan, Protocol};
use super::world::{Event, World};
use crate::auth::{AuthProvider, AuthServer, ConMode};
use crate::msgr::{
    Accept, AcceptContext, ConState, Context, Decision, Existing, Fault, Local, Offer, Options,
    Policies, Retry, TakeOver, Throttle,
};
use crate::types::{AddrType, EntityAddr, EntityName, EntityType, Features, UTime};

/// One messenger, in one of its lives.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) num: usize,
    pub(super) entity_type: EntityType,
    pub(super) addr: EntityAddr,
    pub(super) local: Local,
    auth: Box<dyn AuthProvider>,
    auth_server: Arc<dyn AuthServer>,
    policies: Policies,
    pub(super) throttle: Arc<Throttle>,
    /// Sessions that a peer can come back to.
    pub(super) registry: Vec<(EntityAddr, usize)>,
    /// All connections that have not ended.
    pub(super) cons: Vec<usize>,
}

/// A socket that was accepted and whose session is not found yet.
#[derive(Debug)]
pub(super) struct Accepting {
    pub(super) node: usize,
    pub(super) accept: Accept,
    pub(super) end: End,
}

impl Node {
    pub(super) fn new(num: usize, plan: &Plan) -> Self {
        let kind = plan.kind;
        let (first, others) = kind.types();
        let entity_type = if num == 0 { first } else { others };
        let mut supported = Features::SUPPORTED;
        if !plan.reconnect_seq {
            supported = supported.missing_in(Features::NONE.with(Features::RECONNECT_SEQ));
        }
        let modes: &[ConMode] = if plan.secure { &[ConMode::Secure] } else { &[ConMode::Crc] };
        let options = Options { supported, mon_modes: modes, modes, ..Options::default() };
        let listens = kind.symmetric() || num == 0;
        let (addr, local) = if listens {
            let addr = plan.addrs[num].0;
            let local = Local::new(entity_type, addr.nonce, options);
            local.set_addrs(&[addr]);
            (addr, local)
        } else {
            // A client, which learns its IP address.
            let nonce = 255 + num as u32;
            let addr_type = match plan.protocol {
                Protocol::V1 => AddrType::LEGACY,
                Protocol::V2 => AddrType::ANY,
            };
            let addr = format!("10.2.0.{num}:0/0").parse().unwrap();
            let addr = EntityAddr { nonce, addr_type, ..addr };
            (addr, Local::new(entity_type, nonce, options))
        };
        local.set_num(num as i64);
        let (messages, bytes) = plan.throttle;
        Self {
            num,
            entity_type,
            addr,
            local,
            auth: provider(plan, entity_type, num),
            auth_server: server(plan, entity_type, WALL),
            policies: Policies::new(kind.acceptor()),
            throttle: Throttle::new(messages, bytes),
            registry: Vec::new(),
            cons: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> EntityName {
        EntityName::new(self.entity_type, self.num as i64)
    }

    pub(super) fn context(&self, now: Instant) -> Context<'_> {
        Context { now, wall: WALL, local: &self.local, auth: &*self.auth }
    }

    fn accept_context(&self) -> AcceptContext<'_> {
        AcceptContext {
            wall: WALL,
            local: &self.local,
            auth: &*self.auth_server,
            policies: &self.policies,
        }
    }

    pub(super) fn registered(&self, addr: EntityAddr) -> Option<usize> {
        self.registry.iter().find(|(a, _)| *a == addr).map(|(_, con)| *con)
    }

    pub(super) fn register(&mut self, addr: EntityAddr, con: usize) {
        self.registry.retain(|(a, _)| *a != addr);
        self.registry.push((addr, con));
    }

    pub(super) fn forget(&mut self, con: usize) {
        self.registry.retain(|(_, c)| *c != con);
        self.cons.retain(|c| *c != con);
    }
}

/// Keepalives carry it, and tickets end after it.
const WALL: UTime = UTime { sec: 1_800_000_000, nsec: 0 };

impl World {
    /// A socket has come in.
    pub(super) fn accepted(&mut self, node: usize, from: usize, end: End) {
        let own = self.nodes[node].addr;
        let from = self.nodes[from].addr.sockaddr.map(|a| SocketAddr::new(a.ip(), 51234)).unwrap();
        let accept = Accept::new(own, self.nodes[node].local.addrs(), from);
        let id = self.accepting.len();
        self.accepting.push(Some(Accepting { node, accept, end }));
        self.links[end.link].owners[1] = Owner::Accept(id);
        self.after(10 * SEC, Event::AcceptTimeout(id));
        self.step_accept(id);
    }

    /// One round of the thread of an accepted socket.
    pub(super) fn step_accept(&mut self, id: usize) {
        let Some(accepting) = self.accepting[id].take() else { return };
        let Accepting { node, accept, end } = accepting;
        match self.handshake(node, accept, end) {
            Ok(Some(accept)) => {
                self.accepting[id] = Some(Accepting { node, accept, end });
                let link = &self.links[end.link];
                if link.is_readable(1) && !link.ways[1].full {
                    self.wake(Owner::Accept(id));
                }
            }
            Ok(None) => {}
            Err(fault) => {
                self.check_honest(&fault);
                self.trace(format_args!("node {node} accept {id}: {fault}"));
                self.links[end.link].close(1);
            }
        }
        self.pump(end.link);
    }

    pub(super) fn accept_late(&mut self, id: usize) {
        if let Some(accepting) = self.accepting[id].take() {
            self.trace(format_args!("accept {id}: no {} in time", accepting.accept.awaiting()));
            self.links[accepting.end.link].close(1);
            self.pump(accepting.end.link);
        }
    }

    /// Reads and writes until the socket has no more, or the session is found.
    fn handshake(
        &mut self,
        node: usize,
        mut accept: Accept,
        end: End,
    ) -> Result<Option<Accept>, Fault> {
        loop {
            let mut sock = Socket { link: &mut self.links[end.link], side: 1 };
            if !accept.try_write(&mut sock)? {
                return Ok(Some(accept));
            }
            accept.readable();
            let Some(request) = accept.read_partial(&mut sock)? else {
                return Ok(Some(accept));
            };
            let offer = accept.process(request, &self.nodes[node].accept_context())?;
            if let Some(offer) = offer {
                match self.settle(node, accept, offer, end) {
                    Some(again) => accept = again,
                    None => return Ok(None),
                }
            }
        }
    }

    /// Finds the session: the look at it, the decision and what reserves it are one step.
    fn settle(
        &mut self,
        node: usize,
        mut accept: Accept,
        offer: Offer,
        end: End,
    ) -> Option<Accept> {
        let addr = offer.peer().addr;
        let existing = self.nodes[node].registered(addr);
        let seen = existing.map(|id| Existing {
            replacing: self.cons[id].take_over.is_some(),
            ..self.cons[id].tx.existing()
        });
        let decision = offer.decide(seen.as_ref(), accept.own_addr());
        self.trace(format_args!("node {node}: {decision:?} to {addr}, there is {seen:?}"));
        if let Some(ex) = seen.as_ref().filter(|ex| is_race(&offer, ex)) {
            self.check_race(decision, ex, node, addr);
        }
        match decision {
            Decision::Stale => {
                self.stats.bump("stale");
                self.links[end.link].close(1);
                return None;
            }
            Decision::Replace => self.stats.bump("replaced"),
            Decision::ReplaceReset => self.stats.bump("replaced with a reset"),
            Decision::ReplaceLossy => self.stats.bump("replaced (lossy)"),
            _ => {}
        }
        let retry = match (decision, existing) {
            (Decision::Replace | Decision::ReplaceReset, Some(id)) => {
                let reset = decision == Decision::ReplaceReset;
                let socket = accept
                    .take_over(offer, reset, &self.nodes[node].accept_context())
                    .expect("a reply");
                self.reserve(id, socket, end);
                return None;
            }
            (Decision::Open | Decision::ReplaceLossy, _) => {
                if let (Decision::ReplaceLossy, Some(id)) = (decision, existing) {
                    self.fault(id, &Fault::Replaced);
                }
                let registered =
                    !offer.peer().policy.lossy || offer.peer().policy.register_lossy_clients;
                let socket = accept
                    .take_over(offer, false, &self.nodes[node].accept_context())
                    .expect("a reply");
                let (rx, tx) = socket.connection(&self.nodes[node].local);
                let peer = self.nodes.iter().position(|n| n.addr == addr)?;
                let id = self.add(Con::new(node, peer, *socket.peer(), rx, tx));
                if registered {
                    self.nodes[node].register(addr, id);
                }
                self.reserve(id, socket, end);
                return None;
            }
            (Decision::Retry(Retry::Wait), Some(id)) => {
                self.cons[id].tx.keepalive();
                self.hurry(id);
                Retry::Wait
            }
            (Decision::Retry(retry), _) => retry,
            (Decision::Replace | Decision::ReplaceReset | Decision::Stale, _) => return None,
        };
        accept.retry(&offer, retry, &self.nodes[node].accept_context()).expect("a reply");
        Some(accept)
    }

    /// The session will take over the socket when its worker comes to it.
    fn reserve(&mut self, id: usize, socket: TakeOver, end: End) {
        if let Some((_, end)) = self.cons[id].take_over.replace((Box::new(socket), end)) {
            self.model.broken("two sockets for one session", format!("con {id}"));
            self.links[end.link].close(1);
            self.pump(end.link);
        }
        self.links[end.link].owners[1] = Owner::Con(id);
        let lag = if self.random.percent(5) { SEC } else { self.plan.lag.max(MS) };
        let lag = self.random.below(lag);
        self.after(lag, Event::TakeOver(id));
    }

    /// Two attempts cross: that of the lower address is kept.
    fn check_race(&mut self, decision: Decision, ex: &Existing, node: usize, addr: EntityAddr) {
        let rank = |addr: EntityAddr| self.plan.addrs.iter().find(|(a, _)| *a == addr).map(|a| a.1);
        let peer_wins = rank(addr) < rank(self.nodes[node].addr);
        match decision {
            Decision::Retry(Retry::Wait) if !peer_wins => self.stats.bump("race won"),
            Decision::Replace if ex.server => {}
            Decision::Replace if peer_wins => self.stats.bump("race lost"),
            Decision::Retry(Retry::Wait) | Decision::Replace => {
                let text = format!("node {node}, against {addr}: {decision:?}");
                self.model.broken("race decided the wrong way", text);
            }
            _ => {}
        }
    }
}

/// Whether the offer crosses an attempt of this side, which the two addresses then decide about.
fn is_race(offer: &Offer, ex: &Existing) -> bool {
    let connected = matches!(ex.state, ConState::Open | ConState::Standby);
    let same = offer.connect_seq() == ex.connect_seq;
    match offer {
        Offer::V1(_) => same && !connected && (ex.once_ready || ex.connect_seq.0 == 0),
        // Nobody is told of a cookie but by its own side's attempt.
        Offer::V2(_) if offer.connect_seq().0 == 0 => {
            let other = ex.client_cookie != offer.client_cookie();
            !connected && !ex.replacing && ex.server_cookie == 0 && other
        }
        Offer::V2(_) => same,
    }
}
