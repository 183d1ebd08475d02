//! Handles: several at once, clones in threads, and their end while calls wait.

use std::thread;
use std::time::{Duration, Instant};

use ceph_msgr::error::ErrorKind;
use ceph_msgr::{Cluster, Command};

use crate::common::live::{LONG, Stopped, connect, fails_within, mon_json, until};
use crate::common::vstart::Vstart;

/// What ends by itself, and not by its deadline of a minute, has this much time.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn two_clusters_in_one_process() {
    let Some(one) = Vstart::builder().start() else { return };
    let Some(two) = Vstart::builder().auth_none().start() else { return };
    let handles = [connect(&one), connect(&two), connect(&one), connect(&two)];
    let fsid = |cluster: &Cluster| cluster.fsid().expect("an fsid");
    assert_ne!(fsid(&handles[0]), fsid(&handles[1]));
    assert_ne!(handles[0].global_id(), handles[2].global_id());
    thread::scope(|scope| {
        for (n, cluster) in handles.iter().enumerate() {
            scope.spawn(move || {
                for _ in 0..50 {
                    let status = mon_json(cluster, "status".into());
                    assert_eq!(status["fsid"], fsid(cluster).to_string(), "handle {n}");
                }
            });
        }
    });
    // The end of one is not that of the others.
    handles[0].close().expect("it ends");
    for cluster in &handles[1..] {
        mon_json(cluster, "status".into());
    }
}

#[test]
fn clones_in_threads_are_one_session() {
    let Some(vstart) = Vstart::shared() else { return };
    let cluster = connect(vstart);
    thread::scope(|scope| {
        for n in 0..8 {
            let cluster = cluster.clone();
            scope.spawn(move || {
                for _ in 0..10 {
                    mon_json(&cluster, "status".into());
                    cluster.osd_command(n % 3, &"version".into()).expect("of an OSD");
                    cluster.mgr_command(&"pg stat".into()).expect("of the manager");
                }
                cluster.global_id()
            });
        }
    });
    drop(cluster.clone());
    mon_json(&cluster, "status".into());
}

type Call<'a> = &'a (dyn Fn(&Cluster) -> ceph_msgr::Result<()> + Sync);

/// Calls that wait for what does not come, one in each thread; `f` ends them. Returns the kinds of
/// their errors.
fn calls_that_wait(cluster: &Cluster, calls: &[Call<'_>], f: impl FnOnce()) -> Vec<ErrorKind> {
    thread::scope(|scope| {
        let mut waiting = Vec::new();
        for call in calls {
            let run = || (call(cluster).expect_err("no answer"), Instant::now());
            let thread = thread::Builder::new().name("waits".into()).spawn_scoped(scope, run);
            waiting.push(thread.expect("a thread"));
        }
        // One that is a little late must end all the same.
        until("all of them wait", || asleep("waits") == calls.len());
        let begin = Instant::now();
        f();
        let ended = waiting.into_iter().map(|w| w.join().expect("it ends"));
        let check = |(e, at): (ceph_msgr::Error, Instant)| {
            assert!(at.saturating_duration_since(begin) < AT_ONCE, "{e}");
            e.kind()
        };
        ended.map(check).collect()
    })
}

/// How many threads of that name are asleep.
fn asleep(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("this process");
    let stats = tasks.flatten().flat_map(|t| std::fs::read_to_string(t.path().join("stat")));
    stats.filter(|stat| stat.contains(&format!(" ({name}) S "))).count()
}

#[test]
fn close_and_cancel_wake_the_calls_that_wait() {
    let Some(vstart) = Vstart::builder().mgr().osds(1).start() else { return };
    let version = Command::new("version");
    let of_daemons: [Call<'_>; 3] = [
        &|c| c.osd_command(0, &version).map(drop),
        &|c| c.mgr_command(&"pg stat".into()).map(drop),
        &|c| c.events().recv(LONG.into()).map(drop),
    ];
    let of_monitors: [Call<'_>; 4] = [
        &|c| c.mon_command(&"status".into()).map(drop),
        &|c| c.mon().get_version("osdmap", LONG.into()).map(drop),
        &|c| c.osdmap().map(drop),
        &|c| c.osd_command(0, &version).map(drop),
    ];
    let all_calls: [(&[&'static str], &[Call<'_>]); 2] =
        [(&["osd.0", "mgr.x"], &of_daemons), (&["mon.a"], &of_monitors)];
    for (daemons, calls) in all_calls {
        let warm = || {
            let cluster = connect(&vstart);
            cluster.mgr_command(&"pg stat".into()).expect("of the manager");
            cluster.osd_command(0, &version).expect("of the OSD");
            cluster
        };
        let (closed, cancelled) = (warm(), warm());
        {
            let stop = |daemon: &&'static str| Stopped::new(&vstart, daemon);
            let _stopped: Vec<_> = daemons.iter().map(stop).collect();
            let kinds = calls_that_wait(&closed, calls, || closed.close().expect("it ends"));
            assert!(kinds.iter().all(|k| *k == ErrorKind::Closed), "{kinds:?}");

            let cancel = cancelled.cancel_handle();
            let kinds = calls_that_wait(&cancelled, calls, || cancel.cancel());
            assert!(kinds.iter().all(|k| *k == ErrorKind::Cancelled), "{kinds:?}");
        }
        for (cluster, kind) in [(&closed, ErrorKind::Closed), (&cancelled, ErrorKind::Cancelled)] {
            for call in of_daemons.iter().chain(&of_monitors) {
                let e = fails_within(AT_ONCE, || call(cluster));
                assert_eq!(e.kind(), kind, "{e}");
            }
            let e = fails_within(AT_ONCE, || cluster.mon().subscribe("osdmap", 0, false));
            assert_eq!(e.kind(), kind, "{e}");
            cluster.close().expect("once more is no error");
        }
    }

    let other = connect(&vstart);
    mon_json(&other, "status".into());
    // After the handle that it is for, this does nothing.
    let cancel = other.cancel_handle();
    drop(other);
    cancel.cancel();
}
