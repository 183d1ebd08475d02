//! `examples/probe`: what it says of real daemons, and of peers that are none.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ceph_msgr::types::EntityAddr;
use common::vstart::Vstart;
use serde_json::{Value, json};

/// What a run printed, and its exit code.
struct Run {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

fn probe(args: &[&str]) -> Run {
    // Cargo puts the examples beside the directory of the tests' own binaries.
    let mut path: PathBuf = std::env::current_exe().expect("this test has a path");
    path.pop();
    path.pop();
    path.push("examples/probe");
    assert!(path.exists(), "{}: say cargo build --examples first", path.display());
    let output = Command::new(path).args(args).stdin(Stdio::null()).output().expect("probe runs");
    Run {
        stdout: String::from_utf8(output.stdout).expect("utf-8"),
        stderr: String::from_utf8(output.stderr).expect("utf-8"),
        code: output.status.code(),
    }
}

/// The same in both forms: lines, and the JSON object, which tells of the same steps.
fn both(args: &[&str]) -> (Run, Value) {
    let text = probe(args);
    let run = probe(&[&["--json"], args].concat());
    assert_eq!(run.code, text.code, "{}", text.stdout);
    let json: Value = serde_json::from_str(&run.stdout).expect("one JSON object");
    assert_eq!(json["ok"], json!(text.code == Some(0)), "{json:#}");
    let failed = json["failed"].as_array().expect("an array");
    for step in json["steps"].as_array().expect("an array") {
        let name = step["step"].as_str().expect("a name");
        let line = text.stdout.lines().find(|l| l.contains(&format!(" ms  {name:<12}")));
        let line = line.unwrap_or_else(|| panic!("no line of {name} in {}", text.stdout));
        assert_eq!(line.contains("FAILED"), step["ok"] == false, "{line}");
        assert_eq!(failed.contains(&step["step"]), step["ok"] == false, "{json:#}");
    }
    (text, json)
}

fn step<'a>(json: &'a Value, name: &str) -> &'a str {
    let steps = json["steps"].as_array().expect("an array");
    let step = steps.iter().find(|step| step["step"] == name);
    step.unwrap_or_else(|| panic!("no step {name} in {json:#}"))["text"].as_str().expect("text")
}

/// `IP:PORT` and nonce of the address of that type, as the maps have them.
fn addr(addrs: &Value, addr_type: &str) -> (String, u64) {
    let addrs = addrs["addrvec"].as_array().expect("addresses");
    let addr = addrs.iter().find(|addr| addr["type"] == addr_type).expect("one of the type");
    (addr["addr"].as_str().expect("text").to_owned(), addr["nonce"].as_u64().expect("a number"))
}

fn mon_addr(cluster: &Vstart, addr_type: &str) -> String {
    addr(&cluster.ceph_json(&["mon", "dump"])["mons"][0]["public_addrs"], addr_type).0
}

fn osd_addr(cluster: &Vstart) -> (String, u64) {
    addr(&cluster.ceph_json(&["osd", "dump"])["osds"][0]["public_addrs"], "v1")
}

fn has(features: &Value, name: &str) -> bool {
    features["names"].as_array().expect("names").contains(&json!(name))
}

/// What every daemon of a cluster shows, whatever it is.
fn check_facts(json: &Value, text: &Run, claims: &str) {
    assert_eq!(json["banner"], "ceph v027");
    assert_eq!(json["addresses"]["peer"], claims);
    let local = json["tcp"]["local"].as_str().expect("an address");
    assert_eq!(json["addresses"]["ours"], format!("v1:{local}/0"));
    let features = &json["features"];
    for name in ["SERVER_NAUTILUS", "MSGR_KEEPALIVE2"] {
        assert!(has(&features["supported"], name) && has(&features["effective"], name));
        assert!(text.stdout.contains(name));
    }
    assert_eq!(features["unsupported"]["names"], json!([]));
    let ms = |fact: &str| json["round_trips"][fact].as_f64().expect("a number");
    assert!(ms("min_ms") <= ms("median_ms") && ms("median_ms") <= ms("max_ms"), "{json:#}");
}

