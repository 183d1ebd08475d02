//! A login at a monitor and all that follows it, both sides, by a sequence of operations: our own
//! client's requests and the monitor's replies go through as they are or damaged on the way, and
//! requests and replies that nobody has sent come in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ceph_msgr::auth::cephx::{KeyServer, KeyServerOptions};
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::auth::{
    AuthClient, AuthClientHandler, AuthMonitor, AuthMonitorOptions, AuthReply, AuthRequest,
    AuthServiceHandler, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, Progress,
};
use ceph_msgr::auth::{AuthProvider, EntityName};
use ceph_msgr::crypto::KeyType;
use ceph_msgr::types::{EntityType, GlobalId, UTime};

use crate::input::Input;
use crate::keys::{Counter, NOW, key, name};
use crate::memory::bounded;

const SERVICES: [EntityType; 4] =
    [EntityType::MON, EntityType::MDS, EntityType::OSD, EntityType::MGR];
/// Of one input: each costs some encryptions.
const MAX_OPS: usize = 64;

/// The target. `u8` options, then operations of one byte and what they need.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(input.u8());
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.check();
    }
}

struct World {
    monitor: Arc<AuthMonitor>,
    client: Arc<AuthClient>,
    cephx_only: bool,
    start: Instant,
    age: Duration,
    /// This connection's.
    server: AuthServiceHandler,
    handler: AuthClientHandler,
    request: Option<AuthRequest>,
    reply: Option<AuthReply>,
    /// Nothing on this connection was damaged or made up, and it is not of the past.
    honest: bool,
    /// Whoever has the key has spoken on this connection, and not only said its name.
    proved: bool,
}

impl World {
    fn new(options: u8) -> Self {
        let bit = |n: u8| options & 1 << n != 0;
        let who =
            if bit(0) { name(EntityType::OSD, "0") } else { name(EntityType::CLIENT, "admin") };
        let mut keyring = Keyring::new();
        keyring.set_key(&name(EntityType::CLIENT, "other"), key(true, 99));
        keyring.set_key(&who, key(bit(1), 1));
        keyring.set_caps(&who, "mon", "allow *");
        let cephx_only = !bit(2);
        let mut methods = vec![CEPH_AUTH_CEPHX];
        if !cephx_only {
            methods.insert(if bit(3) { 0 } else { 1 }, CEPH_AUTH_NONE);
        }
        let server_options = KeyServerOptions {
            auth_service_cipher: if bit(4) { KeyType::Aes } else { KeyType::Aes256k },
            ..KeyServerOptions::default()
        };
        let keys = KeyServer::new(keyring, server_options, NOW).expect("there is randomness");
        let options = AuthMonitorOptions {
            methods: methods.clone(),
            allow_insecure_global_id_reclaim: bit(5),
            ..AuthMonitorOptions::default()
        };
        let monitor = AuthMonitor::new(Arc::new(keys), Box::new(Counter::default()), options);
        let monitor = Arc::new(monitor);
        let client = AuthClient::new(who, Some(key(bit(1), 1)), &methods, &SERVICES);
        let client = Arc::new(client.expect("there is a key"));
        let (handler, hello) = client.start();
        Self {
            server: monitor.start(),
            monitor,
            client,
            cephx_only,
            start: Instant::now(),
            age: Duration::ZERO,
            handler,
            request: Some(hello),
            reply: None,
            honest: true,
            proved: false,
        }
    }

    fn now(&self) -> Instant {
        self.start + self.age
    }

    fn wall(&self) -> UTime {
        NOW.saturating_add(self.age)
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 12 {
            // A whole round, as it should be.
            0..=2 => {
                self.deliver_request(None);
                self.deliver_reply(None);
            }
            3 => self.deliver_request(Some(input)),
            4 => self.deliver_reply(Some(input)),
            5 => {
                let (protocol, payload) = (input.u8().into(), input.long_chunk());
                self.honest = false;
                let limit = (256 << 10) + 64 * payload.len();
                let wall = self.wall();
                let reply = bounded(limit, || self.server.handle_request(protocol, payload, wall));
                assert_eq!(reply.outcome.is_ok(), reply.result() == 0);
                self.reply = Some(reply);
            }
            6 => {
                let (protocol, result) = (input.u8().into(), -i32::from(input.u8()));
                let (global_id, payload) = (input.near(4101), input.long_chunk());
                self.honest = false;
                self.take_reply(protocol, result, GlobalId(global_id), payload);
            }
            7 => self.age += Duration::from_secs(60) * u32::from(input.u16()),
            8 => drop(self.handler.install()),
            9 => {
                if let Ok(Some(request)) = self.handler.renew(self.now()) {
                    self.request = Some(request);
                }
            }
            10 => {
                if let Ok(Some(request)) = self.handler.request_rotating_keys() {
                    self.request = Some(request);
                    // A client that asks is refused.
                    self.honest &= self.client.name().entity_type == EntityType::OSD;
                }
            }
            _ => self.new_connection(),
        }
    }

