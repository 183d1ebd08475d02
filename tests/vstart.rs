//! The test clusters themselves: that they come up, can be hurt, and leave nothing behind.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::vstart::Vstart;

fn runs(pid: u32) -> bool {
    // A zombie, which no one has waited for yet, has no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|cmdline| !cmdline.is_empty())
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "not within half a minute: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn fsid(cluster: &Vstart) -> String {
    cluster.ceph_json(&["status"])["fsid"].as_str().expect("an fsid").to_owned()
}

#[test]
fn comes_up_healthy_and_leaves_nothing() {
    let Some(cluster) = Vstart::builder().mgr().osds(3).start() else { return };
    let status = cluster.ceph_json(&["status"]);
    assert_eq!(status["health"]["status"], "HEALTH_OK", "{status:#}");
    assert_eq!(status["osdmap"]["num_up_osds"], 3);
    assert_eq!(status["mgrmap"]["available"], true);

    let daemons = ["mon.a", "mgr.x", "osd.0", "osd.1", "osd.2"];
    let pids = daemons.map(|name| cluster.pid(name).expect(name));
    assert!(pids.into_iter().all(runs));
    // One that is stopped must not survive.
    cluster.signal("osd.1", "STOP");
    let dir = cluster.dir().to_owned();
    drop(cluster);
    assert!(!pids.into_iter().any(runs));
    assert!(!dir.exists());
}

#[test]
fn two_run_side_by_side() {
    let start = || Vstart::builder().mgr().osds(1).start();
    let (one, two) = thread::scope(|scope| {
        // A test that is skipped is known by its thread's name.
        let named = thread::Builder::new().name("two_run_side_by_side".to_owned());
        let one = named.spawn_scoped(scope, start).expect("a thread");
        let two = start();
        (one.join().expect("the first starts"), two)
    });
    let (Some(one), Some(two)) = (one, two) else { return };
    assert_ne!(fsid(&one), fsid(&two));
    drop(one);
    assert_eq!(two.ceph_json(&["health"])["status"], "HEALTH_OK");
}

#[test]
fn has_a_file_system() {
    let Some(cluster) = Vstart::builder().mds().start() else { return };
    let status = cluster.ceph_json(&["status"]);
    assert_eq!(status["fsmap"]["by_rank"][0]["status"], "up:active", "{status:#}");
}

#[test]
fn three_mons_are_in_quorum() {
    let Some(cluster) = Vstart::builder().mons(3).start() else { return };
    assert_eq!(cluster.ceph_json(&["status"])["quorum"].as_array().map(Vec::len), Some(3));
}

#[test]
fn v1_only_has_no_msgr2() {
    let Some(cluster) = Vstart::builder().osds(1).v1_only().start() else { return };
    let osd = &cluster.ceph_json(&["osd", "dump"])["osds"][0];
    let mon = &cluster.ceph_json(&["mon", "dump"])["mons"][0];
    for addrs in [&osd["public_addrs"]["addrvec"], &mon["public_addrs"]["addrvec"]] {
        assert_eq!(addrs.as_array().map(Vec::len), Some(1), "{addrs}");
        assert_eq!(addrs[0]["type"], "v1");
    }
}

#[test]
fn a_killed_osd_comes_back_with_its_data() {
    let builder = Vstart::builder().mgr().osds(1).bluestore().conf("osd pool default pg num = 4");
    let Some(cluster) = builder.start() else { return };
    assert!(cluster.ceph(&["osd", "pool", "create", "p"]).status.success());
    assert_eq!(cluster.ceph_json(&["osd", "dump"])["pools"][0]["pg_num"], 4);
    let file = cluster.conf();
    let file = file.to_str().expect("utf-8");
    assert!(cluster.tool("rados", &["-p", "p", "put", "object", file]).status.success());

    let before = cluster.pid("osd.0").expect("it runs");
    cluster.signal("osd.0", "KILL");
    assert_eq!(cluster.pid("osd.0"), None);
    cluster.restart("osd.0");
    assert_ne!(cluster.pid("osd.0").expect("it runs"), before);
    cluster.wait_healthy();
    let got = cluster.tool("rados", &["-p", "p", "get", "object", "-"]);
    assert_eq!(got.stdout, std::fs::read(file).expect("ceph.conf"));
}

#[test]
fn all_tests_of_a_binary_share_one() {
    let Some(cluster) = Vstart::shared() else { return };
    let again = Vstart::shared().expect("it is there");
    assert!(std::ptr::eq(cluster, again));
    assert!(cluster.ceph(&["health"]).status.success());
}

#[test]
fn it_ends_with_its_owner() {
    // Asks for Ceph's programs, and says that the test is skipped.
    if Vstart::builder().start().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let conf = dir.path().join("c");
    let mut owner = Command::new("sleep").arg("600").spawn().expect("sleep");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vstart.sh");
    let start = Command::new(&script)
        .arg("start")
        .arg(&conf)
        .args(["--owner", &owner.id().to_string(), "--rm"])
        .stdin(Stdio::null())
        .output()
        .expect("vstart.sh");
    owner.kill().expect("it runs");
    // It stays a zombie until the end of this test, which must not count as alive.
    assert!(start.status.success(), "{}", String::from_utf8_lossy(&start.stderr));
    until("the directory is gone", || !conf.exists());
    owner.wait().expect("it has ended");
}
