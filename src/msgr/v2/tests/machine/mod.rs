//! The machine in memory: a connection over a pipe with knobs, against a far end whose bytes are
//! written from the tables of the protocol and not by our own encoder.

mod accept_auth;
mod accept_rows;
mod accept_tags;
mod acceptor;
mod connect_auth;
mod connect_tags;
mod dialler;
mod far;
mod fault;
mod handshake;
mod keys;
mod lossless;
mod middle;
mod pair;
mod reconnect;
mod secrets;
mod session;
mod sheets;
mod take_over;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::auth::cephx::{CephXAuthorizer, CephXTicketBlob};
use crate::auth::{
    AuthClient, AuthClientHandler, AuthConnector, AuthError, AuthNoneAuthorizer, AuthProvider,
    Authorizer, ConMode,
};
use crate::crypto::CryptoKey;
use crate::crypto::tests::{aes_key, session_key};
use crate::msgr::pipe::Pipe;
use crate::msgr::v2::{Rx, con_fault, connection};
use crate::msgr::{
    ConState, Consequence, Context, Event, Fault, Local, Message, MsgId, Options, Peer, Policy, Tx,
};
use crate::types::{ConnectSeq, EntityName, EntityType, Features, GlobalId, GlobalSeq, Seq, UTime};
use far::{Far, Frame};
use sheets::{ClientIdent, Reconnect, Said, ServerIdent};

/// Where the tests dial, and the nonce of who is there.
const PEER: &str = "v2:127.0.0.1:40001/7";
const PEER_IP: [u8; 4] = [127, 0, 0, 1];
const PEER_PORT: u16 = 40001;
const PEER_NONCE: u32 = 7;
/// The nonce of who dials.
const NONCE: u32 = 0x1234_5678;
/// Names the acceptor's end of the sessions of the tests.
const COOKIE: u64 = 0x1111_2222_3333_4444;
/// The same of the far dialler.
const CLIENT_COOKIE: u64 = 0x5555_6666_7777_8888;
/// The nonce in the first authorizer of a connection.
const AUTH_NONCE: u64 = 0x55;
/// What the Linux client supports.
const LINUX: Features = Features(0x2f01_8eb8_7aa4_aafe);
/// What a 16.2.15 daemon supports.
const DAEMON: Features = Features(0x3f01_cfbd_fffd_ffff);
const BOTH: Features = Features(LINUX.0 & DAEMON.0);
/// What frames have, by the number of their revision and by their mode.
const FORMS: [(u8, ConMode); 4] =
    [(1, ConMode::Crc), (0, ConMode::Crc), (1, ConMode::Secure), (0, ConMode::Secure)];

/// What a dialler shows.
#[derive(Clone, Debug)]
enum Shows {
    /// An authorizer of protocol `none`.
    None,
    /// One of cephx, with this session key and that ticket.
    Cephx(CryptoKey, CephXTicketBlob),
    /// A login at a monitor.
    Login(Arc<AuthClient>),
    /// There is no ticket.
    NoTicket,
}

/// An [`AuthProvider`] that keeps a record.
#[derive(Debug)]
struct TestAuth {
    shows: Shows,
    asked: Mutex<usize>,
    invalidated: Mutex<usize>,
    login: Mutex<Option<AuthClientHandler>>,
}

impl TestAuth {
    fn new(shows: Shows) -> Self {
        let (asked, invalidated, login) = Default::default();
        Self { shows, asked, invalidated, login }
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    fn invalidated(&self) -> usize {
        *self.invalidated.lock().unwrap()
    }

    fn take_login(&self) -> Option<AuthClientHandler> {
        self.login.lock().unwrap().take()
    }
}

impl AuthProvider for TestAuth {
    fn get_authorizer(
        &self,
        service: EntityType,
        _now: Instant,
        _force_new: bool,
    ) -> Result<Option<Authorizer>, AuthError> {
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        match &self.shows {
            Shows::None => {
                let name = "client.admin".parse().unwrap();
                Ok(Some((&AuthNoneAuthorizer { name, global_id: GlobalId(4242) }).into()))
            }
            Shows::Cephx(key, ticket) => {
                // Each authorizer has a nonce of its own, so that a new one can be told from an old.
                let nonce = AUTH_NONCE + *asked as u64 - 1;
                let authorizer =
                    CephXAuthorizer::new(GlobalId(4242), service, ticket, key, nonce).unwrap();
                Ok(Some(authorizer.into()))
            }
            Shows::Login(_) => Ok(None),
            Shows::NoTicket => Err(AuthError::NoTicket { service }),
        }
    }

