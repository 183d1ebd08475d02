//! A cluster without authentication.

use ceph_msgr::Cluster;
use ceph_msgr::error::ErrorKind;

use crate::common::live::{LONG, Spoken, assert_says, builder, connect, fails_within, mon_json};
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

    // No file is needed, and no key; but who insists on a proof stays out, and so does who insists on
    // secrecy, for which there is no key.
    for spoken in [Spoken::V1, Spoken::V2Crc] {
        let addr = spoken.connect(&vstart).mon().peer().expect("a session").addr;
        assert_eq!(addr.addr_type, spoken.addr_type());
        let mon_host = addr.to_string();
        let bare = || {
            let builder = Cluster::builder().no_config_file().mon_host(&mon_host);
            spoken.by(builder.timeout(LONG))
        };
        mon_json(&bare().connect().expect("without a key"), "status".into());
        let strict = bare().set("auth_client_required", "cephx").keyring(vstart.keyring());
        let e = fails_within(LONG / 2, || strict.connect());
        assert_eq!(e.kind(), ErrorKind::Auth);
        assert_says(e, &["none of the protocols"]);
    }
    let e = fails_within(LONG / 2, || Spoken::V2Secure.by(builder(&vstart)).connect());
    assert_eq!(e.kind(), ErrorKind::Auth, "{e}");
    assert_says(e, &["no connection mode", "crc"]);
}
