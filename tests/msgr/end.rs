//! One end of a scenario: a messenger, where it listens, and what it hears.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ceph_msgr::auth::{
    AuthNoneAuthorizeHandler, AuthNoneAuthorizer, AuthProvider, AuthServer, ConMode,
    EntityName as AuthName,
};
use ceph_msgr::msgr::{ConState, Options, Peer, Policies, Policy, Throttle};
use ceph_msgr::net::{Acceptor, Connection, Dispatcher, Listener, Messenger, Timeouts};
use ceph_msgr::types::{EntityAddr, EntityName, EntityType, GlobalId};

use crate::cephx::cephx;
use crate::common::client::*;
use crate::fake::FakeDispatcher;

pub(crate) const LOCALHOST: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// As Ceph's tests have it: one that dials again even with nothing to send.
pub(crate) const LOSSLESS_CLIENT: Policy = Policy { standby: false, ..Policy::LOSSLESS_CLIENT };

/// What the ends speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Messenger v1.
    V1,
    /// Messenger v2, with checksums.
    V2,
    /// The same with cephx and sealed frames, towards OSDs.
    V2Secure,
}

impl Protocol {
    /// How that address is named in maps.
    pub(crate) fn addr(self, addr: SocketAddr, nonce: u32) -> EntityAddr {
        match self {
            Self::V1 => EntityAddr::legacy(addr, nonce),
            Self::V2 | Self::V2Secure => EntityAddr::msgr2(addr, nonce),
        }
    }
}

/// What is to be known before an end is there.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) protocol: Protocol,
    pub(crate) name: EntityName,
    /// Unlike that of all others: of two attempts that cross the one of the lower is kept.
    pub(crate) nonce: u32,
    /// What sessions with every peer promise.
    pub(crate) policy: Policy,
    pub(crate) options: Options,
    pub(crate) timeouts: Timeouts,
    pub(crate) auth: Arc<dyn AuthProvider>,
    pub(crate) auth_server: Arc<dyn AuthServer>,
    /// Messages and bytes that may be held.
    pub(crate) throttle: (usize, usize),
}

impl Config {
    fn new(protocol: Protocol, entity_type: EntityType, num: i64, nonce: u32) -> Self {
        let id = num.to_string();
        let global_id = GlobalId(num.unsigned_abs());
        let name = AuthName::new(entity_type, &id);
        let none: Arc<dyn AuthProvider> = Arc::new(AuthNoneAuthorizer { name, global_id });
        let (auth, auth_server) = match protocol {
            Protocol::V1 | Protocol::V2 => (none, Arc::new(AuthNoneAuthorizeHandler) as _),
            Protocol::V2Secure => cephx(entity_type),
        };
        let mut options = Options::default();
        if protocol == Protocol::V2Secure {
            options.modes = &[ConMode::Secure];
        }
        Self {
            protocol,
            name: EntityName::new(entity_type, num),
            nonce,
            policy: Policy::STATELESS_SERVER,
            options,
            timeouts: patient(),
            auth,
            auth_server,
            throttle: (10_000, 100 << 20),
        }
    }

    /// osd.0, nonce 100.
    pub(crate) fn server(protocol: Protocol) -> Self {
        Self::new(protocol, EntityType::OSD, 0, 100)
    }

    /// client.4100, nonce 200.
    pub(crate) fn client(protocol: Protocol) -> Self {
        Self { policy: Policy::LOSSY_CLIENT, ..Self::new(protocol, EntityType::CLIENT, 4100, 200) }
    }

    pub(crate) fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    pub(crate) fn nonce(self, nonce: u32) -> Self {
        Self { nonce, ..self }
    }
}

#[derive(Debug)]
pub(crate) struct End<D = FakeDispatcher> {
    protocol: Protocol,
    pub(crate) name: EntityName,
    nonce: u32,
    policy: Policy,
    auth: Arc<dyn AuthProvider>,
    auth_server: Arc<dyn AuthServer>,
    pub(crate) messenger: Messenger,
    pub(crate) listener: Option<Listener>,
    pub(crate) dispatcher: Arc<D>,
    throttle: Arc<Throttle>,
}

