use super::*;
use crate::denc::{Decode, DecodeErrorKind, Encode, Writer};
use crate::hex::hex;
use crate::types::{
    AddrType, EntityAddr, EntityAddrVec, EntityName, EntityType, Epoch, Features, GlobalId,
};

/// `monmaptool --create --addv a '[v2:127.0.0.1:40000,v1:127.0.0.1:40001]'
/// --addv b v1:10.0.0.2:6789 --addv c 'v2:[fe80::1]:3300'` of 16.2.15.
fn monmaptool_16() -> Vec<u8> {
    hex("0906 59010000 9b3cdeef6a4b41ddb94e047dbfe16ecb 00000000 92e0056b38be8d13 92e0056b38be8d13
         0101080000000000000000000000 0101080000000000000000000000
         03000000
         01000000 61 0501 58000000 01000000 61 02 02000000
           010101 1c000000 02000000 00000000 10000000 0200 9c40 7f000001 0000000000000000
           010101 1c000000 01000000 00000000 10000000 0200 9c41 7f000001 0000000000000000
           0000 0000 00000000
         01000000 62 0501 35000000 01000000 62 02 01000000
           010101 1c000000 01000000 00000000 10000000 0200 1a85 0a000002 0000000000000000
           0000 0000 00000000
         01000000 63 0501 41000000 01000000 63 02 01000000
           010101 28000000 02000000 00000000 1c000000 0a00 0ce4 00000000
             fe800000000000000000000000000001 00000000
           0000 0000 00000000
         03000000 01000000 62 01000000 61 01000000 63
         00 00000000 01 00000000 00 00000000 00000000")
}

#[test]
fn a_monmap_of_16_2_15() {
    let wire = monmaptool_16();
    let map = MonMap::from_bytes(&wire).unwrap();
    assert_eq!(map.fsid.to_string(), "9b3cdeef-6a4b-41dd-b94e-047dbfe16ecb");
    assert_eq!((map.size(), map.epoch, map.strategy), (3, Epoch(0), ElectionStrategy::CLASSIC));
    assert_eq!(map.ranks, ["b", "a", "c"]);
    assert_eq!((map.rank("a"), map.rank("d")), (Some(1), None));
    let a = map.mon_of_rank(1).unwrap();
    assert_eq!(a.public_addrs.to_string(), "[v2:127.0.0.1:40000/0,v1:127.0.0.1:40001/0]");
    assert_eq!(map.rank_of_addr(&a.public_addrs.0[1]), Some(1));
    assert_eq!(map.rank_of_addr(&"v1:127.0.0.1:40000".parse().unwrap()), None, "wrong type");
    assert_eq!(map.mon_of_rank(3), None);
    assert_eq!(map.auth_ciphers, None);
    assert_eq!(map.to_bytes(Features::ALL), wire);
    for n in 0..wire.len() {
        assert!(MonMap::from_bytes(&wire[..n]).is_err(), "{n} bytes");
    }
}

#[test]
fn adding_ranks_as_monmaptool_does() {
    let read = MonMap::from_bytes(&monmaptool_16()).unwrap();
    let mut map = MonMap { ranks: Vec::new(), mon_info: Default::default(), ..read.clone() };
    for name in ["c", "b", "a"] {
        map.add(read.mon(name).unwrap().clone());
    }
    assert_eq!(map, read);
    // Ports of sockaddr are big-endian, types little-endian; a name decides between equals.
    let v1 = |addr: &str| EntityAddrVec::from(addr.parse::<EntityAddr>().unwrap());
    let mut map = MonMap::default();
    for (name, addr) in [("z", "v1:9.9.9.9:255"), ("y", "v1:1.1.1.1:256"), ("x", "v2:1.1.1.1:1")] {
        map.add(MonInfo::new(name, v1(addr)));
    }
    map.add(MonInfo::new("w", v1("v1:1.1.1.1:256")));
    assert_eq!(map.ranks, ["z", "w", "y", "x"]);
}

#[test]
fn the_tail_of_version_10_is_kept_and_that_of_11_skipped() {
    let mut wire = monmaptool_16();
    let tail = hex("03000000 02000000 02000000 01000000 02000000 02000000");
    wire.extend(&tail);
    (wire[0], wire[2]) = (10, wire[2] + tail.len() as u8);
    let map = MonMap::from_bytes(&wire).unwrap();
    let ciphers = AuthCiphers {
        epoch: 3,
        service_cipher: 2,
        allowed_ciphers: [1, 2].into(),
        preferred_cipher: 2,
    };
    assert_eq!(map.auth_ciphers, Some(ciphers));
    assert_eq!(map.to_bytes(Features::ALL), wire);
    wire.push(0xee);
    (wire[0], wire[2]) = (11, wire[2] + 1);
    assert_eq!(MonMap::from_bytes(&wire), Ok(map));
    wire[1] = 11;
    let e = MonMap::from_bytes(&wire).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::Incompatible { compat: 11, known: 10 });
}

