use std::time::Instant;

use super::ticket::need_tickets;
use super::{
    CEPHX_GET_AUTH_SESSION_KEY, CEPHX_GET_PRINCIPAL_SESSION_KEY, CEPHX_GET_ROTATING_KEY,
    CephXAuthenticate, CephXRequestHeader, CephXResponseHeader, CephXServiceTicketRequest,
    CephXTicketManager, RotatingSecrets,
};
use crate::auth::{AuthError, ConnectionSecret};
use crate::crypto::{self, CryptoError, CryptoKey, Usage, calc_client_server_challenge};
use crate::denc::{Reader, Writer};
use crate::types::{EntityType, Features, GlobalId};

const AUTH: u32 = EntityType::AUTH.0 as u32;

/// `cephx` on one monitor connection, from the challenge on (`CephxClientHandler`). The tickets
/// are the caller's: its own during the login, the shared ones after it.
#[derive(Debug)]
pub(crate) struct CephxClientHandler {
    /// The monitor keeps it for the life of the connection, for renewals too.
    server_challenge: u64,
    outstanding: Option<Outstanding>,
    connection_secret: Option<ConnectionSecret>,
}

/// The request that waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outstanding {
    Auth { other_keys: u32, old_ticket: bool },
    Principal { keys: u32 },
    Rotating,
}

impl Outstanding {
    fn request_type(self) -> u16 {
        match self {
            Self::Auth { .. } => CEPHX_GET_AUTH_SESSION_KEY,
            Self::Principal { .. } => CEPHX_GET_PRINCIPAL_SESSION_KEY,
            Self::Rotating => CEPHX_GET_ROTATING_KEY,
        }
    }
}

/// What to do after a reply.
#[derive(Debug)]
pub(crate) enum Response {
    /// Send this next.
    Again(Vec<u8>),
    /// All tickets that are wanted are there.
    Done,
    /// The answer to [`CephxClientHandler::build_rotating_request`].
    Rotating(RotatingSecrets),
}

/// Who asks, for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Principal<'a> {
    pub(crate) key: &'a CryptoKey,
    pub(crate) want: u32,
    pub(crate) global_id: GlobalId,
}

impl CephxClientHandler {
    pub(crate) fn new(server_challenge: u64) -> Self {
        Self { server_challenge, outstanding: None, connection_secret: None }
    }

    /// Whether a request waits for its reply; there must be no second one.
    pub(crate) fn is_busy(&self) -> bool {
        self.outstanding.is_some()
    }

    /// Waits no longer for the reply.
    pub(crate) fn abandon(&mut self) {
        self.outstanding = None;
    }

    pub(crate) fn connection_secret(&self) -> Option<&ConnectionSecret> {
        self.connection_secret.as_ref()
    }

    /// The secret, which is not kept.
    pub(crate) fn take_connection_secret(&mut self) -> Option<ConnectionSecret> {
        self.connection_secret.take()
    }

    /// The login itself, whatever tickets there are; the AUTH ticket among them is shown.
    pub(crate) fn build_login(
        &mut self,
        who: Principal<'_>,
        tickets: &CephXTicketManager,
        now: Instant,
    ) -> Result<Vec<u8>, AuthError> {
        let need = tickets.validate_tickets(who.want, now) | AUTH;
        self.build_authenticate(who, tickets, need)
    }

    /// The request for what is missing or due; `None` if nothing is.
    pub(crate) fn build_request(
        &mut self,
        who: Principal<'_>,
        tickets: &CephXTicketManager,
        now: Instant,
    ) -> Result<Option<Vec<u8>>, AuthError> {
        let need = tickets.validate_tickets(who.want, now);
        if need & AUTH != 0 {
            self.build_authenticate(who, tickets, need).map(Some)
        } else if need_tickets(need) {
            self.build_ticket_request(who, tickets, need, now).map(Some)
        } else {
            Ok(None)
        }
    }

    fn build_authenticate(
        &mut self,
        who: Principal<'_>,
        tickets: &CephXTicketManager,
        other_keys: u32,
    ) -> Result<Vec<u8>, AuthError> {
        let client_challenge = u64::from_le_bytes(crypto::random()?);
        let key = calc_client_server_challenge(who.key, self.server_challenge, client_challenge)?;
        let old_ticket = tickets.old_ticket().cloned();
        self.outstanding = Some(Outstanding::Auth { other_keys, old_ticket: old_ticket.is_some() });
        let mut w = request(CEPHX_GET_AUTH_SESSION_KEY);
        w.put(&CephXAuthenticate {
            client_challenge,
            key,
            old_ticket: old_ticket.unwrap_or_default(),
            other_keys,
            old_ticket_may_be_omitted: false,
        });
        Ok(w.into_vec())
    }

