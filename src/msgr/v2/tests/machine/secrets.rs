//! No `Debug` of the machine shows a key, a secret, a ticket or what a message has in it, and no key
//! outlives its socket.

use std::fmt::Debug;

use super::dialler::*;
use super::far::*;
use super::keys::*;
use super::sheets::*;
use super::*;
use crate::auth::CEPH_AUTH_CEPHX;
use crate::auth::tests::secrets::{check, secret_of};
use crate::msgr::v2::{Incoming, Request};

/// What must not be seen: a session key, what the connection's keys are cut from, the ticket, and the
/// body of a message.
fn secrets(key: &CryptoKey, ticket: &CephXTicketBlob) -> Vec<Vec<u8>> {
    vec![secret_of(key), super::super::secret(), ticket.blob.clone(), BODY.to_vec()]
}

const BODY: &[u8] = b"key = AQBGa2V5IHRoYXQgaXMgaW4gYSBtZXNzYWdl";

fn tell(secrets: &[Vec<u8>], what: &str, value: &dyn Debug) {
    check(what, value, secrets);
}

#[test]
fn debug_of_the_connecting_side() {
    use ConState::*;
    for form in FORMS {
        for key in session_keys() {
            let ticket = ticket("client.admin", &key);
            let secrets = secrets(&key, &ticket);
            let shows = Shows::Cephx(key.clone(), ticket);
            let scenario = Scenario::lossless().form(form).shows(shows);
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
                let mut con = scenario.clone().until(state);
                tell(&secrets, "Rx", &con.rx);
                tell(&secrets, "Tx", &con.tx);
                if state != Open {
                    continue;
                }
                // A message half read, and one half written.
                let theirs = Msg { front: BODY.to_vec(), data: BODY.to_vec(), ..Msg::new(1) };
                let bytes = con.far.msg(&theirs);
                con.pipe.budget = 10;
                con.tx.send(Message::new(42, BODY.to_vec()).with_data(BODY.to_vec()));
                con.receive(&bytes[..bytes.len() - 20]).unwrap();
                tell(&secrets, "Rx", &con.rx);
                tell(&secrets, "Tx", &con.tx);
                con.pipe.feed(&bytes[bytes.len() - 20..]);
                con.rx.readable();
                let incoming = con.rx.read_partial(&mut con.pipe).unwrap().unwrap();
                tell(&secrets, "Incoming", &incoming);
                tell(&secrets, "Rx", &con.rx);
            }

            // What is awaited in each state of the handshake, as it is read.
            let mut con = scenario.clone().until(V2Auth);
            let answer = con.far.frame(AUTH_REPLY_MORE, &more(&challenge(&key, 0x10)));
            con.pipe.feed(&answer);
            con.rx.readable();
            let incoming = con.rx.read_partial(&mut con.pipe).unwrap().unwrap();
            assert!(matches!(incoming, Incoming::Control(..)));
            tell(&secrets, "Incoming", &incoming);
            con.rx.process(&mut con.tx, incoming, &con.world.cx()).unwrap();
            // The answer, with the ticket in it, waits to be written.
            assert!(con.tx.out_kvec.len() > 200);
            tell(&secrets, "Tx", &con.tx);
            tell(&secrets, "Rx", &con.rx);
        }
    }
}

