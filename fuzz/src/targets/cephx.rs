//! The structures of cephx, in clear and in envelopes. `u8` which, and for envelopes the type of
//! their key with it; then the bytes, or what is in the envelope.

use std::fmt::Debug;

use ceph_msgr::auth::cephx::{
    AuthCapsInfo, AuthTicket, CephXAuthenticate, CephXAuthorize, CephXAuthorizeA,
    CephXAuthorizeChallenge, CephXAuthorizeReply, CephXAuthorizer, CephXChallengeBlob,
    CephXRequestHeader, CephXResponseHeader, CephXServerChallenge, CephXServiceTicket,
    CephXServiceTicketInfo, CephXServiceTicketRequest, CephXTicketBlob, ExpiringCryptoKey,
    RotatingSecrets, ServiceTicketReply,
};
use ceph_msgr::auth::{AuthNoneAuthorizer, Authorizer};
use ceph_msgr::crypto::{CryptoKey, KeyType, Usage};
use ceph_msgr::denc::{Decode, Encode, Reader, Writer};
use ceph_msgr::types::{EntityType, Features, GlobalId, UTime};

use crate::codec::{decode, round_trip};
use crate::input::Input;
use crate::keys::{NOW, key};
use crate::memory::{bounded, of_decoding};

/// The target.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let which = input.u8();
    let key = key(which & 0x80 != 0, 1);
    let bytes = input.rest();
    match which % 32 {
        0 => drop(round_trip::<AuthTicket>(bytes)),
        1 => authenticate(bytes),
        2 => drop(round_trip::<CephXAuthorize>(bytes)),
        3 => drop(round_trip::<CephXAuthorizeA>(bytes)),
        4 => drop(round_trip::<CephXAuthorizeChallenge>(bytes)),
        5 => drop(round_trip::<CephXAuthorizeReply>(bytes)),
        6 => drop(round_trip::<CephXChallengeBlob>(bytes)),
        7 => drop(round_trip::<CephXRequestHeader>(bytes)),
        8 => drop(round_trip::<CephXResponseHeader>(bytes)),
        9 => drop(round_trip::<CephXServerChallenge>(bytes)),
        10 => drop(round_trip::<CephXServiceTicket>(bytes)),
        11 => drop(round_trip::<CephXServiceTicketInfo>(bytes)),
        12 => drop(round_trip::<CephXServiceTicketRequest>(bytes)),
        13 => drop(round_trip::<CephXTicketBlob>(bytes)),
        14 => drop(round_trip::<ExpiringCryptoKey>(bytes)),
        15 => drop(round_trip::<RotatingSecrets>(bytes).map(|secrets| rotating(&secrets, &key))),
        16 => drop(round_trip::<CryptoKey>(bytes)),
        17 => drop(round_trip::<AuthCapsInfo>(bytes).map(|caps| caps.text().map(str::len))),
        18 => drop(round_trip::<AuthNoneAuthorizer>(bytes)),
        19 => ticket_list(bytes, &key),
        20 => challenge(&key, bytes),
        21 => challenge(&key, &seal(&key, Usage::AUTHORIZE_CHALLENGE, bytes)),
        22 => reply(&key, bytes),
        23 => reply(&key, &full(seal(&key, Usage::AUTHORIZE_REPLY, bytes))),
        24 => envelope(&key, bytes),
        25 => ticket_info(&key, bytes),
        26 => ticket_info(&key, &seal(&key, Usage::TICKET_INFO, bytes)),
        27 => rotating_secrets(&key, bytes),
        28 => rotating_secrets(&key, &full(seal(&key, Usage::ROTATING_SECRET, bytes))),
        29 => sealed_ticket(&key, bytes),
        _ => {}
    }
}

/// Older versions are written as the newest one, and only they may have left the ticket out.
fn authenticate(bytes: &[u8]) {
    let Ok((value, _)) = decode::<CephXAuthenticate>(bytes) else { return };
    let again = CephXAuthenticate::from_bytes(&value.to_bytes(Features::ALL)).expect("our own");
    assert_eq!(again, CephXAuthenticate { old_ticket_may_be_omitted: false, ..value });
}

fn seal(key: &CryptoKey, usage: Usage, payload: &[u8]) -> Vec<u8> {
    key.encrypt_with(&[7; 16], usage, payload).expect("the key is whole")
}

fn full(sealed: Vec<u8>) -> Vec<u8> {
    let mut w = Writer::new(Features::ALL);
    w.blob(&sealed);
    w.into_vec()
}

