//! The accepting side of the handshake: from a socket to the session that it belongs to
//! (`ProtocolV1::accept` and the states that follow).

use std::net::SocketAddr;

use super::banner::check_banner;
use super::existing::decide;
use super::read::refuse_other_prefix;
use super::sign::Signer;
use super::take_over::TakeOver;
use super::wire::{BANNER, CONNECT_LOSSY, Connect, ConnectReply, tag};
use super::{AcceptContext, Peer};
use crate::auth::{AcceptedAuthorizer, AuthorizerState, AuthorizerVerdict};
use crate::denc::Reader;
use crate::limits;
use crate::msgr::fault::protocol_version;
use crate::msgr::in_buf::InBuf;
use crate::msgr::{Decision, Existing, Fault, OutKvec, Transport};
use crate::types::{
    AddrType, ConnectSeq, EntityAddr, EntityName, Features, GlobalSeq, LEGACY_ADDR_LEN,
};

/// A socket on which no session is open yet. What is to be said is in the out buffer from the
/// start; the owner writes all of it before it has anything processed.
#[derive(Debug)]
pub struct Accept {
    in_buf: InBuf,
    pub(super) out_kvec: OutKvec,
    read: ReadState,
    /// Where the dialler has reached us.
    own_addr: EntityAddr,
    /// Whence it comes.
    socket_addr: SocketAddr,
    pub(super) peer_addr: EntityAddr,
    pub(super) authorizer: AuthorizerState,
    rounds: u32,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug)]
enum ReadState {
    Banner,
    Addr,
    Connect,
    Authorizer(Connect),
}

/// One whole thing that a dialler sent.
#[derive(Debug)]
pub enum Request {
    /// Its address, behind its banner.
    Hello(EntityAddr),
    /// A connect message and its authorizer.
    Connect(ConnectMsg),
}

/// A connect message with its authorizer bytes.
#[derive(Debug)]
pub struct ConnectMsg {
    connect: Connect,
    authorizer: Vec<u8>,
}

/// A dialler that has shown who it is, and whose session is to be found.
#[derive(Debug)]
pub struct Offer {
    pub(super) connect: Connect,
    peer: Peer,
    pub(super) accepted: Option<Box<AcceptedAuthorizer>>,
    features: Features,
    signer: Option<Signer>,
}

impl Offer {
    /// Who dials: type, number, address, and the policy for it.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Which connection of its session it is to be.
    #[cfg(test)]
    pub(crate) fn connect_seq(&self) -> ConnectSeq {
        self.connect.connect_seq
    }

    /// What the authorizer has shown; `None` where none was asked for.
    pub fn authorizer(&self) -> Option<&AcceptedAuthorizer> {
        self.accepted.as_deref()
    }

    /// What is to happen, by the session that the peer has here, if it has one.
    pub fn decide(&self, existing: Option<&Existing>, own: EntityAddr) -> Decision {
        decide(&self.connect, existing, self.peer.policy, self.peer.addr, own)
    }
}

impl Accept {
    /// A socket that came in from `socket_addr`, at the address `own` of this side: both hellos'
    /// worth of this side is prepared at once, for the dialler waits for it.
    pub fn new(own: EntityAddr, socket_addr: SocketAddr) -> Self {
        let mut out_kvec = OutKvec::default();
        out_kvec.add(BANNER);
        out_kvec.add(&own.encode_legacy());
        // Without a nonce, which a socket does not tell.
        out_kvec.add(&EntityAddr::legacy(socket_addr, 0).encode_legacy());
        Self {
            in_buf: InBuf::new(),
            out_kvec,
            read: ReadState::Banner,
            own_addr: own,
            socket_addr,
            peer_addr: EntityAddr::NONE,
            authorizer: AuthorizerState::new(),
            rounds: 0,
            fault: None,
        }
    }

    /// This side's address, as the dialler has reached it.
    pub fn own_addr(&self) -> EntityAddr {
        self.own_addr
    }

