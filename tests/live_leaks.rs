//! A handle leaves nothing behind. Threads and descriptors are counted for the whole process, so
//! this test has one to itself.

mod common;

use std::collections::BTreeMap;
use std::fs;

use ceph_msgr::Cluster;

use common::live::{SHORT, Stopped, builder, connect, fails_within, mon_json, until};
use common::vstart::Vstart;

/// The names of the threads, and what the descriptors are.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    threads: BTreeMap<String, usize>,
    descriptors: BTreeMap<String, usize>,
}

/// Whether the flags of a task, the seventh field behind its name, have PF_EXITING.
fn is_exiting(stat: &str) -> bool {
    let behind_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let flags = behind_name.split(' ').nth(6).and_then(|flags| flags.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & 4 != 0)
}

fn held() -> Held {
    let mut held = Held { threads: BTreeMap::new(), descriptors: BTreeMap::new() };
    for task in fs::read_dir("/proc/self/task").expect("this process").flatten() {
        // A thread may have been joined, and the kernel not be done with it yet.
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        if is_exiting(&stat) {
            continue;
        }
        if let Ok(name) = fs::read_to_string(task.path().join("comm")) {
            *held.threads.entry(name.trim().to_owned()).or_default() += 1;
        }
    }
    for fd in fs::read_dir("/proc/self/fd").expect("this process").flatten() {
        if let Ok(target) = fs::read_link(fd.path()) {
            // `socket:[4711]`
            let target = target.to_string_lossy().split(':').next().unwrap_or_default().to_owned();
            *held.descriptors.entry(target).or_default() += 1;
        }
    }
    held
}

fn use_all(cluster: &Cluster) {
    mon_json(cluster, "status".into());
    cluster.mgr_command(&"pg stat".into()).expect("of the manager");
    for osd in 0..2 {
        cluster.osd_command(osd, &"version".into()).expect("of an OSD");
    }
}

#[test]
fn nothing_is_left_of_a_handle() {
    let Some(vstart) = Vstart::builder().mgr().osds(2).start() else { return };
    let before = held();
    let is_as_before = |how: &str| until(how, || held() == before);

    // Closed: all has ended when the call returns.
    let cluster = connect(&vstart);
    use_all(&cluster);
    assert!(held().threads.len() > before.threads.len() + 2, "{:?}", held());
    cluster.close().expect("it ends");
    let after = held();
    assert_eq!(after.threads, before.threads, "close waits for its threads");
    drop(cluster);
    assert_eq!(held(), before);

    // Dropped: it ends by itself, soon.
    let cluster = connect(&vstart);
    let clone = cluster.clone();
    use_all(&cluster);
    drop(cluster);
    use_all(&clone);
    let events = clone.events();
    drop(clone);
    is_as_before("the end of a handle that was dropped");
    assert!(events.recv(SHORT.into()).is_err(), "nothing will come");

    // While it hangs, and while it looks for a monitor.
    let cluster = connect(&vstart);
    use_all(&cluster);
    let short = cluster.with_timeout(SHORT);
    {
        let _stopped = ["osd.0", "mon.a"].map(|daemon| Stopped::new(&vstart, daemon));
        fails_within(SHORT, || short.osd_command(0, &"version".into()));
        fails_within(SHORT, || builder(&vstart).timeout(SHORT).connect());
        drop((cluster, short));
        is_as_before("the end of handles that hang");
    }
    let cluster = connect(&vstart);
    vstart.signal("mon.a", "KILL");
    fails_within(SHORT, || cluster.with_timeout(SHORT).mon_command(&"status".into()));
    fails_within(SHORT, || builder(&vstart).timeout(SHORT).connect());
    drop(cluster);
    is_as_before("the end of handles that hunt");

    // Logins that are refused.
    vstart.restart("mon.a");
    for _ in 0..10 {
        let refused = builder(&vstart).set("auth_client_required", "none").connect();
        assert!(refused.is_err());
    }
    is_as_before("the end of handles that never were");
}
