use super::*;
use crate::auth::keyring::Keyring;
use crate::auth::{AuthAcceptor, AuthAnswer, AuthMonitorOptions, ConMode};
use crate::denc::{Decode, DecodeErrorKind};
use crate::messages::MPing;
use crate::messages::mon::{MMonCommand, MMonGetMap, MMonMap, MMonSubscribe};
use crate::messages::osd::{MCommand, MCommandReply};
use crate::mon::MonMap;
use crate::msgr::Priority;

#[test]
fn the_monmap_follows_the_login() {
    let monitor = monitor();
    let mut session = monitor.session(FEATURES);
    let client = client(&monitor);
    let (mut handler, hello) = client.start();
    assert!(session.peer().is_none());
    let pushed = talk(&mut session, &mut handler, hello, 0).unwrap();
    handler.install().unwrap();
    assert_eq!(kinds(&pushed), [types::CEPH_MSG_MON_MAP]);
    let m = MMonMap::from_message(&pushed[0]).unwrap();
    let map = MonMap::from_bytes(&m.monmapbl).unwrap();
    assert_eq!(
        (map.epoch, map.fsid, map.rank_of_addr(&addr())),
        (Epoch(1), monitor.fsid(), Some(0))
    );
    let peer = session.peer().unwrap();
    assert_eq!((&peer.name, peer.global_id), (&admin(), client.global_id()));
    assert_eq!(peer.caps.text(), Some("allow *"));

    // Once: not with a renewal, and not to who has it.
    let request = handler.renew(Instant::now() + std::time::Duration::from_secs(3500)).unwrap();
    assert_eq!(talk(&mut session, &mut handler, request.unwrap(), 0), Ok(Vec::new()));
    let mut other = monitor.session(FEATURES);
    let (mut handler, hello) = self::client(&monitor).start();
    assert_eq!(talk(&mut other, &mut handler, hello, 1), Ok(Vec::new()));
    assert_ne!(other.peer().unwrap().global_id, session.peer().unwrap().global_id);
}

/// With messenger v2. What comes after is asked for: tickets by messages, and the monmap.
#[test]
fn a_login_in_the_handshake_goes_on_with_messages() {
    let monitor = monitor();
    let client = client(&monitor);
    let server = monitor.auth_server();
    let mut connector = client.start_auth_at_mon(&[ConMode::Secure]);
    let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &[ConMode::Secure]);
    let offer = connector.get_auth_request().unwrap();
    let answer = acceptor.handle_auth_request(server.as_ref(), &offer, NOW).unwrap();
    let AuthAnswer::ReplyMore(challenge) = answer else { panic!("{answer:?}") };
    let now = Instant::now();
    let proof = connector.handle_auth_reply_more(&challenge, now).unwrap();
    let answer = acceptor.handle_auth_request_more(server.as_ref(), &proof, NOW).unwrap();
    let AuthAnswer::Done(granted) = answer else { panic!("{answer:?}") };
    let (global_id, mode) = (granted.global_id, granted.mode.number());
    let done = connector.handle_auth_done(global_id, mode, &granted.payload, now).unwrap();

    let login = granted.login.expect("the login of a monitor's client");
    let mut session = monitor.session_with_login(FEATURES, *login);
    let peer = session.peer().unwrap();
    assert_eq!((&peer.name, peer.global_id), (&admin(), global_id));
    let mut handler = *done.login.unwrap();
    handler.install().unwrap();
    let request = handler.renew(now + std::time::Duration::from_secs(3500)).unwrap().unwrap();
    assert_eq!(talk(&mut session, &mut handler, request, 0), Ok(Vec::new()), "no monmap unasked");
    assert_eq!(session.peer().unwrap().global_id, global_id);
    assert_eq!(kinds(&ask(&mut session, &MMonGetMap)), [types::CEPH_MSG_MON_MAP]);
}

#[test]
fn wrong_keys_and_strangers_are_refused_and_may_not_do_more() {
    let monitor = monitor();
    let key = CryptoKey::generate(KeyType::Aes, NOW).unwrap();
    for name in [admin(), EntityName::new(EntityType::CLIENT, "nobody")] {
        let client = AuthClient::new(name.clone(), Some(key.clone()), &[CEPH_AUTH_CEPHX], &[]);
        let (mut handler, hello) = Arc::new(client.unwrap()).start();
        let mut session = monitor.session(FEATURES);
        let refused = talk(&mut session, &mut handler, hello, 0).unwrap_err();
        assert!(matches!(refused, AuthError::Denied { errno: 13 }), "{name}: {refused}");
        assert!(session.peer().is_none());
        assert_eq!(ask(&mut session, &MMonGetMap), []);
    }
    // A client that offers nothing which is taken here.
    let none = AuthMonitorOptions { methods: vec![], ..AuthMonitorOptions::default() };
    let monitor = build(Monitor::builder().auth_options(none));
    let (mut handler, hello) = client(&monitor).start();
    let refused = talk(&mut monitor.session(FEATURES), &mut handler, hello, 0).unwrap_err();
    assert!(matches!(refused, AuthError::NoCommonProtocol), "{refused}");
}

