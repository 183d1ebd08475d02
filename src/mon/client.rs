//! `MonClient` (`src/mon/MonClient.cc`, `net/ceph/mon_client.c`): one authenticated session with
//! some monitor, kept up whatever happens to the one in use.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::events::{MapEvents, Watchers};
use super::hunt::Hunt;
use super::subs::Subs;
use super::{MgrMap, MonMap};
use crate::auth::{AuthClient, AuthClientHandler};
use crate::denc::Decode;
use crate::error::{CommandOutput, Error, ErrorKind, Result};
use crate::messages::Body;
use crate::messages::mon::{MMonCommand, MMonGetVersion, MMonGetVersionReply, MMonSubscribe};
use crate::msgr::{Backoff, Message, Peer};
use crate::net::{Connection, Deadline, Messenger, Timer, Waiter, check_lengths};
use crate::osd::OSDMap;
use crate::types::{EntityAddr, Epoch, Features, Fsid, GlobalId, Tid};

/// An address at which a monitor may be dialled. One that has several is as many targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonTarget {
    /// Its rank, or its place in the list that is known before there are ranks.
    pub rank: usize,
    /// Where, and by its type in which messenger.
    pub addr: EntityAddr,
}

/// How a [`MonClient`] looks for a monitor.
#[derive(Clone, Copy, Debug)]
pub struct HuntOptions {
    /// Monitors tried at the same time (`mon_client_hunt_parallel`).
    pub parallel: usize,
    /// After which the next ones are tried as well (`mon_client_hunt_interval`).
    pub interval: Duration,
}

impl Default for HuntOptions {
    fn default() -> Self {
        Self { parallel: 3, interval: Duration::from_secs(3) }
    }
}

/// A session with the monitors. Cheap to clone; the clones are one client. What is asked while no
/// monitor is there waits for the next one, and is sent again where the one in use goes away.
#[derive(Clone)]
pub struct MonClient(pub(super) Arc<Inner>);

impl fmt::Debug for MonClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MonClient of {}, ", self.0.auth.name())?;
        match self.peer() {
            Some(peer) => write!(f, "at {peer}"),
            None => f.write_str("without a session"),
        }
    }
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) messenger: Messenger,
    pub(super) auth: Arc<AuthClient>,
    pub(super) timer: Timer,
    pub(super) options: HuntOptions,
    state: Mutex<State>,
    /// The session, or a map, has changed.
    pub(super) changed: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) targets: Vec<MonTarget>,
    pub(super) hunt: Hunt,
    pub(super) backoff: Backoff,
    pub(super) active: Option<Active>,
    /// Counts sessions, so that a timer knows whether its own is still there.
    pub(super) generation: u64,
    /// Counts renewals of tickets that were scheduled.
    pub(super) renewal: u64,
    pub(super) subs: Subs,
    pub(super) watchers: Watchers,
    last_tid: u64,
    pub(super) requests: BTreeMap<Tid, Request>,
    pub(super) monmap: Option<Arc<MonMap>>,
    pub(super) mgrmap: Option<Arc<MgrMap>>,
    /// The newest OSD map epoch that was heard of.
    pub(super) osd_epoch: Epoch,
    /// Counts hunts.
    pub(super) hunts: u64,
    /// The hunt, by its number, that failed for good: who waits for it needs to wait no longer.
    pub(super) denied: Option<(u64, Error)>,
    /// No more calls.
    pub(super) closed: Option<(ErrorKind, &'static str)>,
}

/// The session in use.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) con: Connection,
    pub(super) handler: AuthClientHandler,
    /// Since when a renewal of tickets is not answered.
    pub(super) renewing: Option<Instant>,
}

/// Something that was asked of the monitors and is not answered yet.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) msg: Message,
    pub(super) waiter: Arc<Waiter<Answer>>,
}

/// The message that answers a request, or why there is none.
pub(super) type Answer = Result<Message>;

