use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::dispatch::{in_callback, may_block};
use super::listener::Shared as ListenerShared;
use super::messenger::{Inner, wall};
use super::sock::Sock;
use super::worker::Worker;
use super::{Deadline, Dispatcher, Wake};
use crate::auth::{AuthPeer, AuthProvider, AuthServiceHandler, ConMode};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::msgr::{
    ConState, Context, Fault, Message, MsgId, Peer, Rx, TakeOver, Throttle, Tx, connection,
};
use crate::types::{EntityType, Features};

/// A connection to one peer, with a thread of its own. Cheap to clone; when the last clone is
/// dropped the connection closes and its thread ends by itself.
///
/// A fork has the handle but not the thread. There every call that could fail does so, with
/// [`ErrorKind::Forked`]; to those that only ask the connection is closed, and none of them waits
/// for a lock that a thread of the parent may have held.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    handle: Arc<Handle>,
}

/// Lives as long as somebody outside the worker holds the connection.
pub(super) struct Handle(Weak<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.begin_close();
        }
    }
}

/// What the handles and the worker have in common.
pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) peer: Peer,
    pub(super) messenger: Arc<Inner>,
    pub(super) auth: Arc<dyn AuthProvider>,
    pub(super) dispatcher: Arc<dyn Dispatcher>,
    /// Who keeps an accepted connection alive.
    pub(super) listener: Option<Weak<ListenerShared>>,
    pub(super) wake: Wake,
    out: Mutex<Out>,
    /// Something has changed that a caller may wait for.
    changed: Condvar,
    worker: ThreadSlot,
    pub(super) counters: CounterCells,
    auth_peer: Mutex<Option<AuthPeer>>,
    /// The login of a peer that came in with messenger v2, at a monitor.
    login: Mutex<Option<Box<AuthServiceHandler>>>,
    /// The peer has yet to log in with messages.
    login_due: AtomicBool,
}

/// Where a thread finds, or leaves, the handle by which it can be joined.
pub(super) type ThreadSlot = Arc<Mutex<Option<JoinHandle<()>>>>;

/// Who has an end of a connection, and what it is told.
pub(super) struct Owner {
    pub(super) auth: Arc<dyn AuthProvider>,
    pub(super) dispatcher: Arc<dyn Dispatcher>,
    pub(super) listener: Option<Weak<ListenerShared>>,
    pub(super) login_due: bool,
    pub(super) auth_peer: Option<AuthPeer>,
    pub(super) login: Option<Box<AuthServiceHandler>>,
    pub(super) thread: ThreadSlot,
}

/// An accepted socket that a session is to go on with.
pub(super) struct Reservation {
    pub(super) sock: Sock,
    pub(super) socket: TakeOver,
    /// What the dialler has shown this time; its caps may be others than before.
    pub(super) auth_peer: Option<AuthPeer>,
}

/// Everything under the connection's one mutex.
pub(super) struct Out {
    pub(super) tx: Tx,
    pub(super) sock: Option<Sock>,
    /// An accepted socket that is to take the place of this one.
    pub(super) take_over: Option<Reservation>,
    /// The peer waits for this side to dial: no backoff.
    pub(super) hurry: bool,
    /// A sender met this error; the worker will act on it.
    pub(super) fault: Option<Fault>,
    /// What broke it last, for whoever waits while it tries again.
    pub(super) last_fault: Option<Fault>,
    /// It is to end, or has ended, for this reason; the first one counts.
    pub(super) end: Option<End>,
    /// The worker has said its last word.
    pub(super) gone: bool,
    /// What the worker waits for.
    pub(super) step: &'static str,
    /// The worker is reading, and will look at the queue before it sleeps: it need not be woken.
    pub(super) awake: bool,
    /// How close upon each other messages are sent.
    burst: Burst,
    /// Callers that wait for `changed`.
    waiters: usize,
}

/// Finds out whether messages are sent in such haste that it pays to let them gather: then the
/// worker writes many at once, while one alone is written at once by who sends it.
#[derive(Debug, Default)]
struct Burst {
    last: Option<Instant>,
    /// How many have come so soon after the one before.
    run: u32,
}

impl Burst {
    /// Less than a write takes, and far less than a round trip.
    const SOON: Duration = Duration::from_micros(20);
    /// A caller with a handful of messages to send is in no haste.
    const RUN: u32 = 16;

