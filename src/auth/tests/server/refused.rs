//! What a monitor refuses, and what it answers then.

use super::*;
use crate::denc::Reader;

fn assert_refused(reply: &AuthReply, errno: i32, refusal: &AuthRefusal) {
    assert_eq!(reply.outcome.as_ref(), Err(refusal));
    assert_eq!((reply.result(), reply.payload()), (-errno, &[][..]));
}

#[test]
fn a_wrong_key_and_an_unknown_entity_look_the_same() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        for (name, refusal) in [
            (admin(), AuthRefusal::WrongProof),
            (EntityName::new(EntityType::CLIENT, "nobody"), AuthRefusal::UnknownEntity),
        ] {
            for key_type in [KeyType::Aes, KeyType::Aes256k] {
                let key = CryptoKey::generate(key_type, UTime::default()).unwrap();
                let mut con = mon.monitor.start();
                let challenge = greet(&mut con, &name, 0, now);
                let request = proof(3, &key, challenge, &CephXTicketBlob::default(), 0x37);
                let reply = con.handle_request(CEPH_AUTH_CEPHX, &request, now.wall);
                assert_refused(&reply, 13, &refusal);
                assert_eq!(reply.protocol, CEPH_AUTH_CEPHX);
                assert_ne!(reply.global_id, GlobalId(0));
                assert!(con.peer().is_none());
            }
        }
        // The client cannot tell them apart, and says so.
        let key = Some(CryptoKey::generate(entity, UTime::default()).unwrap());
        let client = AuthClient::new(admin(), key, &[CEPH_AUTH_CEPHX], &TICKETS).unwrap();
        let e = mon.login(&Arc::new(client), now).map(drop).unwrap_err();
        assert_eq!(e, AuthError::Denied { errno: 13 });
    }
}

#[test]
fn a_proof_is_good_for_one_connection() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    let (mut first, mut second) = (mon.monitor.start(), mon.monitor.start());
    let challenge = greet(&mut first, &admin(), 0, now);
    assert_ne!(challenge, greet(&mut second, &admin(), 0, now));
    let recorded = proof(3, &mon.key(&admin()), challenge, &CephXTicketBlob::default(), 0);
    let reply = second.handle_request(CEPH_AUTH_CEPHX, &recorded, now.wall);
    assert_refused(&reply, 13, &AuthRefusal::WrongProof);
    assert_eq!(first.handle_request(CEPH_AUTH_CEPHX, &recorded, now.wall).result(), 0);
}

#[test]
fn a_type_of_key_can_be_forbidden() {
    let now = Now::start();
    let options = AuthMonitorOptions {
        allowed_ciphers: vec![KeyType::Aes256k],
        ..AuthMonitorOptions::default()
    };
    for (entity, service) in TYPES {
        let mon = Mon::with(entity, service, options.clone(), now);
        let mut con = mon.monitor.start();
        let challenge = greet(&mut con, &admin(), 0, now);
        let request = proof(3, &mon.key(&admin()), challenge, &CephXTicketBlob::default(), 0);
        let reply = con.handle_request(CEPH_AUTH_CEPHX, &request, now.wall);
        match entity {
            KeyType::Aes256k => assert_eq!(reply.result(), 0),
            other => assert_refused(&reply, 13, &AuthRefusal::KeyTypeNotAllowed(other)),
        }
    }
}

