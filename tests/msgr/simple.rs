//! Round trips, other ports, ends.

use ceph_msgr::error::ErrorKind;

use crate::end::*;
use crate::fake::{Event, ping};

for_each_protocol!(simple_test, simple_msgr2_test, anon_test);
sealed_too!(simple_test, simple_msgr2_test, anon_test);

/// Round trip; the server moves to another port; mark_down; a connection to oneself; a dead peer.
fn simple_test(protocol: Protocol) {
    simple(protocol, &[protocol]);
}

/// The same with a server that listens for both protocols.
fn simple_msgr2_test(protocol: Protocol) {
    let other = if protocol == Protocol::V1 { Protocol::V2 } else { Protocol::V1 };
    simple(protocol, &[protocol, other]);
}

fn simple(protocol: Protocol, listens: &[Protocol]) {
    let (config, client) = (Config::server(protocol), Config::client(protocol));
    let addrs = listens.len();
    let free: Vec<_> = listens.iter().map(|p| p.addr(LOCALHOST, 0)).collect();
    let mut server = End::new(config.clone(), crate::fake::FakeDispatcher::new(true));
    server.bind(&free);
    let client = End::client(client);
    let mut answers = 0;
    for addr in server.addrs() {
        let con = client.connect_to(&server, addr);
        con.send(ping(1)).expect("sent");
        answers += 1;
        client.dispatcher.wait(Event::Message, answers);
        is_connected(&con);
        assert_eq!(con.peer().addr.sockaddr, Some(addr));
        assert_eq!(client.dispatcher.got(&con), [1]);
        mark_down(&con);
    }
    let types = |end: &End| end.listener.as_ref().map(|l| l.addrs().to_vec());
    let types = types(&server).expect("it listens").into_iter().map(|a| a.addr_type);
    assert!(types.eq(free.iter().map(|a| a.addr_type)));
    let before = server.addrs();
    server.dispatcher.wait(Event::Reset, addrs);
    server.unbind();
    server.bind(&free);
    let con = client.connect_to(&server, server.addr());
    con.send(ping(2)).expect("sent");
    client.dispatcher.wait(Event::Message, answers + 1);
    assert_eq!(client.dispatcher.got(&con), [2]);
    mark_down(&con);
    assert_eq!(con.send(ping(3)).expect_err("it is down").kind(), ErrorKind::Closed);
    assert_eq!(client.dispatcher.count(Event::Reset), 0, "who marks down is not told");
    let after = server.addrs();
    server.dispatcher.wait(Event::Reset, addrs + 1);
    loopback(&server, addrs + 1);
    let server_is_gone = End::client(config);
    server.shutdown();
    let dead: Vec<_> = before.into_iter().chain(after).collect();
    for (n, addr) in dead.iter().enumerate() {
        let con = client.connect_to(&server_is_gone, *addr);
        // It may have ended before that.
        let _ = con.send(ping(4));
        client.dispatcher.wait(Event::Reset, n + 1);
        assert!(con.is_closed());
    }
    assert_eq!(client.dispatcher.count(Event::Refused), dead.len());
    client.shutdown();
}

/// A connection to oneself is one like any other, through its own listener: what goes out at one
/// end comes in at the other. `resets` have been told before.
fn loopback(server: &End<crate::fake::FakeDispatcher>, resets: usize) {
    let before = server.dispatcher.count(Event::Message);
    let con = server.connect_anon(server, server.addr());
    con.send(ping(5)).expect("sent");
    // It answers at either end.
    server.dispatcher.wait(Event::Message, before + 2);
    assert_eq!(server.dispatcher.got(&con).first(), Some(&5));
    mark_down(&con);
    server.dispatcher.wait(Event::Reset, resets + 1);
}

/// Two anonymous connections to one server are distinct at both ends.
fn anon_test(protocol: Protocol) {
    let server = End::fake(Config::server(protocol), true);
    let client = End::client(Config::client(protocol));
    let mut all = Vec::new();
    for n in 1..=2 {
        let con = client.connect_anon(&server, server.addr());
        con.send(ping(n)).expect("sent");
        client.dispatcher.wait(Event::Message, n as usize);
        assert_eq!(client.dispatcher.got(&con), [n]);
        all.push((con, server.dispatcher.last_accept()));
    }
    let [(con_a, server_a), (con_b, server_b)] = &all[..] else { unreachable!("two") };
    assert_ne!(con_a.id(), con_b.id());
    assert_ne!(server_a.id(), server_b.id());
    con_a.send(ping(3)).expect("sent");
    con_b.send(ping(4)).expect("sent");
    client.dispatcher.wait(Event::Message, 4);
    assert_eq!(
        (client.dispatcher.got(con_a), client.dispatcher.got(con_b)),
        (vec![1, 3], vec![2, 4])
    );
    assert_eq!(
        (server.dispatcher.got(server_a), server.dispatcher.got(server_b)),
        (vec![1, 3], vec![2, 4])
    );
    mark_down(con_a);
    mark_down(con_b);
    server.dispatcher.wait(Event::Reset, 2);
    drop(all);
    client.shutdown();
    server.shutdown();
}
