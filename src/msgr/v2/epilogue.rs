//! What a frame ends with: whether it counts, and its checksums.

use super::{Revision, SEGMENTS};
use crate::crc32c::ceph_crc32c;
use crate::msgr::Fault;

/// Whether a frame counts, which its sender says when all of it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    Complete,
    Aborted,
}

impl Late {
    pub(super) fn new(aborted: bool) -> Self {
        if aborted { Self::Aborted } else { Self::Complete }
    }

    /// `late_flags` of revision 0 (bit 0: aborted), `late_status` of revision 1, whose upper half does
    /// not count (`FRAME_LATE_FLAG_ABORTED`, `FRAME_LATE_STATUS_*`).
    pub(super) fn encode(self, revision: Revision) -> u8 {
        match (revision, self) {
            (Revision::V2_0, Self::Complete) => 0,
            (Revision::V2_0, Self::Aborted) => 1,
            (Revision::V2_1, Self::Complete) => 0xe,
            (Revision::V2_1, Self::Aborted) => 1,
        }
    }

    pub(super) fn decode(revision: Revision, byte: u8) -> Result<Self, Fault> {
        match revision {
            Revision::V2_0 => Ok(Self::new(byte & 1 != 0)),
            Revision::V2_1 => match byte & 0xf {
                0xe => Ok(Self::Complete),
                1 => Ok(Self::Aborted),
                _ => Err(Fault::BadLateStatus(byte)),
            },
        }
    }
}

/// The checksum of a segment, which begins with all ones: that of an empty one is all ones too.
pub(super) fn segment_crc(segment: &[u8]) -> u32 {
    ceph_crc32c(u32::MAX, segment)
}

/// The epilogue of a frame with checksums: `u8` late status, then `u32` crcs: in revision 0 of all four
/// segments, in revision 1 of the last three. Those of segments that are not counted are 0, and are
/// not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epilogue {
    pub(super) late: Late,
    /// In revision 1 the first one does not count.
    pub(super) crcs: [u32; SEGMENTS],
}

impl Epilogue {
    pub(super) const REV0_LEN: usize = 17;
    pub(super) const REV1_LEN: usize = 13;
    /// Of a sealed frame: `u8` late status and 15 zeros.
    pub(super) const SECURE_LEN: usize = 16;

    fn first(revision: Revision) -> usize {
        usize::from(revision == Revision::V2_1)
    }

    /// The bytes, and how many of them there are.
    pub(super) fn encode(&self, revision: Revision) -> ([u8; Self::REV0_LEN], usize) {
        let mut out = [0; Self::REV0_LEN];
        out[0] = self.late.encode(revision);
        let crcs = &self.crcs[Self::first(revision)..];
        for (to, crc) in out[1..].chunks_exact_mut(4).zip(crcs) {
            to.copy_from_slice(&crc.to_le_bytes());
        }
        (out, 1 + 4 * crcs.len())
    }

    pub(super) fn decode(revision: Revision, bytes: &[u8]) -> Result<Self, Fault> {
        let (&late, rest) = bytes.split_first().ok_or(Fault::BadLateStatus(0))?;
        let mut crcs = [0; SEGMENTS];
        let (words, _) = rest.as_chunks();
        for (crc, word) in crcs[Self::first(revision)..].iter_mut().zip(words) {
            *crc = u32::from_le_bytes(*word);
        }
        Ok(Self { late: Late::decode(revision, late)?, crcs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::{hex, to_hex};

    #[test]
    fn foreign_bytes_of_both_revisions() {
        let crcs = [0xd3a0_86f3, 0xc9b4_c048, u32::MAX, 0xd7f3_f961];
        for (revision, bytes, first) in [
            (Revision::V2_0, "00f386a0d348c0b4c9ffffffff61f9f3d7", crcs[0]),
            (Revision::V2_1, "0e48c0b4c9ffffffff61f9f3d7", 0),
        ] {
            let epilogue = Epilogue { late: Late::Complete, crcs };
            let (ours, len) = epilogue.encode(revision);
            assert_eq!(to_hex(&ours[..len]), bytes);
            let epilogue = Epilogue { crcs: [first, crcs[1], crcs[2], crcs[3]], ..epilogue };
            assert_eq!(Epilogue::decode(revision, &hex(bytes)), Ok(epilogue));
        }
    }

    #[test]
    fn the_late_status_of_every_byte() {
        for byte in 0..=u8::MAX {
            let (rev0, rev1) =
                (Late::decode(Revision::V2_0, byte), Late::decode(Revision::V2_1, byte));
            assert_eq!(rev0, Ok(if byte % 2 == 1 { Late::Aborted } else { Late::Complete }));
            assert_eq!(
                rev1,
                match byte % 16 {
                    14 => Ok(Late::Complete),
                    1 => Ok(Late::Aborted),
                    _ => Err(Fault::BadLateStatus(byte)),
                }
            );
        }
        for late in [Late::Complete, Late::Aborted] {
            for revision in [Revision::V2_0, Revision::V2_1] {
                assert_eq!(Late::decode(revision, late.encode(revision)), Ok(late));
            }
        }
    }

    #[test]
    fn checksums_begin_with_all_ones() {
        assert_eq!(segment_crc(b"123456789"), 0x1cf9_6d7c);
        assert_eq!(segment_crc(b""), u32::MAX);
    }
}
