//! The end that this side wants: it comes at once, wakes everyone, and waits for the threads.

use std::sync::mpsc;
use std::time::Duration;

use crate::common::acceptor::*;
use crate::common::client::*;
use bytes::Bytes;
use ceph_msgr::error::{ErrorKind, Result};
use ceph_msgr::limits;
use ceph_msgr::msgr::{ConState, Message, Policy};
use ceph_msgr::net::{Connection, Deadline, Messenger, Timeouts};

fn dial(messenger: &Messenger, acceptor: &Acceptor, policy: Policy) -> (Connection, Heards) {
    let (dispatcher, heards) = recorder();
    let con = messenger.connect(acceptor.peer(policy), no_auth(), dispatcher).expect("a thread");
    (con, heards)
}

/// Runs a call on a thread of its own, ends the connection once the call waits, and says how the
/// call ended.
fn ended_while(con: &Connection, call: impl Fn(&Connection) -> Result<()> + Send) -> ErrorKind {
    std::thread::scope(|scope| {
        let (tx, rx) = mpsc::channel();
        let thread = scope.spawn(move || {
            tx.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
            call(con)
        });
        let stat = std::path::Path::new("/proc").join(rx.recv().unwrap()).join("stat");
        until("the call waits", || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
        });
        con.close(soon()).unwrap();
        thread.join().unwrap().unwrap_err().kind()
    })
}

#[test]
fn close_wakes_whoever_waits() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let silent = || {
        let (con, _) = dial(&messenger, &acceptor, Policy::LOSSLESS_CLIENT);
        let mut wire = acceptor.accept();
        wire.read_hello();
        (con, wire)
    };
    let (con, _wire) = silent();
    assert_eq!(ended_while(&con, |c| c.wait_open(Deadline::NEVER)), ErrorKind::Closed);
    let (con, _wire) = silent();
    con.send(Message::new(1, vec![])).unwrap();
    assert_eq!(ended_while(&con, |c| c.flush(Deadline::NEVER)), ErrorKind::Closed);
    let (con, _wire) = silent();
    con.send(Message::new(1, vec![])).unwrap();
    assert_eq!(ended_while(&con, |c| c.acked(Deadline::NEVER)), ErrorKind::Closed);
    let (con, _wire) = silent();
    let data = Bytes::from(vec![0; limits::MSG_MAX_DATA_LEN as usize]);
    while con.try_send(Message::new(1, vec![]).with_data(data.clone())).is_ok() {}
    let send = |c: &Connection| c.send_by(Message::new(1, vec![]), Deadline::NEVER).map(drop);
    assert_eq!(ended_while(&con, send), ErrorKind::Closed);
    // The memory of the queue is free as soon as the connection is closed.
    assert_eq!(con.counters().queued_bytes, 0);
}

/// In every state of a connection, and the peer sees the end.
#[test]
fn close_ends_the_socket_in_every_state() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    type Script = fn(&Acceptor) -> Wire;
    let steps: [(ConState, Script); 3] = [
        (ConState::V1Banner, |a| {
            let mut wire = a.accept();
            wire.read_hello();
            wire
        }),
        (ConState::V1ConnectMsg, |a| {
            let mut wire = a.accept();
            wire.hellos();
            wire.read_connect();
            wire
        }),
        (ConState::Open, |a| a.open(false)),
    ];
    for (state, script) in steps {
        let (con, heards) = dial(&messenger, &acceptor, Policy::LOSSLESS_CLIENT);
        let mut wire = script(&acceptor);
        assert_eq!(con.state(), state);
        con.close(soon()).unwrap();
        assert_eq!(con.state(), ConState::Closed);
        assert!(con.is_closed());
        wire.wait_closed();
        let told = heards.rest();
        assert!(told.iter().all(|h| matches!(h, Heard::Connected)), "{state}: {told:?}");
        let error = con.wait_open(soon()).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: closed", con.peer()));
        con.close(soon()).expect("a second time it does nothing");
    }
    // In standby.
    let (con, heards) = dial(&messenger, &acceptor, Policy::LOSSLESS_CLIENT);
    drop(acceptor.open(false));
    heards.connected();
    until("the session stands by", || con.state() == ConState::Standby);
    con.close(soon()).unwrap();
    // While TCP connects is in the test of a SYN that nobody answers.
    assert_eq!(messenger.connections(), 0);
}

#[test]
fn close_interrupts_a_connect_that_hangs() {
    let (_socket, _backlog, addr) = deaf_port();
    let messenger = messenger(Timeouts { connect: Duration::MAX, ..patient() });
    let (dispatcher, _) = recorder();
    let peer = peer_at(addr, Policy::LOSSY_CLIENT);
    let con = messenger.connect(peer, no_auth(), dispatcher).unwrap();
    con.close(soon()).unwrap();
}

#[test]
fn many_may_close_at_once() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let (con, _) = dial(&messenger, &acceptor, Policy::LOSSY_CLIENT);
    let mut wire = acceptor.open(true);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| con.close(soon()).unwrap());
        }
        scope.spawn(|| messenger.shutdown(soon()).unwrap());
    });
    wire.wait_closed();
}

#[test]
fn shutdown_closes_all() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let cons: Vec<_> = (0..20)
        .map(|i| {
            let (con, _) = dial(&messenger, &acceptor, Policy::LOSSLESS_CLIENT);
            let mut wire = acceptor.accept();
            if i % 2 == 0 {
                wire.hellos();
                let connect = wire.read_connect();
                wire.open(&connect, false, 0);
            }
            (con, wire)
        })
        .collect();
    assert_eq!(messenger.connections(), 20);
    messenger.shutdown(soon()).unwrap();
    assert_eq!(messenger.connections(), 0);
    for (con, mut wire) in cons {
        assert_eq!(con.send(Message::new(1, vec![])).unwrap_err().kind(), ErrorKind::Closed);
        wire.wait_closed();
    }
}

#[test]
fn the_last_handle_that_is_dropped_ends_the_connection() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger, &acceptor, Policy::LOSSY_CLIENT);
    let mut wire = acceptor.open(true);
    heards.connected();
    let clone = con.clone();
    drop(con);
    clone.send(Message::new(1, vec![])).expect("a clone holds it");
    wire.msg();
    // Neither does the messenger hold it, nor does the connection need the messenger.
    let id = clone.id();
    drop(clone);
    wire.wait_closed();
    until("the messenger forgets it", || messenger.connections() == 0);
    assert_eq!(id, 1);
    let (con, _) = dial(&messenger, &acceptor, Policy::LOSSY_CLIENT);
    drop(messenger);
    let mut wire = acceptor.open(true);
    con.send(Message::new(1, vec![])).unwrap();
    wire.msg();
    con.close(soon()).unwrap();
}
