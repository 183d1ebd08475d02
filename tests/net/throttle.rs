//! What is received and not done with is bounded.

use std::time::Duration;

use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{Policies, Policy, Throttle};
use ceph_msgr::net::Timeouts;
use ceph_msgr::types::EntityType;

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::dialler::*;
use crate::common::server::*;

fn osd_asks() -> Connect {
    let authorizer = none_authorizer(TYPE_OSD, "4", 0);
    Connect { host_type: TYPE_OSD, protocol_version: 10, authorizer, ..ask() }
}

#[test]
fn a_reader_that_keeps_messages_stops_its_peer_alone() {
    let (messenger, listener, heards) = serve(Policy::STATELESS_SERVER, patient());
    let throttle = Throttle::new(3, 1 << 20);
    messenger.set_throttle(EntityType::CLIENT, throttle.clone());
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &ask());
    heards.accepted();
    for seq in 1..=10 {
        wire.send_msg(seq, 42, &seq.to_le_bytes(), b"");
    }
    let mut kept: Vec<_> = (0..3).map(|_| heards.message()).collect();
    assert_eq!(throttle.held(), (3, 24));
    // Another kind of peer has room of its own, and its messages come.
    let mut other = dial(addr(&listener));
    other.open_session(2, &osd_asks());
    heards.accepted();
    for seq in 1..=5 {
        other.send_msg(seq, 42, b"other", b"");
        assert_eq!(heards.message().front[..], *b"other");
    }
    for next in 4..=10u64 {
        kept.remove(0);
        kept.push(heards.message());
        assert_eq!(kept[2].front[..], next.to_le_bytes());
        assert_eq!(throttle.held(), (3, 24));
    }
    drop(kept);
    assert_eq!(throttle.held(), (0, 0));
    listener.close(soon()).unwrap();
}

#[test]
fn a_peer_that_dies_half_way_through_a_message_gives_its_room_back() {
    let half = message(1, 42, &[7; 900], b"", FEATURES);
    for closes in [true, false] {
        let soon = Timeouts { keepalive_timeout: Duration::from_millis(300), ..patient() };
        let timeouts = if closes { patient() } else { soon };
        let (messenger, listener, heards) = serve(Policy::STATELESS_SERVER, timeouts);
        let throttle = Throttle::new(10, 1000);
        messenger.set_throttle(EntityType::CLIENT, throttle.clone());
        let mut dying = dial(addr(&listener));
        dying.open_session(1, &ask());
        heards.accepted();
        dying.send(&half[..500]);
        until("it has the room", || throttle.held() == (1, 900));
        let mut waiting = dial(addr(&listener));
        waiting.open_session(2, &ask());
        heards.accepted();
        waiting.send_msg(1, 42, &[8; 200], b"");
        if closes {
            drop(dying);
        }
        // One that only falls silent is given up.
        let both = [heards.next(), heards.next()];
        let is_message = |heard: &Heard| matches!(heard, Heard::Message(_));
        let is_reset = |heard: &Heard| match heard {
            Heard::Reset(kind, text) => {
                *kind == if closes { ErrorKind::Closed } else { ErrorKind::Timeout }
                    && (closes || text.contains("no rest of a message in time"))
            }
            _ => false,
        };
        assert!(both.iter().any(is_message) && both.iter().any(is_reset), "{both:?}");
        drop(both);
        assert_eq!(throttle.held(), (0, 0));
        drop(waiting);
        heards.reset();
        listener.close(crate::common::client::soon()).unwrap();
    }
}

#[test]
fn policies_by_kind_hold_for_accepted_peers() {
    let (messenger, listener, heards) = serve(Policy::STATELESS_SERVER, patient());
    messenger.set_policies(
        Policies::new(Policy::STATELESS_SERVER).with(EntityType::OSD, Policy::LOSSLESS_PEER),
    );
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &Connect { flags: 0, ..osd_asks() });
    heards.accepted();
    assert_eq!(only(&listener).peer().policy, Policy::LOSSLESS_PEER);
    listener.close(soon()).unwrap();
}

/// The beginning of a message with a front of that length.
fn announce(len: usize) -> Vec<u8> {
    message(1, 42, &vec![7; len], b"", FEATURES)[..60].to_vec()
}

#[test]
fn who_announces_much_leaves_room_for_what_is_short() {
    let (messenger, listener, heards) = serve(Policy::STATELESS_SERVER, patient());
    let throttle = Throttle::new(100, 4 << 20);
    messenger.set_throttle(EntityType::CLIENT, throttle.clone());
    let mut greedy = Vec::new();
    for nonce in 1..=4 {
        let mut wire = dial(addr(&listener));
        wire.open_session(nonce, &ask());
        heards.accepted();
        wire.send(&announce(1 << 20));
        greedy.push(wire);
    }
    until("three have the room that there is", || throttle.held() == (3, 3 << 20));
    let mut honest = dial(addr(&listener));
    honest.open_session(9, &ask());
    heards.accepted();
    honest.send_msg(1, 42, b"short", b"");
    assert_eq!(heards.message().front[..], *b"short");
    drop(greedy);
    listener.close(soon()).unwrap();
}

#[test]
fn who_sends_a_message_drop_by_drop_gives_way_when_others_wait() {
    let timeouts = Timeouts { keepalive_timeout: Duration::from_millis(500), ..patient() };
    let (messenger, listener, heards) = serve(Policy::STATELESS_SERVER, timeouts);
    messenger.set_throttle(EntityType::CLIENT, Throttle::new(100, 1 << 20));
    let mut slow = dial(addr(&listener));
    slow.open_session(1, &ask());
    heards.accepted();
    slow.send(&announce(700 << 10));
    let mut writer = slow.stream().try_clone().unwrap();
    let drops = std::thread::spawn(move || {
        use std::io::Write as _;
        while writer.write_all(&[7]).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let mut honest = dial(addr(&listener));
    honest.open_session(2, &ask());
    heards.accepted();
    honest.send_msg(1, 42, &[8; 300 << 10], b"");
    // The end of the slow one, and what it made wait, in either order.
    for _ in 0..2 {
        match heards.next() {
            Heard::Reset(_, why) => assert!(why.contains("rest of a message"), "{why}"),
            Heard::Message(msg) => assert_eq!(msg.front.len(), 300 << 10),
            other => panic!("{other:?}"),
        }
    }
    drops.join().unwrap();
    listener.close(soon()).unwrap();
}

#[test]
fn a_peer_that_goes_away_while_there_is_no_room_is_noticed() {
    let (messenger, listener, heards) = serve(Policy::STATELESS_SERVER, patient());
    messenger.set_throttle(EntityType::CLIENT, Throttle::new(1, 1 << 20));
    let mut keeps = dial(addr(&listener));
    keeps.open_session(1, &ask());
    heards.accepted();
    keeps.send_msg(1, 42, b"kept", b"");
    let kept = heards.message();
    for nonce in 2..=5 {
        let mut wire = dial(addr(&listener));
        wire.open_session(nonce, &ask());
        heards.accepted();
        wire.send_msg(1, 42, b"waits", b"");
        drop(wire);
        heards.reset();
    }
    drop(kept);
    listener.close(soon()).unwrap();
}
