//! A lossless session over real sockets that are cut again and again: every message arrives once and
//! in order.

use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::common::acceptor::*;
use crate::common::client::*;
use ceph_msgr::msgr::{ConState, Message, Policy};
use ceph_msgr::net::{Connection, Deadline, Messenger};

fn dial(messenger: &Messenger, acceptor: &Acceptor) -> (Connection, Heards) {
    let (dispatcher, heards) = recorder();
    let peer = acceptor.peer(Policy::LOSSLESS_CLIENT);
    let con = messenger.connect(peer, no_auth(), dispatcher).expect("a thread");
    (con, heards)
}

fn numbered(n: u64) -> Message {
    Message::new(1, n.to_le_bytes().to_vec())
}

fn send_numbered(con: &Connection, last: u64) {
    for n in 1..=last {
        con.send(numbered(n)).unwrap();
    }
}

/// The next socket of a session that was open before: what its connect message says is checked.
#[track_caller]
fn reopen(acceptor: &Acceptor, connect_seq: u32, in_seq: u64) -> (Wire, u64) {
    let mut wire = acceptor.accept();
    wire.hellos();
    let connect = wire.read_connect();
    assert_eq!(connect.connect_seq, connect_seq);
    let theirs = wire.open(&connect, false, in_seq);
    (wire, theirs)
}

