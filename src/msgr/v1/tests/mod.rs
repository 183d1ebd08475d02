//! The machine in memory: a connection over a pipe with knobs, against an acceptor whose bytes
//! are written from the tables of the protocol and not by our own encoder.

mod accept_auth;
mod accept_hello;
mod accept_rows;
mod accept_sign;
mod acceptor;
mod connect_tags;
mod dialler;
mod fault;
mod handshake;
mod keepalive;
mod lossless;
mod messages;
mod pair;
mod race;
mod revoke;
mod seq;
mod stateful;
mod take_over;
mod throttle;

use std::sync::Mutex;
use std::time::Instant;

use super::*;
use crate::auth::cephx::{CephXAuthorizer, CephXTicketBlob};
use crate::auth::{AuthError, AuthNoneAuthorizer, AuthProvider, AuthServer};
use crate::crypto::CryptoKey;
use crate::crypto::tests::aes_key;
use crate::msgr::pipe::Pipe;
use crate::msgr::{
    Consequence, Decision, Existing, Fault, Message, MsgId, Options, Policies, Policy, Retry,
};
use crate::types::{
    ConnectSeq, EntityAddr, EntityName, EntityType, Feature, GlobalId, GlobalSeq, Seq, UTime,
};
use acceptor::{Frame, Reply, Request, parse_frames};

/// Where the tests dial, and the nonce of who is there.
const PEER: &str = "v1:127.0.0.1:40001/7";
const PEER_IP: [u8; 4] = [127, 0, 0, 1];
const PEER_PORT: u16 = 40001;
const PEER_NONCE: u32 = 7;
/// Our own nonce.
const NONCE: u32 = 0x1234_5678;
/// The nonce in the authorizers of the tests.
const AUTH_NONCE: u64 = 0x55;
/// What the Linux client supports.
const LINUX: Features = Features(0x2f01_8eb8_7aa4_aafe);
/// What a 16.2.15 daemon supports.
const DAEMON: Features = Features(0x3f01_cfbd_fffd_ffff);

/// Which authorizers a connection gets.
#[derive(Clone, Debug)]
enum Auth {
    /// None at all, as towards a monitor.
    Absent,
    /// Of protocol `none`.
    None,
    /// Of cephx, with this session key.
    Cephx(CryptoKey),
    /// The same, with a ticket that a service can open.
    Ticket(CephXTicketBlob, CryptoKey),
    /// There is no ticket.
    NoTicket,
}

/// An [`AuthProvider`] that keeps a record.
#[derive(Debug)]
struct TestAuth {
    auth: Auth,
    /// Each call, with its `force_new`.
    asked: Mutex<Vec<(EntityType, bool)>>,
    invalidated: Mutex<Vec<EntityType>>,
}

impl TestAuth {
    fn asked(&self) -> Vec<bool> {
        self.asked.lock().unwrap().iter().map(|(_, force_new)| *force_new).collect()
    }

    fn invalidated(&self) -> usize {
        self.invalidated.lock().unwrap().len()
    }
}

impl AuthProvider for TestAuth {
    fn get_authorizer(
        &self,
        service: EntityType,
        _now: Instant,
        force_new: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        let mut asked = self.asked.lock().unwrap();
        asked.push((service, force_new));
        match &self.auth {
            Auth::Absent => Ok(None),
            Auth::None => {
                let name = "client.admin".parse().unwrap();
                Ok(Some((&AuthNoneAuthorizer { name, global_id: GlobalId(4242) }).into()))
            }
            Auth::Cephx(key) | Auth::Ticket(_, key) => {
                let ticket = match &self.auth {
                    Auth::Ticket(ticket, _) => ticket.clone(),
                    _ => CephXTicketBlob { secret_id: 2, blob: vec![0xab; 112] },
                };
                // Each authorizer has a nonce of its own, so that a new one can be told from an old.
                let nonce = AUTH_NONCE + asked.len() as u64 - 1;
                let authorizer =
                    CephXAuthorizer::new(GlobalId(4242), service, &ticket, key, nonce).unwrap();
                Ok(Some(authorizer.into()))
            }
            Auth::NoTicket => Err(AuthError::NoTicket { service }),
        }
    }

