//! Sessions that take over an accepted socket: what is kept, what is sent again, who is told.

use super::acceptor::*;
use super::dialler::*;
use super::*;

fn in_seq(n: u64) -> [u8; 8] {
    n.to_le_bytes()
}

/// The dialler's messages with these numbers.
fn peer_sends(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    numbers.into_iter().flat_map(|n| Msg::new(n).bytes(true)).collect()
}

/// A monitor dials a monitor.
fn from_mon(global_seq: u32, connect_seq: u32) -> Request {
    let first = Request { host_type: 1, protocol_version: 13, ..Request::first() };
    first.seqs(global_seq, connect_seq)
}

fn mon(policy: Policy) -> Listener {
    Listener::new(EntityType::MON, policy)
}

#[test]
fn with_seq_the_dialler_gets_what_it_lacks_and_only_that() {
    for taken in 0..=4 {
        let l = Listener::mds();
        let mut con = l.open();
        con.send_each(1..=4);
        con.run().unwrap();
        con.pipe.feed(&peer_sends([1, 2]));
        con.try_read().unwrap();
        con.take_events();
        con.fault(&Fault::PeerClosed);
        con.send(5);
        let (reply, rest) = l.reconnect(&mut con, &Request::first().seqs(11, 2));
        assert_eq!((reply.tag, reply.connect_seq, reply.in_seq), (SEQ, 3, 2));
        assert_eq!((rest.len(), con.state()), (0, ConState::AcceptingWaitSeq));
        assert_eq!(con.take_events(), []);
        con.receive(&in_seq(taken)).unwrap();
        let features = Features(LINUX.0 & DAEMON.0);
        assert_eq!(con.take_events(), [Event::Accepted(features)]);
        let frames = con.frames();
        assert_eq!(seqs(&frames), (taken + 1..=5).collect::<Vec<_>>());
        assert_eq!(frames.len() as u64, 5 - taken, "no ack of what SEQ has told");
        assert_eq!(con.tx.progress(), (Seq(5), Seq(taken)));
        con.receive(&peer_sends([2, 3])).unwrap();
        assert_eq!(con.received(), [3], "what it had sent twice is skipped");
    }
}

#[test]
fn with_ready_everything_goes_again_under_its_number() {
    let l = Listener::mds();
    let mut con = l.open();
    con.send_each(1..=3);
    con.run().unwrap();
    con.receive(&[peer_sends([1, 2]), [&[8][..], &in_seq(1)].concat()].concat()).unwrap();
    con.take_events();
    con.fault(&Fault::PeerClosed);
    let old = Request::first().seqs(11, 2).without(Features::RECONNECT_SEQ);
    let (reply, rest) = l.reconnect(&mut con, &old);
    assert_eq!((reply.tag, reply.connect_seq, con.state()), (READY, 3, ConState::Open));
    assert!(matches!(con.take_events()[..], [Event::Accepted(_)]));
    let frames = parse_frames(&rest, true);
    assert_eq!(seqs(&frames), [2, 3]);
    // The ack of the last socket may be lost, and no SEQ has taken its place.
    assert_eq!(frames[0], Frame::Ack(2));
    con.receive(&peer_sends([1, 2, 3])).unwrap();
    assert_eq!(con.received(), [3]);
}

#[test]
fn nothing_goes_out_before_the_diallers_number_is_there() {
    let l = Listener::mds();
    let (mut con, reply) = l.accept(&Request::first());
    assert_eq!(reply.tag, SEQ);
    con.send_each([1, 2]);
    for byte in 0..7 {
        con.receive(&in_seq(0)[byte..=byte]).unwrap();
        assert_eq!((con.state(), con.pipe.output.len()), (ConState::AcceptingWaitSeq, 0));
        assert!(!con.tx.wants_write() && con.events.is_empty());
        assert_eq!(con.rx.awaiting(), "sequence number behind SEQ");
    }
    assert_eq!(con.tx.queued_bytes(), 2 * 14);
    con.receive(&in_seq(0)[7..]).unwrap();
    assert_eq!(seqs(&con.frames()), [1, 2]);
}

