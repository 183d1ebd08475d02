//! Servers that remember nothing.

use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::Policy;

use crate::common::client::until;
use crate::end::*;
use crate::fake::{Event, ping};

for_each_protocol!(stateless_test);
sealed_too!(stateless_test);

/// The server loses its state with the socket. The client notices by a keepalive that the server has
/// gone, and ends.
fn stateless_test(protocol: Protocol) {
    let server = End::fake(Config::server(protocol).policy(Policy::STATELESS_SERVER), true);
    let client = End::client(Config::client(protocol).policy(Policy::LOSSY_CLIENT));
    let con = client.connect_to(&server, server.addr());
    con.send(ping(1)).expect("sent");
    client.dispatcher.wait(Event::Message, 1);
    assert_eq!(client.dispatcher.got(&con), [1]);
    mark_down(&con);
    server.dispatcher.wait(Event::Reset, 1);

    let con = client.connect_to(&server, server.addr());
    con.send(ping(2)).expect("sent");
    client.dispatcher.wait(Event::Message, 2);
    assert_eq!(client.dispatcher.got(&con), [2]);
    let server_con = server.dispatcher.last_accept();
    assert_eq!(server.dispatcher.got(&server_con), [2], "it began anew");

    mark_down(&server_con);
    con.keepalive();
    until("the client notices", || con.is_closed());
    client.dispatcher.wait(Event::Reset, 1);
    assert_eq!(con.send(ping(3)).expect_err("it has ended").kind(), ErrorKind::Closed);
    let con = client.connect_to(&server, server.addr());
    con.send(ping(4)).expect("sent");
    client.dispatcher.wait(Event::Message, 3);
    assert_eq!(client.dispatcher.got(&con), [4]);
    for end in [&client, &server] {
        assert_eq!(end.dispatcher.count(Event::RemoteReset), 0);
        assert_eq!(end.dispatcher.count(Event::Reset), 1);
    }
    drop(server_con);
    client.shutdown();
    server.shutdown();
}
