//! The accepting side of the handshake: from a socket to the session that it belongs to.

use std::fmt;
use std::net::SocketAddr;

use super::control::{
    AuthDoneFrame, AuthOffer, AuthReplyMoreFrame, AuthRequestMoreFrame, AuthSignatureFrame,
    CLIENT_IDENT_LOSSY, ClientIdentFrame, ControlFrame, HelloFrame, ReconnectFrame,
    ServerIdentFrame,
};
use super::existing::decide;
use super::handshake::{Frames, is_same, required};
use super::read::read_banner;
use super::session::{connect_seq, global_seq, new_cookie};
use super::take_over::{Opening, TakeOver};
use super::{AuthSignatures, Banner, Read, Role, Tag, set_con_mode};
use crate::auth::{
    AuthAcceptor, AuthAnswer, AuthError, AuthGranted, AuthPeer, AuthServiceHandler, ConMode,
};
use crate::limits;
use crate::msgr::in_buf::InBuf;
use crate::msgr::{AcceptContext, Decision, Existing, Fault, OutKvec, Peer, Transport};
use crate::types::{
    AddrType, ConnectSeq, EntityAddr, EntityAddrVec, EntityName, EntityType, Features, GlobalSeq,
    Seq,
};

/// A socket on which no session is open yet. The banner is in the out buffer from the start; the
/// owner writes all of what is there before it has anything processed.
#[derive(Debug)]
pub struct Accept {
    in_buf: InBuf,
    pub(super) out_kvec: OutKvec,
    pub(super) state: State,
    /// Where this side is, as far as the socket tells it.
    own_addrs: EntityAddrVec,
    /// Whence the dialler comes.
    pub(super) socket_addr: SocketAddr,
    rounds: u32,
    fault: Option<Fault>,
}

/// How far the handshake is, with what is known then.
#[derive(Debug)]
pub(super) enum State {
    Banner,
    Hello(Box<Frames>),
    Auth(Box<Frames>, AuthAcceptor, EntityType),
    AuthSignature(Box<Frames>, AuthSignatures, Box<Granted>),
    /// CLIENT_IDENT or SESSION_RECONNECT comes next.
    Session(Box<Frames>, Box<Granted>),
    Ended,
}

/// Who the dialler has shown to be.
#[derive(Debug)]
pub(super) struct Granted {
    entity_type: EntityType,
    peer: AuthPeer,
    mode: ConMode,
    login: Option<Box<AuthServiceHandler>>,
}

impl State {
    pub(super) fn frames(&mut self) -> Option<&mut Frames> {
        match self {
            Self::Banner | Self::Ended => None,
            Self::Hello(frames)
            | Self::Auth(frames, ..)
            | Self::AuthSignature(frames, ..)
            | Self::Session(frames, _) => Some(frames),
        }
    }
}

/// One whole thing that a dialler sent.
pub enum Request {
    /// All bytes of its banner.
    Banner(Vec<u8>),
    /// A frame, and its payload.
    Control(Tag, Vec<u8>),
}

impl fmt::Debug for Request {
    /// Without the bytes of payloads: tickets are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Banner(banner) => write!(f, "banner ({} bytes)", banner.len()),
            Self::Control(tag, payload) => write!(f, "{tag} ({} bytes)", payload.len()),
        }
    }
}

/// A dialler that has shown who it is, and whose session is to be found.
#[derive(Debug)]
pub struct Offer {
    peer: Peer,
    auth_peer: AuthPeer,
    ask: Ask,
}

/// What it asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    Ident(Ident),
    Reconnect(Reconnect),
}

/// A new session (CLIENT_IDENT).
#[derive(Clone, Copy, Debug)]
pub(super) struct Ident {
    pub(super) global_seq: GlobalSeq,
    pub(super) client_cookie: u64,
    /// What both sides can do.
    pub(super) features: Features,
}

/// The session that there has been (SESSION_RECONNECT).
#[derive(Clone, Copy, Debug)]
pub(super) struct Reconnect {
    pub(super) global_seq: GlobalSeq,
    pub(super) client_cookie: u64,
    pub(super) connect_seq: ConnectSeq,
    /// What it has received of that session.
    pub(super) msg_seq: Seq,
}

impl Offer {
    /// Who dials: type, number, address, and the policy for it.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Who the dialler has shown to be.
    pub fn auth_peer(&self) -> &AuthPeer {
        &self.auth_peer
    }

    /// Which connection of its session it is to be; 0 for the first.
    #[cfg(test)]
    pub(crate) fn connect_seq(&self) -> ConnectSeq {
        match self.ask {
            Ask::Ident(_) => ConnectSeq(0),
            Ask::Reconnect(reconnect) => reconnect.connect_seq,
        }
    }

