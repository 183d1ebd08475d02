//! What the monitors of a cluster know: the keys and caps of all entities, and the rotating secrets
//! of all services (`src/auth/cephx/CephxKeyServer.cc`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{
    AuthCapsInfo, AuthTicket, CephXServiceTicket, CephXServiceTicketInfo, CephXTicketBlob,
    KeyStore, RotatingSecrets,
};
use crate::auth::keyring::Keyring;
use crate::auth::{AuthRefusal, EntityName};
use crate::crypto::{CryptoError, CryptoKey, KeyType};
use crate::types::{EntityType, GlobalId, UTime};

/// The services that have secrets. A client is none.
const SERVICES: [EntityType; 5] =
    [EntityType::MON, EntityType::MDS, EntityType::OSD, EntityType::MGR, EntityType::AUTH];

/// How long tickets live and how they are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyServerOptions {
    /// Life of an AUTH ticket (`auth_mon_ticket_ttl`).
    pub auth_mon_ticket_ttl: Duration,
    /// Life of a ticket for a service (`auth_service_ticket_ttl`).
    pub auth_service_ticket_ttl: Duration,
    /// Type of new rotating secrets (`auth_service_cipher`). Those that there are stay what they
    /// are until they rotate away.
    pub auth_service_cipher: KeyType,
}

impl Default for KeyServerOptions {
    /// Three days and an hour, as Ceph has them; aes256k, as clusters that are made by 20.2.4.
    fn default() -> Self {
        Self {
            auth_mon_ticket_ttl: Duration::from_secs(72 * 3600),
            auth_service_ticket_ttl: Duration::from_secs(3600),
            auth_service_cipher: KeyType::Aes256k,
        }
    }
}

/// The keys of a cluster, shared by all connections of all its monitors.
#[derive(Debug)]
pub struct KeyServer(Mutex<State>);

#[derive(Debug)]
struct State {
    options: KeyServerOptions,
    keyring: Keyring,
    rotating: BTreeMap<EntityType, RotatingSecrets>,
}

/// Whom a ticket is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Principal<'a> {
    pub(super) name: &'a EntityName,
    pub(super) global_id: GlobalId,
    /// That of the key that it logged in with.
    pub(super) key_type: KeyType,
}

/// A new ticket: the parts of its client and of its service.
#[derive(Debug)]
pub(super) struct NewTicket {
    pub(super) for_me: CephXServiceTicket,
    pub(super) ticket: CephXTicketBlob,
}

impl KeyServer {
    /// Knows the entities of `keyring`, and makes the first secrets of every service.
    pub fn new(
        keyring: Keyring,
        options: KeyServerOptions,
        now: UTime,
    ) -> Result<Self, CryptoError> {
        let rotating = SERVICES.map(|service| (service, RotatingSecrets::default())).into();
        let server = Self(Mutex::new(State { options, keyring, rotating }));
        server.check_rotating_secrets(now)?;
        Ok(server)
    }

    /// Makes the secrets that are due, and tells whether there are new ones: daemons must then ask
    /// for them before the ones they have run out.
    pub fn check_rotating_secrets(&self, now: UTime) -> Result<bool, CryptoError> {
        let State { options, rotating, .. } = &mut *self.state();
        let mut any = false;
        for (service, secrets) in rotating {
            any |= secrets.rotate(options.auth_service_cipher, options.ttl(*service), now)?;
        }
        Ok(any)
    }

    /// The secrets of a service, as its daemons get them.
    pub fn rotating_secrets(&self, service: EntityType) -> Option<RotatingSecrets> {
        self.state().rotating.get(&service).cloned()
    }

    /// Replaces the secrets of all services but AUTH, whose tickets stay good
    /// (`ceph auth wipe-rotating-service-keys`).
    pub fn wipe_rotating_secrets(&self, now: UTime) -> Result<(), CryptoError> {
        for (service, secrets) in &mut self.state().rotating {
            if *service != EntityType::AUTH {
                // Ids go on, so that no old ticket is opened with a new secret.
                secrets.secrets.clear();
            }
        }
        self.check_rotating_secrets(now).map(drop)
    }

    /// The options from now on.
    pub fn set_options(&self, options: KeyServerOptions) {
        self.state().options = options;
    }

    /// Adds, changes or removes entities, as `ceph auth` does. What has a ticket keeps it.
    pub fn set_keyring(&self, keyring: Keyring) {
        self.state().keyring = keyring;
    }

    /// The key of an entity.
    pub(super) fn secret(&self, name: &EntityName) -> Option<CryptoKey> {
        self.state().keyring.key(name).ok().cloned()
    }

    /// What an entity may do at a service.
    pub(super) fn service_caps(&self, name: &EntityName, service: EntityType) -> AuthCapsInfo {
        let state = self.state();
        let entry = state.keyring.get(name);
        AuthCapsInfo::from_text(entry.and_then(|entry| entry.caps(service.name())))
    }

    /// A ticket for a service (`build_session_auth_info`), with what the entity may do there.
    ///
    /// The session key for the ticket service is of the type of the entity's key, whatever that of
    /// the secrets; for the others it is of type 2 only if the keys of both ends are.
    pub(super) fn seal_ticket(
        &self,
        service: EntityType,
        principal: &Principal<'_>,
        now: UTime,
    ) -> Result<NewTicket, AuthRefusal> {
        let caps = match service {
            EntityType::AUTH => AuthCapsInfo::default(),
            _ => self.service_caps(principal.name, service),
        };
        let state = self.state();
        let no_secret = || AuthRefusal::NoServiceSecret { service };
        let secrets = state.rotating.get(&service).ok_or_else(no_secret)?;
        let (secret_id, secret) = secrets.current(now).ok_or_else(no_secret)?;
        // The life of tickets may have been made longer than that of the secrets.
        let last = secrets.last_expiration().ok_or_else(no_secret)?;
        let expires = now.saturating_add(state.options.ttl(service)).min(last);

        let both_are_new = principal.key_type == KeyType::Aes256k
            && (service == EntityType::AUTH || secret.key_type() == KeyType::Aes256k);
        let key_type = if both_are_new { KeyType::Aes256k } else { KeyType::Aes };
        let session_key = CryptoKey::generate(key_type, now).map_err(AuthRefusal::Crypto)?;
        let ticket = AuthTicket {
            name: principal.name.clone(),
            global_id: principal.global_id,
            old_auid: u64::MAX,
            created: now,
            expires,
            caps,
            flags: 0,
        };
        let info = CephXServiceTicketInfo { ticket, session_key };
        let ticket = info.seal(secret_id, secret).map_err(AuthRefusal::Crypto)?;
        let validity = expires.saturating_since(now).into();
        Ok(NewTicket {
            for_me: CephXServiceTicket { session_key: info.session_key, validity },
            ticket,
        })
    }

    /// Held for a few short encryptions at most, never for a wait; each change is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for KeyServer {
    fn service_secret(&self, service: EntityType, secret_id: u64) -> Option<CryptoKey> {
        let state = self.state();
        let secret = state.rotating.get(&service)?.secrets.get(&secret_id)?;
        Some(secret.key.clone())
    }
}

impl KeyServerOptions {
    fn ttl(&self, service: EntityType) -> Duration {
        match service {
            EntityType::AUTH => self.auth_mon_ticket_ttl,
            _ => self.auth_service_ticket_ttl,
        }
    }
}
