//! What a listener takes in, and for how long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ceph_msgr::auth::{AuthServer, AuthorizerState, AuthorizerVerdict};
use ceph_msgr::error::ErrorKind;
use ceph_msgr::limits;
use ceph_msgr::msgr::{Fault, Policy};
use ceph_msgr::net::Timeouts;
use ceph_msgr::types::{Features, UTime};

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::dialler::*;
use crate::common::logs;
use crate::common::server::*;

/// Sockets that have said nothing, in the order in which they came in.
fn silent(addr: SocketAddr, n: usize) -> Vec<Wire> {
    (0..n).map(|_| dial(addr)).collect()
}

/// Says who it is, and sees that the acceptor knows: it answers what comes next.
#[track_caller]
fn introduce(wire: &mut Wire, nonce: u32) {
    wire.introduce(LOCALHOST, nonce);
    assert_eq!(wire.connect(&Connect { protocol_version: 1, ..ask() }).0, BADPROTOVER);
}

/// What the acceptor says first has been read, so that it knows the socket.
#[track_caller]
fn is_greeted(wire: &mut Wire) {
    wire.recv(281);
}

#[test]
fn one_socket_too_many_takes_the_place_of_the_oldest_that_is_silent() {
    let (_messenger, listener, heards) =
        serve_with(Policy::STATELESS_SERVER, patient(), |a| a.max_half_open = 4);
    let mut wires = silent(addr(&listener), 1);
    introduce(&mut wires[0], 1);
    wires.extend(silent(addr(&listener), 3));
    wires[1..].iter_mut().for_each(is_greeted);
    let mut fifth = dial(addr(&listener));
    is_greeted(&mut fifth);
    wires[1].wait_closed();
    assert_eq!(listener.counts().half_open, 4);
    assert_eq!((listener.counts().sockets, listener.counts().refused), (5, 1));
    // The others go on, that which is older among them.
    assert_eq!(wires[0].connect(&ask()).0, SEQ);
    wires[0].send(&[0; 8]);
    heards.accepted();
    fifth.send(&hello(LOCALHOST, 2));
    assert_eq!(fifth.connect(&ask()).0, SEQ);
}

#[test]
fn those_who_say_who_they_are_and_no_more_cannot_keep_others_out() {
    let (_messenger, listener, heards) =
        serve_with(Policy::STATELESS_SERVER, patient(), |a| a.max_half_open = 4);
    let mut squatters = silent(addr(&listener), 4);
    (1..).zip(&mut squatters).for_each(|(nonce, wire)| introduce(wire, nonce));
    let mut late: Vec<_> = (0..3)
        .map(|_| {
            let mut wire = dial(addr(&listener));
            is_greeted(&mut wire);
            wire
        })
        .collect();
    // Two of those that were more had to go, and then the oldest of the new ones.
    squatters[..2].iter_mut().for_each(Wire::wait_closed);
    let mut wire = late.remove(1);
    wire.send(&hello(LOCALHOST, 9));
    assert_eq!(wire.connect(&ask()).0, SEQ);
    wire.send(&[0; 8]);
    heards.accepted();
}

#[test]
fn a_flood_is_taken_in_and_let_go() {
    let (_messenger, listener, _heards) =
        serve_with(Policy::STATELESS_SERVER, patient(), |a| a.max_half_open = 8);
    let mut last = Vec::new();
    for _ in 0..20 {
        last = silent(addr(&listener), 100);
        assert!(listener.counts().half_open <= 8);
    }
    until("all have come in", || listener.counts().sockets == 2000);
    drop(last);
    until("all have gone", || listener.counts().half_open == 0);
    listener.close(soon()).unwrap();
}

#[test]
fn a_full_listener_refuses_new_sessions_and_lets_peers_come_back_to_theirs() {
    let (_messenger, listener, heards) =
        serve_with(Policy::STATEFUL_SERVER, patient(), |a| a.max_connections = 2);
    let lossless = Connect { flags: 0, ..ask() };
    let mut first = dial(addr(&listener));
    let own = first.stream().local_addr().unwrap();
    first.open_as(own, 1, &lossless);
    let mut second = dial(addr(&listener));
    second.open_session(2, &lossless);
    heards.accepted();
    heards.accepted();
    let mut third = dial(addr(&listener));
    third.introduce(LOCALHOST, 3);
    third.send(&lossless.bytes());
    third.wait_closed();
    assert_eq!((listener.counts().refused, listener.counts().connections), (1, 2));
    // The first one lost its socket, and its session is still there.
    drop(first);
    let mut again = dial(addr(&listener));
    again.introduce(own, 1);
    let back = Connect { global_seq: 2, connect_seq: 2, ..lossless };
    assert_eq!(again.connect(&back).0, SEQ);
    again.recv(8);
    again.send(&[0; 8]);
    heards.accepted();
    listener.close(soon()).unwrap();
}

