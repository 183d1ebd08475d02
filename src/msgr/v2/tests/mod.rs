//! Frames in memory: foreign bytes, every split, cuts and changes, in both revisions and both modes.

mod abort;
mod ahead;
mod captures;
mod copies;
mod hostile;
mod limits;
mod machine;
mod modes;
mod nonces;
mod revoke;
mod tables;
mod vectors;

use bytes::Bytes;

use super::onwire::Role;
use super::*;
use crate::msgr::pipe::Pipe;
use crate::msgr::{Fault, InBuf, OutKvec};
use Revision::{V2_0, V2_1};

/// Revision, and whether frames are sealed.
pub(super) type Mode = (Revision, bool);

pub(super) const MODES: [Mode; 4] = [(V2_1, false), (V2_0, false), (V2_1, true), (V2_0, true)];

/// A frame without lifetimes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Frame(Tag, [Vec<u8>; 4]),
    Aborted(Tag),
}

/// Key 00..0f, nonces from 10 and from 1c.
pub(super) fn secret() -> Vec<u8> {
    (0..64).collect()
}

fn mode(secure: bool) -> ConMode {
    if secure { ConMode::Secure } else { ConMode::Crc }
}

/// Both halves of one end, in a session.
pub(super) fn end(role: Role, (revision, secure): Mode) -> (FrameTx, FrameRx) {
    let (mut tx, mut rx) = (FrameTx::new(revision), FrameRx::new(revision, role));
    set_con_mode(&mut tx, &mut rx, mode(secure), &secret()).unwrap();
    rx.set_ready();
    // Nobody signs here.
    tx.transcript().take();
    rx.transcript().take();
    (tx, rx)
}

pub(super) fn dialler_tx(mode: Mode) -> FrameTx {
    end(Role::Connecting, mode).0
}

pub(super) fn acceptor_rx(mode: Mode) -> FrameRx {
    end(Role::Accepting, mode).1
}

pub(super) fn bytes(n: usize, seed: u8) -> Vec<u8> {
    (0..n).map(|i| (i * 7 + i / 251) as u8 ^ seed).collect()
}

/// A message whose segments have these lengths.
pub(super) fn segments(lens: [usize; 4]) -> [Vec<u8>; 4] {
    let mut seed = 0;
    lens.map(|n| {
        seed += 0x11;
        bytes(n, seed)
    })
}

pub(super) fn message(segments: &[Vec<u8>; 4]) -> OutFrame<'_> {
    let [front, middle, data] = [1, 2, 3].map(|i| Bytes::from(segments[i].clone()));
    OutFrame::message(1, &segments[0], front, middle, data)
}

/// The frame's bytes on the wire.
pub(super) fn wire(tx: &mut FrameTx, frame: OutFrame<'_>) -> Vec<u8> {
    let (mut out, mut pipe) = (OutKvec::default(), Pipe::default());
    tx.add_frame(&mut out, frame).unwrap();
    let len = out.len();
    assert!(out.write_to(&mut pipe).unwrap());
    assert_eq!(pipe.output.len(), len);
    pipe.output
}

/// Reads all that the pipe has, as often as it takes.
pub(super) fn read_all(
    rx: &mut FrameRx,
    in_buf: &mut InBuf,
    pipe: &mut Pipe,
) -> Result<Vec<Got>, Fault> {
    let (mut got, mut begun) = (Vec::new(), rx.under_way());
    loop {
        in_buf.readable();
        match rx.read(in_buf, pipe)? {
            None if pipe.unread() == 0 => return Ok(got),
            None => {}
            Some(Read::Header(preamble)) => begun = Some(preamble),
            Some(Read::Aborted(preamble)) => {
                assert_eq!(begun.take(), Some(preamble));
                got.push(Got::Aborted(preamble.tag));
            }
            Some(Read::Frame(f)) => {
                let begun = begun.take().expect("a header goes before each frame");
                let payload = f.payload.to_vec();
                let all = [payload, f.front.into(), f.middle.into(), f.data.into()];
                assert_eq!(begun, Preamble::new(f.tag, all.each_ref().map(|s| s.len() as u32)));
                got.push(Got::Frame(f.tag, all));
            }
        }
    }
}

/// What the bytes are for this reader.
pub(super) fn read(rx: &mut FrameRx, wire: &[u8]) -> Result<Vec<Got>, Fault> {
    let mut pipe = Pipe::default();
    pipe.feed(wire);
    read_all(rx, &mut InBuf::new(), &mut pipe)
}
