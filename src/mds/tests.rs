use super::*;
use crate::denc::{Decode, DecodeErrorKind, Writer};
use crate::types::{EntityAddr, Epoch, Features, GlobalId, UTime};

fn mds_info(w: &mut Writer, gid: u64, rank: i32, state: MdsState) {
    let addr: EntityAddr = format!("v1:10.0.0.1:6800/{gid}").parse().unwrap();
    w.u64(gid).versioned(9, 4, |w| {
        w.u64(gid).string(&format!("m{gid}")).i32(rank).i32(4).i32(state.0).u64(10).put(&addr);
        w.put(&UTime::default()).bytes(b"export_targets and so on");
    });
}

/// Ranks 0 (active) and 1 (rejoin), and a daemon that follows rank 0.
fn encoded(ev: u16) -> Vec<u8> {
    let mut w = Writer::new(Features::ALL);
    w.versioned(5, 4, |w| {
        w.u32(9).u32(18).u32(0).i32(0).u32(60).u32(300).u64(1 << 40).i32(2).u32(3);
        mds_info(w, 100, 0, MdsState::ACTIVE);
        mds_info(w, 101, 1, MdsState::REJOIN);
        mds_info(w, 102, 0, MdsState::STANDBY_REPLAY);
        w.u32(1).i64(3).i64(-1).u16(ev);
        for _ in 0..3 {
            w.u64(1).u32(1).u64(1).string("base v0.20");
        }
        w.i64(2).put(&UTime::default()).put(&UTime::default()).i32(0);
        w.u32(2).i32(0).i32(1).u32(0).u32(2).i32(0).u64(100).i32(1).u64(101);
        w.u32(0).u32(0).u32(0).bytes(&[0; 3]).bool(true).string("cephfs").bytes(b"and so on");
    });
    w.into_vec()
}

#[test]
fn the_active_daemon_of_a_rank() {
    let map = MDSMap::from_bytes(&encoded(17)).unwrap();
    assert_eq!((map.epoch, map.fs_name.as_str(), map.enabled), (Epoch(9), "cephfs", true));
    let active = map.active(0).unwrap();
    assert_eq!((active.global_id, active.name.as_str()), (GlobalId(100), "m100"));
    assert_eq!(active.addrs.to_string(), "v1:10.0.0.1:6800/100");
    assert_eq!(map.active(1), None, "it rejoins");
    assert_eq!(map.of_rank(1).map(|m| m.state), Some(MdsState::REJOIN));
    assert_eq!(map.of_rank(2), None);
    assert_eq!(map.named("m102").map(|m| m.rank), Some(0));
    assert_eq!(format!("{:?} {:?}", MdsState::ACTIVE, MdsState(77)), "up:active 77");
}

#[test]
fn forms_without_a_length_are_refused() {
    let e = MDSMap::from_bytes(&[3, 0, 0, 0]).unwrap_err();
    assert_eq!((e.what, e.kind), ("MDSMap", DecodeErrorKind::TooOld(3)));
    let e = FSMap::from_bytes(&encoded(17)).unwrap_err();
    assert_eq!((e.what, e.kind), ("FSMap", DecodeErrorKind::TooOld(5)));
}

#[test]
fn a_file_system_is_found_by_name_and_by_number() {
    let mut w = Writer::new(Features::ALL);
    w.versioned(8, 6, |w| {
        w.u32(9).u64(2).i32(1);
        for _ in 0..3 {
            w.u64(1).u32(0);
        }
        w.bool(true).u32(1).versioned(2, 1, |w| {
            w.i32(1).blob(&encoded(17)).bytes(b"mirror_info");
        });
        w.u32(1).u64(100).i32(1).u32(1);
        mds_info(w, 103, -1, MdsState::STANDBY);
        w.bytes(b"standby_epochs");
    });
    let wire = w.into_vec();
    let map = FSMap::from_bytes(&wire).unwrap();
    assert_eq!(map.filesystem_named("cephfs"), map.filesystem(1));
    assert_eq!(map.filesystem_named("other"), None);
    let names: Vec<_> = map.daemons().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["m100", "m101", "m102", "m103"]);
    for n in 0..wire.len() {
        assert!(FSMap::from_bytes(&wire[..n]).is_err(), "{n} bytes");
    }
}
