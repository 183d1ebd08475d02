use super::authorize_handler::{new_challenge, open_ticket, same, verify_authorizer};
use super::key_server::{NewTicket, Principal};
use super::{
    AuthTicket, CEPHX_GET_AUTH_SESSION_KEY, CEPHX_GET_PRINCIPAL_SESSION_KEY,
    CEPHX_GET_ROTATING_KEY, CephXAuthenticate, CephXRequestHeader, CephXResponseHeader,
    CephXServerChallenge, CephXServiceTicketRequest, KeyServer, ServiceTicketReply,
};
use crate::auth::{
    AuthMonitor, AuthPeer, AuthRefusal, AuthorizerError, ConnectionSecret, EntityName,
};
use crate::crypto::{CryptoError, CryptoKey, Usage, calc_client_server_challenge};
use crate::denc::{Encode, Reader, Writer};
use crate::types::{EntityType, Features, GlobalId, UTime};
use zeroize::Zeroizing;

/// The services that tickets are given for on request. AUTH is none of them: its ticket takes a
/// proof.
const SERVICES: [EntityType; 4] =
    [EntityType::MON, EntityType::MDS, EntityType::OSD, EntityType::MGR];

/// `cephx` at a monitor on one connection, from the challenge on (`CephxServiceHandler`).
#[derive(Debug)]
pub(crate) struct CephxServiceHandler {
    name: EntityName,
    global_id: GlobalId,
    /// For the life of the connection: renewals are proved with it too.
    server_challenge: u64,
    global_id_status: GlobalIdStatus,
    authenticated: bool,
}

/// What both sides of a login know when it is complete.
#[derive(Debug)]
pub(crate) struct LoginKeys {
    /// That of the AUTH ticket.
    pub(crate) session_key: CryptoKey,
    /// Of a msgr2 connection in secure mode.
    pub(crate) connection_secret: Option<ConnectionSecret>,
}

/// Whether a proof must come with the ticket of an earlier one (`global_id_status_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GlobalIdStatus {
    /// Given by this connection's hello and not used yet: there is no ticket for it.
    NewPending,
    /// Held from a login before, on this connection or another.
    Held,
}

impl CephxServiceHandler {
    pub(crate) fn start(
        name: EntityName,
        global_id: GlobalId,
        is_new: bool,
    ) -> Result<Self, CryptoError> {
        let global_id_status =
            if is_new { GlobalIdStatus::NewPending } else { GlobalIdStatus::Held };
        let server_challenge = new_challenge()?;
        Ok(Self { name, global_id, server_challenge, global_id_status, authenticated: false })
    }

    /// Who the client says it is.
    pub(crate) fn name(&self) -> &EntityName {
        &self.name
    }

    /// The answer to the hello.
    pub(crate) fn server_challenge(&self) -> Vec<u8> {
        CephXServerChallenge { server_challenge: self.server_challenge }.to_bytes(Features::ALL)
    }

    /// Who the client is, with its caps as they are now, once it has proved it.
    pub(crate) fn authenticated_peer(&self, keys: &KeyServer) -> Option<AuthPeer> {
        self.authenticated.then(|| AuthPeer {
            name: self.name.clone(),
            global_id: self.global_id,
            caps: keys.service_caps(&self.name, EntityType::MON),
        })
    }

    pub(crate) fn handle_request(
        &mut self,
        monitor: &AuthMonitor,
        payload: &[u8],
        now: UTime,
    ) -> Result<Vec<u8>, AuthRefusal> {
        let mut r = Reader::new(payload);
        let CephXRequestHeader { request_type } = r.get()?;
        let mut w = Writer::new(Features::ALL);
        w.put(&CephXResponseHeader { request_type, status: 0 });
        match request_type {
            CEPHX_GET_AUTH_SESSION_KEY => {
                self.authenticate(monitor, r.get()?, None, now, &mut w).map(drop)
            }
            CEPHX_GET_PRINCIPAL_SESSION_KEY => self.tickets(&monitor.keys, &mut r, now, &mut w),
            CEPHX_GET_ROTATING_KEY => self.rotating_keys(&monitor.keys, &mut w),
            other => Err(AuthRefusal::UnknownRequest(other)),
        }?;
        Ok(w.into_vec())
    }

