//! Both sides of msgr2's authentication against each other, as they are when all goes well.

use super::*;
use crate::auth::tests::secrets::{check, secret_of};
use crate::denc::Reader;

pub(super) const CRC: u32 = 1;
pub(super) const SECURE: u32 = 2;
pub(super) const BOTH: [ConMode; 2] = [ConMode::Secure, ConMode::Crc];

/// Lets the two machines talk: as frames carry it, AUTH_BAD_METHOD and all.
pub(super) fn run(
    connector: &mut AuthConnector,
    acceptor: &mut AuthAcceptor,
    server: &dyn AuthServer,
    now: Now,
) -> Result<(AuthDone, AuthGranted), AuthError> {
    let mut offer = connector.get_auth_request()?;
    let mut answer = acceptor.handle_auth_request(server, &offer, now.wall).unwrap();
    loop {
        answer = match answer {
            AuthAnswer::BadMethod(bad, why) => {
                assert_eq!(bad.result, -why.errno_of_bad_method());
                offer = connector.handle_auth_bad_method(&bad, now.instant)?;
                acceptor.handle_auth_request(server, &offer, now.wall).unwrap()
            }
            AuthAnswer::ReplyMore(payload) => {
                let more = connector.handle_auth_reply_more(&payload, now.instant)?;
                acceptor.handle_auth_request_more(server, &more, now.wall).unwrap()
            }
            AuthAnswer::Done(granted) => {
                let (mode, id) = (granted.mode.number(), granted.global_id);
                let done = connector.handle_auth_done(id, mode, &granted.payload, now.instant)?;
                return Ok((done, *granted));
            }
        };
    }
}

/// What both must agree on.
fn assert_same(done: &AuthDone, granted: &AuthGranted, mode: ConMode) {
    assert_eq!((done.mode, granted.mode), (mode, mode));
    assert!(done.session_key.is_some());
    assert_eq!(done.session_key, granted.session_key);
    assert_eq!(done.connection_secret, granted.connection_secret);
    let len = done.connection_secret.as_ref().map_or(0, |secret| secret.as_bytes().len());
    assert_eq!(len, if mode == ConMode::Secure { 64 } else { 0 });
}

impl Mon {
    fn login_v2(
        &self,
        client: &Arc<AuthClient>,
        modes: &[ConMode],
        now: Now,
    ) -> Result<(AuthDone, AuthGranted), AuthError> {
        let mut acceptor = AuthAcceptor::new(client.name().entity_type, &BOTH);
        run(&mut client.start_auth_at_mon(modes), &mut acceptor, &self.monitor, now)
    }
}

#[test]
fn a_login_in_either_mode_and_what_follows_it() {
    for (entity, service) in TYPES {
        for mode in BOTH {
            let now = Now::start();
            let mon = Mon::new(entity, service, now);
            let client = mon.client(admin());
            let (done, granted) = mon.login_v2(&client, &[mode], now).unwrap();
            assert_same(&done, &granted, mode);
            assert_eq!(done.session_key.as_ref().unwrap().key_type(), entity);
            assert_eq!((&granted.peer.name, granted.global_id), (&admin(), GlobalId(4101)));
            assert_eq!(granted.peer.caps.text(), Some("allow r"));

            // Nothing is shared before it is installed.
            assert_eq!(client.global_id(), GlobalId(0));
            let mut login = done.login.unwrap();
            assert!(login.connection_secret().is_none());
            login.install().unwrap();
            assert_eq!(client.global_id(), GlobalId(4101));
            for s in [EntityType::OSD, EntityType::MDS, EntityType::MGR] {
                assert!(client.get_authorizer(s, now.instant, false).unwrap().is_some());
            }

            // Renewals go over the open connection, as with v1; three days later with a new proof.
            let mut con = granted.login.unwrap();
            for t in [now.after(2700), now.after(60 * HOUR)] {
                let request = login.renew(t.instant).unwrap().unwrap();
                talk(&mut con, &mut login, request, t).unwrap();
                connect(&mon.osd(), osd_authorizer(&client, t), t).unwrap();
            }
        }
    }
}

