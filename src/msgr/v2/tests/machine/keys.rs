//! Who knows which keys: a monitor with its clients, and a service with its tickets.

use super::*;
use crate::auth::cephx::{
    AuthCapsInfo, AuthTicket, CephXServiceTicketInfo, CephxAuthorizeHandler, CephxAuthorizeOptions,
    ExpiringCryptoKey, KeyServer, KeyServerOptions, RotatingKeyRing, RotatingSecrets,
};
use crate::auth::keyring::Keyring;
use crate::auth::{
    AuthMonitor, AuthMonitorOptions, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, EntityName as AuthName,
    GlobalIdAllocator,
};
use crate::crypto::KeyType;
use crate::crypto::tests::aes256k;

const ROTATING_SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// When the tests begin, and when the tickets of the tests end.
pub(super) const WALL: UTime = UTime { sec: 1_800_000_000, nsec: 0 };
const END: UTime = UTime { sec: 1_800_003_600, nsec: 0 };

pub(super) const KEY_TYPES: [KeyType; 2] = [KeyType::Aes, KeyType::Aes256k];

/// A session key of each type.
pub(super) fn session_keys() -> [CryptoKey; 2] {
    [aes_key(), session_key()]
}

#[derive(Debug)]
struct Always;

impl GlobalIdAllocator for Always {
    fn assign_global_id(&self) -> Option<GlobalId> {
        Some(GlobalId(4101))
    }
}

fn monitor(key_type: KeyType, methods: &[u32]) -> (Arc<AuthMonitor>, Arc<AuthClient>) {
    monitor_for(&CryptoKey::generate(key_type, UTime::default()).unwrap(), methods)
}

/// A monitor, and client.admin that has this key; `methods` are what both take.
pub(super) fn monitor_for(key: &CryptoKey, methods: &[u32]) -> (Arc<AuthMonitor>, Arc<AuthClient>) {
    let name = AuthName::new(EntityType::CLIENT, "admin");
    let mut keyring = Keyring::new();
    keyring.set_key(&name, key.clone());
    keyring.set_caps(&name, "mon", "allow *");
    let key_type = key.key_type();
    let options = KeyServerOptions { auth_service_cipher: key_type, ..KeyServerOptions::default() };
    let keys = Arc::new(KeyServer::new(keyring, options, WALL).unwrap());
    let options = AuthMonitorOptions { methods: methods.to_vec(), ..Default::default() };
    let monitor = Arc::new(AuthMonitor::new(keys, Box::new(Always), options));
    let services = [EntityType::MON, EntityType::OSD, EntityType::MDS];
    let client = Arc::new(AuthClient::new(name, Some(key.clone()), methods, &services).unwrap());
    (monitor, client)
}

pub(super) fn cephx_monitor(key_type: KeyType) -> (Arc<AuthMonitor>, Arc<AuthClient>) {
    monitor(key_type, &[CEPH_AUTH_CEPHX])
}

/// A monitor and a client that would do without a proof.
pub(super) fn lax_monitor(key_type: KeyType) -> (Arc<AuthMonitor>, Arc<AuthClient>) {
    monitor(key_type, &[CEPH_AUTH_CEPHX, CEPH_AUTH_NONE])
}

/// What an MDS knows.
pub(super) fn service() -> CephxAuthorizeHandler {
    let secret = ExpiringCryptoKey { key: aes256k(ROTATING_SECRET), expiration: END };
    let ring = RotatingKeyRing::new(EntityType::MDS);
    ring.set_secrets(RotatingSecrets { secrets: [(2, secret)].into(), max_ver: 3 });
    let options = CephxAuthorizeOptions::default();
    CephxAuthorizeHandler::new(EntityType::MDS, Arc::new(ring), options)
}

/// What the monitors give `name` for that MDS.
pub(super) fn ticket(name: &str, key: &CryptoKey) -> CephXTicketBlob {
    let ticket = AuthTicket {
        name: name.parse().unwrap(),
        global_id: GlobalId(4242),
        old_auid: u64::MAX,
        created: UTime::default(),
        expires: END,
        caps: AuthCapsInfo::default(),
        flags: 0,
    };
    let info = CephXServiceTicketInfo { ticket, session_key: key.clone() };
    info.seal(2, &aes256k(ROTATING_SECRET)).unwrap()
}

/// A dialler that shows a ticket of client.admin for the MDS.
pub(super) fn shows_ticket(key: &CryptoKey) -> Shows {
    Shows::Cephx(key.clone(), ticket("client.admin", key))
}
