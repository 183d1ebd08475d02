use super::*;
use crate::crc32c::ceph_crc32c;
use crate::denc::{Decode, DecodeErrorKind, Writer};
use crate::types::{EntityAddr, Epoch, Features, Fsid, UTime};

/// A map of three OSDs (0 up, 1 down, 2 never made) and one pool, in the form of `v` and `cv`.
fn encoded(v: u8, cv: u8) -> Vec<u8> {
    let mut w = Writer::new(Features::ALL);
    let mut crc_at = 0;
    w.versioned(v, 7, |w| {
        w.versioned(cv, 1, |w| {
            w.put(&Fsid([7; 16])).u32(9).put(&UTime::default()).put(&UTime::default());
            w.u32(1).i64(1).versioned(29, 5, |w| {
                w.u64(0xdead);
            });
            w.u32(1).i64(1).string("rbd").i32(1).u32(0x58_8000).i32(3);
            w.u32(3);
            for state in [3u8, 1, 0] {
                if cv >= 5 {
                    w.u32(state.into())
                } else {
                    w.u8(state)
                };
            }
            w.u32(3).u32(0x10000).u32(0).u32(0);
            let addr = |s: &str| s.parse::<EntityAddr>().unwrap();
            w.u32(3).put(&addr("v1:10.0.0.1:6801/1")).put(&addr("v1:10.0.0.1:6802/2"));
            w.put(&EntityAddr::NONE).bytes(b"pg_temp and so on");
        });
        w.versioned(9, 1, |w| {
            w.bytes(b"the osds' part");
        });
        crc_at = w.len();
        if v >= 8 {
            w.u32(0);
        }
        if v >= 9 {
            w.u32(0x1234_5678);
        }
    });
    let mut out = w.into_vec();
    if v >= 8 {
        let crc = ceph_crc32c(ceph_crc32c(u32::MAX, &out[..crc_at]), &out[crc_at + 4..]);
        out[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    out
}

#[test]
fn what_a_client_asks_of_a_map() {
    for (v, cv) in [(7, 1), (8, 4), (8, 10), (9, 11)] {
        let map = OSDMap::from_bytes(&encoded(v, cv)).unwrap();
        assert_eq!((map.epoch, map.max_osd, map.flags), (Epoch(9), 3, 0x58_8000));
        assert_eq!((map.pool_id("rbd"), map.pool_id("x")), (Some(1), None));
        let of = |osd| (map.exists(osd), map.is_up(osd), map.is_in(osd));
        assert_eq!(of(0), (true, true, true));
        assert_eq!(of(1), (true, false, false));
        for none in [2, 3, -1, i32::MAX, i32::MIN] {
            assert_eq!((of(none), map.addrs(none)), ((false, false, false), None), "{none}");
        }
        assert_eq!(map.addrs(0).unwrap().to_string(), "v1:10.0.0.1:6801/1");
        assert_eq!(map.addrs(1).unwrap().to_string(), "v1:10.0.0.1:6802/2");
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let wire = encoded(8, 10);
    for at in 0..wire.len() {
        let mut bad = wire.clone();
        bad[at] ^= 0x10;
        assert!(OSDMap::from_bytes(&bad).is_err(), "byte {at}");
    }
    let mut bad = wire;
    let last = bad.len() - 5;
    bad[last] ^= 1;
    let e = OSDMap::from_bytes(&bad).unwrap_err();
    assert_eq!(e.what, "OSDMap crc");
}

#[test]
fn cut_and_ancient_maps_are_refused() {
    let wire = encoded(8, 10);
    for n in 0..wire.len() {
        assert!(OSDMap::from_bytes(&wire[..n]).is_err(), "{n} bytes");
    }
    let e = OSDMap::from_bytes(&[6, 0, 0, 0]).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::TooOld(6));
}
