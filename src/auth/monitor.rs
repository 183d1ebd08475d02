use std::fmt::Debug;
use std::sync::Arc;

use super::cephx::KeyServer;
use super::{AuthServiceHandler, CEPH_AUTH_CEPHX};
use crate::crypto::KeyType;
use crate::types::GlobalId;

/// Where the numbers of new sessions come from. The monitors of a cluster share one source, or
/// two sessions get the same number.
pub trait GlobalIdAllocator: Send + Sync + Debug {
    /// A number that no session has had, not 0 (`AuthMonitor::assign_global_id`). `None` if there
    /// is none now: the client is told to come again. Never blocks.
    fn assign_global_id(&self) -> Option<GlobalId>;
}

/// Whom a monitor lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthMonitorOptions {
    /// `CEPH_AUTH_*` in the order of preference (`auth_service_required`). With `CEPH_AUTH_NONE`
    /// among them a client may choose to be believed without proof.
    pub methods: Vec<u32>,
    /// Types of the keys with which entities may log in (`auth_allowed_ciphers`). Tickets, and
    /// sessions that there are, are not affected.
    pub allowed_ciphers: Vec<KeyType>,
    /// A client of before the fix of CVE-2021-20288 keeps its global_id without a ticket that
    /// proves it (`auth_allow_insecure_global_id_reclaim`).
    pub allow_insecure_global_id_reclaim: bool,
}

impl Default for AuthMonitorOptions {
    /// cephx with any type of key, and no global_id without proof.
    fn default() -> Self {
        Self {
            methods: vec![CEPH_AUTH_CEPHX],
            allowed_ciphers: vec![KeyType::Aes, KeyType::Aes256k],
            allow_insecure_global_id_reclaim: false,
        }
    }
}

/// What all connections to a monitor have in common: the counterpart of
/// [`AuthClient`](super::AuthClient).
#[derive(Debug)]
pub struct AuthMonitor {
    pub(super) keys: Arc<KeyServer>,
    pub(super) global_ids: Box<dyn GlobalIdAllocator>,
    pub(super) options: AuthMonitorOptions,
}

impl AuthMonitor {
    /// A monitor that knows these keys.
    pub fn new(
        keys: Arc<KeyServer>,
        global_ids: Box<dyn GlobalIdAllocator>,
        options: AuthMonitorOptions,
    ) -> Self {
        Self { keys, global_ids, options }
    }

    /// The keys.
    pub fn keys(&self) -> &Arc<KeyServer> {
        &self.keys
    }

    /// The machine for a new connection, which has yet to log in.
    pub fn start(self: &Arc<Self>) -> AuthServiceHandler {
        AuthServiceHandler::new(Arc::clone(self))
    }
}
