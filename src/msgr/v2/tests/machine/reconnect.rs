//! The connecting side comes back to its session: each answer to SESSION_RECONNECT.

use super::far::*;
use super::sheets::*;
use super::*;

fn le(n: u64) -> [u8; 8] {
    n.to_le_bytes()
}

#[test]
fn the_request_is_that_of_the_sheet() {
    let mut con = Scenario::lossless().open();
    let client_cookie = con.tx.session.client_cookie;
    con.receive_msgs(1..=5).unwrap();
    con.send(1);
    con.run().unwrap();
    con.said();
    con.fault(&Fault::PeerClosed);
    let got = con.dial_to_reconnect();
    let want = Reconnect {
        addrs: addrs_of(&[client_addr()]),
        client_cookie,
        server_cookie: COOKIE,
        global_seq: 2,
        connect_seq: 1,
        msg_seq: 5,
    };
    assert_eq!((&got, got.bytes().len()), (&want, 80));
}

/// Each attempt is another connection, and another number of the messenger.
#[test]
fn attempts_count_where_there_is_a_session_to_come_back_to() {
    let mut con = Scenario::lossless().until(ConState::Preopen);
    for global_seq in 1..=3 {
        let ident = con.dial_to_client_ident();
        assert_eq!((ident.global_seq, con.tx.session.connect_seq.0), (global_seq, 0));
        con.fault(&Fault::PeerClosed);
    }
    // An attempt that does not come so far takes no number of the messenger.
    con.dial_to_auth();
    con.fault(&Fault::PeerClosed);
    con.dial_to_open();
    con.send(1);
    con.fault(&Fault::PeerClosed);
    for n in 1..=3 {
        let reconnect = con.dial_to_reconnect();
        assert_eq!((reconnect.global_seq, reconnect.connect_seq), (4 + n, n));
        con.fault(&Fault::PeerClosed);
    }
    con.dial();
    con.fault(&Fault::TimedOut("banner"));
    let reconnect = con.dial_to_reconnect();
    assert_eq!((reconnect.global_seq, reconnect.connect_seq), (8, 5));
    con.reconnected(0).unwrap();
    assert_eq!(con.tx.session.connect_seq, ConnectSeq(5));
}

#[test]
fn ok_sends_what_the_peer_lacks_and_only_that() {
    for form in FORMS {
        for msg_seq in 0..=4 {
            let mut con = Scenario::lossless().form(form).open();
            con.send_each(1..=4);
            con.run().unwrap();
            con.said();
            // Taken, but the socket was gone before the ack could go out.
            con.pipe.feed(&con.far.msgs([1, 2]));
            con.try_read().unwrap();
            assert!(con.tx.session.ack_due());
            con.fault(&Fault::PeerClosed);
            con.send(5);
            assert_eq!(con.dial_to_reconnect().msg_seq, 2);
            assert_eq!(con.received(), [1, 2]);
            con.reconnected(msg_seq).unwrap();
            assert_eq!(con.take_events(), [Event::Connected(BOTH)]);
            let said = con.said();
            assert_eq!(seqs(&said), (msg_seq + 1..=5).collect::<Vec<_>>());
            assert_eq!(said.len() as u64, 5 - msg_seq, "no ack of what the request has told");
            assert!(messages(&said).all(|m| m.ack == 2));
            assert_eq!(con.tx.progress(), (Seq(5), Seq(msg_seq)));
            con.receive_msgs([2, 3]).unwrap();
            assert_eq!(con.received(), [3], "what came before is skipped");
        }
    }
}

#[test]
fn features_are_those_of_the_first_connection() {
    let mut con = Scenario::lossless().reconnect();
    con.reconnected(1).unwrap();
    assert_eq!((con.tx.features(), con.take_events()), (BOTH, vec![Event::Connected(BOTH)]));
    assert!(con.said().is_empty());
}

#[test]
fn a_number_without_end_is_refused() {
    for n in [u64::MAX, u64::MAX / 2 + 1] {
        let mut con = Scenario::lossless().reconnect();
        assert_eq!(con.reconnected(n), Err(Fault::BadSeq(n)));
        assert_eq!((con.state(), con.events.len()), (ConState::V2SessionReconnect, 0));
    }
}

#[test]
fn a_full_reset_loses_the_session_and_tells() {
    let mut con = Scenario::lossless().open();
    con.receive_msgs([1, 2]).unwrap();
    con.send_each([1, 2]);
    con.run().unwrap();
    con.said();
    con.take_events();
    con.fault(&Fault::PeerClosed);
    con.send(3);
    let old = con.dial_to_reconnect();
    con.receive_frame(SESSION_RESET, &[1]).unwrap();
    assert_eq!(con.take_events(), [Event::RemoteReset]);
    let ident = ClientIdent::read(&con.wrote(CLIENT_IDENT));
    assert_eq!((con.state(), con.tx.queued_bytes()), (ConState::V2SessionConnect, 0));
    assert_eq!(ident.global_seq, old.global_seq + 1);
    assert_ne!((ident.cookie, ident.cookie), (old.client_cookie, 0), "a session of its own");
    con.send(4);
    con.ident.cookie = 9;
    con.answer_ident();
    let said = con.said();
    assert_eq!((seqs(&said), fronts(&said)), (vec![1], vec![4]));
    con.receive_msgs([1]).unwrap();
    assert_eq!(con.received(), [1]);
    con.said();
    con.fault(&Fault::PeerClosed);
    let again = con.dial_to_reconnect();
    assert_eq!((again.server_cookie, again.connect_seq, again.msg_seq), (9, 1, 1));
    assert_eq!(again.client_cookie, ident.cookie);
}

