//! Fronts that a monitor of 16.2.15 sent, of a cluster that had nothing but itself.

use std::collections::BTreeMap;

use crate::denc::{Decode, Encode};
use crate::hex::{hex, to_hex};
use crate::mds::FSMap;
use crate::messages::Body;
use crate::messages::mds::MFSMap;
use crate::messages::mon::{MConfig, MMonMap};
use crate::messages::osd::MOSDMap;
use crate::mon::{MgrMap, MonMap};
use crate::osd::{OSDMap, OsdState};
use crate::testing::maps::Maps;
use crate::testing::monitor::first_monmap;
use crate::testing::{SimpleOSD, SimpleOSDMap};
use crate::types::{EntityAddr, Epoch, Features, Fsid, UTime};

const MON_MAP: &str =
    "a60000000906a0000000a852b6f397344d0eb422eebe331c3d1001000000490f066b80bc7e08490f066b80bc7e08
     010108000000ff000000000000000101080000000000000000000000010000000100000061050135000000010000
     006102010000000101011c000000010000000000000010000000020038a57f000001000000000000000000000000
     0000000001000000010000006110000000000100000000000000000000000000";

const OSD_MAP: &str =
    "a852b6f397344d0eb422eebe331c3d1000000000010000000100000086020000080780020000090132020000a852
     b6f397344d0eb422eebe331c3d10010000004a0f066bf43ba3154a0f066bf43ba315000000000000000000000000
     00805800000000000000000000000000000000000000000000000000000000006001000000000100080000000100
     00000000000005000000ffffffff0b00050000000000000000000000000000000000000000000000000000000000
     000000000000000001000000030000000001010a01000000ffffffff000000000200000000000000000000000400
     000000000000000000000c00000000000000030000006f73640100000004000000686f7374020000000700000063
     68617373697303000000040000007261636b0400000003000000726f770500000003000000706475060000000300
     0000706f640700000004000000726f6f6d080000000a0000006461746163656e74657209000000040000007a6f6e
     650a00000006000000726567696f6e0b00000004000000726f6f7401000000ffffffff0700000064656661756c74
     01000000000000000f0000007265706c6963617465645f72756c6500000000000000003200000001000000010136
     0000000100000000000000000000000000000000010000000700000064656661756c7404000000010000006b0100
     000032010000006d010000003206000000706c7567696e080000006a6572617375726509000000746563686e6971
     75650c000000726565645f736f6c5f76616e00000000000000000100000000000000000000000000000000000000
     000000000000000009013e0000000000000000000000000000000000000000000000000000000000000000000000
     000000009a99593f3333733f6666663f0c1000000000000000000000000013cd6742010000000100000000000000";

const FS_MAP: &str =
    "01000000070668010000010000000100000000000000ffffffff0000000000000000000000000000000000000000
     000000007e070000000000000900000001000000000000000a000000626173652076302e32300200000000000000
     17000000636c69656e7420777269746561626c652072616e67657303000000000000001c00000064656661756c74
     2066696c65206c61796f757473206f6e206469727304000000000000001c00000064697220696e6f646520696e20
     7365706172617465206f626a65637405000000000000001b0000006d647320757365732076657273696f6e656420
     656e636f64696e67060000000000000019000000646972667261672069732073746f72656420696e206f6d617008
     000000000000000f0000006e6f20616e63686f72207461626c6509000000000000000e00000066696c65206c6179
     6f75742076320a000000000000000c000000736e61707265616c6d20763201000000000000000000000000000000
     0001";

const FS_MAP_USER: &str = "0100000001010c00000001000000ffffffff00000000";

const FSID: &str = "a852b6f3-9734-4d0e-b422-eebe331c3d10";

fn fsid() -> Fsid {
    FSID.parse().unwrap()
}

fn front(maps: &Maps, what: &str) -> String {
    let (version, msg) = maps.latest(what, Features::SUPPORTED).unwrap();
    assert_eq!(version, 1, "{what}");
    to_hex(&msg.front)
}

fn message<B: Body>(maps: &Maps, what: &str) -> B {
    B::from_message(&maps.latest(what, Features::SUPPORTED).unwrap().1).unwrap()
}

