//! The out queue has a limit in bytes: at it `send` waits and `try_send` hands the message back.

use std::sync::mpsc;
use std::time::Duration;

use crate::common::acceptor::*;
use crate::common::client::*;
use bytes::Bytes;
use ceph_msgr::error::ErrorKind;
use ceph_msgr::limits;
use ceph_msgr::msgr::{Message, Options, Policy};
use ceph_msgr::net::{Connection, Deadline, Messenger, Timeouts};
use ceph_msgr::types::EntityType;

const LARGE: usize = limits::MSG_MAX_DATA_LEN as usize;

/// The checksums would take most of the time.
fn messenger_without_crc(timeouts: Timeouts) -> Messenger {
    let options = Options { crc_data: false, ..Options::default() };
    Messenger::new(EntityType::CLIENT, options, timeouts).expect("a messenger")
}

fn dial(messenger: &Messenger, acceptor: &Acceptor) -> Connection {
    let (dispatcher, _) = recorder();
    let peer = acceptor.peer(Policy::LOSSY_CLIENT);
    messenger.connect(peer, no_auth(), dispatcher).expect("a thread")
}

/// Fills the queue of a connection that is not open; its segments share their bytes.
fn fill(con: &Connection, data: &Bytes) -> u64 {
    let mut n = 0;
    while con.counters().queued_bytes < limits::OUT_QUEUE_BYTES {
        con.try_send(Message::new(1, vec![]).with_data(data.clone())).expect("it has room");
        n += 1;
    }
    n
}

/// Reads a message's tag and header, and throws the rest away.
fn discard(wire: &mut Wire) {
    let head = wire.recv(54);
    let len = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
    wire.recv(len(1 + 22) + len(1 + 26) + len(1 + 30) + 21);
}

#[test]
fn a_full_queue_hands_the_message_back_or_waits_to_the_deadline() {
    let acceptor = Acceptor::new();
    let timeouts = Timeouts { send: Duration::from_millis(50), ..patient() };
    let con = dial(&messenger_without_crc(timeouts), &acceptor);
    let mut wire = acceptor.accept();
    wire.read_hello();
    let data = Bytes::from(vec![0; LARGE]);
    assert_eq!(fill(&con, &data), 2);
    let refused = con.try_send(Message::new(77, &b"front"[..])).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::WouldBlock);
    assert_eq!(refused.error.to_string(), format!("{}: the out queue is full", con.peer()));
    assert_eq!((refused.msg.header.msg_type, &refused.msg.front[..]), (77, &b"front"[..]));
    let late = [
        con.send_by(refused.msg.clone(), Deadline::after(Duration::ZERO)).unwrap_err(),
        con.send(refused.msg).unwrap_err(),
    ];
    for error in late {
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("no room in the out queue in time"), "{error}");
    }
    assert_eq!(con.counters().sent, 2);
    con.close(soon()).unwrap();
}

#[test]
fn room_is_announced_when_the_peer_reads() {
    let acceptor = Acceptor::new();
    let con = dial(&messenger_without_crc(patient()), &acceptor);
    let mut wire = acceptor.accept();
    wire.hellos();
    let connect = wire.read_connect();
    let data = Bytes::from(vec![0; LARGE]);
    let large = fill(&con, &data);
    std::thread::scope(|scope| {
        let (tx, rx) = mpsc::channel();
        for _ in 0..2 {
            let (con, tx) = (&con, tx.clone());
            scope.spawn(move || tx.send(con.send_by(Message::new(1, vec![]), soon()).is_ok()));
        }
        // Nothing is sent before the session is open.
        assert!(rx.try_recv().is_err());
        wire.open(&connect, true, 0);
        (0..large + 2).for_each(|_| discard(&mut wire));
        for _ in 0..2 {
            assert!(rx.recv_timeout(PATIENCE).unwrap());
        }
    });
    con.flush(soon()).unwrap();
    assert_eq!(con.counters().queued_bytes, 0);
    con.close(soon()).unwrap();
}

/// A callback must not wait for the thread that it runs on.
#[test]
fn a_callback_may_send_over_the_limit() {
    let acceptor = Acceptor::new();
    let (tx, rx) = mpsc::channel();
    let data = Bytes::from(vec![0; LARGE]);
    let dispatcher = hook(move |con, call| {
        if let Call::Message(_) = call {
            let sent = (0..5).all(|_| {
                con.send_by(Message::new(1, vec![]).with_data(data.clone()), Deadline::NEVER)
                    .is_ok()
            });
            tx.send((sent, con.counters().queued_bytes)).unwrap();
        }
    });
    let peer = acceptor.peer(Policy::LOSSY_CLIENT);
    let con = messenger_without_crc(patient()).connect(peer, no_auth(), dispatcher).unwrap();
    let mut wire = acceptor.open(true);
    wire.send_msg(1, 4, b"", b"");
    let (sent, queued) = rx.recv_timeout(PATIENCE).unwrap();
    assert!(sent && queued > limits::OUT_QUEUE_BYTES, "{queued} bytes");
    con.close(soon()).unwrap();
}

#[test]
fn a_segment_that_no_peer_would_take_is_not_sent() {
    let acceptor = Acceptor::new();
    let con = dial(&messenger(patient()), &acceptor);
    let front = Message::new(1, vec![0; limits::MSG_MAX_FRONT_LEN as usize + 1]);
    let middle = Message::new(1, vec![]).with_middle(front.front.clone());
    let data = Message::new(1, vec![]).with_data(vec![0; LARGE + 1]);
    for (msg, segment) in [(front, "front"), (middle, "middle"), (data, "data")] {
        let error = con.send(msg.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with(&format!("a {segment} of ")), "{error}");
        let refused = con.try_send(msg).unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::InvalidInput);
    }
    con.close(soon()).unwrap();
}

/// Segments of every size around the borders of the buffers, both ways.
#[test]
fn segments_of_all_sizes_arrive_whole() {
    let acceptor = Acceptor::new();
    let (dispatcher, heards) = recorder();
    let peer = acceptor.peer(Policy::LOSSLESS_CLIENT);
    let con = messenger(patient()).connect(peer, no_auth(), dispatcher).unwrap();
    let mut wire = acceptor.open(false);
    heards.connected();
    let fronts = [0, 1, 63, 64, 4095, 4096, 16383, 16384, 16385, 100_000];
    let sizes = fronts.into_iter().flat_map(|front| [0, 1, 16384].map(|data| (front, data)));
    let bytes = |n: usize| (0..n).map(|i| (i * 7 + i / 251) as u8).collect::<Vec<_>>();
    let mut seq = 0;
    for (front, data) in sizes.chain([(1 << 20, 1 << 20)]) {
        seq += 1;
        let mut msg = Message::new(1, bytes(front)).with_data(bytes(data));
        msg.middle = bytes(front % 1000).into();
        std::thread::scope(|scope| {
            scope.spawn(|| con.send(msg.clone()).unwrap());
            let got = wire.msg();
            assert!(got.front == msg.front && got.middle == msg.middle && got.data == msg.data);
            assert_eq!(got.seq, seq);
        });
        wire.send_ack(seq);
        wire.send_msg(seq, 4, &bytes(front), &bytes(data));
        let got = heards.message();
        assert!(got.front == bytes(front) && got.data == bytes(data) && got.middle.is_empty());
    }
    con.acked(soon()).unwrap();
    con.close(soon()).unwrap();
}
