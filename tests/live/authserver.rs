//! The accepting side of cephx with tickets and secrets of a real cluster: it plays a daemon whose
//! key it has, and believes a client whose ticket comes from the monitors.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ceph_msgr::auth::cephx::{CephxAuthorizeHandler, CephxAuthorizeOptions, RotatingKeyRing};
use ceph_msgr::auth::cephx::{KeyStore as _, RotatingSecrets};
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::auth::{
    AuthClient, AuthClientHandler, AuthProvider as _, AuthRequest, AuthServer as _,
    AuthorizerError, AuthorizerState, AuthorizerVerdict, CEPH_AUTH_CEPHX, EntityName, Progress,
};
use ceph_msgr::messages::auth::{MAuth, MAuthReply};
use ceph_msgr::messages::{Body as _, PaxosHeader};
use ceph_msgr::msgr::{Options, Peer, Policy};
use ceph_msgr::net::{Connection, Delivery, Inbox, Messenger, Timeouts};
use ceph_msgr::types::{self, EntityAddr, EntityType, Epoch, Features, UTime};

use crate::common::live::long;
use crate::common::vstart::Vstart;

/// A login of an entity at the monitor, over a connection of its own.
struct Login {
    client: Arc<AuthClient>,
    handler: AuthClientHandler,
    con: Connection,
    inbox: Inbox,
    messenger: Messenger,
}

fn wall() -> UTime {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").into()
}

fn mon_addr(cluster: &Vstart) -> EntityAddr {
    let dump = cluster.ceph_json(&["mon", "dump"]);
    let addrs = dump["mons"][0]["public_addrs"]["addrvec"].as_array().expect("addresses").clone();
    let v1 = addrs.iter().find(|addr| addr["type"] == "v1").expect("an address of v1");
    EntityAddr::legacy(v1["addr"].as_str().expect("text").parse().expect("an address"), 0)
}

impl Login {
    fn new(cluster: &Vstart, keyring: &str, name: &str) -> Self {
        let name: EntityName = name.parse().expect("a name");
        let keyring = Keyring::read(&cluster.dir().join(keyring)).expect("a keyring");
        let key = keyring.key(&name).expect("a key").clone();
        let services = [EntityType::MON, EntityType::OSD, EntityType::MGR];
        let client = AuthClient::new(name, Some(key), &[CEPH_AUTH_CEPHX], &services);
        let client = Arc::new(client.expect("a client"));

        // As a client also where a daemon logs in: of those the monitor demands more features.
        let (options, timeouts) = (Options::default(), Timeouts::default());
        let messenger = Messenger::new(EntityType::CLIENT, options, timeouts).expect("it is up");
        let inbox = Inbox::new(16).expect("an inbox");
        let peer = Peer {
            name: types::EntityName::new(EntityType::MON, 0),
            addr: mon_addr(cluster),
            policy: Policy::LOSSY_CLIENT,
        };
        let con = messenger.connect(peer, client.clone(), inbox.dispatcher()).expect("it dials");
        let (handler, hello) = client.start();
        let mut login = Self { client, handler, con, inbox, messenger };
        assert!(login.ask(hello).is_none());
        login.handler.install().expect("it is logged in");
        login
    }

    /// Talks with the monitor until the request, and those that follow from it, are answered.
    fn ask(&mut self, mut request: AuthRequest) -> Option<RotatingSecrets> {
        loop {
            let AuthRequest { protocol, payload } = request;
            let (paxos, monmap_epoch) = (PaxosHeader::default(), Epoch(0));
            let msg = MAuth { paxos, protocol, auth_payload: payload, monmap_epoch };
            self.con.send(msg.to_message(Features::SUPPORTED)).expect("sent");
            let reply = self.reply();
            let (result, id, payload) = (reply.result, reply.global_id, &reply.result_bl);
            let now = Instant::now();
            match self.handler.handle_reply(reply.protocol, result, id, payload, now) {
                Ok(Progress::Send(next)) => request = next,
                Ok(Progress::Done) => return None,
                Ok(Progress::RotatingSecrets(secrets)) => return Some(secrets),
                Err(e) => panic!("{}: {e}", self.client.name()),
            }
        }
    }

