//! The accepting side, mostly against our own connecting side, which real daemons have proved.

mod authorizer;
mod login;
mod msgr2;
mod msgr2_refused;
mod reclaim;
mod refused;
mod rotation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::some_time;
use crate::auth::cephx::*;
use crate::auth::keyring::Keyring;
use crate::auth::*;
use crate::crypto::{CryptoKey, KeyType};
use crate::denc::{Encode, Writer};
use crate::types::{Features, GlobalId, UTime};

pub(super) const TYPES: [(KeyType, KeyType); 4] = [
    (KeyType::Aes, KeyType::Aes),
    (KeyType::Aes256k, KeyType::Aes256k),
    (KeyType::Aes256k, KeyType::Aes),
    (KeyType::Aes, KeyType::Aes256k),
];

const TICKETS: [EntityType; 4] =
    [EntityType::MON, EntityType::OSD, EntityType::MDS, EntityType::MGR];

const HOUR: u64 = 3600;

/// Both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) wall: UTime,
}

impl Now {
    pub(super) fn start() -> Self {
        Self { instant: some_time(), wall: UTime { sec: 1_800_000_000, nsec: 0 } }
    }

    fn after(self, secs: u64) -> Self {
        let d = Duration::from_secs(secs);
        Self { instant: self.instant + d, wall: self.wall.saturating_add(d) }
    }
}

/// Counts from 4101, as a young cluster does.
#[derive(Debug)]
struct Counter(AtomicU64);

impl GlobalIdAllocator for Counter {
    fn assign_global_id(&self) -> Option<GlobalId> {
        Some(GlobalId(self.0.fetch_add(1, Relaxed)))
    }
}

pub(super) fn admin() -> EntityName {
    EntityName::new(EntityType::CLIENT, "admin")
}

fn osd_0() -> EntityName {
    EntityName::new(EntityType::OSD, "0")
}

fn key_server_options(cipher: KeyType) -> KeyServerOptions {
    KeyServerOptions { auth_service_cipher: cipher, ..KeyServerOptions::default() }
}

/// client.admin and osd.0, with keys of that type.
fn keyring(key_type: KeyType) -> Keyring {
    let mut keyring = Keyring::new();
    for name in [admin(), osd_0()] {
        keyring.set_key(&name, CryptoKey::generate(key_type, UTime::default()).unwrap());
    }
    keyring.set_caps(&admin(), "mon", "allow r");
    keyring.set_caps(&admin(), "osd", "allow rwx pool=p");
    keyring
}

/// A monitor and what its entities know.
pub(super) struct Mon {
    pub(super) monitor: Arc<AuthMonitor>,
    pub(super) keyring: Keyring,
}

impl Mon {
    pub(super) fn new(entity: KeyType, service: KeyType, now: Now) -> Self {
        Self::with(entity, service, AuthMonitorOptions::default(), now)
    }

    fn with(entity: KeyType, service: KeyType, options: AuthMonitorOptions, now: Now) -> Self {
        let keyring = keyring(entity);
        let keys = KeyServer::new(keyring.clone(), key_server_options(service), now.wall).unwrap();
        let ids = Box::new(Counter(AtomicU64::new(4101)));
        Self { monitor: Arc::new(AuthMonitor::new(Arc::new(keys), ids, options)), keyring }
    }

    pub(super) fn keys(&self) -> &KeyServer {
        self.monitor.keys()
    }

    fn key(&self, name: &EntityName) -> CryptoKey {
        self.keyring.key(name).unwrap().clone()
    }

    pub(super) fn client(&self, name: EntityName) -> Arc<AuthClient> {
        let key = Some(self.key(&name));
        Arc::new(AuthClient::new(name, key, &[CEPH_AUTH_CEPHX], &TICKETS).unwrap())
    }

    pub(super) fn login(
        &self,
        client: &Arc<AuthClient>,
        now: Now,
    ) -> Result<(AuthClientHandler, AuthServiceHandler), AuthError> {
        let mut con = self.monitor.start();
        let (mut handler, hello) = client.start();
        talk(&mut con, &mut handler, hello, now)?;
        handler.install()?;
        Ok((handler, con))
    }

    /// An OSD that has just asked for its secrets.
    fn osd(&self) -> CephxAuthorizeHandler {
        let ring = RotatingKeyRing::new(EntityType::OSD);
        ring.set_secrets(self.keys().rotating_secrets(EntityType::OSD).unwrap());
        service(ring)
    }
}

fn service(ring: RotatingKeyRing) -> CephxAuthorizeHandler {
    CephxAuthorizeHandler::new(EntityType::OSD, Arc::new(ring), CephxAuthorizeOptions::default())
}

/// Lets client and monitor talk until the client is done.
fn talk(
    con: &mut AuthServiceHandler,
    handler: &mut AuthClientHandler,
    mut request: AuthRequest,
    now: Now,
) -> Result<Option<RotatingSecrets>, AuthError> {
    loop {
        let reply = con.handle_request(request.protocol, &request.payload, now.wall);
        let (result, payload) = (reply.result(), reply.payload());
        match handler.handle_reply(reply.protocol, result, reply.global_id, payload, now.instant)? {
            Progress::Send(next) => request = next,
            Progress::Done => return Ok(None),
            Progress::RotatingSecrets(secrets) => return Ok(Some(secrets)),
        }
    }
}

pub(super) fn osd_authorizer(client: &AuthClient, now: Now) -> Authorizer {
    client.get_authorizer(EntityType::OSD, now.instant, false).unwrap().unwrap()
}

