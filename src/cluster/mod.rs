//! What a tool opens: a [`Cluster`], with commands and maps.

mod builder;
mod command;
mod session;
mod targets;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use rustix::io::Errno;
use session::Session;

pub use builder::ClusterBuilder;
pub use command::Command;

use crate::auth::{AuthClient, AuthError, EntityName, MonLogin};
use crate::denc::DecodeError;
use crate::error::{CommandOutput, Error, ErrorKind, Result};
use crate::messages::Body;
use crate::messages::mgr::{MMgrCommand, MMgrCommandReply};
use crate::messages::osd::{MCommand, MCommandReply};
use crate::mon::{MapEvents, MgrMap, MonClient, MonMap};
use crate::msgr::{Fault, Message, Peer, Policy};
use crate::net::{Connection, Deadline, Dispatcher, Messenger};
use crate::osd::OSDMap;
use crate::types::{EntityAddr, EntityAddrVec, EntityType, Epoch, Features, Fsid, GlobalId};

/// Logins that a daemon may refuse before a command gives up: the first may be for a ticket that
/// has just expired, the second for one that the daemon does not know yet.
const MAX_REFUSALS: u32 = 3;

/// An open cluster. Cheap to clone; the clones are one handle, whose threads end when the last
/// one is dropped, or with [`Cluster::close`].
///
/// Each call has the deadline of the handle, or one of its own through [`Cluster::with_timeout`].
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    timeout: Duration,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({:?})", self.inner.mon)
    }
}

struct Inner {
    messenger: Messenger,
    auth: Arc<AuthClient>,
    mon: MonClient,
    sessions: Mutex<Sessions>,
}

/// Sessions with managers and daemons.
#[derive(Debug, Default)]
struct Sessions {
    /// By who they are with.
    open: HashMap<Target, Arc<Session>>,
    /// There will be no more.
    closed: Option<(ErrorKind, &'static str)>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.mon.close(ErrorKind::Closed, "the cluster handle is closed");
    }
}

/// Commands are encoded the same way for every peer.
const ALL: Features = Features::SUPPORTED;

/// A daemon that takes commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Target {
    Mgr,
    Osd(i32),
}

/// Where a daemon is, by the newest map.
struct Place {
    name: crate::types::EntityName,
    addrs: EntityAddrVec,
    epoch: Epoch,
}

/// Ends every call of a cluster, those that wait and those that come: for a Ctrl-C handler.
#[derive(Clone)]
pub struct CancelHandle(Weak<Inner>);

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CancelHandle")
    }
}

impl CancelHandle {
    /// From now on every call fails with [`ErrorKind::Cancelled`].
    pub fn cancel(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.end(ErrorKind::Cancelled, "cancelled");
        }
    }
}

