//! The vectored out buffer (`out_kvec` of `struct ceph_connection`).

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};

use bytes::Bytes;

use super::Transport;
use super::in_buf::would_block;

/// Longest run of bytes that a slot holds in itself: an ack, a tag and a header of a message, and of
/// messenger v2 preamble, header and crc, 77 bytes.
const INLINE: usize = 79;
/// Slots that go into one system call.
const IOV: usize = 64;
/// What a revoked message is filled up with.
static ZEROS: [u8; 4096] = [0; 4096];

enum Piece {
    Inline([u8; INLINE], u8),
    Shared(Bytes),
    Zeros(usize),
}

impl fmt::Debug for Piece {
    /// Without the bytes, which may be a key's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Inline(_, len) => (*len).into(),
            Self::Shared(b) => b.len(),
            Self::Zeros(n) => *n,
        }
    }
}

/// Which message a slot belongs to, for revoking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Not a message.
    Control,
    /// Tag and header: once begun, they go out whole.
    Header(u64),
    /// Segments and footer.
    Body(u64),
    /// What follows the header in a frame of messenger v2, or all of one that is sealed: it goes out
    /// as it is.
    Rest(u64),
}

impl Owner {
    fn message(self) -> Option<u64> {
        match self {
            Self::Control => None,
            Self::Header(id) | Self::Body(id) | Self::Rest(id) => Some(id),
        }
    }
}

/// Bytes on their way to the socket, in order: small ones by value, payloads by reference.
#[derive(Debug, Default)]
pub struct OutKvec {
    slots: VecDeque<(Owner, Piece)>,
    /// Bytes of the first slot that are written already.
    written: usize,
    /// Bytes of all slots that are not.
    unsent: usize,
}

/// What became of a message that was to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// It is not in the out buffer.
    Absent,
    /// No byte of it had been written: it is gone.
    Whole,
    /// Its header had been begun: zeros take the place of the rest.
    Half,
    /// Its frame, of messenger v2, had been begun or sealed, and goes out whole.
    Begun,
}

impl OutKvec {
    /// Drops everything that is not written yet (`con_out_kvec_reset`).
    pub fn reset(&mut self) {
        self.slots.clear();
        (self.written, self.unsent) = (0, 0);
    }

    /// Whether everything has been written.
    pub fn is_empty(&self) -> bool {
        self.unsent == 0
    }

    /// How many pieces they are in.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Bytes that are not written yet.
    pub fn len(&self) -> usize {
        self.unsent
    }

    fn push(&mut self, owner: Owner, piece: Piece) {
        if piece.len() > 0 {
            self.unsent += piece.len();
            self.slots.push_back((owner, piece));
        }
    }

    fn push_copy(&mut self, owner: Owner, bytes: &[u8]) {
        let piece = if bytes.len() <= INLINE {
            let mut buf = [0; INLINE];
            buf[..bytes.len()].copy_from_slice(bytes);
            Piece::Inline(buf, bytes.len() as u8)
        } else {
            Piece::Shared(Bytes::copy_from_slice(bytes))
        };
        self.push(owner, piece);
    }

    /// Adds bytes of the protocol itself (`con_out_kvec_add`).
    pub fn add(&mut self, bytes: &[u8]) {
        self.push_copy(Owner::Control, bytes);
    }

    /// Adds tag and header of the message with that id.
    pub(crate) fn add_header(&mut self, id: u64, bytes: &[u8]) {
        self.push_copy(Owner::Header(id), bytes);
    }

    /// Adds a segment of the message with that id, without a copy.
    pub(crate) fn add_segment(&mut self, id: u64, bytes: Bytes) {
        self.push(Owner::Body(id), Piece::Shared(bytes));
    }

    /// Adds the footer of the message with that id.
    pub(crate) fn add_footer(&mut self, id: u64, bytes: &[u8]) {
        self.push_copy(Owner::Body(id), bytes);
    }

    /// Adds the beginning of a frame of messenger v2, of the message with that id if it is one.
    pub(crate) fn begin_frame(&mut self, id: Option<u64>, bytes: &[u8]) {
        self.push_copy(id.map_or(Owner::Control, Owner::Header), bytes);
    }

