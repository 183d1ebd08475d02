//! Sockets, threads and clocks: the only room that names them.
//!
//! A [`Messenger`] opens connections, and accepts them through a [`Listener`]. Each [`Connection`] has one worker thread, which alone
//! changes its state; a message that is sent on an open connection goes out on the caller's
//! thread. What arrives is handed to a [`Dispatcher`] on the worker's thread.

mod accepting;
mod connection;
mod deadline;
mod dispatch;
mod inbox;
mod listener;
mod messenger;
mod registry;
mod resolve;
mod sock;
mod timer;
mod waiter;
mod wake;
mod worker;

pub(crate) use connection::check_lengths;
pub use connection::{Connection, Counters, NotSent};
pub use deadline::Deadline;
pub use dispatch::Dispatcher;
pub(crate) use dispatch::may_block as check_may_block;
pub use inbox::{Delivery, Inbox};
pub use listener::{Acceptor, Counts, Listener};
pub use messenger::{Messenger, Timeouts};
pub(crate) use resolve::Resolver;
pub(crate) use timer::Timer;
pub(crate) use waiter::Waiter;
pub(crate) use wake::Wake;
