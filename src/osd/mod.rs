//! The map of OSDs.

mod osdmap;
mod state;

pub use osdmap::OSDMap;
pub use state::OsdState;

#[cfg(test)]
mod tests;
