//! The protocol machines: bytes and `now` in, bytes and events out. No socket, no thread, no
//! clock, so that every split of the stream and every order of events can be tried in memory.
//!
//! No stability is promised below this module yet.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[macro_use]
mod mutant;

mod accept;
mod backoff;
mod context;
mod event;
mod existing;
mod fault;
mod in_buf;
mod local;
mod msg;
pub mod msg_type;
mod out_kvec;
mod peer;
#[cfg(test)]
mod pipe;
mod policy;
mod rx;
mod session;
mod state;
#[cfg(test)]
mod tests;
mod throttle;
mod transport;
mod tx;
pub mod v1;
pub mod v2;

pub use accept::{Accept, Offer, Request};
pub use backoff::Backoff;
pub use context::{AcceptContext, Context};
pub use event::Event;
pub use existing::{Decision, Existing, Retry};
pub use fault::{Consequence, Fault, protocol_version};
pub use in_buf::InBuf;
pub use local::{Local, Options};
pub use msg::{Message, MsgHeader, Priority};
pub use out_kvec::OutKvec;
pub use peer::Peer;
pub use policy::{Policies, Policy};
pub use rx::{Incoming, Rx, TakeOver, con_fault, connection};
pub use state::ConState;
pub use throttle::{Budget, Throttle};
pub use transport::Transport;
pub use tx::{MsgId, Tx};
