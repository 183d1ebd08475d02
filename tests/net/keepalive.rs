//! Signs of life: who is silent is asked, and given up when nothing comes; who answers is kept.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::common::acceptor::*;
use crate::common::client::*;
use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{ConState, Message, Policy};
use ceph_msgr::net::{Connection, Messenger, Timeouts};

fn dial(messenger: &Messenger, acceptor: &Acceptor, policy: Policy) -> (Connection, Heards) {
    let (dispatcher, heards) = recorder();
    let con = messenger.connect(acceptor.peer(policy), no_auth(), dispatcher).expect("a thread");
    (con, heards)
}

fn asking(keepalive: Duration, keepalive_timeout: Duration) -> Timeouts {
    Timeouts { keepalive: Some(keepalive), keepalive_timeout, ..patient() }
}

const OFTEN: Duration = Duration::from_millis(20);

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    let acceptor = Acceptor::new();
    let messenger = messenger(asking(OFTEN, Duration::from_millis(500)));
    let (con, heards) = dial(&messenger, &acceptor, Policy::LOSSY_CLIENT);
    let mut wire = acceptor.open(true);
    heards.connected();
    let mut asked = 0;
    while let Ok(frame) = wire.try_frame() {
        assert!(matches!(frame, Frame::Keepalive2(_)), "{frame:?}");
        asked += 1;
    }
    assert!(asked > 1, "asked {asked} times");
    let (kind, text) = heards.reset();
    assert_eq!(kind, ErrorKind::Timeout);
    assert_eq!(text, format!("{}: OPEN: no answer to keepalives in time", con.peer()));
}

/// The same for a lossless session, which dials again.
#[test]
fn a_lossless_session_leaves_a_silent_socket() {
    let acceptor = Acceptor::new();
    let messenger = messenger(asking(OFTEN, Duration::from_millis(500)));
    let (con, heards) = dial(&messenger, &acceptor, Policy::LOSSLESS_CLIENT);
    let mut wire = acceptor.open(false);
    con.send(Message::new(1, vec![])).unwrap();
    while wire.try_frame().is_ok() {}
    // The message was not acknowledged: it comes again.
    let mut wire = acceptor.accept();
    wire.hellos();
    let connect = wire.read_connect();
    assert_eq!(connect.connect_seq, 2);
    wire.open(&connect, false, 0);
    loop {
        match wire.frame() {
            Frame::Keepalive2(stamp) => wire.send_stamp(KEEPALIVE2_ACK, stamp),
            frame => break assert_eq!(frame.msg().seq, 1),
        }
    }
    heards.connected();
    heards.connected();
    con.close(soon()).unwrap();
}

