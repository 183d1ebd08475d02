//! One module for each target, and the list of them.

pub mod authorizer;
pub mod cephx;
pub mod config;
pub mod denc;
pub mod ini;
pub mod keyring;
pub mod login;
pub mod maps;
pub mod messages;
pub mod types;
pub mod v1_accept;
pub mod v1_connection;
pub mod v1_pair;
pub mod v2_accept;
pub mod v2_connection;
pub mod v2_frames;
pub mod v2_pair;

/// A target: bytes in, a panic if they find something.
pub type Target = fn(&[u8]);

/// All targets by the name of their binary and of their directory of saved inputs.
pub const TARGETS: &[(&str, Target)] = &[
    ("authorizer", authorizer::run),
    ("cephx", cephx::run),
    ("config", config::run),
    ("denc", denc::run),
    ("ini", ini::run),
    ("keyring", keyring::run),
    ("login", login::run),
    ("maps", maps::run),
    ("messages", messages::run),
    ("types", types::run),
    ("v1_accept", v1_accept::run),
    ("v1_connection", v1_connection::run),
    ("v1_pair", v1_pair::run),
    ("v2_accept", v2_accept::run),
    ("v2_connection", v2_connection::run),
    ("v2_frames", v2_frames::run),
    ("v2_pair", v2_pair::run),
];