    /// Notes a message that is sent `now`.
    fn is_on(&mut self, now: Instant) -> bool {
        let soon = self.last.is_some_and(|last| now.saturating_duration_since(last) < Self::SOON);
        self.last = Some(now);
        self.run = if soon { self.run.saturating_add(1) } else { 0 };
        self.run > Self::RUN
    }
}

/// Why a connection is no more.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// It was closed from this side.
    Closed,
    /// It broke, in that state.
    Broken(ConState, Fault),
    /// A callback of its owner's panicked.
    Panicked,
}

#[derive(Debug, Default)]
pub(super) struct CounterCells {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) faults: AtomicU64,
}

/// What a connection has done so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Counters {
    /// Messages given to `send`.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Times the session was opened or resumed.
    pub opened: u64,
    /// Times the connection broke.
    pub faults: u64,
    /// Bytes of messages that wait for the wire or for the peer's acknowledgement.
    pub queued_bytes: usize,
    /// How many messages these are the bytes of.
    pub queued_messages: usize,
    /// Where it is in its life.
    pub state: ConState,
    /// What broke it last.
    pub last_fault: Option<Fault>,
}

/// A message that [`Connection::try_send`] hands back.
#[derive(Debug)]
pub struct NotSent {
    /// The message.
    pub msg: Message,
    /// Why it was not sent.
    pub error: Error,
}

impl Connection {
    /// Starts a connection that dials, with a thread of its own.
    pub(super) fn start(id: u64, messenger: Arc<Inner>, peer: Peer, owner: Owner) -> Result<Self> {
        let (rx, tx) = connection(peer, &messenger.local);
        let (con, worker) = Self::new(id, messenger, peer, owner, rx, tx)
            .map_err(|e| Error::new(ErrorKind::Io, format!("no eventfd for {peer}: {e}")))?;
        let thread = worker
            .spawn()
            .map_err(|e| Error::new(ErrorKind::Io, format!("no thread for {peer}: {e}")))?;
        *con.shared.worker.lock().unwrap_or_else(|e| e.into_inner()) = Some(thread);
        Ok(con)
    }

    /// A connection, and the worker that some thread is to run.
    pub(super) fn new(
        id: u64,
        messenger: Arc<Inner>,
        peer: Peer,
        owner: Owner,
        mut rx: Rx,
        tx: Tx,
    ) -> io::Result<(Self, Worker)> {
        // What a peer sends that may be anyone must not take the room of others.
        rx.set_throttle(if owner.login_due {
            let (messages, bytes) =
                (limits::MAX_UNAUTHENTICATED_MESSAGES, limits::MAX_UNAUTHENTICATED_LEN);
            Some(Throttle::new(messages, bytes))
        } else {
            messenger.throttle(peer.name.entity_type, owner.listener.is_some())
        });
        rx.set_small_only(owner.login_due);
        let out = Out {
            tx,
            sock: None,
            take_over: None,
            hurry: false,
            fault: None,
            last_fault: None,
            end: None,
            gone: false,
            step: "TCP connection",
            awake: false,
            burst: Burst::default(),
            waiters: 0,
        };
        let wake = Wake::new()?;
        let shared = Arc::new(Shared {
            id,
            peer,
            messenger,
            auth: owner.auth,
            dispatcher: owner.dispatcher,
            listener: owner.listener,
            wake,
            out: Mutex::new(out),
            changed: Condvar::new(),
            worker: owner.thread,
            counters: CounterCells::default(),
            auth_peer: Mutex::new(owner.auth_peer),
            login: Mutex::new(owner.login),
            login_due: AtomicBool::new(owner.login_due),
        });
        let handle = Arc::new(Handle(Arc::downgrade(&shared)));
        let worker = Worker::new(shared.clone(), Arc::downgrade(&handle), rx);
        Ok((Self { shared, handle }, worker))
    }

    /// What the registry keeps of it, which does not keep it alive.
    pub(super) fn downgrade(&self) -> (Weak<Shared>, Weak<Handle>) {
        (Arc::downgrade(&self.shared), Arc::downgrade(&self.handle))
    }