#[test]
fn protocols_must_be_common_and_stay() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    let mut con = mon.monitor.start();
    for methods in [&[][..], &[CEPH_AUTH_NONE], &[4, 0]] {
        let hello = hello(methods, &admin(), 0);
        let reply = con.handle_request(CEPH_AUTH_UNKNOWN, &hello, now.wall);
        assert_refused(&reply, 95, &AuthRefusal::NoCommonProtocol);
        assert_eq!((reply.protocol, reply.global_id), (CEPH_AUTH_UNKNOWN, GlobalId(0)));
    }
    // Not without a hello.
    let reply = con.handle_request(CEPH_AUTH_CEPHX, &[0, 1], now.wall);
    assert_refused(&reply, 22, &AuthRefusal::BadProtocol(CEPH_AUTH_CEPHX));

    // After all that it can still begin, once.
    greet(&mut con, &admin(), 0, now);
    let again = hello(&[CEPH_AUTH_CEPHX], &admin(), 0);
    let reply = con.handle_request(CEPH_AUTH_UNKNOWN, &again, now.wall);
    assert_refused(&reply, 22, &AuthRefusal::BadProtocol(CEPH_AUTH_UNKNOWN));
    assert_eq!(reply.protocol, CEPH_AUTH_CEPHX);
    // With the protocol of the connection it is a request that there is not.
    let reply = con.handle_request(CEPH_AUTH_CEPHX, &again, now.wall);
    assert_refused(&reply, 22, &AuthRefusal::UnknownRequest(0x0101));
}

#[test]
fn without_a_number_there_is_no_session() {
    #[derive(Debug)]
    struct Exhausted(Option<GlobalId>);
    impl GlobalIdAllocator for Exhausted {
        fn assign_global_id(&self) -> Option<GlobalId> {
            self.0
        }
    }
    let now = Now::start();
    for none in [None, Some(GlobalId(0))] {
        let options = KeyServerOptions::default();
        let keys = KeyServer::new(keyring(KeyType::Aes), options, now.wall).unwrap();
        let ids = Box::new(Exhausted(none));
        let monitor = AuthMonitor::new(Arc::new(keys), ids, AuthMonitorOptions::default());
        let hello = hello(&[CEPH_AUTH_CEPHX], &admin(), 0);
        let mut con = Arc::new(monitor).start();
        let reply = con.handle_request(CEPH_AUTH_UNKNOWN, &hello, now.wall);
        assert_refused(&reply, 16, &AuthRefusal::NoGlobalId);
    }
}

#[test]
fn nothing_is_given_before_the_proof() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes256k, KeyType::Aes256k, now);
    let client = mon.client(osd_0());
    let (mut handler, _) = mon.login(&client, now).unwrap();
    let rotating = handler.request_rotating_keys().unwrap().unwrap();
    let mut con = mon.monitor.start();
    greet(&mut con, &osd_0(), 4101, now);
    let reply = con.handle_request(rotating.protocol, &rotating.payload, now.wall);
    assert_refused(&reply, 13, &AuthRefusal::NotAuthenticated);

    let (mut handler, _) = mon.login(&client, now).unwrap();
    let renewal = handler.renew(now.after(3000).instant).unwrap().unwrap();
    let reply = con.handle_request(renewal.protocol, &renewal.payload, now.wall);
    assert_refused(&reply, 13, &AuthRefusal::NotAuthenticated);
}

/// A monitor with an open connection of client.admin, and the client's request for new tickets.
fn renewal(key_type: KeyType, now: Now) -> (Mon, AuthServiceHandler, Vec<u8>) {
    let mon = Mon::new(key_type, key_type, now);
    let (mut handler, con) = mon.login(&mon.client(admin()), now).unwrap();
    let request = handler.renew(now.after(3000).instant).unwrap().unwrap();
    (mon, con, request.payload)
}

#[test]
fn an_auth_ticket_is_good_for_its_owner_and_its_life() {
    for key_type in [KeyType::Aes, KeyType::Aes256k] {
        let now = Now::start();
        let (mon, mut con, request) = renewal(key_type, now);
        assert_eq!(con.handle_request(CEPH_AUTH_CEPHX, &request, now.wall).result(), 0);

        let end = now.after(72 * HOUR);
        let reply = con.handle_request(CEPH_AUTH_CEPHX, &request, end.wall);
        let expired = AuthorizerError::Expired { expired: end.wall };
        assert_refused(&reply, 1, &AuthRefusal::BadAuthorizer(expired));

        let (_, mut other) = mon.login(&mon.client(admin()), now).unwrap();
        let reply = other.handle_request(CEPH_AUTH_CEPHX, &request, now.wall);
        let (claimed, ticket) = (GlobalId(4102), GlobalId(4101));
        let e = AuthorizerError::WrongGlobalId { claimed, ticket };
        assert_refused(&reply, 1, &AuthRefusal::BadAuthorizer(e));

        // What there is no entity for any more gets no tickets.
        mon.keys().set_keyring(Keyring::new());
        let reply = con.handle_request(CEPH_AUTH_CEPHX, &request, now.wall);
        assert_refused(&reply, 13, &AuthRefusal::UnknownEntity);
    }
}

