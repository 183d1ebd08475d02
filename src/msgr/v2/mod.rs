//! Messenger v2 (`src/msg/async/frames_v2.*`, `crypto_onwire.*`, `net/ceph/messenger_v2.c`).
//!
//! Here is what lies below its handshake, and nothing uses it yet: the banner and the choice of the
//! revision, the frames of both revisions, their way over the wire with checksums or sealed, the
//! payloads of the control frames, and the signature. The authentication is in `auth`. The machine
//! itself, with the states of the handshake, sessions and the accepting side, is not here yet.
//!
//! A machine keeps one [`FrameTx`] and one [`FrameRx`] for each socket:
//!
//! 1. both write and read a [`Banner`]; [`Banner::agree`] says which [`Revision`] the frames have;
//! 2. frames go out by [`FrameTx::add_frame`] into an [`OutKvec`](super::OutKvec), and come in by
//!    [`FrameRx::read`] from an [`InBuf`](super::InBuf);
//! 3. after AUTH_DONE [`set_con_mode`] lets both go on with checksums, or with AES-128-GCM;
//! 4. each takes its [`Transcript`] for AUTH_SIGNATURE;
//! 5. when the session is open, [`FrameRx::set_ready`] allows messages.

mod banner;
pub mod control;
mod epilogue;
mod frame;
mod onwire;
mod preamble;
mod signature;
mod tag;
#[cfg(test)]
mod tests;
mod transcript;

pub use crate::auth::ConMode;
pub use banner::{BANNER_HEAD_LEN, BANNER_V2, Banner, MSGR2_FEATURE_REVISION_1};
pub use frame::{Frame, OutFrame, Revision, SEGMENTS, onwire_len};
pub use onwire::{FrameRx, FrameTx, Read, Role, set_con_mode};
pub use preamble::{Phase, Preamble};
pub use signature::AuthSignatures;
pub use tag::Tag;
pub use transcript::Transcript;
