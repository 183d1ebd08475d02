//! Taking a message back, wherever it is.

use super::acceptor::*;
use super::*;

/// Front 5, middle 0, data 9.
const LEN: usize = 1 + 53 + 5 + 9 + 21;

#[test]
fn a_queued_message_never_goes_out_and_leaves_no_gap() {
    for state in [ConState::Preopen, ConState::V1Banner, ConState::V1ConnectMsg] {
        let mut con = Scenario::lossless().until(state);
        con.send(1);
        let id = con.send(2);
        con.send(3);
        assert_eq!(con.tx.queued_bytes(), 3 * 14);
        assert!(con.tx.revoke(id), "{state}");
        assert!(!con.tx.revoke(id), "there is nothing left to take back");
        assert_eq!(con.tx.queued_bytes(), 2 * 14);
        if state != ConState::V1ConnectMsg {
            con.dial_to_connect();
        }
        con.receive(&Reply::new(READY).bytes()).unwrap();
        let frames = con.frames();
        let fronts: Vec<u8> = frames
            .iter()
            .map(|f| if let Frame::Msg(m) = f { m.front[0] } else { panic!("{frames:?}") })
            .collect();
        assert_eq!((seqs(&frames), fronts), (vec![1, 2], vec![1, 3]));
    }
}

/// Revoked after each byte, with a message behind it, and an ack in front.
#[test]
fn a_half_written_message_ends_in_zeros_and_the_next_one_stands_where_it_must() {
    for lossy in [false, true] {
        let ack = if lossy { 0 } else { 9 };
        for sent in 0..=ack + LEN {
            let scenario = if lossy { Scenario::lossy() } else { Scenario::lossless() };
            let mut con = scenario.open();
            con.pipe = Pipe { budget: sent, ..Pipe::default() };
            con.pipe.feed(&Msg::new(1).bytes(true));
            con.try_read().unwrap();
            let id = con.send(1);
            con.send(2);
            con.try_write().unwrap();
            // On the wire whole, it can be kept from being sent again, if it would be.
            assert_eq!(con.tx.revoke(id), sent < ack + LEN || !lossy, "{sent} bytes");
            con.pipe.budget = usize::MAX;
            con.try_write().unwrap();
            let out = con.pipe.take_output();
            let out = if lossy {
                &out[..]
            } else {
                let (frame, rest) = parse_frame(&out, true).unwrap();
                assert_eq!(frame, Frame::Ack(1));
                rest
            };
            let written = sent.saturating_sub(ack);
            let rest = if written == 0 {
                out
            } else {
                let (message, rest) = out.split_at(LEN);
                let whole = sent_alone();
                let keep = written.max(54);
                assert_eq!(message[..keep], whole[..keep], "{sent} bytes");
                assert!(message[keep..].iter().all(|b| *b == 0), "{sent} bytes");
                rest
            };
            // It had its number before it went: the kernel leaves that gap too.
            assert_eq!(seqs(&parse_frames(rest, true)), [2]);
            if !lossy {
                assert_eq!(con.tx.session.out_sent.len(), 1, "it is not sent again");
            }
        }
    }
}

/// The bytes of the message that `Con::send(1)` puts on the wire.
fn sent_alone() -> Vec<u8> {
    let mut con = Scenario::lossy().open();
    con.send(1);
    con.run().unwrap();
    con.pipe.take_output()
}

#[test]
fn a_receiver_finds_a_revoked_message_aborted_or_sees_nothing_of_it() {
    // Zeros behind any byte but the last: the flag COMPLETE is in that one.
    let bytes = Msg { data: vec![9; 9], ..Msg::new(1) }.bytes(true);
    for written in 54..bytes.len() {
        let mut cut = bytes.clone();
        cut[written..].fill(0);
        let mut con = Scenario::lossy().open();
        assert_eq!(con.receive(&cut), Err(Fault::Aborted), "{written} bytes");
    }
}

#[test]
fn an_unacknowledged_message_is_not_sent_again() {
    let mut con = Scenario::lossless().open();
    con.send(1);
    let id = con.send(2);
    con.send(3);
    con.run().unwrap();
    assert!(con.tx.revoke(id));
    con.fault(&Fault::PeerClosed);
    let id = con.send(4);
    con.dial_to_connect();
    assert!(con.tx.revoke(id));
    con.receive(&Reply::new(SEQ).connect_seq(3).bytes()).unwrap();
    // Without a gap, which a kernel client would refuse.
    let frames = parse_frames(&con.pipe.take_output()[8..], true);
    assert_eq!((seqs(&frames), fronts(&frames)), (vec![1, 2], vec![1, 3]));
}

#[test]
fn an_acknowledged_message_cannot_be_taken_back() {
    let mut con = Scenario::lossless().open();
    let id = con.send(1);
    con.run().unwrap();
    con.receive(&[&[8][..], &1u64.to_le_bytes()].concat()).unwrap();
    assert!(!con.tx.revoke(id));
}

#[test]
fn a_revoked_message_that_was_half_written_is_not_sent_on_the_next_socket() {
    for sent in 1..LEN {
        let mut con = Scenario::lossless().open();
        con.pipe.budget = sent;
        let id = con.send(1);
        con.send(2);
        con.run().unwrap();
        assert!(con.tx.revoke(id));
        // The peer, which finds it incomplete, hangs up.
        con.fault(&Fault::PeerClosed);
        con.dial_to_connect();
        con.receive(&Reply::new(SEQ).connect_seq(3).bytes()).unwrap();
        let frames = parse_frames(&con.pipe.take_output()[8..], true);
        assert_eq!((seqs(&frames), fronts(&frames)), (vec![1], vec![2]), "{sent} bytes");
    }
}

#[test]
fn the_last_message_revoked_leaves_a_session_idle() {
    let mut con = Scenario::lossless().open();
    let id = con.send(1);
    con.run().unwrap();
    con.tx.revoke(id);
    assert_eq!(con.fault(&Fault::PeerClosed), Consequence::Standby);
}

#[test]
fn ids_are_not_used_again_after_a_reset() {
    let mut con = Scenario::lossless().connect();
    let old = con.send(1);
    con.receive(&Reply::new(RESETSESSION).bytes()).unwrap();
    let new = con.send(2);
    assert_ne!(old, new);
    assert!(!con.tx.revoke(old) && con.tx.revoke(new));
}
