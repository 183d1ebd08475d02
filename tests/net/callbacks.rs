//! What a callback may do: it runs on the connection's own thread with no lock held, so that it may
//! send, close and drop; what would wait for that thread is refused.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};

use crate::common::acceptor::*;
use crate::common::client::*;
use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{ConState, Message, Policy};
use ceph_msgr::net::{Connection, Deadline, Dispatcher, Inbox, Messenger};

fn dial(messenger: &Messenger, acceptor: &Acceptor, dispatcher: Arc<dyn Dispatcher>) -> Connection {
    let peer = acceptor.peer(Policy::LOSSY_CLIENT);
    messenger.connect(peer, no_auth(), dispatcher).expect("a thread")
}

#[track_caller]
fn next<T>(rx: &Receiver<T>) -> T {
    rx.recv_timeout(PATIENCE).expect("the callback runs to its end")
}

#[test]
fn it_runs_on_the_thread_of_its_connection() {
    let (tx, rx) = mpsc::channel();
    let acceptor = Acceptor::new();
    let messenger = messenger(patient());
    let con = dial(&messenger, &acceptor, {
        hook(move |con, call| {
            let thread = std::thread::current();
            let name = thread.name().map(str::to_owned);
            tx.send((format!("{call:?}"), thread.id(), name, con.id())).unwrap();
        })
    });
    let mut wire = acceptor.open(true);
    wire.send_msg(1, 4, b"", b"");
    drop(wire);
    let calls: Vec<_> = (0..3).map(|_| next(&rx)).collect();
    let kinds = ["Connected", "Message", "Reset"];
    assert!(calls.iter().zip(kinds).all(|(c, kind)| c.0.starts_with(kind)), "{calls:?}");
    for (_, thread, name, id) in &calls {
        assert_eq!((thread, name.as_deref(), *id), (&calls[0].1, Some("msgr-osd.3"), con.id()));
    }
    assert_ne!(calls[0].1, std::thread::current().id());
}

#[test]
fn it_may_send() {
    let acceptor = Acceptor::new();
    let answer = hook(|con, call| {
        if let Call::Message(msg) = call {
            con.send(Message::new(msg.header.msg_type + 1, msg.front)).expect("it is open");
        }
    });
    let con = dial(&messenger(patient()), &acceptor, answer);
    let mut wire = acceptor.open(true);
    for seq in 1..=3 {
        wire.send_msg(seq, 4, b"who goes there", b"");
        let answer = wire.msg();
        assert_eq!(
            (answer.seq, answer.msg_type, &answer.front[..]),
            (seq, 5, &b"who goes there"[..])
        );
    }
    con.close(soon()).unwrap();
}

/// Two connections whose callbacks send on the other one, at full speed.
#[test]
fn two_connections_may_send_to_each_other() {
    const ROUNDS: u64 = 200;
    let acceptor = Acceptor::new();
    let messenger = messenger(patient());
    let cons: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let to_the_other = |other: usize| {
        let cons = cons.clone();
        hook(move |_, call| {
            if let Call::Message(msg) = call {
                let con = cons.lock().unwrap()[other].clone();
                con.send(msg).expect("it is open");
            }
        })
    };
    let mut wires = Vec::new();
    for other in [1, 0] {
        let con = dial(&messenger, &acceptor, to_the_other(other));
        wires.push(acceptor.open(true));
        cons.lock().unwrap().push(con);
    }
    std::thread::scope(|scope| {
        for wire in &mut wires {
            scope.spawn(|| {
                for seq in 1..=ROUNDS {
                    wire.send_msg(seq, 4, &seq.to_le_bytes(), b"");
                }
                for seq in 1..=ROUNDS {
                    assert_eq!(wire.msg().front, seq.to_le_bytes());
                }
            });
        }
    });
    messenger.shutdown(soon()).unwrap();
    cons.lock().unwrap().clear();
}

