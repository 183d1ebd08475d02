//! Sessions of messenger v2 that were accepted: signs of life, room for what comes, and peers that
//! send without end or read nothing.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ceph_msgr::error::ErrorKind;
use ceph_msgr::limits;
use ceph_msgr::msgr::{Message, Policy, Throttle};
use ceph_msgr::net::{Connection, Dispatcher, Listener, Messenger, Timeouts};
use ceph_msgr::types::EntityType;

use crate::common::client::*;
use crate::common::frames::*;
use crate::common::server::*;

fn serve_v2(policy: Policy, timeouts: Timeouts) -> (Messenger, Listener, Heards) {
    serve_at(&[v2(LOCALHOST)], policy, timeouts, |_| {})
}

fn serve_by(policy: Policy, dispatcher: Arc<dyn Dispatcher>) -> (Messenger, Listener) {
    let messenger = osd(policy, patient());
    let listener = messenger.bind(&[v2(LOCALHOST)], acceptor(dispatcher)).unwrap();
    (messenger, listener)
}

#[track_caller]
fn open(at: SocketAddr, nonce: u32) -> V2Wire {
    let mut wire = dial_v2(at);
    wire.open_session_v2(nonce, 7);
    wire
}

#[track_caller]
fn open_lossless(at: SocketAddr, nonce: u32) -> V2Wire {
    let mut wire = dial_v2(at);
    wire.log_in();
    let ident = Ident { flags: 0, cookie: 9, ..wire.ident(nonce, 7) };
    wire.put(CLIENT_IDENT, &ident.payload());
    wire.expect(SERVER_IDENT);
    wire
}

#[test]
fn the_peers_keepalives_are_answered_with_its_stamp() {
    let (_messenger, listener, heards) = serve_v2(Policy::STATELESS_SERVER, patient());
    let mut wire = open(addr(&listener), 1);
    heards.accepted();
    for stamp in [[1, 2, 3, 4, 5, 6, 7, 8], [0xff; 8]] {
        wire.put(KEEPALIVE2_V2, &stamp);
        assert_eq!(wire.expect(KEEPALIVE2_ACK_V2).payload(), stamp);
    }
    // An answer does not wait for the end of a large message that is coming in.
    let msg = message_v2(1, 4, b"", &vec![9; 1 << 20]);
    wire.send(&[&frame(KEEPALIVE2_V2, &[&[7; 8]])[..], &msg[..500_000]].concat());
    assert_eq!(wire.expect(KEEPALIVE2_ACK_V2).payload(), [7; 8]);
    assert!(heards.rest().is_empty(), "the owner does not hear of it");
    wire.send(&msg[500_000..]);
    assert_eq!(heards.message().data.len(), 1 << 20);
    listener.close(soon()).unwrap();
}

#[test]
fn a_reader_that_keeps_messages_stops_its_peer() {
    let (messenger, listener, heards) = serve_v2(Policy::STATELESS_SERVER, patient());
    let throttle = Throttle::new(3, 1 << 20);
    messenger.set_throttle(EntityType::CLIENT, throttle.clone());
    let mut wire = open(addr(&listener), 1);
    heards.accepted();
    for seq in 1..=10u64 {
        wire.send(&message_v2(seq, 42, &seq.to_le_bytes(), b""));
    }
    let mut kept: Vec<_> = (0..3).map(|_| heards.message()).collect();
    assert_eq!(throttle.held(), (3, 24));
    for next in 4..=10u64 {
        kept.remove(0);
        kept.push(heards.message());
        assert_eq!(kept[2].front[..], next.to_le_bytes());
        assert_eq!(throttle.held(), (3, 24));
    }
    drop(kept);
    assert_eq!(throttle.held(), (0, 0));
    listener.close(soon()).unwrap();
}

