//! HMAC with the bytes of a key as they are.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384};

use super::{CryptoError, CryptoKey};

impl CryptoKey {
    /// HMAC-SHA-256 over `parts` one after the other, for either type of key: `AUTH_SIGNATURE` of
    /// msgr2, and the proof and the message signature of type 2.
    pub fn hmac_sha256(&self, parts: &[&[u8]]) -> Result<[u8; 32], CryptoError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret()?)
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        for part in parts {
            mac.update(part);
        }
        Ok(mac.finalize().into_bytes().into())
    }

    /// The HMAC-SHA-256 of `parts` folded to 64 bits: the exclusive or of its four words.
    pub(super) fn hmac_sha256_folded(&self, parts: &[&[u8]]) -> Result<u64, CryptoError> {
        Ok(fold_words(&self.hmac_sha256(parts)?))
    }
}

/// HMAC-SHA-384 over `parts` one after the other.
pub(super) fn hmac_sha384(key: &[u8], parts: &[&[u8]]) -> [u8; 48] {
    let mut mac = Hmac::<Sha384>::new_from_slice(key)
        .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The exclusive or of all whole little-endian `u64` words; bytes after them do not count.
pub(super) fn fold_words(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks();
    words.iter().fold(0, |sum, word| sum ^ u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyType;
    use crate::hex::{hex, to_hex};
    use crate::types::UTime;

    #[test]
    fn rfc_4231_case_2_and_parts_are_joined() {
        // The RFC's 4-byte key is too short for a CryptoKey: SHA-384 is tried with it, SHA-256
        // with case 3, whose key is 20 bytes of aa and whose data is 50 bytes of dd.
        assert_eq!(
            to_hex(&hmac_sha384(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
             8e2240ca5e69e2c78b3239ecfab21649"
        );
        let key = CryptoKey::new(KeyType::Aes, UTime::default(), &[0xaa; 20]).unwrap();
        assert_eq!(
            key.hmac_sha256(&[&[0xdd; 20], &[], &[0xdd; 30]]).unwrap().to_vec(),
            hex("773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe")
        );
    }

    #[test]
    fn bytes_after_the_last_whole_word_do_not_count() {
        assert_eq!(fold_words(&[1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9, 9]), 2);
        assert_eq!(fold_words(&[1, 2, 3]), 0);
    }
}
