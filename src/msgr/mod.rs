//! The protocol machines: bytes and `now` in, bytes and events out. No socket, no thread, no clock.

mod msg;

pub use msg::{Message, MsgHeader, Priority};
