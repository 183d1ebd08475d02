//! Commands of a real monitor, manager and OSD: large, empty and wrong ones; versions and the
//! monitors' configuration.

use ceph_msgr::error::ErrorKind;
use ceph_msgr::mon::MapEvent;
use ceph_msgr::{Cluster, Command};

use crate::common::live::{assert_says, builder, connect, long, mon_json, osd_flag};
use crate::common::vstart::Vstart;

const EINVAL: i32 = 22;

/// Text of that many bytes in which no two places look alike.
fn text(len: usize) -> String {
    (0u32..)
        .map(|n| format!("{n:x},"))
        .flat_map(|n| n.into_bytes())
        .map(char::from)
        .take(len)
        .collect()
}

fn config_key(cmd: &str, key: &str) -> Command {
    Command::new(&format!("config-key {cmd}")).arg("key", key)
}

#[test]
fn status_of_every_kind_of_daemon() {
    let Some(vstart) = Vstart::shared() else { return };
    let cluster = connect(vstart);
    assert_eq!(mon_json(&cluster, "status".into())["osdmap"]["num_up_osds"], 3);
    assert_eq!(
        mon_json(&cluster, "status".into())["fsid"],
        cluster.fsid().expect("an fsid").to_string()
    );
    let stat = cluster.mgr_command(&Command::new("pg stat")).expect("of the manager");
    assert_says(String::from_utf8_lossy(&stat.outbl), &["pgs"]);
    let version = cluster.mgr_tell(&Command::new("version")).expect("about the manager");
    assert_says(String::from_utf8_lossy(&version.outbl), &["version"]);
    for osd in 0..3 {
        let version = cluster.osd_command(osd, &Command::new("version")).expect("of an OSD");
        assert_says(String::from_utf8_lossy(&version.outbl), &["version"]);
    }
    let e = cluster.osd_command(7, &Command::new("version")).expect_err("there is none");
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert_says(e, &["osd.7 does not exist"]);
}

#[test]
fn several_mib_each_way() {
    const LEN: usize = 4 << 20;
    let builder = Vstart::builder().conf("mon config key max entry size = 16777216");
    let Some(vstart) = builder.start() else { return };
    let cluster = connect(&vstart);
    let value = text(LEN);
    cluster.mon_command(&config_key("set", "large").input(value.clone())).expect("set");
    let got = cluster.mon_command(&config_key("get", "large")).expect("get");
    assert!(got.outbl == value.as_bytes(), "{} bytes came back", got.outbl.len());
    let small = text(100_000);
    cluster.mon_command(&config_key("set", "small").arg("val", small.clone())).expect("set");

    let dump = mon_json(&cluster, "config-key dump".into());
    assert!(dump["large"] == value, "the whole dump has the same");
    assert!(dump["small"] == small, "what came as an argument, too");

    // A binary map, there and back.
    let crush = cluster.mon_command(&Command::new("osd getcrushmap")).expect("a CRUSH map");
    cluster.mon_command(&Command::new("osd setcrushmap").input(crush.outbl.clone())).expect("set");
    let again = cluster.mon_command(&Command::new("osd getcrushmap")).expect("a CRUSH map");
    assert_eq!(again.outbl, crush.outbl);

    let too_long = cluster.mon_command(&config_key("set", "x").input(vec![0; 65 << 20]));
    assert_eq!(too_long.expect_err("longer than any message").kind(), ErrorKind::InvalidInput);
    cluster.mon_command(&"health".into()).expect("the handle is as good as before");
}

#[test]
fn what_is_no_command_is_refused_by_name() {
    let Some(vstart) = Vstart::shared() else { return };
    let cluster = connect(vstart);
    let refused = |cmd: &Command, cluster: &Cluster| {
        for outcome in
            [cluster.mon_command(cmd), cluster.mgr_command(cmd), cluster.osd_command(0, cmd)]
        {
            let e = outcome.expect_err("it is no command");
            assert_eq!((e.kind(), e.errno()), (ErrorKind::Command, Some(EINVAL)), "{e}");
            assert!(e.output().is_some(), "{e}");
        }
    };
    refused(&Command::new(""), &cluster);
    refused(&Command::new("no such command"), &cluster);
    refused(&Command::from_json("{}").expect("an object"), &cluster);

    let e = Command::from_json("status").expect_err("it is not JSON");
    assert_eq!(e.kind(), ErrorKind::InvalidInput);
    assert_eq!(Command::from_json("[1]").expect_err("no object").kind(), ErrorKind::InvalidInput);
    // This one makes a monitor of 16.2.15 abort, and then the next one that gets it.
    let e = Command::from_json(r#"{"prefix": 7}"#).expect_err("no string");
    assert_eq!(e.kind(), ErrorKind::InvalidInput);

    // Past `Command`, straight to the monitor.
    for json in ["", "status", "{", "[]"] {
        let e = cluster.mon().command(json, Default::default(), long()).expect_err("it is wrong");
        assert_eq!((e.kind(), e.errno()), (ErrorKind::Command, Some(EINVAL)), "{json:?}: {e}");
    }
    cluster.mon_command(&"health".into()).expect("the handle is as good as before");
}

#[test]
fn versions_go_up_with_the_maps() {
    let Some(vstart) = Vstart::builder().start() else { return };
    let cluster = connect(&vstart);
    let before = cluster.mon().get_version("osdmap", long()).expect("a version");
    assert!(before.1 <= before.0, "{before:?}");
    osd_flag(&cluster, true, "noout");
    let after = cluster.mon().get_version("osdmap", long()).expect("a version");
    assert!(after.0 > before.0, "{before:?}, then {after:?}");
    let monmap = cluster.mon().get_version("monmap", long()).expect("a version");
    assert_eq!(monmap.0, u64::from(cluster.monmap().expect("a monmap").epoch.0));
    cluster.mon().get_version("mdsmap", long()).expect("a version");
}

#[test]
fn the_monitors_tell_their_configuration() {
    let Some(vstart) = Vstart::builder().start() else { return };
    let cluster = builder(&vstart).connect().expect("a session");
    let events = cluster.events();
    cluster.mon().subscribe("config", 0, false).expect("a subscription");
    let next = || match events.recv(long()).expect("an event") {
        MapEvent::Config(config) => Some(config),
        _ => None,
    };
    let first = std::iter::repeat_with(next).flatten().next().expect("a configuration");
    assert_eq!(first.config.get("rados_osd_op_timeout"), None);

    let set = Command::new("config set").arg("who", "client.admin");
    let set = set.arg("name", "rados_osd_op_timeout").arg("value", "7");
    cluster.mon_command(&set).expect("an option");
    let second = std::iter::repeat_with(next).flatten().next().expect("a configuration");
    assert_eq!(second.config.get("rados_osd_op_timeout").map(String::as_str), Some("7"));
}
