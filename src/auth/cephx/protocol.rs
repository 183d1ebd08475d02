//! What travels in clear, or inside an envelope, in the order of `CephxProtocol.h`. The first byte
//! of each is its version. As in Ceph a higher one is read like the known one, and bytes after the
//! known fields are left to the caller.

use std::fmt;

use crate::auth::ConnectionSecret;
use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{EntityType, GlobalId};

/// Prove who you are; get a ticket for the ticket service.
pub const CEPHX_GET_AUTH_SESSION_KEY: u16 = 0x0100;
/// Show that ticket; get tickets for services.
pub const CEPHX_GET_PRINCIPAL_SESSION_KEY: u16 = 0x0200;
/// As a daemon: get the secrets with which the tickets for your service are sealed.
pub const CEPHX_GET_ROTATING_KEY: u16 = 0x0400;

/// First answer to a hello: `u8` 1, `u64` challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CephXServerChallenge {
    /// Random, not 0.
    pub server_challenge: u64,
}

impl Encode for CephXServerChallenge {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).u64(self.server_challenge);
    }
}

impl Decode for CephXServerChallenge {
    const MIN: usize = 9;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("CephXServerChallenge").u8()?;
        Ok(Self { server_challenge: r.u64()? })
    }
}

/// In front of each request after the hello: `u16` `CEPHX_GET_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CephXRequestHeader {
    /// `CEPHX_GET_*`.
    pub request_type: u16,
}

impl Encode for CephXRequestHeader {
    fn encode(&self, w: &mut Writer) {
        w.u16(self.request_type);
    }
}

impl Decode for CephXRequestHeader {
    const MIN: usize = 2;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { request_type: r.what("CephXRequestHeader").u16()? })
    }
}

/// In front of each reply after the challenge: `u16` `CEPHX_GET_*`, `i32` 0 or negative errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CephXResponseHeader {
    /// That of the request.
    pub request_type: u16,
    /// 0, or a negative errno.
    pub status: i32,
}

impl Encode for CephXResponseHeader {
    fn encode(&self, w: &mut Writer) {
        w.u16(self.request_type).i32(self.status);
    }
}

impl Decode for CephXResponseHeader {
    const MIN: usize = 6;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { request_type: r.what("CephXResponseHeader").u16()?, status: r.i32()? })
    }
}

/// A ticket as its owner holds it: `u8` 1, `u64` secret_id, `u32` length, sealed bytes. Empty it
/// stands for "no ticket".
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CephXTicketBlob {
    /// Which rotating secret of the service it is sealed with.
    pub secret_id: u64,
    /// A [`CephXServiceTicketInfo`](super::CephXServiceTicketInfo) in an envelope.
    pub blob: Vec<u8>,
}

impl fmt::Debug for CephXTicketBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CephXTicketBlob(secret_id {}, {} bytes)", self.secret_id, self.blob.len())
    }
}

impl Encode for CephXTicketBlob {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).u64(self.secret_id).blob(&self.blob);
    }
}

impl Decode for CephXTicketBlob {
    const MIN: usize = 13;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("CephXTicketBlob").u8()?;
        Ok(Self { secret_id: r.u64()?, blob: r.blob()?.to_vec() })
    }
}

/// Body of `CEPHX_GET_AUTH_SESSION_KEY`: `u8` 3, `u64` challenge, `u64` proof, old ticket, `u32`
/// mask of services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CephXAuthenticate {
    /// Random.
    pub client_challenge: u64,
    /// [`calc_client_server_challenge`](crate::crypto::calc_client_server_challenge).
    pub key: u64,
    /// The AUTH ticket held before, if a global_id is claimed; else it must be empty.
    pub old_ticket: CephXTicketBlob,
    /// The services whose tickets should come in the same reply; 0 from a client before nautilus.
    pub other_keys: u32,
    /// A version below 3: such a client may claim a global_id without a ticket.
    pub old_ticket_may_be_omitted: bool,
}

impl Encode for CephXAuthenticate {
    fn encode(&self, w: &mut Writer) {
        w.u8(3).u64(self.client_challenge).u64(self.key).put(&self.old_ticket);
        w.u32(self.other_keys);
    }
}

impl Decode for CephXAuthenticate {
    const MIN: usize = 30;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let v = r.what("CephXAuthenticate").u8()?;
        Ok(Self {
            client_challenge: r.u64()?,
            key: r.u64()?,
            old_ticket: r.get()?,
            other_keys: if v >= 2 { r.u32()? } else { 0 },
            old_ticket_may_be_omitted: v < 3,
        })
    }
}

/// The two challenges whose encryption is the proof of a key of type 1: two `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CephXChallengeBlob {
    /// The monitor's.
    pub server_challenge: u64,
    /// Ours.
    pub client_challenge: u64,
}

