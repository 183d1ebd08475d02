//! The authentication of msgr2 against real daemons and a real client, over frames of revision 2.1
//! with checksums that are made here: up to AUTH_SIGNATURE, which proves that both sides have read
//! the same bytes and hold the same session key.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ceph_msgr::auth::cephx::{KeyServer, KeyServerOptions};
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::auth::{
    AuthAcceptor, AuthAnswer, AuthClient, AuthConnector, AuthDone, AuthError, AuthMonitor,
    AuthMonitorOptions, AuthProvider as _, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, ConMode, EntityName,
    GlobalIdAllocator, MonLogin,
};
use ceph_msgr::crc32c::ceph_crc32c;
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::msgr::v2::AuthSignatures;
use ceph_msgr::msgr::v2::control::{
    AuthBadMethod, AuthDoneFrame, AuthOffer, AuthReplyMoreFrame, AuthRequestMoreFrame,
    AuthSignatureFrame, ClientIdentFrame, ControlFrame, HelloFrame,
};
use ceph_msgr::types::{AddrType, EntityAddr, EntityType, GlobalId, UTime};

use crate::common::live::until;
use crate::common::vstart::Vstart;

const BANNER: &[u8; 26] = b"ceph v2\n\x10\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const MODES: [ConMode; 2] = [ConMode::Crc, ConMode::Secure];

/// A socket, and all that went through it.
struct Socket {
    stream: TcpStream,
    received: Vec<u8>,
    sent: Vec<u8>,
}

impl Socket {
    /// Exchanges banners and HELLOs.
    fn new(stream: TcpStream, own: EntityType, peer_type: EntityType) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let peer = stream.peer_addr().expect("an address");
        let mut socket = Self { stream, received: Vec::new(), sent: Vec::new() };
        socket.write(BANNER);
        assert_eq!(socket.read(10), BANNER[..10]);
        socket.read(16);
        let peer_addr = EntityAddr { addr_type: AddrType::MSGR2, nonce: 0, sockaddr: Some(peer) };
        socket.put(&HelloFrame { entity_type: own, peer_addr });
        let hello: HelloFrame = socket.get();
        assert_eq!(hello.entity_type, peer_type);
        let seen = hello.peer_addr.sockaddr.expect("an address");
        assert_eq!(seen, socket.stream.local_addr().expect("an address"));
        socket
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("written");
        self.sent.extend_from_slice(bytes);
    }

    fn read(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.stream.read_exact(&mut bytes).expect("read");
        self.received.extend_from_slice(&bytes);
        bytes
    }

    fn put<T: ControlFrame>(&mut self, frame: &T) {
        let payload = frame.to_payload();
        let mut bytes = vec![0; 28];
        (bytes[0], bytes[1], bytes[6]) = (T::TAG, 1, 8);
        bytes[2..6].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&ceph_crc32c(0, &bytes).to_le_bytes());
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(&ceph_crc32c(u32::MAX, &payload).to_le_bytes());
        self.write(&bytes);
    }

    fn get_any(&mut self) -> (u8, Vec<u8>) {
        let preamble = self.read(32);
        let crc = ceph_crc32c(0, &preamble[..28]).to_le_bytes();
        assert_eq!((preamble[1], &preamble[28..]), (1, &crc[..]));
        let len = u32::from_le_bytes(preamble[2..6].try_into().expect("four")) as usize;
        let mut payload = self.read(len + 4);
        let crc = payload.split_off(len);
        assert_eq!(crc, ceph_crc32c(u32::MAX, &payload).to_le_bytes());
        (preamble[0], payload)
    }

    fn get<T: ControlFrame>(&mut self) -> T {
        let (tag, payload) = self.get_any();
        assert_eq!(tag, T::TAG);
        let frame = T::from_payload(&payload).expect("a payload");
        assert_eq!(frame.to_payload(), payload);
        frame
    }

    fn authenticate(&mut self, connector: &mut AuthConnector) -> Result<AuthDone, AuthError> {
        self.put(&connector.get_auth_request()?);
        loop {
            let (tag, payload) = self.get_any();
            let now = Instant::now();
            match tag {
                AuthBadMethod::TAG => {
                    let bad = AuthBadMethod::from_payload(&payload)?;
                    self.put(&connector.handle_auth_bad_method(&bad, now)?);
                }
                AuthReplyMoreFrame::TAG => {
                    let frame = AuthReplyMoreFrame::from_payload(&payload)?;
                    let payload = connector.handle_auth_reply_more(&frame.payload, now)?;
                    self.put(&AuthRequestMoreFrame { payload });
                }
                AuthDoneFrame::TAG => {
                    let AuthDoneFrame { global_id, con_mode, payload } =
                        AuthDoneFrame::from_payload(&payload)?;
                    return connector.handle_auth_done(global_id, con_mode, &payload, now);
                }
                other => panic!("a frame of tag {other}"),
            }
        }
    }

    fn exchange_signatures(&mut self, session_key: Option<&CryptoKey>) {
        let signatures = AuthSignatures::new(session_key, &self.received, &self.sent);
        let signatures = signatures.expect("a key");
        self.put(&AuthSignatureFrame(signatures.ours()));
        let theirs: AuthSignatureFrame = self.get();
        signatures.check(&theirs.0).expect("the peer's signature");
    }
}

