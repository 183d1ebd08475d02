//! Two messengers of ours, and a connection between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use ceph_msgr::auth::{AuthNoneAuthorizeHandler, AuthNoneAuthorizer};
use ceph_msgr::msgr::{Message, Options, Peer, Policies, Policy};
use ceph_msgr::net::{
    Acceptor, Connection, Deadline, Dispatcher, Inbox, Listener, Messenger, Timeouts,
};
use ceph_msgr::types::{EntityAddr, EntityName, EntityType, GlobalId};

pub(crate) const LOCALHOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// One way to speak to each other: every bench measures them all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    crc_data: bool,
}

/// The targets are those of the first.
pub(crate) const MODES: [Mode; 2] =
    [Mode { name: "v1", crc_data: true }, Mode { name: "v1 nocrc", crc_data: false }];

impl Mode {
    pub(crate) fn is_default(self) -> bool {
        self.name == MODES[0].name
    }

    fn options(self) -> Options {
        Options { crc_data: self.crc_data, ..Options::default() }
    }

    /// One that dials.
    pub(crate) fn client(self) -> Result<Messenger> {
        Ok(Messenger::new(EntityType::CLIENT, self.options(), Timeouts::default())?)
    }

    /// One that listens.
    pub(crate) fn server(self, dispatcher: Arc<dyn Dispatcher>) -> Result<Listener> {
        let server = Messenger::with_nonce(osd(), 7, self.options(), Timeouts::default());
        server.set_policies(Policies::new(Policy::STATELESS_SERVER));
        let auth = Arc::new(AuthNoneAuthorizeHandler);
        Ok(server.bind(&[EntityAddr::legacy(LOCALHOST, 0)], Acceptor::new(auth, dispatcher))?)
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
    messenger: &Messenger,
    addr: EntityAddr,
    dispatcher: Arc<dyn Dispatcher>,
) -> Result<Connection> {
    let peer = Peer { name: osd(), addr, policy: Policy::LOSSY_CLIENT };
    let auth = AuthNoneAuthorizer { name: "client.admin".parse()?, global_id: GlobalId(4100) };
    Ok(messenger.connect(peer, Arc::new(auth), dispatcher)?)
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
        let con = dial(&mode.client()?, listener.addrs()[0], inbox.dispatcher())?;
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
        let con = dial(&mode.client()?, listener.addrs()[0], player.clone())?;
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
