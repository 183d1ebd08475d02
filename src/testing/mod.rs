//! Scripted peers, with which the author of a tool tests it without a cluster: a monitor that lets
//! clients in, hands out maps and tickets and answers commands as it is told, and daemons that
//! believe its tickets.
//!
//! ```text
//!  Mon, Daemon      the same over sockets; they remember what arrived, and fail on command
//!   │
//!  Monitor          fsid, keys, maps, commands; one for all connections
//!   │ session()          │ service()
//!   ▼                    ▼
//!  MonSession       Service
//!  messages and `now` in, messages out
//! ```
//!
//! It does what clients need to start and to be answered, in the words and bytes of a 16.2.15
//! monitor; it looks at no caps, keeps no old epochs, and has no quorum. That is not enough for a
//! daemon that wants to join.
//!
//! # The test of a tool
//!
//! ```
//! use std::time::Duration;
//! use ceph_msgr::testing::{CommandReply, Commands, Mon};
//! use ceph_msgr::{Cluster, Command, ErrorKind};
//!
//! // The tool: removes a pool, and says so.
//! fn remove_pool(cluster: &Cluster, pool: &str) -> ceph_msgr::Result<String> {
//!     let removed = cluster.mon_command(&Command::new("osd pool rm").arg("pool", pool))?;
//!     Ok(removed.outs)
//! }
//!
//! # fn main() -> ceph_msgr::Result<()> {
//! let mon = Mon::builder()
//!     .commands(Commands::new().on("osd pool rm name=pool,type=CephPoolname", "", |cmd| {
//!         match cmd.arg("pool") {
//!             Some("scratch") => CommandReply { outs: "removed".into(), ..Default::default() },
//!             _ => CommandReply::error(2, "no such pool"),
//!         }
//!     }))
//!     .start()?;
//! let cluster = mon.cluster().timeout(Duration::from_secs(30)).connect()?;
//!
//! assert_eq!(remove_pool(&cluster, "scratch")?, "removed");
//! let e = remove_pool(&cluster, "precious").unwrap_err();
//! assert_eq!((e.kind(), e.errno()), (ErrorKind::Command, Some(2)));
//!
//! let sent: Vec<_> = mon.arrivals().iter().filter_map(|a| a.command().cloned()).collect();
//! assert_eq!(sent[1].arg("pool"), Some("precious"));
//! # Ok(())
//! # }
//! ```
//!
//! As real daemons do, these listen for messenger v2 and for v1, and clients choose: v2, and with
//! the monitor secure mode, unless they are told otherwise. [`MonitorBuilder::msgr`] and
//! [`MonitorBuilder::con_modes`] leave them less to choose from, and [`Arrival::con_mode`] says what
//! they chose:
//!
//! ```
//! use std::time::Duration;
//! use ceph_msgr::auth::ConMode;
//! use ceph_msgr::testing::Mon;
//! use ceph_msgr::types::Msgr;
//!
//! # fn main() -> ceph_msgr::Result<()> {
//! let mon = Mon::builder().msgr(Msgr::V2).con_modes(&[ConMode::Secure]).start()?;
//! let cluster = || mon.cluster().timeout(Duration::from_secs(30));
//! assert!(cluster().con_modes(&[ConMode::Crc]).connect().is_err());
//! cluster().connect()?;
//! assert_eq!(mon.arrivals()[0].con_mode, Some(ConMode::Secure));
//! # Ok(())
//! # }
//! ```
//!
//! A tool that is a program of its own gets [`Mon::mon_host`] and [`Mon::keyring_text`]. What it
//! does when the cluster fails is seen with [`Daemon::drop_sockets`], [`Daemon::refuse`] and
//! [`Daemon::pause`], which a [`Mon`] has as well.
//!
//! # Without sockets
//!
//! A driver of its own has to know that Ceph's clients look at whom they have dialled. A monitor's
//! nonce is 0, that of another daemon is the one in its map, and both offer [`DAEMON_FEATURES`]. With
//! messenger v2 a client has logged in before its first message: its session is
//! [`Monitor::session_with_login`].
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
mod daemon;
mod descriptions;
mod hub;
mod maps;
mod mon;
mod monitor;
mod osdmap;
mod record;
mod service;
mod session;
mod stats;
mod subs;

pub use builder::MonitorBuilder;
pub use commands::{CommandReply, CommandRequest, Commands};
pub use daemon::Daemon;
pub use mon::Mon;
pub use monitor::Monitor;
pub use osdmap::{SimpleOSD, SimpleOSDMap};
pub use record::{Arrival, Arrived};
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