    /// The handle that a callback gets, if anybody still has one.
    pub(super) fn for_callback(shared: &Arc<Shared>, handle: &Weak<Handle>) -> Option<Self> {
        Some(Self { shared: shared.clone(), handle: handle.upgrade()? })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Names the connection among those of its messenger.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Who the peer has shown to be; `None` on a connection that dialled, and before a login.
    pub fn auth_peer(&self) -> Option<AuthPeer> {
        self.shared.messenger.check_fork().ok()?;
        self.shared.auth_peer().clone()
    }

    /// The machine of a login that came with the handshake of messenger v2, as it does at a monitor: it
    /// goes on with the messages by which tickets are asked for. `None` once it has been taken, and on
    /// all other connections; another one with each socket of a session that goes on.
    pub fn take_login(&self) -> Option<Box<AuthServiceHandler>> {
        self.shared.messenger.check_fork().ok()?;
        self.shared.login().take()
    }

    /// The peer has logged in with messages, as it does at a monitor: its time for that no longer
    /// runs, and its messages may be large.
    pub fn set_auth_peer(&self, peer: AuthPeer) {
        if self.shared.messenger.is_forked() {
            return;
        }
        *self.shared.auth_peer() = Some(peer);
        self.shared.login_due.store(false, Relaxed);
        self.shared.wake.wake();
    }

    /// Who is at the other end, and where; an accepted peer's address is the one it claims.
    pub fn peer(&self) -> &Peer {
        &self.shared.peer
    }

    /// Where it is in its life.
    pub fn state(&self) -> ConState {
        self.shared.lock_unforked().map_or(ConState::Closed, |out| out.tx.state())
    }

    /// The mode of a connection of messenger v2; `None` before it is agreed, and with v1.
    pub fn con_mode(&self) -> Option<ConMode> {
        self.shared.lock_unforked().and_then(|out| out.tx.con_mode())
    }

    /// What both sides can do; no feature before the session is open.
    pub fn features(&self) -> Features {
        self.shared.lock_unforked().map_or(Features::NONE, |out| out.tx.features())
    }

    /// Sends a message. On an open connection it goes out on this thread; otherwise it waits for
    /// the session. Where the out queue is full, waits for room as long as the messenger's
    /// time-out for it allows, but not in a callback: there the queue may grow to twice its limit,
    /// where [`ErrorKind::WouldBlock`] is the answer.
    pub fn send(&self, msg: Message) -> Result<MsgId> {
        self.send_by(msg, Deadline::after(self.shared.messenger.timeouts.send))
    }

    /// The same with a deadline for finding room.
    pub fn send_by(&self, msg: Message, deadline: Deadline) -> Result<MsgId> {
        self.shared.messenger.check_fork()?;
        check_lengths(&msg)?;
        let mut out = self.shared.lock();
        let shared = &self.shared;
        if shared.is_full(&out) && may_block().is_ok() {
            let room = |out: &Out| !shared.is_full(out);
            out = shared.wait(out, deadline, "room in the out queue", room)?;
        }
        if shared.is_overfull(&out) && self.shared.end_error(&out).is_none() {
            return Err(self.shared.full_error());
        }
        match self.shared.end_error(&out) {
            Some(e) => Err(e),
            None => Ok(self.shared.send(out, msg)),
        }
    }

    /// The same without a wait, for who holds a lock: the queue may grow over its limit.
    pub(crate) fn send_now(&self, msg: Message) -> Result<MsgId> {
        in_callback(|| self.send(msg))
    }

    /// Sends a message if the out queue has room for it, and hands it back if not.
    pub fn try_send(&self, msg: Message) -> std::result::Result<MsgId, Box<NotSent>> {
        if let Err(error) = self.shared.messenger.check_fork().and_then(|()| check_lengths(&msg)) {
            return Err(Box::new(NotSent { msg, error }));
        }
        let out = self.shared.lock();
        let full = || self.shared.full_error();
        let refused = self.shared.end_error(&out).or_else(|| self.shared.is_full(&out).then(full));
        match refused {
            Some(error) => Err(Box::new(NotSent { msg, error })),
            None => Ok(self.shared.send(out, msg)),
        }
    }

    /// Takes a message back: it is neither sent nor resent. False where it has left this side.
    pub fn revoke(&self, id: MsgId) -> bool {
        let Some(mut out) = self.shared.lock_unforked() else { return false };
        let revoked = out.tx.revoke(id);
        self.shared.notify(&out);
        revoked
    }

    /// Takes a message back if no part of it is on its way yet: nothing else is disturbed.
    pub(crate) fn unqueue(&self, id: MsgId) {
        let Some(mut out) = self.shared.lock_unforked() else { return };
        out.tx.unqueue(id);
        self.shared.notify(&out);
    }

    /// Asks the peer for a sign of life; a session in standby wakes.
    pub fn keepalive(&self) {
        let Some(mut out) = self.shared.lock_unforked() else { return };
        out.tx.keepalive();
        drop(out);
        self.shared.wake.wake();
    }

    /// Waits until the session is open. A lossless one stays so while it stands by: whether the
    /// peer is still there, [`Connection::keepalive`] finds out.
    pub fn wait_open(&self, deadline: Deadline) -> Result<()> {
        let open = |out: &Out| matches!(out.tx.state(), ConState::Open | ConState::Standby);
        self.wait(deadline, "open session", open)
    }

    /// Waits until the kernel has taken all that was sent.
    pub fn flush(&self, deadline: Deadline) -> Result<()> {
        self.wait(deadline, "room in the socket for what was sent", |out| out.tx.is_flushed())
    }

    /// Waits until the peer has acknowledged all that was sent, which only a lossless session
    /// does.
    pub fn acked(&self, deadline: Deadline) -> Result<()> {
        self.wait(deadline, "acknowledgement of what was sent", |out| out.tx.is_acked())
    }

    fn wait(&self, deadline: Deadline, what: &str, done: impl Fn(&Out) -> bool) -> Result<()> {
        self.shared.messenger.check_fork()?;
        may_block()?;
        self.shared.wait(self.shared.lock(), deadline, what, done).map(drop)
    }

    /// Breaks the socket, as a network does that fails: for tests of what follows
    /// (`ms_inject_socket_failures`).
    pub fn inject_socket_failure(&self) {
        if let Some(out) = self.shared.lock_unforked()
            && let Some(sock) = &out.sock
        {
            sock.shutdown();
        }
    }

    /// Where it is and what it waits for, in one line: what a time-out says.
    pub fn describe(&self) -> String {
        let forked = || format!("{}: this handle belongs to the parent process", self.shared.peer);
        self.shared.lock_unforked().map_or_else(forked, |out| self.shared.describe(&out))
    }

    /// Whether it has ended, or is about to.
    pub fn is_closed(&self) -> bool {
        self.shared.lock_unforked().is_none_or(|out| out.end.is_some())
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        let c = &self.shared.counters;
        let out = self.shared.lock_unforked();
        let out = out.as_deref();
        Counters {
            sent: c.sent.load(Relaxed),
            received: c.received.load(Relaxed),
            opened: c.opened.load(Relaxed),
            faults: c.faults.load(Relaxed),
            queued_bytes: out.map_or(0, |out| out.tx.queued_bytes()),
            queued_messages: out.map_or(0, |out| out.tx.queued_messages()),
            state: out.map_or(ConState::Closed, |out| out.tx.state()),
            last_fault: out.and_then(|out| out.last_fault.clone()),
        }
    }

    /// Ends the connection and waits for its thread, at most to the deadline. What was sent and
    /// is not on the wire is dropped; nobody is told. In a callback, of whichever connection, it
    /// only marks: the thread ends when its own callback has returned.
    pub fn close(&self, deadline: Deadline) -> Result<()> {
        self.shared.messenger.check_fork()?;
        self.shared.begin_close();
        self.shared.join(deadline)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {} with {}", self.shared.id, self.shared.peer)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {} with {}", self.id, self.peer)
    }
}

