//! The bytes of a dialler, by the tables of the protocol, and sides for it to dial.

use std::net::SocketAddr;

use super::acceptor::*;
use super::*;
use crate::auth::{AcceptedAuthorizer, MonAuthServer};

/// Whence the dialler's socket comes.
pub(super) const SOCKET: &str = "10.1.2.3:51234";

impl Request {
    /// The first connect message of the Linux client to an MDS.
    pub(super) fn first() -> Self {
        Self {
            features: LINUX.0,
            host_type: 8,
            global_seq: 10,
            connect_seq: 0,
            protocol_version: 32,
            authorizer_protocol: 0,
            flags: 0,
            authorizer: Vec::new(),
        }
    }

    pub(super) fn seqs(self, global_seq: u32, connect_seq: u32) -> Self {
        Self { global_seq, connect_seq, ..self }
    }

    pub(super) fn authorizer(self, protocol: u32, bytes: &[u8]) -> Self {
        Self { authorizer_protocol: protocol, authorizer: bytes.to_vec(), ..self }
    }

    pub(super) fn without(self, feature: Feature) -> Self {
        Self { features: self.features & !feature.mask, ..self }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = self.features.to_le_bytes().to_vec();
        let (protocol, len) = (self.authorizer_protocol, self.authorizer.len() as u32);
        for n in [self.host_type, self.global_seq, self.connect_seq, self.protocol_version] {
            out.extend(n.to_le_bytes());
        }
        out.extend([protocol.to_le_bytes(), len.to_le_bytes()].concat());
        out.push(self.flags);
        assert_eq!(out.len(), 33);
        out.extend(&self.authorizer);
        out
    }
}

impl Reply {
    /// Reads a reply as a dialler does; nothing may follow.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let (reply, rest) = Self::split(bytes);
        assert!(rest.is_empty(), "{} bytes behind tag {}", rest.len(), reply.tag);
        reply
    }

    /// Reads a reply, and gives back what follows it.
    pub(super) fn split(bytes: &[u8]) -> (Self, &[u8]) {
        let at = |i: usize| u32::from_le_bytes(bytes[i..i + 4].try_into().unwrap());
        let (authorizer, rest) = bytes[26..].split_at(at(21) as usize);
        let (in_seq, rest) = rest.split_at(if bytes[0] == SEQ { 8 } else { 0 });
        let reply = Self {
            tag: bytes[0],
            features: Features(u64::from_le_bytes(bytes[1..9].try_into().unwrap())),
            global_seq: at(9),
            connect_seq: at(13),
            protocol_version: at(17),
            flags: bytes[25],
            authorizer: authorizer.to_vec(),
            in_seq: in_seq.try_into().map_or(0, u64::from_le_bytes),
        };
        (reply, rest)
    }
}

/// Who is dialled.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) serving: EntityType,
    pub(super) options: Options,
    pub(super) local: Local,
    pub(super) auth: Box<dyn AuthServer>,
    pub(super) policies: Policies,
    pub(super) wall: UTime,
}

impl Listener {
    pub(super) fn new(serving: EntityType, policy: Policy) -> Self {
        Self::with(serving, policy, Options { supported: DAEMON, ..Options::default() })
    }

    pub(super) fn with(serving: EntityType, policy: Policy, options: Options) -> Self {
        Self {
            serving,
            options,
            local: Local::new(serving, PEER_NONCE, options),
            auth: Box::new(MonAuthServer),
            policies: Policies::new(policy),
            wall: UTime { sec: 1000, nsec: 0 },
        }
    }

    /// An MDS as its clients see it, but that it asks for no authorizer.
    pub(super) fn mds() -> Self {
        Self::new(EntityType::MDS, Policy::STATEFUL_SERVER)
    }

    pub(super) fn auth(self, auth: impl AuthServer + 'static) -> Self {
        Self { auth: Box::new(auth), ..self }
    }

    pub(super) fn own(&self) -> EntityAddr {
        PEER.parse().unwrap()
    }

