//! Signs of life in both directions.

use super::acceptor::*;
use super::*;

fn stamp(tag: u8, sec: u32, nsec: u32) -> Vec<u8> {
    [&[tag][..], &sec.to_le_bytes(), &nsec.to_le_bytes()].concat()
}

#[test]
fn keepalive2_goes_out_with_the_time_and_its_ack_comes_back() {
    let mut con = Scenario::lossless().open();
    con.tx.keepalive();
    assert!(con.tx.wants_write());
    con.run().unwrap();
    assert_eq!(con.pipe.take_output(), stamp(14, 5, 6));
    assert!(!con.tx.wants_write(), "once");
    con.receive(&stamp(15, 5, 6)).unwrap();
    assert_eq!(con.take_events(), [Event::KeepaliveAck(UTime { sec: 5, nsec: 6 })]);
}

#[test]
fn a_peer_without_keepalive2_gets_the_bare_tag() {
    let mut con = Scenario::lossless().without(Features::MSGR_KEEPALIVE2).open();
    con.tx.keepalive();
    con.run().unwrap();
    assert_eq!(con.pipe.output, [9]);
}

#[test]
fn the_time_is_that_of_writing() {
    let mut con = Scenario::lossless().connect();
    con.tx.keepalive();
    con.world.wall = UTime { sec: 100, nsec: 1 };
    con.receive(&Reply::new(READY).bytes()).unwrap();
    assert_eq!(con.frames(), [Frame::Keepalive2(100, 1)]);
}

#[test]
fn the_peers_keepalive2_comes_back_with_its_own_stamp() {
    let mut con = Scenario::lossless().open();
    con.receive(&stamp(14, 0x0102_0304, u32::MAX)).unwrap();
    assert_eq!(con.pipe.take_output(), stamp(15, 0x0102_0304, u32::MAX));
    assert_eq!(con.take_events(), []);
    // Two at once get one answer: the later stamp is the better sign of life.
    con.receive(&[stamp(14, 1, 0), stamp(14, 2, 0)].concat()).unwrap();
    assert_eq!(con.frames(), [Frame::Keepalive2Ack(2, 0)]);
}

#[test]
fn the_peers_bare_keepalive_gets_no_answer() {
    let mut con = Scenario::lossless().open();
    con.receive(&[9, 9, 9]).unwrap();
    assert_eq!((con.events.len(), con.pipe.output.len()), (0, 0));
}

#[test]
fn keepalives_go_before_messages_and_acks() {
    let mut con = Scenario::lossless().open();
    con.send(1);
    con.tx.keepalive();
    con.receive(&[Msg::new(1).bytes(true), stamp(14, 7, 8)].concat()).unwrap();
    let frames = con.frames();
    assert!(
        matches!(
            frames[..],
            [Frame::Keepalive2Ack(7, 8), Frame::Keepalive2(5, 6), Frame::Ack(1), Frame::Msg(_)]
        ),
        "{frames:?}"
    );
}

#[test]
fn a_keepalive_that_comes_inside_a_long_exchange_is_answered_at_the_next_boundary() {
    // The transport takes a part of our message; meanwhile the peer sends half a message, and
    // before it a keepalive.
    let mut con = Scenario::lossless().open();
    con.pipe.budget = 70;
    con.send(1);
    con.run().unwrap();
    let theirs = Msg::new(1).bytes(true);
    con.receive(&[&stamp(14, 7, 8)[..], &theirs[..60]].concat()).unwrap();
    con.pipe.budget = usize::MAX;
    con.run().unwrap();
    let frames = con.frames();
    assert!(matches!(frames[..], [Frame::Msg(_), Frame::Keepalive2Ack(7, 8)]), "{frames:?}");
    con.receive(&theirs[60..]).unwrap();
    assert_eq!(con.received(), [1]);
}

#[test]
fn a_keepalive_that_is_due_keeps_a_session_from_standby_and_wakes_it() {
    let mut con = Scenario::lossless().open();
    con.tx.keepalive();
    assert_eq!(con.fault(&Fault::PeerClosed), Consequence::Redial);
    con.dial_to_connect();
    con.receive(&Reply::new(READY).connect_seq(3).bytes()).unwrap();
    assert_eq!(con.frames(), [Frame::Keepalive2(5, 6)]);

    let mut con = Scenario::lossless().until(ConState::Standby);
    con.tx.keepalive();
    assert_eq!(con.state(), ConState::Preopen);
    // The peer's question dies with the socket that it came on.
    let mut con = Scenario::lossless().open();
    con.pipe.feed(&stamp(14, 7, 8));
    con.try_read().unwrap();
    assert!(con.tx.wants_write());
    con.fault(&Fault::PeerClosed);
    con.dial_to_connect();
    con.receive(&Reply::new(READY).connect_seq(3).bytes()).unwrap();
    assert_eq!(con.pipe.output, b"");
}
