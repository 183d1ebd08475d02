//! Round trips with cephx, then with none.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use ceph_msgr::auth::*;
use ceph_msgr::types::{EntityType, Features, UTime};

use crate::cephx::cephx;
use crate::end::*;
use crate::fake::{Event, ping};

for_each_protocol!(auth_test);

/// Both ends change from cephx to none while the server goes on listening (`auth_*_required`).
fn auth_test(protocol: Protocol) {
    let mut config = Config::client(protocol);
    let none = (config.auth.clone(), Config::server(protocol).auth_server);
    let (provider, handler) = cephx(EntityType::CLIENT);
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

    fn supported_methods(&self, peer_type: EntityType) -> Vec<u32> {
        self.get().supported_methods(peer_type)
    }
}
