//! HELLO, authentication and the signatures, as the accepting side sees them.

use super::dialler::*;
use super::far::*;
use super::keys::*;
use super::sheets::*;
use super::*;
use crate::auth::{AuthRefusal, Authorizer};
use crate::crypto::KeyType;
use crate::limits::{MAX_AUTH_REQUESTS, MAX_CONNECT_ROUNDS};
use crate::msgr::v2::{Offer, Tag};

/// Shows the authorizer, and answers its challenge: what the machine wrote.
fn show(l: &Listener, socket: &mut Socket, authorizer: &mut Authorizer, mode: u32) -> Vec<u8> {
    let request = auth_request(2, &[mode], authorizer.bytes());
    assert!(socket.receive_frame(l, AUTH_REQUEST, &request).unwrap().is_none());
    let challenge = read_more(&socket.wrote(AUTH_REPLY_MORE));
    authorizer.add_challenge(&challenge).unwrap();
    let answer = more(authorizer.bytes());
    assert!(socket.receive_frame(l, AUTH_REQUEST_MORE, &answer).unwrap().is_none());
    socket.pipe.take_output()
}

fn authorizer(key: &CryptoKey) -> Authorizer {
    let ticket = ticket("client.admin", key);
    CephXAuthorizer::new(GlobalId(4242), EntityType::MDS, &ticket, key, AUTH_NONCE).unwrap().into()
}

fn strict(revision: u8) -> Listener {
    Listener { revision, ..Listener::mds().auth(service()) }
}

/// Up to the dialler's signature, which is due: what has been shown is right, and so is what came.
fn shown(l: &Listener, form: (u8, ConMode), key: &CryptoKey) -> Socket {
    let mut socket = l.introduced(8);
    let mut authorizer = authorizer(key);
    let out = show(l, &mut socket, &mut authorizer, form.1.number());
    let (done, rest) = socket.far.take(&out).unwrap();
    assert_eq!(done.tag, AUTH_DONE);
    let (global_id, mode, proof) = read_auth_done(done.payload());
    assert_eq!((global_id, mode), (4242, form.1.number()));
    authorizer.verify_reply(&proof).unwrap();
    if let Some(secret) = authorizer.connection_secret() {
        assert_eq!(secret.as_bytes().len(), 64);
        socket.far.set_secure(secret.as_bytes());
    }
    assert_eq!(socket.far.is_sealed(), form.1 == ConMode::Secure);
    // Sent at once, and in the mode that AUTH_DONE says.
    let signature = socket.far.read_one(AUTH_SIGNATURE, rest);
    assert_eq!(signature, socket.far.expected(Some(key)));
    socket.key = Some(key.clone());
    assert!(socket.accept.is_introduced());
    socket
}

