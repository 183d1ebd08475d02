//! Who is who: tags 1 and 8 to 10.

use super::one_field;
use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{EntityAddr, EntityAddrVec, EntityType, Features};

/// `CEPH_MSG_CONNECT_LOSSY`: the session ends with its socket. The accepting side decides.
pub const CLIENT_IDENT_LOSSY: u64 = 1;

/// HELLO, of both sides: `u8` type of the sender, address of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloFrame {
    /// What the sender is; nothing has proved it yet.
    pub entity_type: EntityType,
    /// Where the sender sees the receiver: what it dialled, or what the accepted socket shows.
    pub peer_addr: EntityAddr,
}

impl Encode for HelloFrame {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.entity_type.0).put(&self.peer_addr);
    }
}

impl Decode for HelloFrame {
    const MIN: usize = 1 + EntityAddr::MIN;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let entity_type = EntityType(r.what("HELLO").u8()?);
        Ok(Self { entity_type, peer_addr: r.get()? })
    }
}

/// CLIENT_IDENT, which asks for a new session: address vector, address, `i64` gid, and `u64`
/// global_seq, supported and required features, flags and cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentFrame {
    /// Where the dialler is; not empty.
    pub addrs: EntityAddrVec,
    /// Where it thinks that the accepting side is, which must know this address as its own.
    pub target_addr: EntityAddr,
    /// The number in the dialler's name, -1 where it has none yet.
    pub gid: i64,
    /// Orders the attempts of one dialler.
    pub global_seq: u64,
    /// `CEPH_FEATURE_*`.
    pub supported_features: Features,
    /// Those that the peer must have.
    pub required_features: Features,
    /// [`CLIENT_IDENT_LOSSY`].
    pub flags: u64,
    /// Names the dialler's end of the session; 0 if that is lossy.
    pub cookie: u64,
}

impl Encode for ClientIdentFrame {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.addrs).put(&self.target_addr).i64(self.gid).u64(self.global_seq);
        w.u64(self.supported_features.0).u64(self.required_features.0);
        w.u64(self.flags).u64(self.cookie);
    }
}

impl Decode for ClientIdentFrame {
    const MIN: usize = EntityAddrVec::MIN + EntityAddr::MIN + 48;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let addrs = r.what("CLIENT_IDENT").get()?;
        Ok(Self {
            addrs,
            target_addr: r.get()?,
            gid: r.i64()?,
            global_seq: r.u64()?,
            supported_features: Features(r.u64()?),
            required_features: Features(r.u64()?),
            flags: r.u64()?,
            cookie: r.u64()?,
        })
    }
}

/// SERVER_IDENT, which opens it: as [`ClientIdentFrame`] without the second address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerIdentFrame {
    /// Where the accepting side is.
    pub addrs: EntityAddrVec,
    /// The number in its name.
    pub gid: i64,
    /// Its own.
    pub global_seq: u64,
    /// `CEPH_FEATURE_*`.
    pub supported_features: Features,
    /// Those that the peer must have.
    pub required_features: Features,
    /// [`CLIENT_IDENT_LOSSY`].
    pub flags: u64,
    /// Names its end of the session, anew with each of these frames; 0 if that is lossy.
    pub cookie: u64,
}

impl Encode for ServerIdentFrame {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.addrs).i64(self.gid).u64(self.global_seq);
        w.u64(self.supported_features.0).u64(self.required_features.0);
        w.u64(self.flags).u64(self.cookie);
    }
}

impl Decode for ServerIdentFrame {
    const MIN: usize = EntityAddrVec::MIN + 48;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let addrs = r.what("SERVER_IDENT").get()?;
        Ok(Self {
            addrs,
            gid: r.i64()?,
            global_seq: r.u64()?,
            supported_features: Features(r.u64()?),
            required_features: Features(r.u64()?),
            flags: r.u64()?,
            cookie: r.u64()?,
        })
    }
}

one_field! {
    /// IDENT_MISSING_FEATURES: `u64`.
    IdentMissingFeaturesFrame(
        /// The `CEPH_FEATURE_*` that the dialler lacks.
        u64
    ), "IDENT_MISSING_FEATURES"
}