    /// Adds a whole frame that is sealed, without a copy. It goes out whatever is revoked: its nonces
    /// are used, and the peer counts them.
    pub(crate) fn add_sealed(&mut self, id: Option<u64>, bytes: Bytes) {
        if mutant!(SealedRevoked) {
            return self.push(id.map_or(Owner::Control, Owner::Header), Piece::Shared(bytes));
        }
        self.add_rest(id, bytes);
    }

    /// Adds a segment to the frame that was begun last, without a copy.
    pub(crate) fn add_rest(&mut self, id: Option<u64>, bytes: Bytes) {
        self.push(id.map_or(Owner::Control, Owner::Rest), Piece::Shared(bytes));
    }

    /// Adds the end of that frame.
    pub(crate) fn add_epilogue(&mut self, id: Option<u64>, bytes: &[u8]) {
        self.push_copy(id.map_or(Owner::Control, Owner::Rest), bytes);
    }

    /// Whether some of the message is still to be written.
    #[cfg(test)]
    pub(crate) fn holds(&self, id: u64) -> bool {
        self.slots.iter().any(|(o, _)| o.message() == Some(id))
    }

    /// Takes back a message: wholly if no byte of it has gone out, else zeros follow in place of
    /// what is left, footer included, so that the receiver finds it incomplete. A frame of messenger v2
    /// that was begun goes out whole, for its checksums would no longer be right; one that is sealed,
    /// in any case.
    pub(crate) fn revoke(&mut self, id: u64) -> Revoked {
        let mine = |o: Owner| o.message() == Some(id);
        let Some(first) = self.slots.iter().position(|(o, _)| mine(*o)) else {
            return Revoked::Absent;
        };
        let whole = self.slots[first].0 == Owner::Header(id) && (first > 0 || self.written == 0);
        if whole {
            let gone =
                self.slots.iter().filter(|(o, _)| mine(*o)).map(|(_, p)| p.len()).sum::<usize>();
            self.slots.retain(|(o, _)| !mine(*o));
            self.unsent -= gone;
            return Revoked::Whole;
        }
        let mut revoked = Revoked::Begun;
        for (owner, piece) in &mut self.slots {
            if *owner == Owner::Body(id) {
                *piece = Piece::Zeros(piece.len());
                revoked = Revoked::Half;
            }
        }
        revoked
    }

