//! What both machines of msgr2's authentication put into frames.

use std::fmt;

use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};

/// AUTH_REQUEST: `u32` method, `u32` count of `u32` modes, the best first, `u32` length and what the
/// method has to say. No secret is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthOffer {
    /// `CEPH_AUTH_*`.
    pub method: u32,
    /// `CEPH_CON_MODE_*`.
    pub modes: Vec<u32>,
    /// To a monitor: `u8` 10, entity name, `u64` global_id. To a service: an authorizer.
    pub payload: Vec<u8>,
}

impl fmt::Debug for AuthOffer {
    /// Without the payload, which may hold a ticket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthOffer")
            .field("method", &self.method)
            .field("modes", &self.modes)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}

impl Encode for AuthOffer {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.method).put(&self.modes).blob(&self.payload);
    }
}

impl Decode for AuthOffer {
    const MIN: usize = 12;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let method = r.what("AUTH_REQUEST").u32()?;
        Ok(Self { method, modes: r.list(4, Reader::u32)?, payload: r.blob()?.to_vec() })
    }
}

/// AUTH_BAD_METHOD: `u32` method, `i32` result, and two lists of `u32` with their counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthBadMethod {
    /// That of the request.
    pub method: u32,
    /// The negative errno: EOPNOTSUPP where another offer may be taken.
    pub result: i32,
    /// `CEPH_AUTH_*` that would be taken, the best first.
    pub allowed_methods: Vec<u32>,
    /// `CEPH_CON_MODE_*` that would be taken.
    pub allowed_modes: Vec<u32>,
}

impl Encode for AuthBadMethod {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.method).i32(self.result).put(&self.allowed_methods).put(&self.allowed_modes);
    }
}

impl Decode for AuthBadMethod {
    const MIN: usize = 16;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let method = r.what("AUTH_BAD_METHOD").u32()?;
        Ok(Self {
            method,
            result: r.i32()?,
            allowed_methods: r.list(4, Reader::u32)?,
            allowed_modes: r.list(4, Reader::u32)?,
        })
    }
}