impl<D: Dispatcher + 'static> End<D> {
    /// Does not listen yet.
    pub(crate) fn new(config: Config, dispatcher: Arc<D>) -> Self {
        let Config {
            protocol,
            name,
            nonce,
            policy,
            options,
            timeouts,
            auth,
            auth_server,
            throttle,
        } = config;
        let messenger = Messenger::with_nonce(name, nonce, options, timeouts);
        messenger.set_policies(Policies::new(policy));
        let throttle = Throttle::new(throttle.0, throttle.1);
        for peer in [EntityType::CLIENT, EntityType::OSD] {
            messenger.set_throttle(peer, throttle.clone());
        }
        let listener = None;
        Self {
            protocol,
            name,
            nonce,
            policy,
            auth,
            auth_server,
            messenger,
            listener,
            dispatcher,
            throttle,
        }
    }

    /// The same, listening.
    pub(crate) fn bound(config: Config, dispatcher: Arc<D>) -> Self {
        let mut end = Self::new(config, dispatcher);
        end.bind(&[end.protocol.addr(LOCALHOST, 0)]);
        end
    }

    pub(crate) fn bind(&mut self, addrs: &[EntityAddr]) {
        let mut acceptor = Acceptor::new(self.auth_server.clone(), self.dispatcher.clone());
        acceptor.auth = self.auth.clone();
        self.listener = Some(self.messenger.bind(addrs, acceptor).expect("a free port"));
    }

    /// Stops listening (the first half of `rebind`).
    pub(crate) fn unbind(&mut self) {
        self.listener.take().map_or(Ok(()), |l| l.close(soon())).expect("closed");
    }

    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        let listener = self.listener.as_ref().expect("it listens");
        listener.addrs().iter().filter_map(|a| a.sockaddr).collect()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addrs()[0]
    }

    /// Another end as a peer, there: by the protocol with which it listens, or by its own.
    fn peer<E>(&self, other: &End<E>, at: SocketAddr) -> Peer {
        let listens = other.listener.iter().flat_map(|l| l.addrs()).copied();
        let there = listens.into_iter().find(|addr| addr.sockaddr == Some(at));
        let addr = there.unwrap_or_else(|| self.protocol.addr(at, other.nonce));
        Peer { name: other.name, addr, policy: self.policy }
    }

    /// The session with another end, dialled or accepted.
    pub(crate) fn connect_to<E>(&self, other: &End<E>, at: SocketAddr) -> Connection {
        let peer = self.peer(other, at);
        let (auth, dispatcher) = (self.auth.clone(), self.dispatcher.clone());
        self.messenger.connect_to(peer, auth, dispatcher).expect("a thread")
    }

    /// A connection of its own.
    pub(crate) fn connect_anon<E>(&self, other: &End<E>, at: SocketAddr) -> Connection {
        let peer = self.peer(other, at);
        let (auth, dispatcher) = (self.auth.clone(), self.dispatcher.clone());
        self.messenger.connect(peer, auth, dispatcher).expect("a thread")
    }

    /// The session that is there with the peer of an accepted connection.
    pub(crate) fn session_of(&self, accepted: &Connection) -> Connection {
        let (auth, dispatcher) = (self.auth.clone(), self.dispatcher.clone());
        self.messenger.connect_to(*accepted.peer(), auth, dispatcher).expect("a thread")
    }

    /// The only connection that came in.
    #[track_caller]
    pub(crate) fn accepted(&self) -> Connection {
        let mut all = self.listener.as_ref().expect("it listens").connections();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Ends all that it has: no connection, no socket, and nothing of the throttle is left.
    #[track_caller]
    pub(crate) fn close(mut self) {
        self.unbind();
        self.messenger.shutdown(soon()).expect("its threads end");
        assert_eq!(self.messenger.connections(), 0, "connections that are left");
        assert_eq!(self.throttle.held(), (0, 0), "messages that are held");
    }
}

impl End {
    /// A server, which answers, or a client, listening.
    pub(crate) fn fake(config: Config, is_server: bool) -> Self {
        Self::bound(config, FakeDispatcher::new(is_server))
    }

    /// The same as [`End::close`], for who remembers connections.
    #[track_caller]
    pub(crate) fn shutdown(self) {
        self.dispatcher.forget();
        self.close();
    }

    /// A client that does not listen.
    pub(crate) fn client(config: Config) -> Self {
        Self::new(config, FakeDispatcher::new(false))
    }
}

/// mark_down: it has ended when this returns.
#[track_caller]
pub(crate) fn mark_down(con: &Connection) {
    con.close(soon()).expect("closed");
    assert!(con.is_closed());
    assert_eq!(con.state(), ConState::Closed);
}

#[track_caller]
pub(crate) fn is_connected(con: &Connection) {
    assert_eq!(con.state(), ConState::Open, "{con:?}");
}
