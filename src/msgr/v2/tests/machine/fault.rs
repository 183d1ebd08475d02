//! What a fault does in each state, and cuts at every byte of the whole exchange.

use super::acceptor::Line;
use super::far::*;
use super::sheets::*;
use super::*;
use crate::types::Tid;
use Consequence::{Backoff, Close, Redial, Standby};

const HANDSHAKE: [ConState; 6] = [
    ConState::V2Banner,
    ConState::V2Hello,
    ConState::V2Auth,
    ConState::V2AuthSignature,
    ConState::V2SessionConnect,
    ConState::V2SessionReconnect,
];

fn policies() -> [Policy; 3] {
    [Policy::LOSSLESS_CLIENT, Policy::LOSSLESS_PEER, Policy::LOSSLESS_PEER_REUSE]
}

#[test]
fn a_handshake_that_breaks_is_tried_again_after_the_backoff() {
    for policy in policies() {
        for state in HANDSHAKE {
            for fault in [
                Fault::PeerClosed,
                Fault::TimedOut("HELLO"),
                Fault::BadSeal,
                Fault::BadAuthSignature,
                Fault::ReplyBeforeRequest,
                Fault::UnexpectedTag(crate::msgr::v2::Tag::Wait),
            ] {
                let mut con = Scenario::lossless().policy(policy).until(state);
                con.pipe.feed(b"half a frame");
                let cookies =
                    |con: &Con| (con.tx.session.client_cookie, con.tx.session.server_cookie);
                let (before, queue) = (cookies(&con), con.tx.queued_messages());
                con.send(9);
                assert_eq!(con.fault(&fault), Backoff, "{fault} in {state}");
                assert_eq!((con.state(), cookies(&con)), (ConState::Preopen, before));
                assert_eq!(con.queue().len(), queue + 1);
                assert!(con.tx.out_kvec.is_empty() && !con.rx.has_read_ahead());
                assert_eq!((con.rx.awaiting(), con.tx.con_mode()), ("banner", None));
            }
        }
    }
}

#[test]
fn an_open_session_that_breaks() {
    for policy in policies() {
        for (waits, unacked, keepalive, consequence) in [
            (false, false, false, Standby),
            (true, false, false, Redial),
            (false, true, false, Redial),
            (false, false, true, Redial),
        ] {
            let mut con = Scenario::lossless().policy(policy).open();
            if unacked {
                con.send_each([1, 2]);
                con.run().unwrap();
            }
            if waits {
                con.send(3);
            }
            if keepalive {
                con.tx.keepalive();
            }
            assert_eq!(con.fault(&Fault::PeerClosed), consequence, "{policy:?}");
            let queue = if unacked { vec![1, 2] } else { vec![0; waits.into()] };
            assert_eq!((con.queue(), con.tx.con_mode()), (queue, None));
            assert_eq!(con.tx.session.connect_seq.0, 0, "attempts count, faults do not");
        }
    }
}

#[test]
fn a_session_that_was_accepted_breaks() {
    use super::dialler::Listener;
    let l = |policy| Listener::new(EntityType::MDS, policy);
    for (policy, waits, consequence, after) in [
        (Policy::STATEFUL_SERVER, false, Standby, ConState::Standby),
        (Policy::STATEFUL_SERVER, true, Standby, ConState::Standby),
        (Policy::LOSSLESS_PEER, false, Standby, ConState::Standby),
        (Policy::LOSSLESS_PEER, true, Redial, ConState::Preopen),
        (Policy::LOSSLESS_PEER_REUSE, true, Redial, ConState::Preopen),
        (Policy::STATELESS_SERVER, true, Close, ConState::Closed),
        (Policy::STATELESS_REGISTERED_SERVER, false, Close, ConState::Closed),
    ] {
        let (mut con, _) = l(policy).accept_from(2, &ClientIdent::lossless());
        if waits {
            con.send(1);
        }
        assert_eq!(
            (con.fault(&Fault::PeerClosed), con.state()),
            (consequence, after),
            "{policy:?}"
        );
        let kept = waits && consequence != Close;
        assert_eq!(con.tx.queued_bytes(), if kept { 14 } else { 0 }, "{policy:?}");
        if after == ConState::Standby {
            con.send(2);
            con.tx.keepalive();
            let wakes = !policy.server;
            assert_eq!(con.state() == ConState::Preopen, wakes, "{policy:?}");
        }
        if after == ConState::Preopen {
            // Who was dialled comes back as who dials.
            let reconnect = con.dial_to_reconnect();
            assert_eq!((reconnect.client_cookie, reconnect.connect_seq), (CLIENT_COOKIE, 1));
        }
    }
}

#[test]
fn a_lossy_connection_ends_wherever_it_is() {
    for state in HANDSHAKE.into_iter().take(5).chain([ConState::Open]) {
        let mut con = Scenario::lossy().until(state);
        con.send(1);
        assert_eq!(con.fault(&Fault::PeerClosed), Close, "{state}");
        assert_eq!((con.state(), con.tx.queued_bytes()), (ConState::Closed, 0));
        assert!(con.tx.is_flushed() && !con.tx.wants_write());
    }
    // So does one that the acceptor made lossy.
    let mut con = Scenario::lossless().ident(|i| i.flags = 1).open();
    assert_eq!(con.fault(&Fault::PeerClosed), Close);
}

#[test]
fn a_closed_connection_stays_closed() {
    for state in HANDSHAKE.into_iter().chain([ConState::Open, ConState::Standby]) {
        let mut con = Scenario::lossless().until(state);
        con.send(1);
        con.tx.close();
        assert_eq!(con.fault(&Fault::PeerClosed), Close, "{state}");
        con.send(2);
        assert_eq!((con.state(), con.tx.queued_bytes()), (ConState::Closed, 0));
    }
}

