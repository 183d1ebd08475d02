//! Daemons that hang, and peers that never speak: each call ends in time, and says at which step.

use std::io::Write as _;
use std::thread;

use ceph_msgr::error::ErrorKind;
use ceph_msgr::{Cluster, Command, Error};

use crate::common::live::{
    LONG, Peer, SHORT, Spoken, Stopped, assert_says, builder, connect, fails_within, mon_json,
};
use crate::common::vstart::Vstart;

#[track_caller]
fn assert_timed_out(e: &Error, says: &[&str]) {
    assert_eq!(e.kind(), ErrorKind::Timeout, "{e}");
    assert_says(e, says);
}

/// The address that is dialled, of those that the monitors know of a daemon.
fn addr_of(cluster: &Cluster, map: &str, addrs: &str, spoken: Spoken) -> String {
    let map = mon_json(cluster, map.into());
    let addrs = map.pointer(addrs).and_then(|a| a["addrvec"].as_array()).expect("addresses");
    let addr_type = format!("{:?}", spoken.addr_type());
    let addr = addrs.iter().find(|a| a["type"] == addr_type).expect("of that type");
    addr["addr"].as_str().expect("text").to_owned()
}

#[test]
fn a_stopped_daemon_is_named_and_the_handle_survives() {
    let Some(vstart) = Vstart::builder().mgr().osds(1).start() else { return };
    for (spoken, banner) in [(Spoken::V1, "V1_BANNER"), (Spoken::V2Secure, "V2_BANNER")] {
        each_stopped_daemon_is_named(&vstart, spoken, banner);
    }
}

fn each_stopped_daemon_is_named(vstart: &Vstart, spoken: Spoken, banner: &str) {
    let cluster = spoken.connect(vstart);
    let short = cluster.with_timeout(SHORT);
    let mon = cluster.mon().peer().expect("a session").to_string();
    let mgr = addr_of(&cluster, "mgr dump", "/active_addrs", spoken);
    let osd = addr_of(&cluster, "osd dump", "/osds/0/public_addrs", spoken);
    let fresh = spoken.connect(vstart).with_timeout(SHORT);
    let version = Command::new("version");
    cluster.mgr_command(&"pg stat".into()).expect("of the manager");
    cluster.osd_command(0, &version).expect("of the OSD");

    {
        let _stopped = Stopped::new(vstart, "mon.a");
        let open = &[mon.as_str(), "OPEN", "in time"];
        let e = fails_within(SHORT, || short.mon_command(&"status".into()));
        assert_timed_out(&e, &[open.as_slice(), &["answer to a command"]].concat());
        let e = fails_within(SHORT, || short.osdmap());
        assert_timed_out(&e, &[open.as_slice(), &["OSD map"]].concat());
        let e = fails_within(SHORT, || short.mon().get_version("osdmap", SHORT.into()));
        assert_timed_out(&e, &[open.as_slice(), &["answer about a version"]].concat());
        let e = fails_within(SHORT, || short.osd_command(0, &version));
        assert_timed_out(&e, open);

        // The kernel takes the connection; the monitor does not speak.
        let e = fails_within(SHORT, || spoken.by(builder(vstart)).timeout(SHORT).connect());
        assert_timed_out(&e, &["mon.0", banner, "monitor session in time", "banner"]);
    }
    cluster.mon_command(&"status".into()).expect("the same handle");

    {
        let _stopped = Stopped::new(vstart, "mgr.x");
        let e = fails_within(SHORT, || short.mgr_command(&"pg stat".into()));
        assert_timed_out(&e, &["mgr.", &mgr, "OPEN", "no answer to a command"]);
        let e = fails_within(SHORT, || fresh.mgr_command(&"pg stat".into()));
        assert_timed_out(&e, &["mgr.", &mgr, banner, "banner"]);
        cluster.mon_command(&"status".into()).expect("the monitor goes on");
    }
    for handle in [&cluster, &fresh.with_timeout(LONG)] {
        handle.mgr_command(&"pg stat".into()).expect("the same handle");
    }

    {
        let _stopped = Stopped::new(vstart, "osd.0");
        let e = fails_within(SHORT, || short.osd_command(0, &version));
        assert_timed_out(&e, &["osd.0", &osd, "OPEN", "no answer to a command"]);
        let e = fails_within(SHORT, || fresh.osd_command(0, &version));
        assert_timed_out(&e, &["osd.0", &osd, banner, "banner"]);
    }
    for handle in [&cluster, &fresh.with_timeout(LONG)] {
        handle.osd_command(0, &version).expect("the same handle");
    }
}

