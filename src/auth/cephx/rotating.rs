use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::crypto::{CryptoError, CryptoKey, Usage};
use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{Features, UTime};

/// A secret of a service and when it goes: `u8` 1, key, [`UTime`] (`src/auth/Auth.h`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringCryptoKey {
    /// The secret; those of one service need not be of one type.
    pub key: CryptoKey,
    /// The point in time.
    pub expiration: UTime,
}

impl Encode for ExpiringCryptoKey {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).put(&self.key).put(&self.expiration);
    }
}

impl Decode for ExpiringCryptoKey {
    const MIN: usize = 21;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("ExpiringCryptoKey").u8()?;
        Ok(Self { key: r.get()?, expiration: r.get()? })
    }
}

/// The secrets with which the tickets for a service are sealed, three as a rule: the previous, the
/// current and the next. `u8` 1, `u32` count of `u64` id and key, `u64` highest id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotatingSecrets {
    /// By the `secret_id` of a ticket.
    pub secrets: BTreeMap<u64, ExpiringCryptoKey>,
    /// The highest id given out.
    pub max_ver: u64,
}

impl RotatingSecrets {
    /// Reads the answer to `CEPHX_GET_ROTATING_KEY` after its header: an envelope under the
    /// daemon's own key.
    pub fn decode_decrypt(r: &mut Reader<'_>, entity_key: &CryptoKey) -> Result<Self, CryptoError> {
        let plain = entity_key.decode_decrypt(r, Usage::ROTATING_SECRET)?;
        Ok(Reader::new(&plain).get()?)
    }

    /// Appends that answer.
    pub fn encode_encrypt(
        &self,
        w: &mut Writer,
        entity_key: &CryptoKey,
    ) -> Result<(), CryptoError> {
        let plain = Zeroizing::new(self.to_bytes(Features::ALL));
        entity_key.encode_encrypt(w, Usage::ROTATING_SECRET, &plain)
    }
}

impl Encode for RotatingSecrets {
    fn encode(&self, w: &mut Writer) {
        w.u8(1).u32(self.secrets.len() as u32);
        for (id, key) in &self.secrets {
            w.u64(*id).put(key);
        }
        w.u64(self.max_ver);
    }
}

impl Decode for RotatingSecrets {
    const MIN: usize = 13;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("RotatingSecrets").u8()?;
        let secrets = r.list(8 + ExpiringCryptoKey::MIN, |r| Ok((r.u64()?, r.get()?)))?;
        Ok(Self { secrets: secrets.into_iter().collect(), max_ver: r.u64()? })
    }
}
