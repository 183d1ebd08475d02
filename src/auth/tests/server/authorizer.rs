use super::*;
use crate::denc::Reader;

/// A service, and the authorizer of a client that is logged in.
fn at_an_osd(entity: KeyType, service: KeyType) -> (CephxAuthorizeHandler, Authorizer, Now) {
    let now = Now::start();
    let mon = Mon::new(entity, service, now);
    let client = mon.client(admin());
    mon.login(&client, now).unwrap();
    (mon.osd(), osd_authorizer(&client, now), now)
}

fn challenged(verdict: AuthorizerVerdict) -> Vec<u8> {
    match verdict {
        AuthorizerVerdict::Challenge(challenge) => challenge,
        other => panic!("no challenge: {other:?}"),
    }
}

fn accepted(verdict: AuthorizerVerdict) -> AcceptedAuthorizer {
    match verdict {
        AuthorizerVerdict::Accepted(accepted) => *accepted,
        other => panic!("not accepted: {other:?}"),
    }
}

#[test]
fn sizes_are_those_of_the_wire() {
    for (key_type, challenge, reply) in [(KeyType::Aes, 32, 36), (KeyType::Aes256k, 58, 62)] {
        let (osd, mut authorizer, now) = at_an_osd(key_type, key_type);
        let mut state = AuthorizerState::new();
        let bytes = challenged(show(&osd, &mut state, &authorizer, now));
        assert_eq!(bytes.len(), challenge);
        authorizer.add_challenge(&bytes).unwrap();
        assert_eq!(accepted(show(&osd, &mut state, &authorizer, now)).reply.len(), reply);
    }
}

#[test]
fn the_answered_authorizer_may_be_repeated_on_its_socket() {
    // As it is after RETRY_GLOBAL and RETRY_SESSION.
    for (entity, service) in TYPES {
        let (osd, mut authorizer, now) = at_an_osd(entity, service);
        let mut state = AuthorizerState::new();
        let challenge = challenged(show(&osd, &mut state, &authorizer, now));
        authorizer.add_challenge(&challenge).unwrap();
        for _ in 0..3 {
            let accepted = accepted(show(&osd, &mut state, &authorizer, now));
            authorizer.verify_reply(&accepted.reply).unwrap();
        }
        // On another socket it is a recording.
        let mut other = AuthorizerState::new();
        let challenge = challenged(show(&osd, &mut other, &authorizer, now));
        assert_eq!(refused(show(&osd, &mut other, &authorizer, now)), AuthorizerError::WrongAnswer);
        // After that the socket has no challenge any more.
        let anew = challenged(show(&osd, &mut other, &authorizer, now));
        assert_ne!(anew, challenge);
        authorizer.add_challenge(&anew).unwrap();
        accepted(show(&osd, &mut other, &authorizer, now));
    }
}

#[test]
fn a_fresh_authorizer_on_a_challenged_socket_is_refused_once() {
    let (osd, mut authorizer, now) = at_an_osd(KeyType::Aes, KeyType::Aes);
    let mut state = AuthorizerState::new();
    challenged(show(&osd, &mut state, &authorizer, now));
    assert_eq!(refused(show(&osd, &mut state, &authorizer, now)), AuthorizerError::Unanswered);
    let challenge = challenged(show(&osd, &mut state, &authorizer, now));
    authorizer.add_challenge(&challenge).unwrap();
    accepted(show(&osd, &mut state, &authorizer, now));
}

#[test]
fn any_refusal_ends_the_challenge() {
    let (osd, mut authorizer, now) = at_an_osd(KeyType::Aes256k, KeyType::Aes256k);
    for (protocol, bytes) in [(CEPH_AUTH_CEPHX, &b"garbage"[..]), (CEPH_AUTH_UNKNOWN, b"")] {
        let mut state = AuthorizerState::new();
        let challenge = challenged(show(&osd, &mut state, &authorizer, now));
        authorizer.add_challenge(&challenge).unwrap();
        let features = Features::SUPPORTED;
        refused(osd.verify_authorizer(&mut state, protocol, bytes, features, now.wall));
        challenged(show(&osd, &mut state, &authorizer, now));
    }
}

