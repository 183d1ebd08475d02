use super::*;
use crate::crc32c::ceph_crc32c;
use crate::denc::{Decode, DecodeErrorKind, Encode, Reader, Writer};
use crate::hex::{hex, to_hex};
use crate::types::{Features, UTime};

/// Type 1, 00 01 .. 0f: the key of the vectors made beside 16.2.15 daemons.
pub(crate) fn aes_key() -> CryptoKey {
    let secret: Vec<u8> = (0..16).collect();
    CryptoKey::new(KeyType::Aes, UTime::default(), &secret).unwrap()
}

/// Type 2: the entity key of a cluster of 20.2.4 daemons since destroyed.
pub(crate) const ENTITY_KEY: &str = "AgD99wJr7ES/LyAAlB83pX0c82fU9kIBRfNmHr3q7gva8eIIHuo24nQUEoM=";

/// Type 2: a session key of the same cluster.
pub(crate) fn session_key() -> CryptoKey {
    aes256k("ab9276c77c995c4b1cf999e177a629d2c1adf5cfb66ad2eb410f3863603f6cfa")
}

pub(crate) fn aes256k(secret: &str) -> CryptoKey {
    CryptoKey::new(KeyType::Aes256k, UTime::default(), &hex(secret)).unwrap()
}

fn full(key: &CryptoKey, payload: &[u8]) -> String {
    let mut w = Writer::new(Features::ALL);
    key.encode_encrypt(&mut w, Usage::AUTHORIZE, payload).unwrap();
    to_hex(w.as_slice())
}

#[test]
fn a_key_of_type_2_is_read_from_a_keyring_and_written_back() {
    let key: CryptoKey = format!(" {ENTITY_KEY}\n").parse().unwrap();
    assert_eq!(key.key_type(), KeyType::Aes256k);
    assert_eq!(key.created(), UTime { sec: 1_795_356_669, nsec: 801_064_172 });
    assert_eq!(key, aes256k("941f37a57d1cf367d4f6420145f3661ebdeaee0bdaf1e2081eea36e274141283"));
    assert_eq!(*key.to_base64(), ENTITY_KEY);
    assert_eq!(key.to_bytes(Features::ALL).len(), 44);
}

#[test]
fn a_key_of_type_1_is_28_bytes_and_40_characters() {
    // From ceph-object-corpus, 11.2.0.
    let bytes = hex("0100ead90c5902ec4f3710009c784c792b4c2b7e4379514e44d3979f");
    let key = CryptoKey::from_bytes(&bytes).unwrap();
    assert_eq!(key.key_type(), KeyType::Aes);
    assert_eq!(key.to_bytes(Features::ALL), bytes);
    assert_eq!(key.to_base64().len(), 40);
    assert_eq!(key.to_base64().parse::<CryptoKey>().unwrap(), key);
    for n in 0..bytes.len() {
        assert_eq!(CryptoKey::from_bytes(&bytes[..n]).unwrap_err().kind, DecodeErrorKind::Short);
    }
}

#[test]
fn keys_that_ceph_refuses_are_refused() {
    let kind = |s: &str| CryptoKey::from_bytes(&hex(s)).unwrap_err().kind;
    assert_eq!(kind("030000000000000000000000"), DecodeErrorKind::BadValue(3));
    assert_eq!(kind("01000000000000000000010000"), DecodeErrorKind::BadValue(1));
    let too_short = format!("02000000000000000000{}{}", "1f00", "00".repeat(31));
    assert_eq!(kind(&too_short), DecodeErrorKind::BadValue(31));
    let too_long = format!("02000000000000000000{}{}", "0101", "00".repeat(257));
    assert_eq!(kind(&too_long), DecodeErrorKind::BadValue(257));
    assert_eq!("AQ".parse::<CryptoKey>().unwrap_err(), CryptoError::NotBase64);
    assert!(matches!("AQAA".parse::<CryptoKey>(), Err(CryptoError::Decode(_))));
}