/// The address of msgr2 in what `mon dump` and `osd dump` show.
fn v2_addr(addrs: &serde_json::Value) -> SocketAddr {
    let addrs = addrs["addrvec"].as_array().expect("addresses");
    let v2 = addrs.iter().find(|addr| addr["type"] == "v2").expect("one of v2");
    v2["addr"].as_str().expect("text").parse().expect("an address")
}

fn dial(addr: SocketAddr, peer_type: EntityType) -> Socket {
    let stream = TcpStream::connect(addr).expect("it listens");
    Socket::new(stream, EntityType::CLIENT, peer_type)
}

fn admin(key: CryptoKey, methods: &[u32]) -> Arc<AuthClient> {
    let name = EntityName::new(EntityType::CLIENT, "admin");
    let services = [EntityType::MON, EntityType::OSD, EntityType::MDS, EntityType::MGR];
    Arc::new(AuthClient::new(name, Some(key), methods, &services).expect("a client"))
}

#[test]
fn a_monitor_and_an_osd_are_convinced_and_convince() {
    let Some(vstart) = Vstart::builder().osds(1).start() else { return };
    let mon = v2_addr(&vstart.ceph_json(&["mon", "dump"])["mons"][0]["public_addrs"]);
    let osd = v2_addr(&vstart.ceph_json(&["osd", "dump"])["osds"][0]["public_addrs"]);
    let name = EntityName::new(EntityType::CLIENT, "admin");
    let keyring = Keyring::read(&vstart.keyring()).expect("a keyring");
    let key = keyring.key(&name).expect("a key").clone();

    let client = admin(key, &[CEPH_AUTH_CEPHX]);
    let provider = MonLogin::new(client.clone());
    let mut global_id = GlobalId(0);
    for mode in [ConMode::Crc, ConMode::Secure, ConMode::Crc] {
        let start = |service, modes: &[ConMode]| {
            provider.start_auth(service, modes, Instant::now(), false).expect("a ticket")
        };
        // A monitor, which lets us keep the global_id from the second time on.
        let mut socket = dial(mon, EntityType::MON);
        let done = socket.authenticate(&mut start(EntityType::MON, &[mode])).expect("logged in");
        assert_eq!(done.mode, mode);
        let secret_len = done.connection_secret.as_ref().map_or(0, |s| s.as_bytes().len());
        assert_eq!(secret_len, mode.connection_secret_len());
        if mode == ConMode::Crc {
            socket.exchange_signatures(done.session_key.as_ref());
        }
        provider.logged_in(*done.login.expect("a login"));
        provider.take().expect("it").install().expect("installed");
        assert_ne!(client.global_id(), GlobalId(0));
        assert!(global_id == GlobalId(0) || global_id == client.global_id());
        global_id = client.global_id();

        // A service, with the ticket of that login.
        let mut socket = dial(osd, EntityType::OSD);
        let done = socket.authenticate(&mut start(EntityType::OSD, &[mode])).expect("believed");
        assert_eq!((done.mode, done.connection_secret.is_some()), (mode, mode == ConMode::Secure));
        if mode == ConMode::Crc {
            socket.exchange_signatures(done.session_key.as_ref());
        }
    }

    // The monitor's choice of the mode is ours; a wrong key is found out; a login at an OSD is not
    // known there.
    for modes in [MODES, [ConMode::Secure, ConMode::Crc]] {
        let mut socket = dial(mon, EntityType::MON);
        let done = socket.authenticate(&mut client.start_auth_at_mon(&modes)).expect("logged in");
        assert_eq!(done.mode, modes[0]);
    }
    let wrong = CryptoKey::generate(KeyType::Aes, UTime::default()).expect("a key");
    let wrong = admin(wrong, &[CEPH_AUTH_CEPHX]);
    let mut socket = dial(mon, EntityType::MON);
    let e = socket.authenticate(&mut wrong.start_auth_at_mon(&MODES)).expect_err("a wrong key");
    assert_eq!(e, AuthError::Denied { errno: 13 });
    let mut socket = dial(osd, EntityType::OSD);
    let e = socket.authenticate(&mut client.start_auth_at_mon(&MODES)).expect_err("not a monitor");
    assert!(matches!(e, AuthError::OldTicketRefused { .. } | AuthError::Refused { .. }), "{e}");
}

