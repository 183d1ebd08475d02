//! Managers and OSDs that go away and come back, at another address or as another one.

use ceph_msgr::Command;
use ceph_msgr::error::ErrorKind;

use crate::common::live::{assert_says, connect, mon_json, until};
use crate::common::vstart::Vstart;

#[test]
fn the_next_command_finds_the_new_manager() {
    let Some(vstart) = Vstart::builder().mgr().start() else { return };
    let cluster = connect(&vstart);
    let stat = Command::new("pg stat");
    let active = || cluster.mgrmap().expect("a map").active_gid;
    cluster.mgr_command(&stat).expect("of the manager");

    let before = active();
    cluster.mon_command(&Command::new("mgr fail").arg("who", "x")).expect("it is failed");
    cluster.mgr_command(&stat).expect("of the one that follows");
    assert_ne!(active(), before);

    for signal in ["KILL", "TERM"] {
        let before = active();
        vstart.signal("mgr.x", signal);
        vstart.restart("mgr.x");
        cluster.mgr_command(&stat).expect("of the one that follows");
        assert_ne!(active(), before);
    }
    cluster.mgr_tell(&"version".into()).expect("about the manager itself");
}

#[test]
fn an_osd_that_was_restarted_is_found_again() {
    let Some(vstart) = Vstart::builder().osds(2).start() else { return };
    let cluster = connect(&vstart);
    let version = Command::new("version");
    let nonce = || {
        let map = cluster.osdmap().expect("a map");
        map.addrs(0).and_then(|a| a.legacy()).expect("an address").nonce
    };
    for signal in ["KILL", "TERM"] {
        cluster.osd_command(0, &version).expect("of the OSD");
        let before = nonce();
        vstart.signal("osd.0", signal);
        vstart.restart("osd.0");
        // The map has the old one for a while, or says that it is down.
        until("the OSD is up again", || match cluster.osd_command(0, &version) {
            Ok(_) => true,
            Err(e) => {
                let kinds = [ErrorKind::NotFound, ErrorKind::Io, ErrorKind::Closed];
                assert!(kinds.contains(&e.kind()), "{e:?}");
                assert_says(e, &["osd.0"]);
                false
            }
        });
        until("the map has the new one", || nonce() != before);
        cluster.osd_command(0, &version).expect("of the OSD");
    }

    // One that stays away is named, as soon as the monitors know.
    vstart.signal("osd.1", "KILL");
    cluster.mon_command(&Command::new("osd down").arg("ids", vec!["1"])).expect("it is down");
    until("the map says so", || {
        let e = cluster.osd_command(1, &version).expect_err("it does not run");
        assert_says(&e, &["osd.1"]);
        e.kind() == ErrorKind::NotFound
    });
    assert_eq!(mon_json(&cluster, "osd dump".into())["osds"][1]["up"], 0);
}
