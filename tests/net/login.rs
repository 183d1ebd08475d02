//! A monitor that is none: what it says before it has let us in is not believed.

use std::time::Duration;

use ceph_msgr::Cluster;
use ceph_msgr::auth::EntityName;
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::error::ErrorKind;
use ceph_msgr::messages::Body;
use ceph_msgr::messages::auth::MAuthReply;
use ceph_msgr::messages::mon::MMonMap;
use ceph_msgr::types::{Features, UTime};

use crate::common::acceptor::*;

const CEPH_MSG_MON_MAP: u16 = 4;
const CEPH_MSG_AUTH: u16 = 17;
const CEPH_MSG_AUTH_REPLY: u16 = 18;

/// For the monitors at these addresses.
fn builder_at(mon_host: &str, timeout: Duration) -> ceph_msgr::ClusterBuilder {
    let name: EntityName = "client.admin".parse().expect("a name");
    Cluster::builder()
        .no_config_file()
        .name(name)
        .key(CryptoKey::generate(KeyType::Aes, UTime::default()).expect("random numbers"))
        .mon_host(mon_host)
        .timeout(timeout)
}

fn builder(acceptor: &Acceptor, timeout: Duration) -> ceph_msgr::ClusterBuilder {
    builder_at(&format!("v1:{}", acceptor.addr()), timeout)
}

#[test]
fn a_monmap_before_the_login_is_dropped() {
    let acceptor = Acceptor::new();
    let cluster = builder(&acceptor, Duration::from_secs(2));
    let client = std::thread::spawn(move || cluster.connect());
    let mut wire = acceptor.open(true);
    assert_eq!(wire.msg().msg_type, CEPH_MSG_AUTH);
    let map = MMonMap { monmapbl: vec![0xff; 40] }.to_message(Features::ALL);
    wire.send_msg(1, CEPH_MSG_MON_MAP, &map.front, &[]);
    let error = client.join().expect("no panic").expect_err("nobody has let us in");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("no reply to MAuth"), "{error}");
}

#[test]
fn a_malformed_reply_to_a_login_ends_that_attempt() {
    let acceptor = Acceptor::new();
    let cluster = builder(&acceptor, Duration::from_secs(5));
    let client = std::thread::spawn(move || cluster.connect());
    let mut wire = acceptor.open(true);
    assert_eq!(wire.msg().msg_type, CEPH_MSG_AUTH);
    wire.send_msg(1, CEPH_MSG_AUTH_REPLY, b"short", &[]);
    wire.wait_closed();
    // The next attempt comes by itself, on a connection of its own.
    let mut again = acceptor.open(true);
    assert_eq!(again.msg().msg_type, CEPH_MSG_AUTH);
    let error = client.join().expect("no panic").expect_err("nobody has let us in");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[test]
fn an_odd_answer_of_one_monitor_does_not_end_the_hunt() {
    let (odd, silent) = (Acceptor::new(), Acceptor::new());
    let both = format!("v1:{},v1:{}", odd.addr(), silent.addr());
    let cluster = builder_at(&both, Duration::from_secs(3));
    let client = std::thread::spawn(move || cluster.connect());
    let mut wire = odd.open(true);
    assert_eq!(wire.msg().msg_type, CEPH_MSG_AUTH);
    let reply = MAuthReply { protocol: 2, result: -5, ..Default::default() };
    wire.send_msg(1, CEPH_MSG_AUTH_REPLY, &reply.to_message(Features::ALL).front, &[]);
    let mut other = silent.open(true);
    assert_eq!(other.msg().msg_type, CEPH_MSG_AUTH);
    wire.wait_closed();
    let error = client.join().expect("no panic").expect_err("nobody has let us in");
    assert_eq!(error.kind(), ErrorKind::Timeout, "the other one was waited for: {error}");
    assert!(error.to_string().contains("errno 5"), "{error}");
}
