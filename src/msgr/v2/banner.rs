//! The first bytes of both ends, and what follows from them.

use super::Revision;
use crate::denc::Reader;
use crate::limits;
use crate::msgr::Fault;

/// How messenger v2 begins (`CEPH_BANNER_V2_PREFIX`).
pub const BANNER_V2: &[u8; 8] = b"ceph v2\n";
/// Bytes of prefix and payload length, behind which the payload follows.
pub const BANNER_HEAD_LEN: usize = BANNER_V2.len() + 2;
/// Frames of revision 1 (`CEPH_MSGR2_FEATURE_REVISION_1`).
pub const MSGR2_FEATURE_REVISION_1: u64 = 1;

/// How messenger v1 begins, up to its version.
const BANNER_V1: &[u8] = b"ceph v0";
/// Bytes of the payload that have a meaning.
const PAYLOAD_LEN: usize = 16;

/// What an end says of itself: `ceph v2\n`, `u16` length of what follows (16), `u64` supported and
/// `u64` required features. They are bits of the messenger, not those of [`Features`].
///
/// [`Features`]: crate::types::Features
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Banner {
    /// What it can do.
    pub supported: u64,
    /// What the peer must be able to do.
    pub required: u64,
}

impl Banner {
    /// What this library says: both revisions will do.
    pub const OURS: Self = Self { supported: MSGR2_FEATURE_REVISION_1, required: 0 };

    /// The bytes.
    pub fn encode(&self) -> [u8; BANNER_HEAD_LEN + PAYLOAD_LEN] {
        let mut out = [0; BANNER_HEAD_LEN + PAYLOAD_LEN];
        out[..8].copy_from_slice(BANNER_V2);
        out[8..10].copy_from_slice(&(PAYLOAD_LEN as u16).to_le_bytes());
        out[10..18].copy_from_slice(&self.supported.to_le_bytes());
        out[18..].copy_from_slice(&self.required.to_le_bytes());
        out
    }

    /// Refuses bytes, be they as few as they may, that are not the beginning of a banner: a peer that
    /// speaks something else need not send more.
    pub fn check_prefix(seen: &[u8]) -> Result<(), Fault> {
        let n = seen.len().min(BANNER_V2.len());
        if seen[..n] == BANNER_V2[..n] {
            Ok(())
        } else if seen.starts_with(BANNER_V1) {
            Err(Fault::PeerSpeaksV1)
        } else {
            Err(Fault::BadBanner)
        }
    }

    /// How many bytes follow the head, all of which belong to the banner.
    pub fn payload_len(head: &[u8; BANNER_HEAD_LEN]) -> Result<usize, Fault> {
        Self::check_prefix(head)?;
        let len = u16::from_le_bytes([head[8], head[9]]);
        if u32::from(len) > limits::BANNER_MAX_PAYLOAD_LEN {
            return Err(Fault::TooLong { segment: "banner payload", len: len.into() });
        }
        Ok(len.into())
    }

    /// What the payload says; behind the features a newer peer may say more.
    pub fn decode(payload: &[u8]) -> Result<Self, Fault> {
        let mut r = Reader::new(payload);
        r.what("banner payload");
        Ok(Self { supported: r.u64()?, required: r.u64()? })
    }

