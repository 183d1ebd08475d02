//! Type 2: `aes256-cts-hmac-sha384-192` of RFC 8009, with Ceph's own usage numbers.
//!
//! `AES-256-CTS(Ke, confounder ‖ plain) ‖ HMAC-SHA-384(Ki, IV ‖ ciphertext)[..24]`, all IVs zero.
//!
//! Ke and Ki are derived for each call. That is two short HMACs beside a round trip of the
//! network, and there is no second copy of a secret to keep and wipe.

use aes::Aes256;
use aes::cipher::{Array, BlockCipherDecrypt, KeyInit};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::hmac::hmac_sha384;
use super::{CryptoError, Usage};

const BLOCK: usize = 16;
const TAG: usize = 24;
const IV: [u8; BLOCK] = [0; BLOCK];

/// How much longer the ciphertext is: the confounder and the tag. Also the least there can be.
const OVERHEAD: usize = BLOCK + TAG;

type Block = [u8; BLOCK];

/// The keys for one usage of one secret.
struct Derived {
    ke: Zeroizing<[u8; 32]>,
    ki: Zeroizing<[u8; 24]>,
}

impl Derived {
    fn new(secret: &[u8], usage: Usage) -> Self {
        Self { ke: kdf(secret, usage, 0xaa), ki: kdf(secret, usage, 0x55) }
    }

    fn tag(&self, ciphertext: &[u8]) -> [u8; TAG] {
        truncated(hmac_sha384(&*self.ki, &[&IV, ciphertext]))
    }
}

/// KDF-HMAC-SHA2 of RFC 8009, section 3, for a key of `N` bytes. Big-endian, alone in cephx.
fn kdf<const N: usize>(secret: &[u8], usage: Usage, kind: u8) -> Zeroizing<[u8; N]> {
    let bits = N as u32 * 8;
    let label = [&usage.0.to_be_bytes()[..], &[kind]].concat();
    let mac = hmac_sha384(secret, &[&1u32.to_be_bytes(), &label, &[0], &bits.to_be_bytes()]);
    Zeroizing::new(truncated(*Zeroizing::new(mac)))
}

fn truncated<const N: usize>(mac: [u8; 48]) -> [u8; N] {
    const { assert!(N <= 48) };
    std::array::from_fn(|i| mac.get(i).copied().unwrap_or_default())
}

pub(super) fn encrypt(secret: &[u8], usage: Usage, confounder: &Block, plain: &[u8]) -> Vec<u8> {
    let keys = Derived::new(secret, usage);
    let mut out = Vec::with_capacity(OVERHEAD + plain.len() + BLOCK);
    out.extend_from_slice(confounder);
    out.extend_from_slice(plain);
    cts_encrypt(&keys.ke, &mut out);
    let tag = keys.tag(&out);
    out.extend_from_slice(&tag);
    out
}

pub(super) fn decrypt(
    secret: &[u8],
    usage: Usage,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let bad_length = CryptoError::BadLength(sealed.len());
    if sealed.len() < OVERHEAD {
        return Err(bad_length);
    }
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG>().ok_or(bad_length)?;
    let keys = Derived::new(secret, usage);
    if !bool::from(keys.tag(ciphertext).ct_eq(tag)) {
        return Err(CryptoError::BadTag);
    }
    let plain = cts_decrypt(&keys.ke, ciphertext).ok_or(bad_length)?;
    let (_, plain) = plain.split_first_chunk::<BLOCK>().ok_or(bad_length)?;
    Ok(Zeroizing::new(plain.to_vec()))
}

/// CBC with ciphertext stealing in its variant CS3, in place: the last two blocks always change
/// places, and the one that comes last is cut to the length of the text.
fn cts_encrypt(ke: &[u8; 32], buf: &mut Vec<u8>) {
    let len = buf.len();
    buf.resize(len.next_multiple_of(BLOCK), 0);
    let (blocks, _) = buf.as_chunks_mut::<BLOCK>();
    let mut cbc = cbc::Encryptor::<aes::Aes256Enc>::new(ke.into(), &IV.into());
    cbc.encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
    if let [.., before_last, last] = blocks {
        std::mem::swap(before_last, last);
    }
    buf.truncate(len);
}

