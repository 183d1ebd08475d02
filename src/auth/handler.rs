use std::sync::Arc;
use std::time::Instant;

use super::cephx::{
    CephXServerChallenge, CephXTicketManager, CephxClientHandler, Response, RotatingSecrets,
    is_denial,
};
use super::client::{Granted, Session};
use super::{
    AUTH_MODE_MON, AuthClient, AuthError, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, CEPH_AUTH_UNKNOWN,
    ConnectionSecret,
};
use crate::crypto::CryptoKey;
use crate::denc::{Reader, Writer};
use crate::types::{Features, GlobalId};

/// What an `MAuth` carries. It may hold a proof, but no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRequest {
    /// `CEPH_AUTH_*`; [`CEPH_AUTH_UNKNOWN`] in the first one.
    pub protocol: u32,
    /// The payload.
    pub payload: Vec<u8>,
}

/// What to do after an `MAuthReply`.
#[derive(Debug)]
pub enum Progress {
    /// Send this and wait for the next reply.
    Send(AuthRequest),
    /// Logged in, or all due tickets renewed.
    Done,
    /// The answer to [`AuthClientHandler::request_rotating_keys`].
    RotatingSecrets(RotatingSecrets),
}

/// The authentication of one monitor connection (`AuthClientHandler`): the login, then renewals.
///
/// ```text
///  Hello ──► Cephx ──► Authenticated ──install()──► Open ◄─► renew()
///    └────── none ───────────┘            any error before Open ──► Failed
/// ```
///
/// Until [`AuthClientHandler::install`] a login touches nothing that other connections use, so of
/// several at once the losers can just be dropped.
#[derive(Debug)]
pub struct AuthClientHandler {
    client: Arc<AuthClient>,
    /// What the hello claimed, then what the monitor gave.
    global_id: GlobalId,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The hello is sent; with the tickets of the session that it claims.
    Hello(Option<CephXTicketManager>),
    /// The challenge has come, the proof is sent.
    Cephx(CephxClientHandler, CephXTicketManager),
    Authenticated(Option<CephxClientHandler>, Granted),
    Open(Option<CephxClientHandler>),
    Failed(AuthError),
}

/// An `MAuthReply` and when it came.
struct Reply<'a> {
    protocol: u32,
    result: i32,
    global_id: GlobalId,
    payload: &'a [u8],
    now: Instant,
}

impl AuthClientHandler {
    /// The machine alone, for a hello in the form of either messenger.
    pub(super) fn new(client: Arc<AuthClient>, old: Option<Session>) -> Self {
        // A global_id may be claimed only with a ticket; a ticket shown only with a global_id.
        let (global_id, tickets) = match old {
            Some(Session { global_id, granted: Granted::Cephx(tickets) })
                if global_id != GlobalId(0) && tickets.old_ticket().is_some() =>
            {
                (global_id, Some(tickets))
            }
            _ => (GlobalId(0), None),
        };
        Self { client, global_id, state: State::Hello(tickets) }
    }

    /// The hello of messenger v1.
    pub(super) fn hello(&self) -> AuthRequest {
        let mut w = Writer::new(Features::ALL);
        w.u8(1).u32(self.methods().len() as u32);
        for method in self.methods() {
            w.u32(*method);
        }
        w.put(self.client.name()).put(&self.global_id);
        AuthRequest { protocol: CEPH_AUTH_UNKNOWN, payload: w.into_vec() }
    }

    /// That of msgr2: `u8` auth_mode, entity name, `u64` global_id.
    pub(super) fn auth_request_payload(&self) -> Vec<u8> {
        let mut w = Writer::new(Features::ALL);
        w.u8(AUTH_MODE_MON).put(self.client.name()).put(&self.global_id);
        w.into_vec()
    }

    /// `CEPH_AUTH_*` that may be used, in ascending order.
    pub(crate) fn methods(&self) -> &[u32] {
        self.client.methods()
    }

    /// The number that the monitor gave, 0 before its first answer.
    pub fn global_id(&self) -> GlobalId {
        self.global_id
    }

    /// Whether the login has been completed.
    pub fn is_authenticated(&self) -> bool {
        matches!(self.state, State::Authenticated(..) | State::Open(_))
    }