/// Messages of both sides.
const MESSAGES: u64 = 3;

/// A session with messages both ways.
fn line(scenario: &Scenario) -> Line {
    let mut line = Line::new(scenario.clone());
    for n in 1..=MESSAGES {
        line.con.tx.send(msg(n as u8).with_tid(Tid(n)));
    }
    line
}

/// The acceptor says what it has to say once there is a session.
fn talk(line: &mut Line) -> bool {
    let mut whole = line.settle(|| usize::MAX).unwrap();
    while whole && line.acceptor.is_open() && line.acceptor.out_seq < MESSAGES {
        line.acceptor.send(20);
        whole = line.settle(|| usize::MAX).unwrap();
    }
    whole
}

/// Bytes that pass of the whole exchange, to the acceptor and to the machine.
fn lengths(scenario: &Scenario) -> [usize; 2] {
    let mut line = line(scenario);
    let far = usize::MAX / 2;
    line.left = [far; 2];
    assert!(talk(&mut line));
    line.left.map(|left| far - left)
}

fn all() -> Vec<u64> {
    (1..=MESSAGES).collect()
}

/// Nothing is lost and nothing doubled: at every byte of either direction, with every form of frames
/// and every policy.
#[test]
fn a_lossless_session_that_is_cut_at_any_byte_goes_on() {
    for form in FORMS {
        for policy in policies() {
            let scenario = Scenario::lossless().form(form).policy(policy);
            let [there, back] = lengths(&scenario);
            let cuts = (0..there).map(|n| [n, usize::MAX]);
            for left in cuts.chain((0..back).map(|n| [usize::MAX, n])) {
                let row = format!("{left:?} of {form:?} {policy:?}");
                let mut line = line(&scenario);
                line.left = left;
                assert!(!talk(&mut line), "{row}");
                let before = line.con.state();
                assert_eq!(line.end(), Fault::PeerClosed, "{row}");
                assert_eq!(line.con.state(), before);
                let known = line.con.tx.session.server_cookie != 0;
                line.con.fault(&Fault::PeerClosed);
                line.con.tx.keepalive();
                line.dial();
                assert!(talk(&mut line), "{row}");
                assert_eq!(line.con.state(), ConState::Open, "{row}");
                assert_eq!((line.got(), &line.acceptor.received), (all(), &all()), "{row}");
                assert_eq!(line.con.tx.progress().0, Seq(MESSAGES), "{row}");
                assert_eq!(line.acceptor.tags.contains(&SESSION_RECONNECT), known, "{row}");
                let resets = line.events.iter().filter(|e| **e == Event::RemoteReset).count();
                assert_eq!(resets, 0, "{row}");
                line.acceptor.ack();
                assert!(line.settle(|| usize::MAX).unwrap() && line.acceptor.is_acked(), "{row}");
                assert!(line.con.tx.session.is_idle() && line.con.tx.queued_bytes() == 0, "{row}");
            }
        }
    }
}

#[test]
fn a_lossy_session_that_is_cut_at_any_byte_ends() {
    for form in FORMS {
        let scenario = Scenario::lossy().form(form);
        let [there, back] = lengths(&scenario);
        let cuts = (0..there).map(|n| [n, usize::MAX]);
        for left in cuts.chain((0..back).map(|n| [usize::MAX, n])) {
            let row = format!("{left:?} of {form:?}");
            let mut line = line(&scenario);
            line.left = left;
            assert!(!talk(&mut line), "{row}");
            assert_eq!(line.end(), Fault::PeerClosed, "{row}");
            let heard = line.acceptor.received.clone();
            assert!(all().starts_with(&heard) && all().starts_with(&line.got()), "{row}");
            assert_eq!(line.con.fault(&Fault::PeerClosed), Close, "{row}");
            assert_eq!((line.con.state(), line.con.tx.queued_bytes()), (ConState::Closed, 0));
        }
    }
}

/// A write that breaks amid a frame.
#[test]
fn what_was_half_written_goes_out_whole_on_the_next_socket() {
    for form in FORMS {
        let mut whole = Scenario::lossless().form(form).open();
        whole.send_each([1, 2]);
        whole.run().unwrap();
        for cut in 0..whole.pipe.output.len() {
            let mut con = Scenario::lossless().form(form).open();
            con.pipe = Pipe { cut_out: cut, ..Pipe::default() };
            con.send_each([1, 2]);
            let fault = con.run().unwrap_err();
            assert_eq!(fault, Fault::Io(std::io::ErrorKind::BrokenPipe));
            assert_eq!(con.fault(&fault), Redial);
            con.dial_to_reconnect();
            con.reconnected(0).unwrap();
            let said = con.said();
            assert_eq!((seqs(&said), fronts(&said)), (vec![1, 2], vec![1, 2]), "cut at {cut}");
        }
    }
}

#[test]
fn half_a_frame_does_not_reach_the_next_socket() {
    for form in FORMS {
        let len = Scenario::lossless().form(form).open().far.msgs([1]).len();
        for n in 1..len {
            let mut con = Scenario::lossless().form(form).open();
            con.send(1);
            let bytes = con.far.msgs([1]);
            con.receive(&bytes[..n]).unwrap();
            con.fault(&Fault::PeerClosed);
            con.dial_to_reconnect();
            con.reconnected(0).unwrap();
            con.receive_msgs([1]).unwrap();
            assert_eq!(con.received(), [1], "{n} bytes of {form:?}");
        }
    }
}
