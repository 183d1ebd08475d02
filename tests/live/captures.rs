//! Sessions of messenger v2 with real daemons, frame by frame: both revisions, with checksums and
//! sealed.
//!
//! What the daemons sent and took can be kept: with `CAPTURES` each socket's bytes and keys are
//! written into a file of that directory, and unit tests replay them.
//!
//! ```text
//! CAPTURES=$PWD/src/msgr/v2/tests/captures cargo test --test live captures
//! ```

use std::collections::BTreeMap;

use ceph_msgr::messages::mon::{
    MMonCommand, MMonCommandAck, MMonGetMap, MMonGetVersion, MMonGetVersionReply, MMonMap,
    MMonSubscribe, SubscribeItem,
};
use ceph_msgr::messages::osd::{MCommand, MCommandReply};
use ceph_msgr::messages::{Body as _, MPing};
use ceph_msgr::msgr::v2::control::{
    AckFrame, CLIENT_IDENT_LOSSY, IdentMissingFeaturesFrame, KeepAliveFrame, KeepAliveFrameAck,
    ReconnectOkFrame, ResetFrame, RetryFrame, RetryGlobalFrame,
};
use ceph_msgr::types::{EntityType, Features, Seq, Tid};

use crate::common::vstart::Vstart;
use crate::lab::{COOKIE, LAYOUTS, Lab, STAMP, nowhere, reconnect};