#[test]
fn older_peers_get_older_forms_with_legacy_addresses() {
    let map = MonMap::from_bytes(&monmaptool_16()).unwrap();
    let old = Features(0x2f01_8eb8_7aa4_aafe & !(1 << 2));
    let v5 = map.to_bytes(old);
    assert_eq!(v5[..2], [5, 3]);
    let v2 = map.to_bytes(Features(1 << 5));
    assert_eq!(v2[..2], [2, 0]);
    for wire in [v5, v2] {
        let read = MonMap::from_bytes(&wire).unwrap();
        assert_eq!((read.epoch, read.fsid, read.created), (map.epoch, map.fsid, map.created));
        // c speaks messenger v2 only, so that such a peer sees no address, and ranks it first.
        assert_eq!(read.ranks, ["c", "b", "a"]);
        let a = &read.mon("a").unwrap().public_addrs;
        assert_eq!(a.to_string(), "v1:127.0.0.1:40001/0");
        for n in 0..wire.len() {
            assert!(MonMap::from_bytes(&wire[..n]).is_err(), "{n} bytes");
        }
    }
}

#[test]
fn version_1_had_no_names() {
    let map = MonMap::from_bytes(&monmaptool_16()).unwrap();
    let mut w = Writer::new(Features::NONE);
    w.u16(1).put(&map.fsid).put(&map.epoch).u32(2);
    for (i, port) in [2, 1].into_iter().enumerate() {
        let addr: EntityAddr = format!("v1:10.0.0.1:{port}").parse().unwrap();
        w.put(&EntityName::new(EntityType::MON, i as i64)).put(&addr);
    }
    w.put(&map.last_changed).put(&map.created);
    let read = MonMap::from_bytes(w.as_slice()).unwrap();
    assert_eq!(read.ranks, ["1", "0"]);
    let addr = read.mon_of_rank(0).unwrap().public_addrs.0[0];
    assert_eq!((addr.addr_type, addr.port()), (AddrType::LEGACY, 1));
}

#[test]
fn a_mgrmap_of_luminous_and_one_from_the_future() {
    // Version 5, as MgrMap::encode writes it for a peer before nautilus: one address, and the
    // names of the modules that are available.
    let mut w = Writer::new(Features::ALL);
    w.versioned(5, 1, |w| {
        w.u32(7).put(&"v1:10.0.0.1:6800/5".parse::<EntityAddr>().unwrap()).u64(4100).bool(true);
        w.string("x").u32(0).u32(1).string("restful").u32(1).string("restful");
        w.u32(1).string("restful").string("https://h:8003/");
        w.u32(1).versioned(1, 1, |w| {
            w.string("restful");
        });
    });
    let map = MgrMap::from_bytes(w.as_slice()).unwrap();
    assert_eq!((map.epoch, map.active_gid.0, map.available), (Epoch(7), 4100, true));
    assert_eq!((map.active_name.as_str(), &map.services["restful"][..]), ("x", "https://h:8003/"));
    assert_eq!(map.active_addrs.to_string(), "v1:10.0.0.1:6800/5");
    assert_eq!(map.active_mgr_features, Features::NONE);

    let mut future = w.into_vec();
    future[1] = 14;
    let e = MgrMap::from_bytes(&future).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::Incompatible { compat: 14, known: 14 - 1 });
}

/// What a 16.2.15 monitor without managers sends.
const MGRMAP_16: &str =
    "0c06cd01000001000000020000000000000000000000000000000000000000000000000000000000000000000000
         000000000000030000000e000000080000000800000062616c616e6365720500000063726173680c000000646576
         6963656865616c7468100000006f7263686573747261746f725f636c690800000070726f67726573730b00000072
         62645f737570706f72740600000073746174757307000000766f6c756d65730f0000000a0000000800000062616c
         616e6365720500000063726173680c0000006465766963656865616c74680c0000006f7263686573747261746f72
         0d00000070675f6175746f7363616c65720800000070726f67726573730b0000007262645f737570706f72740600
         00007374617475730900000074656c656d6574727907000000766f6c756d6573100000000a000000080000006261
         6c616e6365720500000063726173680c0000006465766963656865616c74680c0000006f7263686573747261746f
         720d00000070675f6175746f7363616c65720800000070726f67726573730b0000007262645f737570706f727406
         0000007374617475730900000074656c656d6574727907000000766f6c756d657300000000000000000000000000
         00000000000000";

#[test]
fn a_mgrmap_of_16_2_15_is_written_as_it_was() {
    let wire = hex(MGRMAP_16);
    let map = MgrMap::from_bytes(&wire).unwrap();
    assert_eq!((map.epoch, map.active_gid.0, map.available), (Epoch(1), 0, false));
    assert!(map.always_on_modules[&16].contains("volumes"), "{map:?}");
    assert_eq!(map.to_bytes(Features::SUPPORTED), wire);

    let standby =
        StandbyInfo { gid: GlobalId(7), name: "y".into(), mgr_features: Features::SUPPORTED };
    let active = MgrMap {
        active_addrs: "v1:127.0.0.1:6800/5".parse::<EntityAddr>().unwrap().into(),
        active_gid: GlobalId(4100),
        available: true,
        active_name: "x".into(),
        standbys: [(standby.gid, standby)].into(),
        services: [("restful".into(), "https://h:8003/".into())].into(),
        ..map
    };
    assert_eq!(MgrMap::from_bytes(&active.to_bytes(Features::SUPPORTED)), Ok(active));
}