#[test]
fn an_empty_key_decodes_and_does_nothing_else() {
    for number in 0..3 {
        let bytes = [number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let key = CryptoKey::from_bytes(&bytes).unwrap();
        assert!(key.is_empty());
        let none = CryptoError::NoKey;
        assert_eq!(key.encrypt(Usage::AUTHORIZE, b"x").unwrap_err(), none);
        assert_eq!(key.decrypt(Usage::AUTHORIZE, &[0; 64]).unwrap_err(), none);
        assert_eq!(key.hmac_sha256(&[b"x"]).unwrap_err(), none);
        assert_eq!(calc_client_server_challenge(&key, 1, 2).unwrap_err(), none);
        let fields = SignedFields::default();
        assert_eq!(calc_signature(&key, SignatureForm::CephxV2, &fields).unwrap_err(), none);
    }
    let none = CryptoKey::new(KeyType::None, UTime::default(), b"looks like a key").unwrap();
    assert!(none.is_empty());
}

#[test]
fn a_longer_secret_counts_whole_for_type_2_and_in_part_for_type_1() {
    let key = |t, n| CryptoKey::new(t, UTime::default(), &vec![7; n]).unwrap();
    let seal = |k: &CryptoKey| k.encrypt_with(&[0; 16], Usage::AUTHORIZE, b"x").unwrap();
    assert_eq!(seal(&key(KeyType::Aes, 16)), seal(&key(KeyType::Aes, 24)));
    assert_ne!(seal(&key(KeyType::Aes256k, 32)), seal(&key(KeyType::Aes256k, 33)));
}

#[test]
fn generated_keys_differ_and_have_the_length_of_their_type() {
    for t in [KeyType::Aes, KeyType::Aes256k] {
        let a = CryptoKey::generate(t, UTime::default()).unwrap();
        assert_ne!(a, CryptoKey::generate(t, UTime::default()).unwrap());
        assert_eq!(a.to_bytes(Features::ALL).len(), 12 + t.secret_len());
    }
}

#[test]
fn envelopes_of_type_1_are_ceph_s_bytes() {
    assert_eq!(
        full(&aes_key(), &1u64.to_le_bytes()),
        "20000000440676a6b1aac350a068919f98244a7e7f056bf1902bb56eb8aa0dbc3b1d1a0a"
    );
    let challenge = [&[1][..], &0x1122_3344_5566_7788u64.to_le_bytes()].concat();
    assert_eq!(
        to_hex(&aes_key().encrypt(Usage::AUTHORIZE_CHALLENGE, &challenge).unwrap()),
        "f10da79325c587302a7e05c82dc891ddbbd75fcf653c6bd7a968c19ae4c8527a"
    );
}

#[test]
fn an_envelope_of_type_2_has_the_bytes_that_a_20_2_4_osd_took() {
    let key: CryptoKey = ENTITY_KEY.parse().unwrap();
    let confounder = std::array::from_fn(|i| i as u8);
    let payload =
        [&[2][..], &0x1122_3344_5566_7788u64.to_le_bytes(), &[0], &0u64.to_le_bytes()].concat();
    let sealed = key.encrypt_with(&confounder, Usage::AUTHORIZE, &payload).unwrap();
    assert_eq!(
        to_hex(&sealed),
        "1e6e81e37a80cbe8e1f29f2b4a2c47efd78a226d650967f20747341edffc999b167f1c6b6ca4ae0823021217\
         f6a289712b937f8f7debf2890d22d848b0343bb4ebe266"
    );
    assert_eq!(*key.decrypt(Usage::AUTHORIZE, &sealed).unwrap(), payload);
}

#[test]
fn both_forms_open_again_and_no_cut_does() {
    for key in [aes_key(), session_key()] {
        let payload = b"a payload of some length";
        let mut w = Writer::new(Features::ALL);
        key.encode_encrypt(&mut w, Usage::TICKET_BLOB, payload).unwrap();
        let bytes = w.into_vec();
        let open = |b: &[u8]| key.decode_decrypt(&mut Reader::new(b), Usage::TICKET_BLOB);
        assert_eq!(*open(&bytes).unwrap(), *payload);
        for n in 0..bytes.len() {
            assert!(matches!(open(&bytes[..n]), Err(CryptoError::Decode(_))), "{n} bytes");
            if n >= 4 {
                key.decrypt(Usage::TICKET_BLOB, &bytes[4..n]).unwrap_err();
            }
        }
    }
}

#[test]
fn a_flipped_bit_at_the_start_or_end_of_type_1_and_a_wrong_key_are_noticed() {
    // CBC without integrity: a flip in the middle garbles the payload and no more. That is why a
    // caller still has to check what it reads.
    let sealed = aes_key().encrypt(Usage::AUTHORIZE, b"0123456789012345678901234").unwrap();
    let other = CryptoKey::new(KeyType::Aes, UTime::default(), &[0x55; 16]).unwrap();
    other.decrypt(Usage::AUTHORIZE, &sealed).unwrap_err();
    for bit in 0..128 {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(aes_key().decrypt(Usage::AUTHORIZE, &bad).unwrap_err(), CryptoError::BadMagic);
    }
}

#[test]
fn an_envelope_shorter_than_its_header_or_with_another_magic_is_refused() {
    let secret: Vec<u8> = (0..16).collect();
    let key: &[u8; 16] = secret.as_slice().try_into().unwrap();
    let short = aes_cbc::encrypt(key, &[1, 0x55, 0xaa]);
    assert!(matches!(aes_key().decrypt(Usage::AUTHORIZE, &short), Err(CryptoError::Decode(_))));
    let wrong = aes_cbc::encrypt(key, &[1; 9]);
    assert_eq!(aes_key().decrypt(Usage::AUTHORIZE, &wrong).unwrap_err(), CryptoError::BadMagic);
}

#[test]
fn proofs_are_those_that_monitors_took() {
    // Type 1 beside 16.2.15, type 2 beside 20.2.4.
    let proof =
        calc_client_server_challenge(&aes_key(), 0x0102_0304_0506_0708, 0x1112_1314_1516_1718);
    assert_eq!(proof.unwrap(), 0xe965_f059_2508_5d65);

    let key: CryptoKey = ENTITY_KEY.parse().unwrap();
    let (server, client) = (3_340_618_996_312_013_408u64, 10_698_625_217_906_359_820u64);
    assert_eq!(
        to_hex(&key.hmac_sha256(&[&server.to_le_bytes(), &client.to_le_bytes()]).unwrap()),
        "15deed8dd9123e9ac5540a4266294a926523af3855504cd34dd9ce312d255e28"
    );
    let proof = calc_client_server_challenge(&key, server, client);
    assert_eq!(proof.unwrap(), 0xf366_4ec7_c686_70f8);
}

#[test]
fn signatures_of_type_1_in_both_forms() {
    let header = hex("0700000000000000090000000000000061007f000100030000000000000004000000\
         00000892100000000000000100000\
         07c59e7d2");
    let header_crc = u32::from_le_bytes(*header.last_chunk().unwrap());
    assert_eq!(ceph_crc32c(0, &header[..header.len() - 4]), header_crc);
    let fields = SignedFields {
        header_crc,
        front_crc: ceph_crc32c(0, b"abc"),
        front_len: 3,
        data_crc: ceph_crc32c(0, b"wxyz"),
        data_len: 4,
        seq: 7,
        ..SignedFields::default()
    };
    let sig = |form| calc_signature(&aes_key(), form, &fields).unwrap();
    assert_eq!(sig(SignatureForm::CephxV2), 0x872b_16f9_2806_0c54);
    assert_eq!(sig(SignatureForm::Old), 0x7774_3ff3_2601_b7e4);
}

#[test]
fn signatures_of_type_2_are_those_of_a_20_2_4_osd() {
    let block = hex("d7d38eb44cce8bd42c0000000000000000000000000000000000000001000000");
    let mut r = Reader::new(&block);
    let mut next = || r.u32().unwrap();
    let fields = SignedFields {
        header_crc: next(),
        front_crc: next(),
        front_len: next(),
        middle_crc: next(),
        middle_len: next(),
        data_crc: next(),
        data_len: next(),
        seq: 0xffff_ffff_0000_0000 | u64::from(next()),
    };
    let key = session_key();
    let v2 = SignatureForm::CephxV2;
    let sig = 0x25b3_b0ba_df57_357d;
    assert_eq!(calc_signature(&key, v2, &fields), Ok(sig));
    assert_eq!(check_signature(&key, v2, &fields, sig), Ok(()));
    assert_eq!(check_signature(&key, v2, &fields, sig ^ 1 << 63), Err(CryptoError::BadSignature));
    assert_eq!(
        calc_signature(&key, SignatureForm::Old, &fields),
        Err(CryptoError::UnusableSignatureForm)
    );
}

#[test]
fn a_key_is_not_printed() {
    let text = format!("{:?}", ENTITY_KEY.parse::<CryptoKey>().unwrap());
    assert_eq!(text, "CryptoKey(aes256k, 32 bytes)");
}
