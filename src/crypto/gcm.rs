//! AES-128-GCM without additional data, in place: what seals the frames of messenger v2
//! (`src/msg/async/crypto_onwire.cc`).
//!
//! There are two implementations, AWS-LC and pure Rust, and the feature `aws-lc-rs` selects the first.

use std::fmt;

use super::CryptoError;

/// Bytes that sealing adds.
pub const GCM_TAG_LEN: usize = 16;

#[cfg(feature = "aws-lc-rs")]
use aws_lc as backend;
#[cfg(not(feature = "aws-lc-rs"))]
use pure as backend;

/// A key of AES-128-GCM. It is wiped when dropped, and never printed.
pub struct GcmKey(backend::Key);

impl GcmKey {
    /// The key with these 16 bytes.
    pub fn new(key: &[u8; 16]) -> Result<Self, CryptoError> {
        backend::Key::new(key).map(Self)
    }

    /// Encrypts `buf` in place and returns the tag, which belongs behind it. No two calls may have
    /// the same nonce: with a pair of them the key is as good as known.
    pub fn seal_in_place(
        &self,
        nonce: &[u8; 12],
        buf: &mut [u8],
    ) -> Result<[u8; GCM_TAG_LEN], CryptoError> {
        self.0.seal_in_place(nonce, buf)
    }

    /// Decrypts `sealed`, ciphertext and tag, in place; the plaintext is what is returned. When the
    /// tag is wrong nothing in `sealed` means anything any more.
    pub fn open_in_place<'a>(
        &self,
        nonce: &[u8; 12],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], CryptoError> {
        let bad_length = CryptoError::BadLength(sealed.len());
        let (buf, tag) = sealed.split_last_chunk_mut::<GCM_TAG_LEN>().ok_or(bad_length)?;
        self.0.open_in_place(nonce, buf, tag)?;
        Ok(buf)
    }

    /// The first bytes of a message that is not there to its end, **unauthenticated**: whoever
    /// changed them chose what comes out.
    pub fn peek<const N: usize>(
        &self,
        nonce: &[u8; 12],
        ciphertext: &[u8; N],
    ) -> Result<[u8; N], CryptoError> {
        // GCM is a stream cipher below the tag, so that encrypting once more decrypts.
        let mut plain = *ciphertext;
        self.0.seal_in_place(nonce, &mut plain)?;
        Ok(plain)
    }
}

impl fmt::Debug for GcmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GcmKey(..)")
    }
}

#[cfg(feature = "aws-lc-rs")]
mod aws_lc {
    use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    use super::{CryptoError, GCM_TAG_LEN};

    /// AWS-LC wipes all memory that it frees.
    pub(super) struct Key(LessSafeKey);

    impl Key {
        pub(super) fn new(key: &[u8; 16]) -> Result<Self, CryptoError> {
            let key = UnboundKey::new(&AES_128_GCM, key).map_err(|_| CryptoError::NoKey)?;
            Ok(Self(LessSafeKey::new(key)))
        }

        pub(super) fn seal_in_place(
            &self,
            nonce: &[u8; 12],
            buf: &mut [u8],
        ) -> Result<[u8; GCM_TAG_LEN], CryptoError> {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let bad_length = CryptoError::BadLength(buf.len());
            let tag = self.0.seal_in_place_separate_tag(nonce, Aad::empty(), buf);
            tag.ok().and_then(|tag| tag.as_ref().try_into().ok()).ok_or(bad_length)
        }

        pub(super) fn open_in_place(
            &self,
            nonce: &[u8; 12],
            buf: &mut [u8],
            tag: &[u8; GCM_TAG_LEN],
        ) -> Result<(), CryptoError> {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = self.0.open_in_place_separate_tag(nonce, Aad::empty(), tag, buf);
            opened.map(|_| ()).map_err(|_| CryptoError::BadTag)
        }
    }
}

#[cfg(any(test, not(feature = "aws-lc-rs")))]
mod pure {
    use aes_gcm::aead::inout::InOutBuf;
    use aes_gcm::{AeadInOut, Aes128Gcm, KeyInit};

    use super::{CryptoError, GCM_TAG_LEN};

    /// The round keys and the hash key are wiped by their crates.
    pub(super) struct Key(Box<Aes128Gcm>);

