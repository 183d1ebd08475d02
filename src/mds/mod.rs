//! The maps of metadata servers: one file system's, and all of them.

mod fsmap;
mod mdsmap;

pub use fsmap::{FSMap, Filesystem};
pub use mdsmap::{MDSMap, MdsInfo, MdsState};

#[cfg(test)]
mod tests;
