//! Every way in which a peer of messenger v2 can fail a client ends in its own error, in time, and the
//! error says who the peer is, in which state the connection was and what it waited for.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ceph_msgr::auth::{AuthError, AuthProvider, Authorizer};
use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{ConState, Fault, Message, Policy};
use ceph_msgr::net::{Connection, Deadline, Messenger, Timeouts};
use ceph_msgr::types::EntityType;

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::dialler::{TYPE_CLIENT, TYPE_OSD};
use crate::common::frames::*;

/// A step that is meant to run out of time; long enough for a busy machine to get to that step.
const SHORT: Duration = Duration::from_millis(1500);

struct Dialled {
    con: Connection,
    heards: Heards,
}

fn dial(messenger: &Messenger, acceptor: &Acceptor) -> Dialled {
    dial_as(messenger, acceptor, Policy::LOSSY_CLIENT)
}

fn dial_as(messenger: &Messenger, acceptor: &Acceptor, policy: Policy) -> Dialled {
    let (dispatcher, heards) = recorder();
    let peer = acceptor.peer_v2(policy);
    let con = messenger.connect(peer, auth_none(), dispatcher).expect("a thread");
    Dialled { con, heards }
}

impl Dialled {
    /// How the connection ends: kind, and in the text the peer, the state and what went wrong. The
    /// owner and every call hear the same.
    #[track_caller]
    fn assert_ends(&self, kind: ErrorKind, state: &str, why: &str) -> Fault {
        let (told, text) = loop {
            match self.heards.next() {
                Heard::Connected => {}
                Heard::Reset(kind, text) => break (kind, text),
                other => panic!("{other:?} where the end was expected"),
            }
        };
        let want = format!("{}: {state}: ", self.con.peer());
        assert!(text.starts_with(&want), "{text:?} does not begin with {want:?}");
        assert!(text.contains(why), "{text:?} does not say {why:?}");
        assert_eq!(told, kind, "{text}");
        let errors = [
            self.con.wait_open(soon()).unwrap_err(),
            self.con.send(Message::new(1, vec![])).unwrap_err(),
        ];
        for e in &errors {
            assert_eq!((e.kind(), e.to_string()), (kind, text.clone()));
        }
        assert_eq!(self.con.state(), ConState::Closed);
        self.con.close(soon()).expect("its thread has ended");
        errors[0].fault::<Fault>().expect("the error has its fault").clone()
    }
}

fn ident_of(acceptor: &Acceptor) -> Vec<u8> {
    server_ident(&[addr_v2(acceptor.addr(), 0)], 3, LOSSY, 0)
}

/// Up to CLIENT_IDENT, which awaits its answer.
#[track_caller]
fn asked(acceptor: &Acceptor) -> V2Wire {
    let mut wire = acceptor.accept_v2();
    wire.let_in(TYPE_OSD);
    wire.expect(CLIENT_IDENT);
    wire
}