    /// What names the dialler's end of the session.
    #[cfg(test)]
    pub(crate) fn client_cookie(&self) -> u64 {
        match self.ask {
            Ask::Ident(ident) => ident.client_cookie,
            Ask::Reconnect(reconnect) => reconnect.client_cookie,
        }
    }

    /// What is to happen, by the session that the peer has here, if it has one.
    pub fn decide(&self, existing: Option<&Existing>, own: EntityAddr) -> Decision {
        decide(&self.ask, existing, self.peer.policy, self.peer.addr, own)
    }
}

impl Accept {
    /// A socket that came in from `socket_addr` at this side, whose addresses are `own`; the one with
    /// the port of the socket is among them.
    pub fn new(own: EntityAddrVec, socket_addr: SocketAddr) -> Self {
        let mut out_kvec = OutKvec::default();
        out_kvec.add(&Banner::OURS.encode());
        Self {
            in_buf: InBuf::new(),
            out_kvec,
            state: State::Banner,
            own_addrs: own,
            socket_addr,
            rounds: 0,
            fault: None,
        }
    }

    /// This side's address, of those at which messenger v2 is spoken the first.
    pub fn own_addr(&self) -> EntityAddr {
        self.own_addrs.of_type(AddrType::MSGR2).unwrap_or(EntityAddr::NONE)
    }

