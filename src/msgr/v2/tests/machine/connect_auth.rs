//! HELLO, authentication and the signatures, as the connecting side sees them.

use super::far::*;
use super::keys::*;
use super::sheets::*;
use super::*;
use crate::auth::{AuthAcceptor, AuthAnswer, AuthGranted};

#[test]
fn who_answers_must_be_of_the_type_that_was_dialled() {
    for other in [0, 1, 4, 8, 0x10, 0x40, 255] {
        let mut con = Scenario::lossless().cephx(aes_key()).until(ConState::V2Hello);
        let seen = addr_of(2, [10, 1, 2, 3], 51234, 0);
        let fault = con.receive_frame(HELLO, &hello(other, &seen)).unwrap_err();
        let (want, got) = (EntityType::MDS, EntityType(other));
        assert_eq!(fault, Fault::WrongPeerType { want, got });
        // No authorizer for a stranger, no address believed from one.
        assert_eq!((&con.pipe.output[..], con.world.auth.asked()), (&b""[..], 0));
        assert!(con.world.local.addr().is_blank_ip());
        assert_eq!(con.fault(&fault), Consequence::Close);
    }
}

#[test]
fn an_address_is_learned_from_hello_of_who_is_believed_and_only_an_ip_address() {
    let unknown = Scenario::lossless().until(ConState::V2Hello).world.local.addr().to_string();
    let learned = |seen: &[u8]| {
        let mut con = Scenario::lossless().until(ConState::V2Hello);
        con.receive_frame(HELLO, &hello(2, seen)).unwrap();
        con.wrote(AUTH_REQUEST);
        con.receive_frame(AUTH_DONE, &auth_done(4242, 1, &[])).unwrap();
        con.wrote(AUTH_SIGNATURE);
        assert_eq!(con.world.local.addr().to_string(), unknown, "anybody may have said that");
        let signature = con.far.signature(None);
        con.receive_frame(AUTH_SIGNATURE, &signature).unwrap();
        con.world.local.addr().to_string()
    };
    assert_eq!(learned(&addr_of(2, [10, 1, 2, 3], 51234, 9)), "v1:10.1.2.3:0/305419896");
    assert_eq!(learned(&addr_of(1, [10, 1, 2, 3], 51234, 9)), "v1:10.1.2.3:0/305419896");
    assert_eq!(learned(&addr_of(2, [0; 4], 51234, 0)), unknown);
    assert_eq!(learned(&no_addr()), unknown);
}

#[test]
fn modes_are_offered_in_the_order_of_the_options_and_as_the_method_can_keep_them() {
    use ConMode::{Crc, Secure};
    let offered = |scenario: Scenario| {
        let (method, modes, _) = scenario.until(ConState::Preopen).dial_to_auth();
        (method, modes)
    };
    let cephx = || Scenario::lossless().cephx(aes_key());
    assert_eq!(offered(cephx()), (2, vec![1, 2]));
    assert_eq!(offered(Scenario { peer_type: EntityType::MON, ..cephx() }), (2, vec![2, 1]));
    assert_eq!(offered(cephx().options(|o| o.modes = &[Secure])), (2, vec![2]));
    assert_eq!(offered(cephx().options(|o| o.modes = &[Crc])), (2, vec![1]));
    assert_eq!(offered(Scenario::lossless()), (1, vec![1]));

    // Without a key nothing can be sealed.
    let mut con = Scenario::lossless().options(|o| o.modes = &[Secure]).until(ConState::V2Hello);
    let fault = con.receive_frame(HELLO, &con.far_hello()).unwrap_err();
    assert_eq!((&fault, &con.pipe.output[..]), (&Fault::Auth(AuthError::NoMode), &b""[..]));
    con.fault(&fault);
    assert_eq!(con.world.auth.invalidated(), 0);
}

#[test]
fn without_a_ticket_nothing_is_said() {
    let mut con = Scenario::lossless().shows(Shows::NoTicket).until(ConState::V2Hello);
    let fault = con.receive_frame(HELLO, &con.far_hello()).unwrap_err();
    assert_eq!(fault, Fault::Auth(AuthError::NoTicket { service: EntityType::MDS }));
    assert_eq!(con.pipe.output, b"");
    con.fault(&fault);
    assert_eq!(con.world.auth.invalidated(), 1);
}

