//! Which messenger a client speaks with a real cluster, and in which mode: with all that a cluster
//! allows by default, where it allows one mode alone, and where it has no messenger v2.

use std::time::Duration;

use ceph_msgr::auth::{AuthError, ConMode};
use ceph_msgr::error::ErrorKind;
use ceph_msgr::mon::MapEvent;
use ceph_msgr::msgr::Fault;
use ceph_msgr::types::{AddrType, EntityAddr, Msgr};
use ceph_msgr::{Cluster, Command};

use crate::common::live::{
    Peer, Spoken, assert_says, builder, closed_port, connect, fails_within, long, mon_json,
};
use crate::common::vstart::Vstart;

/// What does not depend on the deadline, which is a minute here, has this much time.
const AT_ONCE: Duration = Duration::from_secs(10);

fn mon_addr(cluster: &Cluster) -> EntityAddr {
    cluster.mon().peer().expect("a session").addr
}

/// A command of each kind of daemon, and a map by subscription.
fn use_all(cluster: &Cluster, osds: i32) {
    let events = cluster.events();
    cluster.mon().subscribe("osdmap", 1, true).expect("a subscription");
    while !matches!(events.recv(long()).expect("a map"), MapEvent::OsdMap(_)) {}
    assert_eq!(mon_json(cluster, "status".into())["health"]["status"], "HEALTH_OK");
    cluster.mgr_command(&"pg stat".into()).expect("of the manager");
    cluster.mgr_tell(&"version".into()).expect("about the manager");
    for osd in 0..osds {
        cluster.osd_command(osd, &"version".into()).expect("of an OSD");
    }
}

#[test]
fn every_daemon_is_reached_by_each_messenger_and_mode() {
    let Some(vstart) = Vstart::shared() else { return };
    let handles = Spoken::ALL.map(|spoken| (spoken, spoken.connect(vstart)));
    for (spoken, cluster) in &handles {
        use_all(cluster, 3);
        assert_eq!(mon_addr(cluster).addr_type, spoken.addr_type());
    }
    // Nothing is said, and both are there.
    let cluster = connect(vstart);
    use_all(&cluster, 3);
    assert_eq!(mon_addr(&cluster).addr_type, AddrType::MSGR2);
}

/// 4 MiB each way.
#[test]
fn large_values_go_through_in_each_mode() {
    let Some(vstart) = Vstart::builder().conf("mon config key max entry size = 16777216").start()
    else {
        return;
    };
    let value: Vec<u8> = (0..4 << 20).map(|n: u32| b'a' + (n % 25) as u8).collect();
    let key = |cmd: &str| Command::new(&format!("config-key {cmd}")).arg("key", "k");
    for spoken in Spoken::ALL {
        let cluster = spoken.connect(&vstart);
        cluster.mon_command(&key("set").input(value.clone())).expect("set");
        let got = cluster.mon_command(&key("get")).expect("get").outbl;
        assert!(got == value, "{spoken:?}: {} bytes came back", got.len());
    }
}

/// A cluster that allows one mode, which is a client's as well that reads its ceph.conf; a client that
/// insists on the other is told.
fn only(mode: &str, own: Spoken, other: ConMode) {
    let Some(vstart) = Vstart::builder().only_mode(mode).mgr().osds(2).start() else { return };
    use_all(&connect(&vstart), 2);
    use_all(&own.connect(&vstart), 2);

    let wrong = || builder(&vstart).con_modes(&[other]);
    let e = fails_within(AT_ONCE, || wrong().connect());
    assert_eq!(e.kind(), ErrorKind::Auth, "{e}");
    let said = format!("no connection mode in common: {other} was offered, the peer allows {mode}");
    assert_says(&e, &["mon.0 127.0.0.1:", &said]);

    // The monitors are let be as they are, and the others are asked for what they do not allow.
    let wrong = builder(&vstart).set("ms client mode", other.name());
    let cluster = wrong.connect().expect("of the monitors");
    mon_json(&cluster, "status".into());
    for e in [
        fails_within(AT_ONCE, || cluster.osd_command(0, &"version".into())),
        fails_within(AT_ONCE, || cluster.mgr_command(&"pg stat".into())),
    ] {
        assert_eq!(e.kind(), ErrorKind::Auth, "{e}");
        let fault = e.fault::<Fault>();
        assert!(matches!(fault, Some(Fault::Auth(AuthError::NoCommonMode { .. }))), "{e}");
        assert_says(&e, &[&said]);
    }
    // Nobody is asked for anything else with it.
    mon_json(&cluster, "status".into());
}

