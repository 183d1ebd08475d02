//! Who hears what happens at one end (`FakeDispatcher`).

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use bytes::Bytes;
use ceph_msgr::error::Error;
use ceph_msgr::msgr::Message;
use ceph_msgr::net::{Connection, Dispatcher};

use crate::common::client::PATIENCE;

pub(crate) const CEPH_MSG_PING: u16 = 2;

/// A message that carries a number.
pub(crate) fn ping(n: u32) -> Message {
    Message::new(CEPH_MSG_PING, n.to_le_bytes().to_vec())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connected,
    Accepted,
    Message,
    Reset,
    RemoteReset,
    Refused,
}

/// Remembers what it hears, by connection; a server's answers each message with what it holds.
#[derive(Debug)]
pub(crate) struct FakeDispatcher {
    is_server: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) events: Vec<Event>,
    /// The numbers that came on each connection, since its session began.
    got: HashMap<u64, Vec<u32>>,
    last_accept: Option<Connection>,
    /// Front and data of the message that came last.
    last_message: (Bytes, Bytes),
}

impl FakeDispatcher {
    pub(crate) fn new(is_server: bool) -> Arc<Self> {
        Arc::new(Self { is_server, state: Mutex::default(), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// How often that was heard, on whichever connection.
    pub(crate) fn count(&self, event: Event) -> usize {
        self.lock().count(event)
    }

    /// Waits until that was heard so often.
    #[track_caller]
    pub(crate) fn wait(&self, event: Event, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        while state.count(event) < times {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{event:?} not {times} times in {:?}", state.events);
            state = self.changed.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0;
        }
    }

    /// The numbers that came on a connection since its session began (`Session::count`).
    pub(crate) fn got(&self, con: &Connection) -> Vec<u32> {
        self.lock().got.get(&con.id()).cloned().unwrap_or_default()
    }

    /// The connection that was accepted last.
    pub(crate) fn last_accept(&self) -> Connection {
        self.lock().last_accept.clone().expect("one was accepted")
    }

    /// Front and data of the message that came last.
    pub(crate) fn last_message(&self) -> (Bytes, Bytes) {
        self.lock().last_message.clone()
    }

    /// Lets go of the connections that it holds.
    pub(crate) fn forget(&self) {
        let last = self.lock().last_accept.take();
        drop(last);
    }

    fn heard(&self, event: Event, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        state.events.push(event);
        change(&mut state);
        drop(state);
        self.changed.notify_all();
    }
}

impl State {
    fn count(&self, event: Event) -> usize {
        self.events.iter().filter(|e| **e == event).count()
    }
}

impl Dispatcher for FakeDispatcher {
    fn dispatch(&self, con: &Connection, msg: Message) {
        let n = msg.front.first_chunk().map_or(0, |n| u32::from_le_bytes(*n));
        self.heard(Event::Message, |state| {
            state.got.entry(con.id()).or_default().push(n);
            state.last_message = (msg.front.clone(), msg.data.clone());
        });
        if self.is_server {
            // It may have been marked down meanwhile.
            let _ = con.send(Message::new(CEPH_MSG_PING, msg.front).with_data(msg.data));
        }
    }

    fn connected(&self, _: &Connection) {
        self.heard(Event::Connected, |_| {});
    }

    fn accepted(&self, con: &Connection) {
        let mut last = Some(con.clone());
        self.heard(Event::Accepted, |state| std::mem::swap(&mut state.last_accept, &mut last));
    }

    fn reset(&self, con: &Connection, _: &Error) {
        self.heard(Event::Reset, |state| drop(state.got.remove(&con.id())));
    }

    fn remote_reset(&self, con: &Connection) {
        self.heard(Event::RemoteReset, |state| drop(state.got.remove(&con.id())));
    }

    fn refused(&self, _: &Connection) {
        self.heard(Event::Refused, |_| {});
    }
}
