use super::*;
use crate::auth::{
    AuthPeer, AuthProvider, AuthorizerError, AuthorizerState, AuthorizerVerdict, CEPH_AUTH_UNKNOWN,
};
use crate::messages::MPing;
use crate::messages::mgr::{MMgrCommand, MMgrCommandReply};
use crate::messages::osd::{MCommand, MCommandReply};
use crate::types::Fsid;

fn service(monitor: &Monitor, of: EntityType) -> Service {
    let who = |cmd: &CommandRequest| CommandReply::ok(format!("{} is served\n", cmd.peer.name));
    monitor.service(of, Commands::new().on("who", "", who))
}

/// client.admin with tickets.
fn installed(monitor: &Arc<Monitor>) -> Arc<AuthClient> {
    let client = client(monitor);
    let (mut handler, hello) = client.start();
    talk(&mut monitor.session(FEATURES), &mut handler, hello, 0).unwrap();
    handler.install().unwrap();
    client
}

/// Shows the client's authorizer to the service, and answers its challenge.
fn show(service: &Service, client: &AuthClient) -> Result<AuthPeer, AuthorizerError> {
    let authorizer = client.get_authorizer(EntityType::OSD, Instant::now(), false).unwrap();
    let mut authorizer = authorizer.unwrap();
    let server = service.auth_server();
    let mut state = AuthorizerState::new();
    loop {
        let bytes = authorizer.bytes().to_vec();
        match server.verify_authorizer(&mut state, CEPH_AUTH_CEPHX, &bytes, FEATURES, NOW) {
            AuthorizerVerdict::Challenge(challenge) => {
                authorizer.add_challenge(&challenge).unwrap();
            }
            AuthorizerVerdict::Accepted(accepted) => {
                authorizer.verify_reply(&accepted.reply).unwrap();
                return Ok(accepted.peer);
            }
            AuthorizerVerdict::Refused(e) => return Err(e),
            AuthorizerVerdict::NotAsked => panic!("a service asks"),
        }
    }
}

#[test]
fn a_ticket_of_the_monitor_opens_a_session_with_its_services() {
    let monitor = monitor();
    let osd = service(&monitor, EntityType::OSD);
    let client = installed(&monitor);
    let peer = show(&osd, &client).unwrap();
    assert_eq!((&peer.name, peer.global_id), (&admin(), client.global_id()));
    assert_eq!(peer.caps.text(), Some("allow *"));

    let msg = MCommand::new(Fsid::default(), r#"{"prefix":"who"}"#).to_message(FEATURES);
    let replies = osd.dispatch(&peer, FEATURES, &msg.with_tid(Tid(6))).unwrap();
    assert_eq!(MCommandReply::from_message(&replies[0]).unwrap().r, 0);
    assert_eq!(&replies[0].data[..], b"client.admin is served\n");
    assert_eq!(replies[0].header.tid, Tid(6));

    // Another monitor's services do not know the secret.
    let elsewhere = service(&self::monitor(), EntityType::OSD);
    assert!(show(&elsewhere, &client).is_err());
    let mds = service(&monitor, EntityType::MDS);
    assert_eq!(show(&mds, &client), Err(AuthorizerError::WrongService(4)));
}

#[test]
fn a_manager_answers_its_own_commands() {
    let monitor = monitor();
    let mgr = service(&monitor, EntityType::MGR);
    let peer = logged_in(&monitor).peer().unwrap().clone();
    for (cmd, r) in [(r#"{"prefix":"who"}"#, 0), (r#"{"prefix":"x"}"#, -22), ("who", -22)] {
        let msg = MMgrCommand::new(cmd).to_message(FEATURES).with_tid(Tid(6));
        let replies = mgr.dispatch(&peer, FEATURES, &msg).unwrap();
        assert_eq!(MMgrCommandReply::from_message(&replies[0]).unwrap().r, r, "{cmd}");
        assert_eq!(replies[0].header.tid, Tid(6));
    }
}

#[test]
fn what_is_no_command_goes_to_the_author() {
    let monitor = monitor();
    let peer = logged_in(&monitor).peer().unwrap().clone();
    let ping = MPing::default().to_message(FEATURES);
    let osd = service(&monitor, EntityType::OSD);
    assert_eq!(osd.dispatch(&peer, FEATURES, &ping), Ok(Vec::new()));
    let osd =
        osd.on_message(|peer, msg| vec![msg.clone(), Message::new(999, peer.name.id.clone())]);
    let replies = osd.dispatch(&peer, FEATURES, &ping).unwrap();
    assert_eq!((kinds(&replies), &replies[1].front[..]), (vec![2, 999], &b"admin"[..]));
    let garbage = Message::new(types::MSG_COMMAND, vec![1]);
    assert_eq!(osd.dispatch(&peer, FEATURES, &garbage).unwrap_err().msg_type, "command(97)");
}

#[test]
fn the_monitor_itself_asks_for_no_authorizer() {
    let server = monitor().auth_server();
    let mut state = AuthorizerState::new();
    let verdict = server.verify_authorizer(&mut state, CEPH_AUTH_UNKNOWN, &[], FEATURES, NOW);
    assert!(matches!(verdict, AuthorizerVerdict::NotAsked), "{verdict:?}");
}
