//! Tickets for everybody: the same secret, and the same session key; a monitor, and who logs in there.

use std::sync::Arc;
use std::time::Instant;

use super::seeds::{Kind, Plan, Protocol};
use crate::auth::cephx::{
    AuthCapsInfo, AuthTicket, CephXAuthorizer, CephXServiceTicketInfo, CephxAuthorizeHandler,
    CephxAuthorizeOptions, KeyServer, KeyServerOptions, KeyStore,
};
use crate::auth::keyring::Keyring;
use crate::auth::{
    AuthClient, AuthError, AuthMonitor, AuthMonitorOptions, AuthNoneAuthorizeHandler,
    AuthNoneAuthorizer, AuthProvider, AuthServer, Authorizer, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE,
    EntityName, GlobalIdAllocator, MonAuthServer, MonLogin,
};
use crate::crypto::tests::aes_key;
use crate::crypto::{CryptoKey, KeyType};
use crate::types::{EntityType, GlobalId, UTime};

const SECRET_ID: u64 = 7;

#[derive(Debug)]
struct Secret(CryptoKey);

impl KeyStore for Secret {
    fn service_secret(&self, _: EntityType, id: u64) -> Option<CryptoKey> {
        (id == SECRET_ID).then(|| self.0.clone())
    }
}

/// What one node shows to others with messenger v1, or where there are tickets: nothing, or tickets.
#[derive(Debug)]
struct Provider {
    cephx: bool,
    own: EntityType,
    num: usize,
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
        let global_id = global_id(self.num);
        let ticket = AuthTicket {
            name: name(self.own, self.num),
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

fn name(own: EntityType, num: usize) -> EntityName {
    EntityName::new(own, &num.to_string())
}

fn global_id(num: usize) -> GlobalId {
    GlobalId(4000 + num as u64)
}

/// A monitor's numbers, as if each login were the first.
#[derive(Debug)]
struct SameId;

impl GlobalIdAllocator for SameId {
    fn assign_global_id(&self) -> Option<GlobalId> {
        Some(global_id(0))
    }
}

/// With messenger v2 a client logs in at a monitor while it connects.
fn logs_in(plan: &Plan) -> bool {
    plan.protocol == Protocol::V2 && plan.kind == Kind::Stateless
}

fn methods(plan: &Plan) -> Vec<u32> {
    vec![if plan.cephx { CEPH_AUTH_CEPHX } else { CEPH_AUTH_NONE }]
}

/// What a node shows to others.
pub(super) fn provider(plan: &Plan, own: EntityType, num: usize) -> Box<dyn AuthProvider> {
    if logs_in(plan) {
        let key = plan.cephx.then(aes_key);
        let client = AuthClient::new(name(own, num), key, &methods(plan), &[EntityType::OSD]);
        Box::new(MonLogin::new(Arc::new(client.unwrap())))
    } else if plan.cephx || plan.protocol == Protocol::V1 {
        Box::new(Provider { cephx: plan.cephx, own, num })
    } else {
        Box::new(AuthNoneAuthorizer { name: name(own, num), global_id: global_id(num) })
    }
}

/// How a node checks what others show.
pub(super) fn server(plan: &Plan, own: EntityType, wall: UTime) -> Arc<dyn AuthServer> {
    if logs_in(plan) {
        let mut keyring = Keyring::new();
        (1..3).for_each(|num| keyring.set_key(&name(EntityType::CLIENT, num), aes_key()));
        let options =
            KeyServerOptions { auth_service_cipher: KeyType::Aes, ..KeyServerOptions::default() };
        let keys = Arc::new(KeyServer::new(keyring, options, wall).unwrap());
        let options =
            AuthMonitorOptions { methods: methods(plan), ..AuthMonitorOptions::default() };
        Arc::new(Arc::new(AuthMonitor::new(keys, Box::new(SameId), options)))
    } else if plan.cephx {
        let keys = Arc::new(Secret(aes_key()));
        Arc::new(CephxAuthorizeHandler::new(own, keys, CephxAuthorizeOptions::default()))
    } else if plan.protocol == Protocol::V1 {
        Arc::new(MonAuthServer)
    } else {
        Arc::new(AuthNoneAuthorizeHandler)
    }
}
