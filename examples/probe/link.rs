//! One connection: the library's machine of messenger v1 over a blocking socket, driven step by
//! step, so that each thing the peer sends can be looked at before the machine acts on it.

use std::fmt;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use ceph_msgr::auth::{
    AuthError, AuthNoneAuthorizer, AuthProvider, Authorizer, EntityName as AuthName,
};
use ceph_msgr::msgr::v1::{ConnectReply, Hello, Incoming, Rx, connection};
use ceph_msgr::msgr::{
    self, ConState, Context, Event, Fault, Local, Message, Options, Policy, Transport, Tx,
};
use ceph_msgr::types::{EntityAddr, EntityName, EntityType, Features, GlobalId, UTime};

/// `CEPH_MSGR_TAG_CLOSE`.
const TAG_CLOSE: u8 = 6;

/// What is awaited first.
const TCP: &str = "TCP connection";

/// Whom the probe says it is where it must say something.
pub(crate) fn our_name() -> AuthName {
    AuthName::new(EntityType::CLIENT, "probe")
}

/// What is shown to a peer that asks who we are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Show {
    /// No authorizer.
    Nothing,
    /// An authorizer of protocol `none`, which names and does not prove.
    Name,
}

impl AuthProvider for Show {
    fn get_authorizer(
        &self,
        _: EntityType,
        _: Instant,
        _: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        Ok(match self {
            Self::Nothing => None,
            Self::Name => {
                Some((&AuthNoneAuthorizer { name: our_name(), global_id: GlobalId(0) }).into())
            }
        })
    }

    fn invalidate(&self, _: EntityType) {}
}

/// The socket. A read or write that has to wait longer than to the deadline would block.
#[derive(Debug)]
pub(crate) struct Wire {
    sock: TcpStream,
    deadline: Instant,
    /// The beginning of what came, for a peer that is no messenger of version 1.
    pub(crate) first_bytes: Vec<u8>,
    /// When it came.
    pub(crate) first_at: Option<Instant>,
}

impl Wire {
    /// Connects, and says how long that took.
    pub(crate) fn dial(peer: &Peer) -> Result<(Self, Duration), Broken> {
        let begun = Instant::now();
        let (sock, connected_in) = TcpStream::connect_timeout(&peer.to, peer.timeout)
            .and_then(|sock| Ok((sock.set_nodelay(true).map(|()| sock)?, begun.elapsed())))
            .map_err(|e| Broken {
                fault: match e.kind() {
                    io::ErrorKind::TimedOut => Fault::TimedOut(TCP),
                    kind => Fault::Io(kind),
                },
                awaiting: TCP,
            })?;
        let deadline = Instant::now() + peer.timeout;
        let wire = Self { sock, deadline, first_bytes: Vec::new(), first_at: None };
        Ok((wire, connected_in))
    }

    /// A step begins, and with it the time that it may take.
    pub(crate) fn begin(&mut self, timeout: Duration) -> Instant {
        let now = Instant::now();
        self.deadline = now + timeout;
        now
    }

    pub(crate) fn is_late(&self) -> bool {
        self.left().is_err()
    }

    /// Our end of the socket.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sock.local_addr()
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::WouldBlock.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Transport for Wire {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.sock.set_read_timeout(self.left()?)?;
        let n = self.sock.read(buf).map_err(again)?;
        self.first_at.get_or_insert_with(Instant::now);
        let missing = 64_usize.saturating_sub(self.first_bytes.len());
        self.first_bytes.extend_from_slice(&buf[..n.min(missing)]);
        Ok(n)
    }

    fn recv_spare(&mut self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let mut some = vec![0; max.min(64 << 10)];
        let n = self.recv(&mut some)?;
        buf.extend_from_slice(&some[..n]);
        Ok(n)
    }

    fn send_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.sock.set_write_timeout(self.left()?)?;
        self.sock.write_vectored(bufs).map_err(again)
    }
}

/// Whom to dial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) to: SocketAddr,
    /// The address that it must say it has.
    pub(crate) claims: EntityAddr,
    pub(crate) kind: EntityType,
    /// How long each step may take.
    pub(crate) timeout: Duration,
}

/// A step that broke off.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) fault: Fault,
    /// What had not come.
    pub(crate) awaiting: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            // A TCP connection that fails says all by itself.
            fault @ (Fault::PeerClosed | Fault::Io(_)) if self.awaiting != TCP => {
                write!(f, "{fault}: no {}", self.awaiting)
            }
            fault => fault.fmt(f),
        }
    }
}

/// How the connect messages of one connection were answered.
#[derive(Debug)]
pub(crate) struct Negotiation {
    /// The last reply.
    pub(crate) reply: ConnectReply,
    /// The tags of all replies.
    pub(crate) tags: Vec<String>,
    /// How long each took.
    pub(crate) round_trips: Vec<Duration>,
    /// The features of the session, or why there is none.
    pub(crate) verdict: Result<Features, Fault>,
}

/// A connection that is being made, or a session.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: Peer,
    pub(crate) wire: Wire,
    /// How long TCP took to connect.
    pub(crate) connected_in: Duration,
    rx: Rx,
    tx: Tx,
    local: Local,
    show: Show,
}

