//! What keeps a client out of a cluster, one cause at a time: each has its kind and its text, and
//! those that time cannot mend do not wait for the deadline.

use std::io::Write as _;
use std::time::Duration;

use ceph_msgr::auth::EntityName;
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::error::ErrorKind;
use ceph_msgr::types::{Msgr, UTime};
use ceph_msgr::{Cluster, Error};

use crate::common::live::{
    LONG, Peer, SHORT, Spoken, assert_says, builder, closed_port, connect, fails_within, mon_json,
};
use crate::common::vstart::Vstart;

/// What does not depend on the deadline, which is a minute here, has this much time.
const AT_ONCE: Duration = Duration::from_secs(10);

fn random_key() -> CryptoKey {
    CryptoKey::generate(KeyType::Aes, UTime::default()).expect("random numbers")
}

fn name(text: &str) -> EntityName {
    text.parse().expect("the name of an entity")
}

#[track_caller]
fn assert_error(e: &Error, kind: ErrorKind, says: &[&str]) {
    assert_eq!(e.kind(), kind, "{e}");
    assert_says(e, says);
}

/// The ports of the cluster's monitor for messenger v1 and v2.
fn mon_ports(vstart: &Vstart) -> (u16, u16) {
    let port = |spoken: Spoken| {
        let addr = spoken.connect(vstart).mon().peer().expect("a session").addr;
        assert_eq!(addr.addr_type, spoken.addr_type());
        addr.port()
    };
    (port(Spoken::V1), port(Spoken::V2Secure))
}

#[test]
fn a_wrong_key_and_an_unknown_entity_are_refused_at_once() {
    let Some(vstart) = Vstart::shared() else { return };
    for spoken in Spoken::ALL {
        who_is_refused_hears_at_once(vstart, spoken);
    }
}

fn who_is_refused_hears_at_once(vstart: &Vstart, spoken: Spoken) {
    let builder = || spoken.by(builder(vstart));
    let e = fails_within(AT_ONCE, || builder().key(random_key()).connect());
    assert_error(&e, ErrorKind::Auth, &["mon.0 127.0.0.1:", "refused the login", "wrong key"]);

    let nobody = builder().name(name("client.nobody")).key(random_key());
    let e = fails_within(AT_ONCE, || nobody.connect());
    assert_error(&e, ErrorKind::Auth, &["mon.0 127.0.0.1:", "refused", "unknown entity"]);

    // A monitor that says nothing does not make the refusal of another one wait.
    let mon = spoken.connect(vstart).mon().peer().expect("a session").addr;
    let both = format!("{mon},{:?}:127.0.0.1:{}", mon.addr_type, Peer::black_hole().port());
    let e = fails_within(AT_ONCE, || builder().mon_host(&both).key(random_key()).connect());
    assert_error(&e, ErrorKind::Auth, &["refused the login"]);

    // The key of somebody else.
    let keyring = Keyring::read(&vstart.keyring()).expect("the keyring");
    let admin = keyring.key(&name("client.admin")).expect("its key").clone();
    let nobody = builder().name(name("client.nobody")).key(admin);
    let e = fails_within(AT_ONCE, || nobody.connect());
    assert_error(&e, ErrorKind::Auth, &["refused"]);

    // Nor does it help to say that there is no authentication; and secure mode takes a key.
    let none = builder().set("auth_client_required", "none");
    let e = fails_within(AT_ONCE, || none.connect());
    let why = match spoken {
        Spoken::V2Secure => "no connection mode to offer",
        _ => "none of the protocols",
    };
    assert_error(&e, ErrorKind::Auth, &["mon.0 127.0.0.1:", why]);
}

#[test]
fn a_key_that_is_not_there_is_said_before_anybody_is_asked() {
    let Some(vstart) = Vstart::shared() else { return };
    let nobody = builder(vstart).name(name("client.nobody"));
    let e = fails_within(AT_ONCE, || nobody.connect());
    assert_error(&e, ErrorKind::Config, &["no key for client.nobody in the keyring"]);

    let nowhere = vstart.dir().join("no-keyring");
    let e = fails_within(AT_ONCE, || builder(vstart).keyring(&nowhere).connect());
    assert_error(&e, ErrorKind::Config, &["no keyring at", &nowhere.to_string_lossy()]);

    let broken = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(broken.path(), "[client.admin]\n\tkey = no key\n").expect("written");
    let e = fails_within(AT_ONCE, || builder(vstart).keyring(broken.path()).connect());
    assert_error(&e, ErrorKind::Config, &[&broken.path().to_string_lossy(), "client.admin", "key"]);

    // Where the configuration would do without a key, the cluster still wants one, and the error
    // says what was missing.
    let either = builder(vstart).set("auth_client_required", "cephx, none").keyring(&nowhere);
    let e = fails_within(AT_ONCE, || either.connect());
    assert_says(&e, &["no keyring at", &nowhere.to_string_lossy(), "none of the protocols"]);
}

