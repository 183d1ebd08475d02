//! Whose session a socket becomes, and how long a session is kept.

use std::time::Duration;

use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{Fault, Peer, Policies, Policy};
use ceph_msgr::net::Timeouts;
use ceph_msgr::types::{EntityAddr, EntityName, EntityType};

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::dialler::*;
use crate::common::server::*;

fn client(id: &str) -> Connect {
    let authorizer = none_authorizer(TYPE_CLIENT, id, 4100);
    Connect { flags: 0, authorizer, ..ask() }
}

fn osd_numbered(id: &str) -> Connect {
    Connect {
        host_type: TYPE_OSD,
        protocol_version: 10,
        flags: 0,
        authorizer: none_authorizer(TYPE_OSD, id, 0),
        ..ask()
    }
}

#[test]
fn a_stranger_at_the_same_address_does_not_get_the_session() {
    let (_messenger, listener, heards) = serve(Policy::STATEFUL_SERVER, patient());
    let mut wire = dial(addr(&listener));
    let own = wire.stream().local_addr().unwrap();
    wire.open_as(own, 5, &client("alice"));
    heards.accepted();
    let hers = only(&listener);
    let mut thieves = Vec::new();
    for other in [client("mallory"), osd_numbered("0")] {
        // Whatever numbers it says: there is no session of its own.
        for (global_seq, connect_seq) in [(3, 1), (4, 2), (1, 7)] {
            let mut thief = dial(addr(&listener));
            thief.introduce(own, 5);
            let claim = Connect { global_seq, connect_seq, ..other.clone() };
            assert_eq!(thief.connect(&claim).0, RESETSESSION);
        }
        let mut thief = dial(addr(&listener));
        thief.open_as(own, 5, &Connect { global_seq: 5, ..other });
        heards.accepted();
        thieves.push(thief);
    }
    hers.send(msg(b"for alice")).unwrap();
    assert_eq!(wire.msg().front, b"for alice");
    assert!(heards.rest().is_empty());
    assert_eq!(listener.counts().connections, 3);
    // Herself is let in.
    let mut again = dial(addr(&listener));
    again.introduce(own, 5);
    let (tag, _) = again.connect(&Connect { global_seq: 2, connect_seq: 2, ..client("alice") });
    assert_eq!(tag, SEQ);
    wire.wait_closed();
    listener.close(soon()).unwrap();
}

#[test]
fn another_osd_does_not_get_a_session_that_was_dialled() {
    let (messenger, listener, heards) = serve(Policy::LOSSLESS_PEER, patient());
    let theirs = Acceptor::new();
    let name = EntityName::new(EntityType::OSD, 5);
    let at = EntityAddr::legacy(theirs.addr(), 0);
    let peer = Peer { name, addr: at, policy: Policy::LOSSLESS_PEER };
    let (dispatcher, dialled) = recorder();
    let con = messenger.connect_to(peer, auth_none(), dispatcher).unwrap();
    let mut wire = theirs.accept();
    wire.hellos();
    let connect = wire.read_connect();
    wire.open_with(
        &Reply { protocol_version: 10, ..Reply::opens(SEQ, &connect, false) },
        &connect,
        0,
    );
    dialled.connected();
    for (id, expected) in [("6", RESETSESSION), ("5", RETRY_SESSION)] {
        let mut socket = dial(addr(&listener));
        socket.introduce(theirs.addr(), 0);
        let claim = Connect { global_seq: 7, connect_seq: 1, ..osd_numbered(id) };
        assert_eq!(socket.connect(&claim).0, expected, "osd.{id}");
    }
    con.send(msg(b"for osd.5")).unwrap();
    assert_eq!(wire.msg().front, b"for osd.5");
    assert!(heards.rest().is_empty() && dialled.rest().is_empty());
    listener.close(soon()).unwrap();
    messenger.shutdown(soon()).unwrap();
}

