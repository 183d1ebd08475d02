//! Who we are and how we show it: `none` and `cephx`, from the login at a monitor to the authorizer
//! that an OSD, MDS or manager asks for (`src/auth/`, `net/ceph/auth*.c`).
//!
//! ```text
//!  AuthClient            name, key, global_id, tickets; shared, is an AuthProvider
//!   │ start()      ▲ install()
//!   ▼              │
//!  AuthClientHandler     the login on one monitor connection; several may run at once
//!
//!  AuthProvider::get_authorizer ─► Authorizer ─► bytes for one connection to a service
//! ```
//!
//! Pure: bytes and `now` in, bytes out. Nothing here waits, so what is missing is an error
//! ([`AuthError::NoTicket`]). All that fails, fails closed: there is no way from an error to a
//! session.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod authorizer;
pub mod cephx;
mod client;
mod error;
mod handler;
pub mod keyring;
mod monitor;
mod name;
mod none;
mod refusal;
mod server;
mod service_handler;

use std::fmt::Debug;
use std::time::Instant;

pub use authorizer::{Authorizer, ConnectionSecret};
pub use client::AuthClient;
pub use error::AuthError;
pub use handler::{AuthClientHandler, AuthRequest, Progress};
pub use monitor::{AuthMonitor, AuthMonitorOptions, GlobalIdAllocator};
pub use name::{EntityName, EntityNameParseError};
pub use none::{AuthNoneAuthorizeHandler, AuthNoneAuthorizer};
pub use refusal::{AuthRefusal, AuthorizerError};
pub use server::{
    AcceptedAuthorizer, AuthPeer, AuthServer, AuthorizerState, AuthorizerVerdict, MonAuthServer,
};
pub use service_handler::{AuthReply, AuthServiceHandler};

use crate::types::EntityType;

/// No protocol chosen yet; also that of a connection without an authorizer.
pub const CEPH_AUTH_UNKNOWN: u32 = 0;
/// Everyone is who they say they are.
pub const CEPH_AUTH_NONE: u32 = 1;
/// Shared secrets and tickets.
pub const CEPH_AUTH_CEPHX: u32 = 2;

/// Where the messenger gets the authorizer for a connection that it opens.
pub trait AuthProvider: Send + Sync + Debug {
    /// A fresh authorizer for a peer of type `service`; `None` if such a peer takes none, as the
    /// monitors do. Never blocks. The connection keeps what it got for as long as its socket lives
    /// and repeats it there, answered challenge and all; `force_new` says that the peer refused
    /// the last one, for a provider that hands out one more than once.
    fn get_authorizer(
        &self,
        service: EntityType,
        now: Instant,
        force_new: bool,
    ) -> Result<Option<Authorizer>, AuthError>;

    /// The peer has refused a fresh authorizer too: the ticket is no good and a new one is needed.
    fn invalidate(&self, service: EntityType);
}

/// Shows nobody anything, as a client towards a monitor, and who never dials.
#[derive(Clone, Copy, Debug)]
pub struct NoAuthorizer;

impl AuthProvider for NoAuthorizer {
    fn get_authorizer(
        &self,
        _: EntityType,
        _: Instant,
        _: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        Ok(None)
    }

    fn invalidate(&self, _: EntityType) {}
}

#[cfg(test)]
mod tests;
