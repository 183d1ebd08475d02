//! Tickets for everybody: the same secret, and the same session key.

use std::sync::Arc;
use std::time::Instant;

use crate::auth::cephx::{
    AuthCapsInfo, AuthTicket, CephXAuthorizer, CephXServiceTicketInfo, CephxAuthorizeHandler,
    CephxAuthorizeOptions, KeyStore,
};
use crate::auth::{AuthError, AuthProvider, AuthServer, Authorizer, EntityName, MonAuthServer};
use crate::crypto::CryptoKey;
use crate::crypto::tests::aes_key;
use crate::types::{EntityType, GlobalId, UTime};

const SECRET_ID: u64 = 7;

#[derive(Debug)]
struct Secret(CryptoKey);

impl KeyStore for Secret {
    fn service_secret(&self, _: EntityType, id: u64) -> Option<CryptoKey> {
        (id == SECRET_ID).then(|| self.0.clone())
    }
}

/// What one node shows to others: nothing, or tickets.
#[derive(Debug)]
pub(super) struct Provider {
    cephx: bool,
    own: EntityType,
    num: usize,
}

impl Provider {
    pub(super) fn new(cephx: bool, own: EntityType, num: usize) -> Self {
        Self { cephx, own, num }
    }
}

impl AuthProvider for Provider {
    fn get_authorizer(
        &self,
        service: EntityType,
        _: Instant,
        _: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        if !self.cephx {
            return Ok(None);
        }
        let global_id = GlobalId(4000 + self.num as u64);
        let ticket = AuthTicket {
            name: EntityName::new(self.own, &self.num.to_string()),
            global_id,
            old_auid: u64::MAX,
            created: UTime::default(),
            expires: UTime { sec: u32::MAX, nsec: 0 },
            caps: AuthCapsInfo::from_text(None),
            flags: 0,
        };
        let info = CephXServiceTicketInfo { ticket, session_key: aes_key() };
        let blob = info.seal(SECRET_ID, &aes_key()).unwrap();
        Ok(Some(CephXAuthorizer::new(global_id, service, &blob, &aes_key(), 0x55).unwrap().into()))
    }

    fn invalidate(&self, _: EntityType) {}
}

/// How a node checks what others show.
pub(super) fn server(cephx: bool, own: EntityType) -> Arc<dyn AuthServer> {
    if cephx {
        let keys = Arc::new(Secret(aes_key()));
        Arc::new(CephxAuthorizeHandler::new(own, keys, CephxAuthorizeOptions::default()))
    } else {
        Arc::new(MonAuthServer)
    }
}