/// It stays for several times the time-out if it answers, though it says nothing else.
#[test]
fn a_peer_that_answers_is_kept() {
    let acceptor = Acceptor::new();
    let timeout = Duration::from_millis(1000);
    let messenger = messenger(asking(OFTEN, timeout));
    let (con, heards) = dial(&messenger, &acceptor, Policy::LOSSY_CLIENT);
    let mut wire = acceptor.open(true);
    let start = Instant::now();
    let mut last = [0; 8];
    while start.elapsed() < 2 * timeout {
        match wire.frame() {
            Frame::Keepalive2(stamp) => {
                // Seconds and nanoseconds of the client's own clock.
                let of = |s: [u8; 8]| {
                    let (sec, nsec) = s.split_at(4);
                    let word = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap());
                    (word(sec), word(nsec))
                };
                assert!(of(stamp) > of(last) && of(stamp).1 < 1_000_000_000, "{stamp:?} {last:?}");
                last = stamp;
                wire.send_stamp(KEEPALIVE2_ACK, stamp);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(con.state(), ConState::Open);
    assert_eq!((heards.rest().len(), con.counters().faults), (1, 0));
}

/// A peer without MSGR_KEEPALIVE2 is sent the old tag, which nobody answers: its silence says
/// nothing.
#[test]
fn a_peer_that_cannot_answer_is_kept() {
    let acceptor = Acceptor::new();
    let timeout = Duration::from_millis(200);
    let messenger = messenger(asking(OFTEN, timeout));
    let (con, _heards) = dial(&messenger, &acceptor, Policy::LOSSY_CLIENT);
    let mut wire = acceptor.accept();
    wire.hellos();
    let connect = wire.read_connect();
    let features = FEATURES & !MSGR_KEEPALIVE2;
    wire.open_with(&Reply { features, ..Reply::opens(SEQ, &connect, true) }, &connect, 0);
    let start = Instant::now();
    while start.elapsed() < 3 * timeout {
        assert_eq!(wire.frame(), Frame::Keepalive);
    }
    assert_eq!((con.state(), con.counters().faults), (ConState::Open, 0));
}

/// While a callback runs nobody reads: what is silent then is this side.
#[test]
fn a_slow_callback_is_not_the_peers_silence() {
    let acceptor = Acceptor::new();
    let timeout = Duration::from_millis(500);
    let messenger = messenger(asking(OFTEN, timeout));
    let (tx, rx) = mpsc::channel();
    let dispatcher = hook(move |_, call| {
        if let Call::Message(_) = call {
            std::thread::sleep(2 * timeout);
        }
        tx.send(call).unwrap();
    });
    let peer = acceptor.peer(Policy::LOSSY_CLIENT);
    let con = messenger.connect(peer, no_auth(), dispatcher).unwrap();
    let mut wire = acceptor.open(true);
    wire.send_msg(1, 4, b"", b"");
    let next = || rx.recv_timeout(PATIENCE).expect("a callback");
    assert!(matches!(next(), Call::Connected));
    assert!(matches!(next(), Call::Message(_)));
    // The first keepalive behind it is answered in time.
    let Frame::Keepalive2(stamp) = wire.frame() else { panic!("no keepalive") };
    wire.send_stamp(KEEPALIVE2_ACK, stamp);
    wire.send_msg(2, 4, b"", b"");
    let call = next();
    assert!(matches!(call, Call::Message(_)), "{call:?}");
    assert_eq!(con.counters().faults, 0);
}

#[test]
fn the_peers_keepalives_are_answered_with_its_stamp() {
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger(patient()), &acceptor, Policy::LOSSY_CLIENT);
    let mut wire = acceptor.open(true);
    // The old one has no answer.
    wire.send(&[KEEPALIVE]);
    for stamp in [[1, 2, 3, 4, 5, 6, 7, 8], [0xff; 8]] {
        wire.send_stamp(KEEPALIVE2, stamp);
        assert_eq!(wire.frame(), Frame::Keepalive2Ack(stamp));
    }
    heards.connected();
    assert_eq!(heards.rest().len(), 0, "the owner does not hear of it");
    con.close(soon()).unwrap();
}

/// An answer does not wait for the end of a large message that is coming in.
#[test]
fn a_keepalive_in_front_of_half_a_message_is_answered() {
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger(patient()), &acceptor, Policy::LOSSY_CLIENT);
    let mut wire = acceptor.open(true);
    let msg = message(1, 4, b"", &vec![9; 1 << 20], FEATURES);
    let mut first = vec![KEEPALIVE2];
    first.extend([7; 8]);
    first.extend(&msg[..500_000]);
    wire.send(&first);
    assert_eq!(wire.frame(), Frame::Keepalive2Ack([7; 8]));
    wire.send(&msg[500_000..]);
    heards.connected();
    assert_eq!(heards.message().data.len(), 1 << 20);
    con.close(soon()).unwrap();
}

#[test]
fn one_that_is_asked_for_goes_out_at_once() {
    let acceptor = Acceptor::new();
    let (con, heards) = dial(&messenger(patient()), &acceptor, Policy::LOSSY_CLIENT);
    let mut wire = acceptor.open(true);
    heards.connected();
    con.keepalive();
    assert!(matches!(wire.frame(), Frame::Keepalive2(_)));
    con.close(soon()).unwrap();
}

#[test]
fn a_time_out_may_be_for_ever() {
    let acceptor = Acceptor::new();
    let ever = Duration::MAX;
    let messenger = messenger(Timeouts {
        connect: ever,
        handshake: ever,
        keepalive: Some(ever),
        keepalive_timeout: ever,
        idle: None,
        send: ever,
    });
    let (con, heards) = dial(&messenger, &acceptor, Policy::LOSSY_CLIENT);
    let mut wire = acceptor.open(true);
    heards.connected();
    con.send(Message::new(1, vec![])).unwrap();
    assert_eq!(wire.msg().seq, 1);
    con.close(soon()).unwrap();
}
