//! Messenger v2 (`src/msg/async/frames_v2.*`, `crypto_onwire.*`, `net/ceph/messenger_v2.c`).
//!
//! The machine has two halves, as that of v1: [`Rx`] reads and belongs to one thread, [`Tx`] writes and
//! holds the session. What `Rx` knows of a handshake is in the variant of its state, and is gone with
//! it. An accepted socket begins as an [`Accept`], which knows no session.
//!
//! Each socket has a [`FrameTx`] and a [`FrameRx`]:
//!
//! 1. both sides write and read a [`Banner`]; [`Banner::agree`] says which [`Revision`] frames have;
//! 2. frames go out by [`FrameTx::add_frame`] into an [`OutKvec`](super::OutKvec), and come in by
//!    [`FrameRx::read`] from an [`InBuf`];
//! 3. after AUTH_DONE [`set_con_mode`] lets both go on with checksums, or with AES-128-GCM;
//! 4. each gives up its [`Transcript`] for AUTH_SIGNATURE;
//! 5. when the session is open, [`FrameRx::set_ready`] allows messages, and the writing half is `Tx`'s.

mod accept;
mod banner;
pub mod control;
mod epilogue;
mod existing;
mod fault;
mod frame;
mod handshake;
mod onwire;
mod preamble;
mod process;
mod read;
mod reply;
mod session;
mod signature;
mod tag;
mod take_over;
#[cfg(test)]
mod tests;
mod transcript;
mod write;

use std::sync::Arc;

use super::in_buf::InBuf;
use super::{Budget, Peer, Throttle, Tx};
use crate::types::EntityName;
use handshake::State;

pub use crate::auth::ConMode;
pub use accept::{Accept, Offer, Request};
pub use banner::{BANNER_HEAD_LEN, BANNER_V2, Banner, MSGR2_FEATURE_REVISION_1};
pub use fault::con_fault;
pub use frame::{Frame, OutFrame, Revision, SEGMENTS, onwire_len};
pub use onwire::{FrameRx, FrameTx, Read, Role, set_con_mode};
pub use preamble::{Phase, Preamble};
pub use read::Incoming;
pub use signature::AuthSignatures;
pub use tag::Tag;
pub use take_over::TakeOver;
pub use transcript::Transcript;
pub(super) use write::Framing;

/// The reading half.
#[derive(Debug)]
pub struct Rx {
    peer: Peer,
    /// Who is at the other end, as its messages say.
    src: EntityName,
    in_buf: InBuf,
    state: State,
    /// What was awaited when a fault came.
    awaited: &'static str,
    /// Frames of the handshake so far.
    rounds: u32,
    throttle: Option<Arc<Throttle>>,
    /// The message that has begun and for which there is no room.
    throttled: Option<Preamble>,
    /// The room of the message that is under way.
    budget: Budget,
}

/// Both halves of a connection that is to be opened.
pub fn connection(peer: Peer) -> (Rx, Tx) {
    let rx = Rx {
        peer,
        src: peer.name,
        in_buf: InBuf::new(),
        state: State::Banner,
        awaited: "banner",
        rounds: 0,
        throttle: None,
        throttled: None,
        budget: Budget::default(),
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
