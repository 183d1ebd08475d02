//! What Ceph's own tests have as a hook inside the messenger (`Interceptor`), as a proxy on the wire: it
//! follows the handshake of every socket that goes through it, and can stop at each step with the bytes
//! of that step in hand, to let them go or to cut the socket.
//!
//! The steps have the names of messenger v2, which is followed as long as its frames are not sealed. In
//! v1 a connect message with connect_seq 0 is the client's
//! ident, one above 0 a reconnect, and READY or SEQ the answer to either.
//!
//! Who dials a proxy claims to know its address as the peer's: so the ports that both ends claim are
//! translated on the way.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::common::acceptor::*;
use crate::common::client::PATIENCE;
use crate::end::Protocol;

mod v2;

const ADDR_LEN: usize = 136;
/// Of the port, in an address: behind type, nonce and family.
const PORT_AT: usize = 10;

/// The first steps of a socket, and the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The dialler's banner, and in v1 its address.
    ClientBanner,
    /// The acceptor's banner, and in v1 the addresses.
    ServerBanner,
    /// The dialler begins a session.
    ClientIdent,
    /// The dialler goes on with a session.
    Reconnect,
    /// A session is opened.
    ServerIdent,
    /// A session goes on.
    ReconnectOk,
    /// RESETSESSION.
    SessionReset,
    /// RETRY_SESSION.
    SessionRetry,
    /// RETRY_GLOBAL.
    SessionRetryGlobal,
    /// WAIT.
    Wait,
    /// Another reply.
    Refused(u8),
    /// A message of the dialler's.
    ClientMessage,
    /// A message of the acceptor's.
    ServerMessage,
}

/// A port in front of another one.
#[derive(Debug)]
pub(crate) struct Interceptor {
    shared: Arc<Shared>,
    addr: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    protocol: Protocol,
    target: SocketAddr,
    own: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closing: bool,
    /// Ports of diallers, and where they are reached.
    seen_at: HashMap<u16, u16>,
    links: Vec<[TcpStream; 2]>,
    threads: Vec<JoinHandle<()>>,
    history: Vec<(usize, Step)>,
    holds: Vec<(Step, Held)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Armed,
    Reached,
    Go,
    Cut,
}

/// A step at which the next socket that comes to it stops.
#[derive(Debug)]
pub(crate) struct Hold {
    shared: Arc<Shared>,
    index: usize,
}

/// What both directions of a socket must know.
#[derive(Debug, Default)]
struct Talk {
    /// Features and connect_seq of the last connect message.
    asked: (u64, u32),
    reply: u8,
    features: u64,
}

impl Interceptor {
    /// In front of that address.
    pub(crate) fn new(protocol: Protocol, target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let (own, state, changed) = (addr.port(), Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { protocol, target, own, state, changed });
        let accepting = shared.clone();
        let thread = spawn(move || accepting.accept(&listener));
        Self { shared, addr, thread: Some(thread) }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Who dials through here and listens behind that proxy is to be dialled there.
    pub(crate) fn comes_from(&self, proxy: &Self) {
        self.shared.lock().seen_at.insert(proxy.shared.target.port(), proxy.addr.port());
    }

    /// Stops the next socket that comes to that step.
    pub(crate) fn hold(&self, step: Step) -> Hold {
        let mut state = self.shared.lock();
        state.holds.push((step, Held::Armed));
        Hold { shared: self.shared.clone(), index: state.holds.len() - 1 }
    }

    /// How often that step was come to.
    pub(crate) fn count(&self, step: Step) -> usize {
        self.shared.lock().history.iter().filter(|(_, s)| *s == step).count()
    }

    /// Sockets so far.
    pub(crate) fn sockets(&self) -> usize {
        self.shared.lock().links.len()
    }
}

impl Drop for Interceptor {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        // Wakes accept(2).
        drop(TcpStream::connect(self.addr));
        self.thread.take().map(JoinHandle::join);
        let (links, threads) = {
            let mut state = self.shared.lock();
            (std::mem::take(&mut state.links), std::mem::take(&mut state.threads))
        };
        links.iter().for_each(cut);
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

impl Hold {
    /// Waits until a socket is there.
    #[track_caller]
    pub(crate) fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        while state.holds[self.index].1 == Held::Armed {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {:?}: {:?}", state.holds[self.index].0, state.history);
            state = self.shared.changed.wait_timeout(state, left).expect("no panic").0;
        }
    }

    /// Lets the bytes go on.
    pub(crate) fn go(self) {
        self.decide(Held::Go);
    }

    /// Cuts the socket; the bytes do not arrive.
    pub(crate) fn cut(self) {
        self.decide(Held::Cut);
    }

    fn decide(self, verdict: Held) {
        self.shared.lock().holds[self.index].1 = verdict;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for dialler in listener.incoming() {
            let mut state = self.lock();
            if state.closing {
                return;
            }
            let (Ok(dialler), Ok(acceptor)) = (dialler, TcpStream::connect(self.target)) else {
                continue;
            };
            for stream in [&dialler, &acceptor] {
                stream.set_nodelay(true).expect("TCP_NODELAY");
            }
            let link = state.links.len();
            let talk = Arc::new(Mutex::default());
            let clone = |s: &TcpStream| s.try_clone().expect("a descriptor");
            let (dialler_side, acceptor_side) = (
                Pump {
                    shared: self.clone(),
                    link,
                    talk: Arc::clone(&talk),
                    from: clone(&dialler),
                    to: clone(&acceptor),
                },
                Pump {
                    shared: self.clone(),
                    link,
                    talk,
                    from: clone(&acceptor),
                    to: clone(&dialler),
                },
            );
            state.links.push([dialler, acceptor]);
            let sides: [fn(&mut Pump) -> io::Result<()>; 2] = match self.protocol {
                Protocol::V1 => [Pump::dialler_side, Pump::acceptor_side],
                _ => [Pump::dialler_side_v2, Pump::acceptor_side_v2],
            };
            state.threads.push(spawn(move || dialler_side.run(sides[0])));
            state.threads.push(spawn(move || acceptor_side.run(sides[1])));
        }
    }