impl Cluster {
    /// Says which cluster to open.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::new()
    }

    /// The cluster that the environment and ceph.conf name, as Ceph's own programs find it.
    pub fn connect() -> Result<Self> {
        Self::builder().connect()
    }

    fn new(messenger: Messenger, auth: Arc<AuthClient>, mon: MonClient, timeout: Duration) -> Self {
        let inner = Inner { messenger, auth, mon, sessions: Mutex::default() };
        Self { inner: Arc::new(inner), timeout }
    }

    /// The same handle with another deadline for its calls.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { inner: self.inner.clone(), timeout }
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    /// The session with the monitors, for what is not here: subscriptions, versions.
    pub fn mon(&self) -> &MonClient {
        &self.inner.mon
    }

    /// Who this handle is.
    pub fn name(&self) -> &EntityName {
        self.inner.auth.name()
    }

    /// The number of this client, which the monitors gave it.
    pub fn global_id(&self) -> GlobalId {
        self.inner.auth.global_id()
    }

    /// The cluster's id.
    pub fn fsid(&self) -> Result<Fsid> {
        self.mon().fsid(self.deadline())
    }

    /// The monitors.
    pub fn monmap(&self) -> Result<Arc<MonMap>> {
        self.mon().monmap(self.deadline())
    }

    /// The managers.
    pub fn mgrmap(&self) -> Result<Arc<MgrMap>> {
        self.mon().mgrmap(self.deadline())
    }

    /// The newest OSD map.
    pub fn osdmap(&self) -> Result<OSDMap> {
        self.mon().osdmap(self.deadline())
    }

    /// The maps that come from now on; see [`MonClient::subscribe`].
    pub fn events(&self) -> MapEvents {
        self.mon().events()
    }

    /// Carries out a command of the monitors. One that fails is an error of kind
    /// [`ErrorKind::Command`], with Ceph's errno and what it gave back.
    pub fn mon_command(&self, cmd: &Command) -> Result<CommandOutput> {
        self.mon().command(&cmd.to_json(), cmd.input_bytes(), self.deadline())
    }

    /// Carries out a command of the active manager, such as `pg dump` or `osd df`.
    pub fn mgr_command(&self, cmd: &Command) -> Result<CommandOutput> {
        let map = self.mon().active_mgr(self.deadline())?;
        let message = match map.active_mgr_features.has(Features::SERVER_OCTOPUS) {
            true => mgr_command,
            false => old_mgr_command,
        };
        self.daemon_command(Target::Mgr, cmd, message)
    }

    /// Carries out a command about the active manager itself, as `ceph tell mgr` does.
    pub fn mgr_tell(&self, cmd: &Command) -> Result<CommandOutput> {
        self.daemon_command(Target::Mgr, cmd, tell)
    }

    /// Carries out a command of an OSD, as `ceph tell osd.N` does.
    pub fn osd_command(&self, osd: i32, cmd: &Command) -> Result<CommandOutput> {
        self.daemon_command(Target::Osd(osd), cmd, tell)
    }

    /// Opens a connection of the caller's own to a daemon, with this client's tickets: for messages
    /// that this library does not know. It dials at once, and ends with its last handle or with
    /// [`Cluster::close`]. At a monitor's address of messenger v2 it logs in anew.
    pub fn open_connection(
        &self,
        peer: Peer,
        dispatcher: Arc<dyn Dispatcher>,
    ) -> Result<Connection> {
        if let Some((kind, text)) = self.inner.lock().closed {
            return Err(Error::new(kind, text));
        }
        // A daemon's authorizer comes from the login of this handle; a monitor wants a login.
        let auth = Arc::new(MonLogin::new(self.inner.auth.clone()));
        self.inner.messenger.connect(peer, auth, dispatcher)
    }

    /// Where a peer is dialled that has these addresses, as a map gives them: by the builder's
    /// [`msgr`](ClusterBuilder::msgr) and its kin at one of messenger v2 or v1.
    pub fn addr_of(
        &self,
        name: crate::types::EntityName,
        addrs: &EntityAddrVec,
    ) -> Result<EntityAddr> {
        let options = self.inner.messenger.local().options;
        options
            .choose(EntityType::CLIENT, name.entity_type, addrs)
            .map_err(|e| Error::new(ErrorKind::Protocol, format!("{name} has {e}")).with_source(e))
    }

    /// For a Ctrl-C handler: ends the calls of all clones.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle(Arc::downgrade(&self.inner))
    }

    /// Ends the sessions and waits for all threads. Calls of other clones fail.
    pub fn close(&self) -> Result<()> {
        self.inner.end(ErrorKind::Closed, "the cluster handle is closed");
        self.inner.mon.shutdown(self.deadline())
    }

    /// Sends a command to wherever its target is, until it is answered.
    fn daemon_command(
        &self,
        target: Target,
        cmd: &Command,
        message: fn(Fsid, &str) -> Message,
    ) -> Result<CommandOutput> {
        let deadline = self.deadline();
        let msg = message(self.mon().fsid(deadline)?, &cmd.to_json()).with_data(cmd.input_bytes());
        let mut refusals = 0;
        let mut place = self.place(target, None, deadline)?;
        loop {
            let session = self.session(target, &place)?;
            let error = match session.request(msg.clone(), deadline) {
                Ok(reply) => return command_output(cmd.prefix(), &reply),
                Err(e) => e,
            };
            self.inner.forget(target, &session);
            match error.kind() {
                // Such as no connection mode in common: new tickets do not mend it.
                ErrorKind::Auth if is_final(&error) => return Err(error),
                ErrorKind::Auth => {
                    refusals += 1;
                    self.mon().renew_now();
                }
                ErrorKind::Io | ErrorKind::Closed | ErrorKind::Protocol => {}
                _ => return Err(error),
            }
            if refusals >= MAX_REFUSALS || deadline.has_passed() {
                return Err(error);
            }
            log::info!("{error}; trying again");
            place = self.place(target, Some(place.epoch), deadline).map_err(|_| error)?;
        }
    }

    /// Where the daemon is. After a failure under the map `seen` a newer map is waited for, but
    /// not long: the daemon may be back at the same place.
    fn place(&self, target: Target, seen: Option<Epoch>, deadline: Deadline) -> Result<Place> {
        let soon = deadline.min(Deadline::after(Duration::from_millis(500)));
        match target {
            Target::Mgr => {
                if let Some(seen) = seen {
                    let _ = self.mon().mgrmap_after(seen, soon);
                }
                let map = self.mon().active_mgr(deadline)?;
                Ok(Place {
                    name: crate::types::EntityName::new(EntityType::MGR, map.active_gid.0 as i64),
                    addrs: map.active_addrs.clone(),
                    epoch: map.epoch,
                })
            }
            Target::Osd(osd) => {
                if seen.is_some() {
                    self.mon().pause(soon);
                }
                let map = self.mon().osdmap(deadline)?;
                let addrs = map.addrs(osd).filter(|_| map.is_up(osd)).cloned();
                let Some(addrs) = addrs else {
                    // The numbers that librados has for these.
                    let (what, errno) = if map.exists(osd) {
                        ("is down", Errno::NXIO)
                    } else {
                        ("does not exist", Errno::NOENT)
                    };
                    let error = Error::new(ErrorKind::NotFound, format!("osd.{osd} {what}"));
                    return Err(error.with_errno(errno.raw_os_error()));
                };
                let name = crate::types::EntityName::new(EntityType::OSD, osd.into());
                Ok(Place { name, addrs, epoch: map.epoch })
            }
        }
    }

    /// The session with the daemon at that place; a new one where there is none, or where the
    /// daemon has moved.
    fn session(&self, target: Target, place: &Place) -> Result<Arc<Session>> {
        let addr = self.addr_of(place.name, &place.addrs)?;
        let mut sessions = self.inner.lock();
        if let Some((kind, text)) = sessions.closed {
            return Err(Error::new(kind, text));
        }
        if let Some(session) = sessions.open.get(&target)
            && session.peer().addr == addr
            && !session.is_closed()
        {
            return Ok(session.clone());
        }
        let peer = Peer { name: place.name, addr, policy: Policy::LOSSY_CLIENT };
        let session = Session::open(&self.inner.messenger, peer, self.inner.auth.clone())?;
        let session = Arc::new(session);
        sessions.open.insert(target, session.clone());
        Ok(session)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Makes every call fail from now on, those that wait included.
    fn end(&self, kind: ErrorKind, text: &'static str) {
        // Whoever held the locks when the process forked is not there to let them go.
        if self.messenger.check_fork().is_err() {
            return;
        }
        self.mon.close(kind, text);
        let ended = {
            let mut sessions = self.lock();
            sessions.closed.get_or_insert((kind, text));
            std::mem::take(&mut sessions.open)
        };
        for session in ended.values() {
            session.fail(&Error::new(kind, text));
        }
    }

    /// Drops a session that has ended, unless another one has taken its place.
    fn forget(&self, target: Target, session: &Arc<Session>) {
        let open = &mut self.lock().open;
        if session.is_closed() && open.get(&target).is_some_and(|s| Arc::ptr_eq(s, session)) {
            open.remove(&target);
        }
    }
}

