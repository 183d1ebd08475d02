//! What a listener takes in of messenger v2 before a session is open, and for how long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ceph_msgr::auth::{AuthServer, AuthorizerState, AuthorizerVerdict};
use ceph_msgr::limits;
use ceph_msgr::msgr::Policy;
use ceph_msgr::net::{Listener, Messenger, Timeouts};
use ceph_msgr::types::{EntityType, Features, UTime};

use crate::common::client::*;
use crate::common::dialler::TYPE_CLIENT;
use crate::common::frames::*;
use crate::common::logs;
use crate::common::server::*;

fn serve_v2(
    policy: Policy,
    timeouts: Timeouts,
    tune: impl FnOnce(&mut ceph_msgr::net::Acceptor),
) -> (Messenger, Listener, Heards) {
    serve_at(&[v2(LOCALHOST)], policy, timeouts, tune)
}

/// Sockets that have said nothing, in the order in which they came in.
fn silent(addr: SocketAddr, n: usize) -> Vec<V2Wire> {
    (0..n).map(|_| dial_v2(addr)).collect()
}

/// What the acceptor says first has been read, so that it knows the socket.
#[track_caller]
fn is_greeted(wire: &mut V2Wire) {
    assert_eq!(wire.recv(26), BANNER_V2);
}

/// The rest of a session, on a socket that was greeted.
#[track_caller]
fn log_in_greeted(wire: &mut V2Wire) {
    wire.send(BANNER_V2);
    wire.put(HELLO, &hello_v2(TYPE_CLIENT, wire.stream.peer_addr().unwrap()));
    wire.expect(HELLO);
    wire.put(AUTH_REQUEST, &auth_request());
    wire.expect(AUTH_DONE);
    wire.put(AUTH_SIGNATURE, &[0; 32]);
    wire.expect(AUTH_SIGNATURE);
}

#[track_caller]
fn open_greeted(wire: &mut V2Wire, nonce: u32) {
    log_in_greeted(wire);
    let ident = wire.ident(nonce, 7);
    wire.put(CLIENT_IDENT, &ident.payload());
    wire.expect(SERVER_IDENT);
}

#[test]
fn one_socket_too_many_takes_the_place_of_the_oldest_that_is_silent() {
    let (_messenger, listener, heards) =
        serve_v2(Policy::STATELESS_SERVER, patient(), |a| a.max_half_open = 4);
    let mut wires = silent(addr(&listener), 1);
    is_greeted(&mut wires[0]);
    log_in_greeted(&mut wires[0]);
    wires.extend(silent(addr(&listener), 3));
    wires[1..].iter_mut().for_each(is_greeted);
    let mut fifth = dial_v2(addr(&listener));
    is_greeted(&mut fifth);
    wires[1].wait_closed();
    assert_eq!(listener.counts().half_open, 4);
    assert_eq!((listener.counts().sockets, listener.counts().refused), (5, 1));
    // The others go on, that which is older among them.
    let ident = wires[0].ident(1, 7);
    wires[0].put(CLIENT_IDENT, &ident.payload());
    wires[0].expect(SERVER_IDENT);
    heards.accepted();
    open_greeted(&mut fifth, 2);
    heards.accepted();
}

#[test]
fn those_who_say_who_they_are_and_no_more_cannot_keep_others_out() {
    let (_messenger, listener, heards) =
        serve_v2(Policy::STATELESS_SERVER, patient(), |a| a.max_half_open = 4);
    let mut squatters = silent(addr(&listener), 4);
    squatters.iter_mut().for_each(V2Wire::log_in);
    let mut late: Vec<_> = (0..3)
        .map(|_| {
            let mut wire = dial_v2(addr(&listener));
            is_greeted(&mut wire);
            wire
        })
        .collect();
    // Two of those that were more had to go, and then the oldest of the new ones.
    squatters[..2].iter_mut().for_each(V2Wire::wait_closed);
    open_greeted(&mut late.remove(1), 9);
    heards.accepted();
}