    /// Whether the bytes of a step go on.
    fn pass(&self, link: usize, step: Step) -> bool {
        let mut state = self.lock();
        state.history.push((link, step));
        let armed = |(s, held): &(Step, Held)| *s == step && *held == Held::Armed;
        let Some(index) = state.holds.iter().position(armed) else { return true };
        state.holds[index].1 = Held::Reached;
        self.changed.notify_all();
        while state.holds[index].1 == Held::Reached && !state.closing {
            state = self.changed.wait(state).expect("no panic");
        }
        state.holds[index].1 == Held::Go
    }
}

/// One direction of a socket.
struct Pump {
    shared: Arc<Shared>,
    link: usize,
    talk: Arc<Mutex<Talk>>,
    from: TcpStream,
    to: TcpStream,
}

impl Pump {
    fn run(mut self, pump: impl FnOnce(&mut Self) -> io::Result<()>) {
        // The end of a socket is no error here.
        let _ = pump(&mut self);
        cut(&[self.from, self.to]);
    }

    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn dialler_side(&mut self) -> io::Result<()> {
        let mut hello = self.read(BANNER.len() + ADDR_LEN)?;
        let claimed = port(&mut hello[BANNER.len()..]);
        let seen_at = self.shared.lock().seen_at.get(&u16::from_be_bytes(*claimed)).copied();
        if let Some(seen_at) = seen_at {
            *claimed = seen_at.to_be_bytes();
        }
        self.pass(Step::ClientBanner, &hello)?;
        loop {
            // What it is depends on the reply that was seen before.
            let mut bytes = self.read(1)?;
            let reply = self.talk().reply;
            match reply {
                READY => return self.frames(Step::ClientMessage, bytes),
                SEQ => {
                    bytes.extend(self.read(7)?);
                    self.to.write_all(&bytes)?;
                    let first = self.read(1)?;
                    return self.frames(Step::ClientMessage, first);
                }
                _ => {
                    bytes.extend(self.read(32)?);
                    bytes.extend(self.read(u32_at(&bytes, 28) as usize)?);
                    let connect_seq = u32_at(&bytes, 16);
                    self.talk().asked = (u64_at(&bytes, 0), connect_seq);
                    let step = if connect_seq == 0 { Step::ClientIdent } else { Step::Reconnect };
                    self.pass(step, &bytes)?;
                }
            }
        }
    }

    fn acceptor_side(&mut self) -> io::Result<()> {
        let mut hello = self.read(BANNER.len() + 2 * ADDR_LEN)?;
        *port(&mut hello[BANNER.len()..]) = self.shared.own.to_be_bytes();
        self.pass(Step::ServerBanner, &hello)?;
        loop {
            let mut reply = self.read(26)?;
            let tag = reply[0];
            reply.extend(self.read(u32_at(&reply, 21) as usize)?);
            let opens = matches!(tag, READY | SEQ);
            if tag == SEQ {
                reply.extend(self.read(8)?);
            }
            let step = {
                let mut talk = self.talk();
                talk.reply = tag;
                talk.features = talk.asked.0 & u64_at(&reply, 1);
                match tag {
                    READY | SEQ if talk.asked.1 == 0 => Step::ServerIdent,
                    READY | SEQ => Step::ReconnectOk,
                    RESETSESSION => Step::SessionReset,
                    RETRY_SESSION => Step::SessionRetry,
                    RETRY_GLOBAL => Step::SessionRetryGlobal,
                    WAIT => Step::Wait,
                    other => Step::Refused(other),
                }
            };
            self.pass(step, &reply)?;
            if opens {
                let first = self.read(1)?;
                return self.frames(Step::ServerMessage, first);
            }
        }
    }

    /// The open session, from its first tag on.
    fn frames(&mut self, message: Step, mut frame: Vec<u8>) -> io::Result<()> {
        let footer = if self.talk().features & MSG_AUTH == 0 { 13 } else { 21 };
        loop {
            match frame[0] {
                MSG => {
                    frame.extend(self.read(53)?);
                    let segments: u32 = [23, 27, 31].iter().map(|at| u32_at(&frame, *at)).sum();
                    frame.extend(self.read(segments as usize + footer)?);
                    self.pass(message, &frame)?;
                }
                ACK | KEEPALIVE2 | KEEPALIVE2_ACK => {
                    frame.extend(self.read(8)?);
                    self.to.write_all(&frame)?;
                }
                _ => self.to.write_all(&frame)?,
            }
            frame = self.read(1)?;
        }
    }

    fn read(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; n];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn pass(&mut self, step: Step, bytes: &[u8]) -> io::Result<()> {
        if !self.shared.pass(self.link, step) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.to.write_all(bytes)
    }
}

/// The port in an address, in network order.
fn port(addr: &mut [u8]) -> &mut [u8; 2] {
    (&mut addr[PORT_AT..PORT_AT + 2]).try_into().expect("two bytes")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn cut(link: &[TcpStream; 2]) {
    for stream in link {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn spawn(f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new().name("interceptor".to_owned()).spawn(f).expect("a thread")
}