#[test]
fn an_authorizer_in_either_mode() {
    for (entity, service) in TYPES {
        for mode in BOTH {
            let now = Now::start();
            let mon = Mon::new(entity, service, now);
            let client = mon.client(admin());
            mon.login(&client, now).unwrap();
            let osd = mon.osd();
            let start = || client.start_auth(EntityType::OSD, &[mode], now.instant, false);
            let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
            let (done, granted) = run(&mut start().unwrap(), &mut acceptor, &osd, now).unwrap();
            assert_same(&done, &granted, mode);
            assert_eq!((&granted.peer.name, granted.global_id), (&admin(), GlobalId(4101)));
            assert!(done.login.is_none() && granted.login.is_none());

            // As an OSD or a client of another type's ticket it is not believed.
            let mut acceptor = AuthAcceptor::new(EntityType::OSD, &BOTH);
            let e = run(&mut start().unwrap(), &mut acceptor, &osd, now).unwrap_err();
            assert_eq!(e, AuthError::AuthorizerRefused { service: EntityType::OSD, errno: 13 });
        }
    }
}

#[test]
fn sizes_and_layouts_are_those_of_the_wire() {
    for (key_type, mode, cbl, challenge, reply) in [
        (KeyType::Aes, ConMode::Crc, 20, 32, 36),
        (KeyType::Aes, ConMode::Secure, 84, 32, 100),
        (KeyType::Aes256k, ConMode::Crc, 57, 58, 62),
        (KeyType::Aes256k, ConMode::Secure, 121, 58, 130),
    ] {
        let now = Now::start();
        let mon = Mon::new(key_type, key_type, now);
        let client = mon.client(admin());
        let mut connector = client.start_auth_at_mon(&[mode]);
        let offer = connector.get_auth_request().unwrap();
        assert_eq!((offer.method, &offer.modes[..]), (2, &[mode.number()][..]));
        assert_eq!(offer.payload, b"\x0a\x08\0\0\0\x05\0\0\0admin\0\0\0\0\0\0\0\0");
        let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
        let answer = acceptor.handle_auth_request(&mon.monitor, &offer, now.wall).unwrap();
        let AuthAnswer::ReplyMore(payload) = answer else { panic!("{answer:?}") };
        assert_eq!((payload.len(), payload[0]), (9, 1));
        let more = connector.handle_auth_reply_more(&payload, now.instant).unwrap();
        assert_eq!(more[..3], [0, 1, 3]);
        let answer = acceptor.handle_auth_request_more(&mon.monitor, &more, now.wall).unwrap();
        let AuthAnswer::Done(granted) = answer else { panic!("{answer:?}") };
        let mut r = Reader::new(&granted.payload);
        assert_eq!(r.bytes(6).unwrap(), [0, 1, 0, 0, 0, 0]);
        ServiceTicketReply::decode_list(&mut r).unwrap();
        assert_eq!(r.blob().unwrap().len(), cbl);
        assert_eq!(
            ServiceTicketReply::decode_list(&mut Reader::new(r.blob().unwrap()))
                .unwrap()
                .iter()
                .map(|t| t.service_id)
                .collect::<Vec<_>>(),
            [1, 2, 4, 16]
        );
        r.finish().unwrap();
        let done = connector.handle_auth_done(
            granted.global_id,
            mode.number(),
            &granted.payload,
            now.instant,
        );
        done.unwrap().login.unwrap().install().unwrap();

        let mut connector =
            client.start_auth(EntityType::OSD, &[mode], now.instant, false).unwrap();
        let offer = connector.get_auth_request().unwrap();
        let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
        let answer = acceptor.handle_auth_request(&mon.osd(), &offer, now.wall).unwrap();
        let AuthAnswer::ReplyMore(payload) = answer else { panic!("{answer:?}") };
        assert_eq!(payload.len(), challenge);
        let more = connector.handle_auth_reply_more(&payload, now.instant).unwrap();
        assert_eq!(more.len(), offer.payload.len());
        let answer = acceptor.handle_auth_request_more(&mon.osd(), &more, now.wall).unwrap();
        let AuthAnswer::Done(granted) = answer else { panic!("{answer:?}") };
        assert_eq!(granted.payload.len(), reply);
    }
}

