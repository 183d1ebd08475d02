use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    CephXAuthorize, CephXAuthorizeA, CephXAuthorizeChallenge, CephXAuthorizeReply,
    CephXServiceTicketInfo, CephXTicketBlob, KeyStore,
};
use crate::auth::{
    AcceptedAuthorizer, AuthPeer, AuthServer, AuthorizerError, AuthorizerState, AuthorizerVerdict,
    CEPH_AUTH_CEPHX, ConnectionSecret,
};
use crate::crypto::{self, CryptoError, CryptoKey, Usage};
use crate::denc::{Encode, Reader, Writer};
use crate::limits::AUTHORIZER_MAX_LEN;
use crate::types::{EntityType, Features, UTime};

/// `cephx` as a service sees it: opens tickets with the secrets of the service, and challenges who
/// shows one (`CephxAuthorizeHandler`, `cephx_verify_authorizer`).
#[derive(Clone, Debug)]
pub struct CephxAuthorizeHandler {
    service: EntityType,
    keys: Arc<dyn KeyStore>,
    options: CephxAuthorizeOptions,
}

/// What is asked of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CephxAuthorizeOptions {
    /// Every peer must answer a challenge, which takes `CEPHX_V2`, as with
    /// `cephx_service_require_version = 2`. Otherwise one without it is believed for an authorizer
    /// that someone else may have recorded.
    pub require_challenge: bool,
}

impl Default for CephxAuthorizeOptions {
    /// All of it.
    fn default() -> Self {
        Self { require_challenge: true }
    }
}

impl CephxAuthorizeHandler {
    /// For a service with these secrets.
    pub fn new(
        service: EntityType,
        keys: Arc<dyn KeyStore>,
        options: CephxAuthorizeOptions,
    ) -> Self {
        Self { service, keys, options }
    }

    fn verify(
        &self,
        state: &mut AuthorizerState,
        authorizer: &[u8],
        features: Features,
        now: UTime,
    ) -> Result<AuthorizerVerdict, AuthorizerError> {
        // It stays gone unless this authorizer answers it.
        let challenge = state.challenge.take();
        if authorizer.len() > AUTHORIZER_MAX_LEN as usize {
            return Err(AuthorizerError::TooLong(authorizer.len()));
        }
        let can_be_challenged = features.has(Features::CEPHX_V2);
        if self.options.require_challenge && !can_be_challenged {
            return Err(AuthorizerError::NoChallenge);
        }
        let (info, authorize) =
            verify_authorizer(&*self.keys, self.service, &mut Reader::new(authorizer), now)?;
        if can_be_challenged {
            let Some(server_challenge) = challenge else {
                let challenge = new_challenge().map_err(AuthorizerError::Crypto)?;
                state.challenge = Some(challenge);
                return seal_challenge(&info.session_key, challenge)
                    .map(AuthorizerVerdict::Challenge)
                    .map_err(AuthorizerError::Crypto);
            };
            let answer = authorize.server_challenge_plus_one.ok_or(AuthorizerError::Unanswered)?;
            if !same(answer, server_challenge.wrapping_add(1)) {
                return Err(AuthorizerError::WrongAnswer);
            }
            state.challenge = challenge;
        }
        self.accept(state.connection_secret_len, info, authorize).map_err(AuthorizerError::Crypto)
    }

    fn accept(
        &self,
        connection_secret_len: usize,
        info: CephXServiceTicketInfo,
        authorize: CephXAuthorize,
    ) -> Result<AuthorizerVerdict, CryptoError> {
        let connection_secret = ConnectionSecret::generate(connection_secret_len)?;
        let reply = CephXAuthorizeReply {
            nonce_plus_one: authorize.nonce.wrapping_add(1),
            connection_secret: connection_secret.clone(),
        };
        let plain = Zeroizing::new(reply.to_bytes(Features::ALL));
        let mut w = Writer::new(Features::ALL);
        info.session_key.encode_encrypt(&mut w, Usage::AUTHORIZE_REPLY, &plain)?;
        let ticket = info.ticket;
        Ok(AuthorizerVerdict::Accepted(Box::new(AcceptedAuthorizer {
            reply: w.into_vec(),
            session_key: Some(info.session_key),
            connection_secret,
            peer: AuthPeer { name: ticket.name, global_id: ticket.global_id, caps: ticket.caps },
        })))
    }
}

