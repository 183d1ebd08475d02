use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::connection::{Connection, Owner};
use super::listener::{Acceptor, Listener};
use super::registry::Registry;
use super::{Deadline, Dispatcher};
use crate::auth::AuthProvider;
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::msgr::{Local, Options, Peer, Policies, Policy, Throttle};
use crate::types::{AddrType, EntityAddr, EntityName, EntityType, UTime};

/// How long the steps of a connection may take, and what it costs.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For TCP to connect.
    pub connect: Duration,
    /// From there until the session is open. On the accepting side it is the time until the peer's
    /// session is found, and again from there until it is open, and until a peer has logged in that
    /// does so with messages.
    pub handshake: Duration,
    /// Silence after which the peer is asked for a sign of life, which also ends a standby; `None`
    /// never asks.
    pub keepalive: Option<Duration>,
    /// Silence after which the peer is given up, but not before it has had one more `keepalive` to
    /// answer; of an accepted one also silence in the middle of a message, which holds room that
    /// others wait for.
    pub keepalive_timeout: Duration,
    /// Time without a message or keepalive in either direction after which a socket is given up,
    /// and a session that stands by ends (`ms_connection_idle_timeout`); `None` never.
    pub idle: Option<Duration>,
    /// For `send` to find room in a full out queue.
    pub send: Duration,
}

impl Default for Timeouts {
    /// Ten seconds for each step. A peer is asked after five seconds of silence, as the kernel asks
    /// OSDs, and given up after fifteen, so that a call of thirty still finds another monitor.
    fn default() -> Self {
        let ten = Duration::from_secs(10);
        Self {
            connect: ten,
            handshake: ten,
            keepalive: Some(Duration::from_secs(5)),
            keepalive_timeout: Duration::from_secs(15),
            idle: Some(Duration::from_secs(900)),
            send: Duration::from_secs(30),
        }
    }
}

/// Opens and accepts connections, and knows them all. Cheap to clone; the clones are one messenger.
#[derive(Clone, Debug)]
pub struct Messenger(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) local: Local,
    pub(super) timeouts: Timeouts,
    registry: Mutex<Registry>,
    policies: Mutex<Policies>,
    throttles: Mutex<Throttles>,
    next_id: AtomicU64,
    pid: u32,
}

#[derive(Debug)]
struct Throttles {
    default: Arc<Throttle>,
    by_type: Vec<(EntityType, Arc<Throttle>)>,
}

impl Messenger {
    /// A messenger that speaks as an entity of that type, with a random nonce.
    pub fn new(entity_type: EntityType, options: Options, timeouts: Timeouts) -> Result<Self> {
        let nonce =
            random().map_err(|e| Error::new(ErrorKind::Io, e.to_string()).with_source(e))?;
        let nonce = u32::from_ne_bytes(nonce).max(1);
        let name = EntityName::new(entity_type, EntityName::NEW);
        Ok(Self::with_nonce(name, nonce, options, timeouts))
    }

    /// A daemon's messenger. A monitor's nonce is 0; that of any other daemon is in a map, and must
    /// differ from that of every other at its IP address, the ones before it among them.
    pub fn with_nonce(name: EntityName, nonce: u32, options: Options, timeouts: Timeouts) -> Self {
        let local = Local::new(name.entity_type, nonce, options);
        local.set_num(name.num);
        let default =
            Throttle::new(limits::DISPATCH_THROTTLE_MESSAGES, limits::DISPATCH_THROTTLE_BYTES);
        Self(Arc::new(Inner {
            local,
            timeouts,
            registry: Mutex::default(),
            policies: Mutex::new(Policies::new(Policy::STATELESS_SERVER)),
            throttles: Mutex::new(Throttles { default, by_type: Vec::new() }),
            next_id: AtomicU64::new(1),
            pid: std::process::id(),
        }))
    }

    /// Who this side is.
    pub fn local(&self) -> &Local {
        &self.0.local
    }

    /// Sets what sessions promise that are accepted from now on; at first all are stateless.
    pub fn set_policies(&self, policies: Policies) {
        *self.0.policies.lock().unwrap_or_else(|e| e.into_inner()) = policies;
    }

    /// Sets what bounds the received messages of peers of this type, on connections that begin from
    /// now on (`set_policy_throttlers`). Accepted peers of other types share one of
    /// [`limits::DISPATCH_THROTTLE_BYTES`].
    pub fn set_throttle(&self, peer: EntityType, throttle: Arc<Throttle>) {
        let mut throttles = self.0.throttles.lock().unwrap_or_else(|e| e.into_inner());
        throttles.by_type.retain(|(t, _)| *t != peer);
        throttles.by_type.push((peer, throttle));
    }

