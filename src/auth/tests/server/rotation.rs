use super::*;

const HOUR_LONG: Duration = Duration::from_secs(HOUR);

fn ids(secrets: &RotatingSecrets) -> Vec<u64> {
    secrets.secrets.keys().copied().collect()
}

#[test]
fn the_first_three_secrets_expire_one_life_apart() {
    let now = Now::start();
    let mut secrets = RotatingSecrets::default();
    assert!(secrets.need_new_secrets(now.wall));
    assert_eq!(secrets.current(now.wall), None);
    assert_eq!(secrets.rotate(KeyType::Aes256k, HOUR_LONG, now.wall), Ok(true));
    assert_eq!(ids(&secrets), [1, 2, 3]);
    assert_eq!(secrets.max_ver, 3);
    let expirations: Vec<_> = secrets.secrets.values().map(|s| s.expiration).collect();
    assert_eq!(expirations, [1, 2, 3].map(|n| now.after(n * HOUR).wall));
    assert_eq!(secrets.last_expiration(), Some(now.after(3 * HOUR).wall));
}

#[test]
fn secrets_rotate_when_the_current_one_expires() {
    let now = Now::start();
    let mut secrets = RotatingSecrets::default();
    let mut rotate = |after| {
        let wall = now.after(after).wall;
        let new = secrets.rotate(KeyType::Aes, HOUR_LONG, wall).unwrap();
        (new, ids(&secrets), secrets.current(wall).unwrap().0)
    };
    assert_eq!(rotate(0), (true, vec![1, 2, 3], 2));
    assert_eq!(rotate(2 * HOUR - 1), (false, vec![1, 2, 3], 2));
    assert_eq!(rotate(2 * HOUR), (true, vec![2, 3, 4], 3));
    assert_eq!(rotate(3 * HOUR - 1), (false, vec![2, 3, 4], 3));
    assert_eq!(rotate(3 * HOUR), (true, vec![3, 4, 5], 4));
    // After a long sleep as many as it takes.
    assert_eq!(rotate(100 * HOUR), (true, vec![5, 6, 7], 6));
    assert!(!rotate(100 * HOUR + 1).0);
    // A clock that goes backwards makes none.
    assert_eq!(rotate(0), (false, vec![5, 6, 7], 6));
}

#[test]
fn a_secret_that_is_late_to_rotate_is_followed_by_the_next_and_then_by_none() {
    let now = Now::start();
    let mut secrets = RotatingSecrets::default();
    secrets.rotate(KeyType::Aes, HOUR_LONG, now.wall).unwrap();
    let current = |after| secrets.current(now.after(after).wall).map(|(id, _)| id);
    assert_eq!(current(0), Some(2));
    assert_eq!(current(2 * HOUR), Some(3));
    assert_eq!(current(3 * HOUR), None);
}

#[test]
fn a_life_of_nothing_does_not_hang_and_a_key_of_type_none_is_no_secret() {
    let now = Now::start().wall;
    let mut secrets = RotatingSecrets::default();
    assert_eq!(secrets.rotate(KeyType::Aes, Duration::ZERO, now), Ok(true));
    assert_eq!(secrets.secrets.len(), 3);
    let no_key = Err(crate::crypto::CryptoError::NoKey);
    assert_eq!(secrets.rotate(KeyType::None, Duration::ZERO, now), no_key);
    let end = UTime { sec: u32::MAX, nsec: 0 };
    assert_eq!(secrets.rotate(KeyType::Aes, Duration::MAX, end), Ok(true));
}

#[test]
fn a_daemon_that_does_not_ask_again_goes_on_for_a_while() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        let osd = mon.osd();
        for (after, refused) in [
            (0, false),
            (2 * HOUR - 1, false),
            // Sealed with what was the next one then.
            (3 * HOUR - 1, false),
            (3 * HOUR, true),
        ] {
            let t = now.after(after);
            let client = mon.client(admin());
            mon.login(&client, t).unwrap();
            let outcome = connect(&osd, osd_authorizer(&client, t), t);
            assert_eq!(outcome.is_err(), refused, "{after}");
            if let Err(e) = outcome {
                let service = EntityType::OSD;
                assert_eq!(e, AuthorizerError::UnknownSecret { service, secret_id: 4 });
            }
        }
    }
}

#[test]
fn a_ticket_outlives_the_rotation_of_its_secret() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes256k, KeyType::Aes256k, now);
    let client = mon.client(admin());
    let sealed = now.after(2 * HOUR - 1);
    mon.login(&client, sealed).unwrap();
    let end = sealed.after(HOUR - 1);
    mon.keys().check_rotating_secrets(end.wall).unwrap();
    connect(&mon.osd(), osd_authorizer(&client, end), end).unwrap();
}

