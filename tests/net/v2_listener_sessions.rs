//! Whose session a socket of messenger v2 becomes, told byte by byte by a dialler that is not ours.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ceph_msgr::auth::AuthNoneAuthorizer;
use ceph_msgr::msgr::{Options, Peer, Policy};
use ceph_msgr::net::{Listener, Messenger};
use ceph_msgr::types::{EntityName, EntityType, GlobalId};

use crate::common::client::*;
use crate::common::frames::*;
use crate::common::server::*;

fn serve_v2(policy: Policy) -> (Messenger, Listener, Heards) {
    serve_at(&[v2(LOCALHOST)], policy, patient(), |_| {})
}

const COOKIE: u64 = 99;

/// What a dialler knows of its session.
#[derive(Clone, Copy, Debug)]
struct Session {
    addr: SocketAddr,
    server_cookie: u64,
}

/// A lossless session, and its socket.
#[track_caller]
fn open(listener: &Listener) -> (V2Wire, Session) {
    let mut wire = dial_v2(addr(listener));
    wire.log_in();
    let ident = Ident { flags: 0, cookie: COOKIE, global_seq: 5, ..wire.ident(1, 7) };
    wire.put(CLIENT_IDENT, &ident.payload());
    let answer = wire.expect(SERVER_IDENT);
    // Its end: flags, cookie.
    let at = answer.payload().len() - 16;
    assert_eq!(u64_at(answer.payload(), at), 0, "lossless");
    let server_cookie = u64_at(answer.payload(), at + 8);
    assert_ne!(server_cookie, 0);
    (wire, Session { addr: ident.addr, server_cookie })
}

impl Session {
    /// SESSION_RECONNECT under these numbers: client cookie, global_seq, connect_seq, msg_seq.
    fn reconnect(&self, [cookie, global_seq, connect_seq, msg_seq]: [u64; 4]) -> Vec<u8> {
        let mut out = addrvec(&[addr_v2(self.addr, 1)]);
        for n in [cookie, self.server_cookie, global_seq, connect_seq, msg_seq] {
            out.extend(n.to_le_bytes());
        }
        out
    }
}

#[track_caller]
fn ask(listener: &Listener, request: &[u8]) -> (V2Wire, V2Frame) {
    let mut wire = dial_v2(addr(listener));
    wire.log_in();
    wire.put(SESSION_RECONNECT, request);
    let answer = wire.frame();
    (wire, answer)
}

#[test]
fn a_session_goes_on_where_its_last_socket_ended() {
    let (_messenger, listener, heards) = serve_v2(Policy::STATEFUL_SERVER);
    let (mut wire, session) = open(&listener);
    heards.accepted();
    let con = only(&listener);
    for n in 1..=3 {
        con.send(msg(&[n])).unwrap();
        assert_eq!(wire.expect(MESSAGE).segments[1], [n]);
    }
    for n in 1..=2u8 {
        wire.send(&message_v2(n.into(), 42, &[n], b""));
        assert_eq!(heards.message().front[..], [n]);
    }
    // The old socket is still there: its peer knows that it is gone, and this side need not.
    let (mut again, answer) = ask(&listener, &session.reconnect([COOKIE, 6, 1, 1]));
    assert_eq!((answer.tag, answer.payload()), (SESSION_RECONNECT_OK, &2u64.to_le_bytes()[..]));
    wire.wait_closed();
    heards.accepted();
    // It has the first alone.
    for n in [2u8, 3] {
        let again = again.expect(MESSAGE);
        assert_eq!((u64_at(&again.segments[0], 0), &again.segments[1][..]), (n.into(), &[n][..]));
    }
    again.send(&message_v2(3, 42, &[3], b""));
    assert_eq!(heards.message().front[..], [3]);
    assert_eq!(only(&listener).id(), con.id());
    assert_eq!(con.counters().opened, 2);
    drop(con);
    listener.close(soon()).unwrap();
}

#[test]
fn numbers_that_are_too_low_are_answered_and_the_dialler_may_try_again() {
    let (_messenger, listener, heards) = serve_v2(Policy::STATEFUL_SERVER);
    let (wire, session) = open(&listener);
    heards.accepted();
    drop(wire);
    let (_first, answer) = ask(&listener, &session.reconnect([COOKIE, 6, 3, 0]));
    assert_eq!(answer.tag, SESSION_RECONNECT_OK);
    heards.accepted();
    let (mut late, answer) = ask(&listener, &session.reconnect([COOKIE, 5, 4, 0]));
    assert_eq!((answer.tag, answer.payload()), (SESSION_RETRY_GLOBAL, &6u64.to_le_bytes()[..]));
    late.put(SESSION_RECONNECT, &session.reconnect([COOKIE, 7, 2, 0]));
    let answer = late.expect(SESSION_RETRY);
    assert_eq!(answer.payload(), 3u64.to_le_bytes());
    late.put(SESSION_RECONNECT, &session.reconnect([COOKIE, 8, 4, 0]));
    late.expect(SESSION_RECONNECT_OK);
    heards.accepted();
    listener.close(soon()).unwrap();
}

