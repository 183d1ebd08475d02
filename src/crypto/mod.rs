//! Keys of cephx and what is done with them: the encrypted envelope, the proof that answers a
//! challenge, and the signatures of messages (`src/auth/Crypto.cc`, `net/ceph/crypto.c`).
//!
//! There are two types of key. Type 1 (`aes`) is AES-128-CBC with a fixed IV and no integrity;
//! type 2 (`aes256k`) is RFC 8009 encryption, HMAC for the rest. Nothing is negotiated: each
//! [`CryptoKey`] knows its type, and all functions here look at that and at nothing else.
//!
//! Pure but for the random bytes that [`CryptoKey::generate`] and [`CryptoKey::encrypt`] ask the
//! system for. Secrets are wiped when dropped and never printed.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod aes_cbc;
mod envelope;
mod error;
mod gcm;
mod hmac;
mod key;
mod krb5;
mod proof;
mod random;
mod signature;
mod usage;

pub use envelope::{CEPHX_ENC_MAGIC, Confounder};
pub use error::CryptoError;
pub use gcm::{GCM_TAG_LEN, GcmKey};
pub use key::{CryptoKey, KeyType};
pub use proof::calc_client_server_challenge;
pub(crate) use random::{fill_random, random};
pub use signature::{SignatureForm, SignedFields, calc_signature, check_signature};
pub use usage::Usage;

#[cfg(test)]
pub(crate) mod tests;
