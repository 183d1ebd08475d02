//! No secret is in what a session logs at trace, nor in any text that its parts make of themselves.

mod common;

use std::fmt::{Debug, Display, Write as _};
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use ceph_msgr::auth::cephx::CephXServiceTicket;
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::auth::{AuthClient, AuthProvider, CEPH_AUTH_CEPHX, ConMode, EntityName, MonLogin};
use ceph_msgr::config::{Config, Env};
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::mon::{HuntOptions, MonClient, MonTarget};
use ceph_msgr::msgr::{Options, Peer, Policy};
use ceph_msgr::net::{Inbox, Messenger, Timeouts};
use ceph_msgr::types::{self, EntityType, UTime};
use ceph_msgr::{Cluster, Command};
use log::LevelFilter;
use serde_json::Value;

use common::live::{Spoken, builder, connect, long, mon_json};
use common::logs;
use common::vstart::Vstart;

/// A secret, and what is called so in the message of a failure.
struct Secret {
    what: String,
    bytes: Vec<u8>,
}

impl Secret {
    /// Of a key as a keyring has it: the bytes behind type, time and length are the secret.
    fn of_key(what: &str, base64: &str) -> Self {
        let bytes = STANDARD.decode(base64).expect("a key");
        let (header, secret) = bytes.split_at(12);
        assert_eq!(usize::from(u16::from_le_bytes([header[10], header[11]])), secret.len());
        Self { what: what.to_owned(), bytes: secret.to_vec() }
    }

    /// The ways in which it may be written, each with enough of it to be no accident.
    fn spellings(&self) -> Vec<Vec<u8>> {
        let hex = self.bytes.iter().map(|b| format!("{b:02x}"));
        let listed = |sep: &str, each: &dyn Fn(&u8) -> String| {
            self.bytes.iter().map(each).collect::<Vec<_>>().join(sep)
        };
        let mut spellings = vec![
            self.bytes.clone(),
            hex.clone().collect::<String>().into_bytes(),
            hex.collect::<String>().to_uppercase().into_bytes(),
            listed(" ", &|b| format!("{b:02x}")).into_bytes(),
            listed(", ", &|b| format!("{b}")).into_bytes(),
            listed(", ", &|b| format!("{b:#x}")).into_bytes(),
            format!("{:?}", String::from_utf8_lossy(&self.bytes)).into_bytes(),
            self.bytes.escape_ascii().to_string().into_bytes(),
        ];
        // Within a longer encoding it stands at one of three places of a group of three bytes.
        for before in 0..3 {
            let padded = [vec![0; before], self.bytes.clone()].concat();
            let whole = padded.len() / 3 * 4;
            for engine in [&STANDARD, &URL_SAFE, &STANDARD_NO_PAD] {
                let text = engine.encode(&padded);
                // What the neighbours have a part in is left out.
                spellings.push(text.as_bytes()[(before * 4).div_ceil(3)..whole].to_vec());
            }
        }
        spellings
    }
}

/// The secrets that are in the text, in whatever spelling.
fn leaks<'a>(secrets: &'a [Secret], text: &[u8]) -> Vec<&'a str> {
    let has = |spelling: &Vec<u8>| text.windows(spelling.len()).any(|w| w == spelling);
    secrets.iter().filter(|s| s.spellings().iter().any(has)).map(|s| s.what.as_str()).collect()
}

/// All that has been said.
#[derive(Default)]
struct Said(String);

impl Said {
    fn debug(&mut self, what: &dyn Debug) {
        writeln!(self.0, "{what:?}\n{what:#?}").expect("to a string");
    }

    fn display(&mut self, what: &dyn Display) {
        writeln!(self.0, "{what}").expect("to a string");
    }

    /// An error, and what it came from.
    fn error(&mut self, e: &ceph_msgr::Error) {
        self.display(e);
        self.debug(e);
        let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(e);
        while let Some(e) = cause {
            self.display(&e);
            self.debug(&e);
            cause = e.source();
        }
    }
}

fn name(text: &str) -> EntityName {
    text.parse().expect("the name of an entity")
}