#[test]
fn a_flood_is_taken_in_and_let_go() {
    let (_messenger, listener, _heards) =
        serve_v2(Policy::STATELESS_SERVER, patient(), |a| a.max_half_open = 8);
    let mut last = Vec::new();
    for _ in 0..10 {
        last = silent(addr(&listener), 100);
        for wire in &mut last {
            // Some are gone by now.
            let _ = std::io::Write::write_all(&mut wire.stream, &BANNER_V2[..]);
        }
        assert!(listener.counts().half_open <= 8);
    }
    until("all have come in", || listener.counts().sockets == 1000);
    drop(last);
    until("all have gone", || listener.counts().half_open == 0);
    listener.close(soon()).unwrap();
}

#[test]
fn a_full_listener_refuses_new_sessions_and_lets_peers_come_back_to_theirs() {
    let (_messenger, listener, heards) =
        serve_v2(Policy::STATEFUL_SERVER, patient(), |a| a.max_connections = 1);
    let mut first = dial_v2(addr(&listener));
    first.log_in();
    let ident = Ident { flags: 0, cookie: 99, ..first.ident(1, 7) };
    first.put(CLIENT_IDENT, &ident.payload());
    let answer = first.expect(SERVER_IDENT);
    let server_cookie = u64_at(answer.payload(), answer.payload().len() - 8);
    assert_ne!(server_cookie, 0);
    heards.accepted();
    let mut second = dial_v2(addr(&listener));
    second.log_in();
    let other = Ident { flags: 0, cookie: 98, ..second.ident(2, 7) };
    second.put(CLIENT_IDENT, &other.payload());
    second.wait_closed();
    assert_eq!((listener.counts().refused, listener.counts().connections), (1, 1));
    // The first one lost its socket, and its session is still there.
    drop(first);
    let mut again = dial_v2(addr(&listener));
    again.log_in();
    let mut reconnect = addrvec(&[addr_v2(ident.addr, 1)]);
    // Cookies, global_seq, connect_seq, msg_seq.
    [99, server_cookie, 2, 1, 0].iter().for_each(|n: &u64| reconnect.extend(n.to_le_bytes()));
    again.put(SESSION_RECONNECT, &reconnect);
    assert_eq!(again.expect(SESSION_RECONNECT_OK).payload(), 0u64.to_le_bytes());
    heards.accepted();
    listener.close(soon()).unwrap();
}

/// Who says a little, and no more, is given up; the log names the step.
#[test]
fn a_handshake_has_its_time() {
    logs::capture(log::LevelFilter::Debug);
    let timeouts = Timeouts { handshake: Duration::from_millis(1500), ..patient() };
    let (_messenger, listener, heards) = serve_v2(Policy::STATELESS_SERVER, timeouts, |_| {});
    let at = addr(&listener);
    type Script = fn(&mut V2Wire);
    let steps: &[(&str, Script)] = &[
        ("banner", |_| {}),
        ("banner", |w| w.send(&BANNER_V2[..9])),
        ("banner", |w| w.send(&BANNER_V2[..25])),
        ("HELLO", |w| w.send(BANNER_V2)),
        ("HELLO", |w| {
            w.send(BANNER_V2);
            w.send(&preamble(HELLO, &[36]));
            w.send(&[8; 35]);
        }),
        ("AUTH_REQUEST", |w| drop(w.hellos_v2(TYPE_CLIENT))),
        ("AUTH_REQUEST", |w| {
            w.hellos_v2(TYPE_CLIENT);
            // GSS, which is not taken here.
            let mut request = auth_request();
            request[0] = 4;
            w.put(AUTH_REQUEST, &request);
            w.expect(AUTH_BAD_METHOD);
        }),
        ("AUTH_SIGNATURE", |w| {
            w.hellos_v2(TYPE_CLIENT);
            w.put(AUTH_REQUEST, &auth_request());
            w.expect(AUTH_DONE);
        }),
        ("CLIENT_IDENT or SESSION_RECONNECT", |w| w.log_in()),
        ("CLIENT_IDENT or SESSION_RECONNECT", |w| {
            w.log_in();
            let ident = frame(CLIENT_IDENT, &[&w.ident(1, 7).payload()]);
            w.send(&ident[..ident.len() - 1]);
        }),
    ];
    let mut all = Vec::new();
    for (step, script) in steps {
        let mut wire = dial_v2(at);
        script(&mut wire);
        all.push((wire, step));
    }
    for (mut wire, step) in all {
        let from = format!("{}: ", wire.stream.local_addr().unwrap());
        wire.wait_closed();
        until("the log tells", || logs::count(&from, "in time") == 1);
        assert_eq!(logs::count(&from, &format!("no {step} in time")), 1, "{step}");
    }
    until("nothing is left", || listener.counts().half_open == 0);
    assert_eq!(listener.counts().connections, 0);
    assert!(heards.rest().is_empty());
}

