use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::builder::MonitorBuilder;
use super::commands::Commands;
use super::maps::Maps;
use super::service::Service;
use super::session::MonSession;
use super::{MON_NAME, SimpleOSDMap};
use crate::auth::keyring::Keyring;
use crate::auth::{AuthMonitor, AuthPeer, AuthServer, AuthServiceHandler, GlobalIdAllocator};
use crate::crypto::CryptoError;
use crate::mon::{MgrMap, MonFeatures, MonInfo, MonMap};
use crate::msgr::Message;
use crate::types::{EntityAddrVec, EntityType, Epoch, Features, Fsid, GlobalId, UTime};

/// Kraken to pacific, osdmap-prune and elector-pinging (`src/mon/mon_types.h`). A client since
/// mimic waits for the config of a monitor that has these.
const MON_FEATURES: u64 = 0xff;
/// `ceph_release_t` of pacific.
const PACIFIC: u8 = 16;

pub(super) type OnMessage =
    Arc<dyn Fn(Option<&AuthPeer>, &Message) -> Option<Vec<Message>> + Send + Sync>;

/// A monitor without others, `mon.a`: what all its connections have in common. Pure, as the rest of
/// this room: a driver accepts connections, gives each a [`MonSession`], and carries messages.
pub struct Monitor {
    auth: Arc<AuthMonitor>,
    keyring: Keyring,
    fsid: Fsid,
    maps: Mutex<Maps>,
    commands: Commands,
    on_message: Option<OnMessage>,
}

impl Monitor {
    /// A monitor to be set up.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::default()
    }

    pub(super) fn new(
        builder: MonitorBuilder,
        addrs: EntityAddrVec,
        now: UTime,
    ) -> Result<Self, CryptoError> {
        let keyring = builder.keyring_or_new(now)?;
        let fsid = builder.fsid.unwrap_or(Fsid([0xce; 16]));
        let mut maps = Maps::default();
        maps.set_monmap(first_monmap(fsid, addrs, now));
        maps.set_config(builder.config);
        maps.set_mgrmap(MgrMap { epoch: Epoch(1), ..MgrMap::default() });
        maps.set_osdmap(SimpleOSDMap {
            fsid,
            epoch: Epoch(1),
            created: now,
            modified: now,
            osds: BTreeMap::new(),
        });
        maps.set_no_filesystems(Epoch(1));
        let keys = super::builder::key_server(keyring.clone(), builder.key_server_options, now)?;
        let auth = AuthMonitor::new(keys, Box::new(Counter::default()), builder.auth_options);
        Ok(Self {
            auth: Arc::new(auth),
            keyring,
            fsid,
            maps: Mutex::new(maps),
            commands: builder.commands,
            on_message: builder.on_message,
        })
    }

    /// The cluster.
    pub fn fsid(&self) -> Fsid {
        self.fsid
    }

    /// Who may log in, for a keyring file of the client: see [`Keyring::to_text`].
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Logins and keys, to change them while clients come and go.
    pub fn auth(&self) -> &Arc<AuthMonitor> {
        &self.auth
    }

    /// Lets clients in: with messenger v2 they log in during the handshake, with v1 they show
    /// nothing there.
    pub fn auth_server(&self) -> Arc<dyn AuthServer> {
        Arc::new(Arc::clone(&self.auth))
    }

    /// The machine of a new connection whose two ends have these features in common, and whose
    /// client has yet to log in.
    pub fn session(self: &Arc<Self>, features: Features) -> MonSession {
        MonSession::new(Arc::clone(self), features)
    }

    /// The same for a client that has logged in during the handshake of messenger v2, of which
    /// `login` has come: see [`Connection::take_login`](crate::net::Connection::take_login).
    pub fn session_with_login(
        self: &Arc<Self>,
        features: Features,
        login: AuthServiceHandler,
    ) -> MonSession {
        MonSession::with_login(Arc::clone(self), features, login)
    }

    /// A daemon of the same cluster: it believes those who have a ticket of this monitor.
    pub fn service(&self, service: EntityType, commands: Commands) -> Service {
        Service::new(service, Arc::clone(self.auth.keys()) as _, commands)
    }

    /// Publishes a monmap; its epoch should be higher than that of the last one. As with the other
    /// maps, the driver then sends what [`MonSession::check_subs`] says.
    pub fn set_monmap(&self, map: MonMap) {
        self.maps_mut().set_monmap(map);
    }

    /// Publishes a map of the managers.
    pub fn set_mgrmap(&self, map: MgrMap) {
        self.maps_mut().set_mgrmap(map);
    }

    /// Publishes a map of OSDs.
    pub fn set_osdmap(&self, map: SimpleOSDMap) {
        self.maps_mut().set_osdmap(map);
    }

    /// Publishes the options that every client gets.
    pub fn set_config(&self, config: BTreeMap<String, String>) {
        self.maps_mut().set_config(config);
    }

    /// Publishes anything else that can be subscribed to, such as `mdsmap`, or takes the place of
    /// what is published under that name. `encode` makes the message for a peer with those features.
    pub fn publish(
        &self,
        what: &str,
        version: u64,
        encode: impl Fn(Features) -> Message + Send + Sync + 'static,
    ) {
        self.maps_mut().publish(what, version, encode);
    }

    pub(super) fn commands(&self) -> &Commands {
        &self.commands
    }

    pub(super) fn on_message(
        &self,
        peer: Option<&AuthPeer>,
        msg: &Message,
    ) -> Option<Vec<Message>> {
        self.on_message.as_ref()?(peer, msg)
    }

    /// As they are now: encoding them is the user's code in part, and so takes no lock.
    pub(super) fn maps(&self) -> Maps {
        self.maps_mut().clone()
    }

    /// Never held for more than an insertion; each is whole.
    fn maps_mut(&self) -> MutexGuard<'_, Maps> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fsid, maps, commands) = (self.fsid, self.maps(), &self.commands);
        f.debug_struct("Monitor")
            .field("fsid", &fsid)
            .field("maps", &maps)
            .field("commands", commands)
            .finish_non_exhaustive()
    }
}

pub(super) fn first_monmap(fsid: Fsid, addrs: EntityAddrVec, now: UTime) -> MonMap {
    let mut map = MonMap {
        fsid,
        epoch: Epoch(1),
        last_changed: now,
        created: now,
        persistent_features: MonFeatures(MON_FEATURES),
        min_mon_release: PACIFIC,
        ..MonMap::default()
    };
    map.add(MonInfo::new(MON_NAME, addrs));
    map
}

/// Counts from 4101, as a young cluster does.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl GlobalIdAllocator for Counter {
    fn assign_global_id(&self) -> Option<GlobalId> {
        Some(GlobalId(4101 + self.0.fetch_add(1, Relaxed)))
    }
}
