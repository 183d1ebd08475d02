use super::*;
use crate::denc::Reader;

#[test]
fn a_client_logs_in_and_a_service_believes_it() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        let client = mon.client(admin());
        let (_, con) = mon.login(&client, now).unwrap();
        assert_eq!(client.global_id(), GlobalId(4101));
        let peer = con.peer().unwrap();
        assert_eq!((&peer.name, peer.global_id), (&admin(), GlobalId(4101)));
        assert_eq!(peer.caps.text(), Some("allow r"));

        let accepted = connect(&mon.osd(), osd_authorizer(&client, now), now).unwrap();
        assert_eq!((accepted.peer.name, accepted.peer.global_id), (admin(), GlobalId(4101)));
        assert_eq!(accepted.peer.caps.text(), Some("allow rwx pool=p"));
        assert!(!accepted.peer.caps.allow_all && accepted.connection_secret.is_none());
        // Only two keys of type 2 make a third.
        let new = entity == KeyType::Aes256k && service == KeyType::Aes256k;
        let expected = if new { KeyType::Aes256k } else { KeyType::Aes };
        assert_eq!(accepted.session_key.unwrap().key_type(), expected);
        for s in [EntityType::MDS, EntityType::MGR] {
            assert!(client.get_authorizer(s, now.instant, false).unwrap().is_some());
        }
    }
}

#[test]
fn the_auth_session_key_is_of_the_entity_s_type() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        let (mut handler, hello) = mon.client(admin()).start();
        talk(&mut mon.monitor.start(), &mut handler, hello, now).unwrap();
        assert_eq!(handler.session_key().unwrap().key_type(), entity);
    }
}

#[test]
fn the_reply_has_the_layout_of_ceph_s() {
    // Without other_keys it ends after the AUTH ticket; with them there are two blobs more, of
    // which the first, for msgr2, is empty.
    let now = Now::start();
    for entity in [KeyType::Aes, KeyType::Aes256k] {
        let mon = Mon::new(entity, entity, now);
        let key = mon.key(&admin());
        // The client's own bit, and ones that no service has, bring nothing.
        for (version, other_keys, services) in [
            (1, 0, None),
            (3, 0, None),
            (2, 0x35, Some(vec![1, 4, 0x10])),
            (3, 0x20, Some(vec![])),
            (3, 0x2f, Some(vec![1, 2, 4])),
            (3, u32::MAX, Some(vec![1, 2, 4, 0x10])),
        ] {
            let mut con = mon.monitor.start();
            let challenge = greet(&mut con, &admin(), 0, now);
            let no_ticket = CephXTicketBlob::default();
            let request = proof(version, &key, challenge, &no_ticket, other_keys);
            let reply = con.handle_request(CEPH_AUTH_CEPHX, &request, now.wall);
            let mut r = Reader::new(reply.payload());
            let header: CephXResponseHeader = r.get().unwrap();
            assert_eq!(header, CephXResponseHeader { request_type: 0x0100, status: 0 });
            let auth = ServiceTicketReply::decode_list(&mut r).unwrap();
            assert_eq!(auth.iter().map(|t| t.service_id).collect::<Vec<_>>(), [0x20]);
            let (for_me, _) = auth[0].open(&key, None).unwrap();
            assert_eq!(for_me.validity, UTime { sec: 259_200, nsec: 0 });
            if let Some(services) = services {
                assert!(r.blob().unwrap().is_empty());
                let extra = r.blob().unwrap();
                assert_eq!(extra.is_empty(), services.is_empty());
                let mut list = Vec::new();
                if !extra.is_empty() {
                    list = ServiceTicketReply::decode_list(&mut Reader::new(extra)).unwrap();
                }
                assert_eq!(list.iter().map(|t| t.service_id).collect::<Vec<_>>(), services);
                for ticket in list {
                    let (for_me, _) = ticket.open(&for_me.session_key, None).unwrap();
                    assert_eq!(for_me.validity, UTime { sec: 3600, nsec: 0 });
                }
            }
            r.finish().unwrap();
        }
    }
}

#[test]
fn a_ticket_says_what_a_ceph_service_expects() {
    let now = Now::start();
    let mon = Mon::new(KeyType::Aes256k, KeyType::Aes256k, now);
    let client = mon.client(admin());
    mon.login(&client, now).unwrap();
    let authorizer = osd_authorizer(&client, now);
    let a: CephXAuthorizeA = Reader::new(authorizer.bytes()).get().unwrap();
    // The middle one of three.
    assert_eq!(a.ticket.secret_id, 2);
    let secret = mon.keys().service_secret(EntityType::OSD, 2).unwrap();
    let CephXServiceTicketInfo { ticket, session_key } =
        CephXServiceTicketInfo::open(&a.ticket, &secret).unwrap();
    assert_eq!(ticket.old_auid, u64::MAX);
    assert_eq!(ticket.flags, 0);
    assert_eq!(ticket.created, now.wall);
    assert_eq!(ticket.expires, now.after(HOUR).wall);
    assert_eq!(session_key.created(), now.wall);
    // As an OSD of 20.2.4 was seen to get them.
    assert_eq!(ticket.caps.caps[..4], 16_u32.to_le_bytes());
    // Who has no caps for a service has no text at all there.
    let mds = client.get_authorizer(EntityType::MDS, now.instant, false).unwrap().unwrap();
    let a: CephXAuthorizeA = Reader::new(mds.bytes()).get().unwrap();
    let secret = mon.keys().service_secret(EntityType::MDS, 2).unwrap();
    let info = CephXServiceTicketInfo::open(&a.ticket, &secret).unwrap();
    assert_eq!(info.ticket.caps, AuthCapsInfo::default());
    assert_eq!(info.ticket.caps.text(), None);
}

