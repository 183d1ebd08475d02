//! A lossless session of messenger v2 over real sockets that are cut again and again: every message
//! arrives once and in order.

use std::net::Shutdown;
use std::time::Duration;

use ceph_msgr::msgr::{ConState, Fault, Message, Policy};
use ceph_msgr::net::{Connection, Deadline, Messenger, Timeouts};

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::dialler::TYPE_OSD;
use crate::common::frames::*;

fn dial(messenger: &Messenger, acceptor: &Acceptor) -> (Connection, Heards) {
    let (dispatcher, heards) = recorder();
    let peer = acceptor.peer_v2(Policy::LOSSLESS_CLIENT);
    let con = messenger.connect(peer, auth_none(), dispatcher).expect("a thread");
    (con, heards)
}

fn numbered(n: u64) -> Message {
    Message::new(1, n.to_le_bytes().to_vec())
}

/// SESSION_RECONNECT: the cookie of `V2Wire::open_v2`, connect_seq and msg_seq.
#[track_caller]
fn asked(acceptor: &Acceptor) -> (V2Wire, [u64; 3]) {
    let mut wire = acceptor.accept_v2();
    wire.let_in(TYPE_OSD);
    let asked = wire.expect(SESSION_RECONNECT);
    let at = asked.payload().len() - 40;
    let [_, server_cookie, _, connect_seq, msg_seq] =
        [0, 8, 16, 24, 32].map(|n| u64_at(asked.payload(), at + n));
    (wire, [server_cookie, connect_seq, msg_seq])
}

/// The next socket of a session that was open before; `in_seq` is what the acceptor has of it.
#[track_caller]
fn reopen(acceptor: &Acceptor, connect_seq: u64, in_seq: u64) -> (V2Wire, u64) {
    let (mut wire, [cookie, connect, msg_seq]) = asked(acceptor);
    assert_eq!((cookie, connect), (77, connect_seq));
    wire.put(SESSION_RECONNECT_OK, &in_seq.to_le_bytes());
    (wire, msg_seq)
}

#[track_caller]
fn seq_of(frame: &V2Frame) -> u64 {
    assert_eq!(frame.tag, MESSAGE);
    u64_at(&frame.segments[0], 0)
}

/// The socket is cut after each byte of what the client sends.
#[test]
fn what_is_sent_arrives_once_wherever_the_socket_is_cut() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    // Preamble, header and its crc, front, epilogue.
    let len = 32 + 45 + 8 + 13;
    for cut in 0..=3 * len {
        let (con, _heards) = dial(&messenger, &acceptor);
        let mut wire = acceptor.open_v2(false);
        for n in 1..=3 {
            con.send(numbered(n)).unwrap();
        }
        wire.recv(cut);
        drop(wire);
        let had = (cut / len) as u64;
        let (mut wire, _) = reopen(&acceptor, 1, had);
        con.send(numbered(4)).unwrap();
        for n in had + 1..=4 {
            let msg = wire.expect(MESSAGE);
            assert_eq!((seq_of(&msg), &msg.segments[1][..]), (n, &n.to_le_bytes()[..]), "{cut}");
        }
        con.close(soon()).unwrap();
        assert!(wire.try_frame().is_err());
    }
}

/// The socket is cut after each byte of what the peer sends; it goes on with what the client says it
/// has.
#[test]
fn what_is_received_is_told_once_wherever_the_socket_is_cut() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let all: Vec<u8> =
        (1..=3u64).flat_map(|n| message_v2(n, 4, &n.to_le_bytes(), b"some data")).collect();
    for cut in 0..=all.len() {
        let (con, heards) = dial(&messenger, &acceptor);
        let mut wire = acceptor.open_v2(false);
        // Never acknowledged: the client has a reason to dial again.
        con.send(numbered(1)).unwrap();
        assert_eq!(seq_of(&wire.expect(MESSAGE)), 1);
        wire.send(&all[..cut]);
        wire.stream.shutdown(Shutdown::Write).unwrap();
        let (mut next, has) = reopen(&acceptor, 1, 1);
        assert_eq!(has, (cut * 3 / all.len()) as u64, "cut at {cut}");
        next.send(&all[has as usize * all.len() / 3..]);
        let numbers: Vec<_> = std::iter::repeat_with(|| heards.next())
            .filter_map(|heard| match heard {
                Heard::Message(msg) => Some(msg.front[0]),
                Heard::Connected => None,
                other => panic!("{other:?}"),
            })
            .take(3)
            .collect();
        assert_eq!(numbers, [1, 2, 3], "cut at {cut}");
        con.close(soon()).unwrap();
        assert!(!heards.rest().iter().any(|h| matches!(h, Heard::Message(_))));
    }
}

