//! Bytes of live daemons. Type 2 is from a cluster of 20.2.4 that has since been destroyed; type 1
//! has the key 00 01 .. 0f and was checked against 16.2.15.

use std::sync::Arc;
use std::time::Duration;

use super::some_time;
use crate::auth::cephx::*;
use crate::auth::*;
use crate::crypto::tests::{ENTITY_KEY, aes_key, aes256k, session_key};
use crate::crypto::{CryptoError, CryptoKey, Usage};
use crate::denc::{Decode, Encode, Reader};
use crate::hex::{hex, to_hex};
use crate::types::{Features, GlobalId, UTime};

/// Authorizer of an OSD, part a.
const PART_A: &str = "015f10000000000000040000000102000000000000009d000000\
    b45ed8f5d661ce06f3a1a2ccc832b507df448e0d97faf2a4fe69ac7cd236d8a3df043d1d1bd83b26f7772c4ab5cf0d\
    5e35a207c1725754c3899e318473212576a53c0419879825c2ff847764dc295a7a26ec45a4db315237ddd4aa6e78f6\
    27f6a05545e1a2f708b6a517d4c9c6ea2a6ef0d1091eb74e546f4044a5de5e07dcc2ac585061ae52078ec947b519d8\
    ae64862e1da6de525e8593b718b3eab5";
/// Part b without and with the challenge, as the OSD took them.
const PART_B: &str = "43000000de86e184ea3e751a03852a5bf7621380505087153809ed7345e56faad169f6cc\
    761f28ab934f8f157e73334a8628e2342051405b068fe4b57cf8811aef86cbf839764a";
const PART_B_ANSWERED: &str = "43000000e58edcdfab1d610b099da82723dcb0af3df8d9f99700cfbf732c3f50\
    057f4b57efbc9bce245785f9a7475992fa8f90d74cd602f5c4b7d00d2a7a0a555c61b59016a223";
const NONCE: u64 = 5_127_699_040_965_669_144;
/// What the OSD sent.
const CHALLENGE: &str = "97eda11b69c7f10462a2e17b770c9e281fd748ba1cf5fc61007ac9a2007a64ae6fa592\
    0a0ab4f5c147c954e574ee9d377731328ab244937f64a8";
const SERVER_CHALLENGE: u64 = 10_232_115_062_435_321_241;
const REPLY: &str = "7e00000094f017ee9d5cd615d08166976337b8949ce611907e73b4d34be0fd703e69e390aa\
    91b832a329a9a324f37c2c2fd47604f4f96dcb52e78169cf5258e55dbfce3a0ce4baad63b57bbe2d2ff65a6d8ec623\
    5ee30a14b8be3752f3ced55d7ac8e25be9f9ee46a2926f5d2dc085422657d0a3413f15fc57b51f9a52e2e93dada0";
const CONNECTION_SECRET: &str = "7d58d2050591d00fd232e4df14a92562d45c3b755a7637227447f697059e50\
    bceee8d43d98bc1e61df1eed93311828d8b4071c7443f2130d205a482e7d7b4348";
/// AUTH_DONE of a monitor in CRC mode after a request with other_keys 0: global_id, mode, reply.
const AUTH_DONE: &str = "5e10000000000000010000001e010000000100000000010100000020000000016600000\
    02b60f31b5ec951d27f347f2aa2bfe102461fdf418c03b2602ff71bea1f7dc06b1ff95a9ec1724095ec881f17c9164\
    db29f360b5d9952bd83792ca32e3e9c7237a1ceb516e06aaab398e2263e060ae26520235ce2cae1aa95bcc72ec3176\
    0fcc14fec655b3ac3009f000000010200000000000000920000003669bdb8f9479ccda3291c859a9632a36f3e29c8b\
    539807947c4d49dc824c33e6d24da5920845069b45239f385aa1b5f963acb94565919939095a069f96001284ca0f42\
    61662e2d32f0446661ac699fb22027c2cecaedf1286b6cf8aa2310fb032c71434e6f4bc68ef819e0810ed35a77bec2\
    70804c049bfb66db4706263971f9c2fb021326c32e25795815b6d30031c5222";
const AUTH_SESSION_KEY: &str = "33a54e0a811f68c6d39f45a398c6cbb7fb4b5f81b07610af833c4ef1e2f6df14";
const ROTATING_SECRET: &str = "126c6162212c33d8dcb872372a09ef655732ec1629c847599ecf3450e00c5c66";

