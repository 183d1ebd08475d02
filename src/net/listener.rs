//! Listening sockets, the thread that accepts, and the caps on what comes in.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::accepting::Accepting;
use super::connection::{Connection, ThreadSlot};
use super::dispatch::may_block;
use super::messenger::Inner;
use super::sock::{ListenSock, Sock, wait_any};
use super::{Deadline, Dispatcher, Wake};
use crate::auth::{AuthProvider, AuthServer};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::types::EntityAddr;

/// Who may come in through a [`Listener`], and who hears of it.
#[derive(Clone)]
pub struct Acceptor {
    /// Checks the authorizers of those who dial.
    pub auth_server: Arc<dyn AuthServer>,
    /// Gives the authorizers with which a lossless peer's session dials back.
    pub auth: Arc<dyn AuthProvider>,
    /// Hears what happens on the accepted connections.
    pub dispatcher: Arc<dyn Dispatcher>,
    /// Sockets on which no session is open yet. One more takes the place of the oldest that has not
    /// said who it is.
    pub max_half_open: usize,
    /// Connections in all; what comes beyond is closed at once.
    pub max_connections: usize,
}

impl Acceptor {
    /// With the caps of [`limits`].
    pub fn new(
        auth_server: Arc<dyn AuthServer>,
        auth: Arc<dyn AuthProvider>,
        dispatcher: Arc<dyn Dispatcher>,
    ) -> Self {
        Self {
            auth_server,
            auth,
            dispatcher,
            max_half_open: limits::MAX_HALF_OPEN,
            max_connections: limits::MAX_ACCEPTED,
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("auth_server", &self.auth_server)
            .field("max_half_open", &self.max_half_open)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

/// Accepts connections, until it is dropped; then those end that nobody else holds.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
    addrs: Vec<EntityAddr>,
}

/// What the listener, its thread, and the connections that it accepted have in common.
pub(super) struct Shared {
    pub(super) messenger: Arc<Inner>,
    pub(super) acceptor: Acceptor,
    wake: Wake,
    state: Mutex<State>,
    /// A thread has ended.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closing: bool,
    next_id: u64,
    /// By age.
    half_open: BTreeMap<u64, HalfOpen>,
    connections: HashMap<u64, Connection>,
    acceptor: Option<std::thread::JoinHandle<()>>,
    counts: Counts,
}

/// A socket whose session is not found yet.
struct HalfOpen {
    sock: Sock,
    introduced: Arc<AtomicBool>,
    thread: ThreadSlot,
}

/// What a listener has done so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sockets that came in.
    pub sockets: u64,
    /// Those that were closed at once, or in favour of others, because a cap was reached.
    pub refused: u64,
    /// Sockets on which no session is open yet.
    pub half_open: usize,
    /// Connections, those among them whose session stands by.
    pub connections: usize,
}

impl Listener {
    pub(super) fn bind(
        messenger: Arc<Inner>,
        addrs: &[SocketAddr],
        acceptor: Acceptor,
    ) -> Result<Self> {
        let io = |what: &str, e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("{what}: {e}")).with_source(e)
        };
        let mut socks = Vec::with_capacity(addrs.len());
        for addr in addrs {
            socks.push(ListenSock::bind(*addr).map_err(|e| io(&format!("bind to {addr}"), e))?);
        }
        let Some(first) = socks.first() else {
            return Err(Error::new(ErrorKind::InvalidInput, "no address to listen at"));
        };
        messenger.local.set_addr(first.addr());
        let nonce = messenger.local.addr().nonce;
        let addrs = socks.iter().map(|s| EntityAddr::legacy(s.addr(), nonce)).collect();
        let shared = Arc::new(Shared {
            messenger,
            acceptor,
            wake: Wake::new().map_err(|e| io("eventfd", e))?,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("msgr-accept".to_owned())
                .spawn(move || shared.accept(&socks))
                .map_err(|e| io("no thread to accept", e))?
        };
        shared.lock().acceptor = Some(thread);
        Ok(Self { shared, addrs })
    }

    /// Where it listens, in the order of binding, with the ports that were chosen and the
    /// messenger's nonce.
    pub fn addrs(&self) -> &[EntityAddr] {
        &self.addrs
    }

    /// What it has done so far, and what it holds.
    pub fn counts(&self) -> Counts {
        let state = self.shared.lock();
        let (half_open, connections) = (state.half_open.len(), state.connections.len());
        Counts { half_open, connections, ..state.counts }
    }