/// The socket is cut after each byte of what the client sends.
#[test]
fn what_is_sent_arrives_once_wherever_the_socket_is_cut() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    // Tag, header, front, footer.
    let len = 1 + 53 + 8 + 21;
    for cut in 0..=3 * len {
        let (con, _heards) = dial(&messenger, &acceptor);
        let mut wire = acceptor.open(false);
        send_numbered(&con, 3);
        wire.recv(cut);
        drop(wire);
        let had = (cut / len) as u64;
        let (mut wire, _) = reopen(&acceptor, 2, had);
        con.send(numbered(4)).unwrap();
        for n in had + 1..=4 {
            let msg = wire.msg();
            assert_eq!((msg.seq, &msg.front[..]), (n, &n.to_le_bytes()[..]), "cut at {cut}");
        }
        con.close(soon()).unwrap();
        assert_eq!(wire.try_recv(1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

/// The socket is cut after each byte of what the peer sends; it goes on with what the client says it
/// has.
#[test]
fn what_is_received_is_told_once_wherever_the_socket_is_cut() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    let all: Vec<u8> =
        (1..=3u64).flat_map(|n| message(n, 4, &n.to_le_bytes(), b"some data", FEATURES)).collect();
    for cut in 0..=all.len() {
        let (con, heards) = dial(&messenger, &acceptor);
        let mut wire = acceptor.open(false);
        // Never acknowledged: the client has a reason to dial again.
        con.send(numbered(1)).unwrap();
        assert_eq!(wire.msg().seq, 1);
        wire.send(&all[..cut]);
        wire.half_close();
        let (mut next, has) = reopen(&acceptor, 2, 1);
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

/// The socket is cut within the handshake that resumes the session.
#[test]
fn a_cut_within_the_second_handshake_changes_nothing() {
    let cuts: &[fn(&mut Wire)] = &[
        |_| {},
        |w| w.hellos(),
        |w| {
            w.hellos();
            w.read_connect();
        },
        |w| {
            w.hellos();
            let reply = Reply::opens(SEQ, &w.read_connect(), false).bytes();
            w.send(&reply[..20]);
        },
        |w| {
            w.hellos();
            let connect = w.read_connect();
            w.reply(&Reply::opens(SEQ, &connect, false));
            w.send(&[0; 4]);
        },
    ];
    let messenger = messenger(patient());
    std::thread::scope(|scope| {
        for cut in cuts {
            scope.spawn(|| {
                let acceptor = Acceptor::new();
                let (con, heards) = dial(&messenger, &acceptor);
                let mut wire = acceptor.open(false);
                send_numbered(&con, 2);
                assert_eq!(wire.msg().seq, 1);
                wire.send_msg(1, 4, b"", b"");
                heards.connected();
                heards.message();
                drop(wire);
                cut(&mut acceptor.accept());
                // connect_seq does not grow with attempts that fail.
                let (mut wire, in_seq) = reopen(&acceptor, 2, 1);
                assert_eq!((in_seq, wire.msg().seq), (1, 2));
                heards.connected();
                assert_eq!(con.counters().opened, 2);
            });
        }
    });
}

/// Four threads send while the session is cut and resumed: their messages are neither doubled nor
/// overtaken, though some of them come in the midst of the exchange of SEQ.
#[test]
fn senders_race_the_exchange_of_seq() {
    const SENDERS: u64 = 4;
    const SOCKETS: u32 = 20;
    // Messages of one sender for each socket.
    const EACH: u64 = 100;
    let acceptor = Acceptor::new();
    let (con, _heards) = dial(&messenger(patient()), &acceptor);
    std::thread::scope(|scope| {
        let permits: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (permit, permits) = mpsc::channel::<u64>();
                let con = &con;
                scope.spawn(move || {
                    for n in
                        permits.into_iter().flat_map(|socket| (socket * EACH..).take(EACH as usize))
                    {
                        con.send(Message::new(sender as u16, n.to_le_bytes().to_vec())).unwrap();
                    }
                });
                permit
            })
            .collect();
        let mut next = [0; SENDERS as usize];
        let mut got = 0;
        for socket in 0..SOCKETS {
            permits.iter().for_each(|permit| permit.send(u64::from(socket)).unwrap());
            let (mut wire, _) = reopen(&acceptor, 2 * socket, got);
            let last = socket == SOCKETS - 1;
            let enough = EACH * SENDERS * u64::from(socket + 1) - if last { 0 } else { 150 };
            let mut asked = false;
            loop {
                if got >= enough && !asked {
                    // A session that breaks before anything was heard on it is not dialled at
                    // once; the answer says that this was.
                    wire.send_ack(got);
                    wire.send_stamp(KEEPALIVE2, [0; 8]);
                    asked = true;
                }
                let msg = match wire.frame() {
                    Frame::Keepalive2Ack(_) => break,
                    frame => frame.msg(),
                };
                got += 1;
                assert_eq!(msg.seq, got);
                let sender = usize::from(msg.msg_type);
                assert_eq!(msg.front, u64::to_le_bytes(next[sender]));
                next[sender] += 1;
            }
            if last {
                assert_eq!(got, EACH * SENDERS * u64::from(SOCKETS));
                con.acked(soon()).unwrap();
            }
        }
    });
    con.close(soon()).unwrap();
}

#[test]
fn an_idle_session_stands_by_and_wakes() {
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.open(false);
    con.send(numbered(1)).unwrap();
    wire.msg();
    wire.send_ack(1);
    con.acked(soon()).unwrap();
    drop(wire);
    until("the session stands by", || con.state() == ConState::Standby);
    // It is open, and everything of it has arrived.
    for wait in [Connection::wait_open, Connection::flush, Connection::acked] {
        wait(&con, Deadline::after(Duration::ZERO)).unwrap();
    }
    assert_eq!(con.describe(), format!("{}: STANDBY", con.peer()));
    // A message wakes it, and the socket is cut before that arrives.
    con.send(numbered(2)).unwrap();
    drop(reopen(&acceptor, 2, 1));
    let (mut wire, _) = reopen(&acceptor, 4, 1);
    assert_eq!(wire.msg().seq, 2);
    wire.send_ack(2);
    con.acked(soon()).unwrap();
    drop(wire);
    until("the session stands by", || con.state() == ConState::Standby);
    // A keepalive does as well.
    con.keepalive();
    let (mut wire, _) = reopen(&acceptor, 6, 2);
    assert!(matches!(wire.frame(), Frame::Keepalive2(_)));
    con.close(soon()).unwrap();
    assert!(heards.rest().iter().all(|h| matches!(h, Heard::Connected)));
    assert_eq!((con.counters().opened, con.counters().faults), (4, 3));
}

#[test]
fn a_peer_that_lost_the_session_is_told_of() {
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.open(false);
    con.send(numbered(1)).unwrap();
    assert_eq!(wire.msg().seq, 1);
    wire.send_msg(1, 4, b"", b"");
    heards.connected();
    heards.message();
    drop(wire);
    let mut wire = acceptor.accept();
    wire.hellos();
    assert_eq!(wire.read_connect().connect_seq, 2);
    wire.reply(&Reply::new(RESETSESSION));
    let connect = wire.read_connect();
    assert_eq!(connect.connect_seq, 0);
    assert_eq!(wire.open(&connect, false, 0), 0, "the numbers begin anew");
    let heard = heards.next();
    assert!(matches!(heard, Heard::RemoteReset), "{heard:?}");
    heards.connected();
    // What had not been acknowledged is gone, and the owner knows.
    con.acked(soon()).unwrap();
    con.send(numbered(7)).unwrap();
    let msg = wire.msg();
    assert_eq!((msg.seq, &msg.front[..]), (1, &7u64.to_le_bytes()[..]));
    wire.send_msg(1, 4, b"anew", b"");
    assert_eq!(&heards.message().front[..], b"anew");
    con.close(soon()).unwrap();
}

#[test]
fn a_peer_that_answers_ready_gets_everything_again() {
    let acceptor = Acceptor::new();
    let (con, _heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.open(false);
    send_numbered(&con, 3);
    assert_eq!([wire.msg().seq, wire.msg().seq, wire.msg().seq], [1, 2, 3]);
    wire.send_ack(1);
    until("the ack comes", || {
        // Two are left, which nothing else shows.
        wire.send_stamp(KEEPALIVE2, [0; 8]);
        wire.frame() == Frame::Keepalive2Ack([0; 8])
    });
    drop(wire);
    let mut wire = acceptor.accept();
    wire.hellos();
    let connect = wire.read_connect();
    wire.ready(&connect, false);
    assert_eq!([wire.msg().seq, wire.msg().seq], [2, 3]);
    con.close(soon()).unwrap();
}

#[test]
fn what_comes_is_acknowledged() {
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.open(false);
    heards.connected();
    wire.send_msg(1, 4, b"", b"");
    assert_eq!(wire.frame(), Frame::Ack(1));
    heards.message();
    let mut two = message(2, 4, b"", b"", FEATURES);
    two.extend(message(3, 4, b"", b"", FEATURES));
    wire.send(&two);
    let acks = std::iter::from_fn(|| match wire.frame() {
        Frame::Ack(seq) => Some(seq),
        other => panic!("{other:?}"),
    });
    let last = acks.take(2).find(|seq| *seq == 3);
    assert_eq!(last, Some(3), "one ack for both, or one for each");
    con.close(soon()).unwrap();
}

/// The kernel has it long before the peer has.
#[test]
fn flushed_is_not_acknowledged() {
    let acceptor = Acceptor::new();
    let (con, _heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.accept();
    con.send(numbered(1)).unwrap();
    let now = Deadline::after(Duration::ZERO);
    let error = con.flush(now).unwrap_err();
    assert!(error.to_string().contains("no room in the socket for what was sent"), "{error}");
    wire.hellos();
    let connect = wire.read_connect();
    wire.open(&connect, false, 0);
    con.flush(soon()).unwrap();
    let error = con.acked(now).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(error.to_string().ends_with("OPEN: no acknowledgement of what was sent in time"));
    wire.msg();
    wire.send_ack(1);
    con.acked(soon()).unwrap();
    con.close(soon()).unwrap();
}

/// 250 ms, 500 ms, 1 s: a wait can be longer on a busy machine, but never shorter.
#[test]
fn attempts_that_fail_are_made_ever_more_rarely() {
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.accept();
    for (failed, wait) in [(1, 250), (2, 500), (3, 1000)] {
        let closed = Instant::now();
        drop(wire);
        wire = acceptor.accept();
        let waited = closed.elapsed();
        assert!(waited >= Duration::from_millis(wait), "attempt {failed} after {waited:?}");
        assert_eq!(con.counters().faults, failed);
    }
    drop(wire);
    // It can be closed while it waits for the next one.
    until("it waits", || con.counters().faults == 4);
    con.close(soon()).unwrap();
    assert_eq!((con.counters().opened, heards.rest().len()), (0, 0));
}

/// An open session that breaks is dialled again at once, but not in a loop.
#[test]
fn a_peer_that_breaks_every_session_is_dialled_ever_more_rarely() {
    let acceptor = Acceptor::new();
    let (con, _heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.open(false);
    con.send(numbered(1)).unwrap();
    assert_eq!(wire.msg().seq, 1);
    for (broken, wait) in [(1, 0), (2, 250), (3, 500)] {
        let closed = Instant::now();
        drop(wire);
        (wire, _) = reopen(&acceptor, 2 * broken, 0);
        let waited = closed.elapsed();
        assert!(waited >= Duration::from_millis(wait), "after {broken}: {waited:?}");
        assert_eq!(wire.msg().seq, 1);
    }
    con.close(soon()).unwrap();
}

#[test]
fn a_refused_port_is_tried_again() {
    let (_taken, addr) = closed_port();
    let peer = peer_at(addr, Policy::LOSSLESS_CLIENT);
    let (dispatcher, heards) = recorder();
    let con = messenger(patient()).connect(peer, no_auth(), dispatcher).unwrap();
    for _ in 0..2 {
        let heard = heards.next();
        assert!(matches!(heard, Heard::Refused), "{heard:?}");
    }
    con.close(soon()).unwrap();
}

#[test]
fn a_message_is_taken_back_wherever_it_is() {
    let acceptor = Acceptor::new();
    let (con, _heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.accept();
    let ids: Vec<_> = (1..=4).map(|n| con.send(numbered(n)).unwrap()).collect();
    // Before it had a number.
    assert!(con.revoke(ids[1]));
    assert!(!con.revoke(ids[1]), "only once");
    wire.hellos();
    let connect = wire.read_connect();
    wire.open(&connect, false, 0);
    let fronts = [wire.msg(), wire.msg(), wire.msg()].map(|m| (m.seq, m.front[0]));
    assert_eq!(fronts, [(1, 1), (2, 3), (3, 4)]);
    // On its way, so that it would be sent again.
    assert!(con.revoke(ids[2]));
    // Acknowledged.
    wire.send_ack(1);
    wire.send_stamp(KEEPALIVE2, [0; 8]);
    assert_eq!(wire.frame(), Frame::Keepalive2Ack([0; 8]));
    assert!(!con.revoke(ids[0]));
    drop(wire);
    let (mut wire, _) = reopen(&acceptor, 2, 1);
    let msg = wire.msg();
    // With the number after what the peer has: the kernel would refuse a gap.
    assert_eq!((msg.seq, msg.front[0]), (2, 4));
    con.close(soon()).unwrap();
}

/// What is half on the wire reaches the peer as zeros, and incomplete.
#[test]
fn a_message_is_taken_back_half_way() {
    let acceptor = Acceptor::new();
    let (con, _heards) = dial(&messenger(patient()), &acceptor);
    let mut wire = acceptor.open(false);
    con.wait_open(soon()).unwrap();
    // More than the sockets hold.
    let large = con.send(Message::new(1, vec![]).with_data(vec![0xff; 32 << 20])).unwrap();
    let after = con.send(numbered(2)).unwrap();
    assert!(con.flush(Deadline::after(Duration::ZERO)).is_err(), "it does not fit");
    assert!(con.revoke(large));
    assert_eq!(wire.frame(), Frame::Aborted);
    assert_eq!(wire.msg().front, 2u64.to_le_bytes());
    assert!(con.revoke(after));
    con.acked(soon()).unwrap();
    con.close(soon()).unwrap();
}
