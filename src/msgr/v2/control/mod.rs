//! The payloads of control frames, segment 0 of each (`src/msg/async/frames_v2.h`).
//!
//! Integers are little-endian, a list is a `u32` count and its items. Addresses have the form of
//! MSG_ADDR2 and nautilus, whatever features the session has. What follows the last field is of a
//! newer peer and is not looked at, as in Ceph.

mod auth;
mod ident;
mod message;
mod ready;
mod reconnect;
#[cfg(test)]
mod tests;

pub use auth::{AuthDoneFrame, AuthReplyMoreFrame, AuthRequestMoreFrame, AuthSignatureFrame};
pub use ident::{
    CLIENT_IDENT_LOSSY, ClientIdentFrame, HelloFrame, IdentMissingFeaturesFrame, ServerIdentFrame,
};
pub use message::MsgHeader2;
pub use ready::{
    AckFrame, CompressionDoneFrame, CompressionRequestFrame, KeepAliveFrame, KeepAliveFrameAck,
};
pub use reconnect::{
    ReconnectFrame, ReconnectOkFrame, ResetFrame, RetryFrame, RetryGlobalFrame, WaitFrame,
};

pub use crate::auth::{AuthBadMethod, AuthOffer};

use crate::denc::{Decode, DecodeError, Encode, Reader};
use crate::types::Features;

/// A payload that a frame of one tag carries in its only segment.
pub trait ControlFrame: Encode + Decode {
    /// The frame's tag.
    const TAG: u8;

    /// The segment.
    fn to_payload(&self) -> Vec<u8> {
        self.to_bytes(Features::ALL)
    }

    /// Reads the segment.
    fn from_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        Reader::new(payload).get()
    }
}

macro_rules! tags {
    ($($frame:ty = $tag:literal),* $(,)?) => {$(
        impl ControlFrame for $frame {
            const TAG: u8 = $tag;
        }
    )*};
}

tags! {
    HelloFrame = 1,
    AuthOffer = 2,
    AuthBadMethod = 3,
    AuthReplyMoreFrame = 4,
    AuthRequestMoreFrame = 5,
    AuthDoneFrame = 6,
    AuthSignatureFrame = 7,
    ClientIdentFrame = 8,
    ServerIdentFrame = 9,
    IdentMissingFeaturesFrame = 10,
    ReconnectFrame = 11,
    ResetFrame = 12,
    RetryFrame = 13,
    RetryGlobalFrame = 14,
    ReconnectOkFrame = 15,
    WaitFrame = 16,
    KeepAliveFrame = 18,
    KeepAliveFrameAck = 19,
    AckFrame = 20,
    CompressionRequestFrame = 21,
    CompressionDoneFrame = 22,
}

/// A frame of one field that is encoded as it is.
macro_rules! one_field {
    ($(#[$doc:meta])* $name:ident($(#[$field_doc:meta])* $ty:ty), $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name($(#[$field_doc])* pub $ty);

        impl crate::denc::Encode for $name {
            fn encode(&self, w: &mut crate::denc::Writer) {
                w.put(&self.0);
            }
        }

        impl crate::denc::Decode for $name {
            const MIN: usize = <$ty as crate::denc::Decode>::MIN;

            fn decode(r: &mut crate::denc::Reader<'_>) -> Result<Self, crate::denc::DecodeError> {
                r.what($what).get().map(Self)
            }
        }
    };
}
use one_field;