    fn invalidate(&self, _: EntityType) {
        *self.invalidated.lock().unwrap() += 1;
    }

    fn start_auth(
        &self,
        service: EntityType,
        modes: &[ConMode],
        now: Instant,
        force_new: bool,
    ) -> Result<AuthConnector, AuthError> {
        if let Shows::Login(client) = &self.shows {
            return Ok(client.start_auth_at_mon(modes));
        }
        match self.get_authorizer(service, now, force_new)? {
            Some(authorizer) => Ok(AuthConnector::with_authorizer(authorizer, service, modes)),
            None => Err(AuthError::NoAuthorizer { service }),
        }
    }

    fn logged_in(&self, login: AuthClientHandler) {
        *self.login.lock().unwrap() = Some(login);
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
    fn new(local: Local, shows: Shows) -> Self {
        // The one look at the clock: the machine itself has none.
        let (now, wall) = (Instant::now(), UTime { sec: 5, nsec: 6 });
        Self { now, wall, local, auth: TestAuth::new(shows) }
    }

    fn cx(&self) -> Context<'_> {
        Context { now: self.now, wall: self.wall, local: &self.local, auth: &self.auth }
    }
}

/// One connection, driven as a worker drives it, and the other end of its socket.
#[derive(Debug)]
struct Con {
    rx: Rx,
    tx: Tx,
    world: World,
    pipe: Pipe,
    events: Vec<Event>,
    far: Far,
    /// How the far acceptor wants frames.
    form: (u8, ConMode),
    /// What it says to CLIENT_IDENT.
    ident: ServerIdent,
}

impl Con {
    fn new(peer: Peer, local: Local, shows: Shows) -> Self {
        let (rx, tx) = connection(peer);
        Self {
            rx,
            tx,
            world: World::new(local, shows),
            pipe: Pipe::default(),
            events: Vec::new(),
            far: Far::new(1, true),
            form: (1, ConMode::Crc),
            ident: ServerIdent::lossless(),
        }
    }

