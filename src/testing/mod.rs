//! Scripted peers, with which the author of a tool tests it without a cluster: a monitor that lets
//! clients in, hands out maps and tickets and answers commands as it is told, and daemons that
//! believe its tickets.
//!
//! ```text
//!  Monitor          fsid, keys, maps, commands; one for all connections
//!   │ session()          │ service()
//!   ▼                    ▼
//!  MonSession       Service
//!  messages and `now` in, messages out
//! ```
//!
//! Pure: there are no sockets here. It does what clients need to start and to be answered, in the
//! words and bytes of a 16.2.15 monitor; it looks at no caps, keeps no old epochs, and has no
//! quorum. That is not enough for a daemon that wants to join.
//!
//! Ceph's own clients look at whom they have dialled. A monitor's nonce is 0, that of another daemon
//! is the one in its map, and both offer [`DAEMON_FEATURES`].
//!
//! ```
//! use ceph_msgr::messages::{Body, MPing};
//! use ceph_msgr::testing::{CommandReply, Commands, Monitor};
//! use ceph_msgr::types::{EntityAddr, Features, UTime};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = UTime { sec: 1_700_000_000, nsec: 0 };
//! let addr: EntityAddr = "v1:127.0.0.1:6789".parse()?;
//! let status = |_: &_| CommandReply::ok("HEALTH_OK\n");
//! let monitor = Monitor::builder()
//!     .commands(Commands::new().on("status", "show cluster status", status))
//!     .build(addr.into(), now)?;
//!
//! // One of these for each connection that is accepted.
//! let mut session = monitor.session(Features::SUPPORTED);
//! let ping = MPing::default().to_message(Features::SUPPORTED);
//! let replies = session.dispatch(&ping, now)?;
//! assert_eq!(replies.len(), 1);
//! assert!(session.peer().is_none(), "nobody has logged in");
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod builder;
mod commands;
mod crush;
mod descriptions;
mod maps;
mod monitor;
mod osdmap;
mod service;
mod session;
mod subs;

pub use builder::MonitorBuilder;
pub use commands::{CommandReply, CommandRequest, Commands};
pub use monitor::Monitor;
pub use osdmap::{SimpleOSD, SimpleOSDMap};
pub use service::Service;
pub use session::{MalformedMessage, MonSession};

use crate::types::Features;

/// What a 16.2.15 daemon offers, for [`Options::supported`](crate::msgr::Options::supported) of a
/// scripted one. librados leaves a peer without OSDREPLYMUX, and takes a monitor without
/// SERVER_KRAKEN for one that gives no tickets for managers.
pub const DAEMON_FEATURES: Features = Features(0x3f01_cfbd_fffd_ffff);

/// The X of the one `mon.X` that there is.
const MON_NAME: &str = "a";

#[cfg(test)]
mod tests;
