//! An MDS, and a client that holds a session with it.
#![allow(dead_code, reason = "each test that has this uses a part of it")]

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::auth::{AuthClient, CEPH_AUTH_CEPHX};
use ceph_msgr::messages::Body as _;
use ceph_msgr::messages::mds::{MClientSession, SessionOp};
use ceph_msgr::mon::{HuntOptions, MonClient, MonTarget};
use ceph_msgr::msgr::{ConState, Message, Options, Peer, Policy};
use ceph_msgr::net::{Connection, Deadline, Dispatcher, Messenger, Timeouts};
use ceph_msgr::types::{EntityAddr, EntityName, EntityType, Features};
use ceph_msgr::{Error, auth};

use super::common::vstart::Vstart;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Silence after which we ask for a sign of life.
pub(crate) const SOON: Duration = Duration::from_millis(200);
pub(crate) const SENDERS: usize = 4;
/// Renewals that may wait for their answers, but for those that race a handshake.
const WINDOW: usize = 32;

pub(crate) struct Mds {
    /// Where it speaks messenger v1.
    pub(crate) v1: EntityAddr,
    /// And v2.
    pub(crate) v2: EntityAddr,
    pid: u32,
}

impl Mds {
    pub(crate) fn of(cluster: &Vstart) -> Self {
        let dump = cluster.ceph_json(&["fs", "dump"]);
        let info = &dump["filesystems"][0]["mdsmap"]["info"];
        let (_, mds) = info.as_object().and_then(|o| o.iter().next()).expect("an MDS");
        assert_eq!(mds["state"], "up:active");
        let addrs = mds["addrs"]["addrvec"].as_array().expect("addresses");
        let addr = |msgr: &str| {
            let addr = addrs.iter().find(|a| a["type"] == msgr).expect("an address of that type");
            let at: SocketAddr = addr["addr"].as_str().expect("text").parse().expect("IP:PORT");
            let nonce = addr["nonce"].as_u64().and_then(|n| u32::try_from(n).ok());
            (at, nonce.expect("a nonce"))
        };
        let ((v1, nonce), (v2, _)) = (addr("v1"), addr("v2"));
        Self {
            v1: EntityAddr::legacy(v1, nonce),
            v2: EntityAddr::msgr2(v2, nonce),
            pid: cluster.pid("mds.a").expect("it runs"),
        }
    }

    /// It is the one that it was, and has seen no message twice and none missing.
    pub(crate) fn check(&self, cluster: &Vstart) {
        assert_eq!(cluster.pid("mds.a"), Some(self.pid));
        let log = std::fs::read(cluster.dir().join("mds.a.log")).expect("a log");
        for line in String::from_utf8_lossy(&log).lines() {
            let wrong =
                ["got old message", "missed message"].iter().any(|what| line.contains(what));
            assert!(!wrong, "{line}");
        }
    }
}

/// What the MDS has answered.
#[derive(Default)]
pub(crate) struct Answers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    opened: u32,
    sent: usize,
    renewed: Vec<u64>,
    /// Renewals that may be sent although many are not answered yet.
    extra: usize,
    stopped: bool,
    /// What must not happen to a lossless session.
    resets: Vec<String>,
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait(&self, what: &str, done: impl Fn(&State) -> bool) {
        let state = self.lock();
        let (state, timeout) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !done(state))
            .expect("no thread has panicked");
        let (sent, answered) = (state.sent, state.renewed.len());
        drop(state);
        assert!(!timeout.timed_out(), "no {what}: {answered} of {sent} renewals are answered");
    }

    /// All senders may send more than they otherwise would, for a handshake goes on.
    pub(crate) fn hurry(&self) {
        self.change(|state| state.extra += 2 * SENDERS);
    }

    /// Waits for the turn to send; false when there is no more to send.
    fn may_send(&self) -> bool {
        let state = self.lock();
        let few = |state: &State| state.sent - state.renewed.len() < WINDOW;
        let mut state = self
            .changed
            .wait_while(state, |state| !state.stopped && !few(state) && state.extra == 0)
            .expect("no thread has panicked");
        if !few(&state) {
            state.extra = state.extra.saturating_sub(1);
        }
        state.sent += usize::from(!state.stopped);
        !state.stopped
    }
}

impl Dispatcher for Answers {
    fn dispatch(&self, _: &Connection, msg: Message) {
        if msg.header.msg_type != MClientSession::TYPE {
            return;
        }
        let answer = MClientSession::from_message(&msg).expect("a session message");
        self.change(|state| match answer.op {
            SessionOp::OPEN => state.opened += 1,
            SessionOp::RENEWCAPS => state.renewed.push(answer.seq),
            _ => state.resets.push(answer.to_string()),
        });
    }

    fn reset(&self, _: &Connection, error: &Error) {
        self.change(|state| state.resets.push(error.to_string()));
    }

    fn remote_reset(&self, _: &Connection) {
        self.change(|state| state.resets.push("remote reset".to_owned()));
    }
}

/// A client of its own, with its own number and tickets.
pub(crate) struct Client {
    pub(crate) con: Connection,
    pub(crate) answers: Arc<Answers>,
    mon: MonClient,
}