/// The peer does not know whether it was ever open, or does not mind.
#[test]
fn a_reset_that_is_not_full_begins_anew_with_all_that_waits() {
    let mut con = Scenario::lossless().open();
    con.receive_msgs([1, 2]).unwrap();
    con.send_each(1..=3);
    con.run().unwrap();
    con.said();
    con.take_events();
    let ack = con.far.ack(1);
    con.receive(&ack).unwrap();
    con.take_events();
    con.fault(&Fault::PeerClosed);
    con.send(4);
    let old = con.dial_to_reconnect();
    con.receive_frame(SESSION_RESET, &[0]).unwrap();
    assert_eq!(con.take_events(), []);
    let ident = ClientIdent::read(&con.wrote(CLIENT_IDENT));
    assert_eq!(ident.cookie, old.client_cookie, "it is the same end of it");
    con.answer_ident();
    let said = con.said();
    assert_eq!((seqs(&said), fronts(&said)), (vec![1, 2, 3], vec![2, 3, 4]));
    assert!(messages(&said).all(|m| m.ack == 0) && said.len() == 3);
    con.receive_msgs([1]).unwrap();
    assert_eq!(con.received(), [1]);
}

/// The owner can be told only once: a reset whose handshake ends there will be said again.
#[test]
fn a_reset_that_nobody_can_be_told_of_resets_nothing() {
    let mut con = Scenario::lossless().reconnect();
    let reset = con.far.frame(SESSION_RESET, &[1]);
    let junk = [&reset[..], &[0]].concat();
    assert_eq!(con.receive(&junk), Err(Fault::ReplyBeforeRequest));
    assert_eq!((con.take_events(), con.tx.session.server_cookie), (vec![], COOKIE));
    con.fault(&Fault::ReplyBeforeRequest);
    con.dial_to_reconnect();
    con.reconnected(0).unwrap();
    assert_eq!(seqs(&con.said()), [1]);
}

#[test]
fn retry_asks_with_a_higher_connect_seq_on_the_same_socket() {
    for theirs in [0, 1, 7, 1000] {
        let mut con = Scenario::lossless().reconnect();
        con.receive_frame(SESSION_RETRY, &le(theirs)).unwrap();
        let again = Reconnect::read(&con.wrote(SESSION_RECONNECT));
        assert_eq!((again.connect_seq, again.global_seq), (theirs + 1, 3));
        assert_eq!((again.server_cookie, con.state()), (COOKIE, ConState::V2SessionReconnect));
        con.reconnected(0).unwrap();
        assert_eq!(seqs(&con.said()), [1]);
        con.fault(&Fault::PeerClosed);
        assert_eq!(con.dial_to_reconnect().connect_seq, theirs + 2);
    }
    for none in [u32::MAX.into(), u64::from(u32::MAX) + 1, u64::MAX] {
        let mut con = Scenario::lossless().reconnect();
        let fault = con.receive_frame(SESSION_RETRY, &le(none)).unwrap_err();
        assert_eq!(fault, Fault::ConnectSeqTooHigh(none));
    }
}

#[test]
fn retry_global_asks_with_a_higher_global_seq_on_the_same_socket() {
    for (theirs, next) in [(0, 3), (1, 3), (2, 3), (500, 501), (1 << 30, (1 << 30) + 1)] {
        let mut con = Scenario::lossless().reconnect();
        con.receive_frame(SESSION_RETRY_GLOBAL, &le(theirs)).unwrap();
        let again = Reconnect::read(&con.wrote(SESSION_RECONNECT));
        // Above theirs, at least: another connection may take a number meanwhile.
        assert!(again.global_seq >= next && again.global_seq <= next + 1, "{again:?}");
        assert_eq!(again.connect_seq, 1, "it is the same attempt");
    }
    let max = u64::from(crate::limits::MAX_GLOBAL_SEQ);
    for none in [max + 1, u64::from(u32::MAX) + 1, u64::MAX] {
        let mut con = Scenario::lossless().reconnect();
        let fault = con.receive_frame(SESSION_RETRY_GLOBAL, &le(none)).unwrap_err();
        assert_eq!(fault, Fault::BadGlobalSeq(none));
        // One lie does not use the counter up.
        assert!(con.world.local.global_seq(GlobalSeq(0)).0 < 10);
    }
    let mut con = Scenario::lossless().reconnect();
    con.receive_frame(SESSION_RETRY_GLOBAL, &le(max)).unwrap();
}

/// An acceptor that gives no cookie has nothing to come back to.
#[test]
fn without_a_cookie_a_session_is_asked_for_anew() {
    let mut con = Scenario::lossless().ident(|i| i.cookie = 0).open();
    con.send_each([1, 2]);
    con.run().unwrap();
    con.said();
    con.fault(&Fault::PeerClosed);
    con.dial_to_client_ident();
    con.answer_ident();
    assert_eq!(seqs(&con.said()), [1, 2]);
}

/// The answer to CLIENT_IDENT got lost: it is the same end that asks again.
#[test]
fn a_cookie_lives_as_long_as_its_session() {
    let mut con = Scenario::lossless().until(ConState::Preopen);
    let first = con.dial_to_client_ident().cookie;
    con.fault(&Fault::PeerClosed);
    assert_eq!(con.dial_to_client_ident().cookie, first);
    let other = Scenario::lossless().until(ConState::Preopen).dial_to_client_ident().cookie;
    assert_ne!(first, other);
    let mut con = Scenario::lossy().until(ConState::Preopen);
    assert_eq!(con.dial_to_client_ident().cookie, 0);
}
