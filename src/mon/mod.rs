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

use crate::net::Messenger;
use crate::types::EntityType;

/// The addresses of a map's monitors that may be dialled, in the order of the ranks.
fn targets(map: &MonMap, messenger: &Messenger) -> Vec<MonTarget> {
    let local = messenger.local();
    let of = |addrs| local.options.candidates(local.name().entity_type, EntityType::MON, addrs);
    let addrs = |rank| of(&map.mon_of_rank(rank)?.public_addrs).ok();
    (0..map.size())
        .filter_map(|rank| Some((rank, addrs(rank)?)))
        .flat_map(|(rank, addrs)| addrs.into_iter().map(move |addr| MonTarget { rank, addr }))
        .collect()
}

#[cfg(test)]
mod tests;
