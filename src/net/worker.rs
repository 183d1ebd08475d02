//! The worker: one thread owns one connection (`ceph_con_workfn`).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::connection::{Connection, End, Handle, Shared};
use super::dispatch::in_callback;
use super::sock::{Sock, wait};
use crate::msgr::v1::{Event, Rx, con_fault};
use crate::msgr::{Backoff, ConState, Consequence, Fault};
use crate::types::{Features, Seq};

pub(super) fn spawn(
    shared: Arc<Shared>,
    handle: Weak<Handle>,
    rx: Rx,
) -> io::Result<JoinHandle<()>> {
    // Linux shows the first 15 characters: `msgr-client.4123` would lose its number otherwise.
    let name = format!("msgr-{}", shared.peer.name);
    std::thread::Builder::new().name(name).spawn(move || {
        let mut worker = Worker {
            shared,
            handle,
            rx,
            sock: None,
            deadline: None,
            heard: Instant::now(),
            asked: Instant::now(),
            acked: Seq(0),
            backoff: Backoff::default(),
            delay: Duration::ZERO,
        };
        // A callback of the user's may panic; whoever waits must hear of the end all the same.
        let end = catch_unwind(AssertUnwindSafe(|| worker.con_workfn()));
        if end.is_err() {
            log::error!("{}: a callback panicked", worker.shared.peer);
        }
        worker.end(end.unwrap_or(End::Panicked));
    })
}

struct Worker {
    shared: Arc<Shared>,
    handle: Weak<Handle>,
    rx: Rx,
    /// The socket that `Out` has too: the worker reads from it without the lock.
    sock: Option<Sock>,
    /// When the step under way must be done.
    deadline: Option<Instant>,
    /// When the peer was last heard of.
    heard: Instant,
    /// When it was last asked for a sign of life.
    asked: Instant,
    /// The last number that the peer acknowledged.
    acked: Seq,
    backoff: Backoff,
    /// How long to wait before the next attempt.
    delay: Duration,
}

/// Whether to go on after a step.
enum Step {
    Go,
    Closing,
}

impl Worker {
    fn con_workfn(&mut self) -> End {
        loop {
            let state = {
                let out = self.shared.lock();
                if out.end.is_some() {
                    return End::Closed;
                }
                out.tx.state()
            };
            let step = match state {
                ConState::Standby => self.standby(),
                ConState::Preopen => self.open(),
                _ => self.run(),
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

    /// Nothing to send, no socket: sleeps until that changes, or until it is time to ask for a sign
    /// of life. A server never dials, and may have something for us that the last socket lost.
    fn standby(&mut self) -> Result<Step, Fault> {
        if !self.sleep(self.shared.messenger.timeouts.keepalive)? {
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
            if self.shared.lock().end.is_some() {
                return Ok(Step::Closing);
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
            let ready = wait(Some((&sock, false, true)), &self.shared.wake, Some(left))?;
            if ready.woken {
                self.shared.wake.clear();
                if self.shared.lock().end.is_some() {
                    return Ok(Step::Closing);
                }
            }
            if ready.write {
                sock.take_error()?;
                break;
            }
        }
        self.deadline = Some(later(Instant::now(), self.shared.messenger.timeouts.handshake));
        self.sock = Some(sock.clone());
        self.rx.prepare_read_banner();
        let mut out = self.shared.lock();
        out.tx.prepare_write_banner(&self.shared.context());
        out.sock = Some(sock);
        Ok(Step::Go)
    }

    /// One round of the open or negotiating connection: write, wait, read.
    fn run(&mut self) -> Result<Step, Fault> {
        let Some(mut sock) = self.sock.clone() else {
            return Err(Fault::Io(io::ErrorKind::NotConnected));
        };
        let ask = self.keepalive_due();
        let (gated, more, answers) = {
            let mut out = self.shared.lock();
            if out.end.is_some() {
                return Ok(Step::Closing);
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
            let answers = out.tx.features().has(Features::MSGR_KEEPALIVE2);
            (Rx::is_gated(&out.tx), more, answers)
        };
        let timeout = self.time_left(answers)?;
        let ready = wait(Some((&sock, !gated, more)), &self.shared.wake, timeout)?;
        if ready.woken {
            self.shared.wake.clear();
        }
        if ready.read && !gated {
            self.rx.readable();
            self.try_read(&mut sock)?;
            // Not before: while callbacks run nobody listens, and that is not the peer's silence.
            self.heard = Instant::now();
        }
        Ok(Step::Go)
    }

    /// Reads until the socket has no more, or until something must be written first.
    fn try_read(&mut self, sock: &mut Sock) -> Result<(), Fault> {
        while let Some(incoming) = self.rx.read_partial(sock)? {
            let (event, gated) = {
                let mut out = self.shared.lock();
                if out.end.is_some() {
                    return Ok(());
                }
                let event = self.rx.process(&mut out.tx, incoming, &self.shared.context())?;
                let (_, acked) = out.tx.progress();
                if std::mem::replace(&mut self.acked, acked) != acked {
                    // It took something, even if the next thing that it says is never heard.
                    self.backoff.reset();
                }
                self.shared.notify(&out);
                (event, Rx::is_gated(&out.tx))
            };
            if let Some(event) = event {
                self.tell(event);
            }
            if gated {
                break;
            }
        }
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
            Event::Accepted(_) => {}
            Event::Message(msg) => {
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
    fn time_left(&self, answers: bool) -> Result<Option<Duration>, Fault> {
        let now = Instant::now();
        if let Some(deadline) = self.deadline {
            return match deadline.saturating_duration_since(now) {
                Duration::ZERO => Err(Fault::TimedOut(self.rx.awaiting())),
                left => Ok(Some(left)),
            };
        }
        let timeouts = &self.shared.messenger.timeouts;
        let Some(interval) = timeouts.keepalive else { return Ok(None) };
        let mut next = later(self.heard.max(self.asked), interval);
        if answers {
            let end = later(self.heard, timeouts.keepalive_timeout.max(interval.saturating_mul(2)));
            if now >= end {
                return Err(Fault::TimedOut("answer to keepalives"));
            }
            next = next.min(end);
        }
        let left = next.saturating_duration_since(now);
        Ok(Some(left.max(Duration::from_millis(1))))
    }

    /// After a fault: what follows from it, told to the owner. The connection has ended if
    /// something is returned.
    fn fault(&mut self, fault: Fault) -> Option<End> {
        self.shared.counters.faults.fetch_add(1, Relaxed);
        self.deadline = None;
        self.sock = None;
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
            Consequence::Redial => self.backoff.broken(),
            Consequence::Backoff => self.backoff.failed(),
            _ => Duration::ZERO,
        };
        if fault == Fault::Io(io::ErrorKind::ConnectionRefused) {
            self.callback(|con| con.shared().dispatcher.refused(con));
        }
        if consequence != Consequence::Close {
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
        self.shared.messenger.forget(self.shared.id);
        if let End::Broken(..) = end {
            let error = end.error(&self.shared.peer);
            let told = AssertUnwindSafe(|| {
                self.callback(|con| con.shared().dispatcher.reset(con, &error));
            });
            let _ = catch_unwind(told);
        }
        let mut out = self.shared.lock();
        out.gone = true;
        self.shared.notify(&out);
    }
}

/// That much after; a century after where the clock does not reach so far.
fn later(at: Instant, d: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    at.checked_add(d).unwrap_or_else(|| at + CENTURY)
}