/// A session from its parts, for the keys that the tickets of a handle are for.
fn said_of_tickets(vstart: &Vstart, admin: &CryptoKey, said: &mut Said, secrets: &mut Vec<Secret>) {
    let cluster = connect(vstart);
    let mon = cluster.mon().peer().expect("a session");
    let osd = cluster.osdmap().expect("a map").addrs(0).and_then(|a| a.legacy());

    let services = [EntityType::OSD, EntityType::MGR];
    let name = name("client.admin");
    let auth = AuthClient::new(name, Some(admin.clone()), &[CEPH_AUTH_CEPHX], &services);
    let auth = Arc::new(auth.expect("a key is given"));
    let messenger = Messenger::new(EntityType::CLIENT, Options::default(), Timeouts::default());
    let messenger = messenger.expect("a messenger");
    let targets = vec![MonTarget { rank: 0, addr: mon.addr }];
    let client = MonClient::new(messenger.clone(), auth.clone(), targets, HuntOptions::default());
    let client = client.expect("a monitor is given");
    client.authenticate(long()).expect("a session");

    let mut authorizers = Vec::new();
    for service in services {
        let authorizer = auth.get_authorizer(service, Instant::now(), false);
        let authorizer = authorizer.expect("a ticket").expect("cephx has authorizers");
        let key = authorizer.session_key().expect("cephx has session keys").clone();
        secrets.push(Secret::of_key(&format!("session key of {service}"), &key.to_base64()));
        let for_me = CephXServiceTicket { session_key: key, validity: UTime::default() };
        said.debug(&for_me);
        authorizers.push(authorizer);
    }
    // One of them is shown to an OSD.
    let inbox = Inbox::new(8).expect("an inbox");
    let peer = Peer {
        name: types::EntityName::new(EntityType::OSD, 0),
        addr: osd.expect("an address"),
        policy: Policy::LOSSY_CLIENT,
    };
    let con = messenger.connect(peer, auth.clone(), inbox.dispatcher()).expect("a connection");
    con.wait_open(long()).expect("the OSD believes us");
    let parts: [&dyn Debug; 6] = [&authorizers, &auth, &client, &messenger, &con, &inbox];
    parts.into_iter().for_each(|part| said.debug(part));
    client.shutdown(long()).expect("it ends");
}

/// The keys of all entities, which pass through messages of the monitor.
fn keys_of(cluster: &Cluster) -> Vec<Secret> {
    let list = mon_json(cluster, "auth ls".into());
    let entities = list["auth_dump"].as_array().expect("a list");
    let secret = |entity: &Value| {
        let name = entity["entity"].as_str()?;
        let get = Command::new("auth get-key").arg("entity", name);
        let key = cluster.mon_command(&get).expect("a key").outbl;
        Some(Secret::of_key(name, std::str::from_utf8(&key).expect("text").trim()))
    };
    entities.iter().filter_map(secret).collect()
}