#[test]
fn after_a_revoke_the_numbers_have_no_gap() {
    for revoked in 0..4 {
        let l = Listener::mds();
        let mut con = l.open();
        let ids: Vec<_> = (1..=4).map(|n| con.send(n)).collect();
        con.run().unwrap();
        con.fault(&Fault::PeerClosed);
        assert!(con.tx.revoke(ids[revoked]));
        l.reconnect(&mut con, &Request::first().seqs(11, 2));
        con.receive(&in_seq(0)).unwrap();
        let frames = con.frames();
        assert_eq!(seqs(&frames), [1, 2, 3]);
        let want: Vec<u8> = (1..=4).filter(|n| usize::from(*n) != revoked + 1).collect();
        assert_eq!(fronts(&frames), want);
        con.send(9);
        con.run().unwrap();
        assert_eq!(seqs(&con.frames()), [4]);
    }
}

#[test]
fn a_number_that_was_never_sent_is_taken_for_what_the_dialler_expects_next() {
    let l = Listener::mds();
    let (mut con, _) = l.accept(&Request::first());
    con.send(1);
    con.receive(&in_seq(99)).unwrap();
    assert_eq!((seqs(&con.frames()), con.tx.progress()), (vec![100], (Seq(100), Seq(0))));
}

#[test]
fn a_dialler_that_began_anew_is_found_out() {
    for (listener, first, again) in [
        (Listener::mds(), Request::first(), Request::first().seqs(11, 0)),
        (mon(Policy::LOSSLESS_PEER_REUSE), from_mon(10, 0), from_mon(11, 0)),
    ] {
        let mut con = listener.open_for(&first);
        con.send_each([1, 2]);
        con.run().unwrap();
        con.receive(&peer_sends([1, 2])).unwrap();
        con.take_events();
        con.send(3);
        let (reply, rest) = listener.reconnect(&mut con, &again);
        // READY: neither number is worth anything.
        assert_eq!((reply.tag, reply.connect_seq, rest.len()), (READY, 1, 0));
        let features = Features(LINUX.0 & DAEMON.0);
        assert_eq!(con.take_events(), [Event::RemoteReset, Event::Accepted(features)]);
        assert_eq!((con.tx.queued_bytes(), con.tx.progress()), (0, (Seq(0), Seq(0))));
        con.send(4);
        con.receive(&peer_sends([1])).unwrap();
        let frames = con.frames();
        assert_eq!((seqs(&frames), fronts(&frames)), (vec![1], vec![4]));
        assert_eq!(con.received(), [1]);
    }
}

#[test]
fn without_a_check_the_queue_of_a_dialler_that_began_anew_is_sent_from_1() {
    let l = mon(Policy::LOSSLESS_PEER);
    let mut con = l.open_for(&from_mon(10, 0));
    con.send_each(1..=3);
    con.run().unwrap();
    con.receive(&[peer_sends([1, 2]), [&[8][..], &in_seq(1)].concat()].concat()).unwrap();
    con.pipe.take_output();
    con.take_events();
    con.send(4);
    let (reply, rest) = l.reconnect(&mut con, &from_mon(11, 0));
    assert_eq!(reply.tag, READY);
    assert!(matches!(con.take_events()[..], [Event::Accepted(_)]));
    let frames = parse_frames(&rest, true);
    assert_eq!((seqs(&frames), fronts(&frames)), (vec![1, 2, 3], vec![2, 3, 4]));
    assert_eq!(frames.len(), 3, "no ack");
    con.receive(&peer_sends([1])).unwrap();
    assert_eq!(con.received(), [1]);
}

