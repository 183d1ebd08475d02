use std::collections::BTreeMap;

use crate::denc::Writer;

/// Types of buckets from 1 on; 0 is an OSD.
const TYPES: [&str; 11] = [
    "host",
    "chassis",
    "rack",
    "row",
    "pdu",
    "pod",
    "room",
    "datacenter",
    "zone",
    "region",
    "root",
];
const ROOT: u16 = 11;
/// `CRUSH_BUCKET_STRAW2`.
const STRAW2: u8 = 5;
/// Steps of a rule: `CRUSH_RULE_TAKE`, `CRUSH_RULE_CHOOSE_FIRSTN`, `CRUSH_RULE_EMIT`.
const STEPS: [(u32, i32, i32); 3] = [(1, -1, 0), (2, 0, 0), (4, 0, 0)];

/// The CRUSH map of a new cluster: an empty root `default`, and `replicated_rule`, which takes OSDs
/// from it (`CrushWrapper::encode`).
pub(super) fn default_crush(w: &mut Writer) {
    w.u32(0x0001_0000); // magic
    w.i32(8).u32(1).i32(0); // max_buckets, max_rules, max_devices
    // The root, and seven places for buckets: algorithm, id, type, algorithm, hash, weight, size.
    w.u32(STRAW2.into()).i32(-1).u16(ROOT).u8(STRAW2).u8(0).u32(0).u32(0);
    for _ in 1..8 {
        w.u32(0);
    }
    // The rule: it is there, how many steps; ruleset, type, sizes it is for; steps.
    w.u32(1).u32(STEPS.len() as u32).u8(0).u8(1).u8(1).u8(10);
    for (op, arg1, arg2) in STEPS {
        w.u32(op).i32(arg1).i32(arg2);
    }
    w.put(&names((0..).zip(["osd"].into_iter().chain(TYPES))));
    w.put(&names([(-1, "default")]));
    w.put(&names([(0, "replicated_rule")]));
    // Tunables: choose_local_tries, choose_local_fallback_tries, choose_total_tries,
    // chooseleaf_descend_once, chooseleaf_vary_r, straw_calc_version, allowed_bucket_algs,
    // chooseleaf_stable.
    w.u32(0).u32(0).u32(50).u32(1).u8(1).u8(1).u32(0x36).u8(1);
    // class_map, class_name, class_bucket, choose_args.
    w.u32(0).u32(0).u32(0).u32(0);
}

fn names<'a>(names: impl IntoIterator<Item = (i32, &'a str)>) -> BTreeMap<i32, String> {
    names.into_iter().map(|(id, name)| (id, name.to_owned())).collect()
}
