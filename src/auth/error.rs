use super::ConMode;
use crate::crypto::CryptoError;
use crate::denc::DecodeError;
use crate::types::{EntityType, GlobalId};

/// Why we, or a peer, are not believed. Never tells a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// `cephx` is wanted, or all there is to choose from, and there is no key.
    #[error("no key to authenticate with")]
    NoKey,
    /// Our list of protocols has nothing that this library knows.
    #[error("no protocol to authenticate with: cephx or none is expected")]
    NoProtocol,
    /// The monitor takes none of the protocols that were offered.
    #[error(
        "the monitor takes none of the protocols that were offered ('auth client required' says which \
         are; who has a key offers 'none' only where it stands there)"
    )]
    NoCommonProtocol,
    /// The monitor chose a protocol that was not offered, or changed it.
    #[error("the monitor goes on with protocol {0}, which was not agreed on")]
    BadProtocol(u32),
    /// The proof was refused. The monitor does not tell why (EACCES, of old EPERM).
    #[error(
        "the monitor refused the login (errno {errno}): wrong key, unknown entity, or a type of \
         key that is not allowed"
    )]
    Denied {
        /// The positive errno.
        errno: i32,
    },
    /// The login that claimed the old global_id with the old ticket was refused. Both are
    /// forgotten: a login on a new connection starts afresh (this one takes no second one).
    #[error("the monitor refused the old ticket (errno {errno}): connect again for a new one")]
    OldTicketRefused {
        /// The positive errno.
        errno: i32,
    },
    /// The monitor answered a request with another error.
    #[error("the monitor answered with errno {errno}")]
    Refused {
        /// The positive errno.
        errno: i32,
    },
    /// None of our connection modes is taken (msgr2).
    #[error(
        "no connection mode in common: {} was offered, the peer allows {}",
        ConMode::names(offered),
        ConMode::names(allowed)
    )]
    NoCommonMode {
        /// Ours.
        offered: &'static [ConMode],
        /// The peer's, as far as there are names for them here.
        allowed: &'static [ConMode],
    },
    /// No connection mode that is allowed goes with a method that is: secure mode takes a key.
    #[error("no connection mode to offer: without cephx only crc is possible")]
    NoMode,
    /// The peer chose a connection mode that was not offered.
    #[error("the peer goes on in connection mode {0}, which was not offered")]
    BadMode(u32),
    /// The keys of secure mode cannot be cut from so few bytes.
    #[error("a connection secret of {0} bytes is too short for secure mode")]
    ConnectionSecretTooShort(usize),
    /// There is no authorizer for this kind of peer, and no login at hand.
    #[error("no way to authenticate to a peer of type {service}")]
    NoAuthorizer {
        /// The peer's.
        service: EntityType,
    },
    /// The service refused our authorizer. It does not tell why.
    #[error("the {service} refused the authorizer (errno {errno})")]
    AuthorizerRefused {
        /// The peer's type.
        service: EntityType,
        /// The positive errno.
        errno: i32,
    },
    /// The login ended well but without a global_id.
    #[error("the monitor gave no global_id")]
    NoGlobalId,
    /// The monitor changed the global_id in the middle of a session.
    #[error("the monitor changed the global_id from {from} to {to}")]
    GlobalIdChanged {
        /// The one that we have.
        from: GlobalId,
        /// The one in the reply.
        to: GlobalId,
    },
    /// A reply without a request, or to another one.
    #[error("a reply to a request that was not sent")]
    UnexpectedReply,
    /// The login on this connection has failed before, or has not been completed.
    #[error("not logged in on this connection")]
    NotAuthenticated,
    /// There is no valid ticket for this service: not yet, not any more, or not for us.
    #[error("no ticket for the service {service}")]
    NoTicket {
        /// The service.
        service: EntityType,
    },
    /// The monitor was asked for tickets and did not give them.
    #[error("the monitor gave no tickets for the services {services:#x}")]
    MissingTickets {
        /// Mask of `CEPH_ENTITY_TYPE_*`.
        services: u32,
    },
    /// A ticket does not open. For the first one of a login: the monitor does not know our key.
    #[error("bad ticket for the service {service:#x}: {source}")]
    BadTicket {
        /// The service, as the reply has it.
        service: u32,
        /// Why not.
        source: CryptoError,
    },
    /// A ticket is encrypted with the session key of an older one that we never had.
    #[error("the ticket for the service {service:#x} is encrypted with an unknown key")]
    NoOldSessionKey {
        /// The service, as the reply has it.
        service: u32,
    },
    /// The secret of a msgr2 connection does not open.
    #[error("bad connection secret: {0}")]
    BadConnectionSecret(#[source] CryptoError),
    /// The rotating secrets do not open.
    #[error("bad rotating secrets: {0}")]
    BadRotatingSecrets(#[source] CryptoError),
    /// The challenge to our authorizer does not open: the service does not know its session key.
    #[error("bad authorizer challenge: {0}")]
    BadChallenge(#[source] CryptoError),
    /// The reply to our authorizer does not open: the service does not know its session key.
    #[error("bad authorizer reply: {0}")]
    BadAuthorizerReply(#[source] CryptoError),
    /// The reply to our authorizer does not answer our nonce: it was made for another one.
    #[error("the authorizer reply does not answer our nonce")]
    BadNonce,
    /// A challenge to an authorizer of protocol `none`.
    #[error("a challenge to an authorizer without a key")]
    UnexpectedChallenge,
    /// Our own key is of no use, or there are no random bytes.
    #[error(transparent)]
    Crypto(CryptoError),
    /// The bytes are not an encoding of what they should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl AuthError {
    /// Whether the next attempt would end the same way, at this peer and at any other of the same
    /// type: they have the same keys and options.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Denied { .. }
                | Self::NoCommonProtocol
                | Self::NoCommonMode { .. }
                | Self::NoMode
                | Self::NoKey
                | Self::Crypto(_)
        )
    }
}

impl From<CryptoError> for AuthError {
    fn from(e: CryptoError) -> Self {
        match e {
            CryptoError::Decode(e) => Self::Decode(e),
            e => Self::Crypto(e),
        }
    }
}