/// The peer goes silent after each step of the handshake. All at the same time, so that the test takes
/// as long as one.
#[test]
fn silence_after_each_step_names_the_step() {
    let messenger = messenger(Timeouts { handshake: SHORT, ..patient() });
    let acceptor = Acceptor::new();
    type Script = fn(&mut V2Wire);
    let steps: &[(&str, &str, Script)] = &[
        ("V2_BANNER", "no banner in time", |_| {}),
        ("V2_BANNER", "no banner in time", |w| w.send(&BANNER_V2[..9])),
        ("V2_BANNER", "no banner in time", |w| w.send(&BANNER_V2[..25])),
        ("V2_HELLO", "no HELLO in time", |w| w.send(BANNER_V2)),
        ("V2_HELLO", "no HELLO in time", |w| {
            w.send(BANNER_V2);
            w.send(&frame(HELLO, &[&hello_v2(TYPE_OSD, w.stream.peer_addr().unwrap())])[..71]);
        }),
        ("V2_AUTH", "no answer to AUTH_REQUEST in time", |w| drop(w.hellos_v2(TYPE_OSD))),
        ("V2_AUTH", "no answer to AUTH_REQUEST in time", |w| {
            w.hellos_v2(TYPE_OSD);
            w.expect(AUTH_REQUEST);
            w.send(&frame(AUTH_DONE, &[&auth_done(4100, CRC)])[..32]);
        }),
        ("V2_AUTH_SIGNATURE", "no AUTH_SIGNATURE in time", |w| {
            w.hellos_v2(TYPE_OSD);
            w.expect(AUTH_REQUEST);
            w.put(AUTH_DONE, &auth_done(4100, CRC));
            w.expect(AUTH_SIGNATURE);
        }),
        ("V2_SESSION_CONNECT", "no answer to CLIENT_IDENT in time", |w| w.let_in(TYPE_OSD)),
        ("V2_SESSION_CONNECT", "no answer to CLIENT_IDENT in time", |w| {
            w.let_in(TYPE_OSD);
            w.expect(CLIENT_IDENT);
            w.send(&preamble(SERVER_IDENT, &[100]));
            w.send(&[0; 99]);
        }),
    ];
    let mut silent = Vec::new();
    for (state, why, script) in steps {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.accept_v2();
        script(&mut wire);
        silent.push((dialled, wire, state, why));
    }
    for (dialled, _wire, state, why) in silent {
        let fault = dialled.assert_ends(ErrorKind::Timeout, state, why);
        assert!(matches!(fault, Fault::TimedOut(_)), "{fault:?}");
    }
}

/// The caller's own deadline, while the connection still tries.
#[test]
fn a_caller_that_gives_up_first_hears_how_far_it_got() {
    let acceptor = Acceptor::new();
    let Dialled { con, .. } = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.accept_v2();
    let gives_up = |step: &str| {
        let error = con.wait_open(Deadline::after(Duration::ZERO)).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert_eq!(con.describe(), format!("{}: {step}", con.peer()));
        assert_eq!(error.to_string(), format!("{}: no open session in time", con.describe()));
    };
    assert_eq!(wire.recv(26), BANNER_V2);
    gives_up("V2_BANNER: no banner yet");
    wire.send(BANNER_V2);
    wire.expect(HELLO);
    gives_up("V2_HELLO: no HELLO yet");
    wire.put(HELLO, &hello_v2(TYPE_OSD, wire.stream.peer_addr().unwrap()));
    wire.expect(AUTH_REQUEST);
    gives_up("V2_AUTH: no answer to AUTH_REQUEST yet");
    wire.put(AUTH_DONE, &auth_done(4100, CRC));
    wire.expect(AUTH_SIGNATURE);
    gives_up("V2_AUTH_SIGNATURE: no AUTH_SIGNATURE yet");
    wire.put(AUTH_SIGNATURE, &[0; 32]);
    wire.expect(CLIENT_IDENT);
    gives_up("V2_SESSION_CONNECT: no answer to CLIENT_IDENT yet");
    con.close(soon()).unwrap();
    wire.wait_closed();
}

/// A session that there has been, and whose peer says nothing of it.
#[test]
fn silence_after_a_reconnect_names_it_and_the_session_tries_again() {
    let messenger = messenger(Timeouts { handshake: SHORT, ..patient() });
    let acceptor = Acceptor::new();
    let Dialled { con, heards } = dial_as(&messenger, &acceptor, Policy::LOSSLESS_CLIENT);
    let mut wire = acceptor.open_v2(false);
    heards.connected();
    con.send(Message::new(42, &b"unacknowledged"[..])).unwrap();
    wire.expect(MESSAGE);
    drop(wire);
    let mut silent = acceptor.accept_v2();
    silent.let_in(TYPE_OSD);
    let asked = silent.expect(SESSION_RECONNECT);
    until("it waits", || {
        con.describe().contains("V2_SESSION_RECONNECT: no answer to SESSION_RECONNECT yet")
    });
    let mut again = acceptor.accept_v2();
    let fault = con.counters().last_fault;
    assert_eq!(fault, Some(Fault::TimedOut("answer to SESSION_RECONNECT")));
    again.let_in(TYPE_OSD);
    let asked_again = again.expect(SESSION_RECONNECT);
    // Its end: cookies, global_seq, connect_seq, msg_seq. The session is the same, and one attempt on.
    let tail = |f: &V2Frame| {
        let at = f.payload().len() - 40;
        [0, 8, 16, 24, 32].map(|n| u64_at(f.payload(), at + n))
    };
    let ([c, s, global, connect, seq], again_says) = (tail(&asked), tail(&asked_again));
    assert_eq!((s, seq), (77, 0));
    assert_eq!((again_says[0], again_says[1]), (c, s));
    assert!(again_says[2] > global && again_says[3] > connect && again_says[4] == seq);
    again.put(SESSION_RECONNECT_OK, &0u64.to_le_bytes());
    heards.connected();
    assert_eq!(again.expect(MESSAGE).segments[1], b"unacknowledged");
    con.close(soon()).unwrap();
}

