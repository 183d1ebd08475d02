use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::dispatch::may_block;
use super::{Connection, Deadline, Dispatcher, Wake};
use crate::error::{Error, ErrorKind, Result};
use crate::msgr::Message;

/// What an [`Inbox`] hands out, in the order in which it happened.
#[derive(Debug)]
pub enum Delivery {
    /// A message has come.
    Message(Connection, Message),
    /// The session is open.
    Connected(Connection),
    /// The connection has ended by itself.
    Reset(Connection, String),
    /// The peer has lost the session.
    RemoteReset(Connection),
    /// Nobody listens at the address.
    Refused(Connection),
}

/// A dispatcher for tools that would rather wait for the next message than be called: a bounded
/// queue with a blocking [`Inbox::recv`].
///
/// While it is full the workers wait, and so do the peers: nothing is dropped. It can be polled:
/// its descriptor is readable while something is there.
#[derive(Clone, Debug)]
pub struct Inbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Mutex<VecDeque<Delivery>>,
    changed: Condvar,
    readable: Wake,
    capacity: usize,
}

impl Inbox {
    /// An empty inbox for at most `capacity` deliveries, at least one.
    pub fn new(capacity: usize) -> Result<Self> {
        let readable =
            Wake::new().map_err(|e| Error::new(ErrorKind::Io, format!("eventfd: {e}")))?;
        Ok(Self(Arc::new(Inner {
            queue: Mutex::default(),
            changed: Condvar::new(),
            readable,
            capacity: capacity.max(1),
        })))
    }

    /// The dispatcher to give to [`super::Messenger::connect`].
    pub fn dispatcher(&self) -> Arc<dyn Dispatcher> {
        Arc::new(self.clone())
    }

    /// The next delivery; waits for it, at most to the deadline.
    pub fn recv(&self, deadline: Deadline) -> Result<Delivery> {
        may_block()?;
        let mut queue = self.lock();
        loop {
            if let Some(delivery) = self.pop(&mut queue) {
                return Ok(delivery);
            }
            let (guard, in_time) = deadline.wait(&self.0.changed, queue);
            queue = guard;
            if !in_time {
                return Err(Error::new(ErrorKind::Timeout, "no message in time"));
            }
        }
    }

    /// The next delivery, if one is there.
    pub fn try_recv(&self) -> Option<Delivery> {
        self.pop(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Delivery>> {
        self.0.queue.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn pop(&self, queue: &mut VecDeque<Delivery>) -> Option<Delivery> {
        let delivery = queue.pop_front()?;
        if queue.is_empty() {
            self.0.readable.clear();
        }
        self.0.changed.notify_all();
        Some(delivery)
    }

    fn push(&self, con: &Connection, delivery: Delivery) {
        let mut queue = self.lock();
        while queue.len() >= self.0.capacity {
            // Room is announced, but the end of the connection is not.
            let look = Deadline::after(Duration::from_millis(50));
            queue = look.wait(&self.0.changed, queue).0;
            if con.is_closed() {
                return;
            }
        }
        queue.push_back(delivery);
        self.0.readable.wake();
        self.0.changed.notify_all();
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.readable.as_fd()
    }
}

impl Dispatcher for Inbox {
    fn dispatch(&self, con: &Connection, msg: Message) {
        self.push(con, Delivery::Message(con.clone(), msg));
    }

    fn connected(&self, con: &Connection) {
        self.push(con, Delivery::Connected(con.clone()));
    }

    fn reset(&self, con: &Connection, error: &Error) {
        // It has ended already, so waiting for room would not end by itself: the last word of a
        // connection goes in whatever the queue holds.
        let mut queue = self.lock();
        queue.push_back(Delivery::Reset(con.clone(), error.to_string()));
        self.0.readable.wake();
        self.0.changed.notify_all();
    }

    fn remote_reset(&self, con: &Connection) {
        self.push(con, Delivery::RemoteReset(con.clone()));
    }

    fn refused(&self, con: &Connection) {
        self.push(con, Delivery::Refused(con.clone()));
    }
}
