//! Keys, names and times that the targets of cephx share. None of it is a secret.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ceph_msgr::auth::{EntityName, GlobalIdAllocator};
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::types::{EntityType, GlobalId, UTime};

/// When it all happens.
pub const NOW: UTime = UTime { sec: 1_800_000_000, nsec: 0 };

/// A key of type 1 or 2 whose bytes count up from `first`.
pub fn key(second_type: bool, first: u8) -> CryptoKey {
    let key_type = if second_type { KeyType::Aes256k } else { KeyType::Aes };
    let secret: Vec<_> = (0..key_type.secret_len()).map(|i| first.wrapping_add(i as u8)).collect();
    CryptoKey::new(key_type, NOW, &secret).expect("as long as such a key is")
}

/// `client.admin`, `osd.0`: each has a key that no other has.
pub fn name(entity_type: EntityType, id: &str) -> EntityName {
    EntityName::new(entity_type, id)
}

/// Counts up from 4101.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Default for Counter {
    fn default() -> Self {
        Self(AtomicU64::new(4101))
    }
}

impl GlobalIdAllocator for Counter {
    fn assign_global_id(&self) -> Option<GlobalId> {
        Some(GlobalId(self.0.fetch_add(1, Relaxed)))
    }
}
