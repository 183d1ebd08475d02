//! What either side of msgr2's authentication refuses, step by step.

use super::msgr2::{BOTH, CRC, SECURE, run};
use super::*;
use crate::limits::MAX_AUTH_REQUESTS;

const EACCES: i32 = -13;
const EINVAL: i32 = -22;
const EOPNOTSUPP: i32 = -95;

fn bad(answer: Result<AuthAnswer, AuthRefusal>) -> (AuthBadMethod, AuthRefusal) {
    match answer {
        Ok(AuthAnswer::BadMethod(bad, why)) => (bad, why),
        other => panic!("not refused: {other:?}"),
    }
}

fn more(answer: Result<AuthAnswer, AuthRefusal>) -> Vec<u8> {
    match answer {
        Ok(AuthAnswer::ReplyMore(payload)) => payload,
        other => panic!("no challenge: {other:?}"),
    }
}

fn closed(answer: Result<AuthAnswer, AuthRefusal>, why: &AuthRefusal) {
    assert_eq!(answer.as_ref().err(), Some(why), "{answer:?}");
}

fn hello(name: &EntityName, global_id: u64) -> Vec<u8> {
    let mut w = Writer::new(Features::ALL);
    w.u8(10).put(name).u64(global_id);
    w.into_vec()
}

fn offer(method: u32, modes: &[u32], payload: Vec<u8>) -> AuthOffer {
    AuthOffer { method, modes: modes.to_vec(), payload }
}

fn challenge_of(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload[1..].try_into().unwrap())
}

#[test]
fn a_method_or_mode_that_is_not_taken_may_be_followed_by_another() {
    let now = Now::start();
    for (methods, allowed) in [
        (vec![CEPH_AUTH_CEPHX], vec![ConMode::Crc]),
        (vec![CEPH_AUTH_CEPHX, CEPH_AUTH_NONE], vec![ConMode::Secure, ConMode::Crc]),
        (vec![CEPH_AUTH_NONE], vec![ConMode::Secure]),
    ] {
        let options =
            AuthMonitorOptions { methods: methods.clone(), ..AuthMonitorOptions::default() };
        let mon = Mon::with(KeyType::Aes, KeyType::Aes, options, now);
        let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &allowed);
        let hello = hello(&admin(), 0);
        let mut refused = |method, modes: &[u32], payload: &[u8]| {
            let offer = offer(method, modes, payload.to_vec());
            let (bad, why) = bad(acceptor.handle_auth_request(&mon.monitor, &offer, now.wall));
            assert_eq!((bad.method, &bad.allowed_methods), (method, &methods));
            (bad.result, bad.allowed_modes, why)
        };
        let all: Vec<u32> = allowed.iter().map(|mode| mode.number()).collect();
        // GSS.
        assert_eq!(
            refused(4, &[CRC], &hello),
            (EOPNOTSUPP, all.clone(), AuthRefusal::NoCommonProtocol)
        );
        if methods.contains(&CEPH_AUTH_NONE) {
            let crc: Vec<u32> = all.iter().copied().filter(|n| *n == CRC).collect();
            let (result, modes, why) = refused(CEPH_AUTH_NONE, &[SECURE], &hello);
            assert_eq!((result, modes, why), (EOPNOTSUPP, crc, AuthRefusal::NoCommonMode));
        }
        if methods.contains(&CEPH_AUTH_CEPHX) {
            for modes in [&[][..], &[0, 3]] {
                let (result, _, why) = refused(CEPH_AUTH_CEPHX, modes, &hello);
                assert_eq!((result, why), (EOPNOTSUPP, AuthRefusal::NoCommonMode));
            }
            for (payload, why) in [
                (&[][..], AuthRefusal::BadAuthMode(0)),
                (&[5], AuthRefusal::Authorizer(AuthorizerError::BadProtocol(2))),
                (&[1], AuthRefusal::Authorizer(AuthorizerError::BadProtocol(2))),
                (&[11], AuthRefusal::BadAuthMode(11)),
                (&[20], AuthRefusal::BadAuthMode(20)),
            ] {
                let (result, _, refusal) = refused(CEPH_AUTH_CEPHX, &[CRC], payload);
                assert_eq!((result, refusal), (EACCES, why), "{payload:?}");
            }
            let (result, _, why) = refused(CEPH_AUTH_CEPHX, &[CRC], &hello[..9]);
            assert!(result == EACCES && matches!(why, AuthRefusal::Malformed(_)), "{why}");
            let good = offer(CEPH_AUTH_CEPHX, &[CRC, SECURE], hello.clone());
            more(acceptor.handle_auth_request(&mon.monitor, &good, now.wall));
        }
    }
    // But not without end.
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
    let never = offer(4, &[CRC], Vec::new());
    for _ in 0..MAX_AUTH_REQUESTS {
        bad(acceptor.handle_auth_request(&mon.monitor, &never, now.wall));
    }
    let good = offer(CEPH_AUTH_CEPHX, &[CRC], hello(&admin(), 0));
    let why = AuthRefusal::TooManyRequests(MAX_AUTH_REQUESTS);
    closed(acceptor.handle_auth_request(&mon.monitor, &good, now.wall), &why);
    let why = AuthRefusal::UnexpectedRequest;
    closed(acceptor.handle_auth_request(&mon.monitor, &good, now.wall), &why);
}

