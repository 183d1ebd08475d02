//! A service that asks for each kind of authorizer, and whoever shows it one.

use std::sync::Arc;
use std::time::Instant;

use ceph_msgr::auth::cephx::{
    AuthCapsInfo, AuthTicket, CephXAuthorizer, CephXServiceTicketInfo, CephXTicketBlob,
    CephxAuthorizeHandler, CephxAuthorizeOptions, ExpiringCryptoKey, RotatingKeyRing,
    RotatingSecrets,
};
use ceph_msgr::auth::{
    AuthError, AuthNoneAuthorizeHandler, AuthNoneAuthorizer, AuthProvider, AuthServer, Authorizer,
    EntityName, MonAuthServer,
};
use ceph_msgr::crypto::CryptoKey;
use ceph_msgr::types::{EntityType, GlobalId, UTime};

use crate::keys::{NOW, key};

/// The number of whoever holds the tickets.
pub const GLOBAL_ID: u64 = 4242;
/// How long they are good for, from [`NOW`].
pub const LIFE: u32 = 100_000;

/// What a service asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Nothing, as a monitor.
    Nothing,
    /// A name that nobody checks.
    Name,
    /// A ticket, with a session key of type 2 or else 1.
    Ticket(bool),
}

impl Asks {
    /// By two bits of an input.
    pub fn new(bits: u8) -> Self {
        [Self::Nothing, Self::Name, Self::Ticket(false), Self::Ticket(true)][usize::from(bits & 3)]
    }
}

/// The one that checks.
pub fn server(asks: Asks, service: EntityType, require_challenge: bool) -> Box<dyn AuthServer> {
    match asks {
        Asks::Nothing => Box::new(MonAuthServer),
        Asks::Name => Box::new(AuthNoneAuthorizeHandler),
        Asks::Ticket(_) => {
            let ring = RotatingKeyRing::new(service);
            let expiration = UTime { sec: NOW.sec + LIFE, nsec: 0 };
            let secret = ExpiringCryptoKey { key: key(true, 1), expiration };
            ring.set_secrets(RotatingSecrets { secrets: [(2, secret)].into(), max_ver: 3 });
            let options = CephxAuthorizeOptions { require_challenge };
            Box::new(CephxAuthorizeHandler::new(service, Arc::new(ring), options))
        }
    }
}

/// The one that shows.
#[derive(Clone, Debug)]
pub struct Shows {
    asks: Asks,
    name: EntityName,
    session_key: CryptoKey,
    ticket: CephXTicketBlob,
}

impl Shows {
    /// Has what such a service asks for.
    pub fn new(asks: Asks, name: EntityName) -> Self {
        let session_key = key(asks == Asks::Ticket(true), 50);
        let ticket = AuthTicket {
            name: name.clone(),
            global_id: GlobalId(GLOBAL_ID),
            old_auid: u64::MAX,
            created: NOW,
            expires: UTime { sec: NOW.sec + LIFE, nsec: 0 },
            caps: AuthCapsInfo::from_text(Some("allow *")),
            flags: 0,
        };
        let info = CephXServiceTicketInfo { ticket, session_key: session_key.clone() };
        let ticket = info.seal(2, &key(true, 1)).expect("a whole key");
        Self { asks, name, session_key, ticket }
    }

    /// What signs the session, if anything does.
    pub fn session_key(&self) -> Option<&CryptoKey> {
        matches!(self.asks, Asks::Ticket(_)).then_some(&self.session_key)
    }

    /// An authorizer with this nonce, if any is asked for.
    pub fn authorizer(&self, service: EntityType, nonce: u64) -> Option<Authorizer> {
        match self.asks {
            Asks::Nothing => None,
            Asks::Name => {
                let (name, global_id) = (self.name.clone(), GlobalId(GLOBAL_ID));
                Some((&AuthNoneAuthorizer { name, global_id }).into())
            }
            Asks::Ticket(_) => {
                let id = GlobalId(GLOBAL_ID);
                CephXAuthorizer::new(id, service, &self.ticket, &self.session_key, nonce)
                    .ok()
                    .map(Into::into)
            }
        }
    }
}

impl AuthProvider for Shows {
    fn get_authorizer(
        &self,
        service: EntityType,
        _: Instant,
        _: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        Ok(self.authorizer(service, 0x55))
    }

    fn invalidate(&self, _: EntityType) {}
}
