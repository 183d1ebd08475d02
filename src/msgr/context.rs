use std::time::Instant;

use super::{Local, Policies};
use crate::auth::{AuthProvider, AuthServer};
use crate::types::UTime;

/// What the machine needs of the world beside bytes.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The monotonic clock.
    pub now: Instant,
    /// The wall clock, for keepalives.
    pub wall: UTime,
    /// Who this side is.
    pub local: &'a Local,
    /// Tickets.
    pub auth: &'a dyn AuthProvider,
}

/// What the machine needs to accept.
#[derive(Clone, Copy, Debug)]
pub struct AcceptContext<'a> {
    /// The wall clock, for the life of tickets.
    pub wall: UTime,
    /// Who this side is.
    pub local: &'a Local,
    /// Who may come in.
    pub auth: &'a dyn AuthServer,
    /// What a session with each kind of peer promises.
    pub policies: &'a Policies,
}
