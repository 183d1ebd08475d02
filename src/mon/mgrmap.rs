use std::collections::{BTreeMap, BTreeSet};

use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{EntityAddrVec, Epoch, Features, GlobalId, UTime};

/// `MgrMap::StandbyInfo`: VER(4,1) `u64` gid, string name; v2: set of names of modules; v3: list
/// of `ModuleInfo`; v4: `u64` features (`src/mon/MgrMap.h`). The modules are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbyInfo {
    /// The daemon's session with the monitors.
    pub gid: GlobalId,
    /// The X of `mgr.X`.
    pub name: String,
    /// What it can do; none before nautilus.
    pub mgr_features: Features,
}

impl Decode for StandbyInfo {
    const MIN: usize = 6 + 8 + 4;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.versioned("MgrMap::StandbyInfo", 4, |r, v| {
            let gid = r.get()?;
            let name = r.string()?;
            if v >= 2 {
                r.get::<BTreeSet<String>>()?;
            }
            if v >= 3 {
                skip_module_infos(r)?;
            }
            let mgr_features = if v >= 4 { Features(r.u64()?) } else { Features::NONE };
            Ok(Self { gid, name, mgr_features })
        })
    }
}

impl Encode for StandbyInfo {
    /// Without modules.
    fn encode(&self, w: &mut Writer) {
        w.versioned(4, 1, |w| {
            w.put(&self.gid).string(&self.name).u32(0).u32(0).u64(self.mgr_features.0);
        });
    }
}

fn skip_module_infos(r: &mut Reader<'_>) -> Result<(), DecodeError> {
    for _ in 0..r.count(6)? {
        r.skip_versioned()?;
    }
    Ok(())
}

/// `MgrMap`: which manager is active, and where (`src/mon/MgrMap.h`).
///
/// VER(12 and up,6): `u32` epoch, addrvec (one address before v6), `u64` active_gid, bool
/// available, string active_name, map of gid to `StandbyInfo`; v2: set of strings modules, and
/// before v6 another of what is available; v3: map of strings services; v4: list of `ModuleInfo`,
/// skipped; v7: active_change; v8: map of release to set of strings; v9: `u64`
/// active_mgr_features; v10: `u32` last_failure_osd_epoch; v11 and v12: lists of addrvec and of
/// strings, the manager's own clients. These and what follows are not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MgrMap {
    /// Version of the map.
    pub epoch: Epoch,
    /// Where the active manager listens; empty while it starts.
    pub active_addrs: EntityAddrVec,
    /// The active manager's session with the monitors, 0 for none.
    pub active_gid: GlobalId,
    /// Whether the active manager has opened its server.
    pub available: bool,
    /// The X of the active `mgr.X`.
    pub active_name: String,
    /// Who could take over.
    pub standbys: BTreeMap<GlobalId, StandbyInfo>,
    /// Modules that are enabled.
    pub modules: BTreeSet<String>,
    /// URIs of what modules serve: `dashboard`, `prometheus`, ….
    pub services: BTreeMap<String, String>,
    /// When the active manager came or went.
    pub active_change: UTime,
    /// Modules that cannot be disabled, by release (`ceph_release_t`).
    pub always_on_modules: BTreeMap<u32, BTreeSet<String>>,
    /// What the active manager can do; decides how it takes commands, see
    /// [`messages::mgr`](crate::messages::mgr).
    pub active_mgr_features: Features,
    /// The osdmap epoch that blocklists the last one that failed.
    pub last_failure_osd_epoch: Epoch,
}

impl Encode for MgrMap {
    /// As a monitor of 16.2.15 for a peer since nautilus, without a list of available modules and
    /// without clients.
    fn encode(&self, w: &mut Writer) {
        w.versioned(12, 6, |w| {
            w.put(&self.epoch).put(&self.active_addrs).put(&self.active_gid).bool(self.available);
            w.string(&self.active_name).put(&self.standbys).put(&self.modules).put(&self.services);
            w.u32(0).put(&self.active_change).put(&self.always_on_modules);
            w.u64(self.active_mgr_features.0).put(&self.last_failure_osd_epoch).u32(0).u32(0);
        });
    }
}

impl Decode for MgrMap {
    const MIN: usize = 6 + 4 + EntityAddrVec::MIN + 8 + 1 + 4 + 4;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.versioned("MgrMap", 13, |r, v| {
            let mut map = Self {
                epoch: r.get()?,
                active_addrs: r.get()?,
                active_gid: r.get()?,
                available: r.bool()?,
                active_name: r.string()?,
                standbys: r.get()?,
                modules: BTreeSet::new(),
                services: BTreeMap::new(),
                active_change: UTime::default(),
                always_on_modules: BTreeMap::new(),
                active_mgr_features: Features::NONE,
                last_failure_osd_epoch: Epoch(0),
            };
            if v >= 2 {
                map.modules = r.get()?;
                if v < 6 {
                    r.get::<BTreeSet<String>>()?;
                }
            }
            if v >= 3 {
                map.services = r.get()?;
            }
            if v >= 4 {
                skip_module_infos(r)?;
            }
            if v >= 7 {
                map.active_change = r.get()?;
            }
            if v >= 8 {
                map.always_on_modules = r.get()?;
            }
            if v >= 9 {
                map.active_mgr_features = Features(r.u64()?);
            }
            if v >= 10 {
                map.last_failure_osd_epoch = r.get()?;
            }
            Ok(map)
        })
    }
}