    fn build_ticket_request(
        &mut self,
        who: Principal<'_>,
        tickets: &CephXTicketManager,
        keys: u32,
        now: Instant,
    ) -> Result<Vec<u8>, AuthError> {
        let authorizer = tickets.build_authorizer(who.global_id, EntityType::AUTH, now)?;
        self.outstanding = Some(Outstanding::Principal { keys });
        let mut w = request(CEPHX_GET_PRINCIPAL_SESSION_KEY);
        w.bytes(authorizer.bytes()).put(&CephXServiceTicketRequest { keys });
        Ok(w.into_vec())
    }

    /// The request of a daemon for the secrets of its service.
    pub(crate) fn build_rotating_request(&mut self) -> Vec<u8> {
        self.outstanding = Some(Outstanding::Rotating);
        request(CEPHX_GET_ROTATING_KEY).into_vec()
    }

    /// Takes note that the request that waits has been refused, and says what that means.
    pub(crate) fn handle_refusal(&mut self, result: i32) -> AuthError {
        let errno = result.saturating_neg();
        match self.outstanding.take() {
            None => AuthError::UnexpectedReply,
            Some(Outstanding::Auth { old_ticket, .. }) if is_denial(result) => {
                if old_ticket {
                    AuthError::OldTicketRefused { errno }
                } else {
                    AuthError::Denied { errno }
                }
            }
            Some(_) => AuthError::Refused { errno },
        }
    }

    /// Reads the reply to the request that waits. On an error `tickets` may have got new tickets,
    /// but never a wrong one.
    pub(crate) fn handle_response(
        &mut self,
        who: Principal<'_>,
        tickets: &mut CephXTicketManager,
        payload: &[u8],
        now: Instant,
    ) -> Result<Response, AuthError> {
        let mut r = Reader::new(payload);
        let header: CephXResponseHeader = r.get()?;
        if self.outstanding.map(Outstanding::request_type) != Some(header.request_type) {
            return Err(AuthError::UnexpectedReply);
        }
        if header.status < 0 {
            return Err(self.handle_refusal(header.status));
        }
        match self.outstanding.take() {
            None => Err(AuthError::UnexpectedReply),
            Some(Outstanding::Auth { other_keys, .. }) => {
                self.handle_auth_session_key(who, tickets, other_keys, &mut r, now)?;
                if tickets.validate_tickets(AUTH, now) != 0 {
                    // Asked once more it would give the same.
                    return Err(AuthError::MissingTickets { services: AUTH });
                }
                let request = self.build_request(who, tickets, now)?;
                Ok(request.map_or(Response::Done, Response::Again))
            }
            Some(Outstanding::Principal { keys }) => {
                let key = tickets.auth_session_key().ok_or(AuthError::NotAuthenticated)?.clone();
                tickets.verify_service_ticket_reply(&key, keys, &mut r, now)?;
                match tickets.validate_tickets(keys, now) {
                    need if need_tickets(need) => Err(AuthError::MissingTickets { services: need }),
                    _ => Ok(Response::Done),
                }
            }
            Some(Outstanding::Rotating) => RotatingSecrets::decode_decrypt(&mut r, who.key)
                .map(Response::Rotating)
                .map_err(AuthError::BadRotatingSecrets),
        }
    }

    /// The AUTH ticket under our own key, and from nautilus on the connection secret and the other
    /// tickets under the session key of that ticket.
    fn handle_auth_session_key(
        &mut self,
        who: Principal<'_>,
        tickets: &mut CephXTicketManager,
        other_keys: u32,
        r: &mut Reader<'_>,
        now: Instant,
    ) -> Result<(), AuthError> {
        tickets.verify_service_ticket_reply(who.key, AUTH, r, now)?;
        if r.remaining() == 0 {
            return Ok(());
        }
        let (secret, extra) = (r.blob()?, r.blob()?);
        let missing = AuthError::MissingTickets { services: AUTH };
        let session_key = tickets.auth_session_key().ok_or(missing)?.clone();
        if !secret.is_empty() {
            self.connection_secret = read_connection_secret(&session_key, secret)
                .map_err(AuthError::BadConnectionSecret)?;
        }
        if !extra.is_empty() {
            let (asked, mut r) = (other_keys & !AUTH, Reader::new(extra));
            tickets.verify_service_ticket_reply(&session_key, asked, &mut r, now)?;
        }
        Ok(())
    }
}

/// Whether a result says that we are not who we claim to be: EACCES, before octopus EPERM.
pub(crate) fn is_denial(result: i32) -> bool {
    const EPERM: i32 = 1;
    const EACCES: i32 = 13;
    result == -EACCES || result == -EPERM
}

/// The beginning of a request.
fn request(request_type: u16) -> Writer {
    let mut w = Writer::new(Features::ALL);
    w.put(&CephXRequestHeader { request_type });
    w
}

/// An envelope with a `u32` length and the bytes; empty if the connection needs none.
fn read_connection_secret(
    session_key: &CryptoKey,
    sealed: &[u8],
) -> Result<Option<ConnectionSecret>, CryptoError> {
    let plain =
        session_key.decode_decrypt(&mut Reader::new(sealed), Usage::AUTH_CONNECTION_SECRET)?;
    Ok(ConnectionSecret::new(Reader::new(&plain).what("connection secret").blob()?))
}
