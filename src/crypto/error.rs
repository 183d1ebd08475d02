use crate::denc::DecodeError;

/// Why a key could not be read or used, or why bytes do not open under it. Never tells the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// The key is empty or of type `none`: it must not be used, least of all as "plain text".
    #[error("the key is empty")]
    NoKey,
    /// The text of a key is not base64.
    #[error("the key is not base64")]
    NotBase64,
    /// The bytes are not an encoding of what they should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Too few bytes for the cipher, or not whole blocks.
    #[error("{0} bytes cannot be a ciphertext")]
    BadLength(usize),
    /// Type 1: the padding is wrong, as it is when the key is.
    #[error("bad padding: wrong key, or the bytes were changed")]
    BadPadding,
    /// Type 2 and GCM: the tag is wrong, as it is when the key is, or the usage or the nonce.
    #[error("bad tag: wrong key, or the bytes were changed")]
    BadTag,
    /// The envelope does not carry `CEPHX_ENC_MAGIC`, as it does not when the key is wrong.
    #[error("bad magic: wrong key, or the bytes were changed")]
    BadMagic,
    /// The signature of a message is not the one that the session key gives.
    #[error("bad message signature")]
    BadSignature,
    /// The form before `CEPHX_V2` encrypts at random under a key of type 2: no two signatures of
    /// one message are equal.
    #[error("a peer without CEPHX_V2 cannot sign with a key of type aes256k")]
    UnusableSignatureForm,
    /// The system gave no random bytes.
    #[error("the system has no random bytes")]
    NoRandom,
}
