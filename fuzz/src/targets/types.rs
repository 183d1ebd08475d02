//! Addresses, names, features: their bytes and their texts. `u8` tells which.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use ceph_msgr::auth;
use ceph_msgr::denc::Reader;
use ceph_msgr::types::{
    EntityAddr, EntityAddrVec, EntityName, EntityType, Features, Fsid, Seq, UTime,
};

use crate::codec::{round_trip, round_trip_older};
use crate::input::Input;

/// The target.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() % 12 {
        0 => drop(round_trip_older::<EntityAddr>(input.rest()).map(|a| a.to_string())),
        1 => drop(round_trip_older::<EntityAddrVec>(input.rest()).map(|a| a.to_string())),
        2 => legacy_addr(input.rest()),
        3 => drop(round_trip::<EntityName>(input.rest()).map(|n| n.to_string())),
        4 => drop(round_trip::<auth::EntityName>(input.rest()).map(|n| n.to_string())),
        5 => drop(round_trip::<(UTime, Fsid)>(input.rest())),
        6 => text::<EntityAddr>(input.rest()),
        7 => text::<auth::EntityName>(input.rest()),
        8 => text::<Fsid>(input.rest()),
        9 => text::<EntityType>(input.rest()),
        10 => features(input.u64(), input.u64()),
        _ => numbers(input),
    }
}

/// The hello's form is of one length and comes back as it was, but for what it has no place for.
fn legacy_addr(bytes: &[u8]) {
    let Ok(addr) = EntityAddr::decode_legacy(&mut Reader::new(bytes)) else { return };
    let again = addr.encode_legacy();
    let addr2 = EntityAddr::decode_legacy(&mut Reader::new(&again)).expect("our own encoding");
    assert_eq!(addr2.nonce, addr.nonce);
    assert_eq!(addr2.sockaddr.or(addr.sockaddr), addr2.sockaddr);
    if addr.sockaddr.is_some() {
        assert_eq!(addr2, addr);
    } else {
        assert!(addr2.is_blank_ip());
    }
}

/// What is printed is read as the same.
fn text<T: FromStr + Display + PartialEq + Debug>(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(value) = text.parse::<T>() {
        let shown = value.to_string();
        let Ok(again) = shown.parse::<T>() else { panic!("{text:?} is printed as {shown:?}") };
        assert_eq!(again, value, "{shown:?}");
    }
}

fn features(a: u64, b: u64) {
    let (a, b) = (Features(a), Features(b));
    assert_eq!(a.names().count(), a.0.count_ones() as usize);
    assert_eq!((a & b) | a.missing_in(b), a);
    for feature in Features::NAMED {
        assert!(a.with(*feature).has(*feature));
        assert_eq!((a & b).has(*feature), a.has(*feature) && b.has(*feature));
    }
}

fn numbers(mut input: Input<'_>) {
    let (a, b) = (Seq(input.u64()), Seq(input.u64()));
    assert_eq!(a.next().ahead_of(a), 1);
    assert_eq!(a.ahead_of(b) == 0, a == b);
    let a = UTime { sec: input.u32(), nsec: input.u32() };
    let b = UTime { sec: input.u32(), nsec: input.u32() };
    let sum = a.saturating_add(b.as_duration());
    let last = UTime { sec: u32::MAX, nsec: 999_999_999 };
    assert!(sum >= a.min(b).min(last) && sum <= last, "{a} + {b} = {sum}");
    let _ = (a.saturating_since(b), a.to_string());
}