    /// The proof alone, in the handshake of a msgr2 connection.
    pub(crate) fn handle_login(
        &mut self,
        monitor: &AuthMonitor,
        payload: &[u8],
        secret_len: usize,
        now: UTime,
    ) -> Result<(Vec<u8>, LoginKeys), AuthRefusal> {
        let mut r = Reader::new(payload);
        let CephXRequestHeader { request_type } = r.get()?;
        if request_type != CEPHX_GET_AUTH_SESSION_KEY {
            return Err(AuthRefusal::UnknownRequest(request_type));
        }
        let mut w = Writer::new(Features::ALL);
        w.put(&CephXResponseHeader { request_type, status: 0 });
        let keys = self.authenticate(monitor, r.get()?, Some(secret_len), now, &mut w)?;
        Ok((w.into_vec(), keys))
    }

    /// The proof, for an AUTH ticket and in the same reply others. On msgr2 a connection secret of
    /// `secret_len` bytes goes with them, on v1 none.
    fn authenticate(
        &mut self,
        monitor: &AuthMonitor,
        req: CephXAuthenticate,
        secret_len: Option<usize>,
        now: UTime,
        w: &mut Writer,
    ) -> Result<LoginKeys, AuthRefusal> {
        let keys = &monitor.keys;
        let key = keys.secret(&self.name).ok_or(AuthRefusal::UnknownEntity)?;
        if !monitor.options.allowed_ciphers.contains(&key.key_type()) {
            return Err(AuthRefusal::KeyTypeNotAllowed(key.key_type()));
        }
        let expected =
            calc_client_server_challenge(&key, self.server_challenge, req.client_challenge)
                .map_err(AuthRefusal::Crypto)?;
        if !same(req.key, expected) {
            return Err(AuthRefusal::WrongProof);
        }
        let old_session_key = self.verify_old_ticket(monitor, &req)?;
        if req.other_keys == 0 && secret_len.is_some_and(|len| len != 0) {
            return Err(AuthRefusal::NoConnectionSecret);
        }

        let who = self.principal(&key);
        let auth = keys.seal_ticket(EntityType::AUTH, &who, now)?;
        let entry = reply(EntityType::AUTH, &auth, &key, old_session_key.as_ref())?;
        ServiceTicketReply::encode_list(w, &[entry]);
        let connection_secret = match secret_len {
            Some(len) => ConnectionSecret::generate(len).map_err(AuthRefusal::Crypto)?,
            None => None,
        };
        // A client from before nautilus asks for the others in a request of their own.
        if req.other_keys != 0 {
            let mut extra = Writer::new(Features::ALL);
            let session_key = &auth.for_me.session_key;
            // What is missing is no error here: the client may ask for it again.
            let list = seal_tickets(keys, &who, req.other_keys, session_key, now);
            if let Some(list) = list.ok().filter(|list| !list.is_empty()) {
                ServiceTicketReply::encode_list(&mut extra, &list);
            }
            let mut secret = Writer::new(Features::ALL);
            if secret_len.is_some() {
                seal_secret(session_key, connection_secret.as_ref(), &mut secret)
                    .map_err(AuthRefusal::Crypto)?;
            }
            w.blob(secret.as_slice()).blob(extra.as_slice());
        }
        self.global_id_status = GlobalIdStatus::Held;
        self.authenticated = true;
        Ok(LoginKeys { session_key: auth.for_me.session_key, connection_secret })
    }

