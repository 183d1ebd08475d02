//! `examples/ceph.rs` against the `ceph` of the distribution: the same cluster is asked by both, and
//! what they print must be equal.

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};

use common::vstart::Vstart;
use serde_json::Value;

/// What differs between two answers a moment apart, by the last keys of the path to it. All else must
/// be equal.
const VOLATILE: &[&str] = &[
    // Ages, and times of reports.
    "quorum_age",
    "pg_map.stamp",
    "pg_map.version",
    "pg_stats.last_fresh",
    // Counters.
    "pg_stats.reported_seq",
    "pg_stats_delta.stamp_delta",
    "osd_stats.seq",
    // Space, which OSDs use for the maps that they get, and what is computed from it.
    "pgmap.bytes_used",
    "pgmap.bytes_avail",
    "stats.total_used_bytes",
    "stats.total_used_raw_bytes",
    "stats.total_used_raw_ratio",
    "stats.total_avail_bytes",
    "stats.max_avail",
    "stats_by_class.hdd.total_used_bytes",
    "stats_by_class.hdd.total_used_raw_bytes",
    "stats_by_class.hdd.total_used_raw_ratio",
    "stats_by_class.hdd.total_avail_bytes",
    "raw_bytes_used",
    "raw_bytes_avail",
    "kb_used",
    "kb_used_data",
    "kb_avail",
    "total_kb_used",
    "total_kb_used_data",
    "total_kb_avail",
    "utilization",
    "average_utilization",
    "var",
    "min_var",
    "max_var",
    "dev",
    "statfs.available",
    "statfs.allocated",
    // Measured.
    "osd_stats.network_ping_times",
];

/// Commands with JSON to compare, of the monitors, the manager and daemons.
const JSON: &[&str] = &[
    "status",
    "health detail",
    "quorum_status",
    "versions",
    "df detail",
    "mon dump",
    "mgr dump",
    "osd dump",
    "osd tree",
    "osd crush dump",
    "osd metadata",
    "osd find 1",
    "auth ls",
    "config dump",
    "config ls",
    "fs dump",
    // The manager's.
    "osd df",
    "osd df tree",
    "osd perf",
    "pg stat",
    "pg ls",
    "pg dump",
    "pg dump_json",
    "pg dump pgs_brief",
    "pg dump osds pgs",
    "balancer status",
    "mgr module ls",
    "config show osd.0",
    // Daemons'.
    "tell osd.0 version",
    "tell osd.2 config get debug_ms",
    "tell osd.1 config diff",
    "tell osd.0 dump_pg_recovery_stats",
    "tell mgr version",
    "tell mgr.x version",
];

/// Text that does not change from one moment to the next.
const TEXT: &[&str] = &[
    "osd tree",
    "osd ls",
    "osd dump",
    "mon dump",
    "mon stat",
    "fsid",
    "versions",
    "health",
    "auth ls",
    "auth get client.admin",
    "config get osd.0 debug_ms",
    "config help debug_ms",
    "osd crush rule ls",
    "osd erasure-code-profile get default",
    "pg dump pgs_brief",
    "fs ls -f yaml",
    "osd tree -f xml",
    "mon dump -f xml-pretty",
    "mon dump -f plain",
    "tell osd.0 version",
    "tell osd.* version",
    "tell osd.* version -f json",
    "tell osd.0 injectargs --debug-ms=0",
];

/// Commands that fail, most of them because of their words, in ways that the cluster does not notice.
const FAILURES: &[&str] = &[
    "nonsense",
    "osd",
    "osd tre",
    "osd pool",
    "osd pool create",
    "osd pool set",
    "osd pool set x size",
    "osd pool get --foo=1 x size",
    "osd pool rm nopool",
    "osd setmaxosd",
    "osd setmaxosd x",
    "osd setmaxosd -1",
    "osd reweight 0 x",
    "osd reweight 0 2",
    "osd reweight 99 1",
    "osd out 99",
    "osd tree 1 extra",
    "osd tree --nonsense",
    "osd create not-a-uuid",
    "osd setcrushmap",
    "osd df extra -f json",
    "osd blocklist",
    "osd erasure-code-profile set p~",
    "pg map 9.x",
    "pg repeer 9.9",
    "pg dump nonsense",
    "auth get client.nobody",
    "config get osd.0 nosuch",
    "config-key get nosuch",
    "mon add x",
    "health bogus",
    "tell osd.0 nonsense",
    "tell osd.0 config set",
    "tell osd.x version",
    "tell foo.0 version",
    "tell foo version",
];

