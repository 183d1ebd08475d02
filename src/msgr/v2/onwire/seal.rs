//! Key and nonces of one direction.

use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

use super::nonce::Nonce;
use super::{Revision, Role};
use crate::crypto::GcmKey;
use crate::msgr::Fault;

/// Where the connection secret has the key of both directions.
const KEY: Range<usize> = 0..16;
/// Where it has the first nonce that the acceptor sends with.
const ACCEPTOR: Range<usize> = 16..28;
/// Where it has that of the dialler.
const DIALLER: Range<usize> = 28..40;

/// What seals, or what opens, the GCM messages of a connection, each with the next nonce.
pub(in crate::msgr::v2) struct Seal {
    key: GcmKey,
    nonce: Nonce,
}

impl Seal {
    /// What seals and what opens. The secret has 64 bytes, of which 40 are used.
    pub(in crate::msgr::v2) fn pair(
        revision: Revision,
        role: Role,
        secret: &[u8],
    ) -> Result<(Self, Self), Fault> {
        if secret.len() < KEY.len() + ACCEPTOR.len() + DIALLER.len() {
            return Err(Fault::BadConnectionSecret(secret.len()));
        }
        let half = |nonce: Range<usize>| {
            let bad = |_| Fault::BadConnectionSecret(secret.len());
            let key = Zeroizing::new(<[u8; 16]>::try_from(&secret[KEY]).map_err(bad)?);
            let nonce = secret[nonce].try_into().map_err(bad)?;
            let key = GcmKey::new(&key).map_err(|_| Fault::BadConnectionSecret(secret.len()))?;
            Ok::<_, Fault>(Self { key, nonce: Nonce::new(revision, nonce) })
        };
        let (acceptor, dialler) = (half(ACCEPTOR)?, half(DIALLER)?);
        Ok(match role {
            Role::Connecting => (dialler, acceptor),
            Role::Accepting => (acceptor, dialler),
        })
    }

    /// Seals what `buf` has from `at` on, and appends the tag.
    pub(in crate::msgr::v2) fn seal(&mut self, buf: &mut Vec<u8>, at: usize) -> Result<(), Fault> {
        let nonce = self.nonce.next()?;
        let tag = self.key.seal_in_place(&nonce, buf.get_mut(at..).unwrap_or_default());
        buf.extend_from_slice(&tag.map_err(|_| Fault::BadSeal)?);
        Ok(())
    }

    /// Opens ciphertext and tag in place; then the plaintext is in front of the last 16 bytes.
    pub(in crate::msgr::v2) fn open(&mut self, sealed: &mut [u8]) -> Result<(), Fault> {
        let nonce = self.nonce.next()?;
        self.key.open_in_place(&nonce, sealed).map(|_| ()).map_err(|_| Fault::BadSeal)
    }

    /// The first bytes of the next message, unauthenticated.
    pub(in crate::msgr::v2) fn peek<const N: usize>(
        &self,
        ciphertext: &[u8; N],
    ) -> Result<[u8; N], Fault> {
        self.key.peek(&self.nonce.peek()?, ciphertext).map_err(|_| Fault::BadSeal)
    }

    /// Goes on as if so many messages had gone before.
    #[cfg(test)]
    pub(in crate::msgr::v2) fn skip(&mut self, messages: u64) {
        self.nonce.skip(messages);
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_end_seals_the_other_opens_and_not_itself() {
        for revision in [Revision::V2_0, Revision::V2_1] {
            let secret: Vec<u8> = (0..64).collect();
            let pair = |role| Seal::pair(revision, role, &secret).unwrap();
            let (mut dialler, mut acceptor) = (pair(Role::Connecting), pair(Role::Accepting));
            for n in 0..3 {
                let mut buf = vec![n; 20];
                dialler.0.seal(&mut buf, 0).unwrap();
                acceptor.1.open(&mut buf).unwrap();
                assert_eq!(buf[..20], [n; 20]);
                let mut buf = vec![n; 20];
                acceptor.0.seal(&mut buf, 0).unwrap();
                dialler.1.open(&mut buf).unwrap();
                assert_eq!(buf[..20], [n; 20]);
            }
            let mut buf = vec![1; 20];
            dialler.0.seal(&mut buf, 0).unwrap();
            assert_eq!(dialler.1.open(&mut buf.clone()), Err(Fault::BadSeal), "reflected");
            acceptor.1.open(&mut buf.clone()).unwrap();
            assert_eq!(acceptor.1.open(&mut buf), Err(Fault::BadSeal), "replayed");
        }
    }

    #[test]
    fn a_secret_too_short_is_refused_and_bytes_behind_40_do_not_count() {
        let secret: Vec<u8> = (0..64).collect();
        for n in 0..40 {
            let pair = Seal::pair(Revision::V2_1, Role::Connecting, &secret[..n]);
            assert_eq!(pair.unwrap_err(), Fault::BadConnectionSecret(n));
        }
        let mut short = Seal::pair(Revision::V2_1, Role::Connecting, &secret[..40]).unwrap();
        let mut long = Seal::pair(Revision::V2_1, Role::Accepting, &secret).unwrap();
        let mut buf = vec![1; 20];
        short.0.seal(&mut buf, 0).unwrap();
        long.1.open(&mut buf).unwrap();
    }

    #[test]
    fn nothing_of_the_secret_is_printed() {
        let pair = Seal::pair(Revision::V2_1, Role::Connecting, &[0x5a; 64]).unwrap();
        assert_eq!(format!("{pair:?}"), "(Seal(..), Seal(..))");
    }
}
