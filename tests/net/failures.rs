//! Every way in which a peer can fail a client ends in its own error, in time, and the error says
//! who the peer is, in which state the connection was and what it waited for.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::common::acceptor::*;
use crate::common::client::*;
use ceph_msgr::auth::AuthProvider;
use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{ConState, Fault, Message, Peer, Policy};
use ceph_msgr::net::{Connection, Deadline, Messenger, Timeouts};

/// A step that is meant to run out of time; long enough for a busy machine to get to that step.
const SHORT: Duration = Duration::from_millis(1500);

struct Dialled {
    con: Connection,
    heards: Heards,
}

fn dial_peer(messenger: &Messenger, peer: Peer, auth: Arc<dyn AuthProvider>) -> Dialled {
    let (dispatcher, heards) = recorder();
    let con = messenger.connect(peer, auth, dispatcher).expect("a thread");
    Dialled { con, heards }
}

fn dial(messenger: &Messenger, acceptor: &Acceptor) -> Dialled {
    dial_peer(messenger, acceptor.peer(Policy::LOSSY_CLIENT), no_auth())
}

impl Dialled {
    /// How the connection ends, checked: kind, and in the text the peer, the state and what went
    /// wrong. The owner and every call hear the same.
    #[track_caller]
    fn assert_ends(&self, kind: ErrorKind, state: &str, why: &str) -> Fault {
        let (told, text) = loop {
            match self.heards.next() {
                Heard::Connected | Heard::Refused => {}
                Heard::Reset(kind, text) => break (kind, text),
                other => panic!("{other:?} where the end was expected"),
            }
        };
        let want = format!("{}: {state}: ", self.con.peer());
        assert!(text.starts_with(&want), "{text:?} does not begin with {want:?}");
        assert!(text.contains(why), "{text:?} does not say {why:?}");
        assert_eq!(told, kind, "{text}");
        let msg = Message::new(1, vec![]);
        let error = self.con.wait_open(soon()).unwrap_err();
        let calls = [
            self.con.send(msg.clone()).unwrap_err(),
            self.con.try_send(msg).unwrap_err().error,
            self.con.flush(soon()).unwrap_err(),
            self.con.acked(soon()).unwrap_err(),
        ];
        for e in calls.iter().chain([&error]) {
            assert_eq!((e.kind(), e.to_string()), (kind, text.clone()));
        }
        assert_eq!(self.con.state(), ConState::Closed);
        self.con.close(soon()).expect("its thread has ended");
        error.fault::<Fault>().expect("the error has its fault").clone()
    }
}

