//! What the library asks of the kernel, as strace(1) sees it, and how it bears what the kernel may
//! answer: EINTR at any call, and the process id of a fork.
//!
//! Each test runs this binary again under strace, with one of the scenarios at the end.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ceph_msgr::auth::{AuthClient, CEPH_AUTH_CEPHX, ConMode, MonLogin};
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::error::ErrorKind;
use ceph_msgr::messages::Body as _;
use ceph_msgr::messages::mgr::MMgrCommandReply;
use ceph_msgr::msgr::{ConState, Message, Options, Peer, Policy};
use ceph_msgr::net::{
    Acceptor as AcceptorOfOurs, Connection, Counts, Deadline, Delivery, Dispatcher, Inbox,
    Messenger,
};
use ceph_msgr::types::{EntityName, EntityType, Features};
use common::acceptor::*;
use common::client::*;
use common::frames::*;
use common::monitor::*;
use common::{dialler, server, skip};

const SCENARIO: &str = "NET_SYSCALLS_SCENARIO";
const ROUNDS: usize = 200;

/// Runs a scenario under strace; what that writes, or `None` where it cannot be used here.
fn strace(scenario: &str, args: &[&str]) -> Option<String> {
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|out| out.status.success());
    if !works {
        skip("strace is not installed, or may not trace");
        return None;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let trace = dir.path().join("trace");
    let out = Command::new("strace")
        .arg("-f")
        .arg("-o")
        .arg(&trace)
        .args(args)
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", scenario, "--nocapture"])
        .env(SCENARIO, scenario)
        .stdin(Stdio::null())
        .output()
        .expect("strace can be run");
    let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{scenario} under strace:\n{said}");
    Some(std::fs::read_to_string(&trace).expect("a trace"))
}

/// Leaves a mark in the trace, by which the thread and the moment are known.
fn mark(what: &str) {
    let _ = Path::new("/mark").join(what).symlink_metadata();
}

/// Who left that mark, and where in the trace.
fn find_mark(trace: &[&str], what: &str) -> (String, usize) {
    let at = trace.iter().position(|line| line.contains(&format!("\"/mark/{what}\"")));
    let at = at.unwrap_or_else(|| panic!("no mark {what:?} in the trace"));
    (tid(trace[at]).to_owned(), at)
}

fn tid(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or("")
}

