//! What each fault does, by policy, state and what waits to be sent.

use crate::auth::AuthRefusal;
use crate::msgr::v2::Tag;
use std::io::ErrorKind;

use super::acceptor::*;
use super::*;
use crate::denc::{DecodeError, DecodeErrorKind};
use Consequence::{Backoff, Close, Redial, Standby};

/// What a fault says beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Dialling again may help.
    Again,
    /// The same, with new tickets.
    Tickets,
    /// The same, but the peer is to dial first.
    Later,
    /// Dialling again cannot help.
    Final,
}
use Kind::{Again, Final, Later, Tickets};

/// One row for each variant: a new one does not compile before it has a row.
macro_rules! faults {
    ($($pattern:pat, $fault:expr => $kind:expr;)*) => {
        fn every_fault() -> Vec<Fault> {
            vec![$($fault),*]
        }

        fn kind(fault: &Fault) -> Kind {
            match fault {
                $($pattern => $kind,)*
            }
        }
    };
}

faults! {
    Fault::Io(_), Fault::Io(ErrorKind::ConnectionReset) => Again;
    Fault::Os(_), Fault::Os(24) => Again;
    Fault::PeerClosed, Fault::PeerClosed => Again;
    Fault::CloseTag, Fault::CloseTag => Final;
    Fault::TimedOut(_), Fault::TimedOut("banner") => Again;
    Fault::BadBanner, Fault::BadBanner => Again;
    Fault::PeerSpeaksV2, Fault::PeerSpeaksV2 => Final;
    Fault::PeerSpeaksV1, Fault::PeerSpeaksV1 => Final;
    Fault::Msgr2FeaturesMissing(_), Fault::Msgr2FeaturesMissing(4) => Final;
    Fault::PeerLacksMsgr2Features(_), Fault::PeerLacksMsgr2Features(1) => Final;
    Fault::WrongPeer { .. },
        Fault::WrongPeer { want: PEER.parse().unwrap(), got: EntityAddr::NONE } => Final;
    Fault::ReplyBeforeRequest, Fault::ReplyBeforeRequest => Again;
    Fault::Decode(_),
        Fault::Decode(DecodeError { what: "x", kind: DecodeErrorKind::Short, at: 0 }) => Again;
    Fault::GarbageTag(_), Fault::GarbageTag(17) => Again;
    Fault::AuthorizerTooLong(_), Fault::AuthorizerTooLong(5000) => Again;
    Fault::UnexpectedAuthorizerReply(_), Fault::UnexpectedAuthorizerReply(36) => Again;
    Fault::NoAuthorizerReply, Fault::NoAuthorizerReply => Tickets;
    Fault::Auth(_), Fault::Auth(AuthError::BadNonce) => Tickets;
    Fault::BadAuthorizer, Fault::BadAuthorizer => Tickets;
    Fault::BadProtocolVersion { .. }, Fault::BadProtocolVersion { ours: 24, theirs: 23 } => Final;
    Fault::FeaturesMissing(_), Fault::FeaturesMissing(Features(1)) => Final;
    Fault::PeerLacksFeatures(_), Fault::PeerLacksFeatures(Features(1)) => Final;
    Fault::WaitAsClient, Fault::WaitAsClient => Again;
    Fault::Wait, Fault::Wait => Later;
    Fault::BadGlobalSeq(_), Fault::BadGlobalSeq(u64::MAX) => Again;
    Fault::BadSeq(_), Fault::BadSeq(u64::MAX) => Again;
    Fault::BadConnectSeq { .. }, Fault::BadConnectSeq { want: 1, got: 2 } => Again;
    Fault::TooManyRounds(_), Fault::TooManyRounds(32) => Again;
    Fault::BadTag(_), Fault::BadTag(99) => Again;
    Fault::BadHeaderCrc, Fault::BadHeaderCrc => Again;
    Fault::BadCrc(_), Fault::BadCrc("front") => Again;
    Fault::TooLong { .. }, Fault::TooLong { segment: "data", len: u32::MAX } => Again;
    Fault::BadPreamble(_), Fault::BadPreamble("wrong crc") => Again;
    Fault::BadSegmentCrc(_), Fault::BadSegmentCrc(3) => Again;
    Fault::BadLateStatus(_), Fault::BadLateStatus(0) => Again;
    Fault::BadSeal, Fault::BadSeal => Again;
    Fault::OutOfNonces, Fault::OutOfNonces => Again;
    Fault::BadConnectionSecret(_), Fault::BadConnectionSecret(39) => Again;
    Fault::OutOfOrder { .. }, Fault::OutOfOrder { want: Seq(2), got: Seq(3) } => Again;
    Fault::WrongPeerType { .. }, Fault::WrongPeerType { want: EntityType::MON, got: EntityType::OSD } => Final;
    Fault::ConnectSeqTooHigh(_), Fault::ConnectSeqTooHigh(u64::MAX) => Again;
    Fault::UnexpectedTag(_), Fault::UnexpectedTag(Tag::Wait) => Again;
    Fault::NoPeerAddress, Fault::NoPeerAddress => Again;
    Fault::AuthRefused(_), Fault::AuthRefused(AuthRefusal::NoGlobalId) => Again;
    Fault::Replaced, Fault::Replaced => Final;
    Fault::Crowded, Fault::Crowded => Final;
    Fault::Aborted, Fault::Aborted => Again;
    Fault::BadAuthSignature, Fault::BadAuthSignature => Again;
    Fault::BadSignature, Fault::BadSignature => Again;
}

