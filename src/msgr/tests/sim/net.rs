//! A network in memory: sockets that split, delay and stall what goes through them, and that are
//! cut, for each end at another time.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use crate::msgr::Transport;

/// Microseconds since the world began.
pub(super) type Time = u64;

pub(super) const MS: Time = 1000;
pub(super) const SEC: Time = 1000 * MS;

/// Numbers that a seed repeats (splitmix64).
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(super) fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub(super) fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }

    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.index(all.len())]
    }
}

/// Who reads and writes at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Con(usize),
    Accept(usize),
}

/// One end of a link, by the number of the link and the side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) link: usize,
    pub(super) side: usize,
}

/// What one side has sent.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) flight: VecDeque<u8>,
    pub(super) arrived: VecDeque<u8>,
    /// A delivery is due.
    pub(super) scheduled: bool,
    /// Nothing arrives before this time.
    pub(super) stalled: Time,
    /// The sender has closed its end.
    pub(super) fin: bool,
    /// The receiver has been told.
    pub(super) eof: bool,
    /// The sender waits for room.
    pub(super) full: bool,
    /// How many bytes have been sent.
    sent: u64,
    /// A bit of what is sent next will change.
    pub(super) spoil: Option<u64>,
    /// One has.
    pub(super) damaged: bool,
}

/// Bytes of the banner of messenger v2, which nothing protects.
const BANNER: u64 = 26;

impl Way {
    /// So many bytes have been sent.
    fn count(&mut self, n: usize) {
        self.sent += n as u64;
        if self.sent <= BANNER || n == 0 {
            return;
        }
        if let Some(spoil) = self.spoil.take() {
            let n = (self.sent - BANNER).min(n as u64);
            let at = self.flight.len() - 1 - (spoil % n) as usize;
            self.flight[at] ^= 1 << (spoil >> 61);
            self.damaged = true;
        }
    }
}

/// A socket pair: side 0 dialled, side 1 accepted.
#[derive(Debug)]
pub(super) struct Link {
    /// What side 0 has sent, and what side 1 has.
    pub(super) ways: [Way; 2],
    pub(super) owners: [Owner; 2],
    /// Which nodes.
    pub(super) nodes: [usize; 2],
    pub(super) closed: [bool; 2],
    /// This side gets an error from now on.
    pub(super) reset: [bool; 2],
    /// Nothing gets through any more.
    pub(super) dead: bool,
    /// Bytes that are on their way at most.
    pub(super) room: usize,
    /// Bytes that one call moves at most.
    pub(super) quantum: usize,
    /// The longest that bytes take.
    pub(super) latency: Time,
    /// How many sessions with the other one side 0 had lost when it dialled.
    pub(super) losses: u32,
}

impl Link {
    /// Whether there is anything for this side to read, be it an error.
    pub(super) fn is_readable(&self, side: usize) -> bool {
        let way = &self.ways[1 - side];
        self.reset[side] || !way.arrived.is_empty() || way.eof
    }

    /// Nothing gets through any more, but for what has arrived.
    pub(super) fn kill(&mut self) {
        self.dead = true;
        self.ways.iter_mut().for_each(|way| way.flight.clear());
    }

    /// A side lets go of it.
    pub(super) fn close(&mut self, side: usize) {
        self.closed[side] = true;
        self.ways[side].fin = true;
        self.ways[1 - side].arrived.clear();
    }
}

/// The transport of one end.
pub(super) struct Socket<'a> {
    pub(super) link: &'a mut Link,
    pub(super) side: usize,
}

impl Socket<'_> {
    fn receive(&mut self, max: usize) -> io::Result<impl Iterator<Item = u8>> {
        if self.link.reset[self.side] {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let way = &mut self.link.ways[1 - self.side];
        if way.arrived.is_empty() && !way.eof {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = max.min(self.link.quantum).min(way.arrived.len());
        Ok(way.arrived.drain(..n))
    }
}

impl Transport for Socket<'_> {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.receive(buf.len())?;
        Ok(buf.iter_mut().zip(bytes).map(|(to, from)| *to = from).count())
    }

    fn recv_spare(&mut self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let before = buf.len();
        let bytes = self.receive(max)?;
        buf.extend(bytes);
        Ok(buf.len() - before)
    }

    fn send_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let link = &mut *self.link;
        if link.reset[self.side] {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let way = &mut link.ways[self.side];
        let free = link.room.saturating_sub(way.flight.len());
        let room = free.min(link.quantum);
        // As the kernel's, which is not writable again before a third is free.
        if free * 3 < link.room {
            way.full = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut left = room;
        for buf in bufs {
            let n = left.min(buf.len());
            way.flight.extend(&buf[..n]);
            left -= n;
        }
        way.count(room - left);
        Ok(room - left)
    }
}
