//! The open session: sequence numbers and acks, keepalives, aborts, revoking, throttles.

use std::sync::Arc;

use super::dialler::*;
use super::far::*;
use super::sheets::*;
use super::*;
use crate::msgr::Throttle;

#[test]
fn numbers_begin_with_1_and_have_no_gap() {
    for form in FORMS {
        let mut con = Scenario::lossless().form(form).open();
        for n in 1..=3 {
            con.send(n);
            con.run().unwrap();
        }
        let said = con.said();
        assert_eq!((seqs(&said), fronts(&said)), (vec![1, 2, 3], vec![1, 2, 3]));
    }
}

#[test]
fn a_message_has_all_its_segments_in_every_form() {
    for form in FORMS {
        for i in 0..8 {
            let len = |bit: usize| if i & bit == 0 { vec![] } else { vec![bit as u8; 70] };
            let sent = Msg { tid: 99, front: len(1), middle: len(2), data: len(4), ..Msg::new(1) };
            let mut con = Scenario::lossy().form(form).open();
            let bytes = con.far.msg(&sent);
            con.receive(&bytes).unwrap();
            let Some(Event::Message(m)) = con.take_events().pop() else { panic!("no message") };
            let h = m.header;
            assert_eq!((h.seq, h.tid.0, h.msg_type, h.priority.0), (Seq(1), 99, 42, 127));
            assert_eq!((h.version, h.compat_version, h.data_off), (1, 1, 0));
            assert_eq!(h.src.to_string(), "mds.3");
            let got = (m.front.to_vec(), m.middle.to_vec(), m.data.to_vec());
            assert_eq!(got, (len(1), len(2), len(4)));
            // And back.
            let back = Message { middle: len(2).into(), ..Message::new(42, len(1)) };
            con.tx.send(back.with_data(len(4)).with_tid(crate::types::Tid(99)));
            con.run().unwrap();
            assert_eq!(con.said(), [Said::Msg(sent.acks(1))]);
        }
    }
}

#[test]
fn a_duplicate_is_skipped_and_the_session_goes_on() {
    for scenario in [Scenario::lossless(), Scenario::lossy()] {
        let mut con = scenario.open();
        con.receive_msgs([1, 2, 1, 2, 0, 3, 3]).unwrap();
        assert_eq!(con.received(), [1, 2, 3]);
        // Far behind is old too, by the signed difference.
        con.receive_msgs([u64::MAX, 4]).unwrap();
        assert_eq!(con.received(), [4]);
        con.said();
        con.receive_msgs([4]).unwrap();
        assert_eq!(con.said(), [], "it is not acknowledged again");
    }
}

#[test]
fn a_gap_is_taken_on_either_side() {
    // As Ceph has it: a peer that keeps what waits may begin a new session with a later number.
    for mut con in [Scenario::lossless().open(), Listener::mds().open()] {
        con.receive_msgs([5, 1, 7, 3, 7, 8]).unwrap();
        assert_eq!(con.received(), [5, 7, 8]);
        assert_eq!(con.said(), [Said::Ack(8)]);
    }
}

#[test]
fn numbers_are_compared_across_the_wrap() {
    let mut con = Scenario::lossless().open();
    con.tx.session.in_seq = Seq(u64::MAX - 1);
    con.receive_msgs([u64::MAX, 0, 1, u64::MAX]).unwrap();
    assert_eq!(con.received(), [255, 0, 1]);
}

#[test]
fn an_ack_of_its_own_goes_out_when_there_is_nothing_to_carry_it() {
    let mut con = Scenario::lossless().open();
    con.receive_msgs(1..=5).unwrap();
    assert_eq!(con.said(), [Said::Ack(5)], "one for all");
    assert!(!con.tx.wants_write());
    con.run().unwrap();
    assert_eq!(con.said(), []);
}

/// What has arrived is told in the header of the message: no frame, and no write, of its own.
#[test]
fn an_ack_rides_in_the_next_message_and_small_messages_take_one_write() {
    for form in FORMS {
        let mut con = Scenario::lossless().form(form).open();
        con.pipe = Pipe::default();
        con.pipe.feed(&con.far.msgs([1, 2]));
        con.try_read().unwrap();
        assert!(con.tx.wants_write());
        con.send_each([1, 2, 3]);
        con.try_write().unwrap();
        assert_eq!(con.pipe.calls.send, 1, "{form:?}");
        let said = con.said();
        let acks: Vec<_> = messages(&said).map(|m| m.ack).collect();
        assert_eq!((seqs(&said), acks, said.len()), (vec![1, 2, 3], vec![2, 2, 2], 3));
        assert!(!con.tx.wants_write(), "nothing is left to tell");
        assert_eq!(con.tx.session.in_seq_acked, Seq(2));
    }
}

