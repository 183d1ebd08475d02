//! Two messengers of ours, and a connection between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use ceph_msgr::auth::ConMode;
use ceph_msgr::msgr::{Message, Options, Peer, Policies, Policy};
use ceph_msgr::net::{
    Acceptor, Connection, Deadline, Dispatcher, Inbox, Listener, Messenger, Timeouts,
};
use ceph_msgr::types::{AddrType, EntityAddr, EntityName, EntityType};

use crate::auth;
use crate::table::{Contender, Table, Target};

pub(crate) const LOCALHOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// One way to speak to each other: every bench measures them all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    addr_type: AddrType,
    crc_data: bool,
    con_mode: ConMode,
}

/// With checksums. The targets beside raw TCP are those of this one.
const V1: Mode =
    Mode { name: "v1", addr_type: AddrType::LEGACY, crc_data: true, con_mode: ConMode::Crc };

pub(crate) const MODES: [Mode; 4] = [
    V1,
    Mode { name: "v1 nocrc", crc_data: false, ..V1 },
    Mode { name: "v2 crc", addr_type: AddrType::MSGR2, ..V1 },
    Mode { name: "v2 secure", addr_type: AddrType::MSGR2, con_mode: ConMode::Secure, ..V1 },
];

/// How much dearer than v1 its successor may be, in the mode that does the same.
const DEARER: f64 = 1.05;

impl Mode {
    pub(crate) fn is_default(self) -> bool {
        self.name == MODES[0].name
    }

    pub(crate) fn is_secure(self) -> bool {
        self.con_mode == ConMode::Secure
    }

    /// Adds what the modes of v2 come to beside v1 with checksums, all of one run. `least` says that
    /// more is better.
    pub(crate) fn compare(table: &mut Table, what: &str, all: &[Contender], more_is_better: bool) {
        for (mode, ours) in MODES.iter().zip(all).filter(|(m, _)| m.addr_type == AddrType::MSGR2) {
            let target = match more_is_better {
                _ if mode.is_secure() => Target::None,
                true => Target::RatioAtLeast(1.0 / DEARER),
                false => Target::RatioAtMost(DEARER),
            };
            let name = format!("{}: {what}, beside v1", mode.name);
            table.add(name, &ours.figure, all.first().map(|v1| &v1.figure), target);
        }
    }

    fn options(self) -> Options {
        let modes: &[_] = if self.is_secure() { &[ConMode::Secure] } else { &[ConMode::Crc] };
        Options { crc_data: self.crc_data, modes, ..Options::default() }
    }

    /// Where a listener of this mode is, or will be.
    pub(crate) fn at(self, addr: SocketAddr, nonce: u32) -> EntityAddr {
        EntityAddr { addr_type: self.addr_type, nonce, sockaddr: Some(addr) }
    }

    /// One that dials.
    pub(crate) fn client(self) -> Result<Messenger> {
        Ok(Messenger::new(EntityType::CLIENT, self.options(), Timeouts::default())?)
    }

    /// One that listens.
    pub(crate) fn server(self, dispatcher: Arc<dyn Dispatcher>) -> Result<Listener> {
        let server = Messenger::with_nonce(osd(), 7, self.options(), Timeouts::default());
        server.set_policies(Policies::new(Policy::STATELESS_SERVER));
        let auth = auth::server(self.is_secure(), osd().entity_type)?;
        Ok(server.bind(&[self.at(LOCALHOST, 0)], Acceptor::new(auth, dispatcher))?)
    }
}

fn osd() -> EntityName {
    EntityName::new(EntityType::OSD, 0)
}

pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// Dials a lossy session.
pub(crate) fn dial(
    mode: Mode,
    messenger: &Messenger,
    addr: EntityAddr,
    dispatcher: Arc<dyn Dispatcher>,
) -> Result<Connection> {
    let peer = Peer { name: osd(), addr, policy: Policy::LOSSY_CLIENT };
    Ok(messenger.connect(peer, auth::provider(mode.is_secure())?, dispatcher)?)
}

/// Both ends; what comes back to the one that dialled is in the inbox.
pub(crate) struct Pair {
    pub(crate) con: Connection,
    pub(crate) inbox: Inbox,
    listener: Listener,
}

