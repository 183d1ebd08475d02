use std::fs;

use super::*;
use crate::types::Msgr;

fn with_file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bob.conf");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn config(text: &str) -> Config {
    let (_dir, path) = with_file(text);
    Config::builder(Env::default()).conf(path).load().unwrap()
}

#[test]
fn the_nearest_section_holds() {
    // ceph-conf --lookup foo printed 3, then 2 with -n client.x, then 1 with -n osd.3.
    let (_dir, path) = with_file("[global]\nfoo=1\n[client]\nfoo=2\n[client.admin]\nfoo=3\n");
    for (name, value) in [("client.admin", "3"), ("client.x", "2"), ("osd.3", "1")] {
        let builder = Config::builder(Env::default()).conf(&*path).args(["-n", name]);
        assert_eq!(builder.load().unwrap().get("foo").as_deref(), Some(value));
    }
}

#[test]
fn a_key_with_dashes_stands_in_where_there_is_no_other() {
    // ceph-conf finds nothing for the first, and a.example for the second.
    let get = |text: &str| config(text).get("mon host").unwrap();
    assert_eq!(get("[global]\nmon-host = b.example\n"), "b.example");
    assert_eq!(get("[global]\nmon-host = b.example\nmon host = a.example\n"), "a.example");
}

#[test]
fn levels() {
    let (_dir, path) = with_file("[global]\nkeyring=/file\nlog file=/file\n");
    let env = |args: &str, keyring: Option<&str>| Env {
        args: Some(args.to_owned()),
        keyring: keyring.map(str::to_owned),
        ..Env::default()
    };
    let get = |env: Env, key: &str| {
        Config::builder(env).conf(&*path).load().unwrap().get(key).unwrap_or_default()
    };
    // CEPH_KEYRING, CEPH_ARGS and ceph-conf --show-config-value.
    assert_eq!(get(env("", Some("/env")), "keyring"), "/env");
    assert_eq!(get(env("-k /args", Some("/env")), "keyring"), "/args");
    assert_eq!(get(env("--log-file /args", None), "log_file"), "/args");
    assert_eq!(get(env("--default-log-file /args", None), "log_file"), "/file");
    assert_eq!(get(env("--default-run-dir /args", None), "run_dir"), "/args");

    let builder = Config::builder(env("--log-file /env", None)).conf(&*path);
    let config = builder.clone().args(["--log-file", "/b"]).load().unwrap();
    assert_eq!(config.get("log file").as_deref(), Some("/b"));
    assert_eq!(config.origin("log-file"), Some(Origin::Arguments));
    let mut config = builder.args(["--log-file", "/b"]).set("log file", "/c").load().unwrap();
    assert_eq!(config.get("log-file").as_deref(), Some("/c"));
    config.set("log_file", "/d");
    assert_eq!(config.get("log_file").as_deref(), Some("/d"));
    assert_eq!(config.origin("log_file"), Some(Origin::Program));
    assert_eq!(config.origin("keyring"), Some(Origin::File { path: path.into(), line: 2 }));
    assert_eq!(config.origin("nope"), None);
}

#[test]
fn the_cluster_is_named_after_the_file() {
    // foo = $cluster: -c d/bob.conf bob, -c d/bob ceph, CEPH_CONF=d/bob.conf ceph,
    // CEPH_ARGS='-c d/bob.conf' bob, --cluster z z, -c nope,d/bob.conf bob, -c d,d/bob.conf bob.
    let (dir, path) = with_file("[global]\nfoo=$cluster\n");
    let dir = dir.path().to_str().unwrap();
    let bare = format!("{dir}/bob");
    fs::copy(&path, &bare).unwrap();
    let env = Env::default();
    let cluster = |builder: ConfigBuilder| builder.load().unwrap().get("foo").unwrap();
    let conf = |list: String| Config::builder(Env::default()).conf(list);
    assert_eq!(cluster(conf(path.clone())), "bob");
    assert_eq!(cluster(conf(bare)), "ceph");
    assert_eq!(cluster(conf(path.clone()).cluster("z")), "z");
    assert_eq!(cluster(conf(format!("/nope,{path}"))), "bob");
    assert_eq!(cluster(conf(format!("{dir},{path}"))), "bob");
    let by_env = Env { conf: Some(path.clone()), ..env.clone() };
    assert_eq!(cluster(Config::builder(by_env)), "ceph");
    let by_args = Env { args: Some(format!("-c {path}")), ..env };
    assert_eq!(cluster(Config::builder(by_args)), "bob");
}