#[test]
fn a_monitor() {
    let Some(cluster) = Vstart::shared() else { return };
    let mon = mon_addr(cluster, "v1");
    let (text, json) = both(&[&mon]);
    assert_eq!(text.code, Some(0), "{}", text.stdout);
    check_facts(&json, &text, &format!("v1:{mon}/0"));
    assert_eq!((&json["type"], &json["protocol_version"]), (&json!("mon"), &json!(15)));
    // With OSDs in the cluster the CRUSH map is what demands.
    assert!(has(&json["features"]["demanded"], "CRUSH_V4"), "{json:#}");
    assert_eq!(json["session"], json!({ "open": true, "lossy": true, "tags": ["SEQ"] }));
    assert_eq!(
        (&json["round_trips"]["of"], &json["round_trips"]["count"]),
        (&json!("keepalive2"), &json!(10))
    );
    assert_eq!(json["auth"]["none"]["accepted"], false);
    assert_eq!(json["auth"]["cephx"]["accepted"], true);
    let by_name = mon.replace("127.0.0.1", "localhost");
    let (text, json) = both(&["--type", "mon", &by_name]);
    assert_eq!(text.code, Some(0), "{}", text.stdout);
    assert!(step(&json, "resolve").contains("127.0.0.1"));
}

#[test]
fn an_osd() {
    let Some(cluster) = Vstart::shared() else { return };
    let (osd, nonce) = osd_addr(cluster);
    let claims = format!("v1:{osd}/{nonce}");
    for target in [&osd, &claims] {
        let (text, json) = both(&[target]);
        assert_eq!(text.code, Some(0), "{}", text.stdout);
        check_facts(&json, &text, &claims);
        assert_eq!((&json["type"], &json["protocol_version"]), (&json!("osd"), &json!(24)));
        assert_eq!(json["session"]["open"], false);
        let refused = json!({ "accepted": false, "answer": "BADAUTHORIZER" });
        assert_eq!(json["auth"], json!({ "no_authorizer": refused, "none": refused }));
        assert_eq!(json["round_trips"]["of"], "connect");
    }
}

#[test]
fn a_wrong_nonce_and_a_wrong_type_fail_a_step_and_the_rest_follows() {
    let Some(cluster) = Vstart::shared() else { return };
    let (osd, nonce) = osd_addr(cluster);
    let (text, json) = both(&["--type", "mds", &format!("{osd}/{}", nonce + 1)]);
    assert_eq!((text.code, &json["failed"]), (Some(1), &json!(["addresses", "protocol"])));
    assert!(step(&json, "addresses").contains("wrong peer"), "{json:#}");
    assert!(
        text.stdout.contains("hint: a daemon has another nonce after each start"),
        "{}",
        text.stdout
    );
    assert_eq!(
        step(&json, "protocol"),
        "version 24 is that of osd (BADPROTOVER to version 32), and not mds"
    );
    check_facts(&json, &text, &format!("v1:{osd}/{nonce}"));
}

#[test]
fn a_manager() {
    let Some(cluster) = Vstart::shared() else { return };
    let (mgr, nonce) = addr(&cluster.ceph_json(&["mgr", "dump"])["active_addrs"], "v1");
    let (text, json) = both(&[&mgr]);
    assert_eq!(text.code, Some(0), "{}", text.stdout);
    check_facts(&json, &text, &format!("v1:{mgr}/{nonce}"));
    assert_eq!((&json["type"], &json["protocol_version"]), (&json!("mgr"), &json!(0)));
    assert_eq!(json["auth"]["none"]["accepted"], false);
}

