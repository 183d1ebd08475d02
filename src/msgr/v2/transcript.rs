//! What AUTH_SIGNATURE signs: every byte of the handshake.

use crate::limits;
use crate::msgr::Fault;

/// The bytes of one direction, from the banner on, until they are taken; then it keeps no more.
#[derive(Debug)]
pub struct Transcript(Option<Vec<u8>>);

impl Default for Transcript {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

impl Transcript {
    /// Bytes have been sent, or have been received, checksums and all.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(kept) = &mut self.0 else { return Ok(()) };
        let len = kept.len() + bytes.len();
        if len > limits::MAX_TRANSCRIPT_LEN {
            let len = len.try_into().unwrap_or(u32::MAX);
            return Err(Fault::TooLong { segment: "handshake", len });
        }
        kept.extend_from_slice(bytes);
        Ok(())
    }

    /// Everything so far. Of what comes now nothing is kept.
    pub fn take(&mut self) -> Vec<u8> {
        self.0.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_all_until_it_is_taken_and_nothing_after() {
        let mut transcript = Transcript::default();
        transcript.add(b"banner").unwrap();
        transcript.add(b", HELLO").unwrap();
        assert_eq!(transcript.take(), b"banner, HELLO");
        transcript.add(&[0; limits::MAX_TRANSCRIPT_LEN + 1]).unwrap();
        assert_eq!(transcript.take(), b"");
    }

    #[test]
    fn a_handshake_without_end_is_refused() {
        let mut transcript = Transcript::default();
        transcript.add(&[0; limits::MAX_TRANSCRIPT_LEN]).unwrap();
        let e = transcript.add(&[0]).unwrap_err();
        assert_eq!(e, Fault::TooLong { segment: "handshake", len: (64 << 10) + 1 });
    }
}