#[test]
fn after_a_challenge_there_is_one_answer() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        let good = offer(CEPH_AUTH_CEPHX, &[SECURE], hello(&admin(), 0));
        let unexpected = AuthRefusal::UnexpectedRequest;
        let start = || AuthAcceptor::new(EntityType::CLIENT, &BOTH);

        // Not before it.
        let mut acceptor = start();
        closed(acceptor.handle_auth_request_more(&mon.monitor, &[], now.wall), &unexpected);
        closed(acceptor.handle_auth_request(&mon.monitor, &good, now.wall), &unexpected);

        // Not another request.
        let mut acceptor = start();
        more(acceptor.handle_auth_request(&mon.monitor, &good, now.wall));
        closed(acceptor.handle_auth_request(&mon.monitor, &good, now.wall), &unexpected);
        closed(acceptor.handle_auth_request_more(&mon.monitor, &[], now.wall), &unexpected);

        // Not a second attempt, be it good, and not by either frame.
        let key = mon.key(&admin());
        let no_ticket = CephXTicketBlob::default();
        let other_key = CryptoKey::generate(entity, UTime::default()).unwrap();
        for again_with_request in [false, true] {
            let mut acceptor = start();
            let challenge =
                challenge_of(&more(acceptor.handle_auth_request(&mon.monitor, &good, now.wall)));
            let wrong = proof(3, &other_key, challenge, &no_ticket, 0x37);
            let (bad, why) = bad(acceptor.handle_auth_request_more(&mon.monitor, &wrong, now.wall));
            assert_eq!((bad.result, why), (EACCES, AuthRefusal::WrongProof));
            assert_eq!((bad.allowed_methods, bad.allowed_modes), (vec![2], vec![SECURE, CRC]));
            let right = proof(3, &key, challenge, &no_ticket, 0x37);
            let again = match again_with_request {
                true => acceptor.handle_auth_request(&mon.monitor, &good, now.wall),
                false => acceptor.handle_auth_request_more(&mon.monitor, &right, now.wall),
            };
            closed(again, &unexpected);
        }

        // Nothing once it is done.
        let mut acceptor = start();
        let challenge =
            challenge_of(&more(acceptor.handle_auth_request(&mon.monitor, &good, now.wall)));
        let right = proof(3, &key, challenge, &no_ticket, 0x37);
        let done = acceptor.handle_auth_request_more(&mon.monitor, &right, now.wall);
        assert!(matches!(done, Ok(AuthAnswer::Done(_))), "{done:?}");
        closed(acceptor.handle_auth_request_more(&mon.monitor, &right, now.wall), &unexpected);
        closed(acceptor.handle_auth_request(&mon.monitor, &good, now.wall), &unexpected);
    }
}

