//! The hunt: several monitors are tried at once, and the first that lets us in is kept.
//!
//! With messenger v1 the login is messages on the open connection; with v2 it is part of the
//! handshake, and a connection that is open is logged in. In a round all addresses of v2 come before
//! those of v1: these are tried when none of the others is under way any more, or after the interval
//! of [`HuntOptions`](super::HuntOptions), whichever comes first.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::client::{Active, Inner, MonClient, MonTarget, State, until};
use super::dispatcher::MonDispatcher;
use crate::auth::{AuthClientHandler, AuthError, AuthProvider, AuthRequest, MonLogin};
use crate::crypto;
use crate::error::{Error, ErrorKind};
use crate::messages::auth::MAuth;
use crate::messages::{Body, PaxosHeader};
use crate::msgr::Message;
use crate::msgr::{Fault, Peer, Policy};
use crate::net::{Connection, Timer};
use crate::types::{AddrType, EntityName, EntityType, Epoch, Features};

/// Longest pause between two rounds over all monitors.
const MAX_PAUSE: Duration = Duration::from_secs(3);

/// One round over the monitors.
#[derive(Debug, Default)]
pub(super) struct Hunt {
    pub(super) running: bool,
    /// The targets that this round has still to try, by their index; the next one is the last.
    untried: Vec<usize>,
    /// Connections that are not logged in yet, by their id.
    pub(super) pending: BTreeMap<u64, Pending>,
    /// What went wrong with each monitor last.
    failures: BTreeMap<String, String>,
    /// Every failure of this round was one that another attempt cannot mend.
    hopeless: bool,
}

/// A monitor that is being tried.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) con: Connection,
    pub(super) login: Login,
}

/// How far the login of a connection is.
#[derive(Debug)]
pub(super) enum Login {
    /// It begins when the connection is open.
    None,
    /// It goes on in the handshake of messenger v2.
    Handshake(Arc<MonLogin>),
    /// It goes on with messages, or is complete.
    Handler(AuthClientHandler),
}

impl Hunt {
    /// What is under way, or what went wrong, in one line.
    pub(super) fn describe(&self) -> String {
        let pending = self.pending.values().map(|p| match &p.login {
            Login::Handler(_) => format!("{}: no reply to MAuth yet", p.con.peer()),
            Login::None | Login::Handshake(_) => p.con.describe(),
        });
        let parts: Vec<_> = pending.chain(self.failures.values().cloned()).collect();
        if parts.is_empty() { "no monitor was tried".to_owned() } else { parts.join("; ") }
    }

    /// Whether the next target must wait for those that are being tried: one of v1 for those of v2,
    /// or it might be open first.
    fn must_wait(&self, targets: &[MonTarget]) -> bool {
        let next = self.untried.last().and_then(|&i| targets.get(i));
        next.is_some_and(|next| {
            let mut under_way = self.pending.values().map(|p| p.con.peer().addr);
            next.addr.addr_type != AddrType::MSGR2
                && under_way.any(|addr| addr.addr_type == AddrType::MSGR2)
        })
    }
}

impl Inner {
    /// Looks for a monitor, unless there is one or the search is on already.
    pub(super) fn start_hunting(self: &Arc<Self>, state: &mut State) {
        if state.active.is_some() || state.hunt.running || state.closed.is_some() {
            return;
        }
        state.hunt.running = true;
        state.hunts += 1;
        self.new_round(state);
    }

    /// The session is gone: looks for another, at once unless nothing has been answered since the
    /// last time that this happened.
    pub(super) fn session_lost(self: &Arc<Self>, state: &mut State) {
        state.active = None;
        state.generation += 1;
        if state.closed.is_some() {
            return;
        }
        match state.backoff.broken() {
            Duration::ZERO => self.start_hunting(state),
            pause => {
                state.hunt.running = true;
                state.hunts += 1;
                self.new_round_after(pause, state);
            }
        }
    }

