//! The connecting side of a msgr2 connection: frames of authentication in and out.

use std::time::Instant;

use super::{
    AuthBadMethod, AuthClientHandler, AuthError, AuthOffer, Authorizer, CEPH_AUTH_CEPHX, ConMode,
    ConnectionSecret, Progress,
};
use crate::crypto::CryptoKey;
use crate::types::{EntityType, GlobalId};

/// The authentication of one msgr2 connection that is being opened: a login at a monitor, or an
/// authorizer for a service. The counterpart of [`AuthAcceptor`](super::AuthAcceptor).
///
/// ```text
///  get_auth_request() ─► AUTH_REQUEST ──► REPLY_MORE ─► handle_auth_reply_more() ─► REQUEST_MORE
///                          ▲      │                                                     │
///  handle_auth_bad_method()┘◄─────┴──────────► AUTH_DONE ─► handle_auth_done() ◄────────┘
/// ```
///
/// After an error it is done with, and so is the connection.
#[derive(Debug)]
pub struct AuthConnector {
    inner: Inner,
    service: EntityType,
    /// All that are allowed, the best first.
    modes: Vec<ConMode>,
    /// Those not offered yet, the best last.
    methods: Vec<u32>,
    step: Step,
}

#[derive(Debug)]
enum Inner {
    Login(Box<AuthClientHandler>),
    Authorizer(Box<Authorizer>),
    Ended,
}

/// What has been sent.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Request(AuthOffer),
    RequestMore(AuthOffer),
    Ended,
}

/// What a peer that believes us has given.
#[derive(Debug)]
pub struct AuthDone {
    /// How frames go on after AUTH_SIGNATURE.
    pub mode: ConMode,
    /// Signs the handshake; `None` if nothing is signed.
    pub session_key: Option<CryptoKey>,
    /// What the keys of secure mode are cut from; always there in secure mode, with 40 bytes or
    /// more.
    pub connection_secret: Option<ConnectionSecret>,
    /// The login at a monitor, for [`AuthProvider::logged_in`](super::AuthProvider::logged_in) once
    /// AUTH_SIGNATURE has been checked.
    pub login: Option<Box<AuthClientHandler>>,
}

impl AuthConnector {
    /// Logs in at a monitor. `modes` are allowed, the best first.
    pub(super) fn login(handler: AuthClientHandler, modes: &[ConMode]) -> Self {
        // In ascending order, so that a proof is offered before none.
        let methods = handler.methods().to_vec();
        Self {
            inner: Inner::Login(Box::new(handler)),
            service: EntityType::MON,
            modes: modes.to_vec(),
            methods,
            step: Step::Nothing,
        }
    }

    /// Shows an authorizer to a peer of type `service`. `modes` are allowed, the best first.
    pub fn with_authorizer(authorizer: Authorizer, service: EntityType, modes: &[ConMode]) -> Self {
        let methods = vec![authorizer.protocol()];
        Self {
            inner: Inner::Authorizer(Box::new(authorizer)),
            service,
            modes: modes.to_vec(),
            methods,
            step: Step::Nothing,
        }
    }

    /// The first AUTH_REQUEST. [`AuthError::NoMode`] where the modes that are allowed need a key
    /// and there is none.
    pub fn get_auth_request(&mut self) -> Result<AuthOffer, AuthError> {
        match std::mem::replace(&mut self.step, Step::Ended) {
            Step::Nothing => self.offer(|_| true, AuthError::NoProtocol),
            _ => Err(AuthError::UnexpectedReply),
        }
    }

    /// Takes an AUTH_BAD_METHOD: the next AUTH_REQUEST, for the same socket, or why there is none.
    pub fn handle_auth_bad_method(
        &mut self,
        bad: &AuthBadMethod,
        now: Instant,
    ) -> Result<AuthOffer, AuthError> {
        const EOPNOTSUPP: i32 = 95;
        let (offered, is_first) = match std::mem::replace(&mut self.step, Step::Ended) {
            Step::Request(offered) => (offered, true),
            Step::RequestMore(offered) => (offered, false),
            _ => return Err(AuthError::UnexpectedReply),
        };
        if bad.method != offered.method {
            return Err(AuthError::BadProtocol(bad.method));
        }
        if is_first && bad.result == -EOPNOTSUPP {
            let none_in_common = if bad.allowed_methods.contains(&offered.method) {
                AuthError::NoCommonMode {
                    offered: ConMode::known(&offered.modes),
                    allowed: ConMode::known(&bad.allowed_modes),
                }
            } else {
                AuthError::NoCommonProtocol
            };
            return self.offer(|m| bad.allowed_methods.contains(&m), none_in_common);
        }
        let errno = bad.result.saturating_neg();
        match &mut self.inner {
            // What is not negative is no good news either.
            Inner::Login(handler) if errno > 0 => {
                match handler.handle_reply(offered.method, bad.result, GlobalId(0), &[], now) {
                    Err(e) => Err(e),
                    Ok(_) => Err(AuthError::Refused { errno }),
                }
            }
            Inner::Login(_) | Inner::Ended => Err(AuthError::Refused { errno }),
            Inner::Authorizer(_) => {
                Err(AuthError::AuthorizerRefused { service: self.service, errno })
            }
        }
    }

