//! The threads and sockets, over real sockets on loopback, with peers that misbehave.

#[path = "../common/mod.rs"]
mod common;

mod accept;
mod callbacks;
mod close;
mod failures;
mod hunts;
mod inbox;
mod keepalive;
mod login;
mod lossless;
mod queue;
