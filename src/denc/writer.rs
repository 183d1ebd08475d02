use byteorder::{ByteOrder, LittleEndian};

use super::Encode;
use crate::types::Features;

/// Appends encodings to a `Vec<u8>`, for a peer with the given features.
#[derive(Debug)]
pub struct Writer {
    buf: Vec<u8>,
    features: Features,
}

macro_rules! int {
    ($($(#[$doc:meta])* $name:ident, $ty:ty);* $(;)?) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, v: $ty) -> &mut Self {
            self.bytes(&v.to_le_bytes())
        }
    )*};
}

impl Writer {
    /// An empty writer for a peer with these features.
    pub fn new(features: Features) -> Self {
        Self { buf: Vec::new(), features }
    }

    /// The same with memory for that many bytes.
    pub fn with_capacity(features: Features, capacity: usize) -> Self {
        Self { buf: Vec::with_capacity(capacity), features }
    }

    /// The features of the peer that will read.
    pub fn features(&self) -> Features {
        self.features
    }

    /// How many bytes have been written.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// The bytes.
    pub fn into_vec(self) -> Vec<u8> {
        self.buf
    }

    /// The bytes so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.buf
    }

    /// The bytes as they are.
    pub fn bytes(&mut self, b: &[u8]) -> &mut Self {
        self.buf.extend_from_slice(b);
        self
    }

    int! {
        /// One byte.
        u8, u8;
        /// Two bytes, little-endian.
        u16, u16;
        /// Four bytes, little-endian.
        u32, u32;
        /// Eight bytes, little-endian.
        u64, u64;
        /// One byte, signed.
        i8, i8;
        /// Two bytes, little-endian, signed.
        i16, i16;
        /// Four bytes, little-endian, signed.
        i32, i32;
        /// Eight bytes, little-endian, signed.
        i64, i64;
        /// Eight bytes, an IEEE 754 double.
        f64, f64;
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, v: bool) -> &mut Self {
        self.u8(v.into())
    }

    /// `u32` length and the bytes.
    pub fn blob(&mut self, b: &[u8]) -> &mut Self {
        self.u32(b.len() as u32).bytes(b)
    }

    /// `u32` length and the text.
    pub fn string(&mut self, s: &str) -> &mut Self {
        self.blob(s.as_bytes())
    }

    /// The encoding of `v`.
    pub fn put<T: Encode + ?Sized>(&mut self, v: &T) -> &mut Self {
        v.encode(self);
        self
    }

    /// `u32` length of what `body` writes, and that.
    pub fn with_len(&mut self, body: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.buf.len();
        self.u32(0);
        body(self);
        let len = (self.buf.len() - at - 4) as u32;
        LittleEndian::write_u32(&mut self.buf[at..at + 4], len);
        self
    }

    /// A section as `ENCODE_START` writes it: `u8 v`, `u8 compat`, `u32` length, body.
    pub fn versioned(&mut self, v: u8, compat: u8, body: impl FnOnce(&mut Self)) -> &mut Self {
        self.u8(v).u8(compat).with_len(body)
    }
}