/// What the peer says up to an open session, piece by piece, and the state in which each is awaited.
fn pieces(acceptor: &Acceptor, wire: &V2Wire) -> [(&'static str, Vec<u8>); 5] {
    let hello = hello_v2(TYPE_OSD, wire.stream.peer_addr().unwrap());
    [
        ("V2_BANNER", BANNER_V2.to_vec()),
        ("V2_HELLO", frame(HELLO, &[&hello])),
        ("V2_AUTH", frame(AUTH_DONE, &[&auth_done(4100, CRC)])),
        ("V2_AUTH_SIGNATURE", frame(AUTH_SIGNATURE, &[&[0; 32]])),
        ("V2_SESSION_CONNECT", frame(SERVER_IDENT, &[&ident_of(acceptor)])),
    ]
}

/// Reads what the client says before it awaits that piece: closing with unread bytes would reset the
/// connection.
fn hear(wire: &mut V2Wire, piece: usize) {
    match piece {
        0 => drop(wire.recv(26)),
        n => drop(wire.expect([HELLO, AUTH_REQUEST, AUTH_SIGNATURE, CLIENT_IDENT][n - 1])),
    }
}

/// The peer closes at each single byte of all that it says in the handshake.
#[test]
fn a_peer_that_closes_within_its_handshake() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    for piece in 0..5 {
        let mut n = 0;
        let mut len = 1;
        while n < len {
            let dialled = dial(&messenger, &acceptor);
            let mut wire = acceptor.accept_v2();
            let pieces = pieces(&acceptor, &wire);
            for (i, (_, bytes)) in pieces[..piece].iter().enumerate() {
                hear(&mut wire, i);
                wire.send(bytes);
            }
            hear(&mut wire, piece);
            let (state, bytes) = &pieces[piece];
            len = bytes.len();
            wire.send(&bytes[..n]);
            drop(wire);
            let fault = dialled.assert_ends(ErrorKind::Closed, state, "the peer closed");
            assert_eq!(fault, Fault::PeerClosed, "after {n} bytes");
            n += 1;
        }
    }
}

/// The peer closes at each single byte of a message in the open session.
#[test]
fn a_peer_that_closes_within_a_message() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let whole = message_v2(1, 4, b"front", b"data");
    for n in 0..whole.len() {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.open_v2(true);
        wire.send(&whole[..n]);
        drop(wire);
        let fault = dialled.assert_ends(ErrorKind::Closed, "OPEN", "the peer closed");
        assert_eq!(fault, Fault::PeerClosed, "after {n} bytes");
    }
}

