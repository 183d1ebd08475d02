//! A [`Cluster`] against the scripted peers of `ceph_msgr::testing`: what the author of a tool does
//! in the tool's tests.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use ceph_msgr::auth::ConMode;
use ceph_msgr::auth::cephx::KeyServerOptions;
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::denc::Decode as _;
use ceph_msgr::messages::types::{CEPH_MSG_AUTH, MSG_MON_COMMAND};
use ceph_msgr::mon::{MapEvent, MonMap};
use ceph_msgr::net::Deadline;
use ceph_msgr::testing::{
    Arrival, Arrived, CommandReply, Commands, Mon, MonitorBuilder, SimpleOSD,
};
use ceph_msgr::types::{AddrType, EntityType, Msgr};
use ceph_msgr::{Cluster, Command, ErrorKind};

/// A test for every way in which peers can speak.
macro_rules! for_each_way {
    ($($scenario:ident),* $(,)?) => {
        for_each_way!(v1, super::Peers { msgr: Msgr::V1, con_mode: None }, [$($scenario)*]);
        for_each_way!(crc, super::Peers::v2(ConMode::Crc), [$($scenario)*]);
        for_each_way!(secure, super::Peers::v2(ConMode::Secure), [$($scenario)*]);
    };
    ($way:ident, $peers:expr, [$($scenario:ident)*]) => {
        mod $way {
            #[allow(unused_imports, reason = "each way needs some")]
            use super::{ConMode, Msgr};

            $(
                #[test]
                fn $scenario() {
                    super::$scenario($peers);
                }
            )*
        }
    };
}

for_each_way! {
    a_command_is_answered_with_what_the_test_says,
    a_command_fails_with_errno_and_outs,
    daemons_take_commands_where_the_maps_say_that_they_are,
    who_has_another_key_is_refused,
    commands_outlive_their_sockets,
    a_command_of_an_osd_outlives_its_socket,
    an_osd_moves_to_another_address,
    a_monitor_that_hangs_is_named_by_the_deadline,
    a_monitor_that_refuses_is_found_again,
    a_new_map_goes_to_those_who_subscribed,
    tickets_are_renewed_before_they_expire,
    a_handler_may_use_the_monitor_that_it_answers_for,
    a_handler_that_panics_is_an_error_that_says_so,
    a_message_handler_that_panics_costs_its_connection,
    a_dropped_monitor_is_gone,
    what_arrived_is_kept_within_bounds,
}

/// How the scripted peers speak.
#[derive(Clone, Copy, Debug)]
struct Peers {
    msgr: Msgr,
    /// `None` with messenger v1.
    con_mode: Option<ConMode>,
}

impl Peers {
    fn v2(con_mode: ConMode) -> Self {
        Self { msgr: Msgr::V2, con_mode: Some(con_mode) }
    }

    fn mon(self) -> MonitorBuilder {
        let mon = Mon::builder().msgr(self.msgr);
        match self.con_mode {
            Some(mode) => mon.con_modes(&[mode]),
            None => mon,
        }
    }
}

/// No test waits longer, for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster that knows its monitors, without which no command goes out.
fn open(mon: &Mon) -> Cluster {
    let cluster = mon.cluster().timeout(PATIENCE).connect().expect("the monitor lets it in");
    cluster.monmap().expect("a map");
    cluster
}

fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Says what it was given.
fn echo() -> Commands {
    Commands::new().otherwise(|cmd| CommandReply {
        r: 0,
        outs: format!("for {}", cmd.peer.name),
        outbl: format!("{} {}", cmd.prefix, text(&cmd.inbl)).into(),
    })
}