impl Client {
    /// Logs in to the monitor, and connects to the MDS, which is at `addr`.
    pub(crate) fn login(
        cluster: &Vstart,
        addr: EntityAddr,
        answers: Arc<Answers>,
        options: Options,
        keepalive: Option<Duration>,
    ) -> Self {
        let name = auth::EntityName::new(EntityType::CLIENT, "admin");
        let keyring = Keyring::read(&cluster.keyring()).expect("a keyring");
        let key = keyring.key(&name).expect("the key of client.admin").clone();
        let services = [EntityType::MON, EntityType::MDS];
        let auth = AuthClient::new(name, Some(key), &[CEPH_AUTH_CEPHX], &services);
        let auth = Arc::new(auth.expect("a name and a key"));
        let timeouts = Timeouts { keepalive, ..Timeouts::default() };
        let messenger = Messenger::new(EntityType::CLIENT, options, timeouts).expect("one");
        let targets = vec![MonTarget { rank: 0, addr: mon_addr(cluster) }];
        let mon = MonClient::new(messenger.clone(), auth.clone(), targets, HuntOptions::default())
            .expect("one");
        mon.authenticate(Deadline::after(PATIENCE)).expect("a login");
        let name = EntityName::new(EntityType::MDS, 0);
        let peer = Peer { name, addr, policy: Policy::LOSSLESS_CLIENT };
        let con = messenger.connect(peer, auth, answers.clone()).expect("a connection");
        Self { con, answers, mon }
    }

    fn send(&self, op: SessionOp, seq: u64) {
        let msg = MClientSession::new(op, seq).to_message(Features::SUPPORTED);
        self.con.send(msg).expect("the session lives");
    }

    pub(crate) fn open(&self) {
        self.send(SessionOp::REQUEST_OPEN, 0);
        self.answers.wait("session", |state| state.opened == 1);
    }

    /// The same, but for a remote reset: true if there was one.
    pub(crate) fn open_unless_reset(&self) -> bool {
        self.send(SessionOp::REQUEST_OPEN, 0);
        self.answers.wait("session", |state| state.opened == 1 || !state.resets.is_empty());
        let resets = std::mem::take(&mut self.answers.lock().resets);
        assert!(resets.is_empty() || resets == ["remote reset"], "{resets:?}");
        !resets.is_empty()
    }

    /// Sends one renewal and waits for its answer.
    pub(crate) fn renew(&self, n: u64) {
        self.answers.lock().sent += 1;
        self.send(SessionOp::REQUEST_RENEWCAPS, n);
        self.answers.wait("answer", |state| state.renewed.last() == Some(&n));
    }

    /// Renews from all senders until `cut` is done, which cuts the connection meanwhile; then waits for
    /// the last answer. Gives back how many renewals there were, and what `cut` gives.
    pub(crate) fn renew_while<T>(&self, cut: impl FnOnce() -> Result<T, String>) -> (usize, T) {
        let (cuts, sent) = thread::scope(|scope| {
            let senders = std::array::from_fn::<_, SENDERS, _>(|sender| {
                scope.spawn(move || self.keep_sending(sender as u64))
            });
            let cuts = cut();
            self.answers.change(|state| state.stopped = true);
            (cuts, senders.map(|sender| sender.join().expect("it can send")))
        });
        let cuts = cuts.unwrap_or_else(|left| panic!("{left}"));
        // What was doubled would come before the answer to the last one of all.
        self.renew(u64::MAX);
        let renewed = std::mem::take(&mut self.answers.lock().renewed);
        for (sender, sent) in (0..).zip(sent) {
            let answers: Vec<_> = renewed.iter().filter(|&n| n >> 32 == sender).collect();
            let expected: Vec<_> = (1..=sent).map(|n| sender << 32 | n).collect();
            assert!(answers.iter().copied().eq(&expected), "{answers:x?}, not 1 to {sent}");
        }
        assert_eq!(renewed.len() as u64, sent.iter().sum::<u64>() + 1);
        (renewed.len(), cuts)
    }

    /// Sends renewals as long as there is a turn; gives back how many.
    fn keep_sending(&self, sender: u64) -> u64 {
        let mut sent = 0;
        while self.answers.may_send() {
            sent += 1;
            self.send(SessionOp::REQUEST_RENEWCAPS, sender << 32 | sent);
        }
        sent
    }

    pub(crate) fn await_state(&self, state: ConState) {
        let deadline = Deadline::after(PATIENCE);
        while self.con.state() != state {
            assert!(!deadline.has_passed(), "{}, not {state}", self.con.describe());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The session is the one that was opened.
    pub(crate) fn check(&self) {
        let state = self.answers.lock();
        assert_eq!((state.opened, &state.resets), (1, &vec![]));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.mon.shutdown(Deadline::after(PATIENCE));
    }
}

fn mon_addr(cluster: &Vstart) -> EntityAddr {
    let dump = cluster.ceph_json(&["mon", "dump"]);
    let addrs = dump["mons"][0]["public_addrs"]["addrvec"].as_array().expect("addresses");
    let v1 = addrs.iter().find(|a| a["type"] == "v1").and_then(|a| a["addr"].as_str());
    EntityAddr::legacy(v1.and_then(|a| a.parse().ok()).expect("an address"), 0)
}
