//! Tables of segment lengths through both revisions and both modes.

use proptest::prelude::*;

use super::*;

/// All frames, one behind the other, come out as they went in.
fn round_trip(lens: &[[usize; 4]], per_recv: usize) {
    for mode in MODES {
        let (mut tx, mut rx) = (dialler_tx(mode), acceptor_rx(mode));
        let (mut pipe, mut want) = (Pipe { per_recv, ..Pipe::default() }, Vec::new());
        for &lens in lens {
            let segments = segments(lens);
            let wire = wire(&mut tx, message(&segments));
            let len = onwire_len(mode.0, mode.1, lens.map(|n| n as u32));
            assert_eq!(wire.len(), len, "{mode:?} {lens:?}");
            pipe.feed(&wire);
            want.push(Got::Frame(Tag::Message, segments));
        }
        let got = read_all(&mut rx, &mut InBuf::new(), &mut pipe);
        assert!(got.as_ref() == Ok(&want), "{mode:?} {lens:?}, {per_recv} bytes at a time");
    }
}

#[test]
fn which_segments_are_empty() {
    for mask in 0..16 {
        let lens = [41, 18, 3, 10];
        let lens = std::array::from_fn(|i| if mask >> i & 1 == 1 { lens[i] } else { 0 });
        round_trip(&[lens, lens], usize::MAX);
        round_trip(&[lens, lens], 1);
    }
}

#[test]
fn lengths_about_a_block_and_about_what_is_inline() {
    for n in (0..70).chain([127, 128, 129, 4095, 4096, 4097]) {
        round_trip(&[[n, 0, 0, 0], [41, n, 0, 0], [41, 1, n, 0], [41, 1, 1, n]], usize::MAX);
    }
}

#[test]
fn frames_over_a_mebibyte() {
    let mib = 1 << 20;
    round_trip(&[[41, 100, 0, 3 * mib + 1], [41, mib + 7, 5, mib]], usize::MAX);
    round_trip(&[[41, 100, 0, 3 * mib + 1], [41, mib + 7, 5, mib]], 60_001);
}

proptest! {
    #[test]
    fn any_table(
        lens in prop::collection::vec(
            [0usize..200, 0usize..5000, 0usize..100, 0usize..40_000],
            1..4,
        ),
        per_recv in prop_oneof![1usize..200, Just(16 << 10), Just(usize::MAX)],
    ) {
        round_trip(&lens, per_recv);
    }
}
