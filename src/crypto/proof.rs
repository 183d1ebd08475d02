use super::hmac::fold_words;
use super::key::Material;
use super::{CryptoError, CryptoKey, Usage};
use crate::denc::Writer;
use crate::types::Features;

/// `CephXAuthenticate.key`: what shows a monitor that we hold `key`
/// (`cephx_calc_client_server_challenge`). Type 1: the envelope of both challenges in its full
/// form, folded. Type 2: their HMAC, folded.
pub fn calc_client_server_challenge(
    key: &CryptoKey,
    server_challenge: u64,
    client_challenge: u64,
) -> Result<u64, CryptoError> {
    let mut w = Writer::new(Features::ALL);
    w.u64(server_challenge).u64(client_challenge);
    match key.material()? {
        Material::Aes(_) => {
            let mut sealed = Writer::new(Features::ALL);
            key.encode_encrypt(&mut sealed, Usage(0), w.as_slice())?;
            // The length in front counts, the last half word does not: 32 of 36 bytes.
            Ok(fold_words(sealed.as_slice()))
        }
        Material::Aes256k(_) => key.hmac_sha256_folded(&[w.as_slice()]),
    }
}
