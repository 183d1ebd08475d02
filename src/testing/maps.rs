use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::denc::{Encode, Writer};
use crate::messages::mds::MFSMap;
use crate::messages::mon::{MConfig, MMonMap};
use crate::messages::osd::MOSDMap;
use crate::messages::{Body, types};
use crate::mon::{MgrMap, MonMap};
use crate::msgr::Message;
use crate::types::{Epoch, Features};

use super::SimpleOSDMap;

type Encoder = Arc<dyn Fn(Features) -> Message + Send + Sync>;

/// What can be subscribed to: of each map the newest version, and no incrementals. To a client that
/// is further behind it looks like a monitor that has trimmed the rest.
#[derive(Clone, Default)]
pub(super) struct Maps(BTreeMap<String, Published>);

#[derive(Clone)]
struct Published {
    version: u64,
    encode: Encoder,
}

impl Maps {
    pub(super) fn publish(
        &mut self,
        what: &str,
        version: u64,
        encode: impl Fn(Features) -> Message + Send + Sync + 'static,
    ) {
        self.0.insert(what.to_owned(), Published { version, encode: Arc::new(encode) });
    }

    pub(super) fn version(&self, what: &str) -> Option<u64> {
        self.0.get(what).map(|map| map.version)
    }

    /// The newest version, for a peer with these features.
    pub(super) fn latest(&self, what: &str, features: Features) -> Option<(u64, Message)> {
        self.0.get(what).map(|map| (map.version, (map.encode)(features)))
    }

    pub(super) fn set_monmap(&mut self, map: MonMap) {
        self.publish("monmap", map.epoch.0.into(), move |features| {
            MMonMap { monmapbl: map.to_bytes(features) }.to_message(features)
        });
    }

    pub(super) fn set_mgrmap(&mut self, map: MgrMap) {
        self.publish("mgrmap", map.epoch.0.into(), move |features| {
            // As `MMgrMap` has it.
            Message::new(types::MSG_MGR_MAP, map.to_bytes(features))
        });
    }

    pub(super) fn set_osdmap(&mut self, map: SimpleOSDMap) {
        self.publish("osdmap", map.epoch.0.into(), move |features| {
            let m = MOSDMap {
                fsid: map.fsid,
                maps: [(map.epoch, map.to_bytes(features))].into(),
                oldest_map: map.epoch,
                newest_map: map.epoch,
                ..MOSDMap::default()
            };
            m.to_message(features)
        });
    }

    /// The options that all clients get. Its versions are counted here.
    pub(super) fn set_config(&mut self, config: BTreeMap<String, String>) {
        let version = self.version("config").map_or(1, |version| version + 1);
        let config = MConfig { config };
        self.publish("config", version, move |features| config.to_message(features));
    }

    /// No file systems, in both forms in which clients ask for them.
    pub(super) fn set_no_filesystems(&mut self, epoch: Epoch) {
        self.publish("fsmap", epoch.0.into(), move |features| {
            MFSMap { epoch, fsmapbl: empty_fsmap(epoch, features) }.to_message(features)
        });
        self.publish("fsmap.user", epoch.0.into(), move |features| {
            let mut w = Writer::new(features);
            // `u32` epoch; `FSMapUser`: VER(1,1) `u32` epoch, `i32` legacy_client_fscid, map of
            // `i32` to names (`src/mds/FSMapUser.cc`).
            w.put(&epoch).versioned(1, 1, |w| {
                w.put(&epoch).i32(-1).u32(0);
            });
            Message::new(types::CEPH_MSG_FS_MAP_USER, w.into_vec())
        });
    }
}

impl fmt::Debug for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(what, map)| (what, map.version))).finish()
    }
}

/// An [`FSMap`](crate::mds::FSMap) of v7 as a new cluster has it, less the names of its compat set.
fn empty_fsmap(epoch: Epoch, features: Features) -> Vec<u8> {
    let mut w = Writer::new(features);
    w.versioned(7, 6, |w| {
        w.put(&epoch).u64(1).i32(-1); // next_filesystem_id, legacy_client_fscid
        for _ in 0..3 {
            w.u64(0).u32(0); // compat, ro_compat, incompat
        }
        w.bool(true); // enable_multiple
        w.u32(0).u32(0).u32(0).u32(0); // filesystems, mds_roles, standby_daemons, standby_epochs
        w.bool(true); // ever_enabled_multiple
    });
    w.into_vec()
}
