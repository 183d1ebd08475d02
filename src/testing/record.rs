use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::CommandRequest;
use crate::auth::{ConMode, EntityName};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{MAX_ARRIVAL_BYTES, MAX_ARRIVALS};
use crate::msgr::{Budget, Message};
use crate::net::{Connection, Deadline};
use crate::types::EntityAddr;

/// One thing that arrived at a [`Daemon`](super::Daemon).
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Counts from 1.
    pub number: u64,
    /// Which connection, among those of the daemon.
    pub connection: u64,
    /// Where the peer says that it is: a client's nonce, with the address that it dialled from.
    pub addr: EntityAddr,
    /// Who the peer has shown to be; `None` before its login.
    pub name: Option<EntityName>,
    /// How messenger v2 kept the connection from harm; `None` with v1, and of one that is gone.
    pub con_mode: Option<ConMode>,
    /// What it was.
    pub what: Arrived,
}

/// What can arrive.
#[derive(Clone, Debug)]
pub enum Arrived {
    /// A peer has dialled, and its session is open.
    Connection,
    /// It has shown who it is.
    Login,
    /// A command, whole; what answers it comes after.
    Command(CommandRequest),
    /// Any other message.
    Message(Message),
    /// The connection is gone, for this reason.
    Reset(String),
}

/// What arrived, as far back as there is room for it.
#[derive(Default)]
pub(super) struct Record {
    kept: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Default)]
struct Kept {
    arrivals: VecDeque<Arrival>,
    bytes: usize,
    last: u64,
    closed: bool,
}

impl Arrival {
    /// The command, if it is one.
    pub fn command(&self) -> Option<&CommandRequest> {
        match &self.what {
            Arrived::Command(request) => Some(request),
            _ => None,
        }
    }

    /// The message, if it is one that is no command.
    pub fn message(&self) -> Option<&Message> {
        match &self.what {
            Arrived::Message(msg) => Some(msg),
            _ => None,
        }
    }

    fn bytes(&self) -> usize {
        match &self.what {
            Arrived::Command(request) => {
                let args = request.args.iter().map(|(k, v)| k.len() + v.to_string().len());
                args.sum::<usize>() + request.inbl.len()
            }
            Arrived::Message(msg) => msg.len(),
            Arrived::Reset(why) => why.len(),
            Arrived::Connection | Arrived::Login => 0,
        }
    }
}

impl Record {
    pub(super) fn add(&self, con: &Connection, what: Arrived) {
        let mut kept = self.lock();
        kept.last += 1;
        let arrival = Arrival {
            number: kept.last,
            connection: con.id(),
            addr: con.peer().addr,
            name: con.auth_peer().map(|peer| peer.name),
            con_mode: con.con_mode(),
            what,
        };
        kept.bytes = kept.bytes.saturating_add(arrival.bytes());
        kept.arrivals.push_back(arrival);
        // The newest stays whatever it weighs: somebody may wait for it.
        while kept.arrivals.len() > 1
            && (kept.arrivals.len() > MAX_ARRIVALS || kept.bytes > MAX_ARRIVAL_BYTES)
        {
            let Some(oldest) = kept.arrivals.pop_front() else { break };
            kept.bytes = kept.bytes.saturating_sub(oldest.bytes());
        }
        drop(kept);
        self.changed.notify_all();
    }

    pub(super) fn all(&self) -> Vec<Arrival> {
        self.lock().arrivals.iter().cloned().collect()
    }

    /// Nothing more will arrive.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn wait_for(
        &self,
        n: usize,
        wanted: impl Fn(&Arrival) -> bool,
        deadline: Deadline,
    ) -> Result<Arrival> {
        crate::net::check_may_block()?;
        let mut kept = self.lock();
        loop {
            let mut found = kept.arrivals.iter().filter(|arrival| wanted(arrival));
            if let Some(arrival) = found.nth(n.saturating_sub(1)) {
                return Ok(arrival.clone());
            }
            if kept.closed {
                return Err(Error::new(ErrorKind::Closed, "the daemon is closed"));
            }
            let (guard, in_time) = deadline.wait(&self.changed, kept);
            kept = guard;
            if !in_time {
                let text = format!("it did not arrive in time, {} other things did", kept.last);
                return Err(Error::new(ErrorKind::Timeout, text));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("last", &self.lock().last).finish_non_exhaustive()
    }
}

/// A copy that does not weigh on the throttle of its messenger: it is kept long after the message
/// was done with.
pub(super) fn unthrottled(msg: &Message) -> Message {
    Message { budget: Budget::default(), ..msg.clone() }
}
