//! Every tag in every state of the connecting side, and what SERVER_IDENT must say.

use super::far::*;
use super::sheets::*;
use super::*;
use crate::msgr::v2::Tag;
use crate::types::EntityAddr;

/// The tags that have a place in each state.
const TAKEN: [(ConState, &[u8]); 6] = [
    (ConState::V2Hello, &[HELLO]),
    (ConState::V2Auth, &[AUTH_BAD_METHOD, AUTH_REPLY_MORE, AUTH_DONE]),
    (ConState::V2AuthSignature, &[AUTH_SIGNATURE]),
    (ConState::V2SessionConnect, &[SERVER_IDENT, IDENT_MISSING_FEATURES, WAIT]),
    (
        ConState::V2SessionReconnect,
        &[SESSION_RESET, SESSION_RETRY, SESSION_RETRY_GLOBAL, SESSION_RECONNECT_OK, WAIT],
    ),
    (ConState::Open, &[MESSAGE, KEEPALIVE2, KEEPALIVE2_ACK, ACK]),
];

#[test]
fn every_tag_in_every_state() {
    for form in FORMS {
        for (state, taken) in TAKEN {
            for tag in (0..=u8::MAX).filter(|tag| !taken.contains(tag)) {
                let mut con = Scenario::lossless().form(form).until(state);
                let awaited = con.rx.awaiting();
                let events = con.take_events();
                // Whatever its payload is: the tag is looked at before.
                let fault = con.receive_frame(tag, &[0; 8]).unwrap_err();
                let want = match Tag::try_from(tag) {
                    // Not even its length is looked at.
                    Err(fault) => fault,
                    Ok(Tag::Message) => Fault::BadTag(MESSAGE),
                    Ok(tag) => Fault::UnexpectedTag(tag),
                };
                assert_eq!(fault, want, "{form:?} {state}");
                assert_eq!(con.receive(&[0; 100]), Err(want), "for ever");
                assert_eq!((con.events.len(), con.pipe.output.len()), (0, 0), "{events:?}");
                assert_eq!(con.rx.awaiting(), awaited, "what was awaited is known after it");
                assert_eq!(con.state(), state);
            }
        }
    }
}

/// What a state takes it takes with a payload that is whole, and a longer one is of a newer peer.
#[test]
fn a_payload_that_is_cut_is_malformed_wherever_it_has_a_place() {
    for (state, taken) in TAKEN {
        for &tag in taken.iter().filter(|tag| ![MESSAGE, WAIT].contains(tag)) {
            let mut con = Scenario::lossless().cephx(aes_key()).until(state);
            let fault = con.receive_frame(tag, &[]).unwrap_err();
            assert!(matches!(fault, Fault::Decode(_)), "{tag} in {state}: {fault:?}");
        }
    }
    for n in 0..41 {
        let mut con = Scenario::lossless().open();
        let header = Msg::new(1).header();
        let complete = con.far.complete();
        let bytes = con.far.frame_of(MESSAGE, [&header[..n], b"front", &[], &[]], complete);
        let fault = con.receive(&bytes).unwrap_err();
        assert_eq!(fault, Fault::BadPreamble("not the header of a message"), "{n} bytes");
        assert!(con.events.is_empty());
    }
}

/// Where messages are not, nothing is taken back.
#[test]
fn a_frame_of_the_handshake_cannot_be_aborted() {
    for (state, taken) in &TAKEN[..5] {
        let mut con = Scenario::lossless().form((0, ConMode::Crc)).until(*state);
        let bytes = con.far.frame_of(taken[0], [&[0; 40], &[], &[], &[]], 1);
        let fault = Fault::UnexpectedTag(Tag::try_from(taken[0]).unwrap());
        assert_eq!(con.receive(&bytes), Err(fault), "{state}");
    }
}