impl MonClient {
    /// A client of these monitors, with a thread for what has to happen later. Nothing is dialled
    /// before [`MonClient::authenticate`].
    pub fn new(
        messenger: Messenger,
        auth: Arc<AuthClient>,
        targets: Vec<MonTarget>,
        options: HuntOptions,
    ) -> Result<Self> {
        if targets.is_empty() {
            return Err(Error::new(ErrorKind::Config, "no monitor is given"));
        }
        let mut subs = Subs::default();
        subs.want("monmap", 0, false);
        let state = State {
            targets,
            hunt: Hunt::default(),
            backoff: Backoff::default(),
            active: None,
            generation: 0,
            renewal: 0,
            subs,
            watchers: Watchers::default(),
            last_tid: 0,
            requests: BTreeMap::new(),
            monmap: None,
            mgrmap: None,
            osd_epoch: Epoch(0),
            hunts: 0,
            denied: None,
            closed: None,
        };
        Ok(Self(Arc::new(Inner {
            messenger,
            auth,
            timer: Timer::new()?,
            options,
            state: Mutex::new(state),
            changed: Condvar::new(),
        })))
    }

    /// Finds a monitor and logs in; returns when there is a session.
    pub fn authenticate(&self, deadline: Deadline) -> Result<()> {
        self.wait_for(deadline, "monitor session", |state| state.active.is_some().then_some(()))
    }

    /// The monitor in use, if there is a session right now. Its number is its rank, or before the
    /// first monmap its place in the list that the client began with.
    pub fn peer(&self) -> Option<Peer> {
        self.0.messenger.check_fork().ok()?;
        self.0.lock().active.as_ref().map(|active| *active.con.peer())
    }

    /// Who we are to the monitors; 0 before the first session.
    pub fn global_id(&self) -> GlobalId {
        self.0.auth.global_id()
    }

    /// The monitors as they are now; waits for the first monmap.
    pub fn monmap(&self, deadline: Deadline) -> Result<Arc<MonMap>> {
        self.wait_for(deadline, "monmap", |state| state.monmap.clone())
    }

    /// The cluster's id.
    pub fn fsid(&self, deadline: Deadline) -> Result<Fsid> {
        self.monmap(deadline).map(|map| map.fsid)
    }

    /// The managers as they are now. The first call subscribes, and waits for the map.
    pub fn mgrmap(&self, deadline: Deadline) -> Result<Arc<MgrMap>> {
        self.follow("mgrmap")?;
        self.wait_for(deadline, "map of the managers", |state| state.mgrmap.clone())
    }

    /// Waits for a map of the managers that is newer than `epoch`.
    pub(crate) fn mgrmap_after(&self, epoch: Epoch, deadline: Deadline) -> Result<Arc<MgrMap>> {
        self.follow("mgrmap")?;
        self.wait_for(deadline, "new map of the managers", |state| {
            state.mgrmap.clone().filter(|map| map.epoch > epoch)
        })
    }

    /// The active manager, once there is one.
    pub(crate) fn active_mgr(&self, deadline: Deadline) -> Result<Arc<MgrMap>> {
        self.follow("mgrmap")?;
        self.wait_for(deadline, "active manager", |state| {
            state.mgrmap.clone().filter(|map| map.available && !map.active_addrs.0.is_empty())
        })
    }

    /// The newest OSD map, whole; asked for anew with each call. By a command: a subscription
    /// would send it to all who watch, in the place of what they wait for.
    pub fn osdmap(&self, deadline: Deadline) -> Result<OSDMap> {
        let cmd = r#"{"prefix":"osd getmap"}"#;
        let output = self.command_for("OSD map", cmd, Bytes::new(), deadline)?;
        OSDMap::from_bytes(&output.outbl).map_err(|e| {
            Error::new(ErrorKind::Protocol, format!("the OSD map: {e}")).with_source(e)
        })
    }

    /// Waits for nothing but the time, or the end of the handle.
    pub(crate) fn pause(&self, deadline: Deadline) {
        let never = |_: &State| None::<()>;
        let _ = self.wait_for(deadline, "", never);
    }

