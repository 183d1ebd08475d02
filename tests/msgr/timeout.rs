//! Connections on which nothing happens.

use std::time::Duration;

use ceph_msgr::error::ErrorKind;

use crate::end::*;
use crate::fake::{Event, ping};

for_each_protocol!(timeout_test);
sealed_too!(timeout_test);

/// A quiet connection is closed after a second (`ms_connection_idle_timeout`), by both ends.
fn timeout_test(protocol: Protocol) {
    let mut configs = [Config::server(protocol), Config::client(protocol)];
    configs.iter_mut().for_each(|c| c.timeouts.idle = Some(Duration::from_secs(1)));
    let [server, client] = configs;
    let (server, client) = (End::fake(server, true), End::client(client));
    let con = client.connect_to(&server, server.addr());
    con.send(ping(1)).expect("sent");
    client.dispatcher.wait(Event::Message, 1);
    assert_eq!(client.dispatcher.got(&con), [1]);
    for end in [&client, &server] {
        end.dispatcher.wait(Event::Reset, 1);
    }
    let error = con.send(ping(2)).expect_err("it has ended");
    assert!(
        matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Closed | ErrorKind::Io),
        "{error}"
    );
    client.shutdown();
    server.shutdown();
}
