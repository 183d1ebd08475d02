//! A lossless session with a real MDS whose socket is cut before, during and after the exchange of
//! SEQ: nothing is lost, nothing doubled, and threads that send meanwhile do not disturb it.
//!
//! The MDS answers each renewal of a session with the number that is in it, so the answers tell what
//! arrived. A message that came twice, or with a gap before it, would also show in the log of the
//! MDS. Nothing here may send a command to it: that makes 16.2.15 give the connection up.

mod common;
#[path = "mds_lossless/proxy.rs"]
mod proxy;

use std::collections::BTreeMap;
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

use common::vstart::Vstart;
use proxy::{Place, Proxy};

const PATIENCE: Duration = Duration::from_secs(60);
/// Silence after which we ask for a sign of life.
const SOON: Duration = Duration::from_millis(200);
const SENDERS: usize = 4;
/// Renewals that may wait for their answers, but for those that race a handshake.
const WINDOW: usize = 32;

#[test]
fn each_renewal_is_answered_once_and_in_order_wherever_it_is_cut() {
    let Some(cluster) = Vstart::builder().mds().start() else { return };
    let mds = Mds::of(&cluster);
    for seed in 1..=3 {
        let client = Client::login(&cluster, &mds, [], Some(SOON));
        client.open();
        let plan = plan(seed);
        let (renewals, cuts) = client.renew_while_cut(&plan);
        println!("seed {seed}: {renewals} renewals, {:?}, {cuts:?}", client.con.counters());
        assert_eq!(cuts, count(&plan), "seed {seed}");
        assert_eq!(client.con.counters().faults, plan.len() as u64 + 1, "seed {seed}");
        client.check();
    }
    mds.check(&cluster);
}

/// The first connection of all is cut: the MDS may know a session that we have not heard of. It
/// then takes us for a client that was restarted, ends that session, and sometimes the new one too,
/// after it has acknowledged our first message. That is a remote reset, and opening is up to us.
#[test]
fn a_session_that_is_cut_before_it_has_begun_begins_all_the_same() {
    let Some(cluster) = Vstart::builder().mds().start() else { return };
    let mds = Mds::of(&cluster);
    for place in Place::HANDSHAKE.into_iter().chain([Place::AfterOurSeq]) {
        let client = Client::login(&cluster, &mds, [place], Some(SOON));
        let unheard = Place::AfterAnsweredConnect..=Place::InTheirSeq;
        if client.open_unless_reset() {
            assert!(unheard.contains(&place), "{place:?}");
            client.open();
        }
        client.renew(1);
        assert_eq!(client.proxy.await_cuts(PATIENCE), Ok(count(&[place])));
        client.check();
    }
    mds.check(&cluster);
}

/// A server does not dial: what it owes is ours to fetch, although we have nothing to send.
#[test]
fn an_answer_comes_although_the_request_was_acknowledged_before_the_cut() {
    let Some(cluster) = Vstart::builder().mds().start() else { return };
    let mds = Mds::of(&cluster);
    let client = Client::login(&cluster, &mds, [], Some(SOON));
    client.open();
    let plan = [Place::AfterTheirAck; 20];
    client.proxy.cut(plan);
    // A renewal that is through before the cut may be known by SEQ, and then gets no ack.
    let mut n = 0;
    while client.proxy.cuts_left() > 0 {
        n += 1;
        client.renew(n);
    }
    client.renew(n + 1);
    assert_eq!(client.proxy.await_cuts(PATIENCE), Ok(count(&plan)));
    client.check();
    mds.check(&cluster);
}

#[test]
fn a_session_in_standby_goes_on_when_there_is_something_to_send() {
    let Some(cluster) = Vstart::builder().mds().start() else { return };
    let mds = Mds::of(&cluster);
    let client = Client::login(&cluster, &mds, [], None);
    client.open();
    for n in 1..=5 {
        client.renew(n);
        client.con.acked(Deadline::after(PATIENCE)).expect("an ack");
        client.proxy.cut_now();
        client.await_state(ConState::Standby);
        assert_eq!(client.con.counters().opened, n);
    }
    client.renew(6);
    client.check();
    mds.check(&cluster);
}

// --- The MDS --------------------------------------------------------------------------------------

struct Mds {
    addr: SocketAddr,
    nonce: u32,
    pid: u32,
}

impl Mds {
    fn of(cluster: &Vstart) -> Self {
        let dump = cluster.ceph_json(&["fs", "dump"]);
        let info = &dump["filesystems"][0]["mdsmap"]["info"];
        let (_, mds) = info.as_object().and_then(|o| o.iter().next()).expect("an MDS");
        assert_eq!(mds["state"], "up:active");
        let addrs = mds["addrs"]["addrvec"].as_array().expect("addresses");
        let v1 = addrs.iter().find(|a| a["type"] == "v1").expect("messenger v1");
        let nonce = v1["nonce"].as_u64().and_then(|n| u32::try_from(n).ok());
        Self {
            addr: v1["addr"].as_str().and_then(|a| a.parse().ok()).expect("an address"),
            nonce: nonce.expect("a nonce"),
            pid: cluster.pid("mds.a").expect("it runs"),
        }
    }

    /// It is the one that it was, and has seen no message twice and none missing.
    fn check(&self, cluster: &Vstart) {
        assert_eq!(cluster.pid("mds.a"), Some(self.pid));
        let log = std::fs::read(cluster.dir().join("mds.a.log")).expect("a log");
        for line in String::from_utf8_lossy(&log).lines() {
            let wrong =
                ["got old message", "missed message"].iter().any(|what| line.contains(what));
            assert!(!wrong, "{line}");
        }
    }
}