#[test]
fn tickets_are_renewed_over_the_open_connection() {
    for (entity, service) in TYPES {
        let now = Now::start();
        let mon = Mon::new(entity, service, now);
        let client = mon.client(admin());
        let (mut handler, mut con) = mon.login(&client, now).unwrap();
        // Four days: services more than a hundred times, AUTH once.
        let mut auth_renewals = 0;
        let mut t = now;
        for _ in 0..128 {
            t = t.after(2700);
            let request = handler.renew(t.instant).unwrap().unwrap();
            auth_renewals += usize::from(request.payload[..2] == [0, 1]);
            talk(&mut con, &mut handler, request, t).unwrap();
            connect(&mon.osd(), osd_authorizer(&client, t), t).unwrap();
        }
        assert_eq!(auth_renewals, 1);
        assert_eq!(client.global_id(), GlobalId(4101));
        assert!(con.peer().is_some());
    }
}

#[test]
fn a_login_without_proof_where_that_is_allowed() {
    let now = Now::start();
    let options =
        AuthMonitorOptions { methods: vec![CEPH_AUTH_NONE], ..AuthMonitorOptions::default() };
    let mon = Mon::with(KeyType::Aes, KeyType::Aes, options, now);
    let methods = [CEPH_AUTH_NONE, CEPH_AUTH_CEPHX];
    let client = Arc::new(AuthClient::new(admin(), None, &methods, &TICKETS).unwrap());
    let (_, mut con) = mon.login(&client, now).unwrap();
    let peer = con.peer().unwrap();
    assert_eq!((&peer.name, peer.global_id), (&admin(), GlobalId(4101)));
    assert!(peer.caps.allow_all);
    assert_eq!(client.protocol(), Some(CEPH_AUTH_NONE));
    let authorizer = osd_authorizer(&client, now);
    let mut state = AuthorizerState::new();
    let verdict = show(&AuthNoneAuthorizeHandler, &mut state, &authorizer, now);
    assert!(matches!(verdict, AuthorizerVerdict::Accepted(_)));
    assert_eq!(refused(show(&mon.osd(), &mut state, &authorizer, now)), {
        AuthorizerError::BadProtocol(CEPH_AUTH_NONE)
    });
    // And that is all that there is to say on this connection.
    for protocol in [CEPH_AUTH_UNKNOWN, CEPH_AUTH_NONE, CEPH_AUTH_CEPHX] {
        assert_eq!(con.handle_request(protocol, &[0, 4], now.wall).result(), -22);
    }
}

#[test]
fn the_monitor_s_preference_decides() {
    let now = Now::start();
    for (methods, chosen) in
        [([CEPH_AUTH_CEPHX, CEPH_AUTH_NONE], 2), ([CEPH_AUTH_NONE, CEPH_AUTH_CEPHX], 1)]
    {
        let options =
            AuthMonitorOptions { methods: methods.to_vec(), ..AuthMonitorOptions::default() };
        let mon = Mon::with(KeyType::Aes, KeyType::Aes, options, now);
        let hello = hello(&[CEPH_AUTH_NONE, CEPH_AUTH_CEPHX], &admin(), 0);
        let reply = mon.monitor.start().handle_request(CEPH_AUTH_UNKNOWN, &hello, now.wall);
        assert_eq!((reply.protocol, reply.result()), (chosen, 0));
    }
}

#[test]
fn a_change_of_caps_is_seen_with_the_next_tickets() {
    let now = Now::start();
    let mut mon = Mon::new(KeyType::Aes256k, KeyType::Aes256k, now);
    let client = mon.client(admin());
    let (mut handler, mut con) = mon.login(&client, now).unwrap();
    mon.keyring.set_caps(&admin(), "osd", "allow r");
    mon.keyring.set_caps(&admin(), "mon", "allow *");
    mon.keys().set_keyring(mon.keyring.clone());
    let t = now.after(2700);
    let request = handler.renew(t.instant).unwrap().unwrap();
    talk(&mut con, &mut handler, request, t).unwrap();
    assert_eq!(con.peer().unwrap().caps.text(), Some("allow *"));
    let accepted = connect(&mon.osd(), osd_authorizer(&client, t), t).unwrap();
    assert_eq!(accepted.peer.caps.text(), Some("allow r"));
}
