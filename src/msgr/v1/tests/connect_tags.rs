//! Every tag of a connect reply.

use super::acceptor::*;
use super::*;
use crate::crypto::KeyType;
use crate::limits::{AUTHORIZER_MAX_LEN, MAX_CONNECT_ROUNDS};

/// A session that was open twice and has lost its socket: two messages unacknowledged, one
/// queued, and a connect message with connect_seq 2 on its way.
fn reconnecting(scenario: Scenario) -> (Con, Request) {
    let mut con = scenario.open();
    con.send(1);
    con.send(2);
    con.run().unwrap();
    con.receive(&Msg::new(1).bytes(true)).unwrap();
    con.take_events();
    con.fault(&Fault::PeerClosed);
    con.send(3);
    let request = con.dial_to_connect();
    assert_eq!(request.connect_seq, 2);
    (con, request)
}

#[test]
fn ready_opens_the_session() {
    let mut con = Scenario::lossless().connect();
    con.send(1);
    con.receive(&Reply::new(READY).bytes()).unwrap();
    assert_eq!(con.state(), ConState::Open);
    assert_eq!(con.take_events(), [Event::Connected(LINUX & DAEMON)]);
    assert_eq!(con.tx.session.connect_seq.0, 1);
    assert_eq!(con.tx.session.peer_global_seq.0, 77);
    // With READY no number is exchanged: the first byte is that of the message.
    assert_eq!(seqs(&con.frames()), [1]);
}

#[test]
fn ready_on_a_reconnect_resends_all_that_is_not_acknowledged() {
    let (mut con, _) = reconnecting(Scenario::lossless());
    con.receive(&Reply::new(READY).connect_seq(3).bytes()).unwrap();
    assert_eq!(seqs(&con.frames()), [1, 2, 3]);
}

#[test]
fn seq_trims_and_is_answered_before_anything_else() {
    let (mut con, _) = reconnecting(Scenario::lossless());
    con.receive(&Reply::new(SEQ).connect_seq(3).in_seq(1).bytes()).unwrap();
    let out = con.pipe.take_output();
    assert_eq!(out[..8], 1u64.to_le_bytes(), "our in_seq");
    assert_eq!(seqs(&parse_frames(&out[8..], true)), [2, 3]);
    assert_eq!(con.take_events(), [Event::Connected(LINUX & DAEMON)]);
}

#[test]
fn the_flag_lossy_is_the_acceptors_to_set() {
    for (flags, lossy) in [(0, false), (1, true), (0xfe, false), (0xff, true)] {
        for tag in [READY, SEQ] {
            let mut con = Scenario::lossless().connect();
            con.receive(&Reply { flags, ..Reply::new(tag) }.bytes()).unwrap();
            assert_eq!(con.tx.session.lossy, lossy, "tag {tag} flags {flags}");
        }
    }
}

#[test]
fn the_features_of_a_session_are_those_that_both_have() {
    // A 16.2.15 daemon claims MSG_AUTH whether it was offered or not.
    let mut con = Scenario::lossless().without(Features::MSG_AUTH).connect();
    con.receive(&Reply::new(READY).bytes()).unwrap();
    assert!(!con.tx.features().has(Features::MSG_AUTH));
    con.receive(&Msg::new(1).bytes(false)).unwrap();
    con.send(1);
    con.run().unwrap();
    assert_eq!(con.events.len(), 2);
    let out = con.pipe.take_output();
    let (ack, rest) = parse_frame(&out, false).unwrap();
    assert_eq!(ack, Frame::Ack(1));
    assert_eq!(rest.len(), 1 + 53 + 5 + 9 + 13, "a footer without a signature");

    let few = Features(Features::RECONNECT_SEQ.mask | Features::UID.mask);
    let mut con = Scenario::lossless().connect();
    con.receive(&Reply::new(READY).features(few).bytes()).unwrap();
    assert_eq!(con.tx.features(), few & LINUX);
    assert_eq!(con.tx.features(), Features(Features::RECONNECT_SEQ.mask));
}

#[test]
fn a_peer_without_a_required_feature_is_refused() {
    for tag in [READY, SEQ] {
        let required = Features(Features::NOSRCADDR.mask | Features::CEPHX_V2.mask);
        let mut con = Scenario::lossless().options(|o| o.required = required).connect();
        let reply = Reply::new(tag).features(Features(Features::NOSRCADDR.mask));
        let lacking = Features(Features::CEPHX_V2.mask);
        assert_eq!(con.receive(&reply.bytes()), Err(Fault::PeerLacksFeatures(lacking)));
        assert_eq!((con.state(), con.pipe.output.len()), (ConState::V1ConnectMsg, 0));
    }
}