/// With every form of frames and both types of keys: HELLO, one challenge, and the signatures.
#[test]
fn an_authorizer_and_its_answer() {
    for form in FORMS {
        for key in session_keys() {
            let mut con = Scenario::lossless().form(form).cephx(key.clone()).connect();
            assert_eq!(con.tx.con_mode(), Some(form.1));
            assert_eq!(con.far.is_sealed(), form.1 == ConMode::Secure);
            con.answer_ident();
            con.receive_msgs([1]).unwrap();
            con.send(7);
            con.run().unwrap();
            assert_eq!(con.received(), [1]);
            assert_eq!(fronts(&con.said()), [7]);
            assert_eq!(con.world.auth.invalidated(), 0);
        }
    }
}

#[test]
fn an_authorizer_byte_for_byte() {
    let (_, _, authorizer) =
        Scenario::lossless().cephx(aes_key()).until(ConState::Preopen).dial_to_auth();
    // Part a: version 1, which is the auth_mode too, global_id, service MDS, the ticket.
    let part_a = crate::hex::hex("01 9210000000000000 02000000 01 0200000000000000 70000000");
    assert_eq!(authorizer[..26], part_a);
    assert_eq!(open_authorizer(&aes_key(), &authorizer), (AUTH_NONCE, None));
}

#[test]
fn there_is_one_challenge_and_it_must_be_the_services() {
    for key in session_keys() {
        let with = || Scenario::lossless().cephx(key.clone()).until(ConState::V2Auth);
        let mut con = with();
        con.far_proof();
        let again = more(&challenge(&key, 0x10));
        let fault = con.receive_frame(AUTH_REPLY_MORE, &again).unwrap_err();
        assert_eq!(fault, Fault::Auth(AuthError::UnexpectedReply));

        let mut sealed = challenge(&key, 0x10);
        *sealed.last_mut().unwrap() ^= 1;
        for bad in [sealed, challenge(&aes256k_of(1), 0x10), vec![], vec![0; 32]] {
            let fault = with().receive_frame(AUTH_REPLY_MORE, &more(&bad)).unwrap_err();
            assert!(matches!(fault, Fault::Auth(AuthError::BadChallenge(_))), "{fault:?}");
        }
    }
    let mut con = Scenario::lossless().until(ConState::V2Auth);
    let fault = con.receive_frame(AUTH_REPLY_MORE, &more(&[1; 9])).unwrap_err();
    assert_eq!(fault, Fault::Auth(AuthError::UnexpectedChallenge));
}

fn aes256k_of(byte: u8) -> CryptoKey {
    crate::crypto::tests::aes256k(&format!("{byte:02x}").repeat(32))
}

#[test]
fn a_refusal_is_told_and_only_another_method_is_tried() {
    let service = EntityType::MDS;
    for (method, result, methods, modes, why) in [
        (2, -13, &[2][..], &[1, 2][..], AuthError::AuthorizerRefused { service, errno: 13 }),
        (
            2,
            -95,
            &[2],
            &[1],
            AuthError::NoCommonMode {
                offered: &[ConMode::Crc, ConMode::Secure],
                allowed: &[ConMode::Crc],
            },
        ),
        (2, -95, &[1], &[1], AuthError::NoCommonProtocol),
        (2, -95, &[], &[], AuthError::NoCommonProtocol),
        (1, -95, &[2], &[1], AuthError::BadProtocol(1)),
        (2, 0, &[2], &[1], AuthError::AuthorizerRefused { service, errno: 0 }),
        (2, i32::MIN, &[2], &[1], AuthError::AuthorizerRefused { service, errno: i32::MAX }),
    ] {
        for answered in [false, true] {
            let mut con = Scenario::lossless().cephx(aes_key()).until(ConState::V2Auth);
            if answered {
                con.far_proof();
            }
            let refusal = bad_method(method, result, methods, modes);
            let fault = con.receive_frame(AUTH_BAD_METHOD, &refusal).unwrap_err();
            assert_eq!(con.pipe.output, b"", "no second request");
            // Behind the answer to a challenge there is nothing to negotiate.
            let why = match why {
                AuthError::NoCommonMode { .. } | AuthError::NoCommonProtocol if answered => {
                    AuthError::AuthorizerRefused { service, errno: 95 }
                }
                ref why => why.clone(),
            };
            let agree =
                !matches!(why, AuthError::NoCommonMode { .. } | AuthError::NoCommonProtocol);
            assert_eq!(fault, Fault::Auth(why));
            con.fault(&fault);
            // The ticket is at fault, or what both sides allow.
            assert_eq!(con.world.auth.invalidated(), usize::from(agree));
        }
    }
}

