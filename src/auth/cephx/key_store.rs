//! Where the accepting side finds the secret that a ticket is sealed with.

use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::RotatingSecrets;
use crate::crypto::CryptoKey;
use crate::types::{EntityType, UTime};

/// Who knows the secrets of services (`KeyStore`). Never blocks.
pub trait KeyStore: Send + Sync + Debug {
    /// The secret of that service with that id, if it is there, expired or not: a ticket has an end
    /// of its own, and may be good for longer than its secret is the current one.
    fn service_secret(&self, service: EntityType, secret_id: u64) -> Option<CryptoKey>;
}

/// The secrets of one service, as its daemons hold them (`RotatingKeyRing`).
#[derive(Debug)]
pub struct RotatingKeyRing {
    service: EntityType,
    secrets: Mutex<RotatingSecrets>,
}

impl RotatingKeyRing {
    /// No secrets yet: all tickets are refused until [`RotatingKeyRing::set_secrets`].
    pub fn new(service: EntityType) -> Self {
        Self { service, secrets: Mutex::default() }
    }

    /// Takes what the monitors answered to
    /// [`request_rotating_keys`](crate::auth::AuthClientHandler::request_rotating_keys).
    pub fn set_secrets(&self, secrets: RotatingSecrets) {
        *self.secrets() = secrets;
    }

    /// Whether it is time to ask the monitors, as it is before the first answer.
    pub fn need_new_secrets(&self, now: UTime) -> bool {
        self.secrets().need_new_secrets(now)
    }

    fn secrets(&self) -> MutexGuard<'_, RotatingSecrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for RotatingKeyRing {
    fn service_secret(&self, service: EntityType, secret_id: u64) -> Option<CryptoKey> {
        if service != self.service {
            return None;
        }
        self.secrets().secrets.get(&secret_id).map(|secret| secret.key.clone())
    }
}