    /// The connections that it has accepted, in no order.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.lock().connections.values().cloned().collect()
    }

    /// Stops listening, closes every connection that came in, and waits for the threads, at most to
    /// the deadline.
    pub fn close(self, deadline: Deadline) -> Result<()> {
        self.shared.messenger.check_fork()?;
        let connections = self.shared.begin_close();
        for con in &connections {
            con.shared().begin_close();
        }
        connections.iter().try_for_each(|con| con.shared().join(deadline))?;
        drop(connections);
        self.shared.join(deadline)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.shared.messenger.is_forked() {
            // Not under the lock: these may be the last handles.
            drop(self.shared.begin_close());
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("acceptor", &self.acceptor).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn begin_close(&self) -> Vec<Connection> {
        let mut state = self.lock();
        state.closing = true;
        state.half_open.values().for_each(|half| half.sock.shutdown());
        let connections = std::mem::take(&mut state.connections).into_values().collect();
        drop(state);
        self.wake.wake();
        connections
    }

    fn join(&self, deadline: Deadline) -> Result<()> {
        may_block()?;
        let mut state = self.lock();
        let (acceptor, slots) = {
            let slots: Vec<_> = state.half_open.values().map(|h| h.thread.clone()).collect();
            (state.acceptor.take(), slots)
        };
        while !state.half_open.is_empty() {
            let (guard, in_time) = deadline.wait(&self.changed, state);
            state = guard;
            if !in_time {
                let text = "the threads of the listener did not end in time";
                return Err(Error::new(ErrorKind::Timeout, text));
            }
        }
        drop(state);
        // All of them have said their last word, or are about to.
        let handles = slots.iter().filter_map(take).chain(acceptor);
        handles.for_each(|thread| drop(thread.join()));
        Ok(())
    }

    /// The thread that accepts.
    fn accept(self: Arc<Self>, socks: &[ListenSock]) {
        loop {
            let ready = match wait_any(socks, &self.wake, None) {
                Ok(ready) => ready,
                Err(e) => {
                    log::error!("msgr-accept: {e}");
                    return;
                }
            };
            if self.lock().closing {
                return;
            }
            for (sock, _) in socks.iter().zip(ready).filter(|(_, ready)| *ready) {
                while let Some(accepted) = self.accept_one(sock) {
                    self.clone().begin(accepted);
                    if self.lock().closing {
                        return;
                    }
                }
            }
        }
    }

    fn accept_one(&self, sock: &ListenSock) -> Option<(Sock, SocketAddr, SocketAddr)> {
        match sock.accept() {
            Ok(accepted) => accepted,
            Err(e) => {
                // No descriptors, most likely: until one is free nothing can be done, and the
                // socket stays readable.
                log::warn!("accept at {}: {e}", sock.addr());
                let pause = Some(Duration::from_millis(100));
                let _ = wait_any(&[], &self.wake, pause);
                None
            }
        }
    }

    /// Gives a socket its thread, if the caps allow it.
    fn begin(self: Arc<Self>, (sock, own, peer): (Sock, SocketAddr, SocketAddr)) {
        let introduced = Arc::new(AtomicBool::new(false));
        let thread = ThreadSlot::default();
        let id = {
            let mut state = self.lock();
            state.counts.sockets += 1;
            if state.connections.len() >= self.acceptor.max_connections {
                log::debug!("{peer}: refused, there are {} already", state.connections.len());
                state.counts.refused += 1;
                return;
            }
            if state.half_open.len() >= self.acceptor.max_half_open {
                state.counts.refused += 1;
                if let Some(oldest) = oldest(&state.half_open) {
                    log::debug!("{peer}: takes the place of one that says nothing");
                    oldest.sock.shutdown();
                }
            }
            state.next_id += 1;
            let id = state.next_id;
            let half = HalfOpen {
                sock: sock.clone(),
                introduced: introduced.clone(),
                thread: thread.clone(),
            };
            state.half_open.insert(id, half);
            id
        };
        let nonce = self.messenger.local.addr().nonce;
        let listener = self.clone();
        let slot = thread.clone();
        let accepting = move || {
            let own = EntityAddr::legacy(own, nonce);
            let worker = Accepting::new(&listener, peer, sock, introduced, slot).run(own);
            listener.forget_half_open(id);
            drop(listener);
            if let Some(worker) = worker {
                worker.run();
            }
        };
        // The name is the session's, once there is one.
        match std::thread::Builder::new().name("msgr-half-open".to_owned()).spawn(accepting) {
            Ok(handle) => *thread.lock().unwrap_or_else(|e| e.into_inner()) = Some(handle),
            Err(e) => {
                log::warn!("{peer}: no thread: {e}");
                self.forget_half_open(id);
            }
        }
    }

    fn forget_half_open(&self, id: u64) {
        let half = self.lock().half_open.remove(&id);
        drop(half);
        self.changed.notify_all();
    }

    /// Keeps a connection alive; false where the listener is closing or full.
    pub(super) fn keep(&self, con: &Connection) -> bool {
        let mut state = self.lock();
        if state.closing || state.connections.len() >= self.acceptor.max_connections {
            state.counts.refused += 1;
            return false;
        }
        state.connections.insert(con.id(), con.clone());
        true
    }

    /// The connection has ended.
    pub(super) fn forget(&self, id: u64) {
        let con = self.lock().connections.remove(&id);
        // It may be the last handle.
        drop(con);
    }
}

/// Of the sockets whose sessions are not found yet the oldest that has not said who it is, or else
/// the oldest of all.
fn oldest(half_open: &BTreeMap<u64, HalfOpen>) -> Option<&HalfOpen> {
    let silent = half_open.values().find(|half| !half.introduced.load(Relaxed));
    silent.or_else(|| half_open.values().next())
}

fn take(slot: &ThreadSlot) -> Option<std::thread::JoinHandle<()>> {
    slot.lock().unwrap_or_else(|e| e.into_inner()).take()
}
