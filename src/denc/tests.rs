use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::types::Features;

#[test]
fn integers_are_little_endian() {
    let mut w = Writer::new(Features::ALL);
    w.u8(1).u16(0x0203).u32(0x0405_0607).i64(-2).bool(true).string("ab");
    assert_eq!(
        w.as_slice(),
        [1, 3, 2, 7, 6, 5, 4, 254, 255, 255, 255, 255, 255, 255, 255, 1, 2, 0, 0, 0, b'a', b'b']
    );
}

#[test]
fn every_truncation_is_short() {
    let mut w = Writer::new(Features::ALL);
    w.versioned(2, 1, |w| {
        w.u32(7).string("seven");
    });
    let bytes = w.into_vec();
    let read =
        |b: &[u8]| Reader::new(b).versioned("seven", 1, |r, v| Ok((v, r.u32()?, r.string()?)));
    assert_eq!(read(&bytes), Ok((2, 7, "seven".into())));
    for n in 0..bytes.len() {
        assert_eq!(read(&bytes[..n]).unwrap_err().kind, DecodeErrorKind::Short, "{n} bytes");
    }
}

#[test]
fn a_newer_section_is_read_and_its_tail_skipped() {
    let mut w = Writer::new(Features::ALL);
    w.versioned(9, 1, |w| {
        w.u32(7).u64(0xdead);
    });
    w.u8(5);
    let bytes = w.into_vec();
    let mut r = Reader::new(&bytes);
    assert_eq!(r.versioned("x", 1, |r, v| Ok((v, r.u32()?))), Ok((9, 7)));
    assert_eq!(r.u8(), Ok(5));
}

#[test]
fn only_struct_compat_refuses() {
    let mut r = Reader::new(&[9, 3, 0, 0, 0, 0]);
    let e = r.versioned("x", 2, |_, _| Ok(())).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::Incompatible { compat: 3, known: 2 });
    assert_eq!(e.what, "x");
}

#[test]
fn a_section_cannot_read_past_its_end() {
    let mut r = Reader::new(&[1, 1, 2, 0, 0, 0, 1, 2, 3, 4]);
    let e = r.versioned("x", 1, |r, _| r.u32()).unwrap_err();
    assert_eq!((e.kind, e.at), (DecodeErrorKind::Short, 6));
}

#[test]
fn a_count_is_capped_by_the_bytes_left() {
    let mut r = Reader::new(&[0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
    assert_eq!(r.get::<Vec<u8>>().unwrap_err().kind, DecodeErrorKind::BadCount(u32::MAX));
    assert_eq!(Vec::<u8>::from_bytes(&[3, 0, 0, 0, 1, 2, 3]), Ok(vec![1, 2, 3]));
    assert_eq!(
        Vec::<u16>::from_bytes(&[2, 0, 0, 0, 1, 2, 3]).unwrap_err().kind,
        DecodeErrorKind::BadCount(2)
    );
}

#[test]
fn left_over_bytes_are_an_error() {
    assert_eq!(u8::from_bytes(&[1, 2]).unwrap_err().kind, DecodeErrorKind::Trailing(1));
}

#[test]
fn maps_and_sets_are_counted_pairs_and_items() {
    let wire = [2, 0, 0, 0, 1, 5, 0, 3, 6, 0];
    let map = BTreeMap::<u8, u16>::from_bytes(&wire).unwrap();
    assert_eq!(map, [(1, 5), (3, 6)].into());
    assert_eq!(map.to_bytes(Features::ALL), wire);
    let e = BTreeMap::<u8, u16>::from_bytes(&wire[..9]).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::BadCount(2));
    let set = BTreeSet::<u8>::from_bytes(&[2, 0, 0, 0, 9, 4]).unwrap();
    assert_eq!(set.to_bytes(Features::ALL), [2, 0, 0, 0, 4, 9]);
}