#[test]
fn the_first_monmap_is_ceph_s() {
    let wire = hex(MON_MAP);
    let real = MonMap::from_bytes(&wire[4..]).unwrap();
    let addrs = real.mon("a").unwrap().public_addrs.clone();
    let map = first_monmap(real.fsid, addrs, real.created);
    let mut maps = Maps::default();
    maps.set_monmap(map);
    assert_eq!(message::<MMonMap>(&maps, "monmap").monmapbl, wire[4..]);
    assert_eq!(front(&maps, "monmap"), to_hex(&wire));
}

#[test]
fn an_osdmap_without_osds_is_ceph_s() {
    let wire = hex(OSD_MAP);
    let real = OSDMap::from_bytes(&wire[32..32 + 0x286]).unwrap();
    let mut maps = Maps::default();
    maps.set_osdmap(SimpleOSDMap {
        fsid: real.fsid,
        epoch: real.epoch,
        created: real.created,
        modified: real.modified,
        osds: BTreeMap::new(),
    });
    assert_eq!(front(&maps, "osdmap"), to_hex(&wire));
}

#[test]
fn an_fsmap_without_file_systems_is_ceph_s() {
    let mut maps = Maps::default();
    maps.set_no_filesystems(Epoch(1));
    assert_eq!(front(&maps, "fsmap.user"), FS_MAP_USER);
    let ours = message::<MFSMap>(&maps, "fsmap");
    let real = hex(FS_MAP);
    let map = FSMap::from_bytes(&ours.fsmapbl).unwrap();
    assert_eq!(FSMap::from_bytes(&real[4..]), Ok(map));
    // Before and after the compat set, and less what the lengths say of it.
    assert_eq!(ours.fsmapbl[..2], real[4..6]);
    assert_eq!(ours.fsmapbl[6..22], real[10..26]);
    assert_eq!(ours.fsmapbl[ours.fsmapbl.len() - 18..], real[real.len() - 18..]);
}

#[test]
fn an_osdmap_says_where_osds_are() {
    let addr = |port| -> EntityAddr { format!("v1:127.0.0.1:{port}/7").parse().unwrap() };
    let osd = |port, up| SimpleOSD { addrs: addr(port).into(), up };
    let map = SimpleOSDMap {
        fsid: fsid(),
        epoch: Epoch(9),
        created: UTime { sec: 1, nsec: 2 },
        modified: UTime { sec: 3, nsec: 4 },
        osds: [(0, osd(6800, true)), (3, osd(6801, false))].into(),
    };
    let bytes = map.to_bytes(Features::SUPPORTED);
    let read = OSDMap::from_bytes(&bytes).unwrap();
    assert_eq!((read.fsid, read.epoch, read.max_osd), (fsid(), Epoch(9), 4));
    assert_eq!((read.created, read.modified), (map.created, map.modified));
    assert_eq!(read.state(0), OsdState(3));
    assert!(read.is_up(0) && read.is_in(0) && !read.exists(1) && !read.exists(2));
    assert!(!read.is_up(3) && read.is_in(3) && !read.exists(4));
    assert_eq!(read.addrs(3), Some(&addr(6801).into()));
    let mut maps = Maps::default();
    maps.set_osdmap(map);
    let m = message::<MOSDMap>(&maps, "osdmap");
    assert_eq!(
        (m.maps[&Epoch(9)].clone(), m.oldest_map, m.newest_map),
        (bytes, Epoch(9), Epoch(9))
    );
}

#[test]
fn the_config_counts_its_versions() {
    let mut maps = Maps::default();
    maps.set_config(BTreeMap::new());
    assert_eq!(front(&maps, "config"), "00000000");
    maps.set_config([("debug_ms".to_owned(), "1".to_owned())].into());
    let (version, msg) = maps.latest("config", Features::SUPPORTED).unwrap();
    assert_eq!(version, 2);
    assert_eq!(MConfig::from_message(&msg).unwrap().config["debug_ms"], "1");
}

#[test]
fn a_mgrmap_without_a_manager_makes_clients_wait() {
    let mut maps = Maps::default();
    maps.set_mgrmap(MgrMap { epoch: Epoch(1), ..MgrMap::default() });
    let (_, msg) = maps.latest("mgrmap", Features::SUPPORTED).unwrap();
    let map = MgrMap::from_bytes(&msg.front).unwrap();
    assert_eq!((map.epoch, map.active_gid.0, map.available), (Epoch(1), 0, false));
}
