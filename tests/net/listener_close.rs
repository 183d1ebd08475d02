//! The end of a listener, and of what it has accepted.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{ConState, Policy};
use ceph_msgr::net::{Connection, Dispatcher, Listener};

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::dialler::*;
use crate::common::server::*;

#[test]
fn close_ends_half_open_sockets_and_sessions_and_waits_for_both() {
    let (messenger, listener, heards) = serve(Policy::STATEFUL_SERVER, patient());
    let mut silent = dial(addr(&listener));
    silent.recv(281);
    let mut halfway = dial(addr(&listener));
    halfway.introduce(LOCALHOST, 1);
    let mut open = dial(addr(&listener));
    open.open_session(2, &Connect { flags: 0, ..ask() });
    heards.accepted();
    let at = addr(&listener);
    listener.close(soon()).unwrap();
    assert_eq!(messenger.connections(), 0);
    [silent, halfway, open].iter_mut().for_each(Wire::wait_closed);
    assert!(std::net::TcpStream::connect(at).is_err(), "nobody listens any more");
    assert!(heards.rest().is_empty(), "who closes is not told of it");
}

#[test]
fn a_connection_that_somebody_holds_outlives_its_listener() {
    let (_messenger, listener, heards) = serve(Policy::STATELESS_SERVER, patient());
    let mut held_wire = dial(addr(&listener));
    held_wire.open_session(1, &ask());
    heards.accepted();
    let held = only(&listener);
    let mut other_wire = dial(addr(&listener));
    other_wire.open_session(2, &ask());
    heards.accepted();
    drop(listener);
    other_wire.wait_closed();
    held_wire.send_msg(1, 42, b"still here", b"");
    assert_eq!(heards.message().front[..], *b"still here");
    held.send(msg(b"so am I")).unwrap();
    assert_eq!(held_wire.msg().front, b"so am I");
    drop(held);
    held_wire.wait_closed();
}

/// Does something with each message, and tells what came of it.
struct Does<F>(Mutex<mpsc::Sender<String>>, F);

impl<F: Fn(&Connection) -> String + Send + Sync> Dispatcher for Does<F> {
    fn dispatch(&self, con: &Connection, _: ceph_msgr::msgr::Message) {
        let told = (self.1)(con);
        self.0.lock().unwrap().send(told).unwrap();
    }
}

fn does(
    f: impl Fn(&Connection) -> String + Send + Sync + 'static,
) -> (ceph_msgr::net::Messenger, Listener, mpsc::Receiver<String>) {
    let messenger = osd(Policy::STATELESS_SERVER, patient());
    let (tx, rx) = mpsc::channel();
    let acceptor = acceptor(Arc::new(Does(Mutex::new(tx), f)));
    let listener = messenger.bind(&[v1(LOCALHOST)], acceptor).unwrap();
    (messenger, listener, rx)
}

#[test]
fn a_callback_may_send_and_close() {
    let (_messenger, listener, told) = does(|con| {
        con.send(msg(b"last words")).unwrap();
        format!("{:?}", con.close(soon()))
    });
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &ask());
    wire.send_msg(1, 42, b"", b"");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "Ok(())");
    assert_eq!(wire.msg().front, b"last words");
    wire.wait_closed();
    until("the listener lets go", || listener.counts().connections == 0);
    listener.close(soon()).unwrap();
}

#[test]
fn a_callback_may_close_the_listener_and_outlive_its_wait() {
    let place: Arc<Mutex<Option<Listener>>> = Arc::default();
    let (closing, mine) = (mpsc::channel(), place.clone());
    let go = Mutex::new(closing.1);
    let (_messenger, listener, told) = does(move |con| {
        let listener = mine.lock().unwrap().take();
        let closed = listener.map(|listener| listener.close(soon()));
        let sent = con.send(msg(b"late")).unwrap_err();
        // Whoever waits for this thread would wait long.
        go.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        format!("{closed:?} {:?}", sent.kind())
    });
    let at = addr(&listener);
    *place.lock().unwrap() = Some(listener);
    let mut wire = dial(at);
    wire.open_session(1, &ask());
    wire.send_msg(1, 42, b"", b"");
    until("nobody listens any more", || std::net::TcpStream::connect(at).is_err());
    closing.0.send(()).unwrap();
    assert_eq!(
        told.recv_timeout(PATIENCE).unwrap(),
        format!("Some(Ok(())) {:?}", ErrorKind::Closed)
    );
    wire.wait_closed();
}

#[test]
fn close_waits_for_a_callback_to_its_deadline() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let (entered_tx, entered) = mpsc::channel();
    let entered_tx = Mutex::new(entered_tx);
    let (messenger, listener, told) = does(move |con| {
        entered_tx.lock().unwrap().send(()).unwrap();
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        con.state().to_string()
    });
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &ask());
    wire.send_msg(1, 42, b"", b"");
    entered.recv_timeout(PATIENCE).unwrap();
    let deadline = ceph_msgr::net::Deadline::after(std::time::Duration::from_millis(50));
    let error = listener.close(deadline).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("its thread did not end in time"), "{error}");
    go.send(()).unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    wire.wait_closed();
    until("its thread has ended", || messenger.connections() == 0);
}

#[test]
fn shutdown_of_the_messenger_leaves_the_listener() {
    let (messenger, listener, heards) = serve(Policy::STATELESS_SERVER, patient());
    let mut wire = dial(addr(&listener));
    wire.open_session(1, &ask());
    heards.accepted();
    messenger.shutdown(soon()).unwrap();
    wire.wait_closed();
    let mut wire = dial(addr(&listener));
    wire.open_session(2, &ask());
    heards.accepted();
    assert_eq!(only(&listener).state(), ConState::Open);
    listener.close(soon()).unwrap();
}
