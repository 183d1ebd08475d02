//! A transport in memory, with knobs, for the tests of the machines.

use std::io::{self, ErrorKind, IoSlice};

use super::Transport;

/// One end of a connection. What the peer sends is appended to `input`, what the machine writes
/// is found in `output`.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) input: Vec<u8>,
    pub(crate) read: usize,
    /// The peer has closed its end: behind the input, `recv` gives 0.
    pub(crate) eof: bool,
    /// Bytes that one `recv` gives at most.
    pub(crate) per_recv: usize,
    /// Bytes that may still be read before the connection is reset.
    pub(crate) cut_in: usize,
    /// Everything the machine wrote.
    pub(crate) output: Vec<u8>,
    /// Bytes that one `send_vectored` takes at most.
    pub(crate) per_send: usize,
    /// Bytes that are still taken before `send_vectored` would block.
    pub(crate) budget: usize,
    /// Bytes that may still be written before the connection is reset.
    pub(crate) cut_out: usize,
    /// What was called how often.
    pub(crate) calls: Calls,
    /// Where the slices of each send lay in memory, and how long they were.
    pub(crate) slices: Vec<(*const u8, usize)>,
}

/// Calls of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) recv: usize,
    pub(crate) recv_spare: usize,
    pub(crate) send: usize,
    /// How many of all these would have blocked.
    pub(crate) blocked: usize,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            input: Vec::new(),
            read: 0,
            eof: false,
            per_recv: usize::MAX,
            cut_in: usize::MAX,
            output: Vec::new(),
            per_send: usize::MAX,
            budget: usize::MAX,
            cut_out: usize::MAX,
            calls: Calls::default(),
            slices: Vec::new(),
        }
    }
}

impl Pipe {
    /// The peer sends.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Bytes that the machine has not read yet.
    pub(crate) fn unread(&self) -> usize {
        self.input.len() - self.read
    }

    /// Takes what the machine wrote since the last call.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    fn receive(&mut self, max: usize) -> io::Result<&[u8]> {
        let n = max.min(self.per_recv).min(self.unread());
        if n == 0 {
            if self.eof {
                return Ok(&[]);
            }
            self.calls.blocked += 1;
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = n.min(self.cut_in);
        if n == 0 {
            return Err(ErrorKind::ConnectionReset.into());
        }
        self.cut_in -= n;
        self.read += n;
        Ok(&self.input[self.read - n..self.read])
    }
}

impl Transport for Pipe {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.calls.recv += 1;
        let bytes = self.receive(buf.len())?;
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn recv_spare(&mut self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        self.calls.recv_spare += 1;
        assert!(max <= buf.capacity() - buf.len(), "asked for more than there is room for");
        let bytes = self.receive(max)?;
        buf.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn send_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls.send += 1;
        assert!(!bufs.is_empty() && bufs.iter().all(|b| !b.is_empty()), "an empty slice");
        if self.cut_out == 0 {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = self.per_send.min(self.budget).min(self.cut_out);
        if room == 0 {
            self.calls.blocked += 1;
            return Err(ErrorKind::WouldBlock.into());
        }
        self.slices.extend(bufs.iter().map(|b| (b.as_ptr(), b.len())));
        let before = self.output.len();
        for buf in bufs {
            let n = buf.len().min(room - (self.output.len() - before));
            self.output.extend_from_slice(&buf[..n]);
        }
        let n = self.output.len() - before;
        self.budget -= n;
        self.cut_out -= n;
        Ok(n)
    }
}