#[test]
fn a_peer_that_dies_half_way_through_a_message_gives_its_room_back() {
    let half = message_v2(1, 42, &[7; 900], b"");
    for closes in [true, false] {
        let soon = Timeouts { keepalive_timeout: Duration::from_millis(300), ..patient() };
        let timeouts = if closes { patient() } else { soon };
        let (messenger, listener, heards) = serve_v2(Policy::STATELESS_SERVER, timeouts);
        let throttle = Throttle::new(10, 1000);
        messenger.set_throttle(EntityType::CLIENT, throttle.clone());
        let mut dying = open(addr(&listener), 1);
        heards.accepted();
        dying.send(&half[..500]);
        until("it has the room", || throttle.held() == (1, 900));
        let mut waiting = open(addr(&listener), 2);
        heards.accepted();
        waiting.send(&message_v2(1, 42, &[8; 200], b""));
        if closes {
            drop(dying);
        }
        // One that only falls silent is given up.
        let both = [heards.next(), heards.next()];
        let is_message = |heard: &Heard| matches!(heard, Heard::Message(_));
        let is_reset = |heard: &Heard| match heard {
            Heard::Reset(kind, text) => {
                *kind == if closes { ErrorKind::Closed } else { ErrorKind::Timeout }
                    && (closes || text.contains("no rest of a message in time"))
            }
            _ => false,
        };
        assert!(both.iter().any(is_message) && both.iter().any(is_reset), "{both:?}");
        drop(both);
        assert_eq!(throttle.held(), (0, 0));
        drop(waiting);
        heards.reset();
        listener.close(crate::common::client::soon()).unwrap();
    }
}

#[test]
fn who_announces_much_leaves_room_for_what_is_short() {
    let (messenger, listener, heards) = serve_v2(Policy::STATELESS_SERVER, patient());
    let throttle = Throttle::new(100, 4 << 20);
    messenger.set_throttle(EntityType::CLIENT, throttle.clone());
    let greedy: Vec<_> = (1..=4)
        .map(|nonce| {
            let mut wire = open(addr(&listener), nonce);
            heards.accepted();
            wire.send(&preamble(MESSAGE, &[41, 1 << 20]));
            wire
        })
        .collect();
    until("three have the room that there is", || throttle.held() == (3, 3 << 20));
    let mut honest = open(addr(&listener), 9);
    heards.accepted();
    honest.send(&message_v2(1, 42, b"short", b""));
    assert_eq!(heards.message().front[..], *b"short");
    drop(greedy);
    listener.close(soon()).unwrap();
}