/// READY is the last word of a handshake, and may get lost.
#[test]
fn a_session_opened_with_ready_is_confirmed_by_the_first_thing_that_comes() {
    let old = Request::first().without(Features::RECONNECT_SEQ);
    for first in [
        peer_sends([1]),
        [&[8][..], &in_seq(0)].concat(),
        vec![9],
        [&[14][..], &in_seq(0)].concat(),
        [&[15][..], &in_seq(0)].concat(),
    ] {
        let mut owner = Owner::new(Listener::mds());
        let (con, reply) = owner.listener.accept(&old);
        assert_eq!((reply.tag, con.state()), (READY, ConState::Open));
        owner.con = Some(con);
        let dial = |owner: &mut Owner, global_seq| {
            let mut socket = owner.listener.introduced();
            let request = old.clone().seqs(global_seq, 0);
            let offer = socket.offered(&owner.listener, &request);
            owner.act(socket, offer).0
        };
        owner.con.as_mut().unwrap().send(1);
        assert_eq!(dial(&mut owner, 11), Decision::Replace, "it has never heard of a session");
        let con = owner.con.as_mut().unwrap();
        con.run().unwrap();
        let out = con.pipe.take_output();
        assert_eq!(seqs(&parse_frames(Reply::split(&out).1, true)), [1]);
        con.receive(&first).unwrap();
        assert!(!con.take_events().contains(&Event::RemoteReset));
        assert_eq!(dial(&mut owner, 12), Decision::ReplaceReset, "{first:?}");
        // And again nobody knows whether the answer arrives.
        assert_eq!(dial(&mut owner, 13), Decision::Replace);
    }
}

/// A peer dialled, and did not get the answer; now this side dials it, as a session that it does
/// not know.
#[test]
fn a_reset_of_a_session_that_the_peer_has_never_heard_of_drops_nothing() {
    let mut con = Scenario::lossless().until(ConState::Preopen);
    let l = mon(Policy::LOSSLESS_PEER_REUSE);
    let (reply, _) = l.reconnect(&mut con, &from_mon(11, 1));
    assert_eq!((reply.tag, con.state()), (SEQ, ConState::AcceptingWaitSeq));
    con.send_each([1, 2]);
    con.fault(&Fault::PeerClosed);
    assert_eq!(con.dial_to_connect().connect_seq, 2);
    con.receive(&Reply::new(RESETSESSION).bytes()).unwrap();
    assert_eq!((con.request().connect_seq, con.take_events()), (0, vec![]));
    con.receive(&Reply::new(SEQ).bytes()).unwrap();
    assert_eq!(seqs(&parse_frames(&con.pipe.take_output()[8..], true)), [1, 2]);
}