#[test]
fn secure_mode_without_a_place_for_its_secret_is_an_error() {
    for (entity, service) in TYPES {
        for (mode, other_keys, refused) in
            [(SECURE, 0, true), (SECURE, 0x20, false), (CRC, 0, false), (CRC, 0x20, false)]
        {
            let now = Now::start();
            let mon = Mon::new(entity, service, now);
            let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
            let offer = offer(CEPH_AUTH_CEPHX, &[mode], hello(&admin(), 0));
            let challenge =
                challenge_of(&more(acceptor.handle_auth_request(&mon.monitor, &offer, now.wall)));
            let no_ticket = CephXTicketBlob::default();
            let request = proof(3, &mon.key(&admin()), challenge, &no_ticket, other_keys);
            match acceptor.handle_auth_request_more(&mon.monitor, &request, now.wall).unwrap() {
                AuthAnswer::BadMethod(bad, why) => {
                    assert!(refused);
                    assert_eq!((bad.result, why), (EINVAL, AuthRefusal::NoConnectionSecret));
                }
                AuthAnswer::Done(granted) => {
                    assert!(!refused);
                    assert_eq!(granted.connection_secret.is_some(), mode == SECURE);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn tickets_and_secrets_are_not_asked_for_in_a_handshake() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    for request_type in [0x0200u16, 0x0400, 0, u16::MAX] {
        let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
        let offer = offer(CEPH_AUTH_CEPHX, &[CRC], hello(&admin(), 0));
        more(acceptor.handle_auth_request(&mon.monitor, &offer, now.wall));
        let request = request_type.to_le_bytes();
        let (bad, why) = bad(acceptor.handle_auth_request_more(&mon.monitor, &request, now.wall));
        assert_eq!((bad.result, why), (EINVAL, AuthRefusal::UnknownRequest(request_type)));
    }
    let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
    let long = offer(CEPH_AUTH_CEPHX, &[CRC], [vec![10; 1 << 14], vec![0]].concat());
    let (_, why) = bad(acceptor.handle_auth_request(&mon.monitor, &long, now.wall));
    assert_eq!(why, AuthRefusal::TooLong((1 << 14) + 1));
}

#[test]
fn an_authorizer_is_challenged_once_and_must_answer() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        let client = mon.client(admin());
        mon.login(&client, now).unwrap();
        let osd = mon.osd();
        let authorizer = osd_authorizer(&client, now);
        let shown = offer(CEPH_AUTH_CEPHX, &[SECURE], authorizer.bytes().to_vec());

        let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
        more(acceptor.handle_auth_request(&osd, &shown, now.wall));
        let unanswered = authorizer.bytes();
        let (refused, why) = bad(acceptor.handle_auth_request_more(&osd, unanswered, now.wall));
        assert_eq!(why, AuthRefusal::Authorizer(AuthorizerError::Unanswered));
        assert_eq!((refused.result, refused.allowed_methods), (EACCES, vec![CEPH_AUTH_CEPHX]));
        let why = AuthRefusal::UnexpectedRequest;
        closed(acceptor.handle_auth_request(&osd, &shown, now.wall), &why);

        // A login is for monitors.
        let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
        let login = offer(CEPH_AUTH_CEPHX, &[CRC], hello(&admin(), 0));
        let (refused, why) = bad(acceptor.handle_auth_request(&osd, &login, now.wall));
        assert_eq!((refused.result, why), (EACCES, AuthRefusal::BadAuthMode(10)));
    }
}

/// A connector that has sent its AUTH_REQUEST, and one that has answered a challenge.
fn connectors(now: Now) -> [AuthConnector; 2] {
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    [false, true].map(|answered| {
        let mut connector = mon.client(admin()).start_auth_at_mon(&BOTH);
        connector.get_auth_request().unwrap();
        if answered {
            connector.handle_auth_reply_more(&[1; 9], now.instant).unwrap();
        }
        connector
    })
}

#[test]
fn a_connector_takes_each_answer_in_its_turn() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    let bad_method = |result| AuthBadMethod {
        method: CEPH_AUTH_CEPHX,
        result,
        allowed_methods: vec![CEPH_AUTH_CEPHX],
        allowed_modes: vec![CRC],
    };
    let unexpected = Some(AuthError::UnexpectedReply);

    // Before its request.
    let mut c = mon.client(admin()).start_auth_at_mon(&BOTH);
    assert_eq!(c.handle_auth_reply_more(&[1; 9], now.instant).err(), unexpected);
    assert_eq!(c.get_auth_request().err(), unexpected);
    let mut c = mon.client(admin()).start_auth_at_mon(&BOTH);
    assert_eq!(c.handle_auth_bad_method(&bad_method(EACCES), now.instant).err(), unexpected);
    let mut c = mon.client(admin()).start_auth_at_mon(&BOTH);
    assert_eq!(c.handle_auth_done(GlobalId(1), CRC, &[], now.instant).err(), unexpected);

    // The end of a login without its proof; a second challenge; a second request.
    let [mut c, _] = connectors(now);
    assert_eq!(c.handle_auth_done(GlobalId(1), CRC, &[], now.instant).err(), unexpected);
    let [_, mut c] = connectors(now);
    assert_eq!(c.handle_auth_reply_more(&[1; 9], now.instant).err(), unexpected);
    let [mut c, _] = connectors(now);
    assert_eq!(c.get_auth_request().err(), unexpected);

    // A mode, or a method, that was not offered.
    for mode in [0, 3] {
        let [_, mut c] = connectors(now);
        let e = c.handle_auth_done(GlobalId(1), mode, &[], now.instant).err();
        assert_eq!(e, Some(AuthError::BadMode(mode)));
    }
    let mut c = mon.client(admin()).start_auth_at_mon(&[ConMode::Secure]);
    c.get_auth_request().unwrap();
    c.handle_auth_reply_more(&[1; 9], now.instant).unwrap();
    let e = c.handle_auth_done(GlobalId(1), CRC, &[], now.instant).err();
    assert_eq!(e, Some(AuthError::BadMode(CRC)));
    let [mut c, _] = connectors(now);
    let other = AuthBadMethod { method: CEPH_AUTH_NONE, ..bad_method(EOPNOTSUPP) };
    let e = c.handle_auth_bad_method(&other, now.instant).err();
    assert_eq!(e, Some(AuthError::BadProtocol(CEPH_AUTH_NONE)));

    // Refusals, with numbers that are none among them: no result lets anybody in.
    let no_mode = AuthError::NoCommonMode { offered: &BOTH, allowed: &[ConMode::Crc] };
    let denied = AuthError::Denied { errno: 13 };
    let refused = |errno| AuthError::Refused { errno };
    for (result, first, second) in [
        (EACCES, denied.clone(), denied),
        (-16, refused(16), refused(16)),
        (EOPNOTSUPP, no_mode, refused(95)),
        (0, refused(0), refused(0)),
        (7, refused(-7), refused(-7)),
        (i32::MIN, refused(i32::MAX), refused(i32::MAX)),
    ] {
        for (mut c, expected) in connectors(now).into_iter().zip([first, second]) {
            let e = c.handle_auth_bad_method(&bad_method(result), now.instant).err();
            assert_eq!(e, Some(expected), "{result}");
            assert_eq!(c.get_auth_request().err(), unexpected);
        }
    }
    let [mut c, _] = connectors(now);
    let other = AuthBadMethod { allowed_methods: vec![4], ..bad_method(EOPNOTSUPP) };
    let e = c.handle_auth_bad_method(&other, now.instant).err();
    assert_eq!(e, Some(AuthError::NoCommonProtocol));

    // What neither side can name is not said.
    let [mut c, _] = connectors(now);
    let other = AuthBadMethod { allowed_modes: vec![0, 3, SECURE], ..bad_method(EOPNOTSUPP) };
    let e = c.handle_auth_bad_method(&other, now.instant).unwrap_err();
    let text = "no connection mode in common: secure, crc was offered, the peer allows secure";
    assert_eq!(e.to_string(), text);
    let [mut c, _] = connectors(now);
    let other = AuthBadMethod { allowed_modes: vec![], ..bad_method(EOPNOTSUPP) };
    let e = c.handle_auth_bad_method(&other, now.instant).unwrap_err();
    let text = "no connection mode in common: secure, crc was offered, the peer allows no mode";
    assert_eq!(e.to_string(), text);
}

#[test]
fn without_a_key_there_is_no_secure_mode_and_no_challenge() {
    let now = Now::start();
    let client = AuthClient::new(admin(), None, &[CEPH_AUTH_NONE], &TICKETS).unwrap();
    let client = Arc::new(client);
    let e = client.start_auth_at_mon(&[ConMode::Secure]).get_auth_request().err();
    assert_eq!(e, Some(AuthError::NoMode));
    let mut c = client.start_auth_at_mon(&BOTH);
    let offer = c.get_auth_request().unwrap();
    assert_eq!((offer.method, offer.modes), (CEPH_AUTH_NONE, vec![CRC]));
    let e = c.handle_auth_reply_more(&[1; 9], now.instant).err();
    assert_eq!(e, Some(AuthError::UnexpectedChallenge));
    // And no login without a number.
    let mut c = client.start_auth_at_mon(&BOTH);
    c.get_auth_request().unwrap();
    let e = c.handle_auth_done(GlobalId(0), CRC, &[], now.instant).err();
    assert_eq!(e, Some(AuthError::NoGlobalId));
}

#[test]
fn a_key_that_the_monitor_does_not_know_is_denied() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        for (name, key_type) in [("admin", entity), ("nobody", entity), ("admin", service)] {
            let key = Some(CryptoKey::generate(key_type, UTime::default()).unwrap());
            let name = EntityName::new(EntityType::CLIENT, name);
            let client = AuthClient::new(name, key, &[CEPH_AUTH_CEPHX], &TICKETS).unwrap();
            let mut connector = Arc::new(client).start_auth_at_mon(&BOTH);
            let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
            let e = run(&mut connector, &mut acceptor, &mon.monitor, now).map(drop).unwrap_err();
            assert_eq!(e, AuthError::Denied { errno: 13 });
        }
    }
}

