//! The vectored out buffer (`out_kvec` of `struct ceph_connection`).

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;

use super::Transport;
use super::in_buf::would_block;

/// Longest run of bytes that a slot holds in itself: an ack, a tag and a header of a message.
const INLINE: usize = 63;
/// Slots that go into one system call.
const IOV: usize = 64;
/// What a revoked message is filled up with.
static ZEROS: [u8; 4096] = [0; 4096];

#[derive(Debug)]
enum Piece {
    Inline([u8; INLINE], u8),
    Shared(Bytes),
    Zeros(usize),
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

    /// Takes back a message: wholly if no byte of it has gone out, else zeros follow in place of
    /// what is left, footer included, so that the receiver finds it incomplete.
    pub(crate) fn revoke(&mut self, id: u64) -> Revoked {
        let mine = |o: Owner| o == Owner::Header(id) || o == Owner::Body(id);
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
        for (owner, piece) in &mut self.slots {
            if *owner == Owner::Body(id) {
                *piece = Piece::Zeros(piece.len());
            }
        }
        Revoked::Half
    }

    /// Writes until everything is out (true) or the transport would block (false).
    pub(crate) fn write_to(&mut self, t: &mut impl Transport) -> io::Result<bool> {
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
