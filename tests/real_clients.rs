//! Ceph's own programs against the accepting side: clients and daemons of the installed release
//! dial a scripted monitor. Nothing here starts a cluster.
//!
//! How often they connect is not asked: 16.2.15 takes a fast answer to a keepalive for a late one,
//! and dials anew.

mod common;
#[path = "real_clients/program.rs"]
mod program;

use std::process::Stdio;
use std::time::Duration;

use ceph_msgr::auth::ConMode;
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::messages::Body as _;
use ceph_msgr::messages::auth::MAuth;
use ceph_msgr::messages::mon::MMonSubscribe;
use ceph_msgr::messages::types::{MSG_MDS_BEACON, MSG_OSD_BOOT};
use ceph_msgr::net::Deadline;
use ceph_msgr::testing::{Arrival, Arrived, CommandReply, Commands, Daemon, Mon};
use ceph_msgr::types::{AddrType, EntityType};
use ceph_msgr::{Cluster, Command};
use common::live::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use program::{Running, Site, Way, is_installed};

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// What no Ceph answers.
fn commands() -> Commands {
    Commands::new()
        .on("status", "show cluster status", |_| CommandReply::ok("all is made up\n"))
        .on("frob name=what,type=CephString", "frob it", |cmd| match cmd.arg("what") {
            Some("good") => CommandReply::ok(format!("frobbed for {}\n", cmd.peer.name)),
            _ => CommandReply::error(17, "that was frobbed before"),
        })
        .on("cat", "give the input back", |cmd| CommandReply::ok(cmd.inbl.clone()))
}

fn commands_of(daemon: &Daemon) -> Vec<String> {
    let arrivals = daemon.arrivals();
    arrivals.iter().filter_map(Arrival::command).map(|cmd| cmd.prefix.clone()).collect()
}

/// `client.admin`, with every cap.
fn mon(way: Way) -> Mon {
    way.mon().commands(commands()).start().expect("a monitor")
}

/// All that came in came that way, and something did.
fn assert_way(daemon: &Daemon, way: Way) {
    let arrivals = daemon.arrivals();
    let is_login = |a: &&Arrival| matches!(a.what, Arrived::Login);
    assert!(arrivals.iter().any(|a| is_login(&a)), "{arrivals:#?}");
    for arrival in arrivals.iter().filter(is_login) {
        assert_eq!(arrival.con_mode, way.con_mode(), "{arrival:?}");
    }
}

#[test]
fn ceph_gets_answers_that_are_made_up() {
    if !is_installed("ceph") {
        return;
    }
    Way::ALL.into_iter().for_each(ceph_gets_answers_that_are_made_up_by);
}

fn ceph_gets_answers_that_are_made_up_by(way: Way) {
    let mon = mon(way);
    let site = Site::of(&mon, way);
    let status = site.run("ceph", &["-m", &mon.mon_host(), "status"]);
    assert_eq!((status.code, status.stdout.as_str()), (Some(0), "all is made up\n"), "{status:?}");
    let good = site.run("ceph", &["-m", &mon.mon_host(), "frob", "good"]);
    assert_eq!(good.stdout, "frobbed for client.admin\n", "{good:?}");

    // ceph's exit code is the errno.
    let bad = site.run("ceph", &["-m", &mon.mon_host(), "frob", "bad"]);
    assert_eq!(bad.code, Some(17), "{bad:?}");
    assert!(bad.stderr.contains("EEXIST: that was frobbed before"), "{bad:?}");

    let input = site.file("input", "the input\n");
    let cat = site.run("ceph", &["-m", &mon.mon_host(), "cat", "-i", &input]);
    assert_eq!(cat.stdout, "the input\n", "{cat:?}");
    assert!(commands_of(&mon).contains(&"frob".to_owned()));
    assert_way(&mon, way);
}

#[test]
fn ceph_with_another_key_is_denied() {
    if !is_installed("ceph") {
        return;
    }
    Way::ALL.into_iter().for_each(ceph_with_another_key_is_denied_by);
}

