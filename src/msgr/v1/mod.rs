//! Messenger v1 as the Linux kernel speaks it (`net/ceph/messenger_v1.c`), and its accepting side
//! as Ceph's daemons have it (`src/msg/async/ProtocolV1.cc`).
//!
//! The machine has two halves. [`Rx`] reads and belongs to one thread; [`Tx`] writes and holds
//! the session. `Rx::read_partial` needs nothing but the transport and yields one whole
//! [`Incoming`]; `Rx::process` acts on it, with both halves in hand. Two rules make it safe that
//! `prepare_write_connect` resets the out buffer on every path: no handshake input is processed
//! while the out buffer holds unsent bytes ([`Tx::is_gated`]), and bytes that are there before
//! their request is written are a fault.
//!
//! An accepted socket begins as an [`Accept`], which knows no session. Once its peer has shown who
//! it is, [`Offer::decide`] says what becomes of it by the session that the peer has here already,
//! and a session, new or old, takes the socket over ([`Rx::take_over`]).

mod accept;
mod banner;
mod connect;
mod existing;
mod fault;
mod read;
mod reply;
mod sign;
mod take_over;
mod wire;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::in_buf::InBuf;
use super::{AcceptContext, ConState, Context, Event, Local, Peer, Throttle, Tx};
use crate::auth::Authorizer;
use crate::types::Features;

pub use accept::{Accept, ConnectMsg, Offer, Request};
pub use banner::Hello;
pub use fault::con_fault;
use read::ReadState;
pub use read::{ConnectReplyMsg, Incoming};
use sign::Signer;
pub use take_over::TakeOver;
pub use wire::ConnectReply;
pub(super) use write::{Framing, prepare_write_ack, prepare_write_keepalive2_ack};

/// The reading half.
#[derive(Debug)]
pub struct Rx {
    peer: Peer,
    in_buf: InBuf,
    read: ReadState,
    /// What was awaited when a fault came.
    awaited: &'static str,
    handshake: Handshake,
    features: Features,
    signer: Option<Signer>,
    crc_data: bool,
    throttle: Option<Arc<Throttle>>,
    small_only: bool,
}

/// What one handshake, on one socket, remembers from reply to reply.
#[derive(Debug, Default)]
struct Handshake {
    /// The last connect message, sent again as it is with an answered challenge.
    connect: Option<wire::Connect>,
    /// The authorizer in it. Its answer to a challenge is repeated on every retry.
    authorizer: Option<Authorizer>,
    /// The peer has refused one authorizer on this socket.
    refused: bool,
    /// Replies so far.
    rounds: u32,
}

/// Both halves of a connection that is to be opened.
pub fn connection(peer: Peer, local: &Local) -> (Rx, Tx) {
    let rx = Rx {
        peer,
        in_buf: InBuf::new(),
        read: ReadState::Banner,
        awaited: "banner",
        handshake: Handshake::default(),
        features: Features::NONE,
        signer: None,
        crc_data: local.options.crc_data,
        throttle: None,
        small_only: false,
    };
    (rx, Tx::new(peer))
}

impl Rx {
    /// The transport has become readable again.
    pub fn readable(&mut self) {
        self.in_buf.readable();
    }

    /// Whether bytes were read that are not processed yet.
    pub fn has_read_ahead(&self) -> bool {
        self.in_buf.len() > 0
    }
}
