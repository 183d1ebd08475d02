use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::auth::AuthProvider;
use crate::error::{Error, ErrorKind, Result};
use crate::msgr::Message;
use crate::msgr::Peer;
use crate::net::{Connection, Deadline, Dispatcher, Messenger, Waiter};
use crate::types::Tid;

/// A connection to a daemon that answers each request once, by its tid.
#[derive(Debug)]
pub(super) struct Session {
    con: Connection,
    pending: Arc<Pending>,
}

/// The requests that wait. The connection knows only this, so that it does not keep itself alive.
#[derive(Debug, Default)]
struct Pending(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// There are no more requests, for this reason.
    failed: Option<Error>,
    last_tid: u64,
    waiters: HashMap<Tid, Arc<Waiter<Result<Message>>>>,
}

impl Session {
    pub(super) fn open(
        messenger: &Messenger,
        peer: Peer,
        auth: Arc<dyn AuthProvider>,
    ) -> Result<Self> {
        let pending = Arc::new(Pending::default());
        let con = messenger.connect(peer, auth, pending.clone())?;
        Ok(Self { con, pending })
    }

    pub(super) fn peer(&self) -> &Peer {
        self.con.peer()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.con.is_closed()
    }

    /// Sends a request and waits for the message with its tid.
    pub(super) fn request(&self, msg: Message, deadline: Deadline) -> Result<Message> {
        let waiter = Arc::new(Waiter::new());
        let tid = {
            let mut state = self.pending.lock();
            if let Some(e) = &state.failed {
                return Err(e.clone());
            }
            state.last_tid += 1;
            let tid = Tid(state.last_tid);
            state.waiters.insert(tid, waiter.clone());
            tid
        };
        let sent = self.con.send_by(msg.with_tid(tid), deadline);
        let answer = match &sent {
            Ok(_) => waiter.wait(deadline),
            Err(e) => Ok(Some(Err(e.clone()))),
        };
        self.pending.lock().waiters.remove(&tid);
        match answer? {
            Some(answer) => answer,
            None => {
                // Nobody waits for what it would do.
                sent.into_iter().for_each(|id| self.con.unqueue(id));
                let text = format!("{}: no answer to a command in time", self.con.describe());
                Err(Error::new(ErrorKind::Timeout, text))
            }
        }
    }

    /// Makes every request fail, those that wait and those that come.
    pub(super) fn fail(&self, error: &Error) {
        self.pending.fail(error);
    }
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn fail(&self, error: &Error) {
        let mut state = self.lock();
        state.failed.get_or_insert_with(|| error.clone());
        for (_, waiter) in state.waiters.drain() {
            waiter.fill(Err(error.clone()));
        }
    }
}

impl Dispatcher for Pending {
    fn dispatch(&self, con: &Connection, msg: Message) {
        let waiter = self.lock().waiters.remove(&msg.header.tid);
        match waiter {
            Some(waiter) => waiter.fill(Ok(msg)),
            None => log::debug!("{}: nobody waits for {msg:?}", con.peer()),
        }
    }

    fn reset(&self, _: &Connection, error: &Error) {
        self.fail(error);
    }
}