pub(super) fn show(
    server: &dyn AuthServer,
    state: &mut AuthorizerState,
    authorizer: &Authorizer,
    now: Now,
) -> AuthorizerVerdict {
    let (protocol, features) = (authorizer.protocol(), Features::SUPPORTED);
    server.verify_authorizer(state, protocol, authorizer.bytes(), features, now.wall)
}

/// Goes through the whole round on a new socket; both sides must be content.
pub(super) fn connect(
    server: &dyn AuthServer,
    mut authorizer: Authorizer,
    now: Now,
) -> Result<AcceptedAuthorizer, AuthorizerError> {
    let mut state = AuthorizerState::new();
    let challenge = match show(server, &mut state, &authorizer, now) {
        AuthorizerVerdict::Challenge(challenge) => challenge,
        AuthorizerVerdict::Refused(e) => return Err(e),
        other => panic!("no challenge: {other:?}"),
    };
    authorizer.add_challenge(&challenge).unwrap();
    match show(server, &mut state, &authorizer, now) {
        AuthorizerVerdict::Accepted(accepted) => {
            authorizer.verify_reply(&accepted.reply).unwrap();
            assert_eq!(accepted.session_key.as_ref(), authorizer.session_key());
            Ok(*accepted)
        }
        AuthorizerVerdict::Refused(e) => Err(e),
        other => panic!("challenged twice: {other:?}"),
    }
}

fn refused(verdict: AuthorizerVerdict) -> AuthorizerError {
    match verdict {
        AuthorizerVerdict::Refused(e) => e,
        other => panic!("not refused: {other:?}"),
    }
}

fn hello(methods: &[u32], name: &EntityName, global_id: u64) -> Vec<u8> {
    let mut w = Writer::new(Features::ALL);
    w.u8(1).u32(methods.len() as u32);
    for method in methods {
        w.u32(*method);
    }
    w.put(name).u64(global_id);
    w.into_vec()
}

/// A proof as a client of that version of `CephXAuthenticate` sends it.
fn proof(
    version: u8,
    key: &CryptoKey,
    server_challenge: u64,
    old_ticket: &CephXTicketBlob,
    other_keys: u32,
) -> Vec<u8> {
    let challenge = 0x1122_3344_5566_7788;
    let key = crate::crypto::calc_client_server_challenge(key, server_challenge, challenge);
    let mut w = Writer::new(Features::ALL);
    w.u16(CEPHX_GET_AUTH_SESSION_KEY).u8(version).u64(challenge).u64(key.unwrap()).put(old_ticket);
    if version >= 2 {
        w.u32(other_keys);
    }
    w.into_vec()
}

/// A hello, and the challenge that answers it.
fn greet(con: &mut AuthServiceHandler, name: &EntityName, global_id: u64, now: Now) -> u64 {
    let hello = hello(&[CEPH_AUTH_NONE, CEPH_AUTH_CEPHX], name, global_id);
    let reply = con.handle_request(CEPH_AUTH_UNKNOWN, &hello, now.wall);
    assert_eq!((reply.protocol, reply.result()), (CEPH_AUTH_CEPHX, 0));
    let challenge: CephXServerChallenge = decode(reply.payload());
    challenge.server_challenge
}

fn decode<T: crate::denc::Decode>(bytes: &[u8]) -> T {
    let mut r = crate::denc::Reader::new(bytes);
    let value = r.get().unwrap();
    r.finish().unwrap();
    value
}

#[test]
fn a_monitor_asks_its_clients_for_no_authorizer() {
    let mut state = AuthorizerState::new();
    let verify = |protocol| {
        let now = Now::start().wall;
        MonAuthServer.verify_authorizer(&mut state, protocol, &[], Features::SUPPORTED, now)
    };
    let mut verify = verify;
    assert!(matches!(verify(CEPH_AUTH_UNKNOWN), AuthorizerVerdict::NotAsked));
    assert_eq!(refused(verify(CEPH_AUTH_CEPHX)), AuthorizerError::BadProtocol(2));
}

#[test]
fn a_service_without_cephx_believes_a_name() {
    let none = AuthNoneAuthorizer { name: admin(), global_id: GlobalId(4101) };
    let (server, mut state) = (AuthNoneAuthorizeHandler, AuthorizerState::new());
    let verdict = show(&server, &mut state, &(&none).into(), Now::start());
    let AuthorizerVerdict::Accepted(accepted) = verdict else { panic!("{verdict:?}") };
    assert_eq!((accepted.peer.name, accepted.peer.global_id), (admin(), GlobalId(4101)));
    assert!(accepted.peer.caps.allow_all && accepted.reply.is_empty());
    assert!(accepted.session_key.is_none());

    let bytes = none.to_bytes(Features::ALL);
    let mut verify = |protocol, bytes: &[u8]| {
        let now = Now::start().wall;
        refused(server.verify_authorizer(&mut state, protocol, bytes, Features::SUPPORTED, now))
    };
    for n in 0..bytes.len() {
        assert!(matches!(verify(CEPH_AUTH_NONE, &bytes[..n]), AuthorizerError::Malformed(_)));
    }
    assert_eq!(verify(CEPH_AUTH_UNKNOWN, &[]), AuthorizerError::BadProtocol(0));
    assert_eq!(verify(CEPH_AUTH_NONE, &[0; 4097]), AuthorizerError::TooLong(4097));
}