    /// Writes until everything is out (true) or the transport would block (false).
    pub fn write_to(&mut self, t: &mut impl Transport) -> io::Result<bool> {
        while self.unsent > 0 {
            let mut iov = [IoSlice::new(&[]); IOV];
            let mut used = 0;
            let mut skip = self.written;
            'slots: for (_, piece) in &self.slots {
                match piece {
                    Piece::Inline(buf, len) => iov[used] = IoSlice::new(&buf[skip..(*len).into()]),
                    Piece::Shared(b) => iov[used] = IoSlice::new(&b[skip..]),
                    Piece::Zeros(n) => {
                        let mut left = n - skip;
                        while left > ZEROS.len() {
                            iov[used] = IoSlice::new(&ZEROS);
                            left -= ZEROS.len();
                            used += 1;
                            if used == IOV {
                                break 'slots;
                            }
                        }
                        iov[used] = IoSlice::new(&ZEROS[..left]);
                    }
                }
                skip = 0;
                used += 1;
                if used == IOV {
                    break;
                }
            }
            match t.send_vectored(&iov[..used]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.advance(n),
                Err(e) if would_block(&e) => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    fn advance(&mut self, n: usize) {
        self.unsent -= n;
        self.written += n;
        while let Some((_, first)) = self.slots.front() {
            if self.written < first.len() {
                break;
            }
            self.written -= first.len();
            self.slots.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgr::pipe::Pipe;

    /// An ack, then a message of two segments, as `prepare_write_message` adds them.
    fn filled() -> (OutKvec, Vec<u8>) {
        let mut kvec = OutKvec::default();
        kvec.add(&[8; 9]);
        kvec.add_header(7, &[b'h'; 54]);
        kvec.add_segment(7, Bytes::from(vec![b'f'; 100]));
        kvec.add_segment(7, Bytes::new());
        kvec.add_segment(7, Bytes::from(vec![b'd'; 70]));
        kvec.add_footer(7, &[b't'; 21]);
        let all = [&[8; 9][..], &[b'h'; 54], &[b'f'; 100], &[b'd'; 70], &[b't'; 21]].concat();
        (kvec, all)
    }

    #[test]
    fn a_write_may_stop_and_go_on_at_any_byte() {
        let (kvec, all) = filled();
        assert_eq!(kvec.len(), all.len());
        for stop in 0..=all.len() {
            let (mut kvec, _) = filled();
            let mut pipe = Pipe { budget: stop, ..Pipe::default() };
            assert_eq!(kvec.write_to(&mut pipe).unwrap(), stop == all.len(), "{stop} bytes");
            assert_eq!(kvec.len(), all.len() - stop);
            assert_eq!(kvec.is_empty(), stop == all.len());
            pipe.budget = usize::MAX;
            assert!(kvec.write_to(&mut pipe).unwrap());
            assert_eq!(pipe.output, all, "{stop} bytes");
        }
    }

    #[test]
    fn short_writes_of_every_length() {
        for per_send in 1..100 {
            let (mut kvec, all) = filled();
            let mut pipe = Pipe { per_send, ..Pipe::default() };
            assert!(kvec.write_to(&mut pipe).unwrap());
            assert_eq!(pipe.output, all);
            assert_eq!(pipe.calls.send, all.len().div_ceil(per_send));
        }
    }

    #[test]
    fn what_is_empty_costs_no_slot_and_no_call() {
        let mut kvec = OutKvec::default();
        kvec.add(&[]);
        kvec.add_segment(1, Bytes::new());
        let mut pipe = Pipe::default();
        assert!(kvec.is_empty() && kvec.write_to(&mut pipe).unwrap());
        assert_eq!(pipe.calls.send, 0);
    }

    #[test]
    fn more_slots_than_one_call_takes() {
        let mut kvec = OutKvec::default();
        let all: Vec<u8> = (0..200).collect();
        all.iter().for_each(|b| kvec.add(&[*b]));
        let mut pipe = Pipe::default();
        assert!(kvec.write_to(&mut pipe).unwrap());
        assert_eq!((&pipe.output, pipe.calls.send), (&all, 4));
    }

    #[test]
    fn bytes_longer_than_a_slot_holds_are_kept_too() {
        for len in [INLINE - 1, INLINE, INLINE + 1, 255, 256, 5000] {
            let mut kvec = OutKvec::default();
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            kvec.add(&bytes);
            let mut pipe = Pipe::default();
            assert!(kvec.write_to(&mut pipe).unwrap());
            assert_eq!(pipe.output, bytes);
        }
    }

    #[test]
    fn reset_forgets_also_what_was_half_written() {
        let (mut kvec, _) = filled();
        kvec.write_to(&mut Pipe { budget: 12, ..Pipe::default() }).unwrap();
        kvec.reset();
        assert_eq!((kvec.is_empty(), kvec.len()), (true, 0));
        kvec.add(b"new");
        let mut pipe = Pipe::default();
        assert!(kvec.write_to(&mut pipe).unwrap());
        assert_eq!(pipe.output, b"new");
    }

    #[test]
    fn an_error_and_a_transport_that_takes_nothing_are_errors() {
        struct Full;
        impl Transport for Full {
            fn recv(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Ok(0)
            }
            fn recv_spare(&mut self, _: &mut Vec<u8>, _: usize) -> io::Result<usize> {
                Ok(0)
            }
            fn send_vectored(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
                Ok(0)
            }
        }
        let (mut kvec, all) = filled();
        assert_eq!(kvec.write_to(&mut Full).unwrap_err().kind(), io::ErrorKind::WriteZero);
        let mut pipe = Pipe { cut_out: 3, ..Pipe::default() };
        assert_eq!(kvec.write_to(&mut pipe).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(kvec.len(), all.len() - 3);
    }

    #[test]
    fn a_revoked_message_is_gone_or_ends_in_zeros() {
        let (_, all) = filled();
        let (ack, header_end) = (9, 9 + 54);
        for written in 0..=all.len() {
            let (mut kvec, _) = filled();
            kvec.add(b"next");
            let mut pipe = Pipe { budget: written, ..Pipe::default() };
            kvec.write_to(&mut pipe).unwrap();
            let revoked = kvec.revoke(7);
            assert_eq!(kvec.revoke(8), Revoked::Absent);
            pipe.budget = usize::MAX;
            assert!(kvec.write_to(&mut pipe).unwrap() && kvec.is_empty());
            let message = if written <= ack {
                assert_eq!(revoked, Revoked::Whole, "{written} bytes");
                all[..ack].to_vec()
            } else if written < all.len() {
                assert_eq!(revoked, Revoked::Half, "{written} bytes");
                let mut message = all.clone();
                message[written.max(header_end)..].fill(0);
                message
            } else {
                assert_eq!(revoked, Revoked::Absent);
                all.clone()
            };
            assert_eq!(pipe.output, [&message[..], b"next"].concat(), "{written} bytes");
        }
    }

    #[test]
    fn a_frame_of_v2_that_was_begun_goes_out_whole() {
        let frame = [&[b'p'; 77][..], &[b'd'; 100], &[b'e'; 13]].concat();
        for written in 0..9 + frame.len() + 96 {
            let mut kvec = OutKvec::default();
            kvec.add(&[8; 9]);
            kvec.begin_frame(Some(7), &frame[..77]);
            kvec.add_rest(Some(7), Bytes::from(vec![b'd'; 100]));
            kvec.add_epilogue(Some(7), &frame[177..]);
            kvec.add_sealed(Some(8), Bytes::from(vec![b's'; 96]));
            let mut pipe = Pipe { budget: written, ..Pipe::default() };
            kvec.write_to(&mut pipe).unwrap();
            let (revoked, gone) = match written {
                0..=9 => (Revoked::Whole, 190),
                10..199 => (Revoked::Begun, 0),
                _ => (Revoked::Absent, 0),
            };
            assert_eq!(kvec.revoke(7), revoked, "{written} bytes");
            assert_eq!(kvec.revoke(8), Revoked::Begun, "{written} bytes");
            assert_eq!(kvec.len(), 9 + 190 + 96 - gone - written);
            pipe.budget = usize::MAX;
            assert!(kvec.write_to(&mut pipe).unwrap());
            let mut all = [&[8; 9][..], &frame, &[b's'; 96]].concat();
            all.drain(9..9 + gone);
            assert_eq!(pipe.output, all, "{written} bytes");
        }
    }

    #[test]
    fn a_long_segment_is_filled_up_with_as_many_zeros() {
        let page = ZEROS.len();
        for len in [page - 1, page, page + 1, 2 * page, IOV * page, IOV * page + 1, 3 * IOV * page]
        {
            for written in [1, 54, 55, 54 + page - 2] {
                let mut kvec = OutKvec::default();
                kvec.add_header(1, &[b'h'; 54]);
                kvec.add_segment(1, Bytes::from(vec![b'd'; len]));
                kvec.add_footer(1, &[b't'; 13]);
                kvec.add(b"next");
                let mut pipe = Pipe { budget: written, ..Pipe::default() };
                kvec.write_to(&mut pipe).unwrap();
                assert_eq!(kvec.revoke(1), Revoked::Half);
                (pipe.budget, pipe.per_send) = (usize::MAX, 100_000);
                assert!(kvec.write_to(&mut pipe).unwrap());
                let mut want = vec![b'h'; 54];
                want.resize(written.max(54), b'd');
                want.resize(54 + len + 13, 0);
                want.extend(b"next");
                assert!(pipe.output == want, "{len} bytes, {written} written");
            }
        }
    }

    #[test]
    fn segments_are_written_from_where_they_lie() {
        let segment = Bytes::from(vec![1; 5000]);
        let mut kvec = OutKvec::default();
        kvec.add_header(1, &[b'h'; 54]);
        kvec.add_segment(1, segment.clone());
        let mut pipe = Pipe { per_send: 1054, ..Pipe::default() };
        kvec.write_to(&mut pipe).unwrap();
        assert_eq!(pipe.slices[1], (segment.as_ptr(), 5000));
        assert_eq!(pipe.slices[2], (segment[1000..].as_ptr(), 4000), "and on from there");
    }
}