/// `None` if there is not even one block.
fn cts_decrypt(ke: &[u8; 32], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let len = ciphertext.len();
    let mut out = Zeroizing::new(ciphertext.to_vec());
    if len > BLOCK {
        // head ‖ last block ‖ what was not stolen of the one before it
        let cut = if len.is_multiple_of(BLOCK) { BLOCK } else { len % BLOCK };
        let (head, end) = ciphertext.split_at_checked(len - BLOCK - cut)?;
        let (last, kept) = end.split_first_chunk::<BLOCK>()?;

        // The last plaintext block was filled up with zeros, so what the last block decrypts to
        // ends in just the bytes of the block before it that were left out.
        let mut before_last = Array::from(*last);
        Aes256::new(ke.into()).decrypt_block(&mut before_last);
        for (to, from) in before_last.iter_mut().zip(kept) {
            *to = *from;
        }
        out.clear();
        out.extend_from_slice(head);
        out.extend_from_slice(&before_last);
        out.extend_from_slice(last);
    }
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    if blocks.is_empty() || !rest.is_empty() {
        return None;
    }
    let mut cbc = cbc::Decryptor::<Aes256>::new(ke.into(), &IV.into());
    cbc.decrypt_blocks(Array::cast_slice_from_core_mut(blocks));
    out.truncate(len);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::{hex, to_hex};

    /// Of RFC 8009, appendix A.
    const KEY: &str = "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52";
    const USAGE: Usage = Usage(2);
    const SEALED: [(&str, &str, &str); 4] = [
        (
            "",
            "f764e9fa15c276478b2c7d0c4e5f58e4",
            "41f53fa5bfe7026d91faf9be959195a058707273a96a40f0a01960621ac612748b9bbfbe7eb4ce3c",
        ),
        (
            "000102030405",
            "b80d3251c1f6471494256ffe712d0b9a",
            "4ed7b37c2bcac8f74f23c1cf07e62bc7b75fb3f637b9f559c7f664f69eab7b6092237526ea0d1f61\
             cb20d69d10f2",
        ),
        (
            "000102030405060708090a0b0c0d0e0f",
            "53bf8a0d105265d4e276428624ce5e63",
            "bc47ffec7998eb91e8115cf8d19dac4bbbe2e163e87dd37f49beca92027764f68cf51f14d798c227\
             3f35df574d1f932e40c4ff255b36a266",
        ),
        (
            "000102030405060708090a0b0c0d0e0f1011121314",
            "763e65367e864f02f55153c7e3b58af1",
            "40013e2df58e8751957d2878bcd2d6fe101ccfd556cb1eae79db3c3ee86429f2b2a602ac86fef6ec\
             b647d6295fae077a1feb517508d2c16b4192e01f62",
        ),
    ];

    #[test]
    fn keys_are_derived_as_in_the_rfc() {
        let key = hex(KEY);
        let keys = Derived::new(&key, USAGE);
        assert_eq!(
            to_hex(&*keys.ke),
            "56ab22bee63d82d7bc5227f6773f8ea7a5eb1c825160c38312980c442e5c7e49"
        );
        assert_eq!(to_hex(&*keys.ki), "69b16514e3cd8e56b82010d5c73012b622c4d00ffc23ed1f");
        let kc = kdf::<24>(&key, USAGE, 0x99);
        assert_eq!(to_hex(&*kc), "ef5718be86cc84963d8bbb5031e9f5c4ba41f28faf69e73d");
    }

    #[test]
    fn the_vectors_of_the_rfc_seal_and_open() {
        for (plain, confounder, sealed) in SEALED {
            let confounder = hex(confounder).try_into().unwrap();
            let ours = encrypt(&hex(KEY), USAGE, &confounder, &hex(plain));
            assert_eq!(to_hex(&ours), sealed);
            assert_eq!(to_hex(&decrypt(&hex(KEY), USAGE, &ours).unwrap()), plain);
        }
    }

    #[test]
    fn all_lengths_come_back() {
        let plain: Vec<u8> = (0..100).collect();
        for n in 0..plain.len() {
            let sealed = encrypt(&[7; 32], USAGE, &[9; 16], &plain[..n]);
            assert_eq!(sealed.len(), n + OVERHEAD);
            assert_eq!(*decrypt(&[7; 32], USAGE, &sealed).unwrap(), plain[..n]);
        }
    }

    #[test]
    fn any_change_or_cut_is_refused_and_so_is_another_usage_or_key() {
        let sealed = encrypt(&[7; 32], USAGE, &[9; 16], b"twenty-one bytes long");
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decrypt(&[7; 32], USAGE, &bad).unwrap_err(), CryptoError::BadTag);
        }
        for n in 0..sealed.len() {
            let e = decrypt(&[7; 32], USAGE, &sealed[..n]).unwrap_err();
            let short = CryptoError::BadLength(n);
            assert_eq!(e, if n < OVERHEAD { short } else { CryptoError::BadTag });
        }
        assert_eq!(decrypt(&[7; 32], Usage(3), &sealed).unwrap_err(), CryptoError::BadTag);
        assert_eq!(decrypt(&[7; 33], USAGE, &sealed).unwrap_err(), CryptoError::BadTag);
    }
}