/// Calls of one thread, by name. One that was interrupted in the trace by another thread's is counted
/// where it begins.
fn calls(trace: &[&str], thread: &str) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for line in trace.iter().filter(|line| tid(line) == thread) {
        let call = line[thread.len()..].trim_start();
        if let Some((name, _)) = call.split_once('(')
            && !call.starts_with(['<', '+', '-'])
        {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    calls
}

/// The futex calls of one thread, each with what it came to even if another thread's interrupts it in
/// the trace.
fn futexes(trace: &[&str], thread: &str) -> Vec<String> {
    let mut futexes: Vec<String> = Vec::new();
    for line in trace.iter().filter(|line| tid(line) == thread) {
        let call = line[thread.len()..].trim_start();
        if call.starts_with("futex(") {
            futexes.push(call.to_owned());
        } else if let (true, Some(last)) = (call.starts_with("<... futex"), futexes.last_mut()) {
            last.push_str(call);
        }
    }
    futexes
}

/// An idle connection, with a question that is sent and an answer that comes: one sendmsg on the
/// sender's thread, one poll and one recv on the worker's. No read in vain, and no eventfd.
#[test]
fn an_idle_message_costs_one_call_for_each_thing_that_happens() {
    let _ = costs_one_call_for_each_thing("questions_and_answers");
}

/// The same with messenger v2: preamble, segments and epilogue come and go with one call too.
#[test]
fn an_idle_message_of_v2_costs_what_one_of_v1_does() {
    let _ = costs_one_call_for_each_thing("questions_and_answers_of_v2");
}

/// The same with sealed frames, and with a listener of ours, whose side is looked at as well: it sends
/// the answer from its callback.
#[test]
fn a_sealed_message_costs_what_one_in_the_clear_does() {
    let Some(trace) = costs_one_call_for_each_thing("sealed_questions_and_answers") else { return };
    let trace: Vec<_> = trace.lines().collect();
    let ((_, begin), (_, end)) = (find_mark(&trace, "begin"), find_mark(&trace, "end"));
    let (server, _) = find_mark(&trace, "accepted");
    let trace = &trace[begin + 1..end];
    let calls = calls(trace, &server);
    let of = |name: &str| calls.get(name).copied().unwrap_or(0);
    assert_eq!((of("recvfrom"), of("sendmsg")), (ROUNDS, ROUNDS), "{calls:?}");
    assert!((ROUNDS - 1..=ROUNDS + 1).contains(&(of("ppoll") + of("poll"))), "{calls:?}");
    for name in ["read", "write", "recvmsg", "fcntl", "setsockopt"] {
        assert_eq!(of(name), 0, "{name}: {calls:?}");
    }
    let in_vain = trace.iter().find(|line| tid(line) == server && line.contains("EAGAIN"));
    assert!(in_vain.is_none_or(|line| line.contains("futex")), "{in_vain:?}");
}

fn costs_one_call_for_each_thing(scenario: &str) -> Option<String> {
    let whole = strace(scenario, &[])?;
    let trace: Vec<_> = whole.lines().collect();
    let (sender, begin) = find_mark(&trace, "begin");
    let (_, end) = find_mark(&trace, "end");
    let (worker, _) = find_mark(&trace, "worker");
    let trace = &trace[begin + 1..end];
    let (sent, received) = (calls(trace, &sender), calls(trace, &worker));
    let of = |calls: &BTreeMap<String, usize>, name: &str| calls.get(name).copied().unwrap_or(0);
    let all = format!("sender {sent:?}, worker {received:?}");
    assert_eq!(of(&sent, "sendmsg"), ROUNDS, "{all}");
    assert_eq!(of(&received, "recvfrom"), ROUNDS, "{all}");
    let polls = of(&received, "ppoll") + of(&received, "poll");
    // The first may have begun before, and the last may come after.
    assert!((ROUNDS - 1..=ROUNDS + 1).contains(&polls), "{all}");
    for (thread, calls) in [("sender", &sent), ("worker", &received)] {
        for name in ["read", "write", "recvmsg", "fcntl", "setsockopt"] {
            assert_eq!(of(calls, name), 0, "{name} of the {thread}: {all}");
        }
    }
    assert_eq!(of(&received, "sendmsg"), 0, "the worker has nothing to send: {all}");
    // To hand the answer over, one call that wakes all and one that sleeps until then, which has a
    // time. The first wake-up may be that of the round before.
    let wakes = futexes(trace, &worker);
    let wakes = wakes.iter().filter(|call| {
        call.contains("FUTEX_WAKE") && (call.contains("INT_MAX") || call.contains("2147483647"))
    });
    let sleeps = futexes(trace, &sender);
    let sleeps = sleeps.iter().filter(|call| {
        call.contains("FUTEX_WAIT") && call.contains("tv_sec=") && !call.contains("EAGAIN")
    });
    let (wakes, sleeps) = (wakes.count(), sleeps.count());
    assert!((1..=ROUNDS + 1).contains(&wakes), "{wakes} wake-ups: {all}");
    assert!((1..=wakes).contains(&sleeps), "{sleeps} sleeps, {wakes} wake-ups: {all}");
    // Now and then a lock costs two more: strace keeps the sender, which holds it, in its sendmsg until
    // the answer is there. One that was contested in every round would come to four in each.
    let all_futexes = of(&sent, "futex") + of(&received, "futex");
    assert!(all_futexes < 3 * ROUNDS, "{all}");
    let in_vain = trace.iter().find(|line| tid(line) == worker && line.contains("EAGAIN"));
    assert!(in_vain.is_none_or(|line| line.contains("futex")), "{in_vain:?}");
    println!("{ROUNDS} questions and answers: {all}, {wakes} wake-ups, {sleeps} sleeps");
    Some(whole)
}

/// The handshake of messenger v2, between a client and a listener of ours: each side writes all that
/// it has to say at a time with one call, reads what the other has said with one, and sleeps between.
#[test]
fn a_handshake_of_v2_makes_no_call_in_vain() {
    let Some(trace) = strace("a_handshake_of_v2", &[]) else { return };
    let trace: Vec<_> = trace.lines().collect();
    // Banner, HELLO, AUTH_REQUEST, AUTH_SIGNATURE, CLIENT_IDENT; and banner, HELLO, AUTH_DONE with
    // AUTH_SIGNATURE, and then SERVER_IDENT, which its owner hears of first. What the other says in
    // two may come in one.
    for (side, sends, recvs) in [("connected", 5, 4), ("accepted", 3, 5)] {
        let (thread, end) = find_mark(&trace, side);
        let lines = &trace[..end];
        let calls = calls(lines, &thread);
        let of = |name: &str| calls.get(name).copied().unwrap_or(0);
        let polls = of("ppoll") + of("poll");
        println!("{side}: {calls:?}");
        assert_eq!(of("sendmsg"), sends, "{side}: {calls:?}");
        assert!((3..=recvs).contains(&of("recvfrom")), "{side}: {calls:?}");
        // One for the connection, and one for what is woken by its owner.
        assert!((3..=recvs + 2).contains(&polls), "{side}: {calls:?}");
        let in_vain = lines.iter().find(|l| tid(l) == thread && l.contains("EAGAIN"));
        assert!(in_vain.is_none_or(|line| line.contains("futex")), "{side}: {in_vain:?}");
    }
}

/// A write to a socket that the peer has closed must not end a program that does not ignore SIGPIPE,
/// and a program that it starts must not inherit the socket.
#[test]
fn sockets_raise_no_signal_and_are_not_inherited() {
    let Some(trace) = strace("questions_and_answers", &["-e", "trace=%network,eventfd2"]) else {
        return;
    };
    let lines = |name: &str| {
        let name = format!(" {name}(");
        trace.lines().filter(|l| l.contains(&name)).map(str::to_owned).collect::<Vec<_>>()
    };
    let sent = lines("sendmsg");
    assert!(sent.len() >= ROUNDS);
    assert!(sent.iter().all(|l| l.contains("MSG_NOSIGNAL")), "{:?}", sent.first());
    let made = [lines("socket"), lines("eventfd2")].concat();
    assert!(made.len() >= 3);
    assert!(made.iter().all(|l| l.contains("CLOEXEC")), "{made:?}");
}

/// Every third poll, recv and send is interrupted.
#[test]
fn interrupted_calls_are_made_again() {
    let inject = ["ppoll", "poll", "recvfrom", "sendmsg"]
        .map(|call| format!("inject={call}:error=EINTR:when=2+3"));
    let args: Vec<_> = inject.iter().flat_map(|i| ["-e", i]).collect();
    let Some(trace) = strace("questions_and_answers", &args) else { return };
    let interrupted =
        |call: &str| trace.lines().filter(|l| l.contains(call) && l.contains("EINTR")).count();
    for call in ["ppoll", "recvfrom", "sendmsg"] {
        assert!(interrupted(call) > ROUNDS / 4, "{call}: {}", interrupted(call));
    }
}

/// Nothing can be accepted for a while, and the socket stays readable: after each attempt that fails
/// the thread sleeps for a time before it looks again.
#[test]
fn a_listener_without_descriptors_does_not_spin() {
    let inject = ["-e", "inject=accept4:error=EMFILE:when=1..4"];
    let Some(trace) = strace("a_listener_that_fails", &inject) else { return };
    let failed = |line: &&str| line.contains("EMFILE") && line.contains("(INJECTED)");
    let acceptor = tid(trace.lines().find(failed).expect("an attempt that fails"));
    // Only what it begins: a call that another thread's interrupts in the trace is not there twice.
    let lines = trace.lines().filter(|line| tid(line) == acceptor && !line.contains("resumed>"));
    let calls: Vec<_> = lines.collect();
    let attempts: Vec<_> = (0..calls.len()).filter(|i| calls[*i].contains(" accept4(")).collect();
    assert_eq!(trace.lines().filter(failed).count(), 4, "{calls:#?}");
    for pair in attempts[..5].windows(2) {
        let between = &calls[pair[0] + 1..pair[1]];
        // A condition variable, and until when; or a lock, which has no time.
        let sleeps =
            between.iter().filter(|line| line.contains("FUTEX_WAIT") && line.contains("tv_sec="));
        assert_eq!(sleeps.count(), 1, "{between:#?}");
        let polls = between.iter().filter(|line| line.contains("poll(")).count();
        assert_eq!(polls, 1, "{between:#?}");
    }
}

/// A fork has the handles and not the threads: every call says so, and the end of a handle does not
/// touch the session, which is the parent's.
#[test]
fn a_fork_is_refused_and_leaves_the_session_alone() {
    // getpid(2) answers as it does to a fork, from some call on.
    strace("handles_in_a_fork", &["-e", "inject=getpid:retval=1:when=40+"]);
}

/// The same for a handle of a cluster: what it is asked in a fork is refused, and neither the end of
/// its calls nor its own end takes anything from the parent.
#[test]
fn a_cluster_in_a_fork_is_refused_and_left_to_the_parent() {
    strace("a_cluster_in_a_fork", &["-e", "inject=getpid:retval=1:when=100+"]);
}

/// Each thread's first eventfd cannot be had: the caller's, and that of the timer.
#[test]
fn a_hunt_without_a_descriptor_tries_again() {
    strace("a_hunt_that_ends_well", &["-e", "inject=eventfd2:error=EMFILE:when=1"]);
}

/// None can be had, and the caller hears why.
#[test]
fn a_hunt_that_never_has_a_descriptor_says_so() {
    strace("a_hunt_in_vain", &["-e", "inject=eventfd2:error=EMFILE"]);
}

/// The socket is there and leads nowhere: that is heard from the connection's own thread.
#[test]
fn a_hunt_that_never_has_an_address_family_says_so() {
    strace("a_hunt_without_a_family", &["-e", "inject=connect:error=EAFNOSUPPORT"]);
}

/// Of the threads of the test itself only that of the timer can be had; the timer has better luck.
#[test]
fn a_hunt_without_a_thread_tries_again() {
    strace("a_hunt_that_ends_well", &["-e", "inject=clone,clone3:error=EAGAIN:when=2+"]);
}

/// Without a thread for its timer a client does not begin.
#[test]
fn a_client_without_a_timer_is_refused() {
    strace("a_client_without_threads", &["-e", "inject=clone,clone3:error=EAGAIN"]);
}

fn is_wanted(scenario: &str) -> bool {
    std::env::var(SCENARIO).is_ok_and(|wanted| wanted == scenario)
}

/// What the inbox hears, and a mark by which the worker is known.
fn marked(inbox: &Inbox) -> Arc<dyn Dispatcher> {
    let dispatcher = inbox.dispatcher();
    hook(move |con, call| match call {
        Call::Connected => mark("worker"),
        Call::Message(msg) => dispatcher.dispatch(con, msg),
        _ => {}
    })
}

/// The rounds, between marks.
fn ask_and_hear(con: &Connection, inbox: &Inbox) {
    let ask = || {
        con.send(Message::new(1, &b"a small question"[..])).unwrap();
        let answer = inbox.recv(soon()).unwrap();
        assert!(matches!(&answer, Delivery::Message(_, msg) if msg.header.msg_type == 2));
    };
    // Once for what happens once.
    ask();
    mark("begin");
    (0..ROUNDS).for_each(|_| ask());
    mark("end");
}

fn open(messenger: &Messenger, inbox: &Inbox) -> (Connection, Wire) {
    let acceptor = Acceptor::new();
    let peer = acceptor.peer(Policy::LOSSY_CLIENT);
    let con = messenger.connect(peer, no_auth(), marked(inbox)).expect("a thread");
    let wire = acceptor.open(true);
    con.wait_open(soon()).unwrap();
    (con, wire)
}

/// A scenario: does nothing if it is not run by one of the tests above.
#[test]
fn questions_and_answers() {
    if !is_wanted("questions_and_answers") {
        return;
    }
    let messenger = messenger(patient());
    let inbox = Inbox::new(10).unwrap();
    let (con, mut wire) = open(&messenger, &inbox);
    let peer = std::thread::spawn(move || {
        for seq in 1..=ROUNDS as u64 + 1 {
            let question = wire.msg();
            wire.send_msg(seq, 2, &question.front, b"");
        }
        wire
    });
    ask_and_hear(&con, &inbox);
    peer.join().unwrap();
    con.close(soon()).unwrap();
}

/// A scenario: does nothing if it is not run by one of the tests above.
#[test]
fn questions_and_answers_of_v2() {
    if !is_wanted("questions_and_answers_of_v2") {
        return;
    }
    let messenger = messenger(patient());
    let inbox = Inbox::new(10).unwrap();
    let acceptor = Acceptor::new();
    let peer = acceptor.peer_v2(Policy::LOSSY_CLIENT);
    let con = messenger.connect(peer, auth_none(), marked(&inbox)).expect("a thread");
    let mut wire = acceptor.open_v2(true);
    con.wait_open(soon()).unwrap();
    let peer = std::thread::spawn(move || {
        for seq in 1..=ROUNDS as u64 + 1 {
            let question = wire.expect(MESSAGE);
            wire.send(&message_v2(seq, 2, &question.segments[1], b""));
        }
        wire
    });
    ask_and_hear(&con, &inbox);
    peer.join().unwrap();
    con.close(soon()).unwrap();
}

/// Marks the trace where a session is open, and answers.
struct Marks;

impl Dispatcher for Marks {
    fn dispatch(&self, con: &Connection, msg: Message) {
        con.send(Message::new(2, msg.front)).unwrap();
    }

    fn connected(&self, _: &Connection) {
        mark("connected");
    }

    fn accepted(&self, _: &Connection) {
        mark("accepted");
    }
}

/// A scenario: does nothing if it is not run by one of the tests above.
#[test]
fn sealed_questions_and_answers() {
    if !is_wanted("sealed_questions_and_answers") {
        return;
    }
    let key = CryptoKey::generate(KeyType::Aes, wall()).expect("random numbers");
    let name = EntityName::new(EntityType::MON, 0);
    let mon = Messenger::with_nonce(name, 0, Options::default(), patient());
    let auth = auth_monitor(&key, CEPH_AUTH_CEPHX, Duration::from_secs(3600), 4100);
    let acceptor = AcceptorOfOurs::new(Arc::new(auth), Arc::new(Marks));
    let listener = mon.bind(&[server::v2(server::LOCALHOST)], acceptor).unwrap();
    let services = [EntityType::MON];
    let client = AuthClient::new(client_admin(), Some(key), &[CEPH_AUTH_CEPHX], &services);
    let login = Arc::new(MonLogin::new(Arc::new(client.expect("a key"))));
    let messenger = messenger(patient());
    let inbox = Inbox::new(10).unwrap();
    let peer = Peer { name, addr: listener.addrs()[0], policy: Policy::LOSSY_CLIENT };
    let con = messenger.connect(peer, login, marked(&inbox)).expect("a thread");
    con.wait_open(soon()).unwrap();
    assert_eq!(con.con_mode(), Some(ConMode::Secure));
    ask_and_hear(&con, &inbox);
    con.close(soon()).unwrap();
    listener.close(soon()).unwrap();
}

/// A scenario: does nothing if it is not run by one of the tests above.
#[test]
fn a_handshake_of_v2() {
    if !is_wanted("a_handshake_of_v2") {
        return;
    }
    let osd = server::osd(Policy::STATELESS_SERVER, patient());
    let acceptor = server::acceptor(Arc::new(Marks));
    let listener = osd.bind(&[server::v2(server::LOCALHOST)], acceptor).unwrap();
    let at = server::addr(&listener);
    let peer = Peer { addr: listener.addrs()[0], ..peer_at(at, Policy::LOSSY_CLIENT) };
    let con = messenger(patient()).connect(peer, auth_none(), Arc::new(Marks)).unwrap();
    con.wait_open(soon()).unwrap();
    con.close(soon()).unwrap();
    listener.close(soon()).unwrap();
}

/// A scenario: does nothing if it is not run by one of the tests above.
#[test]
fn a_listener_that_fails() {
    if !is_wanted("a_listener_that_fails") {
        return;
    }
    let (_messenger, listener, heards) = server::serve(Policy::STATELESS_SERVER, patient());
    let mut wire = dialler::dial(server::addr(&listener));
    wire.open_session(1, &dialler::ask());
    heards.accepted();
    listener.close(soon()).unwrap();
}

/// A scenario: does nothing if it is not run by one of the tests above.
#[test]
fn handles_in_a_fork() {
    if !is_wanted("handles_in_a_fork") {
        return;
    }
    let messenger = messenger(patient());
    let inbox = Inbox::new(10).unwrap();
    let acceptor = server::acceptor(inbox.dispatcher());
    let listener = messenger.bind(&[server::v1(server::LOCALHOST)], acceptor).unwrap();
    let at = server::addr(&listener);
    let mut dialled = dialler::dial(at);
    let to_client = Connect { protocol_version: 0, ..dialler::ask() };
    dialled.open_session(1, &to_client);
    let held = listener.connections();
    let (con, mut wire) = open(&messenger, &inbox);
    let msg = || Message::new(1, vec![]);
    let mut sent = 0;
    let refused = loop {
        match con.try_send(msg()) {
            Ok(_) => sent += 1,
            Err(refused) => break refused,
        }
        assert!(sent < 1000, "it is never a fork");
    };
    assert!(sent > 0);
    let calls = [
        refused.error,
        con.send(msg()).unwrap_err(),
        con.wait_open(soon()).unwrap_err(),
        con.flush(soon()).unwrap_err(),
        con.acked(soon()).unwrap_err(),
        con.close(soon()).unwrap_err(),
        messenger.connect(*con.peer(), no_auth(), inbox.dispatcher()).unwrap_err(),
        messenger.shutdown(soon()).unwrap_err(),
    ];
    for error in calls {
        assert_eq!(error.kind(), ErrorKind::Forked, "{error}");
    }
    let acceptor = server::acceptor(inbox.dispatcher());
    let error = messenger.bind(&[server::v1(server::LOCALHOST)], acceptor).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forked, "{error}");
    assert!(listener.connections().is_empty());
    assert_eq!(listener.counts(), Counts::default());
    assert!(held[0].auth_peer().is_none());
    assert!(held[0].take_login().is_none() && held[0].con_mode().is_none());
    for error in [held[0].send(msg()).unwrap_err(), held[0].close(soon()).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Forked, "{error}");
    }
    drop(held);
    assert_eq!(listener.close(soon()).unwrap_err().kind(), ErrorKind::Forked);
    dialled.send_stamp(KEEPALIVE2, [4; 8]);
    assert_eq!(dialled.frame(), Frame::Keepalive2Ack([4; 8]));
    // It still listens.
    dialler::dial(at).recv(281);
    // What cannot fail does not wait for a lock that the parent may have held.
    assert_eq!(
        (con.state(), con.features(), con.is_closed()),
        (ConState::Closed, Features::NONE, true)
    );
    let counters = con.counters();
    assert_eq!((counters.sent, counters.state, counters.queued_bytes), (sent, ConState::Closed, 0));
    assert!(con.describe().ends_with("belongs to the parent process"), "{}", con.describe());
    assert_eq!(messenger.connections(), 0);
    con.keepalive();
    drop(con);
    // The parent's thread, which here is in the same process, goes on.
    (1..=sent).for_each(|seq| assert_eq!(wire.msg().seq, seq));
    wire.send_stamp(KEEPALIVE2, [3; 8]);
    assert_eq!(wire.frame(), Frame::Keepalive2Ack([3; 8]));
}