#[test]
fn the_search_ends_at_the_first_file() {
    let (dir, path) = with_file("[global]\nfoo=1\n");
    let bad = dir.path().join("bad.conf");
    fs::write(&bad, "[global\n").unwrap();
    let load = |list: String| Config::builder(Env::default()).conf(list).load();
    // "error reading config file. parse error: expected ']' in line 1", and no look at the next.
    let e = load(format!("{},{path}", bad.display())).unwrap_err();
    assert_eq!(e.to_string(), format!("{}: line 1: ']' is missing", bad.display()));
    // "unable to open config file from search list nope".
    let e = load("/nope1,/nope2".to_owned()).unwrap_err();
    assert_eq!(e.to_string(), "none of these files can be opened: /nope1, /nope2");
    let config = Config::builder(Env::default()).no_config_file().load().unwrap();
    assert_eq!(config.path(), None);
    // strace of ceph-conf --cluster bob: /etc/ceph/bob.conf, /root/.ceph/bob.conf, bob.conf.
    let home = dir.path().to_str().unwrap().to_owned();
    fs::create_dir(dir.path().join(".ceph")).unwrap();
    fs::copy(&path, dir.path().join(".ceph/bob-of-the-test.conf")).unwrap();
    let env = Env { home: Some(home), ..Env::default() };
    let config = Config::builder(env.clone()).cluster("bob-of-the-test").load().unwrap();
    assert_eq!(config.get("foo").as_deref(), Some("1"));
    // None at the usual places is no error.
    let config = Config::builder(env).cluster("nobody-has-this-cluster").load().unwrap();
    assert_eq!(config.path(), None);
    assert_eq!(config.cluster(), "nobody-has-this-cluster");
}

#[test]
fn metavariables() {
    let (_dir, path) =
        with_file("[global]\nfoo = $type $id $num $name $cluster $host $pid $home\nbar=$cctid\n");
    let env =
        Env { home: Some("/h".to_owned()), host: "here".to_owned(), pid: 7, ..Env::default() };
    let builder = Config::builder(env).conf(path).args(["-n", "client.x.y"]);
    let mut config = builder.load().unwrap();
    let foo = "client x.y x.y client.x.y bob here 7 /h";
    assert_eq!(config.get("foo").as_deref(), Some(foo));
    assert!(config.get("bar").unwrap().parse::<usize>().unwrap() > 0);
    // ceph-conf printed a.b.c for foo = $host with host = a.b.c.
    config.set("host", "a.b.c");
    config.set("foo", "$host");
    assert_eq!(config.get("foo").as_deref(), Some("a.b.c"));
}

#[test]
fn typed_values_and_their_errors() {
    let config = config("[global]\na = True\nb = 4K\nc = 1m\nd = x\n\nkey = AQ-geheim\n");
    assert_eq!(config.get_bool("a").unwrap(), Some(true));
    assert_eq!(config.get_u64("b").unwrap(), Some(4000));
    assert_eq!(config.get_size("b").unwrap(), Some(4096));
    assert_eq!(config.get_duration("c").unwrap(), Some(Duration::from_secs(60)));
    assert_eq!(config.get_bool("nope").unwrap(), None);
    let e = config.get_u64("d").unwrap_err().to_string();
    assert!(e.starts_with("d from /"), "{e}");
    assert!(e.ends_with("bob.conf:5: \"x\" is not a number, K M G T P E allowed behind it"), "{e}");
    assert!(!config.get_bool("key").unwrap_err().to_string().contains("geheim"));
}

#[test]
fn secrets_are_not_printed() {
    let (_dir, path) = with_file("[global]\nkey = geheim\n");
    let env = Env { args: Some("--key=geheim".to_owned()), ..Env::default() };
    assert!(!format!("{env:?}").contains("geheim"));
    let builder = Config::builder(env).conf(path).args(["--key", "geheim"]).set("key", "geheim");
    assert!(!format!("{builder:?}").contains("geheim"));
    let config = builder.load().unwrap();
    assert!(!format!("{config:?}").contains("geheim"));
    assert_eq!(config.secret_key().unwrap().unwrap().as_str(), "geheim");
}

