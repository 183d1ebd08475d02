//! A login in the handshake of messenger v2, at a listener that is a monitor.

use std::sync::Arc;
use std::time::Duration;

use ceph_msgr::auth::{AuthClient, CEPH_AUTH_CEPHX, ConMode, MonLogin};
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{Options, Peer, Policy};
use ceph_msgr::net::{Acceptor, Connection, Listener, Messenger, Timeouts};
use ceph_msgr::types::{EntityName, EntityType};

use crate::common::client::*;
use crate::common::dialler::TYPE_CLIENT;
use crate::common::frames::*;
use crate::common::logs;
use crate::common::monitor::{auth_monitor, wall};
use crate::common::server::*;

fn new_key() -> CryptoKey {
    CryptoKey::generate(KeyType::Aes, wall()).expect("random numbers")
}

/// `mon.0`, which lets `client.admin` in with that key.
fn mon_with(key: &CryptoKey, timeouts: Timeouts) -> (Messenger, Listener, Heards) {
    let name = EntityName::new(EntityType::MON, 0);
    let messenger = Messenger::with_nonce(name, 0, Options::default(), timeouts);
    let auth = auth_monitor(key, CEPH_AUTH_CEPHX, Duration::from_secs(3600), 4100);
    let (dispatcher, heards) = recorder();
    let acceptor = Acceptor::new(Arc::new(auth), dispatcher);
    let listener = messenger.bind(&[v2(LOCALHOST)], acceptor).expect("a free port");
    (messenger, listener, heards)
}

/// A client that shows that key, in these modes.
fn client_with(
    key: CryptoKey,
    listener: &Listener,
    mon_modes: &'static [ConMode],
) -> (Messenger, Connection, Heards, Arc<MonLogin>) {
    let options = Options { mon_modes, ..Options::default() };
    let messenger = Messenger::new(EntityType::CLIENT, options, patient()).expect("a messenger");
    let name = "client.admin".parse().expect("a name");
    let services = [EntityType::MON, EntityType::OSD];
    let client = AuthClient::new(name, Some(key), &[CEPH_AUTH_CEPHX], &services).expect("a key");
    let login = Arc::new(MonLogin::new(Arc::new(client)));
    let (dispatcher, heards) = recorder();
    let name = EntityName::new(EntityType::MON, 0);
    let peer = Peer { name, addr: listener.addrs()[0], policy: Policy::LOSSY_CLIENT };
    let con = messenger.connect(peer, login.clone(), dispatcher).expect("a thread");
    (messenger, con, heards, login)
}

#[test]
fn who_shows_its_key_is_let_in_and_both_ends_know_the_mode() {
    let key = new_key();
    let (_mon, listener, heards) = mon_with(&key, patient());
    for (modes, mode) in [
        (&[ConMode::Secure, ConMode::Crc][..], ConMode::Secure),
        (&[ConMode::Crc, ConMode::Secure], ConMode::Crc),
        (&[ConMode::Secure], ConMode::Secure),
    ] {
        let (_ours, con, client, login) = client_with(key.clone(), &listener, modes);
        assert_eq!(con.con_mode(), None, "not before it is agreed");
        client.connected();
        heards.accepted();
        let back = only(&listener);
        assert_eq!((con.con_mode(), back.con_mode()), (Some(mode), Some(mode)));
        assert_eq!(back.auth_peer().expect("it has shown itself").name.to_string(), "client.admin");
        login.take().expect("a login").install().expect("tickets");
        // The monitor goes on with that login, which is one.
        assert!(back.take_login().is_some());
        assert!(back.take_login().is_none() && con.take_login().is_none());
        for n in [1u8, 2] {
            con.send(msg(&[n; 3000])).unwrap();
            assert_eq!(heards.message().front[..], [n; 3000]);
            back.send(msg(&[n])).unwrap();
            assert_eq!(client.message().front[..], [n]);
        }
        con.close(soon()).unwrap();
        heards.reset();
        drop(back);
        until("it is gone", || listener.counts().connections == 0);
    }
    listener.close(soon()).unwrap();
}

#[test]
fn who_has_another_key_hears_so_and_the_monitor_nothing() {
    let (_mon, listener, heards) = mon_with(&new_key(), patient());
    let (_ours, con, client, _login) = client_with(new_key(), &listener, &[ConMode::Secure]);
    let (kind, text) = client.reset();
    assert_eq!(kind, ErrorKind::Auth, "{text}");
    assert!(text.starts_with(&format!("{}: V2_AUTH: ", con.peer())), "{text}");
    until("nothing is left", || listener.counts().half_open == 0);
    assert!(heards.rest().is_empty());
    listener.close(soon()).unwrap();
}

/// Half-way through a login, with the challenge in hand.
#[test]
fn who_does_not_answer_the_challenge_is_given_up() {
    logs::capture(log::LevelFilter::Debug);
    let timeouts = Timeouts { handshake: Duration::from_millis(1500), ..patient() };
    let (_mon, listener, heards) = mon_with(&new_key(), timeouts);
    let mut wire = dial_v2(addr(&listener));
    wire.hellos_v2(TYPE_CLIENT);
    // Method 2, mode 2; u8 10, the name, global_id 0.
    let mut login = vec![10, 8, 0, 0, 0, 5, 0, 0, 0];
    login.extend(b"admin");
    login.extend([0; 8]);
    let mut request: Vec<u8> =
        [2u32, 1, 2, login.len() as u32].iter().flat_map(|n| n.to_le_bytes()).collect();
    request.extend(login);
    wire.put(AUTH_REQUEST, &request);
    // u8 1, and a number.
    let challenge = wire.expect(AUTH_REPLY_MORE);
    assert_eq!((u32_at(challenge.payload(), 0), challenge.payload()[4]), (9, 1));
    wire.wait_closed();
    let from = format!("{}: ", wire.stream.local_addr().unwrap());
    until("the log tells", || logs::count(&from, "no AUTH_REQUEST in time") == 1);
    // Nor does a wrong answer help, or another one after it.
    let mut wire = dial_v2(addr(&listener));
    wire.hellos_v2(TYPE_CLIENT);
    wire.put(AUTH_REQUEST, &request);
    wire.expect(AUTH_REPLY_MORE);
    let mut answer = vec![0, 1, 3];
    answer.extend([7; 16]);
    answer.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    answer.extend([0; 4]);
    let blob = [&(answer.len() as u32).to_le_bytes()[..], &answer].concat();
    wire.put(AUTH_REQUEST_MORE, &blob);
    if let Ok(refused) = wire.try_frame() {
        assert_eq!(refused.tag, AUTH_BAD_METHOD);
        wire.wait_closed();
    }
    until("nothing is left", || listener.counts().half_open == 0);
    assert!(heards.rest().is_empty());
    listener.close(soon()).unwrap();
}