fn osd_authorizer() -> Authorizer {
    let a: CephXAuthorizeA = CephXAuthorizeA::from_bytes(&hex(PART_A)).unwrap();
    CephXAuthorizer::new(a.global_id, EntityType::OSD, &a.ticket, &session_key(), NONCE)
        .unwrap()
        .into()
}

fn part_b(key: &CryptoKey, bytes: &[u8]) -> CephXAuthorize {
    let mut r = Reader::new(bytes);
    let plain = key.decode_decrypt(&mut r, Usage::AUTHORIZE).unwrap();
    r.finish().unwrap();
    CephXAuthorize::from_bytes(&plain).unwrap()
}

#[test]
fn an_authorizer_of_type_2_goes_through_its_round() {
    let mut authorizer = osd_authorizer();
    assert_eq!(authorizer.protocol(), CEPH_AUTH_CEPHX);
    let (a, b) = authorizer.bytes().split_at(hex(PART_A).len());
    assert_eq!(to_hex(a), PART_A);
    assert_eq!(b.len(), 71);
    assert_eq!(part_b(&session_key(), b), part_b(&session_key(), &hex(PART_B)));

    // Twice: after a connection was replaced, the challenge comes again.
    for _ in 0..2 {
        authorizer.add_challenge(&hex(CHALLENGE)).unwrap();
        let (a, b) = authorizer.bytes().split_at(hex(PART_A).len());
        assert_eq!(to_hex(a), PART_A);
        let answered = part_b(&session_key(), b);
        assert_eq!(answered, part_b(&session_key(), &hex(PART_B_ANSWERED)));
        assert_eq!(answered.nonce, NONCE);
        assert_eq!(answered.server_challenge_plus_one, Some(SERVER_CHALLENGE + 1));
    }

    assert!(authorizer.connection_secret().is_none());
    authorizer.verify_reply(&hex(REPLY)).unwrap();
    assert_eq!(to_hex(authorizer.connection_secret().unwrap().as_bytes()), CONNECTION_SECRET);
    assert_eq!(authorizer.session_key(), Some(&session_key()));
}

#[test]
fn a_challenge_or_reply_that_was_changed_cut_or_mixed_up_is_refused() {
    for (bytes, is_challenge) in [(hex(CHALLENGE), true), (hex(REPLY), false)] {
        let mut authorizer = osd_authorizer();
        let mut refused = |bad: &[u8], what: &str| {
            let before = authorizer.bytes().to_vec();
            let e = if is_challenge {
                authorizer.add_challenge(bad).unwrap_err()
            } else {
                authorizer.verify_reply(bad).unwrap_err()
            };
            let expected = match e {
                AuthError::BadChallenge(_) => is_challenge,
                AuthError::BadAuthorizerReply(_) => !is_challenge,
                _ => false,
            };
            assert!(expected, "{what}: {e}");
            assert_eq!(authorizer.bytes(), before);
            assert!(authorizer.connection_secret().is_none());
        };
        for n in 0..bytes.len() {
            refused(&bytes[..n], "cut");
        }
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            refused(&bad, "flipped");
        }
        refused(&if is_challenge { hex(REPLY) } else { hex(CHALLENGE) }, "mixed up");
    }
}

#[test]
fn a_reply_to_another_nonce_is_refused() {
    let a = CephXAuthorizeA::from_bytes(&hex(PART_A)).unwrap();
    let mut authorizer: Authorizer =
        CephXAuthorizer::new(a.global_id, EntityType::OSD, &a.ticket, &session_key(), NONCE + 1)
            .unwrap()
            .into();
    assert_eq!(authorizer.verify_reply(&hex(REPLY)), Err(AuthError::BadNonce));
    assert!(authorizer.connection_secret().is_none());
}