#[test]
fn monitors() {
    let addrs = |config: &Config| {
        let mons = config.mon_hosts().unwrap();
        mons.iter().map(|mon| format!("{} {:?}", mon.name, mon.at)).collect::<Vec<_>>()
    };
    let legacy = "[mon]\nmon addr=9.9.9.9\n[mon.b]\nmon addr = 1.2.3.4:6789\n\
                  [mon.a]\nmon addr=1.2.3.5\n[mon.c]\nmon addr=v2:1.2.3.6\n[mon.d]\nhost=x\n\
                  [mon.e]\nmon_addr=host1:6789\n[mon.]\nmon addr=7.7.7.7\n\
                  [mon.f]\nmon addr=1.2.3.5:6789\n\
                  [mon.g]\nmon addr=[v2:1.2.3.9:3300,v1:1.2.3.9:6789]\n\
                  [mon.h]\nmon addr=any:1.2.3.10:3300\n[mon.i]\nmon addr=1.2.3.11:3300\n\
                  [mon.j]\nmon addr=1.2.3.12, 1.2.3.13\n";
    // The first monmap that `ceph` 16.2.15 logged, by name.
    assert_eq!(
        addrs(&config(legacy)),
        [
            "b Addrs(v1:1.2.3.4:6789/0)",
            "c Addrs(v2:1.2.3.6:6789/0)",
            "d Addrs(v1:9.9.9.9:6789/0)",
            "f Addrs(v1:1.2.3.5:6789/0)",
            "h Addrs(v2:1.2.3.10:3300/0)",
            "i Addrs(v1:1.2.3.11:3300/0)",
            "j Addrs(v1:1.2.3.12:6789/0)",
        ]
    );
    let both = format!("[global]\nmon host = v2:1.1.1.1\n{legacy}");
    assert_eq!(addrs(&config(&both)), ["noname-a Addrs(v2:1.1.1.1:3300/0)"]);
    let mut config = config(&both);
    config.set("mon host override", "v1:3.3.3.3");
    assert_eq!(addrs(&config), ["noname-a Addrs(v1:3.3.3.3:6789/0)"]);
    // "unable to get monitor info from DNS SRV with service name: ceph-mon".
    let none = Config::builder(Env::default()).no_config_file().load().unwrap();
    assert!(matches!(none.mon_hosts(), Err(ConfigError::NoMonHost)));
}

#[test]
fn methods() {
    // The client_methods that `ceph --debug-auth 20` logged.
    let methods = |text: &str| config(text).auth_client_methods().join(" ");
    assert_eq!(methods("[global]\n"), "cephx none");
    assert_eq!(methods("[global]\nauth client required = none\n"), "none");
    assert_eq!(methods("[global]\nauth client required = cephx, none\n"), "cephx none");
    assert_eq!(methods("[global]\nauth client required = cephx\nauth supported = none\n"), "none");
}

#[test]
fn keyrings_and_keys() {
    use crate::auth::keyring::KeyringError;
    const A: &str = "AQBhqPVlsbC9BRAABBsnPfDXfpQvZRu6WLTbcw==";
    const B: &str = "AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA==";
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ring = file("ring", &format!("[client.admin]\nkey = {A}\n[client.x]\nkey = {A}\n"));
    let bad = file("bad", "[client.admin]\nkey = geheim!\n");
    let keyfile = file("keyfile", &format!("{B}\n"));
    let builder = || Config::builder(Env::default()).no_config_file();
    let key = |builder: ConfigBuilder| {
        let config = builder.load().unwrap();
        let key = config.keyring()?.key(config.name())?.to_base64();
        Ok::<_, KeyringError>(key.as_str().to_owned())
    };
    assert_eq!(key(builder().args(["-k", &format!("/nope,{ring}")])).unwrap(), A);
    assert_eq!(key(builder().args(["--id", "x", "-k", &ring])).unwrap(), A);
    let e = key(builder().args(["--id", "y", "-k", &ring])).unwrap_err();
    assert_eq!(e.to_string(), "no key for client.y in the keyring");
    assert_eq!(key(builder().set("keyring", &*ring).set("key", B)).unwrap(), B);
    assert_eq!(key(builder().set("keyring", "/nope").set("keyfile", &*keyfile)).unwrap(), B);
    assert_eq!(key(builder().set("keyring", &*bad).set("key", B)).unwrap(), B);
    // CEPH_ARGS='-K FILE' ceph-conf --show-config-value key showed the file's text.
    assert_eq!(key(builder().args(["-k", "/nope", "-K", &keyfile])).unwrap(), B);
    let e = key(builder().set("keyring", "/nope,/nope2")).unwrap_err();
    assert_eq!(e.to_string(), "no keyring at /nope,/nope2");
    let e = key(builder().set("keyring", &*bad)).unwrap_err();
    assert_eq!(e.to_string(), format!("{bad}:2: [client.admin] key: the key is not base64"));
    assert!(matches!(key(builder().set("key", "x!")), Err(KeyringError::BadConfigKey(_))));

    let config = builder().args(["--id", "x", "--cluster", "c"]).load().unwrap();
    let search: Vec<_> = config.keyring_search().iter().map(|p| p.display().to_string()).collect();
    assert_eq!(
        search,
        [
            "/etc/ceph/c.client.x.keyring",
            "/etc/ceph/c.keyring",
            "/etc/ceph/keyring",
            "/etc/ceph/keyring.bin"
        ]
    );
}