    /// A new socket.
    fn dial(&mut self) {
        self.pipe = Pipe::default();
        self.far = Far::new(self.form.0, true);
        self.rx.prepare_write_banner(&mut self.tx);
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

    /// Reads and writes until neither goes on: the worker's loop.
    fn run(&mut self) -> Result<(), Fault> {
        loop {
            let before = (self.pipe.unread(), self.pipe.output.len(), self.rx.has_read_ahead());
            self.try_read()?;
            self.try_write()?;
            let after = (self.pipe.unread(), self.pipe.output.len(), self.rx.has_read_ahead());
            if before == after {
                return Ok(());
            }
        }
    }

    /// The peer sends, and the machine does what it does then.
    fn receive(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.pipe.feed(bytes);
        self.run()
    }

    /// The peer sends a control frame.
    fn receive_frame(&mut self, tag: u8, payload: &[u8]) -> Result<(), Fault> {
        let bytes = self.far.frame(tag, payload);
        self.receive(&bytes)
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

    /// The one frame that the machine wrote since the last look.
    #[track_caller]
    fn wrote(&mut self, tag: u8) -> Vec<u8> {
        let out = self.pipe.take_output();
        self.far.read_one(tag, &out)
    }

    /// What the machine wrote in the open session since the last look.
    fn said(&mut self) -> Vec<Said> {
        let out = self.pipe.take_output();
        self.far.heard(&out)
    }

    /// What the far end signs with.
    fn key(&self) -> Option<CryptoKey> {
        match &self.world.auth.shows {
            Shows::Cephx(key, _) => Some(key.clone()),
            _ => None,
        }
    }

    /// From a new socket to HELLO, which is out.
    fn dial_to_hello(&mut self) {
        self.dial();
        self.run().unwrap();
        let out = self.pipe.take_output();
        assert_eq!(self.far.read_banner(&out), b"");
        let banner = self.far.banner();
        self.receive(&banner).unwrap();
        assert_eq!(self.state(), ConState::V2Hello);
        self.wrote(far::HELLO);
    }

    /// The far end's HELLO: what the dialler wants, at 10.1.2.3.
    fn far_hello(&self) -> Vec<u8> {
        let seen = sheets::addr_of(2, [10, 1, 2, 3], 51234, 0);
        sheets::hello(self.tx.peer.name.entity_type.0, &seen)
    }

    /// From there to AUTH_REQUEST, which is out.
    fn dial_to_auth(&mut self) -> (u32, Vec<u32>, Vec<u8>) {
        self.dial_to_hello();
        self.receive_frame(far::HELLO, &self.far_hello()).unwrap();
        assert_eq!(self.state(), ConState::V2Auth);
        sheets::read_auth_request(&self.wrote(far::AUTH_REQUEST))
    }

    /// The payload of AUTH_DONE, and the secret; one challenge goes before it, as a service does that
    /// was shown a ticket.
    fn far_proof(&mut self) -> (Vec<u8>, Vec<u8>) {
        let secure = self.form.1 == ConMode::Secure;
        let secret = if secure { super::secret() } else { vec![] };
        let Some(key) = self.key() else { return (vec![], secret) };
        let nonce = AUTH_NONCE + self.world.auth.asked() as u64 - 1;
        let challenge = sheets::challenge(&key, 0x10);
        self.receive_frame(far::AUTH_REPLY_MORE, &sheets::more(&challenge)).unwrap();
        let authorizer = sheets::read_more(&self.wrote(far::AUTH_REQUEST_MORE));
        assert_eq!(sheets::open_authorizer(&key, &authorizer), (nonce, Some(0x11)));
        (sheets::authorizer_reply(&key, nonce, &secret), secret)
    }

    /// From there to AUTH_SIGNATURE, which is out and right.
    fn dial_to_signature(&mut self) {
        self.dial_to_auth();
        let (proof, secret) = self.far_proof();
        let done = sheets::auth_done(4242, self.form.1.number(), &proof);
        self.receive_frame(far::AUTH_DONE, &done).unwrap();
        if !secret.is_empty() {
            self.far.set_secure(&secret);
        }
        assert_eq!(self.state(), ConState::V2AuthSignature);
        let signature = self.wrote(far::AUTH_SIGNATURE);
        assert_eq!(signature, self.far.expected(self.key().as_ref()));
    }

    /// From there to CLIENT_IDENT or SESSION_RECONNECT.
    fn dial_to_session(&mut self) -> Frame {
        self.dial_to_signature();
        let signature = self.far.signature(self.key().as_ref());
        self.receive_frame(far::AUTH_SIGNATURE, &signature).unwrap();
        let out = self.pipe.take_output();
        self.far.read(&out).remove(0)
    }

    fn dial_to_client_ident(&mut self) -> ClientIdent {
        let frame = self.dial_to_session();
        assert_eq!((frame.tag, self.state()), (far::CLIENT_IDENT, ConState::V2SessionConnect));
        ClientIdent::read(frame.payload())
    }

    fn dial_to_reconnect(&mut self) -> Reconnect {
        let frame = self.dial_to_session();
        let want = (far::SESSION_RECONNECT, ConState::V2SessionReconnect);
        assert_eq!((frame.tag, self.state()), want);
        Reconnect::read(frame.payload())
    }

    /// The peer opens the session.
    fn answer_ident(&mut self) {
        let ident = self.ident.bytes();
        self.receive_frame(far::SERVER_IDENT, &ident).unwrap();
        assert_eq!(self.state(), ConState::Open);
    }

    fn dial_to_open(&mut self) {
        self.dial_to_client_ident();
        self.answer_ident();
        assert!(matches!(self.take_events()[..], [Event::Connected(_)]));
    }

    /// The session goes on; the peer has so many of our messages.
    fn reconnected(&mut self, msg_seq: u64) -> Result<(), Fault> {
        self.receive_frame(far::SESSION_RECONNECT_OK, &msg_seq.to_le_bytes())
    }

    /// The far end's messages with these numbers arrive.
    fn receive_msgs(&mut self, numbers: impl IntoIterator<Item = u64>) -> Result<(), Fault> {
        let bytes = self.far.msgs(numbers);
        self.receive(&bytes)
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

    /// Numbers of what waits, 0 for what has none yet.
    fn queue(&self) -> Vec<u64> {
        self.tx.session.out_queue.iter().map(|q| q.msg.header.seq.0).collect()
    }
}

/// A message that can be told from others: 14 bytes.
fn msg(n: u8) -> Message {
    Message::new(42, vec![n; 5]).with_data(vec![n ^ 0xff; 9])
}

/// A ticket that nobody opens.
fn some_ticket() -> CephXTicketBlob {
    CephXTicketBlob { secret_id: 2, blob: vec![0xab; 112] }
}

/// Builds a connection and takes it to a state.
#[derive(Clone, Debug)]
struct Scenario {
    peer_type: EntityType,
    policy: Policy,
    options: Options,
    shows: Shows,
    form: (u8, ConMode),
    ident: ServerIdent,
    /// Where this side listens.
    listens: Vec<&'static str>,
}

impl Scenario {
    /// A lossless session with checksums, between the Linux client's features and a 16.2.15 MDS's;
    /// nothing is proved.
    fn lossless() -> Self {
        Self {
            peer_type: EntityType::MDS,
            policy: Policy::LOSSLESS_CLIENT,
            options: Options { supported: LINUX, ..Options::default() },
            shows: Shows::None,
            form: (1, ConMode::Crc),
            ident: ServerIdent::lossless(),
            listens: Vec::new(),
        }
    }

    /// The same, but lossy on both sides.
    fn lossy() -> Self {
        let ident = ServerIdent::lossy();
        Self { policy: Policy::LOSSY_CLIENT, ident, ..Self::lossless() }
    }

    fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    fn shows(self, shows: Shows) -> Self {
        Self { shows, ..self }
    }

    /// With cephx and this session key.
    fn cephx(self, key: CryptoKey) -> Self {
        self.shows(Shows::Cephx(key, some_ticket()))
    }

    /// Frames have that form; where they are sealed there is a key.
    fn form(self, form: (u8, ConMode)) -> Self {
        let scenario = Self { form, ..self };
        match form.1 {
            ConMode::Crc => scenario,
            ConMode::Secure => scenario.cephx(session_key()),
        }
    }

    fn options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    fn ident(mut self, change: impl FnOnce(&mut ServerIdent)) -> Self {
        change(&mut self.ident);
        self
    }

    /// This side can be dialled too.
    fn listens(self, addr: &'static str) -> Self {
        Self { listens: vec![addr], ..self }
    }

    fn until(self, state: ConState) -> Con {
        let Self { peer_type, policy, options, shows, form, ident, listens } = self;
        let local = Local::new(EntityType::CLIENT, NONCE, options);
        let listens: Vec<_> = listens.iter().map(|addr| addr.parse().unwrap()).collect();
        if !listens.is_empty() {
            local.set_addrs(&listens);
        }
        let name = EntityName::new(peer_type, 3);
        let peer = Peer { name, addr: PEER.parse().unwrap(), policy };
        let mut con = Con { form, ident, ..Con::new(peer, local, shows) };
        match state {
            ConState::Preopen => {}
            ConState::V2Banner => con.dial(),
            ConState::V2Hello => con.dial_to_hello(),
            ConState::V2Auth => drop(con.dial_to_auth()),
            ConState::V2AuthSignature => con.dial_to_signature(),
            ConState::V2SessionConnect => drop(con.dial_to_client_ident()),
            ConState::V2SessionReconnect => {
                con.dial_to_open();
                con.send(1);
                con.run().unwrap();
                con.said();
                con.fault(&Fault::PeerClosed);
                con.dial_to_reconnect();
            }
            ConState::Open => con.dial_to_open(),
            ConState::Standby => {
                con.dial_to_open();
                con.fault(&Fault::PeerClosed);
            }
            ConState::Closed => con.tx.close(),
            other => unreachable!("{other} in messenger v2 of who dials"),
        }
        assert_eq!(con.state(), state);
        con
    }

    fn connect(self) -> Con {
        self.until(ConState::V2SessionConnect)
    }

    fn reconnect(self) -> Con {
        self.until(ConState::V2SessionReconnect)
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
