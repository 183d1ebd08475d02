//! A monitor in memory, as far as a client sees it: the rules of global_id and old ticket, and a
//! monitor's way with a second hello, are those of 16.2.15.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::auth::cephx::*;
use crate::auth::*;
use crate::crypto::{CryptoKey, KeyType, Usage, calc_client_server_challenge};
use crate::denc::{Encode, Reader, Writer};
use crate::types::{Features, GlobalId, UTime};

const EPERM: i32 = -1;
const EACCES: i32 = -13;
const EINVAL: i32 = -22;
const EOPNOTSUPP: i32 = -95;

/// What all monitors of a cluster know, and how they behave.
pub(super) struct FakeMon {
    pub(super) entity_key: CryptoKey,
    /// Rotating secrets by service, all with secret_id 2; those that are missing the monitor has
    /// no tickets for.
    pub(super) secrets: BTreeMap<u32, CryptoKey>,
    pub(super) methods: Vec<u32>,
    /// As before nautilus: `other_keys` is not looked at.
    pub(super) ignores_other_keys: bool,
    pub(super) connection_secret: Vec<u8>,
    pub(super) auth_ttl: u32,
    pub(super) service_ttl: u32,
    next_global_id: u64,
}

/// One client's connection to it.
#[derive(Debug, Default)]
pub(super) struct Con {
    method: u32,
    server_challenge: u64,
    global_id: u64,
    claimed: bool,
    name: Option<EntityName>,
    /// Requests by type, for the tests to count.
    pub(super) requests: Vec<u16>,
    /// The masks of services asked for.
    pub(super) keys: Vec<u32>,
}

/// An `MAuthReply`.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) protocol: u32,
    pub(super) result: i32,
    pub(super) global_id: u64,
    pub(super) payload: Vec<u8>,
}

impl Reply {
    pub(super) fn give(
        &self,
        handler: &mut AuthClientHandler,
        now: Instant,
    ) -> Result<Progress, AuthError> {
        let global_id = GlobalId(self.global_id);
        handler.handle_reply(self.protocol, self.result, global_id, &self.payload, now)
    }
}

pub(super) fn random_key(key_type: KeyType) -> CryptoKey {
    CryptoKey::generate(key_type, UTime::default()).unwrap()
}

impl FakeMon {
    pub(super) fn new(entity: KeyType, service: KeyType) -> Self {
        let services = [1, 2, 4, 0x10, 0x20];
        Self {
            entity_key: random_key(entity),
            secrets: services.map(|s| (s, random_key(service))).into(),
            methods: vec![CEPH_AUTH_CEPHX],
            ignores_other_keys: false,
            connection_secret: Vec::new(),
            auth_ttl: 259_200,
            service_ttl: 3600,
            next_global_id: 4101,
        }
    }

    pub(super) fn handle(&mut self, con: &mut Con, request: &AuthRequest) -> Reply {
        let mut w = Writer::new(Features::ALL);
        let hello = con.method == 0 && request.protocol == CEPH_AUTH_UNKNOWN;
        let result = if hello {
            self.hello(con, &request.payload, &mut w)
        } else {
            self.request(con, &request.payload, &mut w)
        };
        Reply { protocol: con.method, result, global_id: con.global_id, payload: w.into_vec() }
    }

    fn hello(&mut self, con: &mut Con, payload: &[u8], w: &mut Writer) -> i32 {
        let mut r = Reader::new(payload);
        assert_eq!(r.u8(), Ok(1));
        let offered: Vec<u32> = r.get().unwrap();
        con.name = Some(r.get().unwrap());
        con.global_id = r.u64().unwrap();
        r.finish().unwrap();
        let Some(method) = self.methods.iter().find(|m| offered.contains(m)) else {
            return EOPNOTSUPP;
        };
        con.method = *method;
        con.claimed = con.global_id != 0;
        if !con.claimed {
            con.global_id = self.next_global_id;
            self.next_global_id += 1;
        }
        if con.method == CEPH_AUTH_CEPHX {
            con.server_challenge = 0x5eed_0000 + con.global_id;
            w.put(&CephXServerChallenge { server_challenge: con.server_challenge });
        }
        0
    }

    fn request(&mut self, con: &mut Con, payload: &[u8], w: &mut Writer) -> i32 {
        let mut r = Reader::new(payload);
        let CephXRequestHeader { request_type } = r.get().unwrap();
        con.requests.push(request_type);
        match request_type {
            CEPHX_GET_AUTH_SESSION_KEY => self.authenticate(con, &mut r, w),
            CEPHX_GET_PRINCIPAL_SESSION_KEY => self.tickets(con, &mut r, w),
            CEPHX_GET_ROTATING_KEY => {
                w.put(&CephXResponseHeader { request_type, status: 0 });
                self.rotating().encode_encrypt(w, &self.entity_key).unwrap();
                0
            }
            // Also what becomes of a second hello.
            _ => EINVAL,
        }
    }