#[test]
fn the_client_s_order_decides_among_the_modes_that_both_allow() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    let client = mon.client(admin());
    let (crc, secure) = (ConMode::Crc, ConMode::Secure);
    for (preferred, allowed, chosen) in [
        (vec![crc, secure], vec![secure, crc], crc),
        (vec![secure, crc], vec![crc, secure], secure),
        (vec![secure, crc], vec![crc], crc),
        (vec![crc, secure], vec![secure], secure),
    ] {
        let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &allowed);
        let mut connector = client.start_auth_at_mon(&preferred);
        let (done, granted) = run(&mut connector, &mut acceptor, &mon.monitor, now).unwrap();
        assert_same(&done, &granted, chosen);
    }
    // Numbers that nobody knows are passed over.
    assert_eq!(ConMode::pick(&[0, 3, u32::MAX, SECURE, CRC], &BOTH), Some(secure));
    assert_eq!(ConMode::pick(&[0, 3], &BOTH), None);
}

#[test]
fn a_global_id_is_kept_with_the_old_ticket() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        let client = mon.client(admin());
        for round in 0..3 {
            let modes = [BOTH[round % 2]];
            let (done, granted) = mon.login_v2(&client, &modes, now.after(round as u64)).unwrap();
            assert_same(&done, &granted, modes[0]);
            assert_eq!(granted.global_id, GlobalId(4101));
            done.login.unwrap().install().unwrap();
        }
        // The same session goes on with v1, and comes back.
        mon.login(&client, now).unwrap();
        let (_, granted) = mon.login_v2(&client, &BOTH, now).unwrap();
        assert_eq!(granted.global_id, GlobalId(4101));

        // A monitor that has never seen the ticket: what is old is forgotten, and the next login
        // is a new one.
        let other =
            Mon { monitor: Mon::new(entity, service, now).monitor, keyring: mon.keyring.clone() };
        other.keys().set_keyring(mon.keyring.clone());
        let e = other.login_v2(&client, &BOTH, now).unwrap_err();
        assert_eq!(e, AuthError::OldTicketRefused { errno: 13 });
        assert_eq!(client.global_id(), GlobalId(0));
        other.login_v2(&client, &BOTH, now).unwrap();
    }
}

#[test]
fn without_proof_where_that_is_allowed() {
    let now = Now::start();
    let options =
        AuthMonitorOptions { methods: vec![CEPH_AUTH_NONE], ..AuthMonitorOptions::default() };
    let mon = Mon::with(KeyType::Aes, KeyType::Aes, options, now);
    // The proof is offered first; its refusal names the other method.
    let methods = [CEPH_AUTH_NONE, CEPH_AUTH_CEPHX];
    let key = Some(mon.key(&admin()));
    let client = Arc::new(AuthClient::new(admin(), key, &methods, &TICKETS).unwrap());
    let (done, granted) = mon.login_v2(&client, &BOTH, now).unwrap();
    assert_eq!((done.mode, granted.mode), (ConMode::Crc, ConMode::Crc));
    assert!(done.session_key.is_none() && granted.session_key.is_none());
    assert!(done.connection_secret.is_none() && granted.payload.is_empty());
    assert_eq!(granted.global_id, GlobalId(4101));
    assert!(granted.peer.caps.allow_all);
    done.login.unwrap().install().unwrap();
    assert_eq!(client.protocol(), Some(CEPH_AUTH_NONE));

    let mut connector = client.start_auth(EntityType::OSD, &BOTH, now.instant, false).unwrap();
    let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
    let server = AuthNoneAuthorizeHandler;
    let (done, granted) = run(&mut connector, &mut acceptor, &server, now).unwrap();
    assert_eq!((done.mode, granted.peer.name), (ConMode::Crc, admin()));
    assert!(done.session_key.is_none() && done.connection_secret.is_none());
}

