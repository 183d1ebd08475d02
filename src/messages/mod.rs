//! Typed message bodies, one file for each daemon, named as Ceph names them (`src/messages/`).
//!
//! A body is what the *front* of a message holds. The data segment is not part of it: a command's
//! input and output travel there, so take it from [`Message::data`] or attach it with
//! [`Message::with_data`]. Maps stay encoded here; `mon`, `osd` and `mds` read them.

pub mod auth;
pub mod log;
pub mod mds;
pub mod mgr;
pub mod mon;
pub mod osd;

mod paxos;

use std::fmt;

use crate::denc::{DecodeError, DecodeErrorKind, Reader, Writer};
use crate::msgr::Message;
use crate::types::Features;

/// The numbers of the types, which the machine knows for its logs.
pub use crate::msgr::msg_type as types;
pub use paxos::PaxosHeader;

/// A message body of a known type. `Display` prints it as Ceph's own logs do, less the tid.
pub trait Body: Sized + fmt::Display {
    /// `CEPH_MSG_*` or `MSG_*`: a constant of [`types`].
    const TYPE: u16;
    /// `HEAD_VERSION`: the newest encoding that is known here.
    const VERSION: u16 = 1;
    /// `COMPAT_VERSION`: the oldest reader of that encoding; none older where Ceph sets none.
    const COMPAT: u16 = Self::VERSION;

    /// Appends the front, as a peer with the writer's features reads it.
    fn encode(&self, w: &mut Writer);

    /// Reads a front of that header version. What follows the known fields is left unread.
    fn decode(r: &mut Reader<'_>, version: u16) -> Result<Self, DecodeError>;

    /// Which version [`encode`](Self::encode) writes for this value.
    fn version(&self) -> u16 {
        Self::VERSION
    }

    /// The message with this front, for a peer with these features.
    fn to_message(&self, features: Features) -> Message {
        let mut w = Writer::new(features);
        self.encode(&mut w);
        let version = self.version();
        Message::new(Self::TYPE, w.into_vec()).with_version(version, Self::COMPAT.min(version))
    }

    /// Reads the body of `msg`, whose type must be the right one.
    fn from_message(msg: &Message) -> Result<Self, DecodeError> {
        let mut r = Reader::new(&msg.front);
        r.what(types::name(Self::TYPE).unwrap_or("message"));
        let header = &msg.header;
        if header.msg_type != Self::TYPE {
            return Err(r.error(DecodeErrorKind::BadValue(header.msg_type.into())));
        }
        if header.compat_version > Self::VERSION {
            let cap = |v: u16| v.min(u8::MAX.into()) as u8;
            let (compat, known) = (cap(header.compat_version), cap(Self::VERSION));
            return Err(r.error(DecodeErrorKind::Incompatible { compat, known }));
        }
        Self::decode(&mut r, header.version)
    }
}

/// `Debug` without what is in it: commands, their replies and options may carry keys.
macro_rules! opaque_debug {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}
use opaque_debug;

/// Nothing in a request; string of JSON in a monitor's answer: its health and its part in the
/// quorum (`MPing.h`, `Monitor::handle_ping`). Needs no authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MPing {
    /// What the monitor answers.
    pub result: Option<String>,
}

impl Body for MPing {
    const TYPE: u16 = types::CEPH_MSG_PING;

    fn encode(&self, w: &mut Writer) {
        if let Some(result) = &self.result {
            w.string(result);
        }
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { result: if r.remaining() == 0 { None } else { Some(r.string()?) } })
    }
}

impl fmt::Display for MPing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ping")
    }
}

#[cfg(test)]
mod tests;
