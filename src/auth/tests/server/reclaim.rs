//! Who may keep a global_id: the table of 16.2.15, row by row.

use super::*;
use crate::auth::client::{Granted, Session};
use crate::denc::Reader;

/// The tickets of a client's login.
fn held(client: &AuthClient) -> (CephXTicketBlob, CryptoKey) {
    let session = client.session();
    let Some(Session { granted: Granted::Cephx(tickets), .. }) = &*session else {
        panic!("no login");
    };
    (tickets.old_ticket().unwrap().clone(), tickets.auth_session_key().unwrap().clone())
}

/// What a login that claims `global_id` is answered.
fn claim(
    mon: &Mon,
    name: &EntityName,
    global_id: u64,
    version: u8,
    old_ticket: &CephXTicketBlob,
    now: Now,
) -> AuthReply {
    let mut con = mon.monitor.start();
    let challenge = greet(&mut con, name, global_id, now);
    let request = proof(version, &mon.key(name), challenge, old_ticket, 0);
    let reply = con.handle_request(CEPH_AUTH_CEPHX, &request, now.wall);
    assert_eq!(con.peer().is_some(), reply.result() == 0);
    reply
}

#[test]
fn row_by_row() {
    for (entity, service) in TYPES {
        for allow in [false, true] {
            let now = Now::start();
            let options = AuthMonitorOptions {
                allow_insecure_global_id_reclaim: allow,
                ..AuthMonitorOptions::default()
            };
            let mon = Mon::with(entity, service, options, now);
            let client = mon.client(admin());
            mon.login(&client, now).unwrap();
            let (ticket, old_session_key) = held(&client);
            let none = CephXTicketBlob::default();
            let claim = |id, version, ticket| claim(&mon, &admin(), id, version, ticket, now);

            // 0, none: a new one.
            for version in [1, 2, 3] {
                let reply = claim(0, version, &none);
                assert_eq!(reply.result(), 0);
                assert!(reply.global_id > GlobalId(4101));
            }
            // 0, present: superfluous.
            assert_eq!(claim(0, 3, &ticket).outcome, Err(AuthRefusal::SuperfluousTicket));
            assert_eq!(claim(0, 3, &ticket).result(), -22);
            // Held before, valid: the same one, and the new ticket under the old session key.
            for version in [1, 2, 3] {
                let reply = claim(4101, version, &ticket);
                assert_eq!((reply.result(), reply.global_id), (0, GlobalId(4101)));
                let mut r = Reader::new(reply.payload());
                r.get::<CephXResponseHeader>().unwrap();
                let list = ServiceTicketReply::decode_list(&mut r).unwrap();
                let key = mon.key(&admin());
                assert_eq!(
                    list[0].open(&key, None).unwrap_err(),
                    AuthError::NoOldSessionKey { service: 0x20 }
                );
                list[0].open(&key, Some(&old_session_key)).unwrap();
            }
            // Held before, none, version 3: never.
            assert_eq!(claim(4101, 3, &none).outcome, Err(AuthRefusal::NoOldTicket));
            assert_eq!(claim(4101, 3, &none).result(), -13);
            // Held before, none, version 1 or 2: only if that is allowed.
            for version in [1, 2] {
                let reply = claim(4101, version, &none);
                assert_eq!(reply.result(), if allow { 0 } else { -13 });
                assert_eq!(reply.global_id, GlobalId(4101));
                // The same with the ticket of another session.
                let reply = claim(4102, version, &ticket);
                assert_eq!(reply.result(), if allow { 0 } else { -13 });
            }
            let (claimed, of) = (GlobalId(4102), GlobalId(4101));
            let e = AuthorizerError::WrongGlobalId { claimed, ticket: of };
            assert_eq!(claim(4102, 3, &ticket).outcome, Err(AuthRefusal::BadOldTicket(e)));
        }
    }
}

#[test]
fn a_ticket_is_of_no_use_to_another_entity() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes256k, KeyType::Aes256k, now);
    let client = mon.client(admin());
    mon.login(&client, now).unwrap();
    let (ticket, _) = held(&client);
    let refusal = AuthRefusal::BadOldTicket(AuthorizerError::WrongName);
    assert_eq!(claim(&mon, &osd_0(), 4101, 3, &ticket, now).outcome, Err(refusal));
}

#[test]
fn a_second_proof_on_a_connection_must_come_with_the_first_ticket() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    let mut con = mon.monitor.start();
    let challenge = greet(&mut con, &admin(), 0, now);
    let request = proof(3, &mon.key(&admin()), challenge, &CephXTicketBlob::default(), 0);
    assert_eq!(con.handle_request(CEPH_AUTH_CEPHX, &request, now.wall).result(), 0);
    let again = con.handle_request(CEPH_AUTH_CEPHX, &request, now.wall);
    assert_eq!(again.outcome, Err(AuthRefusal::NoOldTicket));
    // What was shown before stays shown.
    assert!(con.peer().is_some());
}

#[test]
fn the_global_id_survives_a_change_of_the_key_s_type() {
    for (old, new) in [(KeyType::Aes, KeyType::Aes256k), (KeyType::Aes256k, KeyType::Aes)] {
        let now = Now::start();
        let mut mon = Mon::new(old, KeyType::Aes256k, now);
        let before = mon.client(admin());
        mon.login(&before, now).unwrap();
        mon.keyring.set_key(&admin(), CryptoKey::generate(new, UTime::default()).unwrap());
        mon.keys().set_keyring(mon.keyring.clone());
        let after = mon.client(admin());
        *after.session() = before.session().clone();
        mon.login(&after, now).unwrap();
        assert_eq!(after.global_id(), GlobalId(4101));
        assert_eq!(held(&after).1.key_type(), new);
    }
}

#[test]
fn an_expired_ticket_still_says_who_had_the_number() {
    // Until the secret that sealed it is gone.
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes256k, KeyType::Aes256k, now);
    let client = mon.client(admin());
    mon.login(&client, now).unwrap();
    mon.login(&client, now.after(100 * HOUR)).unwrap();
    assert_eq!(client.global_id(), GlobalId(4101));
    // Sealed with secret 2 again, which three days later is the previous one, and then gone.
    let e = mon.login(&client, now.after(400 * HOUR)).map(drop).unwrap_err();
    assert_eq!(e, AuthError::OldTicketRefused { errno: 13 });
    mon.login(&client, now.after(400 * HOUR)).unwrap();
    assert_eq!(client.global_id(), GlobalId(4102));
}