fn ceph_with_another_key_is_denied_by(way: Way) {
    let mon = mon(way);
    let mut keyring = Keyring::new();
    let key = CryptoKey::generate(KeyType::Aes, Default::default()).expect("a key");
    keyring.set_key(&"client.admin".parse().expect("a name"), key);
    let site = Site::new(&mon.mon_host(), &keyring, way);
    let status = site.run("ceph", &["status"]);
    assert_eq!(status.code, Some(13), "EACCES: {status:?}");
    assert!(status.stderr.to_lowercase().contains("permission denied"), "{status:?}");
    assert!(commands_of(&mon).is_empty());
}

#[test]
fn ceph_in_a_mode_that_is_not_allowed_is_refused() {
    if !is_installed("ceph") {
        return;
    }
    for (allowed, asked) in [(ConMode::Secure, ConMode::Crc), (ConMode::Crc, ConMode::Secure)] {
        let mon = Mon::builder().con_modes(&[allowed]).start().expect("a monitor");
        let v2 = mon.addrs().of_type(AddrType::MSGR2).and_then(|addr| addr.sockaddr);
        let mon_host = format!("v2:{}", v2.expect("an address"));
        let site = Site::new(&mon_host, mon.monitor().keyring(), Way::V2(asked));
        let status = site.run("ceph", &["status"]);
        // As with a real monitor it is the methods that it tells of.
        assert_eq!(status.code, Some(13), "EACCES: {status:?}");
        assert!(status.stderr.contains("server allowed_methods [2]"), "{status:?}");
        assert!(status.stderr.contains("RADOS permission denied"), "{status:?}");
        assert!(!mon.arrivals().iter().any(|a| matches!(a.what, Arrived::Login)));
    }
}

#[test]
fn ceph_finds_the_daemons_of_the_maps() {
    if !is_installed("ceph") {
        return;
    }
    Way::ALL.into_iter().for_each(ceph_finds_the_daemons_of_the_maps_by);
}

fn ceph_finds_the_daemons_of_the_maps_by(way: Way) {
    let mgr_commands =
        Commands::new().on("pg stat", "", |_| CommandReply::ok("as many as you like\n"));
    let osd_commands = Commands::new().on("version", "", |_| CommandReply::ok("made up, too\n"));
    let mon = way.mon().commands(commands().with_mgr(&mgr_commands)).start().expect("a monitor");
    let osd = mon.start_osd(0, mon.service(EntityType::OSD, osd_commands)).expect("an OSD");
    let mgr = mon.start_mgr("x", mon.service(EntityType::MGR, mgr_commands)).expect("a manager");
    let site = Site::of(&mon, way);
    let version = site.run("ceph", &["tell", "osd.0", "version"]);
    assert_eq!(version.stdout, "made up, too\n", "{version:?}");
    let pgs = site.run("ceph", &["pg", "stat"]);
    assert_eq!(pgs.stdout, "as many as you like\n", "{pgs:?}");
    assert!(commands_of(&osd).contains(&"version".to_owned()));
    assert!(commands_of(&mgr).contains(&"pg stat".to_owned()));
    for daemon in [&*mon, &osd, &mgr] {
        assert_way(daemon, way);
    }
}

#[test]
fn rados_and_rbd_see_a_cluster_without_pools() {
    if !is_installed("rados") || !is_installed("rbd") {
        return;
    }
    Way::ALL.into_iter().for_each(rados_and_rbd_see_a_cluster_without_pools_by);
}

fn rados_and_rbd_see_a_cluster_without_pools_by(way: Way) {
    let mon = mon(way);
    let site = Site::of(&mon, way);
    let pools = site.run("rados", &["-m", &mon.mon_host(), "lspools"]);
    assert_eq!((pools.code, pools.stdout.as_str()), (Some(0), ""), "{pools:?}");
    // It asks how full the pools are, and the cluster.
    let df = site.run("rados", &["-m", &mon.mon_host(), "df"]);
    assert_eq!((df.code, df.stderr.as_str()), (Some(0), ""), "{df:?}");
    for line in ["total_objects    0\n", "total_space      0 B\n"] {
        assert!(df.stdout.contains(line), "{df:?}");
    }
    let images = site.run("rbd", &["-m", &mon.mon_host(), "ls"]);
    assert_eq!(images.code, Some(2), "{images:?}");
    assert!(images.stderr.contains("error opening default pool 'rbd'"), "{images:?}");
    assert_way(&mon, way);
}

