//! From the banner to a session: what is signed, and which way the frames go on.

use super::*;

#[test]
fn the_transcript_has_the_bytes_of_the_frames_and_not_what_was_read_ahead() {
    for revision in [V2_1, V2_0] {
        let (mut tx, mut rx) = (FrameTx::new(revision), FrameRx::new(revision, Role::Accepting));
        for transcript in [tx.transcript(), rx.transcript()] {
            transcript.add(&Banner::OURS.encode()).unwrap();
        }
        let mut signed = Banner::OURS.encode().to_vec();
        let mut pipe = Pipe::default();
        for (tag, len) in [(Tag::Hello, 36), (Tag::AuthDone, 500), (Tag::Wait, 0)] {
            signed.extend(wire(&mut tx, OutFrame::control(tag, &bytes(len, 1))));
        }
        assert_eq!(tx.transcript().take(), signed);
        pipe.feed(&signed[26..]);
        pipe.feed(&wire(&mut tx, OutFrame::control(Tag::AuthSignature, &[7; 32])));
        let mut in_buf = InBuf::new();
        for _ in 0..6 {
            assert!(rx.read(&mut in_buf, &mut pipe).unwrap().is_some());
        }
        assert_eq!(pipe.unread(), 0, "all of it has been read ahead");
        assert_eq!(rx.transcript().take(), signed);
        let header = rx.read(&mut in_buf, &mut pipe).unwrap();
        assert!(matches!(header, Some(Read::Header(p)) if p.tag == Tag::AuthSignature));
        assert_eq!((tx.transcript().take(), rx.transcript().take()), (vec![], vec![]));
    }
}

#[test]
fn a_reserved_byte_is_signed_as_it_came() {
    let (mut tx, mut rx) = (FrameTx::new(V2_1), FrameRx::new(V2_1, Role::Connecting));
    let mut wire = wire(&mut tx, OutFrame::control(Tag::Hello, &[1; 36]));
    wire[27] = 0x77;
    let crc = crate::crc32c::ceph_crc32c(0, &wire[..28]);
    wire[28..32].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(read(&mut rx, &wire).unwrap().len(), 1);
    assert_eq!(rx.transcript().take(), wire);
}

#[test]
fn a_handshake_that_never_ends_is_refused() {
    for revision in [V2_1, V2_0] {
        let (mut tx, mut rx) = (FrameTx::new(revision), FrameRx::new(revision, Role::Accepting));
        tx.transcript().take();
        let wire = wire(&mut tx, OutFrame::control(Tag::AuthRequestMore, &bytes(5000, 1)));
        for _ in 0..2 {
            assert_eq!(read(&mut rx, &wire).unwrap().len(), 1);
        }
        let outcome = read(&mut rx, &wire);
        let Err(Fault::TooLong { segment, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(segment, "handshake");
    }
}

#[test]
fn the_mode_changes_between_two_frames() {
    for revision in [V2_1, V2_0] {
        let accepting = FrameRx::new(revision, Role::Accepting);
        let (mut tx, mut other_rx) = (FrameTx::new(revision), accepting);
        let connecting = FrameRx::new(revision, Role::Connecting);
        let (mut other_tx, mut rx) = (FrameTx::new(revision), connecting);
        let done = wire(&mut tx, OutFrame::control(Tag::AuthDone, &[6; 100]));
        let secure = ConMode::Secure;
        set_con_mode(&mut tx, &mut other_rx, secure, &secret()).unwrap();
        let signature = wire(&mut tx, OutFrame::control(Tag::AuthSignature, &[7; 32]));
        assert_eq!(signature.len(), 96);

        let (mut pipe, mut in_buf) = (Pipe::default(), InBuf::new());
        pipe.feed(&[done, signature].concat());
        rx.read(&mut in_buf, &mut pipe).unwrap();
        assert!(matches!(rx.read(&mut in_buf, &mut pipe), Ok(Some(Read::Frame(_)))));
        set_con_mode(&mut other_tx, &mut rx, secure, &secret()).unwrap();
        let got = read_all(&mut rx, &mut in_buf, &mut pipe).unwrap();
        let segments = [vec![7; 32], vec![], vec![], vec![]];
        assert_eq!(got, [Got::Frame(Tag::AuthSignature, segments)]);
    }
}

#[test]
fn there_is_no_seal_without_a_secret() {
    for n in 0..40 {
        let (mut tx, mut rx) = (FrameTx::new(V2_1), FrameRx::new(V2_1, Role::Connecting));
        let secret = &secret()[..n];
        let outcome = set_con_mode(&mut tx, &mut rx, ConMode::Secure, secret);
        assert_eq!(outcome, Err(Fault::BadConnectionSecret(n)));
    }
    let (mut tx, mut rx) = (FrameTx::new(V2_1), FrameRx::new(V2_1, Role::Connecting));
    assert_eq!(set_con_mode(&mut tx, &mut rx, ConMode::Crc, &[]), Ok(()));
}

#[test]
fn without_checksums_of_segments_they_are_zero_and_not_looked_at() {
    for mode in [(V2_1, false), (V2_0, false)] {
        let segments = segments([41, 18, 0, 10]);
        let mut tx = dialler_tx(mode);
        tx.set_crc_data(false);
        let wire = wire(&mut tx, message(&segments));
        assert_eq!(wire[wire.len() - 12..], [0; 12]);
        let fault = Fault::BadSegmentCrc(0);
        assert_eq!(read(&mut acceptor_rx(mode), &wire), Err(fault), "{mode:?}");
        let mut rx = acceptor_rx(mode);
        rx.set_crc_data(false);
        assert_eq!(read(&mut rx, &wire), Ok(vec![Got::Frame(Tag::Message, segments)]));
        // That of the preamble is there all the same.
        let mut bad = wire;
        bad[3] ^= 1;
        let mut rx = acceptor_rx(mode);
        rx.set_crc_data(false);
        assert_eq!(read(&mut rx, &bad), Err(Fault::BadPreamble("wrong crc")));
    }
}

#[test]
fn a_wrong_checksum_names_its_segment() {
    for mode in [(V2_1, false), (V2_0, false)] {
        let segments = segments([41, 18, 3, 10]);
        let wire = wire(&mut dialler_tx(mode), message(&segments));
        let front = 32 + 41 + if mode.0 == V2_1 { 4 } else { 0 };
        for (at, segment) in [(32, 0), (front, 1), (front + 18, 2), (front + 21, 3)] {
            let mut bad = wire.clone();
            bad[at] ^= 0x10;
            assert_eq!(read(&mut acceptor_rx(mode), &bad), Err(Fault::BadSegmentCrc(segment)));
        }
    }
}

#[test]
fn nothing_secret_is_printed() {
    let (tx, rx) = end(Role::Connecting, (V2_1, true));
    let text = format!("{tx:?} {rx:?}");
    assert!(text.contains("Seal(..)") && !text.contains("29, 30, 31"), "{text}");
}