#[test]
fn a_session_opens_with_the_next_connect_seq_and_no_other() {
    for tag in [READY, SEQ] {
        for got in [0, 2, u32::MAX] {
            let mut con = Scenario::lossless().connect();
            let fault = con.receive(&Reply::new(tag).connect_seq(got).bytes());
            assert_eq!(fault, Err(Fault::BadConnectSeq { want: 1, got }));
            assert_eq!((con.state(), con.pipe.output.len()), (ConState::V1ConnectMsg, 0));
        }
    }
}

#[test]
fn resetsession_drops_the_session_and_tells_it() {
    let (mut con, first) = reconnecting(Scenario::lossless());
    con.receive(&Reply::new(RESETSESSION).connect_seq(0).bytes()).unwrap();
    assert_eq!(con.take_events(), [Event::RemoteReset]);
    let again = con.request();
    assert_eq!((again.connect_seq, again.global_seq), (0, first.global_seq + 1));
    assert_eq!((con.tx.queued_bytes(), con.tx.progress()), (0, (Seq(0), Seq(0))));
    // Both sides count from 1 again.
    con.send(4);
    con.receive(&Reply::new(SEQ).bytes()).unwrap();
    let out = con.pipe.take_output();
    assert_eq!(out[..8], 0u64.to_le_bytes());
    assert_eq!(seqs(&parse_frames(&out[8..], true)), [1]);
    con.receive(&Msg::new(1).bytes(true)).unwrap();
    assert_eq!(con.received(), [1]);
}

#[test]
fn a_reset_that_cannot_be_told_has_not_happened() {
    // The reply is followed by a byte too many: the handshake ends there, and with it would the
    // news. The session stays, and the next attempt is told again.
    let (mut con, _) = reconnecting(Scenario::lossless());
    let bytes = [&Reply::new(RESETSESSION).bytes()[..], &[0]].concat();
    let fault = con.receive(&bytes).unwrap_err();
    assert_eq!(fault, Fault::ReplyBeforeRequest);
    assert_eq!(con.fault(&fault), Consequence::Backoff);
    assert_eq!(con.tx.session.out_queue.len(), 3);
    assert_eq!(con.dial_to_connect().connect_seq, 2);
    con.receive(&Reply::new(RESETSESSION).bytes()).unwrap();
    assert_eq!(con.take_events(), [Event::RemoteReset]);
    assert_eq!(con.tx.session.out_queue.len(), 0);
}

#[test]
fn retry_session_takes_the_peers_connect_seq() {
    let (mut con, first) = reconnecting(Scenario::lossless());
    con.receive(&Reply::new(RETRY_SESSION).connect_seq(9).bytes()).unwrap();
    let again = con.request();
    assert_eq!((again.connect_seq, again.global_seq), (9, first.global_seq + 1));
    assert_eq!(again.features, first.features);
    con.receive(&Reply::new(SEQ).connect_seq(10).bytes()).unwrap();
    assert_eq!((con.state(), con.tx.session.connect_seq.0), (ConState::Open, 10));
    assert_eq!(con.take_events().len(), 1, "no reset: the queue is kept");
    assert_eq!(seqs(&parse_frames(&con.pipe.take_output()[8..], true)), [1, 2, 3]);
}

#[test]
fn retry_global_jumps_over_what_the_peer_saw() {
    let mut con = Scenario::lossless().connect();
    // Twice: once for the reply, once for the message that is built, as the kernel does.
    con.receive(&Reply::new(RETRY_GLOBAL).global_seq(500).bytes()).unwrap();
    let again = con.request();
    assert_eq!((again.global_seq, again.connect_seq), (502, 0));
    // A replaced connection may name a number that is lower than ours: still a new one.
    con.receive(&Reply::new(RETRY_GLOBAL).global_seq(10).bytes()).unwrap();
    assert_eq!(con.request().global_seq, 504);
    // The counter is the messenger's, and later sockets go on from there.
    con.fault(&Fault::PeerClosed);
    assert_eq!(con.dial_to_connect().global_seq, 505);
}

#[test]
fn retry_global_cannot_use_the_counter_up() {
    let mut con = Scenario::lossless().connect();
    let lie = Reply::new(RETRY_GLOBAL).global_seq(u32::MAX).bytes();
    assert_eq!(con.receive(&lie), Err(Fault::BadGlobalSeq(u32::MAX.into())));
    con.fault(&Fault::BadGlobalSeq(u32::MAX.into()));
    assert_eq!(con.dial_to_connect().global_seq, 2, "other peers are not touched");
}

