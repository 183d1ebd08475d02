//! The Ceph messenger for programs without an async runtime.

#![forbid(unsafe_code)]

pub mod auth;
pub mod cluster;
pub mod config;
pub mod crc32c;
pub mod crypto;
pub mod denc;
pub mod error;
pub mod ini;
pub mod limits;
pub mod messages;
pub mod mon;
pub mod msgr;
pub mod net;
pub mod osd;
pub mod types;

pub use cluster::{Cluster, ClusterBuilder, Command};
pub use error::{CommandOutput, Error, ErrorKind, Result};
