//! Who is who: keyrings, and the methods by which peers prove it to each other.

pub mod keyring;
mod name;

pub use name::{EntityName, EntityNameParseError};