#[test]
fn no_secret_is_in_the_log_nor_in_any_text() {
    logs::capture(LevelFilter::Trace);
    let Some(vstart) = Vstart::builder().mgr().osds(1).start() else { return };
    let mut said = Said::default();
    let keyring = Keyring::read(&vstart.keyring()).expect("the keyring");
    let admin = keyring.key(&name("client.admin")).expect("its key").clone();
    let mut secrets = vec![Secret::of_key("client.admin", &admin.to_base64())];

    // What a session is made of. Options that hold a key are given in each way there is.
    let text = admin.to_base64();
    let env = Env { args: Some(format!("--key {}", text.as_str())), ..Env::default() };
    said.debug(&env);
    let config =
        Config::builder(env).conf(vstart.conf().to_string_lossy()).set("key", text.as_str());
    said.debug(&config);
    let config = config.load().expect("a configuration");
    said.debug(&config);
    said.debug(&config.file());
    said.debug(&config.keyring().expect("a keyring"));
    said.debug(&keyring);
    said.debug(&admin);
    said.debug(&builder(&vstart).key(admin.clone()).set("key", &text).config(config));
    let auth = AuthClient::new(name("client.admin"), Some(admin.clone()), &[CEPH_AUTH_CEPHX], &[]);
    let auth = Arc::new(auth.expect("a key is given"));
    said.debug(&auth.start());
    said.debug(&auth.start_auth_at_mon(&[ConMode::Secure]));

    // A session, with each messenger and in each mode.
    for spoken in Spoken::ALL {
        let cluster = spoken.connect(&vstart);
        cluster.osd_command(0, &"version".into()).expect("of the OSD");
        said.debug(&cluster);
        said.debug(&MonLogin::new(auth.clone()));
    }
    let cluster = connect(&vstart);
    secrets.extend(keys_of(&cluster));
    assert!(secrets.len() > 3, "of the admin, the manager, the OSD and more");
    cluster.mgr_command(&"pg stat".into()).expect("of the manager");
    cluster.osd_command(0, &"version".into()).expect("of the OSD");
    said.debug(&cluster);
    said.debug(&cluster.mon());
    said.debug(&cluster.events());

    // Secrets that go to the monitors: in the input, and in an argument.
    let made = CryptoKey::generate(KeyType::Aes, UTime::default()).expect("random numbers");
    secrets.push(Secret::of_key("made here", &made.to_base64()));
    let entity = format!("[client.made]\n\tkey = {}\n", made.to_base64().as_str());
    let import = Command::new("auth import").input(entity.clone());
    said.debug(&import);
    said.debug(&cluster.mon_command(&import).map(|output| output.outs));
    let password = b"correct horse battery".to_vec();
    let as_argument = std::str::from_utf8(&password).expect("text").to_owned();
    secrets.push(Secret { what: "an argument".to_owned(), bytes: password });
    let wrong = |cmd: &str| Command::new(cmd).arg("key", "k").arg("val", as_argument.clone());
    for e in [
        cluster.mon_command(&wrong("no such command")),
        cluster.mgr_command(&wrong("no such command")),
        cluster.osd_command(0, &wrong("no such command")),
        cluster.mon_command(&Command::new("auth import").input(format!("{entity}\tkey = wrong\n"))),
    ] {
        said.error(&e.expect_err("it is wrong"));
    }

    // Logins that fail: with a key that nobody knows, and with one that is none.
    let unknown = CryptoKey::generate(KeyType::Aes, UTime::default()).expect("random numbers");
    secrets.push(Secret::of_key("unknown", &unknown.to_base64()));
    said.error(&builder(&vstart).key(unknown).connect().expect_err("a wrong key"));
    let no_key = "bm90IGEga2V5LCBidXQgc2VjcmV0IGFsbCB0aGUgc2FtZQ==";
    let bytes = STANDARD.decode(no_key).expect("base64");
    secrets.push(Secret { what: "no key".to_owned(), bytes });
    said.error(&builder(&vstart).set("key", no_key).connect().expect_err("no key"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("[client.admin]\n\tkey = {no_key}\n")).expect("written");
    said.error(&builder(&vstart).keyring(file.path()).connect().expect_err("no key"));

    said_of_tickets(&vstart, &admin, &mut said, &mut secrets);
    cluster.close().expect("it ends");

    let log: String = logs::lines().into_iter().map(|line| line.text + "\n").collect();
    assert!(log.contains("session as client.admin") && log.lines().count() > 50, "{log}");
    for (what, text) in [("the log", &log), ("what was said", &said.0)] {
        let found = leaks(&secrets, text.as_bytes());
        let lines = || text.lines().filter(|l| !leaks(&secrets, l.as_bytes()).is_empty());
        assert_eq!(found, [""; 0], "in {what}: {:#?}", lines().collect::<Vec<_>>());
    }

    // The search finds what is there, in each of its spellings and amid other text.
    for secret in &secrets {
        for spelling in secret.spellings() {
            let planted = [&log.as_bytes()[..500], &spelling, &said.0.as_bytes()[..500]].concat();
            let found = leaks(std::slice::from_ref(secret), &planted);
            assert_eq!(found, [secret.what.as_str()], "{}", spelling.escape_ascii());
        }
    }
    let planted = format!("{log}{}", admin.to_base64().as_str());
    assert!(leaks(&secrets, planted.as_bytes()).contains(&"client.admin"));
}