#[test]
fn an_authorizer_of_type_1_is_ceph_s_bytes() {
    let ticket = CephXTicketBlob { secret_id: 2, blob: vec![0x77; 112] };
    let mut authorizer: Authorizer =
        CephXAuthorizer::new(GlobalId(4101), EntityType::OSD, &ticket, &aes_key(), 0x55)
            .unwrap()
            .into();
    assert_eq!(authorizer.bytes().len(), 174);
    assert_eq!(
        to_hex(&authorizer.bytes()[138..]),
        "20000000979eeb6e12f4322ef510d7f1d9aefec56929305f510d0ff3abea904640aa11b2"
    );
    let challenge = CephXAuthorizeChallenge { server_challenge: 0x10 }.to_bytes(Features::ALL);
    let challenge = aes_key().encrypt(Usage::AUTHORIZE_CHALLENGE, &challenge).unwrap();
    assert_eq!(challenge.len(), 32);
    authorizer.add_challenge(&challenge).unwrap();
    assert_eq!(
        to_hex(&authorizer.bytes()[138..]),
        "20000000979eeb6e12f4322ef510d7f1d9aefec55aab9b28d397361de9a0d19fed283129"
    );
    for n in 0..challenge.len() {
        assert!(matches!(
            authorizer.add_challenge(&challenge[..n]),
            Err(AuthError::BadChallenge(_))
        ));
    }
}

#[test]
fn a_ticket_of_a_20_2_4_monitor_opens_with_the_key_that_asked_for_it() {
    let entity_key: CryptoKey = ENTITY_KEY.parse().unwrap();
    let bytes = hex(AUTH_DONE);
    let payload = &bytes[16..];
    assert_eq!(bytes[12..16], (payload.len() as u32).to_le_bytes());

    let read = |payload: &[u8], key: &CryptoKey| -> Result<CephXTicketManager, AuthError> {
        let mut r = Reader::new(payload);
        let header: CephXResponseHeader = r.get()?;
        assert_eq!(header.request_type, CEPHX_GET_AUTH_SESSION_KEY);
        let mut tickets = CephXTicketManager::default();
        tickets.verify_service_ticket_reply(key, 0x20, &mut r, some_time())?;
        r.finish()?;
        Ok(tickets)
    };
    let tickets = read(payload, &entity_key).unwrap();
    assert_eq!(tickets.auth_session_key(), Some(&aes256k(AUTH_SESSION_KEY)));
    assert_eq!(tickets.old_ticket().unwrap().secret_id, 2);
    assert_eq!(tickets.old_ticket().unwrap().blob.len(), 146);

    // 72 hours, and renewal after 54.
    let now = some_time();
    let hours = |h: u64| now + Duration::from_secs(h * 3600);
    assert_eq!(tickets.validate_tickets(0x20, hours(53)), 0);
    assert_eq!(tickets.validate_tickets(0x20, hours(54)), 0x20);

    let wrong = read(payload, &session_key()).unwrap_err();
    let bad_tag = AuthError::BadTicket { service: 0x20, source: CryptoError::BadTag };
    assert_eq!(wrong, bad_tag);
    for n in 6..payload.len() {
        assert!(matches!(read(&payload[..n], &entity_key), Err(AuthError::Decode(_))), "{n}");
    }
}

#[test]
fn the_inside_of_a_ticket_is_what_the_osd_reads() {
    let a = CephXAuthorizeA::from_bytes(&hex(PART_A)).unwrap();
    assert_eq!(a.to_bytes(Features::ALL), hex(PART_A));
    let sealed = &a.ticket.blob;
    let plain = aes256k(ROTATING_SECRET).decrypt(Usage::TICKET_INFO, sealed).unwrap();
    let info = CephXServiceTicketInfo::from_bytes(&plain).unwrap();
    assert_eq!(info.session_key, session_key());
    assert_eq!(info.ticket.name.to_string(), "client.v");
    assert_eq!(info.ticket.global_id, a.global_id);
    assert_eq!(info.ticket.old_auid, u64::MAX);
    assert_eq!(info.ticket.caps.caps, b"\x07\0\0\0allow r");
    let life = info.ticket.expires.as_duration() - info.ticket.created.as_duration();
    assert_eq!(UTime::from(life), UTime { sec: 3600, nsec: 0 });
    assert_eq!(info.to_bytes(Features::ALL), *plain);
}

/// The OSD that the authorizer was for, within the life of its ticket.
fn osd() -> (CephxAuthorizeHandler, UTime) {
    let key = aes256k(ROTATING_SECRET);
    let secret = ExpiringCryptoKey { key, expiration: UTime::default() };
    let ring = RotatingKeyRing::new(EntityType::OSD);
    ring.set_secrets(RotatingSecrets { secrets: [(2, secret)].into(), max_ver: 3 });
    let options = CephxAuthorizeOptions::default();
    let handler = CephxAuthorizeHandler::new(EntityType::OSD, Arc::new(ring), options);
    (handler, UTime { sec: 0x6b02_f840, nsec: 0 })
}