#[test]
fn the_request_for_a_new_session_is_that_of_the_sheet() {
    let con = |scenario: Scenario| {
        let mut con = scenario.until(ConState::Preopen);
        con.world.local.set_num(4211);
        let ident = con.dial_to_client_ident();
        (con, ident)
    };
    let (lossless, got) = con(Scenario::lossless());
    let cookie = lossless.tx.session.client_cookie;
    assert_ne!(cookie, 0);
    let want = ClientIdent {
        addrs: addrs_of(&[client_addr()]),
        target: peer_addr(),
        gid: 4211,
        global_seq: 1,
        supported: LINUX.0,
        required: ADDR2,
        flags: 0,
        cookie,
    };
    assert_eq!((&got, got.bytes().len()), (&want, 123));
    let (_, got) = con(Scenario::lossy());
    assert_eq!(got, ClientIdent { flags: 1, cookie: 0, ..want });

    // One that has no number yet says -1, and what it demands.
    let crush = Features(1 << 18 | 1 << 58);
    let mut con = Scenario::lossless().options(|o| o.required = crush).until(ConState::Preopen);
    let got = con.dial_to_client_ident();
    assert_eq!((got.gid, got.required), (u64::MAX, ADDR2 | crush.0));

    // Who listens says where: of both protocols, v2 first.
    let scenario = Scenario::lossless();
    let listens = vec!["v1:127.0.0.1:6801/0", "v2:127.0.0.1:6800/0"];
    let mut con = Scenario { listens, ..scenario }.until(ConState::Preopen);
    let addr = |kind, port| addr_of(kind, [127, 0, 0, 1], port, NONCE);
    assert_eq!(con.dial_to_client_ident().addrs, addrs_of(&[addr(2, 6800), addr(1, 6801)]));
    // Where it does not know its address it is the one that it has learned.
    let mut con = Scenario::lossless().listens("v2:0.0.0.0:6800/0").until(ConState::Preopen);
    assert_eq!(
        con.dial_to_client_ident().addrs,
        addrs_of(&[addr_of(2, [10, 1, 2, 3], 6800, NONCE)])
    );
}

#[test]
fn what_opens_a_new_session() {
    let mut con = Scenario::lossless().connect();
    con.answer_ident();
    assert_eq!(con.take_events(), [Event::Connected(BOTH)]);
    let session = &con.tx.session;
    assert_eq!((session.server_cookie, session.connect_seq), (COOKIE, ConnectSeq(0)));
    assert_eq!((session.peer_global_seq, session.lossy), (GlobalSeq(77), false));
    assert_eq!((con.tx.features(), con.tx.con_mode()), (BOTH, Some(ConMode::Crc)));
    con.receive_msgs([1]).unwrap();
    let Some(Event::Message(m)) = con.take_events().pop() else { panic!("no message") };
    assert_eq!(m.header.src.to_string(), "mds.3", "the gid is the number of the peer's name");

    // A peer that has no number yet keeps the one that was dialled.
    let mut con = Scenario::lossless().ident(|i| i.gid = u64::MAX).open();
    con.receive_msgs([1]).unwrap();
    let Some(Event::Message(m)) = con.take_events().pop() else { panic!("no message") };
    assert_eq!(m.header.src.to_string(), "mds.3");
    let mut con = Scenario::lossless().ident(|i| i.gid = 17).open();
    con.receive_msgs([1]).unwrap();
    let Some(Event::Message(m)) = con.take_events().pop() else { panic!("no message") };
    assert_eq!(m.header.src.to_string(), "mds.17");
}

#[test]
fn the_acceptor_decides_whether_a_session_is_lossy() {
    for (scenario, flags, lossy) in [
        (Scenario::lossless(), 1, true),
        (Scenario::lossless(), 0, false),
        (Scenario::lossy(), 1, true),
        (Scenario::lossy(), 0, false),
        (Scenario::lossless(), 2, false),
    ] {
        let mut con = scenario.ident(|i| i.flags = flags).open();
        assert_eq!(con.tx.session.lossy, lossy);
        con.receive_msgs([1]).unwrap();
        con.send(1);
        con.run().unwrap();
        // Who keeps nothing owes nothing.
        assert_eq!(con.tx.session.out_sent.is_empty(), lossy);
    }
}

/// What SERVER_IDENT says, and what comes of it.
#[track_caller]
fn answered(change: impl FnOnce(&mut ServerIdent)) -> Result<(), Fault> {
    let crush = Features(1 << 18);
    let scenario = Scenario::lossless().options(|o| o.required = crush).ident(change);
    let mut con = scenario.connect();
    let outcome = con.receive_frame(SERVER_IDENT, &con.ident.bytes());
    if outcome.is_err() {
        assert_eq!((con.state(), con.events.len()), (ConState::V2SessionConnect, 0));
        let session = &con.tx.session;
        assert_eq!((session.server_cookie, con.pipe.output.len()), (0, 0));
        assert_eq!(con.tx.features(), Features::NONE);
    }
    outcome
}