#[test]
fn a_mode_that_was_not_offered_is_refused_and_a_secret_that_is_too_short() {
    let secret = super::super::secret();
    let done = |scenario: Scenario, mode: u32, secret: &[u8]| {
        let mut con = scenario.cephx(aes_key()).until(ConState::V2Auth);
        con.far_proof();
        let proof = authorizer_reply(&aes_key(), AUTH_NONCE, secret);
        let outcome = con.receive_frame(AUTH_DONE, &auth_done(4242, mode, &proof));
        assert_eq!(con.pipe.output.is_empty(), outcome.is_err(), "no signature after a fault");
        assert_eq!(con.tx.con_mode().is_some(), outcome.is_ok());
        outcome
    };
    let bad_mode = |mode| Err(Fault::Auth(AuthError::BadMode(mode)));
    let both = Scenario::lossless;
    let secure = || both().options(|o| o.modes = &[ConMode::Secure]);
    let crc = || both().options(|o| o.modes = &[ConMode::Crc]);
    for mode in [0, 3, 255, u32::MAX] {
        assert_eq!(done(both(), mode, &secret), bad_mode(mode));
    }
    assert_eq!(done(secure(), 1, &[]), bad_mode(1));
    assert_eq!(done(secure(), 1, &secret), bad_mode(1));
    assert_eq!(done(crc(), 2, &secret), bad_mode(2));
    assert_eq!((done(both(), 1, &[]), done(both(), 2, &secret)), (Ok(()), Ok(())));
    // A secret that is not asked for is not used.
    assert_eq!(done(both(), 1, &secret), Ok(()));
    for n in [0, 1, 16, 39] {
        let short = Err(Fault::Auth(AuthError::ConnectionSecretTooShort(n)));
        assert_eq!(done(both(), 2, &secret[..n]), short, "{n} bytes");
    }
    assert_eq!(done(both(), 2, &secret[..40]), Ok(()));
}

#[test]
fn who_cannot_open_the_authorizer_is_not_believed() {
    for key in session_keys() {
        let other = aes256k_of(9);
        let good = authorizer_reply(&key, AUTH_NONCE, &[]);
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bad in [
            vec![],
            flipped,
            good[..good.len() - 1].to_vec(),
            authorizer_reply(&other, AUTH_NONCE, &[]),
            authorizer_reply(&key, AUTH_NONCE + 1, &[]),
            authorizer_reply(&key, AUTH_NONCE - 1, &[]),
        ] {
            // With and without a challenge before it.
            for challenged in [true, false] {
                let mut con = Scenario::lossless().cephx(key.clone()).until(ConState::V2Auth);
                if challenged {
                    con.far_proof();
                }
                let fault = con.receive_frame(AUTH_DONE, &auth_done(4242, 1, &bad)).unwrap_err();
                let told = matches!(
                    fault,
                    Fault::Auth(AuthError::BadAuthorizerReply(_) | AuthError::BadNonce)
                );
                assert!(told && con.pipe.output.is_empty(), "{fault:?}");
            }
        }
    }
}

/// The peer's signature, or something else in its place.
fn sign(con: &mut Con, change: impl FnOnce(&mut Vec<u8>)) -> Result<(), Fault> {
    let mut signature = con.far.signature(con.key().as_ref());
    change(&mut signature);
    con.receive_frame(AUTH_SIGNATURE, &signature)
}

