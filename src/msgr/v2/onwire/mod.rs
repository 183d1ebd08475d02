//! The way of a frame over the wire: in the clear with checksums, or sealed with AES-128-GCM.

mod nonce;
mod rx;
mod seal;
mod tx;

pub use rx::{FrameRx, Read};
pub use tx::FrameTx;

pub(super) use seal::Seal;

use super::{ConMode, Phase, Revision};
use crate::msgr::Fault;

/// Which end of the socket this is; it says which of the two nonces is whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that dialled.
    Connecting,
    /// The one that was dialled.
    Accepting,
}

/// Has both halves go on in the mode that AUTH_DONE says, behind AUTH_DONE itself. The secret came with
/// it; a mode without one, CRC, does not look at it. After a fault neither half may be used.
pub fn set_con_mode(
    tx: &mut FrameTx,
    rx: &mut FrameRx,
    mode: ConMode,
    secret: &[u8],
) -> Result<(), Fault> {
    if mode == ConMode::Secure {
        let (sealing, opening) = Seal::pair(rx.revision(), rx.role(), secret)?;
        tx.set_secure(sealing);
        rx.set_secure(opening);
    }
    Ok(())
}
