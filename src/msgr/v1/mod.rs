//! Messenger v1 as the Linux kernel speaks it (`net/ceph/messenger_v1.c`), and its accepting side
//! as Ceph's daemons have it (`src/msg/async/ProtocolV1.cc`).
//!
//! The machine has two halves. [`Rx`] reads and belongs to one thread; [`Tx`] writes and holds
//! the session. `Rx::read_partial` needs nothing but the transport and yields one whole
//! [`Incoming`]; `Rx::process` acts on it, with both halves in hand. Two rules make it safe that
//! `prepare_write_connect` resets the out buffer on every path: no handshake input is processed
//! while the out buffer holds unsent bytes ([`Rx::is_gated`]), and bytes that are there before
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
use super::session::Session;
use super::{AcceptContext, ConState, Context, Event, Local, OutKvec, Peer, Throttle};
use crate::auth::Authorizer;
use crate::types::{Features, Seq, UTime};

pub use accept::{Accept, ConnectMsg, Offer, Request};
pub use banner::Hello;
pub use existing::{Decision, Existing};
pub use fault::con_fault;
use read::ReadState;
pub use read::{ConnectReplyMsg, Incoming};
pub use reply::Retry;
use sign::Signer;
pub use take_over::TakeOver;
pub use wire::ConnectReply;
pub use write::MsgId;

/// The writing half, and the session.
#[derive(Debug)]
pub struct Tx {
    peer: Peer,
    state: ConState,
    pub(crate) session: Session,
    pub(crate) out_kvec: OutKvec,
    features: Features,
    signer: Option<Signer>,
    keepalive_due: bool,
    keepalive2_ack_due: Option<UTime>,
    /// The peer takes no keepalives.
    quiet: bool,
    next_id: u64,
}

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
    let tx = Tx {
        peer,
        state: ConState::Preopen,
        session: Session::default(),
        out_kvec: OutKvec::default(),
        features: Features::NONE,
        signer: None,
        keepalive_due: false,
        keepalive2_ack_due: None,
        quiet: false,
        next_id: 0,
    };
    (rx, tx)
}

impl Tx {
    /// Where the connection is in its life.
    pub fn state(&self) -> ConState {
        self.state
    }

    fn set_state(&mut self, new: ConState) {
        if self.state != new {
            log::debug!("{}: {} -> {new}", self.peer, self.state);
            self.state = new;
        }
    }

    /// What both sides can do, once the session is open.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Bytes of messages that wait for the wire or, on a lossless session, for the peer's
    /// acknowledgement.
    pub fn queued_bytes(&self) -> usize {
        self.session.queued_bytes
    }

    /// How many messages [`Self::queued_bytes`] are the bytes of.
    pub fn queued_messages(&self) -> usize {
        self.session.queued_messages()
    }

    /// Whether everything that was sent has been handed to the transport.
    pub fn is_flushed(&self) -> bool {
        self.session.out_queue.is_empty() && self.out_kvec.is_empty()
    }

    /// Whether the peer has acknowledged everything that was sent.
    pub fn is_acked(&self) -> bool {
        self.session.is_idle()
    }

    /// Whether the transport has taken all that was prepared for it.
    pub fn is_unblocked(&self) -> bool {
        self.out_kvec.is_empty()
    }

    /// Whether the transport is to be polled for writing.
    pub fn wants_write(&self) -> bool {
        !self.out_kvec.is_empty() || (self.state == ConState::Open && self.has_work())
    }

    /// Whether the peer can be asked for signs of life.
    pub fn takes_keepalives(&self) -> bool {
        !self.quiet
    }

    /// The number of the last message given to the wire, and the last that the peer acknowledged.
    pub fn progress(&self) -> (Seq, Seq) {
        (self.session.out_seq, self.session.out_acked)
    }

    /// The session as a connect message that claims to continue it finds it. Whether another socket
    /// is about to be taken over, and whose it is, the owner knows.
    pub fn existing(&self) -> Existing {
        Existing {
            state: self.state,
            connect_seq: self.session.connect_seq,
            peer_global_seq: self.session.peer_global_seq,
            lossy: self.session.lossy,
            server: self.peer.policy.server,
            once_ready: self.session.once_ready,
            replacing: false,
            stranger: false,
        }
    }

    /// Connection is no more; nothing is kept.
    pub fn close(&mut self) {
        self.set_state(ConState::Closed);
        self.session.reset();
        self.out_kvec.reset();
        self.signer = None;
        self.keepalive_due = false;
        self.keepalive2_ack_due = None;
    }
}

impl Rx {
    /// Whether input must wait: in a handshake nothing is read before everything is written.
    /// While this holds the transport must not be polled for reading.
    pub fn is_gated(tx: &Tx) -> bool {
        tx.state != ConState::Open && !tx.out_kvec.is_empty()
    }

    /// The transport has become readable again.
    pub fn readable(&mut self) {
        self.in_buf.readable();
    }
}
