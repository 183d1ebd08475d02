//! Sessions that take over an accepted socket: what is kept, what is sent again, who is told.

use super::dialler::*;
use super::far::*;
use super::sheets::*;
use super::*;
use crate::msgr::{Decision, Retry};

fn peers(policy: Policy) -> Listener {
    Listener::new(EntityType::MDS, policy)
}

#[test]
fn what_opens_a_session_for_who_dialled() {
    for (policy, flags) in [
        (Policy::STATEFUL_SERVER, 0),
        (Policy::LOSSLESS_PEER, 0),
        (Policy::STATELESS_SERVER, 1),
        (Policy::STATELESS_REGISTERED_SERVER, 1),
    ] {
        // The policy decides, whatever the dialler thinks.
        for ident in [ClientIdent::lossless(), ClientIdent::lossy()] {
            let l = peers(policy);
            let (mut con, reply) = l.accept(&ident);
            assert_eq!((reply.flags, reply.cookie == 0), (flags, flags == 1));
            assert_eq!((reply.gid, reply.global_seq, reply.bytes().len()), (3, 1, 123));
            assert_eq!(con.take_events(), [Event::Accepted(BOTH)]);
            assert_eq!((con.state(), con.tx.session.lossy), (ConState::Open, flags == 1));
            con.receive_msgs([1]).unwrap();
            let Some(Event::Message(m)) = con.take_events().pop() else { panic!("no message") };
            assert_eq!(m.header.src.to_string(), "client.4242");
        }
    }
}

#[test]
fn what_comes_with_the_ident_is_read_after_it() {
    let l = Listener::mds();
    let mut socket = l.signed();
    let mut bytes = socket.far.frame(CLIENT_IDENT, &ClientIdent::lossless().bytes());
    bytes.extend(socket.far.msgs([1, 2]));
    let offer = socket.receive(&l, &bytes).unwrap().expect("an offer");
    let mut con = l.con(*offer.peer());
    l.take_over(&mut con, socket, offer, false);
    assert!(con.rx.has_read_ahead());
    con.run().unwrap();
    assert_eq!(con.received(), [1, 2]);
}

#[test]
fn a_session_that_goes_on_sends_what_the_dialler_lacks_and_only_that() {
    for taken in 0..=4 {
        let l = Listener::mds();
        let mut con = l.open();
        let server_cookie = con.tx.session.server_cookie;
        con.send_each(1..=4);
        con.run().unwrap();
        con.said();
        con.pipe.feed(&con.far.msgs([1, 2]));
        con.try_read().unwrap();
        con.take_events();
        con.fault(&Fault::PeerClosed);
        con.send(5);
        let again = Reconnect { msg_seq: taken, ..Reconnect::again(server_cookie, 11, 1) };
        let (told, said) = l.reconnect(&mut con, &again);
        assert_eq!((told, con.take_events()), (2, vec![Event::Accepted(BOTH)]));
        assert_eq!(seqs(&said), (taken + 1..=5).collect::<Vec<_>>());
        assert_eq!(said.len() as u64, 5 - taken, "no ack of what has been told");
        assert_eq!(con.tx.progress(), (Seq(5), Seq(taken)));
        assert_eq!(con.tx.session.server_cookie, server_cookie);
        con.receive_msgs([2, 3]).unwrap();
        assert_eq!(con.received(), [3], "what it had sent twice is skipped");
    }
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
        let (_, said) = l.reconnect(&mut con, &Reconnect::again(COOKIE, 11, 1));
        let want: Vec<u8> = (1..=4).filter(|n| usize::from(*n) != revoked + 1).collect();
        assert_eq!((seqs(&said), fronts(&said)), (vec![1, 2, 3], want));
        con.send(9);
        con.run().unwrap();
        assert_eq!(seqs(&con.said()), [4]);
    }
}

#[test]
fn a_dialler_that_began_anew_is_found_out() {
    for policy in [Policy::STATEFUL_SERVER, Policy::LOSSLESS_PEER_REUSE] {
        let mut owner = Owner::new(peers(policy));
        let mut con = owner.listener.open();
        con.send_each([1, 2]);
        con.run().unwrap();
        con.receive_msgs([1, 2]).unwrap();
        con.take_events();
        con.send(3);
        let old = con.tx.session.server_cookie;
        owner.con = Some(con);
        let mut socket = owner.listener.signed();
        let ident = ClientIdent { cookie: 1, global_seq: 11, ..ClientIdent::lossless() };
        let offer = socket.ident(&owner.listener, &ident);
        assert_eq!(owner.act(socket, offer).0, Decision::ReplaceReset);
        let con = owner.con.as_mut().unwrap();
        con.run().unwrap();
        let reply = ServerIdent::read(&con.wrote(SERVER_IDENT));
        assert_ne!(reply.cookie, old);
        assert_eq!(con.take_events(), [Event::RemoteReset, Event::Accepted(BOTH)]);
        assert_eq!((con.tx.queued_bytes(), con.tx.progress()), (0, (Seq(0), Seq(0))));
        con.send(4);
        con.receive_msgs([1]).unwrap();
        let said = con.said();
        assert_eq!((seqs(&said), fronts(&said)), (vec![1], vec![4]));
        assert_eq!(con.received(), [1]);
    }
}

