//! Type 1: AES-128-CBC with one IV for all messages and PKCS#7 padding, without integrity.

use aes::Aes128;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use zeroize::Zeroizing;

use super::CryptoError;

/// `CEPH_AES_IV`.
const IV: &[u8; 16] = b"cephsageyudagreg";

/// 1 to 16 bytes longer than `plain`.
pub(super) fn encrypt(key: &[u8; 16], plain: &[u8]) -> Vec<u8> {
    cbc::Encryptor::<Aes128>::new(key.into(), IV.into()).encrypt_padded_vec::<Pkcs7>(plain)
}

pub(super) fn decrypt(
    key: &[u8; 16],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(16) {
        return Err(CryptoError::BadLength(ciphertext.len()));
    }
    // Ceph and the kernel look at the last byte alone; but they write all of the padding, and
    // there is no other check of the last block.
    cbc::Decryptor::<Aes128>::new(key.into(), IV.into())
        .decrypt_padded_vec::<Pkcs7>(ciphertext)
        .map(Zeroizing::new)
        .map_err(|_| CryptoError::BadPadding)
}
