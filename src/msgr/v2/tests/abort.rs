//! Frames that their sender took back.

use std::time::Instant;

use super::*;
use crate::auth::NoAuthorizer;
use crate::msgr::v2::onwire::Seal;
use crate::msgr::v2::{Banner, connection};
use crate::msgr::{Context, Local, Options, Peer, Policy};
use crate::types::{EntityName, EntityType, UTime};

#[test]
fn an_aborted_frame_is_told_and_the_next_one_counts() {
    for mode in MODES {
        for lens in [[41, 18, 0, 100], [41, 1, 0, 0], [41, 0, 0, 100_000]] {
            let (mut tx, mut rx) = (dialler_tx(mode), acceptor_rx(mode));
            let segments = segments(lens);
            let aborted = OutFrame { aborted: true, ..message(&segments) };
            let mut all = wire(&mut tx, aborted);
            all.extend(wire(&mut tx, message(&segments)));
            let want = [Got::Aborted(Tag::Message), Got::Frame(Tag::Message, segments)];
            assert_eq!(read(&mut rx, &all).unwrap(), want, "{mode:?}");
        }
    }
}

#[test]
fn a_frame_of_one_segment_can_be_aborted_in_revision_0_alone() {
    for mode in MODES {
        let frame = OutFrame { aborted: true, ..OutFrame::control(Tag::Ack, &[7; 8]) };
        let mut out = OutKvec::default();
        let outcome = dialler_tx(mode).add_frame(&mut out, frame.clone());
        if mode.0 == V2_1 {
            assert_eq!((outcome, out.len()), (Err(Fault::BadLateStatus(1)), 0));
        } else {
            let wire = wire(&mut dialler_tx(mode), frame);
            assert_eq!(read(&mut acceptor_rx(mode), &wire), Ok(vec![Got::Aborted(Tag::Ack)]));
        }
    }
}

#[test]
fn an_aborted_frame_must_be_right_all_the_same() {
    for mode in MODES {
        let segments = segments([41, 18, 0, 100]);
        let aborted = OutFrame { aborted: true, ..message(&segments) };
        let mut wire = wire(&mut dialler_tx(mode), aborted);
        let at = wire.len() - 60;
        wire[at] ^= 1;
        let fault = if mode.1 { Fault::BadSeal } else { Fault::BadSegmentCrc(3) };
        assert_eq!(read(&mut acceptor_rx(mode), &wire), Err(fault));
    }
}

/// A message of header and front, whose late status is this byte.
fn with_late_status(mode: Mode, late: u8) -> Vec<u8> {
    let (header, front) = (bytes(41, 1), bytes(16, 2));
    let frame = OutFrame::message(1, &header, front.into(), Bytes::new(), Bytes::new());
    let mut wire = wire(&mut dialler_tx(mode), frame);
    let seals = || Seal::pair(mode.0, Role::Connecting, &secret()).unwrap().0;
    let opens = || Seal::pair(mode.0, Role::Accepting, &secret()).unwrap().1;
    // The GCM message with the epilogue, and how many go before it.
    let (at, before) = match mode {
        (V2_1, true) => (96, 1),
        (V2_0, true) => (0, 0),
        (V2_1, false) => {
            let at = wire.len() - 13;
            wire[at] = late;
            return wire;
        }
        (V2_0, false) => {
            let at = wire.len() - 17;
            wire[at] = late;
            return wire;
        }
    };
    let (mut sealing, mut opening) = (seals(), opens());
    sealing.skip(before);
    opening.skip(before);
    opening.open(&mut wire[at..]).unwrap();
    wire.truncate(wire.len() - 16);
    let epilogue = wire.len() - 16;
    wire[epilogue] = late;
    sealing.seal(&mut wire, at).unwrap();
    wire
}

#[test]
fn every_late_status() {
    for mode in MODES {
        for late in 0..=u8::MAX {
            let got = read(&mut acceptor_rx(mode), &with_late_status(mode, late));
            let (complete, aborted) = match mode.0 {
                V2_0 => (late & 1 == 0, late & 1 == 1),
                V2_1 => (late & 15 == 14, late & 15 == 1),
            };
            match got {
                Ok(got) if aborted => assert_eq!(got, [Got::Aborted(Tag::Message)]),
                Ok(got) => assert!(complete && matches!(got[..], [Got::Frame(..)]), "{late:#x}"),
                Err(e) => {
                    assert_eq!(e, Fault::BadLateStatus(late), "{mode:?}");
                    assert!(!complete && !aborted, "{late:#x}");
                }
            }
        }
    }
}

/// No frame counts for nothing there: it would neither be one of the rounds, nor what is awaited.
#[test]
fn a_handshake_is_not_taken_back() {
    let peer = "v2:127.0.0.1:6801/7".parse().unwrap();
    let name = EntityName::new(EntityType::MDS, 0);
    let local = Local::new(EntityType::CLIENT, 1, Options::default());
    let cx =
        Context { now: Instant::now(), wall: UTime::default(), local: &local, auth: &NoAuthorizer };
    let (mut rx, mut tx) = connection(Peer { name, addr: peer, policy: Policy::LOSSY_CLIENT });
    let mut pipe = Pipe::default();
    rx.prepare_write_banner(&mut tx);
    assert!(tx.try_write(&mut pipe, &cx).unwrap());
    pipe.feed(&Banner { supported: 0, required: 0 }.encode());
    let banner = rx.read_partial(&mut pipe).unwrap().unwrap();
    rx.process(&mut tx, banner, &cx).unwrap();
    let aborted = OutFrame { aborted: true, ..OutFrame::control(Tag::Hello, &[7; 36]) };
    pipe.feed(&wire(&mut dialler_tx((V2_0, false)), aborted));
    rx.readable();
    assert_eq!(rx.read_partial(&mut pipe).unwrap_err(), Fault::UnexpectedTag(Tag::Hello));
}
