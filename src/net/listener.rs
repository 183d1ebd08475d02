//! Listening sockets, the thread that accepts, and the caps on what comes in.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
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
use crate::auth::{AuthProvider, AuthServer, NoAuthorizer};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::msgr::Fault;
use crate::types::{AddrType, EntityAddr};

/// How many sockets are accepted at one address before the others are looked at.
const ROUND: usize = 64;
/// How long to wait where nothing can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Who may come in through a [`Listener`], and who hears of it.
#[derive(Clone)]
pub struct Acceptor {
    /// Checks the authorizers of those who dial.
    pub auth_server: Arc<dyn AuthServer>,
    /// Gives the authorizers with which the session of a lossless peer dials back; a server's never
    /// does.
    pub auth: Arc<dyn AuthProvider>,
    /// Hears what happens on the accepted connections.
    pub dispatcher: Arc<dyn Dispatcher>,
    /// Sockets on which no session is open yet. One more takes the place of the oldest that has not
    /// said who it is, or, where they are more, of the oldest that has.
    pub max_half_open: usize,
    /// Sessions in all. One more takes the place of the oldest whose peer has yet to log in, and is
    /// refused where there is none; a peer can come back to its own at any time.
    pub max_connections: usize,
}

impl Acceptor {
    /// With the caps of [`limits`], and without authorizers of its own.
    pub fn new(auth_server: Arc<dyn AuthServer>, dispatcher: Arc<dyn Dispatcher>) -> Self {
        Self {
            auth_server,
            auth: Arc::new(NoAuthorizer),
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
    /// Those that were ended in favour of others, until they have said so.
    leaving: HashMap<u64, Connection>,
    acceptor: Option<std::thread::JoinHandle<()>>,
    counts: Counts,
}

/// A socket whose session is not found yet.
struct HalfOpen {
    sock: Sock,
    introduced: Arc<AtomicBool>,
    /// It was closed in favour of another, and its thread is about to notice.
    evicted: bool,
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
        addrs: &[EntityAddr],
        acceptor: Acceptor,
    ) -> Result<Self> {
        let io = |what: &str, e: io::Error| {
            Error::new(ErrorKind::Io, format!("{what}: {e}")).with_source(e)
        };
        let mut socks = Vec::with_capacity(addrs.len());
        for addr in addrs {
            let (AddrType::LEGACY | AddrType::MSGR2, Some(sockaddr)) =
                (addr.addr_type, addr.sockaddr)
            else {
                let text = format!("{addr} does not say where and how: v1:IP:PORT or v2:IP:PORT");
                return Err(Error::new(ErrorKind::InvalidInput, text));
            };
            let sock = ListenSock::bind(sockaddr).map_err(|e| io(&format!("bind to {addr}"), e))?;
            socks.push((sock, addr.addr_type));
        }
        if socks.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "no address to listen at"));
        }
        let nonce = messenger.local.addr().nonce;
        let addr = |sock: &ListenSock, addr_type| EntityAddr {
            addr_type,
            nonce,
            sockaddr: Some(sock.addr()),
        };
        let addrs: Vec<_> = socks.iter().map(|(sock, t)| addr(sock, *t)).collect();
        messenger.local.set_addrs(&addrs);
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

    /// What it has done so far, and what it holds; nothing in a fork.
    pub fn counts(&self) -> Counts {
        if self.shared.messenger.is_forked() {
            return Counts::default();
        }
        let state = self.shared.lock();
        let (half_open, connections) = (state.live().count(), state.connections.len());
        Counts { half_open, connections, ..state.counts }
    }

    /// The connections that it has accepted, in no order; none in a fork.
    pub fn connections(&self) -> Vec<Connection> {
        if self.shared.messenger.is_forked() {
            return Vec::new();
        }
        self.shared.lock().connections.values().cloned().collect()
    }

    /// Stops listening and waits for the thread that accepts, at most to the deadline. Connections
    /// that somebody else holds go on.
    pub fn stop(self, deadline: Deadline) -> Result<()> {
        self.shared.messenger.check_fork()?;
        drop(self.shared.begin_close());
        self.shared.join(deadline)
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
        let mut connections: Vec<_> =
            std::mem::take(&mut state.connections).into_values().collect();
        connections.extend(std::mem::take(&mut state.leaving).into_values());
        drop(state);
        self.changed.notify_all();
        self.wake.wake();
        connections
    }

    /// Waits for the threads; not in a callback, which may be in one of them.
    fn join(&self, deadline: Deadline) -> Result<()> {
        if may_block().is_err() {
            return Ok(());
        }
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
    fn accept(self: Arc<Self>, socks: &[(ListenSock, AddrType)]) {
        let mut failing = false;
        while !self.lock().closing {
            let all = socks.iter().map(|(sock, _)| sock);
            let outcome = wait_any(all, &self.wake, None).and_then(|ready| {
                let ready = socks.iter().zip(ready).filter(|(_, ready)| *ready);
                ready.map(|(sock, _)| self.accept_some(sock)).fold(Ok(()), io::Result::and)
            });
            // As long as it lasts, it lasts at every attempt.
            if let (Err(e), false) = (&outcome, failing) {
                log::warn!("msgr-accept: {e}");
            }
            failing = outcome.is_err();
            if failing {
                self.make_room();
            }
        }
    }

    /// Accepts what waits, but not for ever where another socket may wait too.
    fn accept_some(self: &Arc<Self>, (sock, addr_type): &(ListenSock, AddrType)) -> io::Result<()> {
        for _ in 0..ROUND {
            let Some((sock, own, peer)) = sock.accept()? else { break };
            let nonce = self.messenger.local.addr().nonce;
            let own = EntityAddr { addr_type: *addr_type, nonce, sockaddr: Some(own) };
            self.clone().begin(sock, own, peer);
            if self.lock().closing {
                break;
            }
        }
        Ok(())
    }

    /// There are no descriptors, most likely, and the sockets stay readable: waits until a thread
    /// has ended and given some back, or for a while.
    fn make_room(&self) {
        let mut state = self.lock();
        state.evict();
        if !state.closing {
            let _ = Deadline::after(PAUSE).wait(&self.changed, state);
        }
    }

    /// Gives a socket its thread, if the caps allow it.
    fn begin(self: Arc<Self>, sock: Sock, own: EntityAddr, peer: SocketAddr) {
        let introduced = Arc::new(AtomicBool::new(false));
        let thread = ThreadSlot::default();
        let id = {
            let mut state = self.lock();
            state.counts.sockets += 1;
            if state.live().count() >= self.acceptor.max_half_open.max(1) {
                log::debug!("{peer}: takes the place of one that has opened no session");
                state.counts.refused += 1;
                state.evict();
            }
            let most = self.acceptor.max_half_open.saturating_add(limits::MAX_EVICTED);
            let deadline = Deadline::after(PAUSE);
            while state.half_open.len() >= most && !state.closing && !deadline.has_passed() {
                state = deadline.wait(&self.changed, state).0;
            }
            if state.half_open.len() >= most || state.closing {
                log::debug!("{peer}: refused, too many threads are ending");
                return;
            }
            state.next_id += 1;
            let id = state.next_id;
            let half = HalfOpen {
                sock: sock.clone(),
                introduced: introduced.clone(),
                evicted: false,
                thread: thread.clone(),
            };
            state.half_open.insert(id, half);
            id
        };
        let listener = self.clone();
        let slot = thread.clone();
        let accepting = move || {
            let all = listener.messenger.local.addrs_by(own);
            let worker = Accepting::new(&listener, peer, sock, introduced, slot).run(own, all);
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

    /// A connection whose end has begun no longer counts.
    pub(super) fn part_with(&self, id: u64) {
        let mut state = self.lock();
        if state.leaving.len() < limits::MAX_EVICTED
            && let Some(con) = state.connections.remove(&id)
        {
            state.leaving.insert(id, con);
        }
    }

    /// Keeps a connection alive; false where the listener is closing or full.
    pub(super) fn keep(&self, con: &Connection) -> bool {
        let mut state = self.lock();
        if state.closing {
            return false;
        }
        if state.connections.len() >= self.acceptor.max_connections {
            state.counts.refused += 1;
            if !state.part_with_stranger() {
                return false;
            }
        }
        state.connections.insert(con.id(), con.clone());
        true
    }

    /// The connection has ended.
    pub(super) fn forget(&self, id: u64) {
        let con = {
            let mut state = self.lock();
            state.connections.remove(&id).or_else(|| state.leaving.remove(&id))
        };
        // It may be the last handle.
        drop(con);
    }
}

impl State {
    fn live(&self) -> impl Iterator<Item = &HalfOpen> {
        self.half_open.values().filter(|half| !half.evicted)
    }

    /// Closes a socket on which no session is open yet: the oldest of those that have said who they
    /// are, which costs nothing, or of those that have not, whichever are more. So neither kind can
    /// keep the other out.
    fn evict(&mut self) {
        let introduced = self.live().filter(|half| half.introduced.load(Relaxed)).count();
        let introduced = introduced > self.live().count() - introduced;
        let mut live = self.half_open.values_mut().filter(|half| !half.evicted);
        if let Some(oldest) = live.find(|half| half.introduced.load(Relaxed) == introduced) {
            oldest.evicted = true;
            oldest.sock.shutdown();
        }
    }

    /// Ends the oldest connection whose peer may be anyone; false where there is none, or where
    /// those that were ended do not go.
    fn part_with_stranger(&mut self) -> bool {
        let strangers = self.connections.values().filter(|con| con.shared().is_login_due());
        let Some(oldest) = strangers.map(Connection::id).min() else { return false };
        if self.leaving.len() >= limits::MAX_EVICTED {
            return false;
        }
        if let Some(con) = self.connections.remove(&oldest) {
            con.shared().begin_end(Fault::Crowded);
            self.leaving.insert(oldest, con);
        }
        true
    }
}

fn take(slot: &ThreadSlot) -> Option<std::thread::JoinHandle<()>> {
    slot.lock().unwrap_or_else(|e| e.into_inner()).take()
}
