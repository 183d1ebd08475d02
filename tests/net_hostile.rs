//! A listener in a process of its own, whose memory is looked at from outside, and who dials it: peers
//! that want it to be short of memory, threads and descriptors, and one that only wants an answer.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ceph_msgr::auth::MonAuthServer;
use ceph_msgr::limits;
use ceph_msgr::msgr::{Message, Options, Peer, Policies, Policy};
use ceph_msgr::net::{Acceptor, Connection, Deadline, Dispatcher, Inbox, Messenger, Timeouts};
use ceph_msgr::types::{EntityAddr, EntityName, EntityType};
use common::acceptor::*;
use common::client::*;
use common::dialler::*;
use common::server::{LOCALHOST, acceptor, addr, v1};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Set in the process that listens, to the number of descriptors it may have, or to nothing.
const LISTENER: &str = "NET_HOSTILE_LISTENER";
/// Sessions that each of its listeners keeps.
const MAX_SESSIONS: usize = 512;
/// The answer to a message that asks for a large one.
const LARGE: usize = 1 << 20;
const ASKS_FOR_LARGE: u16 = 99;

/// Raises the limit of descriptors as far as it goes; how far that is.
fn raise_nofile() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Answers.
struct Echo;

impl Dispatcher for Echo {
    fn dispatch(&self, con: &Connection, msg: Message) {
        let large = if msg.header.msg_type == ASKS_FOR_LARGE { LARGE } else { 0 };
        let _ = con.send(Message::new(43, msg.front).with_data(vec![1; large]));
    }
}

/// The process that listens, if this is it: until its standard input ends.
#[test]
fn the_process_that_listens() {
    let Ok(nofile) = std::env::var(LISTENER) else { return };
    raise_nofile();
    if let Ok(current) = nofile.parse() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).unwrap();
    }
    let timeouts = Timeouts {
        handshake: Duration::from_secs(5),
        keepalive_timeout: Duration::from_secs(3),
        ..Timeouts::default()
    };
    let listen = |name, auth: Option<MonAuthServer>| {
        let messenger = Messenger::with_nonce(name, 7, Options::default(), timeouts);
        messenger.set_policies(Policies::new(Policy::STATELESS_SERVER));
        let mut acceptor = acceptor(Arc::new(Echo));
        acceptor.max_connections = MAX_SESSIONS;
        if let Some(auth) = auth {
            acceptor = Acceptor { auth_server: Arc::new(auth), ..acceptor };
        }
        let listener = messenger.bind(&[v1(LOCALHOST), v1(LOCALHOST)], acceptor).unwrap();
        (messenger, listener)
    };
    let (_osd, osd) = listen(EntityName::new(EntityType::OSD, 3), None);
    let (_mon, mon) = listen(EntityName::new(EntityType::MON, 0), Some(MonAuthServer));
    let second = osd.addrs()[1].sockaddr.unwrap();
    println!("\nlistens {} {second} {}", addr(&osd), addr(&mon));
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    println!("osd {:?}\nmon {:?}", osd.counts(), mon.counts());
    osd.close(soon()).unwrap();
    mon.close(soon()).unwrap();
}

/// That process, from outside.
struct Victim {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    osd: SocketAddr,
    /// The same listener.
    osd_too: SocketAddr,
    mon: SocketAddr,
}

impl Victim {
    fn start(nofile: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_listens", "--nocapture"])
            .env(LISTENER, nofile)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("listens ") {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it has ended");
        }
        let addrs: Vec<_> = line.split_whitespace().skip(1).map(|a| a.parse().unwrap()).collect();
        Self { child, stdout, osd: addrs[0], osd_too: addrs[1], mon: addrs[2] }
    }

    fn status(&self, key: &str) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The most memory that it has ever had, in bytes.
    fn most(&self) -> usize {
        self.status("VmHWM:") * 1024
    }

    fn threads(&self) -> usize {
        self.status("Threads:")
    }

    /// Closes both listeners; what it said last.
    fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest
    }
}

/// Dials, asks, hears the answer and goes, again and again, until it is dropped.
struct Honest {
    done: Arc<AtomicUsize>,
    tried: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Honest {
    fn at(addr: SocketAddr, entity_type: EntityType) -> Self {
        let (done, tried) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let stop = Arc::<AtomicBool>::default();
        let thread = {
            let (done, tried, stop) = (done.clone(), tried.clone(), stop.clone());
            std::thread::spawn(move || {
                let messenger = messenger(patient());
                while !stop.load(Relaxed) {
                    if ask_once(&messenger, addr, entity_type).is_some() {
                        done.fetch_add(1, Relaxed);
                    }
                    tried.fetch_add(1, Relaxed);
                }
            })
        };
        Self { done, tried, stop, thread: Some(thread) }
    }

    /// Waits until it has been served some more times; it may fail now and then.
    #[track_caller]
    fn is_served(&self) {
        let (done, tried) = (self.done.load(Relaxed), self.tried.load(Relaxed));
        until("it is served", || {
            let (done, tried) = (self.done.load(Relaxed) - done, self.tried.load(Relaxed) - tried);
            assert!(done >= 3 || tried < 200, "{done} of {tried} attempts");
            done >= 3
        });
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_none_or(|ended| ended.is_ok()));
    }
}