/// Of a message with nothing in it there is neither a second segment nor an epilogue.
#[test]
fn an_empty_message_is_one_segment() {
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.open_v2(false);
    heards.connected();
    con.send(Message::new(5, vec![])).unwrap();
    let msg = wire.expect(MESSAGE);
    assert_eq!((msg.segments.len(), msg.raw.len()), (1, 32 + 45));
    wire.send(&frame(MESSAGE, &[&message_v2(1, 6, b"?", b"")[32..73]]));
    let heard = heards.message();
    assert_eq!((heard.header.msg_type, heard.front.len()), (6, 0));
    con.close(soon()).unwrap();
}

#[test]
fn an_idle_session_stands_by_and_wakes() {
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.open_v2(false);
    con.send(numbered(1)).unwrap();
    wire.expect(MESSAGE);
    wire.put(ACK_V2, &1u64.to_le_bytes());
    con.acked(soon()).unwrap();
    drop(wire);
    until("the session stands by", || con.state() == ConState::Standby);
    for wait in [Connection::wait_open, Connection::flush, Connection::acked] {
        wait(&con, Deadline::after(Duration::ZERO)).unwrap();
    }
    // A message wakes it, and the socket is cut before that arrives.
    con.send(numbered(2)).unwrap();
    drop(reopen(&acceptor, 1, 1));
    let (mut wire, _) = reopen(&acceptor, 2, 1);
    assert_eq!(seq_of(&wire.expect(MESSAGE)), 2);
    // The ack comes with an answer as well.
    let mut answer = message_v2(1, 4, b"front", b"");
    answer[32 + 28] = 2;
    let crc = crc32c_from(u32::MAX, &answer[32..73]).to_le_bytes();
    answer[73..77].copy_from_slice(&crc);
    wire.send(&answer);
    con.acked(soon()).unwrap();
    wire.expect(ACK_V2);
    drop(wire);
    until("the session stands by", || con.state() == ConState::Standby);
    // A keepalive does as well.
    con.keepalive();
    let (mut wire, has) = reopen(&acceptor, 3, 2);
    assert_eq!(has, 1);
    wire.expect(KEEPALIVE2_V2);
    con.close(soon()).unwrap();
    let rest = heards.rest();
    assert!(rest.iter().all(|h| matches!(h, Heard::Connected | Heard::Message(_))), "{rest:?}");
    assert_eq!((con.counters().opened, con.counters().faults), (4, 3));
}

/// SESSION_RESET of either kind, and CLIENT_IDENT on the same socket.
#[test]
fn a_peer_that_lost_the_session_is_told_of() {
    for full in [true, false] {
        let acceptor = Acceptor::new();
        let (con, heards) = dial(&messenger(patient()), &acceptor);
        let mut wire = acceptor.open_v2(false);
        con.send(numbered(1)).unwrap();
        assert_eq!(seq_of(&wire.expect(MESSAGE)), 1);
        wire.send(&message_v2(1, 4, b"front", b""));
        heards.connected();
        heards.message();
        drop(wire);
        let (mut wire, _) = asked(&acceptor);
        wire.put(SESSION_RESET, &[full.into()]);
        wire.expect(CLIENT_IDENT);
        let addrs = [addr_v2(acceptor.addr(), 0)];
        wire.put(SERVER_IDENT, &server_ident(&addrs, 3, 0, 78));
        if full {
            let heard = heards.next();
            assert!(matches!(heard, Heard::RemoteReset), "{heard:?}");
            // What had not been acknowledged is gone, and the owner knows.
            con.acked(soon()).unwrap();
        }
        heards.connected();
        con.send(numbered(7)).unwrap();
        let rest: &[u64] = if full { &[7] } else { &[1, 7] };
        for (seq, n) in (1..).zip(rest) {
            let msg = wire.expect(MESSAGE);
            assert_eq!((seq_of(&msg), &msg.segments[1][..]), (seq, &n.to_le_bytes()[..]));
        }
        wire.send(&message_v2(1, 4, b"anew", b""));
        assert_eq!(&heards.message().front[..], b"anew");
        con.close(soon()).unwrap();
    }
}