#[test]
fn wait_is_not_for_a_client() {
    let mut con = Scenario::lossless().connect();
    assert_eq!(con.receive(&Reply::new(WAIT).bytes()), Err(Fault::WaitAsClient));
}

#[test]
fn after_a_fault_in_reading_nothing_is_read_from_that_socket() {
    let mut con = Scenario::lossless().open();
    assert_eq!(con.receive(&[99]), Err(Fault::BadTag(99)));
    assert_eq!(con.rx.awaiting(), "message", "what was awaited is known after it");
    assert_eq!(con.receive(&[9]), Err(Fault::BadTag(99)), "a keepalive, if it were read");
    con.fault(&Fault::BadTag(99));
    con.dial_to_connect();
}

#[test]
fn features_names_what_is_missing() {
    let mut con = Scenario::lossless().connect();
    let demanded = LINUX.with(Features::MDS_INLINE_DATA).with(Features::OSD_RECOVERY_DELETES);
    let fault = con.receive(&Reply::new(FEATURES).features(demanded).bytes()).unwrap_err();
    let missing =
        Features::NONE.with(Features::MDS_INLINE_DATA).with(Features::OSD_RECOVERY_DELETES);
    assert_eq!(fault, Fault::FeaturesMissing(missing));
    assert!(fault.to_string().ends_with("MDS_INLINE_DATA, OSD_RECOVERY_DELETES"), "{fault}");
}

#[test]
fn badprotover_names_both_versions() {
    let mut con = Scenario::lossless().connect();
    let reply = Reply { protocol_version: 23, ..Reply::new(BADPROTOVER) };
    let want = Fault::BadProtocolVersion { ours: 24, theirs: 23 };
    assert_eq!(con.receive(&reply.bytes()), Err(want));
}

#[test]
fn badauthorizer_asks_for_a_new_one_and_the_second_time_gives_up() {
    let key = aes_key();
    let mut con = Scenario::lossless().cephx().until(ConState::Preopen);
    let first = con.dial_to_connect();
    con.receive(&Reply::new(BADAUTHORIZER).bytes()).unwrap();
    let second = con.request();
    assert_eq!(second.global_seq, first.global_seq + 1);
    assert_eq!(first.open_authorizer(&key), (AUTH_NONCE, None));
    assert_eq!(second.open_authorizer(&key), (AUTH_NONCE + 1, None), "another, unanswered");
    assert_eq!(con.world.auth.asked(), [false, true]);
    let fault = con.receive(&Reply::new(BADAUTHORIZER).bytes()).unwrap_err();
    assert_eq!((&fault, con.world.auth.invalidated()), (&Fault::BadAuthorizer, 0));
    con.fault(&fault);
    assert_eq!(con.world.auth.invalidated(), 1);
    // The next socket begins anew.
    con.dial_to_connect();
    con.receive(&Reply::new(BADAUTHORIZER).bytes()).unwrap();
    assert_eq!(con.world.auth.asked(), [false, true, false, true]);
}

#[test]
fn badauthorizer_may_carry_a_challenge_that_is_not_looked_at() {
    // So does 16.2.15 on a socket that was challenged before.
    let key = aes_key();
    let mut con = Scenario::lossless().cephx().connect();
    con.receive(&Reply { tag: BADAUTHORIZER, ..Reply::challenge(&key, 9) }.bytes()).unwrap();
    assert_eq!(con.request().open_authorizer(&key), (AUTH_NONCE + 1, None));
}

#[test]
fn a_challenge_is_answered_with_the_same_message() {
    let key = aes_key();
    let mut con = Scenario::lossless().cephx().until(ConState::Preopen);
    let first = con.dial_to_connect();
    con.receive(&Reply::challenge(&key, 0x10).bytes()).unwrap();
    let second = con.request();
    assert_eq!(second.open_authorizer(&key), (AUTH_NONCE, Some(0x11)));
    // Made beside a 16.2.15 OSD: key 00..0f, nonce 0x55, challenge 0x10.
    let answered = "20000000979eeb6e12f4322ef510d7f1d9aefec55aab9b28d397361de9a0d19fed283129";
    assert_eq!(crate::hex::to_hex(&second.authorizer[138..]), answered);
    assert_eq!(Request { authorizer: first.authorizer.clone(), ..second }, first);

    // Once more, as after the peer has swapped connections: the same nonce, the new challenge.
    con.receive(&Reply::challenge(&key, u64::MAX).bytes()).unwrap();
    let third = con.request();
    assert_eq!(third.open_authorizer(&key), (AUTH_NONCE, Some(0)));
    assert_eq!(third.global_seq, first.global_seq);
    assert_eq!(con.world.auth.asked().len(), 1);
}

