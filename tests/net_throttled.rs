//! A connection for whose next message there is no room sleeps, and does not take its peer for dead.
//! The one test here has the process for itself: it looks at a thread of it.

mod common;

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ceph_msgr::msgr::{Policy, Throttle};
use ceph_msgr::net::Timeouts;
use ceph_msgr::types::{EntityAddr, EntityType};
use common::client::*;
use common::dialler::*;
use common::frames::*;
use common::server::*;

/// How often a thread with that name has gone to sleep, as `/proc` tells. One that spins does not.
fn slept(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let mut found = tasks.map(|task| task.expect("a thread").path());
    let task = found.find(|task| read(task.join("comm")).trim() == name).expect("it runs");
    let status = read(task.join("status"));
    let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"));
    let slept = line.and_then(|line| line.split_whitespace().nth(1)).expect("a count");
    slept.parse().expect("a number")
}

#[test]
fn a_connection_without_room_sleeps_and_keeps_its_peer() {
    let authorizer = none_authorizer(TYPE_OSD, "4", 0);
    let osd = Connect { host_type: TYPE_OSD, protocol_version: 10, authorizer, ..ask() };
    sleeps_and_keeps_its_peer("msgr-osd.4", v1(LOCALHOST), |at| {
        let mut wire = dial(at);
        wire.open_session(1, &osd);
        for seq in 1..=5 {
            wire.send_msg(seq, 42, &seq.to_le_bytes(), b"");
        }
        wire.into_stream()
    });
    sleeps_and_keeps_its_peer("msgr-osd.5", v2(LOCALHOST), |at| {
        let mut wire = dial_v2(at);
        wire.log_in_as(TYPE_OSD, "5");
        let ident = Ident { gid: 5, ..wire.ident(1, 7) };
        wire.put(CLIENT_IDENT, &ident.payload());
        wire.expect(SERVER_IDENT);
        for seq in 1..=5u64 {
            wire.send(&message_v2(seq, 42, &seq.to_le_bytes(), b""));
        }
        wire.stream
    });
}

/// Who dials sends five messages, of which there is room for one at a time.
fn sleeps_and_keeps_its_peer(worker: &str, at: EntityAddr, dial: impl Fn(SocketAddr) -> TcpStream) {
    let timeouts = Timeouts {
        keepalive: Some(Duration::from_millis(500)),
        keepalive_timeout: Duration::from_secs(1),
        ..patient()
    };
    let (messenger, listener, heards) = serve_at(&[at], Policy::STATELESS_SERVER, timeouts, |_| {});
    let throttle = Throttle::new(1, 1 << 20);
    messenger.set_throttle(EntityType::OSD, throttle.clone());
    let _socket = dial(addr(&listener));
    heards.accepted();
    let mut kept = heards.message();
    // It looks at the time now and then. Meanwhile the peer, which says nothing, would have been given
    // up were it not this side that does not listen.
    // Bytes that it polled for, and does not take, would keep each poll from sleeping.
    let before = slept(worker);
    until("it has slept for long", || slept(worker) >= before + 6);
    assert_eq!((throttle.held(), listener.counts().connections), ((1, 8), 1));
    for seq in 2..=5u64 {
        drop(kept);
        kept = heards.message();
        assert_eq!(kept.front[..], seq.to_le_bytes());
    }
    listener.close(soon()).unwrap();
}
