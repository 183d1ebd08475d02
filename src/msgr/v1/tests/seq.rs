//! Sequence numbers and acks.

use super::acceptor::*;
use super::*;

/// The peer's messages with these numbers.
fn peer_sends(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    numbers.into_iter().flat_map(|n| Msg::new(n).bytes(true)).collect()
}

fn peer_acks(seq: u64) -> Vec<u8> {
    [&[8][..], &seq.to_le_bytes()].concat()
}

#[test]
fn our_numbers_begin_with_1_and_have_no_gap() {
    for scenario in [Scenario::lossless(), Scenario::lossy()] {
        let mut con = scenario.open();
        for n in 1..=3 {
            con.send(n);
            con.run().unwrap();
        }
        assert_eq!(seqs(&con.frames()), [1, 2, 3]);
    }
}

#[test]
fn a_duplicate_is_skipped_and_the_session_goes_on() {
    for scenario in [Scenario::lossless(), Scenario::lossy()] {
        let mut con = scenario.open();
        con.receive(&peer_sends([1, 2, 1, 2, 0, 3, 3])).unwrap();
        assert_eq!(con.received(), [1, 2, 3]);
        // Far behind is old too, by the signed difference.
        con.receive(&peer_sends([u64::MAX, 4])).unwrap();
        assert_eq!(con.received(), [4]);
    }
}

#[test]
fn a_duplicate_is_not_acknowledged_again() {
    let mut con = Scenario::lossless().open();
    con.receive(&peer_sends([1])).unwrap();
    assert_eq!(con.frames(), [Frame::Ack(1)]);
    con.receive(&peer_sends([1])).unwrap();
    assert_eq!(con.frames(), []);
}

#[test]
fn a_gap_is_refused() {
    for (scenario, got) in [(Scenario::lossless(), 3), (Scenario::lossy(), 1 << 40)] {
        let mut con = scenario.open();
        let fault = con.receive(&peer_sends([1, got]));
        assert_eq!(fault, Err(Fault::OutOfOrder { want: Seq(2), got: Seq(got) }));
        assert_eq!((con.received(), con.tx.session.in_seq), (vec![1], Seq(1)));
    }
}

#[test]
fn numbers_are_compared_across_the_wrap() {
    let mut con = Scenario::lossless().open();
    con.tx.session.in_seq = Seq(u64::MAX - 1);
    con.receive(&peer_sends([u64::MAX, 0, 1, u64::MAX])).unwrap();
    assert_eq!(con.received(), [255, 0, 1]);
}

#[test]
fn an_ack_of_its_own_goes_out_when_there_is_nothing_to_carry_it() {
    let mut con = Scenario::lossless().open();
    con.receive(&peer_sends(1..=5)).unwrap();
    assert_eq!(con.frames(), [Frame::Ack(5)], "one for all");
    assert!(!con.tx.wants_write());
}

#[test]
fn an_ack_goes_in_front_of_the_next_message_and_into_the_same_call() {
    let mut con = Scenario::lossless().open();
    con.pipe = Pipe::default();
    con.pipe.feed(&peer_sends([1, 2]));
    con.try_read().unwrap();
    assert!(con.tx.wants_write());
    con.send(1);
    con.send(2);
    con.try_write().unwrap();
    assert_eq!(con.pipe.calls.send, 1);
    let frames = con.frames();
    assert!(matches!(&frames[..], [Frame::Ack(2), Frame::Msg(_), Frame::Msg(_)]), "{frames:?}");
}

#[test]
fn a_lossy_session_sends_no_acks() {
    let mut con = Scenario::lossy().open();
    con.receive(&peer_sends(1..=3)).unwrap();
    assert!(!con.tx.wants_write());
    con.send(1);
    con.run().unwrap();
    assert_eq!(seqs(&con.frames()), [1]);
    assert_eq!(con.received(), [1, 2, 3]);
}

#[test]
fn an_ack_frees_what_it_covers() {
    let mut con = Scenario::lossless().open();
    con.send_each(1..=4);
    con.run().unwrap();
    assert_eq!(con.tx.progress(), (Seq(4), Seq(0)));
    con.receive(&peer_acks(3)).unwrap();
    assert_eq!(con.take_events(), [Event::Acked(Seq(3))]);
    assert_eq!((con.tx.progress(), con.tx.session.out_sent.len()), ((Seq(4), Seq(3)), 1));
    // One that is older than the last changes nothing.
    con.receive(&peer_acks(1)).unwrap();
    assert_eq!((con.tx.progress(), con.tx.session.out_sent.len()), ((Seq(4), Seq(3)), 1));
}

#[test]
fn what_was_never_sent_is_not_acknowledged() {
    let mut con = Scenario::lossless().open();
    con.send(1);
    con.run().unwrap();
    con.receive(&peer_acks(99)).unwrap();
    assert_eq!(con.take_events(), [Event::Acked(Seq(1))]);
    con.send(2);
    con.run().unwrap();
    assert_eq!(con.tx.progress(), (Seq(2), Seq(1)));
    assert_eq!(con.tx.session.out_sent.len(), 1);

    let mut con = Scenario::lossless().connect();
    con.send(1);
    con.receive(&Reply::new(SEQ).in_seq(99).bytes()).unwrap();
    // Nor is it trimmed; but what follows has the number that the peer takes next.
    assert_eq!(con.tx.progress(), (Seq(100), Seq(0)));
}

