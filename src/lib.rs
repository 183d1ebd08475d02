//! The Ceph messenger for programs without an async runtime.

#![forbid(unsafe_code)]

pub mod auth;
pub mod crc32c;
pub mod crypto;
pub mod denc;
pub mod limits;
pub mod mds;
pub mod messages;
pub mod mon;
pub mod msgr;
pub mod osd;
pub mod types;