fn a_command_is_answered_with_what_the_test_says(peers: Peers) {
    let mon = peers.mon().commands(echo()).start().expect("a monitor");
    let cluster = open(&mon);
    let cmd = Command::new("config-key set").arg("key", "a").input("the value");
    let output = cluster.mon_command(&cmd).expect("an answer");
    assert_eq!(output.outs, "for client.admin");
    assert_eq!(text(&output.outbl), "config-key set the value");
    assert_eq!(cluster.fsid().expect("a monmap"), mon.monitor().fsid());
    let output = cluster.mon_command(&"mon getmap".into()).expect("an answer");
    let map = MonMap::from_bytes(&output.outbl).expect("a monmap");
    assert_eq!(map, *cluster.monmap().expect("a monmap"));

    let arrived = mon.wait_for(|a| a.command().is_some(), soon()).expect("the command");
    let request = arrived.command().expect("a command");
    assert_eq!((request.prefix.as_str(), request.arg("key")), ("config-key set", Some("a")));
    assert_eq!(arrived.name, Some("client.admin".parse().expect("a name")));
    assert_eq!(arrived.con_mode, peers.con_mode);
}

fn a_command_fails_with_errno_and_outs(peers: Peers) {
    let commands = Commands::new()
        .on("osd pool rm name=pool,type=CephPoolname", "", |_| CommandReply::error(2, "no pool"));
    let mon = peers.mon().commands(commands).start().expect("a monitor");
    let cluster = open(&mon);
    let e = cluster.mon_command(&"osd pool rm".into()).expect_err("it fails");
    assert_eq!((e.kind(), e.errno()), (ErrorKind::Command, Some(2)));
    assert_eq!(e.output().expect("the command's output").outs, "no pool");
    let e = cluster.mon_command(&"no such command".into()).expect_err("it is not known");
    assert_eq!((e.kind(), e.errno()), (ErrorKind::Command, Some(22)));
}

fn daemons_take_commands_where_the_maps_say_that_they_are(peers: Peers) {
    let mon = peers.mon().start().expect("a monitor");
    let cluster = open(&mon);
    let e = cluster.osd_command(3, &"version".into()).expect_err("there is none");
    assert_eq!(e.kind(), ErrorKind::NotFound);

    let osd = mon.start_osd(3, mon.service(EntityType::OSD, echo())).expect("an OSD");
    let mgr = mon.start_mgr("x", mon.service(EntityType::MGR, echo())).expect("a manager");
    let output = cluster.osd_command(3, &"version".into()).expect("an answer");
    assert_eq!(
        (output.outs.as_str(), text(&output.outbl)),
        ("for client.admin", "version ".into())
    );
    let output = cluster.mgr_command(&Command::new("pg dump").input("i")).expect("an answer");
    assert_eq!(text(&output.outbl), "pg dump i");
    let output = cluster.mgr_tell(&"version".into()).expect("an answer");
    assert_eq!(text(&output.outbl), "version ");

    for (daemon, prefix) in [(&osd, "version"), (&mgr, "pg dump")] {
        let command = |a: &Arrival| a.command().is_some_and(|request| request.prefix == prefix);
        let arrived = daemon.wait_for(command, soon()).expect("the command");
        assert_eq!(arrived.con_mode, peers.con_mode);
    }
    mon.set_osd(3, None);
    let gone = cluster.osd_command(3, &"version".into());
    assert_eq!(gone.expect_err("it is gone").kind(), ErrorKind::NotFound);
}

fn who_has_another_key_is_refused(peers: Peers) {
    let mon = peers.mon().start().expect("a monitor");
    let key = CryptoKey::generate(KeyType::Aes, Default::default()).expect("a key");
    let refused = mon.cluster().key(key).timeout(PATIENCE).connect();
    let e = refused.expect_err("it is not the key");
    assert_eq!(e.kind(), ErrorKind::Auth, "{e}");
    assert!(e.to_string().contains("errno 13"), "{e}");
    assert!(!mon.arrivals().iter().any(|a| matches!(a.what, Arrived::Login)));
}

fn commands_outlive_their_sockets(peers: Peers) {
    let served = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&served);
    let commands = Commands::new().otherwise(move |_| {
        counted.fetch_add(1, Relaxed);
        CommandReply::ok("done")
    });
    let mon = peers.mon().commands(commands).start().expect("a monitor");
    let cluster = open(&mon);
    mon.pause();
    thread::scope(|scope| {
        let calls: Vec<_> =
            (0..4).map(|_| scope.spawn(|| cluster.mon_command(&"status".into()))).collect();
        mon.wait_for_nth(4, |a| a.command().is_some(), soon()).expect("all of them");
        mon.drop_sockets();
        mon.wait_for(|a| matches!(a.what, Arrived::Reset(_)), soon()).expect("a reset");
        mon.resume();
        for call in calls {
            let output = call.join().expect("it returns").expect("an answer");
            assert_eq!(output.outbl, "done");
        }
    });
    assert!(served.load(Relaxed) >= 4);
}

