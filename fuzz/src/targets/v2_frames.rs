//! Frames of messenger v2, of both revisions, in the clear and inside the AEAD, whose key the input's
//! author knows: frames that are right, frames with a preamble or an end that is not, bytes that are
//! changed on the wire, and any bytes. What is written is compared with what is made by hand.
//!
//! One byte of options, then operations of one byte and what they need.

use std::collections::VecDeque;

use bytes::Bytes;
use ceph_msgr::limits;
use ceph_msgr::msgr::v2::{
    ConMode, FrameRx, FrameTx, OutFrame, Read, Revision, Role, Tag, set_con_mode,
};
use ceph_msgr::msgr::{InBuf, OutKvec};

use crate::input::Input;
use crate::memory::bounded;
use crate::pipe::Pipe;
use crate::v2::{Enc, Frame, Sealer, tag, tail};

const MAX_OPS: usize = 128;
/// All segments of one frame, at their longest.
const LONGEST: usize = (limits::FRAME_MAX_CONTROL_LEN
    + limits::MSG_MAX_FRONT_LEN
    + limits::MSG_MAX_MIDDLE_LEN
    + limits::MSG_MAX_DATA_LEN) as usize;

/// The target.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(input.u8());
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.finish();
}

struct World {
    secure: bool,
    ready: bool,
    tx: FrameTx,
    rx: FrameRx,
    in_buf: InBuf,
    pipe: Pipe,
    /// Writes what `rx` reads, and what `tx` is to write.
    theirs: Enc,
    ours: Enc,
    expected: VecDeque<Frame>,
    /// Something was not as it should be: anything may come of it.
    free: bool,
    /// Sealed bytes were changed: nothing that is behind them may come.
    doomed: bool,
    faulted: bool,
}

impl World {
    fn new(options: u8) -> Self {
        let bit = |n: u8| options & 1 << n != 0;
        let revision = if bit(0) { Revision::V2_0 } else { Revision::V2_1 };
        let (secure, ready, crc_data) = (bit(1), !bit(2), !bit(3));
        let (role, other) = match bit(4) {
            true => (Role::Accepting, Role::Connecting),
            false => (Role::Connecting, Role::Accepting),
        };
        let (mut tx, mut rx) = (FrameTx::new(revision), FrameRx::new(revision, role));
        tx.set_crc_data(crc_data);
        rx.set_crc_data(crc_data);
        let mut theirs = Enc::new(revision, crc_data);
        let mut ours = Enc::new(revision, crc_data);
        if secure {
            // With counters that wrap soon.
            let mut secret: Vec<u8> = (0..64).collect();
            secret[if bit(5) { 16..40 } else { 0..0 }].fill(0xff);
            set_con_mode(&mut tx, &mut rx, ConMode::Secure, &secret).expect("a whole secret");
            theirs.sealer = Some(Sealer::new(revision, other, &secret));
            ours.sealer = Some(Sealer::new(revision, role, &secret));
        }
        if ready {
            rx.set_ready();
            // What is written in the clear for long is not to be signed.
            tx.transcript().take();
            rx.transcript().take();
        }
        Self {
            secure,
            ready,
            tx,
            rx,
            in_buf: InBuf::new(),
            pipe: Pipe::default(),
            theirs,
            ours,
            expected: VecDeque::new(),
            free: false,
            doomed: false,
            faulted: false,
        }
    }

    fn frame(&self, op: u8, input: &mut Input<'_>) -> Frame {
        let tag = match op & 0x80 {
            0 => input.u8() % 24,
            _ => tag::MESSAGE,
        };
        let mut segments = [input.chunk().to_vec(), vec![], vec![], vec![]];
        if tag == tag::MESSAGE {
            segments[1..].iter_mut().for_each(|segment| *segment = input.long_chunk().to_vec());
        }
        Frame { tag, segments, aborted: op & 0x40 != 0 }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let op = input.u8();
        match op % 8 {
            0 => {
                let bytes = input.long_chunk();
                if !bytes.is_empty() {
                    self.spoil();
                }
                self.pipe.feed(bytes);
            }
            1 | 2 => {
                let frame = self.frame(op, input);
                let bytes = self.theirs.frame(&frame);
                self.expect(frame);
                self.pipe.feed(&bytes);
            }
            3 => {
                let frame = self.frame(op, input);
                let bytes = self.theirs.damaged(&frame, input);
                self.free = true;
                self.pipe.feed(&bytes);
            }
            4 => {
                let frame = self.frame(op, input);
                let whole = self.theirs.frame(&frame);
                let mut bytes = whole.clone();
                input.damage(&mut bytes);
                if bytes != whole {
                    self.spoil();
                }
                self.expect(frame);
                self.pipe.feed(&bytes);
            }
            5 => {
                let frame = self.frame(op, input);
                self.write(&frame);
            }
            6 => {
                let per = input.u8();
                self.pipe.per_recv = if per == 0 { usize::MAX } else { per.into() };
            }
            _ => self.pipe.eof |= op & 0x80 != 0,
        }
        if op & 0x20 == 0 {
            self.read();
        }
    }

