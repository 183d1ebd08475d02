//! The accepting side of a msgr2 connection: frames of authentication in and out.

use super::{
    AUTH_MODE_AUTHORIZER, AUTH_MODE_AUTHORIZER_MAX, AUTH_MODE_MON, AUTH_MODE_MON_MAX,
    AcceptedAuthorizer, AuthBadMethod, AuthOffer, AuthPeer, AuthRefusal, AuthServer,
    AuthServiceHandler, AuthorizerError, AuthorizerState, AuthorizerVerdict, ConMode,
    ConnectionSecret,
};
use crate::crypto::CryptoKey;
use crate::limits::MAX_AUTH_REQUESTS;
use crate::types::{EntityType, Features, GlobalId, UTime};

/// The authentication of one msgr2 connection that was accepted, be it a login at a monitor or an
/// authorizer for a service: the first byte of the peer's payload says which. The counterpart of
/// [`AuthConnector`](super::AuthConnector).
///
/// What a request offers that is not taken is answered, and another request may follow; what comes
/// after a challenge decides. An `Err` is not answered at all: the socket is to be closed.
#[derive(Debug)]
pub struct AuthAcceptor {
    peer_type: EntityType,
    modes: Vec<ConMode>,
    requests: u32,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Request,
    Challenged { method: u32, mode: ConMode, with: Challenged },
    Ended,
}

#[derive(Debug)]
enum Challenged {
    Authorizer(AuthorizerState),
    Login(Box<AuthServiceHandler>),
}

/// What to send.
#[derive(Debug)]
pub enum AuthAnswer {
    /// AUTH_BAD_METHOD, and why, which the peer does not get to know.
    BadMethod(AuthBadMethod, AuthRefusal),
    /// AUTH_REPLY_MORE.
    ReplyMore(Vec<u8>),
    /// AUTH_DONE; the last frame in clear.
    Done(Box<AuthGranted>),
}

/// What a peer has brought that is believed.
#[derive(Debug)]
pub struct AuthGranted {
    /// The number of the peer's session at the monitors.
    pub global_id: GlobalId,
    /// How frames go on after AUTH_SIGNATURE.
    pub mode: ConMode,
    /// The payload of AUTH_DONE.
    pub payload: Vec<u8>,
    /// Signs the handshake; `None` if nothing is signed.
    pub session_key: Option<CryptoKey>,
    /// What the keys of secure mode are cut from; always there in secure mode.
    pub connection_secret: Option<ConnectionSecret>,
    /// Who the peer is.
    pub peer: AuthPeer,
    /// At a monitor, the machine that goes on with the messages of the open connection.
    pub login: Option<Box<AuthServiceHandler>>,
}

impl AuthAcceptor {
    /// For a socket whose peer claims in its HELLO to be of that type. `modes` are allowed; which
    /// one it becomes is for the peer's preference.
    pub fn new(peer_type: EntityType, modes: &[ConMode]) -> Self {
        Self { peer_type, modes: modes.to_vec(), requests: 0, step: Step::Request }
    }

    /// Takes an AUTH_REQUEST.
    pub fn handle_auth_request(
        &mut self,
        server: &dyn AuthServer,
        offer: &AuthOffer,
        now: UTime,
    ) -> Result<AuthAnswer, AuthRefusal> {
        if !matches!(self.step, Step::Request) {
            self.step = Step::Ended;
            return Err(AuthRefusal::UnexpectedRequest);
        }
        self.requests += 1;
        if self.requests > MAX_AUTH_REQUESTS {
            self.step = Step::Ended;
            return Err(AuthRefusal::TooManyRequests(MAX_AUTH_REQUESTS));
        }
        let answer = self.try_request(server, offer, now);
        self.answer(server, offer.method, answer)
    }

    /// Takes an AUTH_REQUEST_MORE, the answer to a challenge: there is one.
    pub fn handle_auth_request_more(
        &mut self,
        server: &dyn AuthServer,
        payload: &[u8],
        now: UTime,
    ) -> Result<AuthAnswer, AuthRefusal> {
        let step = std::mem::replace(&mut self.step, Step::Ended);
        let Step::Challenged { method, mode, with } = step else {
            return Err(AuthRefusal::UnexpectedRequest);
        };
        let answer = match with {
            Challenged::Login(handler) => self.finish_login(handler, payload, mode, now),
            Challenged::Authorizer(mut state) => {
                match verify(server, &mut state, method, payload, now) {
                    AuthorizerVerdict::Challenge(_) => Err(AuthorizerError::Unanswered.into()),
                    verdict => self.settle(verdict, method, mode),
                }
            }
        };
        self.answer(server, method, answer)
    }