/// What waits when the fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Nothing,
    /// A message that was never on the wire.
    Queued,
    /// Two messages on the wire and unacknowledged, and one queued.
    Unacked,
    Keepalive,
}

fn con_with(scenario: Scenario, state: ConState, work: Work) -> Con {
    if work == Work::Unacked && state != ConState::Open {
        // They went out on a socket that is gone; this is the next one.
        let mut con = con_with(scenario, ConState::Open, work);
        con.fault(&Fault::PeerClosed);
        con.dial();
        if state == ConState::V1ConnectMsg {
            con.receive(&hello()).unwrap();
        }
        return con;
    }
    let mut con = scenario.until(state);
    match work {
        Work::Nothing => {}
        Work::Queued => con.send_each([1]),
        Work::Unacked => {
            con.send_each([1, 2]);
            con.run().unwrap();
            con.send_each([3]);
        }
        Work::Keepalive => con.tx.keepalive(),
    }
    con
}

/// Numbers of what waits, 0 for what has none yet.
fn queue(con: &Con) -> Vec<u64> {
    con.tx.session.out_queue.iter().map(|q| q.msg.header.seq.0).collect()
}

#[test]
fn every_fault_of_a_lossless_session() {
    use ConState::{Open, V1Banner, V1ConnectMsg};
    // State and work; what follows from a fault that is not final; what is in the queue then;
    // connect_seq before and after.
    let table = [
        (V1Banner, Work::Nothing, Backoff, vec![], 0, 0),
        (V1Banner, Work::Queued, Backoff, vec![0], 0, 0),
        (V1Banner, Work::Unacked, Backoff, vec![1, 2, 0], 2, 2),
        (V1Banner, Work::Keepalive, Backoff, vec![], 0, 0),
        (V1ConnectMsg, Work::Nothing, Backoff, vec![], 0, 0),
        (V1ConnectMsg, Work::Queued, Backoff, vec![0], 0, 0),
        (V1ConnectMsg, Work::Unacked, Backoff, vec![1, 2, 0], 2, 2),
        (V1ConnectMsg, Work::Keepalive, Backoff, vec![], 0, 0),
        (Open, Work::Nothing, Standby, vec![], 1, 2),
        (Open, Work::Queued, Redial, vec![0], 1, 2),
        (Open, Work::Unacked, Redial, vec![1, 2, 0], 1, 2),
        (Open, Work::Keepalive, Redial, vec![], 1, 2),
    ];
    for fault in every_fault() {
        for (state, work, again, queued, before, after) in &table {
            let row = format!("{fault:?} in {state} with {work:?}");
            let mut con = con_with(Scenario::lossless(), *state, *work);
            assert_eq!(con.tx.session.connect_seq.0, *before, "{row}");
            let in_seq = con.tx.session.in_seq;
            let consequence = con.fault(&fault);
            assert!(con.tx.out_kvec.is_empty() && con.rx.in_buf.len() == 0, "{row}");
            assert!(con.tx.session.out_sent.is_empty(), "{row}");
            assert_eq!(con.world.auth.invalidated(), usize::from(kind(&fault) == Tickets), "{row}");
            if kind(&fault) == Final {
                assert_eq!((consequence, con.state()), (Close, ConState::Closed), "{row}");
                assert_eq!((queue(&con), con.tx.queued_bytes()), (vec![], 0), "{row}");
                assert_eq!(con.tx.session.connect_seq.0, 0, "{row}");
                continue;
            }
            let again = if kind(&fault) == Later { Consequence::Wait } else { *again };
            assert_eq!((consequence, queue(&con)), (again, queued.clone()), "{row}");
            let next = if again == Standby { ConState::Standby } else { ConState::Preopen };
            assert_eq!(con.state(), next, "{row}");
            assert_eq!(con.tx.session.connect_seq.0, *after, "{row}");
            assert_eq!(con.tx.queued_bytes(), 14 * queued.len(), "{row}");
            assert_eq!(con.tx.session.in_seq, in_seq, "what came has come: {row}");
        }
    }
}

