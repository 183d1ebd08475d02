//! A peer that has yet to log in may be anyone: little is taken from it.

use ceph_msgr::error::ErrorKind;
use ceph_msgr::limits;

use crate::common::client::*;
use crate::common::dialler::*;
use crate::common::server::*;

#[test]
fn a_peer_that_has_yet_to_log_in_sends_small_messages_only() {
    let (_messenger, listener, heards) = mon(patient(), |_| {});
    let small = vec![7; limits::MAX_UNAUTHENTICATED_LEN];
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &ask_mon());
    heards.accepted();
    wire.send_msg(1, 42, &small, b"");
    assert_eq!(heards.message().front.len(), small.len());
    wire.send_msg(2, 42, &small, b"1");
    wire.wait_closed();
    let (kind, text) = heards.reset();
    assert_eq!(kind, ErrorKind::Protocol);
    assert!(text.contains("message before a login of 65537 bytes is too long"), "{text}");

    let mut wire = dial(addr(&listener));
    wire.open_session(2, &ask_mon());
    heards.accepted();
    let con = only(&listener);
    con.set_auth_peer(somebody());
    assert_eq!(con.auth_peer(), Some(somebody()));
    wire.send_msg(1, 42, &small, &small);
    assert_eq!(heards.message().data.len(), small.len());
    drop(con);
    listener.close(soon()).unwrap();
}

#[test]
fn what_a_peer_sends_before_its_login_is_bounded_and_then_flows() {
    let (_messenger, listener, heards) = mon(patient(), |_| {});
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &ask_mon());
    heards.accepted();
    let n = limits::MAX_UNAUTHENTICATED_MESSAGES;
    for seq in 1..=n as u64 + 5 {
        wire.send_msg(seq, 42, b"", b"");
    }
    // All of these are kept here, and so there is no room for more.
    let mut kept: Vec<_> = (0..n).map(|_| heards.message()).collect();
    assert!(heards.rest().is_empty());
    kept.pop();
    kept.push(heards.message());
    assert!(heards.rest().is_empty());
    only(&listener).set_auth_peer(somebody());
    kept.extend((0..4).map(|_| heards.message()));
    assert_eq!(kept.len(), n + 4);
    listener.close(soon()).unwrap();
}
