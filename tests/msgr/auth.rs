//! Round trips with cephx, then with none.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ceph_msgr::auth::cephx::{
    CephxAuthorizeHandler, CephxAuthorizeOptions, KeyServer, KeyServerOptions, RotatingKeyRing,
};
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::auth::*;
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::types::{EntityType, Features, GlobalId, UTime};

use crate::end::*;
use crate::fake::{Event, ping};

for_each_protocol!(auth_test);

/// Both ends change from cephx to none while the server goes on listening (`auth_*_required`).
fn auth_test(protocol: Protocol) {
    let mut config = Config::client(protocol);
    let none = (config.auth.clone(), Config::server(protocol).auth_server);
    let (provider, handler) = cephx();
    let (provider, handler) = (Arc::new(Required::new(provider)), Arc::new(Required::new(handler)));
    config.auth = provider.clone();
    let server = Config { auth_server: handler.clone(), ..Config::server(protocol) };
    let (server, client) = (End::fake(server, true), End::client(config));
    for n in 1..=2 {
        let con = client.connect_to(&server, server.addr());
        con.send(ping(n)).expect("sent");
        client.dispatcher.wait(Event::Message, n as usize);
        is_connected(&con);
        assert_eq!(client.dispatcher.got(&con), [n]);
        let shown = server.dispatcher.last_accept().auth_peer().expect("it has shown itself");
        // With cephx the ticket has another name in it than `none` claims.
        let name = if n == 1 { "client.admin" } else { "client.4100" };
        assert_eq!(shown.name.to_string(), name);
        mark_down(&con);
        provider.set(none.0.clone());
        handler.set(none.1.clone());
    }
    client.shutdown();
    server.shutdown();
}

/// A client that has logged in, and a service that knows the monitors' secrets.
fn cephx() -> (Arc<dyn AuthProvider>, Arc<dyn AuthServer>) {
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

/// What is asked of peers, or shown to them, for now.
#[derive(Debug)]
struct Required<T: ?Sized>(Mutex<Arc<T>>);

impl<T: ?Sized> Required<T> {
    fn new(first: Arc<T>) -> Self {
        Self(Mutex::new(first))
    }

    fn set(&self, next: Arc<T>) {
        *self.0.lock().expect("no panic") = next;
    }

    fn get(&self) -> Arc<T> {
        self.0.lock().expect("no panic").clone()
    }
}

impl AuthProvider for Required<dyn AuthProvider> {
    fn get_authorizer(
        &self,
        service: EntityType,
        now: Instant,
        force_new: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        self.get().get_authorizer(service, now, force_new)
    }

    fn invalidate(&self, service: EntityType) {
        self.get().invalidate(service);
    }
}

impl AuthServer for Required<dyn AuthServer> {
    fn verify_authorizer(
        &self,
        state: &mut AuthorizerState,
        protocol: u32,
        authorizer: &[u8],
        features: Features,
        now: UTime,
    ) -> AuthorizerVerdict {
        self.get().verify_authorizer(state, protocol, authorizer, features, now)
    }

    fn required_features(&self, protocol: u32) -> Features {
        self.get().required_features(protocol)
    }

    fn awaits_login(&self) -> bool {
        self.get().awaits_login()
    }
}
