use std::time::{Duration, Instant};

use super::fake_mon::{Con, FakeMon, random_key};
use super::login::{check_authorizer, client_of, client_with, login, talk};
use super::some_time;
use crate::auth::cephx::*;
use crate::auth::*;
use crate::crypto::KeyType;
use crate::denc::Reader;
use crate::types::GlobalId;

fn after(now: Instant, secs: u64) -> Instant {
    now + Duration::from_secs(secs)
}

/// The global_id that a hello claims.
fn claimed(hello: &AuthRequest) -> GlobalId {
    let mut r = Reader::new(&hello.payload);
    r.u8().unwrap();
    r.get::<Vec<u32>>().unwrap();
    r.get::<EntityName>().unwrap();
    r.get().unwrap()
}

fn types() -> impl Iterator<Item = (FakeMon, Instant)> {
    [KeyType::Aes, KeyType::Aes256k].into_iter().map(|t| (FakeMon::new(t, t), some_time()))
}

#[test]
fn service_tickets_are_renewed_at_three_quarters_of_their_life() {
    for (mut mon, now) in types() {
        let client = client_of(&mon);
        assert_eq!(client.next_renewal(now), None);
        let (mut handler, mut con) = login(&mut mon, &client, now).unwrap();
        let due = after(now, 2700);
        assert_eq!(client.next_renewal(now), Some(due));
        assert_eq!(handler.renew(after(now, 2699)), Ok(None));
        assert_eq!(client.next_renewal(due), Some(due));

        let request = handler.renew(due).unwrap().unwrap();
        // One at a time.
        assert_eq!(handler.renew(due), Ok(None));
        assert_eq!(handler.request_rotating_keys(), Ok(None));
        talk(&mut mon, &mut con, &mut handler, request, due).unwrap();
        assert_eq!(con.requests, [CEPHX_GET_AUTH_SESSION_KEY, CEPHX_GET_PRINCIPAL_SESSION_KEY]);
        assert_eq!(con.keys, [0x37, 0x17]);
        assert_eq!(client.next_renewal(due), Some(after(due, 2700)));
        check_authorizer(&mon, &client, EntityType::OSD, after(due, 3599));
        assert_eq!(
            client.get_authorizer(EntityType::OSD, after(due, 3600), false).unwrap_err(),
            AuthError::NoTicket { service: EntityType::OSD }
        );
    }
}

#[test]
fn the_auth_ticket_is_renewed_with_a_new_proof_on_the_same_connection() {
    for (mut mon, now) in types() {
        mon.auth_ttl = 2000;
        let client = client_of(&mon);
        let (mut handler, mut con) = login(&mut mon, &client, now).unwrap();
        let due = after(now, 1500);
        assert_eq!(client.next_renewal(now), Some(due));
        let request = handler.renew(due).unwrap().unwrap();
        assert_eq!(request.protocol, CEPH_AUTH_CEPHX);
        talk(&mut mon, &mut con, &mut handler, request, due).unwrap();
        // The old ticket was shown, or the monitor would have refused; no second hello, which it
        // would not have understood.
        assert_eq!(con.requests, [CEPHX_GET_AUTH_SESSION_KEY; 2]);
        assert_eq!(con.keys, [0x37, 0x20]);
        assert_eq!(client.next_renewal(due), Some(after(now, 2700)));
        assert_eq!(client.global_id(), GlobalId(4101));

        // And the new AUTH ticket is good for service tickets.
        let due = after(now, 2700);
        let request = handler.renew(due).unwrap().unwrap();
        talk(&mut mon, &mut con, &mut handler, request, due).unwrap();
        check_authorizer(&mon, &client, EntityType::OSD, due);
    }
}

#[test]
fn both_are_renewed_in_one_request_when_both_are_due() {
    for (mut mon, now) in types() {
        let client = client_of(&mon);
        let (mut handler, mut con) = login(&mut mon, &client, now).unwrap();
        let late = after(now, 259_199);
        let request = handler.renew(late).unwrap().unwrap();
        talk(&mut mon, &mut con, &mut handler, request, late).unwrap();
        assert_eq!(con.keys, [0x37, 0x37]);
        check_authorizer(&mon, &client, EntityType::MDS, late);
    }
}

