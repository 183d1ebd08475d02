use std::fmt;

use zeroize::Zeroizing;

use super::{
    CephXAuthorize, CephXAuthorizeA, CephXAuthorizeChallenge, CephXAuthorizeReply, CephXTicketBlob,
};
use crate::auth::{AuthError, ConnectionSecret};
use crate::crypto::{self, CryptoError, CryptoKey, Usage};
use crate::denc::{Encode, Reader, Writer};
use crate::types::{EntityType, Features, GlobalId};

/// An authorizer of `cephx`: part a in clear, part b in an envelope under the session key of the
/// ticket in part a (`CephXAuthorizer`, `ceph_x_authorizer`).
pub struct CephXAuthorizer {
    session_key: CryptoKey,
    nonce: u64,
    part_a_len: usize,
    bytes: Vec<u8>,
    verified: bool,
    connection_secret: Option<ConnectionSecret>,
}

impl CephXAuthorizer {
    /// The authorizer that shows `ticket` to `service`, for a nonce that must be random.
    pub fn new(
        global_id: GlobalId,
        service: EntityType,
        ticket: &CephXTicketBlob,
        session_key: &CryptoKey,
        nonce: u64,
    ) -> Result<Self, CryptoError> {
        let part_a = CephXAuthorizeA::new(global_id, service, ticket.clone());
        let bytes = part_a.to_bytes(Features::ALL);
        let mut authorizer = Self {
            session_key: session_key.clone(),
            nonce,
            part_a_len: bytes.len(),
            bytes,
            verified: false,
            connection_secret: None,
        };
        authorizer.put_part_b(None)?;
        Ok(authorizer)
    }

    /// [`CephXAuthorizer::new`] with a nonce of the system.
    pub fn with_random_nonce(
        global_id: GlobalId,
        service: EntityType,
        ticket: &CephXTicketBlob,
        session_key: &CryptoKey,
    ) -> Result<Self, CryptoError> {
        let nonce = u64::from_le_bytes(crypto::random()?);
        Self::new(global_id, service, ticket, session_key, nonce)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn session_key(&self) -> &CryptoKey {
        &self.session_key
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.verified
    }

    pub(crate) fn connection_secret(&self) -> Option<&ConnectionSecret> {
        self.connection_secret.as_ref()
    }

    pub(crate) fn add_challenge(&mut self, sealed: &[u8]) -> Result<(), AuthError> {
        let open = || -> Result<CephXAuthorizeChallenge, CryptoError> {
            let plain = self.session_key.decrypt(Usage::AUTHORIZE_CHALLENGE, sealed)?;
            Ok(Reader::new(&plain).get()?)
        };
        let challenge = open().map_err(AuthError::BadChallenge)?.server_challenge;
        Ok(self.put_part_b(Some(challenge.wrapping_add(1)))?)
    }

    pub(crate) fn verify_reply(&mut self, sealed: &[u8]) -> Result<(), AuthError> {
        let open = || -> Result<CephXAuthorizeReply, CryptoError> {
            let mut r = Reader::new(sealed);
            let plain = self.session_key.decode_decrypt(&mut r, Usage::AUTHORIZE_REPLY)?;
            Ok(Reader::new(&plain).get()?)
        };
        let reply = open().map_err(AuthError::BadAuthorizerReply)?;
        if reply.nonce_plus_one != self.nonce.wrapping_add(1) {
            return Err(AuthError::BadNonce);
        }
        self.verified = true;
        self.connection_secret = reply.connection_secret;
        Ok(())
    }

    /// Part a stays as it is: the service compares the two authorizers of a challenge.
    fn put_part_b(&mut self, server_challenge_plus_one: Option<u64>) -> Result<(), CryptoError> {
        let part_b = CephXAuthorize { nonce: self.nonce, server_challenge_plus_one };
        let plain = Zeroizing::new(part_b.to_bytes(Features::ALL));
        let mut w = Writer::new(Features::ALL);
        self.session_key.encode_encrypt(&mut w, Usage::AUTHORIZE, &plain)?;
        self.bytes.truncate(self.part_a_len);
        self.bytes.extend_from_slice(w.as_slice());
        Ok(())
    }
}

impl fmt::Debug for CephXAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CephXAuthorizer")
            .field("session_key", &self.session_key)
            .field("len", &self.bytes.len())
            .field("connection_secret", &self.connection_secret)
            .finish_non_exhaustive()
    }
}
