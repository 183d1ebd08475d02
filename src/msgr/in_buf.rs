//! Where the next bytes go: a small prefetch, so that a tag does not cost a system call of its
//! own, or straight into the segment they belong to.

use std::fmt;

use super::{Fault, Transport};

/// Bytes read ahead. A small message comes with one `recv`; a large segment bypasses it.
const PREFETCH: usize = 16 << 10;

/// Bytes that were received and not yet taken.
pub struct InBuf {
    buf: Box<[u8]>,
    start: usize,
    end: usize,
    /// The last `recv` filled less than it could: the next one would block.
    drained: bool,
}

impl Default for InBuf {
    fn default() -> Self {
        Self { buf: vec![0; PREFETCH].into(), start: 0, end: 0, drained: false }
    }
}

impl fmt::Debug for InBuf {
    /// Without the bytes, which may be a key's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InBuf({} bytes)", self.len())
    }
}

impl InBuf {
    /// With nothing in it.
    pub fn new() -> Self {
        Self::default()
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
    pub fn readable(&mut self) {
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
                Ok(n) => self.drained = n < missing,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgr::pipe::Pipe;

    fn pipe(bytes: &[u8]) -> Pipe {
        let mut pipe = Pipe::default();
        pipe.feed(bytes);
        pipe
    }

    fn bytes(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    #[test]
    fn one_recv_brings_many_small_things() {
        let (mut buf, mut t) = (InBuf::new(), pipe(&bytes(100)));
        for n in [1, 53, 21, 25] {
            assert!(buf.fill(n, &mut t).unwrap());
            buf.take(n);
        }
        assert_eq!((buf.len(), t.calls.recv), (0, 1));
        // The recv came back short of the prefetch, so that another one would block.
        assert!(!buf.fill(1, &mut t).unwrap());
        assert_eq!((t.calls.recv, t.calls.blocked), (1, 0));
        buf.readable();
        assert!(!buf.fill(1, &mut t).unwrap());
        assert_eq!((t.calls.recv, t.calls.blocked), (2, 1));
    }

    #[test]
    fn bytes_arrive_in_order_however_they_are_cut() {
        let all = bytes(3 * PREFETCH);
        for per_recv in [1, 2, 3, 7, 1000, PREFETCH - 1, PREFETCH, PREFETCH + 1] {
            let (mut buf, mut t) = (InBuf::new(), pipe(&all));
            t.per_recv = per_recv;
            let (mut out, mut sizes) = (Vec::new(), [1, 9, 272, 4096, PREFETCH].iter().cycle());
            while out.len() < all.len() {
                let n = *sizes.next().unwrap().min(&(all.len() - out.len()));
                while !buf.fill(n, &mut t).unwrap() {
                    buf.readable();
                }
                out.extend_from_slice(buf.take(n));
            }
            assert!(out == all, "{per_recv} bytes per recv");
        }
    }

    #[test]
    fn a_segment_comes_whole_for_every_cut_and_length() {
        for len in [0, 1, 100, PREFETCH - 1, PREFETCH, PREFETCH + 1, 3 * PREFETCH + 5] {
            for before in [0, 1, 60] {
                for per_recv in [1, 13, 4096, PREFETCH, usize::MAX] {
                    let all = bytes(before + len + 10);
                    let (mut buf, mut t) = (InBuf::new(), pipe(&all));
                    t.per_recv = per_recv;
                    let until = |done: &mut dyn FnMut(&mut InBuf) -> Result<bool, Fault>,
                                 buf: &mut InBuf| {
                        while !done(buf).unwrap() {
                            buf.readable();
                        }
                    };
                    until(&mut |b| b.fill(before, &mut t), &mut buf);
                    assert_eq!(buf.take(before), &all[..before]);
                    let mut out = Vec::with_capacity(len);
                    until(&mut |b| b.fill_segment(&mut out, len, &mut t), &mut buf);
                    assert!(out == all[before..before + len], "{before}+{len}, {per_recv}");
                    assert_eq!(out.capacity(), len, "the segment was allocated once");
                    until(&mut |b| b.fill(10, &mut t), &mut buf);
                    assert_eq!(buf.take(10), &all[before + len..]);
                }
            }
        }
    }

    #[test]
    fn a_large_segment_goes_past_the_prefetch_and_a_short_rest_through_it() {
        let len = 10 * PREFETCH;
        let (mut buf, mut t) = (InBuf::new(), pipe(&bytes(60 + len + 21)));
        assert!(buf.fill(60, &mut t).unwrap());
        buf.take(60);
        let mut out = Vec::with_capacity(len);
        assert!(buf.fill_segment(&mut out, len, &mut t).unwrap());
        assert_eq!((t.calls.recv, t.calls.recv_spare), (1, 1), "one prefetch, the rest in place");
        buf.readable();
        assert!(buf.fill(21, &mut t).unwrap());
        assert_eq!((t.calls.recv, t.calls.blocked), (2, 0));
    }

    #[test]
    fn a_large_segment_that_is_not_all_there_costs_no_read_in_vain() {
        let len = 10 * PREFETCH;
        let (mut buf, mut t) = (InBuf::new(), pipe(&bytes(3 * PREFETCH)));
        let mut out = Vec::with_capacity(len);
        assert!(!buf.fill_segment(&mut out, len, &mut t).unwrap());
        assert_eq!((out.len(), t.calls.blocked), (3 * PREFETCH, 0));
    }

    #[test]
    fn the_end_and_an_error_are_faults_once_the_bytes_before_are_taken() {
        let (mut buf, mut t) = (InBuf::new(), pipe(b"abc"));
        t.eof = true;
        assert!(buf.fill(3, &mut t).unwrap());
        assert!(!buf.fill(4, &mut t).unwrap(), "the recv came back short");
        buf.readable();
        assert_eq!(buf.fill(4, &mut t), Err(Fault::PeerClosed));
        assert_eq!(buf.peek(), b"abc");
        let mut out = Vec::with_capacity(2 * PREFETCH);
        assert_eq!(buf.fill_segment(&mut out, 2 * PREFETCH, &mut t), Err(Fault::PeerClosed));
        assert_eq!(out, b"abc");

        let (mut buf, mut t) = (InBuf::new(), pipe(b"abc"));
        t.cut_in = 2;
        buf.fill(3, &mut t).unwrap();
        buf.readable();
        assert_eq!(buf.fill(3, &mut t), Err(Fault::Io(std::io::ErrorKind::ConnectionReset)));
    }

    #[test]
    fn reset_forgets_the_bytes_of_the_old_socket() {
        let (mut buf, mut t) = (InBuf::new(), pipe(b"old"));
        buf.fill(1, &mut t).unwrap();
        buf.reset();
        assert_eq!(buf.len(), 0);
        assert!(buf.fill(3, &mut pipe(b"new")).unwrap());
        assert_eq!(buf.take(3), b"new");
    }
}