#[test]
fn a_configuration_without_monitors_is_refused() {
    let Some(vstart) = Vstart::shared() else { return };
    let empty = tempfile::NamedTempFile::new().expect("a file");
    let no_mon = Cluster::builder().conf(empty.path()).keyring(vstart.keyring()).timeout(LONG);
    let e = fails_within(AT_ONCE, || no_mon.connect());
    assert_error(&e, ErrorKind::Config, &["mon host"]);

    let nowhere = vstart.dir().join("no.conf");
    let e = fails_within(AT_ONCE, || Cluster::builder().conf(&nowhere).connect());
    assert_error(&e, ErrorKind::Config, &[&nowhere.to_string_lossy()]);

    // A label of more than 63 characters is no host name for any resolver.
    let host = "x".repeat(70);
    let e = fails_within(AT_ONCE, || builder(vstart).mon_host(&host).connect());
    assert_error(&e, ErrorKind::Resolve, &[&host]);

    let only_v2 = format!("v2:127.0.0.1:{}", mon_ports(vstart).1);
    let v1 = builder(vstart).msgr(Msgr::V1);
    let e = fails_within(AT_ONCE, || v1.mon_host(&only_v2).connect());
    assert_error(&e, ErrorKind::Config, &["no address of messenger v1", &only_v2]);
    let only_v1 = format!("v1:127.0.0.1:{}", mon_ports(vstart).0);
    let v2 = builder(vstart).msgr(Msgr::V2);
    let e = fails_within(AT_ONCE, || v2.mon_host(&only_v1).connect());
    assert_error(&e, ErrorKind::Config, &["no address of messenger v2", &only_v1]);

    // One that is good among them is enough.
    let both = format!("{host},v1:127.0.0.1:{}", mon_ports(vstart).0);
    builder(vstart).mon_host(&both).connect().expect("the other one");
}

#[test]
fn a_port_that_is_not_a_monitors_is_told_apart() {
    let Some(vstart) = Vstart::shared() else { return };
    let at = |mon_host: &str| builder(vstart).mon_host(mon_host);

    // It may be a monitor that starts, so it is tried again until the deadline.
    let closed = format!("v1:127.0.0.1:{}", closed_port());
    let e = fails_within(SHORT, || at(&closed).timeout(SHORT).connect());
    assert_error(&e, ErrorKind::Timeout, &["mon.0", &closed[3..], "refused"]);

    let v2 = format!("v1:127.0.0.1:{}", mon_ports(vstart).1);
    let e = fails_within(AT_ONCE, || at(&v2).connect());
    assert_error(&e, ErrorKind::Protocol, &["mon.0", &v2[3..], "speaks messenger v2"]);
    let v1 = format!("v2:127.0.0.1:{}", mon_ports(vstart).0);
    let e = fails_within(AT_ONCE, || at(&v1).connect());
    assert_error(&e, ErrorKind::Protocol, &["mon.0", &v1[3..], "speaks messenger v1"]);

    let osds = mon_json(&connect(vstart), "osd dump".into());
    let addrs = osds["osds"][0]["public_addrs"]["addrvec"].as_array().expect("addresses");
    for messenger in ["v1", "v2"] {
        let osd = addrs.iter().find(|a| a["type"] == messenger).expect("of that type");
        let osd = osd["addr"].as_str().expect("text");
        let e = fails_within(AT_ONCE, || at(&format!("{messenger}:{osd}")).connect());
        assert_error(&e, ErrorKind::Protocol, &["mon.0", osd, "wrong peer"]);
    }

    let mut kept = Vec::new();
    let ssh = Peer::new(move |mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n");
        kept.push(stream);
    });
    for messenger in ["v1", "v2"] {
        let mon_host = format!("{messenger}:127.0.0.1:{}", ssh.port());
        let e = fails_within(AT_ONCE, || at(&mon_host).connect());
        assert_error(&e, ErrorKind::Protocol, &["mon.0", "not a Ceph messenger"]);
    }

    let curt = Peer::new(drop);
    let e = fails_within(SHORT, || at(&curt.mon_host()).timeout(SHORT).connect());
    // Whether it was closed or reset is a matter of what had been written by then.
    assert_error(&e, ErrorKind::Timeout, &["mon.0", "V1_BANNER: ", "connection"]);
}