#[test]
fn a_wrong_signature_ends_it_whatever_is_wrong() {
    for form in FORMS {
        for key in session_keys() {
            let signed = || {
                let con = Scenario::lossless().form(form).cephx(key.clone());
                con.until(ConState::V2AuthSignature)
            };
            for bit in (0..256).step_by(7) {
                let mut con = signed();
                let fault = sign(&mut con, |s| s[bit / 8] ^= 1 << (bit % 8)).unwrap_err();
                assert_eq!((fault, &con.pipe.output[..]), (Fault::BadAuthSignature, &b""[..]));
            }
            let mut con = signed();
            assert_eq!(sign(&mut con, |s| s.fill(0)), Err(Fault::BadAuthSignature));
            // What we have sent, signed by us, sent back.
            let mut con = signed();
            let ours = con.far.expected(Some(&key));
            assert_eq!(sign(&mut con, |s| *s = ours), Err(Fault::BadAuthSignature));
            let mut con = signed();
            let other = key_like(&key);
            let theirs = con.far.signature(Some(&other));
            assert_eq!(sign(&mut con, |s| *s = theirs), Err(Fault::BadAuthSignature));
            let mut con = signed();
            assert!(matches!(sign(&mut con, |s| s.truncate(31)), Err(Fault::Decode(_))));
        }
    }
    let mut con = Scenario::lossless().until(ConState::V2AuthSignature);
    assert_eq!(sign(&mut con, |s| s[31] = 1), Err(Fault::BadAuthSignature), "there is no key");
}

fn key_like(key: &CryptoKey) -> CryptoKey {
    CryptoKey::generate(key.key_type(), UTime::default()).unwrap()
}

/// Any byte that the peer has read otherwise than it was sent.
#[test]
fn a_signature_is_of_every_byte_of_the_handshake() {
    let sent = Scenario::lossless().cephx(aes_key()).until(ConState::V2AuthSignature).far.received;
    for at in 0..sent.len() {
        let mut con = Scenario::lossless().cephx(aes_key()).until(ConState::V2AuthSignature);
        con.far.received[at] ^= 0x80;
        assert_eq!(sign(&mut con, |_| ()), Err(Fault::BadAuthSignature), "byte {at}");
    }
}

/// A connection to a monitor whose part in the login is played by what the accepting side of auth
/// says, in frames of the tables.
struct Login {
    con: Con,
    acceptor: AuthAcceptor,
    server: Arc<crate::auth::AuthMonitor>,
}

impl Login {
    fn new(client: &Arc<AuthClient>, server: &Arc<crate::auth::AuthMonitor>) -> Self {
        let scenario = Scenario::lossy().shows(Shows::Login(client.clone()));
        let con = Scenario { peer_type: EntityType::MON, ..scenario }.until(ConState::Preopen);
        let modes = [ConMode::Secure, ConMode::Crc];
        Self {
            con,
            acceptor: AuthAcceptor::new(EntityType::CLIENT, &modes),
            server: server.clone(),
        }
    }

    /// Answers AUTH_REQUEST, up to AUTH_DONE.
    fn authenticate(&mut self, mode: ConMode) -> Box<AuthGranted> {
        let Self { con, acceptor, server } = self;
        let (method, modes, payload) = con.dial_to_auth();
        assert_eq!((method, modes), (2, vec![2, 1]));
        let offer = crate::auth::AuthOffer { method, modes: vec![mode.number()], payload };
        let answer = acceptor.handle_auth_request(server, &offer, WALL).unwrap();
        let AuthAnswer::ReplyMore(challenge) = answer else { panic!("{answer:?}") };
        assert_eq!((challenge[0], challenge.len()), (1, 9));
        con.receive_frame(AUTH_REPLY_MORE, &more(&challenge)).unwrap();
        let proof = read_more(&con.wrote(AUTH_REQUEST_MORE));
        let answer = acceptor.handle_auth_request_more(server, &proof, WALL).unwrap();
        let AuthAnswer::Done(granted) = answer else { panic!("{answer:?}") };
        let done = auth_done(4101, mode.number(), &granted.payload);
        con.receive_frame(AUTH_DONE, &done).unwrap();
        if let Some(secret) = &granted.connection_secret {
            con.far.set_secure(secret.as_bytes());
        }
        let signature = con.wrote(AUTH_SIGNATURE);
        assert_eq!(signature, con.far.expected(granted.session_key.as_ref()));
        granted
    }
}

