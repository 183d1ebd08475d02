use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::daemon::{any_ports, no_random};
use super::monitor::first_monmap;
use super::{Commands, Daemon, Monitor, MonitorBuilder, Service, SimpleOSD, SimpleOSDMap};
use crate::auth::{ConMode, EntityName};
use crate::cluster::{Cluster, ClusterBuilder};
use crate::error::Result;
use crate::mon::MgrMap;
use crate::net::wall;
use crate::types::{
    self, AddrType, EntityAddr, EntityAddrVec, EntityType, Epoch, Features, GlobalId,
};

/// The first of the numbers that managers have here.
const MGR_GID: u64 = 4000;

/// A [`Monitor`] that listens: a cluster of one monitor, to which daemons can be added. What a
/// [`Daemon`] can do, it can too.
pub struct Mon {
    daemon: Daemon,
    monitor: Arc<Monitor>,
    con_modes: Vec<ConMode>,
    maps: Mutex<OwnMaps>,
}

/// The maps that change as daemons start.
struct OwnMaps {
    osdmap: SimpleOSDMap,
    mgrmap: MgrMap,
}

impl MonitorBuilder {
    /// The monitor, listening at free ports of 127.0.0.1, one for each messenger that is spoken.
    pub fn start(self) -> Result<Mon> {
        let ports = any_ports(self.msgr);
        self.start_at(&ports)
    }

    /// The same at these addresses, whose types say which protocol is spoken there
    /// (`v2:127.0.0.1:3300`, `v1:127.0.0.1:6789`); port 0 takes a free one.
    pub fn start_at(self, addrs: &[EntityAddr]) -> Result<Mon> {
        let name = types::EntityName::new(EntityType::MON, 0);
        let con_modes = self.con_modes.clone();
        let now = wall();
        // Where it is, it knows when it listens; until then nobody gets an answer.
        let monitor = self.build(EntityAddrVec::default(), now).map_err(no_random)?;
        // Clients expect a monitor's nonce to be 0.
        let daemon = Daemon::listen(addrs, &con_modes, name, 0, monitor.auth_server())?;
        monitor.set_monmap(first_monmap(monitor.fsid(), daemon.addrs(), now));
        let answering = Arc::clone(&monitor);
        daemon.hub().ready(move |con| {
            let features = con.features();
            Box::new(match con.take_login() {
                Some(login) => answering.session_with_login(features, *login),
                None => answering.session(features),
            })
        });
        let osdmap = SimpleOSDMap {
            fsid: monitor.fsid(),
            epoch: Epoch(1),
            created: now,
            modified: now,
            osds: BTreeMap::new(),
        };
        let mgrmap = MgrMap { epoch: Epoch(1), ..MgrMap::default() };
        let maps = Mutex::new(OwnMaps { osdmap, mgrmap });
        Ok(Mon { daemon, monitor, con_modes, maps })
    }
}

impl Mon {
    /// A monitor to be set up, and [started](MonitorBuilder::start).
    pub fn builder() -> MonitorBuilder {
        Monitor::builder()
    }

    /// What all its connections have in common. A map that is published there goes to those who
    /// have subscribed to it with the next [`Mon::check_subs`].
    pub fn monitor(&self) -> &Arc<Monitor> {
        &self.monitor
    }

    /// Sends the maps that are due to those who have subscribed to them.
    pub fn check_subs(&self) {
        self.daemon.hub().check_subs();
    }

    /// Where it is, as `mon host` in ceph.conf and `ceph -m` take it.
    pub fn mon_host(&self) -> String {
        let addrs = self.daemon.addrs().0;
        let all = addrs.iter().filter_map(|addr| {
            let prefix = if addr.addr_type == AddrType::MSGR2 { "v2" } else { "v1" };
            Some(format!("{prefix}:{}", addr.sockaddr?))
        });
        let all = all.collect::<Vec<_>>().join(",");
        // In brackets they are those of one monitor.
        if addrs.len() > 1 { format!("[{all}]") } else { all }
    }