#[test]
fn no_keepalive_ever_goes_to_a_client() {
    let l = Listener::mds();
    let (mut con, _) = l.accept(&Request::first());
    con.tx.keepalive();
    con.receive(&in_seq(0)).unwrap();
    con.tx.keepalive();
    con.run().unwrap();
    con.fault(&Fault::PeerClosed);
    con.tx.keepalive();
    l.reconnect(&mut con, &Request::first().seqs(11, 2));
    con.receive(&in_seq(0)).unwrap();
    con.tx.keepalive();
    con.run().unwrap();
    assert!(con.pipe.take_output().is_empty() && !con.tx.wants_write());
    // Nor what was asked for before it was known to be one.
    let mut other = Scenario::lossless().until(ConState::Preopen);
    other.tx.keepalive();
    l.reconnect(&mut other, &Request::first().seqs(11, 1));
    other.receive(&in_seq(0)).unwrap();
    assert!(other.pipe.take_output().is_empty());
    // Its own are answered with their stamp; the old form has no answer.
    con.receive(&[14, 1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
    assert_eq!(con.pipe.take_output(), [15, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_daemon_may_be_asked_for_a_sign_of_life() {
    let l = mon(Policy::LOSSLESS_PEER);
    let mut con = l.open_for(&from_mon(10, 0));
    con.tx.keepalive();
    con.run().unwrap();
    assert_eq!(con.frames(), [Frame::Keepalive2(5, 6)]);
    con.fault(&Fault::PeerClosed);
    // What was asked for between two sockets is asked on the next.
    con.tx.keepalive();
    l.reconnect(&mut con, &from_mon(11, 3));
    con.receive(&in_seq(0)).unwrap();
    assert_eq!(con.frames(), [Frame::Keepalive2(5, 6)]);
    let old = from_mon(12, 9).without(Features::MSGR_KEEPALIVE2);
    l.reconnect(&mut con, &old);
    con.receive(&in_seq(0)).unwrap();
    con.tx.keepalive();
    con.run().unwrap();
    assert_eq!(con.frames(), [Frame::Keepalive]);
}

#[test]
fn what_a_fault_does_to_an_accepted_session() {
    use ConState::{AcceptingWaitSeq, Closed, Open, Preopen, Standby};
    use Consequence as C;
    let lossy = Policy::STATELESS_REGISTERED_SERVER;
    // Policy, state, whether something waits; what follows, and connect_seq then.
    for (policy, state, waits, consequence, after, connect_seq) in [
        (Policy::STATEFUL_SERVER, Open, false, C::Standby, Standby, 1),
        (Policy::STATEFUL_SERVER, Open, true, C::Standby, Standby, 1),
        (Policy::STATEFUL_SERVER, AcceptingWaitSeq, false, C::Standby, Standby, 1),
        (Policy::STATEFUL_SERVER, AcceptingWaitSeq, true, C::Standby, Standby, 1),
        (Policy::LOSSLESS_PEER, Open, false, C::Standby, Standby, 2),
        (Policy::LOSSLESS_PEER, Open, true, C::Redial, Preopen, 2),
        (Policy::LOSSLESS_PEER, AcceptingWaitSeq, false, C::Standby, Standby, 1),
        (Policy::LOSSLESS_PEER, AcceptingWaitSeq, true, C::Backoff, Preopen, 1),
        (Policy::STATELESS_SERVER, Open, true, C::Close, Closed, 0),
        (lossy, Open, false, C::Close, Closed, 0),
        (lossy, AcceptingWaitSeq, true, C::Close, Closed, 0),
    ] {
        let row = format!("{policy:?} {state} {waits}");
        let l = mon(policy);
        let (mut con, _) = l.accept(&from_mon(10, 0));
        if state == Open {
            con.receive(&in_seq(0)).unwrap();
        }
        if waits {
            con.send(1);
        }
        assert_eq!(con.fault(&Fault::PeerClosed), consequence, "{row}");
        assert_eq!((con.state(), con.tx.session.connect_seq.0), (after, connect_seq), "{row}");
        let kept = waits && consequence != C::Close;
        assert_eq!(con.tx.queued_bytes(), if kept { 14 } else { 0 }, "{row}");
        assert!(con.rx.signer.is_none() && con.tx.out_kvec.is_empty());
    }
    for policy in [Policy::STATEFUL_SERVER, Policy::LOSSLESS_PEER, Policy::LOSSLESS_PEER_REUSE] {
        for fault in [Fault::Replaced, Fault::CloseTag] {
            let mut con = mon(policy).open_for(&from_mon(10, 0));
            assert_eq!((con.fault(&fault), con.state()), (C::Close, Closed));
        }
    }
}

#[test]
fn a_server_in_standby_is_not_woken() {
    let l = Listener::mds();
    let mut con = l.open();
    con.fault(&Fault::PeerClosed);
    con.send(1);
    con.tx.keepalive();
    assert_eq!((con.state(), con.tx.wants_write()), (ConState::Standby, false));
    l.reconnect(&mut con, &Request::first().seqs(11, 2));
    con.receive(&in_seq(0)).unwrap();
    assert_eq!(seqs(&con.frames()), [1]);
    // A peer that may dial does.
    let mut con = mon(Policy::LOSSLESS_PEER).open_for(&from_mon(10, 0));
    con.fault(&Fault::PeerClosed);
    con.send(1);
    assert_eq!(con.state(), ConState::Preopen);
}

#[test]
fn who_listens_waits_to_be_dialled_and_a_client_cannot() {
    let mut con = Scenario::lossless().connect();
    con.world.local.set_addrs(&["v1:127.0.0.1:6800".parse().unwrap()]);
    let fault = con.receive(&Reply::new(WAIT).bytes()).unwrap_err();
    assert_eq!((&fault, con.fault(&fault)), (&Fault::Wait, Consequence::Wait));
    assert_eq!(con.state(), ConState::Preopen);

    let mut con = Scenario::lossless().connect();
    let fault = con.receive(&Reply::new(WAIT).bytes()).unwrap_err();
    assert_eq!((&fault, con.fault(&fault)), (&Fault::WaitAsClient, Consequence::Backoff));
}

/// In the middle of anything, in each direction: nothing of the old socket reaches the new one.
#[test]
fn a_socket_is_taken_over_at_any_byte_of_the_last_one() {
    let message = Msg::new(2).bytes(true);
    for n in 0..message.len() {
        let l = Listener::mds();
        let mut con = l.open();
        con.pipe = Pipe { budget: n, ..Pipe::default() };
        con.send_each([1, 2]);
        con.receive(&[peer_sends([1]), message[..n].to_vec()].concat()).unwrap();
        assert_eq!(con.received(), [1]);
        let (reply, _) = l.reconnect(&mut con, &Request::first().seqs(11, 2));
        assert_eq!((reply.tag, reply.in_seq), (SEQ, 1), "{n} bytes");
        con.receive(&[&in_seq(0)[..], &message].concat()).unwrap();
        assert_eq!((con.received(), seqs(&con.frames())), (vec![2], vec![1, 2]), "{n} bytes");
    }
}

#[test]
fn after_a_fault_of_the_reader_the_next_socket_is_read() {
    let l = Listener::mds();
    let mut con = l.open();
    let fault = con.receive(&[99]).unwrap_err();
    assert_eq!(con.receive(&[9]).unwrap_err(), fault);
    l.reconnect(&mut con, &Request::first().seqs(11, 2));
    con.receive(&in_seq(0)).unwrap();
    assert_eq!(con.state(), ConState::Open);
}

#[test]
fn a_session_that_dials_is_taken_over_wherever_it_stands() {
    use ConState::{Open, Preopen, Standby, V1Banner, V1ConnectMsg};
    for state in [Preopen, V1Banner, V1ConnectMsg, Open, Standby] {
        let mut con = Scenario::lossless().until(state);
        if state == V1ConnectMsg {
            con.receive(&Reply::new(SEQ).bytes()[..30]).unwrap();
        }
        if state != Standby {
            con.send(1);
        }
        let l = mon(Policy::LOSSLESS_PEER);
        l.reconnect(&mut con, &from_mon(11, 2));
        con.receive(&in_seq(0)).unwrap();
        assert_eq!((con.state(), con.tx.session.connect_seq), (Open, ConnectSeq(3)));
        assert_eq!(seqs(&con.frames()).len(), usize::from(state != Standby), "{state}");
    }
}

#[test]
fn gaps_are_accepted_of_who_dialled_and_refused_of_who_was() {
    let mut con = Listener::mds().open();
    con.receive(&peer_sends([1, 5, 3, 5, 6])).unwrap();
    assert_eq!(con.received(), [1, 5, 6]);
    assert_eq!(con.frames(), [Frame::Ack(6)]);

    let mut con = Scenario::lossless().open();
    let gap = Fault::OutOfOrder { want: Seq(2), got: Seq(5) };
    assert_eq!(con.receive(&peer_sends([1, 5])).unwrap_err(), gap);
    con.take_events();

    // Once the peer has dialled that very session it may leave gaps, until it is dialled again.
    let l = mon(Policy::LOSSLESS_PEER);
    let (reply, _) = l.reconnect(&mut con, &from_mon(11, 2));
    assert_eq!(reply.in_seq, 1);
    con.receive(&[&in_seq(0)[..], &peer_sends([3, 4])].concat()).unwrap();
    assert_eq!(con.received(), [3, 4]);
    con.send(1);
    con.fault(&Fault::PeerClosed);
    let request = con.dial_to_connect();
    con.receive(&Reply::new(SEQ).connect_seq(request.connect_seq + 1).bytes()).unwrap();
    let gap = Fault::OutOfOrder { want: Seq(5), got: Seq(6) };
    assert_eq!(con.receive(&peer_sends([6])).unwrap_err(), gap);
}

#[test]
fn a_lossy_session_keeps_nothing_and_owes_nothing() {
    let l = Listener::new(EntityType::MDS, Policy::STATELESS_SERVER);
    let mut con = l.open();
    con.send_each([1, 2]);
    con.receive(&peer_sends([1, 2])).unwrap();
    assert_eq!(seqs(&con.frames()), [1, 2]);
    assert!(con.tx.is_acked() && !con.tx.wants_write());
    con.receive(&peer_sends([3])).unwrap();
    assert!(con.pipe.output.is_empty(), "no ack");
}
