use std::sync::Arc;

use super::cephx::{AuthCapsInfo, CephxServiceHandler, LoginKeys};
use super::{
    AuthMonitor, AuthPeer, AuthRefusal, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, CEPH_AUTH_UNKNOWN,
    EntityName,
};
use crate::denc::{Decode, DecodeError, Reader};
use crate::limits::MAX_AUTH_REQUEST_LEN;
use crate::types::{GlobalId, UTime};

/// What an `MAuthReply` carries. There may be tickets in it, but no secret in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthReply {
    /// `CEPH_AUTH_*`: what was chosen; [`CEPH_AUTH_UNKNOWN`] before that.
    pub protocol: u32,
    /// The number of the session, 0 before it has one.
    pub global_id: GlobalId,
    /// The payload; or why there is none, of which the client gets to know the errno.
    pub outcome: Result<Vec<u8>, AuthRefusal>,
}

impl AuthReply {
    /// 0, or the negative errno, as the message has it.
    pub fn result(&self) -> i32 {
        self.outcome.as_ref().map_or_else(|refusal| -refusal.errno(), |_| 0)
    }

    /// The payload, empty where the request is refused.
    pub fn payload(&self) -> &[u8] {
        self.outcome.as_deref().unwrap_or_default()
    }
}

/// A monitor's side of the authentication of one connection (`AuthServiceHandler`): one login, then
/// renewals. The counterpart of [`AuthClientHandler`](super::AuthClientHandler).
///
/// ```text
///  Hello ──► Cephx: challenge sent ──proof──► peer() is known ◄─► tickets
///    └─────► None: peer() is known
/// ```
///
/// What is refused changes nothing: as with Ceph's monitors it may be tried again, and what a
/// client has shown before stays shown.
#[derive(Debug)]
pub struct AuthServiceHandler {
    monitor: Arc<AuthMonitor>,
    state: State,
    global_id: GlobalId,
    peer: Option<AuthPeer>,
}

#[derive(Debug)]
enum State {
    Hello,
    None,
    Cephx(CephxServiceHandler),
}

impl AuthServiceHandler {
    pub(super) fn new(monitor: Arc<AuthMonitor>) -> Self {
        Self { monitor, state: State::Hello, global_id: GlobalId(0), peer: None }
    }

    /// Who the client has shown to be, and what it may do at the monitors; `None` before the login.
    pub fn peer(&self) -> Option<&AuthPeer> {
        self.peer.as_ref()
    }

    /// Answers an `MAuth`: its protocol and its payload.
    pub fn handle_request(&mut self, protocol: u32, payload: &[u8], now: UTime) -> AuthReply {
        let outcome = self.try_handle(protocol, payload, now);
        if let Err(refusal) = &outcome {
            // Anyone can say any name: it must not write lines of its own into a log.
            let name = match &self.state {
                State::Cephx(cephx) => cephx.name().to_string(),
                _ => "a client".to_owned(),
            };
            let (name, id) = (name.escape_debug(), self.global_id);
            log::debug!("auth request of {name} (global_id {id}) refused: {refusal}");
        }
        let protocol = match self.state {
            State::Hello => CEPH_AUTH_UNKNOWN,
            State::None => CEPH_AUTH_NONE,
            State::Cephx(_) => CEPH_AUTH_CEPHX,
        };
        AuthReply { protocol, global_id: self.global_id, outcome }
    }

    /// Takes the AUTH_REQUEST of a msgr2 connection: the answer, with which a login of protocol
    /// `none` is complete.
    pub(super) fn handle_auth_request(
        &mut self,
        method: u32,
        payload: &[u8],
        now: UTime,
    ) -> Result<Vec<u8>, AuthRefusal> {
        self.prepare(payload, now)?;
        let mut r = Reader::new(payload);
        let _auth_mode = r.what("auth request").u8()?;
        self.handle_hello(Hello { methods: vec![method], name: r.get()?, global_id: r.get()? })
    }

    /// Takes its AUTH_REQUEST_MORE, which completes the login: the answer, what signs the handshake,
    /// and a connection secret of `secret_len` bytes.
    pub(super) fn handle_auth_request_more(
        &mut self,
        payload: &[u8],
        secret_len: usize,
        now: UTime,
    ) -> Result<(Vec<u8>, LoginKeys), AuthRefusal> {
        self.prepare(payload, now)?;
        let State::Cephx(cephx) = &mut self.state else {
            return Err(AuthRefusal::UnexpectedRequest);
        };
        let answer = cephx.handle_login(&self.monitor, payload, secret_len, now)?;
        self.peer = cephx.authenticated_peer(&self.monitor.keys);
        Ok(answer)
    }

    fn prepare(&self, payload: &[u8], now: UTime) -> Result<(), AuthRefusal> {
        if payload.len() > MAX_AUTH_REQUEST_LEN {
            return Err(AuthRefusal::TooLong(payload.len()));
        }
        self.monitor.keys.check_rotating_secrets(now).map(drop).map_err(AuthRefusal::Crypto)
    }

    fn try_handle(
        &mut self,
        protocol: u32,
        payload: &[u8],
        now: UTime,
    ) -> Result<Vec<u8>, AuthRefusal> {
        self.prepare(payload, now)?;
        match &mut self.state {
            State::Hello if protocol == CEPH_AUTH_UNKNOWN => {
                self.handle_hello(Reader::new(payload).get()?)
            }
            State::Cephx(cephx) if protocol == CEPH_AUTH_CEPHX => {
                let payload = cephx.handle_request(&self.monitor, payload, now)?;
                if let Some(peer) = cephx.authenticated_peer(&self.monitor.keys) {
                    self.peer = Some(peer);
                }
                Ok(payload)
            }
            // A second hello among them.
            _ => Err(AuthRefusal::BadProtocol(protocol)),
        }
    }

    fn handle_hello(&mut self, hello: Hello) -> Result<Vec<u8>, AuthRefusal> {
        let methods = &self.monitor.options.methods;
        let method = methods.iter().find(|method| hello.methods.contains(method));
        let method = *method.ok_or(AuthRefusal::NoCommonProtocol)?;
        let is_new = hello.global_id == GlobalId(0);
        let global_id = if is_new {
            let assigned = self.monitor.global_ids.assign_global_id();
            assigned.filter(|id| *id != GlobalId(0)).ok_or(AuthRefusal::NoGlobalId)?
        } else {
            hello.global_id
        };
        let payload = match method {
            CEPH_AUTH_NONE => {
                let caps = AuthCapsInfo { allow_all: true, caps: Vec::new() };
                self.peer = Some(AuthPeer { name: hello.name, global_id, caps });
                self.state = State::None;
                Vec::new()
            }
            CEPH_AUTH_CEPHX => {
                // Also for an entity that there is not: the proof will be wrong.
                let cephx = CephxServiceHandler::start(hello.name, global_id, is_new)
                    .map_err(AuthRefusal::Crypto)?;
                let challenge = cephx.server_challenge();
                self.state = State::Cephx(cephx);
                challenge
            }
            _ => return Err(AuthRefusal::NoCommonProtocol),
        };
        self.global_id = global_id;
        Ok(payload)
    }
}

/// The first payload: `u8` 1, `u32` count of `u32` protocols, entity name, `u64` global_id.
#[derive(Debug)]
struct Hello {
    methods: Vec<u32>,
    name: EntityName,
    global_id: GlobalId,
}

impl Decode for Hello {
    const MIN: usize = 21;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("auth hello").u8()?;
        Ok(Self { methods: r.list(4, Reader::u32)?, name: r.get()?, global_id: r.get()? })
    }
}
