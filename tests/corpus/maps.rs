use ceph_msgr::denc::{Decode, Encode};
use ceph_msgr::mds::{FSMap, MDSMap, MdsInfo};
use ceph_msgr::mon::{MgrMap, MonInfo, MonMap};
use ceph_msgr::osd::{OSDMap, OsdState};
use ceph_msgr::types::Features;
use serde_json::{Value, json};

use super::support::{addrvec, each, shown, utime};

#[test]
fn mon_map() {
    each("MonMap", |sample, map: MonMap| {
        let name = &sample.name;
        let again = MonMap::from_bytes(&map.to_bytes(Features::ALL)).unwrap();
        assert_eq!(again, map, "{name}");
        let Some(json) = &sample.json else { return };
        assert_eq!(json["epoch"], map.epoch.0, "{name}");
        assert_eq!(json["fsid"], map.fsid.to_string(), "{name}");
        assert_eq!(json["modified"], utime(map.last_changed), "{name}");
        assert_eq!(json["min_mon_release"], map.min_mon_release, "{name}");
        let mons = json["mons"].as_array().unwrap();
        assert_eq!(mons.len(), map.size(), "{name}");
        for (rank, mon) in mons.iter().enumerate() {
            let info = map.mon_of_rank(rank).unwrap();
            assert_eq!((&mon["rank"], &mon["name"]), (&json!(rank), &json!(info.name)), "{name}");
            assert_eq!(addrvec(&mon["public_addrs"]), shown(&info.public_addrs), "{name}");
        }
    });
}

#[test]
fn mon_info() {
    each("mon_info_t", |sample, info: MonInfo| {
        if sample.bytes[0] == 5 {
            assert_eq!(info.to_bytes(Features::ALL), sample.bytes, "{}", sample.name);
        }
    });
}

#[test]
fn mgr_map() {
    each("MgrMap", |sample, map: MgrMap| {
        let name = &sample.name;
        let Some(json) = &sample.json else { return };
        assert_eq!(json["epoch"], map.epoch.0, "{name}");
        assert_eq!(json["active_gid"], map.active_gid.0, "{name}");
        assert_eq!(json["active_name"], map.active_name, "{name}");
        assert_eq!(addrvec(&json["active_addrs"]), shown(&map.active_addrs), "{name}");
        assert_eq!(json["active_change"], utime(map.active_change), "{name}");
        assert_eq!(json["available"], map.available, "{name}");
        assert_eq!(json["modules"], json!(map.modules), "{name}");
        assert_eq!(json["services"], json!(map.services), "{name}");
        let standbys: Vec<_> =
            map.standbys.values().map(|s| json!({"gid": s.gid.0, "name": s.name})).collect();
        let want: Vec<_> = (json["standbys"].as_array().unwrap().iter())
            .map(|s| json!({"gid": s["gid"], "name": s["name"]}))
            .collect();
        assert_eq!(want, standbys, "{name}");
        let again = MgrMap::from_bytes(&map.to_bytes(Features::SUPPORTED)).unwrap();
        assert_eq!(again, map, "{name}");
        // Nautilus' dump has no features; a manager since octopus has sent some.
        if map.active_gid.0 != 0 && sample.bytes[0] >= 9 {
            assert!(map.active_mgr_features.has(Features::SERVER_OCTOPUS), "{name}");
        }
    });
}

fn check_mds(json: &Value, mds: &MdsInfo, name: &str) {
    assert_eq!(json["gid"], mds.global_id.0, "{name}");
    assert_eq!(json["name"], mds.name, "{name}");
    assert_eq!(json["rank"], mds.rank, "{name}");
    assert_eq!(json["incarnation"], mds.inc, "{name}");
    assert_eq!(json["state"], mds.state.name(), "{name}");
    assert_eq!(json["state_seq"], mds.state_seq, "{name}");
    assert_eq!(addrvec(&json["addrs"]), shown(&mds.addrs), "{name}");
}

