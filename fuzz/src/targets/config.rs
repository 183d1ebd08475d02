//! ceph.conf as a whole, `CEPH_ARGS` and all questions that may be asked. `u8` which; `mon host`
//! alone, or `u16` length and `CEPH_ARGS`, and behind them the file.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use ceph_msgr::config::{Config, Env, MonAddr, MonHost};

use crate::input::Input;
use crate::memory::bounded;

/// Bytes that one look-up may expand to, four times over.
const EXPANDED: usize = 4 << 20;

/// The target.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() % 2 {
        0 => {
            let Ok(text) = std::str::from_utf8(input.rest()) else { return };
            mon_host(text);
        }
        _ => {
            let args = String::from_utf8_lossy(input.long_chunk()).into_owned();
            // That would have files read which the input names.
            if args.contains("keyfile")
                || args.contains("-K")
                || args.contains("conf")
                || args.contains("-c")
            {
                return;
            }
            whole(args, input.rest());
        }
    }
}

/// The monitors that a list comes to are read as the same again.
fn mon_host(text: &str) {
    let hosts = |list: &str| {
        let config = Config::builder(Env::default()).no_config_file().load().expect("no file");
        let mut config = config;
        // Without references, whatever the text.
        config.set("mon_host", list.replace('$', "S"));
        bounded(EXPANDED + 512 * list.len(), || config.mon_hosts())
    };
    let Ok(mons) = hosts(text) else { return };
    check_mons(&mons);
    let shown: Vec<_> = mons.iter().map(show).collect();
    let again = hosts(&shown.join(";")).unwrap_or_else(|e| panic!("{shown:?}: {e}"));
    let again: Vec<_> = again.iter().map(show).collect();
    assert_eq!(again, shown, "{text:?}");
}

fn show(mon: &MonHost) -> String {
    match &mon.at {
        MonAddr::Addrs(addrs) => addrs.to_string(),
        MonAddr::Host { host, port } => format!("{host}:{port}"),
    }
}

/// Whoever dials has an address and a port.
fn check_mons(mons: &[MonHost]) {
    let ips = ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
    for mon in mons.iter().flat_map(|mon| mon.resolved(&ips)) {
        let MonAddr::Addrs(addrs) = &mon.at else { panic!("{mon:?} is resolved") };
        assert!(!mon.name.is_empty());
        assert!(addrs.0.iter().all(|a| a.port() != 0), "{mon:?}");
    }
}

fn whole(args: String, file: &[u8]) {
    let path = path();
    std::fs::write(&path, file).expect("the directory for temporary files can be written to");
    let env = Env { args: Some(args), host: "host".to_owned(), pid: 1, ..Env::default() };
    let builder = Config::builder(env).conf(path.to_str().expect("UTF-8"));
    let config = builder.load();
    let _ = std::fs::remove_file(&path);
    let Ok(config) = config else { return };
    let keys = config.file().sections().flat_map(|(_, section)| section.settings.keys());
    let mut keys: Vec<_> = keys.take(64).cloned().collect();
    keys.extend(["mon_host", "keyring", "host", "log_file"].map(str::to_owned));
    let room = EXPANDED + 256 * file.len();
    bounded(room, || {
        for key in &keys {
            let value = config.get(key);
            assert_eq!(config.origin(key).is_some(), value.is_some(), "{key}");
            let _ = (config.get_bool(key), config.get_u64(key), config.get_size(key));
            let _ = (config.get_duration(key), config.get_list(key));
        }
        let _ = config.auth_client_methods();
        if let Ok(mons) = config.mon_hosts() {
            check_mons(&mons);
        }
    });
}

/// A file for each thread, which is written anew each time.
fn path() -> PathBuf {
    thread_local! {
        static NUMBER: u32 = {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            NEXT.fetch_add(1, Relaxed)
        };
    }
    let name = format!("ceph-msgr-fuzz-{}-{}.conf", std::process::id(), NUMBER.with(|n| *n));
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() { shm.join(name) } else { std::env::temp_dir().join(name) }
}