/// A scenario: does nothing if it is not run by one of the tests above.
#[test]
fn a_cluster_in_a_fork() {
    if !is_wanted("a_cluster_in_a_fork") {
        return;
    }
    let monitor = Monitor::open_to_all();
    let (cluster, mut mon) = monitor.cluster(patient());
    let manager = Acceptor::new();
    std::thread::scope(|scope| {
        // The parent waits for a manager...
        let parent = scope.spawn(|| cluster.mgr_command(&"pg stat".into()));
        assert!(mon.subscription().contains("mgrmap"));
        mon.send_mgrmap(manager.addr());
        let mut mgr = manager.open(true);
        let asked = mgr.msg();
        // ... and this thread is a fork of it from now on.
        until("it is a fork", || cluster.mon().peer().is_none());
        let events = cluster.events();
        let calls = [
            cluster.mon_command(&"status".into()).unwrap_err(),
            cluster.fsid().unwrap_err(),
            cluster.mon().subscribe("config", 0, false).unwrap_err(),
            cluster.mon().shutdown(soon()).unwrap_err(),
            cluster.close().unwrap_err(),
            events.recv(soon()).unwrap_err(),
        ];
        for error in calls {
            assert_eq!(error.kind(), ErrorKind::Forked, "{error}");
        }
        cluster.cancel_handle().cancel();
        mgr.send_answer(1, asked.tid, MMgrCommandReply::TYPE, &mgr_reply());
        parent.join().expect("it returns").expect("nobody has cancelled the parent's call");
    });
    // Not even the last handle, as it is here, ends a thread of the parent's.
    drop(cluster);
    for stamp in 0..100 {
        mon.wire.send_stamp(KEEPALIVE2, [stamp; 8]);
        assert_eq!(mon.wire.frame(), Frame::Keepalive2Ack([stamp; 8]));
        assert!(threads().any(|name| name == "msgr-timer"), "its timer has ended");
    }
}