impl Link {
    /// Dials, and prepares both hellos.
    pub(crate) fn dial(peer: Peer, offer: Features, show: Show) -> Result<Self, Broken> {
        let (wire, connected_in) = Wire::dial(&peer)?;
        let options = Options { supported: offer, ..Options::default() };
        let local = Local::new(EntityType::CLIENT, nonce(), options);
        let name = EntityName::new(peer.kind, EntityName::NEW);
        let (mut rx, mut tx) = connection(
            msgr::Peer { name, addr: peer.claims, policy: Policy::LOSSY_CLIENT },
            &local,
        );
        rx.prepare_read_banner();
        tx.prepare_write_banner(&context(&local, &show));
        Ok(Self { peer, wire, connected_in, rx, tx, local, show })
    }

    /// Our end of the socket.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.wire.local_addr()
    }

    /// A step begins, and with it the time that it may take.
    fn begin(&mut self) -> Instant {
        self.wire.begin(self.peer.timeout)
    }

    /// Writes all there is to write, then reads one whole thing.
    fn next(&mut self) -> Result<Incoming, Broken> {
        self.try_next().map_err(|fault| Broken { fault, awaiting: self.rx.awaiting() })
    }

    fn try_next(&mut self) -> Result<Incoming, Fault> {
        loop {
            if self.wire.is_late() {
                return Err(Fault::TimedOut(self.rx.awaiting()));
            }
            let cx = context(&self.local, &self.show);
            if self.tx.try_write(&mut self.wire, &cx)? {
                self.rx.readable();
                if let Some(incoming) = self.rx.read_partial(&mut self.wire)? {
                    return Ok(incoming);
                }
            }
        }
    }

    /// Has the machine act on what came.
    pub(crate) fn process(&mut self, incoming: Incoming) -> Result<Option<Event>, Fault> {
        let cx = context(&self.local, &self.show);
        self.rx.process(&mut self.tx, incoming, &cx)
    }

    /// The next thing that the owner of a connection would hear.
    fn event(&mut self) -> Result<Option<Event>, Broken> {
        let incoming = self.next()?;
        let awaiting = self.rx.awaiting();
        self.process(incoming).map_err(|fault| Broken { fault, awaiting })
    }

    /// What the peer says first; [`Self::process`] it.
    pub(crate) fn hello(&mut self) -> Result<Hello, Broken> {
        self.begin();
        let awaiting = self.rx.awaiting();
        match self.next()? {
            Incoming::Hello(hello) => Ok(hello),
            _ => Err(Broken { fault: Fault::BadBanner, awaiting }),
        }
    }

    /// Goes through the handshake, until the session is open or the peer has refused it. An error
    /// is a handshake that broke off.
    pub(crate) fn negotiate(&mut self) -> Result<Negotiation, Broken> {
        self.begin();
        let (mut last, mut tags, mut round_trips) = (None, Vec::new(), Vec::new());
        loop {
            let asked = Instant::now();
            let incoming = self.next()?;
            if let Incoming::ConnectReply(msg) = &incoming {
                round_trips.push(asked.elapsed());
                let tag = msg.reply.tag_name().map(str::to_owned);
                tags.push(tag.unwrap_or_else(|| format!("tag {}", msg.reply.tag)));
                last = Some(msg.reply);
            }
            let awaiting = self.rx.awaiting();
            match (self.process(incoming), last) {
                (Ok(Some(Event::Connected(features))), Some(reply)) => {
                    return Ok(Negotiation { reply, tags, round_trips, verdict: Ok(features) });
                }
                (Err(fault), Some(reply)) if is_refusal(&fault) => {
                    return Ok(Negotiation { reply, tags, round_trips, verdict: Err(fault) });
                }
                (Err(fault), _) => return Err(Broken { fault, awaiting }),
                (Ok(_), _) => {}
            }
        }
    }

    /// Asks the open session for a sign of life, and says how long it took.
    pub(crate) fn keepalive2(&mut self) -> Result<Duration, Broken> {
        let asked = self.begin();
        self.tx.keepalive();
        loop {
            if let Some(Event::KeepaliveAck(_)) = self.event()? {
                return Ok(asked.elapsed());
            }
        }
    }

    /// Sends a message and waits for one of type `reply`.
    pub(crate) fn ask(&mut self, msg: Message, reply: u16) -> Result<Message, Broken> {
        self.begin();
        self.tx.send(msg);
        loop {
            match self.event()? {
                Some(Event::Message(msg)) if msg.header.msg_type == reply => return Ok(msg),
                _ => {}
            }
        }
    }
}

impl Drop for Link {
    /// Takes leave: a peer with lossless sessions would keep ours for one that just goes.
    fn drop(&mut self) {
        let cx = context(&self.local, &self.show);
        if self.tx.state() == ConState::Open
            && self.tx.try_write(&mut self.wire, &cx).unwrap_or(false)
        {
            let _ = self.wire.sock.write_all(&[TAG_CLOSE]);
        }
    }
}

/// Whether the fault is an answer to what we offered, and not a failure to answer.
fn is_refusal(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::BadProtocolVersion { .. } | Fault::FeaturesMissing(_) | Fault::BadAuthorizer
    )
}

/// What poll(2) would have us do: come again. A socket with a time-out is interrupted by SIGCONT.
fn again(e: io::Error) -> io::Error {
    match e.kind() {
        io::ErrorKind::Interrupted => io::ErrorKind::WouldBlock.into(),
        _ => e,
    }
}

/// Of its own for each connection: to the peer, each is another client.
pub(crate) fn nonce() -> u32 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), Instant::now()) as u32
}

fn context<'a>(local: &'a Local, auth: &'a Show) -> Context<'a> {
    let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Context { now: Instant::now(), wall: UTime::from(wall), local, auth }
}
