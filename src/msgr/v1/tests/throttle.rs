//! What a connection takes in while others have not done with what they took.

use std::sync::Arc;

use super::acceptor::*;
use super::dialler::*;
use super::*;
use crate::limits;

fn peer_sends(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    numbers.into_iter().flat_map(|n| Msg::new(n).bytes(true)).collect()
}

/// An accepted connection with room for that many messages of 5 bytes.
fn open(messages: usize) -> (Con, Arc<Throttle>) {
    let throttle = Throttle::new(100, 5 * messages);
    let mut con = Listener::mds().open();
    con.rx.set_throttle(Some(throttle.clone()));
    (con, throttle)
}

#[test]
fn a_message_without_room_stops_the_reader_until_there_is_room() {
    let (mut con, throttle) = open(2);
    con.receive(&peer_sends(1..=3)).unwrap();
    assert_eq!((con.events.len(), throttle.held()), (2, (2, 10)));
    assert!(con.rx.throttled().is_some_and(|t| Arc::ptr_eq(t, &throttle)));
    assert_eq!(con.rx.awaiting(), "room for a message");
    // Nothing is read meanwhile, however often one tries.
    let recvs = con.pipe.calls.recv;
    con.receive(&peer_sends([4])).unwrap();
    assert_eq!((con.events.len(), con.pipe.calls.recv), (2, recvs));
    con.events.remove(0);
    con.run().unwrap();
    assert_eq!((con.events.len(), throttle.held()), (2, (2, 10)));
    assert!(con.rx.throttled().is_some(), "and now the fourth");
    assert_eq!(con.received(), [2, 3]);
    con.run().unwrap();
    assert_eq!(con.received(), [4]);
    assert!(con.rx.throttled().is_none());
    assert_eq!(throttle.held(), (0, 0));
}

#[test]
fn room_is_taken_with_the_header_and_given_back_once_with_the_connection() {
    let message = Msg::new(1).bytes(true);
    for n in 0..=message.len() {
        for again in [false, true] {
            let (mut con, throttle) = open(1);
            con.receive(&message[..n]).unwrap();
            let held = if n >= 54 { (1, 5) } else { (0, 0) };
            assert_eq!(throttle.held(), held, "{n} bytes");
            con.take_events();
            if again {
                let l = Listener::mds();
                l.reconnect(&mut con, &Request::first().seqs(11, 2));
            } else {
                con.fault(&Fault::PeerClosed);
            }
            assert_eq!(throttle.held(), (0, 0), "{n} bytes");
        }
    }
}

#[test]
fn who_waits_for_room_holds_none() {
    let (mut con, throttle) = open(1);
    con.receive(&peer_sends([1, 2])).unwrap();
    assert!(con.rx.throttled().is_some());
    con.fault(&Fault::PeerClosed);
    assert!(con.rx.throttled().is_none());
    assert_eq!(throttle.held(), (1, 5), "the message that its owner still has");
    con.take_events();
    assert_eq!(throttle.held(), (0, 0));
}

#[test]
fn what_is_skipped_or_refused_is_given_back() {
    let (mut con, throttle) = open(1);
    con.receive(&peer_sends([1])).unwrap();
    con.take_events();
    con.receive(&peer_sends([1, 1, 0])).unwrap();
    assert_eq!((con.events.len(), throttle.held()), (0, (0, 0)));
    let aborted = Msg { flags: 0, ..Msg::new(2) };
    assert_eq!(con.receive(&aborted.bytes(true)), Err(Fault::Aborted));
    assert_eq!(throttle.held(), (0, 0));
    let (mut con, throttle) = open(1);
    let mut bad = Msg::new(1).bytes(true);
    bad[54] ^= 1;
    assert_eq!(con.receive(&bad), Err(Fault::BadCrc("front")));
    assert_eq!(throttle.held(), (0, 0));
    // Refused by its number, after it was read whole.
    let mut con = Scenario::lossless().open();
    con.rx.set_throttle(Some(throttle.clone()));
    con.receive(&peer_sends([2])).unwrap_err();
    assert_eq!(throttle.held(), (0, 0));
}

#[test]
fn clones_hold_one_room_together_until_the_last_of_them_goes() {
    let (mut con, throttle) = open(2);
    con.receive(&peer_sends([1])).unwrap();
    let Event::Message(msg) = con.take_events().remove(0) else { panic!("no message") };
    let clone = msg.clone();
    assert_eq!(throttle.held(), (1, 5));
    drop(msg);
    assert_eq!(throttle.held(), (1, 5));
    drop(clone);
    assert_eq!(throttle.held(), (0, 0));
}

/// It may be the very acks behind the throttled message that would free it.
#[test]
fn what_is_sent_on_no_longer_holds_room() {
    let (mut con, throttle) = open(1);
    con.receive(&peer_sends([1])).unwrap();
    let Event::Message(msg) = con.take_events().remove(0) else { panic!("no message") };
    con.tx.send(msg);
    assert_eq!(throttle.held(), (0, 0));
    con.run().unwrap();
    assert!(!con.tx.is_acked());
    con.receive(&peer_sends([2])).unwrap();
    assert_eq!((con.received(), throttle.held()), (vec![2], (0, 0)));
}

#[test]
fn one_connection_leaves_room_to_another() {
    let (mut con, throttle) = open(1);
    let mut other = Listener::mds().open();
    other.rx.set_throttle(Some(throttle.clone()));
    con.receive(&peer_sends([1])).unwrap();
    other.receive(&peer_sends([1])).unwrap();
    assert!(other.rx.throttled().is_some() && other.events.is_empty());
    con.take_events();
    other.run().unwrap();
    assert_eq!((other.received(), throttle.held()), (vec![1], (0, 0)));
}

#[test]
fn a_throttle_that_is_taken_away_holds_nobody_up() {
    let (mut con, _throttle) = open(1);
    con.receive(&peer_sends([1, 2])).unwrap();
    assert!(con.rx.throttled().is_some());
    con.rx.set_throttle(None);
    con.run().unwrap();
    assert_eq!(con.received(), [1, 2]);
}

#[test]
fn of_who_may_be_anyone_only_small_messages_are_read_and_they_take_room() {
    let max = limits::MAX_UNAUTHENTICATED_LEN as u32;
    for lens in [[max + 1, 0, 0], [max, 1, 0], [max, 0, 1], [1, max / 2, max / 2]] {
        let (mut con, throttle) = open(1);
        con.rx.set_small_only(true);
        let header = [&[7][..], &Msg::header_of(1, 0, lens)].concat();
        let fault = con.receive(&header).unwrap_err();
        assert!(matches!(fault, Fault::TooLong { len, .. } if len == max + 1), "{fault:?}");
        assert_eq!(throttle.held(), (0, 0));
    }
    let (mut con, throttle) = open(1);
    con.rx.set_small_only(true);
    let small = Msg { front: vec![1; max as usize], ..Msg::new(1) };
    con.receive(&[small.bytes(true), peer_sends([2])].concat()).unwrap();
    assert_eq!((con.received(), con.rx.throttled().is_some()), (vec![1], true));
    assert_eq!(throttle.held(), (0, 0));
}