#[test]
fn an_impostor_of_a_monitor_or_service_is_found_out() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        let client = mon.client(admin());
        // A monitor that believes all: it has another key under our name, and skips the proof.
        let impostor = Mon::new(entity, service, now);
        let key = impostor.key(&admin());
        let mut connector = client.start_auth_at_mon(&BOTH);
        let offer = connector.get_auth_request().unwrap();
        let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
        let payload = more(acceptor.handle_auth_request(&impostor.monitor, &offer, now.wall));
        connector.handle_auth_reply_more(&payload, now.instant).unwrap();
        let request = proof(3, &key, challenge_of(&payload), &CephXTicketBlob::default(), 0x37);
        let answer = acceptor.handle_auth_request_more(&impostor.monitor, &request, now.wall);
        let Ok(AuthAnswer::Done(granted)) = answer else { panic!("{answer:?}") };
        let id = granted.global_id;
        let e = connector.handle_auth_done(id, SECURE, &granted.payload, now.instant).unwrap_err();
        assert!(matches!(e, AuthError::BadTicket { service: 0x20, .. }), "{e}");

        // A service that gives no secret, or one that is not good for a key and two nonces.
        mon.login(&client, now).unwrap();
        for len in [0, 39, 40] {
            let authorizer = osd_authorizer(&client, now);
            let osd = mon.osd();
            let mut state = AuthorizerState::with_connection_secret(len);
            let mut connector = AuthConnector::with_authorizer(authorizer, EntityType::OSD, &BOTH);
            let offer = connector.get_auth_request().unwrap();
            let features = Features::ALL;
            let AuthorizerVerdict::Challenge(challenge) =
                osd.verify_authorizer(&mut state, 2, &offer.payload, features, now.wall)
            else {
                panic!("no challenge");
            };
            let answer = connector.handle_auth_reply_more(&challenge, now.instant).unwrap();
            let AuthorizerVerdict::Accepted(accepted) =
                osd.verify_authorizer(&mut state, 2, &answer, features, now.wall)
            else {
                panic!("not accepted");
            };
            let done =
                connector.handle_auth_done(GlobalId(4101), SECURE, &accepted.reply, now.instant);
            match len {
                40 => assert_eq!(done.unwrap().connection_secret, accepted.connection_secret),
                _ => assert_eq!(done.err(), Some(AuthError::ConnectionSecretTooShort(len))),
            }
        }
    }
}