fn a_command_of_an_osd_outlives_its_socket(peers: Peers) {
    let mon = peers.mon().start().expect("a monitor");
    let osd = mon.start_osd(0, mon.service(EntityType::OSD, echo())).expect("an OSD");
    let cluster = open(&mon);
    osd.pause();
    thread::scope(|scope| {
        let call = scope.spawn(|| cluster.osd_command(0, &"version".into()));
        osd.wait_for(|a| a.command().is_some(), soon()).expect("the command");
        osd.drop_sockets();
        osd.wait_for(|a| matches!(a.what, Arrived::Reset(_)), soon()).expect("a reset");
        osd.resume();
        let output = call.join().expect("it returns").expect("an answer");
        assert_eq!(text(&output.outbl), "version ");
    });
}

fn an_osd_moves_to_another_address(peers: Peers) {
    let mon = peers.mon().start().expect("a monitor");
    let start = || mon.start_osd(0, mon.service(EntityType::OSD, echo())).expect("an OSD");
    let old = start();
    let cluster = open(&mon);
    cluster.osd_command(0, &"before".into()).expect("an answer");
    drop(old);
    let new = start();
    cluster.osd_command(0, &"after".into()).expect("an answer");
    let prefixes: Vec<_> =
        new.arrivals().iter().filter_map(|a| Some(a.command()?.prefix.clone())).collect();
    assert_eq!(prefixes, ["after"]);
}

fn a_monitor_that_hangs_is_named_by_the_deadline(peers: Peers) {
    let mon = peers.mon().commands(echo()).start().expect("a monitor");
    let cluster = open(&mon);
    mon.pause();
    let hurried = cluster.with_timeout(Duration::from_millis(300));
    let e = hurried.mon_command(&"status".into()).expect_err("nobody answers");
    assert!(e.is_timeout(), "{e}");
    assert!(e.to_string().contains("answer"), "{e}");
    mon.resume();
    cluster.mon_command(&"status".into()).expect("an answer");
}

fn a_monitor_that_refuses_is_found_again(peers: Peers) {
    let mon = peers.mon().commands(echo()).start().expect("a monitor");
    let cluster = open(&mon);
    mon.refuse().expect("it stops");
    cluster.mon_command(&"status".into()).expect("the open connection goes on");
    let late = mon.cluster().timeout(Duration::from_millis(300)).connect();
    assert!(late.expect_err("nobody listens").is_retryable());
    mon.accept().expect("it listens again");
    open(&mon).mon_command(&"status".into()).expect("an answer");
}

fn a_new_map_goes_to_those_who_subscribed(peers: Peers) {
    let mon = peers.mon().start().expect("a monitor");
    let cluster = open(&mon);
    let events = cluster.events();
    cluster.mon().subscribe("osdmap", 0, false).expect("a subscription");
    let next = || loop {
        if let MapEvent::OsdMap(map) = events.recv(soon()).expect("a map") {
            return map.newest_map.0;
        }
    };
    assert_eq!(next(), 1, "the one that there was");
    mon.set_osd(0, Some(SimpleOSD::default()));
    assert_eq!(next(), 2);
    mon.pause();
    mon.set_osd(0, None);
    mon.resume();
    assert_eq!(next(), 3);
    assert!(!cluster.osdmap().expect("a map").exists(0));
}