/// SESSION_RETRY and SESSION_RETRY_GLOBAL: higher numbers, on the same socket.
#[test]
fn a_peer_that_asks_for_higher_numbers_gets_them() {
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.open_v2(false);
    heards.connected();
    con.send(numbered(1)).unwrap();
    wire.expect(MESSAGE);
    drop(wire);
    let (mut wire, [_, first, _]) = asked(&acceptor);
    assert_eq!(first, 1);
    wire.put(SESSION_RETRY, &9u64.to_le_bytes());
    let again = wire.expect(SESSION_RECONNECT);
    let at = again.payload().len() - 24;
    let (global_seq, connect_seq) = (u64_at(again.payload(), at), u64_at(again.payload(), at + 8));
    assert_eq!(connect_seq, 10);
    wire.put(SESSION_RETRY_GLOBAL, &(global_seq + 100).to_le_bytes());
    let again = wire.expect(SESSION_RECONNECT);
    assert!(u64_at(again.payload(), at) > global_seq + 100);
    assert_eq!(u64_at(again.payload(), at + 8), 10);
    wire.put(SESSION_RECONNECT_OK, &0u64.to_le_bytes());
    heards.connected();
    assert_eq!(seq_of(&wire.expect(MESSAGE)), 1);
    con.close(soon()).unwrap();
}

/// A peer that has more than was sent is mad; one that never says anything is not waited for.
#[test]
fn an_answer_that_cannot_be_is_a_fault_and_the_session_tries_again() {
    let acceptor = Acceptor::new();
    let (con, _heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.open_v2(false);
    con.send(numbered(1)).unwrap();
    wire.expect(MESSAGE);
    drop(wire);
    let (mut wire, _) = asked(&acceptor);
    wire.put(SESSION_RECONNECT_OK, &u64::MAX.to_le_bytes());
    wire.wait_closed();
    assert_eq!(con.counters().last_fault, Some(Fault::BadSeq(u64::MAX)));
    let (mut wire, _) = asked(&acceptor);
    wire.put(SESSION_RECONNECT_OK, &0u64.to_le_bytes());
    assert_eq!(seq_of(&wire.expect(MESSAGE)), 1);
    con.close(soon()).unwrap();
}

#[test]
fn what_comes_is_acknowledged() {
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.open_v2(false);
    heards.connected();
    wire.send(&message_v2(1, 4, b"front", b""));
    assert_eq!(wire.expect(ACK_V2).payload(), 1u64.to_le_bytes());
    heards.message();
    wire.send(&[message_v2(2, 4, b"front", b""), message_v2(3, 4, b"", b"data")].concat());
    let last = (0..2).map(|_| u64_at(wire.expect(ACK_V2).payload(), 0)).find(|seq| *seq == 3);
    assert_eq!(last, Some(3), "one ack for both, or one for each");
    con.close(soon()).unwrap();
}

/// A silent peer is asked, and its socket left; what was not acknowledged comes again.
#[test]
fn a_session_leaves_a_silent_socket() {
    let acceptor = Acceptor::new();
    let messenger = messenger(Timeouts {
        keepalive: Some(Duration::from_millis(20)),
        keepalive_timeout: Duration::from_millis(500),
        ..patient()
    });
    let (con, heards) = dial(&messenger, &acceptor);
    let mut wire = acceptor.open_v2(false);
    con.send(numbered(1)).unwrap();
    let mut asked = 0;
    while let Ok(frame) = wire.try_frame() {
        asked += u32::from(frame.tag == KEEPALIVE2_V2);
    }
    assert!(asked > 1, "asked {asked} times");
    let (mut wire, _) = reopen(&acceptor, 1, 0);
    let fault = con.counters().last_fault;
    assert_eq!(fault, Some(Fault::TimedOut("answer to keepalives")));
    loop {
        let frame = wire.frame();
        match frame.tag {
            KEEPALIVE2_V2 => wire.put(KEEPALIVE2_ACK_V2, frame.payload()),
            _ => break assert_eq!(seq_of(&frame), 1),
        }
    }
    heards.connected();
    heards.connected();
    con.close(soon()).unwrap();
}
