//! What the process has after many connections: the threads and descriptors that it had before. The
//! one test here has the process for itself.

mod common;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{Message, Policy};
use ceph_msgr::net::{Deadline, Inbox, Timeouts};
use ceph_msgr::testing::{CommandReply, Commands, Mon};
use ceph_msgr::types::EntityType;
use common::acceptor::*;
use common::client::*;
use common::frames::*;
use common::monitor::*;
use common::{dialler, server};

fn threads() -> BTreeMap<String, String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let name = std::fs::read_to_string(path.join("comm")).ok()?;
            Some((path.file_name()?.to_str()?.to_owned(), name.trim().to_owned()))
        })
        .collect()
}

/// What each descriptor is, without that of the directory that is read here.
fn descriptors() -> BTreeMap<String, String> {
    let fds = std::fs::read_dir("/proc/self/fd").expect("/proc");
    fds.filter_map(|fd| {
        let path = fd.ok()?.path();
        let target = std::fs::read_link(&path).ok()?.display().to_string();
        let number = path.file_name()?.to_str()?.to_owned();
        (!target.starts_with("/proc/")).then_some((number, target))
    })
    .collect()
}

#[test]
fn a_thousand_connections_leave_nothing() {
    let (_taken, refused) = closed_port();
    let before = (threads(), descriptors());
    connections_of_all_kinds(refused);
    listeners_of_all_kinds();
    listeners_of_v2();
    connections_of_v2();
    clients_of_monitors();
    scripted_clusters();
    for round in 0..1000 {
        // A new port each time: a session that was cut may dial once more before it is closed.
        let acceptor = Acceptor::new();
        let messenger = messenger(patient());
        let (dispatcher, _heards) = recorder();
        let lossy = if round % 2 == 0 { Policy::LOSSY_CLIENT } else { Policy::LOSSLESS_CLIENT };
        let peer = if round % 7 == 6 { peer_at(refused, lossy) } else { acceptor.peer(lossy) };
        let con = messenger.connect(peer, no_auth(), dispatcher).unwrap();
        if round % 7 == 6 {
            con.close(soon()).unwrap();
            continue;
        }
        let mut wire = acceptor.accept();
        // How far it gets...
        match round % 7 {
            0 => {}
            1 => wire.send(b"ceph"),
            2 => wire.hellos(),
            3 => {
                wire.hellos();
                wire.read_connect();
            }
            _ => {
                wire.hellos();
                let connect = wire.read_connect();
                wire.open(&connect, round % 2 == 0, 0);
                con.send(Message::new(1, vec![0; 100])).unwrap();
            }
        }
        // ... and how it ends.
        match round % 5 {
            0 => drop(con),
            1 => con.close(soon()).unwrap(),
            2 => messenger.shutdown(soon()).unwrap(),
            3 => {
                drop(wire);
                con.close(soon()).unwrap();
            }
            _ => {
                drop(messenger);
                drop(wire);
                drop(con);
            }
        }
    }
    // Who drops a connection does not wait for its thread.
    until("all threads end", || threads().len() <= before.0.len());
    assert_eq!((threads(), descriptors()), before);
}

/// Whose clients are there when they fail, or end.
fn scripted_clusters() {
    for round in 0..30 {
        let commands = Commands::new().otherwise(|_| CommandReply::ok(""));
        let mon = Mon::builder().commands(commands.clone()).start().unwrap();
        let osd = mon.start_osd(0, mon.service(EntityType::OSD, commands)).unwrap();
        let cluster = mon.cluster().timeout(PATIENCE).connect().unwrap();
        cluster.osd_command(0, &"version".into()).unwrap();
        match round % 5 {
            0 => {}
            1 => mon.drop_sockets(),
            2 => {
                osd.pause();
                let hurried = cluster.with_timeout(Duration::from_millis(1));
                hurried.osd_command(0, &"version".into()).unwrap_err();
            }
            3 => {
                mon.refuse().unwrap();
                osd.refuse().unwrap();
                osd.accept().unwrap();
            }
            _ => {
                mon.close(soon()).unwrap();
                assert_eq!(mon.accept().unwrap_err().kind(), ErrorKind::Closed);
            }
        }
        if round % 2 == 0 {
            drop((mon, osd));
        }
    }
}

/// With sockets that are half open, with sessions, with callbacks that run, closed and dropped.
fn listeners_of_all_kinds() {
    for round in 0..100 {
        let policy =
            if round % 2 == 0 { Policy::STATELESS_SERVER } else { Policy::STATEFUL_SERVER };
        let (messenger, listener, heards) = server::serve(policy, patient());
        let mut wires: Vec<_> = (0..5).map(|_| dialler::dial(server::addr(&listener))).collect();
        wires[1].send(b"ceph");
        wires[2].introduce(server::LOCALHOST, 1);
        for nonce in 3..5 {
            let flags = policy.lossy.into();
            let connect = Connect { flags, ..dialler::ask() };
            wires[nonce as usize].open_session(nonce, &connect);
            heards.accepted();
        }
        wires[3].send_msg(1, 42, b"", b"");
        if round % 3 == 0 {
            // That session stands by, or has ended.
            wires.truncate(4);
        }
        let held = (round % 5 == 0).then(|| listener.connections());
        match round % 4 {
            0 => listener.close(soon()).unwrap(),
            1 => drop(listener),
            2 => {
                drop(wires);
                drop(messenger);
                drop(listener);
            }
            _ => {
                messenger.shutdown(soon()).unwrap();
                drop(listener);
            }
        }
        drop(held);
    }
}

