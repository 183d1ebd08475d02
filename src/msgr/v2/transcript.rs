//! What AUTH_SIGNATURE signs: every byte of the handshake.

use std::fmt;

use crate::msgr::Fault;

/// The bytes of one direction, from the banner on, until they are taken; then it keeps no more.
pub struct Transcript {
    kept: Option<Vec<u8>>,
    max: usize,
}

impl fmt::Debug for Transcript {
    /// Without the bytes: tickets are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transcript").field(&self.kept.as_ref().map(Vec::len)).finish()
    }
}

impl Transcript {
    /// An empty one, for so many bytes at most.
    pub(super) fn new(max: usize) -> Self {
        Self { kept: Some(Vec::new()), max }
    }

    /// Bytes have been sent, or have been received, checksums and all.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let len = kept.len() + bytes.len();
        if len > self.max {
            let len = len.try_into().unwrap_or(u32::MAX);
            return Err(Fault::TooLong { segment: "handshake", len });
        }
        kept.extend_from_slice(bytes);
        Ok(())
    }

    /// Everything so far. Of what comes now nothing is kept.
    pub fn take(&mut self) -> Vec<u8> {
        self.kept.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_all_until_it_is_taken_and_nothing_after() {
        let mut transcript = Transcript::new(13);
        transcript.add(b"banner").unwrap();
        transcript.add(b", HELLO").unwrap();
        assert_eq!(transcript.take(), b"banner, HELLO");
        transcript.add(&[0; 14]).unwrap();
        assert_eq!(transcript.take(), b"");
    }

    #[test]
    fn a_handshake_without_end_is_refused() {
        let mut transcript = Transcript::new(100);
        transcript.add(&[0; 100]).unwrap();
        let e = transcript.add(&[0]).unwrap_err();
        assert_eq!(e, Fault::TooLong { segment: "handshake", len: 101 });
    }
}
