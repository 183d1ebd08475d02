//! Lengths are compared with their limits before there is memory for them.

use super::*;
use crate::limits;

fn preamble_of(mode: Mode, tag: Tag, lens: [u32; 4]) -> Vec<u8> {
    let mut block = Preamble::new(tag, lens).encode().to_vec();
    if mode.1 {
        let (mut sealing, _) = onwire::Seal::pair(mode.0, Role::Connecting, &secret()).unwrap();
        if mode.0 == V2_1 {
            block.resize(80, 0);
        }
        sealing.seal(&mut block, 0).unwrap();
        if mode.0 == V2_0 {
            block.truncate(32);
        }
    }
    block
}

#[test]
fn too_long_is_refused_with_the_preamble() {
    use limits::{FRAME_MAX_CONTROL_LEN, MSG_MAX_DATA_LEN, MSG_MAX_FRONT_LEN, MSG_MAX_MIDDLE_LEN};
    for mode in MODES {
        for (tag, segment, lens) in [
            (Tag::Ack, "segment 0", [FRAME_MAX_CONTROL_LEN + 1, 0, 0, 0]),
            (Tag::Message, "segment 0", [FRAME_MAX_CONTROL_LEN + 1, 0, 0, 0]),
            (Tag::Message, "front", [41, MSG_MAX_FRONT_LEN + 1, 0, 0]),
            (Tag::Message, "middle", [41, 0, MSG_MAX_MIDDLE_LEN + 1, 0]),
            (Tag::Message, "data", [41, 0, 0, MSG_MAX_DATA_LEN + 1]),
            (Tag::Message, "data", [41, 0, 0, u32::MAX]),
        ] {
            let len = *lens.iter().max().unwrap();
            let got = read(&mut acceptor_rx(mode), &preamble_of(mode, tag, lens));
            assert_eq!(got, Err(Fault::TooLong { segment, len }), "{mode:?} {lens:?}");
        }
    }
}

#[test]
fn a_message_has_no_place_in_a_handshake() {
    for mode in MODES {
        let (mut tx, mut rx) = (FrameTx::new(mode.0), FrameRx::new(mode.0, Role::Accepting));
        set_con_mode(&mut tx, &mut rx, super::mode(mode.1), &secret()).unwrap();
        let wire = preamble_of(mode, Tag::Message, [41, 0, 0, 0]);
        assert_eq!(read(&mut rx, &wire), Err(Fault::BadTag(17)), "{mode:?}");
    }
}

#[test]
fn who_dialled_and_may_be_anyone_is_allowed_little() {
    for revision in [V2_1, V2_0] {
        let wire = preamble_of((revision, false), Tag::AuthRequest, [5121, 0, 0, 0]);
        let fault = Fault::TooLong { segment: "segment 0", len: 5121 };
        let mut rx = FrameRx::new(revision, Role::Accepting);
        assert_eq!(read(&mut rx, &wire), Err(fault));
        assert_eq!(read(&mut FrameRx::new(revision, Role::Connecting), &wire), Ok(vec![]));
    }
}

#[test]
fn the_longest_message_is_told_before_there_is_memory_for_it() {
    for mode in MODES {
        let lens = [41, 16 << 20, 16 << 20, 64 << 20];
        let (mut rx, mut pipe) = (acceptor_rx(mode), Pipe::default());
        pipe.feed(&preamble_of(mode, Tag::Message, lens));
        let mut in_buf = InBuf::new();
        let header = Read::Header(Preamble::new(Tag::Message, lens));
        assert_eq!(rx.read(&mut in_buf, &mut pipe), Ok(Some(header)), "{mode:?}");
        assert_eq!(rx.under_way().unwrap().tail_len(), 96 << 20);
        // What came with the preamble is there.
        assert!(rx.reserved() <= 48, "{mode:?}");
        assert_eq!(rx.read(&mut in_buf, &mut pipe), Ok(None));
        let overhead = onwire_len(mode.0, mode.1, lens) + 32 - (96 << 20);
        assert!((96 << 20..=(96 << 20) + overhead).contains(&rx.reserved()), "{mode:?}");
    }
}