#[test]
fn it_may_close_its_own_connection() {
    let (tx, rx) = mpsc::channel();
    let acceptor = Acceptor::new();
    let messenger = messenger(patient());
    let con = dial(&messenger, &acceptor, {
        hook(move |con, call| {
            if let Call::Message(_) = call {
                // Waiting for itself would take for ever.
                let closed = con.close(Deadline::NEVER);
                let after = con.send(Message::new(1, vec![]));
                tx.send((closed.is_ok(), con.is_closed(), after.unwrap_err().kind())).unwrap();
            } else if let Call::Reset(text) = call {
                panic!("{text}: who closes it knows of the end");
            }
        })
    });
    let mut wire = acceptor.open(true);
    wire.send_msg(1, 4, b"", b"");
    wire.send_msg(2, 4, b"", b"");
    assert_eq!(next(&rx), (true, true, ErrorKind::Closed));
    wire.wait_closed();
    con.close(soon()).unwrap();
    assert_eq!((con.state(), con.counters().received), (ConState::Closed, 1));
    assert!(rx.try_recv().is_err(), "nothing is delivered after the end");
    assert_eq!(messenger.connections(), 0);
}

/// Each one's thread would wait for the other's.
#[test]
fn two_connections_may_close_each_other() {
    let (tx, rx) = mpsc::channel();
    let acceptor = Acceptor::new();
    let messenger = messenger(patient());
    let cons: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let meet = Arc::new(std::sync::Barrier::new(2));
    let close_the_other = |other: usize| {
        let (cons, tx, meet) = (cons.clone(), tx.clone(), meet.clone());
        hook(move |_, call| {
            if let Call::Message(_) = call {
                let con = cons.lock().unwrap()[other].clone();
                meet.wait();
                tx.send(con.close(Deadline::NEVER).is_ok()).unwrap();
            }
        })
    };
    let mut wires = Vec::new();
    for other in [1, 0] {
        let con = dial(&messenger, &acceptor, close_the_other(other));
        wires.push(acceptor.open(true));
        cons.lock().unwrap().push(con);
    }
    wires.iter_mut().for_each(|w| w.send_msg(1, 4, b"", b""));
    assert!(next(&rx) && next(&rx));
    messenger.shutdown(soon()).unwrap();
    wires.iter_mut().for_each(Wire::wait_closed);
    cons.lock().unwrap().clear();
}

#[test]
fn it_may_shut_the_messenger_down() {
    let (tx, rx) = mpsc::channel();
    let acceptor = Acceptor::new();
    let messenger = messenger(patient());
    let other = dial(&messenger, &acceptor, hook(|_, _| {}));
    let mut other_wire = acceptor.open(true);
    let _con = dial(&messenger, &acceptor, {
        let messenger = messenger.clone();
        hook(move |_, call| {
            if let Call::Message(_) = call {
                tx.send(messenger.shutdown(Deadline::NEVER).is_ok()).unwrap();
            }
        })
    });
    let mut wire = acceptor.open(true);
    wire.send_msg(1, 4, b"", b"");
    assert!(next(&rx));
    other_wire.wait_closed();
    wire.wait_closed();
    other.close(soon()).unwrap();
}

#[test]
fn it_may_drop_the_last_handle() {
    let (tx, rx) = mpsc::channel();
    let acceptor = Acceptor::new();
    let messenger = messenger(patient());
    let last: Arc<Mutex<Option<Connection>>> = Arc::default();
    let con = dial(&messenger, &acceptor, {
        let last = last.clone();
        hook(move |con, call| {
            if let Call::Message(_) = call {
                drop(last.lock().unwrap().take());
                // The one that was lent is good until the callback returns.
                tx.send(con.send(Message::new(9, vec![])).is_ok()).unwrap();
            }
        })
    });
    *last.lock().unwrap() = Some(con);
    let mut wire = acceptor.open(true);
    wire.send_msg(1, 4, b"", b"");
    assert!(next(&rx));
    assert_eq!(wire.msg().msg_type, 9);
    wire.wait_closed();
    messenger.shutdown(soon()).unwrap();
}