#[test]
fn a_port_of_messenger_v2() {
    let Some(cluster) = Vstart::shared() else { return };
    let (text, json) = both(&["--msgr", "v1", &mon_addr(cluster, "v2")]);
    assert_eq!((text.code, &json["failed"]), (Some(1), &json!(["banner"])), "{}", text.stdout);
    assert_eq!(json["banner"], "ceph v2");
    assert!(step(&json, "banner").contains("speaks messenger v2"), "{json:#}");
    let (text, json) = both(&["--msgr", "v2", &mon_addr(cluster, "v1")]);
    assert_eq!((text.code, &json["failed"]), (Some(1), &json!(["banner"])), "{}", text.stdout);
    assert!(step(&json, "banner").contains("speaks messenger v1"), "{json:#}");
}

/// What every daemon of release 16 shows with messenger v2, whatever it is.
fn check_v2_facts(json: &Value, kind: &str, modes: &Value) {
    let msgr2 = json!({ "supported": "0x1", "required": "0x0", "revisions": ["2.0", "2.1"],
                        "revision": "2.1", "compression": false });
    assert_eq!(json["msgr2"], msgr2);
    assert_eq!((&json["msgr"], &json["banner"]), (&json!("v2"), &json!("ceph v2")));
    assert_eq!(json["type"], kind);
    // Another socket than the first, which told that it is v2.
    let ours = json["addresses"]["ours"].as_str().expect("an address");
    assert!(ours.starts_with("v2:127.0.0.1:") && ours.ends_with("/0"), "{ours}");
    assert_eq!(&json["auth"]["modes"], modes, "{json:#}");
    let ms = |fact: &str| json["round_trips"][fact].as_f64().expect("a number");
    assert!(ms("min_ms") <= ms("median_ms") && ms("median_ms") <= ms("max_ms"), "{json:#}");
}

#[test]
fn ports_of_messenger_v2_of_all_daemons() {
    let Some(cluster) = Vstart::shared() else { return };
    let mon = mon_addr(cluster, "v2");
    let osd = addr(&cluster.ceph_json(&["osd", "dump"])["osds"][0]["public_addrs"], "v2").0;
    let mgr = addr(&cluster.ceph_json(&["mgr", "dump"])["active_addrs"], "v2").0;
    for (addr, kind, modes) in [
        (&mon, "mon", json!(["secure", "crc"])),
        (&osd, "osd", json!(["crc", "secure"])),
        // To a manager a client is as to a monitor.
        (&mgr, "mgr", json!(["secure", "crc"])),
    ] {
        for args in [&[addr.as_str()][..], &["--msgr", "v2", "--type", kind, addr]] {
            let (text, json) = both(args);
            assert_eq!(text.code, Some(0), "{}", text.stdout);
            check_v2_facts(&json, kind, &modes);
            assert_eq!(json["auth"]["methods"], json!(["cephx"]), "{json:#}");
            assert_eq!(json["auth"]["none"]["accepted"], false);
            assert_eq!((&json["session"], &json["features"]), (&Value::Null, &Value::Null));
            assert_eq!(json["round_trips"]["of"], "auth");
        }
    }
    for mode in ["crc", "secure"] {
        let (text, json) = both(&["--ms-mode", mode, &format!("v2:{mon}")]);
        assert_eq!(text.code, Some(0), "{}", text.stdout);
        assert_eq!(json["auth"]["cephx"]["accepted"], true, "{json:#}");
    }
    let (text, json) = both(&["--type", "mds", &format!("v2:{osd}")]);
    assert_eq!((text.code, &json["failed"]), (Some(1), &json!(["hello"])), "{}", text.stdout);
}