/// One session with a question and its answer.
fn ask_once(messenger: &Messenger, addr: SocketAddr, entity_type: EntityType) -> Option<()> {
    let name = EntityName::new(entity_type, 3);
    let peer = Peer { name, addr: EntityAddr::legacy(addr, 7), policy: Policy::LOSSY_CLIENT };
    let inbox = Inbox::new(10).unwrap();
    let auth = if entity_type == EntityType::MON { no_auth() } else { auth_none() };
    let con = messenger.connect(peer, auth, inbox.dispatcher()).ok()?;
    con.send(Message::new(42, &b"how are you"[..])).ok()?;
    let deadline = Deadline::after(Duration::from_secs(8));
    let answered = loop {
        match inbox.recv(deadline) {
            Ok(ceph_msgr::net::Delivery::Message(_, msg)) => {
                break msg.front[..] == *b"how are you";
            }
            Ok(ceph_msgr::net::Delivery::Connected(_)) => {}
            _ => break false,
        }
    };
    con.close(soon()).unwrap();
    answered.then_some(())
}

fn on_threads<T: Send>(n: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let f = &f;
        let threads: Vec<_> = (0..n).map(|i| scope.spawn(move || f(i))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Whoever is not there to be refused: errors are what the attacker expects.
fn try_dial(addr: SocketAddr) -> Option<Wire> {
    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.set_write_timeout(Some(Duration::from_millis(500))).ok()?;
    Some(Wire::dialled(stream, FEATURES))
}

/// A session, if it is let in.
fn try_session(addr: SocketAddr, connect: &Connect) -> Option<Wire> {
    let mut wire = try_dial(addr)?;
    let mut all = hello(LOCALHOST, 1);
    all.extend(connect.bytes());
    all.extend([0; 8]);
    wire.stream().write_all(&all).ok()?;
    let reply = wire.try_recv(281 + 26 + 8).ok()?;
    (reply[281] == SEQ).then_some(wire)
}

#[test]
fn hostile_peers_cost_what_the_limits_say_and_keep_nobody_out() {
    let nofile = raise_nofile();
    let victim = Victim::start("");
    let (osd, mon) = (victim.osd, victim.mon);
    let honest = [Honest::at(victim.osd_too, EntityType::OSD), Honest::at(mon, EntityType::MON)];
    let served = || honest.iter().for_each(Honest::is_served);
    served();
    let before = victim.most();
    let mut allowed = 0;
    let cell = |what: &str, more: usize, allowed: &mut usize| {
        served();
        *allowed += more;
        let grown = victim.most() - before;
        let threads = victim.threads();
        println!("{what}: {} KiB of {} KiB, {threads} threads", grown >> 10, *allowed >> 10);
        assert!(grown <= *allowed, "{what}: {grown} bytes, {allowed} are allowed");
    };
    // Each listener: its half-open sockets, and a session of the honest one.
    let half_open = 2 * (limits::MAX_HALF_OPEN + limits::MAX_EVICTED) * limits::HALF_OPEN_BYTES;

    // Ten thousand that say nothing, as many at once as descriptors go round.
    let each = 2500;
    let at_once = usize::try_from(nofile).unwrap_or(usize::MAX).saturating_sub(500) / 4;
    println!("{} silent sockets, {} at once", 4 * each, 4 * at_once.min(each));
    let silent = on_threads(4, |_| {
        let mut open = std::collections::VecDeque::new();
        for _ in 0..each {
            open.extend(try_dial(osd));
            if open.len() > at_once {
                open.pop_front();
            }
        }
        open
    });
    cell("silence", half_open, &mut allowed);
    assert!(victim.threads() <= 2 * (limits::MAX_HALF_OPEN + limits::MAX_EVICTED) + 40);
    drop(silent);

    // Byte by byte, from hundreds of sockets.
    let bytes = [hello(LOCALHOST, 1), ask().bytes()].concat();
    let mut slow: Vec<_> = (0..300).filter_map(|_| try_dial(osd)).collect();
    for byte in &bytes[..150] {
        slow.retain(|wire| wire.stream().write_all(&[*byte]).is_ok());
    }
    cell("slow bytes", 0, &mut allowed);
    drop(slow);

    // Handshakes without end: authorizers that are refused, versions and lengths that are wrong.
    let refused = Connect { authorizer_protocol: 2, authorizer: vec![1; 4096], ..ask() };
    let version = Connect { protocol_version: 1, ..ask() };
    on_threads(8, |n| {
        for round in 0..40 {
            let Some(mut wire) = try_dial(if n % 2 == 0 { osd } else { mon }) else { continue };
            if wire.stream().write_all(&hello(LOCALHOST, 1)).is_err() {
                continue;
            }
            let mut bytes = if round % 2 == 0 { refused.bytes() } else { version.bytes() };
            if round % 3 == 0 {
                bytes[28..32].copy_from_slice(&u32::MAX.to_le_bytes());
            }
            let mut many = 0;
            while wire.stream().write_all(&bytes).is_ok() && many < 1000 {
                many += 1;
            }
            while wire.try_recv(1).is_ok() {}
        }
    });
    cell("endless handshakes", 0, &mut allowed);

    // Lengths in headers: what no message may have, and what it may, without the bytes.
    let huge = |front: u32, data: u32| {
        let mut header = message(1, 42, b"", b"", FEATURES)[1..50].to_vec();
        header[22..26].copy_from_slice(&front.to_le_bytes());
        header[30..34].copy_from_slice(&data.to_le_bytes());
        let crc = crc32c(&header);
        [&[MSG][..], &header, &crc.to_le_bytes()].concat()
    };
    let mut waiting = Vec::new();
    for (front, data) in [(u32::MAX, 0), (0, u32::MAX), (16 << 20, 64 << 20), (16 << 20, 3 << 20)] {
        for _ in 0..10 {
            if let Some(wire) = try_session(osd, &ask()) {
                let _ = wire.stream().write_all(&huge(front, data));
                let _ = wire.stream().write_all(&[0; 1000]);
                waiting.push(wire);
            }
        }
    }
    let session = limits::HALF_OPEN_BYTES;
    cell("huge headers", 40 * (session + (64 << 10)), &mut allowed);
    drop(waiting);

    // More than it keeps, that never log in.
    let strangers = on_threads(4, |_| {
        (0..MAX_SESSIONS / 4 + 50).filter_map(|_| try_session(mon, &ask_mon())).collect::<Vec<_>>()
    });
    let sessions = (MAX_SESSIONS + limits::MAX_EVICTED) * session;
    cell("no login", sessions, &mut allowed);
    drop(strangers);

    // Asks, and never listens.
    let deaf = try_session(osd, &ask()).unwrap();
    let mut seq = 0;
    while {
        seq += 1;
        deaf.stream().write_all(&message(seq, ASKS_FOR_LARGE, b"", b"", FEATURES)).is_ok()
            && seq < 200_000
    } {}
    println!("one that reads nothing asked {seq} times");
    cell("deaf", limits::OUT_QUEUE_BYTES + 4 * LARGE, &mut allowed);
    drop(deaf);

    // Keepalives and acks, and nothing else; half of them read no answer.
    let mut flood = Vec::new();
    for _ in 0..10_000 {
        flood.push(KEEPALIVE2);
        flood.extend([1; 8]);
        flood.push(ACK);
        flood.extend(u64::MAX.to_le_bytes());
        flood.push(KEEPALIVE);
    }
    on_threads(8, |n| {
        let Some(wire) = try_session(osd, &ask()) else { return };
        let mut reader = wire.stream().try_clone().unwrap();
        reader.set_nonblocking(false).unwrap();
        for _ in 0..20 {
            if wire.stream().write_all(&flood).is_err() {
                return;
            }
            if n % 2 == 0 {
                let mut some = [0; 64 << 10];
                let _ = reader.set_read_timeout(Some(Duration::from_millis(1)));
                let _ = reader.read(&mut some);
            }
        }
    });
    cell("keepalives and acks", 0, &mut allowed);

    served();
    let attempts: Vec<_> =
        honest.iter().map(|h| (h.done.load(Relaxed), h.tried.load(Relaxed))).collect();
    drop(honest);
    println!("served and tried: {attempts:?}\n{}", victim.end());
}

/// Where no descriptor is left nothing comes in; it does when there are some again. That the listener
/// does not spin meanwhile is for `net_syscalls.rs` to see.
#[test]
fn a_listener_without_descriptors_goes_on_when_there_are_some() {
    let victim = Victim::start("60");
    let messenger = messenger(patient());
    assert!(ask_once(&messenger, victim.osd, EntityType::OSD).is_some());
    // Sessions take what there is, and do not give way.
    let wires = Mutex::new(Vec::new());
    for _ in 0..40 {
        let mut wire = dial(victim.osd);
        wire.stream().set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        wire.send(&hello(LOCALHOST, 1));
        wire.send(&ask().bytes());
        let open = wire.try_recv(281 + 26 + 8).is_ok_and(|reply| reply[281] == SEQ);
        if !open {
            // This one waits to be accepted, which it is not, or was closed.
            wires.lock().unwrap().push(wire);
            break;
        }
        wire.send(&[0; 8]);
        wires.lock().unwrap().push(wire);
    }
    let n = wires.lock().unwrap().len();
    assert!((10..40).contains(&n), "{n} sessions");
    drop(wires);
    until("it is served", || ask_once(&messenger, victim.osd, EntityType::OSD).is_some());
    victim.end();
}