#[test]
fn before_the_login_only_a_ping_is_answered() {
    let monitor = monitor();
    let mut session = monitor.session(FEATURES);
    assert_eq!(ask(&mut session, &MMonGetMap), []);
    assert_eq!(ask(&mut session, &MMonSubscribe::default()), []);
    assert_eq!(ask(&mut session, &MMonCommand::new(monitor.fsid(), r#"{"prefix":"x"}"#)), []);
    // What nobody looks at is not looked into either.
    let garbage = Message::new(types::CEPH_MSG_MON_SUBSCRIBE, vec![0xff; 4]).with_version(3, 1);
    assert_eq!(session.dispatch(&garbage, NOW), Ok(Vec::new()));

    let pong = ask(&mut session, &MPing::default());
    let json = MPing::from_message(&pong[0]).unwrap().result.unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["mon_status"]["state"], "leader");

    let refused = ask(&mut session, &MCommand::new(monitor.fsid(), r#"{"prefix":"x"}"#));
    let reply = MCommandReply::from_message(&refused[0]).unwrap();
    assert_eq!((reply.r, reply.rs.as_str()), (-13, "insufficient caps"));
}

#[test]
fn what_is_malformed_is_named() {
    let monitor = monitor();
    let short = |msg_type| Message::new(msg_type, vec![1, 2, 3]).with_version(3, 1);
    let error = monitor.session(FEATURES).dispatch(&short(types::CEPH_MSG_AUTH), NOW).unwrap_err();
    assert_eq!((error.msg_type.as_str(), error.source.kind), ("auth(17)", DecodeErrorKind::Short));
    for msg_type in [
        types::CEPH_MSG_MON_SUBSCRIBE,
        types::CEPH_MSG_MON_GET_VERSION,
        types::MSG_MON_COMMAND,
        types::MSG_COMMAND,
        types::MSG_LOG,
    ] {
        let error = logged_in(&monitor).dispatch(&short(msg_type), NOW).unwrap_err();
        assert_eq!(error.msg_type, short(msg_type).header.type_name());
        assert_eq!(error.source.kind, DecodeErrorKind::Short, "{error}");
    }
    // What is not known is not looked into.
    assert_eq!(logged_in(&monitor).dispatch(&short(999), NOW), Ok(Vec::new()));
}

#[test]
fn a_script_goes_before_the_monitor_s_own_answers() {
    let monitor =
        build(Monitor::builder().on_message(|peer, msg| match (peer, msg.header.msg_type) {
            (Some(_), types::CEPH_MSG_MON_GET_MAP) => Some(Vec::new()),
            (_, types::CEPH_MSG_PING) => Some(vec![Message::new(999, vec![7])]),
            _ => None,
        }));
    let mut session = logged_in(&monitor);
    assert_eq!(ask(&mut session, &MMonGetMap), []);
    let pong = ask(&mut session, &MPing::default());
    assert_eq!((kinds(&pong), pong[0].header.priority), (vec![999], Priority::HIGH));
}

#[test]
fn a_keyring_of_one_s_own_decides_who_may_log_in() {
    let name = EntityName::new(EntityType::CLIENT, "x");
    let mut keyring = Keyring::new();
    keyring.set_key(&name, CryptoKey::generate(KeyType::Aes256k, NOW).unwrap());
    keyring.set_caps(&name, "mon", "allow r");
    let monitor = build(Monitor::builder().keyring(keyring.clone()));
    assert!(monitor.keyring().key(&admin()).is_err());
    let key = Some(keyring.key(&name).unwrap().clone());
    let client = AuthClient::new(name.clone(), key, &[CEPH_AUTH_CEPHX], &[]).unwrap();
    let (mut handler, hello) = Arc::new(client).start();
    let mut session = monitor.session(FEATURES);
    talk(&mut session, &mut handler, hello, 0).unwrap();
    let peer = session.peer().unwrap();
    assert_eq!((&peer.name, peer.caps.text()), (&name, Some("allow r")));
}
