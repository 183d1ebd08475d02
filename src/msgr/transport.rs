use std::io::{self, IoSlice};

/// What a machine reads from and writes to: a non-blocking socket, or a pipe in memory.
///
/// `WouldBlock` says that nothing can be done now; a `recv` of 0 bytes, that the peer has closed.
pub trait Transport {
    /// Reads into initialised memory.
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Appends up to `max` bytes to `buf`, within the capacity that it has already.
    fn recv_spare(&mut self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize>;

    /// Writes as much of `bufs` as fits, in order.
    fn send_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
}
