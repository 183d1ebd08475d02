//! AUTH_SIGNATURE: each side signs all that it has received before, so that nothing which was
//! negotiated in clear can have been changed on the way.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::crypto::{CryptoError, CryptoKey};
use crate::msgr::Fault;

/// The signatures of one handshake: HMAC-SHA-256 under the session key, of every byte from the first
/// of the banner on; 32 zeros where there is no session key.
///
/// What counts ends with AUTH_DONE in the one direction and with the last AUTH_REQUEST or
/// AUTH_REQUEST_MORE in the other.
#[derive(Clone)]
pub struct AuthSignatures {
    ours: [u8; 32],
    theirs: [u8; 32],
}

impl AuthSignatures {
    /// Of what this side has received, and what it has sent.
    pub fn new(
        session_key: Option<&CryptoKey>,
        received: &[u8],
        sent: &[u8],
    ) -> Result<Self, CryptoError> {
        let Some(key) = session_key else { return Ok(Self { ours: [0; 32], theirs: [0; 32] }) };
        Ok(Self { ours: key.hmac_sha256(&[received])?, theirs: key.hmac_sha256(&[sent])? })
    }

    /// What to send.
    pub fn ours(&self) -> [u8; 32] {
        self.ours
    }

    /// Refuses a peer that has read other bytes than were sent, or does not hold the session key.
    pub fn check(&self, theirs: &[u8; 32]) -> Result<(), Fault> {
        if bool::from(self.theirs.ct_eq(theirs)) { Ok(()) } else { Err(Fault::BadAuthSignature) }
    }
}

impl fmt::Debug for AuthSignatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthSignatures").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::tests::{aes_key, session_key};
    use crate::hex::to_hex;

    #[test]
    fn the_signature_of_a_banner() {
        let signatures = AuthSignatures::new(Some(&aes_key()), b"ceph v2\n", b"").unwrap();
        assert_eq!(
            to_hex(&signatures.ours()),
            "591f3d32559a8a7ffced12bdcd6f6ae8f9061950b0dd113d95106460d27228aa"
        );
    }

    #[test]
    fn two_sides_agree_unless_a_byte_was_changed() {
        for key in [aes_key(), session_key()] {
            let (up, down) = (&b"from the dialler"[..], &b"to the dialler"[..]);
            let dialler = AuthSignatures::new(Some(&key), down, up).unwrap();
            let acceptor = AuthSignatures::new(Some(&key), up, down).unwrap();
            dialler.check(&acceptor.ours()).unwrap();
            acceptor.check(&dialler.ours()).unwrap();

            // Its own signature sent back is not the peer's.
            let bad = Err(Fault::BadAuthSignature);
            assert_eq!(dialler.check(&dialler.ours()), bad);
            assert_eq!(dialler.check(&[0; 32]), bad);
            let downgraded = AuthSignatures::new(Some(&key), b"from the diaLler", down).unwrap();
            assert_eq!(dialler.check(&downgraded.ours()), bad);
            for bit in 0..256 {
                let mut theirs = acceptor.ours();
                theirs[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(dialler.check(&theirs), bad);
            }
        }
    }

    #[test]
    fn without_a_key_it_is_zeros() {
        let signatures = AuthSignatures::new(None, b"a", b"b").unwrap();
        assert_eq!(signatures.ours(), [0; 32]);
        signatures.check(&[0; 32]).unwrap();
        assert_eq!(signatures.check(&[1; 32]), Err(Fault::BadAuthSignature));
    }
}
