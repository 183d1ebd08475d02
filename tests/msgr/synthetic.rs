//! Random work on many connections. The longest message is of 256 KiB where Ceph's is of 4 MiB.

use std::time::Duration;

use ceph_msgr::msgr::Policy;

use crate::end::*;
use crate::workload::{Plan, Workload};

for_each_protocol!(
    synthetic_stress_test,
    synthetic_stress_test_1,
    synthetic_inject_test,
    synthetic_inject_test_2,
    synthetic_inject_test_3,
    synthetic_inject_test_4,
);
// Between peers an OSD dials clients too, which nobody has tickets for.
sealed_too!(synthetic_stress_test, synthetic_inject_test, synthetic_inject_test_3);

fn synthetic_stress_test(protocol: Protocol) {
    let counts = Workload::new(protocol, Plan::new(8, 32, 5_000)).run();
    assert!(counts.pongs > 2_000 && counts.dropped > 300, "{counts:?}");
    assert_eq!(counts.resets, 0, "lossless sessions do not end by themselves: {counts:?}");
}

fn synthetic_stress_test_1(protocol: Protocol) {
    let plan = Plan { seeding: 10, make_and_drop: (80, 60), ..Plan::new(16, 32, 10_000) };
    let counts = Workload::new(protocol, plan.peers(Policy::LOSSLESS_PEER_REUSE)).run();
    assert!(counts.pongs > 2_000 && counts.dropped > 1_000, "{counts:?}");
    assert_eq!(counts.resets, 0, "{counts:?}");
}

/// One in 30 things that happen on a socket breaks it, and little may be held of what came (16 MiB
/// in Ceph's, for messages 16 times as long). What `ms_inject_internal_delays` does, the load on the
/// processors has to do.
fn injected(servers: usize, clients: usize) -> Plan {
    Plan { socket_failures: 30, ..Plan::new(servers, clients, 1_000) }
}

fn synthetic_inject_test(protocol: Protocol) {
    let plan = Plan { throttle_bytes: 1 << 20, ..injected(8, 32) };
    let counts = Workload::new(protocol, plan).run();
    assert!(counts.pongs > 400 && counts.failures > 30, "{counts:?}");
    assert_eq!(counts.resets, 0, "{counts:?}");
}

fn synthetic_inject_test_2(protocol: Protocol) {
    let plan = injected(8, 16).peers(Policy::LOSSLESS_PEER_REUSE);
    let counts = Workload::new(protocol, plan).run();
    assert!(counts.pongs > 400 && counts.failures > 30, "{counts:?}");
    assert_eq!(counts.resets, 0, "{counts:?}");
}

/// Lossy: what breaks ends, and the driver makes others.
fn synthetic_inject_test_3(protocol: Protocol) {
    let plan = Plan {
        server_policy: Policy::STATELESS_SERVER,
        client_policy: Policy::LOSSY_CLIENT,
        socket_failures: 600,
        ..Plan::new(8, 16, 1_000)
    };
    let counts = Workload::new(protocol, plan).run();
    assert!(counts.pongs > 400 && counts.failures > 1, "{counts:?}");
    assert_eq!(counts.remote_resets, 0, "{counts:?}");
    assert!(counts.resets >= counts.failures, "{counts:?}");
}

/// Failures, and each message is held back, by up to 5 ms where Ceph's are by up to 5 s. Nothing is
/// dropped by the driver: so all is answered, and no session is lost.
fn synthetic_inject_test_4(protocol: Protocol) {
    let plan =
        Plan { make_and_drop: (95, 95), delay_max: Duration::from_millis(5), ..injected(16, 32) };
    let counts = Workload::new(protocol, plan.peers(Policy::LOSSLESS_PEER)).run();
    assert!(counts.failures > 30, "{counts:?}");
    assert_eq!((counts.resets, counts.remote_resets), (0, 0), "{counts:?}");
    assert_eq!((counts.pings, counts.pongs), (counts.sent, counts.sent), "{counts:?}");
}
