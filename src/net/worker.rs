//! The worker: one thread owns one connection (`ceph_con_workfn`).

use std::ffi::CString;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Relaxed, Release},
};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::connection::{Connection, End, Handle, Reservation, Shared};
use super::dispatch::in_callback;
use super::sock::{Interest, Sock, wait};
use crate::crypto::random;
use crate::limits;
use crate::msgr::{Backoff, ConState, Consequence, Event, Fault, Rx, Throttle, con_fault};
use crate::types::Seq;

pub(super) struct Worker {
    shared: Arc<Shared>,
    handle: Weak<Handle>,
    rx: Rx,
    /// The socket that `Out` has too: the worker reads from it without the lock.
    sock: Option<Sock>,
    /// When the step under way must be done.
    deadline: Option<Instant>,
    /// Bytes may be there that poll(2) does not tell of: they were read ahead.
    read_ahead: bool,
    /// Whether the throttle has been asked to wake this thread, and which that was.
    room_asked: Arc<AtomicBool>,
    asked_of: Option<Arc<Throttle>>,
    /// Bytes that waited for the peer when that was last looked at.
    backlog: usize,
    /// So many that nothing is read from it.
    held_back: bool,
    /// The peer may be anyone: little is taken from it.
    restricted: bool,
    /// There was no room for the next message.
    without_room: bool,
    /// When the peer must have logged in.
    login: Option<Instant>,
    /// When the peer was last heard of.
    heard: Instant,
    /// When the message began that is under way.
    amid: Option<Instant>,
    /// When something was last seen to have been sent, and how much by then.
    sent: (Instant, u64),
    /// When it was last asked for a sign of life.
    asked: Instant,
    /// The last number that the peer acknowledged.
    acked: Seq,
    backoff: Backoff,
    /// How long to wait before the next attempt.
    delay: Duration,
}

/// When to look again at what was late and harmed nobody.
const AGAIN: Duration = Duration::from_secs(1);

/// How many things are read before what there is to write is written.
const ROUND: usize = 64;

