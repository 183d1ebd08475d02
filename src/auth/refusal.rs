//! Why the accepting side does not believe a peer. None of it is told to the peer but the errno, or
//! that the authorizer is bad: whoever guesses learns nothing.

use crate::crypto::{CryptoError, KeyType};
use crate::denc::DecodeError;
use crate::types::{EntityType, GlobalId, UTime};

/// Why a monitor refuses a request. Never tells a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthRefusal {
    /// None of the protocols that the client offers is taken.
    #[error("no protocol in common")]
    NoCommonProtocol,
    /// None of the connection modes that the client offers is taken (msgr2); without cephx there is
    /// but one.
    #[error("no connection mode in common")]
    NoCommonMode,
    /// What the first byte of a payload asks for is not done here (msgr2); 0 stands also for none.
    #[error("auth mode {0}, which is not for this kind of daemon")]
    BadAuthMode(u8),
    /// Secure mode, with a request that leaves no place for the secret of the connection: one for no
    /// tickets (`other_keys` 0). A 16.2.15 monitor aborts on it.
    #[error("secure mode without a place for its secret")]
    NoConnectionSecret,
    /// It is not its turn (msgr2). Not answered.
    #[error("a request out of turn")]
    UnexpectedRequest,
    /// They do not end (msgr2). Not answered.
    #[error("no end of the requests after {0}")]
    TooManyRequests(u32),
    /// The authorizer is refused (msgr2).
    #[error(transparent)]
    Authorizer(#[from] AuthorizerError),
    /// There is no number for a new session.
    #[error("no global_id to give")]
    NoGlobalId,
    /// The first request is not a hello, or a later one is: there is one login on a connection.
    #[error("a request of protocol {0}, which is not the one of this connection")]
    BadProtocol(u32),
    /// The payload is longer than any request is.
    #[error("a request of {0} bytes")]
    TooLong(usize),
    /// The payload is not what it should be.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// No request of that number exists.
    #[error("unknown request {0:#06x}")]
    UnknownRequest(u16),
    /// There is no such entity, or none with a key that can be used.
    #[error("unknown entity")]
    UnknownEntity,
    /// The entity's key is of a type that may not be used any more.
    #[error("a key of type {0} is not allowed")]
    KeyTypeNotAllowed(KeyType),
    /// The proof was not made with the entity's key for our challenge.
    #[error("wrong key")]
    WrongProof,
    /// An old ticket with a request for a new global_id.
    #[error("an old ticket without an old global_id")]
    SuperfluousTicket,
    /// An old global_id without the ticket that proves it.
    #[error("an old global_id without an old ticket")]
    NoOldTicket,
    /// The old ticket does not prove the old global_id.
    #[error("bad old ticket: {0}")]
    BadOldTicket(#[source] AuthorizerError),
    /// It comes before the login.
    #[error("not logged in on this connection")]
    NotAuthenticated,
    /// The AUTH ticket does not entitle to others.
    #[error("bad AUTH ticket: {0}")]
    BadAuthorizer(#[source] AuthorizerError),
    /// The service has no secret to seal a ticket with, or none that is still good.
    #[error("no secret for the service {service}")]
    NoServiceSecret {
        /// The service.
        service: EntityType,
    },
    /// The entity is not a daemon of a service.
    #[error("only a daemon has rotating secrets")]
    NotADaemon,
    /// There are no random bytes, or a key of our own is of no use.
    #[error(transparent)]
    Crypto(CryptoError),
}

impl AuthRefusal {
    /// The positive errno that is told to the client.
    pub fn errno(&self) -> i32 {
        const EPERM: i32 = 1;
        const EIO: i32 = 5;
        const EACCES: i32 = 13;
        const EBUSY: i32 = 16;
        const EINVAL: i32 = 22;
        const EOPNOTSUPP: i32 = 95;
        match self {
            Self::NoCommonProtocol | Self::NoCommonMode => EOPNOTSUPP,
            Self::NoGlobalId => EBUSY,
            Self::BadProtocol(_)
            | Self::TooLong(_)
            | Self::Malformed(_)
            | Self::UnknownRequest(_)
            | Self::NoConnectionSecret
            | Self::UnexpectedRequest
            | Self::TooManyRequests(_)
            | Self::SuperfluousTicket => EINVAL,
            Self::UnknownEntity
            | Self::KeyTypeNotAllowed(_)
            | Self::WrongProof
            | Self::NoOldTicket
            | Self::BadOldTicket(_)
            | Self::NotAuthenticated
            | Self::BadAuthMode(_)
            | Self::Authorizer(_)
            | Self::NotADaemon => EACCES,
            Self::BadAuthorizer(_) => EPERM,
            Self::NoServiceSecret { .. } | Self::Crypto(_) => EIO,
        }
    }

    /// The same in an AUTH_BAD_METHOD, where a 16.2.15 monitor takes malformed bytes for a wrong key.
    pub(super) fn errno_of_bad_method(&self) -> i32 {
        match self {
            Self::Malformed(_) => Self::WrongProof.errno(),
            other => other.errno(),
        }
    }
}

/// Why an authorizer, or a ticket, is refused. Never tells a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizerError {
    /// It is of a protocol that is not taken here; 0 is none at all.
    #[error("authorizer of protocol {0}")]
    BadProtocol(u32),
    /// It is longer than any is.
    #[error("authorizer of {0} bytes")]
    TooLong(usize),
    /// It is not what it should be.
    #[error("bad authorizer: {0}")]
    Malformed(#[from] DecodeError),
    /// It is for another service.
    #[error("authorizer for the service {0:#x}")]
    WrongService(u32),
    /// The ticket is sealed with a secret that is not here: gone, or too new. A service asks the
    /// monitors for new ones.
    #[error("no secret {secret_id} of the service {service}")]
    UnknownSecret {
        /// The service.
        service: EntityType,
        /// Which one.
        secret_id: u64,
    },
    /// The ticket does not open.
    #[error("bad ticket: {0}")]
    BadTicket(#[source] CryptoError),
    /// The ticket is of the past.
    #[error("the ticket has expired at {expired}")]
    Expired {
        /// When.
        expired: UTime,
    },
    /// The ticket is of another session.
    #[error("the ticket is of global_id {ticket}, not {claimed}")]
    WrongGlobalId {
        /// Who the peer says it is.
        claimed: GlobalId,
        /// Whose ticket it shows.
        ticket: GlobalId,
    },
    /// The ticket is of another entity.
    #[error("the ticket is of another entity")]
    WrongName,
    /// The peer does not hold the session key of the ticket.
    #[error("bad proof: {0}")]
    BadProof(#[source] CryptoError),
    /// The peer cannot be challenged, and must be.
    #[error("the peer has no CEPHX_V2 to be challenged")]
    NoChallenge,
    /// The peer was challenged and comes without an answer.
    #[error("the challenge was not answered")]
    Unanswered,
    /// The answer is to another challenge.
    #[error("the answer is to another challenge")]
    WrongAnswer,
    /// There are no random bytes.
    #[error(transparent)]
    Crypto(CryptoError),
}
