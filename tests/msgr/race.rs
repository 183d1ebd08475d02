//! Both ends dial each other.

use ceph_msgr::msgr::Policy;

use crate::end::*;
use crate::fake::{Event, ping};
use crate::interceptor::{Interceptor, Step};

for_each_protocol!(connection_race_test, connection_race_reuse_banner_test);

/// Two lossless peers, and a proxy in front of each.
struct Peers {
    a: End,
    b: End,
    to_a: Interceptor,
    to_b: Interceptor,
}

impl Peers {
    fn new(protocol: Protocol) -> Self {
        let policy = Policy::LOSSLESS_PEER_REUSE;
        let a = End::fake(Config::client(protocol).policy(policy), false);
        let b = End::fake(Config::server(protocol).policy(policy), false);
        let (to_a, to_b) =
            (Interceptor::new(protocol, a.addr()), Interceptor::new(protocol, b.addr()));
        to_b.comes_from(&to_a);
        to_a.comes_from(&to_b);
        Self { a, b, to_a, to_b }
    }

    fn shutdown(self) {
        self.a.shutdown();
        self.b.shutdown();
    }
}

/// A dials B and B dials A, both are stopped before they say who they are: each message arrives
/// once, on the one session that remains.
fn connection_race_test(protocol: Protocol) {
    let peers = Peers::new(protocol);
    let Peers { a, b, to_a, to_b } = &peers;
    let holds = [to_b.hold(Step::ClientIdent), to_a.hold(Step::ClientIdent)];
    let c2s = a.connect_to(b, to_b.addr());
    c2s.send(ping(1)).expect("sent");
    let s2c = b.connect_to(a, to_a.addr());
    s2c.send(ping(2)).expect("sent");
    holds.iter().for_each(|hold| hold.wait());
    holds.into_iter().for_each(|hold| hold.go());
    a.dispatcher.wait(Event::Message, 1);
    b.dispatcher.wait(Event::Message, 1);
    is_connected(&c2s);
    is_connected(&s2c);
    assert_eq!((a.dispatcher.got(&c2s), b.dispatcher.got(&s2c)), (vec![2], vec![1]));
    for end in [a, b] {
        assert_eq!(end.messenger.connections(), 1);
        assert_eq!(end.dispatcher.count(Event::Reset), 0);
        assert_eq!(end.dispatcher.count(Event::RemoteReset), 0);
    }
    peers.shutdown();
}

/// B's attempt has come so far that B has said who it is, A's own waits for a banner: B's takes the
/// place of A's, which sees neither a fault nor a second opening.
fn connection_race_reuse_banner_test(protocol: Protocol) {
    let peers = Peers::new(protocol);
    let Peers { a, b, to_a, to_b } = &peers;
    let ident = to_a.hold(Step::ClientIdent);
    let s2c = b.connect_to(a, to_a.addr());
    s2c.send(ping(1)).expect("sent");
    ident.wait();
    let banner = to_b.hold(Step::ServerBanner);
    let c2s = a.connect_to(b, to_b.addr());
    c2s.send(ping(2)).expect("sent");
    banner.wait();
    let ready = to_a.hold(Step::ServerIdent);
    ident.go();
    ready.wait();
    // The session is A's accepted one now, whatever comes through the other socket.
    banner.go();
    ready.go();
    a.dispatcher.wait(Event::Message, 1);
    b.dispatcher.wait(Event::Message, 1);
    is_connected(&c2s);
    is_connected(&s2c);
    assert_eq!((a.dispatcher.got(&c2s), b.dispatcher.got(&s2c)), (vec![1], vec![2]));
    // Established once on each side, by one socket, and never broken.
    assert_eq!((to_a.sockets(), to_b.sockets()), (1, 1));
    assert_eq!(to_b.count(Step::ClientIdent), 0);
    for (end, con, how) in [(a, &c2s, Event::Accepted), (b, &s2c, Event::Connected)] {
        let counters = con.counters();
        assert_eq!((counters.opened, counters.faults), (1, 0), "{counters:?}");
        assert_eq!(end.dispatcher.count(how), 1);
        assert_eq!(end.messenger.connections(), 1);
    }
    assert_eq!(b.dispatcher.count(Event::Accepted), 0, "A's own attempt has come to nothing");
    peers.shutdown();
}