    /// Of sealed bytes that were changed nothing comes, of others anything may.
    fn spoil(&mut self) {
        match self.secure {
            true => self.doomed |= !self.free,
            false => self.free = true,
        }
    }

    fn expect(&mut self, frame: Frame) {
        let single = frame.count() == 1;
        // Without a fault only these come.
        let known = matches!(frame.tag, 1..=22) && (self.ready || frame.tag != tag::MESSAGE);
        self.free |= !known || self.faulted;
        // A frame of one segment has no place in revision 1 to say so.
        let aborted = frame.aborted && !(single && self.theirs.revision == Revision::V2_1);
        if !self.doomed && !aborted {
            self.expected.push_back(Frame { aborted: false, ..frame });
        }
    }

    /// What the library writes is what is made by hand.
    fn write(&mut self, frame: &Frame) {
        let Ok(tag) = Tag::try_from(frame.tag) else { return };
        let [front, middle, data] = tail(frame);
        let out = OutFrame {
            tag,
            id: None,
            payload: &frame.segments[0],
            tail: [front, middle, data],
            aborted: frame.aborted,
        };
        let mut kvec = OutKvec::default();
        let unaborted = frame.aborted && frame.count() == 1;
        if unaborted && self.ours.revision == Revision::V2_1 {
            assert!(self.tx.add_frame(&mut kvec, out).is_err(), "there is no place to say so");
            return;
        }
        if let Err(fault) = self.tx.add_frame(&mut kvec, out) {
            assert!(!self.ready && !self.secure, "{fault}");
            return;
        }
        let mut pipe = Pipe::default();
        kvec.write_to(&mut pipe).expect("a pipe");
        assert!(pipe.output == self.ours.frame(frame), "{frame:?}");
    }

    fn read(&mut self) {
        self.in_buf.readable();
        loop {
            let limit = LONGEST + (64 << 10) + 4 * self.pipe.unread();
            let Self { rx, in_buf, pipe, .. } = self;
            let read = bounded(limit, || {
                rx.read(in_buf, pipe).map(|read| {
                    read.map(|read| match read {
                        Read::Frame(f) => {
                            let payload = Bytes::copy_from_slice(f.payload);
                            Some((f.tag as u8, [payload, f.front, f.middle, f.data]))
                        }
                        Read::Header(_) | Read::Aborted(_) => None,
                    })
                })
            });
            match read {
                Ok(None) => return,
                Ok(Some(None)) => {}
                Ok(Some(Some((tag, segments)))) => self.came(tag, &segments),
                Err(fault) => {
                    let _ = fault.to_string();
                    let again = self.rx.read(&mut self.in_buf, &mut Pipe::default()).err();
                    assert_eq!(again, Some(fault), "a fault is for ever");
                    let usual = self.free || self.doomed || self.pipe.eof || !self.ready;
                    assert!(usual || self.is_long(), "{again:?}");
                    self.faulted = true;
                    return;
                }
            }
        }
    }

    /// The next frame has a control payload that is longer than a peer's may be, or none.
    fn is_long(&self) -> bool {
        let next = self.expected.front();
        next.is_some_and(|frame| frame.segments[0].len() > limits::FRAME_MAX_CONTROL_LEN as usize)
    }

    fn came(&mut self, tag: u8, segments: &[Bytes; 4]) {
        assert!(self.ready || tag != tag::MESSAGE, "a message before the session is open");
        if self.free {
            return;
        }
        let next = self.expected.pop_front();
        let next = next.expect("nobody has sent it, or it came behind what was changed");
        assert_eq!((next.tag, &next.segments.clone().map(Bytes::from)), (tag, segments));
    }

    fn finish(&mut self) {
        self.pipe.per_recv = usize::MAX;
        self.read();
        let all = self.faulted || self.free || self.doomed || self.expected.is_empty();
        assert!(all, "{:?} has not come", self.expected.front());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the operations need to be worth something: in all forms frames come as they were sent, and
    /// what is changed on the wire does not where it is sealed.
    #[test]
    fn frames_come_in_all_forms() {
        for options in 0..64 {
            let mut world = World::new(options);
            let mut input = |op: u8, rest: &[u8]| {
                world.step(&mut Input::new(&[&[op][..], rest].concat()));
            };
            input(5, &[tag::ACK, 3, 1, 2, 3]);
            input(0x81, &[100]);
            assert!(world.faulted || world.expected.is_empty(), "{options:#x}");
            assert_eq!(world.faulted, !world.ready, "{options:#x}");
            if world.ready {
                // One bit, and a whole frame behind it.
                world.step(&mut Input::new(&[4, tag::ACK, 1, 9, 1, 34, 0, 4]));
                world.step(&mut Input::new(&[1, tag::ACK, 1, 9]));
                assert!(world.faulted || !world.secure && options & 8 != 0, "{options:#x}");
            }
        }
    }
}
