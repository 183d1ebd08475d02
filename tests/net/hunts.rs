//! A monitor client that is refused, left without an answer, or cut off: what it does next.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use ceph_msgr::error::ErrorKind;
use ceph_msgr::messages::auth::MAuth;
use ceph_msgr::messages::mon::MMonCommandAck;
use ceph_msgr::messages::types;
use ceph_msgr::mon::{HuntOptions, MapEvent};
use ceph_msgr::net::{Deadline, Timeouts};
use ceph_msgr::types::EntityAddr;

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::monitor::*;

/// What a client without wishes subscribes to.
fn monmap() -> BTreeSet<String> {
    ["monmap".to_owned()].into()
}

#[test]
fn whoever_wants_a_map_after_a_refusal_is_looked_after() {
    let monitor = Monitor::open_to_all();
    let mon = monitor.client(messenger(patient()));
    let refused = thread::scope(|scope| {
        let refused = scope.spawn(|| mon.authenticate(soon()));
        let mut session = monitor.accept();
        session.auth_request();
        session.refuse();
        session.wire.wait_closed();
        refused.join().expect("it returns").unwrap_err()
    });
    assert_eq!(refused.kind(), ErrorKind::Auth, "{refused}");
    // Nobody waits, and nobody asks for the session: the subscription alone must bring it.
    let events = mon.events();
    mon.subscribe("config", 0, false).unwrap();
    let mut session = monitor.session();
    assert_eq!(session.subscription(), ["config".to_owned(), "monmap".to_owned()].into());
    session.send_monmap();
    let event = events.recv(soon()).unwrap();
    assert!(matches!(event, MapEvent::MonMap(_)), "{event:?}");
    mon.shutdown(soon()).unwrap();
}

/// Tickets that are due for renewal at once: their life is as short as there is.
const LIFE: Duration = Duration::from_secs(1);

/// A monitor that lets a client in and is then asked to renew tickets. It answers in that way, and
/// the client must come back for another session.
fn renewal_is_answered_by(answer: fn(&mut MonSession, &MAuth)) {
    let monitor = Monitor::with_tickets(LIFE);
    let timeouts = Timeouts { handshake: Duration::from_secs(2), ..patient() };
    let mon = monitor.client(messenger(timeouts));
    thread::scope(|scope| {
        let logged_in = scope.spawn(|| mon.authenticate(soon()));
        let mut session = monitor.session();
        assert_eq!(session.subscription(), monmap());
        logged_in.join().expect("it returns").unwrap();
        let request = session.auth_request();
        answer(&mut session, &request);
        // It is the client that ends this session, and nobody has to ask for the next.
        session.wire.wait_closed();
        let mut next = monitor.session();
        assert_eq!(next.subscription(), monmap());
    });
    mon.shutdown(soon()).unwrap();
}

#[test]
fn a_renewal_without_an_answer_ends_the_session() {
    renewal_is_answered_by(|_, _| {});
}

#[test]
fn a_renewal_with_a_malformed_answer_ends_the_session() {
    renewal_is_answered_by(|session, _| session.send_half_a_reply());
}

#[test]
fn a_renewal_that_is_refused_ends_the_session() {
    renewal_is_answered_by(|session, _| session.refuse());
}

