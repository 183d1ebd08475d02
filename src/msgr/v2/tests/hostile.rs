//! Bytes that were changed, repeated, swapped or made up.

use super::*;

/// What a reader gives for the bytes, which must never be another frame than these.
fn judge(mode: Mode, wire: &[u8], right: &[Got]) -> Result<bool, Fault> {
    let mut rx = acceptor_rx(mode);
    let (mut in_buf, mut pipe) = (InBuf::new(), Pipe::default());
    pipe.feed(wire);
    match read_all(&mut rx, &mut in_buf, &mut pipe) {
        Ok(got) => {
            assert!(right.starts_with(&got) || matches!(got[..], [Got::Aborted(_)]), "{mode:?}");
            Ok(got.len() == right.len())
        }
        Err(fault) => {
            let again = rx.read(&mut in_buf, &mut pipe);
            assert_eq!(again, Err(fault.clone()), "a fault is for ever");
            Err(fault)
        }
    }
}

#[test]
fn any_bit_changed_in_a_sealed_frame_is_refused() {
    for mode in [(V2_1, true), (V2_0, true)] {
        for lens in [[41, 18, 0, 10], [41, 0, 0, 0], [64, 0, 0, 0], [0, 0, 0, 0], [123, 1, 1, 1]] {
            let segments = segments(lens);
            let wire = wire(&mut dialler_tx(mode), message(&segments));
            let right = [Got::Frame(Tag::Message, segments)];
            assert_eq!(judge(mode, &wire, &right), Ok(true));
            for bit in 0..wire.len() * 8 {
                let mut bad = wire.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let fault = judge(mode, &bad, &right).unwrap_err();
                let want = match mode.0 {
                    V2_0 if bit / 8 < 32 => Fault::BadPreamble("wrong crc"),
                    _ => Fault::BadSeal,
                };
                assert_eq!(fault, want, "{mode:?} {lens:?} bit {bit}");
            }
        }
    }
}

#[test]
fn any_bit_changed_with_checksums_is_refused_or_does_not_count() {
    for mode in [(V2_1, false), (V2_0, false)] {
        let segments = segments([41, 18, 0, 10]);
        let wire = wire(&mut dialler_tx(mode), message(&segments));
        let late = wire.len() - if mode.0 == V2_1 { 13 } else { 17 };
        let right = [Got::Frame(Tag::Message, segments)];
        for bit in 0..wire.len() * 8 {
            let mut bad = wire.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // The late status: revision 0 looks at one bit, revision 1 at four.
            let excused = bit / 8 == late && if mode.0 == V2_1 { bit % 8 >= 4 } else { true };
            assert_eq!(judge(mode, &bad, &right).is_ok(), excused, "{mode:?} bit {bit}");
        }
    }
}

/// Turns the preamble of a sealed frame of revision 0 into another one, as anybody can who knows what
/// it says: the stream cipher lets them, and the crc is no secret.
fn forged(lens: [usize; 4], other: [u32; 4]) -> Vec<u8> {
    let mut wire = wire(&mut dialler_tx((V2_0, true)), message(&segments(lens)));
    let was = Preamble::new(Tag::Message, lens.map(|n| n as u32)).encode();
    let is = Preamble::new(Tag::Message, other).encode();
    for (byte, (was, is)) in wire.iter_mut().zip(was.iter().zip(is)) {
        *byte ^= was ^ is;
    }
    wire
}

#[test]
fn forged_lengths_of_revision_0_hand_out_nothing() {
    let mode = (V2_0, true);
    let lens = [41, 18, 0, 10];
    // As long as before, and shorter: the tag tells.
    for other in [[41, 17, 0, 10], [41, 32, 0, 16], [42, 18, 0, 10], [41, 10, 18, 0], [41, 0, 0, 0]]
    {
        assert_eq!(read(&mut acceptor_rx(mode), &forged(lens, other)), Err(Fault::BadSeal));
    }
    // Longer: it waits for the rest, and whatever that is, the tag tells.
    let mut longer = forged(lens, [41, 18, 0, 30]);
    assert_eq!(read(&mut acceptor_rx(mode), &longer), Ok(vec![]));
    longer.extend([0; 16]);
    assert_eq!(read(&mut acceptor_rx(mode), &longer), Err(Fault::BadSeal));
    // Too long: no memory is taken.
    let fault = Fault::TooLong { segment: "data", len: u32::MAX };
    assert_eq!(read(&mut acceptor_rx(mode), &forged(lens, [41, 18, 0, u32::MAX])), Err(fault));
}