    fn new_round(self: &Arc<Self>, state: &mut State) {
        state.generation += 1;
        state.hunt.untried = order(&state.targets);
        state.hunt.hopeless = true;
        self.try_some(state);
        if state.hunt.pending.is_empty() {
            // Not even a socket or a thread was to be had: nobody will call back.
            let pause = state.backoff.failed();
            return self.new_round_after(pause, state);
        }
        self.hunt_tick(state.generation);
    }

    /// Tries one more monitor, and others beside it, up to as many as may be tried at once.
    fn try_some(self: &Arc<Self>, state: &mut State) {
        while !state.hunt.must_wait(&state.targets)
            && self.try_next(state)
            && state.hunt.pending.len() < self.options.parallel
        {}
    }

    /// Tries one more monitor of this round; false where there is none left.
    fn try_next(self: &Arc<Self>, state: &mut State) -> bool {
        let Some(i) = state.hunt.untried.pop() else { return false };
        let Some(target) = state.targets.get(i) else { return false };
        let peer = Peer {
            name: EntityName::new(EntityType::MON, target.rank as i64),
            addr: target.addr,
            policy: Policy::LOSSY_CLIENT,
        };
        let dispatcher = Arc::new(MonDispatcher(Arc::downgrade(self)));
        let (auth, login): (Arc<dyn AuthProvider>, _) = match peer.addr.addr_type {
            AddrType::MSGR2 => {
                let login = Arc::new(MonLogin::new(self.auth.clone()));
                (login.clone(), Login::Handshake(login))
            }
            _ => (self.auth.clone(), Login::None),
        };
        match self.messenger.connect(peer, auth, dispatcher) {
            Ok(con) => {
                log::debug!("trying {} at {}", peer.name, peer.addr);
                state.hunt.pending.insert(con.id(), Pending { con, login });
            }
            Err(e) => {
                state.hunt.hopeless = false;
                state.hunt.failures.insert(peer.addr.to_string(), e.to_string());
            }
        }
        true
    }

    /// Those that were tried first take long: after a while the next one is tried beside them.
    fn hunt_tick(self: &Arc<Self>, generation: u64) {
        let weak = Arc::downgrade(self);
        self.timer.after(self.options.interval, move || {
            let Some(inner) = Weak::upgrade(&weak) else { return };
            let mut state = inner.lock();
            if state.generation == generation && state.hunt.running && inner.try_next(&mut state) {
                inner.hunt_tick(generation);
            }
        });
    }

    /// A connection that was being tried is open: the login begins, or is done.
    pub(super) fn opened(self: &Arc<Self>, con: &Connection) {
        let mut state = self.lock();
        let Some(pending) = state.hunt.pending.get_mut(&con.id()) else { return };
        let Login::Handshake(login) = &pending.login else {
            return self.start_auth(&mut state, con);
        };
        match login.take() {
            Some(handler) => {
                pending.login = Login::Handler(handler);
                self.finish_hunting(&mut state, con);
            }
            None => {
                let text = format!("{}: open without a login", con.peer());
                let error = Error::new(ErrorKind::Protocol, text);
                self.pending_failed(&mut state, con, error);
            }
        }
    }

    fn start_auth(self: &Arc<Self>, state: &mut State, con: &Connection) {
        let epoch = state.monmap_epoch();
        let Some(pending) = state.hunt.pending.get_mut(&con.id()) else { return };
        let (handler, request) = self.auth.start();
        pending.login = Login::Handler(handler);
        let _ = con.send_now(auth_message(request, epoch));
        // A monitor outside of the quorum lets logins wait; there are others.
        let (weak, id) = (Arc::downgrade(self), con.id());
        self.timer.after(self.messenger.timeouts().handshake, move || {
            let Some(inner) = Weak::upgrade(&weak) else { return };
            let mut state = inner.lock();
            let Some(con) = state.hunt.pending.get(&id).map(|p| p.con.clone()) else { return };
            let text = format!("{}: no reply to MAuth in time", con.peer());
            inner.pending_failed(&mut state, &con, Error::new(ErrorKind::Timeout, text));
        });
    }