#[test]
fn debug_of_the_accepting_side() {
    let l = Listener::mds().auth(service());
    for key in session_keys() {
        let ticket = ticket("client.admin", &key);
        let mut secrets = secrets(&key, &ticket);
        let mut authorizer: Authorizer =
            CephXAuthorizer::new(GlobalId(4242), EntityType::MDS, &ticket, &key, AUTH_NONCE)
                .unwrap()
                .into();
        let mut socket = l.introduced(8);
        tell(&secrets, "Accept", &socket.accept);
        let request = auth_request(2, &[2], authorizer.bytes());
        let bytes = socket.far.frame(AUTH_REQUEST, &request);
        socket.pipe.feed(&bytes);
        socket.accept.readable();
        let request = socket.accept.read_partial(&mut socket.pipe).unwrap().unwrap();
        assert!(matches!(request, Request::Control(..)));
        tell(&secrets, "Request", &request);
        tell(&secrets, "Accept", &socket.accept);
        assert!(socket.accept.process(request, &l.cx()).unwrap().is_none());
        assert!(socket.run(&l).unwrap().is_none());
        tell(&secrets, "Accept", &socket.accept);
        let challenge = read_more(&socket.wrote(AUTH_REPLY_MORE));
        authorizer.add_challenge(&challenge).unwrap();
        let answer = more(authorizer.bytes());
        socket.receive_frame(&l, AUTH_REQUEST_MORE, &answer).unwrap();
        let out = socket.pipe.take_output();
        let (done, rest) = socket.far.take(&out).unwrap();
        authorizer.verify_reply(&read_auth_done(done.payload()).2).unwrap();
        let secret = authorizer.connection_secret().unwrap().as_bytes().to_vec();
        secrets.push(secret.clone());
        socket.far.set_secure(&secret);
        socket.far.read_one(AUTH_SIGNATURE, rest);
        // What the dialler's signature must be is for the dialler alone to say.
        let signature = socket.far.signature(Some(&key));
        secrets.push(signature.clone());
        tell(&secrets, "Accept", &socket.accept);
        socket.receive_frame(&l, AUTH_SIGNATURE, &signature).unwrap();
        tell(&secrets, "Accept", &socket.accept);
        let offer = socket.ident(&l, &ClientIdent::lossless());
        tell(&secrets, "Offer", &offer);
        let mut con = l.con(*offer.peer());
        let taken = socket.accept.take_over(offer, false, &l.cx()).unwrap();
        tell(&secrets, "TakeOver", &taken);
        l.take(&mut con, taken, socket.pipe, socket.far);
        con.run().unwrap();
        tell(&secrets, "Rx", &con.rx);
        tell(&secrets, "Tx", &con.tx);
    }
}

#[test]
fn debug_of_a_login() {
    for key in session_keys() {
        let (monitor, client) = monitor_for(&key, &[CEPH_AUTH_CEPHX]);
        let l = Listener::new(EntityType::MON, Policy::STATELESS_SERVER).auth(monitor);
        let secrets = [secret_of(&key)];
        let scenario = Scenario::lossy().shows(Shows::Login(client));
        let con = Scenario { peer_type: EntityType::MON, ..scenario }.until(ConState::V2Auth);
        tell(&secrets, "Rx", &con.rx);
        tell(&secrets, "Listener", &l);
    }
}

/// Keys are wiped as they are dropped, and they are dropped with their socket.
#[test]
fn no_key_outlives_its_socket() {
    let has_keys = |con: &Con| format!("{:?}{:?}", con.rx, con.tx).contains("Seal");
    let states = [ConState::V2AuthSignature, ConState::V2SessionConnect, ConState::Open];
    for state in states {
        for revision in [0, 1] {
            let scenario = Scenario::lossless().form((revision, ConMode::Secure));
            let end = |how: &dyn Fn(&mut Con)| {
                let mut con = scenario.clone().until(state);
                assert!(has_keys(&con), "{state}");
                how(&mut con);
                assert!(!has_keys(&con), "{state}");
            };
            end(&|con| {
                con.fault(&Fault::PeerClosed);
            });
            // A reader that has met a fault is done with them too.
            end(&|con| {
                con.send(1);
                con.receive(&[0; 200]).unwrap_err();
                con.fault(&Fault::BadSeal);
            });
            end(&|con| {
                let l = Listener::new(EntityType::MDS, Policy::LOSSLESS_PEER);
                con.tx.session.client_cookie = CLIENT_COOKIE;
                con.tx.session.server_cookie = COOKIE;
                l.reconnect(con, &Reconnect::again(COOKIE, 11, 1));
            });
        }
    }
}
