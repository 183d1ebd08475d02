//! What holds for everything that is decoded.

use std::fmt::Debug;

use ceph_msgr::denc::{Decode, DecodeError, Encode, Reader};
use ceph_msgr::types::Features;

use crate::memory::{bounded, of_decoding};

/// Peers with other features than all: none, without nautilus, and the Linux client's.
const OLDER: [Features; 3] =
    [Features::NONE, Features(0x2f01_8eb8_7aa4_aafe), Features(1 << 59 | 1 << 15)];

/// Decodes a value with a bound on memory. An error tells a place within the bytes, and what is
/// read takes at least `MIN` bytes.
pub fn decode<T: Decode>(bytes: &[u8]) -> Result<(T, usize), DecodeError> {
    let mut r = Reader::new(bytes);
    let value = bounded(of_decoding(bytes.len()), || r.get::<T>());
    match value {
        Ok(value) => {
            assert!(T::MIN <= r.position(), "{} bytes read, MIN is {}", r.position(), T::MIN);
            assert_eq!(r.position() + r.remaining(), bytes.len());
            Ok((value, r.position()))
        }
        Err(e) => {
            assert!(e.at <= bytes.len(), "{e}");
            let _ = e.to_string();
            Err(e)
        }
    }
}

/// Decodes a value, which must not change when it is encoded and decoded again.
pub fn round_trip<T: Decode + Encode + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let (value, _) = decode::<T>(bytes).ok()?;
    let _ = format!("{value:?}");
    let encoded = value.to_bytes(Features::ALL);
    let again = T::from_bytes(&encoded).expect("what was encoded is decoded");
    assert_eq!(again, value);
    assert_eq!(again.to_bytes(Features::ALL), encoded);
    Some(value)
}

/// As [`round_trip`], also in the forms for older peers: what such a form leaves out stays out.
pub fn round_trip_older<T: Decode + Encode + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value = round_trip::<T>(bytes)?;
    for features in OLDER {
        let encoded = value.to_bytes(features);
        let again = T::from_bytes(&encoded).expect("what was encoded is decoded");
        assert_eq!(again.to_bytes(features), encoded, "{features}");
    }
    Some(value)
}
