//! Connections that are marked down under a lock which the callbacks take as well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ceph_msgr::error::Error;
use ceph_msgr::msgr::{Message, Policy};
use ceph_msgr::net::{Connection, Deadline, Dispatcher};

use crate::common::client::until;
use crate::end::*;
use crate::fake::{CEPH_MSG_PING, ping};

for_each_protocol!(markdown_test);
sealed_too!(markdown_test);

const ROUNDS: u32 = 1000;

/// With every message marks another connection down, under a lock that several ends share
/// (`MarkdownDispatcher`).
#[derive(Debug)]
struct MarkdownDispatcher {
    end: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    marked: u64,
    last_mark: bool,
    /// By end and number.
    conns: HashMap<(u32, u64), Connection>,
}

impl MarkdownDispatcher {
    fn key(&self, con: &Connection) -> (u32, u64) {
        (self.end, con.id())
    }

    fn insert(&self, con: &Connection) {
        lock(&self.state).conns.insert(self.key(con), con.clone());
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic")
}

/// Lets go of the connections, which hold their dispatcher. Not under the lock: these may be the
/// last handles.
fn forget(state: &Mutex<State>) {
    let conns = std::mem::take(&mut lock(state).conns);
    drop(conns);
}

impl Dispatcher for MarkdownDispatcher {
    fn dispatch(&self, con: &Connection, msg: Message) {
        assert_eq!(msg.header.msg_type, CEPH_MSG_PING);
        let mut state = lock(&self.state);
        state.count += 1;
        state.conns.insert(self.key(con), con.clone());
        if state.conns.len() < 2 && !state.last_mark {
            return;
        }
        state.last_mark = true;
        let other = state.conns.keys().find(|key| **key != self.key(con)).copied();
        if let Some(other) = other.and_then(|key| state.conns.remove(&key)) {
            other.close(Deadline::NEVER).expect("a callback does not wait");
            state.marked += 1;
        }
        state.last_mark = !state.conns.is_empty();
    }

    fn connected(&self, con: &Connection) {
        self.insert(con);
    }

    fn accepted(&self, con: &Connection) {
        self.insert(con);
    }

    fn reset(&self, con: &Connection, _: &Error) {
        let mut state = lock(&self.state);
        state.conns.remove(&self.key(con));
    }

    fn remote_reset(&self, con: &Connection) {
        lock(&self.state).conns.remove(&self.key(con));
    }
}

/// Two servers with one dispatcher, one client: 1,000 rounds in which each server's connection may
/// end the other's. In every tenth the client marks one of its own down, from a thread of its own
/// and under its dispatcher's lock, without waiting. Nothing deadlocks, and there is progress.
fn markdown_test(protocol: Protocol) {
    let (heard, own) = (Arc::default(), Arc::default());
    let dispatcher =
        |end, state: &Arc<Mutex<State>>| Arc::new(MarkdownDispatcher { end, state: state.clone() });
    let servers = [100, 101].map(|nonce| {
        let config = Config::server(protocol).nonce(nonce).policy(Policy::STATELESS_SERVER);
        End::bound(config, dispatcher(nonce, &heard))
    });
    let client = End::new(Config::client(protocol), dispatcher(0, &own));
    let mut stuck = 0;
    let mut last = 0;
    for round in 0..ROUNDS {
        let cons = servers.each_ref().map(|s| client.connect_to(s, s.addr()));
        // One that has just been marked down takes nothing any more.
        cons.iter().for_each(|con| drop(con.send(ping(round))));
        if round % 10 == 9 {
            let _lock = lock(&own);
            let _ = cons[round as usize / 10 % 2].close(Deadline::after(Duration::ZERO));
        }
        until("each message has come, or its connection has ended", || {
            let ended = cons.iter().filter(|con| con.is_closed()).count() as u64;
            lock(&heard).count + ended >= last + 2
        });
        let count = lock(&heard).count;
        stuck = if count == last { stuck + 1 } else { 0 };
        assert!(stuck <= 3, "no progress after {count} messages");
        last = count;
    }
    let marked = lock(&heard).marked;
    assert!(
        last > u64::from(ROUNDS) / 2 && marked > u64::from(ROUNDS) / 10,
        "{last} came, {marked} marked down"
    );
    [&heard, &own].into_iter().for_each(|state| forget(state));
    client.close();
    servers.into_iter().for_each(End::close);
    [&heard, &own].into_iter().for_each(|state| forget(state));
}