impl Pair {
    pub(crate) fn new(mode: Mode, server: Arc<dyn Dispatcher>) -> Result<Self> {
        Self::dial(mode, mode.server(server)?)
    }

    pub(crate) fn dial(mode: Mode, listener: Listener) -> Result<Self> {
        let inbox = Inbox::new(1000)?;
        let con = dial(mode, &mode.client()?, listener.addrs()[0], inbox.dispatcher())?;
        con.wait_open(soon())?;
        inbox.recv(soon())?;
        Ok(Self { con, inbox, listener })
    }

    pub(crate) fn close(self) -> Result<()> {
        self.con.close(soon())?;
        Ok(self.listener.close(soon())?)
    }
}

/// Sends the data of each message back, on the thread that brought it.
pub(crate) struct Echo;

impl Dispatcher for Echo {
    fn dispatch(&self, con: &Connection, msg: Message) {
        // An error here is the end of the other side, which tells.
        let _ = con.send(Message::new(2, &b""[..]).with_data(msg.data));
    }
}

/// Counts messages, drops them, and tells when as many have come as were announced.
pub(crate) struct Sink {
    left: AtomicU64,
    done: Sender<Instant>,
}

impl Sink {
    pub(crate) fn new() -> (Arc<Self>, Receiver<Instant>) {
        let (done, all) = mpsc::channel();
        (Arc::new(Self { left: AtomicU64::new(0), done }), all)
    }

    pub(crate) fn announce(&self, n: u64) {
        self.left.store(n, Relaxed);
    }
}

impl Dispatcher for Sink {
    fn dispatch(&self, _: &Connection, _: Message) {
        if self.left.fetch_sub(1, Relaxed) == 1 {
            let _ = self.done.send(Instant::now());
        }
    }
}

/// Sends the message so many times, and waits until all have been dispatched.
pub(crate) struct OneWay {
    pair: Pair,
    sink: Arc<Sink>,
    all: Receiver<Instant>,
}

impl OneWay {
    pub(crate) fn new(mode: Mode) -> Result<Self> {
        let (sink, all) = Sink::new();
        Ok(Self { pair: Pair::new(mode, sink.clone())?, sink, all })
    }

    pub(crate) fn run(&self, msg: &Message, n: u64) -> Result<Duration> {
        self.sink.announce(n);
        let begin = Instant::now();
        for _ in 0..n {
            self.pair.con.send(msg.clone())?;
        }
        let end = self.all.recv_timeout(Duration::from_secs(60));
        Ok(end.map_err(|_| anyhow!("{n} messages did not all come"))? - begin)
    }

    pub(crate) fn close(self) -> Result<()> {
        self.pair.close()
    }
}

/// Questions and answers, all on the threads of the connections.
pub(crate) struct PingPong {
    con: Connection,
    player: Arc<Player>,
    over: Receiver<Instant>,
    listener: Listener,
}

struct Player {
    left: AtomicU64,
    over: Sender<Instant>,
}

impl Dispatcher for Player {
    fn dispatch(&self, con: &Connection, msg: Message) {
        if self.left.fetch_sub(1, Relaxed) == 1 {
            let _ = self.over.send(Instant::now());
        } else {
            let _ = con.send(Message::new(1, &b""[..]).with_data(msg.data));
        }
    }
}

impl PingPong {
    pub(crate) fn dial(mode: Mode, listener: Listener) -> Result<Self> {
        let (tx, over) = mpsc::channel();
        let player = Arc::new(Player { left: AtomicU64::new(0), over: tx });
        let con = dial(mode, &mode.client()?, listener.addrs()[0], player.clone())?;
        con.wait_open(soon())?;
        Ok(Self { con, player, over, listener })
    }

    pub(crate) fn run(&self, question: Message, n: u64) -> Result<Duration> {
        self.player.left.store(n, Relaxed);
        let begin = Instant::now();
        self.con.send(question)?;
        let end = self.over.recv_timeout(Duration::from_secs(60));
        Ok(end.map_err(|_| anyhow!("{n} answers did not all come"))? - begin)
    }

    pub(crate) fn close(self) -> Result<()> {
        self.con.close(soon())?;
        Ok(self.listener.close(soon())?)
    }
}