/// What is no messenger v2, or none that this side can talk to, is known by its first bytes: nobody
/// waits for more.
#[test]
fn banners_of_others() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let bad = Fault::BadBanner.to_string();
    let v1 = Fault::PeerSpeaksV1.to_string();
    let banner = |len: u16, supported: u64, required: u64| {
        let mut out = b"ceph v2\n".to_vec();
        out.extend(len.to_le_bytes());
        out.extend(supported.to_le_bytes());
        out.extend(required.to_le_bytes());
        out
    };
    for (bytes, why) in [
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), &bad[..]),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), &bad),
        (vec![0], &bad),
        (b"ceph v3".to_vec(), &bad),
        (b"ceph v2\r".to_vec(), &bad),
        (b"ceph v0".to_vec(), &v1),
        ([&BANNER[..], &[0; 272]].concat(), &v1),
        (banner(4097, 1, 0), "a banner payload of 4097 bytes is too long"),
        (banner(u16::MAX, 1, 0), "a banner payload of 65535 bytes is too long"),
        (banner(15, 1, 0), "malformed banner payload"),
        (banner(16, 3, 2), "the peer demands features of the messenger"),
        (banner(16, 1 << 63, 1 << 63), "0x8000000000000000"),
    ] {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.accept_v2();
        wire.send(&bytes);
        dialled.assert_ends(ErrorKind::Protocol, "V2_BANNER", why);
    }
    // A newer peer may say more.
    let dialled = dial(&messenger, &acceptor);
    let mut wire = acceptor.accept_v2();
    wire.send(&banner(20, 3, 1));
    wire.send(b"more");
    assert_eq!(wire.recv(26), BANNER_V2);
    wire.expect(HELLO);
    dialled.con.close(soon()).unwrap();
}

/// Someone else answers: of another type, or at another address.
#[test]
fn someone_else_answers() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    for entity_type in [TYPE_CLIENT, 1, 0x40] {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.accept_v2();
        wire.hellos_v2(entity_type);
        let fault = dialled.assert_ends(ErrorKind::Protocol, "V2_HELLO", "wrong peer: ");
        assert!(matches!(fault, Fault::WrongPeerType { .. }), "{fault:?}");
        // Not a byte of an authorizer went to it.
        assert!(wire.try_frame().is_err());
    }
    let here = acceptor.addr();
    let other_port = SocketAddr::from((Ipv4Addr::LOCALHOST, here.port() ^ 1));
    let other_ip = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), here.port()));
    for (claims, nonce) in [(other_port, 0), (other_ip, 0), (here, 77)] {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = asked(&acceptor);
        wire.put(SERVER_IDENT, &server_ident(&[addr_v2(claims, nonce)], 3, LOSSY, 0));
        let fault = dialled.assert_ends(ErrorKind::Protocol, "V2_SESSION_CONNECT", "wrong peer: ");
        let Fault::WrongPeer { want, got } = fault else { panic!("{fault:?}") };
        assert_eq!((want.sockaddr, want.nonce), (Some(here), 0));
        assert_eq!((got.sockaddr, got.nonce), (Some(claims), nonce));
    }
    // One of several is enough.
    let dialled = dial(&messenger, &acceptor);
    let mut wire = asked(&acceptor);
    let addrs = [addr_v2(other_ip, 0), addr_v2(here, 0)];
    wire.put(SERVER_IDENT, &server_ident(&addrs, 3, LOSSY, 0));
    dialled.heards.connected();
    dialled.con.close(soon()).unwrap();
}