/// The dialler closes at each single byte of its handshake: nothing is left of it, and nobody hears.
#[test]
fn who_goes_at_any_byte_of_the_handshake_leaves_nothing() {
    let (_messenger, listener, heards) = serve_v2(Policy::STATELESS_SERVER, patient(), |_| {});
    let mut all = Vec::new();
    let mut wire = dial_v2(addr(&listener));
    let hello = frame(HELLO, &[&hello_v2(TYPE_CLIENT, addr(&listener))]);
    let request = frame(AUTH_REQUEST, &[&auth_request()]);
    let signature = frame(AUTH_SIGNATURE, &[&[0; 32]]);
    let ident = frame(CLIENT_IDENT, &[&wire.ident(1, 7).payload()]);
    // A dialler that is in haste: all of it at once is taken too.
    for piece in [&BANNER_V2[..], &hello, &request, &signature, &ident] {
        all.extend(piece);
    }
    for n in 0..all.len() {
        let mut wire = dial_v2(addr(&listener));
        wire.send(&all[..n]);
    }
    until("all have come in", || listener.counts().sockets == 1 + all.len() as u64);
    until("all have gone", || listener.counts().half_open == 1);
    assert!(heards.rest().is_empty());
    wire.send(&all);
    assert_eq!(wire.recv(26), BANNER_V2);
    for tag in [HELLO, AUTH_DONE, AUTH_SIGNATURE, SERVER_IDENT] {
        wire.expect(tag);
    }
    heards.accepted();
    listener.close(soon()).unwrap();
}

/// Closing ends sockets at every step, sessions, and waits for both.
#[test]
fn close_ends_half_open_sockets_at_each_step() {
    let (messenger, listener, heards) = serve_v2(Policy::STATEFUL_SERVER, patient(), |_| {});
    let mut wires = silent(addr(&listener), 5);
    is_greeted(&mut wires[0]);
    wires[1].send(BANNER_V2);
    is_greeted(&mut wires[1]);
    wires[1].expect(HELLO);
    wires[2].hellos_v2(TYPE_CLIENT);
    wires[3].log_in();
    wires[4].open_session_v2(1, 7);
    heards.accepted();
    let at = addr(&listener);
    listener.close(soon()).unwrap();
    assert_eq!(messenger.connections(), 0);
    wires.iter_mut().for_each(V2Wire::wait_closed);
    assert!(std::net::TcpStream::connect(at).is_err(), "nobody listens any more");
    assert!(heards.rest().is_empty(), "who closes is not told of it");
}