/// Whether to go on after a step.
enum Step {
    Go,
    Closing,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, handle: Weak<Handle>, rx: Rx) -> Self {
        let now = Instant::now();
        let restricted = shared.is_login_due();
        Self {
            shared,
            handle,
            rx,
            sock: None,
            deadline: None,
            read_ahead: false,
            room_asked: Arc::default(),
            asked_of: None,
            without_room: false,
            backlog: 0,
            held_back: false,
            restricted,
            login: None,
            heard: now,
            amid: None,
            sent: (now, 0),
            asked: now,
            acked: Seq(0),
            backoff: Backoff::default(),
            delay: Duration::ZERO,
        }
    }

    /// Runs on a thread of its own.
    pub(super) fn spawn(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(self.thread_name()).spawn(move || self.work())
    }

    /// Runs on the thread that has accepted the socket.
    pub(super) fn run(self) {
        if let Ok(name) = CString::new(self.thread_name()) {
            let _ = rustix::thread::set_name(&name);
        }
        self.work();
    }

    fn thread_name(&self) -> String {
        // Linux shows the first 15 characters: `msgr-client.4123` would lose its number otherwise.
        format!("msgr-{}", self.shared.peer.name)
    }

    fn work(mut self) {
        // A callback of the user's may panic; whoever waits must hear of the end all the same.
        let end = catch_unwind(AssertUnwindSafe(|| self.con_workfn()));
        if end.is_err() {
            log::error!("{}: a callback panicked", self.shared.peer);
        }
        self.end(end.unwrap_or(End::Panicked));
    }

    fn con_workfn(&mut self) -> End {
        loop {
            let state = {
                let mut out = self.shared.lock();
                if out.end.is_some() {
                    return End::Closed;
                }
                out.awake = false;
                out.take_over.is_none().then(|| out.tx.state())
            };
            let step = match state {
                None => self.take_over(),
                Some(ConState::Standby) => self.standby(),
                Some(ConState::Preopen) => self.open(),
                Some(_) => self.round(),
            };
            match step {
                Ok(Step::Go) => {}
                Ok(Step::Closing) => return End::Closed,
                Err(fault) => {
                    if let Some(end) = self.fault(fault) {
                        return end;
                    }
                }
            }
        }
    }

    /// Goes on with a socket that the peer has dialled, in place of whatever was under way.
    /// While the socket is reserved nobody else gets the session: it is taken, and the session's
    /// numbers are those of the new socket, in one step.
    fn take_over(&mut self) -> Result<Step, Fault> {
        self.forget_room();
        let now = Instant::now();
        let (sock, events) = {
            let mut out = self.shared.lock();
            let Some(Reservation { sock, mut socket, auth_peer }) = out.take_over.take() else {
                return Ok(Step::Go);
            };
            if auth_peer.is_some() {
                *self.shared.auth_peer() = auth_peer;
            }
            if let Some(old) = out.sock.replace(sock.clone()) {
                old.shutdown();
            }
            // Nobody waits for this side to dial any more.
            (out.fault, out.hurry) = (None, false);
            if let Some(login) = socket.take_login() {
                *self.shared.login() = Some(login);
            }
            let events = self.rx.take_over(&mut out.tx, socket)?;
            out.step = self.rx.awaiting();
            self.shared.notify(&out);
            (sock, events)
        };
        self.sock = Some(sock);
        self.delay = Duration::ZERO;
        (self.heard, self.asked, self.read_ahead, self.amid) = (now, now, true, None);
        self.deadline = Some(later(now, self.shared.messenger.timeouts.handshake));
        if self.shared.is_login_due() {
            self.login = self.deadline;
        }
        events.into_iter().flatten().for_each(|event| self.tell(event));
        Ok(Step::Go)
    }

    /// Nothing to send, no socket: sleeps until that changes, or until it is time to ask for a sign
    /// of life: a server never dials, and may have something for us that the last socket lost. Who
    /// accepted the session waits for its peer, and not for ever.
    fn standby(&mut self) -> Result<Step, Fault> {
        let timeouts = &self.shared.messenger.timeouts;
        let idle = timeouts.idle.filter(|_| self.shared.listener.is_some());
        let left =
            idle.map(|idle| later(self.heard, idle).saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            let never = Fault::TimedOut("peer that comes back");
            self.shared.lock().end.get_or_insert(End::Broken(ConState::Standby, never));
            return Ok(Step::Closing);
        }
        let keepalive = timeouts.keepalive.filter(|_| !self.shared.peer.policy.server);
        let asks = keepalive.is_some_and(|keepalive| left.is_none_or(|left| keepalive <= left));
        if !self.sleep(if asks { keepalive } else { left })? && asks {
            self.shared.lock().tx.keepalive();
        }
        Ok(Step::Go)
    }

    /// Sleeps until woken or until the time has passed.
    fn sleep(&self, timeout: Option<Duration>) -> Result<bool, Fault> {
        let ready = wait(None, &self.shared.wake, timeout)?;
        if ready.woken {
            self.shared.wake.clear();
        }
        Ok(ready.woken)
    }

    /// After the backoff: dials, and prepares both hellos.
    fn open(&mut self) -> Result<Step, Fault> {
        let until = Instant::now() + std::mem::take(&mut self.delay);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.sleep(Some(left))?;
            let mut out = self.shared.lock();
            if out.end.is_some() || out.take_over.is_some() {
                return Ok(Step::Go);
            }
            if std::mem::take(&mut out.hurry) {
                break;
            }
        }
        let Some(addr) = self.shared.peer.addr.sockaddr else {
            return Err(Fault::Io(io::ErrorKind::AddrNotAvailable));
        };
        let sock = Sock::connect(addr)?;
        let deadline = later(Instant::now(), self.shared.messenger.timeouts.connect);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::TimedOut("TCP connection"));
            }
            let ready = wait(Some((&sock, Interest::None, true)), &self.shared.wake, Some(left))?;
            if ready.woken {
                self.shared.wake.clear();
                let out = self.shared.lock();
                if out.end.is_some() || out.take_over.is_some() {
                    return Ok(Step::Go);
                }
            }
            if ready.write {
                sock.take_error()?;
                break;
            }
        }
        self.deadline = Some(later(Instant::now(), self.shared.messenger.timeouts.handshake));
        self.sock = Some(sock.clone());
        let mut out = self.shared.lock();
        if out.take_over.is_none() {
            self.rx.prepare_banner(&mut out.tx, &self.shared.context());
            out.sock = Some(sock);
        }
        Ok(Step::Go)
    }

    /// One round of the open or negotiating connection: write, wait, read.
    fn round(&mut self) -> Result<Step, Fault> {
        let Some(mut sock) = self.sock.clone() else {
            return Err(Fault::Io(io::ErrorKind::NotConnected));
        };
        if self.restricted && !self.shared.is_login_due() {
            self.logged_in();
        }
        let ask = self.keepalive_due();
        let no_room = self.ask_for_room();
        let (gated, full, more, answers) = {
            let mut out = self.shared.lock();
            if out.end.is_some() {
                return Ok(Step::Closing);
            }
            if out.take_over.is_some() {
                return Ok(Step::Go);
            }
            if let Some(fault) = out.fault.take() {
                return Err(fault);
            }
            if ask {
                out.tx.keepalive();
            }
            let more = !out.tx.try_write(&mut sock, &self.shared.context())?;
            out.step = self.rx.awaiting();
            self.shared.notify(&out);
            let answers = out.tx.answers_keepalives();
            out.awake = false;
            let backlog = out.tx.session.queued_bytes + out.tx.out_kvec.len();
            if std::mem::replace(&mut self.backlog, backlog) != backlog && self.held_back {
                // It takes what is sent, and is not asked for more.
                self.heard = Instant::now();
            }
            (out.tx.is_gated(), self.shared.is_held_back(&out), more, answers)
        };
        self.held_back = full;
        let gated = gated || full;
        // Even of a peer in haste, which never makes this thread wait.
        // It is this side that makes a peer wait for room: it need not answer, but not for ever.
        let timeout = self.time_left(answers && !no_room)?;
        if gated || !self.read_ahead {
            let interest = if no_room { Interest::End } else { Interest::read_if(!gated) };
            let ready = wait(Some((&sock, interest, more)), &self.shared.wake, timeout)?;
            if ready.woken {
                self.shared.wake.clear();
            }
            if no_room {
                if ready.read {
                    return Err(Fault::PeerClosed);
                }
                return Ok(Step::Go);
            }
            if !ready.read || gated {
                return Ok(Step::Go);
            }
        }
        self.read_ahead = false;
        self.rx.readable();
        self.try_read(&mut sock)?;
        // Not before: while callbacks run nobody listens, and that is not the peer's silence.
        self.heard = Instant::now();
        Ok(Step::Go)
    }

    /// Whether there is no room for the next message; the throttle wakes this thread when there may
    /// be.
    fn ask_for_room(&mut self) -> bool {
        let waited = std::mem::replace(&mut self.without_room, self.rx.throttled().is_some());
        if waited && !self.without_room {
            self.heard = Instant::now();
        }
        let Some(throttle) = self.rx.throttled() else { return false };
        if !self.room_asked.swap(true, AcqRel) {
            if waited {
                // There may be room now, and then its silence begins anew.
                self.heard = Instant::now();
            }
            let (asked, con) = (self.room_asked.clone(), Arc::downgrade(&self.shared));
            self.asked_of = Some(throttle.clone());
            throttle.wait(
                waiter_id(&self.room_asked),
                Box::new(move || {
                    asked.store(false, Release);
                    if let Some(con) = con.upgrade() {
                        con.wake.wake();
                    }
                }),
            );
            // Room that came just before is not announced.
            self.read_ahead = true;
            return false;
        }
        true
    }

    /// A throttle need not wake this thread any more.
    fn forget_room(&mut self) {
        if let Some(throttle) = self.asked_of.take() {
            throttle.cancel(waiter_id(&self.room_asked));
        }
        self.room_asked = Arc::default();
    }

    /// The peer has logged in: more is taken from it.
    fn logged_in(&mut self) {
        self.restricted = false;
        self.login = None;
        self.forget_room();
        let shared = &self.shared;
        let throttle = shared.messenger.throttle(shared.peer.name.entity_type, true);
        self.rx.set_throttle(throttle);
        self.rx.set_small_only(false);
        self.read_ahead = true;
    }

    /// Reads until the socket has no more, until something must be written first, or until it is
    /// time to write something in between: a peer in haste may never let the socket run dry.
    fn try_read(&mut self, sock: &mut Sock) -> Result<(), Fault> {
        // One look at the clocks: only a handshake asks for them, and that waits for each answer.
        let shared = self.shared.clone();
        let cx = shared.context();
        for _ in 0..ROUND {
            if self.restricted && !self.shared.is_login_due() {
                self.logged_in();
            }
            let Some(incoming) = self.rx.read_partial(sock)? else { return Ok(()) };
            let (event, gated) = {
                let mut out = self.shared.lock();
                if out.end.is_some() || out.take_over.is_some() {
                    return Ok(());
                }
                // What is sent meanwhile is written when all is read.
                out.awake = true;
                let event = self.rx.process(&mut out.tx, incoming, &cx)?;
                let (_, acked) = out.tx.progress();
                if std::mem::replace(&mut self.acked, acked) != acked {
                    // It took something, even if the next thing that it says is never heard.
                    self.backoff.reset();
                }
                self.shared.notify(&out);
                (event, out.tx.is_gated())
            };
            if let Some(event) = event {
                self.tell(event);
            }
            if gated {
                // What the peer has sent without waiting is not in the socket any more.
                self.read_ahead = self.rx.has_read_ahead();
                return Ok(());
            }
            if self.shared.listener.is_some() && self.shared.is_held_back(&self.shared.lock()) {
                break;
            }
        }
        self.read_ahead = true;
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Connected(features) => {
                self.deadline = None;
                self.asked = Instant::now();
                self.shared.counters.opened.fetch_add(1, Relaxed);
                log::info!("{}: session open, features {features}", self.shared.peer);
                self.callback(|con| con.shared().dispatcher.connected(con));
            }
            Event::Accepted(features) => {
                self.deadline = None;
                self.backoff.reset();
                self.shared.counters.opened.fetch_add(1, Relaxed);
                log::info!("{}: session accepted, features {features}", self.shared.peer);
                self.callback(|con| con.shared().dispatcher.accepted(con));
            }
            Event::Message(msg) => {
                self.amid = None;
                self.backoff.reset();
                self.shared.counters.received.fetch_add(1, Relaxed);
                self.callback(|con| con.shared().dispatcher.dispatch(con, msg));
            }
            Event::RemoteReset => self.callback(|con| con.shared().dispatcher.remote_reset(con)),
            Event::KeepaliveAck(_) => self.backoff.reset(),
            Event::Acked(_) => {}
        }
    }

    /// Calls the owner with no lock held, unless nobody has the connection any more.
    fn callback(&self, f: impl FnOnce(&Connection)) {
        if let Some(con) = Connection::for_callback(&self.shared, &self.handle) {
            in_callback(|| f(&con));
            in_callback(|| drop(con));
        }
    }

    /// Whether a peer that has been silent is to be asked for a sign of life now.
    fn keepalive_due(&mut self) -> bool {
        let Some(interval) = self.shared.messenger.timeouts.keepalive else { return false };
        let now = Instant::now();
        let due =
            self.deadline.is_none() && now.duration_since(self.heard.max(self.asked)) >= interval;
        if due {
            self.asked = now;
        }
        due
    }

    /// How long to wait for the peer: to the deadline of the handshake, or to the next look at
    /// the keepalive. The silence of a peer that does not answer keepalives means nothing.
    fn time_left(&mut self, answers: bool) -> Result<Option<Duration>, Fault> {
        let now = Instant::now();
        if let Some(deadline) = self.deadline {
            return match deadline.saturating_duration_since(now) {
                Duration::ZERO => Err(Fault::TimedOut(self.rx.awaiting())),
                left => Ok(Some(left)),
            };
        }
        let timeouts = &self.shared.messenger.timeouts;
        let mut next = None;
        let mut look = |at: Instant| next = Some(next.map_or(at, |next: Instant| next.min(at)));
        if let Some(login) = self.login {
            if now >= login && self.shared.is_login_due() {
                return Err(Fault::TimedOut("login"));
            }
            look(login);
        }
        let amid = self.rx.amid_message().filter(|_| self.shared.listener.is_some());
        self.amid = amid.map(|_| self.amid.unwrap_or(now));
        if let (Some(len), Some(since)) = (amid, self.amid) {
            // It has taken the room for the whole message already.
            let silent = later(self.heard, timeouts.keepalive_timeout);
            let rest = Duration::from_secs((len / limits::LEAST_RATE) as u64);
            let slow = later(later(since, timeouts.keepalive_timeout), rest);
            if now >= silent || now >= slow && self.rx.is_contended() {
                return Err(Fault::TimedOut(self.rx.awaiting()));
            }
            look(silent);
            look(slow.max(later(now, AGAIN)));
        }
        if let Some(interval) = timeouts.keepalive {
            look(later(self.heard.max(self.asked), interval));
            if answers {
                let silence = timeouts.keepalive_timeout.max(interval.saturating_mul(2));
                let end = later(self.heard, silence);
                if now >= end {
                    return Err(Fault::TimedOut("answer to keepalives"));
                }
                look(end);
            }
        }
        if let Some(idle) = timeouts.idle {
            let end = later(self.heard.max(self.last_sent(now)), idle);
            if now >= end {
                return Err(Fault::TimedOut("traffic"));
            }
            look(end);
        }
        let left = next.map(|next| next.saturating_duration_since(now));
        Ok(left.map(|left| left.max(Duration::from_millis(1))))
    }

    /// When something was last given to the connection to be sent, as far as has been seen.
    fn last_sent(&mut self, now: Instant) -> Instant {
        let sent = self.shared.counters.sent.load(Relaxed);
        if self.sent.1 != sent {
            self.sent = (now, sent);
        }
        self.sent.0
    }

    /// After a fault: what follows from it, told to the owner. The connection has ended if
    /// something is returned.
    fn fault(&mut self, fault: Fault) -> Option<End> {
        self.shared.counters.faults.fetch_add(1, Relaxed);
        self.deadline = None;
        self.login = None;
        self.read_ahead = false;
        self.amid = None;
        self.sock = None;
        self.forget_room();
        let (state, consequence) = {
            let mut out = self.shared.lock();
            if out.end.is_some() {
                return Some(End::Closed);
            }
            let state = out.tx.state();
            if let Some(sock) = out.sock.take() {
                sock.shutdown();
            }
            out.fault = None;
            out.last_fault = Some(fault.clone());
            out.step = "TCP connection";
            let cx = self.shared.context();
            (state, con_fault(&mut self.rx, &mut out.tx, &fault, &cx))
        };
        self.delay = match consequence {
            Consequence::Redial => jittered(self.backoff.broken()),
            Consequence::Backoff => jittered(self.backoff.failed()),
            Consequence::Wait => self.backoff.longest(),
            _ => Duration::ZERO,
        };
        if fault == Fault::Io(io::ErrorKind::ConnectionRefused) {
            self.callback(|con| con.shared().dispatcher.refused(con));
        }
        // Whoever accepted a session cannot know that its peer is gone for good, and dials in vain.
        let idle = self.shared.messenger.timeouts.idle;
        let idle = idle.filter(|_| self.shared.listener.is_some() && state != ConState::Open);
        let gone = idle.is_some_and(|idle| Instant::now() >= later(self.heard, idle));
        if consequence != Consequence::Close && !gone {
            return None;
        }
        Some(End::Broken(state, fault))
    }

    /// The last things a worker does.
    fn end(&mut self, end: End) {
        let end = {
            let mut out = self.shared.lock();
            out.tx.close();
            if let Some(sock) = out.sock.take() {
                sock.shutdown();
            }
            // Whoever waits hears the reason now, and not after the callback.
            let end = out.end.get_or_insert(end).clone();
            self.shared.notify(&out);
            end
        };
        self.sock = None;
        self.forget_room();
        self.shared.messenger.forget(self.shared.id);
        // What it was to take over is closed.
        let rest = self.shared.lock().take_over.take();
        if let Some(Reservation { sock, .. }) = rest {
            sock.shutdown();
        }
        if let End::Broken(..) = end {
            let error = end.error(&self.shared.peer);
            let told = AssertUnwindSafe(|| {
                self.callback(|con| con.shared().dispatcher.reset(con, &error));
            });
            let _ = catch_unwind(told);
        }
        if let Some(listener) = self.shared.listener.as_ref().and_then(Weak::upgrade) {
            listener.forget(self.shared.id);
        }
        let mut out = self.shared.lock();
        out.gone = true;
        self.shared.notify(&out);
    }
}

fn waiter_id(asked: &Arc<AtomicBool>) -> usize {
    Arc::as_ptr(asked).addr()
}

/// Up to a quarter more: two peers that dial each other in step may each give way to the other's
/// attempt, again and again.
fn jittered(delay: Duration) -> Duration {
    let random = u16::from_ne_bytes(random().unwrap_or_default());
    delay + delay / 4 * u32::from(random) / u32::from(u16::MAX)
}

/// That much after; a century after where the clock does not reach so far.
pub(super) fn later(at: Instant, d: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    at.checked_add(d).unwrap_or_else(|| at + CENTURY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_adds_up_to_a_quarter_and_not_always_the_same() {
        assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
        let delay = Duration::from_secs(4);
        let all: Vec<_> = (0..100).map(|_| jittered(delay)).collect();
        assert!(all.iter().all(|d| (delay..=Duration::from_secs(5)).contains(d)), "{all:?}");
        assert!(all.iter().any(|d| *d != all[0]));
    }
}
