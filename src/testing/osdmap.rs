use std::collections::BTreeMap;

use super::crush::default_crush;
use crate::crc32c::ceph_crc32c;
use crate::denc::{Encode, Writer};
use crate::osd::OsdState;
use crate::types::{EntityAddrVec, Epoch, Features, Fsid, UTime};

/// SORTBITWISE, RECOVERY_DELETES, PURGED_SNAPDIRS, PGLOG_HARDLIMIT: what a cluster that was made by
/// 16.2.15 has (`src/include/rados.h`).
const FLAGS: u32 = 1 << 15 | 1 << 19 | 1 << 20 | 1 << 22;
/// `ceph_release_t` of luminous and of pacific.
const LUMINOUS: u8 = 12;
const PACIFIC: u8 = 16;
/// A weight of one, and of all.
const IN: u32 = 0x10000;

/// An `OSDMap` with OSDs and without pools, as a monitor of 16.2.15 encodes it for a peer since
/// octopus: enough for librados to start, and to send commands to OSDs. The layout is that of
/// [`OSDMap`](crate::osd::OSDMap), which reads it back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimpleOSDMap {
    /// The cluster.
    pub fsid: Fsid,
    /// Version of the map.
    pub epoch: Epoch,
    /// When the first one was made.
    pub created: UTime,
    /// When this epoch was made.
    pub modified: UTime,
    /// The OSDs by id.
    pub osds: BTreeMap<u16, SimpleOSD>,
}

/// One OSD of a [`SimpleOSDMap`]: it exists and is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimpleOSD {
    /// Where it listens.
    pub addrs: EntityAddrVec,
    /// Whether it runs.
    pub up: bool,
}

impl SimpleOSDMap {
    fn max_osd(&self) -> u32 {
        self.osds.last_key_value().map_or(0, |(id, _)| u32::from(*id) + 1)
    }

    /// A list with a place for every id up to the highest.
    fn list<T: Encode + Default>(&self, w: &mut Writer, item: impl Fn(&SimpleOSD) -> T) {
        let max_osd = self.max_osd();
        w.u32(max_osd);
        for id in 0..max_osd {
            let osd = u16::try_from(id).ok().and_then(|id| self.osds.get(&id));
            w.put(&osd.map(&item).unwrap_or_default());
        }
    }

    fn encode_client_part(&self, w: &mut Writer) {
        w.put(&self.fsid).put(&self.epoch).put(&self.created).put(&self.modified);
        w.u32(0).u32(0).i32(0).u32(FLAGS); // pools, pool_name, pool_max
        w.u32(self.max_osd());
        self.list(w, |osd| OsdState::EXISTS.0 | if osd.up { OsdState::UP.0 } else { 0 });
        self.list(w, |_| IN);
        self.list(w, |osd| osd.addrs.clone());
        w.u32(0).u32(0).u32(0); // pg_temp, primary_temp, osd_primary_affinity
        w.with_len(default_crush);
        w.u32(1).string("default").put(&default_profile());
        w.u32(0).u32(0).u32(1); // pg_upmap, pg_upmap_items, crush_version
        w.u32(0).u32(0); // new_removed_snaps, new_purged_snaps
        w.put(&UTime::default()).put(&UTime::default()); // last_up_change, last_in_change
    }

    fn encode_osd_part(&self, w: &mut Writer) {
        self.list(w, |osd| osd.addrs.clone()); // hb_back_addrs
        self.list(w, |_| OsdInfo { up_from: self.epoch });
        w.u32(0); // blocklist
        self.list(w, |osd| osd.addrs.clone()); // cluster_addrs
        w.u32(0).string(""); // cluster_snapshot_epoch, cluster_snapshot
        self.list(w, |_| Fsid::default()); // osd_uuid
        self.list(w, |_| OsdXinfo);
        self.list(w, |osd| osd.addrs.clone()); // hb_front_addrs
        // nearfull_ratio, full_ratio, backfillfull_ratio
        for ratio in [0.85_f32, 0.95, 0.90] {
            w.bytes(&ratio.to_le_bytes());
        }
        w.u8(LUMINOUS).u8(PACIFIC); // require_min_compat_client, require_osd_release
        w.u32(0).u32(0).u32(0); // removed_snaps_queue, crush_node_flags, device_class_flags
    }
}

impl Encode for SimpleOSDMap {
    fn encode(&self, w: &mut Writer) {
        let mut map = Writer::new(w.features());
        map.versioned(8, 7, |w| {
            w.versioned(9, 1, |w| self.encode_client_part(w));
            w.versioned(9, 1, |w| self.encode_osd_part(w));
            w.u32(0); // The crc, of all that stands before it.
        });
        let bytes = map.as_slice();
        let body = bytes.get(..bytes.len() - 4).unwrap_or_default();
        w.bytes(body).u32(ceph_crc32c(u32::MAX, body));
    }
}

fn default_profile() -> BTreeMap<String, String> {
    [("k", "2"), ("m", "2"), ("plugin", "jerasure"), ("technique", "reed_sol_van")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// `osd_info_t`: `u8` 1, `u32` last_clean_begin, last_clean_end, up_from, up_thru, down_at,
/// lost_at (`src/osd/OSDMap.cc`).
#[derive(Default)]
struct OsdInfo {
    up_from: Epoch,
}

impl Encode for OsdInfo {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).u32(0).u32(0).put(&self.up_from).put(&self.up_from).u32(0).u32(0);
    }
}

/// `osd_xinfo_t`: VER(4,1) down_stamp, `u32` laggy_probability, `u32` laggy_interval, `u64`
/// features, `u32` old_weight, last_purged_snaps_scrub, `u32` dead_epoch.
#[derive(Default)]
struct OsdXinfo;

impl Encode for OsdXinfo {
    fn encode(&self, w: &mut Writer) {
        w.versioned(4, 1, |w| {
            w.put(&UTime::default()).u32(0).u32(0).u64(Features::SUPPORTED.0).u32(0);
            w.put(&UTime::default()).u32(0);
        });
    }
}