#[test]
fn who_sends_a_message_drop_by_drop_gives_way_when_others_wait() {
    let timeouts = Timeouts { keepalive_timeout: Duration::from_millis(500), ..patient() };
    let (messenger, listener, heards) = serve_v2(Policy::STATELESS_SERVER, timeouts);
    messenger.set_throttle(EntityType::CLIENT, Throttle::new(100, 1 << 20));
    let mut slow = open(addr(&listener), 1);
    heards.accepted();
    slow.send(&message_v2(1, 42, &vec![7; 700 << 10], b"")[..100]);
    let mut writer = slow.stream.try_clone().unwrap();
    let drops = std::thread::spawn(move || {
        while writer.write_all(&[7]).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let mut honest = open(addr(&listener), 2);
    heards.accepted();
    honest.send(&message_v2(1, 42, &[8; 300 << 10], b""));
    // The end of the slow one, and what it made wait, in either order.
    for _ in 0..2 {
        match heards.next() {
            Heard::Reset(_, why) => assert!(why.contains("rest of a message"), "{why}"),
            Heard::Message(msg) => assert_eq!(msg.front.len(), 300 << 10),
            other => panic!("{other:?}"),
        }
    }
    drops.join().unwrap();
    listener.close(soon()).unwrap();
}

#[test]
fn a_peer_that_goes_away_while_there_is_no_room_is_noticed() {
    let (messenger, listener, heards) = serve_v2(Policy::STATELESS_SERVER, patient());
    messenger.set_throttle(EntityType::CLIENT, Throttle::new(1, 1 << 20));
    let mut keeps = open(addr(&listener), 1);
    heards.accepted();
    keeps.send(&message_v2(1, 42, b"kept", b""));
    let kept = heards.message();
    for nonce in 2..=5 {
        let mut wire = open(addr(&listener), nonce);
        heards.accepted();
        wire.send(&message_v2(1, 42, b"waits", b""));
        drop(wire);
        heards.reset();
    }
    drop(kept);
    listener.close(soon()).unwrap();
}

/// A message that its sender has taken back holds no room any more, and is not heard of.
#[test]
fn what_was_taken_back_gives_its_room_back() {
    let (messenger, listener, heards) = serve_v2(Policy::STATELESS_SERVER, patient());
    let throttle = Throttle::new(1, 1 << 20);
    messenger.set_throttle(EntityType::CLIENT, throttle.clone());
    let mut wire = open(addr(&listener), 1);
    heards.accepted();
    let mut aborted = message_v2(1, 42, &[7; 1000], b"");
    let late_status = aborted.len() - 13;
    aborted[late_status] = 1;
    wire.send(&aborted[..500]);
    until("it has the room", || throttle.held() == (1, 1000));
    wire.send(&aborted[500..]);
    until("it is given back", || throttle.held() == (0, 0));
    wire.send(&message_v2(1, 42, b"in its place", b""));
    assert_eq!(heards.message().front[..], *b"in its place");
    assert!(heards.rest().is_empty());
    listener.close(soon()).unwrap();
}

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
    let (_messenger, listener) = serve_by(Policy::STATEFUL_SERVER, Arc::new(Slow));
    let mut wire = open_lossless(addr(&listener), 1);
    let mut writer = wire.stream.try_clone().unwrap();
    let haste = std::thread::spawn(move || {
        let mut seq = 0;
        loop {
            let mut many = frame(KEEPALIVE2_V2, &[&[9; 8]]);
            for _ in 0..100 {
                seq += 1;
                many.extend(message_v2(seq, 42, b"?", b""));
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
        let frame = wire.frame();
        match frame.tag {
            ACK_V2 => {
                let seq = u64_at(frame.payload(), 0);
                assert!(seq - acked <= 1000, "no ack from {acked} to {seq}");
                acked = seq;
            }
            KEEPALIVE2_ACK_V2 => alive += 1,
            other => panic!("tag {other}"),
        }
    }
    listener.close(soon()).unwrap();
    haste.join().unwrap();
}

/// Answers each message with a large one, as long as it can.
struct Answers(usize);

impl Dispatcher for Answers {
    fn dispatch(&self, con: &Connection, msg: Message) {
        let answer = Message::new(43, msg.front).with_data(vec![1; self.0]);
        let _ = con.send(answer);
    }
}

#[test]
fn who_reads_no_answers_is_asked_for_no_more_questions() {
    let data = 4 << 20;
    let (_messenger, listener) = serve_by(Policy::STATELESS_SERVER, Arc::new(Answers(data)));
    let mut wire = open(addr(&listener), 1);
    wire.stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut sent = 0;
    while wire.stream.write_all(&message_v2(sent + 1, 42, b"", &[0; 60_000])).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "it reads without end");
    }
    let held = only(&listener).counters();
    assert!(held.received < sent, "{} of {sent} questions were read", held.received);
    let most = limits::OUT_QUEUE_BYTES + data;
    assert!(held.queued_bytes <= most, "{} bytes wait", held.queued_bytes);
    // Once it reads, it goes on: more answers come than questions had been read by then.
    let mut some = vec![0; 1 << 20];
    let (mut read, enough) = (0, (held.received as usize + 5) * data);
    while read < enough {
        let n = wire.stream.read(&mut some).expect("answers");
        assert!(n > 0);
        read += n;
    }
    listener.close(soon()).unwrap();
}
