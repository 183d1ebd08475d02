//! Messenger v2: the payloads of its control frames, and the signature of its handshake.

pub mod control;
mod signature;

pub use signature::AuthSignatures;
