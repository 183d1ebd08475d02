use std::collections::BTreeMap;

use byteorder::{ByteOrder, LittleEndian};

use super::{Decode, DecodeError, DecodeErrorKind};
use crate::types::Features;

/// The most that a list reserves before its items have been seen, in bytes.
const RESERVE: usize = 64 << 10;

/// A cursor over encoded bytes, with the features of the peer that wrote them.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    buf: &'a [u8],
    pos: usize,
    base: usize,
    what: &'static str,
    features: Features,
}

macro_rules! int {
    ($($(#[$doc:meta])* $name:ident -> $ty:ty, $read:ident);* $(;)?) => {$(
        $(#[$doc])*
        pub fn $name(&mut self) -> Result<$ty, DecodeError> {
            self.bytes(size_of::<$ty>()).map(LittleEndian::$read)
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A reader of `buf` from its first byte, for a peer with every feature.
    pub fn new(buf: &'a [u8]) -> Self {
        Self { buf, pos: 0, base: 0, what: "value", features: Features::ALL }
    }

    /// The same reader for bytes from a peer with these features.
    #[must_use]
    pub fn with_features(mut self, features: Features) -> Self {
        self.features = features;
        self
    }

    /// The features of the peer that wrote the bytes.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Names what is being read, for the error.
    pub fn what(&mut self, what: &'static str) -> &mut Self {
        self.what = what;
        self
    }

    /// How many bytes have not been read yet.
    pub fn remaining(&self) -> usize {
        self.buf.len() - self.pos
    }

    /// Offset of the next byte in the buffer that the outermost reader was made from.
    pub fn position(&self) -> usize {
        self.base + self.pos
    }

    /// The error `kind` at this place.
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { what: self.what, kind, at: self.position() }
    }

    /// Exactly `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        match self.buf[self.pos..].split_at_checked(n) {
            Some((head, _)) => {
                self.pos += n;
                Ok(head)
            }
            None => Err(self.error(DecodeErrorKind::Short)),
        }
    }

    /// All bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.buf[self.pos..];
        self.pos = self.buf.len();
        rest
    }

    /// Exactly `N` bytes, as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N)?);
        Ok(out)
    }

    /// The next byte, not consumed.
    pub fn peek_u8(&self) -> Result<u8, DecodeError> {
        self.buf.get(self.pos).copied().ok_or_else(|| self.error(DecodeErrorKind::Short))
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.bytes(1)?[0])
    }

    /// One byte, signed.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        Ok(self.u8()? as i8)
    }

    /// One byte; everything but 0 is true.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u8()? != 0)
    }

    int! {
        /// Two bytes, little-endian.
        u16 -> u16, read_u16;
        /// Four bytes, little-endian.
        u32 -> u32, read_u32;
        /// Eight bytes, little-endian.
        u64 -> u64, read_u64;
        /// Two bytes, little-endian, signed.
        i16 -> i16, read_i16;
        /// Four bytes, little-endian, signed.
        i32 -> i32, read_i32;
        /// Eight bytes, little-endian, signed.
        i64 -> i64, read_i64;
        /// Eight bytes, an IEEE 754 double.
        f64 -> f64, read_f64;
    }

    /// `u32` length and that many bytes (`bufferlist`).
    pub fn blob(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = self.u32()?;
        self.bytes(n as usize)
    }

    /// `u32` length and text. Ceph does not check the encoding: what is not UTF-8 is replaced.
    pub fn string(&mut self) -> Result<String, DecodeError> {
        Ok(String::from_utf8_lossy(self.blob()?).into_owned())
    }

    /// A `u32` count of items of at least `min` bytes each, refused if the bytes left cannot
    /// hold them.
    pub fn count(&mut self, min: usize) -> Result<usize, DecodeError> {
        let n = self.u32()?;
        if n as usize > self.remaining() / min.max(1) {
            return Err(self.error(DecodeErrorKind::BadCount(n)));
        }
        Ok(n as usize)
    }

    /// `u32` count, then the items, each of at least `min` bytes.
    pub fn list<T>(
        &mut self,
        min: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let n = self.count(min)?;
        let mut out = Vec::with_capacity(n.min(RESERVE / size_of::<T>().max(1)));
        for _ in 0..n {
            out.push(item(self)?);
        }
        Ok(out)
    }

    /// `u32` count, then pairs of key and value, each pair of at least `min` bytes.
    pub fn map<K: Ord, V>(
        &mut self,
        min: usize,
        mut pair: impl FnMut(&mut Self) -> Result<(K, V), DecodeError>,
    ) -> Result<BTreeMap<K, V>, DecodeError> {
        let n = self.count(min)?;
        (0..n).map(|_| pair(self)).collect()
    }

    /// A value of type `T`.
    pub fn get<T: Decode>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// A reader of the next `n` bytes, which this one skips.
    pub fn sub(&mut self, n: usize) -> Result<Self, DecodeError> {
        let base = self.position();
        let buf = self.bytes(n)?;
        Ok(Self { buf, pos: 0, base, what: self.what, features: self.features })
    }

    /// A section as `ENCODE_START` writes it: `u8 struct_v`, `u8 struct_compat`, `u32` length,
    /// body. `body` gets a reader of just the body, and `struct_v`; what it leaves unread is
    /// skipped. Only a `struct_compat` above `known` is refused, as `DECODE_START` does.
    pub fn versioned<T>(
        &mut self,
        what: &'static str,
        known: u8,
        body: impl FnOnce(&mut Self, u8) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let outer = std::mem::replace(&mut self.what, what);
        let v = self.u8()?;
        let compat = self.u8()?;
        if compat > known {
            return Err(self.error(DecodeErrorKind::Incompatible { compat, known }));
        }
        let len = self.u32()?;
        let mut r = self.sub(len as usize)?;
        let value = body(&mut r, v)?;
        self.what = outer;
        Ok(value)
    }

    /// Skips a versioned section whatever is in it.
    pub fn skip_versioned(&mut self) -> Result<(), DecodeError> {
        self.bytes(2)?;
        self.blob().map(drop)
    }

    /// Refuses bytes that are left over.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            n => Err(self.error(DecodeErrorKind::Trailing(n))),
        }
    }
}