fn show(
    osd: &CephxAuthorizeHandler,
    state: &mut AuthorizerState,
    part_b: &str,
    now: UTime,
) -> AuthorizerVerdict {
    let bytes = [hex(PART_A), hex(part_b)].concat();
    osd.verify_authorizer(state, CEPH_AUTH_CEPHX, &bytes, Features::SUPPORTED, now)
}

#[test]
fn a_ticket_of_a_20_2_4_monitor_is_accepted_as_its_osd_did() {
    let (osd, now) = osd();
    let mut state = AuthorizerState::with_connection_secret(64);
    let verdict = show(&osd, &mut state, PART_B, now);
    let AuthorizerVerdict::Challenge(challenge) = verdict else { panic!("{verdict:?}") };
    assert_eq!(challenge.len(), hex(CHALLENGE).len());
    // A client of that key takes the challenge for genuine.
    osd_authorizer().add_challenge(&challenge).unwrap();

    // The answer to the OSD's own challenge.
    state.challenge = Some(SERVER_CHALLENGE);
    let verdict = show(&osd, &mut state, PART_B_ANSWERED, now);
    let AuthorizerVerdict::Accepted(accepted) = verdict else { panic!("{verdict:?}") };
    assert_eq!(accepted.reply.len(), hex(REPLY).len());
    assert_eq!(accepted.session_key, Some(session_key()));
    assert_eq!(accepted.peer.name.to_string(), "client.v");
    assert_eq!(accepted.peer.global_id, GlobalId(4191));
    assert_eq!(accepted.peer.caps.text(), Some("allow r"));
    let mut client = osd_authorizer();
    client.verify_reply(&accepted.reply).unwrap();
    assert_eq!(client.connection_secret(), accepted.connection_secret.as_ref());

    // To no other one, and without an answer not at all.
    for (challenge, part_b, error) in [
        (SERVER_CHALLENGE + 1, PART_B_ANSWERED, AuthorizerError::WrongAnswer),
        (SERVER_CHALLENGE, PART_B, AuthorizerError::Unanswered),
    ] {
        state.challenge = Some(challenge);
        let verdict = show(&osd, &mut state, part_b, now);
        assert!(matches!(verdict, AuthorizerVerdict::Refused(e) if e == error));
    }
    let late = UTime { sec: 0x6b03_0630, nsec: 0x1840_31fd };
    let verdict = show(&osd, &mut state, PART_B, late);
    let expired = AuthorizerError::Expired { expired: late };
    assert!(matches!(verdict, AuthorizerVerdict::Refused(e) if e == expired));
    let before = UTime { sec: late.sec, nsec: late.nsec - 1 };
    let verdict = show(&osd, &mut state, PART_B, before);
    assert!(matches!(verdict, AuthorizerVerdict::Challenge(_)));
}

#[test]
fn a_proof_of_type_1_as_16_2_15_took_it_is_accepted() {
    let (osd, now) = osd();
    let ticket = AuthTicket {
        name: EntityName::new(EntityType::CLIENT, "admin"),
        global_id: GlobalId(4101),
        old_auid: u64::MAX,
        created: now,
        expires: now.saturating_add(Duration::from_secs(1)),
        caps: AuthCapsInfo::default(),
        flags: 0,
    };
    let info = CephXServiceTicketInfo { ticket, session_key: aes_key() };
    let ticket = info.seal(2, &aes256k(ROTATING_SECRET)).unwrap();
    let a = CephXAuthorizeA::new(GlobalId(4101), EntityType::OSD, ticket).to_bytes(Features::ALL);
    let mut state = AuthorizerState::new();
    let mut show = |part_b: &str, challenge| {
        state.challenge = challenge;
        let bytes = [a.clone(), hex(part_b)].concat();
        osd.verify_authorizer(&mut state, CEPH_AUTH_CEPHX, &bytes, Features::SUPPORTED, now)
    };
    let fresh = "20000000979eeb6e12f4322ef510d7f1d9aefec56929305f510d0ff3abea904640aa11b2";
    let answered = "20000000979eeb6e12f4322ef510d7f1d9aefec55aab9b28d397361de9a0d19fed283129";
    let verdict = show(fresh, None);
    assert!(matches!(verdict, AuthorizerVerdict::Challenge(c) if c.len() == 32));
    let verdict = show(answered, Some(0x10));
    let AuthorizerVerdict::Accepted(accepted) = verdict else { panic!("{verdict:?}") };
    // Nonce 0x55 plus one, in an envelope.
    let reply = CephXAuthorizeReply { nonce_plus_one: 0x56, connection_secret: None };
    let mut r = Reader::new(&accepted.reply);
    let plain = aes_key().decode_decrypt(&mut r, Usage::AUTHORIZE_REPLY).unwrap();
    assert_eq!(CephXAuthorizeReply::from_bytes(&plain), Ok(reply));
}

