//! The inbox: everything in order, bounded, pollable, and it keeps nothing alive.

use std::os::fd::AsFd;
use std::time::Duration;

use crate::common::acceptor::*;
use crate::common::client::*;
use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{ConState, Policy};
use ceph_msgr::net::{Connection, Deadline, Delivery, Inbox, Messenger};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn dial(messenger: &Messenger, acceptor: &Acceptor, inbox: &Inbox) -> Connection {
    let peer = acceptor.peer(Policy::LOSSY_CLIENT);
    messenger.connect(peer, no_auth(), inbox.dispatcher()).expect("a thread")
}

/// Waits until the inbox is readable, or does not.
fn is_readable(inbox: &Inbox, patience: Duration) -> bool {
    let mut fds = [PollFd::new(inbox, PollFlags::IN)];
    let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: 0 };
    poll(&mut fds, Some(&timeout)).expect("poll") == 1
}

fn number(delivery: Delivery) -> Option<u64> {
    let Delivery::Message(_, msg) = delivery else { return None };
    Some(u64::from_le_bytes(msg.front[..].try_into().expect("8 bytes")))
}

#[test]
fn it_hands_out_what_happened_in_order() {
    let acceptor = Acceptor::new();
    let inbox = Inbox::new(100).unwrap();
    let con = dial(&messenger(patient()), &acceptor, &inbox);
    let mut wire = acceptor.open(true);
    (1..=3).for_each(|n: u64| wire.send_msg(n, 4, &n.to_le_bytes(), b""));
    drop(wire);
    let first = inbox.recv(soon()).unwrap();
    assert!(matches!(&first, Delivery::Connected(c) if c.id() == con.id()), "{first:?}");
    for n in 1..=3 {
        assert_eq!(number(inbox.recv(soon()).unwrap()), Some(n));
    }
    match inbox.recv(soon()).unwrap() {
        Delivery::Reset(c, text) => {
            assert_eq!(c.id(), con.id());
            assert_eq!(text, con.flush(soon()).unwrap_err().to_string());
        }
        other => panic!("{other:?} where the end was expected"),
    }
    assert!(inbox.try_recv().is_none());
    let error = inbox.recv(Deadline::after(Duration::ZERO)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[test]
fn a_full_one_makes_the_peer_wait_and_loses_nothing() {
    // More than the sockets' buffers hold, so that the peer feels it.
    const DATA: usize = 64 << 10;
    const MESSAGES: u64 = 400;
    let acceptor = Acceptor::new();
    let inbox = Inbox::new(1).unwrap();
    let con = dial(&messenger(patient()), &acceptor, &inbox);
    let mut wire = acceptor.open(true);
    let data = vec![7; DATA];
    wire.stream().set_nonblocking(true).unwrap();
    let stream = wire.stream().try_clone().unwrap();
    let mut bytes = Vec::new();
    for n in 1..=MESSAGES {
        bytes.extend(message(n, 4, &n.to_le_bytes(), &data, FEATURES));
    }
    // Write until nothing more fits: the inbox holds one delivery and the client reads no further.
    let mut written = 0;
    loop {
        match std::io::Write::write(&mut &stream, &bytes[written..]) {
            Ok(n) => written += n,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(&stream, PollFlags::OUT)];
                let timeout = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };
                if poll(&mut fds, Some(&timeout)).unwrap() == 0 {
                    break;
                }
            }
            Err(e) => panic!("{e}"),
        }
        assert!(written < bytes.len(), "the client takes everything");
    }
    wire.stream().set_nonblocking(false).unwrap();
    let rest = std::thread::spawn(move || {
        wire.send(&bytes[written..]);
        wire
    });
    assert!(matches!(inbox.recv(soon()).unwrap(), Delivery::Connected(_)));
    for n in 1..=MESSAGES {
        assert_eq!(number(inbox.recv(soon()).unwrap()), Some(n));
    }
    rest.join().unwrap();
    assert_eq!(con.counters().received, MESSAGES);
}

#[test]
fn a_worker_that_waits_for_room_can_be_closed() {
    let acceptor = Acceptor::new();
    let inbox = Inbox::new(1).unwrap();
    let messenger = messenger(patient());
    let con = dial(&messenger, &acceptor, &inbox);
    let mut wire = acceptor.open(true);
    wire.send_msg(1, 4, &[0; 8], b"");
    // Connected fills it, the message waits.
    until("the message comes", || con.counters().received == 1);
    con.close(soon()).unwrap();
    assert!(matches!(inbox.try_recv(), Some(Delivery::Connected(_))));
    assert!(inbox.try_recv().is_none(), "what waited is dropped with the connection");
}

#[test]
fn its_descriptor_is_readable_while_something_is_there() {
    let acceptor = Acceptor::new();
    let inbox = Inbox::new(10).unwrap();
    let con = dial(&messenger(patient()), &acceptor, &inbox);
    let mut wire = acceptor.open(true);
    con.wait_open(soon()).unwrap();
    // Asked for only now, with something in it already or on its way.
    assert!(is_readable(&inbox, PATIENCE));
    assert!(matches!(inbox.try_recv(), Some(Delivery::Connected(_))));
    assert!(!is_readable(&inbox, Duration::ZERO));
    for n in 1..=3 {
        wire.send_msg(2 * n - 1, 4, &[0; 8], b"");
        wire.send_msg(2 * n, 4, &[0; 8], b"");
        for _ in 0..2 {
            assert!(is_readable(&inbox, PATIENCE));
            inbox.recv(soon()).unwrap();
        }
        assert!(!is_readable(&inbox, Duration::ZERO));
    }
    let flags = rustix::io::fcntl_getfd(inbox.as_fd()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

/// A delivery holds its connection, and the connection the way to the inbox.
#[test]
fn one_that_is_dropped_full_lets_its_connections_go() {
    let acceptor = Acceptor::new();
    let messenger = messenger(patient());
    let inbox = Inbox::new(10).unwrap();
    let con = dial(&messenger, &acceptor, &inbox);
    let mut wire = acceptor.open(true);
    con.wait_open(soon()).unwrap();
    assert!(is_readable(&inbox, PATIENCE));
    drop(con);
    drop(inbox);
    wire.wait_closed();
    messenger.shutdown(soon()).unwrap();
}

#[test]
fn one_that_is_dropped_while_a_worker_waits_for_room_lets_it_go_on() {
    let acceptor = Acceptor::new();
    let messenger = messenger(patient());
    let inbox = Inbox::new(1).unwrap();
    let con = dial(&messenger, &acceptor, &inbox);
    let mut wire = acceptor.open(true);
    wire.send_msg(1, 4, &[0; 8], b"");
    until("the message comes", || con.counters().received == 1);
    drop(inbox);
    // The connection is none the worse.
    wire.send_stamp(KEEPALIVE2, [1; 8]);
    assert_eq!(wire.frame(), Frame::Keepalive2Ack([1; 8]));
    assert_eq!(con.state(), ConState::Open);
    drop(con);
    wire.wait_closed();
    messenger.shutdown(soon()).unwrap();
}