/// Every answer that opens no session, and what is none.
#[test]
fn refusals_and_nonsense_in_the_handshake() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let ident = ident_of(&acceptor);
    let missing = (1u64 << 22 | 1 << 40).to_le_bytes();
    let number = 5u64.to_le_bytes();
    let cases: [(u8, &[u8], &str); 11] = [
        (WAIT_V2, b"", "the peer says WAIT to a client"),
        (
            IDENT_MISSING_FEATURES,
            &missing,
            "the peer demands features that are not supported here: bit 22, MDS_INLINE_DATA",
        ),
        (IDENT_MISSING_FEATURES, &missing[..7], "malformed"),
        (SESSION_RESET, &[1], "SESSION_RESET is out of place"),
        (SESSION_RETRY, &number, "SESSION_RETRY is out of place"),
        (SESSION_RETRY_GLOBAL, &number, "SESSION_RETRY_GLOBAL is out of place"),
        (SESSION_RECONNECT_OK, &number, "SESSION_RECONNECT_OK is out of place"),
        (KEEPALIVE2_V2, &number, "KEEPALIVE2 is out of place"),
        (HELLO, &[4], "HELLO is out of place"),
        (SERVER_IDENT, &ident[..ident.len() - 1], "malformed"),
        (77, b"?", "bad tag 77"),
    ];
    for (tag, payload, why) in cases {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = asked(&acceptor);
        wire.put(tag, payload);
        dialled.assert_ends(ErrorKind::Protocol, "V2_SESSION_CONNECT", why);
    }
    for (bytes, why) in [
        (preamble(SERVER_IDENT, &[(64 << 10) + 1]), "a segment 0 of 65537 bytes is too long"),
        (preamble(SERVER_IDENT, &[u32::MAX]), "a segment 0 of 4294967295 bytes is too long"),
        (preamble(SERVER_IDENT, &[8, 8]), "more than one segment in a control frame"),
        (message_v2(1, 4, b"front", b""), "bad tag 17"),
        (vec![1; 32], "bad preamble"),
    ] {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = asked(&acceptor);
        wire.send(&bytes);
        dialled.assert_ends(ErrorKind::Protocol, "V2_SESSION_CONNECT", why);
    }
    let dialled = dial(&messenger, &acceptor);
    let mut wire = acceptor.accept_v2();
    wire.hellos_v2(TYPE_OSD);
    wire.expect(AUTH_REQUEST);
    wire.put(AUTH_DONE, &auth_done(4100, CRC));
    wire.put(AUTH_SIGNATURE, &[1; 32]);
    let fault = dialled.assert_ends(ErrorKind::Protocol, "V2_AUTH_SIGNATURE", "bad signature");
    assert_eq!(fault, Fault::BadAuthSignature);
}

/// Shows what another provider does, and counts how often its tickets are thrown away.
#[derive(Debug)]
struct Counting(Arc<dyn AuthProvider>, AtomicUsize);

impl AuthProvider for Counting {
    fn get_authorizer(
        &self,
        service: EntityType,
        now: Instant,
        force_new: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        self.0.get_authorizer(service, now, force_new)
    }

    fn invalidate(&self, _: EntityType) {
        self.1.fetch_add(1, Relaxed);
    }
}

/// The client offers no other method than the one that is not taken, and no mode but those it allows.
/// Its tickets are to blame where it was not believed, and nowhere else.
#[test]
fn a_login_that_is_refused() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    // Method none, an errno, and the methods and modes that are taken.
    let bad_method = |errno: i32, method: u32, mode: u32| {
        let mut out = [1u32.to_le_bytes(), errno.to_le_bytes()].concat();
        out.extend([1, method, 1, mode].iter().flat_map(|n: &u32| n.to_le_bytes()));
        out
    };
    for (tag, answer, blamed) in [
        (AUTH_BAD_METHOD, bad_method(-95, 2, 1), 0),
        (AUTH_BAD_METHOD, bad_method(-95, 1, 2), 0),
        (AUTH_BAD_METHOD, bad_method(-13, 1, 1), 1),
        (AUTH_DONE, auth_done(4100, 77), 0),
    ] {
        let auth = Arc::new(Counting(auth_none(), AtomicUsize::new(0)));
        let (dispatcher, heards) = recorder();
        let peer = acceptor.peer_v2(Policy::LOSSY_CLIENT);
        let con = messenger.connect(peer, auth.clone(), dispatcher).expect("a thread");
        let dialled = Dialled { con, heards };
        let mut wire = acceptor.accept_v2();
        wire.hellos_v2(TYPE_OSD);
        wire.expect(AUTH_REQUEST);
        wire.put(tag, &answer);
        let fault = dialled.assert_ends(ErrorKind::Auth, "V2_AUTH", "");
        assert_eq!(auth.1.load(Relaxed), blamed, "{fault:?}");
    }
}