/// The names of the threads of this process.
fn threads() -> impl Iterator<Item = String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    let comm = |task: std::io::Result<std::fs::DirEntry>| task.ok().map(|t| t.path().join("comm"));
    tasks
        .filter_map(move |task| std::fs::read_to_string(comm(task)?).ok())
        .map(|name| name.trim().to_owned())
}

fn mgr_reply() -> Vec<u8> {
    let reply = MMgrCommandReply { r: 0, rs: String::new() };
    reply.to_message(Features::ALL).front.to_vec()
}

/// A scenario: does nothing if it is not run by one of the tests above.
#[test]
fn a_hunt_that_ends_well() {
    if !is_wanted("a_hunt_that_ends_well") {
        return;
    }
    let monitor = Monitor::open_to_all();
    let mon = monitor.client(messenger(patient()));
    // The first round is over when this returns, and it was in vain.
    let error = mon.authenticate(Deadline::after(Duration::ZERO)).unwrap_err();
    let tried = error.to_string();
    assert!(tried.contains("os error"), "it could dial: {tried}");
    let _session = monitor.session();
    mon.authenticate(soon()).unwrap();
}

/// A scenario: does nothing if it is not run by one of the tests above.
#[test]
fn a_hunt_in_vain() {
    if !is_wanted("a_hunt_in_vain") {
        return;
    }
    hunt_in_vain("no eventfd for mon.0", "Too many open files");
}

/// A scenario: does nothing if it is not run by one of the tests above.
#[test]
fn a_hunt_without_a_family() {
    if !is_wanted("a_hunt_without_a_family") {
        return;
    }
    hunt_in_vain("mon.0", "Address family not supported by protocol");
}

/// The error of a caller whose time is over has both, once the first round is over.
fn hunt_in_vain(what: &str, why: &str) {
    let monitor = Monitor::open_to_all();
    let mon = monitor.client(messenger(patient()));
    until("the caller hears why", || {
        let error = mon.authenticate(Deadline::after(Duration::from_millis(100))).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        let text = error.to_string();
        text.contains(what) && text.contains(why)
    });
}

/// A scenario: does nothing if it is not run by one of the tests above.
#[test]
fn a_client_without_threads() {
    if !is_wanted("a_client_without_threads") {
        return;
    }
    let error = Monitor::open_to_all().try_client(messenger(patient())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("no thread for timers"), "{error}");
}