    impl Key {
        pub(super) fn new(key: &[u8; 16]) -> Result<Self, CryptoError> {
            Ok(Self(Box::new(Aes128Gcm::new(key.into()))))
        }

        pub(super) fn seal_in_place(
            &self,
            nonce: &[u8; 12],
            buf: &mut [u8],
        ) -> Result<[u8; GCM_TAG_LEN], CryptoError> {
            let bad_length = CryptoError::BadLength(buf.len());
            let buf = InOutBuf::from(buf);
            let tag = self.0.encrypt_inout_detached(nonce.into(), &[], buf);
            tag.map(Into::into).map_err(|_| bad_length)
        }

        pub(super) fn open_in_place(
            &self,
            nonce: &[u8; 12],
            buf: &mut [u8],
            tag: &[u8; GCM_TAG_LEN],
        ) -> Result<(), CryptoError> {
            let buf = InOutBuf::from(buf);
            let opened = self.0.decrypt_inout_detached(nonce.into(), &[], buf, tag.into());
            opened.map_err(|_| CryptoError::BadTag)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::{hex, to_hex};

    /// Key, nonce, plaintext, ciphertext, tag: test cases 1 to 3 of the submission of GCM to NIST
    /// (McGrew and Viega, appendix B).
    const NIST: [[&str; 5]; 3] = [
        [
            "00000000000000000000000000000000",
            "000000000000000000000000",
            "",
            "",
            "58e2fccefa7e3061367f1d57a4e7455a",
        ],
        [
            "00000000000000000000000000000000",
            "000000000000000000000000",
            "00000000000000000000000000000000",
            "0388dace60b6a392f328c2b971b2fe78",
            "ab6e47d42cec13bdf53a67b21257bddf",
        ],
        [
            "feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
             21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
            "4d5c2af327cd64a62cf35abd2ba6fab4",
        ],
    ];

    /// A KEEPALIVE2 frame of messenger v2.0 that a 16.2.15 daemon took; of v2.1 likewise, and the
    /// next one.
    const FRAMES: [[&str; 3]; 3] = [
        [
            "1c1d1e1f2021222324252627",
            "12010800000008000000000000000000000000000000000000000000d8d5f599\
             01020304050607080000000000000000\
             00000000000000000000000000000000",
            "4be816477793cc7cbb381480b30cc69431dabdf879b50b483d403cfd6bc7a481\
             47c435f9d649f09e5036a3b4f02908ecd7f8cc4f2688a28ab01f761aeee6fdba\
             b5432b29ee86b1882ac6b8e91e495464",
        ],
        [
            "1c1d1e1f2021222324252627",
            "12010800000008000000000000000000000000000000000000000000d8d5f599\
             0102030405060708000000000000000000000000000000000000000000000000\
             00000000000000000000000000000000",
            "4be816477793cc7cbb381480b30cc69431dabdf879b50b483d403cfd6bc7a481\
             47c435f9d649f09e5036a3b4f02908ecd7f8cc4f2688a28ab01f761aeee6fdba\
             01654a9d4a848c689172d4521fcf810829eb70ca211d2b8212d3d12123a80219",
        ],
        [
            "1c1d1e1f2121222324252627",
            "12010800000008000000000000000000000000000000000000000000d8d5f599\
             0102030405060708000000000000000000000000000000000000000000000000\
             00000000000000000000000000000000",
            "9b2b276ff8ab6493c71f43d671c4a3a38a8577da66639b20d42f05058f563f16\
             5393241fed0d02188c13817b172af539e096a5a2c0183c65656b15d047b91e7a\
             e9f5a5aadcdc5350ca29264420199b1b8a6aca0afe782e5b074085f38e552dab",
        ],
    ];

    /// The same for each implementation.
    macro_rules! judge {
        ($name:ident, $key:ty) => {
            mod $name {
                use super::*;

                fn key(bytes: &[u8]) -> $key {
                    <$key>::new(bytes.try_into().unwrap()).unwrap()
                }

                fn seal(key: &$key, nonce: &[u8; 12], plain: &[u8]) -> Vec<u8> {
                    let mut buf = plain.to_vec();
                    let tag = key.seal_in_place(nonce, &mut buf).unwrap();
                    buf.extend_from_slice(&tag);
                    buf
                }

                fn open(
                    key: &$key,
                    nonce: &[u8; 12],
                    sealed: &[u8],
                ) -> Result<Vec<u8>, CryptoError> {
                    let mut buf = sealed.to_vec();
                    let (text, tag) = buf.split_last_chunk_mut::<GCM_TAG_LEN>().unwrap();
                    key.open_in_place(nonce, text, tag)?;
                    Ok(text.to_vec())
                }

                #[test]
                fn known_answers() {
                    for [k, nonce, plain, ciphertext, tag] in NIST {
                        let (key, nonce) = (key(&hex(k)), hex(nonce).try_into().unwrap());
                        let sealed = seal(&key, &nonce, &hex(plain));
                        assert_eq!(to_hex(&sealed), [ciphertext, tag].concat());
                        assert_eq!(open(&key, &nonce, &sealed), Ok(hex(plain)));
                    }
                    let key = key(&(0..16).collect::<Vec<_>>());
                    for [nonce, plain, sealed] in FRAMES {
                        let nonce = hex(nonce).try_into().unwrap();
                        assert_eq!(to_hex(&seal(&key, &nonce, &hex(plain))), sealed);
                        assert_eq!(open(&key, &nonce, &hex(sealed)), Ok(hex(plain)));
                    }
                }

                #[test]
                fn any_bit_changed_is_refused_and_so_is_another_key_or_nonce() {
                    let (right, nonce) = (key(&[7; 16]), [9; 12]);
                    let sealed = seal(&right, &nonce, &[5; 48]);
                    for bit in 0..sealed.len() * 8 {
                        let mut bad = sealed.clone();
                        bad[bit / 8] ^= 1 << (bit % 8);
                        assert_eq!(open(&right, &nonce, &bad), Err(CryptoError::BadTag));
                    }
                    assert_eq!(open(&key(&[6; 16]), &nonce, &sealed), Err(CryptoError::BadTag));
                    assert_eq!(open(&right, &[8; 12], &sealed), Err(CryptoError::BadTag));
                    assert_eq!(open(&right, &nonce, &sealed[16..]), Err(CryptoError::BadTag));
                }
            }
        };
    }

    #[cfg(feature = "aws-lc-rs")]
    judge!(aws_lc_rs, aws_lc::Key);
    judge!(pure_rust, pure::Key);

    #[test]
    #[cfg(feature = "aws-lc-rs")]
    fn both_give_the_same_for_every_length() {
        let (a, b) = (aws_lc::Key::new(&[3; 16]).unwrap(), pure::Key::new(&[3; 16]).unwrap());
        for len in (0..300).chain([4095, 4096, 70_001]) {
            let mut one: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let mut two = one.clone();
            let nonce = [len as u8; 12];
            let tags = (a.seal_in_place(&nonce, &mut one), b.seal_in_place(&nonce, &mut two));
            assert_eq!(tags.0, tags.1, "{len} bytes");
            assert!(one == two, "{len} bytes");
        }
    }

    #[test]
    fn the_first_bytes_can_be_had_before_the_tag() {
        let key = GcmKey::new(&[3; 16]).unwrap();
        let mut buf = *b"thirty-two bytes of a preamble, and some more";
        key.seal_in_place(&[1; 12], &mut buf).unwrap();
        let head = buf.first_chunk().unwrap();
        assert_eq!(&key.peek::<32>(&[1; 12], head).unwrap(), b"thirty-two bytes of a preamble, ");
    }

    #[test]
    fn what_has_no_room_for_a_tag_is_refused_and_an_empty_text_is_not() {
        let key = GcmKey::new(&[3; 16]).unwrap();
        for n in 0..GCM_TAG_LEN {
            let e = key.open_in_place(&[1; 12], &mut vec![0; n]).unwrap_err();
            assert_eq!(e, CryptoError::BadLength(n));
        }
        let mut tag = key.seal_in_place(&[1; 12], &mut []).unwrap();
        assert!(key.open_in_place(&[1; 12], &mut tag).unwrap().is_empty());
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", GcmKey::new(&[0x5a; 16]).unwrap()), "GcmKey(..)");
    }
}