#[test]
fn without_a_check_the_queue_of_a_dialler_that_began_anew_is_sent_from_1() {
    let mut owner = Owner::new(peers(Policy::LOSSLESS_PEER));
    let mut con = owner.listener.open();
    con.send_each(1..=3);
    con.run().unwrap();
    let bytes = [con.far.msgs([1, 2]), con.far.ack(1)].concat();
    con.receive(&bytes).unwrap();
    con.take_events();
    con.send(4);
    owner.con = Some(con);
    let mut socket = owner.listener.signed();
    let ident = ClientIdent { cookie: 1, global_seq: 11, ..ClientIdent::lossless() };
    let offer = socket.ident(&owner.listener, &ident);
    assert_eq!(owner.act(socket, offer).0, Decision::Replace);
    let con = owner.con.as_mut().unwrap();
    con.run().unwrap();
    assert_eq!(con.take_events(), [Event::Accepted(BOTH)]);
    let out = con.pipe.take_output();
    let (_, rest) = con.far.take(&out).unwrap();
    let said = con.far.heard(rest);
    assert_eq!((seqs(&said), fronts(&said), said.len()), (vec![1, 2, 3], vec![2, 3, 4], 3));
    con.receive_msgs([1]).unwrap();
    assert_eq!(con.received(), [1]);
}

/// SERVER_IDENT got lost, and the dialler asks once more: nothing is lost, and its end has another
/// name each time.
#[test]
fn an_answer_that_got_lost_is_given_again_under_a_new_cookie() {
    let mut owner = Owner::new(Listener::mds());
    let mut cookies = Vec::new();
    for n in 0..3 {
        let mut socket = owner.listener.signed();
        let ident = ClientIdent { global_seq: 10 + n, ..ClientIdent::lossless() };
        let offer = socket.ident(&owner.listener, &ident);
        let decision = owner.act(socket, offer).0;
        assert_eq!(decision, if n == 0 { Decision::Open } else { Decision::Replace });
        let con = owner.con.as_mut().unwrap();
        con.send(n as u8);
        con.run().unwrap();
        let out = con.pipe.take_output();
        let (reply, rest) = con.far.take(&out).unwrap();
        cookies.push(ServerIdent::read(reply.payload()).cookie);
        let said = con.far.heard(rest);
        assert_eq!(seqs(&said), (1..=n + 1).collect::<Vec<_>>());
        assert_eq!(con.tx.session.client_cookie, CLIENT_COOKIE);
        assert_eq!(con.take_events(), [Event::Accepted(BOTH)]);
    }
    cookies.dedup();
    assert!(cookies.len() == 3 && !cookies.contains(&0), "{cookies:?}");
}

/// In the middle of anything, in each direction: nothing of the old socket reaches the new one.
#[test]
fn a_socket_is_taken_over_at_any_byte_of_the_last_one() {
    let l = Listener::mds();
    let len = l.open().far.msgs([2]).len();
    for n in 0..len {
        let mut con = l.open();
        con.pipe = Pipe { budget: n, ..Pipe::default() };
        con.send_each([1, 2]);
        let bytes = [con.far.msgs([1]), con.far.msgs([2])[..n].to_vec()].concat();
        con.receive(&bytes).unwrap();
        assert_eq!(con.received(), [1]);
        let (told, said) = l.reconnect(&mut con, &Reconnect::again(COOKIE, 11, 1));
        assert_eq!((told, seqs(&said)), (1, vec![1, 2]), "{n} bytes");
        con.receive_msgs([2]).unwrap();
        assert_eq!(con.received(), [2], "{n} bytes");
    }
}

#[test]
fn after_a_fault_of_the_reader_the_next_socket_is_read() {
    let l = Listener::mds();
    let mut con = l.open();
    let fault = con.receive(&[99; 32]).unwrap_err();
    assert_eq!(con.receive(&[9]).unwrap_err(), fault);
    l.reconnect(&mut con, &Reconnect::again(COOKIE, 11, 1));
    con.receive_msgs([1]).unwrap();
    assert_eq!((con.state(), con.received()), (ConState::Open, vec![1]));
}

