//! An accepted socket, of whichever protocol, until its session is found.

use std::net::SocketAddr;

use super::{AcceptContext, Decision, Existing, Fault, Peer, Retry, TakeOver, Transport, v1, v2};
use crate::auth::AuthPeer;
#[cfg(test)]
use crate::types::ConnectSeq;
use crate::types::{AddrType, EntityAddr, EntityAddrVec};

/// A socket on which no session is open yet. What is to be said is in the out buffer from the
/// start; the owner writes all of it before it has anything processed.
#[derive(Debug)]
pub enum Accept {
    /// At a port of messenger v1.
    V1(Box<v1::Accept>),
    /// At a port of messenger v2.
    V2(Box<v2::Accept>),
}

/// One whole thing that a dialler sent.
#[derive(Debug)]
pub enum Request {
    /// Through messenger v1.
    V1(v1::Request),
    /// Through messenger v2.
    V2(v2::Request),
}

/// A dialler that has shown who it is, and whose session is to be found.
#[derive(Debug)]
pub enum Offer {
    /// Through messenger v1.
    V1(Box<v1::Offer>),
    /// Through messenger v2.
    V2(Box<v2::Offer>),
}

impl Offer {
    /// Who dials: type, number, address, and the policy for it.
    pub fn peer(&self) -> &Peer {
        match self {
            Self::V1(offer) => offer.peer(),
            Self::V2(offer) => offer.peer(),
        }
    }

    /// Who the dialler has shown to be; `None` where nothing was asked for.
    pub fn auth_peer(&self) -> Option<&AuthPeer> {
        match self {
            Self::V1(offer) => offer.authorizer().map(|authorizer| &authorizer.peer),
            Self::V2(offer) => Some(offer.auth_peer()),
        }
    }

    /// Which connection of its session it is to be.
    #[cfg(test)]
    pub(crate) fn connect_seq(&self) -> ConnectSeq {
        match self {
            Self::V1(offer) => offer.connect_seq(),
            Self::V2(offer) => offer.connect_seq(),
        }
    }

    /// What names the dialler's end of the session (v2).
    #[cfg(test)]
    pub(crate) fn client_cookie(&self) -> u64 {
        match self {
            Self::V1(_) => 0,
            Self::V2(offer) => offer.client_cookie(),
        }
    }

    /// What is to happen, by the session that the peer has here, if it has one; `own` is this side's
    /// address.
    pub fn decide(&self, existing: Option<&Existing>, own: EntityAddr) -> Decision {
        match self {
            Self::V1(offer) => offer.decide(existing, own),
            Self::V2(offer) => offer.decide(existing, own),
        }
    }
}

impl Accept {
    /// A socket that came in from `socket_addr` at the address `own`, whose type says which protocol is
    /// spoken there; `all` are the addresses of this side.
    pub fn new(own: EntityAddr, all: EntityAddrVec, socket_addr: SocketAddr) -> Self {
        match own.addr_type {
            AddrType::MSGR2 => Self::V2(Box::new(v2::Accept::new(all, socket_addr))),
            _ => Self::V1(Box::new(v1::Accept::new(own, socket_addr))),
        }
    }

    /// This side's address, as the dialler has reached it.
    pub fn own_addr(&self) -> EntityAddr {
        match self {
            Self::V1(accept) => accept.own_addr(),
            Self::V2(accept) => accept.own_addr(),
        }
    }

    /// What the machine waits for, in the words of an error: "no {} in time".
    pub fn awaiting(&self) -> &'static str {
        match self {
            Self::V1(accept) => accept.awaiting(),
            Self::V2(accept) => accept.awaiting(),
        }
    }

    /// Whether the dialler has said who it is.
    pub fn is_introduced(&self) -> bool {
        match self {
            Self::V1(accept) => accept.is_introduced(),
            Self::V2(accept) => accept.is_introduced(),
        }
    }

    /// Writes what there is to write; true when all is out, false when the transport would block.
    pub fn try_write(&mut self, t: &mut impl Transport) -> Result<bool, Fault> {
        match self {
            Self::V1(accept) => accept.try_write(t),
            Self::V2(accept) => accept.try_write(t),
        }
    }

    /// The transport has become readable again.
    pub fn readable(&mut self) {
        match self {
            Self::V1(accept) => accept.readable(),
            Self::V2(accept) => accept.readable(),
        }
    }

    /// Reads until one whole thing is there; `None` where the transport has no more for now, or
    /// where something must be written first. After a fault it is that fault for ever.
    pub fn read_partial(&mut self, t: &mut impl Transport) -> Result<Option<Request>, Fault> {
        Ok(match self {
            Self::V1(accept) => accept.read_partial(t)?.map(Request::V1),
            Self::V2(accept) => accept.read_partial(t)?.map(Request::V2),
        })
    }

    /// Acts on one thing that the dialler sent: a reply is in the out buffer, or the session must
    /// be looked up that the offer belongs to.
    pub fn process(
        &mut self,
        request: Request,
        cx: &AcceptContext<'_>,
    ) -> Result<Option<Offer>, Fault> {
        Ok(match (self, request) {
            (Self::V1(accept), Request::V1(request)) => {
                accept.process(request, cx)?.map(|offer| Offer::V1(Box::new(offer)))
            }
            (Self::V2(accept), Request::V2(request)) => {
                accept.process(request, cx)?.map(|offer| Offer::V2(Box::new(offer)))
            }
            (accept, _) => return Err(accept.other_protocol()),
        })
    }

    /// Answers an offer that opens nothing: the dialler may try again on this socket.
    pub fn retry(
        &mut self,
        offer: &Offer,
        retry: Retry,
        cx: &AcceptContext<'_>,
    ) -> Result<(), Fault> {
        match (self, offer) {
            (Self::V1(accept), Offer::V1(offer)) => {
                accept.retry(offer, retry, cx);
                Ok(())
            }
            (Self::V2(accept), Offer::V2(_)) => accept.retry(retry),
            (accept, _) => Err(accept.other_protocol()),
        }
    }

    /// What a session needs to take this socket as its own. `reset` says that the dialler has lost its
    /// session.
    pub fn take_over(
        self,
        offer: Offer,
        reset: bool,
        cx: &AcceptContext<'_>,
    ) -> Result<TakeOver, Fault> {
        match (self, offer) {
            (Self::V1(accept), Offer::V1(offer)) => {
                Ok(TakeOver::V1(Box::new(accept.take_over(*offer, reset, cx))))
            }
            (Self::V2(accept), Offer::V2(offer)) => {
                Ok(TakeOver::V2(Box::new(accept.take_over(*offer, reset, cx)?)))
            }
            (accept, _) => Err(accept.other_protocol()),
        }
    }

    fn other_protocol(&self) -> Fault {
        match self {
            Self::V1(_) => Fault::PeerSpeaksV2,
            Self::V2(_) => Fault::PeerSpeaksV1,
        }
    }
}
