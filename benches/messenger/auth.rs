//! What the two ends show each other: nothing, or where frames are sealed a ticket, for its secret is
//! what the keys come from.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use ceph_msgr::auth::cephx::{
    AuthCapsInfo, AuthTicket, CephXAuthorizer, CephXServiceTicketInfo, CephxAuthorizeHandler,
    CephxAuthorizeOptions, KeyStore,
};
use ceph_msgr::auth::{
    AuthError, AuthNoneAuthorizeHandler, AuthNoneAuthorizer, AuthProvider, AuthServer, Authorizer,
    EntityName,
};
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::types::{EntityType, GlobalId, UTime};

const NAME: &str = "client.admin";
const GLOBAL_ID: GlobalId = GlobalId(4100);
const SECRET_ID: u64 = 7;

pub(crate) fn provider(cephx: bool) -> Result<Arc<dyn AuthProvider>> {
    let name = NAME.parse()?;
    if !cephx {
        return Ok(Arc::new(AuthNoneAuthorizer { name, global_id: GLOBAL_ID }));
    }
    Ok(Arc::new(Ticket { name, key: key()? }))
}

pub(crate) fn server(cephx: bool, service: EntityType) -> Result<Arc<dyn AuthServer>> {
    if !cephx {
        return Ok(Arc::new(AuthNoneAuthorizeHandler));
    }
    let secret = Arc::new(Secret(key()?));
    Ok(Arc::new(CephxAuthorizeHandler::new(service, secret, CephxAuthorizeOptions::default())))
}

fn key() -> Result<CryptoKey> {
    Ok(CryptoKey::new(KeyType::Aes, UTime::default(), &[7; 16])?)
}

/// One secret, which is the session key too.
#[derive(Debug)]
struct Secret(CryptoKey);

impl KeyStore for Secret {
    fn service_secret(&self, _: EntityType, id: u64) -> Option<CryptoKey> {
        (id == SECRET_ID).then(|| self.0.clone())
    }
}

#[derive(Debug)]
struct Ticket {
    name: EntityName,
    key: CryptoKey,
}

impl AuthProvider for Ticket {
    fn get_authorizer(
        &self,
        service: EntityType,
        _: Instant,
        _: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        let ticket = AuthTicket {
            name: self.name.clone(),
            global_id: GLOBAL_ID,
            old_auid: u64::MAX,
            created: UTime::default(),
            expires: UTime { sec: u32::MAX, nsec: 0 },
            caps: AuthCapsInfo::from_text(None),
            flags: 0,
        };
        let info = CephXServiceTicketInfo { ticket, session_key: self.key.clone() };
        let blob = info.seal(SECRET_ID, &self.key)?;
        let authorizer = CephXAuthorizer::new(GLOBAL_ID, service, &blob, &self.key, 0x55)?;
        Ok(Some(authorizer.into()))
    }

    fn invalidate(&self, _: EntityType) {}
}
