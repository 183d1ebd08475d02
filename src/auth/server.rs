//! The accepting side of a connection: whether a peer's authorizer is to be believed.

use std::fmt::{self, Debug};
use std::sync::Arc;

use super::cephx::AuthCapsInfo;
use super::{
    AuthMonitor, AuthServiceHandler, AuthorizerError, CEPH_AUTH_CEPHX, CEPH_AUTH_UNKNOWN,
    ConnectionSecret, EntityName,
};
use crate::crypto::CryptoKey;
use crate::types::{EntityType, Features, GlobalId, UTime};

/// Who a peer has shown to be, and what it may do here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthPeer {
    /// Who.
    pub name: EntityName,
    /// The number that the monitors gave.
    pub global_id: GlobalId,
    /// What it may do at this service.
    pub caps: AuthCapsInfo,
}

impl AuthPeer {
    /// Whether it may come in as an entity of that type: its own, or a client, which also a program is
    /// that shows a daemon's name (`ceph -n osd.0`). What else a session promises hangs on the type.
    pub fn may_be(&self, claimed: EntityType) -> bool {
        claimed == EntityType::CLIENT || claimed == self.name.entity_type
    }

    /// The number in the [`EntityName`](crate::types::EntityName) of the messages of an entity that
    /// came in as that type: a client's global_id, a daemon's own number, or
    /// [`NEW`](crate::types::EntityName::NEW) where its id is none.
    pub fn entity_num(&self, claimed: EntityType) -> i64 {
        if claimed == EntityType::CLIENT {
            return self.global_id.0 as i64;
        }
        self.name.id.parse().unwrap_or(crate::types::EntityName::NEW)
    }
}

/// How the authorizers of accepted connections are checked.
pub trait AuthServer: Send + Sync + Debug {
    /// Checks the authorizer of one connect message: its `CEPH_AUTH_*`, its bytes, and the features
    /// that the peer offers with it. Never blocks. `state` is that of the socket.
    fn verify_authorizer(
        &self,
        state: &mut AuthorizerState,
        protocol: u32,
        authorizer: &[u8],
        features: Features,
        now: UTime,
    ) -> AuthorizerVerdict;

    /// Whether a peer that is not asked for an authorizer logs in with messages, as at a monitor:
    /// until then only short messages are taken from it, and its time for it is limited.
    fn awaits_login(&self) -> bool {
        false
    }

    /// The features that a peer must have which shows an authorizer of that protocol, for an answer
    /// that says so (FEATURES) in place of a refusal.
    fn required_features(&self, protocol: u32) -> Features {
        let _ = protocol;
        Features::NONE
    }

    /// The `CEPH_AUTH_*` by which peers of that type may authenticate on msgr2, the best first.
    fn supported_methods(&self, peer_type: EntityType) -> Vec<u32> {
        let _ = peer_type;
        vec![CEPH_AUTH_CEPHX]
    }

    /// A monitor's machine for a login in the handshake of msgr2; `None` where there are no logins.
    fn start_login(&self) -> Option<AuthServiceHandler> {
        None
    }
}

/// What is remembered between the authorizers that come through one socket.
#[derive(Default)]
pub struct AuthorizerState {
    /// The challenge that was sent; gone when an authorizer is refused.
    pub(super) challenge: Option<u64>,
    pub(super) connection_secret_len: usize,
}

impl AuthorizerState {
    /// For a new socket of messenger v1.
    pub fn new() -> Self {
        Self::default()
    }

    /// For one of msgr2, whose connection secret has that many bytes: 64 in secure mode, else 0.
    pub fn with_connection_secret(len: usize) -> Self {
        Self { challenge: None, connection_secret_len: len }
    }
}

impl Debug for AuthorizerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let challenged = self.challenge.is_some();
        f.debug_struct("AuthorizerState").field("challenged", &challenged).finish_non_exhaustive()
    }
}

/// What becomes of an authorizer.
#[derive(Debug)]
pub enum AuthorizerVerdict {
    /// The peer must answer these bytes first (CHALLENGE_AUTHORIZER).
    Challenge(Vec<u8>),
    /// The peer is who it says. The same authorizer may come again after a RETRY.
    Accepted(Box<AcceptedAuthorizer>),
    /// No authorizer is asked for: the peer logs in with messages, and nothing is signed.
    NotAsked,
    /// The peer is not believed (BADAUTHORIZER, without bytes). The next one on the socket is
    /// challenged anew.
    Refused(AuthorizerError),
}

/// What an authorizer has brought.
#[derive(Debug)]
pub struct AcceptedAuthorizer {
    /// What shows the peer that we could read it; goes with each further answer on the socket.
    pub reply: Vec<u8>,
    /// Signs messages (v1) or the handshake (v2); `None` if nothing is signed.
    pub session_key: Option<CryptoKey>,
    /// What the keys of secure mode are cut from (v2 alone).
    pub connection_secret: Option<ConnectionSecret>,
    /// Who the peer is.
    pub peer: AuthPeer,
}

/// That of a monitor for its clients: they show no authorizer, and log in with
/// [`AuthServiceHandler`](super::AuthServiceHandler).
#[derive(Clone, Copy, Debug)]
pub struct MonAuthServer;

impl AuthServer for MonAuthServer {
    fn awaits_login(&self) -> bool {
        true
    }

    fn verify_authorizer(
        &self,
        _: &mut AuthorizerState,
        protocol: u32,
        _: &[u8],
        _: Features,
        _: UTime,
    ) -> AuthorizerVerdict {
        match protocol {
            CEPH_AUTH_UNKNOWN => AuthorizerVerdict::NotAsked,
            // Whoever shows one expects an answer that proves something.
            other => AuthorizerVerdict::Refused(AuthorizerError::BadProtocol(other)),
        }
    }
}

/// A monitor for both messengers: with msgr2 its clients log in during the handshake, with v1 as
/// [`MonAuthServer`] says.
impl AuthServer for Arc<AuthMonitor> {
    fn awaits_login(&self) -> bool {
        true
    }

    fn verify_authorizer(
        &self,
        state: &mut AuthorizerState,
        protocol: u32,
        authorizer: &[u8],
        features: Features,
        now: UTime,
    ) -> AuthorizerVerdict {
        MonAuthServer.verify_authorizer(state, protocol, authorizer, features, now)
    }

    fn supported_methods(&self, _: EntityType) -> Vec<u32> {
        self.options.methods.clone()
    }

    fn start_login(&self) -> Option<AuthServiceHandler> {
        Some(self.start())
    }
}