/// The monitor goes silent while commands fill the out queue, so that one waits for room when the
/// session dies of a time-out. That is not the time-out of its caller, and the next session gets all
/// of them.
#[test]
fn a_command_that_waits_for_room_outlives_the_session() {
    const COMMANDS: usize = 4;
    // Three of these fill the queue of 128 MB, whatever the kernel takes.
    let input = Bytes::from(vec![0; 64 << 20]);
    let keepalive = Some(Duration::from_secs(1));
    let timeouts = Timeouts { keepalive, keepalive_timeout: Duration::from_secs(2), ..patient() };
    let monitor = Monitor::open_to_all();
    let mon = monitor.client(messenger(timeouts));
    thread::scope(|scope| {
        let fsid = scope.spawn(|| mon.fsid(soon()));
        let mut silent = monitor.session();
        assert_eq!(silent.subscription(), monmap());
        silent.send_monmap();
        fsid.join().expect("it returns").unwrap();
        let commands: Vec<_> = (0..COMMANDS)
            .map(|_| scope.spawn(|| mon.command(r#"{"prefix":"x"}"#, input.clone(), soon())))
            .collect();
        let mut answered = BTreeSet::new();
        // Kept to the end, for a socket that is closed with something unread takes the answers back.
        let _session = 'answered: loop {
            let mut session = monitor.session();
            while let Some(tid) = next_command(&mut session) {
                session.answer(tid, &MMonCommandAck::default());
                answered.insert(tid);
                if answered.len() == COMMANDS {
                    break 'answered session;
                }
            }
        };
        for command in commands {
            command.join().expect("it returns").unwrap();
        }
    });
    mon.shutdown(soon()).unwrap();
}

/// Reads up to the end of the next command, with a sign of life for every bit of it; `None` where
/// the session ends before.
fn next_command(session: &mut MonSession) -> Option<u64> {
    let (wire, deadline) = (&mut session.wire, soon());
    loop {
        assert!(!deadline.has_passed(), "keepalives and no command");
        match wire.try_recv(1).ok()?[0] {
            MSG => {}
            KEEPALIVE2 => {
                let stamp = wire.try_recv(8).ok()?;
                alive(wire, &stamp)?;
                continue;
            }
            other => panic!("the client sends tag {other}"),
        }
        let header = wire.try_recv(53).ok()?;
        let u32_at = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4"));
        // Front, middle, data and a footer with a signature.
        let mut left = (u32_at(22) + u32_at(26) + u32_at(30)) as usize + 21;
        while left > 0 {
            left -= wire.try_recv(left.min(1 << 20)).ok()?.len();
            alive(wire, &[0; 8])?;
        }
        if header[16..18] == types::MSG_MON_COMMAND.to_le_bytes() {
            return Some(u64::from_le_bytes(header[8..16].try_into().expect("8 bytes")));
        }
    }
}

fn alive(wire: &Wire, stamp: &[u8]) -> Option<()> {
    wire.stream().write_all(&[&[KEEPALIVE2_ACK], stamp].concat()).ok()
}

/// One that takes a connection and says nothing, where messenger v2 should be spoken.
fn silent_v2() -> (TcpListener, EntityAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = EntityAddr::msgr2(listener.local_addr().expect("an address"), 0);
    (listener, addr)
}

#[test]
fn an_address_of_v1_is_tried_when_no_v2_is_under_way() {
    let monitor = Monitor::open_to_all();
    let (listener, v2) = silent_v2();
    // There is room for both, and time for one.
    let hunt = HuntOptions { parallel: 3, interval: PATIENCE };
    let mon = monitor.client_beside(&[v2], messenger(patient()), hunt);
    // What is under way is in the text of whoever waits.
    let e = mon.authenticate(Deadline::after(Duration::from_millis(1))).unwrap_err().to_string();
    let port = |addr: EntityAddr| format!(":{}", addr.port());
    assert!(e.contains(&port(v2)) && !e.contains(&port(monitor.addr())), "{e}");
    // It gives up, and the other one is tried at once.
    let (stream, _) = listener.accept().expect("it was dialled");
    drop((listener, stream));
    let mut session = monitor.session();
    assert_eq!(session.subscription(), monmap());
    mon.authenticate(soon()).unwrap();
    assert_eq!(mon.peer().map(|peer| peer.addr), Some(monitor.addr()));
    mon.shutdown(soon()).unwrap();
}

#[test]
fn an_address_of_v2_that_does_not_answer_hides_no_v1_address() {
    let monitor = Monitor::open_to_all();
    let (_listener, v2) = silent_v2();
    let hunt = HuntOptions { parallel: 3, interval: Duration::from_millis(20) };
    let mon = monitor.client_beside(&[v2], messenger(patient()), hunt);
    thread::scope(|scope| {
        let logged_in = scope.spawn(|| mon.authenticate(soon()));
        let mut session = monitor.session();
        assert_eq!(session.subscription(), monmap());
        logged_in.join().expect("it returns").unwrap();
    });
    mon.shutdown(soon()).unwrap();
}
