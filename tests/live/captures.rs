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
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::auth::{
    AuthClient, AuthProvider as _, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, ConMode, EntityName, MonLogin,
};
use ceph_msgr::messages::mon::{
    MMonCommand, MMonCommandAck, MMonGetMap, MMonGetVersion, MMonGetVersionReply, MMonMap,
    MMonSubscribe, SubscribeItem,
};
use ceph_msgr::messages::osd::{MCommand, MCommandReply};
use ceph_msgr::messages::{Body as _, MPing};
use ceph_msgr::msgr::v2::MSGR2_FEATURE_REVISION_1;
use ceph_msgr::msgr::v2::control::{
    AckFrame, CLIENT_IDENT_LOSSY, KeepAliveFrame, KeepAliveFrameAck, ReconnectFrame,
    ReconnectOkFrame, ResetFrame,
};
use ceph_msgr::types::{AddrType, EntityAddr, EntityType, Features, Fsid, Seq, Tid, UTime};

use crate::common::vstart::Vstart;
use crate::link::{GLOBAL_SEQ, Link};

/// Features of our banner, and so the revision; the mode; what both are called.
const LAYOUTS: [(u64, ConMode, &str); 4] = [
    (MSGR2_FEATURE_REVISION_1, ConMode::Crc, "rev1-crc"),
    (MSGR2_FEATURE_REVISION_1, ConMode::Secure, "rev1-secure"),
    (0, ConMode::Crc, "rev0-crc"),
    (0, ConMode::Secure, "rev0-secure"),
];
const STAMP: UTime = UTime { sec: 0x0403_0201, nsec: 0x0807_0605 };
/// Names our end of a lossless session.
const COOKIE: u64 = 0x1122_3344_5566_7788;

/// The address of msgr2 in what `mon dump` and `osd dump` show.
fn v2_addr(addrs: &serde_json::Value) -> EntityAddr {
    let addrs = addrs["addrvec"].as_array().expect("addresses");
    let v2 = addrs.iter().find(|addr| addr["type"] == "v2").expect("one of v2");
    let nonce = v2["nonce"].as_u64().expect("a nonce");
    EntityAddr::msgr2(v2["addr"].as_str().expect("text").parse().expect("an address"), nonce as u32)
}

/// Where a new peer is that listens nowhere.
fn nowhere() -> EntityAddr {
    EntityAddr {
        addr_type: AddrType::ANY,
        nonce: 0x1000 + GLOBAL_SEQ.fetch_add(1, Relaxed) as u32,
        sockaddr: Some(([127, 0, 0, 1], 0).into()),
    }
}

/// A cluster, and somebody who may do everything there.
struct Lab {
    version: String,
    fsid: Fsid,
    mon: EntityAddr,
    provider: MonLogin,
}

impl Lab {
    fn new(vstart: &Vstart) -> Self {
        let dump = vstart.ceph_json(&["mon", "dump"]);
        let mon = v2_addr(&dump["mons"][0]["public_addrs"]);
        let fsid = dump["fsid"].as_str().expect("text").parse().expect("an fsid");
        let name = EntityName::new(EntityType::CLIENT, "admin");
        let keyring = Keyring::read(&vstart.keyring()).expect("a keyring");
        let key = keyring.key(&name).expect("a key").clone();
        let services = [EntityType::MON, EntityType::OSD, EntityType::MDS, EntityType::MGR];
        let methods = [CEPH_AUTH_NONE, CEPH_AUTH_CEPHX];
        let client = AuthClient::new(name, Some(key), &methods, &services);
        let client = Arc::new(client.expect("a client"));
        let version = vstart.ceph_json(&["version"])["version"].as_str().expect("text").to_owned();
        Self { version, fsid, mon, provider: MonLogin::new(client) }
    }

    /// A session's socket that is authenticated. At the monitor it is a new login, and gives the tickets.
    fn connect(&self, to: EntityAddr, peer: EntityType, banner: u64, mode: ConMode) -> Link {
        let mut link = Link::dial(to, peer, banner);
        let connector = self.provider.start_auth(peer, &[mode], Instant::now(), false);
        let done = link.authenticate(connector.expect("a ticket"));
        assert_eq!(done.mode, mode);
        if let Some(login) = done.login {
            self.provider.logged_in(*login);
            self.provider.take().expect("it").install().expect("installed");
        }
        link
    }
}

#[test]
fn a_monitor_and_an_osd_talk_in_both_revisions_and_modes() {
    let Some(vstart) = Vstart::builder().osds(1).start() else { return };
    let osd = v2_addr(&vstart.ceph_json(&["osd", "dump"])["osds"][0]["public_addrs"]);
    let lab = Lab::new(&vstart);
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
    let map = vstart.ceph_json(&["fs", "dump"])["filesystems"][0]["mdsmap"].clone();
    let info = map["info"].as_object().expect("daemons").values().next().expect("one").clone();
    let mds = v2_addr(&info["addrs"]);
    let lab = Lab::new(&vstart);
    for (banner, mode, name) in &LAYOUTS[..2] {
        let connect = || lab.connect(mds, EntityType::MDS, *banner, *mode);
        drop(lab.connect(lab.mon, EntityType::MON, *banner, *mode));
        let addr = nowhere();
        let mut link = connect();
        let server = link.open(addr, CLIENT_IDENT_LOSSY, COOKIE);
        assert_eq!(server.flags, 0, "an MDS wants its sessions to last");
        assert_ne!(server.cookie, 0);
        link.send(&MPing::default().to_message(Features::SUPPORTED));
        assert_eq!(link.get::<AckFrame>().0, Seq(1));
        link.keep(&lab.version, &format!("mds-{name}"));

        let mut reconnect = ReconnectFrame {
            addrs: addr.into(),
            client_cookie: COOKIE,
            server_cookie: server.cookie,
            global_seq: GLOBAL_SEQ.fetch_add(1, Relaxed),
            connect_seq: 1,
            msg_seq: Seq(0),
        };
        let mut link = connect();
        link.put(&reconnect);
        assert_eq!(link.get::<ReconnectOkFrame>().0, Seq(1));
        link.go_on(1);
        link.send(&MPing::default().to_message(Features::SUPPORTED));
        assert_eq!(link.get::<AckFrame>().0, Seq(2));
        link.keep(&lab.version, &format!("mds-reconnect-{name}"));

        // Somebody whom it does not know begins anew.
        reconnect.addrs = nowhere().into();
        let mut link = connect();
        link.put(&reconnect);
        assert!(link.get::<ResetFrame>().0);
        link.keep(&lab.version, &format!("mds-reset-{name}"));
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
