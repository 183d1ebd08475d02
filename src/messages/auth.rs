//! The authentication messages of messenger v1. They go to monitors only; v2 has frames for it.

use std::fmt;

use super::{Body, PaxosHeader, types};
use crate::denc::{DecodeError, Reader, Writer};
use crate::types::{Epoch, GlobalId};

/// Paxos header, `u32` protocol, blob auth_payload, `u32` monmap epoch (`MAuth.h`).
///
/// With protocol 0 the payload is the hello: `u8` 1, the protocols that the client offers, its
/// name and its global_id.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MAuth {
    /// Always a client's.
    pub paxos: PaxosHeader,
    /// `CEPH_AUTH_*`: 0 in the hello, then what the monitor chose.
    pub protocol: u32,
    /// The protocol's own request.
    pub auth_payload: Vec<u8>,
    /// The monmap that the client has. Old clients and the kernel leave it out, which reads as 0.
    pub monmap_epoch: Epoch,
}

impl Body for MAuth {
    const TYPE: u16 = types::CEPH_MSG_AUTH;

    fn encode(&self, w: &mut Writer) {
        w.put(&self.paxos).u32(self.protocol).blob(&self.auth_payload).put(&self.monmap_epoch);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self {
            paxos: r.get()?,
            protocol: r.u32()?,
            auth_payload: r.blob()?.to_vec(),
            monmap_epoch: if r.remaining() == 0 { Epoch(0) } else { r.get()? },
        })
    }
}

impl fmt::Display for MAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, len, epoch) = (self.protocol, self.auth_payload.len(), self.monmap_epoch);
        write!(f, "auth(proto {protocol} {len} bytes epoch {epoch})")
    }
}

impl fmt::Debug for MAuth {
    /// Without the payload, which proves who the client is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `u32` protocol, `i32` result, `u64` global_id, blob result_bl, string result_msg
/// (`MAuthReply.h`).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MAuthReply {
    /// `CEPH_AUTH_*`: what the monitor chose, 0 where it likes none of those offered.
    pub protocol: u32,
    /// 0 or a negative errno.
    pub result: i32,
    /// The number that the client now has; without meaning if 0.
    pub global_id: GlobalId,
    /// The protocol's own answer.
    pub result_bl: Vec<u8>,
    /// What went wrong, in words.
    pub result_msg: String,
}

impl Body for MAuthReply {
    const TYPE: u16 = types::CEPH_MSG_AUTH_REPLY;

    fn encode(&self, w: &mut Writer) {
        w.u32(self.protocol).i32(self.result).put(&self.global_id);
        w.blob(&self.result_bl).string(&self.result_msg);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol: r.u32()?,
            result: r.i32()?,
            global_id: r.get()?,
            result_bl: r.blob()?.to_vec(),
            result_msg: r.string()?,
        })
    }
}

impl fmt::Display for MAuthReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "auth_reply(proto {} {}", self.protocol, self.result)?;
        if !self.result_msg.is_empty() {
            write!(f, ": {}", self.result_msg)?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for MAuthReply {
    /// Without the payload, which holds tickets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
