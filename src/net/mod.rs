//! Sockets, threads and clocks: the only room that names them.
//!
//! A [`Messenger`] opens connections, and accepts them through a [`Listener`]. Each [`Connection`]
//! has one worker thread, which alone changes its state; a message that is sent on an open
//! connection goes out on the caller's thread. What arrives is handed to a [`Dispatcher`] on the
//! worker's thread.
//!
//! Both ends, in one program:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use ceph_msgr::auth::{AuthNoneAuthorizeHandler, AuthNoneAuthorizer};
//! use ceph_msgr::msgr::{Message, Options, Peer, Policies, Policy};
//! use ceph_msgr::net::{Acceptor, Connection, Deadline, Delivery, Dispatcher, Inbox, Messenger};
//! use ceph_msgr::net::Timeouts;
//! use ceph_msgr::types::{EntityName, EntityType, GlobalId};
//!
//! /// Sends each message back.
//! struct Echo;
//!
//! impl Dispatcher for Echo {
//!     fn dispatch(&self, con: &Connection, msg: Message) {
//!         let _ = con.send(Message::new(msg.header.msg_type, msg.front));
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let name = EntityName::new(EntityType::OSD, 3);
//! let osd = Messenger::with_nonce(name, 7, Options::default(), Timeouts::default());
//! osd.set_policies(Policies::new(Policy::STATELESS_SERVER));
//! let acceptor = Acceptor::new(Arc::new(AuthNoneAuthorizeHandler), Arc::new(Echo));
//! let listener = osd.bind(&["v1:127.0.0.1:0".parse()?], acceptor)?;
//!
//! let client = Messenger::new(EntityType::CLIENT, Options::default(), Timeouts::default())?;
//! let inbox = Inbox::new(100)?;
//! let auth = AuthNoneAuthorizer { name: "client.admin".parse()?, global_id: GlobalId(4100) };
//! let peer = Peer { name, addr: listener.addrs()[0], policy: Policy::LOSSY_CLIENT };
//! let con = client.connect(peer, Arc::new(auth), inbox.dispatcher())?;
//!
//! let deadline = Deadline::after(Duration::from_secs(10));
//! con.send(Message::new(1000, &b"there and back"[..]))?;
//! let answer = loop {
//!     if let Delivery::Message(_, msg) = inbox.recv(deadline)? {
//!         break msg;
//!     }
//! };
//! assert_eq!(&answer.front[..], b"there and back");
//! con.close(deadline)?;
//! listener.close(deadline)?;
//! # Ok(())
//! # }
//! ```

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
pub(crate) use messenger::wall;
pub use messenger::{Messenger, Timeouts};
pub(crate) use resolve::Resolver;
pub(crate) use timer::Timer;
pub(crate) use waiter::Waiter;
pub(crate) use wake::Wake;