fn sign(
    l: &Listener,
    socket: &mut Socket,
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<Option<Offer>, Fault> {
    let mut signature = socket.far.signature(socket.key.as_ref());
    change(&mut signature);
    socket.receive_frame(l, AUTH_SIGNATURE, &signature)
}

#[test]
fn an_authorizer_in_every_form_with_both_types_of_keys() {
    for form in FORMS {
        for key in session_keys() {
            let l = strict(form.0);
            let mut socket = shown(&l, form, &key);
            assert!(sign(&l, &mut socket, |_| ()).unwrap().is_none());
            let offer = socket.ident(&l, &ClientIdent::lossless());
            assert_eq!(offer.peer().name, EntityName::new(EntityType::CLIENT, 4242));
            assert_eq!(offer.auth_peer().global_id, GlobalId(4242));
            let mut con = l.con(*offer.peer());
            l.take_over(&mut con, socket, offer, false);
            con.run().unwrap();
            con.wrote(SERVER_IDENT);
            assert_eq!((con.state(), con.tx.con_mode()), (ConState::Open, Some(form.1)));
            con.receive_msgs([1]).unwrap();
            assert_eq!(con.received(), [1], "{form:?}");
            assert_eq!(con.said(), [Said::Ack(1)], "{form:?}");
        }
    }
}

#[test]
fn a_wrong_signature_ends_it_whatever_is_wrong() {
    for form in FORMS {
        for key in session_keys() {
            let l = strict(form.0);
            for bit in (0..256).step_by(7) {
                let mut socket = shown(&l, form, &key);
                let fault = sign(&l, &mut socket, |s| s[bit / 8] ^= 1 << (bit % 8)).unwrap_err();
                assert_eq!((&fault, socket.pipe.output.len()), (&Fault::BadAuthSignature, 0));
                // For ever, whatever comes.
                let good = sign(&l, &mut socket, |_| ());
                assert_eq!(good.unwrap_err(), fault);
            }
            let mut socket = shown(&l, form, &key);
            let reflected = socket.far.expected(Some(&key));
            for bad in [vec![0; 32], reflected] {
                let mut socket = shown(&l, form, &key);
                let fault = sign(&l, &mut socket, |s| *s = bad).unwrap_err();
                assert_eq!(fault, Fault::BadAuthSignature);
            }
            socket.far.received[3] ^= 1;
            assert_eq!(sign(&l, &mut socket, |_| ()).unwrap_err(), Fault::BadAuthSignature);
        }
    }
}

#[test]
fn nothing_is_looked_at_before_the_signature() {
    let l = strict(1);
    for (tag, payload) in [
        (CLIENT_IDENT, ClientIdent::lossless().bytes()),
        (SESSION_RECONNECT, Reconnect::again(1, 11, 1).bytes()),
        (AUTH_REQUEST, auth_request(2, &[1], &[])),
    ] {
        let mut socket = shown(&l, (1, ConMode::Crc), &aes_key());
        let fault = socket.receive_frame(&l, tag, &payload).unwrap_err();
        assert_eq!(fault, Fault::UnexpectedTag(Tag::try_from(tag).unwrap()));
    }
}

#[test]
fn the_first_of_the_diallers_modes_that_is_allowed_is_taken() {
    use ConMode::{Crc, Secure};
    for (modes, allowed, mode) in [
        (&[1, 2][..], &[Secure, Crc][..], 1),
        (&[2, 1], &[Crc, Secure], 2),
        (&[7, 0, 2, 1], &[Crc, Secure], 2),
        (&[1, 2], &[Secure], 2),
        (&[2, 1], &[Crc], 1),
    ] {
        let allowed: &'static [ConMode] = allowed.to_vec().leak();
        let options = Options { supported: DAEMON, modes: allowed, ..Options::default() };
        let l = Listener::with(EntityType::MDS, Policy::STATEFUL_SERVER, options);
        let l = l.auth(service());
        let mut socket = l.introduced(8);
        let mut authorizer = authorizer(&aes_key());
        let request = auth_request(2, modes, authorizer.bytes());
        socket.receive_frame(&l, AUTH_REQUEST, &request).unwrap();
        let challenge = read_more(&socket.wrote(AUTH_REPLY_MORE));
        authorizer.add_challenge(&challenge).unwrap();
        let answer = more(authorizer.bytes());
        socket.receive_frame(&l, AUTH_REQUEST_MORE, &answer).unwrap();
        let out = socket.pipe.take_output();
        let (done, _) = socket.far.take(&out).unwrap();
        assert_eq!(read_auth_done(done.payload()).1, mode, "{modes:?} of {allowed:?}");
    }
}

#[test]
fn what_is_refused_is_answered_with_what_would_be_taken_and_may_be_tried_again() {
    let key = aes_key();
    let good = authorizer(&key).bytes().to_vec();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let options = Options { supported: DAEMON, modes: &[ConMode::Secure], ..Options::default() };
    let l = Listener::with(EntityType::MDS, Policy::STATEFUL_SERVER, options).auth(service());
    let mut socket = l.introduced(8);
    for (method, modes, payload, errno) in [
        (2, &[1][..], &good[..], 95),
        (2, &[], &good, 95),
        (2, &[3, 4], &good, 95),
        (1, &[2], &none_authorizer(8), 95),
        (0, &[2], &[], 95),
        (4, &[2], &good, 95),
        (2, &[2], &[], 13),
        (2, &[2], &flipped, 13),
        (2, &[2], &good[..50], 13),
        (2, &[2], &[5; 20], 13),
        (2, &[2], &[20; 20], 13),
        // A login, where there are none.
        (2, &[2], &[10, 8, 0, 0, 0], 13),
    ] {
        let request = auth_request(method, modes, payload);
        assert!(socket.receive_frame(&l, AUTH_REQUEST, &request).unwrap().is_none());
        let refusal = read_bad_method(&socket.wrote(AUTH_BAD_METHOD));
        assert_eq!(refusal, (method, -errno, vec![2], vec![2]), "{method} {modes:?}");
    }
    // The same socket takes a better one, and its signature covers all of this.
    let mut authorizer = authorizer(&key);
    let out = show(&l, &mut socket, &mut authorizer, 2);
    let (done, rest) = socket.far.take(&out).unwrap();
    authorizer.verify_reply(&read_auth_done(done.payload()).2).unwrap();
    socket.far.set_secure(authorizer.connection_secret().unwrap().as_bytes());
    let signature = socket.far.read_one(AUTH_SIGNATURE, rest);
    assert_eq!(signature, socket.far.expected(Some(&key)));
    socket.key = Some(key);
    assert!(sign(&l, &mut socket, |_| ()).unwrap().is_none());
}

#[test]
fn requests_have_an_end() {
    let l = strict(1);
    let mut socket = l.introduced(8);
    for _ in 0..MAX_AUTH_REQUESTS {
        socket.receive_frame(&l, AUTH_REQUEST, &auth_request(7, &[1], &[])).unwrap();
        socket.wrote(AUTH_BAD_METHOD);
    }
    let fault = socket.receive_frame(&l, AUTH_REQUEST, &auth_request(7, &[1], &[])).unwrap_err();
    let why = AuthRefusal::TooManyRequests(MAX_AUTH_REQUESTS);
    assert_eq!((fault, socket.pipe.output.len()), (Fault::AuthRefused(why), 0));
}

#[test]
fn after_a_challenge_there_is_one_answer() {
    let l = strict(1);
    let challenged = || {
        let mut socket = l.introduced(8);
        let authorizer = authorizer(&aes_key());
        let request = auth_request(2, &[1], authorizer.bytes());
        socket.receive_frame(&l, AUTH_REQUEST, &request).unwrap();
        socket.wrote(AUTH_REPLY_MORE);
        (socket, authorizer)
    };
    // A new request in place of it, and an answer to nothing.
    let (mut socket, a) = challenged();
    let again = auth_request(2, &[1], a.bytes());
    let fault = socket.receive_frame(&l, AUTH_REQUEST, &again).unwrap_err();
    assert_eq!(fault, Fault::AuthRefused(AuthRefusal::UnexpectedRequest));
    let mut socket = l.introduced(8);
    let fault = socket.receive_frame(&l, AUTH_REQUEST_MORE, &more(a.bytes())).unwrap_err();
    assert_eq!(fault, Fault::AuthRefused(AuthRefusal::UnexpectedRequest));
    // A wrong one is refused, and then there is none.
    let (mut socket, a) = challenged();
    assert!(socket.receive_frame(&l, AUTH_REQUEST_MORE, &more(a.bytes())).unwrap().is_none());
    assert_eq!(read_bad_method(&socket.wrote(AUTH_BAD_METHOD)).1, -13);
    let fault = socket.receive_frame(&l, AUTH_REQUEST, &auth_request(2, &[1], a.bytes()));
    assert_eq!(fault.unwrap_err(), Fault::AuthRefused(AuthRefusal::UnexpectedRequest));
}

/// A recorded answer is good on its own socket alone.
#[test]
fn an_answer_cannot_be_used_again() {
    let l = strict(1);
    let mut authorizer = authorizer(&aes_key());
    show(&l, &mut l.introduced(8), &mut authorizer, 1);
    let mut socket = l.introduced(8);
    let request = auth_request(2, &[1], authorizer.bytes());
    socket.receive_frame(&l, AUTH_REQUEST, &request).unwrap();
    socket.wrote(AUTH_REPLY_MORE);
    let answer = more(authorizer.bytes());
    socket.receive_frame(&l, AUTH_REQUEST_MORE, &answer).unwrap();
    assert_eq!(read_bad_method(&socket.wrote(AUTH_BAD_METHOD)).1, -13);
}

#[test]
fn who_says_hello_as_another_type_than_its_ticket_is_not_believed() {
    let l = strict(1);
    for claimed in [0, 1, 2, 4, 0x10, 0x40] {
        let mut socket = l.introduced(claimed);
        let out = show(&l, &mut socket, &mut authorizer(&aes_key()), 1);
        assert_eq!(read_bad_method(&socket.far.read_one(AUTH_BAD_METHOD, &out)).1, -13);
    }
}

#[test]
fn a_login_at_a_monitor_is_handed_over() {
    for key_type in KEY_TYPES {
        for mode in [ConMode::Secure, ConMode::Crc] {
            let (monitor, client) = cephx_monitor(key_type);
            let l = Listener::new(EntityType::MON, Policy::STATELESS_SERVER).auth(monitor);
            let mut connector = client.start_auth_at_mon(&[mode]);
            let mut socket = l.introduced(8);
            let now = World::new(Local::new(EntityType::CLIENT, 1, l.options), Shows::None).now;

            let offer = connector.get_auth_request().unwrap();
            let request = auth_request(offer.method, &offer.modes, &offer.payload);
            socket.receive_frame(&l, AUTH_REQUEST, &request).unwrap();
            let challenge = read_more(&socket.wrote(AUTH_REPLY_MORE));
            let proof = connector.handle_auth_reply_more(&challenge, now).unwrap();
            socket.receive_frame(&l, AUTH_REQUEST_MORE, &more(&proof)).unwrap();
            let out = socket.pipe.take_output();
            let (done, rest) = socket.far.take(&out).unwrap();
            let (id, con_mode, payload) = read_auth_done(done.payload());
            assert_eq!((id, con_mode), (4101, mode.number()));
            let done = connector.handle_auth_done(GlobalId(id), con_mode, &payload, now).unwrap();
            if let Some(secret) = &done.connection_secret {
                socket.far.set_secure(secret.as_bytes());
            }
            socket.key = done.session_key;
            let signature = socket.far.read_one(AUTH_SIGNATURE, rest);
            assert_eq!(signature, socket.far.expected(socket.key.as_ref()));
            assert!(sign(&l, &mut socket, |_| ()).unwrap().is_none());

            let offer = socket.ident(&l, &ClientIdent::lossy());
            assert_eq!(offer.auth_peer().name.to_string(), "client.admin");
            assert_eq!(offer.peer().name, EntityName::new(EntityType::CLIENT, 4101));
            let mut taken = socket.accept.take_over(offer, false, &l.cx()).unwrap();
            let login = taken.take_login().expect("the login goes on with messages");
            assert_eq!(login.peer().unwrap().global_id, GlobalId(4101));
            assert!(taken.take_login().is_none());
            let mut con = l.con(*taken.peer());
            l.take(&mut con, taken, socket.pipe, socket.far);
            con.run().unwrap();
            con.wrote(SERVER_IDENT);
            assert_eq!(con.state(), ConState::Open);
        }
    }
}

#[test]
fn a_wrong_key_gets_its_challenge_and_then_an_errno() {
    let (monitor, _) = cephx_monitor(KeyType::Aes);
    let (_, stranger) = cephx_monitor(KeyType::Aes);
    let l = Listener::new(EntityType::MON, Policy::STATELESS_SERVER).auth(monitor);
    let mut connector = stranger.start_auth_at_mon(&[ConMode::Secure]);
    let now = World::new(Local::new(EntityType::CLIENT, 1, l.options), Shows::None).now;
    let mut socket = l.introduced(8);
    let offer = connector.get_auth_request().unwrap();
    let request = auth_request(offer.method, &offer.modes, &offer.payload);
    socket.receive_frame(&l, AUTH_REQUEST, &request).unwrap();
    let challenge = read_more(&socket.wrote(AUTH_REPLY_MORE));
    let proof = connector.handle_auth_reply_more(&challenge, now).unwrap();
    socket.receive_frame(&l, AUTH_REQUEST_MORE, &more(&proof)).unwrap();
    assert_eq!(read_bad_method(&socket.wrote(AUTH_BAD_METHOD)).1, -13);
}

#[test]
fn rounds_have_an_end_here_too() {
    let l = Listener::mds();
    let mut socket = l.signed();
    let mut rounds = 3;
    let fault = loop {
        match socket.receive_frame(&l, SESSION_RECONNECT, &Reconnect::again(1, 10, 1).bytes()) {
            Ok(offer) => {
                assert!(offer.is_some());
                socket.retry(crate::msgr::Retry::ResetSession { full: true });
            }
            Err(fault) => break fault,
        }
        rounds += 1;
    };
    assert_eq!((fault, rounds), (Fault::TooManyRounds(MAX_CONNECT_ROUNDS), MAX_CONNECT_ROUNDS));
}