impl AuthServer for CephxAuthorizeHandler {
    fn verify_authorizer(
        &self,
        state: &mut AuthorizerState,
        protocol: u32,
        authorizer: &[u8],
        features: Features,
        now: UTime,
    ) -> AuthorizerVerdict {
        if protocol != CEPH_AUTH_CEPHX {
            state.challenge = None;
            return AuthorizerVerdict::Refused(AuthorizerError::BadProtocol(protocol));
        }
        self.verify(state, authorizer, features, now).unwrap_or_else(AuthorizerVerdict::Refused)
    }

    fn required_features(&self, protocol: u32) -> Features {
        if protocol == CEPH_AUTH_CEPHX && self.options.require_challenge {
            Features::NONE.with(Features::CEPHX_V2)
        } else {
            Features::NONE
        }
    }
}

/// Opens the ticket of an authorizer for `service` and what its holder adds to it, which shows that
/// he has the session key. What the ticket service takes ends here; others add a challenge.
pub(super) fn verify_authorizer(
    keys: &dyn KeyStore,
    service: EntityType,
    r: &mut Reader<'_>,
    now: UTime,
) -> Result<(CephXServiceTicketInfo, CephXAuthorize), AuthorizerError> {
    let a: CephXAuthorizeA = r.get()?;
    if a.service_id != u32::from(service.0) {
        return Err(AuthorizerError::WrongService(a.service_id));
    }
    let info = open_ticket(keys, service, &a.ticket)?;
    if now >= info.ticket.expires {
        return Err(AuthorizerError::Expired { expired: info.ticket.expires });
    }
    if a.global_id != info.ticket.global_id {
        let (claimed, ticket) = (a.global_id, info.ticket.global_id);
        return Err(AuthorizerError::WrongGlobalId { claimed, ticket });
    }
    let plain = match info.session_key.decode_decrypt(r, Usage::AUTHORIZE) {
        Ok(plain) => plain,
        Err(CryptoError::Decode(e)) => return Err(AuthorizerError::Malformed(e)),
        Err(e) => return Err(AuthorizerError::BadProof(e)),
    };
    Ok((info, Reader::new(&plain).get()?))
}

/// Opens a ticket with the secret that it names. It may have expired.
pub(super) fn open_ticket(
    keys: &dyn KeyStore,
    service: EntityType,
    ticket: &CephXTicketBlob,
) -> Result<CephXServiceTicketInfo, AuthorizerError> {
    let secret_id = ticket.secret_id;
    let secret = keys
        .service_secret(service, secret_id)
        .ok_or(AuthorizerError::UnknownSecret { service, secret_id })?;
    CephXServiceTicketInfo::open(ticket, &secret).map_err(AuthorizerError::BadTicket)
}

/// A number that nobody can guess; not 0, which some take for "none".
pub(super) fn new_challenge() -> Result<u64, CryptoError> {
    Ok(u64::from_le_bytes(crypto::random()?).max(1))
}

/// Whether two numbers are the same, in constant time.
pub(super) fn same(a: u64, b: u64) -> bool {
    a.ct_eq(&b).into()
}

fn seal_challenge(session_key: &CryptoKey, server_challenge: u64) -> Result<Vec<u8>, CryptoError> {
    let plain = CephXAuthorizeChallenge { server_challenge }.to_bytes(Features::ALL);
    session_key.encrypt(Usage::AUTHORIZE_CHALLENGE, &Zeroizing::new(plain))
}