#[test]
fn a_provider_for_monitors_hands_over_the_login() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes256k, KeyType::Aes256k, now);
    let client = mon.client(admin());
    let start = |provider: &dyn AuthProvider, service| {
        provider.start_auth(service, &BOTH, now.instant, false)
    };
    let no_login = start(&*client, EntityType::MON).map(drop);
    assert_eq!(no_login, Err(AuthError::NoAuthorizer { service: EntityType::MON }));

    let provider = MonLogin::new(client);
    let mut connector = start(&provider, EntityType::MON).unwrap();
    let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
    let (done, _) = run(&mut connector, &mut acceptor, &mon.monitor, now).unwrap();
    assert!(provider.take().is_none());
    provider.logged_in(*done.login.unwrap());
    provider.take().unwrap().install().unwrap();
    assert!(provider.take().is_none());

    let mut connector = start(&provider, EntityType::OSD).unwrap();
    let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
    run(&mut connector, &mut acceptor, &mon.osd(), now).unwrap();
}

#[test]
fn tickets_that_the_login_did_not_bring_are_left_to_renewal() {
    // Of a cluster in the middle of its upgrade: AUTH_DONE ends after the AUTH ticket.
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes, KeyType::Aes, now);
    let client = mon.client(admin());
    let mut connector = client.start_auth_at_mon(&[ConMode::Crc]);
    let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
    let offer = connector.get_auth_request().unwrap();
    let answer = acceptor.handle_auth_request(&mon.monitor, &offer, now.wall).unwrap();
    let AuthAnswer::ReplyMore(payload) = answer else { panic!("{answer:?}") };
    let more = connector.handle_auth_reply_more(&payload, now.instant).unwrap();
    let answer = acceptor.handle_auth_request_more(&mon.monitor, &more, now.wall).unwrap();
    let AuthAnswer::Done(granted) = answer else { panic!("{answer:?}") };
    let mut r = Reader::new(&granted.payload);
    r.bytes(6).unwrap();
    ServiceTicketReply::decode_list(&mut r).unwrap();
    let short = &granted.payload[..r.position()];
    let done = connector.handle_auth_done(granted.global_id, CRC, short, now.instant).unwrap();
    assert_eq!(done.session_key, granted.session_key);

    let mut login = done.login.unwrap();
    login.install().unwrap();
    let no_ticket = client.get_authorizer(EntityType::OSD, now.instant, false).map(drop);
    assert_eq!(no_ticket, Err(AuthError::NoTicket { service: EntityType::OSD }));
    assert_eq!(client.next_renewal(now.instant), Some(now.instant));
    let request = login.renew(now.instant).unwrap().unwrap();
    talk(&mut granted.login.unwrap(), &mut login, request, now).unwrap();
    connect(&mon.osd(), osd_authorizer(&client, now), now).unwrap();
}

#[test]
fn debug_shows_no_secret() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        let client = mon.client(admin());
        mon.login(&client, now).unwrap();
        let osd = mon.osd();
        let connectors = [
            client.start_auth_at_mon(&BOTH),
            client.start_auth(EntityType::OSD, &BOTH, now.instant, false).unwrap(),
        ];
        let servers: [&dyn AuthServer; 2] = [&mon.monitor, &osd];
        for (mut connector, server) in connectors.into_iter().zip(servers) {
            let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &BOTH);
            let (before, login) = (format!("{connector:?}"), mon.key(&admin()));
            let (done, granted) = run(&mut connector, &mut acceptor, server, now).unwrap();
            let secrets = [
                secret_of(&login),
                secret_of(done.session_key.as_ref().unwrap()),
                done.connection_secret.as_ref().unwrap().as_bytes().to_vec(),
            ];
            check("AuthConnector", &before, &secrets);
            check("AuthConnector", &connector, &secrets);
            check("AuthAcceptor", &acceptor, &secrets);
            check("AuthDone", &done, &secrets);
            check("AuthAnswer", &AuthAnswer::Done(Box::new(granted)), &secrets);
        }
    }
}