    /// Takes an AUTH_REPLY_MORE: the payload of AUTH_REQUEST_MORE. There is one challenge.
    pub fn handle_auth_reply_more(
        &mut self,
        payload: &[u8],
        now: Instant,
    ) -> Result<Vec<u8>, AuthError> {
        let Step::Request(offered) = std::mem::replace(&mut self.step, Step::Ended) else {
            return Err(AuthError::UnexpectedReply);
        };
        if offered.method != CEPH_AUTH_CEPHX {
            return Err(AuthError::UnexpectedChallenge);
        }
        let more = match &mut self.inner {
            Inner::Authorizer(authorizer) => {
                authorizer.add_challenge(payload)?;
                authorizer.bytes().to_vec()
            }
            Inner::Login(handler) => {
                match handler.handle_reply(offered.method, 0, GlobalId(0), payload, now)? {
                    Progress::Send(request) => request.payload,
                    _ => return Err(AuthError::UnexpectedReply),
                }
            }
            Inner::Ended => return Err(AuthError::UnexpectedReply),
        };
        self.step = Step::RequestMore(offered);
        Ok(more)
    }

    /// Takes an AUTH_DONE. A monitor gives the global_id; a service repeats it, which proves
    /// nothing.
    pub fn handle_auth_done(
        &mut self,
        global_id: GlobalId,
        con_mode: u32,
        payload: &[u8],
        now: Instant,
    ) -> Result<AuthDone, AuthError> {
        let (offered, is_answered) = match std::mem::replace(&mut self.step, Step::Ended) {
            Step::Request(offered) => (offered, false),
            Step::RequestMore(offered) => (offered, true),
            _ => return Err(AuthError::UnexpectedReply),
        };
        let mode = ConMode::from_number(con_mode)
            .filter(|_| offered.modes.contains(&con_mode))
            .ok_or(AuthError::BadMode(con_mode))?;
        let is_cephx = offered.method == CEPH_AUTH_CEPHX;
        let (session_key, secret) = match &mut self.inner {
            Inner::Ended => return Err(AuthError::UnexpectedReply),
            // Without our proof no monitor can know us.
            Inner::Login(_) if is_cephx != is_answered => return Err(AuthError::UnexpectedReply),
            Inner::Login(handler) => {
                handler.handle_auth_done(offered.method, global_id, payload, now)?
            }
            Inner::Authorizer(authorizer) => {
                authorizer.verify_reply(payload)?;
                let secret = authorizer.connection_secret().cloned();
                (authorizer.session_key().cloned(), secret)
            }
        };
        let secret_len = secret.as_ref().map_or(0, |secret| secret.as_bytes().len());
        if secret_len < mode.least_secret_len() {
            return Err(AuthError::ConnectionSecretTooShort(secret_len));
        }
        let login = match std::mem::replace(&mut self.inner, Inner::Ended) {
            Inner::Login(handler) => Some(handler),
            _ => None,
        };
        let connection_secret = secret.filter(|_| mode == ConMode::Secure);
        Ok(AuthDone { mode, session_key, connection_secret, login })
    }

    /// Offers the best method that is left and that the peer takes, in the modes that it can have.
    fn offer(
        &mut self,
        takes: impl Fn(u32) -> bool,
        none: AuthError,
    ) -> Result<AuthOffer, AuthError> {
        let mut why = none;
        while let Some(method) = self.methods.pop() {
            if !takes(method) {
                continue;
            }
            let modes = ConMode::supported(&self.modes, method);
            if modes.is_empty() {
                why = AuthError::NoMode;
                continue;
            }
            let payload = match &self.inner {
                Inner::Login(handler) => handler.auth_request_payload(),
                Inner::Authorizer(authorizer) => authorizer.bytes().to_vec(),
                Inner::Ended => return Err(AuthError::UnexpectedReply),
            };
            let offer = AuthOffer { method, modes: ConMode::numbers(&modes), payload };
            self.step = Step::Request(offer.clone());
            return Ok(offer);
        }
        Err(why)
    }
}
