//! The threads and sockets, over real sockets on loopback, with peers that misbehave.

#[path = "../common/mod.rs"]
mod common;

mod accept;
mod backlog;
mod callbacks;
mod close;
mod failures;
mod haste;
mod hunts;
mod hunts_v2;
mod inbox;
mod keepalive;
mod listener;
mod listener_caps;
mod listener_close;
mod listener_login;
mod listener_sessions;
mod login;
mod lossless;
mod queue;
mod throttle;
mod v2_failures;
mod v2_listener;
mod v2_listener_caps;
mod v2_listener_sessions;
mod v2_login;
mod v2_lossless;
mod v2_open;
mod v2_revision_0;
