//! Sessions that outlive their sockets.

use ceph_msgr::msgr::Policy;

use crate::common::client::until;
use crate::end::*;
use crate::fake::{Event, ping};
use crate::interceptor::{Interceptor, Step};

for_each_protocol!(
    missing_server_iden_test,
    missing_server_iden_test_2,
    reconnect_test,
    reconnect_race_test,
);

/// `MissingServerIdenTest`: the server fails before its answer (SERVER_IDENT; READY or SEQ in v1) is out, with a
/// message for the client: nothing is lost or doubled.
///
/// Ceph's lossy client dials again if it was never connected. Ours has ended, as its owner is told,
/// and it is the owner that dials again; the server's session is the same.
fn missing_server_iden_test(protocol: Protocol) {
    let server = End::fake(Config::server(protocol).policy(Policy::STATEFUL_SERVER), false);
    let client = End::fake(Config::client(protocol), false);
    let to_server = Interceptor::new(protocol, server.addr());
    let ident = to_server.hold(Step::ServerIdent);
    let first = client.connect_to(&server, to_server.addr());
    first.send(ping(1)).expect("sent");
    ident.wait();
    let accepted = server.accepted();
    accepted.send(ping(2)).expect("queued");
    ident.cut();
    client.dispatcher.wait(Event::Reset, 1);
    let c2s = client.connect_to(&server, to_server.addr());
    assert_ne!(c2s.id(), first.id());
    c2s.send(ping(1)).expect("sent");
    server.dispatcher.wait(Event::Message, 1);
    client.dispatcher.wait(Event::Message, 1);
    is_connected(&c2s);
    is_connected(&accepted);
    assert_eq!(client.dispatcher.got(&c2s), [2]);
    assert_eq!(server.dispatcher.got(&accepted), [1]);
    assert_eq!(server.accepted().id(), accepted.id());
    assert_eq!(server.dispatcher.count(Event::RemoteReset), 0, "it was never open");
    client.shutdown();
    server.shutdown();
}

/// `MissingServerIdenTest2`: the same between peers, and it is the server, which has a message to
/// send, that dials.
fn missing_server_iden_test_2(protocol: Protocol) {
    let server = End::fake(Config::server(protocol).policy(Policy::LOSSLESS_PEER), false);
    let client = End::fake(Config::client(protocol).policy(Policy::LOSSLESS_PEER), false);
    let (to_server, to_client) =
        (Interceptor::new(protocol, server.addr()), Interceptor::new(protocol, client.addr()));
    to_server.comes_from(&to_client);
    to_client.comes_from(&to_server);
    let ident = to_server.hold(Step::ServerIdent);
    let c2s = client.connect_to(&server, to_server.addr());
    ident.wait();
    let s2c = server.accepted();
    s2c.send(ping(2)).expect("queued");
    // Ceph's client stands by meanwhile. Ours, which was never open, dials again as well: its
    // attempt is kept from getting anywhere.
    let _again = to_server.hold(Step::ClientBanner);
    ident.cut();
    client.dispatcher.wait(Event::Message, 1);
    is_connected(&c2s);
    is_connected(&s2c);
    assert_eq!(client.dispatcher.got(&c2s), [2]);
    assert!(server.dispatcher.got(&s2c).is_empty());
    assert_eq!(client.dispatcher.count(Event::Accepted), 1);
    assert_eq!(server.dispatcher.count(Event::Connected), 1);
    assert_eq!((client.messenger.connections(), server.messenger.connections()), (1, 1));
    client.shutdown();
    server.shutdown();
}

/// The client fails while it receives a message: one reconnect, one answer to it, and what was
/// under way comes, once.
fn reconnect_test(protocol: Protocol) {
    let server = End::fake(Config::server(protocol).policy(Policy::STATEFUL_SERVER), true);
    let client = End::fake(Config::client(protocol).policy(Policy::LOSSLESS_PEER), false);
    let to_server = Interceptor::new(protocol, server.addr());
    let c2s = client.connect_to(&server, to_server.addr());
    c2s.send(ping(1)).expect("sent");
    client.dispatcher.wait(Event::Message, 1);
    is_connected(&c2s);
    assert_eq!(client.dispatcher.got(&c2s), [1]);
    let answer = to_server.hold(Step::ServerMessage);
    c2s.send(ping(2)).expect("sent");
    answer.wait();
    let reconnected = to_server.hold(Step::ReconnectOk);
    answer.cut();
    c2s.send(ping(3)).expect("sent");
    reconnected.wait();
    let accepted = server.accepted();
    assert_eq!(to_server.count(Step::Reconnect), 1);
    assert_eq!(to_server.count(Step::ReconnectOk), 1);
    assert_eq!(to_server.count(Step::ClientIdent), 1, "the first");
    assert_eq!(accepted.counters().faults, 1);
    reconnected.go();
    client.dispatcher.wait(Event::Message, 3);
    assert_eq!(client.dispatcher.got(&c2s), [1, 2, 3]);
    assert_eq!(server.dispatcher.got(&accepted), [1, 2, 3]);
    let counters = c2s.counters();
    assert_eq!((counters.opened, counters.faults), (2, 1), "{counters:?}");
    assert_eq!((to_server.sockets(), to_server.count(Step::SessionRetry)), (2, 0));
    client.shutdown();
    server.shutdown();
}

/// The client fails, and both ends reconnect: the server wins, and each of its reconnects but the
/// last was answered with a retry.
fn reconnect_race_test(protocol: Protocol) {
    let server = End::fake(Config::server(protocol).policy(Policy::LOSSLESS_PEER), true);
    let client = End::fake(Config::client(protocol).policy(Policy::LOSSLESS_PEER), false);
    let (to_server, to_client) =
        (Interceptor::new(protocol, server.addr()), Interceptor::new(protocol, client.addr()));
    to_server.comes_from(&to_client);
    to_client.comes_from(&to_server);
    let c2s = client.connect_to(&server, to_server.addr());
    c2s.send(ping(1)).expect("sent");
    client.dispatcher.wait(Event::Message, 1);
    assert_eq!(client.dispatcher.got(&c2s), [1]);
    let answer = to_server.hold(Step::ServerMessage);
    c2s.send(ping(2)).expect("sent");
    answer.wait();
    let s2c = server.accepted();
    let both = [to_server.hold(Step::Reconnect), to_client.hold(Step::Reconnect)];
    answer.cut();
    c2s.send(ping(3)).expect("sent");
    both.iter().for_each(|hold| hold.wait());
    let reconnected = to_client.hold(Step::ReconnectOk);
    both.into_iter().for_each(|hold| hold.go());
    reconnected.wait();
    let reconnects = to_client.count(Step::Reconnect);
    assert!((1..=2).contains(&reconnects), "{reconnects}");
    assert_eq!(to_client.count(Step::SessionRetry), reconnects - 1);
    assert_eq!(to_client.count(Step::ReconnectOk), 1);
    assert_eq!(to_server.count(Step::Reconnect), 1);
    assert_eq!(to_server.count(Step::ReconnectOk), 0);
    reconnected.go();
    client.dispatcher.wait(Event::Message, 3);
    assert_eq!(client.dispatcher.got(&c2s), [1, 2, 3]);
    assert_eq!(server.dispatcher.got(&s2c), [1, 2, 3]);
    until("both are connected", || [&c2s, &s2c].iter().all(|con| con.counters().opened == 2));
    is_connected(&c2s);
    is_connected(&s2c);
    client.shutdown();
    server.shutdown();
}