#[test]
fn who_cannot_be_challenged_is_believed_only_if_that_is_allowed() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    let client = mon.client(admin());
    mon.login(&client, now).unwrap();
    let authorizer = osd_authorizer(&client, now);
    let ring = RotatingKeyRing::new(EntityType::OSD);
    ring.set_secrets(mon.keys().rotating_secrets(EntityType::OSD).unwrap());
    let ring = Arc::new(ring);
    let without = Features::SUPPORTED & !Features::NONE.with(Features::CEPHX_V2);
    for require_challenge in [true, false] {
        let options = CephxAuthorizeOptions { require_challenge };
        let osd = CephxAuthorizeHandler::new(EntityType::OSD, ring.clone(), options);
        let required = osd.required_features(CEPH_AUTH_CEPHX);
        assert_eq!(required.has(Features::CEPHX_V2), require_challenge);
        assert_eq!(osd.required_features(CEPH_AUTH_UNKNOWN), Features::NONE);
        let mut state = AuthorizerState::new();
        let verdict = osd.verify_authorizer(
            &mut state,
            CEPH_AUTH_CEPHX,
            authorizer.bytes(),
            without,
            now.wall,
        );
        if require_challenge {
            assert_eq!(refused(verdict), AuthorizerError::NoChallenge);
        } else {
            accepted(verdict);
        }
        // Who can be is, in any case.
        challenged(show(&osd, &mut state, &authorizer, now));
    }
}

#[test]
fn a_ticket_ends() {
    for (entity, service) in TYPES {
        let (osd, authorizer, now) = at_an_osd(entity, service);
        let mut state = AuthorizerState::new();
        challenged(show(&osd, &mut state, &authorizer, now.after(HOUR - 1)));
        let end = now.after(HOUR);
        let expired = AuthorizerError::Expired { expired: end.wall };
        assert_eq!(refused(show(&osd, &mut state, &authorizer, end)), expired);
    }
}

#[test]
fn tickets_of_others_are_refused() {
    let now = Now::start();
    for (entity, service) in TYPES {
        let mon = Mon::new(entity, service, now);
        let client = mon.client(admin());
        mon.login(&client, now).unwrap();
        let (osd, mut state) = (mon.osd(), AuthorizerState::new());

        // For another service, as it is and with the other's id.
        let mds = client.get_authorizer(EntityType::MDS, now.instant, false).unwrap().unwrap();
        assert_eq!(refused(show(&osd, &mut state, &mds, now)), AuthorizerError::WrongService(2));
        let a: CephXAuthorizeA = Reader::new(mds.bytes()).get().unwrap();
        let key = mds.session_key().unwrap();
        let as_osd = CephXAuthorizer::new(a.global_id, EntityType::OSD, &a.ticket, key, 1).unwrap();
        let e = refused(show(&osd, &mut state, &as_osd.into(), now));
        assert!(matches!(e, AuthorizerError::BadTicket(_)), "{e}");

        // Of another session.
        let good = osd_authorizer(&client, now);
        let a: CephXAuthorizeA = Reader::new(good.bytes()).get().unwrap();
        let key = good.session_key().unwrap();
        let other = CephXAuthorizer::new(GlobalId(9), EntityType::OSD, &a.ticket, key, 1).unwrap();
        let (claimed, ticket) = (GlobalId(9), GlobalId(4101));
        let e = refused(show(&osd, &mut state, &other.into(), now));
        assert_eq!(e, AuthorizerError::WrongGlobalId { claimed, ticket });

        // Recorded, by someone without the session key.
        let guess = CryptoKey::generate(key.key_type(), UTime::default()).unwrap();
        let stolen =
            CephXAuthorizer::new(a.global_id, EntityType::OSD, &a.ticket, &guess, 1).unwrap();
        let e = refused(show(&osd, &mut state, &stolen.into(), now));
        assert!(matches!(e, AuthorizerError::BadProof(_)), "{e}");

        // Of a secret that is not here.
        let mut ticket = a.ticket.clone();
        ticket.secret_id = u64::MAX;
        let unknown = CephXAuthorizer::new(a.global_id, EntityType::OSD, &ticket, key, 1).unwrap();
        let e = refused(show(&osd, &mut state, &unknown.into(), now));
        let (service, secret_id) = (EntityType::OSD, u64::MAX);
        assert_eq!(e, AuthorizerError::UnknownSecret { service, secret_id });

        // Of another cluster.
        let e =
            refused(show(&Mon::new(entity, service_type(&mon), now).osd(), &mut state, &good, now));
        assert!(matches!(e, AuthorizerError::BadTicket(_)), "{e}");
    }
}