impl Encode for CephXChallengeBlob {
    fn encode(&self, w: &mut Writer) {
        w.u64(self.server_challenge).u64(self.client_challenge);
    }
}

impl Decode for CephXChallengeBlob {
    const MIN: usize = 16;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("CephXChallengeBlob");
        Ok(Self { server_challenge: r.u64()?, client_challenge: r.u64()? })
    }
}

/// End of the body of `CEPHX_GET_PRINCIPAL_SESSION_KEY`, after an authorizer for AUTH: `u8` 1,
/// `u32` mask of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CephXServiceTicketRequest {
    /// Bits of `CEPH_ENTITY_TYPE_*`.
    pub keys: u32,
}

impl Encode for CephXServiceTicketRequest {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).u32(self.keys);
    }
}

impl Decode for CephXServiceTicketRequest {
    const MIN: usize = 5;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("CephXServiceTicketRequest").u8()?;
        Ok(Self { keys: r.u32()? })
    }
}

/// Part a of an authorizer, in clear: `u8` 1, `u64` global_id, `u32` service, ticket. The kernel's
/// `ceph_x_authorize_a`; nameless in Ceph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CephXAuthorizeA {
    /// Whose ticket it is.
    pub global_id: GlobalId,
    /// For which service: a `CEPH_ENTITY_TYPE_*` in four bytes.
    pub service_id: u32,
    /// The ticket.
    pub ticket: CephXTicketBlob,
}

impl CephXAuthorizeA {
    /// The part a that shows `ticket` to `service`.
    pub fn new(global_id: GlobalId, service: EntityType, ticket: CephXTicketBlob) -> Self {
        Self { global_id, service_id: service.0.into(), ticket }
    }
}

impl Encode for CephXAuthorizeA {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).put(&self.global_id).u32(self.service_id).put(&self.ticket);
    }
}

impl Decode for CephXAuthorizeA {
    const MIN: usize = 26;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("CephXAuthorizeA").u8()?;
        Ok(Self { global_id: r.get()?, service_id: r.u32()?, ticket: r.get()? })
    }
}

/// The challenge to an authorizer, in an envelope of the short form: `u8` 1, `u64` challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CephXAuthorizeChallenge {
    /// Random.
    pub server_challenge: u64,
}

impl Encode for CephXAuthorizeChallenge {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).u64(self.server_challenge);
    }
}

impl Decode for CephXAuthorizeChallenge {
    const MIN: usize = 9;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("CephXAuthorizeChallenge").u8()?;
        Ok(Self { server_challenge: r.u64()? })
    }
}

/// Part b of an authorizer, in an envelope: `u8` 2, `u64` nonce, `u8` have_challenge, `u64` answer.
/// Version 1 ends after the nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CephXAuthorize {
    /// Random; the service shows that it could read it.
    pub nonce: u64,
    /// The service's challenge plus one, modulo 2^64; `None` before there was one.
    pub server_challenge_plus_one: Option<u64>,
}

impl Encode for CephXAuthorize {
    fn encode(&self, w: &mut Writer) {
        w.u8(2).u64(self.nonce).bool(self.server_challenge_plus_one.is_some());
        w.u64(self.server_challenge_plus_one.unwrap_or(0));
    }
}

impl Decode for CephXAuthorize {
    const MIN: usize = 9;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let v = r.what("CephXAuthorize").u8()?;
        let nonce = r.u64()?;
        let mut server_challenge_plus_one = None;
        if v >= 2 {
            let have_challenge = r.bool()?;
            let answer = r.u64()?;
            server_challenge_plus_one = have_challenge.then_some(answer);
        }
        Ok(Self { nonce, server_challenge_plus_one })
    }
}

/// The service's reply to an authorizer, in an envelope: `u8` 1, `u64` nonce plus one; or `u8` 2,
/// the same, `u32` length and the connection secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CephXAuthorizeReply {
    /// Modulo 2^64.
    pub nonce_plus_one: u64,
    /// For secure mode of msgr2.
    pub connection_secret: Option<ConnectionSecret>,
}

impl Encode for CephXAuthorizeReply {
    fn encode(&self, w: &mut Writer) {
        w.u8(if self.connection_secret.is_some() { 2 } else { 1 }).u64(self.nonce_plus_one);
        if let Some(secret) = &self.connection_secret {
            w.blob(secret.as_bytes());
        }
    }
}

impl Decode for CephXAuthorizeReply {
    const MIN: usize = 9;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let v = r.what("CephXAuthorizeReply").u8()?;
        Ok(Self {
            nonce_plus_one: r.u64()?,
            connection_secret: if v >= 2 { ConnectionSecret::new(r.blob()?) } else { None },
        })
    }
}
