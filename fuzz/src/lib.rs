//! The targets, each a plain function of bytes: libFuzzer calls it, and so does `cargo test` with
//! the inputs that were saved.

mod codec;
mod input;
mod keys;
mod memory;
mod pair;
pub mod pipe;
mod service;
pub mod targets;
pub mod v1;
pub mod v2;
