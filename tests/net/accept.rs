//! Both ends are ours: a listener and who dials it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ceph_msgr::auth::AuthNoneAuthorizeHandler;
use ceph_msgr::msgr::{ConState, Message, Options, Peer, Policies, Policy};
use ceph_msgr::net::{Acceptor, Connection, Listener, Messenger};
use ceph_msgr::types::{EntityName, EntityType};

use crate::common::client::*;

use crate::common::server::{LOCALHOST, v1};

/// A daemon's messenger, and what its dispatcher hears.
fn server(policy: Policy) -> (Messenger, Listener, Heards) {
    let name = EntityName::new(EntityType::OSD, 3);
    let messenger = Messenger::with_nonce(name, 7, Options::default(), patient());
    messenger.set_policies(Policies::new(policy));
    let (dispatcher, heards) = recorder();
    let acceptor = Acceptor::new(Arc::new(AuthNoneAuthorizeHandler), dispatcher);
    let listener = messenger.bind(&[v1(LOCALHOST)], acceptor).expect("a free port");
    (messenger, listener, heards)
}

fn dial(listener: &Listener, policy: Policy) -> (Messenger, Connection, Heards) {
    let messenger = messenger(patient());
    let (dispatcher, heards) = recorder();
    let peer =
        Peer { name: EntityName::new(EntityType::OSD, 3), addr: listener.addrs()[0], policy };
    let con = messenger.connect(peer, auth_none(), dispatcher).expect("a thread");
    (messenger, con, heards)
}

fn accepted(listener: &Listener) -> Connection {
    let mut all = listener.connections();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn msg(n: u32) -> Message {
    Message::new(42, n.to_le_bytes().to_vec()).with_data(vec![n as u8; 1000])
}

#[track_caller]
fn expect(heards: &Heards, numbers: impl IntoIterator<Item = u32>) {
    for n in numbers {
        let got = loop {
            match heards.next() {
                Heard::Message(msg) => break msg,
                Heard::Accepted | Heard::Connected => {}
                other => panic!("{other:?} before message {n}"),
            }
        };
        assert_eq!(got.front[..], n.to_le_bytes());
    }
}

#[test]
fn messages_go_both_ways_and_the_peer_is_known() {
    let (_messenger, listener, server) = server(Policy::STATELESS_SERVER);
    let (_ours, con, client) = dial(&listener, Policy::LOSSY_CLIENT);
    client.connected();
    server.accepted();
    for n in 1..=5 {
        con.send(msg(n)).expect("sent");
    }
    expect(&server, 1..=5);
    let back = accepted(&listener);
    assert_eq!(back.auth_peer().expect("it has shown itself").name.to_string(), "client.admin");
    assert_eq!(back.peer().name, EntityName::new(EntityType::CLIENT, 4100));
    back.send(msg(9)).expect("sent");
    expect(&client, [9]);
    con.close(soon()).expect("closed");
    server.reset();
    until("the listener lets go", || listener.counts().connections == 0);
    listener.close(soon()).expect("closed");
}

#[test]
fn a_lossless_session_outlives_its_sockets_with_nothing_lost_or_doubled() {
    let (_messenger, listener, server) = server(Policy::STATEFUL_SERVER);
    let (_ours, con, client) = dial(&listener, Policy::LOSSLESS_CLIENT);
    client.connected();
    server.accepted();
    let back = accepted(&listener);
    for round in 0..20 {
        let numbers = round * 100..(round + 1) * 100;
        for n in numbers.clone() {
            con.send(msg(n)).expect("sent");
            back.send(msg(n)).expect("sent");
            if n % 100 == 50 {
                if round % 2 == 0 { &con } else { &back }.inject_socket_failure();
            }
        }
        expect(&server, numbers.clone());
        expect(&client, numbers);
    }
    con.acked(soon()).expect("acknowledged");
    back.acked(soon()).expect("acknowledged");
    assert_eq!((con.state(), back.state()), (ConState::Open, ConState::Open));
    assert!(con.counters().opened > 10);
    listener.close(soon()).expect("closed");
}

/// Sends an answer, and returns only when it is told to.
struct Dawdles(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl ceph_msgr::net::Dispatcher for Dawdles {
    fn dispatch(&self, con: &Connection, msg: Message) {
        con.send(msg).expect("sent");
        self.0.lock().unwrap().recv_timeout(PATIENCE).expect("the answer came");
    }
}

#[test]
fn what_a_callback_sends_goes_out_before_it_returns() {
    for (theirs, ours) in [
        (Policy::STATELESS_SERVER, Policy::LOSSY_CLIENT),
        (Policy::STATEFUL_SERVER, Policy::LOSSLESS_CLIENT),
    ] {
        let (tx, rx) = std::sync::mpsc::channel();
        let messenger = crate::common::server::osd(theirs, patient());
        let dispatcher = Arc::new(Dawdles(std::sync::Mutex::new(rx)));
        let acceptor = crate::common::server::acceptor(dispatcher);
        let listener = messenger.bind(&[v1(LOCALHOST)], acceptor).expect("a free port");
        let (_ours, con, client) = dial(&listener, ours);
        client.connected();
        con.send(msg(1)).expect("sent");
        expect(&client, [1]);
        tx.send(()).expect("it waits");
        con.close(soon()).expect("closed");
        listener.close(soon()).expect("closed");
    }
}

#[test]
fn who_listens_everywhere_keeps_its_port_and_its_sessions() {
    let (_theirs, listener, server) = server(Policy::LOSSLESS_PEER_REUSE);
    let name = EntityName::new(EntityType::OSD, 4);
    let messenger = Messenger::with_nonce(name, 99, Options::default(), patient());
    let (dispatcher, _) = recorder();
    let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let acceptor = Acceptor::new(Arc::new(AuthNoneAuthorizeHandler), dispatcher);
    let own = messenger.bind(&[v1(anywhere)], acceptor).expect("a free port");
    let (dispatcher, client) = recorder();
    let policy = Policy::LOSSLESS_PEER_REUSE;
    let peer =
        Peer { name: EntityName::new(EntityType::OSD, 3), addr: listener.addrs()[0], policy };
    let auth = ceph_msgr::auth::AuthNoneAuthorizer {
        name: "osd.4".parse().expect("a name"),
        global_id: ceph_msgr::types::GlobalId(0),
    };
    let con = messenger.connect_to(peer, Arc::new(auth), dispatcher).expect("a thread");
    for n in 1..=3 {
        con.send(msg(n)).expect("sent");
        expect(&server, [n]);
        con.inject_socket_failure();
    }
    con.send(msg(4)).expect("sent");
    expect(&server, [4]);
    con.acked(soon()).expect("acknowledged");
    assert_eq!(messenger.local().addr().port(), own.addrs()[0].port());
    assert_eq!(listener.counts().connections, 1);
    assert!(client.rest().iter().all(|h| matches!(h, Heard::Connected | Heard::Accepted)));
    messenger.shutdown(soon()).expect("closed");
}
