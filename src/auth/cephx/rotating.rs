use std::collections::BTreeMap;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::crypto::{CryptoError, CryptoKey, KeyType, Usage};
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

/// `KEY_ROTATE_NUM`: the previous, the current and the next secret.
const KEY_ROTATE_NUM: usize = 3;

impl RotatingSecrets {
    /// As the monitors: makes the secrets that are missing, and a next one when the current one has
    /// expired (`KeyServer::rotate`). Tells whether there are new ones.
    ///
    /// The current secret is replaced `ttl` before the end of the tickets that it has sealed, and
    /// kept for as long as the previous one.
    pub fn rotate(
        &mut self,
        key_type: KeyType,
        ttl: Duration,
        now: UTime,
    ) -> Result<bool, CryptoError> {
        let before = self.max_ver;
        for _ in 0..KEY_ROTATE_NUM {
            if !self.need_new_secrets(now) {
                break;
            }
            let key = CryptoKey::generate(key_type, now)?;
            if key.is_empty() {
                return Err(CryptoError::NoKey);
            }
            let expiration = match self.secrets.last_key_value() {
                None => now,
                Some((_, next)) => now.saturating_add(ttl).max(next.expiration),
            };
            self.add(ExpiringCryptoKey { key, expiration: expiration.saturating_add(ttl) });
        }
        Ok(self.max_ver != before)
    }

    /// Whether secrets are missing or the current one has expired: a monitor makes a new one, a
    /// service asks for them.
    pub fn need_new_secrets(&self, now: UTime) -> bool {
        self.secrets.len() < KEY_ROTATE_NUM
            || self.secrets.values().nth(1).is_none_or(|current| current.expiration <= now)
    }

    /// The secret to seal a ticket with and its id: the current one, or if that is late to be
    /// replaced the next one.
    pub fn current(&self, now: UTime) -> Option<(u64, &CryptoKey)> {
        let fresh = self.secrets.iter().skip(1).find(|(_, secret)| now < secret.expiration);
        fresh.map(|(id, secret)| (*id, &secret.key))
    }

    /// When the last of the secrets expires: no ticket may outlive it.
    pub fn last_expiration(&self) -> Option<UTime> {
        self.secrets.last_key_value().map(|(_, next)| next.expiration)
    }

    fn add(&mut self, secret: ExpiringCryptoKey) {
        self.max_ver += 1;
        self.secrets.insert(self.max_ver, secret);
        while self.secrets.len() > KEY_ROTATE_NUM {
            self.secrets.pop_first();
        }
    }

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
