//! From bytes to a frame (`FrameAssembler::disassemble_*`, `handle_preamble` and what follows it in
//! the kernel).

use std::fmt;

use bytes::{Buf as _, Bytes};

use super::{Phase, Revision, Role, Seal};
use crate::crypto::GCM_TAG_LEN;
use crate::limits;
use crate::msgr::v2::epilogue::{Epilogue, Late, segment_crc};
use crate::msgr::v2::frame::{INLINE, Layout};
use crate::msgr::v2::{Frame, Preamble, SEGMENTS, Tag, Transcript};
use crate::msgr::{Fault, InBuf, Transport};

/// What [`FrameRx::read`] has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// A frame begins, its lengths are within their limits, and no memory has been taken for it yet:
    /// that happens with the next call, which may wait until there is room. In a sealed frame of
    /// revision 0 the lengths are **not authentic** before the frame is there.
    Header(Preamble),
    /// The frame.
    Frame(Frame<'a>),
    /// The frame was whole, but its sender took it back at its end: it does not count, its seq neither.
    Aborted(Preamble),
}

/// What is read next.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    Preamble,
    /// The preamble is there and has been told.
    Header,
    /// Segment 0, or the rest of it.
    Head,
    /// Segments 1 to 3, and if sealed all up to the end.
    Tail,
    Epilogue,
    Faulted(Fault),
}

/// The frames that come in on one socket.
pub struct FrameRx {
    revision: Revision,
    role: Role,
    phase: Phase,
    seal: Option<Seal>,
    crc_data: bool,
    stage: Stage,
    preamble: Preamble,
    /// Segment 0; its memory is kept for the next frame.
    head: Vec<u8>,
    /// What will be the segments of the frame.
    tail: Vec<u8>,
    transcript: Transcript,
}

impl fmt::Debug for FrameRx {
    /// Without the bytes of frames, which may be a key's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameRx")
            .field("revision", &self.revision)
            .field("phase", &self.phase)
            .field("seal", &self.seal)
            .field("stage", &self.stage)
            .field("preamble", &self.preamble)
            .field("transcript", &self.transcript)
            .finish_non_exhaustive()
    }
}

impl FrameRx {
    /// Of a socket on which the banners have been exchanged. Frames come with checksums until
    /// [`super::set_con_mode`] says otherwise, and messages are refused until [`Self::set_ready`].
    pub fn new(revision: Revision, role: Role) -> Self {
        let transcript = match role {
            Role::Connecting => limits::MAX_TRANSCRIPT_LEN,
            Role::Accepting => limits::MAX_UNAUTHENTICATED_TRANSCRIPT_LEN,
        };
        Self {
            revision,
            role,
            phase: Phase::Handshake(role),
            seal: None,
            crc_data: true,
            stage: Stage::Preamble,
            preamble: Preamble::new(Tag::Wait, [0; SEGMENTS]),
            head: Vec::new(),
            tail: Vec::new(),
            transcript: Transcript::new(transcript),
        }
    }

    /// The session is open: from the next frame on messages may come.
    pub fn set_ready(&mut self) {
        self.phase = Phase::Ready;
    }

    /// Whether the checksums of segments are looked at (`ms_crc_data`).
    pub fn set_crc_data(&mut self, crc_data: bool) {
        self.crc_data = crc_data;
    }

    /// The bytes that have come in the clear, frame by frame: what was read ahead is not among them.
    /// Those of the banner are the caller's to add.
    pub fn transcript(&mut self) -> &mut Transcript {
        &mut self.transcript
    }

    /// How the frames are laid out.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The frame that has begun and is not there yet.
    pub fn under_way(&self) -> Option<Preamble> {
        match self.stage {
            Stage::Preamble | Stage::Faulted(_) => None,
            _ => Some(self.preamble),
        }
    }

    pub(super) fn set_secure(&mut self, seal: Seal) {
        self.seal = Some(seal);
    }

    #[cfg(test)]
    pub(in crate::msgr::v2) fn seal(&mut self) -> &mut Seal {
        self.seal.as_mut().unwrap()
    }

    /// Bytes of memory that are held for segments.
    #[cfg(test)]
    pub(in crate::msgr::v2) fn reserved(&self) -> usize {
        self.head.capacity() + self.tail.capacity()
    }