/// Whether every attempt to authenticate would end like this one.
fn is_final(error: &Error) -> bool {
    matches!(error.fault(), Some(Fault::Auth(e)) if AuthError::is_final(e))
}

/// A command that the manager serves for the cluster.
fn mgr_command(_: Fsid, json: &str) -> Message {
    MMgrCommand::new(json).to_message(ALL)
}

/// The same for a manager before Octopus.
fn old_mgr_command(_: Fsid, json: &str) -> Message {
    MCommand::new(Fsid::default(), json).to_message(ALL)
}

/// `ceph tell`: the cluster's id is what tells it from an ordinary command.
fn tell(fsid: Fsid, json: &str) -> Message {
    MCommand::new(fsid, json).to_message(ALL)
}

/// What the reply of a manager or a daemon says, as output or as the error of the command.
fn command_output(prefix: &str, reply: &Message) -> Result<CommandOutput> {
    let bad = |e: DecodeError| {
        Error::new(ErrorKind::Protocol, format!("the reply to a command: {e}")).with_source(e)
    };
    let (r, outs) = if reply.header.msg_type == MMgrCommandReply::TYPE {
        let reply = MMgrCommandReply::from_message(reply).map_err(bad)?;
        (reply.r, reply.rs)
    } else {
        let reply = MCommandReply::from_message(reply).map_err(bad)?;
        (reply.r, reply.rs)
    };
    let output = CommandOutput { outs, outbl: reply.data.clone() };
    match r {
        0.. => Ok(output),
        errno => Err(Error::command(prefix, errno.saturating_neg(), output)),
    }
}