    /// A monitor that was being tried has failed.
    pub(super) fn pending_failed(self: &Arc<Self>, state: &mut State, con: &Connection, e: Error) {
        if state.hunt.pending.remove(&con.id()).is_none() {
            return;
        }
        log::info!("{e}");
        let fault = e.fault::<Fault>();
        let login = match fault {
            Some(Fault::Auth(login)) => Some(login),
            _ => e.fault::<AuthError>(),
        };
        let fresh = matches!(login, Some(AuthError::OldTicketRefused { .. }));
        let denied = login.is_some_and(AuthError::is_final);
        // A router or a daemon that is starting may close or refuse; another protocol stays one.
        let hopeless = match (login, fault) {
            (Some(_), _) => !fresh,
            (None, Some(Fault::BadBanner)) => true,
            (None, Some(fault)) => fault.is_final(),
            (None, None) => false,
        };
        state.hunt.hopeless &= hopeless;
        state.hunt.failures.insert(con.peer().addr.to_string(), e.to_string());
        // All monitors have the same keys, and the same answer to give.
        if denied {
            let text = state.hunt.describe();
            return self.give_up(state, e.told_as(ErrorKind::Auth, text));
        }
        if fresh {
            // The same monitor lets us in as somebody new.
            let addr = con.peer().addr;
            state.hunt.untried.extend(state.targets.iter().position(|t| t.addr == addr));
            self.try_next(state);
        } else {
            self.try_some(state);
        }
        if !state.hunt.pending.is_empty() {
            return;
        }
        if state.hunt.hopeless && state.hunt.untried.is_empty() {
            let (kind, text) = (e.kind(), state.hunt.describe());
            return self.give_up(state, e.told_as(kind, text));
        }
        let pause = state.backoff.failed();
        self.new_round_after(pause, state);
    }

    fn new_round_after(self: &Arc<Self>, pause: Duration, state: &mut State) {
        let pause = pause.min(MAX_PAUSE);
        state.generation += 1;
        let (weak, generation) = (Arc::downgrade(self), state.generation);
        self.timer.after(pause, move || {
            let Some(inner) = Weak::upgrade(&weak) else { return };
            let mut state = inner.lock();
            if state.generation == generation && state.hunt.running {
                inner.new_round(&mut state);
            }
        });
    }

    /// Another attempt would end the same way: tells everybody who waits, and dials no more until
    /// somebody asks again.
    fn give_up(&self, state: &mut State, error: Error) {
        for (_, request) in std::mem::take(&mut state.requests) {
            request.waiter.fill(Err(error.clone()));
        }
        state.watchers.end(error.kind(), &error.to_string());
        state.denied = Some((state.hunts, error));
        self.stop_hunting(state);
        self.changed.notify_all();
    }

    fn stop_hunting(&self, state: &mut State) {
        state.generation += 1;
        state.hunt.running = false;
        state.hunt.pending.clear();
    }

    /// The login of a connection has succeeded: it is the session from now on.
    pub(super) fn finish_hunting(self: &Arc<Self>, state: &mut State, con: &Connection) {
        let Some(Pending { con, login: Login::Handler(mut handler) }) =
            state.hunt.pending.remove(&con.id())
        else {
            return;
        };
        if let Err(e) = handler.install() {
            let error = Error::new(ErrorKind::Auth, format!("{}: {e}", con.peer()));
            return self.give_up(state, error.with_source(e));
        }
        let global_id = handler.global_id();
        log::info!("{}: session as {} ({global_id})", con.peer(), self.auth.name());
        self.messenger.local().set_num(global_id.0 as i64);
        self.stop_hunting(state);
        state.hunt.failures.clear();
        let _ = con.send_now(self.subscribe_message(state));
        for request in state.requests.values() {
            let _ = con.send_now(request.msg.clone());
        }
        state.active = Some(Active { con, handler, renewing: None });
        self.schedule_renewal(state);
        self.changed.notify_all();
    }