#[test]
fn an_auth_done_that_was_cut_or_changed_gives_no_other_keys() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes256k, KeyType::Aes256k, now);
    let client = mon.client(admin());
    let start = || {
        let mut connector = client.start_auth_at_mon(&[ConMode::Secure]);
        let offer = connector.get_auth_request().unwrap();
        (connector, offer)
    };
    let (mut connector, offer) = start();
    let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
    let payload = more(acceptor.handle_auth_request(&mon.monitor, &offer, now.wall));
    let answer = connector.handle_auth_reply_more(&payload, now.instant).unwrap();
    let answer = acceptor.handle_auth_request_more(&mon.monitor, &answer, now.wall);
    let Ok(AuthAnswer::Done(granted)) = answer else { panic!("{answer:?}") };

    let take = |bytes: &[u8]| {
        let (mut connector, _) = start();
        connector.handle_auth_reply_more(&payload, now.instant).unwrap();
        connector.handle_auth_done(granted.global_id, SECURE, bytes, now.instant)
    };
    let good = &granted.payload;
    assert_eq!(take(good).unwrap().connection_secret, granted.connection_secret);
    for n in 0..good.len() {
        let e = take(&good[..n]).unwrap_err();
        let short = matches!(e, AuthError::Decode(_) | AuthError::ConnectionSecretTooShort(0));
        assert!(short, "{n} bytes: {e}");
    }
    for byte in 0..good.len() {
        let mut bad = good.clone();
        bad[byte] ^= 1 << (byte % 8);
        // Versions, and tickets that only a service can read, may be anything.
        if let Ok(done) = take(&bad) {
            assert_eq!(done.session_key, granted.session_key, "byte {byte}");
            assert_eq!(done.connection_secret, granted.connection_secret, "byte {byte}");
        }
    }
}

