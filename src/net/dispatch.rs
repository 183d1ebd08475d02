//! The callbacks in which the owner of connections hears what happens on them, and the rule that
//! nobody waits in a callback for the thread that makes it.

use std::cell::Cell;

use super::Connection;
use crate::error::{Error, ErrorKind, Result};
use crate::msgr::Message;

/// Who hears what happens on connections (`src/msg/Dispatcher.h`).
///
/// Called on the connection's own thread with no lock held: it may send, close or drop the
/// connection it is called for. A call that would wait for this thread is refused with
/// [`ErrorKind::WouldDeadlock`].
///
/// A connection owns its dispatcher. One that stores the [`Connection`], or what holds it, closes
/// the circle: the last handle is never dropped, and the thread goes on when nobody uses the
/// connection any more. So a dispatcher holds what belongs to the connection, such as the requests
/// that wait, or a [`Weak`](std::sync::Weak) to the owner of both; the `con` of each call is enough
/// to answer on. Where it must store a connection it has to let go of it in [`reset`](Self::reset),
/// and the owner has to [close](Connection::close) it: the thread then ends, and the memory is free
/// once the stored handle is dropped.
pub trait Dispatcher: Send + Sync {
    /// A message has come (`ms_dispatch`).
    fn dispatch(&self, con: &Connection, msg: Message);

    /// The session is open (`ms_handle_connect`).
    fn connected(&self, con: &Connection) {
        let _ = con;
    }

    /// A peer has dialled, and the session is open (`ms_handle_accept`); also each time that it
    /// comes back to a session that outlived its socket. The listener keeps the connection alive.
    fn accepted(&self, con: &Connection) {
        let _ = con;
    }

    /// The connection has ended by itself, and with it what was queued (`ms_handle_reset`).
    fn reset(&self, con: &Connection, error: &Error) {
        let _ = (con, error);
    }

    /// The peer has lost the session: what it had not acknowledged is gone, and the connection
    /// goes on with a new one (`ms_handle_remote_reset`).
    fn remote_reset(&self, con: &Connection) {
        let _ = con;
    }

    /// Nobody listens at the address (`ms_handle_refused`).
    fn refused(&self, con: &Connection) {
        let _ = con;
    }
}

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Runs a callback; blocking calls within it are refused.
pub(crate) fn in_callback<T>(f: impl FnOnce() -> T) -> T {
    let outer = IN_CALLBACK.replace(true);
    let value = f();
    IN_CALLBACK.set(outer);
    value
}

/// Refuses to block where a callback is running on this thread.
pub(crate) fn may_block() -> Result<()> {
    if IN_CALLBACK.get() {
        let text = "a blocking call from a callback would wait for itself";
        return Err(Error::new(ErrorKind::WouldDeadlock, text));
    }
    Ok(())
}
