//! `std::map`, `std::set`, `std::pair`: a `u32` count and the items in the order of their keys.

use std::collections::{BTreeMap, BTreeSet};

use super::{Decode, DecodeError, Encode, Reader, Writer};

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.0).put(&self.1);
    }
}

impl<A: Decode, B: Decode> Decode for (A, B) {
    const MIN: usize = A::MIN + B::MIN;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((r.get()?, r.get()?))
    }
}

impl<K: Encode, V: Encode> Encode for BTreeMap<K, V> {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.len() as u32);
        for (key, value) in self {
            w.put(key).put(value);
        }
    }
}

impl<K: Decode + Ord, V: Decode> Decode for BTreeMap<K, V> {
    const MIN: usize = 4;
    /// A key that comes twice keeps its last value, as in Ceph.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.map(K::MIN + V::MIN, |r| Ok((r.get()?, r.get()?)))
    }
}

impl<T: Encode> Encode for BTreeSet<T> {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.len() as u32);
        for item in self {
            w.put(item);
        }
    }
}

impl<T: Decode + Ord> Decode for BTreeSet<T> {
    const MIN: usize = 4;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let n = r.count(T::MIN)?;
        (0..n).map(|_| r.get()).collect()
    }
}
