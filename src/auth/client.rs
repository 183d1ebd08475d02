use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::cephx::{CephXTicketManager, Principal};
use super::{
    AuthClientHandler, AuthConnector, AuthError, AuthNoneAuthorizer, AuthProvider, AuthRequest,
    Authorizer, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, ConMode, EntityName,
};
use crate::crypto::CryptoKey;
use crate::types::{EntityType, GlobalId};

/// One entity's standing with the cluster: its name and key, and what the monitors gave it, shared
/// by all connections (the kernel's `ceph_auth_client`).
///
/// [`AuthClient::start`] logs in on a monitor connection, on several at once if need be; the login
/// that is [installed](AuthClientHandler::install) supplies the authorizers from then on.
#[derive(Debug)]
pub struct AuthClient {
    name: EntityName,
    key: Option<CryptoKey>,
    methods: Vec<u32>,
    want: u32,
    session: Mutex<Option<Session>>,
}

/// What a login gave.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) global_id: GlobalId,
    pub(super) granted: Granted,
}

#[derive(Clone, Debug)]
pub(super) enum Granted {
    None,
    Cephx(CephXTicketManager),
}

impl AuthClient {
    /// For the entity `name`. `methods` are the `CEPH_AUTH_*` that may be used, as
    /// `auth client required` lists them: with `CEPH_AUTH_NONE` among them a monitor may choose to
    /// be believed without proof. `services` are those that tickets are wanted for; AUTH need not
    /// be named.
    pub fn new(
        name: EntityName,
        key: Option<CryptoKey>,
        methods: &[u32],
        services: &[EntityType],
    ) -> Result<Self, AuthError> {
        let key = key.filter(|key| !key.is_empty());
        let mut usable = methods.to_vec();
        usable.retain(|&m| m == CEPH_AUTH_NONE || m == CEPH_AUTH_CEPHX);
        usable.sort_unstable();
        usable.dedup();
        if usable.is_empty() {
            return Err(AuthError::NoProtocol);
        }
        usable.retain(|&m| m != CEPH_AUTH_CEPHX || key.is_some());
        if usable.is_empty() {
            return Err(AuthError::NoKey);
        }
        // A client is no service; a monitor that is asked for its ticket sends a list cut short.
        let want = services.iter().fold(EntityType::AUTH.0, |want, service| want | service.0)
            & !EntityType::CLIENT.0;
        Ok(Self { name, key, methods: usable, want: want.into(), session: Mutex::new(None) })
    }

    /// Who authenticates.
    pub fn name(&self) -> &EntityName {
        &self.name
    }

    /// The number that the monitors gave, 0 before the first login.
    pub fn global_id(&self) -> GlobalId {
        self.session().as_ref().map(|s| s.global_id).unwrap_or_default()
    }

    /// `CEPH_AUTH_*` of the installed login.
    pub fn protocol(&self) -> Option<u32> {
        self.session().as_ref().map(|s| match s.granted {
            Granted::None => CEPH_AUTH_NONE,
            Granted::Cephx(_) => CEPH_AUTH_CEPHX,
        })
    }

    /// Begins a login on a new monitor connection: the machine for it and its first request. If
    /// there has been a login, this one claims its global_id.
    pub fn start(self: &Arc<Self>) -> (AuthClientHandler, AuthRequest) {
        let handler = self.handler();
        let hello = handler.hello();
        (handler, hello)
    }

    /// The same in the handshake of a msgr2 connection. `modes` are allowed, the best first. A
    /// proof is offered before no proof; that only where the monitor does not take the other.
    pub fn start_auth_at_mon(self: &Arc<Self>, modes: &[ConMode]) -> AuthConnector {
        AuthConnector::login(self.handler(), modes)
    }

    fn handler(self: &Arc<Self>) -> AuthClientHandler {
        let old = self.session().clone();
        AuthClientHandler::new(Arc::clone(self), old)
    }

    /// When [`AuthClientHandler::renew`] has something to do, at three quarters of a ticket's life;
    /// `now` if it has already. `None` before a login, and with `none`. Without an answer from the
    /// monitor this stays due: it is for the caller not to ask all the time.
    pub fn next_renewal(&self, now: Instant) -> Option<Instant> {
        match &self.session().as_ref()?.granted {
            Granted::None => None,
            Granted::Cephx(tickets) => tickets.next_renewal(self.want, now),
        }
    }

    pub(super) fn methods(&self) -> &[u32] {
        &self.methods
    }

    pub(super) fn principal(&self, global_id: GlobalId) -> Result<Principal<'_>, AuthError> {
        let key = self.key.as_ref().ok_or(AuthError::NoKey)?;
        Ok(Principal { key, want: self.want, global_id })
    }

    /// The lock is held for a copy or for a few short decryptions, never for a wait; what panicked
    /// under it has not changed the session.
    pub(super) fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the session `global_id`, unless another one has been installed since.
    pub(super) fn forget(&self, global_id: GlobalId) {
        let mut session = self.session();
        if session.as_ref().is_some_and(|s| s.global_id == global_id) {
            *session = None;
        }
    }
}

impl AuthProvider for AuthClient {
    fn get_authorizer(
        &self,
        service: EntityType,
        now: Instant,
        _force_new: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        if service == EntityType::MON {
            return Ok(None);
        }
        let session = self.session();
        let session = session.as_ref().ok_or(AuthError::NoTicket { service })?;
        let global_id = session.global_id;
        Ok(Some(match &session.granted {
            Granted::None => (&AuthNoneAuthorizer { name: self.name.clone(), global_id }).into(),
            Granted::Cephx(tickets) => tickets.build_authorizer(global_id, service, now)?.into(),
        }))
    }

    fn invalidate(&self, service: EntityType) {
        if let Some(Session { granted: Granted::Cephx(tickets), .. }) = &mut *self.session() {
            tickets.invalidate_ticket(service);
            // There is no new ticket without a good AUTH ticket, and that may be what is wrong.
            tickets.invalidate_ticket(EntityType::AUTH);
        }
    }
}