#[test]
fn a_lossy_session_sends_no_acks_but_says_in_messages_what_has_come() {
    let mut con = Scenario::lossy().open();
    con.receive_msgs(1..=3).unwrap();
    assert!(!con.tx.wants_write());
    con.send(1);
    con.run().unwrap();
    let said = con.said();
    assert_eq!(messages(&said).map(|m| m.ack).collect::<Vec<_>>(), [3]);
    assert!(con.tx.session.is_idle());
    let ack = con.far.ack(1);
    con.receive(&ack).unwrap();
    assert!(con.tx.session.is_idle());
}

#[test]
fn an_ack_frees_what_it_covers_in_a_frame_of_its_own_or_in_a_message() {
    for alone in [true, false] {
        let mut con = Scenario::lossless().open();
        con.send_each(1..=4);
        con.run().unwrap();
        let acks = |con: &mut Con, seq, ack| {
            let bytes = match alone {
                true => con.far.ack(ack),
                false => con.far.msg(&Msg::new(seq).acks(ack)),
            };
            con.receive(&bytes).unwrap();
            (con.tx.progress(), con.tx.session.out_sent.len(), con.tx.queued_bytes())
        };
        assert_eq!(con.tx.progress(), (Seq(4), Seq(0)));
        assert_eq!(acks(&mut con, 1, 3), ((Seq(4), Seq(3)), 1, 14));
        // One that is older than the last changes nothing, and one of what was never sent no more
        // than there is.
        assert_eq!(acks(&mut con, 2, 1), ((Seq(4), Seq(3)), 1, 14));
        // In a message that came before it counts too.
        assert_eq!(acks(&mut con, 1, 99), ((Seq(4), Seq(4)), 0, 0));
        con.send(5);
        con.run().unwrap();
        assert_eq!(con.tx.progress(), (Seq(5), Seq(4)));
    }
    let mut con = Scenario::lossless().open();
    con.send(1);
    con.run().unwrap();
    let ack = con.far.ack(1);
    con.receive(&ack).unwrap();
    assert_eq!(con.take_events(), [Event::Acked(Seq(1))]);
}

#[test]
fn keepalive2_goes_out_with_the_time_and_its_ack_comes_back() {
    for form in FORMS {
        let mut con = Scenario::lossless().form(form).open();
        con.tx.keepalive();
        assert!(con.tx.wants_write());
        con.run().unwrap();
        assert_eq!(con.said(), [Said::Keepalive2(5, 6)]);
        assert!(!con.tx.wants_write(), "once");
        let bytes = con.far.stamp(KEEPALIVE2_ACK, 5, 6);
        con.receive(&bytes).unwrap();
        assert_eq!(con.take_events(), [Event::KeepaliveAck(UTime { sec: 5, nsec: 6 })]);

        let bytes = con.far.stamp(KEEPALIVE2, 0x0102_0304, u32::MAX);
        con.receive(&bytes).unwrap();
        assert_eq!(con.said(), [Said::Keepalive2Ack(0x0102_0304, u32::MAX)]);
        assert_eq!(con.take_events(), []);
        // Two at once get one answer: the later stamp is the better sign of life.
        let both = [con.far.stamp(KEEPALIVE2, 1, 0), con.far.stamp(KEEPALIVE2, 2, 0)].concat();
        con.receive(&both).unwrap();
        assert_eq!(con.said(), [Said::Keepalive2Ack(2, 0)]);
    }
}

#[test]
fn keepalives_go_before_messages_and_die_with_their_socket() {
    let mut con = Scenario::lossless().open();
    con.send(1);
    con.tx.keepalive();
    let bytes = [con.far.msg(&Msg::new(1)), con.far.stamp(KEEPALIVE2, 7, 8)].concat();
    con.receive(&bytes).unwrap();
    let said = con.said();
    let [Said::Keepalive2Ack(7, 8), Said::Keepalive2(5, 6), Said::Msg(m)] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!((m.seq, m.ack), (1, 1));

    // The peer's question is of the socket that it came on; ours is of the session.
    con.pipe.feed(&con.far.stamp(KEEPALIVE2, 7, 8));
    con.try_read().unwrap();
    con.tx.keepalive();
    con.fault(&Fault::PeerClosed);
    con.dial_to_reconnect();
    con.reconnected(1).unwrap();
    assert_eq!(con.said(), [Said::Keepalive2(5, 6)]);
    let mut con = Scenario::lossless().until(ConState::Standby);
    con.tx.keepalive();
    assert_eq!(con.state(), ConState::Preopen);
}