    /// The keys of all that may log in, as the text of a keyring file.
    pub fn keyring_text(&self) -> Zeroizing<String> {
        self.monitor.keyring().to_text()
    }

    /// A handle to be opened, as `client.admin` with its key if the monitor knows it. No ceph.conf
    /// is read.
    pub fn cluster(&self) -> ClusterBuilder {
        let admin = EntityName::new(EntityType::CLIENT, "admin");
        let key = self.monitor.keyring().key(&admin).cloned();
        let builder = Cluster::builder().no_config_file().name(admin).mon_host(&self.mon_host());
        match key {
            Ok(key) => builder.key(key),
            Err(_) => builder,
        }
    }

    /// A daemon of this cluster, to be started; it believes those who have this monitor's tickets.
    pub fn service(&self, service: EntityType, commands: Commands) -> Service {
        self.monitor.service(service, commands)
    }

    /// Starts `osd.N`, and puts it into the map. As all daemons that are started here, it listens as
    /// the monitor does: at the same IP addresses and with the same protocols, at free ports.
    pub fn start_osd(&self, id: u16, service: Service) -> Result<Daemon> {
        let daemon = self.start_daemon(EntityType::OSD, id.into(), service)?;
        self.set_osd(id, Some(SimpleOSD { addrs: daemon.addrs(), up: true }));
        Ok(daemon)
    }

    /// Starts `mgr.X`, and makes it the active one.
    pub fn start_mgr(&self, id: &str, service: Service) -> Result<Daemon> {
        let gid = MGR_GID + u64::from(self.maps().mgrmap.epoch.0);
        let num = i64::try_from(gid).unwrap_or_default();
        let daemon = self.start_daemon(EntityType::MGR, num, service)?;
        let addrs = daemon.addrs();
        self.change(|maps| {
            maps.mgrmap.active_gid = GlobalId(gid);
            maps.mgrmap.active_addrs = addrs;
            maps.mgrmap.active_name = id.to_owned();
            maps.mgrmap.active_mgr_features = Features::SUPPORTED;
            maps.mgrmap.available = true;
            maps.mgrmap.active_change = wall();
        });
        Ok(daemon)
    }

    fn start_daemon(&self, of: EntityType, num: i64, service: Service) -> Result<Daemon> {
        let mut addrs = self.daemon.addrs().0;
        for addr in addrs.iter_mut().filter_map(|addr| addr.sockaddr.as_mut()) {
            addr.set_port(0);
        }
        Daemon::start_at(&addrs, &self.con_modes, types::EntityName::new(of, num), service)
    }

    /// Says in a new map what that OSD is, or that it is not there, and sends it to subscribers.
    pub fn set_osd(&self, id: u16, osd: Option<SimpleOSD>) {
        self.change(|maps| match osd {
            Some(osd) => drop(maps.osdmap.osds.insert(id, osd)),
            None => drop(maps.osdmap.osds.remove(&id)),
        });
    }

    /// Says in a new map that no manager is active, and sends it to subscribers.
    pub fn unset_mgr(&self) {
        self.change(|maps| {
            maps.mgrmap = MgrMap { epoch: maps.mgrmap.epoch, ..MgrMap::default() };
        });
    }

    fn change(&self, change: impl FnOnce(&mut OwnMaps)) {
        {
            let mut maps = self.maps();
            let (osdmap, mgrmap) = (maps.osdmap.clone(), maps.mgrmap.clone());
            change(&mut maps);
            if maps.osdmap != osdmap {
                maps.osdmap.epoch.0 += 1;
                maps.osdmap.modified = wall();
                self.monitor.set_osdmap(maps.osdmap.clone());
            }
            if maps.mgrmap != mgrmap {
                maps.mgrmap.epoch.0 += 1;
                self.monitor.set_mgrmap(maps.mgrmap.clone());
            }
        }
        self.check_subs();
    }

    fn maps(&self) -> std::sync::MutexGuard<'_, OwnMaps> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Mon {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl fmt::Debug for Mon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mon").field("daemon", &self.daemon).field("monitor", &self.monitor).finish()
    }
}
