//! The monitors: their map, and the client that keeps a session with one of them.
//!
//! The state of a [`MonClient`] is under one mutex, which stands above those of the connections:
//! callbacks take it, send under it, and wait for nothing.

mod client;
mod command;
mod dispatcher;
mod events;
mod hunt;
mod mgrmap;
mod monmap;
mod subs;

pub use client::{HuntOptions, MonClient, MonTarget};
pub use events::{MapEvent, MapEvents};
pub use mgrmap::{MgrMap, StandbyInfo};
pub use monmap::{AuthCiphers, ElectionStrategy, MonFeatures, MonInfo, MonMap};

/// The monitors of a map that have an address of messenger v1, in the order of their ranks.
fn targets(map: &MonMap) -> Vec<MonTarget> {
    (0..map.size())
        .filter_map(|rank| {
            let mon = map.mon_of_rank(rank)?;
            Some(MonTarget { rank, addr: mon.public_addrs.legacy()? })
        })
        .collect()
}

#[cfg(test)]
mod tests;
