use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::{
    AuthClient, AuthClientHandler, AuthConnector, AuthError, AuthProvider, Authorizer, ConMode,
};
use crate::types::EntityType;

/// The provider of one msgr2 connection to a monitor, which logs in during the handshake. Its owner
/// takes the login when the connection is open, to [install](AuthClientHandler::install) it or,
/// of several at once, not.
#[derive(Debug)]
pub struct MonLogin {
    client: Arc<AuthClient>,
    login: Mutex<Option<AuthClientHandler>>,
}

impl MonLogin {
    /// For a login of `client`.
    pub fn new(client: Arc<AuthClient>) -> Self {
        Self { client, login: Mutex::default() }
    }

    /// The login, complete and not installed; of several the last. `None` before the connection
    /// has come through its handshake, and once it has been taken.
    pub fn take(&self) -> Option<AuthClientHandler> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl AuthProvider for MonLogin {
    fn get_authorizer(
        &self,
        service: EntityType,
        now: Instant,
        force_new: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        self.client.get_authorizer(service, now, force_new)
    }

    fn invalidate(&self, service: EntityType) {
        self.client.invalidate(service);
    }

    fn start_auth(
        &self,
        service: EntityType,
        modes: &[ConMode],
        now: Instant,
        force_new: bool,
    ) -> Result<AuthConnector, AuthError> {
        if service == EntityType::MON {
            return Ok(self.client.start_auth_at_mon(modes));
        }
        self.client.start_auth(service, modes, now, force_new)
    }

    fn logged_in(&self, login: AuthClientHandler) {
        *self.login.lock().unwrap_or_else(PoisonError::into_inner) = Some(login);
    }
}