/// The same with messenger v2, and with a socket at each step of its handshake.
fn listeners_of_v2() {
    for round in 0..100 {
        let policy =
            if round % 2 == 0 { Policy::STATELESS_SERVER } else { Policy::STATEFUL_SERVER };
        let at = [server::v2(server::LOCALHOST)];
        let (messenger, listener, heards) = server::serve_at(&at, policy, patient(), |_| {});
        let mut wires: Vec<_> = (0..7).map(|_| dial_v2(server::addr(&listener))).collect();
        wires[1].send(b"ceph");
        wires[2].send(BANNER_V2);
        wires[3].hellos_v2(dialler::TYPE_CLIENT);
        wires[4].log_in();
        for nonce in 5..7 {
            let wire = &mut wires[nonce as usize];
            wire.log_in();
            let (flags, cookie) = if policy.lossy { (LOSSY, 0) } else { (0, 9) };
            let ident = Ident { flags, cookie, ..wire.ident(nonce, 7) };
            wire.put(CLIENT_IDENT, &ident.payload());
            wire.expect(SERVER_IDENT);
            heards.accepted();
        }
        wires[5].send(&message_v2(1, 42, b"front", b""));
        if round % 3 == 0 {
            // That session stands by, or has ended.
            wires.truncate(6);
        }
        let held = (round % 5 == 0).then(|| listener.connections());
        match round % 4 {
            0 => listener.close(soon()).unwrap(),
            1 => drop(listener),
            2 => {
                drop(wires);
                drop(messenger);
                drop(listener);
            }
            _ => {
                messenger.shutdown(soon()).unwrap();
                drop(listener);
            }
        }
        drop(held);
    }
}

/// Dialled with messenger v2: how far each gets, and how it ends.
fn connections_of_v2() {
    for round in 0..200 {
        let acceptor = Acceptor::new();
        let messenger = messenger(patient());
        let (dispatcher, _heards) = recorder();
        let lossy = if round % 2 == 0 { Policy::LOSSY_CLIENT } else { Policy::LOSSLESS_CLIENT };
        let con = messenger.connect(acceptor.peer_v2(lossy), auth_none(), dispatcher).unwrap();
        let mut wire = acceptor.accept_v2();
        match round % 7 {
            0 => {}
            1 => wire.send(b"ceph"),
            2 => wire.send(BANNER_V2),
            3 => drop(wire.hellos_v2(dialler::TYPE_OSD)),
            4 => wire.let_in(dialler::TYPE_OSD),
            _ => {
                wire.let_in(dialler::TYPE_OSD);
                wire.expect(CLIENT_IDENT);
                let (flags, cookie) = if lossy.lossy { (LOSSY, 0) } else { (0, 9) };
                let addrs = [addr_v2(acceptor.addr(), 0)];
                wire.put(SERVER_IDENT, &server_ident(&addrs, 3, flags, cookie));
                con.send(Message::new(1, vec![0; 100])).unwrap();
            }
        }
        match round % 5 {
            0 => drop(con),
            1 => con.close(soon()).unwrap(),
            2 => messenger.shutdown(soon()).unwrap(),
            3 => {
                drop(wire);
                con.close(soon()).unwrap();
            }
            _ => {
                drop(messenger);
                drop(wire);
                drop(con);
            }
        }
    }
}

/// A client that is dropped takes its timer with it, whatever it does at the time: neither is shut
/// down here.
fn clients_of_monitors() {
    let timers = || threads().values().filter(|name| *name == "msgr-timer").count();
    let monitor = Monitor::open_to_all();
    // Never used; while it hunts; in a session.
    drop(monitor.client(messenger(patient())));
    let mon = monitor.client(messenger(patient()));
    assert!(mon.authenticate(Deadline::after(Duration::ZERO)).is_err());
    let hunted = monitor.accept();
    assert!(timers() >= 1, "{:?}", threads());
    drop((mon, hunted));
    let (cluster, session) = monitor.cluster(patient());
    let clone = cluster.clone();
    drop(cluster);
    assert!(clone.mon().peer().is_some(), "the clones are one handle");
    let mon = clone.mon().clone();
    drop((clone, session));
    assert_eq!(mon.fsid(soon()).unwrap_err().kind(), ErrorKind::Closed);
    until("all timers end", || timers() == 0);
}

/// Threads have names, and no program that is started inherits a descriptor.
fn connections_of_all_kinds(refused: std::net::SocketAddr) {
    let acceptor = Acceptor::new();
    let patient = Timeouts { connect: Duration::MAX, ..patient() };
    let messenger = messenger(patient);
    let inbox = Inbox::new(10).unwrap();
    let dial = |peer| messenger.connect(peer, no_auth(), inbox.dispatcher()).unwrap();
    let mut osd12 = acceptor.peer(Policy::LOSSLESS_CLIENT);
    osd12.name.num = 12;
    let _open = dial(osd12);
    let _wire = acceptor.open(false);
    let _halfway = dial(acceptor.peer(Policy::LOSSY_CLIENT));
    let mut halfway_wire = acceptor.accept();
    halfway_wire.hellos();
    let _retries = dial(peer_at(refused, Policy::LOSSLESS_CLIENT));
    let names = threads();
    for want in ["msgr-osd.12", "msgr-osd.3"] {
        assert!(names.values().any(|name| name == want), "{want} in {names:?}");
    }
    // Three eventfds and a socket at least, beside those of the test itself.
    let mine = descriptors();
    assert!(mine.values().filter(|fd| fd.contains("eventfd")).count() >= 3, "{mine:?}");
    let out = Command::new("ls")
        .args(["-l", "/proc/self/fd"])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("ls");
    let inherited = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && inherited.contains("-> "), "{inherited}");
    assert!(!inherited.contains("socket:") && !inherited.contains("eventfd"), "{inherited}");
    messenger.shutdown(soon()).unwrap();
}
