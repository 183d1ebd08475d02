//! Connections that are marked down under a lock which the callbacks take as well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ceph_msgr::error::Error;
use ceph_msgr::msgr::{Message, Policy};
use ceph_msgr::net::{Connection, Deadline, Dispatcher};

use crate::common::client::until;
use crate::end::*;
use crate::fake::{CEPH_MSG_PING, ping};

for_each_protocol!(markdown_test);

const ROUNDS: u32 = 1000;

/// With every message marks another connection down, under its lock (`MarkdownDispatcher`).
#[derive(Debug, Default)]
struct MarkdownDispatcher(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    count: u64,
    marked: u64,
    resets: u64,
    last_mark: bool,
    conns: HashMap<u64, Connection>,
}

impl MarkdownDispatcher {
    fn insert(&self, con: &Connection) {
        let mut state = self.0.lock().expect("no panic");
        state.conns.insert(con.id(), con.clone());
    }

    fn count(&self) -> u64 {
        self.0.lock().expect("no panic").count
    }
}

impl Dispatcher for MarkdownDispatcher {
    fn dispatch(&self, con: &Connection, msg: Message) {
        assert_eq!(msg.header.msg_type, CEPH_MSG_PING);
        let mut state = self.0.lock().expect("no panic");
        state.count += 1;
        state.conns.insert(con.id(), con.clone());
        if state.conns.len() < 2 && !state.last_mark {
            return;
        }
        state.last_mark = true;
        let other = state.conns.keys().find(|id| **id != con.id()).copied();
        if let Some(other) = other.and_then(|id| state.conns.remove(&id)) {
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
        let mut state = self.0.lock().expect("no panic");
        state.conns.remove(&con.id());
        state.resets += 1;
    }

    fn remote_reset(&self, con: &Connection) {
        self.0.lock().expect("no panic").conns.remove(&con.id());
    }
}

/// Two servers with one dispatcher, one client: 1,000 rounds in which each server's connection may
/// end the other's. In every tenth the client marks one of its own down, from a thread of its own
/// and under its dispatcher's lock, without waiting. Nothing deadlocks, and there is progress.
fn markdown_test(protocol: Protocol) {
    let heard = Arc::new(MarkdownDispatcher::default());
    let server = |nonce| {
        let config = Config::server(protocol).nonce(nonce).policy(Policy::STATELESS_SERVER);
        End::bound(config, heard.clone())
    };
    let servers = [server(100), server(101)];
    let own = Arc::new(MarkdownDispatcher::default());
    let client = End::new(Config::client(protocol), own.clone());
    let mut stuck = 0;
    let mut last = 0;
    for round in 0..ROUNDS {
        let cons = servers.each_ref().map(|s| client.connect_to(s, s.addr()));
        // One that has just been marked down takes nothing any more.
        cons.iter().for_each(|con| drop(con.send(ping(round))));
        if round % 10 == 9 {
            let _lock = own.0.lock().expect("no panic");
            let _ = cons[round as usize / 10 % 2].close(Deadline::after(Duration::ZERO));
        }
        until("two messages, or an end", || {
            heard.count() > last + 1 || cons.iter().any(Connection::is_closed)
        });
        let count = heard.count();
        stuck = if count == last { stuck + 1 } else { 0 };
        assert!(stuck <= 3, "no progress after {count} messages");
        last = count;
    }
    let (marked, resets) = {
        let state = heard.0.lock().expect("no panic");
        (state.marked, state.resets)
    };
    assert!(last > u64::from(ROUNDS) / 2, "{last} messages came");
    assert!(marked > u64::from(ROUNDS) / 10, "{marked} marked down, {resets} ended by themselves");
    for dispatcher in [&heard, &own] {
        let conns = std::mem::take(&mut dispatcher.0.lock().expect("no panic").conns);
        drop(conns);
    }
    client.close();
    servers.into_iter().for_each(End::close);
    for dispatcher in [&heard, &own] {
        let conns = std::mem::take(&mut dispatcher.0.lock().expect("no panic").conns);
        drop(conns);
    }
}