#[test]
fn connect_to_gives_the_session_that_there_is() {
    let (messenger, listener, heards) = serve(Policy::LOSSLESS_PEER, patient());
    let mut wire = dial(addr(&listener));
    let own = wire.stream().local_addr().unwrap();
    wire.open_as(own, 5, &osd_numbered("8"));
    heards.accepted();
    let accepted = only(&listener);
    let (dispatcher, _) = recorder();
    let again = messenger.connect_to(*accepted.peer(), auth_none(), dispatcher).unwrap();
    assert_eq!((again.id(), messenger.connections()), (accepted.id(), 1));
    assert_eq!(again.peer().name, EntityName::new(EntityType::OSD, 8));
    again.send(msg(b"the same")).unwrap();
    assert_eq!(wire.msg().front, b"the same");
    // Another nonce is another peer; and what is closed is not given out.
    let (dispatcher, _) = recorder();
    let mut other = *accepted.peer();
    other.addr.nonce += 1;
    let other = messenger.connect_to(other, auth_none(), dispatcher).unwrap();
    assert_ne!(other.id(), accepted.id());
    accepted.close(soon()).unwrap();
    let (dispatcher, _) = recorder();
    let new = messenger.connect_to(*accepted.peer(), auth_none(), dispatcher).unwrap();
    assert_ne!(new.id(), accepted.id());
    listener.close(soon()).unwrap();
    messenger.shutdown(soon()).unwrap();
}

#[test]
fn a_newer_lossy_session_ends_the_older_and_its_owner_hears_why() {
    let (_messenger, listener, heards) = serve(Policy::STATELESS_REGISTERED_SERVER, patient());
    let mut old = dial(addr(&listener));
    let own = old.stream().local_addr().unwrap();
    old.open_as(own, 5, &Connect { global_seq: 3, ..ask() });
    heards.accepted();
    let old_con = only(&listener);
    // An attempt that is older than the session is told so.
    let mut stale = dial(addr(&listener));
    stale.introduce(own, 5);
    assert_eq!(stale.connect(&Connect { global_seq: 2, ..ask() }).0, RETRY_GLOBAL);
    let mut new = dial(addr(&listener));
    new.open_as(own, 5, &Connect { global_seq: 4, ..ask() });
    old.wait_closed();
    let both = [heards.next(), heards.next()];
    let replaced = Fault::Replaced.to_string();
    let told = |heard: &Heard| matches!(heard, Heard::Reset(_, text) if text.contains(&replaced));
    assert!(both.iter().any(told), "{both:?}");
    assert!(both.iter().any(|heard| matches!(heard, Heard::Accepted)), "{both:?}");
    assert!(old_con.is_closed() && old_con.send(msg(b"")).is_err());
    until("the old one is gone", || listener.counts().connections == 1);
    only(&listener).send(msg(b"new")).unwrap();
    assert_eq!(new.msg().front, b"new");
    drop(old_con);
    listener.close(soon()).unwrap();
}

#[test]
fn idle_sessions_end_whether_they_are_open_or_stand_by() {
    let timeouts = Timeouts { idle: Some(Duration::from_millis(100)), ..patient() };
    // A lossy one ends with its socket; a lossless one stands by first.
    for (policy, step) in [
        (Policy::STATELESS_SERVER, "no traffic in time"),
        (Policy::STATEFUL_SERVER, "no peer that comes back in time"),
    ] {
        let (messenger, listener, heards) = serve(policy, timeouts);
        let mut wire = dial(addr(&listener));
        wire.open_session(1, &Connect { flags: policy.lossy.into(), ..ask() });
        heards.accepted();
        wire.wait_closed();
        let (kind, text) = heards.reset();
        assert_eq!(kind, ErrorKind::Timeout);
        assert!(text.contains(step), "{text}");
        until("it is forgotten", || {
            listener.counts().connections == 0 && messenger.connections() == 0
        });
        listener.close(soon()).unwrap();
    }
}

