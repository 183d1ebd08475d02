//! A transport in memory, for machines that are fed with bytes and for pairs of them.

use std::io::{self, ErrorKind, IoSlice};

use ceph_msgr::msgr::Transport;

/// One end of a connection: what the machine reads is put into it with [`Pipe::feed`], what the
/// machine has written is in [`Pipe::output`]. [`Pipe::carry`] joins two.
#[derive(Debug)]
pub struct Pipe {
    input: Vec<u8>,
    read: usize,
    /// Everything that the machine has written to this socket.
    pub output: Vec<u8>,
    carried: usize,
    /// Bytes that one call reads at most.
    pub per_recv: usize,
    /// Bytes that one call takes at most.
    pub per_send: usize,
    /// Bytes that are taken before a send would block.
    pub budget: usize,
    /// The peer has closed its end, which is seen behind the input.
    pub eof: bool,
    /// The connection is reset, in both directions and at once.
    pub reset: bool,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            input: Vec::new(),
            read: 0,
            output: Vec::new(),
            carried: 0,
            per_recv: usize::MAX,
            per_send: usize::MAX,
            budget: usize::MAX,
            eof: false,
            reset: false,
        }
    }
}

impl Pipe {
    /// The peer sends.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Bytes that the machine has not read yet.
    pub fn unread(&self) -> usize {
        self.input.len() - self.read
    }

    /// Takes up to `n` bytes that the machine at this end has written to the one at the other end.
    pub fn carry(&mut self, other: &mut Self, n: usize) {
        let n = n.min(self.uncarried());
        other.feed(&self.output[self.carried..self.carried + n]);
        self.carried += n;
    }

    /// Bytes that the machine has written and nobody has taken.
    pub fn uncarried(&self) -> usize {
        self.output.len() - self.carried
    }

    fn receive(&mut self, max: usize) -> io::Result<&[u8]> {
        if self.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let n = max.min(self.per_recv).min(self.unread());
        if n == 0 && !self.eof {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.read += n;
        Ok(&self.input[self.read - n..self.read])
    }
}

impl Transport for Pipe {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        assert!(!buf.is_empty(), "a read of nothing looks like the end");
        let bytes = self.receive(buf.len())?;
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn recv_spare(&mut self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        assert!(0 < max && max <= buf.capacity() - buf.len(), "more than there is room for");
        let bytes = self.receive(max)?;
        buf.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn send_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(bufs.iter().all(|b| !b.is_empty()) && !bufs.is_empty(), "an empty slice");
        if self.reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = self.per_send.min(self.budget);
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let before = self.output.len();
        for buf in bufs {
            let n = buf.len().min(room - (self.output.len() - before));
            self.output.extend_from_slice(&buf[..n]);
        }
        let n = self.output.len() - before;
        self.budget -= n;
        Ok(n)
    }
}