// --- The client -----------------------------------------------------------------------------------

/// What the MDS has answered.
#[derive(Default)]
struct Answers {
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

/// A client of its own, with its own number and tickets, and a proxy between it and the MDS.
struct Client {
    con: Connection,
    answers: Arc<Answers>,
    proxy: Proxy,
    mon: MonClient,
}

impl Client {
    /// Logs in to the monitor, and connects to the MDS; the first connections are cut at `cuts`.
    fn login<const N: usize>(
        cluster: &Vstart,
        mds: &Mds,
        cuts: [Place; N],
        keepalive: Option<Duration>,
    ) -> Self {
        let name = auth::EntityName::new(EntityType::CLIENT, "admin");
        let keyring = Keyring::read(&cluster.keyring()).expect("a keyring");
        let key = keyring.key(&name).expect("the key of client.admin").clone();
        let services = [EntityType::MON, EntityType::MDS];
        let auth = AuthClient::new(name, Some(key), &[CEPH_AUTH_CEPHX], &services);
        let auth = Arc::new(auth.expect("a name and a key"));
        let timeouts = Timeouts { keepalive, ..Timeouts::default() };
        let messenger =
            Messenger::new(EntityType::CLIENT, Options::default(), timeouts).expect("one");
        let targets = vec![MonTarget { rank: 0, addr: mon_addr(cluster) }];
        let mon = MonClient::new(messenger.clone(), auth.clone(), targets, HuntOptions::default())
            .expect("one");
        mon.authenticate(Deadline::after(PATIENCE)).expect("a login");

        let answers = Arc::new(Answers::default());
        let proxy = Proxy::start(mds.addr, {
            let answers = answers.clone();
            // All senders send while the handshake is at this step.
            Box::new(move || answers.change(|state| state.extra += 2 * SENDERS))
        });
        proxy.cut(cuts);
        let peer = Peer {
            name: EntityName::new(EntityType::MDS, 0),
            addr: EntityAddr::legacy(proxy.addr(), mds.nonce),
            policy: Policy::LOSSLESS_CLIENT,
        };
        let con = messenger.connect(peer, auth, answers.clone()).expect("a connection");
        Self { con, answers, proxy, mon }
    }

    fn send(&self, op: SessionOp, seq: u64) {
        let msg = MClientSession::new(op, seq).to_message(Features::SUPPORTED);
        self.con.send(msg).expect("the session lives");
    }

    fn open(&self) {
        self.send(SessionOp::REQUEST_OPEN, 0);
        self.answers.wait("session", |state| state.opened == 1);
    }

    /// The same, but for a remote reset: true if there was one.
    fn open_unless_reset(&self) -> bool {
        self.send(SessionOp::REQUEST_OPEN, 0);
        self.answers.wait("session", |state| state.opened == 1 || !state.resets.is_empty());
        let resets = std::mem::take(&mut self.answers.lock().resets);
        assert!(resets.is_empty() || resets == ["remote reset"], "{resets:?}");
        !resets.is_empty()
    }

    /// Sends one renewal and waits for its answer.
    fn renew(&self, n: u64) {
        self.answers.lock().sent += 1;
        self.send(SessionOp::REQUEST_RENEWCAPS, n);
        self.answers.wait("answer", |state| state.renewed.last() == Some(&n));
    }

    /// Renews from all senders while the connections are cut, until all cuts have happened; then
    /// waits for the last answer. Gives back how many renewals there were, and the cuts.
    fn renew_while_cut(&self, plan: &[Place]) -> (usize, BTreeMap<Place, u32>) {
        let (cuts, sent) = thread::scope(|scope| {
            let senders = std::array::from_fn::<_, SENDERS, _>(|sender| {
                scope.spawn(move || self.keep_sending(sender as u64))
            });
            self.proxy.cut(plan.iter().copied());
            let cuts = self.proxy.await_cuts(PATIENCE);
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

    fn await_state(&self, state: ConState) {
        let deadline = Deadline::after(PATIENCE);
        while self.con.state() != state {
            assert!(!deadline.has_passed(), "{}, not {state}", self.con.describe());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The session is the one that was opened.
    fn check(&self) {
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

// --- The plan -------------------------------------------------------------------------------------

/// Every place several times, in an order and with offsets that the seed decides. A cut before
/// anything was heard delays the next attempt, twice as long each time, so most are followed by one
/// after something was.
fn plan(seed: u64) -> Vec<Place> {
    let mut random = Random(seed);
    let mut unheard = [Place::HANDSHAKE, Place::HANDSHAKE].concat();
    unheard.extend([Place::UNHEARD; 3].concat());
    for _ in 0..4 {
        // The handshake and the first messages.
        unheard.push(Place::AtOurByte(random.below(2500)));
        unheard.push(Place::AtTheirByte(random.below(2500)));
    }
    let mut heard: Vec<_> = Place::HEARD.iter().copied().cycle().take(unheard.len()).collect();
    random.shuffle(&mut unheard);
    random.shuffle(&mut heard);
    let pairs = unheard.into_iter().zip(heard).flat_map(|(unheard, heard)| [unheard, heard]);
    // The MDS has opened the session three times before we hear of it.
    let begin = [Place::BeforeSeqReply, Place::AfterSeqReplyHeader, Place::InTheirSeq];
    begin.into_iter().chain(pairs).collect()
}

/// How many of each kind.
fn count(places: &[Place]) -> BTreeMap<Place, u32> {
    let mut counts = BTreeMap::new();
    places.iter().for_each(|place| *counts.entry(place.kind()).or_default() += 1);
    counts
}

/// xorshift64*; the seed is not 0.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % n
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}
