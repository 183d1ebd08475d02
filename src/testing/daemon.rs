use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::hub::Hub;
use super::record::Arrival;
use super::{DAEMON_FEATURES, Service};
use crate::auth::{AuthServer, ConMode};
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::msgr::Options;
use crate::net::{Acceptor, Connection, Deadline, Listener, Messenger, Timeouts};
use crate::types::{AddrType, EntityAddr, EntityAddrVec, EntityName, Msgr};

/// For a listener to be gone: its threads are in no one's code.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A daemon that listens: it answers as its [`Service`] says, remembers what arrived, and fails
/// when it is told to. When it is dropped all its connections close.
///
/// What arrived is kept up to [`MAX_ARRIVALS`](crate::limits::MAX_ARRIVALS) and
/// [`MAX_ARRIVAL_BYTES`](crate::limits::MAX_ARRIVAL_BYTES); then the oldest goes, but never the newest.
pub struct Daemon {
    messenger: Messenger,
    acceptor: Acceptor,
    addrs: Vec<EntityAddr>,
    /// `None` while it refuses.
    listener: Mutex<Option<Listener>>,
    hub: Arc<Hub>,
}

impl Daemon {
    /// A daemon of that name at free ports of 127.0.0.1, one for messenger v2 and one for v1, which
    /// is in no map yet: [`Mon::start_osd`](super::Mon::start_osd) and
    /// [`Mon::start_mgr`](super::Mon::start_mgr) also do that.
    pub fn start(name: EntityName, service: Service) -> Result<Self> {
        Self::start_at(&any_ports(Msgr::Auto), Options::default().modes, name, service)
    }

    /// The same at these addresses, whose types say which protocol is spoken there; port 0 takes a
    /// free one. `modes` are those of messenger v2 that are allowed.
    pub fn start_at(
        addrs: &[EntityAddr],
        modes: &[ConMode],
        name: EntityName,
        service: Service,
    ) -> Result<Self> {
        let nonce: u32 = u32::from_ne_bytes(random().map_err(no_random)?).max(1);
        let daemon = Self::listen(addrs, modes, name, nonce, service.auth_server())?;
        daemon.hub.ready(move |_| Box::new(service.clone()));
        Ok(daemon)
    }

    /// Listens, and answers nothing yet.
    pub(super) fn listen(
        addrs: &[EntityAddr],
        modes: &[ConMode],
        name: EntityName,
        nonce: u32,
        auth_server: Arc<dyn AuthServer>,
    ) -> Result<Self> {
        let modes = ConMode::list(modes);
        let supported = DAEMON_FEATURES;
        let options = Options { supported, mon_modes: modes, modes, ..Options::default() };
        let messenger = Messenger::with_nonce(name, nonce, options, Timeouts::default());
        let hub = Arc::new(Hub::default());
        let acceptor = Acceptor::new(auth_server, hub.clone());
        let mut addrs = addrs.to_vec();
        // Maps name messenger v2 first, whatever a daemon binds first.
        addrs.sort_by_key(|addr| addr.addr_type != AddrType::MSGR2);
        let listener = messenger.bind(&addrs, acceptor.clone())?;
        let addrs = listener.addrs().to_vec();
        Ok(Self { messenger, acceptor, addrs, listener: Mutex::new(Some(listener)), hub })
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Where it listens, as a map has it: messenger v2 first.
    pub fn addrs(&self) -> EntityAddrVec {
        EntityAddrVec(self.addrs.clone())
    }

    /// The connections that are open now, in no order.
    pub fn connections(&self) -> Vec<Connection> {
        self.hub.connections()
    }

    /// What arrived so far, in the order of arrival.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.hub.record.all()
    }

    /// The first arrival that is wanted, of those that are kept and those to come; waits for it at
    /// most to the deadline. `wanted` is called under a lock: it must not ask this daemon.
    pub fn wait_for(
        &self,
        wanted: impl Fn(&Arrival) -> bool,
        deadline: Deadline,
    ) -> Result<Arrival> {
        self.wait_for_nth(1, wanted, deadline)
    }

    /// The same for the nth of them, counting from 1.
    pub fn wait_for_nth(
        &self,
        n: usize,
        wanted: impl Fn(&Arrival) -> bool,
        deadline: Deadline,
    ) -> Result<Arrival> {
        self.hub.record.wait_for(n, wanted, deadline)
    }

    /// Breaks the sockets of all connections, as a network does that fails.
    pub fn drop_sockets(&self) {
        self.hub.connections().iter().for_each(Connection::inject_socket_failure);
    }

    /// Stops listening: who dials is refused by the kernel. Open connections go on.
    pub fn refuse(&self) -> Result<()> {
        match self.listener().take() {
            Some(listener) => listener.stop(Deadline::after(STOP_TIMEOUT)),
            None => Ok(()),
        }
    }

    /// Listens again, where it did before, unless it is closed.
    pub fn accept(&self) -> Result<()> {
        let mut listener = self.listener();
        if self.hub.is_closed() {
            return Err(Error::new(ErrorKind::Closed, "the daemon is closed"));
        }
        if listener.is_none() {
            *listener = Some(self.messenger.bind(&self.addrs, self.acceptor.clone())?);
        }
        Ok(())
    }

    /// Answers no message from now on, nor sends a map, until [`Daemon::resume`]: the daemon hangs.
    /// Its messenger goes on: it accepts connections, and answers keepalives.
    pub fn pause(&self) {
        self.hub.pause();
    }

    /// Answers what has come meanwhile, and what comes.
    pub fn resume(&self) {
        self.hub.resume();
    }

    /// Ends for good: closes all connections and waits for their threads, at most to the deadline.
    /// What arrived can still be seen.
    pub fn close(&self, deadline: Deadline) -> Result<()> {
        let stopped = match self.listener().take() {
            Some(listener) => listener.stop(deadline),
            None => Ok(()),
        };
        self.hub.close();
        let ended = self.messenger.shutdown(deadline);
        self.hub.record.close();
        stopped.and(ended)
    }

    fn listener(&self) -> MutexGuard<'_, Option<Listener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.listener().take());
        self.hub.close();
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").field("addrs", &self.addrs).field("hub", &self.hub).finish()
    }
}

/// A free port for each protocol that is spoken.
pub(super) fn any_ports(msgr: Msgr) -> Vec<EntityAddr> {
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    let (v2, v1) = (EntityAddr::msgr2(any, 0), EntityAddr::legacy(any, 0));
    match msgr {
        Msgr::Auto => vec![v2, v1],
        Msgr::V2 => vec![v2],
        Msgr::V1 => vec![v1],
    }
}

pub(super) fn no_random(e: crate::crypto::CryptoError) -> Error {
    Error::new(ErrorKind::Io, e.to_string()).with_source(e)
}
