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
//! With messenger v1 a login is messages on an open connection, and an authorizer is part of the
//! handshake. With msgr2 either is part of it, in the same frames: [`AuthConnector`] and
//! [`AuthAcceptor`] turn what they carry into calls of what is there for v1.
//!
//! Pure: bytes and `now` in, bytes out. Nothing here waits, so what is missing is an error
//! ([`AuthError::NoTicket`]). All that fails, fails closed: there is no way from an error to a
//! session.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod acceptor;
mod authorizer;
pub mod cephx;
mod client;
mod con_mode;
mod connector;
mod error;
mod frames;
mod handler;
pub mod keyring;
mod mon_login;
mod monitor;
mod name;
mod none;
mod refusal;
mod server;
mod service_handler;

use std::fmt::Debug;
use std::time::Instant;

pub use acceptor::{AuthAcceptor, AuthAnswer, AuthGranted};
pub use authorizer::{Authorizer, ConnectionSecret};
pub use client::AuthClient;
pub use con_mode::ConMode;
pub use connector::{AuthConnector, AuthDone};
pub use error::AuthError;
pub use frames::{AuthBadMethod, AuthOffer};
pub use handler::{AuthClientHandler, AuthRequest, Progress};
pub use mon_login::MonLogin;
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

/// First byte of what a dialler of msgr2 has to say: an authorizer, whose version it is too.
const AUTH_MODE_AUTHORIZER: u8 = 1;
/// The last of these.
const AUTH_MODE_AUTHORIZER_MAX: u8 = 9;
/// The same for a login at a monitor.
const AUTH_MODE_MON: u8 = 10;
/// The last of these.
const AUTH_MODE_MON_MAX: u8 = 19;

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

    /// What authenticates a msgr2 connection to a peer of type `service`: with an authorizer, or
    /// where [`MonLogin`] provides it with a login. `modes` are allowed, the best first.
    fn start_auth(
        &self,
        service: EntityType,
        modes: &[ConMode],
        now: Instant,
        force_new: bool,
    ) -> Result<AuthConnector, AuthError> {
        match self.get_authorizer(service, now, force_new)? {
            Some(authorizer) => Ok(AuthConnector::with_authorizer(authorizer, service, modes)),
            None => Err(AuthError::NoAuthorizer { service }),
        }
    }

    /// A connection to a monitor has come through its handshake, and this is its login.
    fn logged_in(&self, login: AuthClientHandler) {
        drop(login);
    }
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
pub(crate) mod tests;
