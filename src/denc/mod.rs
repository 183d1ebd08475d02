//! Ceph's encoding (`src/include/encoding.h`, `denc.h`): little-endian integers, `u32` length
//! prefixes, and versioned sections that a reader of any age can skip.
//!
//! Pure: bytes in, values out. A [`Reader`] refuses only what Ceph refuses; counts are capped by
//! the bytes that are left, so no length from the wire decides an allocation by itself.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod collections;
mod error;
mod reader;
mod writer;

pub use error::{DecodeError, DecodeErrorKind};
pub use reader::Reader;
pub use writer::Writer;

/// A value that Ceph's encoders write. Encoding cannot fail.
pub trait Encode {
    /// Appends the encoding of `self`, in the form that the writer's features ask for.
    fn encode(&self, w: &mut Writer);

    /// The encoding of `self` alone, for a peer with these features.
    fn to_bytes(&self, features: crate::types::Features) -> Vec<u8> {
        let mut w = Writer::new(features);
        self.encode(&mut w);
        w.into_vec()
    }
}

/// A value that Ceph's encoders wrote.
pub trait Decode: Sized {
    /// The fewest bytes that an encoding can have, at least 1: what caps a count.
    const MIN: usize;

    /// Reads one value and leaves the reader behind it.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads a value that takes up all of `bytes`; what is left over is an error.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let value = Self::decode(&mut r)?;
        r.finish()?;
        Ok(value)
    }
}

macro_rules! denc_int {
    ($($ty:ty, $name:ident);* $(;)?) => {$(
        impl Encode for $ty {
            fn encode(&self, w: &mut Writer) {
                w.$name(*self);
            }
        }
        impl Decode for $ty {
            const MIN: usize = size_of::<$ty>();
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                r.$name()
            }
        }
    )*};
}

denc_int! { u8, u8; u16, u16; u32, u32; u64, u64; i8, i8; i16, i16; i32, i32; i64, i64; bool, bool; }

impl Encode for String {
    fn encode(&self, w: &mut Writer) {
        w.string(self);
    }
}

impl Decode for String {
    const MIN: usize = 4;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.string()
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.len() as u32);
        for item in self {
            item.encode(w);
        }
    }
}

impl<T: Decode> Decode for Vec<T> {
    const MIN: usize = 4;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.list(T::MIN, T::decode)
    }
}

#[cfg(test)]
mod tests;