/// What was sealed is opened, for the same use alone where the type tells uses apart.
fn envelope(key: &CryptoKey, bytes: &[u8]) {
    let limit = of_decoding(bytes.len());
    assert!(bounded(limit, || key.decrypt(Usage::AUTHORIZE, bytes)).is_err(), "a forged envelope");
    let sealed = seal(key, Usage::AUTHORIZE, bytes);
    assert_eq!(key.decrypt(Usage::AUTHORIZE, &sealed).as_deref().map(Vec::as_slice), Ok(bytes));
    if key.key_type() == KeyType::Aes256k {
        assert!(key.decrypt(Usage::AUTHORIZE_REPLY, &sealed).is_err());
        for at in 0..sealed.len().min(64) {
            let mut bad = sealed.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(key.decrypt(Usage::AUTHORIZE, &bad).is_err(), "byte {at} was changed");
        }
    }
}

fn authorizer(key: &CryptoKey) -> Authorizer {
    let ticket = CephXTicketBlob { secret_id: 2, blob: vec![0xab; 112] };
    CephXAuthorizer::new(GlobalId(4101), EntityType::OSD, &ticket, key, 0x55)
        .expect("the key is whole")
        .into()
}

/// A challenge that is refused changes nothing.
fn challenge(key: &CryptoKey, bytes: &[u8]) {
    let mut authorizer = authorizer(key);
    let before = authorizer.bytes().to_vec();
    match authorizer.add_challenge(bytes) {
        Ok(()) => assert!(authorizer.bytes().len() >= before.len()),
        Err(_) => assert_eq!(authorizer.bytes(), before),
    }
    assert!(authorizer.wants_reply());
}

/// Only what tells our nonce plus one, under our key, proves anything.
fn reply(key: &CryptoKey, bytes: &[u8]) {
    let mut authorizer = authorizer(key);
    let told = || {
        let plain = key.decode_decrypt(&mut Reader::new(bytes), Usage::AUTHORIZE_REPLY).ok()?;
        Reader::new(&plain).get::<CephXAuthorizeReply>().ok()
    };
    let right = told().is_some_and(|reply| reply.nonce_plus_one == 0x56);
    assert_eq!(authorizer.verify_reply(bytes).is_ok(), right);
    assert_eq!(authorizer.wants_reply(), !right);
    assert!(right || authorizer.connection_secret().is_none());
}

fn ticket_info(key: &CryptoKey, blob: &[u8]) {
    let ticket = CephXTicketBlob { secret_id: 1, blob: blob.to_vec() };
    let Ok(info) = CephXServiceTicketInfo::open(&ticket, key) else { return };
    let again = info.seal(1, key).and_then(|ticket| CephXServiceTicketInfo::open(&ticket, key));
    assert_eq!(again, Ok(info));
}

fn rotating_secrets(key: &CryptoKey, bytes: &[u8]) {
    let Ok(secrets) = RotatingSecrets::decode_decrypt(&mut Reader::new(bytes), key) else { return };
    rotating(&secrets, key);
}

/// Whatever secrets a peer has sent: the current one is there, and has not expired.
fn rotating(secrets: &RotatingSecrets, key: &CryptoKey) {
    for now in [UTime::default(), NOW, UTime { sec: u32::MAX, nsec: u32::MAX }] {
        let _ = secrets.need_new_secrets(now);
        if let Some((id, secret)) = secrets.current(now) {
            assert_eq!(&secrets.secrets[&id].key, secret);
            assert!(now < secrets.secrets[&id].expiration);
        }
    }
    let mut w = Writer::new(Features::ALL);
    secrets.encode_encrypt(&mut w, key).expect("the key is whole");
    let again = RotatingSecrets::decode_decrypt(&mut Reader::new(w.as_slice()), key);
    assert_eq!(again.as_ref(), Ok(secrets));
}

fn ticket_list(bytes: &[u8], key: &CryptoKey) {
    let mut r = Reader::new(bytes);
    let list = bounded(of_decoding(bytes.len()), || ServiceTicketReply::decode_list(&mut r));
    let Ok(list) = list else { return };
    let mut w = Writer::new(Features::ALL);
    ServiceTicketReply::encode_list(&mut w, &list);
    let again = ServiceTicketReply::decode_list(&mut Reader::new(w.as_slice()));
    assert_eq!(again.as_ref(), Ok(&list));
    for ticket in &list {
        let _ = ticket.open(key, Some(key)).map(debug);
        let _ = ticket.open(key, None).map(debug);
    }
}

/// `u16` length and the client's part, then the service's blob: sealed, with and without an older
/// session key, and opened.
fn sealed_ticket(key: &CryptoKey, bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let Ok((for_me, _)) = decode::<CephXServiceTicket>(input.long_chunk()) else { return };
    let ticket = CephXTicketBlob { secret_id: 3, blob: input.rest().to_vec() };
    for old in [None, Some(key)] {
        let sealed = ServiceTicketReply::seal(4, &for_me, &ticket, key, old).expect("a whole key");
        match sealed.open(key, old) {
            Ok(opened) => assert_eq!(opened, (for_me.clone(), ticket.clone())),
            Err(_) => assert!(for_me.session_key.is_empty()),
        }
    }
}

fn debug(value: impl Debug) -> usize {
    format!("{value:?}").len()
}
