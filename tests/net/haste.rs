//! A peer that never lets the socket run dry.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ceph_msgr::msgr::{Message, Policy};
use ceph_msgr::net::{Connection, Dispatcher, Timeouts};

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::dialler::*;
use crate::common::server::*;

/// Slower than any peer sends.
struct Slow;

impl Dispatcher for Slow {
    fn dispatch(&self, _: &Connection, msg: Message) {
        let begin = msg.data.len() as u64;
        let sum = (0..50_000).fold(begin, |sum, n| std::hint::black_box(sum.rotate_left(1) ^ n));
        std::hint::black_box(sum);
    }
}

#[test]
fn a_peer_in_haste_hears_acks_and_answers_all_the_while() {
    let messenger = osd(Policy::STATEFUL_SERVER, patient());
    let listener = messenger.bind(&[v1(LOCALHOST)], acceptor(Arc::new(Slow))).unwrap();
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &Connect { flags: 0, ..ask() });
    let mut writer = wire.stream().try_clone().unwrap();
    let haste = std::thread::spawn(move || {
        let mut seq = 0;
        loop {
            let mut many = vec![KEEPALIVE2];
            many.extend([9; 8]);
            for _ in 0..100 {
                seq += 1;
                many.extend(message(seq, 42, b"", b"", FEATURES));
            }
            if writer.write_all(&many).is_err() {
                return;
            }
            assert!(seq < 1_000_000, "nothing is heard while there is something to read");
        }
    });
    // While the other thread never stops, every few messages.
    let (mut acked, mut alive) = (0, 0);
    while acked < 20_000 || alive < 20 {
        match wire.frame() {
            Frame::Ack(seq) => {
                assert!(seq - acked <= 1000, "no ack from {acked} to {seq}");
                acked = seq;
            }
            Frame::Keepalive2Ack(_) => alive += 1,
            other => panic!("{other:?}"),
        }
    }
    listener.close(soon()).unwrap();
    haste.join().unwrap();
}

/// Takes longer over each message than its peer takes to send one.
struct Slower;

impl Dispatcher for Slower {
    fn dispatch(&self, _: &Connection, _: Message) {
        ceph_msgr::crc32c::ceph_crc32c(0, std::hint::black_box(&[7; 1 << 20]));
    }
}

#[test]
fn a_peer_in_haste_has_no_more_time_to_log_in_than_others() {
    let timeouts = Timeouts { handshake: Duration::from_millis(500), ..patient() };
    let (_messenger, listener, _heards) =
        mon(timeouts, |acceptor| acceptor.dispatcher = Arc::new(Slower));
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &ask_mon());
    let mut writer = wire.stream().try_clone().unwrap();
    let (mut seq, deadline) = (0, soon());
    loop {
        let mut many = Vec::new();
        for _ in 0..1000 {
            seq += 1;
            many.extend(message(seq, 42, b"", b"", FEATURES));
        }
        if writer.write_all(&many).is_err() {
            break;
        }
        assert!(!deadline.has_passed(), "{seq} messages, and no login");
    }
    listener.close(soon()).unwrap();
}
