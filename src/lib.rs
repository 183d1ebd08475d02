//! The Ceph messenger for programs without an async runtime: a blocking library that connects to
//! a cluster, authenticates with cephx and carries out commands. No librados, no tokio, no
//! `unsafe`.
//!
//! ```no_run
//! use std::time::Duration;
//! use ceph_msgr::{Cluster, Command};
//!
//! # fn main() -> ceph_msgr::Result<()> {
//! // ceph.conf, keyring and name as Ceph's own programs find them.
//! let cluster = Cluster::builder().timeout(Duration::from_secs(5)).connect()?;
//! let status = cluster.mon_command(&Command::new("status").arg("format", "json"))?;
//! println!("{}", String::from_utf8_lossy(&status.outbl));
//! cluster.close()
//! # }
//! ```
//!
//! Underneath, and of use by itself:
//!
//! ```text
//!  cluster   Cluster, Command          what a tool opens
//!  testing   Mon, Daemon               scripted peers, for a tool's tests
//!  mon       MonClient, MonMap         a session with some monitor, kept up
//!  messages  MMonCommand, …            typed bodies
//!  net       Messenger, Connection     sockets, threads, deadlines
//!  msgr      the protocol machine      bytes and `now` in, bytes and events out
//!  auth      cephx, keyring            config   ceph.conf, mon host
//!  crypto    CryptoKey                 types    addresses, features, ids
//!  denc      Reader, Writer
//! ```
//!
//! Every wait has a deadline, and what runs into it says which step was waited for. `RUST_LOG`
//! with target `ceph_msgr` shows sessions at `info`, every change of state at `debug` and every
//! frame at `trace`; never a key.
//!
//! # What it does not do
//!
//! Objects are not here yet; the README has the limits.
//!
//! # Features
//!
//! `aws-lc-rs`, on by default: AES-GCM is that of AWS-LC, which a C compiler builds. Without it all is
//! Rust.
//!
//! # Stability
//!
//! The names at the root, and `cluster`, `mon`, `net` and `config`, follow semantic versioning.
//! What stands below `msgr`, `messages` and `auth::cephx` mirrors the protocol and may change with
//! any release.

#![forbid(unsafe_code)]

pub mod auth;
pub mod cluster;
pub mod config;
pub mod crc32c;
pub mod crypto;
pub mod denc;
pub mod error;
#[cfg(test)]
mod hex;
pub mod ini;
pub mod limits;
pub mod mds;
pub mod messages;
pub mod mon;
pub mod msgr;
pub mod net;
pub mod osd;
pub mod testing;
pub mod types;

pub use cluster::{Cluster, ClusterBuilder, Command};
pub use error::{CommandOutput, Error, ErrorKind, Result};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