    fn invalidate(&self, service: EntityType) {
        self.invalidated.lock().unwrap().push(service);
    }
}

/// What the machine needs beside bytes.
#[derive(Debug)]
struct World {
    now: Instant,
    wall: UTime,
    local: Local,
    auth: TestAuth,
}

impl World {
    fn cx(&self) -> Context<'_> {
        Context { now: self.now, wall: self.wall, local: &self.local, auth: &self.auth }
    }
}

/// One connection, driven as a worker drives it.
#[derive(Debug)]
struct Con {
    rx: Rx,
    tx: Tx,
    world: World,
    pipe: Pipe,
    events: Vec<Event>,
    /// What the acceptor supports, and whether it makes the session lossy.
    peer: Reply,
}

impl Con {
    /// A new socket.
    fn dial(&mut self) {
        self.pipe = Pipe::default();
        self.tx.prepare_write_banner(&self.world.cx());
        self.rx.prepare_read_banner();
    }

    /// Reads what is there to be read, unless input must wait.
    fn try_read(&mut self) -> Result<(), Fault> {
        self.rx.readable();
        while !self.tx.is_gated()
            && let Some(incoming) = self.rx.read_partial(&mut self.pipe)?
        {
            let event = self.rx.process(&mut self.tx, incoming, &self.world.cx())?;
            self.events.extend(event);
        }
        Ok(())
    }

    fn try_write(&mut self) -> Result<bool, Fault> {
        self.tx.try_write(&mut self.pipe, &self.world.cx())
    }

    /// Reads and writes until neither goes on: once the worker's loop.
    fn run(&mut self) -> Result<(), Fault> {
        loop {
            let before = (self.pipe.unread(), self.pipe.output.len());
            self.try_read()?;
            self.try_write()?;
            if before == (self.pipe.unread(), self.pipe.output.len()) {
                return Ok(());
            }
        }
    }

    /// The peer sends, and the machine does what it does then.
    fn receive(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.pipe.feed(bytes);
        self.run()
    }

    fn fault(&mut self, fault: &Fault) -> Consequence {
        con_fault(&mut self.rx, &mut self.tx, fault, &self.world.cx())
    }

    fn state(&self) -> ConState {
        self.tx.state()
    }

    fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The one connect message that the machine wrote since the last look.
    fn request(&mut self) -> Request {
        let out = self.pipe.take_output();
        let (request, rest) = Request::parse(&out);
        assert!(rest.is_empty(), "{} bytes behind the connect message", rest.len());
        request
    }

    /// What the machine wrote in the open session since the last look.
    fn frames(&mut self) -> Vec<Frame> {
        parse_frames(&self.pipe.take_output(), self.tx.features().has(Features::MSG_AUTH))
    }

    /// From a new socket to the first connect message.
    fn dial_to_connect(&mut self) -> Request {
        self.dial();
        self.receive(&acceptor::hello()).unwrap();
        assert_eq!(self.state(), ConState::V1ConnectMsg);
        self.pipe.output.drain(..145);
        self.request()
    }

    /// From a new socket to the open session, with READY.
    fn dial_to_open(&mut self) {
        let request = self.dial_to_connect();
        self.answer_challenge();
        let reply = self.peer.clone().connect_seq(request.connect_seq + 1);
        self.receive(&reply.bytes()).unwrap();
        assert_eq!(self.state(), ConState::Open);
        assert!(matches!(self.take_events()[..], [Event::Connected(_)]));
    }