    /// Renews tickets when they are due, over the session in use. There is one such timer: what
    /// schedules anew makes the older one void.
    pub(super) fn schedule_renewal(self: &Arc<Self>, state: &mut State) {
        state.renewal += 1;
        let Some(at) = self.auth.next_renewal(Timer::now()) else { return };
        self.renew_after(until(at).max(Duration::from_millis(100)), state.renewal);
    }

    fn renew_after(self: &Arc<Self>, delay: Duration, renewal: u64) {
        let weak = Arc::downgrade(self);
        self.timer.after(delay, move || {
            let Some(inner) = Weak::upgrade(&weak) else { return };
            let mut state = inner.lock();
            if state.renewal == renewal {
                inner.renew(&mut state);
            }
        });
    }

    /// Asks for the tickets that are due, if there is a session to ask on. The answer schedules
    /// the next time; without one it is a second later.
    pub(super) fn renew(self: &Arc<Self>, state: &mut State) {
        let epoch = state.monmap_epoch();
        let Some(active) = &mut state.active else { return };
        match active.handler.renew(Timer::now()) {
            Ok(Some(request)) => {
                log::debug!("{}: renewing tickets", active.con.peer());
                active.renewing = Some(Timer::now());
                let _ = active.con.send_now(auth_message(request, epoch));
            }
            Ok(None) => match active.renewing {
                None => return self.schedule_renewal(state),
                Some(since) if Timer::now() - since >= self.messenger.timeouts().handshake => {
                    log::warn!("{}: no reply to a renewal in time", active.con.peer());
                    return self.session_lost(state);
                }
                Some(_) => {}
            },
            Err(e) => log::warn!("{}: {e}", active.con.peer()),
        }
        state.renewal += 1;
        self.renew_after(Duration::from_secs(1), state.renewal);
    }
}

impl MonClient {
    /// A service refused our ticket, or there is none: asks for new ones now, not when their time
    /// comes.
    pub(crate) fn renew_now(&self) {
        let mut state = self.0.lock();
        self.0.renew(&mut state);
    }
}

/// A request of the login or of a renewal, as a message.
pub(super) fn auth_message(request: AuthRequest, monmap_epoch: Epoch) -> Message {
    let AuthRequest { protocol, payload } = request;
    let paxos = PaxosHeader::default();
    MAuth { paxos, protocol, auth_payload: payload, monmap_epoch }.to_message(Features::SUPPORTED)
}

/// The targets by their index, to be taken from the end: in random order, all of messenger v2 before
/// those of v1.
fn order(targets: &[MonTarget]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..targets.len()).collect();
    for i in (1..order.len()).rev() {
        // Without random numbers the order is the same each time, which is no harm.
        let random = crypto::random().unwrap_or_default();
        order.swap(i, u32::from_ne_bytes(random) as usize % (i + 1));
    }
    order.sort_by_key(|&i| targets.get(i).map(|target| target.addr.addr_type));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_round_goes_over_all_of_v2_before_v1_and_in_any_order() {
        let targets: Vec<_> = (0..6)
            .map(|i| {
                let text = format!("v{}:10.0.0.1:{}", 1 + i % 2, 1000 + i);
                MonTarget { rank: i / 2, addr: text.parse().unwrap() }
            })
            .collect();
        let mut first = BTreeSet::new();
        for _ in 0..1000 {
            let mut order = order(&targets);
            let rest = order.split_off(3);
            assert!(order.iter().all(|i| targets[*i].addr.addr_type == AddrType::LEGACY));
            assert!(rest.iter().all(|i| targets[*i].addr.addr_type == AddrType::MSGR2));
            first.insert(rest[2]);
            order.extend(rest);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4, 5]);
        }
        assert_eq!(first.into_iter().collect::<Vec<_>>(), [1, 3, 5]);
    }
}