/// The monmap that arrives there says which cluster it is.
#[test]
fn librados_from_python_knows_the_cluster() {
    const SCRIPT: &str = r#"
import json, rados, sys
cluster = rados.Rados(conffile=sys.argv[1], rados_id="admin")
cluster.connect(timeout=30)
print(cluster.get_fsid())
print(cluster.mon_command(json.dumps({"prefix": "frob", "what": "good"}), b""))
print(cluster.mon_command(json.dumps({"prefix": "no such thing"}), b"")[0])
cluster.shutdown()
"#;
    let python = "/usr/bin/python3";
    let mut import = std::process::Command::new(python);
    let has = import.args(["-c", "import rados"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        return common::skip("python3-rados is not installed");
    }
    for way in Way::ALL {
        let mon = mon(way);
        let site = Site::of(&mon, way);
        let run = site.run_bare(python, &["-c", SCRIPT, &site.conf()]);
        let fsid = mon.monitor().fsid();
        let wanted = format!("{fsid}\n(0, b'frobbed for client.admin\\n', '')\n-22\n");
        assert_eq!(run.stdout, wanted, "{run:?}");
        assert_way(&mon, way);
    }
}

/// The serve example for `client.admin`, and where it listens.
fn spawn_serve<'a>(site: &'a Site, args: &[&str]) -> (Running<'a>, String) {
    let keyring = site.keyring();
    let serve = common::example::build("serve");
    let args = [&["--bind", "127.0.0.1:0", "--keyring", &keyring], args].concat();
    let serve = site.spawn(serve.to_str().expect("UTF-8"), &args);
    until("serve listens", || serve.stdout().contains('\n'));
    let told = serve.stdout();
    let mon_host = told.lines().next().and_then(|line| line.strip_prefix("listening at "));
    let mon_host = mon_host.expect("where").to_owned();
    (serve, mon_host)
}

/// For `ceph` in secure mode where it is told of a monitor.
fn nowhere(keyring: &Keyring) -> Site {
    Site::new("v2:127.0.0.1:1", keyring, Way::V2(ConMode::Secure))
}

/// A keyring with `client.admin`.
fn admin() -> Keyring {
    let mut keyring = Keyring::new();
    let key = CryptoKey::generate(KeyType::Aes, Default::default()).expect("a key");
    keyring.set_key(&"client.admin".parse().expect("a name"), key);
    keyring
}

#[test]
fn the_serve_example_tells_what_it_is_asked() {
    let keyring = admin();
    let site = nowhere(&keyring);
    let args = ["--command-reply", "made up", "--msgr", "v2", "--ms-mode", "secure"];
    let (mut serve, mon_host) = spawn_serve(&site, &args);
    assert!(mon_host.starts_with("v2:127.0.0.1:"), "{mon_host}");
    let cluster = Cluster::builder()
        .no_config_file()
        .mon_host(&mon_host)
        .key(keyring.key(&"client.admin".parse().expect("a name")).expect("a key").clone())
        .timeout(Duration::from_secs(30))
        .connect()
        .expect("it logs in");
    let evil = Command::new("osd\x1b[2J tree\nconnection 9").arg("a\rb", "hidden");
    for cmd in [Command::new("osd tree"), evil] {
        let output = cluster.mon_command(&cmd).expect("an answer");
        assert_eq!(output.outbl, "made up".as_bytes());
    }

    let pid = Pid::from_raw(serve.id().try_into().expect("a pid"));
    kill(pid, Signal::SIGINT).expect("it runs");
    until("serve ends", || serve.code().is_some());
    assert_eq!(serve.code(), Some(Some(0)));
    let told = serve.stdout();
    for line in [
        "connection 1, client.admin: open in secure mode, from ",
        "client.admin: logged in\n",
        "client.admin: command \"osd tree\" []\n",
        r#"client.admin: command "osd\u{1b}[2J tree\nconnection 9" [a\rb]"#,
    ] {
        assert!(told.contains(line), "no {line:?} in {told}");
    }
    let key = keyring.to_text();
    let key = key.lines().find_map(|line| line.trim().strip_prefix("key = ")).expect("a key");
    assert!(!told.contains(key.trim()) && !told.contains("hidden"), "it tells secrets");
}