/// The peer goes silent after each step of the handshake. All at the same time, so that the test
/// takes as long as one.
#[test]
fn silence_after_each_step_names_the_step() {
    let messenger = messenger(Timeouts { handshake: SHORT, ..patient() });
    let acceptor = Acceptor::new();
    type Script = fn(&mut Wire);
    let steps: &[(&str, &str, Script)] = &[
        ("V1_BANNER", "no banner in time", |_| {}),
        ("V1_BANNER", "no banner in time", |w| w.send(b"ceph v02")),
        ("V1_BANNER", "no addresses behind the banner in time", |w| w.send(BANNER)),
        ("V1_BANNER", "no addresses behind the banner in time", |w| {
            let hello = w.hello_bytes();
            w.send(&hello[..280]);
        }),
        ("V1_CONNECT_MSG", "no connect reply in time", |w| w.hellos()),
        ("V1_CONNECT_MSG", "no connect reply in time", |w| {
            w.hellos();
            let reply = Reply::opens(SEQ, &w.read_connect(), true).bytes();
            w.send(&reply[..25]);
        }),
        ("V1_CONNECT_MSG", "no authorizer behind the connect reply in time", |w| {
            w.hellos();
            w.read_connect();
            w.reply(&Reply { authorizer_len: 36, ..Reply::new(READY) });
            w.send(&[0; 35]);
        }),
        ("V1_CONNECT_MSG", "no sequence number behind SEQ in time", |w| {
            w.hellos();
            let connect = w.read_connect();
            w.reply(&Reply::opens(SEQ, &connect, true));
            w.send(&[0; 7]);
        }),
        ("V1_CONNECT_MSG", "no connect reply in time", |w| {
            w.hellos();
            w.read_connect();
            w.reply(&Reply { global_seq: 7, ..Reply::new(RETRY_GLOBAL) });
            w.read_connect();
        }),
    ];
    let mut silent = Vec::new();
    for (state, why, script) in steps {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.accept();
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
    let mut wire = acceptor.accept();
    wire.read_hello();
    let gives_up = |step: &str| {
        let error = con.wait_open(Deadline::after(Duration::ZERO)).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert_eq!(con.describe(), format!("{}: {step}", con.peer()));
        assert_eq!(error.to_string(), format!("{}: no open session in time", con.describe()));
    };
    gives_up("V1_BANNER: no banner yet");
    let hello = wire.hello_bytes();
    wire.send(&hello);
    wire.read_connect();
    gives_up("V1_CONNECT_MSG: no connect reply yet");
    con.close(soon()).unwrap();
    wire.wait_closed();
}

/// A lossless session tries for ever; its caller's deadline ends the wait and the text says what
/// stands in the way.
#[test]
fn a_lossless_caller_that_gives_up_hears_of_the_last_fault() {
    let closed = closed_port();
    let peer = peer_at(closed.1, Policy::LOSSLESS_CLIENT);
    let Dialled { con, heards } = dial_peer(&messenger(patient()), peer, no_auth());
    assert!(matches!(heards.next(), Heard::Refused));
    let error = con.wait_open(Deadline::after(Duration::ZERO)).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{text}");
    assert!(text.starts_with(&format!("{}: PREOPEN: no TCP connection yet", con.peer())), "{text}");
    assert!(text.contains("connection refused"), "{text}");
    let cause = Fault::Io(io::ErrorKind::ConnectionRefused);
    assert_eq!(error.fault::<Fault>(), Some(&cause));
    con.close(soon()).unwrap();
}

#[test]
fn a_refused_port() {
    let closed = closed_port();
    let peer = peer_at(closed.1, Policy::LOSSY_CLIENT);
    let dialled = dial_peer(&messenger(patient()), peer, no_auth());
    assert!(matches!(dialled.heards.next(), Heard::Refused), "the owner is told before the end");
    let fault = dialled.assert_ends(ErrorKind::Io, "PREOPEN", "connection refused");
    assert_eq!(fault, Fault::Io(io::ErrorKind::ConnectionRefused));
}

#[test]
fn an_address_that_is_none() {
    let mut peer = peer_at(closed_port().1, Policy::LOSSY_CLIENT);
    peer.addr.sockaddr = None;
    let dialled = dial_peer(&messenger(patient()), peer, no_auth());
    dialled.assert_ends(ErrorKind::Io, "PREOPEN", "address not available");
}

#[test]
fn nothing_answers_the_syn() {
    let (_socket, _backlog, addr) = deaf_port();
    let messenger = messenger(Timeouts { connect: Duration::from_millis(200), ..patient() });
    let dialled = dial_peer(&messenger, peer_at(addr, Policy::LOSSY_CLIENT), no_auth());
    let fault = dialled.assert_ends(ErrorKind::Timeout, "PREOPEN", "no TCP connection in time");
    assert_eq!(fault, Fault::TimedOut("TCP connection"));
}

/// What is no messenger of version 1 is known by its first bytes: nobody waits for more.
#[test]
fn banners_of_others() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let bad = (Fault::BadBanner, "bad banner: not a Ceph messenger");
    let v2 = (Fault::PeerSpeaksV2, "the peer speaks messenger v2 here");
    for (banner, (want, why)) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], bad.clone()),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", bad.clone()),
        (&[0; 281], bad.clone()),
        (b"X", bad.clone()),
        (b"ceph v1", bad.clone()),
        (b"ceph v026", bad.clone()),
        (b"ceph v0270", bad.clone()),
        // Banner, length of the payload, features supported and required.
        (b"ceph v2\n\x10\x00\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", v2.clone()),
        (b"ceph v2\n", v2),
    ] {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.accept();
        wire.send(banner);
        if banner.starts_with(BANNER) {
            // One byte more shifts the address behind it.
            let rest = vec![0; 281];
            wire.send(&rest);
            dialled.assert_ends(ErrorKind::Protocol, "V1_BANNER", "malformed");
            continue;
        }
        assert_eq!(dialled.assert_ends(ErrorKind::Protocol, "V1_BANNER", why), want);
    }
}