    fn reply(&self) -> MAuthReply {
        loop {
            match self.inbox.recv(long()).expect("an answer") {
                Delivery::Message(_, msg) if msg.header.msg_type == MAuthReply::TYPE => {
                    return MAuthReply::from_message(&msg).expect("an MAuthReply");
                }
                Delivery::Reset(_, e) => panic!("the monitor is gone: {e}"),
                _ => {}
            }
        }
    }

    fn rotating_secrets(&mut self) -> RotatingSecrets {
        let request = self.handler.request_rotating_keys().expect("logged in").expect("not busy");
        self.ask(request).expect("secrets")
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = self.messenger.shutdown(long());
    }
}

#[test]
fn a_real_monitor_s_ticket_opens_under_its_rotating_secret() {
    let Some(cluster) = Vstart::shared() else { return };
    let admin = Login::new(cluster, "keyring", "client.admin");
    for (daemon, service) in [("osd.0", EntityType::OSD), ("mgr.x", EntityType::MGR)] {
        let secrets = Login::new(cluster, "daemons.keyring", daemon).rotating_secrets();
        assert_eq!(secrets.secrets.len(), 3, "{daemon}");
        // What the monitors seal with is what we would.
        let (current, _) = secrets.current(wall()).expect("a secret that is good");
        let ring = Arc::new(RotatingKeyRing::new(service));
        let options = CephxAuthorizeOptions::default();
        let server = CephxAuthorizeHandler::new(service, ring.clone(), options);

        let authorizer = admin.client.get_authorizer(service, Instant::now(), false);
        let mut authorizer = authorizer.expect("a ticket").expect("not a monitor");
        let mut state = AuthorizerState::new();
        let features = Features::SUPPORTED;
        let mut show = |bytes: &[u8], now| {
            server.verify_authorizer(&mut state, CEPH_AUTH_CEPHX, bytes, features, now)
        };

        // Before we have the secrets nobody is believed; the ticket names the one to ask for.
        let AuthorizerVerdict::Refused(e) = show(authorizer.bytes(), wall()) else {
            panic!("{daemon} has no secrets yet");
        };
        assert_eq!(e, AuthorizerError::UnknownSecret { service, secret_id: current });
        ring.set_secrets(secrets);
        assert!(!ring.need_new_secrets(wall()));
        assert!(ring.service_secret(service, current).is_some());

        let AuthorizerVerdict::Challenge(challenge) = show(authorizer.bytes(), wall()) else {
            panic!("{daemon} does not challenge");
        };
        authorizer.add_challenge(&challenge).expect("a genuine challenge");
        let verdict = show(authorizer.bytes(), wall());
        let AuthorizerVerdict::Accepted(accepted) = verdict else { panic!("{verdict:?}") };
        authorizer.verify_reply(&accepted.reply).expect("a genuine reply");
        assert_eq!(accepted.session_key.as_ref(), authorizer.session_key());
        assert_eq!(accepted.peer.name.to_string(), "client.admin");
        assert_eq!(accepted.peer.global_id, admin.client.global_id());
        assert_eq!(accepted.peer.caps.text(), Some("allow *"), "{:?}", accepted.peer.caps);
        assert!(!accepted.peer.caps.allow_all);

        // An hour after it was made the ticket is over.
        let later = wall().saturating_add(Duration::from_secs(3601));
        let verdict = show(authorizer.bytes(), later);
        let AuthorizerVerdict::Refused(e) = verdict else { panic!("{verdict:?}") };
        assert!(matches!(e, AuthorizerError::Expired { .. }), "{e}");
    }
}