#[test]
fn sealed_frames_cannot_be_repeated_swapped_left_out_or_sent_back() {
    for mode in [(V2_1, true), (V2_0, true)] {
        let mut tx = dialler_tx(mode);
        let acks = [1, 2, 3].map(|n| wire(&mut tx, OutFrame::control(Tag::Ack, &[n; 8])));
        let [one, two, three] = acks.each_ref().map(|a| &a[..]);
        let fault = match mode.0 {
            V2_1 => Fault::BadSeal,
            V2_0 => Fault::BadPreamble("wrong crc"),
        };
        assert_eq!(read(&mut acceptor_rx(mode), &[one, two, three].concat()).unwrap().len(), 3);
        for order in [[one, one].concat(), [two, one].concat(), [one, three].concat()] {
            assert_eq!(read(&mut acceptor_rx(mode), &order), Err(fault.clone()), "{mode:?}");
        }
        let mut dialler = end(Role::Connecting, mode).1;
        assert_eq!(read(&mut dialler, one), Err(fault), "{mode:?}");
    }
}

#[test]
fn parts_of_two_sealed_frames_do_not_make_one() {
    let mode = (V2_1, true);
    let mut tx = dialler_tx(mode);
    let [one, two] = [1, 2].map(|seed| {
        let segments = segments([41, 16, 0, 0]).map(|s| s.iter().map(|b| b ^ seed).collect());
        wire(&mut tx, message(&segments))
    });
    let mixed = [&one[..96], &two[96..]].concat();
    assert_eq!(read(&mut acceptor_rx(mode), &mixed), Err(Fault::BadSeal));
}

#[test]
fn junk_behind_a_frame_is_no_frame() {
    for mode in MODES {
        let mut tx = dialler_tx(mode);
        let ack = wire(&mut tx, OutFrame::control(Tag::Ack, &[1; 8]));
        for junk in [[0; 96], [0xff; 96], [b'c'; 96]] {
            let fault = match mode {
                (V2_1, true) => Fault::BadSeal,
                // A crc of zeros is 0: there it is the tag that is none.
                (_, false) if junk[0] == 0 => Fault::BadTag(0),
                _ => Fault::BadPreamble("wrong crc"),
            };
            let all = [&ack[..], &junk].concat();
            assert_eq!(read(&mut acceptor_rx(mode), &all), Err(fault), "{mode:?} {}", junk[0]);
        }
    }
}

#[test]
fn a_frame_in_the_clear_is_refused_where_frames_are_sealed_and_the_other_way_round() {
    for revision in [V2_1, V2_0] {
        let frame = || OutFrame::control(Tag::AuthSignature, &[7; 128]);
        let clear = wire(&mut dialler_tx((revision, false)), frame());
        let sealed = wire(&mut dialler_tx((revision, true)), frame());
        assert!(read(&mut acceptor_rx((revision, true)), &clear).is_err());
        assert!(read(&mut acceptor_rx((revision, false)), &sealed).is_err());
    }
    for (a, b) in [(V2_1, V2_0), (V2_0, V2_1)] {
        let sealed = wire(&mut dialler_tx((a, true)), OutFrame::control(Tag::Ack, &[7; 128]));
        assert!(read(&mut acceptor_rx((b, true)), &sealed).is_err());
    }
}

proptest::proptest! {
    /// Whatever comes, nothing panics, and nothing sealed comes of it.
    #[test]
    fn any_bytes(wire in proptest::collection::vec(proptest::num::u8::ANY, 0..400), per_recv in 1usize..50) {
        for mode in MODES {
            let mut pipe = Pipe { per_recv, ..Pipe::default() };
            pipe.feed(&wire);
            let got = read_all(&mut acceptor_rx(mode), &mut InBuf::new(), &mut pipe);
            if mode.1 && wire.len() >= 96 {
                proptest::prop_assert!(got.is_err());
            }
        }
    }
}
