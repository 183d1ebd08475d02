//! Frames: a tag and up to four segments, and how long they are on the wire.

use bytes::Bytes;

use super::Tag;
use super::epilogue::Epilogue;
use super::preamble::Preamble;
use crate::crypto::GCM_TAG_LEN;

/// The most segments that a frame has (`MAX_NUM_SEGMENTS`).
pub const SEGMENTS: usize = 4;
/// To what sealing fills up a segment (`CRYPTO_BLOCK_SIZE`).
pub(super) const BLOCK: usize = 16;
/// Bytes of segment 0 that revision 1 seals together with the preamble (`FRAME_PREAMBLE_INLINE_SIZE`).
pub(super) const INLINE: usize = 48;

/// How frames are laid out. The features of both banners say it, for all frames of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// msgr2.0.
    V2_0,
    /// msgr2.1: lengths are authentic before they are used, and there are nonces for 2^64 messages
    /// in place of 2^32.
    V2_1,
}

/// A frame that came whole, with its checksums or its tag right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub tag: Tag,
    /// Segment 0: all of a control frame, or the header of a message.
    pub payload: &'a [u8],
    /// Segment 1.
    pub front: Bytes,
    /// Segment 2.
    pub middle: Bytes,
    /// Segment 3.
    pub data: Bytes,
}

/// A frame to be written.
#[derive(Clone, Debug)]
pub struct OutFrame<'a> {
    /// What it is.
    pub tag: Tag,
    /// By what the out buffer knows the message, for revoking it.
    pub id: Option<u64>,
    /// Segment 0.
    pub payload: &'a [u8],
    /// Segments 1 to 3.
    pub tail: [Bytes; SEGMENTS - 1],
    /// At its end the frame says that it does not count. Revision 1 has no place to say so in a frame
    /// of one segment.
    pub aborted: bool,
}

impl<'a> OutFrame<'a> {
    /// A frame of one segment.
    pub fn control(tag: Tag, payload: &'a [u8]) -> Self {
        Self { tag, id: None, payload, tail: Default::default(), aborted: false }
    }

    /// A message with that id, from the bytes of its header (`ceph_msg_header2`).
    pub fn message(id: u64, header: &'a [u8], front: Bytes, middle: Bytes, data: Bytes) -> Self {
        let tail = [front, middle, data];
        Self { tag: Tag::Message, id: Some(id), payload: header, tail, aborted: false }
    }
}

/// Where the segments of a frame lie behind its preamble.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) revision: Revision,
    pub(super) secure: bool,
    pub(super) lens: [usize; SEGMENTS],
    /// How many segments are counted.
    pub(super) count: usize,
}

impl Layout {
    pub(super) fn new(revision: Revision, secure: bool, preamble: &Preamble) -> Self {
        let lens = preamble.lens.map(|n| n as usize);
        Self { revision, secure, lens, count: preamble.count() }
    }

    /// Bytes of the first block: all that is needed to know the lengths.
    pub(super) fn first_block(revision: Revision, secure: bool) -> usize {
        match (revision, secure) {
            (Revision::V2_1, true) => Preamble::LEN + INLINE + GCM_TAG_LEN,
            _ => Preamble::LEN,
        }
    }

    /// Bytes of segment `i` with what fills it up.
    pub(super) fn padded(&self, i: usize) -> usize {
        if self.secure { self.lens[i].next_multiple_of(BLOCK) } else { self.lens[i] }
    }

    /// Bytes behind the first block that belong to segment 0 alone, checksum or tag included.
    pub(super) fn head(&self) -> usize {
        let s0 = self.lens[0];
        match (self.revision, self.secure) {
            (Revision::V2_0, false) => s0,
            (Revision::V2_0, true) => 0,
            (Revision::V2_1, false) if s0 == 0 => 0,
            (Revision::V2_1, false) => s0 + 4,
            (Revision::V2_1, true) if s0 <= INLINE => 0,
            (Revision::V2_1, true) => (s0 - INLINE).next_multiple_of(BLOCK) + GCM_TAG_LEN,
        }
    }

    /// Bytes of what is read into one buffer: segments 1 to 3; where it is sealed with its epilogue and
    /// tag, and in revision 0 with everything before it, the preamble included.
    pub(super) fn tail(&self) -> usize {
        let segments = self.padded(1) + self.padded(2) + self.padded(3);
        let sealed = segments + Epilogue::SECURE_LEN + GCM_TAG_LEN;
        match (self.revision, self.secure) {
            (_, false) => segments,
            (Revision::V2_0, true) => Preamble::LEN + self.padded(0) + sealed,
            (Revision::V2_1, true) if self.count > 1 => sealed,
            (Revision::V2_1, true) => 0,
        }
    }

    /// Bytes of an epilogue of its own.
    pub(super) fn epilogue(&self) -> usize {
        match (self.revision, self.secure) {
            (_, true) => 0,
            (Revision::V2_0, false) => Epilogue::REV0_LEN,
            (Revision::V2_1, false) if self.count > 1 => Epilogue::REV1_LEN,
            (Revision::V2_1, false) => 0,
        }
    }

    /// Bytes of the whole frame.
    pub(super) fn total(&self) -> usize {
        let first = match (self.revision, self.secure) {
            // Counted in the tail.
            (Revision::V2_0, true) => 0,
            (revision, secure) => Self::first_block(revision, secure),
        };
        first + self.head() + self.tail() + self.epilogue()
    }
}

/// Bytes on the wire of a frame whose segments have these lengths.
pub fn onwire_len(revision: Revision, secure: bool, lens: [u32; SEGMENTS]) -> usize {
    Layout::new(revision, secure, &Preamble::new(Tag::Message, lens)).total()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_on_the_wire() {
        use Revision::{V2_0, V2_1};
        // Keepalive, signature, ident, a message of header and front, WAIT, HELLO.
        let frames = [[8, 0], [32, 0], [123, 0], [41, 18], [0, 0], [36, 0]];
        for (revision, secure, want) in [
            (V2_1, false, [44, 68, 159, 108, 32, 72]),
            (V2_0, false, [57, 81, 172, 108, 49, 85]),
            (V2_1, true, [96, 96, 192, 160, 96, 96]),
            (V2_0, true, [80, 96, 192, 144, 64, 112]),
        ] {
            let lens = frames.map(|[s0, s1]| onwire_len(revision, secure, [s0, s1, 0, 0]));
            assert_eq!(lens, want, "{revision:?}, secure: {secure}");
        }
    }

    #[test]
    fn each_segment_is_filled_up_by_itself() {
        let lens = [41, 1, 17, 16];
        assert_eq!(onwire_len(Revision::V2_1, true, lens), 96 + 16 + 32 + 16 + 32);
        assert_eq!(onwire_len(Revision::V2_0, true, lens), 32 + 48 + 16 + 32 + 16 + 32);
        assert_eq!(onwire_len(Revision::V2_1, false, lens), 32 + 45 + 34 + 13);
        // An empty one in the middle takes no room.
        assert_eq!(onwire_len(Revision::V2_1, true, [41, 1, 0, 1]), 96 + 16 + 16 + 32);
        for (s0, rest) in [(47, 0), (48, 0), (49, 32), (64, 32), (65, 48)] {
            assert_eq!(onwire_len(Revision::V2_1, true, [s0, 0, 0, 0]), 96 + rest, "{s0}");
        }
    }
}