#[test]
fn a_retry_repeats_the_answered_authorizer() {
    let key = aes_key();
    let proof = authorizer_reply(&key, AUTH_NONCE);
    for tag in [RETRY_GLOBAL, RETRY_SESSION, RESETSESSION] {
        let mut con = Scenario::lossless().cephx().connect();
        con.receive(&Reply::challenge(&key, 0x10).bytes()).unwrap();
        let answered = con.request();
        con.receive(&Reply::new(tag).authorizer(&proof).bytes()).unwrap();
        let again = con.request();
        assert_eq!(again.authorizer, answered.authorizer, "tag {tag}");
        let next = if tag == RETRY_GLOBAL { 77 + 2 } else { answered.global_seq + 1 };
        assert_eq!(again.global_seq, next);
        con.receive(&Reply::challenge(&key, 0x20).bytes()).unwrap();
        assert_eq!(con.request().open_authorizer(&key), (AUTH_NONCE, Some(0x21)));
        let seq = again.connect_seq + 1;
        con.receive(&Reply::new(SEQ).connect_seq(seq).authorizer(&proof).bytes()).unwrap();
        assert_eq!(con.state(), ConState::Open);
    }
}

#[test]
fn a_challenge_without_an_authorizer_is_garbage() {
    let mut con = Scenario::lossless().connect();
    let challenge = Reply::challenge(&aes_key(), 1).bytes();
    assert_eq!(con.receive(&challenge), Err(Fault::GarbageTag(CHALLENGE)));
    let mut con = Scenario::lossless().auth(Auth::None).connect();
    let fault = con.receive(&Reply::challenge(&aes_key(), 1).bytes()).unwrap_err();
    assert_eq!(fault, Fault::Auth(AuthError::UnexpectedChallenge));
}

#[test]
fn a_challenge_that_does_not_open_is_a_fault() {
    let other = CryptoKey::new(KeyType::Aes, UTime::default(), &[9; 16]).unwrap();
    for challenge in [Reply::challenge(&other, 1), Reply::new(CHALLENGE)] {
        let mut con = Scenario::lossless().cephx().connect();
        let fault = con.receive(&challenge.bytes()).unwrap_err();
        assert!(matches!(fault, Fault::Auth(AuthError::BadChallenge(_))), "{fault:?}");
        assert!(fault.is_auth() && con.pipe.output.is_empty());
    }
}

#[test]
fn the_peer_must_prove_that_it_opened_the_authorizer() {
    let key = aes_key();
    let good = authorizer_reply(&key, AUTH_NONCE);
    for tag in [READY, SEQ] {
        let open = |authorizer: &[u8]| {
            let mut con = Scenario::lossless().cephx().connect();
            let fault = con.receive(&Reply::new(tag).authorizer(authorizer).bytes());
            if fault.is_err() {
                assert_eq!((con.state(), con.pipe.output.len()), (ConState::V1ConnectMsg, 0));
            }
            fault
        };
        assert_eq!(open(&good), Ok(()));
        assert_eq!(open(&[]), Err(Fault::NoAuthorizerReply));
        let stale = authorizer_reply(&key, AUTH_NONCE + 1);
        assert_eq!(open(&stale), Err(Fault::Auth(AuthError::BadNonce)));
        // The length and the first block; a change of the nonce garbles the block itself.
        for n in 0..good.len() {
            assert!(matches!(open(&good[..n]), Err(Fault::Auth(_) | Fault::NoAuthorizerReply)));
            let mut flipped = good.clone();
            flipped[n] ^= 1;
            assert!(matches!(open(&flipped), Err(Fault::Auth(_))), "byte {n}");
        }
    }
}

#[test]
fn a_proof_is_checked_whatever_the_tag() {
    for tag in [WAIT, RETRY_SESSION, RETRY_GLOBAL, RESETSESSION, FEATURES, BADPROTOVER, 17] {
        let mut con = Scenario::lossless().cephx().connect();
        let fault = con.receive(&Reply::new(tag).authorizer(&[1; 36]).bytes()).unwrap_err();
        assert!(matches!(fault, Fault::Auth(AuthError::BadAuthorizerReply(_))), "{tag}: {fault:?}");
    }
}