    fn try_request(
        &mut self,
        server: &dyn AuthServer,
        offer: &AuthOffer,
        now: UTime,
    ) -> Result<AuthAnswer, AuthRefusal> {
        let AuthOffer { method, modes, payload } = offer;
        let method = *method;
        if !server.supported_methods(self.peer_type).contains(&method) {
            return Err(AuthRefusal::NoCommonProtocol);
        }
        let supported = ConMode::supported(&self.modes, method);
        let mode = ConMode::pick(modes, &supported).ok_or(AuthRefusal::NoCommonMode)?;
        match payload.first().copied().unwrap_or_default() {
            AUTH_MODE_AUTHORIZER..=AUTH_MODE_AUTHORIZER_MAX => {
                let secret_len = mode.connection_secret_len();
                let mut state = AuthorizerState::with_connection_secret(secret_len);
                match verify(server, &mut state, method, payload, now) {
                    AuthorizerVerdict::Challenge(challenge) => {
                        let with = Challenged::Authorizer(state);
                        self.step = Step::Challenged { method, mode, with };
                        Ok(AuthAnswer::ReplyMore(challenge))
                    }
                    verdict => self.settle(verdict, method, mode),
                }
            }
            auth_mode @ AUTH_MODE_MON..=AUTH_MODE_MON_MAX => {
                // One that Ceph has no meaning for yet is refused, as by its monitors.
                let login = server.start_login().filter(|_| auth_mode == AUTH_MODE_MON);
                let mut handler = Box::new(login.ok_or(AuthRefusal::BadAuthMode(auth_mode))?);
                let payload = handler.handle_auth_request(method, payload, now)?;
                if handler.peer().is_some() {
                    return self.granted_login(handler, payload, mode, None, None);
                }
                let with = Challenged::Login(handler);
                self.step = Step::Challenged { method, mode, with };
                Ok(AuthAnswer::ReplyMore(payload))
            }
            other => Err(AuthRefusal::BadAuthMode(other)),
        }
    }

    /// What becomes of an authorizer that is not challenged.
    fn settle(
        &self,
        verdict: AuthorizerVerdict,
        method: u32,
        mode: ConMode,
    ) -> Result<AuthAnswer, AuthRefusal> {
        let accepted = match verdict {
            AuthorizerVerdict::Accepted(accepted) => *accepted,
            AuthorizerVerdict::Refused(why) => return Err(why.into()),
            AuthorizerVerdict::NotAsked | AuthorizerVerdict::Challenge(_) => {
                return Err(AuthorizerError::BadProtocol(method).into());
            }
        };
        let AcceptedAuthorizer { reply, session_key, connection_secret, peer } = accepted;
        // The HELLO has chosen the policy of the session.
        if !peer.may_be(self.peer_type) {
            return Err(AuthorizerError::WrongName.into());
        }
        let global_id = peer.global_id;
        let payload = reply;
        let login = None;
        grant(AuthGranted { global_id, mode, payload, session_key, connection_secret, peer, login })
    }

    fn finish_login(
        &self,
        mut handler: Box<AuthServiceHandler>,
        payload: &[u8],
        mode: ConMode,
        now: UTime,
    ) -> Result<AuthAnswer, AuthRefusal> {
        let secret_len = mode.connection_secret_len();
        let (payload, keys) = handler.handle_auth_request_more(payload, secret_len, now)?;
        let key = Some(keys.session_key);
        self.granted_login(handler, payload, mode, key, keys.connection_secret)
    }

    fn granted_login(
        &self,
        login: Box<AuthServiceHandler>,
        payload: Vec<u8>,
        mode: ConMode,
        session_key: Option<CryptoKey>,
        connection_secret: Option<ConnectionSecret>,
    ) -> Result<AuthAnswer, AuthRefusal> {
        let peer = login.peer().ok_or(AuthRefusal::NotAuthenticated)?.clone();
        // Nor is the session of a monitor to be had by calling oneself one.
        if !peer.may_be(self.peer_type) {
            return Err(AuthorizerError::WrongName.into());
        }
        let global_id = peer.global_id;
        let login = Some(login);
        grant(AuthGranted { global_id, mode, payload, session_key, connection_secret, peer, login })
    }

    fn answer(
        &mut self,
        server: &dyn AuthServer,
        method: u32,
        answer: Result<AuthAnswer, AuthRefusal>,
    ) -> Result<AuthAnswer, AuthRefusal> {
        match answer {
            Ok(AuthAnswer::Done(granted)) => {
                self.step = Step::Ended;
                Ok(AuthAnswer::Done(granted))
            }
            // It may come back later, on another connection (EBUSY).
            Err(AuthRefusal::NoGlobalId) => {
                self.step = Step::Ended;
                Err(AuthRefusal::NoGlobalId)
            }
            Err(why) => {
                let allowed_methods = server.supported_methods(self.peer_type);
                // With a method that is not taken itself, those are listed that others can have.
                let modes = match allowed_methods.contains(&method) {
                    true => ConMode::supported(&self.modes, method),
                    false => self.modes.clone(),
                };
                let allowed_modes = ConMode::numbers(&modes);
                let result = -why.errno_of_bad_method();
                let bad = AuthBadMethod { method, result, allowed_methods, allowed_modes };
                Ok(AuthAnswer::BadMethod(bad, why))
            }
            answer => answer,
        }
    }
}

fn verify(
    server: &dyn AuthServer,
    state: &mut AuthorizerState,
    method: u32,
    authorizer: &[u8],
    now: UTime,
) -> AuthorizerVerdict {
    // The features of msgr2 come later; all that speak it can be challenged.
    server.verify_authorizer(state, method, authorizer, Features::ALL, now)
}

fn grant(granted: AuthGranted) -> Result<AuthAnswer, AuthRefusal> {
    let secret = granted.connection_secret.as_ref();
    if secret.map_or(0, |secret| secret.as_bytes().len()) < granted.mode.least_secret_len() {
        return Err(AuthRefusal::NoConnectionSecret);
    }
    Ok(AuthAnswer::Done(Box::new(granted)))
}