    /// Subscribes to one of `monmap`, `mgrmap`, `osdmap`, `config` and the like, from epoch
    /// `start` on (0: the newest, whole), once or for ever. The subscription outlives the
    /// monitor. What comes goes to [`MonClient::events`].
    pub fn subscribe(&self, what: &str, start: u64, onetime: bool) -> Result<()> {
        self.want(|subs| subs.want(what, start, onetime))
    }

    /// The maps that come from now on.
    pub fn events(&self) -> MapEvents {
        let messenger = self.0.messenger.clone();
        if messenger.check_fork().is_err() {
            return MapEvents::forked(messenger);
        }
        self.0.lock().watchers.add(messenger)
    }

    /// Carries out a command, given as its JSON, with the bytes of its input.
    pub fn command(&self, cmd: &str, inbuf: Bytes, deadline: Deadline) -> Result<CommandOutput> {
        self.command_for("answer to a command", cmd, inbuf, deadline)
    }

    fn command_for(
        &self,
        what: &str,
        cmd: &str,
        inbuf: Bytes,
        deadline: Deadline,
    ) -> Result<CommandOutput> {
        let fsid = self.fsid(deadline)?;
        let msg = MMonCommand::new(fsid, cmd).to_message(Features::SUPPORTED).with_data(inbuf);
        let reply = self.request(|_| msg, what, deadline)?;
        super::command::command_output(cmd, &reply)
    }

    /// The newest and the oldest version of a map (`mdsmap`, `osdmap`, `monmap`).
    pub fn get_version(&self, what: &str, deadline: Deadline) -> Result<(u64, u64)> {
        // The reply is known by the handle, not by the tid.
        let ask = |tid: Tid| {
            MMonGetVersion { handle: tid.0, what: what.to_owned() }.to_message(Features::SUPPORTED)
        };
        let reply = self.request(ask, "answer about a version", deadline)?;
        let reply = super::command::decode::<MMonGetVersionReply>(&reply)?;
        Ok((reply.version, reply.oldest_version))
    }

    /// Ends the session and waits for its threads. Whoever waits for an answer gets an error.
    pub fn shutdown(&self, deadline: Deadline) -> Result<()> {
        self.0.messenger.check_fork()?;
        self.close(ErrorKind::Closed, "the cluster handle is closed");
        self.0.timer.stop();
        self.0.messenger.shutdown(deadline)
    }

    /// Makes every call fail from now on, those that wait included, and lets the threads end by
    /// themselves. A fork has none of them, and whoever held the locks is not there either.
    pub(crate) fn close(&self, kind: ErrorKind, text: &'static str) {
        if self.0.messenger.check_fork().is_err() {
            return;
        }
        self.0.timer.cancel();
        let dropped = {
            let mut state = self.0.lock();
            if state.closed.is_none() {
                state.closed = Some((kind, text));
            }
            state.generation += 1;
            state.watchers.close(kind, text);
            for (_, request) in std::mem::take(&mut state.requests) {
                request.waiter.fill(Err(Error::new(kind, text)));
            }
            (state.active.take(), std::mem::take(&mut state.hunt))
        };
        self.0.changed.notify_all();
        drop(dropped);
    }

    /// Subscribes for ever, unless that has been done.
    fn follow(&self, what: &str) -> Result<()> {
        self.want(|subs| !subs.is_followed(what) && subs.want(what, 0, false))
    }

    /// Tells the monitor what is wanted, if `f` adds to it.
    fn want(&self, f: impl FnOnce(&mut Subs) -> bool) -> Result<()> {
        self.0.messenger.check_fork()?;
        let mut state = self.0.lock();
        state.check()?;
        if state.hunts > 0 {
            // A refusal has ended the hunt; whoever wants something now wants another.
            self.0.start_hunting(&mut state);
        }
        if f(&mut state.subs)
            && let Some(active) = &state.active
        {
            let _ = active.con.send_now(self.0.subscribe_message(&state));
        }
        Ok(())
    }

