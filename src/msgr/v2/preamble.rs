//! The 32 bytes that every frame begins with, and which of them are refused.

use super::{Role, SEGMENTS, Tag};
use crate::crc32c::ceph_crc32c;
use crate::denc::Reader;
use crate::limits;
use crate::msgr::Fault;

/// What a segment is aligned to in the receiver's memory, as an advice: data to pages.
const ALIGNMENTS: [u16; SEGMENTS] = [8, 8, 8, 4096];
/// `FRAME_EARLY_DATA_COMPRESSED`.
const COMPRESSED: u8 = 1;

/// How far the connection is, which bounds what the peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Control frames alone, and short ones where it is the peer that dialled: it may be anyone.
    Handshake(Role),
    /// Messages too.
    Ready,
}

/// Tag and lengths of a frame (`preamble_block_t`): `u8` tag, `u8` number of segments, four times
/// `u32` length and `u16` alignment, `u8` flags, a reserved byte, `u32` crc of the 28 bytes before,
/// seed 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// What the frame is.
    pub tag: Tag,
    /// Lengths of the segments, of which trailing ones that are empty are not counted.
    pub lens: [u32; SEGMENTS],
}

impl Preamble {
    /// Bytes on the wire, before sealing.
    pub const LEN: usize = 32;
    /// Bytes that the crc covers.
    const CRC_AT: usize = Self::LEN - 4;

    /// Of a frame with segments of these lengths.
    pub fn new(tag: Tag, lens: [u32; SEGMENTS]) -> Self {
        Self { tag, lens }
    }

    /// How many segments are counted: up to the last that is not empty, and at least one.
    pub fn count(&self) -> usize {
        self.lens.iter().rposition(|&n| n > 0).map_or(1, |last| last + 1)
    }

    /// Bytes of segments 1 to 3.
    pub fn tail_len(&self) -> usize {
        self.lens[1..].iter().map(|&n| n as usize).sum()
    }

    /// The bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let count = self.count();
        (out[0], out[1]) = (self.tag as u8, count as u8);
        let segments = out[2..].chunks_exact_mut(6).zip(self.lens.iter().zip(ALIGNMENTS));
        for (segment, (len, alignment)) in segments.take(count) {
            segment[..4].copy_from_slice(&len.to_le_bytes());
            segment[4..].copy_from_slice(&alignment.to_le_bytes());
        }
        let crc = ceph_crc32c(0, &out[..Self::CRC_AT]);
        out[Self::CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// What the bytes say, if a frame can begin with them. Alignments, unused segments and the
    /// reserved byte do not count.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Result<Self, Fault> {
        let mut r = Reader::new(bytes);
        r.what("preamble");
        let (tag, count) = (r.u8()?, usize::from(r.u8()?));
        let mut lens = [0; SEGMENTS];
        for len in &mut lens {
            (*len, _) = (r.u32()?, r.u16()?);
        }
        let (flags, _reserved, crc) = (r.u8()?, r.u8()?, r.u32()?);
        if ceph_crc32c(0, &bytes[..Self::CRC_AT]) != crc {
            return Err(Fault::BadPreamble("wrong crc"));
        }
        let tag = Tag::try_from(tag)?;
        if !(1..=SEGMENTS).contains(&count) {
            return Err(Fault::BadPreamble("no segments, or more than four"));
        }
        if count > 1 && lens[count - 1] == 0 {
            return Err(Fault::BadPreamble("the last segment is empty"));
        }
        if flags & COMPRESSED != 0 {
            return Err(Fault::BadPreamble("compressed, which was not agreed"));
        }
        lens[count..].fill(0);
        Ok(Self { tag, lens })
    }

