//! The end of the nonces.

use super::*;

/// How many messages one nonce counter is good for, less one.
fn last(revision: Revision) -> u64 {
    match revision {
        V2_0 => u32::MAX.into(),
        V2_1 => u64::MAX,
    }
}

#[test]
fn the_last_nonce_is_used_and_then_the_connection_ends() {
    for mode in [(V2_1, true), (V2_0, true)] {
        let (mut tx, mut rx) = (dialler_tx(mode), acceptor_rx(mode));
        tx.seal().skip(last(mode.0));
        rx.seal().skip(last(mode.0));
        let ack = || OutFrame::control(Tag::Ack, &[1; 8]);
        let sealed = wire(&mut tx, ack());
        let mut out = OutKvec::default();
        for _ in 0..3 {
            assert_eq!(tx.add_frame(&mut out, ack()), Err(Fault::OutOfNonces), "{mode:?}");
            assert!(out.is_empty());
        }
        assert_eq!(read(&mut rx, &sealed).unwrap().len(), 1);
        // A peer that goes on all the same uses its first nonce again.
        let first = wire(&mut dialler_tx(mode), ack());
        assert_eq!(read(&mut rx, &first), Err(Fault::OutOfNonces), "{mode:?}");
    }
}

#[test]
fn a_frame_for_which_too_few_are_left_does_not_go_out_in_part() {
    let mode = (V2_1, true);
    let segments = segments([100, 10, 0, 10]);
    for left in 1..3 {
        let (mut tx, mut rx) = (dialler_tx(mode), acceptor_rx(mode));
        tx.seal().skip(last(V2_1) - (left - 1));
        rx.seal().skip(last(V2_1) - (left - 1));
        let mut out = OutKvec::default();
        assert_eq!(tx.add_frame(&mut out, message(&segments)), Err(Fault::OutOfNonces));
        assert!(out.is_empty());
        let whole = wire(&mut dialler_tx(mode), message(&segments));
        assert_eq!(read(&mut rx, &whole), Err(Fault::BadSeal));
    }
    let mut tx = dialler_tx(mode);
    tx.seal().skip(last(V2_1) - 2);
    assert_eq!(wire(&mut tx, message(&segments)).len(), onwire_len(V2_1, true, [100, 10, 0, 10]));
}

#[test]
fn counters_go_on_over_every_carry() {
    for mode in [(V2_1, true), (V2_0, true)] {
        for skip in [0xe2, 0xffe2, 0xff_ffe2, 0xffff_fffe_u64] {
            let (mut tx, mut rx) = (dialler_tx(mode), acceptor_rx(mode));
            tx.seal().skip(skip.min(last(mode.0) - 3));
            rx.seal().skip(skip.min(last(mode.0) - 3));
            for n in 0..4 {
                let sealed = wire(&mut tx, OutFrame::control(Tag::Ack, &[n; 8]));
                assert_eq!(read(&mut rx, &sealed).unwrap().len(), 1, "{mode:?} {skip:#x}");
            }
        }
    }
}
