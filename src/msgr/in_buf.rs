//! Where the next bytes go: a small prefetch, so that a tag does not cost a system call of its
//! own, or straight into the segment they belong to.

use super::{Fault, Transport};

/// Bytes read ahead. A small message comes with one `recv`; a large segment bypasses it.
const PREFETCH: usize = 16 << 10;

/// Bytes that were received and not yet taken.
#[derive(Debug)]
pub(crate) struct InBuf {
    buf: Box<[u8]>,
    start: usize,
    end: usize,
    /// The last `recv` filled less than it could: the next one would block.
    drained: bool,
}

impl InBuf {
    pub(crate) fn new() -> Self {
        Self { buf: vec![0; PREFETCH].into(), start: 0, end: 0, drained: false }
    }

    /// Forgets everything: the bytes belonged to a socket that is gone.
    pub(crate) fn reset(&mut self) {
        (self.start, self.end, self.drained) = (0, 0, false);
    }

    /// How many bytes are there to take.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// The bytes that are there.
    pub(crate) fn peek(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// A new round of reading: the socket may have more since it was last found empty.
    pub(crate) fn readable(&mut self) {
        self.drained = false;
    }

    /// Makes at least `need` bytes available, `need` being at most the prefetch; false where
    /// they are not there yet.
    pub(crate) fn fill(&mut self, need: usize, t: &mut impl Transport) -> Result<bool, Fault> {
        while self.len() < need {
            if self.drained {
                return Ok(false);
            }
            if self.start > 0 {
                self.buf.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            let room = &mut self.buf[self.end..];
            match t.recv(room) {
                Ok(0) => return Err(Fault::PeerClosed),
                Ok(n) => {
                    self.drained = n < room.len();
                    self.end += n;
                }
                Err(e) if would_block(&e) => {
                    self.drained = true;
                    return Ok(false);
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(true)
    }

    /// Takes exactly `n` bytes that `fill` has made available.
    pub(crate) fn take(&mut self, n: usize) -> &[u8] {
        let at = self.start;
        self.start += n.min(self.len());
        &self.buf[at..self.start]
    }

    /// Appends to `out` until it holds `want` bytes: first what is there, then from the socket
    /// without a copy. False where they are not all there yet.
    pub(crate) fn fill_segment(
        &mut self,
        out: &mut Vec<u8>,
        want: usize,
        t: &mut impl Transport,
    ) -> Result<bool, Fault> {
        while out.len() < want {
            let missing = want - out.len();
            if self.len() > 0 {
                let n = missing.min(self.len());
                out.extend_from_slice(self.take(n));
                continue;
            }
            if missing < self.buf.len() {
                // A short rest goes through the prefetch, together with what follows it.
                if !self.fill(1, t)? {
                    return Ok(false);
                }
                continue;
            }
            if self.drained {
                return Ok(false);
            }
            match t.recv_spare(out, missing) {
                Ok(0) => return Err(Fault::PeerClosed),
                Ok(_) => {}
                Err(e) if would_block(&e) => {
                    self.drained = true;
                    return Ok(false);
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(true)
    }
}

pub(crate) fn would_block(e: &std::io::Error) -> bool {
    e.kind() == std::io::ErrorKind::WouldBlock
}