#[test]
fn the_handshake_of_an_osd_of_20_2_4_in_secure_mode() {
    let now = some_time();
    let modes = [ConMode::Crc, ConMode::Secure];
    let start = || AuthConnector::with_authorizer(osd_authorizer(), EntityType::OSD, &modes);
    let mut connector = start();
    let offer = connector.get_auth_request().unwrap();
    assert_eq!((offer.method, offer.modes), (CEPH_AUTH_CEPHX, vec![1, 2]));
    assert_eq!(to_hex(&offer.payload[..hex(PART_A).len()]), PART_A);
    let answer = connector.handle_auth_reply_more(&hex(CHALLENGE), now).unwrap();
    let (_, b) = answer.split_at(hex(PART_A).len());
    assert_eq!(part_b(&session_key(), b), part_b(&session_key(), &hex(PART_B_ANSWERED)));
    let done = connector.handle_auth_done(GlobalId(4191), 2, &hex(REPLY), now).unwrap();
    assert_eq!(done.session_key, Some(session_key()));
    assert_eq!(to_hex(done.connection_secret.unwrap().as_bytes()), CONNECTION_SECRET);
    assert!(done.mode == ConMode::Secure && done.login.is_none());

    // In crc mode the secret is of no use.
    let mut connector = start();
    connector.get_auth_request().unwrap();
    connector.handle_auth_reply_more(&hex(CHALLENGE), now).unwrap();
    let done = connector.handle_auth_done(GlobalId(4191), 1, &hex(REPLY), now).unwrap();
    assert!(done.mode == ConMode::Crc && done.connection_secret.is_none());

    for n in 0..hex(REPLY).len() {
        let mut connector = start();
        connector.get_auth_request().unwrap();
        connector.handle_auth_reply_more(&hex(CHALLENGE), now).unwrap();
        let e = connector.handle_auth_done(GlobalId(4191), 2, &hex(REPLY)[..n], now).unwrap_err();
        assert!(matches!(e, AuthError::BadAuthorizerReply(_)), "{n}: {e}");
    }
}

#[test]
fn the_auth_done_of_a_20_2_4_monitor_ends_a_handshake() {
    let now = some_time();
    let key = Some(ENTITY_KEY.parse().unwrap());
    let name = EntityName::new(EntityType::CLIENT, "v");
    let client = AuthClient::new(name, key, &[CEPH_AUTH_CEPHX], &[EntityType::OSD]).unwrap();
    let client = Arc::new(client);
    let start = || {
        let mut connector = client.start_auth_at_mon(&[ConMode::Secure, ConMode::Crc]);
        connector.get_auth_request().unwrap();
        let challenge = CephXServerChallenge { server_challenge: 3_340_618_996_312_013_408 };
        let challenge = challenge.to_bytes(Features::ALL);
        connector.handle_auth_reply_more(&challenge, now).unwrap();
        connector
    };
    let bytes = hex(AUTH_DONE);
    let mut r = Reader::new(&bytes);
    let (id, mode, payload): (GlobalId, u32, _) =
        (r.get().unwrap(), r.u32().unwrap(), r.blob().unwrap());
    r.finish().unwrap();
    let done = start().handle_auth_done(id, mode, payload, now).unwrap();
    assert_eq!(done.session_key, Some(aes256k(AUTH_SESSION_KEY)));
    assert!(done.connection_secret.is_none());
    done.login.unwrap().install().unwrap();
    assert_eq!(client.global_id(), GlobalId(4190));

    // It was the answer to a request for crc mode: there is no secret in it.
    let e = start().handle_auth_done(id, 2, payload, now).unwrap_err();
    assert_eq!(e, AuthError::ConnectionSecretTooShort(0));
}