#[test]
fn someone_else_answers() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let here = acceptor.addr();
    let other_port = SocketAddr::from((Ipv4Addr::LOCALHOST, here.port() ^ 1));
    let other_ip = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), here.port()));
    for (claims, nonce) in [(other_port, 0), (other_ip, 0), (here, 77)] {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.accept();
        let mut hello = BANNER.to_vec();
        hello.extend(legacy_addr(claims, nonce));
        hello.extend(legacy_addr(here, 0));
        wire.send(&hello);
        let fault = dialled.assert_ends(ErrorKind::Protocol, "V1_BANNER", "wrong peer: ");
        let Fault::WrongPeer { want, got } = fault else { panic!("{fault:?}") };
        assert_eq!((want.sockaddr, want.nonce), (Some(here), 0));
        assert_eq!((got.sockaddr, got.nonce), (Some(claims), nonce));
        // Not a byte of the negotiation went to it.
        wire.read_hello();
        assert_eq!(wire.try_recv(1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

/// The peer closes at each single byte of its hello.
#[test]
fn a_peer_that_closes_within_its_hello() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    for n in 0..281 {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.accept();
        // Closing with unread bytes would reset the connection.
        wire.read_hello();
        let hello = wire.hello_bytes();
        wire.send(&hello[..n]);
        drop(wire);
        let fault = dialled.assert_ends(ErrorKind::Closed, "V1_BANNER", "the peer closed");
        assert_eq!(fault, Fault::PeerClosed, "after {n} bytes");
    }
}

/// The peer closes at each single byte of its reply, and of the in_seq behind it.
#[test]
fn a_peer_that_closes_within_its_reply() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    for n in 0..34 {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.accept();
        wire.hellos();
        let mut reply = Reply::opens(SEQ, &wire.read_connect(), true).bytes();
        reply.extend([0; 8]);
        wire.send(&reply[..n]);
        drop(wire);
        let fault = dialled.assert_ends(ErrorKind::Closed, "V1_CONNECT_MSG", "the peer closed");
        assert_eq!(fault, Fault::PeerClosed, "after {n} bytes");
    }
}

/// The peer closes at each single byte of a message in the open session.
#[test]
fn a_peer_that_closes_within_a_message() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let len = message(1, 4, b"front", b"data", FEATURES).len();
    for n in 0..len {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.open(true);
        wire.send(&message(1, 4, b"front", b"data", FEATURES)[..n]);
        drop(wire);
        let fault = dialled.assert_ends(ErrorKind::Closed, "OPEN", "the peer closed");
        assert_eq!(fault, Fault::PeerClosed, "after {n} bytes");
    }
}

#[test]
fn a_reset_socket_is_an_error_of_the_socket() {
    let acceptor = Acceptor::new();
    let dialled = dial(&messenger(patient()), &acceptor);
    let wire = acceptor.open(true);
    dialled.heards.connected();
    socket2::SockRef::from(wire.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(wire);
    let fault = dialled.assert_ends(ErrorKind::Io, "OPEN", "connection reset");
    assert_eq!(fault, Fault::Io(io::ErrorKind::ConnectionReset));
}

/// Every connect reply that opens no session.
#[test]
fn refusals_and_nonsense_in_the_connect_reply() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let reply = Reply::new;
    let cases = [
        (reply(WAIT), "the peer says WAIT to a client"),
        (reply(BADAUTHORIZER), "the peer refuses our authorizer (BADAUTHORIZER)"),
        (
            Reply { protocol_version: 99, ..reply(BADPROTOVER) },
            "protocol version 24 was offered, the peer speaks 99 (BADPROTOVER)",
        ),
        (
            Reply { features: 1 << 22 | 1 << 40, ..reply(MISSING_FEATURES) },
            "the peer demands features that are not supported here: bit 22, MDS_INLINE_DATA",
        ),
        (Reply { connect_seq: 5, ..reply(READY) }, "opened connect_seq 5, 1 was expected"),
        (Reply { connect_seq: 0, ..reply(SEQ) }, "opened connect_seq 0, 1 was expected"),
        (reply(0), "garbage tag 0 in the connect reply"),
        (reply(MSG), "garbage tag 7 in the connect reply"),
        // CHALLENGE_AUTHORIZER, with no authorizer to challenge.
        (reply(16), "garbage tag 16 in the connect reply"),
        (reply(255), "garbage tag 255 in the connect reply"),
        (Reply { authorizer_len: 4097, ..reply(READY) }, "an authorizer of 4097 bytes is too long"),
        (Reply { authorizer_len: u32::MAX, ..reply(WAIT) }, "4294967295 bytes is too long"),
        (Reply { authorizer_len: 1, ..reply(READY) }, "an authorizer reply of 1 bytes came where"),
    ];
    for (reply, why) in cases {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.accept();
        wire.hellos();
        wire.read_connect();
        wire.reply(&reply);
        if reply.tag == BADAUTHORIZER {
            // A second one is asked for first.
            wire.read_connect();
            wire.reply(&reply);
        }
        wire.send(&vec![0; reply.authorizer_len.min(1) as usize]);
        let kind = if reply.tag == BADAUTHORIZER { ErrorKind::Auth } else { ErrorKind::Protocol };
        dialled.assert_ends(kind, "V1_CONNECT_MSG", why);
    }
}