#[test]
fn the_address_that_was_dialled_must_be_among_the_peers() {
    let wrong = |addrs: &[Vec<u8>]| {
        let fault = answered(|i| i.addrs = addrs_of(addrs)).unwrap_err();
        let Fault::WrongPeer { want, got } = fault else { panic!("{fault:?}") };
        assert_eq!(want, PEER.parse::<EntityAddr>().unwrap());
        got.to_string()
    };
    let (ip, port, nonce) = (PEER_IP, PEER_PORT, PEER_NONCE);
    assert_eq!(wrong(&[addr_of(2, ip, port, nonce + 1)]), "v2:127.0.0.1:40001/8");
    assert_eq!(wrong(&[addr_of(2, ip, port + 1, nonce)]), "v2:127.0.0.1:40002/7");
    assert_eq!(wrong(&[addr_of(2, [127, 0, 0, 2], port, nonce)]), "v2:127.0.0.2:40001/7");
    assert_eq!(wrong(&[addr_of(1, ip, port, nonce)]), "v1:127.0.0.1:40001/7");
    assert_eq!(wrong(&[addr_of(3, ip, port, nonce)]), "any:127.0.0.1:40001/7");
    let other = addr_of(1, ip, port, nonce);
    assert_eq!(wrong(&[other, addr_of(2, ip, 5, nonce)]), "v2:127.0.0.1:5/7");
    wrong(&[]);
    wrong(&[no_addr()]);
    // In whatever place, and alone without a vector.
    answered(|i| i.addrs = addrs_of(&[addr_of(1, ip, 1, nonce), peer_addr()])).unwrap();
    answered(|i| i.addrs = peer_addr()).unwrap();
}

#[test]
fn each_side_must_have_what_the_other_demands() {
    let unknown = 1 << 62;
    assert_eq!(answered(|i| i.required |= unknown), Err(Fault::FeaturesMissing(Features(unknown))));
    let lacks = |bits| Err(Fault::PeerLacksFeatures(Features(bits)));
    assert_eq!(answered(|i| i.supported &= !(1 << 18)), lacks(1 << 18));
    assert_eq!(answered(|i| i.supported &= !ADDR2), lacks(ADDR2));
    assert_eq!(answered(|i| i.supported = 0), lacks(ADDR2 | 1 << 18));
    answered(|i| i.required = LINUX.0).unwrap();
    answered(|i| i.supported = u64::MAX).unwrap();
}

#[test]
fn numbers_that_no_messenger_has_are_refused() {
    let far = u64::from(u32::MAX) + 1;
    assert_eq!(answered(|i| i.global_seq = far), Err(Fault::BadGlobalSeq(far)));
    answered(|i| i.global_seq = far - 1).unwrap();
}

#[test]
fn features_that_are_missing_are_named_and_dialling_again_does_not_help() {
    let mut con = Scenario::lossless().connect();
    let missing = (1u64 << 62 | 1 << 18).to_le_bytes();
    let fault = con.receive_frame(IDENT_MISSING_FEATURES, &missing).unwrap_err();
    assert_eq!(fault, Fault::FeaturesMissing(Features(1 << 62 | 1 << 18)));
    assert_eq!(con.fault(&fault), Consequence::Close);
}

#[test]
fn who_is_told_to_wait_waits_if_it_can_be_dialled() {
    for state in [ConState::V2SessionConnect, ConState::V2SessionReconnect] {
        let peer = || Scenario::lossless().policy(Policy::LOSSLESS_PEER);
        let mut con = peer().listens("v2:127.0.0.1:6800/0").until(state);
        con.send(9);
        let fault = con.receive_frame(WAIT, &[]).unwrap_err();
        assert_eq!((&fault, con.fault(&fault)), (&Fault::Wait, Consequence::Wait));
        assert_eq!(con.state(), ConState::Preopen);
        assert!(con.queue().ends_with(&[0]), "nothing is lost");

        let mut con = Scenario::lossless().until(state);
        let fault = con.receive_frame(WAIT, &[]).unwrap_err();
        assert_eq!((&fault, con.fault(&fault)), (&Fault::WaitAsClient, Consequence::Backoff));
    }
}