    /// Sends `msg` to the monitors, again to each new one, until it is answered.
    fn request(
        &self,
        msg: impl FnOnce(Tid) -> Message,
        what: &str,
        deadline: Deadline,
    ) -> Result<Message> {
        self.0.messenger.check_fork()?;
        let waiter = Arc::new(Waiter::new());
        let (tid, msg, con) = {
            let mut state = self.0.lock();
            state.check()?;
            let tid = Tid(state.last_tid + 1);
            let msg = msg(tid).with_tid(tid);
            check_lengths(&msg)?;
            state.last_tid = tid.0;
            let request = Request { msg: msg.clone(), waiter: waiter.clone() };
            state.requests.insert(tid, request);
            self.0.start_hunting(&mut state);
            (tid, msg, state.active.as_ref().map(|active| active.con.clone()))
        };
        // Not under the lock, for it waits where the out queue is full.
        let sent = con.as_ref().map(|con| con.send_by(msg, deadline));
        let answer = match &sent {
            Some(Err(e)) if e.is_timeout() && deadline.has_passed() => Ok(Some(Err(e.clone()))),
            // After another error the connection is ending, and the next one sends it again.
            _ => waiter.wait(deadline),
        };
        let mut state = self.0.lock();
        state.requests.remove(&tid);
        match answer? {
            Some(answer) => answer,
            None => {
                // Nobody waits for what it would do.
                if let (Some(con), Some(Ok(id))) = (con, sent) {
                    con.unqueue(id);
                }
                Err(state.timed_out(what))
            }
        }
    }

    fn wait_for<T>(
        &self,
        deadline: Deadline,
        what: &str,
        ready: impl Fn(&State) -> Option<T>,
    ) -> Result<T> {
        self.0.messenger.check_fork()?;
        crate::net::check_may_block()?;
        let mut state = self.0.lock();
        self.0.start_hunting(&mut state);
        let mine = state.hunts;
        loop {
            state.check()?;
            if let Some(value) = ready(&state) {
                return Ok(value);
            }
            if let Some((hunt, denied)) = &state.denied
                && *hunt >= mine
            {
                return Err(denied.clone());
            }
            let (guard, in_time) = deadline.wait(&self.0.changed, state);
            state = guard;
            if !in_time {
                return Err(state.timed_out(what));
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.messenger.check_fork().is_ok() {
            self.timer.cancel();
        }
    }
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Everything that is wanted, in one message.
    pub(super) fn subscribe_message(&self, state: &State) -> Message {
        let what = state.subs.items();
        MMonSubscribe { what, hostname: String::new() }.to_message(Features::SUPPORTED)
    }
}

impl State {
    fn check(&self) -> Result<()> {
        match self.closed {
            Some((kind, text)) => Err(Error::new(kind, text)),
            None => Ok(()),
        }
    }

    /// The error of a call that got no answer: what is under way, and what went wrong before.
    fn timed_out(&self, what: &str) -> Error {
        let text = match &self.active {
            Some(active) => format!("{}: no {what} in time", active.con.describe()),
            None => format!("no {what} in time: {}", self.hunt.describe()),
        };
        Error::new(ErrorKind::Timeout, text)
    }

    /// The epoch that the monitor is told we have.
    pub(super) fn monmap_epoch(&self) -> Epoch {
        self.monmap.as_ref().map_or(Epoch(0), |map| map.epoch)
    }

    /// Takes the request that a message answers.
    pub(super) fn answer(&mut self, tid: Tid, msg: Message) {
        self.backoff.reset();
        if let Some(request) = self.requests.remove(&tid) {
            request.waiter.fill(Ok(msg));
        }
    }
}

/// When the next renewal of a ticket is due.
pub(super) fn until(at: Instant) -> Duration {
    at.saturating_duration_since(Timer::now())
}
