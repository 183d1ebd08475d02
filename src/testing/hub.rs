use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::commands::panic_text;
use super::record::{Arrived, Record, unthrottled};
use super::{CommandRequest, MalformedMessage, MonSession, Service};
use crate::denc::DecodeError;
use crate::error::Error;
use crate::messages::mgr::MMgrCommand;
use crate::messages::mon::MMonCommand;
use crate::messages::osd::MCommand;
use crate::messages::{Body, types};
use crate::msgr::Message;
use crate::net::{Connection, Deadline, Dispatcher, wall};

/// What answers the messages of one connection.
pub(super) trait Machine: Send {
    fn dispatch(
        &mut self,
        con: &Connection,
        msg: &Message,
    ) -> Result<Vec<Message>, MalformedMessage>;

    /// What has become due without a message.
    fn check_subs(&mut self) -> Vec<Message> {
        Vec::new()
    }
}

impl Machine for MonSession {
    fn dispatch(
        &mut self,
        con: &Connection,
        msg: &Message,
    ) -> Result<Vec<Message>, MalformedMessage> {
        let replies = Self::dispatch(self, msg, wall())?;
        if let (None, Some(peer)) = (con.auth_peer(), self.peer()) {
            con.set_auth_peer(peer.clone());
        }
        Ok(replies)
    }

    fn check_subs(&mut self) -> Vec<Message> {
        Self::check_subs(self)
    }
}

impl Machine for Service {
    fn dispatch(
        &mut self,
        con: &Connection,
        msg: &Message,
    ) -> Result<Vec<Message>, MalformedMessage> {
        match con.auth_peer() {
            Some(peer) => Self::dispatch(self, &peer, con.features(), msg),
            None => Ok(Vec::new()),
        }
    }
}

type NewMachine = Box<dyn Fn(&Connection) -> Box<dyn Machine> + Send + Sync>;

/// Carries messages between the connections of a daemon and their machines.
///
/// A machine is taken out of its place while it works, so that the author's handlers run without a
/// lock: they may publish maps, or cut the very connection that they answer.
#[derive(Default)]
pub(super) struct Hub {
    /// Set once the daemon is ready; what comes earlier waits.
    new_machine: OnceLock<NewMachine>,
    state: Mutex<State>,
    pub(super) record: Record,
}

#[derive(Default)]
struct State {
    paused: bool,
    closed: bool,
    peers: HashMap<u64, PeerState>,
}

struct PeerState {
    con: Connection,
    machine: Option<Box<dyn Machine>>,
    /// Somebody has the machine, and will look for more work before it is put back.
    busy: bool,
    subs_due: bool,
    /// Messages that wait for their turn; the throttle of the messenger bounds them.
    inbox: VecDeque<Message>,
}

/// What there is to do, and who is to do it; a machine that is not there is new.
struct Task {
    con: Connection,
    machine: Option<Box<dyn Machine>>,
    work: Work,
}

enum Work {
    Subs,
    Dispatch(Message),
}

impl Hub {
    /// Who answers from now on, one for each connection.
    pub(super) fn ready(
        &self,
        new_machine: impl Fn(&Connection) -> Box<dyn Machine> + Send + Sync + 'static,
    ) {
        // The first one counts.
        let _ = self.new_machine.set(Box::new(new_machine));
        self.run_all();
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        let peers = self.lock().peers.values().map(|peer| peer.con.clone()).collect::<Vec<_>>();
        peers.into_iter().filter(|con| !con.is_closed()).collect()
    }

    pub(super) fn pause(&self) {
        self.lock().paused = true;
    }

    pub(super) fn resume(&self) {
        self.lock().paused = false;
        self.run_all();
    }

