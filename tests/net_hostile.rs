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
use common::frames::*;
use common::server::{LOCALHOST, acceptor, addr, v1, v2};
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
        let at = [v1(LOCALHOST), v1(LOCALHOST), v2(LOCALHOST), v2(LOCALHOST)];
        let listener = messenger.bind(&at, acceptor).unwrap();
        (messenger, listener)
    };
    let (_osd, osd) = listen(EntityName::new(EntityType::OSD, 3), None);
    let (_mon, mon) = listen(EntityName::new(EntityType::MON, 0), Some(MonAuthServer));
    let [_, second, v2, second_v2] = [0, 1, 2, 3].map(|n| osd.addrs()[n].sockaddr.unwrap());
    println!("\nlistens {} {second} {} {v2} {second_v2}", addr(&osd), addr(&mon));
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
    /// The listener of the OSD again, for messenger v2.
    v2: SocketAddr,
    v2_too: SocketAddr,
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
        let [osd, osd_too, mon, v2, v2_too] = addrs[..] else { panic!("{line}") };
        Self { child, stdout, osd, osd_too, mon, v2, v2_too }
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
    fn at(addr: EntityAddr, entity_type: EntityType) -> Self {
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
fn ask_once(messenger: &Messenger, addr: EntityAddr, entity_type: EntityType) -> Option<()> {
    let name = EntityName::new(entity_type, 3);
    let addr = EntityAddr { nonce: 7, ..addr };
    let peer = Peer { name, addr, policy: Policy::LOSSY_CLIENT };
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
    let honest =
        [Honest::at(v1(victim.osd_too), EntityType::OSD), Honest::at(v1(mon), EntityType::MON)];
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

/// A socket of messenger v2, on which nothing is said yet.
fn try_dial_v2(addr: SocketAddr) -> Option<V2Wire> {
    Some(V2Wire { stream: try_dial(addr)?.into_stream() })
}

/// Says that, if it still can.
fn says(wire: &mut V2Wire, bytes: &[u8]) -> Option<()> {
    wire.stream.write_all(bytes).ok()
}

/// Banners and HELLOs.
fn try_hellos(addr: SocketAddr) -> Option<V2Wire> {
    let mut wire = try_dial_v2(addr)?;
    says(&mut wire, BANNER_V2)?;
    says(&mut wire, &frame(HELLO, &[&hello_v2(TYPE_CLIENT, addr)]))?;
    wire.stream.read_exact(&mut [0; 26]).ok()?;
    (wire.try_frame().ok()?.tag == HELLO).then_some(wire)
}

/// Up to the signatures.
fn try_log_in(addr: SocketAddr) -> Option<V2Wire> {
    let mut wire = try_hellos(addr)?;
    says(&mut wire, &frame(AUTH_REQUEST, &[&auth_request()]))?;
    says(&mut wire, &frame(AUTH_SIGNATURE, &[&[0; 32]]))?;
    (wire.try_frame().ok()?.tag == AUTH_DONE).then_some(())?;
    (wire.try_frame().ok()?.tag == AUTH_SIGNATURE).then_some(wire)
}

/// A session, if it is let in.
fn try_session_v2(addr: SocketAddr, nonce: u32) -> Option<V2Wire> {
    let mut wire = try_log_in(addr)?;
    let ident = wire.ident(nonce, 7);
    says(&mut wire, &frame(CLIENT_IDENT, &[&ident.payload()]))?;
    (wire.try_frame().ok()?.tag == SERVER_IDENT).then_some(wire)
}

/// An AUTH_REQUEST that is as long as it may be, of a method that is not taken.
fn long_request() -> Vec<u8> {
    let mut payload = auth_request();
    payload[0] = 4;
    let authorizer = vec![1; limits::AUTHORIZER_MAX_LEN as usize];
    payload.truncate(12);
    payload.extend((authorizer.len() as u32).to_le_bytes());
    payload.extend(authorizer);
    frame(AUTH_REQUEST, &[&payload])
}

#[test]
fn hostile_peers_of_v2_cost_what_the_limits_say_and_keep_nobody_out() {
    let nofile = raise_nofile();
    let victim = Victim::start("");
    let osd = victim.v2;
    // Who dials the same listener with either protocol.
    let honest = [
        Honest::at(v2(victim.v2_too), EntityType::OSD),
        Honest::at(v1(victim.osd_too), EntityType::OSD),
    ];
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
        let most = limits::MAX_HALF_OPEN + limits::MAX_EVICTED + MAX_SESSIONS;
        assert!(threads <= most + limits::MAX_EVICTED + 40, "{what}: {threads} threads");
    };
    let half_open = (limits::MAX_HALF_OPEN + limits::MAX_EVICTED) * limits::HALF_OPEN_BYTES;

    // Ten thousand that say nothing, as many at once as descriptors go round.
    let each = 2500;
    let at_once = usize::try_from(nofile).unwrap_or(usize::MAX).saturating_sub(500) / 4;
    let silent = on_threads(4, |_| {
        let mut open = std::collections::VecDeque::new();
        for _ in 0..each {
            open.extend(try_dial_v2(osd));
            if open.len() > at_once {
                open.pop_front();
            }
        }
        open
    });
    cell("silence", half_open, &mut allowed);
    drop(silent);

    // As many as may be half open, at each step: banner, HELLO, a login half-way, with transcripts that
    // are as long as they may be, signatures, and an ident that lacks its last byte.
    let (long, n) = (long_request(), limits::MAX_HALF_OPEN);
    let mut at_login = Vec::new();
    for step in 0..5 {
        let wires = on_threads(4, |_| {
            let wires = (0..n / 4).filter_map(|_| {
                let mut wire = match step {
                    0 => try_dial_v2(osd)?,
                    1 | 2 => try_hellos(osd)?,
                    _ => try_log_in(osd)?,
                };
                match step {
                    0 => says(&mut wire, BANNER_V2)?,
                    2 => {
                        for _ in 0..2 {
                            says(&mut wire, &long)?;
                            (wire.try_frame().ok()?.tag == AUTH_BAD_METHOD).then_some(())?;
                        }
                        says(&mut wire, &long[..long.len() - 1])?;
                    }
                    4 => {
                        let ident = frame(CLIENT_IDENT, &[&wire.ident(1, 7).payload()]);
                        says(&mut wire, &ident[..ident.len() - 1])?;
                    }
                    _ => {}
                }
                Some(wire)
            });
            wires.collect::<Vec<_>>()
        });
        let wires: Vec<_> = wires.into_iter().flatten().collect();
        assert!(wires.len() > n / 2, "step {step}: {} sockets", wires.len());
        cell(&format!("half open, step {step}"), 0, &mut allowed);
        at_login = if step == 2 { wires } else { at_login };
    }
    drop(at_login);

    // Byte by byte, from hundreds of sockets.
    let bytes = [&BANNER_V2[..], &frame(HELLO, &[&hello_v2(TYPE_CLIENT, osd)]), &long].concat();
    let mut slow: Vec<_> = (0..300).filter_map(|_| try_dial_v2(osd)).collect();
    for byte in &bytes[..150] {
        slow.retain(|wire| (&wire.stream).write_all(&[*byte]).is_ok());
    }
    cell("slow bytes", 0, &mut allowed);
    drop(slow);

    // Handshakes without end, lengths that no frame may have before its peer is known, and frames of
    // revision 0, of which the length of each segment is believed before there is a checksum of it.
    on_threads(8, |n| {
        for round in 0..40 {
            let Some(mut wire) = try_dial_v2(osd) else { continue };
            let mut banner = *BANNER_V2;
            banner[10] = u8::from(n % 2 == 0);
            let _ = says(&mut wire, &banner);
            let bytes = match round % 4 {
                0 => long.clone(),
                1 => preamble(AUTH_REQUEST, &[u32::MAX]),
                2 => preamble(HELLO, &[limits::FRAME_MAX_UNAUTHENTICATED_LEN]),
                _ => preamble(MESSAGE, &[41, 16 << 20, 16 << 20, 64 << 20]),
            };
            let mut many = 0;
            while says(&mut wire, &bytes).is_some() && many < 1000 {
                many += 1;
            }
            while wire.stream.read_exact(&mut [0]).is_ok() {}
        }
    });
    cell("endless handshakes", 0, &mut allowed);

    // Lengths in preambles: what no message may have, and what it may, without the bytes.
    let mut waiting = Vec::new();
    for lens in [
        &[41, u32::MAX][..],
        &[41, 0, 0, u32::MAX],
        &[u32::MAX],
        &[41, 16 << 20, 0, 64 << 20],
        &[41, 16 << 20, 0, 3 << 20],
        &[64 << 10, 16 << 20, 16 << 20, 64 << 20],
    ] {
        for nonce in 1..=10 {
            if let Some(mut wire) = try_session_v2(osd, nonce) {
                let _ = says(&mut wire, &preamble(MESSAGE, lens));
                let _ = says(&mut wire, &[0; 1000]);
                waiting.push(wire);
            }
        }
    }
    assert!(waiting.len() > 30, "{} sessions", waiting.len());
    let session = limits::HALF_OPEN_BYTES;
    cell("huge preambles", 60 * (session + (64 << 10)), &mut allowed);
    drop(waiting);

    // Asks, and never listens.
    let mut deaf = try_session_v2(osd, 1).unwrap();
    let mut seq = 0;
    while {
        seq += 1;
        says(&mut deaf, &message_v2(seq, ASKS_FOR_LARGE, b"?", b"")).is_some() && seq < 200_000
    } {}
    println!("one that reads nothing asked {seq} times");
    cell("deaf", limits::OUT_QUEUE_BYTES + 4 * LARGE, &mut allowed);
    drop(deaf);

    // Keepalives and acks, and nothing else; half of them read no answer.
    let some = [
        frame(KEEPALIVE2_V2, &[&[1; 8]]),
        frame(ACK_V2, &[&u64::MAX.to_le_bytes()]),
        frame(KEEPALIVE2_ACK_V2, &[&[1; 8]]),
    ]
    .concat();
    let flood = some.repeat(3000);
    on_threads(8, |n| {
        let Some(mut wire) = try_session_v2(osd, 1) else { return };
        for _ in 0..20 {
            if says(&mut wire, &flood).is_none() {
                return;
            }
            if n % 2 == 0 {
                let mut some = [0; 64 << 10];
                let _ = wire.stream.set_read_timeout(Some(Duration::from_millis(1)));
                let _ = wire.stream.read(&mut some);
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
    assert!(ask_once(&messenger, v1(victim.osd), EntityType::OSD).is_some());
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
    until("it is served", || ask_once(&messenger, v1(victim.osd), EntityType::OSD).is_some());
    victim.end();
}
