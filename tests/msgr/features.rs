//! Features that one side demands.

use ceph_msgr::msgr::{Fault, Options};
use ceph_msgr::types::Features;

use crate::common::client::until;
use crate::end::*;
use crate::fake::{Event, ping};

for_each_protocol!(feature_test);
sealed_too!(feature_test);

/// A client without a feature that the server demands gets no connection; with it, it does.
fn feature_test(protocol: Protocol) {
    let less = (0..10).fold(0, |bits, n| bits | 1 << n)
        | Features::MSG_ADDR2.mask
        | Features::SERVER_NAUTILUS.mask;
    let required = less | 1 << 13;
    let all = required | 1 << 14;
    let options = |supported, required| Options {
        supported: Features(supported),
        required: Features(required),
        ..Options::default()
    };
    let mut config = Config::server(protocol);
    config.options = options(all, required);
    let server = End::fake(config, true);

    let mut config = Config::client(protocol);
    config.options = options(less, 0);
    let client = End::client(config.clone());
    let con = client.connect_to(&server, server.addr());
    let _ = con.send(ping(1));
    until("the client gives up", || con.is_closed());
    client.dispatcher.wait(Event::Reset, 1);
    assert_eq!(client.dispatcher.count(Event::Connected), 0);
    assert_eq!(con.counters().last_fault, Some(Fault::FeaturesMissing(Features(1 << 13))));
    assert_eq!(server.dispatcher.count(Event::Accepted), 0);
    client.shutdown();

    config.options = options(all, 0);
    let client = End::client(config);
    let con = client.connect_to(&server, server.addr());
    con.send(ping(2)).expect("sent");
    client.dispatcher.wait(Event::Message, 1);
    assert_eq!(client.dispatcher.got(&con), [2]);
    assert_eq!(con.features(), Features(all));
    client.shutdown();
    server.shutdown();
}