    /// Takes an `MAuthReply`: its protocol, result (0 or negative errno), global_id and payload.
    ///
    /// A login that has failed stays failed: the connection is of no further use, since a monitor
    /// takes only one login on it. After [`AuthError::OldTicketRefused`] a login on a new one
    /// starts afresh. A renewal that has failed changes nothing but that it can be tried again.
    pub fn handle_reply(
        &mut self,
        protocol: u32,
        result: i32,
        global_id: GlobalId,
        payload: &[u8],
        now: Instant,
    ) -> Result<Progress, AuthError> {
        let reply = Reply { protocol, result, global_id, payload, now };
        let state = std::mem::replace(&mut self.state, State::Failed(AuthError::NotAuthenticated));
        let outcome = match state {
            State::Hello(tickets) => self.handle_hello_reply(tickets, &reply),
            State::Cephx(cephx, tickets) => self.handle_login_reply(cephx, tickets, &reply),
            State::Authenticated(cephx, granted) => {
                self.state = State::Authenticated(cephx, granted);
                return Err(AuthError::UnexpectedReply);
            }
            State::Open(mut cephx) => {
                let outcome = self.handle_open_reply(cephx.as_mut(), &reply);
                if let (Err(_), Some(cephx)) = (&outcome, &mut cephx) {
                    cephx.abandon();
                }
                self.state = State::Open(cephx);
                return outcome;
            }
            State::Failed(e) => Err(e),
        };
        if let Err(e) = &outcome {
            if matches!(e, AuthError::OldTicketRefused { .. }) {
                self.client.forget(self.global_id);
            }
            self.state = State::Failed(e.clone());
        }
        outcome
    }

    /// Takes the AUTH_DONE of a msgr2 connection: what signs its handshake, and what its keys are cut
    /// from. There are no more rounds: tickets that it did not bring are for [`Self::renew`].
    pub(super) fn handle_auth_done(
        &mut self,
        method: u32,
        global_id: GlobalId,
        payload: &[u8],
        now: Instant,
    ) -> Result<(Option<CryptoKey>, Option<ConnectionSecret>), AuthError> {
        let progress = self.handle_reply(method, 0, global_id, payload, now)?;
        if let Progress::Send(_) = progress {
            let failed = State::Failed(AuthError::NotAuthenticated);
            let State::Cephx(mut cephx, tickets) = std::mem::replace(&mut self.state, failed)
            else {
                return Err(AuthError::UnexpectedReply);
            };
            cephx.abandon();
            self.authenticated(Some(cephx), Granted::Cephx(tickets))?;
        }
        let secret = match &mut self.state {
            State::Authenticated(Some(cephx), _) => cephx.take_connection_secret(),
            _ => None,
        };
        Ok((self.session_key().cloned(), secret))
    }

    /// Makes this login the one that all connections use. Once, after [`Progress::Done`].
    pub fn install(&mut self) -> Result<(), AuthError> {
        match std::mem::replace(&mut self.state, State::Failed(AuthError::NotAuthenticated)) {
            State::Authenticated(cephx, granted) => {
                *self.client.session() = Some(Session { global_id: self.global_id, granted });
                self.state = State::Open(cephx);
                Ok(())
            }
            other => {
                self.state = other;
                Err(AuthError::NotAuthenticated)
            }
        }
    }

    /// The request that renews what is due: service tickets with the AUTH ticket, that one with a
    /// new proof. `None` if nothing is, or if a request of this connection is not answered yet.
    pub fn renew(&mut self, now: Instant) -> Result<Option<AuthRequest>, AuthError> {
        let State::Open(cephx) = &mut self.state else {
            return Err(AuthError::NotAuthenticated);
        };
        let Some(cephx) = cephx.as_mut().filter(|cephx| !cephx.is_busy()) else {
            return Ok(None);
        };
        let session = self.client.session();
        let Some(Session { global_id, granted: Granted::Cephx(tickets) }) = &*session else {
            return Ok(None);
        };
        let who = self.client.principal(*global_id)?;
        Ok(cephx.build_request(who, tickets, now)?.map(cephx_request))
    }

    /// As a daemon, the request for the secrets of our service. `None` with `none`, or if a
    /// request of this connection is not answered yet.
    pub fn request_rotating_keys(&mut self) -> Result<Option<AuthRequest>, AuthError> {
        let State::Open(cephx) = &mut self.state else {
            return Err(AuthError::NotAuthenticated);
        };
        let idle = cephx.as_mut().filter(|cephx| !cephx.is_busy());
        Ok(idle.map(|cephx| cephx_request(cephx.build_rotating_request())))
    }

    /// The session key of a login that has not been installed yet: it signs the handshake of a
    /// msgr2 connection to a monitor.
    pub fn session_key(&self) -> Option<&CryptoKey> {
        match &self.state {
            State::Authenticated(_, Granted::Cephx(tickets)) => tickets.auth_session_key(),
            _ => None,
        }
    }

