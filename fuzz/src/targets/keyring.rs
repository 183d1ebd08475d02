//! The text of a keyring, and the text of one key.

use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::crypto::CryptoKey;

use crate::memory::bounded;

/// The target.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = text.parse::<CryptoKey>() {
        assert_eq!(key.to_base64().parse::<CryptoKey>().as_ref(), Ok(&key));
    }
    // Each section, setting and value is there three times at most, and small ones cost a node.
    let keyring = bounded(256 * text.len() + (64 << 10), || Keyring::parse(text));
    let Ok(keyring) = keyring.map_err(|e| e.to_string()) else { return };
    let written = keyring.to_text();
    let again = match Keyring::parse(&written) {
        Ok(again) => again,
        Err(e) => panic!("{text:?} is written as {:?}: {e}", written.as_str()),
    };
    assert_eq!(*again.to_text(), *written, "{text:?}");
    assert!(again.names().eq(keyring.names()), "{text:?}");
    for name in keyring.names() {
        assert_eq!(again.key(name).ok(), keyring.key(name).ok(), "{text:?}");
        let _ = format!("{:?}", keyring.get(name));
    }
}
