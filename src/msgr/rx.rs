//! The reading half of a connection, of whichever protocol, and the socket that it takes over.

use std::sync::Arc;

use super::{Consequence, Context, Event, Fault, Local, Peer, Throttle, Transport, Tx, v1, v2};
use crate::auth::AuthServiceHandler;
use crate::types::AddrType;

/// The reading half, which belongs to one thread.
#[derive(Debug)]
pub enum Rx {
    /// Of messenger v1.
    V1(Box<v1::Rx>),
    /// Of messenger v2.
    V2(Box<v2::Rx>),
}

/// One whole thing that the peer sent.
#[derive(Debug)]
pub enum Incoming {
    /// Through messenger v1.
    V1(v1::Incoming),
    /// Through messenger v2.
    V2(v2::Incoming),
}

/// An accepted socket whose session is found.
#[derive(Debug)]
pub enum TakeOver {
    /// Of messenger v1.
    V1(Box<v1::TakeOver>),
    /// Of messenger v2.
    V2(Box<v2::TakeOver>),
}

/// Both halves of a connection that is to be opened: the type of the address says with which protocol.
pub fn connection(peer: Peer, local: &Local) -> (Rx, Tx) {
    match peer.addr.addr_type {
        AddrType::MSGR2 => v2_halves(v2::connection(peer)),
        _ => v1_halves(v1::connection(peer, local)),
    }
}

fn v1_halves((rx, tx): (v1::Rx, Tx)) -> (Rx, Tx) {
    (Rx::V1(Box::new(rx)), tx)
}

fn v2_halves((rx, tx): (v2::Rx, Tx)) -> (Rx, Tx) {
    (Rx::V2(Box::new(rx)), tx)
}

impl TakeOver {
    /// Who dialled.
    pub fn peer(&self) -> &Peer {
        match self {
            Self::V1(socket) => socket.peer(),
            Self::V2(socket) => socket.peer(),
        }
    }

    /// The login of the dialler, where this side is a monitor and the protocol v2.
    pub fn take_login(&mut self) -> Option<Box<AuthServiceHandler>> {
        match self {
            Self::V1(_) => None,
            Self::V2(socket) => socket.take_login(),
        }
    }

    /// Both halves of a new connection for this socket, which take it over next.
    pub fn connection(&self, local: &Local) -> (Rx, Tx) {
        match self {
            Self::V1(socket) => v1_halves(socket.connection(local)),
            Self::V2(socket) => v2_halves(socket.connection()),
        }
    }
}

impl Rx {
    /// A socket is being opened: the banner goes out first, and that of the peer is the first thing to
    /// be read.
    pub fn prepare_banner(&mut self, tx: &mut Tx, cx: &Context<'_>) {
        match self {
            Self::V1(rx) => {
                rx.prepare_read_banner();
                tx.prepare_write_banner(cx);
            }
            Self::V2(rx) => rx.prepare_write_banner(tx),
        }
    }

    /// The socket is gone, and with it what was half read.
    #[cfg(test)]
    pub(crate) fn forget(&mut self) {
        match self {
            Self::V1(rx) => rx.prepare_read_banner(),
            Self::V2(rx) => rx.prepare_read_banner(),
        }
    }