#[test]
fn without_authentication_a_name_opens_a_session() {
    let Some(cluster) = Vstart::builder().mds().auth_none().start() else { return };
    let (_, json) = both(&[&mon_addr(&cluster, "v1")]);
    assert_eq!(json["auth"]["none"]["accepted"], true, "{json:#}");
    assert_eq!(json["auth"]["cephx"]["accepted"], false, "{json:#}");
    let fs = cluster.ceph_json(&["fs", "dump"]);
    let info = fs["filesystems"][0]["mdsmap"]["info"].as_object().expect("daemons");
    let mds = addr(&info.values().next().expect("one")["addrs"], "v1").0;
    for (target, kind, lossy) in [(osd_addr(&cluster).0, "osd", true), (mds, "mds", false)] {
        let (text, json) = both(&[&target]);
        assert_eq!(text.code, Some(0), "{}", text.stdout);
        assert_eq!((&json["type"], &json["session"]["lossy"]), (&json!(kind), &json!(lossy)));
        assert_eq!(json["auth"]["none"]["accepted"], true, "{json:#}");
        assert_eq!(json["round_trips"]["of"], "keepalive2");
    }

    // And with messenger v2, where whoever asks must name the nonce.
    let mon = mon_addr(&cluster, "v2");
    let (mds, mds_nonce) = addr(&info.values().next().expect("one")["addrs"], "v2");
    let osds = cluster.ceph_json(&["osd", "dump"]);
    let (osd, osd_nonce) = addr(&osds["osds"][0]["public_addrs"], "v2");
    for (at, nonce, kind, lossy) in
        [(mon, 0, "mon", true), (osd, osd_nonce, "osd", true), (mds, mds_nonce, "mds", false)]
    {
        let claims = format!("v2:{at}/{nonce}");
        let (text, json) = both(&[&claims]);
        assert_eq!(text.code, Some(0), "{}", text.stdout);
        assert_eq!((&json["type"], &json["session"]["lossy"]), (&json!(kind), &json!(lossy)));
        let peer = json["addresses"]["peer"].as_str().expect("addresses");
        assert!(peer.contains(&claims), "{peer}");
        assert_eq!(json["auth"]["none"]["accepted"], true, "{json:#}");
        for name in ["SERVER_NAUTILUS", "MSGR_KEEPALIVE2"] {
            assert!(has(&json["features"]["effective"], name), "{json:#}");
        }
        assert!(has(&json["features"]["demanded"], "MSG_ADDR2"), "{json:#}");
        assert_eq!(json["round_trips"]["of"], "keepalive2");
        if kind != "mon" {
            let (text, json) = both(&[&at]);
            assert_eq!((text.code, &json["session"]), (Some(0), &Value::Null), "{}", text.stdout);
            assert!(step(&json, "session").contains("not tried"), "{}", text.stdout);
            let (text, json) = both(&[&format!("v2:{at}/{}", nonce + 1)]);
            assert_eq!(json["failed"], json!(["session"]), "{}", text.stdout);
            assert!(text.stdout.contains("hint: it may have another address"), "{}", text.stdout);
        }
    }
}

/// Runs the probe twice, as [`both`] does, on a peer that does `what` with each connection.
fn fake(what: impl Fn(TcpStream, SocketAddr) + Sync) -> (Run, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    thread::scope(|scope| {
        scope.spawn(|| {
            // A connection that sends nothing ends it: the probe always says something.
            for sock in listener.incoming() {
                let mut sock = sock.expect("a connection");
                let mut first = [0];
                if sock.read(&mut first).is_ok_and(|n| n == 0) {
                    return;
                }
                what(sock, addr);
            }
        });
        let result = both(&["--timeout", "0.4", &addr.to_string()]);
        drop(TcpStream::connect(addr).expect("it listens"));
        result
    })
}

/// Holds the connection until the other side ends it.
fn hold(mut sock: TcpStream) {
    let _ = sock.read_to_end(&mut Vec::new());
}

fn hello(addr: SocketAddr) -> Vec<u8> {
    let addr = EntityAddr::legacy(addr, 0).encode_legacy();
    [b"ceph v027", &addr[..], &addr[..]].concat()
}