#[test]
fn a_session_that_dials_is_taken_over_wherever_it_stands() {
    use ConState::*;
    for state in [
        Preopen,
        V2Banner,
        V2Hello,
        V2Auth,
        V2AuthSignature,
        V2SessionConnect,
        V2SessionReconnect,
        Open,
        Standby,
    ] {
        for half in [false, true] {
            let mut con = Scenario::lossless().policy(Policy::LOSSLESS_PEER).until(state);
            if half {
                con.pipe.budget = 0;
                con.pipe.feed(&[17; 3]);
            }
            con.take_events();
            con.tx.session.client_cookie = CLIENT_COOKIE;
            con.send(7);
            let l = peers(Policy::LOSSLESS_PEER);
            let (_, said) = l.reconnect(&mut con, &Reconnect::again(COOKIE, 11, 5));
            assert_eq!(con.tx.session.connect_seq, ConnectSeq(5), "{state}");
            assert_eq!(said.last().map(|s| fronts(std::slice::from_ref(s))), Some(vec![7]));
            con.receive_msgs([1]).unwrap();
            assert_eq!((con.state(), con.received()), (Open, vec![1]), "{state}");
        }
    }
}

/// Either end may come back to a session that the other end has opened.
#[test]
fn who_was_dialled_dials_with_the_cookies_of_both() {
    let l = peers(Policy::LOSSLESS_PEER);
    let (mut con, reply) = l.accept_from(2, &ClientIdent::lossless());
    con.send(1);
    con.fault(&Fault::PeerClosed);
    let reconnect = con.dial_to_reconnect();
    let cookies = (reconnect.client_cookie, reconnect.server_cookie);
    assert_eq!(cookies, (CLIENT_COOKIE, reply.cookie));
    con.reconnected(0).unwrap();
    assert_eq!(seqs(&con.said()), [1]);
}

/// What an owner does with offers, one after the other, as a dialler of old makes them.
#[test]
fn the_life_of_a_session() {
    let mut owner = Owner::new(Listener::mds());
    let decide = |owner: &mut Owner, socket: &mut Option<Socket>, tag, payload: &[u8]| {
        let mut s = socket.take().unwrap_or_else(|| owner.listener.signed());
        let offer = s.receive_frame(&owner.listener, tag, payload).unwrap().expect("an offer");
        let decision;
        (decision, *socket) = owner.act(s, offer);
        if let Some(s) = socket {
            assert!(s.run(&owner.listener).unwrap().is_none());
            let out = s.pipe.take_output();
            s.far.read(&out);
        }
        decision
    };
    let reconnect = |gseq, cseq| Reconnect::again(COOKIE, gseq, cseq).bytes();
    let socket = &mut None;
    let retry = |retry| Decision::Retry(retry);
    let full = retry(Retry::ResetSession { full: true });
    // A session that is not known, and then a new one on the same socket.
    assert_eq!(decide(&mut owner, socket, SESSION_RECONNECT, &reconnect(10, 4)), full);
    let ident = ClientIdent { global_seq: 11, ..ClientIdent::lossless() }.bytes();
    assert_eq!(decide(&mut owner, socket, CLIENT_IDENT, &ident), Decision::Open);
    // A second socket: too old, of the same connection, and then its successor.
    let global = retry(Retry::Global(GlobalSeq(11)));
    assert_eq!(decide(&mut owner, socket, SESSION_RECONNECT, &reconnect(5, 1)), global);
    assert_eq!(decide(&mut owner, socket, SESSION_RECONNECT, &reconnect(12, 3)), Decision::Replace);
    let session = retry(Retry::Session(ConnectSeq(3)));
    assert_eq!(decide(&mut owner, socket, SESSION_RECONNECT, &reconnect(13, 2)), session);
    assert_eq!(decide(&mut owner, socket, SESSION_RECONNECT, &reconnect(14, 4)), Decision::Replace);
    // An old attempt to begin is closed without a word; a new one is a new session.
    assert_eq!(decide(&mut owner, socket, CLIENT_IDENT, &ident), Decision::Stale);
    let anew = ClientIdent { global_seq: 20, cookie: 1, ..ClientIdent::lossless() }.bytes();
    assert_eq!(decide(&mut owner, socket, CLIENT_IDENT, &anew), Decision::ReplaceReset);
    assert_eq!(owner.resets, 1);
    // Whoever comes with the old cookie has lost it.
    assert_eq!(decide(&mut owner, socket, SESSION_RECONNECT, &reconnect(21, 5)), full);
}
