//! Servers that keep a session over the end of its socket.

use ceph_msgr::msgr::{ConState, Policy};

use crate::common::client::until;
use crate::end::*;
use crate::fake::{Event, ping};

for_each_protocol!(stateful_test, client_standby_test);
sealed_too!(stateful_test, client_standby_test);

/// The server keeps its state when the client marks its connection down, and sees a remote reset
/// when the client comes back as a new one. When the server marks its own down, the client
/// reconnects and sees the remote reset.
fn stateful_test(protocol: Protocol) {
    let server = End::fake(Config::server(protocol).policy(Policy::STATEFUL_SERVER), true);
    let client = End::client(Config::client(protocol).policy(LOSSLESS_CLIENT));
    let con = client.connect_to(&server, server.addr());
    con.send(ping(1)).expect("sent");
    client.dispatcher.wait(Event::Message, 1);
    assert_eq!(client.dispatcher.got(&con), [1]);
    mark_down(&con);
    let server_con = server.session_of(&server.dispatcher.last_accept());
    assert_eq!(server.dispatcher.got(&server_con), [1]);
    until("the server stands by", || server_con.state() == ConState::Standby);
    assert_eq!(server.dispatcher.got(&server_con), [1], "its state is kept");

    let con = client.connect_to(&server, server.addr());
    con.send(ping(2)).expect("sent");
    client.dispatcher.wait(Event::Message, 2);
    assert_eq!(client.dispatcher.got(&con), [2]);
    server.dispatcher.wait(Event::RemoteReset, 1);
    assert_eq!(server.session_of(&server_con).id(), server_con.id());
    assert_eq!(server.dispatcher.got(&server_con), [2]);

    assert_eq!(client.dispatcher.count(Event::RemoteReset), 0);
    assert_eq!(client.dispatcher.count(Event::Connected), 2);
    mark_down(&server_con);
    client.dispatcher.wait(Event::RemoteReset, 1);
    client.dispatcher.wait(Event::Connected, 3);
    is_connected(&con);
    con.send(ping(3)).expect("sent");
    client.dispatcher.wait(Event::Message, 3);
    assert_eq!(client.dispatcher.got(&con), [3]);
    let server_con = server.session_of(&server.dispatcher.last_accept());
    assert_eq!(server.dispatcher.got(&server_con), [3]);
    assert_eq!(server.dispatcher.count(Event::RemoteReset), 1);
    assert_eq!(client.dispatcher.count(Event::Reset) + server.dispatcher.count(Event::Reset), 0);
    drop(server_con);
    client.shutdown();
    server.shutdown();
}

/// A client with nothing to send stands by when its socket breaks. What it sends next wakes it; the
/// server has lost the session, so that is lost, as the client hears; then traffic resumes.
fn client_standby_test(protocol: Protocol) {
    let server = End::fake(Config::server(protocol).policy(Policy::STATEFUL_SERVER), true);
    let client = End::client(Config::client(protocol).policy(Policy::LOSSLESS_PEER));
    let con = client.connect_to(&server, server.addr());
    con.send(ping(1)).expect("sent");
    client.dispatcher.wait(Event::Message, 1);
    assert_eq!(client.dispatcher.got(&con), [1]);
    con.acked(crate::common::client::soon()).expect("nothing is under way");
    let server_con = server.session_of(&server.dispatcher.last_accept());
    assert_eq!(client.dispatcher.count(Event::RemoteReset), 0);
    mark_down(&server_con);
    until("the client stands by", || con.state() == ConState::Standby);
    assert_eq!(client.dispatcher.count(Event::Connected), 1);

    con.send(ping(2)).expect("sent");
    client.dispatcher.wait(Event::RemoteReset, 1);
    client.dispatcher.wait(Event::Connected, 2);
    is_connected(&con);
    con.send(ping(3)).expect("sent");
    client.dispatcher.wait(Event::Message, 2);
    assert_eq!(client.dispatcher.got(&con), [3]);
    let server_con = server.session_of(&server.dispatcher.last_accept());
    assert_eq!(server.dispatcher.got(&server_con), [3]);
    drop(server_con);
    client.shutdown();
    server.shutdown();
}