#[test]
fn every_fault_ends_a_lossy_connection() {
    let mut agreed = Scenario::lossless();
    // The acceptor says so, whatever we had in mind.
    agreed.reply.flags = 1;
    let mut ours_alone = Scenario::lossy();
    ours_alone.reply.flags = 0;
    for fault in every_fault() {
        for (scenario, state) in [
            (Scenario::lossy(), ConState::V1Banner),
            (Scenario::lossy(), ConState::V1ConnectMsg),
            (Scenario::lossy(), ConState::Open),
        ] {
            for work in [Work::Nothing, Work::Queued, Work::Keepalive] {
                let mut con = con_with(scenario.clone(), state, work);
                assert_eq!(con.fault(&fault), Close, "{fault:?} in {state} with {work:?}");
                assert_eq!((con.state(), con.tx.queued_bytes()), (ConState::Closed, 0));
                assert!(con.tx.is_flushed() && !con.tx.wants_write());
            }
        }
        for scenario in [&agreed, &ours_alone] {
            let mut con = con_with(scenario.clone(), ConState::Open, Work::Queued);
            assert_eq!((con.fault(&fault), con.state()), (Close, ConState::Closed), "{fault:?}");
        }
    }
}

#[test]
fn a_closed_connection_stays_closed() {
    // The owner closed it, and what the worker was doing then ends in a fault.
    for fault in every_fault() {
        for scenario in [Scenario::lossless(), Scenario::lossy()] {
            for state in [ConState::V1Banner, ConState::V1ConnectMsg, ConState::Open] {
                let mut con = con_with(scenario.clone(), state, Work::Queued);
                con.tx.close();
                assert_eq!(con.fault(&fault), Close, "{fault:?} in {state}");
                assert_eq!(con.state(), ConState::Closed);
            }
        }
    }
}

#[test]
fn a_closed_connection_drops_what_is_sent() {
    let mut con = Scenario::lossless().until(ConState::Closed);
    let id = con.send(1);
    con.tx.keepalive();
    assert_eq!((con.tx.queued_bytes(), con.state()), (0, ConState::Closed));
    assert!(con.tx.is_flushed() && !con.tx.wants_write() && !con.tx.revoke(id));
}