    /// What the machine waits for, in the words of an error: "no {} in time".
    pub fn awaiting(&self) -> &'static str {
        match self.read {
            ReadState::Banner => "banner",
            ReadState::Addr => "address behind the banner",
            ReadState::Connect => "connect message",
            ReadState::Authorizer(_) => "authorizer behind the connect message",
        }
    }

    /// Whether the dialler has said who it is.
    pub fn is_introduced(&self) -> bool {
        self.peer_addr != EntityAddr::NONE
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
        loop {
            let need = match self.read {
                ReadState::Banner => BANNER.len(),
                ReadState::Addr => LEGACY_ADDR_LEN,
                ReadState::Connect => Connect::LEN,
                ReadState::Authorizer(connect) => connect.authorizer_len as usize,
            };
            if !self.in_buf.fill(need, t)? {
                if matches!(self.read, ReadState::Banner) {
                    refuse_other_prefix(self.in_buf.peek())?;
                }
                return Ok(None);
            }
            let bytes = self.in_buf.take(need);
            match self.read {
                ReadState::Banner => {
                    check_banner(bytes)?;
                    self.read = ReadState::Addr;
                }
                ReadState::Addr => {
                    let addr = EntityAddr::decode_legacy(&mut Reader::new(bytes))?;
                    self.read = ReadState::Connect;
                    return Ok(Some(Request::Hello(addr)));
                }
                ReadState::Connect => {
                    let connect = Connect::decode(&mut Reader::new(bytes))?;
                    if connect.authorizer_len > limits::AUTHORIZER_MAX_LEN {
                        return Err(Fault::AuthorizerTooLong(connect.authorizer_len));
                    }
                    self.read = ReadState::Authorizer(connect);
                }
                ReadState::Authorizer(connect) => {
                    let authorizer = bytes.to_vec();
                    self.read = ReadState::Connect;
                    return Ok(Some(Request::Connect(ConnectMsg { connect, authorizer })));
                }
            }
        }
    }

    /// Acts on one thing that the dialler sent: a reply is in the out buffer, or the session must
    /// be looked up that the offer belongs to.
    pub fn process(
        &mut self,
        request: Request,
        cx: &AcceptContext<'_>,
    ) -> Result<Option<Offer>, Fault> {
        match request {
            Request::Hello(addr) => {
                self.peer_addr = self.learn_peer_addr(addr);
                Ok(None)
            }
            Request::Connect(msg) => self.process_connect(msg, cx),
        }
    }

    /// A dialler that does not know its IP address has the one that its socket shows, but keeps the
    /// port it claims: the socket's is not one it listens on.
    fn learn_peer_addr(&self, claimed: EntityAddr) -> EntityAddr {
        let mut sockaddr = self.socket_addr;
        let seen = claimed.is_blank_ip().then(|| {
            sockaddr.set_port(claimed.port());
            sockaddr
        });
        EntityAddr { addr_type: AddrType::LEGACY, sockaddr: seen.or(claimed.sockaddr), ..claimed }
    }

    /// The first rows of the table: version, features, authorizer.
    fn process_connect(
        &mut self,
        msg: ConnectMsg,
        cx: &AcceptContext<'_>,
    ) -> Result<Option<Offer>, Fault> {
        let ConnectMsg { connect, authorizer } = msg;
        let (peer_type, local) = (connect.host_type, cx.local.name().entity_type);
        log::trace!("{} {}: < {connect:?}", peer_type, self.peer_addr);
        self.rounds += 1;
        if self.rounds > limits::MAX_CONNECT_ROUNDS {
            return Err(Fault::TooManyRounds(limits::MAX_CONNECT_ROUNDS));
        }
        if connect.protocol_version != protocol_version(local, peer_type) {
            self.refuse_version(&connect, cx);
            return Ok(None);
        }
        let protocol = connect.authorizer_protocol;
        let required = cx.local.options.required | cx.auth.required_features(protocol);
        if !required.missing_in(connect.features).is_empty() {
            self.refuse_features(required, &connect, cx);
            return Ok(None);
        }
        let state = &mut self.authorizer;
        let accepted = match cx.auth.verify_authorizer(
            state,
            protocol,
            &authorizer,
            connect.features,
            cx.wall,
        ) {
            AuthorizerVerdict::Accepted(accepted) => Some(accepted),
            AuthorizerVerdict::NotAsked => None,
            AuthorizerVerdict::Challenge(challenge) => {
                self.challenge_authorizer(&challenge, &connect, cx);
                return Ok(None);
            }
            AuthorizerVerdict::Refused(why) => {
                log::info!("{} {}: authorizer refused: {why}", peer_type, self.peer_addr);
                self.refuse_authorizer(&connect, cx);
                return Ok(None);
            }
        };
        if accepted.as_ref().is_some_and(|a| !a.peer.may_be(peer_type)) {
            log::info!("{} {}: its ticket is another kind's", peer_type, self.peer_addr);
            self.refuse_authorizer(&connect, cx);
            return Ok(None);
        }
        let features = connect.features & cx.local.options.supported;
        let key = accepted.as_ref().and_then(|a| a.session_key.as_ref());
        let signer = match key.filter(|_| cx.local.options.sign_messages) {
            Some(key) => match Signer::new(key, features) {
                Ok(signer) => signer,
                Err(Fault::PeerLacksFeatures(lacking)) => {
                    self.refuse_features(required | lacking, &connect, cx);
                    return Ok(None);
                }
                Err(other) => return Err(other),
            },
            None => None,
        };
        let num = accepted.as_ref().map_or(EntityName::NEW, |a| a.peer.entity_num(peer_type));
        let peer = Peer {
            name: EntityName::new(peer_type, num),
            addr: self.peer_addr,
            policy: cx.policies.get(peer_type),
        };
        Ok(Some(Offer { connect, peer, accepted, features, signer }))
    }

    /// What a session needs to take this socket as its own.
    pub fn take_over(self, offer: Offer, reset: bool, cx: &AcceptContext<'_>) -> TakeOver {
        let Offer { connect, peer, accepted, features, signer } = offer;
        let seq = features.has(Features::RECONNECT_SEQ) && !reset;
        let proof = accepted.map(|a| a.reply).unwrap_or_default();
        let reply = ConnectReply {
            tag: if seq { tag::SEQ } else { tag::READY },
            features: cx.local.options.supported,
            global_seq: cx.local.global_seq(GlobalSeq(0)),
            connect_seq: ConnectSeq(connect.connect_seq.0.wrapping_add(1)),
            protocol_version: connect.protocol_version,
            authorizer_len: proof.len() as u32,
            flags: if peer.policy.lossy { CONNECT_LOSSY } else { 0 },
        };
        let peer_global_seq = connect.global_seq;
        TakeOver {
            in_buf: self.in_buf,
            reply,
            proof,
            peer,
            peer_global_seq,
            features,
            signer,
            reset,
        }
    }
}