#[test]
fn a_monitor_and_an_osd_talk_in_both_revisions_and_modes() {
    let Some(vstart) = Vstart::builder().osds(1).start() else { return };
    let lab = Lab::new(&vstart);
    let osd = lab.osd(&vstart);
    for (banner, mode, name) in LAYOUTS {
        let mut link = lab.connect(lab.mon, EntityType::MON, banner, mode);
        // Whatever we say, a monitor's sessions with clients are lossy.
        let server = link.open(nowhere(), 0, COOKIE);
        assert_eq!((server.flags, server.cookie), (CLIENT_IDENT_LOSSY, 0));
        link.put(&KeepAliveFrame(STAMP));
        assert_eq!(link.get::<KeepAliveFrameAck>().0, STAMP);
        let (map, _) = link.ask::<MMonMap>(&MMonGetMap.to_message(Features::SUPPORTED));
        let once = SubscribeItem::onetime(0);
        let what = BTreeMap::from([("monmap".to_owned(), once)]);
        let subscribe = MMonSubscribe { what, hostname: "capture".to_owned() };
        assert_eq!(
            link.ask::<MMonMap>(&subscribe.to_message(Features::SUPPORTED)).0.monmapbl,
            map.monmapbl
        );
        let get_version = MMonGetVersion { handle: 7, what: "osdmap".to_owned() };
        let get_version = get_version.to_message(Features::SUPPORTED).with_tid(Tid(7));
        assert_eq!(link.ask::<MMonGetVersionReply>(&get_version).0.handle, 7);
        let fsid = MMonCommand::new(lab.fsid, r#"{"prefix":"fsid"}"#);
        let fsid = fsid.to_message(Features::SUPPORTED).with_tid(Tid(8));
        let (ack, data) = link.ask::<MMonCommandAck>(&fsid);
        assert_eq!((ack.r, &data[..]), (0, format!("{}\n", lab.fsid).as_bytes()));
        link.keep(&lab.version, &format!("mon-{name}"));

        let mut link = lab.connect(osd, EntityType::OSD, banner, mode);
        let server = link.open(nowhere(), CLIENT_IDENT_LOSSY, 0);
        assert_eq!((server.flags, server.cookie), (CLIENT_IDENT_LOSSY, 0));
        link.send(&MPing::default().to_message(Features::SUPPORTED));
        link.put(&KeepAliveFrame(STAMP));
        assert_eq!(link.get::<KeepAliveFrameAck>().0, STAMP);
        let version = MCommand::new(lab.fsid, r#"{"prefix":"version"}"#);
        // An OSD reads the input too, though this command has no use for it.
        let version = version.to_message(Features::SUPPORTED).with_tid(Tid(9)).with_data("input");
        let (reply, data) = link.ask::<MCommandReply>(&version);
        assert!(reply.r == 0 && String::from_utf8_lossy(&data).contains("version"), "{reply}");
        link.keep(&lab.version, &format!("osd-{name}"));
    }
}

#[test]
fn an_mds_knows_a_session_again_and_resets_an_unknown_one() {
    let Some(vstart) = Vstart::builder().mds().start() else { return };
    let lab = Lab::new(&vstart);
    let mds = lab.mds(&vstart);
    for (banner, mode, name) in LAYOUTS.into_iter().take(2) {
        drop(lab.connect(lab.mon, EntityType::MON, banner, mode));
        let connect = || lab.connect(mds, EntityType::MDS, banner, mode);
        let ping = MPing::default().to_message(Features::SUPPORTED);
        let addr = nowhere();
        let mut link = connect();
        let server = link.open(addr, CLIENT_IDENT_LOSSY, COOKIE);
        assert_eq!(server.flags, 0, "an MDS wants its sessions to last");
        assert_ne!(server.cookie, 0);
        link.send(&ping);
        assert_eq!(link.get::<AckFrame>().0, Seq(1));
        link.keep(&lab.version, &format!("mds-{name}"));

        let mut link = connect();
        link.put(&reconnect(addr, server.cookie, 5));
        assert_eq!(link.get::<ReconnectOkFrame>().0, Seq(1));
        link.go_on(1);
        link.send(&ping);
        assert_eq!(link.get::<AckFrame>().0, Seq(2));
        link.keep(&lab.version, &format!("mds-reconnect-{name}"));

        // It has come as far as attempt 5, and tells those who are behind.
        let mut link = connect();
        let mut stale = reconnect(addr, server.cookie, 2);
        link.put(&stale);
        assert_eq!(link.get::<RetryFrame>().0, 5);
        (stale.connect_seq, stale.global_seq) = (6, 1);
        link.put(&stale);
        assert!(link.get::<RetryGlobalFrame>().0 > 1);
        link.put(&reconnect(addr, server.cookie, 6));
        assert_eq!(link.get::<ReconnectOkFrame>().0, Seq(2));
        link.keep(&lab.version, &format!("mds-retry-{name}"));

        // Somebody whom it does not know begins anew.
        let mut link = connect();
        link.put(&reconnect(nowhere(), server.cookie, 1));
        assert!(link.get::<ResetFrame>().0);
        link.keep(&lab.version, &format!("mds-reset-{name}"));
    }
}

#[test]
fn a_monitor_says_which_features_are_missing() {
    let Some(vstart) = Vstart::builder().start() else { return };
    let lab = Lab::new(&vstart);
    for (banner, mode, name) in LAYOUTS.into_iter().take(2) {
        let mut link = lab.connect(lab.mon, EntityType::MON, banner, mode);
        let mut ident = link.client_ident(nowhere(), CLIENT_IDENT_LOSSY, 0);
        ident.supported_features = Features::NONE.with(Features::MSG_ADDR2);
        link.put(&ident);
        let missing: IdentMissingFeaturesFrame = link.get();
        assert!(missing.0 != 0 && !Features(missing.0).has(Features::MSG_ADDR2));
        link.open(nowhere(), CLIENT_IDENT_LOSSY, 0);
        link.keep(&lab.version, &format!("mon-missing-{name}"));
    }
}

#[test]
fn a_monitor_without_authentication_signs_with_zeros() {
    let Some(vstart) = Vstart::builder().auth_none().start() else { return };
    let lab = Lab::new(&vstart);
    for (banner, mode, name) in [LAYOUTS[0], LAYOUTS[2]] {
        let mut link = lab.connect(lab.mon, EntityType::MON, banner, mode);
        link.open(nowhere(), CLIENT_IDENT_LOSSY, 0);
        link.ask::<MMonMap>(&MMonGetMap.to_message(Features::SUPPORTED));
        link.keep(&lab.version, &format!("mon-none-{name}"));
    }
}
