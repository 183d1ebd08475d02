//! Sockets that are full.

use std::collections::VecDeque;
use std::sync::{Arc, Barrier, Condvar, Mutex};

use bytes::Bytes;
use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{Message, Policy};
use ceph_msgr::net::{Connection, Dispatcher};

use crate::common::client::*;
use crate::end::*;
use crate::fake::CEPH_MSG_PING;

for_each_protocol!(synthetic_inject_test_5);
sealed_too!(synthetic_inject_test_5);

/// Ceph's has 5,000 messages.
const MESSAGES: u32 = 40;
const LEN: usize = 6_000_000;
/// How many of them an end takes in before it is read.
const HELD: usize = 2;

/// Keeps what comes until it is asked for: so long no more is read from the socket.
#[derive(Debug, Default)]
struct Keeper {
    kept: Mutex<VecDeque<Message>>,
    changed: Condvar,
    accepted: Mutex<Vec<Connection>>,
}

impl Keeper {
    fn take(&self) -> Message {
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut kept = self.kept.lock().expect("no panic");
        loop {
            if let Some(msg) = kept.pop_front() {
                return msg;
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            assert!(!left.is_zero(), "no message");
            kept = self.changed.wait_timeout(kept, left).expect("no panic").0;
        }
    }
}

impl Dispatcher for Keeper {
    fn dispatch(&self, _: &Connection, msg: Message) {
        self.kept.lock().expect("no panic").push_back(msg);
        self.changed.notify_all();
    }

    fn accepted(&self, con: &Connection) {
        self.accepted.lock().expect("no panic").push(con.clone());
    }
}

/// Messages of 6 MB over two connections, in both directions at once, where Ceph's simulates that
/// sockets are full: the receivers take in two and stop, so all that is between is full, up to the
/// senders, who are refused. Then all arrives, in order.
fn synthetic_inject_test_5(protocol: Protocol) {
    let config = |config: Config, policy| Config { policy, throttle: (HELD, LEN * HELD), ..config };
    let server = config(Config::server(protocol), Policy::STATEFUL_SERVER);
    let server = End::bound(server, Arc::new(Keeper::default()));
    let clients = [300, 301].map(|nonce| {
        let client = config(Config::client(protocol).nonce(nonce), LOSSLESS_CLIENT);
        End::new(client, Arc::new(Keeper::default()))
    });
    let cons = clients.each_ref().map(|c| c.connect_to(&server, server.addr()));
    cons.iter().for_each(|con| con.wait_open(soon()).expect("open"));
    let accepted = || server.dispatcher.accepted.lock().expect("no panic");
    until("both are accepted", || accepted().len() == 2);
    let backs = std::mem::take(&mut *accepted());
    let data = Bytes::from((0..LEN).map(|at| (at / 5) as u8).collect::<Vec<_>>());
    let message = |sender: usize, n: u32| {
        let front = [sender as u32, n].map(u32::to_le_bytes).concat();
        Message::new(CEPH_MSG_PING, front).with_data(data.clone())
    };
    let senders: Vec<&Connection> = cons.iter().chain(&backs).collect();
    let full = Barrier::new(senders.len() + 1);
    std::thread::scope(|scope| {
        for (sender, con) in senders.iter().enumerate() {
            let (full, message) = (&full, &message);
            scope.spawn(move || {
                // Until neither socket nor queue has room.
                let mut n = 0;
                loop {
                    match con.try_send(message(sender, n)) {
                        Ok(_) => n += 1,
                        Err(refused) => {
                            break assert_eq!(refused.error.kind(), ErrorKind::WouldBlock);
                        }
                    }
                }
                assert!(n < MESSAGES, "{n} were taken");
                full.wait();
                for n in n..MESSAGES {
                    con.send(message(sender, n)).expect("room in time");
                }
            });
        }
        full.wait();
        for con in &senders {
            assert!(con.counters().queued_bytes >= LEN, "{:?}", con.counters());
            assert!(con.flush(std::time::Duration::ZERO.into()).is_err(), "all is out");
        }
        let mut next = vec![0; senders.len()];
        let mut take = |keeper: &Keeper| {
            let msg = keeper.take();
            let [sender, n] =
                [0, 4].map(|at| u32::from_le_bytes(*msg.front[at..].first_chunk().expect("4")));
            assert_eq!(n, next[sender as usize], "of sender {sender}");
            next[sender as usize] += 1;
            assert!(msg.data == data, "message {n} of sender {sender} has other data");
        };
        for _ in 0..MESSAGES {
            take(&server.dispatcher);
            take(&server.dispatcher);
            clients.iter().for_each(|client| take(&client.dispatcher));
        }
        assert_eq!(next, vec![MESSAGES; senders.len()]);
    });
    for con in cons.iter().chain(&backs) {
        con.acked(soon()).expect("all has come");
        assert_eq!(con.counters().faults, 0);
    }
    drop(backs);
    clients.into_iter().for_each(End::close);
    server.close();
}