/// Refuses a message with a segment that no peer would take.
pub(crate) fn check_lengths(msg: &Message) -> Result<()> {
    for (segment, len, max) in [
        ("front", msg.front.len(), limits::MSG_MAX_FRONT_LEN),
        ("middle", msg.middle.len(), limits::MSG_MAX_MIDDLE_LEN),
        ("data", msg.data.len(), limits::MSG_MAX_DATA_LEN),
    ] {
        if len > max as usize {
            let text = format!("a {segment} of {len} bytes is longer than {max}");
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
    }
    Ok(())
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The same, but `None` in a fork: whoever held the lock there is not there to let it go.
    fn lock_unforked(&self) -> Option<MutexGuard<'_, Out>> {
        (!self.messenger.is_forked()).then(|| self.lock())
    }

    /// Lets callers look again at what they wait for.
    pub(super) fn notify(&self, out: &Out) {
        if out.waiters > 0 {
            self.changed.notify_all();
        }
    }

    pub(super) fn auth_peer(&self) -> MutexGuard<'_, Option<AuthPeer>> {
        self.auth_peer.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn login(&self) -> MutexGuard<'_, Option<Box<AuthServiceHandler>>> {
        self.login.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Whether the peer has yet to log in.
    pub(super) fn is_login_due(&self) -> bool {
        self.login_due.load(Relaxed)
    }

    /// Whether a peer that claims this session's address is the session's, by what it has shown. Who
    /// has shown nothing gets a session that nobody has shown anything for either.
    pub(super) fn is_of(&self, peer: &Peer, shown: Option<&AuthPeer>) -> bool {
        match (&*self.auth_peer(), shown) {
            (Some(own), Some(shown)) => {
                own.name == shown.name && self.peer.name.entity_type == peer.name.entity_type
            }
            (Some(_), None) => false,
            (None, Some(shown)) => {
                let is_one = shown.name.entity_type == self.peer.name.entity_type;
                self.listener.is_none() && is_one && self.is_with(peer)
            }
            (None, None) => self.listener.is_some() && self.is_with(peer),
        }
    }

    /// Whether it is with that entity. Of those that are dialled by number, only an OSD shows that
    /// number too.
    pub(super) fn is_with(&self, peer: &Peer) -> bool {
        let (own, other) = (self.peer.name, peer.name);
        own.entity_type == other.entity_type
            && (own.entity_type != EntityType::OSD || own.num == other.num)
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            now: Instant::now(),
            wall: wall(),
            local: &self.messenger.local,
            auth: self.auth.as_ref(),
        }
    }

    fn send(&self, mut out: MutexGuard<'_, Out>, msg: Message) -> MsgId {
        self.counters.sent.fetch_add(1, Relaxed);
        let cx = self.context();
        let under_load = out.burst.is_on(cx.now);
        // A worker that reads may be in a callback of its owner's, and not write for long.
        let gather = under_load && !out.awake;
        // Whatever else is due, an ack most likely, goes out in front of it.
        let direct = out.tx.state() == ConState::Open && out.tx.is_unblocked() && !gather;
        let id = out.tx.send(msg);
        let Out { tx, sock, fault, .. } = &mut *out;
        let rest = match sock {
            Some(sock) if direct => match tx.try_write(sock, &cx) {
                Ok(all) => !all,
                Err(e) => {
                    *fault = Some(e);
                    true
                }
            },
            _ => true,
        };
        let wake = rest && !out.awake;
        drop(out);
        if wake {
            self.wake.wake();
        }
        id
    }

    fn full_error(&self) -> Error {
        Error::new(ErrorKind::WouldBlock, format!("{}: the out queue is full", self.peer))
    }

    /// Whether so much waits for a peer that has dialled that nothing is read from it: what it asks
    /// for would be answered without end. Not on a lossless session, where its acknowledgements are
    /// what makes room.
    pub(super) fn is_held_back(&self, out: &Out) -> bool {
        self.listener.is_some()
            && out.tx.state() == ConState::Open
            && out.tx.session.lossy
            && self.is_full(out)
    }

    fn is_full(&self, out: &Out) -> bool {
        self.holds(out, 1)
    }

    /// Not even a callback may add to that.
    fn is_overfull(&self, out: &Out) -> bool {
        self.holds(out, 2)
    }

    /// Whether the out queue holds that many times what it may.
    fn holds(&self, out: &Out, times: usize) -> bool {
        let (bytes, messages) = if self.is_login_due() {
            (limits::UNAUTHENTICATED_OUT_QUEUE_BYTES, limits::UNAUTHENTICATED_OUT_QUEUE_MESSAGES)
        } else {
            (limits::OUT_QUEUE_BYTES, limits::OUT_QUEUE_MESSAGES)
        };
        out.tx.queued_bytes() >= times * bytes || out.tx.queued_messages() >= times * messages
    }

    /// Why nothing can be sent any more, if so.
    pub(super) fn end_error(&self, out: &Out) -> Option<Error> {
        out.end.as_ref().map(|end| end.error(&self.peer))
    }

    fn wait<'a>(
        &'a self,
        mut out: MutexGuard<'a, Out>,
        deadline: Deadline,
        what: &str,
        done: impl Fn(&Out) -> bool,
    ) -> Result<MutexGuard<'a, Out>> {
        loop {
            if let Some(e) = self.end_error(&out) {
                return Err(e);
            }
            if done(&out) {
                return Ok(out);
            }
            out.waiters += 1;
            let (guard, in_time) = deadline.wait(&self.changed, out);
            out = guard;
            out.waiters -= 1;
            if !in_time {
                return Err(self.late(&out, what));
            }
        }
    }

    fn describe(&self, out: &Out) -> String {
        match out.tx.state() {
            state @ (ConState::Open | ConState::Standby | ConState::Closed) => {
                format!("{}: {state}", self.peer)
            }
            state => format!("{}: {state}: no {} yet", self.peer, out.step),
        }
    }

    /// The error of a caller that has waited long enough.
    fn late(&self, out: &Out, what: &str) -> Error {
        let text = format!("{}: no {what} in time", self.describe(out));
        match &out.last_fault {
            Some(fault) if out.tx.state() != ConState::Open => {
                let text = format!("{text}; the last fault was: {fault}");
                Error::new(ErrorKind::Timeout, text).with_source(fault.clone())
            }
            _ => Error::new(ErrorKind::Timeout, text),
        }
    }

    /// Marks the connection for its end, and wakes everybody.
    pub(super) fn begin_close(&self) {
        if self.messenger.is_forked() {
            return;
        }
        let mut out = self.lock();
        out.end.get_or_insert(End::Closed);
        self.notify(&out);
        drop(out);
        self.wake.wake();
    }

    /// Ends the connection for that reason, of which its owner hears.
    pub(super) fn begin_end(&self, fault: Fault) {
        let mut out = self.lock();
        self.end_locked(&mut out, fault);
    }

    /// The same under the lock.
    pub(super) fn end_locked(&self, out: &mut Out, fault: Fault) {
        let state = out.tx.state();
        out.end.get_or_insert(End::Broken(state, fault));
        self.notify(out);
        self.wake.wake();
    }

    /// Waits for the worker to end; not in a callback, where it may be this thread, or one that
    /// waits for this thread in turn.
    pub(super) fn join(&self, deadline: Deadline) -> Result<()> {
        if may_block().is_err() {
            return Ok(());
        }
        let mut out = self.lock();
        while !out.gone {
            out.waiters += 1;
            let (guard, in_time) = deadline.wait(&self.changed, out);
            out = guard;
            out.waiters -= 1;
            if !in_time {
                let text = format!("{}: its thread did not end in time", self.peer);
                return Err(Error::new(ErrorKind::Timeout, text));
            }
        }
        drop(out);
        // It has said its last word: what is left of it is the return.
        let worker = self.worker.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(worker) = worker {
            let _ = worker.join();
        }
        Ok(())
    }
}

impl End {
    /// The error for whoever uses the connection now: peer, state, and what went wrong.
    pub(super) fn error(&self, peer: &Peer) -> Error {
        match self {
            Self::Closed => Error::new(ErrorKind::Closed, format!("{peer}: closed")),
            Self::Broken(state, fault) => fault_error(peer, *state, fault),
            Self::Panicked => {
                Error::new(ErrorKind::Closed, format!("{peer}: closed, for a callback panicked"))
            }
        }
    }
}

/// A fault as the error that a caller sees.
fn fault_error(peer: &Peer, state: ConState, fault: &Fault) -> Error {
    let kind = match fault {
        Fault::TimedOut(_) => ErrorKind::Timeout,
        Fault::Io(_) | Fault::Os(_) => ErrorKind::Io,
        Fault::PeerClosed | Fault::CloseTag => ErrorKind::Closed,
        f if f.is_auth() => ErrorKind::Auth,
        _ => ErrorKind::Protocol,
    };
    Error::new(kind, format!("{peer}: {state}: {fault}")).with_source(fault.clone())
}
