//! A cluster without authentication.

use ceph_msgr::Cluster;
use ceph_msgr::error::ErrorKind;

use crate::common::live::{LONG, assert_says, connect, fails_within, mon_json};
use crate::common::vstart::Vstart;

#[test]
fn commands_of_every_kind_of_daemon() {
    let Some(vstart) = Vstart::builder().auth_none().mgr().osds(2).start() else { return };
    let cluster = connect(&vstart);
    assert_ne!(cluster.global_id().0, 0);
    assert_eq!(mon_json(&cluster, "status".into())["health"]["status"], "HEALTH_OK");
    let stat = cluster.mgr_command(&"pg stat".into()).expect("of the manager");
    assert_says(String::from_utf8_lossy(&stat.outbl), &["pgs"]);
    for osd in 0..2 {
        let version = cluster.osd_command(osd, &"version".into()).expect("of an OSD");
        assert_says(String::from_utf8_lossy(&version.outbl), &["version"]);
    }

    // The monitor comes back under the same handle, and there is no ticket to claim anything with.
    vstart.signal("mon.a", "KILL");
    vstart.restart("mon.a");
    mon_json(&cluster, "status".into());
    cluster.osd_command(0, &"version".into()).expect("of an OSD");

    // No file is needed, and no key; but who insists on a proof stays out.
    let addr = cluster.mon().peer().expect("a session").addr.sockaddr.expect("an address");
    let mon_host = format!("v1:{addr}");
    let bare = || Cluster::builder().no_config_file().mon_host(&mon_host).timeout(LONG);
    mon_json(&bare().connect().expect("without a key"), "status".into());
    let strict = bare().set("auth_client_required", "cephx").keyring(vstart.keyring());
    assert_eq!(fails_within(LONG / 2, || strict.connect()).kind(), ErrorKind::Auth);
}