    /// Starts a connection and returns at once: its thread dials, and what is sent meanwhile
    /// waits. `auth` gives the authorizer; events go to `dispatcher`. Each call makes a connection
    /// of its own (`anon` in Ceph's `connect_to`).
    pub fn connect(
        &self,
        peer: Peer,
        auth: Arc<dyn AuthProvider>,
        dispatcher: Arc<dyn Dispatcher>,
    ) -> Result<Connection> {
        self.0.check_fork()?;
        let con = self.0.start(peer, auth, dispatcher)?;
        self.0.registry().insert(&con);
        self.0.forget_if_closed(&con);
        Ok(con)
    }

    /// The session with that peer at that address under that policy, dialled or accepted, or a new
    /// one that dials. An attempt of the peer's to reach this side becomes the same session
    /// (`connect_to`).
    pub fn connect_to(
        &self,
        peer: Peer,
        auth: Arc<dyn AuthProvider>,
        dispatcher: Arc<dyn Dispatcher>,
    ) -> Result<Connection> {
        self.0.check_fork()?;
        let mut registry = self.0.registry();
        let known = registry.connection_to(&peer);
        // What does not say its messenger is dialled with v1, and is the same as what does.
        let addr_type = match peer.addr.addr_type {
            AddrType::MSGR2 => AddrType::MSGR2,
            _ => AddrType::LEGACY,
        };
        let peer = Peer { addr: EntityAddr { addr_type, ..peer.addr }, ..peer };
        if let Some(con) = known.or_else(|| registry.connection_to(&peer)) {
            return Ok(con);
        }
        let con = self.0.start(peer, auth, dispatcher)?;
        registry.insert(&con);
        registry.register(&con);
        drop(registry);
        self.0.forget_if_closed(&con);
        Ok(con)
    }

    /// Listens at these addresses, each of which says by its type which protocol is spoken there:
    /// `v2:127.0.0.1:3300`, `v1:127.0.0.1:6789`. Port 0 takes a free one; the nonce is the messenger's.
    /// They are this messenger's own from now on. Who comes in is handed to the acceptor's dispatcher.
    pub fn bind(&self, addrs: &[EntityAddr], acceptor: Acceptor) -> Result<Listener> {
        self.0.check_fork()?;
        Listener::bind(self.0.clone(), addrs, acceptor)
    }

    /// How long the steps of its connections may take.
    pub fn timeouts(&self) -> &Timeouts {
        &self.0.timeouts
    }

    /// Refuses a handle that a fork has copied from its parent.
    pub(crate) fn check_fork(&self) -> Result<()> {
        self.0.check_fork()
    }

    /// How many connections have a thread, but for accepted ones that are not open yet; none in a
    /// fork.
    pub fn connections(&self) -> usize {
        if self.0.is_forked() { 0 } else { self.0.registry().len() }
    }

    /// Closes every connection and waits for their threads. What had been sent and is not on the
    /// wire yet is dropped: see [`Connection::flush`]. A [`Listener`] goes on listening.
    pub fn shutdown(&self, deadline: Deadline) -> Result<()> {
        self.0.check_fork()?;
        let all = self.0.registry().all();
        all.iter().for_each(|c| c.begin_close());
        all.iter().try_for_each(|c| c.join(deadline))
    }
}

impl Inner {
    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn policies(&self) -> Policies {
        self.policies.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// What bounds the messages of a peer. One that was dialled is trusted with our memory: who
    /// waits for its answers may well keep them all.
    pub(super) fn throttle(&self, peer: EntityType, accepted: bool) -> Option<Arc<Throttle>> {
        let throttles = self.throttles.lock().unwrap_or_else(|e| e.into_inner());
        let found = throttles.by_type.iter().find(|(t, _)| *t == peer).map(|(_, found)| found);
        found.or_else(|| accepted.then_some(&throttles.default)).cloned()
    }

    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    fn start(
        self: &Arc<Self>,
        peer: Peer,
        auth: Arc<dyn AuthProvider>,
        dispatcher: Arc<dyn Dispatcher>,
    ) -> Result<Connection> {
        let owner = Owner {
            auth,
            dispatcher,
            listener: None,
            login_due: false,
            auth_peer: None,
            login: None,
            thread: Default::default(),
        };
        Connection::start(self.new_id(), self.clone(), peer, owner)
    }

    /// The worker may have ended before its connection was known here.
    fn forget_if_closed(&self, con: &Connection) {
        if con.is_closed() {
            self.forget(con.id());
        }
    }

    pub(super) fn forget(&self, id: u64) {
        self.registry().remove(id);
    }

    /// Whether this is still the process that made the messenger: a fork has no worker threads,
    /// and must not write to its parent's sockets.
    pub(super) fn is_forked(&self) -> bool {
        std::process::id() != self.pid
    }

    pub(super) fn check_fork(&self) -> Result<()> {
        if self.is_forked() {
            let text = "this handle belongs to the parent process";
            return Err(Error::new(ErrorKind::Forked, text));
        }
        Ok(())
    }
}

/// The wall clock, as keepalives carry it.
pub(crate) fn wall() -> UTime {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().into()
}
