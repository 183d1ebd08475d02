//! The Ceph messenger for programs without an async runtime.

#![forbid(unsafe_code)]

pub mod auth;
pub mod crc32c;
pub mod crypto;
pub mod denc;
pub mod limits;
pub mod messages;
pub mod msgr;
pub mod types;
