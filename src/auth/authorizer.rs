use std::fmt;

use zeroize::Zeroizing;

use super::cephx::CephXAuthorizer;
use super::{AuthError, AuthNoneAuthorizer, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE};
use crate::crypto::{self, CryptoError, CryptoKey};
use crate::denc::Encode;
use crate::types::Features;

/// What a connection shows to an OSD, MDS or manager, and how it knows the answer to be genuine.
#[derive(Debug)]
pub struct Authorizer(Inner);

#[derive(Debug)]
enum Inner {
    None(Vec<u8>),
    Cephx(CephXAuthorizer),
}

impl Authorizer {
    /// `CEPH_AUTH_*`, as `authorizer_protocol` of msgr v1 and the method of msgr2 have it.
    pub fn protocol(&self) -> u32 {
        match self.0 {
            Inner::None(_) => CEPH_AUTH_NONE,
            Inner::Cephx(_) => CEPH_AUTH_CEPHX,
        }
    }

    /// The bytes to send: at first without, after [`Authorizer::add_challenge`] with the answer.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Inner::None(bytes) => bytes,
            Inner::Cephx(authorizer) => authorizer.bytes(),
        }
    }

    /// Answers the service's challenge: [`Authorizer::bytes`] change, the nonce does not. A further
    /// challenge, as after a connection was replaced, is answered anew.
    pub fn add_challenge(&mut self, challenge: &[u8]) -> Result<(), AuthError> {
        match &mut self.0 {
            Inner::None(_) => Err(AuthError::UnexpectedChallenge),
            Inner::Cephx(authorizer) => authorizer.add_challenge(challenge),
        }
    }

    /// Accepts the service's reply, or tells that the peer is not who it should be. `none` has
    /// nothing to check.
    pub fn verify_reply(&mut self, reply: &[u8]) -> Result<(), AuthError> {
        match &mut self.0 {
            Inner::None(_) => Ok(()),
            Inner::Cephx(authorizer) => authorizer.verify_reply(reply),
        }
    }

    /// Whether the service has still to prove itself. `none` has nothing to check.
    pub fn wants_reply(&self) -> bool {
        match &self.0 {
            Inner::None(_) => false,
            Inner::Cephx(authorizer) => !authorizer.is_verified(),
        }
    }

    /// The key that signs messages (v1) and the handshake (v2); `None` if nothing is signed.
    pub fn session_key(&self) -> Option<&CryptoKey> {
        match &self.0 {
            Inner::None(_) => None,
            Inner::Cephx(authorizer) => Some(authorizer.session_key()),
        }
    }

    /// What the keys of secure mode are cut from, if the reply brought it (v2 alone).
    pub fn connection_secret(&self) -> Option<&ConnectionSecret> {
        match &self.0 {
            Inner::None(_) => None,
            Inner::Cephx(authorizer) => authorizer.connection_secret(),
        }
    }
}

impl From<&AuthNoneAuthorizer> for Authorizer {
    fn from(authorizer: &AuthNoneAuthorizer) -> Self {
        Self(Inner::None(authorizer.to_bytes(Features::ALL)))
    }
}

impl From<CephXAuthorizer> for Authorizer {
    fn from(authorizer: CephXAuthorizer) -> Self {
        Self(Inner::Cephx(authorizer))
    }
}

/// The secret of one msgr2 connection, 64 bytes in secure mode; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionSecret(Zeroizing<Vec<u8>>);

impl ConnectionSecret {
    /// Takes the bytes over; none at all is no secret.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self(Zeroizing::new(bytes.to_vec())))
    }

    /// As many random bytes; `None` for none.
    pub fn generate(len: usize) -> Result<Option<Self>, CryptoError> {
        let mut bytes = Zeroizing::new(vec![0; len]);
        crypto::fill_random(&mut bytes)?;
        Ok((len != 0).then_some(Self(bytes)))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ConnectionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionSecret({} bytes)", self.0.len())
    }
}