    /// As a service does that was shown a ticket: one challenge before it answers the nonce.
    fn answer_challenge(&mut self) {
        if let Auth::Cephx(key) = self.world.auth.auth.clone() {
            let nonce = AUTH_NONCE + self.world.auth.asked().len() as u64 - 1;
            self.receive(&Reply::challenge(&key, 0x10).bytes()).unwrap();
            self.request();
            self.peer.authorizer = acceptor::authorizer_reply(&key, nonce);
        }
    }

    fn send(&mut self, n: u8) -> MsgId {
        self.tx.send(msg(n))
    }

    fn send_each(&mut self, numbers: impl IntoIterator<Item = u8>) {
        numbers.into_iter().for_each(|n| {
            self.send(n);
        });
    }

    /// Front bytes of the messages that reached us, in order.
    fn received(&mut self) -> Vec<u8> {
        let messages = self.take_events().into_iter().filter_map(|e| match e {
            Event::Message(m) => Some(m.front[0]),
            _ => None,
        });
        messages.collect()
    }
}

/// A message that can be told from others.
fn msg(n: u8) -> Message {
    Message::new(42, vec![n; 5]).with_data(vec![n ^ 0xff; 9])
}

/// Builds a connection and takes it to a state.
#[derive(Clone, Debug)]
struct Scenario {
    peer_type: EntityType,
    policy: Policy,
    options: Options,
    auth: Auth,
    reply: Reply,
}

impl Scenario {
    /// A lossless session, unsigned, between the Linux client's features and a 16.2.15 daemon's.
    fn lossless() -> Self {
        Self {
            peer_type: EntityType::OSD,
            policy: Policy::LOSSLESS_CLIENT,
            options: Options { supported: LINUX, ..Options::default() },
            auth: Auth::Absent,
            reply: Reply::new(acceptor::READY),
        }
    }

    /// The same, but lossy on both sides.
    fn lossy() -> Self {
        let mut scenario = Self { policy: Policy::LOSSY_CLIENT, ..Self::lossless() };
        scenario.reply.flags = 1;
        scenario
    }

    fn peer_type(self, peer_type: EntityType) -> Self {
        Self { peer_type, ..self }
    }

    fn auth(self, auth: Auth) -> Self {
        Self { auth, ..self }
    }

    /// With cephx and key type 1.
    fn cephx(self) -> Self {
        self.auth(Auth::Cephx(aes_key()))
    }

    fn supported(mut self, supported: Features) -> Self {
        self.options.supported = supported;
        self
    }

    fn without(self, feature: Feature) -> Self {
        let supported = self.options.supported;
        self.supported(supported.missing_in(Features(feature.mask)))
    }

    fn options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    fn until(self, state: ConState) -> Con {
        let Self { peer_type, policy, options, auth, reply } = self;
        let local = Local::new(EntityType::CLIENT, NONCE, options);
        let name = EntityName::new(peer_type, 3);
        let (rx, tx) = connection(Peer { name, addr: PEER.parse().unwrap(), policy }, &local);
        let auth = TestAuth { auth, asked: Mutex::default(), invalidated: Mutex::default() };
        // The one look at the clock: the machine itself has none.
        let world = World { now: Instant::now(), wall: UTime { sec: 5, nsec: 6 }, local, auth };
        let pipe = Pipe::default();
        let mut con = Con { rx, tx, world, pipe, events: Vec::new(), peer: reply };
        match state {
            ConState::Preopen => {}
            ConState::V1Banner => con.dial(),
            ConState::V1ConnectMsg => drop(con.dial_to_connect()),
            ConState::Open => con.dial_to_open(),
            ConState::Standby => {
                con.dial_to_open();
                con.fault(&Fault::PeerClosed);
            }
            ConState::Closed => con.tx.close(),
            other => unreachable!("{other} in messenger v1 of who dials"),
        }
        assert_eq!(con.state(), state);
        con
    }

    fn connect(self) -> Con {
        self.until(ConState::V1ConnectMsg)
    }

    fn open(self) -> Con {
        self.until(ConState::Open)
    }
}

/// A generator of numbers that a seed repeats (splitmix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}