fn tickets_are_renewed_before_they_expire(peers: Peers) {
    let ttl = Duration::from_secs(2);
    let options = KeyServerOptions {
        auth_mon_ticket_ttl: ttl,
        auth_service_ticket_ttl: ttl,
        auth_service_cipher: KeyType::Aes,
    };
    let mon = peers.mon().key_server_options(options).start().expect("a monitor");
    let osd = mon.start_osd(0, mon.service(EntityType::OSD, echo())).expect("an OSD");
    let cluster = open(&mon);
    let is_auth = |a: &Arrival| a.message().is_some_and(|m| m.header.msg_type == CEPH_MSG_AUTH);
    let logins = mon.arrivals().iter().filter(|a| is_auth(a)).count();
    // By then the tickets of the login have expired.
    mon.wait_for_nth(logins + 2, is_auth, soon()).expect("two renewals");
    cluster.osd_command(0, &"version".into()).expect("an answer");
    osd.wait_for(|a| matches!(a.what, Arrived::Login), soon()).expect("a ticket");
    assert_eq!(mon.connections().len(), 1);
}

fn a_handler_may_use_the_monitor_that_it_answers_for(peers: Peers) {
    let slot: Arc<OnceLock<Weak<Mon>>> = Arc::default();
    let seen = Arc::clone(&slot);
    let commands = Commands::new().on("osd new", "", move |_| {
        let mon = seen.get().and_then(Weak::upgrade).expect("a monitor");
        mon.set_osd(7, Some(SimpleOSD::default()));
        CommandReply::ok("")
    });
    let mon = Arc::new(peers.mon().commands(commands).start().expect("a monitor"));
    slot.set(Arc::downgrade(&mon)).expect("it is empty");
    let cluster = open(&mon);
    cluster.mon_command(&"osd new".into()).expect("an answer");
    assert!(cluster.osdmap().expect("a map").exists(7));
}

fn a_handler_that_panics_is_an_error_that_says_so(peers: Peers) {
    let commands = Commands::new()
        .on("frob", "", |cmd| panic!("{} may not frob", cmd.peer.name))
        .on("status", "", |_| CommandReply::ok("still here"));
    let mon = peers.mon().commands(commands).start().expect("a monitor");
    let cluster = open(&mon);
    let e = cluster.mon_command(&"frob".into()).expect_err("it panicked");
    assert_eq!((e.kind(), e.errno()), (ErrorKind::Command, Some(5)), "EIO: {e}");
    assert!(e.to_string().contains("the handler panicked: client.admin may not frob"), "{e}");
    let status = cluster.mon_command(&"status".into()).expect("an answer");
    assert_eq!(text(&status.outbl), "still here");
    let frobs =
        mon.arrivals().iter().filter_map(Arrival::command).filter(|c| c.prefix == "frob").count();
    assert_eq!(frobs, 1, "it is not tried again");
}

fn a_message_handler_that_panics_costs_its_connection(peers: Peers) {
    let once = AtomicU32::new(0);
    let mon = peers
        .mon()
        .on_message(move |_, msg| {
            let is_command = msg.header.msg_type == MSG_MON_COMMAND;
            assert!(!is_command || once.fetch_add(1, Relaxed) > 0, "not now");
            None
        })
        .commands(echo())
        .start()
        .expect("a monitor");
    let cluster = open(&mon);
    cluster.mon_command(&"status".into()).expect("an answer on the next connection");
    let is_reset = |a: &Arrival| matches!(&a.what, Arrived::Reset(why) if why.contains("the handler panicked: not now"));
    mon.wait_for(is_reset, soon()).expect("it says why the connection went");
}

fn a_dropped_monitor_is_gone(peers: Peers) {
    let mon = peers.mon().commands(echo()).start().expect("a monitor");
    let cluster = open(&mon);
    let held = mon.connections();
    drop(mon);
    assert!(held.iter().all(ceph_msgr::net::Connection::is_closed));
    let hurried = cluster.with_timeout(Duration::from_millis(300));
    assert!(hurried.mon_command(&"status".into()).expect_err("it is gone").is_retryable());
}

fn what_arrived_is_kept_within_bounds(peers: Peers) {
    let mon = peers.mon().commands(echo()).start().expect("a monitor");
    let cluster = open(&mon);
    for _ in 0..5 {
        let cmd = Command::new("much").input(vec![b'x'; 4 << 20]);
        cluster.mon_command(&cmd).expect("an answer");
    }
    let kept: Vec<_> = mon.arrivals();
    let bytes: usize = kept.iter().filter_map(Arrival::command).map(|c| c.inbl.len()).sum();
    assert!(bytes <= 16 << 20, "{bytes}");
    assert_eq!(kept.iter().filter_map(Arrival::command).count(), 3, "and the newest are there");
}

