//! Sides for a far dialler to dial, and what it says to them.

use std::net::SocketAddr;

use super::far::*;
use super::keys::WALL;
use super::sheets::*;
use super::*;
use crate::auth::{AuthNoneAuthorizeHandler, AuthServer};
use crate::msgr::v2::{Accept, Offer, TakeOver};
use crate::msgr::{AcceptContext, Decision, Policies, Retry};
use crate::types::{EntityAddr, EntityAddrVec};

/// Whence the dialler's socket comes.
pub(super) const SOCKET: &str = "10.1.2.3:51234";

/// Who is dialled.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) serving: EntityType,
    pub(super) options: Options,
    pub(super) local: Local,
    pub(super) auth: Box<dyn AuthServer>,
    pub(super) policies: Policies,
    pub(super) wall: UTime,
    /// Where it listens.
    pub(super) own: EntityAddrVec,
    /// Of the dialler's frames.
    pub(super) revision: u8,
}

impl Listener {
    pub(super) fn with(serving: EntityType, policy: Policy, options: Options) -> Self {
        let own = [PEER, "v1:127.0.0.1:40002/7"].map(|addr| addr.parse().unwrap());
        let local = Local::new(serving, PEER_NONCE, options);
        local.set_num(3);
        Self {
            serving,
            options,
            local,
            auth: Box::new(AuthNoneAuthorizeHandler),
            policies: Policies::new(policy),
            wall: WALL,
            own: EntityAddrVec(own.to_vec()),
            revision: 1,
        }
    }

    pub(super) fn new(serving: EntityType, policy: Policy) -> Self {
        Self::with(serving, policy, Options { supported: DAEMON, ..Options::default() })
    }

    /// An MDS as its clients see it, but that it asks for no proof.
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
        let accept = Accept::new(self.own.clone(), from);
        Socket { accept, pipe: Pipe::default(), far: Far::new(self.revision, false), key: None }
    }

    /// A socket on which the banners are exchanged.
    pub(super) fn greeted(&self) -> Socket {
        let mut socket = self.socket();
        assert!(socket.run(self).unwrap().is_none());
        let out = socket.pipe.take_output();
        assert_eq!(socket.far.read_banner(&out), b"");
        let banner = socket.far.banner();
        assert!(socket.receive(self, &banner).unwrap().is_none());
        let seen = addr_of(2, [10, 1, 2, 3], 51234, 0);
        assert_eq!(socket.wrote(HELLO), hello(self.serving.0, &seen));
        socket
    }

    /// One whose dialler says that it is of that type.
    pub(super) fn introduced(&self, entity_type: u8) -> Socket {
        let mut socket = self.greeted();
        let hello = hello(entity_type, &peer_addr());
        assert!(socket.receive_frame(self, HELLO, &hello).unwrap().is_none());
        assert_eq!(socket.pipe.output, b"");
        socket
    }

    /// One whose dialler, of that type, has shown who it is with `none`; its AUTH_SIGNATURE is due.
    pub(super) fn authenticated(&self, entity_type: u8) -> Socket {
        let mut socket = self.introduced(entity_type);
        let request = auth_request(1, &[1], &none_authorizer(entity_type));
        assert!(socket.receive_frame(self, AUTH_REQUEST, &request).unwrap().is_none());
        let out = socket.pipe.take_output();
        let frames = socket.far.read(&out);
        let [done, signature] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((done.tag, signature.tag), (AUTH_DONE, AUTH_SIGNATURE));
        assert_eq!(read_auth_done(done.payload()), (4242, 1, vec![]));
        assert_eq!(signature.payload(), [0; 32]);
        socket
    }

    /// And signed.
    pub(super) fn signed_as(&self, entity_type: u8) -> Socket {
        let mut socket = self.authenticated(entity_type);
        assert!(socket.receive_frame(self, AUTH_SIGNATURE, &[0; 32]).unwrap().is_none());
        assert_eq!(socket.pipe.output, b"");
        socket
    }

    /// A client has shown who it is.
    pub(super) fn signed(&self) -> Socket {
        self.signed_as(8)
    }

    /// A session with that peer which has no socket yet.
    pub(super) fn con(&self, peer: Peer) -> Con {
        let local = Local::new(self.serving, PEER_NONCE, self.options);
        local.set_addrs(&self.own.0);
        Con::new(peer, local, Shows::None)
    }

    /// The session takes the socket over, as its worker does it.
    pub(super) fn take_over(&self, con: &mut Con, socket: Socket, offer: Offer, reset: bool) {
        let mut taken = socket.accept.take_over(offer, reset, &self.cx()).unwrap();
        taken.take_login();
        self.take(con, taken, socket.pipe, socket.far);
    }

    pub(super) fn take(&self, con: &mut Con, taken: TakeOver, pipe: Pipe, far: Far) {
        (con.pipe, con.far) = (pipe, far);
        let events = con.rx.take_over(&mut con.tx, taken).unwrap();
        con.events.extend(events.into_iter().flatten());
    }

    /// A new session on a new socket, with what opens it.
    pub(super) fn accept(&self, ident: &ClientIdent) -> (Con, ServerIdent) {
        self.accept_from(8, ident)
    }

    pub(super) fn accept_from(&self, entity_type: u8, ident: &ClientIdent) -> (Con, ServerIdent) {
        let mut socket = self.signed_as(entity_type);
        let offer = socket.ident(self, ident);
        let mut con = self.con(*offer.peer());
        self.take_over(&mut con, socket, offer, false);
        con.run().unwrap();
        let reply = ServerIdent::read(&con.wrote(SERVER_IDENT));
        (con, reply)
    }

    /// A new session that is open on both sides.
    pub(super) fn open(&self) -> Con {
        self.open_for(&ClientIdent::lossless())
    }

    pub(super) fn open_for(&self, ident: &ClientIdent) -> Con {
        let (mut con, _) = self.accept(ident);
        assert!(matches!(con.take_events()[..], [Event::Accepted(_)]));
        assert_eq!(con.state(), ConState::Open);
        con
    }

    /// The dialler comes back on a new socket: what it is told, and what follows that.
    pub(super) fn reconnect(&self, con: &mut Con, reconnect: &Reconnect) -> (u64, Vec<Said>) {
        let mut socket = self.signed_as(con.tx.peer.name.entity_type.0);
        let offer = socket.reconnect(self, reconnect);
        self.take_over(con, socket, offer, false);
        con.run().unwrap();
        let out = con.pipe.take_output();
        let (ok, rest) = con.far.take(&out).unwrap();
        assert_eq!(ok.tag, SESSION_RECONNECT_OK);
        (read_u64(ok.payload()), con.far.heard(rest))
    }
}

