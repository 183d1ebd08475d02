//! Servers, clients, and a driver that makes connections, drops them and sends at random
//! (`SyntheticWorkload`, `SyntheticDispatcher`).
//!
//! A client's message is answered with what it holds. Of each connection the answers must come in the
//! order of the messages; each message and each answer comes at most once; and all come of which no
//! callback said that they are lost.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ceph_msgr::error::Error;
use ceph_msgr::msgr::{Message, Policy, Priority};
use ceph_msgr::net::{Connection, Dispatcher};

use crate::end::*;
use crate::fake::CEPH_MSG_PING;
use crate::rng::Rng;

const MSG_COMMAND: u16 = 97;
const MAX_IN_FLIGHT: usize = 64;
const MAX_CONNECTIONS: usize = 128;
/// Messages of different contents.
const CONTENTS: usize = 100;
const PING: u8 = 0;
const PONG: u8 = 1;
/// For everything under way to arrive at last.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a scenario does.
pub(crate) struct Plan {
    pub(crate) servers: usize,
    pub(crate) clients: usize,
    pub(crate) server_policy: Policy,
    pub(crate) client_policy: Policy,
    /// Connections to begin with.
    pub(crate) seeding: usize,
    pub(crate) ops: usize,
    /// Of 100 operations those above the first make a connection, those above the second drop one,
    /// those above 10 send, the others give way.
    pub(crate) make_and_drop: (usize, usize),
    /// The longest message. Ceph's are of 4 MiB.
    pub(crate) max_len: usize,
    /// Bytes that one end holds of what came.
    pub(crate) throttle_bytes: usize,
    /// Of so many things that happen on a socket one breaks it; 0 for none.
    pub(crate) socket_failures: u64,
    /// The longest that a message is held back before it is dispatched.
    pub(crate) delay_max: Duration,
}

impl Plan {
    pub(crate) fn new(servers: usize, clients: usize, ops: usize) -> Self {
        Self {
            servers,
            clients,
            server_policy: Policy::STATEFUL_SERVER,
            client_policy: LOSSLESS_CLIENT,
            seeding: 100,
            ops,
            make_and_drop: (90, 80),
            max_len: 256 << 10,
            throttle_bytes: 100 << 20,
            socket_failures: 0,
            delay_max: Duration::ZERO,
        }
    }

    pub(crate) fn peers(self, policy: Policy) -> Self {
        Self { server_policy: policy, client_policy: policy, ..self }
    }
}

/// A connection of one of the ends.
type Key = (usize, u64);

/// What the dispatchers of all ends have in common.
#[derive(Debug)]
struct Shared {
    contents: Vec<Bytes>,
    socket_failures: u64,
    delay_max: Duration,
    /// Things that happened on sockets.
    happened: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Messages without an answer: number and contents.
    pending: HashMap<Key, VecDeque<(u64, u32)>>,
    in_flight: usize,
    pings: HashSet<u64>,
    pongs: HashSet<u64>,
    /// The last message that came, by connection.
    last: HashMap<Key, u64>,
    wrong: Vec<String>,
    counts: Counts,
}

/// What happened in all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) pings: u64,
    pub(crate) pongs: u64,
    pub(crate) opened: u64,
    pub(crate) resets: u64,
    pub(crate) remote_resets: u64,
    pub(crate) failures: u64,
    pub(crate) dropped: u64,
}

#[derive(Debug)]
pub(crate) struct SyntheticDispatcher {
    end: usize,
    shared: Arc<Shared>,
}

fn payload(who: u8, index: u64, contents: u32, data: Bytes) -> Message {
    let mut front = vec![who];
    front.extend(index.to_le_bytes());
    front.extend(contents.to_le_bytes());
    Message::new(CEPH_MSG_PING, front).with_data(data)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// So much has happened on a socket, which may break it (`ms_inject_socket_failures`).
    fn happened(&self, con: &Connection, n: u64) {
        let every = self.socket_failures;
        if every == 0 {
            return;
        }
        let before = self.happened.fetch_add(n, Relaxed);
        if (before + n) / every > before / every {
            con.inject_socket_failure();
            self.lock().counts.failures += 1;
        }
    }

    fn clear_pending(&self, key: Key) {
        let mut state = self.lock();
        let cleared = state.pending.remove(&key).map_or(0, |p| p.len());
        state.in_flight -= cleared;
        drop(state);
        self.changed.notify_all();
    }
}

impl SyntheticDispatcher {
    fn key(&self, con: &Connection) -> Key {
        (self.end, con.id())
    }

