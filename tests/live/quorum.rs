//! Three monitors, of which the one in use is lost.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use ceph_msgr::Cluster;
use ceph_msgr::mon::MapEvent;
use ceph_msgr::net::{Deadline, Timeouts};

use crate::common::live::{LONG, Spoken, Stopped, builder, connect, long, osd_flag, until};
use crate::common::vstart::Vstart;

const COMMANDS: usize = 100;
/// So many are answered before something happens to the monitor.
const BEFORE: usize = 30;

/// `mon.X` of the monitor in use.
fn in_use(cluster: &Cluster) -> String {
    let peer = cluster.mon().peer().expect("a session");
    let monmap = cluster.monmap().expect("a monmap");
    let mon = (0..monmap.size()).filter_map(|rank| monmap.mon_of_rank(rank));
    let mut names = mon.filter(|mon| mon.public_addrs.0.contains(&peer.addr));
    format!("mon.{}", names.next().expect("it is in the map").name)
}

/// A hundred commands and more from each of the threads; `f` is called when they have had the first
/// answers, and they go on until there are as many after it. All must succeed, for there are two
/// good monitors at any time.
fn commands_go_on(cluster: &Cluster, threads: usize, f: impl FnOnce()) {
    let (answers, lost_at) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let enough = || {
        let lost_at = lost_at.load(SeqCst);
        lost_at != usize::MAX && answers.load(SeqCst) >= lost_at + BEFORE * threads
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for n in 0.. {
                    if n >= COMMANDS && enough() {
                        break;
                    }
                    let begin = Instant::now();
                    let outcome = cluster.mon_command(&"osd stat".into());
                    let took = begin.elapsed();
                    let output = outcome.unwrap_or_else(|e| panic!("{n}, {took:?}: {e}"));
                    assert!(!output.outbl.is_empty() && took < LONG, "{n}, {took:?}");
                    answers.fetch_add(1, SeqCst);
                }
            });
        }
        until("the first answers", || answers.load(SeqCst) >= BEFORE * threads);
        f();
        lost_at.store(answers.load(SeqCst), SeqCst);
    });
}

#[test]
fn the_monitor_in_use_is_lost_among_a_hundred_commands() {
    let Some(vstart) = Vstart::builder().mons(3).start() else { return };
    for (threads, signal, spoken) in [
        (1, "KILL", Spoken::V2Secure),
        (4, "KILL", Spoken::V2Crc),
        (1, "TERM", Spoken::V2Crc),
        (4, "KILL", Spoken::V1),
        (1, "TERM", Spoken::V1),
    ] {
        let cluster = spoken.connect(&vstart);
        let mon = in_use(&cluster);
        commands_go_on(&cluster, threads, || vstart.signal(&mon, signal));
        assert_ne!(in_use(&cluster), mon);
        let addr = cluster.mon().peer().expect("a session").addr;
        assert_eq!(addr.addr_type, spoken.addr_type());
        vstart.restart(&mon);
        vstart.wait_healthy();
    }

    // One that hangs is left when it has been silent for too long.
    let second = Duration::from_secs(1);
    let timeouts =
        Timeouts { keepalive: Some(second), keepalive_timeout: 3 * second, ..Timeouts::default() };
    let cluster = builder(&vstart).timeouts(timeouts).connect().expect("a session");
    let mon = in_use(&cluster);
    let mut stopped = None;
    commands_go_on(&cluster, 2, || stopped = Some(Stopped::new(&vstart, &mon)));
    assert_ne!(in_use(&cluster), mon);
}

#[test]
fn a_watcher_misses_no_map_when_its_monitor_is_lost() {
    let Some(vstart) = Vstart::builder().mons(3).start() else { return };
    let (watching, changing) = (connect(&vstart), connect(&vstart));
    let events = watching.events();
    watching.mon().subscribe("osdmap", 1, false).expect("a subscription");
    let mut epochs = Vec::new();
    let mut up_to = |deadline: Deadline, last: u64| {
        while epochs.last().is_none_or(|e| u64::from(*e) < last) {
            let MapEvent::OsdMap(maps) = events.recv(deadline).expect("a map") else { continue };
            let new: BTreeSet<_> =
                maps.maps.keys().chain(maps.incremental_maps.keys()).map(|e| e.0).collect();
            epochs.extend(new);
        }
    };
    let newest = || changing.mon().get_version("osdmap", long()).expect("a version").0;
    for _ in 0..2 {
        up_to(long(), newest());
        let mon = in_use(&watching);
        vstart.signal(&mon, "KILL");
        // While nobody, or an election, is there to tell of them.
        for flag in ["noout", "noscrub", "nodown"] {
            osd_flag(&changing, true, flag);
            osd_flag(&changing, false, flag);
        }
        up_to(long(), newest());
        vstart.restart(&mon);
        vstart.wait_healthy();
    }
    assert_eq!(epochs.first(), Some(&1));
    assert!(epochs.windows(2).all(|w| w[1] == w[0] + 1), "{epochs:?}");
}
