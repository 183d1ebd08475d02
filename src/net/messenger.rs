use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::connection::{Connection, Shared};
use super::{Deadline, Dispatcher};
use crate::auth::AuthProvider;
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::msgr::v1::Peer;
use crate::msgr::{Local, Options};
use crate::types::{EntityType, UTime};

/// How long the steps of a connection may take, and what it costs.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For TCP to connect.
    pub connect: Duration,
    /// From there until the session is open.
    pub handshake: Duration,
    /// Silence after which the peer is asked for a sign of life, which also ends a standby; `None`
    /// never asks.
    pub keepalive: Option<Duration>,
    /// Silence after which the peer is given up, but not before it has had one more `keepalive` to
    /// answer.
    pub keepalive_timeout: Duration,
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
            send: Duration::from_secs(30),
        }
    }
}

/// Opens connections, and knows them all. Cheap to clone; the clones are one messenger.
#[derive(Clone, Debug)]
pub struct Messenger(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) local: Local,
    pub(super) timeouts: Timeouts,
    connections: Mutex<HashMap<u64, Weak<Shared>>>,
    next_id: AtomicU64,
    pid: u32,
}

impl Messenger {
    /// A messenger that speaks as an entity of that type, with a random nonce.
    pub fn new(entity_type: EntityType, options: Options, timeouts: Timeouts) -> Result<Self> {
        let nonce =
            random().map_err(|e| Error::new(ErrorKind::Io, e.to_string()).with_source(e))?;
        let nonce = u32::from_ne_bytes(nonce).max(1);
        Ok(Self(Arc::new(Inner {
            local: Local::new(entity_type, nonce, options),
            timeouts,
            connections: Mutex::default(),
            next_id: AtomicU64::new(1),
            pid: std::process::id(),
        })))
    }

    /// Who this side is.
    pub fn local(&self) -> &Local {
        &self.0.local
    }

    /// Starts a connection and returns at once: its thread dials, and what is sent meanwhile
    /// waits. `auth` gives the authorizer; events go to `dispatcher`.
    pub fn connect(
        &self,
        peer: Peer,
        auth: Arc<dyn AuthProvider>,
        dispatcher: Arc<dyn Dispatcher>,
    ) -> Result<Connection> {
        self.0.check_fork()?;
        let id = self.0.next_id.fetch_add(1, Relaxed);
        let con = Connection::start(id, self.0.clone(), peer, auth, dispatcher)?;
        self.0.lock().insert(id, Arc::downgrade(con.shared()));
        // The worker may have ended before it was known here.
        if con.is_closed() {
            self.0.forget(id);
        }
        Ok(con)
    }

    /// How long the steps of its connections may take.
    pub fn timeouts(&self) -> &Timeouts {
        &self.0.timeouts
    }

    /// Refuses a handle that a fork has copied from its parent.
    pub(crate) fn check_fork(&self) -> Result<()> {
        self.0.check_fork()
    }

    /// How many connections have a thread; none in a fork.
    pub fn connections(&self) -> usize {
        if self.0.is_forked() { 0 } else { self.0.lock().len() }
    }

    /// Closes every connection and waits for their threads. What had been sent and is not on the
    /// wire yet is dropped: see [`Connection::flush`].
    pub fn shutdown(&self, deadline: Deadline) -> Result<()> {
        self.0.check_fork()?;
        let all: Vec<_> = self.0.lock().values().filter_map(Weak::upgrade).collect();
        all.iter().for_each(|c| c.begin_close());
        all.iter().try_for_each(|c| c.join(deadline))
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Weak<Shared>>> {
        self.connections.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn forget(&self, id: u64) {
        self.lock().remove(&id);
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
pub(super) fn wall() -> UTime {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().into()
}
