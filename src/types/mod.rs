//! The small types that every part of Ceph encodes: who, where, when, and what a peer can do.

mod addr;
mod entity;
mod features;
mod ids;
mod msgr;
mod time;

pub use addr::{AddrParseError, AddrType, EntityAddr, EntityAddrVec, LEGACY_ADDR_LEN};
pub use entity::{EntityName, EntityType, EntityTypeParseError};
pub use features::{Feature, Features};
pub use ids::{ConnectSeq, Epoch, Fsid, FsidParseError, GlobalId, GlobalSeq, Seq, Tid};
pub use msgr::{Msgr, MsgrParseError, NoAddr};
pub use time::UTime;
