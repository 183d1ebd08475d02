//! The signature in the footer of a message of msgr v1 (`CephxSessionHandler.cc`,
//! `net/ceph/auth_x.c`).

use subtle::ConstantTimeEq;

use super::aes_cbc;
use super::hmac::fold_words;
use super::key::Material;
use super::{CEPHX_ENC_MAGIC, CryptoError, CryptoKey};
use crate::denc::Writer;
use crate::types::Features;

/// What a signature covers, from the header and the footer of a message whose CRCs are final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignedFields {
    /// CRC of the header, as it stands in the header.
    pub header_crc: u32,
    /// CRC of the front, as it stands in the footer.
    pub front_crc: u32,
    /// Length of the front in bytes.
    pub front_len: u32,
    /// CRC of the middle.
    pub middle_crc: u32,
    /// Length of the middle in bytes.
    pub middle_len: u32,
    /// CRC of the data.
    pub data_crc: u32,
    /// Length of the data in bytes.
    pub data_len: u32,
    /// Number of the message, of which the low 32 bits count.
    pub seq: u64,
}

/// Which of the two ways of signing the features of the connection select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureForm {
    /// Without `CEPHX_V2`: the four CRCs, of which only the first three bytes count.
    Old,
    /// With `CEPHX_V2`: all of [`SignedFields`].
    CephxV2,
}

impl SignatureForm {
    /// The form for a connection with these features on both sides.
    pub fn for_features(features: Features) -> Self {
        if features.has(Features::CEPHX_V2) { Self::CephxV2 } else { Self::Old }
    }
}

/// The signature of a message under a session key.
pub fn calc_signature(
    key: &CryptoKey,
    form: SignatureForm,
    fields: &SignedFields,
) -> Result<u64, CryptoError> {
    let f = fields;
    let mut w = Writer::new(Features::ALL);
    match (key.material()?, form) {
        (Material::Aes(key), SignatureForm::Old) => {
            w.u8(1).u64(CEPHX_ENC_MAGIC).u32(16);
            w.u32(f.header_crc).u32(f.front_crc).u32(f.middle_crc).u32(f.data_crc);
            Ok(fold_words(&first::<8>(&aes_cbc::encrypt(key, w.as_slice()))))
        }
        (Material::Aes(key), SignatureForm::CephxV2) => {
            put_block(&mut w, f);
            // No envelope here; and the block of padding does not count.
            Ok(fold_words(&first::<32>(&aes_cbc::encrypt(key, w.as_slice()))))
        }
        (Material::Aes256k(_), SignatureForm::Old) => Err(CryptoError::UnusableSignatureForm),
        (Material::Aes256k(_), SignatureForm::CephxV2) => {
            put_block(&mut w, f);
            key.hmac_sha256_folded(&[w.as_slice()])
        }
    }
}

/// Refuses a message whose footer carries another signature. The flag `SIGNED` in the footer is
/// not covered by it and must not be asked.
pub fn check_signature(
    key: &CryptoKey,
    form: SignatureForm,
    fields: &SignedFields,
    sig: u64,
) -> Result<(), CryptoError> {
    let ours = calc_signature(key, form, fields)?;
    if bool::from(ours.ct_eq(&sig)) { Ok(()) } else { Err(CryptoError::BadSignature) }
}

fn put_block(w: &mut Writer, f: &SignedFields) {
    w.u32(f.header_crc).u32(f.front_crc).u32(f.front_len).u32(f.middle_crc).u32(f.middle_len);
    w.u32(f.data_crc).u32(f.data_len).u32(f.seq as u32);
}

fn first<const N: usize>(ciphertext: &[u8]) -> [u8; N] {
    ciphertext.first_chunk().copied().unwrap_or_else(|| unreachable!("two blocks at the least"))
}
