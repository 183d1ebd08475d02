//! From a frame to bytes in the out buffer (`FrameAssembler::assemble_frame`, `prepare_*_plain` and
//! `prepare_*_secure` of the kernel).

use std::fmt;

use bytes::Bytes;

use super::{Revision, Seal};
use crate::limits;
use crate::msgr::v2::epilogue::{Epilogue, Late, segment_crc};
use crate::msgr::v2::frame::{BLOCK, INLINE, Layout};
use crate::msgr::v2::{OutFrame, Preamble, SEGMENTS, Transcript};
use crate::msgr::{Fault, OutKvec};

/// The frames that go out on one socket.
pub struct FrameTx {
    revision: Revision,
    seal: Option<Seal>,
    crc_data: bool,
    transcript: Transcript,
    /// Where the beginning of a frame is put together.
    head: Vec<u8>,
}

impl fmt::Debug for FrameTx {
    /// Without the bytes of frames, which may be a key's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameTx")
            .field("revision", &self.revision)
            .field("seal", &self.seal)
            .field("transcript", &self.transcript)
            .finish_non_exhaustive()
    }
}

impl FrameTx {
    /// Of a socket on which the banners have been exchanged. Frames go out with checksums until
    /// [`super::set_con_mode`] says otherwise.
    pub fn new(revision: Revision) -> Self {
        Self {
            revision,
            seal: None,
            crc_data: true,
            transcript: Transcript::new(limits::MAX_TRANSCRIPT_LEN),
            head: Vec::new(),
        }
    }

    /// Whether segments get checksums; without (`ms_crc_data = false`) they are 0, and the peer must not
    /// look at them.
    pub fn set_crc_data(&mut self, crc_data: bool) {
        self.crc_data = crc_data;
    }

    /// The bytes that have gone out in the clear. Those of the banner are the caller's to add.
    pub fn transcript(&mut self) -> &mut Transcript {
        &mut self.transcript
    }

    pub(super) fn set_secure(&mut self, seal: Seal) {
        self.seal = Some(seal);
    }

    #[cfg(test)]
    pub(in crate::msgr::v2) fn seal(&mut self) -> &mut Seal {
        self.seal.as_mut().unwrap()
    }

    /// Puts a frame behind what is in the out buffer. With checksums segments 1 to 3 travel without a
    /// copy, sealed with one.
    ///
    /// After an error the buffer is as it was, but the connection must end.
    pub fn add_frame(&mut self, out: &mut OutKvec, frame: OutFrame<'_>) -> Result<(), Fault> {
        let preamble = Preamble::new(frame.tag, lens(&frame)?);
        if frame.aborted && self.revision == Revision::V2_1 && preamble.count() == 1 {
            return Err(Fault::BadLateStatus(Late::Aborted.encode(self.revision)));
        }
        match &mut self.seal {
            Some(seal) => {
                let layout = Layout::new(self.revision, true, &preamble);
                let sealed = assemble_secure(seal, &layout, &preamble, &frame)?;
                out.add_sealed(frame.id, sealed);
                Ok(())
            }
            None => self.assemble_crc(out, &preamble, frame),
        }
    }

    fn assemble_crc(
        &mut self,
        out: &mut OutKvec,
        preamble: &Preamble,
        frame: OutFrame<'_>,
    ) -> Result<(), Fault> {
        let OutFrame { id, payload, tail, aborted, .. } = frame;
        let layout = Layout::new(self.revision, false, preamble);
        let crc_data = self.crc_data;
        let crc = |segment: &[u8]| if crc_data { segment_crc(segment) } else { 0 };

        let head = &mut self.head;
        head.clear();
        head.extend_from_slice(&preamble.encode());
        head.extend_from_slice(payload);
        if self.revision == Revision::V2_1 && !payload.is_empty() {
            head.extend_from_slice(&crc(payload).to_le_bytes());
        }
        self.transcript.add(head)?;

        let mut epilogue = ([0; Epilogue::REV0_LEN], 0);
        if layout.epilogue() > 0 {
            let mut crcs = [0; SEGMENTS];
            let segments = std::iter::once(payload).chain(tail.iter().map(|s| &s[..]));
            for (to, segment) in crcs.iter_mut().zip(segments).take(layout.count) {
                *to = crc(segment);
            }
            epilogue = Epilogue { late: Late::new(aborted), crcs }.encode(self.revision);
            for segment in &tail {
                self.transcript.add(segment)?;
            }
            self.transcript.add(&epilogue.0[..epilogue.1])?;
        }

        out.begin_frame(id, head);
        for segment in tail {
            out.add_rest(id, segment);
        }
        out.add_epilogue(id, &epilogue.0[..epilogue.1]);
        Ok(())
    }
}

fn lens(frame: &OutFrame<'_>) -> Result<[u32; SEGMENTS], Fault> {
    let [front, middle, data] = &frame.tail;
    let mut lens = [0; SEGMENTS];
    let segments =
        [("segment 0", frame.payload), ("front", front), ("middle", middle), ("data", data)];
    for (to, (segment, bytes)) in lens.iter_mut().zip(segments) {
        let too_long = Fault::TooLong { segment, len: u32::MAX };
        *to = bytes.len().try_into().map_err(|_| too_long)?;
    }
    Ok(lens)
}

/// The whole frame in one buffer.
fn assemble_secure(
    seal: &mut Seal,
    layout: &Layout,
    preamble: &Preamble,
    frame: &OutFrame<'_>,
) -> Result<Bytes, Fault> {
    let mut buf = Vec::with_capacity(layout.total());
    let late = Late::new(frame.aborted).encode(layout.revision);
    buf.extend_from_slice(&preamble.encode());
    // Where the GCM message begins that is being put together.
    let mut at = 0;
    match layout.revision {
        Revision::V2_0 => pad(&mut buf, frame.payload),
        Revision::V2_1 => {
            let (inline, rest) = frame.payload.split_at(frame.payload.len().min(INLINE));
            buf.extend_from_slice(inline);
            buf.resize(Preamble::LEN + INLINE, 0);
            seal.seal(&mut buf, at)?;
            at = buf.len();
            if !rest.is_empty() {
                pad(&mut buf, rest);
                seal.seal(&mut buf, at)?;
                at = buf.len();
            }
        }
    }
    if layout.tail() > 0 {
        for segment in &frame.tail {
            pad(&mut buf, segment);
        }
        let mut epilogue = [0; Epilogue::SECURE_LEN];
        epilogue[0] = late;
        buf.extend_from_slice(&epilogue);
        seal.seal(&mut buf, at)?;
    }
    Ok(buf.into())
}

/// Appends a segment and zeros up to the next block; `buf` holds whole blocks.
fn pad(buf: &mut Vec<u8>, segment: &[u8]) {
    buf.extend_from_slice(segment);
    buf.resize(buf.len().next_multiple_of(BLOCK), 0);
}