    /// What the machine waits for, in the words of an error: "no {} in time".
    pub fn awaiting(&self) -> &'static str {
        match self.state {
            State::Banner => "banner",
            State::Hello(_) => "HELLO",
            State::Auth(..) => "AUTH_REQUEST",
            State::AuthSignature(..) => "AUTH_SIGNATURE",
            State::Session(..) => "CLIENT_IDENT or SESSION_RECONNECT",
            State::Ended => "more",
        }
    }

    /// Whether the dialler has shown who it is.
    pub fn is_introduced(&self) -> bool {
        matches!(self.state, State::AuthSignature(..) | State::Session(..))
    }

    /// Writes what there is to write; true when all is out, false when the transport would block.
    pub fn try_write(&mut self, t: &mut impl Transport) -> Result<bool, Fault> {
        Ok(self.out_kvec.write_to(t)?)
    }

    /// The transport has become readable again.
    pub fn readable(&mut self) {
        self.in_buf.readable();
    }

    /// Reads until one whole thing is there; `None` where the transport has no more for now, or
    /// where something must be written first. After a fault it is that fault for ever.
    pub fn read_partial(&mut self, t: &mut impl Transport) -> Result<Option<Request>, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if !self.out_kvec.is_empty() {
            return Ok(None);
        }
        let outcome = self.read_one(t);
        self.fault = outcome.as_ref().err().cloned();
        outcome
    }

    fn read_one(&mut self, t: &mut impl Transport) -> Result<Option<Request>, Fault> {
        let Self { state, in_buf, .. } = self;
        let Some(frames) = state.frames() else {
            return Ok(read_banner(in_buf, t)?.map(Request::Banner));
        };
        loop {
            match frames.rx.read(in_buf, t)? {
                None => return Ok(None),
                Some(Read::Header(_)) => {}
                // Where messages are, a frame may be taken back; a handshake is not.
                Some(Read::Aborted(preamble)) => return Err(Fault::UnexpectedTag(preamble.tag)),
                Some(Read::Frame(frame)) => {
                    return Ok(Some(Request::Control(frame.tag, frame.payload.to_vec())));
                }
            }
        }
    }

    /// Acts on one thing that the dialler sent: an answer is in the out buffer, or the session must
    /// be looked up that the offer belongs to. After a fault it is that fault for ever.
    pub fn process(
        &mut self,
        request: Request,
        cx: &AcceptContext<'_>,
    ) -> Result<Option<Offer>, Fault> {
        let outcome = match request {
            Request::Banner(banner) => self.process_banner(&banner, cx).map(|()| None),
            Request::Control(tag, payload) => self.process_control(tag, &payload, cx),
        };
        self.fault = outcome.as_ref().err().cloned();
        outcome
    }

    fn process_banner(&mut self, banner: &[u8], cx: &AcceptContext<'_>) -> Result<(), Fault> {
        let mut frames = Frames::new(Role::Accepting, banner, cx.local.options.crc_data)?;
        let hello = HelloFrame {
            entity_type: cx.local.name().entity_type,
            // Without a nonce, which a socket does not tell.
            peer_addr: EntityAddr::msgr2(self.socket_addr, 0),
        };
        frames.tx.add_control(&mut self.out_kvec, &hello)?;
        self.state = State::Hello(Box::new(frames));
        Ok(())
    }

    fn process_control(
        &mut self,
        tag: Tag,
        payload: &[u8],
        cx: &AcceptContext<'_>,
    ) -> Result<Option<Offer>, Fault> {
        log::trace!("{}: < {tag} ({} bytes)", self.socket_addr, payload.len());
        self.rounds += 1;
        if self.rounds > limits::MAX_CONNECT_ROUNDS {
            return Err(Fault::TooManyRounds(limits::MAX_CONNECT_ROUNDS));
        }
        match (std::mem::replace(&mut self.state, State::Ended), tag) {
            (State::Hello(frames), Tag::Hello) => {
                let entity_type = HelloFrame::from_payload(payload)?.entity_type;
                let modes = cx.local.options.con_modes(cx.local.name().entity_type, entity_type);
                let acceptor = AuthAcceptor::new(entity_type, modes);
                self.state = State::Auth(frames, acceptor, entity_type);
                Ok(None)
            }
            (State::Auth(frames, acceptor, entity_type), _) => {
                self.process_auth(frames, acceptor, entity_type, (tag, payload), cx)?;
                Ok(None)
            }
            (State::AuthSignature(frames, signatures, granted), Tag::AuthSignature) => {
                signatures.check(&AuthSignatureFrame::from_payload(payload)?.0)?;
                self.state = State::Session(frames, granted);
                Ok(None)
            }
            (State::Session(frames, granted), Tag::ClientIdent) => {
                let ident = ClientIdentFrame::from_payload(payload)?;
                let offer = self.process_client_ident(&ident, &granted, cx);
                self.state = State::Session(frames, granted);
                match offer? {
                    Ok(offer) => Ok(Some(offer)),
                    Err(missing) => self.refuse_features(missing).map(|()| None),
                }
            }
            (State::Session(frames, granted), Tag::SessionReconnect) => {
                let reconnect = ReconnectFrame::from_payload(payload)?;
                let offer = self.process_reconnect(&reconnect, &granted, cx);
                self.state = State::Session(frames, granted);
                offer.map(Some)
            }
            _ => Err(Fault::UnexpectedTag(tag)),
        }
    }

    fn process_auth(
        &mut self,
        mut frames: Box<Frames>,
        mut acceptor: AuthAcceptor,
        entity_type: EntityType,
        (tag, payload): (Tag, &[u8]),
        cx: &AcceptContext<'_>,
    ) -> Result<(), Fault> {
        let answer = match tag {
            Tag::AuthRequest => {
                let offer = AuthOffer::from_payload(payload)?;
                acceptor.handle_auth_request(cx.auth, &offer, cx.wall)?
            }
            Tag::AuthRequestMore => {
                let more = AuthRequestMoreFrame::from_payload(payload)?;
                acceptor.handle_auth_request_more(cx.auth, &more.payload, cx.wall)?
            }
            other => return Err(Fault::UnexpectedTag(other)),
        };
        match answer {
            AuthAnswer::BadMethod(bad, why) => {
                log::info!("{entity_type} {}: refused: {why}", self.socket_addr);
                frames.tx.add_control(&mut self.out_kvec, &bad)?;
            }
            AuthAnswer::ReplyMore(payload) => {
                frames.tx.add_control(&mut self.out_kvec, &AuthReplyMoreFrame { payload })?;
            }
            AuthAnswer::Done(granted) => return self.grant(frames, *granted, entity_type),
        }
        self.state = State::Auth(frames, acceptor, entity_type);
        Ok(())
    }

    /// AUTH_DONE is the last frame in the clear; the signature follows at once.
    fn grant(
        &mut self,
        mut frames: Box<Frames>,
        granted: AuthGranted,
        entity_type: EntityType,
    ) -> Result<(), Fault> {
        let AuthGranted { global_id, mode, payload, session_key, connection_secret, peer, login } =
            granted;
        log::debug!("{}: {} is believed, {mode} mode", self.socket_addr, peer.name);
        let done = AuthDoneFrame { global_id, con_mode: mode.number(), payload };
        frames.tx.add_control(&mut self.out_kvec, &done)?;
        let (received, sent) = frames.take_transcripts();
        let signatures =
            AuthSignatures::new(session_key.as_ref(), &received, &sent).map_err(AuthError::from)?;
        let secret = connection_secret.as_ref().map_or(&[][..], |secret| secret.as_bytes());
        let Frames { tx, rx, .. } = &mut *frames;
        set_con_mode(tx, rx, mode, secret)?;
        tx.add_control(&mut self.out_kvec, &AuthSignatureFrame(signatures.ours()))?;
        let granted = Granted { entity_type, peer, mode, login };
        self.state = State::AuthSignature(frames, signatures, Box::new(granted));
        Ok(())
    }

    /// An offer, or the features that the dialler lacks.
    fn process_client_ident(
        &self,
        ident: &ClientIdentFrame,
        granted: &Granted,
        cx: &AcceptContext<'_>,
    ) -> Result<Result<Offer, Features>, Fault> {
        log::trace!("{}: < {ident:?}", self.socket_addr);
        let (want, got) = (ident.target_addr, self.own_addr());
        if !self.own_addrs.0.iter().any(|own| is_same(own, &want)) {
            return Err(Fault::WrongPeer { want, got });
        }
        let options = &cx.local.options;
        let peer = self.peer(&ident.addrs, Some(ident.gid), granted, cx)?;
        let missing = required(options.required).missing_in(ident.supported_features);
        if !missing.is_empty() {
            return Ok(Err(missing));
        }
        let ask = Ask::Ident(Ident {
            global_seq: global_seq(ident.global_seq)?,
            client_cookie: ident.cookie,
            features: ident.supported_features & options.supported,
        });
        Ok(Ok(Offer { peer, auth_peer: granted.peer.clone(), ask }))
    }

    fn process_reconnect(
        &self,
        reconnect: &ReconnectFrame,
        granted: &Granted,
        cx: &AcceptContext<'_>,
    ) -> Result<Offer, Fault> {
        log::trace!("{}: < {reconnect:?}", self.socket_addr);
        if reconnect.msg_seq.0 > limits::MAX_SEQ {
            return Err(Fault::BadSeq(reconnect.msg_seq.0));
        }
        let ask = Ask::Reconnect(Reconnect {
            global_seq: global_seq(reconnect.global_seq)?,
            client_cookie: reconnect.client_cookie,
            connect_seq: connect_seq(reconnect.connect_seq)?,
            msg_seq: reconnect.msg_seq,
        });
        let peer = self.peer(&reconnect.addrs, None, granted, cx)?;
        Ok(Offer { peer, auth_peer: granted.peer.clone(), ask })
    }

    /// Who dials. Its number is the one that it has shown, or that it claims where it has shown none.
    fn peer(
        &self,
        addrs: &EntityAddrVec,
        gid: Option<i64>,
        granted: &Granted,
        cx: &AcceptContext<'_>,
    ) -> Result<Peer, Fault> {
        let claimed = addrs.msgr2_or_first();
        let addr = claimed.filter(|addr| *addr != EntityAddr::NONE).ok_or(Fault::NoPeerAddress)?;
        let shown = granted.peer.entity_num(granted.entity_type);
        let num = if shown == EntityName::NEW { gid.unwrap_or(shown) } else { shown };
        let mut sockaddr = self.socket_addr;
        // One that does not know its IP address has the one that its socket shows.
        sockaddr.set_port(addr.port());
        let sockaddr = if addr.is_blank_ip() { Some(sockaddr) } else { addr.sockaddr };
        Ok(Peer {
            name: EntityName::new(granted.entity_type, num),
            addr: EntityAddr { sockaddr, ..addr },
            policy: cx.policies.get(granted.entity_type),
        })
    }

    /// What a session needs to take this socket as its own. `reset` says that the dialler has lost its
    /// session.
    pub fn take_over(
        self,
        offer: Offer,
        reset: bool,
        cx: &AcceptContext<'_>,
    ) -> Result<TakeOver, Fault> {
        let Offer { peer, ask, .. } = offer;
        let State::Session(frames, granted) = self.state else {
            return Err(Fault::UnexpectedTag(Tag::ServerIdent));
        };
        let options = &cx.local.options;
        let lossy = peer.policy.lossy;
        let opening = match ask {
            Ask::Ident(ident) => Opening::New(
                ident,
                ServerIdentFrame {
                    addrs: self.own_addrs,
                    gid: cx.local.name().num,
                    global_seq: cx.local.global_seq(GlobalSeq(0)).0.into(),
                    supported_features: options.supported,
                    required_features: required(options.required),
                    flags: if lossy { CLIENT_IDENT_LOSSY } else { 0 },
                    cookie: if lossy { 0 } else { new_cookie()? },
                },
            ),
            Ask::Reconnect(reconnect) => Opening::Again(reconnect),
        };
        let Granted { mode, login, .. } = *granted;
        Ok(TakeOver { in_buf: self.in_buf, frames, peer, opening, mode, login, reset })
    }
}