/// What a session promises hangs on the type in HELLO: nobody gets a monitor's by calling itself one.
#[test]
fn a_login_is_of_the_type_that_the_dialler_claims_or_a_clients() {
    let now = Now::start();
    let options =
        AuthMonitorOptions { methods: vec![CEPH_AUTH_NONE], ..AuthMonitorOptions::default() };
    let mon = Mon::with(KeyType::Aes, KeyType::Aes, options, now);
    let osd = EntityName::new(EntityType::OSD, "0");
    for (name, claimed, ok) in [
        (admin(), EntityType::CLIENT, true),
        (admin(), EntityType::MON, false),
        (admin(), EntityType::OSD, false),
        (osd.clone(), EntityType::OSD, true),
        // `ceph -n osd.0`.
        (osd.clone(), EntityType::CLIENT, true),
        (osd, EntityType::MON, false),
    ] {
        let mut acceptor = AuthAcceptor::new(claimed, &[ConMode::Crc]);
        let offer = offer(CEPH_AUTH_NONE, &[CRC], hello(&name, 0));
        let answer = acceptor.handle_auth_request(&mon.monitor, &offer, now.wall);
        if ok {
            assert!(matches!(answer, Ok(AuthAnswer::Done(_))), "{name} as {claimed}: {answer:?}");
        } else {
            let (bad, why) = bad(answer);
            assert_eq!((bad.result, why), (EACCES, AuthorizerError::WrongName.into()));
        }
    }
}
