//! The maps that monitors keep of themselves and of the managers.

mod mgrmap;
mod monmap;

pub use mgrmap::{MgrMap, StandbyInfo};
pub use monmap::{AuthCiphers, ElectionStrategy, MonFeatures, MonInfo, MonMap};

#[cfg(test)]
mod tests;
