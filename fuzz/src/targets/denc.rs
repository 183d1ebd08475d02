//! `Reader`: any sequence of reads on any bytes, and the collections. `u8` count of reads and as
//! many of one byte each come first, the bytes to be read behind them.

use std::collections::{BTreeMap, BTreeSet};

use ceph_msgr::denc::{DecodeError, Reader};

use crate::codec::round_trip;
use crate::input::Input;
use crate::memory::{bounded, of_decoding};

/// The target.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let reads = input.chunk();
    let bytes = input.rest();
    bounded(of_decoding(bytes.len()), || {
        let mut r = Reader::new(bytes);
        for read in reads {
            let before = r.clone();
            if let Err(e) = one(&mut r, *read) {
                assert!(before.position() <= e.at && e.at <= bytes.len(), "{e}");
            }
            assert!(before.position() <= r.position());
            assert_eq!(r.position() + r.remaining(), bytes.len());
            assert_eq!(r.finish().is_ok(), r.remaining() == 0);
        }
    });
    match reads.first().map(|n| n % 8) {
        Some(0) => drop(round_trip::<Vec<u8>>(bytes)),
        Some(1) => drop(round_trip::<Vec<String>>(bytes)),
        Some(2) => drop(round_trip::<BTreeMap<String, BTreeSet<u64>>>(bytes)),
        Some(3) => drop(round_trip::<BTreeSet<String>>(bytes)),
        Some(4) => drop(round_trip::<Vec<Vec<Vec<String>>>>(bytes)),
        Some(5) => drop(round_trip::<(bool, (i8, (i16, (i32, (i64, String)))))>(bytes)),
        Some(6) => drop(round_trip::<BTreeMap<i32, (u16, String)>>(bytes)),
        _ => drop(round_trip::<String>(bytes)),
    }
}

fn one(r: &mut Reader<'_>, read: u8) -> Result<(), DecodeError> {
    let n = usize::from(read >> 4);
    match read & 15 {
        0 => r.u8().map(drop),
        1 => r.u16().map(drop),
        2 => r.u32().map(drop),
        3 => r.u64().map(drop),
        4 => r.bytes(n).map(|b| assert_eq!(b.len(), n)),
        5 => r.blob().map(drop),
        6 => r.string().map(drop),
        7 => r.list(n, Reader::u8).map(drop),
        8 => r.map(n, |r| Ok((r.u8()?, r.string()?))).map(drop),
        9 => nested(r, read >> 4, 4),
        10 => r.skip_versioned(),
        11 => r.array::<7>().map(drop),
        12 => {
            let mut sub = r.sub(n)?;
            sub.get::<Vec<u16>>().map(drop)
        }
        13 => r.peek_u8().map(drop),
        14 => r.f64().map(drop),
        _ => r.count(n).map(drop),
    }
}

/// Sections in sections: an inner one ends no later than the outer one.
fn nested(r: &mut Reader<'_>, known: u8, depth: u8) -> Result<(), DecodeError> {
    let left = r.remaining();
    r.versioned("section", known, |r, _| {
        assert!(r.remaining() <= left);
        if depth > 0 { nested(r, known, depth - 1) } else { r.string().map(drop) }
    })
}