#[test]
fn what_would_wait_is_refused() {
    let (tx, rx) = mpsc::channel();
    let acceptor = Acceptor::new();
    let messenger = messenger(patient());
    let other = dial(&messenger, &acceptor, hook(|_, _| {}));
    let _other_wire = acceptor.open(true);
    let inbox = Inbox::new(1).unwrap();
    let con = dial(&messenger, &acceptor, {
        hook(move |con, call| {
            if let Call::Message(_) = call {
                let mut errors = vec![inbox.recv(Deadline::NEVER).map(drop)];
                for con in [con, &other] {
                    errors.push(con.wait_open(Deadline::NEVER));
                    errors.push(con.flush(Deadline::NEVER));
                    errors.push(con.acked(Deadline::NEVER));
                }
                tx.send(errors).unwrap();
            }
        })
    });
    let mut wire = acceptor.open(true);
    wire.send_msg(1, 4, b"", b"");
    for result in next(&rx) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldDeadlock);
    }
    // On another thread all of them are allowed.
    con.flush(soon()).unwrap();
    con.close(soon()).unwrap();
}

#[test]
fn one_that_panics_ends_its_connection_and_wakes_who_waits() {
    let acceptor = Acceptor::new();
    let messenger = messenger(patient());
    let con = dial(&messenger, &acceptor, {
        hook(|_, call| match call {
            Call::Message(_) => panic!("a callback of the test panics, as it should"),
            Call::Reset(text) => panic!("{text}: a second call"),
            _ => {}
        })
    });
    let mut wire = acceptor.accept();
    wire.hellos();
    let connect = wire.read_connect();
    // Lossless, so that it waits for an acknowledgement that does not come.
    con.send(Message::new(1, vec![])).unwrap();
    wire.open(&connect, false, 0);
    assert_eq!(wire.msg().seq, 1);
    let error = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| con.acked(soon()).unwrap_err());
        wire.send_msg(1, 4, b"", b"");
        waiter.join().unwrap()
    });
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().ends_with("a callback panicked"), "{error}");
    assert_eq!(con.send(Message::new(1, vec![])).unwrap_err().to_string(), error.to_string());
    con.close(soon()).unwrap();
    wire.wait_closed();
    messenger.shutdown(soon()).unwrap();
    // The messenger is as good as before.
    let con = dial(&messenger, &acceptor, hook(|_, _| {}));
    let _wire = acceptor.open(true);
    con.wait_open(soon()).unwrap();
}

#[test]
fn one_that_panics_at_the_end_does_no_harm() {
    let (tx, rx) = mpsc::channel();
    let acceptor = Acceptor::new();
    let con = dial(&messenger(patient()), &acceptor, {
        hook(move |_, call| {
            if let Call::Reset(text) = call {
                tx.send(text).unwrap();
                panic!("a callback of the test panics, as it should");
            }
        })
    });
    drop(acceptor.open(true));
    let text = next(&rx);
    con.close(soon()).unwrap();
    assert_eq!(con.flush(soon()).unwrap_err().to_string(), text);
}

/// The reason of the end is there for everyone before the owner's callback returns, or even runs.
#[test]
fn the_end_is_known_while_the_owner_is_told() {
    let (told_tx, told) = mpsc::channel();
    let (go, go_rx) = mpsc::channel::<()>();
    let go_rx = Mutex::new(go_rx);
    let acceptor = Acceptor::new();
    let con = dial(&messenger(patient()), &acceptor, {
        hook(move |con, call| {
            if let Call::Reset(text) = call {
                // Called on the thread that is ending, and still harmless.
                con.close(Deadline::NEVER).unwrap();
                told_tx.send(text).unwrap();
                go_rx.lock().unwrap().recv().unwrap();
            }
        })
    });
    acceptor.open(true).send(&[99]);
    let text = next(&told);
    assert!(text.ends_with("OPEN: bad tag 99"), "{text}");
    let error = con.send(Message::new(1, vec![])).unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::Protocol, text.clone()));
    assert_eq!(con.wait_open(soon()).unwrap_err().to_string(), text);
    // The thread has not ended, for its callback has not.
    let error = con.close(Deadline::after(std::time::Duration::ZERO)).unwrap_err();
    assert!(error.is_timeout() && error.to_string().contains("did not end in time"), "{error}");
    go.send(()).unwrap();
    con.close(soon()).unwrap();
}