#[test]
fn no_keepalive_goes_to_a_client_and_its_own_are_answered() {
    let l = Listener::mds();
    let mut con = l.open();
    con.tx.keepalive();
    con.run().unwrap();
    con.fault(&Fault::PeerClosed);
    con.tx.keepalive();
    let (_, said) = l.reconnect(&mut con, &Reconnect::again(COOKIE, 11, 1));
    assert!(said.is_empty() && !con.tx.wants_write() && !con.tx.takes_keepalives());
    let bytes = con.far.stamp(KEEPALIVE2, 7, 8);
    con.receive(&bytes).unwrap();
    assert_eq!(con.said(), [Said::Keepalive2Ack(7, 8)]);
    // A daemon may be asked.
    let l = Listener::new(EntityType::MDS, Policy::LOSSLESS_PEER);
    let (mut con, _) = l.accept_from(2, &ClientIdent::lossless());
    con.tx.keepalive();
    con.run().unwrap();
    assert_eq!(con.said(), [Said::Keepalive2(5, 6)]);
}

/// An aborted message does not consume its number.
#[test]
fn a_message_that_its_sender_took_back_gives_its_number_free() {
    for form in FORMS {
        let mut con = Scenario::lossless().form(form).open();
        let (throttle, aborted) = (Throttle::new(1, 1000), 1);
        con.rx.set_throttle(Some(throttle.clone()));
        let first = con.far.msg_with(&Msg { front: vec![9; 7], ..Msg::new(1) }, aborted);
        con.receive(&first).unwrap();
        assert_eq!((con.events.len(), con.tx.session.in_seq), (0, Seq(0)));
        assert_eq!(throttle.held(), (0, 0), "nor room");
        let again = con.far.msg_with(&Msg::new(1).acks(5), aborted);
        let all = [again, con.far.msgs([1, 2])].concat();
        con.receive(&all).unwrap();
        con.events.truncate(1);
        con.run().unwrap();
        assert_eq!(con.received(), [1], "{form:?}");
        con.run().unwrap();
        assert_eq!(con.received(), [2], "{form:?}");
    }
}

/// Header, crc, front 5, data 9, epilogue.
const CRC_LEN: usize = 32 + 41 + 4 + 5 + 9 + 13;

#[test]
fn a_queued_message_never_goes_out_and_leaves_no_gap() {
    let states =
        [ConState::Preopen, ConState::V2Banner, ConState::V2Auth, ConState::V2SessionConnect];
    for state in states {
        let mut con = Scenario::lossless().until(state);
        con.send(1);
        let id = con.send(2);
        con.send(3);
        assert!(con.tx.revoke(id) && !con.tx.revoke(id), "{state}");
        assert_eq!(con.tx.queued_bytes(), 2 * 14);
        if state != ConState::V2SessionConnect {
            con.dial_to_client_ident();
        }
        con.answer_ident();
        let said = con.said();
        assert_eq!((seqs(&said), fronts(&said)), (vec![1, 2], vec![1, 3]));
    }
}

/// Revoked after each byte, with a message behind it: one that has begun goes out whole, for a
/// checksum or a tag of it would not be right any more.
#[test]
fn a_message_that_has_begun_goes_out_whole_and_is_not_sent_again() {
    for lossy in [false, true] {
        for sent in 0..=CRC_LEN {
            let scenario = if lossy { Scenario::lossy() } else { Scenario::lossless() };
            let mut con = scenario.open();
            con.pipe = Pipe { budget: sent, ..Pipe::default() };
            let id = con.send(1);
            con.send(2);
            con.try_write().unwrap();
            let begun = (1..CRC_LEN).contains(&sent);
            let taken_back = con.tx.revoke(id);
            if begun {
                assert!(!taken_back, "{sent} bytes");
            } else {
                // On the wire whole, it can be kept from being sent again, if it would be.
                assert_eq!(taken_back, sent == 0 || !lossy, "{sent} bytes");
            }
            con.pipe.budget = usize::MAX;
            con.try_write().unwrap();
            let said = con.said();
            // It had its number before it went: that gap stays.
            assert_eq!(seqs(&said), if sent == 0 { vec![2] } else { vec![1, 2] });
        }
    }
}

#[test]
fn a_sealed_message_cannot_be_unsealed() {
    for revision in [0, 1] {
        let mut con = Scenario::lossless().form((revision, ConMode::Secure)).open();
        con.pipe = Pipe { budget: 0, ..Pipe::default() };
        let id = con.send(1);
        con.send(2);
        con.try_write().unwrap();
        let taken_back = con.tx.revoke(id);
        con.pipe.budget = usize::MAX;
        con.try_write().unwrap();
        // Whatever it is told: no nonce is left out, and what goes out opens.
        let said = con.said();
        assert_eq!(seqs(&said), if taken_back { vec![2] } else { vec![1, 2] });
    }
}

