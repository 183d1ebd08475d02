use ceph_msgr::denc::Reader;
use ceph_msgr::messages::auth::{MAuth, MAuthReply};
use ceph_msgr::messages::log::{MLog, MLogAck};
use ceph_msgr::messages::mds::MClientSession;
use ceph_msgr::messages::mon::{
    MMonCommand, MMonCommandAck, MMonGetVersion, MMonGetVersionReply, MMonMap, MMonSubscribe,
};
use ceph_msgr::messages::osd::{MCommand, MOSDMap};
use ceph_msgr::messages::{Body, MPing};
use ceph_msgr::mon::MonMap;
use ceph_msgr::msgr::Message;
use ceph_msgr::osd::OSDMap;
use ceph_msgr::types::{Features, Seq, Tid};

use ceph_msgr::denc::Decode;

use super::support::{Sample, samples};

/// A message as `encode_message` writes it: header (53 bytes), old footer (13), and front, middle
/// and data with a length each.
fn message(sample: &Sample) -> Message {
    let mut r = Reader::new(&sample.bytes);
    let seq = Seq(r.u64().unwrap());
    let tid = Tid(r.u64().unwrap());
    let msg_type = r.u16().unwrap();
    let _priority = r.u16().unwrap();
    let version = r.u16().unwrap();
    let _lens_and_data_off = r.bytes(14).unwrap();
    let src = r.get().unwrap();
    let compat_version = r.u16().unwrap();
    let _reserved_and_crc = r.bytes(6).unwrap();
    let _footer = r.bytes(13).unwrap();
    let mut segment = || r.blob().unwrap().to_vec();
    let mut msg = Message::new(msg_type, segment()).with_version(version, compat_version);
    msg.middle = segment().into();
    msg.data = segment().into();
    r.finish().unwrap();
    (msg.header.seq, msg.header.tid, msg.header.src) = (seq, tid, src);
    msg
}

/// Decodes all samples of a message type. What it prints must be Ceph's summary, as far as
/// `summary` has not rewritten that; a body of the version that we write must give the same
/// bytes again; and a front that is cut short may not cause a panic.
fn each<B: Body>(
    ty: &str,
    summary: impl Fn(&Message, String) -> String,
    mut check: impl FnMut(&str, &Message, B),
) {
    for sample in samples(ty) {
        let (msg, name) = (message(&sample), &sample.name);
        let body = B::from_message(&msg).unwrap_or_else(|e| panic!("{name}: {e}"));
        if let Some(json) = &sample.json {
            let ceph = json["summary"].as_str().unwrap();
            assert_eq!(body.to_string(), summary(&msg, ceph.to_owned()), "{name}");
        }
        if body.version() == msg.header.version {
            let again = body.to_message(Features::ALL);
            assert_eq!(again.front, msg.front, "{name}");
            assert_eq!(again.header.compat_version, msg.header.compat_version, "{name}");
        }
        for n in 0..msg.front.len() {
            let mut cut = msg.clone();
            cut.front.truncate(n);
            drop(B::from_message(&cut));
        }
        check(name, &msg, body);
    }
}

fn same(_: &Message, summary: String) -> String {
    summary
}

/// Of messages that do not print themselves.
fn no_magic(_: &Message, summary: String) -> String {
    summary.trim_end_matches(" magic: 0").to_owned()
}

#[test]
fn mon_map() {
    each("MMonMap", no_magic, |name, _, m: MMonMap| {
        let map = MonMap::from_bytes(&m.monmapbl).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(map.size(), 3, "{name}");
    });
}

#[test]
fn mon_command() {
    each("MMonCommand", same, |_, _, m: MMonCommand| assert_eq!(m.cmd.len(), 1));
    each("MMonCommandAck", same, |name, _, m: MMonCommandAck| assert_eq!(m.r, 0, "{name}"));
}

#[test]
fn command() {
    // Ceph prints the tid, which is the header's.
    let no_tid = |msg: &Message, s: String| s.replace(&format!("tid {}: ", msg.header.tid), "");
    each("MCommand", no_tid, |_, _, m: MCommand| assert_eq!(m.cmd.len(), 1));
}

#[test]
fn mon_subscribe() {
    each("MMonSubscribe", same, |name, _, m: MMonSubscribe| {
        assert_eq!(m.hostname, "", "{name} is of version 2");
    });
}

#[test]
fn mon_get_version() {
    each("MMonGetVersion", same, |_, _, _: MMonGetVersion| ());
    each("MMonGetVersionReply", same, |name, _, m: MMonGetVersionReply| {
        assert!(m.oldest_version <= m.version, "{name}");
    });
}

#[test]
fn auth() {
    each("MAuth", same, |_, _, _: MAuth| ());
    // Ceph adds the errno's text.
    let no_errno = |_: &Message, s: String| s.replace(" (0) Success", "");
    each("MAuthReply", no_errno, |_, _, m: MAuthReply| assert_ne!(m.global_id.0, 0));
}

#[test]
fn log() {
    // Ceph prints a date.
    for sample in samples("MLog") {
        let (msg, name) = (message(&sample), &sample.name);
        let m = MLog::from_message(&msg).unwrap_or_else(|e| panic!("{name}: {e}"));
        for entry in &m.entries {
            // Empty is what librados' own log test sent.
            assert!(["cluster", "audit", ""].contains(&&*entry.channel), "{name}: {entry:?}");
            assert!(!entry.msg.is_empty(), "{name}: {entry:?}");
        }
        if let Some(json) = &sample.json {
            let ceph = json["summary"].as_str().unwrap().split(" at ").next().unwrap();
            assert_eq!(m.to_string().split(" at ").next(), Some(ceph), "{name}");
        }
        // Kraken wrote entries before v5, we write v5.
        let again = MLog::from_message(&m.to_message(Features::ALL));
        assert_eq!(again, Ok(m), "{name}");
    }
    each("MLogAck", same, |name, _, m: MLogAck| assert_eq!(m.channel, "", "{name}"));
}

#[test]
fn ping() {
    each("MPing", no_magic, |_, _, m: MPing| assert_eq!(m.result, None));
}

#[test]
fn client_session() {
    each("MClientSession", same, |_, _, _: MClientSession| ());
}

#[test]
fn osd_map() {
    let mut full = 0;
    each("MOSDMap", same, |name, _, m: MOSDMap| {
        for (epoch, map) in &m.maps {
            let map = OSDMap::from_bytes(map).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!((map.epoch, map.fsid), (*epoch, m.fsid), "{name}");
            full += 1;
        }
    });
    println!("{full} full maps");
}
