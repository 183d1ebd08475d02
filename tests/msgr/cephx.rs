//! What both ends of a scenario need for cephx.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ceph_msgr::auth::cephx::{
    CephxAuthorizeHandler, CephxAuthorizeOptions, KeyServer, KeyServerOptions, RotatingKeyRing,
};
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::auth::*;
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::types::{EntityType, GlobalId, UTime};

/// A client that has logged in, and a service that knows the monitors' secrets.
pub(crate) fn cephx() -> (Arc<dyn AuthProvider>, Arc<dyn AuthServer>) {
    let wall: UTime = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").into();
    let admin: EntityName = "client.admin".parse().expect("a name");
    let key = CryptoKey::generate(KeyType::Aes, wall).expect("random numbers");
    let mut keyring = Keyring::new();
    keyring.set_key(&admin, key.clone());
    keyring.set_caps(&admin, "mon", "allow *");
    keyring.set_caps(&admin, "osd", "allow *");
    let keys = KeyServer::new(keyring, KeyServerOptions::default(), wall).expect("random numbers");
    let ring = RotatingKeyRing::new(EntityType::OSD);
    ring.set_secrets(keys.rotating_secrets(EntityType::OSD).expect("a service"));
    let ids = Box::new(Counter(AtomicU64::new(4100)));
    let monitor = AuthMonitor::new(Arc::new(keys), ids, AuthMonitorOptions::default());

    let services = [EntityType::MON, EntityType::OSD];
    let client = AuthClient::new(admin, Some(key), &[CEPH_AUTH_CEPHX], &services).expect("a key");
    let client = Arc::new(client);
    let mut con = Arc::new(monitor).start();
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
    let options = CephxAuthorizeOptions::default();
    (client, Arc::new(CephxAuthorizeHandler::new(EntityType::OSD, Arc::new(ring), options)))
}

#[derive(Debug)]
struct Counter(AtomicU64);

impl GlobalIdAllocator for Counter {
    fn assign_global_id(&self) -> Option<GlobalId> {
        Some(GlobalId(self.0.fetch_add(1, Relaxed)))
    }
}
