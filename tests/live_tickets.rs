//! Tickets that live for seconds are renewed over the open session, without a break.

mod common;

use std::thread;

use ceph_msgr::types::{EntityName, EntityType, Msgr};
use ceph_msgr::{Cluster, Command};
use log::LevelFilter;

use common::live::{builder, connect, until};
use common::logs;
use common::vstart::Vstart;

/// Seconds; renewed at three quarters of it. A daemon asks for the rotating keys that belong to
/// them as often as it looks, which is set to a second here.
const LIFE: u32 = 5;

fn start() -> Option<Vstart> {
    logs::capture(LevelFilter::Debug);
    let ttl = |what: &str| format!("{what} ticket ttl = {LIFE}");
    let builder = Vstart::builder().mgr().osds(3).conf(&ttl("auth service"));
    builder.conf(&ttl("auth mon")).conf("mon client ping interval = 1").start()
}

/// How often the tickets of a handle were renewed, and how often it had to log in.
fn renewals_and_logins(cluster: &Cluster) -> (usize, usize) {
    let mon = cluster.mon().peer().expect("a session").to_string();
    (logs::count(&mon, "tickets renewed"), logs::count(&mon, "session as client.admin"))
}

#[test]
fn tickets_are_renewed_while_everything_goes_on() {
    let Some(vstart) = start() else { return };
    // With messenger v2 as it is, in secure mode with the monitor and in crc mode with all others.
    let by_v1 = builder(&vstart).msgr(Msgr::V1).connect().expect("a session");
    let by_v2 = builder(&vstart).msgr(Msgr::V2).connect().expect("a session");
    thread::scope(|scope| {
        for cluster in [&by_v1, &by_v2] {
            scope.spawn(|| goes_on_through_renewals(cluster));
        }
    });
}

fn goes_on_through_renewals(cluster: &Cluster) {
    let global_id = cluster.global_id();
    let version = Command::new("version");
    // Until the first tickets have been dead for long.
    while renewals_and_logins(cluster).0 < 4 {
        cluster.mon_command(&"status".into()).expect("of the monitor");
        cluster.mgr_command(&"pg stat".into()).expect("of the manager");
        cluster.osd_command(0, &version).expect("of an OSD");
    }
    // Sessions that begin now have only the renewed ones to show.
    for osd in 1..3 {
        cluster.osd_command(osd, &version).expect("of an OSD that is new to this handle");
    }
    assert_eq!(renewals_and_logins(cluster).1, 1, "all over the first session");
    assert_eq!(cluster.global_id(), global_id);
    let osd = EntityName::new(EntityType::OSD, 0);
    let addrs = cluster.osdmap().expect("a map").addrs(0).cloned().expect("addresses");
    let addr = cluster.addr_of(osd, &addrs).expect("one of them").sockaddr.expect("an IP address");
    assert_eq!(logs::count(&format!("{osd} {addr}"), "session open"), 1, "that one goes on, too");

    let threads: Vec<_> = (0..4)
        .map(|n| {
            let (cluster, before) = (cluster.clone(), renewals_and_logins(cluster).0);
            thread::spawn(move || {
                while renewals_and_logins(&cluster).0 < before + 1 {
                    cluster.osd_command(n % 3, &"version".into()).expect("of an OSD");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().expect("no command failed"));
    assert_eq!(renewals_and_logins(cluster).1, 1, "all over the first session");
}

#[test]
fn an_idle_handle_keeps_its_tickets_alive() {
    let Some(vstart) = start() else { return };
    let cluster = connect(&vstart);
    until("more than a life of the tickets", || renewals_and_logins(&cluster).0 >= 2);
    cluster.osd_command(0, &"version".into()).expect("of an OSD");
    cluster.mgr_command(&"pg stat".into()).expect("of the manager");
    assert_eq!(renewals_and_logins(&cluster).1, 1);
}