#[test]
fn a_session_that_is_not_there_is_reset_and_begins_anew_on_that_socket() {
    let (_messenger, listener, heards) = serve_v2(Policy::STATEFUL_SERVER);
    let (wire, session) = open(&listener);
    heards.accepted();
    let con = only(&listener);
    con.send(msg(b"lost")).unwrap();
    // Another cookie: a client that has been started again.
    let (mut other, answer) = ask(&listener, &session.reconnect([COOKIE + 1, 6, 1, 0]));
    assert_eq!((answer.tag, answer.payload()), (SESSION_RESET, &[1][..]));
    let ident = Ident {
        flags: 0,
        cookie: COOKIE + 1,
        global_seq: 7,
        addr: session.addr,
        ..other.ident(1, 7)
    };
    other.put(CLIENT_IDENT, &ident.payload());
    other.expect(SERVER_IDENT);
    drop(wire);
    // It is told of the reset, and then of the new session.
    let told = [heards.next(), heards.next()];
    assert!(matches!(told, [Heard::RemoteReset, Heard::Accepted]), "{told:?}");
    con.send(msg(b"new")).unwrap();
    let first = other.expect(MESSAGE);
    assert_eq!((u64_at(&first.segments[0], 0), &first.segments[1][..]), (1, &b"new"[..]));
    // Nobody has ever had a session at that address.
    let nobody = Session { addr: "127.0.0.1:1".parse().unwrap(), ..session };
    let (_other, answer) = ask(&listener, &nobody.reconnect([COOKIE, 8, 1, 0]));
    assert_eq!((answer.tag, answer.payload()), (SESSION_RESET, &[1][..]));
    drop(con);
    listener.close(soon()).unwrap();
}

#[test]
fn a_stranger_at_the_same_address_does_not_get_the_session() {
    let (_messenger, listener, heards) = serve_v2(Policy::STATEFUL_SERVER);
    let (mut wire, session) = open(&listener);
    heards.accepted();
    let hers = only(&listener);
    let mut thief = dial_v2(addr(&listener));
    thief.hellos_v2(8);
    // Another name than `client.admin`, of the same length.
    let mut request = auth_request();
    let at = request.windows(5).position(|w| w == b"admin").unwrap();
    request[at..at + 5].copy_from_slice(b"thief");
    thief.put(AUTH_REQUEST, &request);
    thief.expect(AUTH_DONE);
    thief.put(AUTH_SIGNATURE, &[0; 32]);
    thief.expect(AUTH_SIGNATURE);
    thief.put(SESSION_RECONNECT, &session.reconnect([COOKIE, 6, 1, 0]));
    thief.expect(SESSION_RESET);
    let ident =
        Ident { flags: 0, cookie: COOKIE, global_seq: 7, addr: session.addr, ..thief.ident(1, 7) };
    thief.put(CLIENT_IDENT, &ident.payload());
    thief.expect(SERVER_IDENT);
    heards.accepted();
    assert_eq!(listener.counts().connections, 2);
    hers.send(msg(b"hers")).unwrap();
    assert_eq!(wire.expect(MESSAGE).segments[1], b"hers");
    assert!(heards.rest().is_empty());
    listener.close(soon()).unwrap();
}

#[test]
fn numbers_from_nowhere_cost_the_socket() {
    let (_messenger, listener, heards) = serve_v2(Policy::STATEFUL_SERVER);
    let (mut wire, session) = open(&listener);
    heards.accepted();
    for numbers in [
        [COOKIE, u64::MAX, 1, 0],
        [COOKIE, 6, u64::MAX, 0],
        [COOKIE, 6, u32::MAX.into(), 0],
        [COOKIE, 6, 1, u64::MAX],
    ] {
        let mut other = dial_v2(addr(&listener));
        other.log_in();
        other.put(SESSION_RECONNECT, &session.reconnect(numbers));
        other.wait_closed();
    }
    // The session has not noticed.
    wire.send(&message_v2(1, 42, b"still", b""));
    assert_eq!(heards.message().front[..], *b"still");
    listener.close(soon()).unwrap();
}

/// It does not know its IP address before its peer has told it, and is found by it all the same.
#[test]
fn who_listens_everywhere_keeps_its_port_and_its_sessions() {
    let policy = Policy::LOSSLESS_PEER_REUSE;
    let (_theirs, listener, heards) = serve_v2(policy);
    let name = EntityName::new(EntityType::OSD, 4);
    let messenger = Messenger::with_nonce(name, 99, Options::default(), patient());
    let (dispatcher, _) = recorder();
    let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let own = messenger.bind(&[v2(anywhere), v1(anywhere)], acceptor(dispatcher)).unwrap();
    let (dispatcher, client) = recorder();
    let name = EntityName::new(EntityType::OSD, 3);
    let peer = Peer { name, addr: listener.addrs()[0], policy };
    let auth =
        AuthNoneAuthorizer { name: "osd.4".parse().expect("a name"), global_id: GlobalId(0) };
    let con = messenger.connect_to(peer, Arc::new(auth), dispatcher).expect("a thread");
    let next = || loop {
        match heards.next() {
            Heard::Message(msg) => break msg,
            Heard::Accepted => {}
            other => panic!("{other:?}"),
        }
    };
    for n in 1..=3u8 {
        con.send(msg(&[n])).unwrap();
        assert_eq!(next().front[..], [n]);
        con.inject_socket_failure();
    }
    con.send(msg(&[4])).unwrap();
    assert_eq!(next().front[..], [4]);
    con.acked(soon()).unwrap();
    let seen = only(&listener).peer().addr;
    assert_eq!((seen.port(), seen.nonce), (own.addrs()[0].port(), 99));
    assert_eq!(seen.sockaddr.map(|a| a.ip()), Some(Ipv4Addr::LOCALHOST.into()));
    assert!(client.rest().iter().all(|h| matches!(h, Heard::Connected | Heard::Accepted)));
    messenger.shutdown(soon()).unwrap();
}