#[test]
fn who_comes_back_is_known_by_what_it_shows_now() {
    let (_messenger, listener, heards) = serve(Policy::STATEFUL_SERVER, patient());
    let asks = |global_id, connect: Connect| {
        let authorizer = none_authorizer(TYPE_CLIENT, "alice", global_id);
        Connect { flags: 0, authorizer, ..connect }
    };
    let mut wire = dial(addr(&listener));
    let own = wire.stream().local_addr().unwrap();
    wire.open_as(own, 5, &asks(4100, ask()));
    heards.accepted();
    let mut again = dial(addr(&listener));
    again.introduce(own, 5);
    let back = Connect { global_seq: 2, connect_seq: 2, ..ask() };
    let (tag, _) = again.connect(&asks(4200, back));
    assert_eq!(tag, SEQ);
    again.recv(8);
    again.send(&[0; 8]);
    heards.accepted();
    assert_eq!(only(&listener).auth_peer().unwrap().global_id.0, 4200);
    listener.close(soon()).unwrap();
}

#[test]
fn a_peer_that_is_gone_for_good_is_not_dialled_for_ever() {
    let timeouts = Timeouts { idle: Some(Duration::from_millis(600)), ..patient() };
    for keepalive in [None, Some(Duration::from_millis(100))] {
        let (_messenger, listener, heards) =
            serve(Policy::LOSSLESS_PEER, Timeouts { keepalive, ..timeouts });
        let (_taken, gone) = closed_port();
        let mut wire = dial(addr(&listener));
        wire.open_as(gone, 5, &Connect { flags: 0, ..osd_numbered("4") });
        heards.accepted();
        drop(wire);
        loop {
            match heards.next() {
                Heard::Reset(..) => break,
                Heard::Refused => {}
                other => panic!("{other:?}"),
            }
        }
        until("the listener lets go", || listener.counts().connections == 0);
        listener.close(soon()).unwrap();
    }
}

#[test]
fn connect_to_gives_no_session_of_another_that_claims_the_address() {
    let (messenger, listener, heards) = serve(Policy::STATELESS_REGISTERED_SERVER, patient());
    let theirs = Acceptor::new();
    let mut wire = dial(addr(&listener));
    wire.open_as(theirs.addr(), 0, &Connect { flags: 1, ..client("mallory") });
    heards.accepted();
    let name = EntityName::new(EntityType::OSD, 5);
    // Without a prefix, as one may write it.
    let at: EntityAddr = format!("{}/0", theirs.addr()).parse().unwrap();
    let peer = Peer { name, addr: at, policy: Policy::LOSSLESS_PEER };
    let con = messenger.connect_to(peer, auth_none(), recorder().0).unwrap();
    assert_ne!(con.id(), only(&listener).id());
    let at = EntityAddr::legacy(theirs.addr(), 0);
    let again = messenger.connect_to(Peer { addr: at, ..peer }, auth_none(), recorder().0).unwrap();
    assert_eq!(con.id(), again.id(), "however its address is written");
    listener.close(soon()).unwrap();
    messenger.shutdown(soon()).unwrap();
}

#[test]
fn who_has_shown_nothing_gets_no_session_that_was_dialled() {
    let (messenger, listener, heards) = mon(patient(), |_| {});
    messenger.set_policies(Policies::new(Policy::LOSSLESS_PEER_REUSE));
    let theirs = Acceptor::new();
    let name = EntityName::new(EntityType::MON, 1);
    let at = EntityAddr::legacy(theirs.addr(), 0);
    let peer = Peer { name, addr: at, policy: Policy::LOSSLESS_PEER_REUSE };
    let con = messenger.connect_to(peer, no_auth(), recorder().0).unwrap();
    con.send(msg(b"for mon.1")).unwrap();
    let mut wire = dial(addr(&listener));
    wire.introduce(theirs.addr(), 0);
    let claim = Connect { host_type: 1, protocol_version: 13, flags: 0, ..ask_mon() };
    let (tag, _) = wire.connect(&claim);
    assert_eq!(tag, SEQ);
    assert_eq!(wire.recv(8), [0; 8]);
    wire.send(&[0; 8]);
    heards.accepted();
    assert_ne!(only(&listener).id(), con.id());
    assert_eq!(con.counters().queued_messages, 1);
    listener.close(soon()).unwrap();
    messenger.shutdown(soon()).unwrap();
}