/// Each round costs the client a frame; it does not go on for ever.
#[test]
fn retries_without_end() {
    let acceptor = Acceptor::new();
    let Dialled { con, heards } =
        dial_as(&messenger(patient()), &acceptor, Policy::LOSSLESS_CLIENT);
    let mut wire = acceptor.open_v2(false);
    heards.connected();
    con.send(Message::new(42, &b"unacknowledged"[..])).unwrap();
    wire.expect(MESSAGE);
    drop(wire);
    let mut wire = acceptor.accept_v2();
    wire.let_in(TYPE_OSD);
    let mut last = 0;
    let rounds = (1..1000u64)
        .find(|round| {
            let Ok(asked) = wire.try_frame() else { return true };
            assert_eq!(asked.tag, SESSION_RECONNECT);
            let at = asked.payload().len() - 24;
            let global_seq = u64_at(asked.payload(), at);
            assert!(global_seq > last, "global_seq {global_seq} in round {round}");
            last = global_seq + 10;
            wire.put(SESSION_RETRY_GLOBAL, &last.to_le_bytes());
            false
        })
        .expect("an end");
    assert!(rounds > 7, "{rounds}");
    until("the fault is known", || {
        matches!(con.counters().last_fault, Some(Fault::TooManyRounds(_)))
    });
    con.close(soon()).unwrap();
}

/// An answer that is there before its request answers something else.
#[test]
fn an_answer_before_its_request() {
    let acceptor = Acceptor::new();
    let dialled = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.accept_v2();
    let mut out = BANNER_V2.to_vec();
    out.extend(frame(HELLO, &[&hello_v2(TYPE_OSD, wire.stream.peer_addr().unwrap())]));
    out.extend(frame(AUTH_DONE, &[&auth_done(4100, CRC)]));
    wire.send(&out);
    let fault =
        dialled.assert_ends(ErrorKind::Protocol, "V2_HELLO", "before its request was written");
    assert_eq!(fault, Fault::ReplyBeforeRequest);
}

/// What has no place in an open session.
#[test]
fn nonsense_in_an_open_session() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let good = message_v2(1, 4, b"front", b"data");
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= byte;
        bytes
    };
    // Preamble and header with its crc; front and data; late status and three crcs.
    let (header, front, data, end) = (32, 77, 82, 86);
    let cases = [
        (with(0, 1), "bad preamble"),
        (with(header, 1), "bad crc of segment 0 of a frame"),
        (with(front, 1), "bad crc of segment 1 of a frame"),
        (with(data, 1), "bad crc of segment 3 of a frame"),
        (with(end, 0xe), "bad late status 0x0 of a frame"),
        (with(end + 5, 1), "bad crc of segment 2 of a frame"),
        (preamble(MESSAGE, &[41, (16 << 20) + 1]), "a front of 16777217 bytes is too long"),
        (preamble(MESSAGE, &[41, 1, u32::MAX]), "a middle of 4294967295 bytes is too long"),
        (preamble(MESSAGE, &[41, 0, 0, (64 << 20) + 1]), "a data of 67108865 bytes is too long"),
        (frame(HELLO, &[&[4]]), "HELLO is out of place"),
        (frame(AUTH_SIGNATURE, &[&[0; 32]]), "AUTH_SIGNATURE is out of place"),
        (frame(SERVER_IDENT, &[&ident_of(&acceptor)]), "SERVER_IDENT is out of place"),
        (frame(WAIT_V2, &[&[]]), "WAIT is out of place"),
        (frame(MESSAGE, &[&[0; 40], b"front"]), "bad preamble of a frame"),
    ];
    for (bytes, why) in cases {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.open_v2(true);
        wire.send(&bytes);
        dialled.assert_ends(ErrorKind::Protocol, "OPEN", why);
    }
    // A message that its sender has taken back does not count, and the next one has its number.
    let dialled = dial(&messenger, &acceptor);
    let mut wire = acceptor.open_v2(true);
    wire.send(&with(end, 0xf));
    wire.send(&message_v2(1, 4, b"counts", b""));
    dialled.heards.connected();
    assert_eq!(dialled.heards.message().front[..], *b"counts");
    // Nor is a gap a fault, and what is old is passed over.
    for (seq, front) in [(5, b"gap"), (4, b"old"), (6, b"new")] {
        wire.send(&message_v2(seq, 4, front, b""));
    }
    assert_eq!(dialled.heards.message().front[..], *b"gap");
    assert_eq!(dialled.heards.message().front[..], *b"new");
    dialled.con.close(soon()).unwrap();
}