/// What has no place where the handshake is costs the socket, before there is memory for it.
#[test]
fn nonsense_of_a_dialler_costs_its_socket() {
    let (_messenger, listener, heards) = serve_v2(Policy::STATELESS_SERVER, patient(), |_| {});
    let at = addr(&listener);
    let banner = |len: u16, required: u64| {
        let mut out = b"ceph v2\n".to_vec();
        out.extend(len.to_le_bytes());
        out.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(required.to_le_bytes());
        out
    };
    for bytes in [
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"ceph v2\r".to_vec(),
        banner(4097, 0),
        banner(16, 1 << 63),
        banner(15, 0),
    ] {
        let mut wire = dial_v2(at);
        wire.send(&bytes);
        wire.wait_closed();
    }
    let too_long = limits::FRAME_MAX_UNAUTHENTICATED_LEN + 1;
    let message = message_v2(1, 42, b"too early", b"");
    let first = [
        frame(AUTH_REQUEST, &[&auth_request()]),
        preamble(HELLO, &[too_long]),
        preamble(HELLO, &[u32::MAX]),
        preamble(HELLO, &[1, 1]),
        message.clone(),
        preamble(MESSAGE, &[41, 16 << 20, 0, 64 << 20]),
        frame(HELLO, &[&[8]]),
        vec![0xff; 32],
    ];
    for bytes in &first {
        let mut wire = dial_v2(at);
        wire.send(BANNER_V2);
        wire.send(bytes);
        wire.wait_closed();
    }
    let wrong = {
        let mut bytes = frame(AUTH_REQUEST, &[&auth_request()]);
        bytes[40] ^= 1;
        bytes
    };
    let second = [
        message.clone(),
        frame(CLIENT_IDENT, &[&dial_v2(at).ident(1, 7).payload()]),
        frame(AUTH_SIGNATURE, &[&[0; 32]]),
        frame(AUTH_REQUEST_MORE, &[&[0; 4]]),
        preamble(AUTH_REQUEST, &[too_long]),
        wrong,
    ];
    for bytes in &second {
        let mut wire = dial_v2(at);
        wire.hellos_v2(TYPE_CLIENT);
        wire.send(bytes);
        wire.wait_closed();
    }
    let mut wire = dial_v2(at);
    wire.hellos_v2(TYPE_CLIENT);
    wire.put(AUTH_REQUEST, &auth_request());
    wire.expect(AUTH_DONE);
    wire.put(AUTH_SIGNATURE, &[1; 32]);
    wire.wait_closed();
    for bytes in [message, frame(HELLO, &[&[8]]), preamble(CLIENT_IDENT, &[too_long])] {
        let mut wire = dial_v2(at);
        wire.log_in();
        wire.send(&bytes);
        wire.wait_closed();
    }
    until("nothing is left", || listener.counts().half_open == 0);
    assert!(heards.rest().is_empty());
    // Of a session that is open larger control frames are read, and sparse ones refused.
    let mut wire = dial_v2(at);
    wire.open_session_v2(1, 7);
    heards.accepted();
    wire.send(&preamble(ACK_V2, &[limits::FRAME_MAX_CONTROL_LEN + 1]));
    wire.wait_closed();
    heards.reset();
    listener.close(soon()).unwrap();
}

/// A dialler that never comes to an end: of methods, of idents.
#[test]
fn endless_handshakes_end() {
    let (_messenger, listener, _heards) = serve_v2(Policy::STATELESS_SERVER, patient(), |a| {
        a.auth_server = Arc::new(ceph_msgr::auth::AuthNoneAuthorizeHandler);
    });
    let mut wire = dial_v2(addr(&listener));
    wire.hellos_v2(TYPE_CLIENT);
    let mut request = auth_request();
    request[0] = 4;
    let answered = (0..1000)
        .find(|_| {
            use std::io::Write as _;
            let sent = wire.stream.write_all(&frame(AUTH_REQUEST, &[&request]));
            sent.is_err() || wire.try_frame().is_err()
        })
        .expect("an end");
    assert!((3..=limits::MAX_AUTH_REQUESTS).contains(&answered), "{answered}");
    let mut wire = dial_v2(addr(&listener));
    wire.log_in();
    // Without MSG_ADDR2, which every frame of v2 is made with.
    let ident = Ident { features: 1, ..wire.ident(1, 7) };
    let answered = (0..1000)
        .find(|_| {
            use std::io::Write as _;
            let sent = wire.stream.write_all(&frame(CLIENT_IDENT, &[&ident.payload()]));
            sent.is_err() || wire.try_frame().is_err()
        })
        .expect("an end");
    assert!((3..=limits::MAX_CONNECT_ROUNDS).contains(&answered), "{answered}");
    until("nothing is left", || listener.counts().half_open == 0);
    listener.close(soon()).unwrap();
}

/// Panics at the first authorizer that it sees.
#[derive(Debug)]
struct Panics;

impl AuthServer for Panics {
    fn verify_authorizer(
        &self,
        _: &mut AuthorizerState,
        _: u32,
        _: &[u8],
        _: Features,
        _: UTime,
    ) -> AuthorizerVerdict {
        panic!("a check of authorizers that is wrong");
    }

    fn supported_methods(&self, _: EntityType) -> Vec<u32> {
        vec![1]
    }
}

#[test]
fn a_check_of_authorizers_that_panics_costs_its_socket_alone() {
    let (_messenger, listener, _heards) =
        serve_v2(Policy::STATELESS_SERVER, patient(), |a| a.auth_server = Arc::new(Panics));
    for _ in 0..3 {
        let mut wire = dial_v2(addr(&listener));
        wire.hellos_v2(TYPE_CLIENT);
        wire.put(AUTH_REQUEST, &auth_request());
        wire.wait_closed();
    }
    until("nothing is left", || listener.counts().half_open == 0);
    listener.close(soon()).unwrap();
}