    /// Whether the client may have its global_id. The session key of its old ticket, if it shows
    /// one: the new one is encrypted with that, so that a stolen ticket is of no use.
    fn verify_old_ticket(
        &self,
        monitor: &AuthMonitor,
        req: &CephXAuthenticate,
    ) -> Result<Option<CryptoKey>, AuthRefusal> {
        let is_shown = !req.old_ticket.blob.is_empty();
        if self.global_id_status == GlobalIdStatus::NewPending {
            return if is_shown { Err(AuthRefusal::SuperfluousTicket) } else { Ok(None) };
        }
        let proof = if is_shown {
            self.open_old_ticket(&monitor.keys, req).map_err(AuthRefusal::BadOldTicket)
        } else {
            Err(AuthRefusal::NoOldTicket)
        };
        match proof {
            Ok(session_key) => Ok(Some(session_key)),
            Err(refusal)
                if req.old_ticket_may_be_omitted
                    && monitor.options.allow_insecure_global_id_reclaim =>
            {
                let (name, id) = (&self.name, self.global_id);
                log::warn!("{name} reclaims global_id {id} without proof: {refusal}");
                Ok(None)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// It may have expired: it says who had the number, and no more.
    fn open_old_ticket(
        &self,
        keys: &KeyServer,
        req: &CephXAuthenticate,
    ) -> Result<CryptoKey, AuthorizerError> {
        let info = open_ticket(keys, EntityType::AUTH, &req.old_ticket)?;
        self.must_be_of_this_session(&info.ticket)?;
        Ok(info.session_key)
    }

    /// Tickets for the AUTH ticket, which is shown as an authorizer without a challenge.
    fn tickets(
        &self,
        keys: &KeyServer,
        r: &mut Reader<'_>,
        now: UTime,
        w: &mut Writer,
    ) -> Result<(), AuthRefusal> {
        self.must_be_authenticated()?;
        let info = verify_authorizer(keys, EntityType::AUTH, r, now)
            .and_then(|(info, _)| self.must_be_of_this_session(&info.ticket).map(|()| info))
            .map_err(AuthRefusal::BadAuthorizer)?;
        let CephXServiceTicketRequest { keys: mask } = r.get()?;
        let key = keys.secret(&self.name).ok_or(AuthRefusal::UnknownEntity)?;
        let list = seal_tickets(keys, &self.principal(&key), mask, &info.session_key, now)?;
        ServiceTicketReply::encode_list(w, &list);
        Ok(())
    }

    /// The secrets of a daemon's service, under its own key.
    fn rotating_keys(&self, keys: &KeyServer, w: &mut Writer) -> Result<(), AuthRefusal> {
        self.must_be_authenticated()?;
        let service = self.name.entity_type;
        if !SERVICES.contains(&service) {
            return Err(AuthRefusal::NotADaemon);
        }
        let secrets = keys.rotating_secrets(service).ok_or(AuthRefusal::NotADaemon)?;
        let key = keys.secret(&self.name).ok_or(AuthRefusal::UnknownEntity)?;
        secrets.encode_encrypt(w, &key).map_err(AuthRefusal::Crypto)
    }

    fn principal(&self, key: &CryptoKey) -> Principal<'_> {
        Principal { name: &self.name, global_id: self.global_id, key_type: key.key_type() }
    }

    fn must_be_of_this_session(&self, ticket: &AuthTicket) -> Result<(), AuthorizerError> {
        if ticket.global_id != self.global_id {
            let (claimed, ticket) = (self.global_id, ticket.global_id);
            return Err(AuthorizerError::WrongGlobalId { claimed, ticket });
        }
        if ticket.name == self.name { Ok(()) } else { Err(AuthorizerError::WrongName) }
    }

    fn must_be_authenticated(&self) -> Result<(), AuthRefusal> {
        if self.authenticated { Ok(()) } else { Err(AuthRefusal::NotAuthenticated) }
    }
}

/// The secret of a msgr2 connection in an envelope; that of crc mode is empty.
fn seal_secret(
    session_key: &CryptoKey,
    secret: Option<&ConnectionSecret>,
    w: &mut Writer,
) -> Result<(), CryptoError> {
    let mut plain = Writer::new(Features::ALL);
    plain.blob(secret.map_or(&[], |secret| secret.as_bytes()));
    let plain = Zeroizing::new(plain.into_vec());
    session_key.encode_encrypt(w, Usage::AUTH_CONNECTION_SECRET, &plain)
}

/// The tickets for the services in the mask, all that there are. An error if there is none.
fn seal_tickets(
    keys: &KeyServer,
    who: &Principal<'_>,
    mask: u32,
    session_key: &CryptoKey,
    now: UTime,
) -> Result<Vec<ServiceTicketReply>, AuthRefusal> {
    let mut list = Vec::new();
    let mut missing = None;
    for service in SERVICES.into_iter().filter(|s| mask & u32::from(s.0) != 0) {
        let ticket = keys.seal_ticket(service, who, now);
        match ticket.and_then(|ticket| reply(service, &ticket, session_key, None)) {
            Ok(entry) => list.push(entry),
            Err(refusal) => missing = Some(refusal),
        }
    }
    match missing {
        Some(refusal) if list.is_empty() => Err(refusal),
        _ => Ok(list),
    }
}

fn reply(
    service: EntityType,
    ticket: &NewTicket,
    principal: &CryptoKey,
    old_session_key: Option<&CryptoKey>,
) -> Result<ServiceTicketReply, AuthRefusal> {
    let NewTicket { for_me, ticket } = ticket;
    ServiceTicketReply::seal(service.0.into(), for_me, ticket, principal, old_session_key)
        .map_err(AuthRefusal::Crypto)
}
