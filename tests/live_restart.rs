//! A cluster's only monitor goes away and comes back under an open handle.

mod common;

use std::collections::BTreeSet;

use ceph_msgr::mon::{MapEvent, MapEvents};
use ceph_msgr::{Cluster, Command};
use log::LevelFilter;

use common::live::{Spoken, connect, long, mon_json, osd_flag};
use common::logs;
use common::vstart::Vstart;

/// The epochs of the maps that have come, in their order.
#[derive(Debug, Default)]
struct Seen {
    monmap: Vec<u32>,
    mgrmap: Vec<u32>,
    osdmap: Vec<u32>,
}

/// The newest epochs, as the monitors tell them.
fn newest(cluster: &Cluster) -> [u32; 3] {
    let epoch = |cmd: &str| {
        let map = mon_json(cluster, cmd.into());
        map["epoch"].as_u64().and_then(|e| u32::try_from(e).ok()).expect("an epoch")
    };
    [epoch("mon dump"), epoch("mgr dump"), epoch("osd dump")]
}

impl Seen {
    fn take(&mut self, event: MapEvent) {
        match event {
            MapEvent::MonMap(map) => self.monmap.push(map.epoch.0),
            MapEvent::MgrMap(map) => self.mgrmap.push(map.epoch.0),
            MapEvent::OsdMap(maps) => {
                let epochs: BTreeSet<_> =
                    maps.maps.keys().chain(maps.incremental_maps.keys()).map(|e| e.0).collect();
                self.osdmap.extend(epochs);
            }
            MapEvent::Config(_) => {}
        }
    }

    /// Waits for these epochs.
    fn up_to(&mut self, events: &MapEvents, newest: [u32; 3]) {
        let last = |list: &[u32]| list.last().copied().unwrap_or_default();
        while [last(&self.monmap), last(&self.mgrmap), last(&self.osdmap)] != newest {
            let event = events.recv(long());
            self.take(event.unwrap_or_else(|e| panic!("{e}; {newest:?} after {self:?}")));
        }
    }
}

/// Each one is the next after the one before: none twice, none left out.
fn assert_without_gap(list: &[u32]) {
    assert!(list.windows(2).all(|w| w[1] == w[0] + 1), "{list:?}");
}

/// Makes new epochs of all three maps.
fn change_maps(cluster: &Cluster, round: u32) {
    for flag in ["noout", "noscrub"] {
        osd_flag(cluster, true, flag);
        osd_flag(cluster, false, flag);
    }
    let weight = Command::new("mon set-weight").arg("name", "a").arg("weight", 10 + round);
    cluster.mon_command(&weight).expect("a monmap");
    let module = Command::new("mgr module enable").arg("module", format!("none{round}"));
    cluster.mon_command(&module.arg("force", "--force")).expect("a map of the managers");
}

#[test]
fn handle_and_subscriptions_survive_the_only_monitor() {
    logs::capture(LevelFilter::Debug);
    let Some(vstart) = Vstart::builder().start() else { return };
    for spoken in [Spoken::V2Secure, Spoken::V1] {
        survive_the_only_monitor(&vstart, &spoken.connect(&vstart));
    }
}

fn survive_the_only_monitor(vstart: &Vstart, cluster: &Cluster) {
    let mon = cluster.mon().peer().expect("a session").to_string();
    let global_id = cluster.global_id();

    let events = cluster.events();
    cluster.mon().subscribe("monmap", 0, false).expect("a subscription");
    cluster.mon().subscribe("mgrmap", 0, false).expect("a subscription");
    cluster.mon().subscribe("osdmap", 1, false).expect("a subscription");
    let mut seen = Seen::default();
    change_maps(cluster, 0);
    // Who asks for a map takes none from those who watch.
    assert_eq!(newest(cluster)[2], cluster.osdmap().expect("a map").epoch.0);
    assert_eq!(newest(cluster)[1], cluster.mgrmap().expect("a map").epoch.0);
    change_maps(cluster, 1);
    seen.up_to(&events, newest(cluster));

    for (round, signal) in ["KILL", "TERM"].into_iter().enumerate() {
        vstart.signal("mon.a", signal);
        vstart.restart("mon.a");
        cluster.mon_command(&"status".into()).expect("an answer of the one that came back");
        let sessions = logs::count(&mon, "session as client.admin");
        assert_eq!(sessions, round + 2, "each has a login of its own");
        assert_eq!(cluster.global_id(), global_id, "the old ticket was believed");
        change_maps(cluster, round as u32 + 2);
        seen.up_to(&events, newest(cluster));
    }
    assert_eq!(events.dropped(), 0);
    for list in [&seen.osdmap, &seen.mgrmap, &seen.monmap] {
        assert_without_gap(list);
    }
    assert_eq!(seen.osdmap.first(), Some(&1));
}

#[test]
fn tickets_of_the_new_session_open_the_other_daemons() {
    let Some(vstart) = Vstart::builder().mgr().osds(2).start() else { return };
    let cluster = connect(&vstart);
    // One OSD has a connection before, the other one none.
    cluster.osd_command(0, &"version".into()).expect("of osd.0");
    cluster.mgr_command(&"pg stat".into()).expect("of the manager");
    for signal in ["KILL", "TERM"] {
        vstart.signal("mon.a", signal);
        // What needs no monitor goes on.
        cluster.mgr_command(&"pg stat".into()).expect("of the manager");
        vstart.restart("mon.a");
        for osd in 0..2 {
            cluster.osd_command(osd, &"version".into()).expect("of each OSD");
        }
        cluster.mgr_command(&"pg stat".into()).expect("of the manager");
    }
}