    fn authenticate(&mut self, con: &mut Con, r: &mut Reader<'_>, w: &mut Writer) -> i32 {
        let req: CephXAuthenticate = r.get().unwrap();
        r.finish().unwrap();
        con.keys.push(req.other_keys);
        let proof = calc_client_server_challenge(
            &self.entity_key,
            con.server_challenge,
            req.client_challenge,
        );
        if req.key != proof.unwrap() {
            return EACCES;
        }
        let old_session_key = if con.claimed {
            match self.open(0x20, &req.old_ticket) {
                Some(old) if old.ticket.global_id.0 == con.global_id => Some(old.session_key),
                _ => return EACCES,
            }
        } else {
            if !req.old_ticket.blob.is_empty() {
                return EINVAL;
            }
            None
        };
        // From now on this connection has an id that must be claimed.
        con.claimed = true;

        let session_key = random_key(self.entity_key.key_type());
        let auth = self.seal(con, 0x20, &session_key, &self.entity_key, old_session_key.as_ref());
        w.put(&CephXResponseHeader { request_type: CEPHX_GET_AUTH_SESSION_KEY, status: 0 });
        ServiceTicketReply::encode_list(w, &[auth]);
        if req.other_keys != 0 && !self.ignores_other_keys {
            let mut cbl = Writer::new(Features::ALL);
            if !self.connection_secret.is_empty() {
                let mut plain = Writer::new(Features::ALL);
                plain.blob(&self.connection_secret);
                let usage = Usage::AUTH_CONNECTION_SECRET;
                session_key.encode_encrypt(&mut cbl, usage, plain.as_slice()).unwrap();
            }
            let mut extra = Writer::new(Features::ALL);
            let list = self.seal_all(con, req.other_keys & !0x20, &session_key);
            ServiceTicketReply::encode_list(&mut extra, &list);
            w.blob(cbl.as_slice()).blob(extra.as_slice());
        }
        0
    }

    fn tickets(&mut self, con: &mut Con, r: &mut Reader<'_>, w: &mut Writer) -> i32 {
        let a: CephXAuthorizeA = r.get().unwrap();
        let Some(info) = self.open(a.service_id, &a.ticket) else { return EPERM };
        let plain = info.session_key.decode_decrypt(r, Usage::AUTHORIZE).unwrap();
        let b: CephXAuthorize = Reader::new(&plain).get().unwrap();
        assert_eq!((a.global_id.0, a.service_id), (con.global_id, 0x20));
        assert_eq!(b.server_challenge_plus_one, None);
        let CephXServiceTicketRequest { keys } = r.get().unwrap();
        r.finish().unwrap();
        con.keys.push(keys);
        let list = self.seal_all(con, keys, &info.session_key);
        w.put(&CephXResponseHeader { request_type: CEPHX_GET_PRINCIPAL_SESSION_KEY, status: 0 });
        ServiceTicketReply::encode_list(w, &list);
        0
    }

    fn seal_all(&self, con: &Con, keys: u32, principal: &CryptoKey) -> Vec<ServiceTicketReply> {
        let services = (0..8).map(|bit| 1 << bit).filter(|s| keys & s != 0);
        services
            .filter_map(|s| {
                let service_type = self.secrets.get(&s)?.key_type();
                let both_new = service_type == KeyType::Aes256k
                    && self.entity_key.key_type() == KeyType::Aes256k;
                let t = if both_new { KeyType::Aes256k } else { KeyType::Aes };
                Some(self.seal(con, s, &random_key(t), principal, None))
            })
            .collect()
    }

    fn seal(
        &self,
        con: &Con,
        service: u32,
        session_key: &CryptoKey,
        principal: &CryptoKey,
        old_session_key: Option<&CryptoKey>,
    ) -> ServiceTicketReply {
        let info = CephXServiceTicketInfo {
            ticket: AuthTicket {
                name: con.name.clone().unwrap(),
                global_id: GlobalId(con.global_id),
                old_auid: u64::MAX,
                created: UTime::default(),
                expires: UTime::default(),
                caps: AuthCapsInfo::default(),
                flags: 0,
            },
            session_key: session_key.clone(),
        };
        let secret = &self.secrets[&service];
        let blob = secret.encrypt(Usage::TICKET_INFO, &info.to_bytes(Features::ALL)).unwrap();
        let ttl = if service == 0x20 { self.auth_ttl } else { self.service_ttl };
        let for_me = CephXServiceTicket {
            session_key: session_key.clone(),
            validity: UTime { sec: ttl, nsec: 0 },
        };
        let ticket = CephXTicketBlob { secret_id: 2, blob };
        ServiceTicketReply::seal(service, &for_me, &ticket, principal, old_session_key).unwrap()
    }

    /// What a service reads from a ticket.
    pub(super) fn open(&self, s: u32, ticket: &CephXTicketBlob) -> Option<CephXServiceTicketInfo> {
        if ticket.secret_id != 2 {
            return None;
        }
        let plain = self.secrets.get(&s)?.decrypt(Usage::TICKET_INFO, &ticket.blob).ok()?;
        Reader::new(&plain).get().ok()
    }

    pub(super) fn rotating(&self) -> RotatingSecrets {
        let secrets = [1, 2, 3].map(|id| {
            let key = self.secrets[&4].clone();
            (id, ExpiringCryptoKey { key, expiration: UTime::default() })
        });
        RotatingSecrets { secrets: secrets.into(), max_ver: 3 }
    }
}