    /// Sends what became due to all.
    pub(super) fn check_subs(&self) {
        self.lock().peers.values_mut().for_each(|peer| peer.subs_due = true);
        self.run_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ends all connections, and those that are still to come.
    pub(super) fn close(&self) {
        let peers = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.peers)
        };
        for peer in peers.into_values() {
            end(&peer.con);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_all(&self) {
        let ids: Vec<u64> = self.lock().peers.keys().copied().collect();
        ids.into_iter().for_each(|id| self.run(id));
    }

    /// Does what there is to do for a connection, unless somebody else is at it.
    fn run(&self, id: u64) {
        let Some(new_machine) = self.new_machine.get() else { return };
        while let Some(Task { con, machine, work }) = self.take_work(id) {
            let mut machine = machine.unwrap_or_else(|| new_machine(&con));
            // A machine whose author's code panics goes with its connection, which is then not busy
            // for ever.
            let replies = catch_unwind(AssertUnwindSafe(|| match work {
                Work::Subs => Ok(machine.check_subs()),
                Work::Dispatch(msg) => self.dispatch(machine.as_mut(), &con, &msg),
            }));
            let replies = match replies {
                Ok(replies) => replies.map_err(|e| e.to_string()),
                Err(panic) => Err(format!("the handler panicked: {}", panic_text(&*panic))),
            };
            match replies {
                Ok(replies) => replies.into_iter().for_each(|msg| send(&con, msg)),
                Err(e) => {
                    log::warn!("{}: {e}", con.peer());
                    self.record.add(&con, Arrived::Reset(e));
                    self.lock().peers.remove(&id);
                    end(&con);
                }
            }
            if let Some(peer) = self.lock().peers.get_mut(&id) {
                peer.machine = Some(machine);
                peer.busy = false;
            }
        }
    }

    /// A function of its own, so that the lock is let go of before the work begins.
    fn take_work(&self, id: u64) -> Option<Task> {
        let mut state = self.lock();
        let paused = state.paused;
        let peer = state.peers.get_mut(&id).filter(|peer| !paused && !peer.busy)?;
        let work = match std::mem::take(&mut peer.subs_due) {
            true => Work::Subs,
            false => Work::Dispatch(peer.inbox.pop_front()?),
        };
        peer.busy = true;
        Some(Task { con: peer.con.clone(), machine: peer.machine.take(), work })
    }

    fn dispatch(
        &self,
        machine: &mut dyn Machine,
        con: &Connection,
        msg: &Message,
    ) -> Result<Vec<Message>, MalformedMessage> {
        let known = con.auth_peer().is_some();
        let replies = machine.dispatch(con, msg)?;
        if !known && con.auth_peer().is_some() {
            self.record.add(con, Arrived::Login);
        }
        Ok(replies)
    }
}

impl Dispatcher for Hub {
    fn accepted(&self, con: &Connection) {
        self.record.add(con, Arrived::Connection);
        if con.auth_peer().is_some() {
            self.record.add(con, Arrived::Login);
        }
        let mut state = self.lock();
        if state.closed {
            drop(state);
            end(con);
            return;
        }
        // Nobody tells of those that were closed from this side.
        state.peers.retain(|_, peer| !peer.con.is_closed());
        let peer = PeerState {
            con: con.clone(),
            machine: None,
            busy: false,
            subs_due: false,
            inbox: VecDeque::new(),
        };
        state.peers.insert(con.id(), peer);
    }

    fn dispatch(&self, con: &Connection, msg: Message) {
        self.record.add(con, arrived(con, &msg));
        if let Some(peer) = self.lock().peers.get_mut(&con.id()) {
            peer.inbox.push_back(msg);
        }
        self.run(con.id());
    }

    fn reset(&self, con: &Connection, error: &Error) {
        self.record.add(con, Arrived::Reset(error.to_string()));
        let peer = self.lock().peers.remove(&con.id());
        drop(peer);
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Hub")
            .field("peers", &state.peers.len())
            .field("paused", &state.paused)
            .finish_non_exhaustive()
    }
}

/// An answer to somebody who has left is nobody's loss.
fn send(con: &Connection, msg: Message) {
    if let Err(e) = con.send_now(msg) {
        log::debug!("{}: {e}", con.peer());
    }
}

/// Closes without waiting for the thread, which may be this one.
fn end(con: &Connection) {
    let _ = con.close(Deadline::after(Duration::ZERO));
}

fn arrived(con: &Connection, msg: &Message) -> Arrived {
    let request = con.auth_peer().and_then(|peer| {
        let cmd = command(msg)?.ok()?;
        CommandRequest::parse(&cmd, msg.data.clone(), peer).ok()
    });
    request.map_or_else(|| Arrived::Message(unthrottled(msg)), Arrived::Command)
}

/// What a message asks for, if it is one of those that carry a command.
fn command(msg: &Message) -> Option<Result<Vec<String>, DecodeError>> {
    Some(match msg.header.msg_type {
        types::MSG_MON_COMMAND => MMonCommand::from_message(msg).map(|m| m.cmd),
        types::MSG_COMMAND => MCommand::from_message(msg).map(|m| m.cmd),
        types::MSG_MGR_COMMAND => MMgrCommand::from_message(msg).map(|m| m.cmd),
        _ => return None,
    })
}