/// Without being told, all listen as real daemons do: for messenger v2 and for v1, which the client
/// chooses from.
#[test]
fn daemons_listen_for_both_messengers() {
    let mon = Mon::builder().commands(echo()).start().expect("a monitor");
    let osd = mon.start_osd(0, mon.service(EntityType::OSD, echo())).expect("an OSD");
    let mgr = mon.start_mgr("x", mon.service(EntityType::MGR, echo())).expect("a manager");
    for daemon in [&*mon, &osd, &mgr] {
        let types: Vec<_> = daemon.addrs().0.iter().map(|addr| addr.addr_type).collect();
        assert_eq!(types, [AddrType::MSGR2, AddrType::LEGACY]);
    }
    let v2_modes = (Some(ConMode::Secure), Some(ConMode::Crc));
    for (msgr, modes) in [(Msgr::Auto, v2_modes), (Msgr::V2, v2_modes), (Msgr::V1, (None, None))] {
        let cluster = mon.cluster().msgr(msgr).timeout(PATIENCE).connect().expect("let in");
        let map = cluster.monmap().expect("a monmap");
        let infos: Vec<_> = map.mon_info.values().map(|info| &info.public_addrs).collect();
        assert_eq!(infos, [&mon.addrs()]);
        let name = msgr.name();
        let cmd = Command::new(name);
        cluster.mon_command(&cmd).expect("an answer of the monitor's");
        cluster.osd_command(0, &cmd).expect("an answer of the OSD's");
        cluster.mgr_command(&cmd).expect("an answer of the manager's");
        for (daemon, mode) in [(&*mon, modes.0), (&osd, modes.1), (&mgr, modes.1)] {
            let is_it = |a: &Arrival| a.command().is_some_and(|cmd| cmd.prefix == name);
            assert_eq!(daemon.wait_for(is_it, soon()).expect("it").con_mode, mode, "{msgr}");
        }
    }
}

#[test]
fn a_mode_that_is_not_allowed_is_named() {
    let mon = Mon::builder().con_modes(&[ConMode::Secure]).start().expect("a monitor");
    let builder = mon.cluster().msgr(Msgr::V2).con_modes(&[ConMode::Crc]);
    let e = builder.timeout(PATIENCE).connect().expect_err("it must be secure");
    assert_eq!(e.kind(), ErrorKind::Auth, "{e}");
    assert!(e.to_string().contains("secure"), "{e}");
    assert!(!mon.arrivals().iter().any(|a| matches!(a.what, Arrived::Login)));
}

/// Which protocol is spoken at an address is said by its type.
#[test]
fn a_monitor_listens_where_it_is_told() {
    let at = |addrs: &[&str]| {
        let addrs: Vec<_> = addrs.iter().map(|a| a.parse().expect("an address")).collect();
        Mon::builder().commands(echo()).start_at(&addrs).expect("a monitor")
    };
    for (mon, msgr) in [
        (at(&["v1:127.0.0.1:0"]), Msgr::V1),
        (at(&["v2:127.0.0.1:0"]), Msgr::V2),
        (at(&["v1:127.0.0.1:0", "v2:127.0.0.1:0"]), Msgr::Auto),
    ] {
        let osd = mon.start_osd(0, mon.service(EntityType::OSD, echo())).expect("an OSD");
        let shape = |addrs: ceph_msgr::types::EntityAddrVec| -> Vec<_> {
            addrs.0.iter().map(|addr| addr.addr_type).collect()
        };
        assert_eq!(shape(osd.addrs()), shape(mon.addrs()), "an OSD listens as the monitor does");
        assert_eq!(mon.addrs().0[0].addr_type == AddrType::MSGR2, msgr != Msgr::V1);
        open(&mon).osd_command(0, &"version".into()).expect("an answer");
        let known = osd.arrivals().iter().find_map(|a| a.con_mode);
        assert_eq!(known, (msgr != Msgr::V1).then_some(ConMode::Crc));
    }
}