#[test]
fn an_invalidated_ticket_is_handed_out_no_more_and_renewed_at_once() {
    for (mut mon, now) in types() {
        let client = client_of(&mon);
        let (mut handler, mut con) = login(&mut mon, &client, now).unwrap();
        client.invalidate(EntityType::OSD);
        assert_eq!(client.next_renewal(now), Some(now));
        assert_eq!(
            client.get_authorizer(EntityType::OSD, now, true).unwrap_err(),
            AuthError::NoTicket { service: EntityType::OSD }
        );
        check_authorizer(&mon, &client, EntityType::MDS, now);
        let request = handler.renew(now).unwrap().unwrap();
        talk(&mut mon, &mut con, &mut handler, request, now).unwrap();
        assert_eq!(con.keys, [0x37, 0x24]);
        check_authorizer(&mon, &client, EntityType::OSD, now);
        // What has never been held cannot be made invalid.
        client.invalidate(EntityType::CLIENT);
    }
}

#[test]
fn the_global_id_is_kept_with_the_old_ticket_on_another_monitor() {
    for (mut mon, now) in types() {
        let client = client_of(&mon);
        let first = login(&mut mon, &client, now).unwrap();
        drop(first);
        let (mut handler, hello) = client.start();
        assert_eq!(claimed(&hello), GlobalId(4101));
        let mut con = Con::default();
        talk(&mut mon, &mut con, &mut handler, hello, now).unwrap();
        // Only what is missing: the other tickets are still good.
        assert_eq!(con.keys, [0x20]);
        assert_eq!(handler.global_id(), GlobalId(4101));
        handler.install().unwrap();
        check_authorizer(&mon, &client, EntityType::OSD, now);
    }
}

#[test]
fn the_global_id_survives_a_change_of_the_key_s_type() {
    let now = some_time();
    let mut mon = FakeMon::new(KeyType::Aes, KeyType::Aes);
    let old = client_of(&mon);
    login(&mut mon, &old, now).unwrap();
    mon.entity_key = random_key(KeyType::Aes256k);
    let new = client_of(&mon);
    *new.session() = old.session().clone();
    let (handler, _) = login(&mut mon, &new, now).unwrap();
    assert_eq!(handler.global_id(), GlobalId(4101));
    check_authorizer(&mon, &new, EntityType::OSD, now);
}

#[test]
fn a_refused_old_ticket_is_forgotten_once() {
    for (mut mon, now) in types() {
        let client = client_of(&mon);
        login(&mut mon, &client, now).unwrap();
        // The secret that sealed the ticket has rotated away.
        mon.secrets.insert(0x20, random_key(mon.entity_key.key_type()));
        let e = login(&mut mon, &client, now).unwrap_err();
        assert_eq!(e, AuthError::OldTicketRefused { errno: 13 });
        assert_eq!(client.global_id(), GlobalId(0));
        login(&mut mon, &client, now).unwrap();
        assert_eq!(client.global_id(), GlobalId(4102));

        // With a key that is no good any more, the second refusal is the last.
        mon.entity_key = random_key(mon.entity_key.key_type());
        let e = login(&mut mon, &client, now).unwrap_err();
        assert_eq!(e, AuthError::OldTicketRefused { errno: 13 });
        let e = login(&mut mon, &client, now).unwrap_err();
        assert_eq!(e, AuthError::Denied { errno: 13 });
    }
}

#[test]
fn a_refusal_does_not_forget_what_another_connection_has_got_since() {
    let now = some_time();
    let mut mon = FakeMon::new(KeyType::Aes, KeyType::Aes);
    let client = client_of(&mon);
    login(&mut mon, &client, now).unwrap();
    let (mut late, late_hello) = client.start();
    client.forget(GlobalId(4101));
    login(&mut mon, &client, now).unwrap();
    mon.secrets.insert(0x20, random_key(KeyType::Aes));
    let e = talk(&mut mon, &mut Con::default(), &mut late, late_hello, now).unwrap_err();
    assert_eq!(e, AuthError::OldTicketRefused { errno: 13 });
    assert_eq!(client.global_id(), GlobalId(4102));
}

