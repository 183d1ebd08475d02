//! Encodings of Ceph itself, from ceph-object-corpus. `ceph-dencoder` prints nothing for these
//! types, so the proof is that each object is read to its end and written back to the same bytes.

use std::path::PathBuf;

use crate::auth::EntityName;
use crate::auth::cephx::*;
use crate::crypto::CryptoKey;
use crate::denc::{Decode, DecodeErrorKind, Encode};
use crate::hex::to_hex;
use crate::types::Features;

fn corpus() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let dir = std::env::var_os("CEPH_CORPUS").map_or(beside, PathBuf::from);
    if !dir.is_dir() {
        println!("SKIPPED: no ceph-object-corpus in {}; CEPH_CORPUS may name one", dir.display());
        return None;
    }
    Some(dir)
}

/// All objects of a type, with the path of each.
fn objects(name: &str) -> Vec<(String, Vec<u8>)> {
    let Some(dir) = corpus() else { return Vec::new() };
    let mut found = Vec::new();
    for release in std::fs::read_dir(dir).unwrap() {
        let Ok(files) = std::fs::read_dir(release.unwrap().path().join(name)) else { continue };
        for file in files {
            let path = file.unwrap().path();
            if path.extension().is_none() {
                found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "the corpus has no {name}");
    found
}

/// Each object is read whole, is `Short` if any of it is missing, and comes back as it was.
fn check<T: Encode + Decode>(name: &str, same: impl Fn(&T, &[u8]) -> bool) {
    for (path, bytes) in objects(name) {
        let value = T::from_bytes(&bytes).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(same(&value, &bytes), "{path}: {}", to_hex(&value.to_bytes(Features::ALL)));
        assert!(bytes.len() >= T::MIN, "{path}: {} bytes, MIN is {}", bytes.len(), T::MIN);
        for n in 0..bytes.len() {
            let kind = T::from_bytes(&bytes[..n]).err().unwrap().kind;
            let short = matches!(kind, DecodeErrorKind::Short | DecodeErrorKind::BadCount(_));
            assert!(short, "{path}: {n} bytes: {kind:?}");
        }
    }
}

macro_rules! corpus_types {
    ($($test:ident: $ty:ident;)*) => {$(
        #[test]
        fn $test() {
            check::<$ty>(stringify!($ty), |value, bytes| value.to_bytes(Features::ALL) == bytes);
        }
    )*};
}

corpus_types! {
    auth_ticket: AuthTicket;
    cephx_challenge_blob: CephXChallengeBlob;
    cephx_request_header: CephXRequestHeader;
    cephx_response_header: CephXResponseHeader;
    cephx_server_challenge: CephXServerChallenge;
    cephx_authorize_challenge: CephXAuthorizeChallenge;
    cephx_service_ticket: CephXServiceTicket;
    cephx_service_ticket_info: CephXServiceTicketInfo;
    cephx_service_ticket_request: CephXServiceTicketRequest;
    cephx_ticket_blob: CephXTicketBlob;
    crypto_key: CryptoKey;
    entity_name: EntityName;
    expiring_crypto_key: ExpiringCryptoKey;
    rotating_secrets: RotatingSecrets;
}

#[test]
fn cephx_authenticate() {
    // Versions 1 and 2 are read and version 3 is written.
    check::<CephXAuthenticate>("CephXAuthenticate", |value, bytes| {
        let ours = value.to_bytes(Features::ALL);
        assert_eq!(value.old_ticket_may_be_omitted, bytes[0] < 3);
        ours[0] == 3 && ours[1..bytes.len()] == bytes[1..]
    });
}

#[test]
fn cephx_authorize() {
    // Version 1 ends after the nonce.
    check::<CephXAuthorize>("CephXAuthorize", |value, bytes| {
        let ours = value.to_bytes(Features::ALL);
        ours[1..bytes.len()] == bytes[1..] && (bytes[0] == 2) == (ours == bytes)
    });
}

#[test]
fn cephx_authorize_reply() {
    // Version 2 with an empty secret, as Ceph sends in crc mode, is written as version 1.
    check::<CephXAuthorizeReply>("CephXAuthorizeReply", |value, bytes| {
        let ours = value.to_bytes(Features::ALL);
        ours == bytes || (value.connection_secret.is_none() && ours[1..] == bytes[1..9])
    });
}