/// Of every shape that commands have: bare, with arguments that are required, many, named or
/// flags, the manager's, of a module that is not there, and one that no release has.
#[test]
fn ceph_sends_whatever_it_is_told_to_serve() {
    if !is_installed("ceph") {
        return;
    }
    let site = nowhere(&admin());
    let (serve, mon_host) = spawn_serve(
        &site,
        &["--command-reply", "made up", "--command", "frob name=it,type=CephInt"],
    );
    for (args, told) in [
        ("-s", r#""status" []"#),
        ("health detail", r#""health" [detail]"#),
        ("auth ls", r#""auth ls" []"#),
        (
            "auth get-or-create client.a mon allow osd allow",
            r#""auth get-or-create" [caps entity]"#,
        ),
        ("pg stat", r#""pg stat" []"#),
        ("pg dump pgs --format json", r#""pg dump" [dumpcontents format]"#),
        ("osd pool create x", r#""osd pool create" [pool]"#),
        (
            "osd pool create x 8 8 erasure --size=3",
            r#""osd pool create" [pg_num pgp_num pool pool_type size]"#,
        ),
        (
            "osd pool rm x x --yes-i-really-really-mean-it",
            r#""osd pool rm" [pool pool2 yes_i_really_really_mean_it]"#,
        ),
        ("osd out 1 2 3", r#""osd out" [ids]"#),
        ("config set osd.1 debug_osd 20", r#""config set" [name value who]"#),
        ("config-key get k", r#""config-key get" [key]"#),
        ("fs volume create v", r#""fs volume create" [name]"#),
        ("mds fail 0", r#""mds fail" [role_or_gid]"#),
        ("log some words", r#""log" [logtext]"#),
        ("orch apply rgw x y z", r#""orch apply rgw" ["#),
        ("iostat", r#""iostat" []"#),
        ("osd something new", r#""osd" [words]"#),
        ("frob 7", r#""frob" [it]"#),
    ] {
        let words: Vec<_> = args.split(' ').collect();
        let run = site.run("ceph", &[&["-m", &mon_host], &words[..]].concat());
        // With JSON there is an empty line in front.
        assert_eq!((run.code, run.stdout.trim()), (Some(0), "made up"), "{args}: {run:?}");
        let told_now = serve.stdout();
        assert!(told_now.contains(told), "{args}: no {told} in {told_now}");
    }
}

#[test]
fn serve_ends_when_nobody_reads_it() {
    let serve = common::example::build("serve");
    let site = nowhere(&admin());
    // The pipe has no reader any more when the first line comes.
    let script = r#"exec 3> >(:); wait $!; "$0" --bind v1:127.0.0.1:0 --keyring "$1" >&3; echo $?"#;
    let serve = serve.to_str().expect("UTF-8");
    let run = site.run_bare("bash", &["-c", script, serve, &site.keyring()]);
    assert_eq!(run.stderr, "", "{run:?}");
    assert_eq!(run.stdout, "0\n", "{run:?}");
}

#[test]
fn serve_refuses_what_cannot_work_and_says_why() {
    let serve = common::example::build("serve");
    let site = nowhere(&admin());
    let keyring = site.keyring();
    for (bind, msgr, keyring, code, why) in [
        ("v2:127.0.0.1:0", "v1", keyring.as_str(), 1, "v2:127.0.0.1:0/0 is not for --msgr v1"),
        ("v1:127.0.0.1:0", "v2", &keyring, 1, "v1:127.0.0.1:0/0 is not for --msgr v2"),
        ("127.0.0.1:0", "v3", &keyring, 2, "v1, v2 or auto is expected"),
        ("v1:0.0.0.0:0", "v1", &keyring, 2, "clients dial what the monmap says"),
        ("v2:[::]:0", "auto", &keyring, 2, "clients dial what the monmap says"),
        ("v1:127.0.0.1:0", "auto", "/dev/null", 1, "names nobody"),
    ] {
        let args = ["--bind", bind, "--msgr", msgr, "--keyring", keyring];
        let run = site.run_bare(serve.to_str().expect("UTF-8"), &args);
        assert_eq!(run.code, Some(code), "{bind}: {run:?}");
        assert!(run.stderr.contains(why), "{bind}: {run:?}");
    }
}

// --- Daemons --------------------------------------------------------------------------------------

/// A monitor that also knows that daemon, and where the daemon finds it.
fn mon_for(daemon: &str, caps: &[(&str, &str)], way: Way) -> (Mon, Site) {
    let name = daemon.parse().expect("a name");
    let mut keyring = Keyring::new();
    keyring.set_key(&name, CryptoKey::generate(KeyType::Aes, Default::default()).expect("a key"));
    for (service, caps) in caps {
        keyring.set_caps(&name, service, caps);
    }
    let commands = Commands::new().otherwise(|_| CommandReply::ok(""));
    let mon = way.mon().keyring(keyring.clone()).commands(commands).start().expect("a monitor");
    let site = Site::new(&mon.mon_host(), &keyring, way);
    (mon, site)
}

/// Waits for a message of that type and for a subscription, in either order. The sender has asked
/// for the rotating keys before it sends the message.
fn wait_for_daemon(mon: &Mon, name: &str, msg_type: u16, subscription: &str) {
    let wait = |wanted: &dyn Fn(&Arrival) -> bool| {
        let found = mon.wait_for(wanted, soon());
        let found = found.unwrap_or_else(|e| panic!("{e}: {:#?}", mon.arrivals()));
        assert_eq!(found.name.as_ref().map(ToString::to_string).as_deref(), Some(name));
        found.number
    };
    let sent = wait(&|a| a.message().is_some_and(|m| m.header.msg_type == msg_type));
    wait(&|a| {
        let subscribe = a.message().and_then(|m| MMonSubscribe::from_message(m).ok());
        subscribe.is_some_and(|m| m.what.contains_key(subscription))
    });
    let rotating = CEPHX_GET_ROTATING_KEY.to_le_bytes();
    let asked = wait(&|a| {
        let auth = a.message().and_then(|m| MAuth::from_message(m).ok());
        auth.is_some_and(|m| m.auth_payload.starts_with(&rotating))
    });
    assert!(asked < sent, "{:#?}", mon.arrivals());
}

/// `CephXRequestHeader::request_type` (`src/auth/cephx/CephxProtocol.h`).
const CEPHX_GET_ROTATING_KEY: u16 = 0x0400;

/// It sends beacons once it has fetched the rotating keys.
#[test]
fn a_real_mds_logs_in_and_sends_its_beacon() {
    if !is_installed("ceph-mds") {
        return;
    }
    for way in Way::ALL {
        let caps = [("mon", "allow profile mds"), ("mds", "allow")];
        let (mon, site) = mon_for("mds.a", &caps, way);
        let mut mds = site.spawn("ceph-mds", &["-i", "a", "-f"]);
        wait_for_daemon(&mon, "mds.a", MSG_MDS_BEACON, "mdsmap");
        assert_eq!(mds.code(), None, "it goes on: {}", mds.stderr());
        assert_way(&mon, way);
    }
}

/// It boots once it has fetched the rotating keys, a map of OSDs and its version.
#[test]
fn a_real_osd_logs_in_and_boots() {
    if !is_installed("ceph-osd") {
        return;
    }
    Way::ALL.into_iter().for_each(a_real_osd_logs_in_and_boots_by);
}

fn a_real_osd_logs_in_and_boots_by(way: Way) {
    let caps = [("mon", "allow profile osd"), ("osd", "allow *")];
    let (mon, site) = mon_for("osd.0", &caps, way);
    let made = site.run("ceph-osd", &["-i", "0", "--mkfs"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let mut osd = site.spawn("ceph-osd", &["-i", "0", "-f"]);
    wait_for_daemon(&mon, "osd.0", MSG_OSD_BOOT, "osdmap");
    assert_eq!(osd.code(), None, "it goes on: {}", osd.stderr());
    assert!(commands_of(&mon).contains(&"osd crush create-or-move".to_owned()));
    assert_way(&mon, way);
}