    fn is_installed(&self) -> bool {
        self.client.protocol().is_some()
    }

    fn new_connection(&mut self) {
        let (handler, hello) = self.client.start();
        self.server = self.monitor.start();
        self.proved = false;
        (self.handler, self.request, self.reply) = (handler, Some(hello), None);
        // What went wrong before may be in the tickets.
        self.honest &= self.age < Duration::from_secs(1800);
    }

    fn deliver_request(&mut self, damage: Option<&mut Input<'_>>) {
        let Some(mut request) = self.request.take() else { return };
        if let Some(input) = damage {
            self.honest &= !input.damage(&mut request.payload);
        }
        self.proved |= request.protocol == CEPH_AUTH_CEPHX;
        let reply = self.server.handle_request(request.protocol, &request.payload, self.wall());
        let errno = reply.result();
        assert!(!self.honest || errno == 0 || self.is_late(), "{:?}", reply.outcome);
        self.reply = Some(reply);
    }

    /// Tickets and secrets have run out since.
    fn is_late(&self) -> bool {
        self.age >= Duration::from_secs(1800)
    }

    fn deliver_reply(&mut self, damage: Option<&mut Input<'_>>) {
        let Some(reply) = self.reply.take() else { return };
        let mut payload = reply.payload().to_vec();
        if let Some(input) = damage {
            self.honest &= !input.damage(&mut payload);
        }
        self.take_reply(reply.protocol, reply.result(), reply.global_id, &payload);
    }

    fn take_reply(&mut self, protocol: u32, result: i32, global_id: GlobalId, payload: &[u8]) {
        let (now, limit) = (self.now(), (64 << 10) + 64 * payload.len());
        let was_in = self.handler.is_authenticated();
        let taken =
            bounded(limit, || self.handler.handle_reply(protocol, result, global_id, payload, now));
        match taken {
            Ok(Progress::Send(request)) => self.request = Some(request),
            Ok(Progress::Done) => assert!(self.handler.is_authenticated()),
            Ok(Progress::RotatingSecrets(secrets)) => {
                assert!(was_in);
                if self.honest {
                    let service = self.client.name().entity_type;
                    assert_eq!(Some(secrets), self.monitor.keys().rotating_secrets(service));
                }
            }
            Err(e) => {
                assert!(!self.honest || self.is_late() || was_in, "{e}");
                // A login that has failed stays so; one that is done is not undone.
                assert_eq!(self.handler.is_authenticated(), was_in);
                if !was_in {
                    let again = self.handler.handle_reply(protocol, 0, global_id, payload, now);
                    assert_eq!(again.expect_err("it has failed"), e);
                }
            }
        }
    }

    /// Whoever is let in has the key of the name it says: there is only one that has one here.
    fn check(&self) {
        let Some(peer) = self.server.peer() else { return };
        assert_ne!(peer.global_id, GlobalId(0));
        if self.cephx_only {
            assert!(self.proved, "let in without a key");
            assert_eq!(peer.name, *self.client.name());
            assert!(!peer.caps.allow_all);
        }
        if self.honest && self.handler.is_authenticated() && !self.is_late() {
            assert_eq!(peer.global_id, self.handler.global_id());
            let who: &EntityName = self.client.name();
            assert_eq!(peer.name, *who);
            if self.is_installed() {
                let authorizer = self.client.get_authorizer(EntityType::OSD, self.now(), false);
                assert!(authorizer.is_ok_and(|a| a.is_some()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What whole rounds need to be worth something.
    #[test]
    fn whole_rounds_log_in_and_a_daemon_gets_its_secrets() {
        for options in 0..64 {
            let mut world = World::new(options);
            for op in [0, 0, 0, 8, 10, 0, 11, 0, 0, 0, 8, 7, 40, 0, 9, 0] {
                world.step(&mut Input::new(&[op]));
                world.check();
            }
            assert!(world.server.peer().is_some(), "options {options:#x}");
            assert!(world.handler.is_authenticated() && world.is_installed());
            assert!(world.honest || options & 1 == 0, "options {options:#x}");
        }
    }
}
