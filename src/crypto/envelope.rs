//! What cephx encrypts is always an envelope: `u8` version 1, `u64` [`CEPHX_ENC_MAGIC`], payload
//! (`CephXProtocol.h`, `ceph_x_encrypt`). On the wire it has a `u32` length in front (the full
//! form), but for challenges and the inside of tickets (the short form).

use zeroize::Zeroizing;

use super::key::Material;
use super::{CryptoError, CryptoKey, Usage, aes_cbc, krb5, random};
use crate::denc::{Reader, Writer};

/// `AUTH_ENC_MAGIC`: how the holder of a key knows that bytes were encrypted with it.
pub const CEPHX_ENC_MAGIC: u64 = 0xff00_9cad_8826_aa55;

const VERSION: u8 = 1;
const HEADER_LEN: usize = 9;

/// The random first block that makes each encryption of type 2 another; type 1 ignores it.
pub type Confounder = [u8; 16];

impl CryptoKey {
    /// The envelope of `payload`, encrypted, in the short form.
    pub fn encrypt(&self, usage: Usage, payload: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.encrypt_with(&random()?, usage, payload)
    }

    /// [`CryptoKey::encrypt`] with a given confounder, for tests against known bytes. One that is
    /// not random gives away which plaintexts are equal.
    pub fn encrypt_with(
        &self,
        confounder: &Confounder,
        usage: Usage,
        payload: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let mut plain = Zeroizing::new(Vec::with_capacity(HEADER_LEN + payload.len()));
        plain.push(VERSION);
        plain.extend_from_slice(&CEPHX_ENC_MAGIC.to_le_bytes());
        plain.extend_from_slice(payload);
        Ok(match self.material()? {
            Material::Aes(key) => aes_cbc::encrypt(key, &plain),
            Material::Aes256k(secret) => krb5::encrypt(secret, usage, confounder, &plain),
        })
    }

    /// The payload of an envelope in the short form. As in Ceph the version is not looked at.
    pub fn decrypt(
        &self,
        usage: Usage,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let mut plain = match self.material()? {
            Material::Aes(key) => aes_cbc::decrypt(key, ciphertext)?,
            Material::Aes256k(secret) => krb5::decrypt(secret, usage, ciphertext)?,
        };
        let mut r = Reader::new(&plain);
        r.what("envelope").u8()?;
        if r.u64()? != CEPHX_ENC_MAGIC {
            return Err(CryptoError::BadMagic);
        }
        plain.drain(..HEADER_LEN);
        Ok(plain)
    }

    /// Appends the envelope of `payload` in the full form (`encode_encrypt`).
    pub fn encode_encrypt(
        &self,
        w: &mut Writer,
        usage: Usage,
        payload: &[u8],
    ) -> Result<(), CryptoError> {
        w.blob(&self.encrypt(usage, payload)?);
        Ok(())
    }

    /// Reads an envelope in the full form and returns its payload (`decode_decrypt`).
    pub fn decode_decrypt(
        &self,
        r: &mut Reader<'_>,
        usage: Usage,
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.decrypt(usage, r.what("envelope").blob()?)
    }
}
