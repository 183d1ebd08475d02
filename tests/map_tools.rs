//! The maps, judged by Ceph's own tools where they are installed.

use std::path::Path;
use std::process::{Command, Output};

use ceph_msgr::denc::{Decode, Encode};
use ceph_msgr::mon::{AuthCiphers, MonInfo, MonMap};
use ceph_msgr::osd::OSDMap;
use ceph_msgr::testing::{SimpleOSD, SimpleOSDMap};
use ceph_msgr::types::{EntityAddr, EntityAddrVec, Epoch, Features, UTime};

/// Runs one of Ceph's tools, `None` with a printed line where it is not installed.
fn run(tool: &str, args: &[&str], file: &Path) -> Option<Output> {
    match Command::new(tool).args(args).arg(file).output() {
        Ok(out) => Some(out),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED {tool}: not installed");
            None
        }
        Err(e) => panic!("{tool}: {e}"),
    }
}

fn addrs(list: &[&str]) -> EntityAddrVec {
    EntityAddrVec(list.iter().map(|a| a.parse::<EntityAddr>().unwrap()).collect())
}

#[test]
fn monmaptool_writes_what_we_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("monmap");
    let args = [
        "--create",
        "--fsid",
        "9b3cdeef-6a4b-41dd-b94e-047dbfe16ecb",
        "--addv",
        "a",
        "[v2:127.0.0.1:40000,v1:127.0.0.1:40001]",
        "--addv",
        "b",
        "v1:10.0.0.2:6789",
    ];
    let Some(out) = run("monmaptool", &args, &file) else { return };
    assert!(out.status.success(), "{out:?}");
    let bytes = std::fs::read(&file).unwrap();
    let map = MonMap::from_bytes(&bytes).unwrap();
    assert_eq!(map.fsid.to_string(), "9b3cdeef-6a4b-41dd-b94e-047dbfe16ecb");
    assert_eq!(map.ranks, ["b", "a"]);
    let a = &map.mon("a").unwrap().public_addrs;
    assert_eq!(a.to_string(), "[v2:127.0.0.1:40000/0,v1:127.0.0.1:40001/0]");
    let mut added = MonMap { ranks: Vec::new(), mon_info: Default::default(), ..map.clone() };
    map.mon_info.values().for_each(|mon| added.add(mon.clone()));
    assert_eq!(added, map, "ranks");
}

#[test]
fn monmaptool_reads_what_we_write() {
    let mut map = MonMap {
        epoch: Epoch(5),
        fsid: "9b3cdeef-6a4b-41dd-b94e-047dbfe16ecb".parse().unwrap(),
        ..MonMap::default()
    };
    map.add(MonInfo::new("x", addrs(&["v2:10.1.0.1:3300", "v1:10.1.0.1:6789"])));
    map.add(MonInfo::new("y", addrs(&["v1:10.0.0.2:6789"])));
    map.add(MonInfo::new("z", addrs(&["v2:[fe80::1]:3300"])));
    let legacy_order = ["y v1:10.0.0.2:6789/0", "x v1:10.1.0.1:6789/0"];
    let order = [
        "y v1:10.0.0.2:6789/0",
        "x [v2:10.1.0.1:3300/0,v1:10.1.0.1:6789/0]",
        "z v2:[fe80::1]:3300/0",
    ];
    let with_ciphers = MonMap {
        auth_ciphers: Some(AuthCiphers {
            epoch: 1,
            service_cipher: 2,
            allowed_ciphers: [2].into(),
            preferred_cipher: 2,
        }),
        ..map.clone()
    };
    let mut without_z = map.clone();
    without_z.mon_info.remove("z");
    let before_nautilus = Features(0x2f01_8eb8_7aa4_aafe & !(1 << 2));
    let before_monenc = Features(1 << 5);
    let dir = tempfile::tempdir().unwrap();
    for (map, features, want) in [
        (&map, Features::ALL, &order[..]),
        (&with_ciphers, Features::ALL, &order[..]),
        (&without_z, before_nautilus, &legacy_order[..]),
        (&without_z, before_monenc, &legacy_order[..]),
    ] {
        let file = dir.path().join("monmap");
        std::fs::write(&file, map.to_bytes(features)).unwrap();
        let Some(out) = run("monmaptool", &["--print"], &file) else { return };
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success(), "{features}: {text}");
        assert!(text.contains("epoch 5\nfsid 9b3cdeef-6a4b-41dd-b94e-047dbfe16ecb\n"), "{text}");
        for (rank, mon) in want.iter().enumerate() {
            let (name, addrs) = mon.split_once(' ').unwrap();
            assert!(text.contains(&format!("\n{rank}: {addrs} mon.{name}\n")), "{mon}: {text}");
        }
    }
}

#[test]
fn osdmaptool_writes_what_we_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("osdmap");
    let args = ["--createsimple", "3", "--with-default-pool", "--pg-bits", "4"];
    let Some(out) = run("osdmaptool", &args, &file) else { return };
    assert!(out.status.success(), "{out:?}");
    let map = OSDMap::from_bytes(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((map.epoch, map.max_osd, map.pool_id("rbd")), (Epoch(1), 3, Some(1)));
    assert_eq!((map.osd_state.len(), map.exists(0), map.addrs(0)), (3, false, None));
}

#[test]
fn osdmaptool_reads_what_we_write() {
    let osd = |addr, up| SimpleOSD { addrs: addrs(&[addr]), up };
    let map = SimpleOSDMap {
        fsid: "9b3cdeef-6a4b-41dd-b94e-047dbfe16ecb".parse().unwrap(),
        epoch: Epoch(7),
        created: UTime { sec: 1_700_000_000, nsec: 0 },
        modified: UTime { sec: 1_700_000_001, nsec: 0 },
        osds: [(0, osd("v1:127.0.0.1:6800/5", true)), (2, osd("v1:127.0.0.1:6801/6", false))]
            .into(),
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("osdmap");
    std::fs::write(&file, map.to_bytes(Features::SUPPORTED)).unwrap();
    let Some(out) = run("osdmaptool", &["--print"], &file) else { return };
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{text}");
    for line in [
        "epoch 7",
        "fsid 9b3cdeef-6a4b-41dd-b94e-047dbfe16ecb",
        "flags sortbitwise,recovery_deletes,purged_snapdirs,pglog_hardlimit",
        "require_osd_release pacific",
        "max_osd 3",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
    let osd = |id| text.lines().find(|line| line.starts_with(id)).unwrap_or_default();
    assert!(osd("osd.0 up").contains("v1:127.0.0.1:6800/5"), "{text}");
    assert!(osd("osd.2 down").contains("in"), "{text}");
    assert!(osd("osd.1").is_empty(), "{text}");
}