    pub(super) fn cx(&self) -> AcceptContext<'_> {
        let (local, auth, policies) = (&self.local, &*self.auth, &self.policies);
        AcceptContext { wall: self.wall, local, auth, policies }
    }

    pub(super) fn socket(&self) -> Socket {
        let from: SocketAddr = SOCKET.parse().unwrap();
        Socket { accept: Accept::new(self.own(), from), pipe: Pipe::default() }
    }

    /// A socket whose dialler has said its address.
    pub(super) fn introduced(&self) -> Socket {
        self.introduced_as(&client_hello())
    }

    pub(super) fn introduced_as(&self, hello: &[u8]) -> Socket {
        let mut socket = self.socket();
        assert!(socket.receive(self, hello).unwrap().is_none());
        assert_eq!(socket.pipe.take_output().len(), 281);
        socket
    }

    /// A session with that peer which has no socket yet.
    pub(super) fn con(&self, peer: Peer) -> Con {
        let local = Local::new(self.serving, PEER_NONCE, self.options);
        let (rx, tx) = connection(peer, &local);
        let auth =
            TestAuth { auth: Auth::Absent, asked: Mutex::default(), invalidated: Mutex::default() };
        let world = World { now: Instant::now(), wall: UTime { sec: 5, nsec: 6 }, local, auth };
        let (pipe, peer) = (Pipe::default(), Reply::new(READY));
        Con { rx, tx, world, pipe, events: Vec::new(), peer }
    }

    /// The session takes the socket over, as its worker does it.
    pub(super) fn take_over(&self, con: &mut Con, socket: Socket, offer: Offer, reset: bool) {
        let taken = socket.accept.take_over(offer, reset, &self.cx());
        con.pipe = socket.pipe;
        let events = con.rx.take_over(&mut con.tx, taken);
        con.events.extend(events.into_iter().flatten());
    }

    /// The dialler comes back on a new socket, up to the reply and what follows it.
    pub(super) fn reconnect(&self, con: &mut Con, request: &Request) -> (Reply, Vec<u8>) {
        let mut socket = self.introduced();
        let offer = socket.offered(self, request);
        let reset = request.connect_seq == 0;
        self.take_over(con, socket, offer, reset);
        con.run().unwrap();
        let out = con.pipe.take_output();
        let (reply, rest) = Reply::split(&out);
        (reply, rest.to_vec())
    }

    /// A new session on a new socket, up to the reply.
    pub(super) fn accept(&self, request: &Request) -> (Con, Reply) {
        let mut socket = self.introduced();
        let offer = socket.receive(self, &request.bytes()).unwrap().expect("an offer");
        let mut con = self.con(*offer.peer());
        self.take_over(&mut con, socket, offer, false);
        con.run().unwrap();
        let reply = Reply::parse(&con.pipe.take_output());
        (con, reply)
    }

    /// A new session that is open on both sides.
    pub(super) fn open(&self) -> Con {
        self.open_for(&Request::first())
    }

    pub(super) fn open_for(&self, request: &Request) -> Con {
        let (mut con, reply) = self.accept(request);
        assert_eq!((reply.tag, con.state()), (SEQ, ConState::AcceptingWaitSeq));
        con.receive(&0u64.to_le_bytes()).unwrap();
        assert!(matches!(con.take_events()[..], [Event::Accepted(_)]));
        assert_eq!(con.state(), ConState::Open);
        con
    }
}

/// An accepted socket that belongs to no session yet.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) accept: Accept,
    pub(super) pipe: Pipe,
}

impl Socket {
    /// The dialler sends, and the machine does what it does then.
    pub(super) fn receive(&mut self, l: &Listener, bytes: &[u8]) -> Result<Option<Offer>, Fault> {
        self.pipe.feed(bytes);
        self.run(l)
    }

    pub(super) fn run(&mut self, l: &Listener) -> Result<Option<Offer>, Fault> {
        loop {
            if !self.accept.try_write(&mut self.pipe)? {
                return Ok(None);
            }
            self.accept.readable();
            let Some(request) = self.accept.read_partial(&mut self.pipe)? else {
                return Ok(None);
            };
            if let Some(offer) = self.accept.process(request, &l.cx())? {
                return Ok(Some(offer));
            }
        }
    }

    /// A connect message that is answered without a look at any session.
    pub(super) fn refused(&mut self, l: &Listener, request: &Request) -> Reply {
        let offer = self.receive(l, &request.bytes()).unwrap();
        assert!(offer.is_none(), "{offer:?}");
        Reply::parse(&self.pipe.take_output())
    }

    pub(super) fn offered(&mut self, l: &Listener, request: &Request) -> Offer {
        self.receive(l, &request.bytes()).unwrap().expect("an offer")
    }

    /// Tells the dialler to try again.
    pub(super) fn retry(&mut self, l: &Listener, offer: &Offer, retry: Retry) -> Reply {
        self.accept.retry(offer, retry, &l.cx());
        assert!(self.accept.try_write(&mut self.pipe).unwrap());
        Reply::parse(&self.pipe.take_output())
    }
}

/// The owner of the sessions, of which there is one at most.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) listener: Listener,
    pub(super) con: Option<Con>,
}

impl Owner {
    pub(super) fn new(listener: Listener) -> Self {
        Self { listener, con: None }
    }

    /// Does with a socket what its offer leads to; gives the socket back where the dialler is to
    /// try again.
    pub(super) fn act(&mut self, mut socket: Socket, offer: Offer) -> (Decision, Option<Socket>) {
        let l = &self.listener;
        let existing = self.con.as_ref().map(|con| con.tx.existing());
        let decision = offer.decide(existing.as_ref(), l.own());
        let retry = match decision {
            Decision::Open | Decision::ReplaceLossy => {
                let mut con = l.con(*offer.peer());
                l.take_over(&mut con, socket, offer, false);
                self.con = Some(con);
                return (decision, None);
            }
            Decision::Replace | Decision::ReplaceReset => {
                let reset = decision == Decision::ReplaceReset;
                l.take_over(self.con.as_mut().unwrap(), socket, offer, reset);
                return (decision, None);
            }
            Decision::Retry(retry) => retry,
            Decision::Stale => panic!("not in messenger v1"),
        };
        socket.accept.retry(&offer, retry, &l.cx());
        (decision, Some(socket))
    }
}

/// What an authorizer has shown, however it was.
pub(super) fn accepted(offer: &Offer) -> &AcceptedAuthorizer {
    offer.authorizer().expect("an authorizer")
}