fn check_failed((text, json): &(Run, Value), name: &str, why: &str) {
    assert_eq!((text.code, &json["failed"]), (Some(1), &json!([name])), "{}", text.stdout);
    assert!(step(json, name).contains(why), "{}", text.stdout);
    assert_eq!(text.stdout.lines().last(), Some(&*format!("failed: {name}")));
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address").to_string();
    drop(listener);
    check_failed(&both(&[&addr]), "tcp", &format!("{addr}: connection refused"));
}

#[test]
fn a_black_hole() {
    let begun = Instant::now();
    check_failed(&fake(|sock, _| hold(sock)), "banner", "no banner in time (400ms)");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_peer_that_is_no_messenger() {
    let result = fake(|mut sock, _| {
        let _ = sock.write_all(b"SSH-2.0-x\r\n");
        hold(sock);
    });
    check_failed(&result, "banner", r#"(it says "SSH-2.0-x"#);
    // Once over TLS: an alert, which is shorter than a banner.
    let result = fake(|mut sock, _| drop(sock.write_all(&[0x15, 3, 1, 0, 2, 2, 0x46])));
    check_failed(&result, "banner", r#"(it says "\x15\x03\x01"#);
}

#[test]
fn a_peer_that_ends_or_falls_silent_in_the_middle() {
    let result = fake(|sock, _| drop(sock));
    assert_eq!(result.1["failed"], json!(["banner"]), "{}", result.0.stdout);

    let result = fake(|mut sock, _| {
        let _ = sock.write_all(b"ceph v027");
        hold(sock);
    });
    check_failed(&result, "addresses", "no addresses behind the banner in time");

    let result = fake(|mut sock, addr| {
        let _ = sock.write_all(&hello(addr));
        hold(sock);
    });
    check_failed(&result, "protocol", "no connect reply in time");

    let result = fake(|mut sock, addr| {
        let _ = sock.write_all(&hello(addr));
        // The rest of the hello, then the connect message.
        let _ = sock.read_exact(&mut [0; 145 - 1 + 33]);
    });
    check_failed(&result, "protocol", "the peer closed the connection: no connect reply");
}

#[test]
fn a_peer_that_lives_elsewhere() {
    let elsewhere: SocketAddr = "10.1.2.3:6789".parse().expect("an address");
    let (text, json) = fake(|mut sock, _| {
        let _ = sock.write_all(&hello(elsewhere));
        hold(sock);
    });
    assert_eq!(json["failed"], json!(["addresses", "protocol"]), "{}", text.stdout);
    assert_eq!(json["addresses"]["peer"], "v1:10.1.2.3:6789/0");
    assert!(text.stdout.contains("hint: clients refuse it"), "{}", text.stdout);
    assert!(text.stdout.contains("addresses are translated on the way"), "{}", text.stdout);
}

#[test]
fn a_wrong_command_line() {
    for args in [
        &[][..],
        &["--msgr", "v1", "v2:127.0.0.1:3300"],
        &["--msgr", "v1", "--ms-mode", "crc", "127.0.0.1"],
        &["--msgr", "v3", "127.0.0.1"],
        &["--ms-mode", "none", "127.0.0.1"],
        &["--type", "client", "127.0.0.1"],
        &["--timeout", "0", "127.0.0.1"],
        &["127.0.0.1:x"],
        &["v3:127.0.0.1"],
    ] {
        let run = probe(args);
        assert_eq!((run.code, &*run.stdout), (Some(2), ""), "{args:?}");
        assert!(run.stderr.contains("--help"), "{}", run.stderr);
    }
    let run = probe(&["--json", "no-such-host.invalid"]);
    let json: Value = serde_json::from_str(&run.stdout).expect("one JSON object");
    assert_eq!((run.code, &json["failed"]), (Some(1), &json!(["resolve"])));
    assert_eq!(json["banner"], Value::Null);
}