#[test]
fn a_lossy_session_takes_an_ack_and_keeps_nothing() {
    let mut con = Scenario::lossy().open();
    con.send(1);
    con.run().unwrap();
    con.receive(&peer_acks(1)).unwrap();
    assert!(con.tx.session.is_idle());
}

#[test]
fn a_reconnect_with_seq_sends_the_rest_and_only_that() {
    for in_seq in 0..=4 {
        let mut con = Scenario::lossless().open();
        con.send_each(1..=4);
        con.run().unwrap();
        // Taken, but the socket was gone before the ack could go out.
        con.pipe.feed(&peer_sends([1, 2]));
        con.try_read().unwrap();
        assert!(con.tx.session.ack_due());
        con.fault(&Fault::PeerClosed);
        con.send(5);
        con.dial_to_connect();
        con.receive(&Reply::new(SEQ).connect_seq(3).in_seq(in_seq).bytes()).unwrap();
        let out = con.pipe.take_output();
        assert_eq!(out[..8], 2u64.to_le_bytes(), "our in_seq");
        let frames = parse_frames(&out[8..], true);
        assert_eq!(seqs(&frames), (in_seq + 1..=5).collect::<Vec<_>>());
        assert_eq!(frames.len() as u64, 5 - in_seq, "no ack of what our SEQ has told");
        assert_eq!(con.tx.progress(), (Seq(5), Seq(in_seq)));
        // What comes next is the next.
        assert_eq!(con.received(), [1, 2]);
        con.receive(&peer_sends([3])).unwrap();
        assert_eq!(con.received(), [3]);
    }
}

#[test]
fn nothing_goes_out_between_the_reply_and_the_number_behind_it() {
    let mut con = Scenario::lossless().connect();
    con.send(1);
    con.tx.keepalive();
    let reply = Reply::new(SEQ).bytes();
    for n in 0..8 {
        con.receive(&reply[if n == 0 { 0..26 } else { 25 + n..26 + n }]).unwrap();
        assert_eq!((con.state(), con.pipe.output.len()), (ConState::V1ConnectMsg, 0));
        assert!(!con.tx.wants_write(), "whoever sends meanwhile finds no open session");
        assert_eq!(con.rx.awaiting(), "sequence number behind SEQ");
    }
    con.receive(&reply[33..]).unwrap();
    assert_eq!(con.state(), ConState::Open);
    let out = con.pipe.take_output();
    let frames = parse_frames(&out[8..], true);
    assert!(matches!(frames[..], [Frame::Keepalive2(5, 6), Frame::Msg(_)]), "{frames:?}");
}

#[test]
fn our_number_goes_out_whole_before_the_first_message() {
    for sent in 0..8 {
        let mut con = Scenario::lossless().connect();
        con.pipe.budget = sent;
        con.send(1);
        con.receive(&Reply::new(SEQ).bytes()).unwrap();
        assert_eq!((con.state(), con.pipe.output.len()), (ConState::Open, sent));
        con.send(2);
        con.pipe.budget = usize::MAX;
        con.run().unwrap();
        let out = con.pipe.take_output();
        assert_eq!(seqs(&parse_frames(&out[8..], true)), [1, 2]);
    }
}

#[test]
fn an_ack_waits_for_the_end_of_the_message_that_is_being_written() {
    let len = 1 + 53 + 5 + 9 + 21;
    for sent in 1..len {
        let mut con = Scenario::lossless().open();
        con.pipe = Pipe { budget: sent, ..Pipe::default() };
        con.send(1);
        con.run().unwrap();
        con.receive(&peer_sends([1])).unwrap();
        con.send(2);
        con.pipe.budget = usize::MAX;
        con.run().unwrap();
        let frames = con.frames();
        assert!(
            matches!(&frames[..], [Frame::Msg(_), Frame::Ack(1), Frame::Msg(_)]),
            "{sent} bytes: {frames:?}"
        );
    }
}

#[test]
fn a_message_is_encoded_anew_for_the_session_that_carries_it() {
    let mut con = Scenario::lossless().cephx().open();
    con.send(1);
    con.run().unwrap();
    con.fault(&Fault::PeerClosed);
    con.dial_to_connect();
    con.answer_challenge();
    let features = DAEMON.missing_in(Features(Features::MSG_AUTH.mask));
    let reply = con.peer.clone().features(features).connect_seq(3);
    con.receive(&reply.bytes()).unwrap();
    let frames = con.frames();
    let [Frame::Msg(m)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((m.seq, m.flags), (1, COMPLETE), "short footer, no signature");
}

#[test]
fn a_message_carries_our_name_as_it_is_when_it_goes_out() {
    let mut con = Scenario::lossless().open();
    con.send(1);
    con.world.local.set_num(4242);
    con.run().unwrap();
    assert_eq!(con.pipe.output[1 + 36..1 + 45], [8, 0x92, 0x10, 0, 0, 0, 0, 0, 0]);
}