#[test]
fn an_unacknowledged_message_is_not_sent_again() {
    let mut con = Scenario::lossless().open();
    con.send(1);
    let id = con.send(2);
    con.send(3);
    con.run().unwrap();
    con.said();
    assert!(con.tx.revoke(id));
    con.fault(&Fault::PeerClosed);
    let id = con.send(4);
    con.dial_to_reconnect();
    assert!(con.tx.revoke(id));
    con.reconnected(0).unwrap();
    // Without a gap, which a kernel client would refuse.
    let said = con.said();
    assert_eq!((seqs(&said), fronts(&said)), (vec![1, 2], vec![1, 3]));

    let mut con = Scenario::lossless().open();
    let id = con.send(1);
    con.run().unwrap();
    let ack = con.far.ack(1);
    con.receive(&ack).unwrap();
    assert!(!con.tx.revoke(id), "it has arrived");
}

/// A connection with room for that many messages of 5 bytes.
fn with_room(form: (u8, ConMode), messages: usize) -> (Con, Arc<Throttle>) {
    let throttle = Throttle::new(100, 5 * messages);
    let mut con = Scenario::lossless().form(form).open();
    con.rx.set_throttle(Some(throttle.clone()));
    (con, throttle)
}

#[test]
fn a_message_without_room_stops_the_reader_until_there_is_room() {
    for form in FORMS {
        let (mut con, throttle) = with_room(form, 2);
        con.receive_msgs(1..=3).unwrap();
        assert_eq!((con.events.len(), throttle.held()), (2, (2, 10)), "{form:?}");
        assert!(con.rx.throttled().is_some_and(|t| Arc::ptr_eq(t, &throttle)));
        assert_eq!((con.rx.awaiting(), con.rx.amid_message()), ("room for a message", None));
        // Nothing is read meanwhile, however often one tries; an ack behind it waits too.
        let recvs = con.pipe.calls.recv;
        con.receive_msgs([4]).unwrap();
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
}

#[test]
fn only_messages_take_room() {
    let (mut con, throttle) = with_room((1, ConMode::Crc), 0);
    let bytes = [con.far.ack(0), con.far.stamp(KEEPALIVE2, 1, 2)].concat();
    con.receive(&bytes).unwrap();
    assert_eq!((con.said(), throttle.held()), (vec![Said::Keepalive2Ack(1, 2)], (0, 0)));
}

/// With the preamble, before memory is taken; given back once with the connection or its socket.
#[test]
fn room_is_taken_with_the_preamble_and_given_back_at_any_byte() {
    for form in FORMS {
        let len = Scenario::lossless().form(form).open().far.msgs([1]).len();
        for n in 0..=len {
            for again in [false, true] {
                let (mut con, throttle) = with_room(form, 1);
                let bytes = con.far.msgs([1]);
                con.receive(&bytes[..n]).unwrap();
                let head = if form == (1, ConMode::Secure) { 96 } else { 32 };
                let held = if n >= head { (1, 5) } else { (0, 0) };
                assert_eq!(throttle.held(), held, "{n} bytes");
                let amid = if n >= head { Some(5) } else { (n > 0).then_some(0) };
                assert_eq!(con.rx.amid_message(), amid.filter(|_| n < len), "{n} bytes");
                con.take_events();
                if again {
                    let l = Listener::new(EntityType::MDS, Policy::LOSSLESS_PEER);
                    con.tx.session.client_cookie = CLIENT_COOKIE;
                    l.reconnect(&mut con, &Reconnect::again(COOKIE, 11, 1));
                } else {
                    con.fault(&Fault::PeerClosed);
                }
                assert_eq!((throttle.held(), con.rx.amid_message()), ((0, 0), None), "{n} bytes");
            }
        }
    }
}

#[test]
fn who_waits_for_room_holds_none_and_what_is_skipped_or_refused_is_given_back() {
    let form = (1, ConMode::Crc);
    let (mut con, throttle) = with_room(form, 1);
    con.receive_msgs([1, 2]).unwrap();
    assert!(con.rx.throttled().is_some());
    con.fault(&Fault::PeerClosed);
    assert!(con.rx.throttled().is_none());
    assert_eq!(throttle.held(), (1, 5), "the message that its owner still has");
    con.take_events();
    assert_eq!(throttle.held(), (0, 0));

    let (mut con, throttle) = with_room(form, 1);
    con.receive_msgs([1]).unwrap();
    con.take_events();
    con.receive_msgs([1, 1, 0]).unwrap();
    assert_eq!((con.events.len(), throttle.held()), (0, (0, 0)));
    let mut bad = con.far.msgs([2]);
    bad[32 + 45] ^= 1;
    assert_eq!(con.receive(&bad), Err(Fault::BadSegmentCrc(1)));
    // The fault stands until the socket is given up, and holds nothing.
    con.fault(&Fault::BadSegmentCrc(1));
    assert_eq!(throttle.held(), (0, 0));
}