    /// Whether the two ends can talk to each other, and how.
    pub fn agree(&self, peer: &Self) -> Result<Revision, Fault> {
        match (peer.required & !self.supported, self.required & !peer.supported) {
            (0, 0) => {}
            (0, lacking) => return Err(Fault::PeerLacksMsgr2Features(lacking)),
            (missing, _) => return Err(Fault::Msgr2FeaturesMissing(missing)),
        }
        let both = self.supported & peer.supported;
        Ok(match both & MSGR2_FEATURE_REVISION_1 {
            0 => Revision::V2_0,
            _ => Revision::V2_1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denc::DecodeErrorKind;
    use crate::hex::hex;

    fn head(bytes: &[u8]) -> &[u8; BANNER_HEAD_LEN] {
        bytes.first_chunk().unwrap()
    }

    #[test]
    fn as_a_16_2_15_daemon_sends_it() {
        let wire = hex("636570682076320a 1000 0100000000000000 0000000000000000");
        assert_eq!(Banner::OURS.encode().to_vec(), wire);
        assert_eq!(Banner::payload_len(head(&wire)), Ok(16));
        assert_eq!(Banner::decode(&wire[10..]), Ok(Banner { supported: 1, required: 0 }));
    }

    #[test]
    fn a_longer_payload_is_legal_and_a_shorter_one_is_not() {
        let mut wire = Banner { supported: 3, required: 1 }.encode().to_vec();
        (wire[8], wire[9]) = (20, 0);
        wire.extend(b"more");
        assert_eq!(Banner::payload_len(head(&wire)), Ok(20));
        assert_eq!(Banner::decode(&wire[10..]), Ok(Banner { supported: 3, required: 1 }));
        for n in 0..16 {
            let Err(Fault::Decode(e)) = Banner::decode(&wire[10..10 + n]) else { panic!("{n}") };
            assert_eq!((e.what, e.kind), ("banner payload", DecodeErrorKind::Short));
        }
    }

    #[test]
    fn a_payload_has_a_limit() {
        let mut wire = Banner::OURS.encode();
        for (len, ok) in [(0, true), (4096, true), (4097, false), (u16::MAX, false)] {
            wire[8..10].copy_from_slice(&len.to_le_bytes());
            let want = match ok {
                true => Ok(len.into()),
                false => Err(Fault::TooLong { segment: "banner payload", len: len.into() }),
            };
            assert_eq!(Banner::payload_len(head(&wire)), want);
        }
    }

    #[test]
    fn another_protocol_shows_in_its_first_bytes() {
        for n in 0..=Banner::OURS.encode().len() {
            assert_eq!(Banner::check_prefix(&Banner::OURS.encode()[..n]), Ok(()));
        }
        let v1 = b"ceph v027 and addresses";
        for n in 0..v1.len() {
            let want = if n < 7 { Ok(()) } else { Err(Fault::PeerSpeaksV1) };
            assert_eq!(Banner::check_prefix(&v1[..n]), want, "{n} bytes");
        }
        assert_eq!(Banner::payload_len(head(v1)), Err(Fault::PeerSpeaksV1));
        for junk in [&b"S"[..], b"SSH-2.0-OpenSSH", b"ceph v2\r", b"ceph v3\n", b"\0"] {
            assert_eq!(Banner::check_prefix(junk), Err(Fault::BadBanner), "{junk:?}");
        }
    }

    #[test]
    fn the_revision_is_what_both_support_and_demands_are_heard() {
        use Fault::{Msgr2FeaturesMissing as Missing, PeerLacksMsgr2Features as Lacks};
        use Revision::{V2_0, V2_1};
        for (ours, peer, want) in [
            ((1, 0), (1, 0), Ok(V2_1)),
            ((1, 0), (3, 0), Ok(V2_1)),
            ((1, 0), (1, 1), Ok(V2_1)),
            ((1, 1), (3, 1), Ok(V2_1)),
            ((1, 0), (0, 0), Ok(V2_0)),
            ((0, 0), (1, 0), Ok(V2_0)),
            ((0, 0), (0, 0), Ok(V2_0)),
            ((1, 0), (2, 0), Ok(V2_0)),
            ((0, 0), (1, 1), Err(Missing(1))),
            ((1, 0), (3, 3), Err(Missing(2))),
            ((1, 0), (1, 1 << 63), Err(Missing(1 << 63))),
            ((1, 1), (0, 0), Err(Lacks(1))),
            ((1, 1), (2, 0), Err(Lacks(1))),
            ((1, 1), (2, 2), Err(Missing(2))),
        ] {
            let banner = |(supported, required)| Banner { supported, required };
            assert_eq!(banner(ours).agree(&banner(peer)), want, "{ours:?} {peer:?}");
        }
    }
}