fn service_type(mon: &Mon) -> KeyType {
    mon.keys().service_secret(EntityType::OSD, 2).unwrap().key_type()
}

#[test]
fn what_is_cut_or_too_long_is_refused() {
    for (entity, service) in TYPES {
        let (osd, mut authorizer, now) = at_an_osd(entity, service);
        let mut state = AuthorizerState::new();
        let challenge = challenged(show(&osd, &mut state, &authorizer, now));
        authorizer.add_challenge(&challenge).unwrap();
        let expected = state.challenge;
        let mut verify = |bytes: &[u8]| {
            state.challenge = expected;
            let features = Features::SUPPORTED;
            osd.verify_authorizer(&mut state, CEPH_AUTH_CEPHX, bytes, features, now.wall)
        };
        accepted(verify(authorizer.bytes()));
        for n in 0..authorizer.bytes().len() {
            let e = refused(verify(&authorizer.bytes()[..n]));
            assert!(matches!(e, AuthorizerError::Malformed(_)), "{n}: {e}");
        }
        let mut long = authorizer.bytes().to_vec();
        long.resize(4096, 0);
        accepted(verify(&long));
        long.push(0);
        assert_eq!(refused(verify(&long)), AuthorizerError::TooLong(4097));
    }
}

#[test]
fn a_flipped_bit_is_refused() {
    for (entity, service) in TYPES {
        let (osd, mut authorizer, now) = at_an_osd(entity, service);
        let mut state = AuthorizerState::new();
        let challenge = challenged(show(&osd, &mut state, &authorizer, now));
        authorizer.add_challenge(&challenge).unwrap();
        let issued = state.challenge;
        let key = authorizer.session_key().unwrap().clone();
        let is_sealed = service == KeyType::Aes256k && key.key_type() == KeyType::Aes256k;
        for bit in 0..authorizer.bytes().len() * 8 {
            let mut bytes = authorizer.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            state.challenge = issued;
            let features = Features::SUPPORTED;
            match osd.verify_authorizer(&mut state, CEPH_AUTH_CEPHX, &bytes, features, now.wall) {
                AuthorizerVerdict::Refused(_) => assert_eq!(state.challenge, None),
                // Versions, which Ceph does not look at either.
                AuthorizerVerdict::Accepted(_) if matches!(bit / 8, 0 | 13) => {}
                // Type 1 has no integrity: caps and times can be garbled, but not the key.
                AuthorizerVerdict::Accepted(a) if !is_sealed => {
                    assert_eq!(a.session_key.as_ref(), Some(&key));
                }
                other => panic!("bit {bit}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_connection_of_msgr2_gets_its_secret() {
    for (entity, service) in TYPES {
        let (osd, mut authorizer, now) = at_an_osd(entity, service);
        let mut state = AuthorizerState::with_connection_secret(64);
        let challenge = challenged(show(&osd, &mut state, &authorizer, now));
        authorizer.add_challenge(&challenge).unwrap();
        let accepted = accepted(show(&osd, &mut state, &authorizer, now));
        authorizer.verify_reply(&accepted.reply).unwrap();
        let secret = accepted.connection_secret.unwrap();
        assert_eq!(secret.as_bytes().len(), 64);
        assert_ne!(secret.as_bytes(), [0; 64]);
        assert_eq!(Some(&secret), authorizer.connection_secret());
    }
}