#[test]
fn a_login_at_a_monitor_is_handed_over_once_the_signature_is_right() {
    for key_type in KEY_TYPES {
        for mode in [ConMode::Secure, ConMode::Crc] {
            let (monitor, client) = cephx_monitor(key_type);
            let mut login = Login::new(&client, &monitor);
            let granted = login.authenticate(mode);
            let con = &mut login.con;
            assert_eq!(con.far.is_sealed(), mode == ConMode::Secure);
            assert!(con.world.auth.take_login().is_none(), "nobody has shown who it is");
            let signature = con.far.signature(granted.session_key.as_ref());
            con.receive_frame(AUTH_SIGNATURE, &signature).unwrap();
            let mut login = con.world.auth.take_login().expect("the login");
            login.install().unwrap();
            assert_eq!(client.global_id(), GlobalId(4101));
            con.wrote(CLIENT_IDENT);
            con.answer_ident();

            // And not where the signature is wrong.
            let (monitor, client) = cephx_monitor(key_type);
            let mut login = Login::new(&client, &monitor);
            login.authenticate(mode);
            let fault = login.con.receive_frame(AUTH_SIGNATURE, &[0; 32]).unwrap_err();
            assert_eq!(fault, Fault::BadAuthSignature);
            assert!(login.con.world.auth.take_login().is_none());
        }
    }
}

#[test]
fn a_monitor_that_takes_no_proof_is_believed_only_where_that_is_allowed() {
    let refusal = bad_method(2, -95, &[1], &[1]);
    let (monitor, client) = cephx_monitor(crate::crypto::KeyType::Aes);
    let mut strict = Login::new(&client, &monitor).con;
    strict.dial_to_auth();
    let fault = strict.receive_frame(AUTH_BAD_METHOD, &refusal).unwrap_err();
    assert_eq!(
        (fault, &strict.pipe.output[..]),
        (Fault::Auth(AuthError::NoCommonProtocol), &b""[..])
    );

    let (monitor, client) = lax_monitor(crate::crypto::KeyType::Aes);
    let mut lax = Login::new(&client, &monitor).con;
    assert_eq!(lax.dial_to_auth().0, 2, "a proof is offered before none");
    lax.receive_frame(AUTH_BAD_METHOD, &refusal).unwrap();
    let (method, modes, _) = read_auth_request(&lax.wrote(AUTH_REQUEST));
    assert_eq!((method, modes), (1, vec![1]));
    // It has nothing else to offer.
    let none = bad_method(1, -95, &[2], &[2]);
    let fault = lax.receive_frame(AUTH_BAD_METHOD, &none).unwrap_err();
    assert_eq!(fault, Fault::Auth(AuthError::NoCommonProtocol));
}

#[test]
fn answers_without_end_are_refused() {
    // The login answers each by an error; only RETRY keeps a handshake going.
    let mut con = Scenario::lossless().reconnect();
    let mut n = 0;
    let fault = loop {
        match con.receive_frame(SESSION_RETRY, &0u64.to_le_bytes()) {
            Ok(()) => drop(con.wrote(SESSION_RECONNECT)),
            Err(fault) => break fault,
        }
        n += 1;
    };
    // HELLO, AUTH_DONE and AUTH_SIGNATURE were before.
    assert_eq!((fault, n), (Fault::TooManyRounds(32), 32 - 3));
    // The next socket begins to count anew.
    con.fault(&Fault::TooManyRounds(32));
    con.dial_to_reconnect();
    con.reconnected(1).unwrap();
    assert_eq!(con.state(), ConState::Open);
}
