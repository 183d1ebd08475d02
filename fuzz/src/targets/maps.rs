//! The maps. `u8` tells which, its bytes follow.

use ceph_msgr::crc32c::ceph_crc32c;
use ceph_msgr::denc::Reader;
use ceph_msgr::mds::{FSMap, MDSMap, MdsInfo};
use ceph_msgr::mon::{MgrMap, MonInfo, MonMap};
use ceph_msgr::osd::OSDMap;

use crate::codec::{decode, round_trip_older};
use crate::input::Input;

/// The target.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let which = input.u8() % 8;
    let bytes = input.rest();
    match which {
        0 => mon_map(bytes),
        1 => drop(round_trip_older::<MonInfo>(bytes)),
        2 => drop(decode::<MgrMap>(bytes).map(|map| format!("{map:?}"))),
        3 => osd_map(bytes),
        4 => osd_map(&with_crc(bytes)),
        5 => drop(decode::<MDSMap>(bytes).map(|(map, _)| mds_map(&map))),
        6 => drop(decode::<FSMap>(bytes).map(|(map, _)| fs_map(&map))),
        _ => drop(decode::<MdsInfo>(bytes).map(|mds| format!("{mds:?}"))),
    }
}

fn mon_map(bytes: &[u8]) {
    let Some(mut map) = round_trip_older::<MonMap>(bytes) else { return };
    for rank in [0, map.ranks.len(), usize::MAX] {
        let _ = map.mon_of_rank(rank);
    }
    let names: Vec<_> = map.mon_info.keys().cloned().collect();
    for name in &names {
        let mon = map.mon(name).expect("a name of its own").clone();
        for addr in &mon.public_addrs.0 {
            let _ = map.rank_of_addr(addr);
        }
        let _ = map.rank(name);
    }
    if let Some(mon) = map.mon_info.values().next().cloned() {
        map.add(mon);
        assert_eq!(map.ranks.len(), map.size(), "each monitor has a rank");
    }
}

fn osd_map(bytes: &[u8]) {
    let Ok((map, _)) = decode::<OSDMap>(bytes) else { return };
    for osd in [i32::MIN, -1, 0, 1, map.max_osd, map.osd_state.len() as i32, i32::MAX] {
        let exists = map.exists(osd);
        assert!(exists || (!map.is_up(osd) && !map.is_in(osd) && map.addrs(osd).is_none()));
    }
    for name in map.pool_name.values() {
        assert!(map.pool_id(name).is_some());
    }
}

fn mds_map(map: &MDSMap) {
    for rank in [i32::MIN, -1, 0, 1, map.max_mds, i32::MAX] {
        assert!(map.active(rank).is_none() || map.of_rank(rank).is_some());
    }
    for mds in map.mds_info.values() {
        assert!(map.named(&mds.name).is_some());
    }
}

fn fs_map(map: &FSMap) {
    for fs in &map.filesystems {
        mds_map(&fs.mds_map);
        assert!(map.filesystem(fs.fscid).is_some());
        assert!(map.filesystem_named(&fs.mds_map.fs_name).is_some());
    }
    let _ = format!("{:?}", map.daemons().collect::<Vec<_>>());
}

/// The map with the crc that it must have, so that one that was changed is read as well.
fn with_crc(bytes: &[u8]) -> Vec<u8> {
    let at = || {
        let mut r = Reader::new(bytes);
        r.bytes(6).ok()?;
        r.skip_versioned().ok()?;
        r.skip_versioned().ok()?;
        let crc = r.position();
        r.u32().ok()?;
        let mut whole = Reader::new(bytes);
        whole.skip_versioned().ok()?;
        Some((crc, whole.position())).filter(|(crc, end)| crc + 4 <= *end)
    };
    let mut out = bytes.to_vec();
    if let Some((at, end)) = at() {
        let crc = ceph_crc32c(ceph_crc32c(u32::MAX, &bytes[..at]), &bytes[at + 4..end]);
        out[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    out
}
