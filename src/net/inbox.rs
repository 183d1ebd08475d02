//! Callbacks turned into a queue: what happens on connections waits in a bounded `Inbox`, until a
//! thread of the owner's takes it out, or its descriptor says that there is something.

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
    /// A peer has dialled, and the session is open.
    Accepted(Connection),
    /// The connection has ended by itself.
    Reset(Connection, String),
    /// The peer has lost the session.
    RemoteReset(Connection),
    /// Nobody listens at the address.
    Refused(Connection),
}

/// A dispatcher for tools that would rather wait for the next message than be called: a bounded
/// queue with a blocking [`Inbox::recv`]. Cheap to clone; the clones are one inbox.
///
/// While it is full the workers wait, and so do the peers: nothing is dropped. It can be polled:
/// its descriptor is readable while something is there.
///
/// A delivery holds its connection, which therefore stays open as long as one is in the inbox.
/// When the last clone is dropped, so is what is in it, and what comes later.
#[derive(Clone, Debug)]
pub struct Inbox(Arc<Owner>);

/// Lives as long as somebody can take deliveries: the connections, which share the queue, hold
/// none of it.
#[derive(Debug)]
struct Owner(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    readable: Wake,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Queue {
    deliveries: VecDeque<Delivery>,
    /// Somebody has asked for the descriptor; until then it is not worth a system call.
    polled: bool,
    /// Nobody will take anything any more.
    abandoned: bool,
    /// Threads that wait for a delivery; a notification is a system call, whoever waits.
    takers: usize,
    /// Workers that wait for room.
    givers: usize,
}

/// The end that the connections have.
struct Mailbox(Arc<Shared>);

impl Inbox {
    /// An empty inbox for at most `capacity` deliveries, at least one.
    pub fn new(capacity: usize) -> Result<Self> {
        let readable =
            Wake::new().map_err(|e| Error::new(ErrorKind::Io, format!("eventfd: {e}")))?;
        Ok(Self(Arc::new(Owner(Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            readable,
            capacity: capacity.max(1),
        })))))
    }

    /// The dispatcher to give to [`super::Messenger::connect`].
    pub fn dispatcher(&self) -> Arc<dyn Dispatcher> {
        Arc::new(Mailbox(self.shared().clone()))
    }

    /// The next delivery; waits for it, at most to the deadline.
    pub fn recv(&self, deadline: Deadline) -> Result<Delivery> {
        may_block()?;
        let shared = self.shared();
        let mut queue = shared.lock();
        loop {
            if let Some(delivery) = shared.pop(&mut queue) {
                return Ok(delivery);
            }
            queue.takers += 1;
            let (guard, in_time) = deadline.wait(&shared.changed, queue);
            queue = guard;
            queue.takers -= 1;
            if !in_time {
                return Err(Error::new(ErrorKind::Timeout, "no message in time"));
            }
        }
    }

    /// The next delivery, if one is there.
    pub fn try_recv(&self) -> Option<Delivery> {
        let shared = self.shared();
        shared.pop(&mut shared.lock())
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let rest = {
            let mut queue = self.0.lock();
            queue.abandoned = true;
            self.0.changed.notify_all();
            std::mem::take(&mut queue.deliveries)
        };
        // They may hold the last handles of their connections: not under the lock.
        drop(rest);
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let shared = self.shared();
        let mut queue = shared.lock();
        if !std::mem::replace(&mut queue.polled, true) && !queue.deliveries.is_empty() {
            shared.readable.wake();
        }
        shared.readable.as_fd()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn pop(&self, queue: &mut Queue) -> Option<Delivery> {
        let delivery = queue.deliveries.pop_front()?;
        if queue.polled && queue.deliveries.is_empty() {
            self.readable.clear();
        }
        if queue.givers > 0 {
            self.changed.notify_all();
        }
        Some(delivery)
    }

    fn push(&self, mut queue: MutexGuard<'_, Queue>, delivery: Delivery) {
        if queue.abandoned {
            drop(queue);
            // This, too, may be the last handle of its connection.
            drop(delivery);
            return;
        }
        queue.deliveries.push_back(delivery);
        if queue.polled {
            self.readable.wake();
        }
        let wanted = queue.takers > 0;
        // Not under the lock, which who is woken takes first.
        drop(queue);
        if wanted {
            self.changed.notify_all();
        }
    }
}

impl Mailbox {
    fn deliver(&self, con: &Connection, delivery: Delivery) {
        let shared = &self.0;
        let mut queue = shared.lock();
        while queue.deliveries.len() >= shared.capacity && !queue.abandoned {
            // Room is announced, but the end of the connection is not.
            let look = Deadline::after(Duration::from_millis(50));
            queue.givers += 1;
            queue = look.wait(&shared.changed, queue).0;
            queue.givers -= 1;
            if con.is_closed() {
                return;
            }
        }
        shared.push(queue, delivery);
    }
}

impl Dispatcher for Mailbox {
    fn dispatch(&self, con: &Connection, msg: Message) {
        self.deliver(con, Delivery::Message(con.clone(), msg));
    }

    fn connected(&self, con: &Connection) {
        self.deliver(con, Delivery::Connected(con.clone()));
    }

    fn accepted(&self, con: &Connection) {
        self.deliver(con, Delivery::Accepted(con.clone()));
    }

    fn reset(&self, con: &Connection, error: &Error) {
        // It has ended already, so waiting for room would not end by itself: the last word of a
        // connection goes in whatever the queue holds.
        let last = Delivery::Reset(con.clone(), error.to_string());
        self.0.push(self.0.lock(), last);
    }

    fn remote_reset(&self, con: &Connection) {
        self.deliver(con, Delivery::RemoteReset(con.clone()));
    }

    fn refused(&self, con: &Connection) {
        self.deliver(con, Delivery::Refused(con.clone()));
    }
}