    /// Compares the lengths with what may come in this phase, before there is memory for them.
    pub fn check(&self, phase: Phase) -> Result<(), Fault> {
        if self.tag != Tag::Message && self.count() > 1 {
            return Err(Fault::BadPreamble("more than one segment in a control frame"));
        }
        if self.tag == Tag::Message && phase != Phase::Ready {
            return Err(Fault::BadTag(self.tag as u8));
        }
        let control = match phase {
            Phase::Handshake(Role::Accepting) => limits::FRAME_MAX_UNAUTHENTICATED_LEN,
            Phase::Handshake(Role::Connecting) | Phase::Ready => limits::FRAME_MAX_CONTROL_LEN,
        };
        let max = [
            ("segment 0", control),
            ("front", limits::MSG_MAX_FRONT_LEN),
            ("middle", limits::MSG_MAX_MIDDLE_LEN),
            ("data", limits::MSG_MAX_DATA_LEN),
        ];
        for (len, (segment, max)) in self.lens.into_iter().zip(max) {
            if len > max {
                return Err(Fault::TooLong { segment, len });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::{hex, to_hex};

    /// Of real frames: KEEPALIVE2, WAIT, and a message with an empty middle.
    const FOREIGN: [(&str, Tag, [u32; 4], usize); 3] = [
        (
            "12010800000008000000000000000000000000000000000000000000d8d5f599",
            Tag::Keepalive2,
            [8, 0, 0, 0],
            1,
        ),
        (
            "10010000000008000000000000000000000000000000000000000000c8e3aab0",
            Tag::Wait,
            [0, 0, 0, 0],
            1,
        ),
        (
            "11042900000008000300000008000000000008000a000000001000008e6736e5",
            Tag::Message,
            [41, 3, 0, 10],
            4,
        ),
    ];

    /// The bytes with a crc that is right.
    fn signed(mut bytes: [u8; 32]) -> [u8; 32] {
        let crc = ceph_crc32c(0, &bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn changed(tag: Tag, lens: [u32; 4], change: impl FnOnce(&mut [u8; 32])) -> [u8; 32] {
        let mut bytes = Preamble::new(tag, lens).encode();
        change(&mut bytes);
        signed(bytes)
    }

    #[test]
    fn foreign_bytes() {
        for (bytes, tag, lens, count) in FOREIGN {
            let preamble = Preamble::new(tag, lens);
            assert_eq!(Preamble::decode(&hex(bytes).try_into().unwrap()), Ok(preamble));
            assert_eq!((to_hex(&preamble.encode()), preamble.count()), (bytes.into(), count));
        }
    }

    #[test]
    fn any_bit_changed_is_refused() {
        for (bytes, ..) in FOREIGN {
            for bit in 0..32 * 8 {
                let mut bad: [u8; 32] = hex(bytes).try_into().unwrap();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Preamble::decode(&bad), Err(Fault::BadPreamble("wrong crc")));
            }
        }
    }

    #[test]
    fn what_counts_and_what_does_not() {
        let lens = [41, 3, 0, 10];
        for (what, bytes, want) in [
            ("reserved", changed(Tag::Message, lens, |b| b[27] = 0x77), Ok(lens)),
            ("other flags", changed(Tag::Message, lens, |b| b[26] = 0xfe), Ok(lens)),
            ("alignment", changed(Tag::Message, lens, |b| b[6..8].fill(0xff)), Ok(lens)),
            ("unused", changed(Tag::Wait, [0; 4], |b| b[8..26].fill(0xff)), Ok([0; 4])),
            ("fewer", changed(Tag::Message, lens, |b| b[1] = 2), Ok([41, 3, 0, 0])),
            (
                "compressed",
                changed(Tag::Message, lens, |b| b[26] = 1),
                Err(Fault::BadPreamble("compressed, which was not agreed")),
            ),
            (
                "none",
                changed(Tag::Message, lens, |b| b[1] = 0),
                Err(Fault::BadPreamble("no segments, or more than four")),
            ),
            (
                "five",
                changed(Tag::Message, lens, |b| b[1] = 5),
                Err(Fault::BadPreamble("no segments, or more than four")),
            ),
            (
                "empty last",
                changed(Tag::Message, lens, |b| b[1] = 3),
                Err(Fault::BadPreamble("the last segment is empty")),
            ),
            ("tag 0", changed(Tag::Message, lens, |b| b[0] = 0), Err(Fault::BadTag(0))),
            ("tag 23", changed(Tag::Message, lens, |b| b[0] = 23), Err(Fault::BadTag(23))),
        ] {
            assert_eq!(Preamble::decode(&bytes).map(|p| p.lens), want, "{what}");
        }
    }

    #[test]
    fn lengths_have_limits_by_phase() {
        use Phase::{Handshake, Ready};
        let check = |tag, lens, phase| Preamble::new(tag, lens).check(phase);
        for tag in Tag::ALL.iter().copied().filter(|&t| t != Tag::Message) {
            for (phase, max) in [
                (Handshake(Role::Accepting), 5120),
                (Handshake(Role::Connecting), 65536),
                (Ready, 65536),
            ] {
                let too_long = Fault::TooLong { segment: "segment 0", len: max + 1 };
                assert_eq!(check(tag, [max, 0, 0, 0], phase), Ok(()));
                assert_eq!(check(tag, [max + 1, 0, 0, 0], phase), Err(too_long));
                let e = Fault::BadPreamble("more than one segment in a control frame");
                assert_eq!(check(tag, [8, 0, 0, 1], phase), Err(e));
            }
        }
        for role in [Role::Accepting, Role::Connecting] {
            let outcome = check(Tag::Message, [41, 0, 0, 0], Handshake(role));
            assert_eq!(outcome, Err(Fault::BadTag(17)));
        }
        let max = [64 << 10, 16 << 20, 16 << 20, 64 << 20];
        assert_eq!(check(Tag::Message, max, Ready), Ok(()));
        for (i, segment) in ["segment 0", "front", "middle", "data"].into_iter().enumerate() {
            for len in [max[i] + 1, u32::MAX] {
                let mut lens = max;
                lens[i] = len;
                let e = Fault::TooLong { segment, len };
                assert_eq!(check(Tag::Message, lens, Ready), Err(e));
            }
        }
    }
}
