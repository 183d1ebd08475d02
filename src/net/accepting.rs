//! The thread of an accepted socket, until its session is found: then it is that session's worker,
//! or hands the socket to the worker that the session has already.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use super::connection::{Connection, Owner, Reservation, ThreadSlot};
use super::listener::Shared;
use super::messenger::wall;
use super::sock::{Sock, wait_alone};
use super::worker::{Worker, later};
use crate::msgr::{
    Accept, AcceptContext, ConState, Decision, Existing, Fault, Offer, Policies, Retry,
};
use crate::types::{EntityAddr, EntityAddrVec};

pub(super) struct Accepting<'a> {
    listener: &'a Arc<Shared>,
    sock: Sock,
    peer: SocketAddr,
    policies: Policies,
    introduced: Arc<AtomicBool>,
    thread: ThreadSlot,
    deadline: Instant,
}

/// What follows from an offer.
enum Settled {
    /// A reply is in the out buffer; the handshake goes on.
    Retry(Box<Accept>),
    /// A session with a worker of its own has the socket.
    HandedOver,
    /// The session is new.
    New(Box<Worker>),
    /// There is no room for it.
    Refused,
}

impl<'a> Accepting<'a> {
    pub(super) fn new(
        listener: &'a Arc<Shared>,
        peer: SocketAddr,
        sock: Sock,
        introduced: Arc<AtomicBool>,
        thread: ThreadSlot,
    ) -> Self {
        let timeouts = &listener.messenger.timeouts;
        Self {
            sock,
            peer,
            policies: listener.messenger.policies(),
            introduced,
            thread,
            deadline: later(Instant::now(), timeouts.handshake),
            listener,
        }
    }

    /// The worker of a new session, or nothing where the socket is gone or somebody else's.
    pub(super) fn run(&self, own: EntityAddr, all: EntityAddrVec) -> Option<Box<Worker>> {
        // What checks the authorizers is the user's, and may panic.
        let handshake = || self.handshake(Accept::new(own, all, self.peer));
        match catch_unwind(AssertUnwindSafe(handshake)) {
            Ok(Ok(worker)) => return worker,
            Ok(Err(fault)) if fault.is_other_protocol() => log::info!("{}: {fault}", self.peer),
            Ok(Err(fault)) => log::debug!("{}: {fault}", self.peer),
            Err(_) => log::error!("{}: the handshake panicked", self.peer),
        }
        self.sock.shutdown();
        None
    }

    fn handshake(&self, mut accept: Accept) -> Result<Option<Box<Worker>>, Fault> {
        let mut sock = self.sock.clone();
        loop {
            let more = !accept.try_write(&mut sock)?;
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::TimedOut(accept.awaiting()));
            }
            if !wait_alone(&sock, more, left)?.read {
                continue;
            }
            accept.readable();
            while let Some(request) = accept.read_partial(&mut sock)? {
                let offer = accept.process(request, &self.context())?;
                self.introduced.store(accept.is_introduced(), Relaxed);
                if let Some(offer) = offer {
                    match self.settle(accept, offer)? {
                        Settled::Retry(again) => accept = *again,
                        Settled::HandedOver | Settled::Refused => return Ok(None),
                        Settled::New(worker) => return Ok(Some(worker)),
                    }
                }
                if !accept.try_write(&mut sock)? {
                    break;
                }
            }
        }
    }

    fn context(&self) -> AcceptContext<'_> {
        AcceptContext {
            wall: wall(),
            local: &self.listener.messenger.local,
            auth: self.listener.acceptor.auth_server.as_ref(),
            policies: &self.policies,
        }
    }

    /// Finds the session. The look at it, the decision and what reserves it are one step, under the
    /// lock of the registry: two sockets of one peer must not both be its first.
    fn settle(&self, mut accept: Accept, offer: Offer) -> Result<Settled, Fault> {
        let messenger = &self.listener.messenger;
        let own = accept.own_addr();
        let login = self.listener.acceptor.auth_server.awaits_login();
        // Dropped when the registry is no longer locked: it may be the last that holds the owner's
        // dispatcher.
        let existing;
        let mut registry = messenger.registry();
        existing = registry.existing(offer.peer(), offer.auth_peer());
        let mut ex = existing.as_ref().map(|ex| (ex, ex.lock()));
        let seen = ex.as_ref().map(|(_, out)| Existing {
            state: if out.end.is_some() { ConState::Closed } else { out.tx.state() },
            replacing: out.take_over.is_some(),
            ..out.tx.existing()
        });
        let decision = offer.decide(seen.as_ref(), own);
        log::debug!("{}: {decision:?}, there is {seen:?}", offer.peer());
        let retry = match decision {
            Decision::Replace | Decision::ReplaceReset => {
                let reset = decision == Decision::ReplaceReset;
                if let Some((ex, out)) = &mut ex {
                    let auth_peer = offer.auth_peer().cloned();
                    let socket = accept.take_over(offer, reset, &self.context())?;
                    let sock = self.sock.clone();
                    out.take_over = Some(Reservation { sock, socket, auth_peer });
                    ex.wake.wake();
                }
                return Ok(Settled::HandedOver);
            }
            Decision::Open | Decision::ReplaceLossy => {
                if let Some((ex, mut out)) = ex
                    && decision == Decision::ReplaceLossy
                {
                    ex.end_locked(&mut out, Fault::Replaced);
                    drop(out);
                    // Its place is its peer's.
                    self.listener.part_with(ex.id);
                }
                let registered = !offer.peer().policy.is_stateless();
                let (con, worker) = self.open(accept, offer, login)?;
                if !self.listener.keep(&con) {
                    log::info!("{}: refused, the listener is full or closing", con.peer());
                    return Ok(Settled::Refused);
                }
                registry.insert(&con);
                if registered {
                    registry.register(&con);
                }
                drop(registry);
                return Ok(Settled::New(Box::new(worker)));
            }
            Decision::Retry(retry) => {
                if let (Retry::Wait, Some((ex, out))) = (retry, &mut ex) {
                    out.tx.keepalive();
                    out.hurry = true;
                    ex.wake.wake();
                }
                retry
            }
            Decision::Stale => return Ok(Settled::Refused),
        };
        accept.retry(&offer, retry, &self.context())?;
        Ok(Settled::Retry(Box::new(accept)))
    }

    fn open(
        &self,
        accept: Accept,
        offer: Offer,
        login: bool,
    ) -> Result<(Connection, Worker), Fault> {
        let messenger = &self.listener.messenger;
        let acceptor = &self.listener.acceptor;
        let auth_peer = offer.auth_peer().cloned();
        let login_due = auth_peer.is_none() && login;
        let mut socket = accept.take_over(offer, false, &self.context())?;
        let owner = Owner {
            auth: acceptor.auth.clone(),
            dispatcher: acceptor.dispatcher.clone(),
            listener: Some(Arc::downgrade(self.listener)),
            login_due,
            auth_peer,
            login: socket.take_login(),
            thread: self.thread.clone(),
        };
        let (rx, tx) = socket.connection(&messenger.local);
        let peer = *socket.peer();
        let (con, worker) =
            Connection::new(messenger.new_id(), messenger.clone(), peer, owner, rx, tx)?;
        let sock = self.sock.clone();
        con.shared().lock().take_over = Some(Reservation { sock, socket, auth_peer: None });
        Ok((con, worker))
    }
}