    /// The secret of a msgr2 connection to a monitor, if the reply brought one.
    pub fn connection_secret(&self) -> Option<&ConnectionSecret> {
        match &self.state {
            State::Authenticated(cephx, _) | State::Open(cephx) => {
                cephx.as_ref()?.connection_secret()
            }
            _ => None,
        }
    }

    fn handle_hello_reply(
        &mut self,
        tickets: Option<CephXTicketManager>,
        reply: &Reply<'_>,
    ) -> Result<Progress, AuthError> {
        const EOPNOTSUPP: i32 = 95;
        let errno = reply.result.saturating_neg();
        match reply.result {
            0.. => {}
            result if result == -EOPNOTSUPP => return Err(AuthError::NoCommonProtocol),
            result if is_denial(result) && tickets.is_some() => {
                return Err(AuthError::OldTicketRefused { errno });
            }
            result if is_denial(result) => return Err(AuthError::Denied { errno }),
            _ => return Err(AuthError::Refused { errno }),
        }
        if !self.client.methods().contains(&reply.protocol) {
            return Err(AuthError::BadProtocol(reply.protocol));
        }
        self.take_global_id(reply.global_id)?;
        match reply.protocol {
            CEPH_AUTH_NONE => self.authenticated(None, Granted::None),
            CEPH_AUTH_CEPHX => {
                let challenge: CephXServerChallenge = Reader::new(reply.payload).get()?;
                let mut cephx = CephxClientHandler::new(challenge.server_challenge);
                let tickets = tickets.unwrap_or_default();
                let who = self.client.principal(self.global_id)?;
                let request = cephx.build_login(who, &tickets, reply.now)?;
                self.state = State::Cephx(cephx, tickets);
                Ok(Progress::Send(cephx_request(request)))
            }
            other => Err(AuthError::BadProtocol(other)),
        }
    }

    fn handle_login_reply(
        &mut self,
        mut cephx: CephxClientHandler,
        mut tickets: CephXTicketManager,
        reply: &Reply<'_>,
    ) -> Result<Progress, AuthError> {
        if reply.result < 0 {
            return Err(cephx.handle_refusal(reply.result));
        }
        if reply.protocol != CEPH_AUTH_CEPHX {
            return Err(AuthError::BadProtocol(reply.protocol));
        }
        self.take_global_id(reply.global_id)?;
        let who = self.client.principal(self.global_id)?;
        match cephx.handle_response(who, &mut tickets, reply.payload, reply.now)? {
            Response::Again(request) => {
                self.state = State::Cephx(cephx, tickets);
                Ok(Progress::Send(cephx_request(request)))
            }
            Response::Done => self.authenticated(Some(cephx), Granted::Cephx(tickets)),
            Response::Rotating(_) => Err(AuthError::UnexpectedReply),
        }
    }

    fn handle_open_reply(
        &self,
        cephx: Option<&mut CephxClientHandler>,
        reply: &Reply<'_>,
    ) -> Result<Progress, AuthError> {
        let cephx = cephx.ok_or(AuthError::UnexpectedReply)?;
        if reply.result < 0 {
            return Err(cephx.handle_refusal(reply.result));
        }
        if reply.protocol != CEPH_AUTH_CEPHX {
            return Err(AuthError::BadProtocol(reply.protocol));
        }
        let mut session = self.client.session();
        let Some(Session { global_id, granted: Granted::Cephx(tickets) }) = &mut *session else {
            return Err(AuthError::NotAuthenticated);
        };
        let who = self.client.principal(*global_id)?;
        Ok(match cephx.handle_response(who, tickets, reply.payload, reply.now)? {
            Response::Again(request) => Progress::Send(cephx_request(request)),
            Response::Done => Progress::Done,
            Response::Rotating(secrets) => Progress::RotatingSecrets(secrets),
        })
    }

    fn take_global_id(&mut self, to: GlobalId) -> Result<(), AuthError> {
        let from = self.global_id;
        if from != GlobalId(0) && to != GlobalId(0) && to != from {
            return Err(AuthError::GlobalIdChanged { from, to });
        }
        if to != GlobalId(0) {
            self.global_id = to;
        }
        Ok(())
    }

    fn authenticated(
        &mut self,
        cephx: Option<CephxClientHandler>,
        granted: Granted,
    ) -> Result<Progress, AuthError> {
        if self.global_id == GlobalId(0) {
            return Err(AuthError::NoGlobalId);
        }
        self.state = State::Authenticated(cephx, granted);
        Ok(Progress::Done)
    }
}

fn cephx_request(payload: Vec<u8>) -> AuthRequest {
    AuthRequest { protocol: CEPH_AUTH_CEPHX, payload }
}