#[test]
fn one_service_can_hold_secrets_of_two_types() {
    for (before, after) in [(KeyType::Aes, KeyType::Aes256k), (KeyType::Aes256k, KeyType::Aes)] {
        let now = Now::start();
        let mon = Mon::new(KeyType::Aes256k, before, now);
        let old = mon.client(admin());
        // The last moment of the current secret.
        let t = now.after(2 * HOUR - 1);
        mon.login(&old, t).unwrap();
        mon.keys().set_options(key_server_options(after));
        for hours in [2, 3, 4] {
            mon.keys().check_rotating_secrets(now.after(hours * HOUR).wall).unwrap();
            let secrets = mon.keys().rotating_secrets(EntityType::OSD).unwrap();
            let types: Vec<_> = secrets.secrets.values().map(|s| s.key.key_type()).collect();
            assert_eq!(types[0] == before, hours < 4);
            assert_eq!(types[2], after);
            if hours == 2 {
                let t = now.after(2 * HOUR);
                connect(&mon.osd(), osd_authorizer(&old, t), t).unwrap();
            }
        }
        let t = now.after(4 * HOUR);
        let new = mon.client(admin());
        mon.login(&new, t).unwrap();
        let accepted = connect(&mon.osd(), osd_authorizer(&new, t), t).unwrap();
        assert_eq!(accepted.session_key.unwrap().key_type(), after);
    }
}

#[test]
fn wiped_secrets_are_replaced_at_once_but_for_those_of_auth() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes256k, KeyType::Aes, now);
    let client = mon.client(admin());
    let (mut handler, mut con) = mon.login(&client, now).unwrap();
    let auth = mon.keys().rotating_secrets(EntityType::AUTH);
    mon.keys().set_options(key_server_options(KeyType::Aes256k));
    mon.keys().wipe_rotating_secrets(now.wall).unwrap();
    assert_eq!(mon.keys().rotating_secrets(EntityType::AUTH), auth);
    assert_eq!(ids(&mon.keys().rotating_secrets(EntityType::OSD).unwrap()), [4, 5, 6]);

    let e = connect(&mon.osd(), osd_authorizer(&client, now), now).unwrap_err();
    assert!(matches!(e, AuthorizerError::UnknownSecret { secret_id: 2, .. }));
    client.invalidate(EntityType::OSD);
    let request = handler.renew(now.instant).unwrap().unwrap();
    talk(&mut con, &mut handler, request, now).unwrap();
    let accepted = connect(&mon.osd(), osd_authorizer(&client, now), now).unwrap();
    assert_eq!(accepted.session_key.unwrap().key_type(), KeyType::Aes256k);
}

#[test]
fn tickets_do_not_outlive_the_secrets_when_their_life_is_made_longer() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    mon.keys().set_options(KeyServerOptions {
        auth_service_ticket_ttl: Duration::from_secs(1000 * HOUR),
        ..key_server_options(KeyType::Aes)
    });
    let client = mon.client(admin());
    mon.login(&client, now).unwrap();
    let t = now.after(3 * HOUR - 1);
    osd_authorizer(&client, t);
    let t = now.after(3 * HOUR);
    assert!(client.get_authorizer(EntityType::OSD, t.instant, false).is_err());
}

#[test]
fn a_daemon_gets_the_secrets_of_its_service_and_a_client_none() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        let daemon = mon.client(osd_0());
        let (mut handler, mut con) = mon.login(&daemon, now).unwrap();
        let request = handler.request_rotating_keys().unwrap().unwrap();
        let secrets = talk(&mut con, &mut handler, request, now).unwrap().unwrap();
        assert_eq!(Some(&secrets), mon.keys().rotating_secrets(EntityType::OSD).as_ref());

        let ring = RotatingKeyRing::new(EntityType::OSD);
        assert!(ring.need_new_secrets(now.wall));
        ring.set_secrets(secrets);
        assert!(!ring.need_new_secrets(now.wall));
        assert!(ring.need_new_secrets(now.after(2 * HOUR).wall));
        assert_eq!(ring.service_secret(EntityType::MDS, 2), None);
        let client = mon.client(admin());
        mon.login(&client, now).unwrap();
        connect(&super::service(ring), osd_authorizer(&client, now), now).unwrap();

        let (mut handler, mut con) = mon.login(&client, now).unwrap();
        let request = handler.request_rotating_keys().unwrap().unwrap();
        let e = talk(&mut con, &mut handler, request, now).unwrap_err();
        assert_eq!(e, AuthError::Refused { errno: 13 });
    }
}