#[test]
fn a_proof_given_with_a_retry_is_enough() {
    let key = aes_key();
    let mut con = Scenario::lossless().cephx().connect();
    let proof = authorizer_reply(&key, AUTH_NONCE);
    con.receive(&Reply::new(RETRY_GLOBAL).authorizer(&proof).bytes()).unwrap();
    con.receive(&Reply::new(READY).bytes()).unwrap();
    assert_eq!(con.state(), ConState::Open);
    // But for that authorizer alone: a new one has to be answered too.
    let mut con = Scenario::lossless().cephx().connect();
    con.receive(&Reply::new(RETRY_GLOBAL).authorizer(&proof).bytes()).unwrap();
    con.receive(&Reply::new(BADAUTHORIZER).bytes()).unwrap();
    assert_eq!(con.receive(&Reply::new(READY).bytes()), Err(Fault::NoAuthorizerReply));
}

#[test]
fn an_authorizer_reply_that_was_not_asked_for_is_a_fault() {
    for tag in [READY, SEQ, RETRY_GLOBAL, RESETSESSION, BADAUTHORIZER, WAIT] {
        let mut con = Scenario::lossless().connect();
        let fault = con.receive(&Reply::new(tag).authorizer(&[0; 36]).bytes());
        assert_eq!(fault, Err(Fault::UnexpectedAuthorizerReply(36)), "tag {tag}");
    }
}

#[test]
fn an_oversized_authorizer_is_refused_before_it_is_read() {
    for (len, long) in
        [(AUTHORIZER_MAX_LEN, false), (AUTHORIZER_MAX_LEN + 1, true), (u32::MAX, true)]
    {
        let mut con = Scenario::lossless().cephx().connect();
        let mut bytes = Reply::new(READY).bytes();
        bytes[21..25].copy_from_slice(&len.to_le_bytes());
        let want = if long { Err(Fault::AuthorizerTooLong(len)) } else { Ok(()) };
        assert_eq!(con.receive(&bytes), want, "{len} bytes");
        if !long {
            assert_eq!(con.rx.awaiting(), "authorizer behind the connect reply");
            let fault = con.receive(&vec![0; len as usize]).unwrap_err();
            assert!(matches!(fault, Fault::Auth(_)), "{fault:?}");
        }
    }
}

#[test]
fn a_tag_that_is_none_is_a_fault_and_opens_nothing() {
    let known = [1, 2, 3, 4, 5, 10, 11, 12, 13, 16];
    for tag in (0..=255).filter(|tag| !known.contains(tag)) {
        let mut con = Scenario::lossless().connect();
        let fault = con.receive(&Reply::new(tag).bytes());
        assert_eq!(fault, Err(Fault::GarbageTag(tag)));
        assert_eq!((con.state(), con.pipe.output.len()), (ConState::V1ConnectMsg, 0));
    }
}

#[test]
fn a_peer_that_never_comes_to_an_end_is_left() {
    for tag in [RETRY_GLOBAL, RETRY_SESSION, RESETSESSION] {
        let mut con = Scenario::lossless().connect();
        for _ in 0..MAX_CONNECT_ROUNDS {
            con.receive(&Reply::new(tag).bytes()).unwrap();
            con.request();
        }
        let fault = con.receive(&Reply::new(tag).bytes()).unwrap_err();
        assert_eq!(fault, Fault::TooManyRounds(MAX_CONNECT_ROUNDS), "tag {tag}");
        con.fault(&fault);
        con.take_events();
        con.dial_to_connect();
        con.receive(&Reply::new(tag).bytes()).unwrap();
    }
    let mut con = Scenario::lossless().cephx().connect();
    let challenge = Reply::challenge(&aes_key(), 1).bytes();
    (0..MAX_CONNECT_ROUNDS).for_each(|_| con.receive(&challenge).unwrap());
    assert_eq!(con.receive(&challenge), Err(Fault::TooManyRounds(MAX_CONNECT_ROUNDS)));
}

#[test]
fn a_session_key_signs_only_where_both_sides_can_and_want() {
    let signed = |scenario: Scenario| scenario.cephx().open().tx.is_signed();
    assert!(signed(Scenario::lossless()));
    assert!(!signed(Scenario::lossless().without(Features::MSG_AUTH)));
    assert!(!signed(Scenario::lossless().options(|o| o.sign_messages = false)));
    let mut peer_cannot = Scenario::lossless();
    peer_cannot.reply.features = DAEMON.missing_in(Features(Features::MSG_AUTH.mask));
    assert!(!signed(peer_cannot));
    for auth in [Auth::Absent, Auth::None] {
        assert!(!Scenario::lossless().auth(auth).open().tx.is_signed());
    }
}