#[test]
fn an_auth_ticket_is_not_good_for_another_entity_with_the_same_number() {
    let now = Now::start();
    let options = AuthMonitorOptions {
        allow_insecure_global_id_reclaim: true,
        ..AuthMonitorOptions::default()
    };
    let mon = Mon::with(KeyType::Aes, KeyType::Aes, options, now);
    let (mut handler, _) = mon.login(&mon.client(admin()), now).unwrap();
    let request = handler.renew(now.after(3000).instant).unwrap().unwrap();

    let mut con = mon.monitor.start();
    let challenge = greet(&mut con, &osd_0(), 4101, now);
    let login = proof(2, &mon.key(&osd_0()), challenge, &CephXTicketBlob::default(), 0);
    assert_eq!(con.handle_request(CEPH_AUTH_CEPHX, &login, now.wall).result(), 0);
    let reply = con.handle_request(CEPH_AUTH_CEPHX, &request.payload, now.wall);
    assert_refused(&reply, 1, &AuthRefusal::BadAuthorizer(AuthorizerError::WrongName));
}

#[test]
fn a_ticket_of_a_service_gives_no_tickets() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    let client = mon.client(admin());
    let (_, mut con) = mon.login(&client, now).unwrap();
    let mut w = Writer::new(Features::ALL);
    w.u16(CEPHX_GET_PRINCIPAL_SESSION_KEY).bytes(osd_authorizer(&client, now).bytes());
    w.put(&CephXServiceTicketRequest { keys: 4 });
    let reply = con.handle_request(CEPH_AUTH_CEPHX, w.as_slice(), now.wall);
    assert_refused(&reply, 1, &AuthRefusal::BadAuthorizer(AuthorizerError::WrongService(4)));
}

#[test]
fn a_hello_cut_or_too_long_is_refused() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    let mut con = mon.monitor.start();
    let whole = hello(&[CEPH_AUTH_CEPHX, CEPH_AUTH_NONE], &admin(), 0);
    for n in 0..whole.len() {
        let reply = con.handle_request(CEPH_AUTH_UNKNOWN, &whole[..n], now.wall);
        assert!(matches!(reply.outcome, Err(AuthRefusal::Malformed(_))), "{n}");
        assert_eq!((reply.result(), reply.global_id), (-22, GlobalId(0)));
    }
    let mut long = whole.clone();
    long.resize((16 << 10) + 1, 0);
    let reply = con.handle_request(CEPH_AUTH_UNKNOWN, &long, now.wall);
    assert_refused(&reply, 22, &AuthRefusal::TooLong(16_385));
    // None of them has used up a number.
    let reply = con.handle_request(CEPH_AUTH_UNKNOWN, &whole, now.wall);
    assert_eq!((reply.result(), reply.global_id), (0, GlobalId(4101)));
}

