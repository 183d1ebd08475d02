//! What waits for a peer that reads nothing is bounded, whoever sends it.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use ceph_msgr::error::ErrorKind;
use ceph_msgr::limits;
use ceph_msgr::msgr::{Message, Policy};
use ceph_msgr::net::{Connection, Dispatcher};

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::dialler::*;
use crate::common::server::*;

/// Answers each message with a large one, as long as it can.
struct Answers(usize);

impl Dispatcher for Answers {
    fn dispatch(&self, con: &Connection, msg: Message) {
        let answer = Message::new(43, msg.front).with_data(vec![1; self.0]);
        let _ = con.send(answer);
    }
}

/// Sends requests until the acceptor reads no more of them; how many went out.
fn send_until_stopped(wire: &Wire) -> usize {
    let stream = wire.stream();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut sent = 0;
    loop {
        let request = message(sent as u64 + 1, 42, b"", &[0; 60_000], FEATURES);
        if (&mut &*stream).write_all(&request).is_err() {
            return sent;
        }
        sent += 1;
        assert!(sent < 10_000, "it reads without end");
    }
}

#[test]
fn who_reads_no_answers_is_asked_for_no_more_questions() {
    let messenger = osd(Policy::STATELESS_SERVER, patient());
    let data = 4 << 20;
    let listener = messenger.bind(&[v1(LOCALHOST)], acceptor(Arc::new(Answers(data)))).unwrap();
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &ask());
    let sent = send_until_stopped(&wire);
    let con = only(&listener);
    let held = con.counters();
    assert!(held.received < sent as u64, "{} of {sent} questions were read", held.received);
    let most = limits::OUT_QUEUE_BYTES + data;
    assert!(
        held.queued_bytes <= most,
        "{} bytes wait for a peer that reads nothing",
        held.queued_bytes
    );
    // Once it reads, it goes on: more answers come than questions had been read by then.
    let mut some = vec![0; 1 << 20];
    let (mut read, enough) = (0, (held.received as usize + 5) * data);
    while read < enough {
        let n = wire.stream().read(&mut some).expect("answers");
        assert!(n > 0);
        read += n;
    }
    listener.close(soon()).unwrap();
}

#[test]
fn even_a_callback_cannot_send_without_end() {
    let messenger = osd(Policy::STATEFUL_SERVER, patient());
    let (tx, rx) = std::sync::mpsc::channel();
    let tx = std::sync::Mutex::new(tx);
    let data = bytes::Bytes::from(vec![0; 32 << 20]);
    let dispatcher = hook(move |con, call| {
        if let Call::Message(_) = call {
            let send = || con.send(Message::new(43, vec![]).with_data(data.clone()));
            let outcome = (0..100).map(|_| send()).find_map(Result::err);
            tx.lock().unwrap().send(outcome.map(|e| e.kind())).unwrap();
        }
    });
    let listener = messenger.bind(&[v1(LOCALHOST)], acceptor(dispatcher)).unwrap();
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &Connect { flags: 0, ..ask() });
    wire.send_msg(1, 42, b"", b"");
    assert_eq!(rx.recv_timeout(PATIENCE).unwrap(), Some(ErrorKind::WouldBlock));
    assert!(only(&listener).counters().queued_bytes <= 2 * limits::OUT_QUEUE_BYTES + (32 << 20));
    listener.close(soon()).unwrap();
}

/// Answers each message with an empty one.
struct Nothing;

impl Dispatcher for Nothing {
    fn dispatch(&self, con: &Connection, _: Message) {
        let _ = con.send(Message::new(43, Vec::new()));
    }
}

#[test]
fn empty_answers_that_nobody_reads_are_bounded_by_their_number() {
    let messenger = osd(Policy::STATELESS_SERVER, patient());
    let listener = messenger.bind(&[v1(LOCALHOST)], acceptor(Arc::new(Nothing))).unwrap();
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &ask());
    let stream = wire.stream();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut seq = 0;
    loop {
        let mut many = Vec::new();
        for _ in 0..1000 {
            seq += 1;
            many.extend(message(seq, 42, b"", b"", FEATURES));
        }
        if (&mut &*stream).write_all(&many).is_err() {
            break;
        }
        assert!(seq < 3_000_000, "it reads without end");
    }
    let held = only(&listener).counters();
    assert!(held.queued_messages <= limits::OUT_QUEUE_MESSAGES + 100, "{held:?}");
    listener.close(soon()).unwrap();
}