#[test]
fn a_stopped_monitor_takes_no_more_time_than_each_call_has() {
    // Or the monitor would read no more of it when it goes on, for half a minute and longer.
    let builder = Vstart::builder().conf("mon client bytes = 1073741824");
    let Some(vstart) = builder.conf("ms dispatch throttle bytes = 1073741824").start() else {
        return;
    };
    let cluster = connect(&vstart);
    let short = cluster.with_timeout(SHORT);
    let stopped = Stopped::new(&vstart, "mon.a");
    // More than the out queue holds: who finds it full may wait, but nobody else with him.
    let large = Command::new("config-key set").arg("key", "k").input(vec![0; 60 << 20]);
    thread::scope(|scope| {
        let calls = || fails_within(SHORT, || short.mon_command(&large));
        let calls: Vec<_> = (0..6).map(|_| scope.spawn(calls)).collect();
        for call in calls {
            let e = call.join().expect("it ends");
            assert_timed_out(&e, &["mon.0", "OPEN"]);
        }
    });
    let e = fails_within(SHORT, || {
        short.mon().subscribe("osdmap", 1, false).and_then(|()| short.osdmap())
    });
    assert_timed_out(&e, &["mon.0", "OPEN"]);
    drop(stopped);
    cluster.mon_command(&"status".into()).expect("the same handle");
}

fn connect_to(peer: &Peer, vstart: &Vstart) -> Error {
    fails_within(SHORT, || builder(vstart).mon_host(&peer.mon_host()).timeout(SHORT).connect())
}

fn connect_to_v2(peer: &Peer, vstart: &Vstart) -> Error {
    let mon_host = format!("v2:127.0.0.1:{}", peer.port());
    fails_within(SHORT, || builder(vstart).mon_host(&mon_host).timeout(SHORT).connect())
}

#[test]
fn a_peer_that_never_speaks_is_named() {
    let Some(vstart) = Vstart::builder().start() else { return };
    let e = connect_to(&Peer::black_hole(), &vstart);
    assert_timed_out(&e, &["mon.0 127.0.0.1:", "V1_BANNER", "monitor session in time", "banner"]);
    let e = connect_to_v2(&Peer::black_hole(), &vstart);
    assert_timed_out(&e, &["mon.0 127.0.0.1:", "V2_BANNER", "monitor session in time", "banner"]);

    // One that says a part of its hello.
    let mut kept = Vec::new();
    let half = Peer::new(move |mut stream| {
        let _ = stream.write_all(b"ceph v");
        kept.push(stream);
    });
    let e = connect_to(&half, &vstart);
    assert_timed_out(&e, &["mon.0 127.0.0.1:", "V1_BANNER", "banner"]);
    let e = connect_to_v2(&half, &vstart);
    assert_timed_out(&e, &["mon.0 127.0.0.1:", "V2_BANNER", "banner"]);
}

#[test]
fn a_black_hole_beside_a_good_monitor_costs_nothing() {
    let Some(vstart) = Vstart::builder().start() else { return };
    for spoken in Spoken::ALL {
        let mon = spoken.connect(&vstart).mon().peer().expect("a session").addr;
        for _ in 0..3 {
            let hole = Peer::black_hole();
            let hosts = format!("{:?}:127.0.0.1:{},{mon}", mon.addr_type, hole.port());
            let cluster = spoken.by(builder(&vstart).mon_host(&hosts));
            let cluster = cluster.connect().expect("the good one");
            cluster.mon_command(&"status".into()).expect("of the good one");
        }
    }
}