    fn ping(&self, con: &Connection, index: u64, contents: u32, data: Bytes) {
        let key = self.key(con);
        let mut state = self.shared.lock();
        state.counts.pings += 1;
        if !state.pings.insert(index) {
            state.wrong.push(format!("message {index} came twice"));
        }
        if let Some(last) = state.last.insert(key, index).filter(|last| *last >= index) {
            state.wrong.push(format!("message {index} after {last}"));
        }
        drop(state);
        // It may have been dropped meanwhile.
        let _ = con.send(payload(PONG, index, contents, data));
    }

    fn pong(&self, con: &Connection, index: u64) {
        let key = self.key(con);
        let mut state = self.shared.lock();
        state.counts.pongs += 1;
        if !state.pongs.insert(index) {
            state.wrong.push(format!("answer {index} came twice"));
        }
        // What is not pending was given up; that it came all the same is no harm.
        let pending = state.pending.get_mut(&key);
        let at = pending.as_ref().and_then(|p| p.iter().position(|(i, _)| *i == index));
        if let (Some(pending), Some(at)) = (pending, at) {
            pending.remove(at);
            state.in_flight -= 1;
            if at != 0 {
                state.wrong.push(format!("answer {index} overtook {at} others"));
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Dispatcher for SyntheticDispatcher {
    fn dispatch(&self, con: &Connection, msg: Message) {
        self.shared.happened(con, 1);
        if msg.header.msg_type == MSG_COMMAND {
            return;
        }
        let front = &msg.front;
        let (who, index) = (front[0], u64::from_le_bytes(*front[1..].first_chunk().expect("8")));
        let contents = u32::from_le_bytes(*front[9..].first_chunk().expect("4"));
        if self.shared.contents.get(contents as usize) != Some(&msg.data) {
            self.shared.lock().wrong.push(format!("message {index} has other data"));
        }
        if !self.shared.delay_max.is_zero() {
            // As a slow network has it; nothing waits for this.
            let part = (index * 37 + u64::from(who) * 11) % 100;
            std::thread::sleep(self.shared.delay_max * part as u32 / 100);
        }
        match who {
            PING => self.ping(con, index, contents, msg.data),
            _ => self.pong(con, index),
        }
    }

    fn connected(&self, con: &Connection) {
        self.shared.lock().counts.opened += 1;
        self.shared.happened(con, 5);
    }

    fn accepted(&self, con: &Connection) {
        self.shared.lock().counts.opened += 1;
        self.shared.happened(con, 5);
    }

    fn reset(&self, con: &Connection, _: &Error) {
        self.shared.lock().counts.resets += 1;
        self.shared.clear_pending(self.key(con));
    }

    fn remote_reset(&self, con: &Connection) {
        self.shared.lock().counts.remote_resets += 1;
        self.shared.clear_pending(self.key(con));
    }
}

pub(crate) struct Workload {
    plan: Plan,
    servers: Vec<End<SyntheticDispatcher>>,
    clients: Vec<End<SyntheticDispatcher>>,
    shared: Arc<Shared>,
    connections: BTreeMap<(usize, usize), Connection>,
    next: u64,
    rng: Rng,
}

impl Workload {
    pub(crate) fn new(protocol: Protocol, plan: Plan) -> Self {
        let mut rng = Rng::from_env();
        let content = |i| {
            let len = 32 + rng.below(plan.max_len - 32);
            (0..len).map(|at| (i * 31 + at / 7) as u8).collect()
        };
        let shared = Arc::new(Shared {
            contents: (0..CONTENTS).map(content).collect(),
            socket_failures: plan.socket_failures,
            delay_max: plan.delay_max,
            happened: AtomicU64::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let end = |number: usize, config: Config, policy: Policy, bound: bool| {
            let config = Config {
                policy,
                nonce: 100 + number as u32,
                throttle: (10_000, plan.throttle_bytes),
                ..config
            };
            let dispatcher = Arc::new(SyntheticDispatcher { end: number, shared: shared.clone() });
            if bound { End::bound(config, dispatcher) } else { End::new(config, dispatcher) }
        };
        let servers = 0..plan.servers;
        let clients = plan.servers..plan.servers + plan.clients;
        let servers =
            servers.map(|n| end(n, Config::server(protocol), plan.server_policy, true)).collect();
        let clients = clients
            .map(|n| {
                let policy = plan.client_policy;
                end(n, Config::client(protocol), policy, policy.standby)
            })
            .collect();
        Self { plan, servers, clients, shared, connections: BTreeMap::new(), next: 0, rng }
    }

    /// Does it all, and says what happened.
    pub(crate) fn run(mut self) -> Counts {
        for _ in 0..self.plan.seeding {
            self.generate_connection();
        }
        let (make, drop) = self.plan.make_and_drop;
        for _ in 0..self.plan.ops {
            match self.rng.below(100) {
                val if val > make => self.generate_connection(),
                val if val > drop => self.drop_connection(),
                val if val > 10 => self.send_message(),
                _ => std::thread::yield_now(),
            }
        }
        self.wait_for_done()
    }

    fn generate_connection(&mut self) {
        self.forget_closed();
        if self.connections.len() >= MAX_CONNECTIONS {
            return;
        }
        let (c, s) = (self.rng.below(self.clients.len()), self.rng.below(self.servers.len()));
        let server = &self.servers[s];
        let con = self.clients[c].connect_to(server, server.addr());
        self.connections.insert((c, s), con);
    }

    /// Lets go of connections that have ended; of one that nobody holds no callback tells.
    fn forget_closed(&mut self) {
        let (shared, first) = (&self.shared, self.plan.servers);
        self.connections.retain(|(c, _), con| {
            let closed = con.is_closed();
            if closed {
                shared.clear_pending((first + c, con.id()));
            }
            !closed
        });
    }

    /// Any connection, when not too much is under way.
    fn random_connection(&mut self) -> Option<((usize, usize), Connection)> {
        self.wait("room for another message", MAX_IN_FLIGHT);
        self.forget_closed();
        if self.connections.is_empty() {
            return None;
        }
        let n = self.rng.below(self.connections.len());
        self.connections.iter().nth(n).map(|(key, con)| (*key, con.clone()))
    }

    fn send_message(&mut self) {
        let Some(((c, _), con)) = self.random_connection() else { return };
        self.shared.happened(&con, 1);
        if self.rng.below(100) >= 95 {
            // Disturbs the flow of the others.
            let mut msg = Message::new(MSG_COMMAND, &b"command"[..]);
            msg.header.priority = Priority(200);
            let _ = con.send(msg);
            return;
        }
        let contents = self.rng.below(CONTENTS) as u32;
        let index = self.next;
        self.next += 1;
        let key = (self.plan.servers + c, con.id());
        {
            let mut state = self.shared.lock();
            state.pending.entry(key).or_default().push_back((index, contents));
            state.in_flight += 1;
            state.counts.sent += 1;
        }
        let data = self.shared.contents[contents as usize].clone();
        if con.send(payload(PING, index, contents, data)).is_err() {
            // It has ended: nothing of it is under way.
            self.shared.clear_pending(key);
        }
    }

    fn drop_connection(&mut self) {
        if self.connections.len() < 10 {
            return;
        }
        let Some(((c, s), con)) = self.random_connection() else { return };
        let key = (self.plan.servers + c, con.id());
        mark_down(&con);
        self.shared.clear_pending(key);
        let policy = self.plan.client_policy;
        if !policy.lossy && policy.standby && !self.plan.server_policy.server {
            // Lossless on both sides: each is marked down.
            let client = &self.clients[c];
            let peer = self.servers[s].connect_to(client, client.addr());
            mark_down(&peer);
        }
        self.shared.lock().counts.dropped += 1;
        self.connections.remove(&(c, s));
    }

    /// Waits until no more than so many messages are without an answer.
    fn wait(&self, what: &str, in_flight: usize) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        while state.in_flight > in_flight {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let stuck = self.stuck(&state);
                drop(state);
                panic!("no {what} in time: {stuck}");
            }
            state = self.shared.changed.wait_timeout(state, left).expect("no panic").0;
        }
    }

    fn stuck(&self, state: &State) -> String {
        let pending = |(end, id): &Key| state.pending.get(&(*end, *id)).map_or(0, |p| p.len());
        let mut text = format!("{:?}", state.counts);
        for ((c, s), con) in &self.connections {
            let n = pending(&(self.plan.servers + c, con.id()));
            if n > 0 {
                text += &format!("\nclient {c} server {s}: {n} wait, {:?}", con.counters());
                if let Some(listener) = &self.servers[*s].listener {
                    for back in listener.connections() {
                        text += &format!("\n    {back:?} {:?}", back.counters());
                    }
                }
            }
        }
        text
    }

    fn wait_for_done(self) -> Counts {
        self.wait("answer to all that was sent", 0);
        let Self { servers, clients, shared, connections, .. } = self;
        let lacking = {
            let state = shared.lock();
            assert!(state.wrong.is_empty(), "{:?}", state.wrong);
            state.counts
        };
        drop(connections);
        clients.into_iter().chain(servers).for_each(End::close);
        let state = shared.lock();
        assert!(state.wrong.is_empty(), "{:?}", state.wrong);
        println!("{lacking:?}");
        lacking
    }
}
