//! How often a payload is copied on its way: not at all with checksums, once on the way out when
//! sealed, never on the way in, but for what a small read has brought into the prefetch.

use std::io::{self, IoSlice};

use super::*;
use crate::msgr::Transport;

#[test]
fn with_checksums_segments_go_out_from_where_they_lie() {
    for mode in [(V2_1, false), (V2_0, false)] {
        let (header, front) = (bytes(41, 1), Bytes::from(bytes(5000, 2)));
        let data = Bytes::from(bytes(100_000, 3));
        let (mut out, mut pipe) = (OutKvec::default(), Pipe::default());
        let frame = OutFrame::message(1, &header, front.clone(), Bytes::new(), data.clone());
        dialler_tx(mode).add_frame(&mut out, frame).unwrap();
        assert!(out.write_to(&mut pipe).unwrap());
        assert_eq!((pipe.calls.send, pipe.slices.len()), (1, 4));
        assert_eq!(pipe.slices[1], (front.as_ptr(), front.len()));
        assert_eq!(pipe.slices[2], (data.as_ptr(), data.len()));
    }
}

#[test]
fn a_sealed_frame_is_one_slice_in_memory_that_was_taken_once() {
    for mode in [(V2_1, true), (V2_0, true)] {
        let segments = segments([41, 5000, 0, 100_000]);
        let (mut out, mut pipe) = (OutKvec::default(), Pipe::default());
        dialler_tx(mode).add_frame(&mut out, message(&segments)).unwrap();
        assert!(out.write_to(&mut pipe).unwrap());
        let len = onwire_len(mode.0, true, [41, 5000, 0, 100_000]);
        assert_eq!((pipe.calls.send, pipe.slices.len()), (1, 1));
        assert_eq!((pipe.slices[0].1, pipe.output.len()), (len, len));
    }
}

/// Remembers which memory was read into.
struct Spy {
    pipe: Pipe,
    spare: Vec<std::ops::Range<*const u8>>,
}

impl Transport for Spy {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.pipe.recv(buf)
    }

    fn recv_spare(&mut self, buf: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let n = self.pipe.recv_spare(buf, max)?;
        self.spare.push(buf[buf.len() - n..].as_ptr_range());
        Ok(n)
    }

    fn send_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.pipe.send_vectored(bufs)
    }
}

#[test]
fn a_large_segment_is_received_where_the_caller_gets_it() {
    for mode in MODES {
        let segments = segments([41, 100, 0, 1 << 20]);
        let mut spy = Spy { pipe: Pipe::default(), spare: Vec::new() };
        spy.pipe.feed(&wire(&mut dialler_tx(mode), message(&segments)));
        let (mut rx, mut in_buf) = (acceptor_rx(mode), InBuf::new());
        assert!(matches!(rx.read(&mut in_buf, &mut spy), Ok(Some(Read::Header(_)))));
        let Ok(Some(Read::Frame(frame))) = rx.read(&mut in_buf, &mut spy) else {
            panic!("{mode:?}")
        };
        assert!(frame.data == segments[3]);
        let [landed] = &spy.spare[..] else { panic!("{mode:?}: {} reads", spy.spare.len()) };
        let end = frame.data.as_ptr_range().end;
        assert!(landed.contains(&frame.data[1 << 19..].as_ptr()), "{mode:?}");
        // What is sealed is read with its epilogue and tag.
        let behind = if mode.1 { 32 } else { 0 };
        assert_eq!(end.wrapping_add(behind), landed.end, "{mode:?}");
        assert!(spy.pipe.calls.recv <= 2, "{mode:?}: {:?}", spy.pipe.calls);
    }
}

#[test]
fn small_frames_that_arrive_together_take_one_recv() {
    for mode in MODES {
        let (mut tx, mut all) = (dialler_tx(mode), Vec::new());
        for n in 0..20 {
            all.extend(wire(&mut tx, OutFrame::control(Tag::Ack, &[n; 8])));
            all.extend(wire(&mut tx, message(&segments([41, 100, 0, 50]))));
        }
        let mut pipe = Pipe::default();
        pipe.feed(&all);
        let (mut rx, mut in_buf, mut frames) = (acceptor_rx(mode), InBuf::new(), 0);
        while let Some(read) = rx.read(&mut in_buf, &mut pipe).unwrap() {
            frames += usize::from(matches!(read, Read::Frame(_)));
        }
        assert_eq!((frames, pipe.calls.recv, pipe.calls.recv_spare), (40, 1, 0), "{mode:?}");
    }
}