#[test]
fn of_several_logins_at_once_the_installed_one_counts() {
    for (mut mon, now) in types() {
        let client = client_of(&mon);
        let (mut a, hello_a) = client.start();
        let (mut b, hello_b) = client.start();
        let (mut con_a, mut con_b) = (Con::default(), Con::default());
        talk(&mut mon, &mut con_a, &mut a, hello_a, now).unwrap();
        talk(&mut mon, &mut con_b, &mut b, hello_b, now).unwrap();
        assert_ne!(a.global_id(), b.global_id());
        b.install().unwrap();
        drop(a);
        assert_eq!(client.global_id(), b.global_id());
        check_authorizer(&mon, &client, EntityType::OSD, now);
        let request = b.renew(after(now, 3000)).unwrap().unwrap();
        talk(&mut mon, &mut con_b, &mut b, request, after(now, 3000)).unwrap();
    }
}

#[test]
fn a_connection_lost_after_the_proof_leaves_nothing_behind() {
    let now = some_time();
    let mut mon = FakeMon::new(KeyType::Aes, KeyType::Aes);
    let client = client_of(&mon);
    let (mut handler, hello) = client.start();
    mon.handle(&mut Con::default(), &hello).give(&mut handler, now).unwrap();
    drop(handler);
    assert_eq!(client.global_id(), GlobalId(0));
    login(&mut mon, &client, now).unwrap();
    check_authorizer(&mon, &client, EntityType::OSD, now);
}

#[test]
fn a_failed_renewal_can_be_tried_again() {
    for (mut mon, now) in types() {
        let client = client_of(&mon);
        let (mut handler, mut con) = login(&mut mon, &client, now).unwrap();
        let due = after(now, 2700);
        let request = handler.renew(due).unwrap().unwrap();
        let reply = mon.handle(&mut con, &request);

        let mut refused = reply.clone();
        refused.result = -5;
        let e = refused.give(&mut handler, due).unwrap_err();
        assert_eq!(e, AuthError::Refused { errno: 5 });
        for n in 0..reply.payload.len() {
            assert!(handler.renew(due).unwrap().is_some());
            let mut cut = reply.clone();
            cut.payload.truncate(n);
            let e = cut.give(&mut handler, due).unwrap_err();
            assert!(matches!(e, AuthError::Decode(_)), "{n}: {e}");
            check_authorizer(&mon, &client, EntityType::OSD, due);
        }
        let request = handler.renew(due).unwrap().unwrap();
        talk(&mut mon, &mut con, &mut handler, request, due).unwrap();
    }
}

#[test]
fn a_daemon_gets_its_rotating_secrets() {
    for (mut mon, now) in types() {
        let client = client_of(&mon);
        let (mut handler, mut con) = login(&mut mon, &client, now).unwrap();
        let request = handler.request_rotating_keys().unwrap().unwrap();
        let reply = mon.handle(&mut con, &request);
        let Ok(Progress::RotatingSecrets(secrets)) = reply.give(&mut handler, now) else {
            panic!("no secrets");
        };
        assert_eq!(secrets, mon.rotating());

        handler.request_rotating_keys().unwrap().unwrap();
        let mut bad = reply;
        bad.payload.truncate(50);
        assert!(matches!(bad.give(&mut handler, now), Err(AuthError::BadRotatingSecrets(_))));
    }
}

#[test]
fn a_second_hello_on_a_connection_is_no_request_that_a_monitor_knows() {
    // As seen with 16.2.15, which is why a refused login asks for a new connection.
    let now = some_time();
    let mut mon = FakeMon::new(KeyType::Aes, KeyType::Aes);
    let client = client_of(&mon);
    let (_, mut con) = login(&mut mon, &client, now).unwrap();
    let (mut handler, hello) = client.start();
    let e = talk(&mut mon, &mut con, &mut handler, hello, now).unwrap_err();
    assert_eq!(e, AuthError::Refused { errno: 22 });
}

#[test]
fn nothing_is_renewed_before_a_login_is_installed() {
    let mon = FakeMon::new(KeyType::Aes, KeyType::Aes);
    let (mut handler, _) = client_with(Some(mon.entity_key), &[CEPH_AUTH_CEPHX]).start();
    assert_eq!(handler.renew(some_time()), Err(AuthError::NotAuthenticated));
    assert_eq!(handler.request_rotating_keys(), Err(AuthError::NotAuthenticated));
}
