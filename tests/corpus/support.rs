use std::fs;
use std::path::PathBuf;

use ceph_msgr::denc::Decode;
use ceph_msgr::types::{EntityAddrVec, UTime};
use serde_json::Value;

/// One encoded object.
pub(crate) struct Sample {
    /// `RELEASE/TYPE/NAME`.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// What ceph-dencoder of 14.2.21 printed, if it could decode the object.
    pub(crate) json: Option<Value>,
}

fn root() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let dir = std::env::var_os("CEPH_CORPUS").map_or_else(beside, PathBuf::from);
    dir.is_dir().then_some(dir)
}

/// Every object of that C++ type, of every release. Empty, with a line that says so, where the
/// corpus is absent; a corpus that lacks the type is a mistake.
pub(crate) fn samples(ty: &str) -> Vec<Sample> {
    let Some(root) = root() else {
        println!("SKIPPED {ty}: no object corpus (set CEPH_CORPUS)");
        return Vec::new();
    };
    let mut out = Vec::new();
    for release in fs::read_dir(root).unwrap().map(|e| e.unwrap().path()) {
        let Ok(files) = fs::read_dir(release.join(ty)) else { continue };
        for path in files.map(|e| e.unwrap().path()) {
            if path.extension().is_some() {
                continue;
            }
            let json = fs::read(path.with_extension("json")).ok();
            let tail: Vec<_> = path.components().rev().take(3).map(|c| c.as_os_str()).collect();
            out.push(Sample {
                name: tail.iter().rev().map(|c| c.to_string_lossy()).collect::<Vec<_>>().join("/"),
                bytes: fs::read(&path).unwrap(),
                json: json.and_then(|b| serde_json::from_slice(&b).ok()),
            });
        }
    }
    assert!(!out.is_empty(), "the corpus has no {ty}");
    out
}

/// Decodes all samples of a type whose encoding says how long it is, and hands each to `check`
/// with its dump. No shorter piece of any may be taken for a whole one.
pub(crate) fn each<T: Decode>(ty: &str, mut check: impl FnMut(&Sample, T)) {
    for sample in samples(ty) {
        let name = &sample.name;
        let value = T::from_bytes(&sample.bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        // Large ones only at every 7th byte: a debug build is slow.
        let step = if sample.bytes.len() > 4096 { 7 } else { 1 };
        for n in (0..sample.bytes.len()).step_by(step) {
            assert!(T::from_bytes(&sample.bytes[..n]).is_err(), "{name} cut to {n} bytes");
        }
        check(&sample, value);
    }
}

/// `utime_t` as Ceph prints it in UTC: seconds, or a date if that is 10 years or more.
pub(crate) fn utime(t: UTime) -> String {
    let usec = t.nsec / 1000;
    if t.sec < 60 * 60 * 24 * 365 * 10 {
        return format!("{}.{usec:06}", t.sec);
    }
    let (mut days, secs) = (t.sec / 86400, t.sec % 86400);
    let leap = |y: u32| y.is_multiple_of(4);
    let mut year = 1970;
    while days >= 365 + u32::from(leap(year)) {
        days -= 365 + u32::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    let lens = [31, 28 + u32::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lens[month] {
        days -= lens[month];
        month += 1;
    }
    let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
    format!("{year}-{:02}-{:02} {h:02}:{m:02}:{s:02}.{usec:06}", month + 1, days + 1)
}

/// The addresses of an `addrvec` dump, in the text form of this library.
pub(crate) fn addrvec(json: &Value) -> Vec<String> {
    let addrs = json["addrvec"].as_array().unwrap();
    addrs
        .iter()
        .map(|a| match a["type"].as_str().unwrap() {
            "none" => "-".to_owned(),
            ty => format!("{ty}:{}/{}", a["addr"].as_str().unwrap(), a["nonce"]),
        })
        .collect()
}

pub(crate) fn shown(addrs: &EntityAddrVec) -> Vec<String> {
    addrs.0.iter().map(ToString::to_string).collect()
}