#[test]
fn who_has_yet_to_log_in_gives_way_to_another() {
    let (_messenger, listener, heards) = mon(patient(), |a| a.max_connections = 2);
    let mut wires = silent(addr(&listener), 2);
    for (nonce, wire) in (1..).zip(&mut wires) {
        wire.open_session(nonce, &ask_mon());
        heards.accepted();
    }
    let mut by_id = listener.connections();
    by_id.sort_by_key(ceph_msgr::net::Connection::id);
    by_id[0].set_auth_peer(somebody());
    let mut third = dial(addr(&listener));
    third.open_session(3, &ask_mon());
    wires[1].wait_closed();
    // The end of the one and the beginning of the other are told by two threads.
    let both = [heards.next(), heards.next()];
    assert!(both.iter().any(|heard| matches!(heard, Heard::Accepted)), "{both:?}");
    let crowded = Fault::Crowded.to_string();
    let told = |heard: &Heard| matches!(heard, Heard::Reset(_, text) if text.contains(&crowded));
    assert!(both.iter().any(told), "{both:?}");
    assert_eq!((listener.counts().refused, listener.counts().connections), (1, 2));
    // Now that all have logged in nobody gives way.
    listener.connections().iter().for_each(|con| con.set_auth_peer(somebody()));
    let mut fourth = dial(addr(&listener));
    fourth.introduce(LOCALHOST, 4);
    fourth.send(&ask_mon().bytes());
    fourth.wait_closed();
    assert_eq!((listener.counts().refused, listener.counts().connections), (2, 2));
    wires[0].send_stamp(KEEPALIVE2, [1; 8]);
    assert_eq!(wires[0].frame(), Frame::Keepalive2Ack([1; 8]));
    drop(by_id);
    listener.close(soon()).unwrap();
}

#[test]
fn a_login_and_a_handshake_have_their_time() {
    logs::capture(log::LevelFilter::Debug);
    let timeouts = Timeouts { handshake: Duration::from_millis(1500), ..patient() };
    let (_messenger, listener, heards) = mon(timeouts, |_| {});
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &ask_mon());
    heards.accepted();
    wire.wait_closed();
    let (kind, text) = heards.reset();
    assert_eq!(kind, ErrorKind::Timeout);
    assert!(text.contains("no login in time"), "{text}");
    // Nor does it help to say a little.
    let hello = hello(LOCALHOST, 1);
    let with_connect = [&hello[..], &ask_mon().bytes()].concat();
    let some = [0, 4, 9, 100, 145, 150].map(|n| {
        let mut wire = dial(addr(&listener));
        wire.send(&with_connect[..n]);
        (wire.stream().local_addr().unwrap(), wire)
    });
    let steps = [
        "banner",
        "banner",
        "address behind the banner",
        "address behind the banner",
        "connect message",
        "connect message",
    ];
    for ((from, mut wire), step) in some.into_iter().zip(steps) {
        wire.wait_closed();
        until("the log tells", || logs::count(&from.to_string(), "in time") == 1);
        assert_eq!(logs::count(&from.to_string(), &format!("no {step} in time")), 1, "{step}");
    }
    until("nothing is left", || listener.counts().half_open == 0);
    assert_eq!(listener.counts().connections, 0);
    assert!(heards.rest().is_empty());
}

#[test]
fn endless_connect_messages_end() {
    let (_messenger, listener, _heards) = serve(Policy::STATELESS_SERVER, patient());
    let mut wire = dial(addr(&listener));
    wire.introduce(LOCALHOST, 1);
    let refused = Connect { authorizer_protocol: 77, ..ask() };
    for _ in 0..limits::MAX_CONNECT_ROUNDS {
        assert_eq!(wire.connect(&refused).0, BADAUTHORIZER);
    }
    wire.send(&refused.bytes());
    wire.wait_closed();
    // Nor is the length of an authorizer believed.
    let mut wire = dial(addr(&listener));
    wire.introduce(LOCALHOST, 1);
    let mut bytes = ask().bytes();
    bytes[28..32].copy_from_slice(&u32::MAX.to_le_bytes());
    wire.send(&bytes[..33]);
    wire.wait_closed();
    listener.close(soon()).unwrap();
}

/// Panics at the first authorizer that it sees.
#[derive(Debug)]
struct Panics;

impl AuthServer for Panics {
    fn verify_authorizer(
        &self,
        _: &mut AuthorizerState,
        _: u32,
        _: &[u8],
        _: Features,
        _: UTime,
    ) -> AuthorizerVerdict {
        panic!("a check of authorizers that is wrong");
    }
}

#[test]
fn a_check_of_authorizers_that_panics_costs_its_socket_alone() {
    let (_messenger, listener, _heards) =
        serve_with(Policy::STATELESS_SERVER, patient(), |a| a.auth_server = Arc::new(Panics));
    for nonce in 1..=3 {
        let mut wire = dial(addr(&listener));
        wire.introduce(LOCALHOST, nonce);
        wire.send(&ask().bytes());
        wire.wait_closed();
    }
    until("nothing is left", || listener.counts().half_open == 0);
    listener.close(soon()).unwrap();
}

#[test]
fn a_newer_lossy_session_has_the_place_of_the_older() {
    let (_messenger, listener, heards) =
        serve_with(Policy::STATELESS_REGISTERED_SERVER, patient(), |a| a.max_connections = 1);
    let mut old = dial(addr(&listener));
    let own = old.stream().local_addr().unwrap();
    old.open_as(own, 5, &Connect { global_seq: 3, ..ask() });
    heards.accepted();
    let mut new = dial(addr(&listener));
    new.introduce(own, 5);
    let (tag, _) = new.connect(&Connect { global_seq: 4, ..ask() });
    assert_eq!(tag, SEQ);
    listener.close(soon()).unwrap();
}
