//! Captures in which a byte is another one.

use super::*;

/// What the end of that role makes of it when byte `at` is changed.
fn changed(capture: &Capture, role: Role, at: usize) -> Result<(Vec<Got>, Vec<u8>), Fault> {
    let mut bytes = capture.bytes_of(other(role));
    bytes[at] ^= 0x80;
    capture.read(role, &bytes, usize::MAX)
}

#[test]
fn in_what_is_sealed_it_is_found() {
    for capture in captures().filter(|c| c.mode.1) {
        for role in ROLES {
            let (clear, all) = (capture.signed_by(other(role)), capture.bytes_of(other(role)));
            for at in clear.len()..all.len() {
                let fault = changed(&capture, role, at).unwrap_err();
                let is_seal = match capture.mode.0 {
                    V2_1 => fault == Fault::BadSeal,
                    // Its lengths are looked at before the tag is there.
                    V2_0 => matches!(fault, Fault::BadSeal | Fault::BadPreamble("wrong crc")),
                };
                assert!(is_seal, "{} byte {at}: {fault}", capture.name);
            }
        }
    }
}

#[test]
fn in_what_is_signed_it_is_found_or_the_signature_is_wrong() {
    for capture in captures() {
        for role in ROLES {
            let clear = capture.signed_by(other(role));
            for at in 0..clear.len() {
                if let Ok((_, signed)) = changed(&capture, role, at) {
                    assert_ne!(signed, clear, "{} byte {at}", capture.name);
                }
            }
        }
    }
}

/// Bytes of a frame with checksums that are not looked at, if the lowest bit is not changed.
fn idle_bytes(revision: Revision, frame: &Got) -> usize {
    let Got::Frame(tag, segments) = frame else { panic!("aborted") };
    let count = Preamble::new(*tag, segments.each_ref().map(|s| s.len() as u32)).count();
    // The rest of the late status, and the checksums of segments that are not there.
    match revision {
        V2_1 if count == 1 => 0,
        _ => 1 + 4 * (SEGMENTS - count),
    }
}

#[test]
fn behind_a_checksum_it_is_found_or_does_not_count() {
    for capture in captures().filter(|c| !c.mode.1) {
        for role in ROLES {
            let (clear, all) = (capture.signed_by(other(role)), capture.bytes_of(other(role)));
            let want = capture.frames_of(other(role));
            let mut unnoticed = 0;
            for at in clear.len()..all.len() {
                if let Ok((got, _)) = changed(&capture, role, at) {
                    assert_eq!(got, want, "{} byte {at}", capture.name);
                    unnoticed += 1;
                }
            }
            let signature = capture.sent_by(other(role)).position(|(t, _)| t == "AUTH_SIGNATURE");
            // The banner is not among the frames.
            let behind = &want[signature.unwrap() - 1..];
            let idle: usize = behind.iter().map(|f| idle_bytes(capture.mode.0, f)).sum();
            assert_eq!(unnoticed, idle, "{}", capture.name);
        }
    }
}
