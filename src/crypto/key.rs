use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::CryptoError;
use super::random::fill_random;
use crate::denc::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::limits::MAX_KEY_LEN;
use crate::types::{Features, UTime};

/// `CEPH_CRYPTO_*`: how a key encrypts, proves and signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// 0: no key.
    None,
    /// 1: AES-128-CBC.
    Aes,
    /// 2: AES-256 with HMAC-SHA-384 as in RFC 8009; `CEPH_CRYPTO_AES256KRB5`.
    Aes256k,
}

impl KeyType {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Aes => 1,
            Self::Aes256k => 2,
        }
    }

    /// The type with that number on the wire.
    pub fn from_number(n: u16) -> Option<Self> {
        [Self::None, Self::Aes, Self::Aes256k].into_iter().find(|t| t.number() == n)
    }

    /// The bytes that a new key of this type has, and the fewest that one may have.
    pub fn secret_len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Aes => 16,
            Self::Aes256k => 32,
        }
    }
}

impl fmt::Display for KeyType {
    /// The name in Ceph's configuration and commands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Aes => "aes",
            Self::Aes256k => "aes256k",
        })
    }
}

/// `CryptoKey`: `u16` type, [`UTime`] of creation, `u16` length, secret (`src/auth/Crypto.h`).
/// The text form, as in keyrings, is the base64 of that.
#[derive(Clone)]
pub struct CryptoKey {
    key_type: KeyType,
    created: UTime,
    secret: Zeroizing<Vec<u8>>,
}

/// The key material that a cipher works with.
pub(super) enum Material<'a> {
    /// Type 1 takes the first 16 bytes and ignores the rest.
    Aes(&'a [u8; 16]),
    /// Type 2 takes all bytes, however many.
    Aes256k(&'a [u8]),
}

impl CryptoKey {
    /// A key of these bytes; as in Ceph they may be more than the type needs, or none at all.
    pub fn new(key_type: KeyType, created: UTime, secret: &[u8]) -> Result<Self, DecodeError> {
        check_len(key_type, secret.len()).map_err(|kind| DecodeError {
            what: "CryptoKey",
            kind,
            at: 0,
        })?;
        Ok(Self { key_type, created, secret: Zeroizing::new(secret.to_vec()) })
    }

    /// A new random key.
    pub fn generate(key_type: KeyType, created: UTime) -> Result<Self, CryptoError> {
        let mut secret = Zeroizing::new(vec![0; key_type.secret_len()]);
        fill_random(&mut secret)?;
        Ok(Self { key_type, created, secret })
    }

    /// The type, which decides the algorithms.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// When the key was made; nothing depends on it.
    pub fn created(&self) -> UTime {
        self.created
    }

    /// Whether the key is of no use: [`KeyType::None`], or without bytes.
    pub fn is_empty(&self) -> bool {
        self.key_type == KeyType::None || self.secret.is_empty()
    }

    /// The key as it stands in a keyring: 40 characters for type 1, 60 for type 2.
    pub fn to_base64(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(self.to_bytes(Features::ALL));
        Zeroizing::new(STANDARD.encode(&*bytes))
    }

    /// All bytes of the secret, as HMAC takes them for either type.
    pub(super) fn secret(&self) -> Result<&[u8], CryptoError> {
        if self.is_empty() { Err(CryptoError::NoKey) } else { Ok(&self.secret) }
    }

    pub(super) fn material(&self) -> Result<Material<'_>, CryptoError> {
        let secret = self.secret()?;
        match self.key_type {
            KeyType::None => Err(CryptoError::NoKey),
            KeyType::Aes => secret.first_chunk().map(Material::Aes).ok_or(CryptoError::NoKey),
            KeyType::Aes256k => Ok(Material::Aes256k(secret)),
        }
    }
}

/// An empty secret decodes in Ceph, whatever the type; it is refused when it is used.
fn check_len(key_type: KeyType, len: usize) -> Result<(), DecodeErrorKind> {
    if len != 0 && (len < key_type.secret_len() || len > MAX_KEY_LEN) {
        return Err(DecodeErrorKind::BadValue(len as u64));
    }
    Ok(())
}

impl PartialEq for CryptoKey {
    /// Same type and same secret, compared in constant time; the time of creation is no matter.
    fn eq(&self, other: &Self) -> bool {
        self.key_type == other.key_type && bool::from(self.secret.ct_eq(&other.secret))
    }
}

impl Eq for CryptoKey {}

impl fmt::Debug for CryptoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CryptoKey({}, {} bytes)", self.key_type, self.secret.len())
    }
}

impl FromStr for CryptoKey {
    type Err = CryptoError;

    /// The key as it stands in a keyring or a secret file, blanks around it allowed.
    fn from_str(s: &str) -> Result<Self, CryptoError> {
        let bytes = STANDARD.decode(s.trim()).map_err(|_| CryptoError::NotBase64)?;
        let bytes = Zeroizing::new(bytes);
        Ok(Self::from_bytes(&bytes)?)
    }
}

impl Encode for CryptoKey {
    fn encode(&self, w: &mut Writer) {
        w.u16(self.key_type.number()).put(&self.created);
        w.u16(self.secret.len() as u16).bytes(&self.secret);
    }
}

impl Decode for CryptoKey {
    const MIN: usize = 12;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("CryptoKey");
        let number = r.u16()?;
        let Some(key_type) = KeyType::from_number(number) else {
            return Err(r.error(DecodeErrorKind::BadValue(number.into())));
        };
        let created = r.get()?;
        let len = usize::from(r.u16()?);
        check_len(key_type, len).map_err(|kind| r.error(kind))?;
        Ok(Self { key_type, created, secret: Zeroizing::new(r.bytes(len)?.to_vec()) })
    }
}