#[test]
fn where_all_is_secure_a_client_in_crc_mode_is_told() {
    only("secure", Spoken::V2Secure, ConMode::Crc);
}

#[test]
fn where_all_is_crc_a_client_in_secure_mode_is_told() {
    only("crc", Spoken::V2Crc, ConMode::Secure);
}

#[test]
fn where_only_secure_mode_is_allowed_messenger_v1_is_no_way_in() {
    let Some(vstart) = Vstart::builder().only_mode("secure").start() else { return };
    let v1 = Spoken::V1.by(builder(&vstart)).con_modes(&[ConMode::Crc]).connect();
    let v1 = mon_addr(&v1.expect("the monitor itself lets it in")).to_string();
    let e = fails_within(AT_ONCE, || builder(&vstart).mon_host(&v1).connect());
    assert_eq!(e.kind(), ErrorKind::Config, "{e}");
    assert_says(e, &[&v1, "messenger v1 has no secure mode"]);
    let e = fails_within(AT_ONCE, || builder(&vstart).msgr(Msgr::V1).connect());
    assert_eq!(e.kind(), ErrorKind::Config, "{e}");
    assert_says(e, &["messenger v1 has no secure mode"]);
}

#[test]
fn without_messenger_v2_the_other_is_spoken() {
    let Some(vstart) = Vstart::builder().v1_only().mgr().osds(1).start() else { return };
    let cluster = connect(&vstart);
    use_all(&cluster, 1);
    let addr = mon_addr(&cluster);
    assert_eq!(addr.addr_type, AddrType::LEGACY);
    // An address that does not tell its messenger is tried with both: the wrong one must not hide
    // the right one.
    let ip = addr.sockaddr.expect("an address").to_string();
    use_all(&builder(&vstart).mon_host(&ip).connect().expect("a session"), 1);
    let e = fails_within(AT_ONCE, || builder(&vstart).mon_host(&ip).msgr(Msgr::V2).connect());
    assert_eq!(e.kind(), ErrorKind::Protocol, "{e}");
    assert_says(e, &["mon.0", &ip, "the peer speaks messenger v1 here"]);
}

#[test]
fn a_v2_address_that_does_not_answer_hides_no_v1_address() {
    let Some(vstart) = Vstart::builder().start() else { return };
    let v1 = mon_addr(&Spoken::V1.connect(&vstart));
    let hole = Peer::black_hole();
    for port in [closed_port(), hole.port()] {
        let mon_host = format!("[v2:127.0.0.1:{port},{v1}]");
        let cluster = builder(&vstart).mon_host(&mon_host).connect().expect("at the other one");
        assert_eq!(mon_addr(&cluster), v1);
        mon_json(&cluster, "status".into());
    }
    // Nor does it make one of those who answer wait for it.
    let v2 = mon_addr(&Spoken::V2Crc.connect(&vstart));
    let mon_host = format!("[v2:127.0.0.1:{},{v1}],{v2}", hole.port());
    for _ in 0..5 {
        let cluster = builder(&vstart).mon_host(&mon_host).connect().expect("at the good one");
        assert_eq!(mon_addr(&cluster), v2, "messenger v1 is for when v2 has failed");
    }
}