/// Who says that it is client.admin, or number 5 of another type, and proves nothing.
pub(super) fn none_authorizer(entity_type: u8) -> Vec<u8> {
    let id: &[u8] = if entity_type == 8 { b"admin" } else { b"5" };
    let mut out = vec![1, entity_type, 0, 0, 0];
    out.extend((id.len() as u32).to_le_bytes());
    out.extend(id);
    out.extend(4242u64.to_le_bytes());
    out
}

/// An accepted socket that belongs to no session yet.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) accept: Accept,
    pub(super) pipe: Pipe,
    pub(super) far: Far,
    /// What both sides sign with.
    pub(super) key: Option<CryptoKey>,
}

impl Socket {
    /// The dialler sends, and the machine does what it does then.
    pub(super) fn receive(&mut self, l: &Listener, bytes: &[u8]) -> Result<Option<Offer>, Fault> {
        self.pipe.feed(bytes);
        self.run(l)
    }

    pub(super) fn receive_frame(
        &mut self,
        l: &Listener,
        tag: u8,
        payload: &[u8],
    ) -> Result<Option<Offer>, Fault> {
        let bytes = self.far.frame(tag, payload);
        self.receive(l, &bytes)
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

    /// The one frame that the machine wrote since the last look.
    #[track_caller]
    pub(super) fn wrote(&mut self, tag: u8) -> Vec<u8> {
        let out = self.pipe.take_output();
        self.far.read_one(tag, &out)
    }

    pub(super) fn ident(&mut self, l: &Listener, ident: &ClientIdent) -> Offer {
        self.receive_frame(l, CLIENT_IDENT, &ident.bytes()).unwrap().expect("an offer")
    }

    pub(super) fn reconnect(&mut self, l: &Listener, reconnect: &Reconnect) -> Offer {
        self.receive_frame(l, SESSION_RECONNECT, &reconnect.bytes()).unwrap().expect("an offer")
    }

    /// Tells the dialler to try again, and what is on the wire then.
    pub(super) fn retry(&mut self, retry: Retry) -> Frame {
        self.accept.retry(retry).unwrap();
        assert!(self.accept.try_write(&mut self.pipe).unwrap());
        let out = self.pipe.take_output();
        let mut frames = self.far.read(&out);
        assert_eq!(frames.len(), 1);
        frames.remove(0)
    }
}

/// The owner of the sessions, of which there is one at most.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) listener: Listener,
    pub(super) con: Option<Con>,
    /// Resets that were decided.
    pub(super) resets: usize,
}

impl Owner {
    pub(super) fn new(listener: Listener) -> Self {
        Self { listener, con: None, resets: 0 }
    }

    /// Does with a socket what its offer leads to; gives the socket back where the dialler is to
    /// try again.
    pub(super) fn act(&mut self, mut socket: Socket, offer: Offer) -> (Decision, Option<Socket>) {
        let l = &self.listener;
        let existing = self.con.as_ref().map(|con| con.tx.existing());
        let decision = offer.decide(existing.as_ref(), l.own());
        match decision {
            Decision::Open | Decision::ReplaceLossy => {
                let mut con = l.con(*offer.peer());
                l.take_over(&mut con, socket, offer, false);
                self.con = Some(con);
                (decision, None)
            }
            Decision::Replace | Decision::ReplaceReset => {
                let reset = decision == Decision::ReplaceReset;
                self.resets += usize::from(reset);
                l.take_over(self.con.as_mut().unwrap(), socket, offer, reset);
                (decision, None)
            }
            Decision::Retry(retry) => {
                socket.accept.retry(retry).unwrap();
                (decision, Some(socket))
            }
            Decision::Stale => (decision, None),
        }
    }
}
