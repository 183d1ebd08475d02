//! What both ends of a scenario need for cephx.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ceph_msgr::auth::cephx::{
    CephxAuthorizeHandler, CephxAuthorizeOptions, KeyServer, KeyServerOptions, RotatingKeyRing,
};
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::auth::*;
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::types::{EntityType, GlobalId, UTime};

/// One ticket for each type of entity, and the secrets to check both.
#[derive(Debug)]
struct Realm {
    client: Arc<dyn AuthProvider>,
    osd: Arc<dyn AuthProvider>,
    handler: Arc<dyn AuthServer>,
}

/// `client.admin` or `osd.0` that has logged in, and a service that knows the monitors' secrets.
pub(crate) fn cephx(entity_type: EntityType) -> (Arc<dyn AuthProvider>, Arc<dyn AuthServer>) {
    static REALM: OnceLock<Realm> = OnceLock::new();
    let realm = REALM.get_or_init(Realm::new);
    let auth = if entity_type == EntityType::OSD { &realm.osd } else { &realm.client };
    (auth.clone(), realm.handler.clone())
}

impl Realm {
    fn new() -> Self {
        let wall: UTime = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").into();
        let names = ["client.admin", "osd.0"].map(|name| name.parse().expect("a name"));
        let mut keyring = Keyring::new();
        let keys = names.map(|name: EntityName| {
            let key = CryptoKey::generate(KeyType::Aes, wall).expect("random numbers");
            keyring.set_key(&name, key.clone());
            keyring.set_caps(&name, "mon", "allow *");
            keyring.set_caps(&name, "osd", "allow *");
            (name, key)
        });
        let server = KeyServer::new(keyring, KeyServerOptions::default(), wall);
        let server = server.expect("random numbers");
        let ring = RotatingKeyRing::new(EntityType::OSD);
        ring.set_secrets(server.rotating_secrets(EntityType::OSD).expect("a service"));
        let ids = Box::new(Counter(AtomicU64::new(4100)));
        let monitor = AuthMonitor::new(Arc::new(server), ids, AuthMonitorOptions::default());
        let monitor = Arc::new(monitor);
        let [client, osd] = keys.map(|(name, key)| log_in(&monitor, name, key, wall));
        let options = CephxAuthorizeOptions::default();
        let handler = CephxAuthorizeHandler::new(EntityType::OSD, Arc::new(ring), options);
        Self { client, osd, handler: Arc::new(handler) }
    }
}

fn log_in(
    monitor: &Arc<AuthMonitor>,
    name: EntityName,
    key: CryptoKey,
    wall: UTime,
) -> Arc<dyn AuthProvider> {
    let services = [EntityType::MON, EntityType::OSD];
    let client = AuthClient::new(name, Some(key), &[CEPH_AUTH_CEPHX], &services).expect("a key");
    let client = Arc::new(client);
    let mut con = monitor.start();
    let (mut handler, mut request) = client.start();
    loop {
        let reply = con.handle_request(request.protocol, &request.payload, wall);
        let (result, payload) = (reply.result(), reply.payload());
        let now = Instant::now();
        match handler.handle_reply(reply.protocol, result, reply.global_id, payload, now) {
            Ok(Progress::Send(next)) => request = next,
            Ok(_) => break,
            Err(e) => panic!("{e}"),
        }
    }
    handler.install().expect("logged in");
    client
}

#[derive(Debug)]
struct Counter(AtomicU64);

impl GlobalIdAllocator for Counter {
    fn assign_global_id(&self) -> Option<GlobalId> {
        Some(GlobalId(self.0.fetch_add(1, Relaxed)))
    }
}
