use std::fmt;
use std::str::FromStr;

use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};

macro_rules! newtype {
    ($($(#[$doc:meta])* $name:ident($ty:ident));* $(;)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $ty);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Encode for $name {
            fn encode(&self, w: &mut Writer) {
                w.$ty(self.0);
            }
        }

        impl Decode for $name {
            const MIN: usize = size_of::<$ty>();
            fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                r.$ty().map(Self)
            }
        }
    )*};
}

newtype! {
    /// Number of a message on a session; the first is 1.
    Seq(u64);
    /// A transaction of the application, repeated in the reply.
    Tid(u64);
    /// Orders the connection attempts of one messenger, across its sockets.
    GlobalSeq(u32);
    /// Orders the connections of one session; 0 is "no session yet".
    ConnectSeq(u32);
    /// The number that the monitors gave to this client, 0 for none yet.
    GlobalId(u64);
    /// Version of a map.
    Epoch(u32);
}

impl Seq {
    /// How far `self` is ahead of `other`, as the kernel compares: the signed difference.
    pub fn ahead_of(self, other: Self) -> i64 {
        self.0.wrapping_sub(other.0) as i64
    }

    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// `uuid_d`: the 16 bytes that name a cluster.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fsid(pub [u8; 16]);

impl fmt::Display for Fsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, b) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{b:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a UUID of the form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a uuid")]
pub struct FsidParseError;

impl FromStr for Fsid {
    type Err = FsidParseError;

    fn from_str(s: &str) -> Result<Self, FsidParseError> {
        let bytes = s.as_bytes();
        if bytes.len() != 36 {
            return Err(FsidParseError);
        }
        let mut out = [0; 16];
        let mut nibbles = 0;
        for (i, &b) in bytes.iter().enumerate() {
            if matches!(i, 8 | 13 | 18 | 23) {
                if b != b'-' {
                    return Err(FsidParseError);
                }
                continue;
            }
            let n = (b as char).to_digit(16).ok_or(FsidParseError)? as u8;
            out[nibbles / 2] |= n << (4 * (1 - nibbles % 2));
            nibbles += 1;
        }
        Ok(Self(out))
    }
}

impl Encode for Fsid {
    fn encode(&self, w: &mut Writer) {
        w.bytes(&self.0);
    }
}

impl Decode for Fsid {
    const MIN: usize = 16;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.array().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_fsid_is_printed_and_parsed_as_ceph_does() {
        let text = "b3a8fbd0-7d38-4d4c-b3c6-1f8ac0f5a1e2";
        let fsid: Fsid = text.parse().unwrap();
        assert_eq!(fsid.0[..4], [0xb3, 0xa8, 0xfb, 0xd0]);
        assert_eq!(fsid.to_string(), text);
        for bad in ["", "b3a8fbd0", &text[1..], &text.replace('-', "0"), &text.replace('b', "g")] {
            assert_eq!(bad.parse::<Fsid>(), Err(FsidParseError), "{bad}");
        }
    }

    #[test]
    fn sequence_numbers_compare_by_signed_difference() {
        assert_eq!(Seq(5).ahead_of(Seq(7)), -2);
        assert_eq!(Seq(0).ahead_of(Seq(u64::MAX)), 1);
    }
}