fn check_mds_map(json: &Value, map: &MDSMap, name: &str) {
    assert_eq!(json["epoch"], map.epoch.0, "{name}");
    assert_eq!(json["flags"], map.flags, "{name}");
    assert_eq!(json["created"], utime(map.created), "{name}");
    assert_eq!(json["modified"], utime(map.modified), "{name}");
    assert_eq!(json["session_timeout"], map.session_timeout, "{name}");
    assert_eq!(json["session_autoclose"], map.session_autoclose, "{name}");
    assert_eq!(json["max_file_size"], map.max_file_size, "{name}");
    assert_eq!(json["max_mds"], map.max_mds, "{name}");
    assert_eq!(json["in"], json!(map.in_), "{name}");
    assert_eq!(json["failed"], json!(map.failed), "{name}");
    assert_eq!(json["data_pools"], json!(map.data_pools), "{name}");
    assert_eq!(json["metadata_pool"], map.metadata_pool, "{name}");
    assert_eq!(json["enabled"], map.enabled, "{name}");
    assert_eq!(json["fs_name"], map.fs_name, "{name}");
    let up = json["up"].as_object().unwrap();
    assert_eq!(up.len(), map.up.len(), "{name}");
    for (rank, gid) in &map.up {
        assert_eq!(up[&format!("mds_{rank}")], gid.0, "{name}");
        let mds = map.of_rank(*rank).unwrap();
        assert_eq!((mds.global_id, mds.rank), (*gid, *rank), "{name}");
    }
    let info = json["info"].as_object().unwrap();
    assert_eq!(info.len(), map.mds_info.len(), "{name}");
    for (gid, mds) in &map.mds_info {
        check_mds(&info[&format!("gid_{gid}")], mds, name);
    }
}

#[test]
fn mds_map() {
    each("MDSMap", |sample, map: MDSMap| {
        if let Some(json) = &sample.json {
            check_mds_map(json, &map, &sample.name);
        }
    });
}

#[test]
fn fs_map() {
    each("FSMap", |sample, map: FSMap| {
        let name = &sample.name;
        let Some(json) = &sample.json else { return };
        assert_eq!(json["epoch"], map.epoch.0, "{name}");
        assert_eq!(json["default_fscid"], map.legacy_client_fscid, "{name}");
        let filesystems = json["filesystems"].as_array().unwrap();
        assert_eq!(filesystems.len(), map.filesystems.len(), "{name}");
        for json in filesystems {
            let fscid = json["id"].as_i64().unwrap() as i32;
            check_mds_map(&json["mdsmap"], &map.filesystem(fscid).unwrap().mds_map, name);
        }
        let standbys = json["standbys"].as_array().unwrap();
        assert_eq!(standbys.len(), map.standby_daemons.len(), "{name}");
        for (json, mds) in standbys.iter().zip(map.standby_daemons.values()) {
            check_mds(json, mds, name);
        }
    });
}

#[test]
fn osd_map() {
    each("OSDMap", |sample, map: OSDMap| {
        let name = &sample.name;
        let Some(json) = &sample.json else { return };
        assert_eq!(json["epoch"], map.epoch.0, "{name}");
        assert_eq!(json["fsid"], map.fsid.to_string(), "{name}");
        assert_eq!(json["created"], utime(map.created), "{name}");
        assert_eq!(json["modified"], utime(map.modified), "{name}");
        assert_eq!(json["flags_num"], map.flags, "{name}");
        assert_eq!(json["pool_max"], map.pool_max, "{name}");
        assert_eq!(json["max_osd"], map.max_osd, "{name}");
        let pools = json["pools"].as_array().unwrap();
        assert_eq!(pools.len(), map.pool_name.len(), "{name}");
        for pool in pools {
            let pool_name = pool["pool_name"].as_str().unwrap();
            assert_eq!(pool["pool"], json!(map.pool_id(pool_name)), "{name}");
        }
        let mut exist = 0;
        for osd in json["osds"].as_array().unwrap() {
            let id = osd["osd"].as_i64().unwrap() as i32;
            exist += 1;
            assert!(map.exists(id), "{name} osd.{id}");
            assert_eq!(osd["up"], u32::from(map.is_up(id)), "{name} osd.{id}");
            assert_eq!(osd["in"], u32::from(map.is_in(id)), "{name} osd.{id}");
            let weight = f64::from(map.osd_weight[id as usize]) / 65536.0;
            assert!((osd["weight"].as_f64().unwrap() - weight).abs() < 1e-6, "{name} osd.{id}");
            assert_eq!(addrvec(&osd["public_addrs"]), shown(map.addrs(id).unwrap()), "{name}");
            let states = osd["state"].as_array().unwrap();
            assert_eq!(
                states.contains(&json!("autoout")),
                map.state(id).contains(OsdState::AUTOOUT),
                "{name} osd.{id}"
            );
        }
        let all = (-1..map.max_osd + 1).filter(|id| map.exists(*id)).count();
        assert_eq!(all, exist, "{name}");
    });
}