/// Of no cluster here.
const SOME_KEY: &str = "AQDh4gVryECnHxAAAQEBAQEBAQEBAQEBAQEBAQ==";

// --- The two programs -----------------------------------------------------------------------------

/// The example, built if it is not there or old.
fn example() -> &'static Path {
    static EXAMPLE: OnceLock<PathBuf> = OnceLock::new();
    EXAMPLE.get_or_init(|| common::example::build("ceph"))
}

/// The cluster for as long as nobody else shall change it or look at it.
fn shared() -> Option<(&'static Vstart, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    Some((Vstart::shared()?, turn))
}

fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", "60"]).arg(program).args(args).stdin(Stdio::null());
    command.env_remove("CEPH_ARGS").env_remove("CEPH_CONF").env_remove("CEPH_KEYRING");
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("timeout can be run")
}

/// What both say to the same arguments: the real one first.
fn both(cluster: &Vstart, args: &[&str]) -> [Output; 2] {
    let conf = cluster.conf();
    let args = [&["-c", conf.to_str().expect("UTF-8")], args].concat();
    [Path::new("ceph"), example()].map(|program| run(command(program, &args)))
}

/// What ours says, which must succeed.
fn ours(cluster: &Vstart, args: &[&str]) -> Vec<u8> {
    let conf = cluster.conf();
    let args = [&["-c", conf.to_str().expect("UTF-8")], args].concat();
    let output = run(command(example(), &args));
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    output.stdout
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(bytes: &[u8], what: &str) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{what}: {e}: {:?}", text(bytes)))
}

/// The paths at which two values differ, except where they may.
fn differences(real: &Value, ours: &Value, path: &str, found: &mut Vec<String>) {
    if VOLATILE.iter().any(|keys| path.strip_suffix(keys).is_some_and(|at| at.ends_with('.'))) {
        return;
    }
    match (real, ours) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            for (key, value) in a {
                differences(value, &b[key], &format!("{path}.{key}"), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| differences(a, b, path, found));
        }
        _ if real == ours => {}
        _ => found.push(format!("{path}: {real} | {ours}")),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        other => other.is_null(),
    }
}