#[test]
fn a_monitor_without_authentication_takes_our_second_offer() {
    let Some(vstart) = Vstart::builder().auth_none().start() else { return };
    let mon = v2_addr(&vstart.ceph_json(&["mon", "dump"])["mons"][0]["public_addrs"]);
    let key = CryptoKey::generate(KeyType::Aes, UTime::default()).expect("a key");
    let client = admin(key.clone(), &[CEPH_AUTH_NONE, CEPH_AUTH_CEPHX]);
    let mut socket = dial(mon, EntityType::MON);
    let done = socket.authenticate(&mut client.start_auth_at_mon(&MODES)).expect("let in");
    assert!(done.mode == ConMode::Crc && done.session_key.is_none());
    socket.exchange_signatures(None);

    let strict = admin(key, &[CEPH_AUTH_CEPHX]);
    let mut socket = dial(mon, EntityType::MON);
    let e = socket.authenticate(&mut strict.start_auth_at_mon(&MODES)).expect_err("no proof");
    assert_eq!(e, AuthError::NoCommonProtocol);
}

#[derive(Debug)]
struct Counter(AtomicU64);

impl GlobalIdAllocator for Counter {
    fn assign_global_id(&self) -> Option<GlobalId> {
        Some(GlobalId(self.0.fetch_add(1, Relaxed)))
    }
}

#[test]
fn a_client_of_the_distribution_is_convinced_and_convinces() {
    for mode in MODES {
        log_in_a_client_of_the_distribution(mode);
    }
}

fn log_in_a_client_of_the_distribution(mode: ConMode) {
    let dir = tempfile::tempdir().expect("a directory");
    let conf = dir.path().join("ceph.conf");
    let name = EntityName::new(EntityType::CLIENT, "admin");
    let wall = || -> UTime { SystemTime::now().duration_since(UNIX_EPOCH).expect("now").into() };
    let key = CryptoKey::generate(KeyType::Aes, wall()).expect("a key");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener that can be polled");
    let addr = listener.local_addr().expect("an address");
    let text = format!(
        "[global]\nmon host = v2:{addr}\nkey = {}\nms mon client mode = {mode}\n",
        key.to_base64().as_str()
    );
    std::fs::write(&conf, text).expect("written");

    let mut keyring = Keyring::new();
    keyring.set_key(&name, key);
    keyring.set_caps(&name, "mon", "allow *");
    let options = KeyServerOptions { auth_service_cipher: KeyType::Aes, ..Default::default() };
    let keys = Arc::new(KeyServer::new(keyring, options, wall()).expect("keys"));
    let ids = Box::new(Counter(AtomicU64::new(4101)));
    let monitor = Arc::new(AuthMonitor::new(keys, ids, AuthMonitorOptions::default()));

    let mut ceph = Command::new("ceph");
    ceph.arg("--conf").arg(&conf).args(["--connect-timeout", "30", "status"]);
    let ceph = ceph.env_remove("CEPH_ARGS").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut ceph) = ceph else {
        println!("SKIPPED no ceph command");
        return;
    };
    let mut stream = None;
    until("it dials", || {
        stream = listener.accept().ok();
        stream.is_some()
    });
    let (stream, _) = stream.expect("it has dialled");
    stream.set_nonblocking(false).expect("blocking");
    let mut socket = Socket::new(stream, EntityType::MON, EntityType::CLIENT);
    let mut acceptor = AuthAcceptor::new(EntityType::CLIENT, &MODES);
    let offer: AuthOffer = socket.get();
    assert_eq!((offer.method, &offer.modes[..]), (CEPH_AUTH_CEPHX, &[mode.number()][..]));
    let answer = acceptor.handle_auth_request(&monitor, &offer, wall()).expect("an answer");
    let AuthAnswer::ReplyMore(payload) = answer else { panic!("{answer:?}") };
    socket.put(&AuthReplyMoreFrame { payload });
    let more: AuthRequestMoreFrame = socket.get();
    let answer = acceptor.handle_auth_request_more(&monitor, &more.payload, wall());
    let AuthAnswer::Done(granted) = answer.expect("an answer") else { panic!("not believed") };
    assert_eq!((&granted.peer.name, granted.mode), (&name, mode));
    socket.put(&AuthDoneFrame {
        global_id: granted.global_id,
        con_mode: granted.mode.number(),
        payload: granted.payload.clone(),
    });
    match mode {
        ConMode::Crc => {
            socket.exchange_signatures(granted.session_key.as_ref());
            // It goes on, so it has believed ours.
            let ident: ClientIdentFrame = socket.get();
            assert_eq!(ident.target_addr.sockaddr, Some(addr));
        }
        // It has found the secret: this is its AUTH_SIGNATURE, sealed.
        ConMode::Secure => drop(socket.read(96)),
    }
    ceph.kill().expect("ended");
    ceph.wait().expect("gone");
}
