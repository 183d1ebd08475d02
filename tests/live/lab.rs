//! Daemons to try frames of messenger v2 on: those of a real cluster, or listeners of this library.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::auth::{
    AuthClient, AuthNoneAuthorizer, AuthProvider, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, ConMode,
    EntityName, MonLogin,
};
use ceph_msgr::msgr::v2::MSGR2_FEATURE_REVISION_1;
use ceph_msgr::msgr::v2::control::ReconnectFrame;
use ceph_msgr::types::{AddrType, EntityAddr, EntityType, Fsid, GlobalId, Seq, UTime};

use crate::common::vstart::Vstart;
use crate::link::{GLOBAL_SEQ, Link};

/// Features of our banner, and so the revision; the mode; what both are called.
pub(crate) const LAYOUTS: [(u64, ConMode, &str); 4] = [
    (MSGR2_FEATURE_REVISION_1, ConMode::Crc, "rev1-crc"),
    (MSGR2_FEATURE_REVISION_1, ConMode::Secure, "rev1-secure"),
    (0, ConMode::Crc, "rev0-crc"),
    (0, ConMode::Secure, "rev0-secure"),
];
pub(crate) const STAMP: UTime = UTime { sec: 0x0403_0201, nsec: 0x0807_0605 };
/// Names our end of a lossless session.
pub(crate) const COOKIE: u64 = 0x1122_3344_5566_7788;

/// The address of msgr2 in what `mon dump` and `osd dump` show.
fn v2_addr(addrs: &serde_json::Value) -> EntityAddr {
    let addrs = addrs["addrvec"].as_array().expect("addresses");
    let v2 = addrs.iter().find(|addr| addr["type"] == "v2").expect("one of v2");
    let nonce = v2["nonce"].as_u64().expect("a nonce");
    EntityAddr::msgr2(v2["addr"].as_str().expect("text").parse().expect("an address"), nonce as u32)
}

/// Where a new peer is that listens nowhere.
pub(crate) fn nowhere() -> EntityAddr {
    EntityAddr {
        addr_type: AddrType::ANY,
        nonce: 0x1000 + GLOBAL_SEQ.fetch_add(1, Relaxed) as u32,
        sockaddr: Some(([127, 0, 0, 1], 0).into()),
    }
}

/// Asks for a session again that was opened with [`COOKIE`].
pub(crate) fn reconnect(addr: EntityAddr, server_cookie: u64, connect_seq: u64) -> ReconnectFrame {
    ReconnectFrame {
        addrs: addr.into(),
        client_cookie: COOKIE,
        server_cookie,
        global_seq: GLOBAL_SEQ.fetch_add(1, Relaxed),
        connect_seq,
        msg_seq: Seq(0),
    }
}

/// How those are convinced who are dialled.
enum Proof {
    Login(MonLogin),
    Name,
}

/// A cluster, and somebody who may do everything there.
pub(crate) struct Lab {
    pub(crate) version: String,
    pub(crate) fsid: Fsid,
    pub(crate) mon: EntityAddr,
    proof: Proof,
}

impl Lab {
    pub(crate) fn new(vstart: &Vstart) -> Self {
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
        Self { version, fsid, mon, proof: Proof::Login(MonLogin::new(client)) }
    }

    /// Of those who believe a name.
    pub(crate) fn without_proof(mon: EntityAddr) -> Self {
        Self { version: String::new(), fsid: Fsid::default(), mon, proof: Proof::Name }
    }

    pub(crate) fn osd(&self, vstart: &Vstart) -> EntityAddr {
        v2_addr(&vstart.ceph_json(&["osd", "dump"])["osds"][0]["public_addrs"])
    }

    pub(crate) fn mds(&self, vstart: &Vstart) -> EntityAddr {
        let map = vstart.ceph_json(&["fs", "dump"])["filesystems"][0]["mdsmap"].clone();
        let daemons = map["info"].as_object().expect("daemons");
        v2_addr(&daemons.values().next().expect("one of them")["addrs"])
    }

    /// A session's socket that is authenticated. At the monitor it is a new login, and gives the tickets.
    pub(crate) fn connect(
        &self,
        to: EntityAddr,
        peer: EntityType,
        banner: u64,
        mode: ConMode,
    ) -> Link {
        self.authenticated(Link::dial(to, peer, banner), peer, mode)
    }

    /// The same on a socket that has said hello.
    pub(crate) fn authenticated(&self, mut link: Link, peer: EntityType, mode: ConMode) -> Link {
        let name = AuthNoneAuthorizer {
            name: EntityName::new(link.own, "admin"),
            global_id: GlobalId(4101),
        };
        let provider: &dyn AuthProvider = match &self.proof {
            Proof::Login(login) => login,
            Proof::Name => &name,
        };
        let connector = provider.start_auth(peer, &[mode], Instant::now(), false);
        let done = link.authenticate(connector.expect("a ticket"));
        assert_eq!(done.mode, mode);
        if let (Some(granted), Proof::Login(login)) = (done.login, &self.proof) {
            login.logged_in(*granted);
            login.take().expect("it").install().expect("installed");
        }
        link
    }
}
