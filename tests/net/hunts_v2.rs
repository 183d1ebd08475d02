//! A monitor client of messenger v2, which logs in during the handshake: at our own accepting side,
//! which believes it or not.

use std::sync::Arc;
use std::time::Duration;

use ceph_msgr::auth::{AuthClient, AuthError, CEPH_AUTH_CEPHX, ConMode};
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::denc::Encode as _;
use ceph_msgr::error::{Error, ErrorKind};
use ceph_msgr::messages::Body;
use ceph_msgr::messages::mon::{MMonMap, MMonSubscribe};
use ceph_msgr::mon::{HuntOptions, MonClient, MonMap, MonTarget};
use ceph_msgr::msgr::{Fault, Options};
use ceph_msgr::net::{Acceptor, Listener, Messenger};
use ceph_msgr::testing::DAEMON_FEATURES;
use ceph_msgr::types::{EntityAddr, EntityName, EntityType, Epoch, Features, Fsid, GlobalId};

use crate::common::client::*;
use crate::common::monitor::{auth_monitor, client_admin, wall};
use crate::common::server::LOCALHOST;

fn new_key() -> CryptoKey {
    CryptoKey::generate(KeyType::Aes, wall()).expect("a key")
}

/// A monitor that lets `client.admin` in with that key, in these modes, and has a monmap.
struct Mon {
    messenger: Messenger,
    listener: Listener,
}

impl Mon {
    fn new(key: &CryptoKey, mon_modes: &'static [ConMode], at: EntityAddr, first_id: u64) -> Self {
        let options = Options { supported: DAEMON_FEATURES, mon_modes, ..Options::default() };
        let name = EntityName::new(EntityType::MON, 0);
        let messenger = Messenger::with_nonce(name, 0, options, patient());
        let auth = auth_monitor(key, CEPH_AUTH_CEPHX, Duration::from_secs(3600), first_id);
        let dispatcher = hook(|con, call| {
            if let Call::Message(msg) = call
                && msg.header.msg_type == MMonSubscribe::TYPE
            {
                let map = MonMap { epoch: Epoch(1), fsid: Fsid([7; 16]), ..MonMap::default() };
                let map = MMonMap { monmapbl: map.to_bytes(Features::ALL) };
                con.send(map.to_message(Features::ALL)).expect("an open connection");
            }
        });
        let acceptor = Acceptor::new(Arc::new(auth), dispatcher);
        let listener = messenger.bind(&[at], acceptor).expect("a port");
        Self { messenger, listener }
    }

    fn addr(&self) -> EntityAddr {
        self.listener.addrs()[0]
    }

    fn end(self) {
        self.listener.close(soon()).expect("it ends");
        self.messenger.shutdown(soon()).expect("it ends");
    }
}

fn anywhere() -> EntityAddr {
    EntityAddr::msgr2(LOCALHOST, 0)
}

fn client(key: CryptoKey, mon_modes: &'static [ConMode], at: &[EntityAddr]) -> MonClient {
    let options = Options { mon_modes, ..Options::default() };
    let messenger = Messenger::new(EntityType::CLIENT, options, patient()).expect("a messenger");
    let auth = AuthClient::new(client_admin(), Some(key), &[CEPH_AUTH_CEPHX], &[EntityType::OSD]);
    let targets = at.iter().enumerate().map(|(rank, &addr)| MonTarget { rank, addr }).collect();
    let auth = Arc::new(auth.expect("a key is given"));
    MonClient::new(messenger, auth, targets, HuntOptions::default()).expect("a client")
}

#[test]
fn a_login_in_the_handshake_is_a_session() {
    let key = new_key();
    for modes in [&[ConMode::Crc][..], &[ConMode::Secure]] {
        let mons = [1, 2].map(|n| Mon::new(&key, modes, anywhere(), 1000 * n));
        let mon = client(key.clone(), modes, &[mons[0].addr(), mons[1].addr()]);
        assert_eq!(mon.fsid(soon()).unwrap(), Fsid([7; 16]));
        // Of two logins that may both have been let in, it is that of the session which counts.
        let rank = mon.peer().expect("a session").name.num as u64;
        assert_eq!(mon.global_id().0 / 1000, rank + 1);
        mon.shutdown(soon()).unwrap();
        mons.into_iter().for_each(Mon::end);
    }
}

fn refused(mon: &MonClient) -> (Error, Option<AuthError>) {
    let e = mon.authenticate(soon()).expect_err("it is not let in");
    assert_eq!(e.kind(), ErrorKind::Auth, "{e}");
    let why = match e.fault() {
        Some(Fault::Auth(why)) => Some(why.clone()),
        _ => None,
    };
    (e, why)
}

#[test]
fn a_wrong_key_and_a_wrong_mode_end_the_hunt() {
    let key = new_key();
    let server = Mon::new(&key, &[ConMode::Secure], anywhere(), 1000);
    // Nobody waits for one that says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = EntityAddr::msgr2(silent.local_addr().expect("an address"), 0);
    let at = [server.addr(), silent];

    let mon = client(new_key(), &[ConMode::Secure], &at);
    assert_eq!(refused(&mon).1, Some(AuthError::Denied { errno: 13 }));
    assert_eq!(mon.global_id(), GlobalId(0));
    // Whoever asks again is looked after again, and hears the same.
    assert_eq!(refused(&mon).1, Some(AuthError::Denied { errno: 13 }));
    mon.shutdown(soon()).unwrap();

    let mon = client(key, &[ConMode::Crc], &at);
    let (e, why) = refused(&mon);
    let (offered, allowed): (&[_], &[_]) = (&[ConMode::Crc], &[ConMode::Secure]);
    assert_eq!(why, Some(AuthError::NoCommonMode { offered, allowed }));
    assert!(e.to_string().contains("crc was offered, the peer allows secure"), "{e}");
    mon.shutdown(soon()).unwrap();
    server.end();
}

/// The monitor comes back without the secrets of its tickets, and does not believe an old one: the
/// client is somebody new then, without being asked.
#[test]
fn an_old_ticket_that_is_refused_is_followed_by_a_login_without() {
    let (key, modes) = (new_key(), &[ConMode::Secure, ConMode::Crc][..]);
    let before = Mon::new(&key, modes, anywhere(), 1000);
    let addr = before.addr();
    let mon = client(key.clone(), modes, &[addr]);
    mon.authenticate(soon()).unwrap();
    assert_eq!(mon.global_id(), GlobalId(1000));
    before.end();
    let after = Mon::new(&key, modes, addr, 2000);
    until("it is in again, as another one", || mon.global_id().0 >= 2000);
    mon.authenticate(soon()).unwrap();
    mon.shutdown(soon()).unwrap();
    after.end();
}