#[test]
fn attempts_that_fail_do_not_count() {
    let mut con = Scenario::lossless().open();
    con.send_each([1]);
    con.run().unwrap();
    assert_eq!(con.fault(&Fault::PeerClosed), Redial);
    for _ in 0..5 {
        con.dial();
        assert_eq!(con.fault(&Fault::Io(ErrorKind::ConnectionRefused)), Backoff);
        assert_eq!(con.dial_to_connect().connect_seq, 2);
        assert_eq!(con.fault(&Fault::PeerClosed), Backoff);
    }
    assert_eq!(con.dial_to_connect().connect_seq, 2);
    con.receive(&Reply::new(SEQ).connect_seq(3).in_seq(1).bytes()).unwrap();
    assert_eq!(con.state(), ConState::Open);
}

#[test]
fn the_tail_of_a_message_half_read_does_not_reach_the_next_socket() {
    for n in 1..Msg::new(1).bytes(true).len() {
        let mut con = Scenario::lossless().open();
        con.send(1);
        con.receive(&Msg::new(1).bytes(true)[..n]).unwrap();
        con.fault(&Fault::PeerClosed);
        con.dial_to_connect();
        con.receive(&Reply::new(SEQ).connect_seq(3).bytes()).unwrap();
        con.receive(&Msg::new(1).bytes(true)).unwrap();
        assert_eq!(con.received(), [1], "{n} bytes");
    }
}

#[test]
fn a_message_half_written_goes_out_whole_on_the_next_socket() {
    let len = 1 + 53 + 5 + 9 + 21;
    for cut in 0..=len {
        let mut con = Scenario::lossless().open();
        con.pipe = Pipe { cut_out: cut, ..Pipe::default() };
        con.send_each([1, 2]);
        let fault = con.run().unwrap_err();
        assert_eq!(fault, Fault::Io(ErrorKind::BrokenPipe));
        assert_eq!(con.fault(&fault), Redial);
        con.dial_to_connect();
        con.receive(&Reply::new(SEQ).connect_seq(3).bytes()).unwrap();
        assert_eq!(seqs(&parse_frames(&con.pipe.take_output()[8..], true)), [1, 2], "cut at {cut}");
    }
}

#[test]
fn a_session_in_standby_wakes_when_something_is_sent() {
    let mut con = Scenario::lossless().until(ConState::Standby);
    assert!(!con.tx.wants_write());
    con.send(1);
    assert_eq!(con.state(), ConState::Preopen);
    assert_eq!(con.dial_to_connect().connect_seq, 2, "once for the session that was open");
    con.receive(&Reply::new(SEQ).connect_seq(3).bytes()).unwrap();
    assert_eq!(seqs(&parse_frames(&con.pipe.take_output()[8..], true)), [1]);
}

#[test]
fn keys_do_not_outlive_their_session() {
    let mut con = Scenario::lossless().cephx().open();
    assert!(con.rx.signer.is_some() && con.tx.is_signed());
    con.fault(&Fault::PeerClosed);
    assert!(con.rx.signer.is_none() && !con.tx.is_signed());
}

#[test]
fn what_belongs_to_a_socket_ends_with_it() {
    let mut con = Scenario::lossless().cephx().connect();
    con.receive(&Reply::new(BADAUTHORIZER).bytes()).unwrap();
    con.receive(&Reply::new(READY).bytes()[..20]).unwrap();
    assert_eq!(con.rx.in_buf.len(), 20);
    con.fault(&Fault::PeerClosed);
    let handshake = &con.rx.handshake;
    assert!(handshake.authorizer.is_none() && handshake.connect.is_none() && !handshake.refused);
    assert_eq!((con.rx.in_buf.len(), con.rx.awaiting()), (0, "banner"));
}

#[test]
fn every_fault_is_told_in_one_line_of_its_own() {
    let texts: std::collections::BTreeSet<_> = every_fault().iter().map(Fault::to_string).collect();
    assert_eq!(texts.len(), every_fault().len());
    assert!(texts.iter().all(|t| !t.is_empty() && !t.contains('\n')), "{texts:?}");
}