/// Each round costs the client a connect message; it does not go on for ever.
#[test]
fn retries_without_end() {
    let acceptor = Acceptor::new();
    let dialled = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.accept();
    wire.hellos();
    let mut last = 0;
    let rounds = (1..1000)
        .find(|round| {
            let Ok(start) = wire.try_recv(33) else { return true };
            let global_seq = u32::from_le_bytes(start[12..16].try_into().unwrap());
            assert!(global_seq > last, "global_seq {global_seq} in round {round}");
            last = global_seq + 10;
            wire.reply(&Reply { global_seq: last, ..Reply::new(RETRY_GLOBAL) });
            false
        })
        .expect("an end");
    assert!(rounds > 7, "a takeover by a 16.2.15 daemon takes seven, this were {rounds}");
    dialled.assert_ends(ErrorKind::Protocol, "V1_CONNECT_MSG", "no end of the handshake after 32");
}

/// A reply that is there before its request answers something else.
#[test]
fn a_reply_behind_the_hello() {
    let acceptor = Acceptor::new();
    let dialled = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.accept();
    let mut out = wire.hello_bytes();
    out.extend(Reply { connect_seq: 1, ..Reply::new(READY) }.bytes());
    wire.send(&out);
    let fault =
        dialled.assert_ends(ErrorKind::Protocol, "V1_BANNER", "before its request was written");
    assert_eq!(fault, Fault::ReplyBeforeRequest);
}

/// The authorizer goes out with the connect message, and its reply is read whatever the tag.
#[test]
fn an_authorizer_goes_to_the_peer_that_was_dialled_and_to_no_other() {
    let acceptor = Acceptor::new();
    let peer = acceptor.peer(Policy::LOSSY_CLIENT);
    let dialled = dial_peer(&messenger(patient()), peer, auth_none());
    let mut wire = acceptor.accept();
    wire.hellos();
    let first = wire.read_connect();
    assert_eq!((first.authorizer_protocol, first.host_type, first.protocol_version), (1, 8, 24));
    // u8 1, the name (u32 8 for client, "admin"), u64 4100.
    let mut want = vec![1, 8, 0, 0, 0, 5, 0, 0, 0];
    want.extend(b"admin");
    want.extend(4100u64.to_le_bytes());
    assert_eq!(first.authorizer, want);
    let mut retry = Reply { authorizer_len: 3, global_seq: 9, ..Reply::new(RETRY_GLOBAL) }.bytes();
    retry.extend([1, 2, 3]);
    wire.send(&retry);
    let second = wire.read_connect();
    assert_eq!((second.global_seq, &second.authorizer), (11, &want));
    wire.open(&second, true, 0);
    dialled.heards.connected();
    dialled.con.close(soon()).unwrap();
}

/// What has no place in an open session.
#[test]
fn nonsense_in_an_open_session() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let good = message(1, 4, b"front", b"data", FEATURES);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= byte;
        bytes
    };
    let too_long = |at: usize, len: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
        let crc = crc32c(&bytes[1..50]);
        bytes[50..54].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let (front, data, footer) = (54, 59, 63);
    let cases = [
        (vec![0], "bad tag 0"),
        (vec![SEQ], "bad tag 13"),
        (vec![99], "bad tag 99"),
        (with(1, 1), "bad crc of a message header"),
        (with(front, 1), "bad crc of the front of a message"),
        (with(footer + 4, 1), "bad crc of the middle of a message"),
        (with(data, 1), "bad crc of the data of a message"),
        (with(footer + 20, 1), "the sender aborted a message"),
        (too_long(1 + 22, (16 << 20) + 1), "a front of 16777217 bytes is too long"),
        (too_long(1 + 26, u32::MAX), "a middle of 4294967295 bytes is too long"),
        (too_long(1 + 30, (64 << 20) + 1), "a data of 67108865 bytes is too long"),
        (message(2, 4, b"", b"", FEATURES), "message 2 came where 1 was next"),
    ];
    for (bytes, why) in cases {
        let dialled = dial(&messenger, &acceptor);
        let mut wire = acceptor.open(true);
        wire.send(&bytes);
        dialled.assert_ends(ErrorKind::Protocol, "OPEN", why);
    }
    let dialled = dial(&messenger, &acceptor);
    acceptor.open(true).send(&[CLOSE]);
    let fault =
        dialled.assert_ends(ErrorKind::Closed, "OPEN", "the peer ended the session (CLOSE)");
    assert_eq!(fault, Fault::CloseTag);
}