    /// Reads until a frame has begun, or has ended; `None` where the transport has no more for now.
    /// After a fault it is that fault for ever.
    pub fn read(
        &mut self,
        in_buf: &mut InBuf,
        t: &mut impl Transport,
    ) -> Result<Option<Read<'_>>, Fault> {
        match self.read_stages(in_buf, t) {
            Ok(None) => Ok(None),
            Ok(Some(Found::Header)) => Ok(Some(Read::Header(self.preamble))),
            Ok(Some(Found::Aborted)) => Ok(Some(Read::Aborted(self.preamble))),
            Ok(Some(Found::Frame([front, middle, data]))) => {
                let (tag, payload) = (self.preamble.tag, &self.head[..]);
                Ok(Some(Read::Frame(Frame { tag, payload, front, middle, data })))
            }
            Err(fault) => {
                // What was opened in vain, and what cannot be trusted.
                (self.head, self.tail) = Default::default();
                self.stage = Stage::Faulted(fault.clone());
                Err(fault)
            }
        }
    }

    fn layout(&self) -> Layout {
        Layout::new(self.revision, self.seal.is_some(), &self.preamble)
    }

    fn read_stages(
        &mut self,
        in_buf: &mut InBuf,
        t: &mut impl Transport,
    ) -> Result<Option<Found>, Fault> {
        loop {
            let layout = self.layout();
            match &self.stage {
                Stage::Faulted(fault) => return Err(fault.clone()),
                Stage::Preamble => {
                    let need = Layout::first_block(self.revision, self.seal.is_some());
                    if !in_buf.fill(need, t)? {
                        return Ok(None);
                    }
                    self.read_preamble(in_buf.take(need))?;
                    self.stage = Stage::Header;
                    return Ok(Some(Found::Header));
                }
                Stage::Header => {
                    self.prepare_read(&layout);
                    self.stage = Stage::Head;
                }
                Stage::Head => {
                    let want = match layout.head() {
                        0 => self.head.len(),
                        n => self.inline(&layout) + n,
                    };
                    if !in_buf.fill_segment(&mut self.head, want, t)? {
                        return Ok(None);
                    }
                    self.read_head(&layout)?;
                    self.stage = Stage::Tail;
                }
                Stage::Tail => {
                    if !in_buf.fill_segment(&mut self.tail, layout.tail(), t)? {
                        return Ok(None);
                    }
                    if layout.secure {
                        self.stage = Stage::Preamble;
                        return self.read_tail_secure(&layout).map(Some);
                    }
                    self.stage = Stage::Epilogue;
                }
                Stage::Epilogue => {
                    let need = layout.epilogue();
                    if !in_buf.fill(need, t)? {
                        return Ok(None);
                    }
                    self.stage = Stage::Preamble;
                    return self.read_epilogue(&layout, in_buf.take(need)).map(Some);
                }
            }
        }
    }

    /// Bytes of segment 0 that came with the preamble.
    fn inline(&self, layout: &Layout) -> usize {
        match (layout.revision, layout.secure) {
            (Revision::V2_1, true) => layout.lens[0].min(INLINE),
            _ => 0,
        }
    }

    fn read_preamble(&mut self, block: &[u8]) -> Result<(), Fault> {
        const SHORT: Fault = Fault::BadPreamble("too short");
        self.head.clear();
        self.tail.clear();
        let first = block.first_chunk::<{ Preamble::LEN }>().ok_or(SHORT)?;
        let Some(seal) = &mut self.seal else {
            self.transcript.add(block)?;
            self.preamble = Preamble::decode(first)?;
            return self.preamble.check(self.phase);
        };
        if self.revision == Revision::V2_0 {
            // Nothing authenticates the lengths before all is there that they tell of: they are
            // checked like those of anybody, and again as a part of the whole.
            self.preamble = Preamble::decode(&seal.peek(first)?)?;
            self.head.extend_from_slice(block);
            return self.preamble.check(self.phase);
        }
        let mut block: [u8; Preamble::LEN + INLINE + GCM_TAG_LEN] =
            block.try_into().map_err(|_| SHORT)?;
        seal.open(&mut block)?;
        let (first, rest) = block.split_first_chunk().ok_or(SHORT)?;
        self.preamble = Preamble::decode(first)?;
        self.preamble.check(self.phase)?;
        let inline = self.inline(&self.layout());
        self.head.extend_from_slice(&rest[..inline]);
        Ok(())
    }

    /// Takes memory for what follows the preamble.
    fn prepare_read(&mut self, layout: &Layout) {
        self.head.reserve_exact(layout.head());
        self.tail.reserve_exact(layout.tail());
        if layout.secure && layout.revision == Revision::V2_0 {
            self.tail.append(&mut self.head);
        }
    }

    /// Segment 0 is there, with its checksum or its tag, if it has one of its own.
    fn read_head(&mut self, layout: &Layout) -> Result<(), Fault> {
        if layout.head() == 0 {
            return Ok(());
        }
        if let Some(seal) = &mut self.seal {
            seal.open(&mut self.head[INLINE..])?;
        } else {
            self.transcript.add(&self.head)?;
            if layout.revision == Revision::V2_1 {
                let Some((payload, crc)) = self.head.split_last_chunk() else {
                    return Err(Fault::BadSegmentCrc(0));
                };
                self.check_crc(0, payload, u32::from_le_bytes(*crc))?;
            }
        }
        self.head.truncate(layout.lens[0]);
        Ok(())
    }

    fn check_crc(&self, i: usize, segment: &[u8], crc: u32) -> Result<(), Fault> {
        match !self.crc_data || segment_crc(segment) == crc {
            true => Ok(()),
            false => Err(Fault::BadSegmentCrc(i)),
        }
    }

    fn read_tail_secure(&mut self, layout: &Layout) -> Result<Found, Fault> {
        let (Some(seal), true) = (&mut self.seal, layout.tail() > 0) else {
            return Ok(Found::Frame(Default::default()));
        };
        seal.open(&mut self.tail)?;
        let mut at = 0;
        if layout.revision == Revision::V2_0 {
            let first = self.tail.first_chunk().ok_or(Fault::BadSeal)?;
            if Preamble::decode(first)? != self.preamble {
                return Err(Fault::BadSeal);
            }
            at = Preamble::LEN;
            self.head.extend_from_slice(&self.tail[at..at + layout.lens[0]]);
            at += layout.padded(0);
        }
        let epilogue = layout.tail() - GCM_TAG_LEN - Epilogue::SECURE_LEN;
        let late = Late::decode(layout.revision, self.tail[epilogue])?;
        self.tail.truncate(epilogue);
        Ok(self.finish(layout, at, late))
    }

    fn read_epilogue(&mut self, layout: &Layout, bytes: &[u8]) -> Result<Found, Fault> {
        if bytes.is_empty() {
            return Ok(Found::Frame(Default::default()));
        }
        self.transcript.add(&self.tail)?;
        self.transcript.add(bytes)?;
        let epilogue = Epilogue::decode(layout.revision, bytes)?;
        if layout.revision == Revision::V2_0 {
            self.check_crc(0, &self.head, epilogue.crcs[0])?;
        }
        let mut rest = &self.tail[..];
        for i in 1..layout.count {
            let segment;
            (segment, rest) = rest.split_at(layout.lens[i].min(rest.len()));
            self.check_crc(i, segment, epilogue.crcs[i])?;
        }
        Ok(self.finish(layout, 0, epilogue.late))
    }

    /// The segments, which lie in the tail from `at` on.
    fn finish(&mut self, layout: &Layout, at: usize, late: Late) -> Found {
        let mut tail = Bytes::from(std::mem::take(&mut self.tail));
        if late == Late::Aborted {
            return Found::Aborted;
        }
        tail.advance(at);
        // The last one that is not empty takes what is left: then nothing is shared, and nothing counted.
        Found::Frame([1, 2, 3].map(|i| {
            let segment = tail.split_to(layout.lens[i]);
            tail.advance(layout.padded(i) - layout.lens[i]);
            segment
        }))
    }
}

/// The same as [`Read`], without what is lent.
enum Found {
    Header,
    Frame([Bytes; SEGMENTS - 1]),
    Aborted,
}
