//! The nonces of one direction: a counter that must not come round.

use zeroize::Zeroizing;

use super::Revision;
use crate::msgr::Fault;

/// The next nonce, from the first one that the connection secret has. Revision 0: `u32` counter, then
/// 8 fixed bytes; revision 1: 4 fixed bytes, then `u64` counter; both little-endian and wrapping.
pub(super) struct Nonce {
    revision: Revision,
    first: Zeroizing<[u8; 12]>,
    next: Zeroizing<[u8; 12]>,
    /// The next one has come round to the first.
    used_up: bool,
}

impl Nonce {
    pub(super) fn new(revision: Revision, first: [u8; 12]) -> Self {
        Self { revision, first: first.into(), next: first.into(), used_up: false }
    }

    /// The one that the next message has.
    pub(super) fn peek(&self) -> Result<[u8; 12], Fault> {
        if self.used_up { Err(Fault::OutOfNonces) } else { Ok(*self.next) }
    }

    /// The same, and the message after it has another.
    pub(super) fn next(&mut self) -> Result<[u8; 12], Fault> {
        let nonce = self.peek()?;
        match self.revision {
            Revision::V2_0 => increment(&mut self.next[..4]),
            Revision::V2_1 => increment(&mut self.next[4..]),
        }
        self.used_up = self.next == self.first;
        Ok(nonce)
    }

    /// Goes on as if so many messages had gone before.
    #[cfg(test)]
    pub(super) fn skip(&mut self, messages: u64) {
        let first = &self.first;
        match self.revision {
            Revision::V2_0 => {
                let counter = u32::from_le_bytes(*first.first_chunk().unwrap());
                let counter = counter.wrapping_add(messages as u32);
                self.next[..4].copy_from_slice(&counter.to_le_bytes());
            }
            Revision::V2_1 => {
                let counter = u64::from_le_bytes(*first.last_chunk().unwrap());
                let counter = counter.wrapping_add(messages);
                self.next[4..].copy_from_slice(&counter.to_le_bytes());
            }
        }
    }
}

/// Adds 1 to a little-endian number, which wraps.
fn increment(counter: &mut [u8]) {
    for byte in counter {
        let carry;
        (*byte, carry) = byte.overflowing_add(1);
        if !carry {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::{hex, to_hex};

    fn nonce(revision: Revision, first: &str) -> Nonce {
        Nonce::new(revision, hex(first).try_into().unwrap())
    }

    #[test]
    fn the_first_is_used_as_it_is_and_the_counter_grows() {
        for (revision, want) in [
            (Revision::V2_0, ["fffe00000102030405060708", "00ff00000102030405060708"]),
            (Revision::V2_1, ["fffe00000102030405060708", "fffe00000202030405060708"]),
        ] {
            let mut nonce = nonce(revision, "fffe00000102030405060708");
            for want in want {
                assert_eq!(to_hex(&nonce.peek().unwrap()), want);
                assert_eq!(to_hex(&nonce.next().unwrap()), want);
            }
        }
    }

    #[test]
    fn the_counter_wraps_without_touching_what_is_fixed() {
        for (revision, first, second) in [
            (Revision::V2_0, "ffffffffffffffffffffffff", "00000000ffffffffffffffff"),
            (Revision::V2_1, "ffffffffffffffffffffffff", "ffffffff0000000000000000"),
        ] {
            let mut nonce = nonce(revision, first);
            assert_eq!(to_hex(&nonce.next().unwrap()), first);
            assert_eq!(to_hex(&nonce.next().unwrap()), second);
        }
    }

    #[test]
    fn the_one_that_comes_round_is_refused_for_ever() {
        for (revision, last) in [(Revision::V2_0, u64::from(u32::MAX)), (Revision::V2_1, u64::MAX)]
        {
            for first in ["000000000000000000000000", "1c1d1e1f2021222324252627"] {
                let mut nonce = nonce(revision, first);
                nonce.skip(last - 1);
                nonce.next().unwrap();
                assert_ne!(to_hex(&nonce.next().unwrap()), first, "the last of all");
                for _ in 0..3 {
                    assert_eq!(nonce.peek(), Err(Fault::OutOfNonces));
                    assert_eq!(nonce.next(), Err(Fault::OutOfNonces));
                }
            }
        }
    }
}