    /// What the machine waits for, in the words of an error: "no {} in time".
    pub fn awaiting(&self) -> &'static str {
        match self {
            Self::V1(rx) => rx.awaiting(),
            Self::V2(rx) => rx.awaiting(),
        }
    }

    /// The transport has become readable again.
    pub fn readable(&mut self) {
        match self {
            Self::V1(rx) => rx.readable(),
            Self::V2(rx) => rx.readable(),
        }
    }

    /// Whether bytes were read that are not processed yet.
    pub fn has_read_ahead(&self) -> bool {
        match self {
            Self::V1(rx) => rx.has_read_ahead(),
            Self::V2(rx) => rx.has_read_ahead(),
        }
    }

    /// Reads until one whole thing is there; `None` where the transport has no more for now.
    /// After a fault it is that fault for ever, until the banner of another socket is prepared.
    pub fn read_partial(&mut self, t: &mut impl Transport) -> Result<Option<Incoming>, Fault> {
        Ok(match self {
            Self::V1(rx) => rx.read_partial(t)?.map(Incoming::V1),
            Self::V2(rx) => rx.read_partial(t)?.map(Incoming::V2),
        })
    }

    /// Acts on one thing that [`Self::read_partial`] has read.
    pub fn process(
        &mut self,
        tx: &mut Tx,
        incoming: Incoming,
        cx: &Context<'_>,
    ) -> Result<Option<Event>, Fault> {
        match (self, incoming) {
            (Self::V1(rx), Incoming::V1(incoming)) => rx.process(tx, incoming, cx),
            (Self::V2(rx), Incoming::V2(incoming)) => rx.process(tx, incoming, cx),
            (rx, _) => Err(rx.other_protocol()),
        }
    }

    /// Continues the session on an accepted socket. The events are in the order in which they are to
    /// be told.
    pub fn take_over(
        &mut self,
        tx: &mut Tx,
        socket: TakeOver,
    ) -> Result<[Option<Event>; 2], Fault> {
        match (self, socket) {
            (Self::V1(rx), TakeOver::V1(socket)) => Ok(rx.take_over(tx, *socket)),
            (Self::V2(rx), TakeOver::V2(socket)) => rx.take_over(tx, *socket),
            (rx, _) => Err(rx.other_protocol()),
        }
    }

    fn other_protocol(&self) -> Fault {
        match self {
            Self::V1(_) => Fault::PeerSpeaksV2,
            Self::V2(_) => Fault::PeerSpeaksV1,
        }
    }

    /// The throttle that has no room for the next message, if that is what keeps this side from
    /// reading on.
    pub fn throttled(&self) -> Option<&Arc<Throttle>> {
        match self {
            Self::V1(rx) => rx.throttled(),
            Self::V2(rx) => rx.throttled(),
        }
    }

    /// How long the message is whose beginning is there, and not its end; 0 where even that is not
    /// known yet.
    pub fn amid_message(&self) -> Option<usize> {
        match self {
            Self::V1(rx) => rx.amid_message(),
            Self::V2(rx) => rx.amid_message(),
        }
    }

    /// The length of the message that is half read, for which it holds room.
    #[cfg(test)]
    pub(crate) fn reading(&self) -> Option<usize> {
        match self {
            Self::V1(rx) => rx.reading(),
            Self::V2(rx) => rx.reading(),
        }
    }

    /// Whether somebody waits for the room that messages on this connection hold.
    pub fn is_contended(&self) -> bool {
        match self {
            Self::V1(rx) => rx.is_contended(),
            Self::V2(rx) => rx.is_contended(),
        }
    }

    /// Sets what bounds the messages that were received and are not done with.
    pub fn set_throttle(&mut self, throttle: Option<Arc<Throttle>>) {
        match self {
            Self::V1(rx) => rx.set_throttle(throttle),
            Self::V2(rx) => rx.set_throttle(throttle),
        }
    }

    /// Takes, or no longer takes, only small messages: of a peer that may be anyone. With messenger v2
    /// no session is open before its peer has shown who it is.
    pub fn set_small_only(&mut self, small_only: bool) {
        match self {
            Self::V1(rx) => rx.set_small_only(small_only),
            Self::V2(_) => {}
        }
    }
}

/// Takes a connection from its fault to the state that follows (`con_fault`).
pub fn con_fault(rx: &mut Rx, tx: &mut Tx, fault: &Fault, cx: &Context<'_>) -> Consequence {
    match rx {
        Rx::V1(rx) => v1::con_fault(rx, tx, fault, cx),
        Rx::V2(rx) => v2::con_fault(rx, tx, fault, cx),
    }
}