#[test]
fn a_proof_cut_or_flipped_is_refused() {
    for key_type in [KeyType::Aes, KeyType::Aes256k] {
        let now = Now::start();
        let mon = Mon::new(key_type, key_type, now);
        let key = mon.key(&admin());
        let none = CephXTicketBlob::default();
        let len = proof(3, &key, 1, &none, 0x37).len();
        let mut con = mon.monitor.start();
        let challenge = greet(&mut con, &admin(), 0, now);
        for n in 0..len {
            let cut = &proof(3, &key, challenge, &none, 0x37)[..n];
            let reply = con.handle_request(CEPH_AUTH_CEPHX, cut, now.wall);
            assert!(matches!(reply.outcome, Err(AuthRefusal::Malformed(_))), "{n}");
        }
        for bit in 0..len * 8 {
            let mut con = mon.monitor.start();
            let challenge = greet(&mut con, &admin(), 0, now);
            let mut flipped = proof(3, &key, challenge, &none, 0x37);
            flipped[bit / 8] ^= 1 << (bit % 8);
            let reply = con.handle_request(CEPH_AUTH_CEPHX, &flipped, now.wall);
            // Versions, the id of a ticket that is none, and what is asked for.
            let harmless = matches!(bit / 8, 2 | 19..28 | 32..36);
            assert_eq!(reply.result() == 0, harmless, "bit {bit}: {reply:?}");
        }
    }
}

#[test]
fn a_claim_cut_or_flipped_is_refused() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes256k, KeyType::Aes256k, now);
    let client = mon.client(admin());
    mon.login(&client, now).unwrap();
    let (mut handler, hello) = client.start();
    let mut con = mon.monitor.start();
    let reply = con.handle_request(hello.protocol, &hello.payload, now.wall);
    let (protocol, id) = (reply.protocol, reply.global_id);
    let next = handler.handle_reply(protocol, 0, id, reply.payload(), now.instant);
    let Ok(Progress::Send(claim)) = next else { panic!("{next:?}") };
    for n in 0..claim.payload.len() {
        let reply = con.handle_request(protocol, &claim.payload[..n], now.wall);
        assert_eq!(reply.result(), -22, "{n}");
    }
    for bit in 0..claim.payload.len() * 8 {
        let mut flipped = claim.payload.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let reply = con.handle_request(protocol, &flipped, now.wall);
        let from_end = claim.payload.len() - bit / 8;
        let harmless = matches!(bit / 8, 2 | 19) || from_end <= 4;
        assert_eq!(reply.result() == 0, harmless, "bit {bit}: {reply:?}");
    }
}

#[test]
fn a_request_for_tickets_cut_or_flipped_is_refused() {
    for key_type in [KeyType::Aes, KeyType::Aes256k] {
        let now = Now::start();
        let (_, mut con, request) = renewal(key_type, now);
        let mut r = Reader::new(&request);
        r.u16().unwrap();
        r.get::<CephXAuthorizeA>().unwrap();
        for n in 0..request.len() {
            let reply = con.handle_request(CEPH_AUTH_CEPHX, &request[..n], now.wall);
            assert!(matches!(reply.result(), -22 | -1), "{n}: {reply:?}");
        }
        for bit in 0..request.len() * 8 {
            let mut flipped = request.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let reply = con.handle_request(CEPH_AUTH_CEPHX, &flipped, now.wall);
            // Versions and the mask; type 1 has no integrity.
            let harmless = matches!(bit / 8, 2 | 15) || request.len() - bit / 8 <= 5;
            if key_type == KeyType::Aes256k {
                assert_eq!(reply.result() == 0, harmless, "bit {bit}: {reply:?}");
            }
        }
    }
}

#[test]
fn garbage_is_refused_in_every_state() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes256k, now);
    let mut greeted = mon.monitor.start();
    greet(&mut greeted, &admin(), 0, now);
    let (_, open) = mon.login(&mon.client(admin()), now).unwrap();
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    };
    for mut con in [mon.monitor.start(), greeted, open] {
        for len in 0..600 {
            let mut payload: Vec<u8> = (0..len).map(|_| random()).collect();
            for request_type in [None, Some(1), Some(2)] {
                if let (Some(t), Some(head)) = (request_type, payload.get_mut(..2)) {
                    head.copy_from_slice(&[0, t]);
                }
                for protocol in [CEPH_AUTH_UNKNOWN, CEPH_AUTH_NONE, CEPH_AUTH_CEPHX] {
                    let reply = con.handle_request(protocol, &payload, now.wall);
                    assert!(reply.outcome.is_err(), "{len}: {reply:?}");
                }
            }
        }
    }
}
