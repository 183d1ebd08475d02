//! Of an open session, and compression: tags 18 to 22.

use super::one_field;
use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{Seq, UTime};

one_field! {
    /// KEEPALIVE2: [`UTime`].
    KeepAliveFrame(
        /// The sender's clock.
        UTime
    ), "KEEPALIVE2"
}

one_field! {
    /// KEEPALIVE2_ACK: [`UTime`].
    KeepAliveFrameAck(
        /// What the KEEPALIVE2 said.
        UTime
    ), "KEEPALIVE2_ACK"
}

one_field! {
    /// ACK: `u64`.
    AckFrame(
        /// Everything up to this has arrived.
        Seq
    ), "ACK"
}

/// COMPRESSION_REQUEST, between peers whose banners both have the bit for it: `u8`, and a list of
/// `u32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressionRequestFrame {
    /// Whether the dialler wants any.
    pub is_compress: bool,
    /// `Compressor::CompressionAlgorithm`, the best first.
    pub preferred_methods: Vec<u32>,
}

impl Encode for CompressionRequestFrame {
    fn encode(&self, w: &mut Writer) {
        w.bool(self.is_compress).put(&self.preferred_methods);
    }
}

impl Decode for CompressionRequestFrame {
    const MIN: usize = 5;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let is_compress = r.what("COMPRESSION_REQUEST").bool()?;
        Ok(Self { is_compress, preferred_methods: r.list(4, Reader::u32)? })
    }
}

/// COMPRESSION_DONE: `u8`, `u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionDoneFrame {
    /// Whether there is any.
    pub is_compress: bool,
    /// `Compressor::CompressionAlgorithm`.
    pub method: u32,
}

impl Encode for CompressionDoneFrame {
    fn encode(&self, w: &mut Writer) {
        w.bool(self.is_compress).u32(self.method);
    }
}

impl Decode for CompressionDoneFrame {
    const MIN: usize = 5;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let is_compress = r.what("COMPRESSION_DONE").bool()?;
        Ok(Self { is_compress, method: r.u32()? })
    }
}