#[test]
fn connection_modes_by_who_talks_to_whom() {
    let (client, mon, osd) = (EntityType::CLIENT, EntityType::MON, EntityType::OSD);
    let (crc, secure) = (ConMode::Crc, ConMode::Secure);
    // Ceph's defaults, by ceph-conf --show-config-value.
    let defaults = config("");
    for own in [client, mon, osd, EntityType::MGR] {
        for peer in [client, mon, osd, EntityType::MGR] {
            let with_mon = own == mon || (own == client && peer == mon);
            let expected = if with_mon { [secure, crc] } else { [crc, secure] };
            assert_eq!(defaults.con_modes(own, peer).unwrap(), expected, "{own} {peer}");
        }
    }
    // Each of the six options, set apart from the others.
    let set = |key: &str| {
        let mut all = String::from("[global]\n");
        for option in DEFAULTS.iter().map(|(k, _)| *k).filter(|k| k.ends_with("_mode")) {
            all += &format!("{option} = {}\n", if option == key { "secure" } else { "crc" });
        }
        config(&all)
    };
    for (key, own, peer) in [
        ("ms_mon_client_mode", client, mon),
        ("ms_client_mode", client, osd),
        ("ms_client_mode", client, EntityType::MGR),
        ("ms_mon_cluster_mode", mon, mon),
        ("ms_mon_service_mode", mon, client),
        ("ms_mon_service_mode", mon, osd),
        ("ms_cluster_mode", osd, mon),
        ("ms_cluster_mode", osd, EntityType::MDS),
        ("ms_service_mode", osd, client),
    ] {
        assert_eq!(set(key).con_modes(own, peer).unwrap(), [secure], "{key}");
    }

    let modes = |text: &str| {
        let mut config = config("");
        config.set("ms client mode", text);
        config.con_modes(client, osd).ok()
    };
    assert_eq!(modes("secure,crc"), Some(vec![secure, crc]));
    assert_eq!(modes("secure;crc=secure"), Some(vec![secure, crc, secure]));
    // As AuthRegistry: case counts, and what it does not know is left out.
    assert_eq!(modes("Secure rdma crc"), Some(vec![crc]));
    for none in ["legacy", "CRC", ",;"] {
        assert_eq!(modes(none), None, "{none}");
    }
}

#[test]
fn the_kernels_option_for_messenger_and_modes() {
    let (crc, secure) = (ConMode::Crc, ConMode::Secure);
    assert_eq!(config("").ms_mode().unwrap(), None);
    for (text, msgr, modes) in [
        ("legacy", Msgr::V1, &[crc][..]),
        ("crc", Msgr::V2, &[crc]),
        ("secure", Msgr::V2, &[secure]),
        ("prefer-crc", Msgr::V2, &[crc, secure]),
        ("prefer-secure", Msgr::V2, &[secure, crc]),
    ] {
        let mode = config(&format!("[client]\nms mode = {text}\n")).ms_mode().unwrap().unwrap();
        assert_eq!((mode.msgr(), mode.con_modes()), (msgr, modes), "{text}");
    }
    for bad in ["v1", "Secure", "crc secure", "prefer_crc"] {
        let mut config = config("");
        config.set("ms_mode", bad);
        let e = config.ms_mode().unwrap_err().to_string();
        assert!(e.contains(bad) && e.contains("ms_mode") && e.contains("prefer-secure"), "{e}");
    }
}