/// Waits until the placement groups of all pools, and no others, are known and active: the manager
/// hears of a pool some time after it is there.
fn await_placement(cluster: &Vstart) {
    let pools = cluster.ceph_json(&words("osd dump"))["pools"].clone();
    let pools = pools.as_array().expect("pools");
    let expected: u64 = pools.iter().filter_map(|pool| pool["pg_num"].as_u64()).sum();
    for _ in 0..300 {
        let pgmap = cluster.ceph_json(&words("status"))["pgmap"].clone();
        let active = &pgmap["pgs_by_state"];
        if pgmap["num_pgs"] == expected
            && pgmap["num_pools"] == pools.len()
            && active[0]["state_name"] == "active+clean"
            && active[0]["count"] == expected
        {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("no {expected} active placement groups");
}

fn compare_json(cluster: &Vstart) {
    // With a pool there are placement groups to compare.
    ours(cluster, &words("osd pool create compared 8"));
    await_placement(cluster);
    let mut wrong = Vec::new();
    for line in JSON {
        let [real, ours] = both(cluster, &[words(line), vec!["-f", "json"]].concat());
        assert_eq!(real.status.code(), Some(0), "{line}: {}", text(&real.stderr));
        assert_eq!(ours.status.code(), Some(0), "{line}: {}", text(&ours.stderr));
        assert_eq!(text(&ours.stderr), text(&real.stderr), "{line}");
        let [real, ours] = [real, ours].map(|output| json(&output.stdout, line));
        assert!(!is_empty(&ours), "{line}: there is nothing to compare");
        differences(&real, &ours, line, &mut wrong);
    }
    ours(cluster, &words("osd pool rm compared compared --yes-i-really-really-mean-it"));
    assert!(wrong.is_empty(), "the real one | ours:\n{}", wrong.join("\n"));
}

// --- Answers --------------------------------------------------------------------------------------

#[test]
fn json_is_equal() {
    let Some((cluster, _turn)) = shared() else { return };
    compare_json(cluster);
}

#[test]
fn json_is_equal_without_msgr2() {
    let Some(cluster) = Vstart::builder().v1_only().mgr().osds(3).start() else { return };
    compare_json(&cluster);
}

#[test]
fn text_is_equal() {
    let Some((cluster, _turn)) = shared() else { return };
    for line in TEXT {
        let [real, ours] = both(cluster, &words(line));
        assert_eq!(text(&ours.stdout), text(&real.stdout), "{line}");
        assert_eq!(text(&ours.stderr), text(&real.stderr), "{line}");
        assert_eq!(ours.status.code(), Some(0), "{line}");
        assert!(!ours.stdout.is_empty() || line.contains("injectargs"), "{line}");
    }
}

#[test]
fn json_is_sent_as_it_is() {
    let Some((cluster, _turn)) = shared() else { return };
    let descriptions = ours(cluster, &[r#"{"prefix":"get_command_descriptions"}"#]);
    assert!(descriptions.len() > 100_000, "{}", descriptions.len());
    assert!(json(&descriptions, "descriptions").as_object().is_some_and(|map| map.len() > 400));
}

// --- Arguments ------------------------------------------------------------------------------------

#[test]
fn options_stand_anywhere() {
    let Some((cluster, _turn)) = shared() else { return };
    let expected = both(cluster, &words("osd tree -f json"))[0].stdout.clone();
    assert_eq!(
        expected.first(),
        Some(&b'\n'),
        "the real one prints an empty line in front of JSON"
    );
    for line in [
        "osd tree -f json",
        "-f json osd tree",
        "osd -fjson tree",
        "osd tree --format=json",
        "osd tree --format json --connect-timeout 10 -n client.admin",
        "--id admin --cluster ceph osd tree -f json-pretty -f json",
        "--msgr v1 -f json -- osd tree",
        "--msgr v2 -f json -- osd tree",
        "--msgr auto --ms-mode crc -f json -- osd tree",
        "osd tree --ms-mode=secure -f json",
        "--msgr=v2 --ms-client-mode=secure --ms-mon-client-mode=crc osd tree -f json",
        "--rados-mon-op-timeout=20 osd tree -f json",
    ] {
        assert_eq!(text(&ours(cluster, &words(line))), text(&expected), "{line}");
    }
}

#[test]
fn environment_is_read() {
    let Some((cluster, _turn)) = shared() else { return };
    let expected = both(cluster, &words("osd tree -f json"))[0].stdout.clone();
    for (conf, args) in [(true, "-f json"), (false, "-f json --id admin -c CONF")] {
        let mut command = command(example(), &["osd", "tree"]);
        if conf {
            command.env("CEPH_CONF", cluster.conf());
        }
        command.env("CEPH_ARGS", args.replace("CONF", &cluster.conf().to_string_lossy()));
        let output = run(command);
        assert_eq!(text(&output.stdout), text(&expected), "{}", text(&output.stderr));
    }
}

#[test]
fn without_a_file() {
    let Some((cluster, _turn)) = shared() else { return };
    let conf = fs::read_to_string(cluster.conf()).expect("ceph.conf");
    let mon_host =
        conf.lines().find_map(|line| line.strip_prefix("mon host = ")).expect("mon host");
    let keyring = fs::read_to_string(cluster.keyring()).expect("a keyring");
    let key = keyring.lines().find_map(|line| line.trim().strip_prefix("key = ")).expect("a key");
    let keyfile = tempfile::NamedTempFile::new().expect("a file");
    fs::write(keyfile.path(), key).expect("written");
    let expected = both(cluster, &["fsid"])[0].stdout.clone();
    let keyring_path = cluster.keyring();
    for secret in [
        ["--key", key],
        ["-k", keyring_path.to_str().expect("UTF-8")],
        ["--keyfile", keyfile.path().to_str().expect("UTF-8")],
    ] {
        let args = [&["--no-config-file", "-m", mon_host], secret.as_slice(), &["fsid"]].concat();
        let output = run(command(example(), &args));
        assert_eq!(text(&output.stdout), text(&expected), "{args:?}: {}", text(&output.stderr));
    }
}

/// Ways to say the same: by place, by name, and as JSON.
#[test]
fn arguments_have_types() {
    let Some((cluster, _turn)) = shared() else { return };
    for create in [
        "osd pool create made 8 8 replicated",
        "osd pool create made 8 --pool-type=replicated --size 1",
        "osd pool create --pool made --pg_num 8 --size 1",
        "osd pool create pool=made pg_num=8 size=1",
        r#"{"prefix":"osd^pool^create","pool":"made","pg_num":8,"size":1}"#,
    ] {
        let args: Vec<String> = words(create).iter().map(|word| word.replace('^', " ")).collect();
        ours(cluster, &args.iter().map(String::as_str).collect::<Vec<_>>());
        let pool = cluster.ceph_json(&words("osd pool get made all"));
        assert_eq!((&pool["pg_num"], &pool["size"]), (&8.into(), &1.into()), "{create}");
        // A choice with dashes, a boolean, and an integer of a text.
        ours(cluster, &words("osd pool set made size 1 --yes-i-really-mean-it"));
        ours(cluster, &words("osd pool set made nosizechange true"));
        ours(cluster, &words("osd pool rm made made --yes-i-really-really-mean-it"));
    }
    // A list, whose items have equals signs.
    ours(cluster, &words("osd erasure-code-profile set made k=2 m=1 crush-failure-domain=osd"));
    let profile = cluster.ceph_json(&words("osd erasure-code-profile get made"));
    assert_eq!((&profile["k"], &profile["m"]), (&"2".into(), &"1".into()));
    ours(cluster, &words("osd erasure-code-profile rm made"));
    // Floats, and the name of an OSD as a number.
    for osd in ["1", "osd.1"] {
        ours(cluster, &["osd", "reweight", osd, "0.5"]);
        ours(cluster, &["osd", "reweight", osd, "weight=1"]);
    }
}

#[test]
fn input_and_output() {
    let Some((cluster, _turn)) = shared() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let (real, mine, again) = (path("real"), path("mine"), path("again"));
    let getcrushmap = ["osd", "getcrushmap", "-o"];
    assert!(cluster.ceph(&[&getcrushmap, &[real.as_str()][..]].concat()).status.success());
    assert!(ours(cluster, &[&getcrushmap, &[mine.as_str()][..]].concat()).is_empty());
    let map = fs::read(&real).expect("a map");
    assert!(!map.is_empty());
    assert_eq!(fs::read(&mine).expect("a map"), map);

    // It is refused where it did not arrive.
    ours(cluster, &["osd", "setcrushmap", "-i", &mine]);
    let conf = cluster.conf();
    let args = ["-c", conf.to_str().expect("UTF-8"), "osd", "setcrushmap", "-i", "-"];
    let mut command = command(example(), &args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("timeout can be run");
    child.stdin.take().expect("a pipe").write_all(&map).expect("written");
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(cluster.ceph(&[&getcrushmap, &[again.as_str()][..]].concat()).status.success());
    assert_eq!(fs::read(&again).expect("a map"), map);
    assert_eq!(ours(cluster, &[&getcrushmap, &["-"][..]].concat()), map);
}

// --- Failures -------------------------------------------------------------------------------------

#[test]
fn failures_are_equal() {
    let Some((cluster, _turn)) = shared() else { return };
    for line in FAILURES {
        let [real, ours] = both(cluster, &words(line));
        assert_eq!(text(&ours.stderr), text(&real.stderr), "{line}");
        assert_eq!(text(&ours.stdout), text(&real.stdout), "{line}");
        assert_eq!(ours.status.code(), real.status.code(), "{line}");
        assert!(!ours.stderr.is_empty(), "{line}");
    }
}

/// Where there is no answer of the cluster the code is equal, and the text is ours: it says who did
/// not do what.
#[test]
fn unreachable() {
    let Some((cluster, _turn)) = shared() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let wrong_key = dir.path().join("keyring");
    fs::write(&wrong_key, format!("[client.admin]\n\tkey = {SOME_KEY}\n")).expect("written");
    let wrong_key = wrong_key.to_str().expect("UTF-8");
    for (args, code, says) in [
        (vec!["-c", "/nonexistent", "status"], 1, "/nonexistent"),
        (vec!["-n", "client.nobody", "status"], 13, "client.nobody"),
        (vec!["-n", "nobody", "status"], 1, "\"nobody\""),
        (vec!["-k", "/nonexistent", "status"], 1, "/nonexistent"),
        (vec!["-k", wrong_key, "status"], 13, "mon.0 127.0.0.1:"),
        (vec!["--key", "notbase64", "status"], 1, "base64"),
        (vec!["-m", "127.0.0.1:1", "--connect-timeout", "1", "status"], 1, "refused"),
        (vec!["-m", "nohost.invalid", "status"], 1, "nohost.invalid"),
        (vec!["-f", "bogus", "status"], 2, "bogus"),
        (vec!["-i", "/nonexistent", "status"], 1, "Can't open input file /nonexistent"),
        (vec!["-o", "/nonexistent/x", "status"], 1, "Can't open output file /nonexistent/x"),
        (vec!["tell", "osd.99", "version"], 2, "Error ENOENT: osd.99 does not exist"),
        (vec!["tell", "osd.0"], 22, "tell osd.0"),
    ] {
        let [real, ours] = both(cluster, &args);
        let stderr = text(&ours.stderr);
        assert_eq!(real.status.code(), Some(code), "{args:?}: {}", text(&real.stderr));
        assert_eq!(ours.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
        assert!(ours.stdout.is_empty(), "{args:?}");
    }
}

/// What the real one has no words for.
#[test]
fn messengers_and_modes() {
    let Some((cluster, _turn)) = shared() else { return };
    for line in ["tell osd.1 version", "tell mgr version", "osd tree"] {
        let expected = text(&ours(cluster, &words(line)));
        for options in ["--msgr v1", "--msgr v2 --ms-mode crc", "--msgr v2 --ms-mode secure"] {
            let output = ours(cluster, &words(&format!("{options} {line}")));
            assert_eq!(text(&output), expected, "{options} {line}");
        }
    }
    for (line, code, says) in [
        ("--msgr v3 status", 2, "v1, v2 or auto"),
        ("--ms-mode rc4 status", 1, "ms_mode from the command line"),
        ("--msgr v1 --ms-mode secure status", 1, "messenger v1 has no secure mode"),
        ("--ms-client-mode=crc -m v2:127.0.0.1:1 --connect-timeout 1 status", 1, "refused"),
    ] {
        let mut ours = command(example(), &["-c"]);
        ours.arg(cluster.conf()).args(words(line));
        let output = run(ours);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {stderr}");
        assert!(stderr.contains(says), "{line}: {stderr}");
    }
}

/// A monitor that accepts and says nothing: the deadline ends it, and the text tells how far it came.
#[test]
fn silent_monitor() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address").to_string();
    let mon_host = format!("v1:{addr}");
    let args = [
        "--no-config-file",
        "-m",
        &mon_host,
        "--key",
        SOME_KEY,
        "--connect-timeout",
        "0.3",
        "fsid",
    ];
    let started = std::time::Instant::now();
    let output = run(command(example(), &args));
    assert!(started.elapsed().as_secs() < 3);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains(&addr) && stderr.contains("in time"), "{stderr}");
}
