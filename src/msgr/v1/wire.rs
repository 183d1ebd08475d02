//! The fixed-size parts of messenger v1 (`src/include/msgr.h`), all packed and little-endian.

use bytes::Bytes;

use crate::crc32c::ceph_crc32c;
use crate::denc::{DecodeError, Reader, Writer};
use crate::msgr::{Fault, MsgHeader, Priority};
use crate::types::{
    ConnectSeq, EntityName, EntityType, Features, GlobalSeq, LEGACY_ADDR_LEN, Seq, Tid,
};

/// The first bytes of both ends, without a NUL or a newline.
pub(crate) const BANNER: &[u8; 9] = b"ceph v027";
/// How messenger v2 begins.
pub(crate) const BANNER_V2: &[u8; 8] = b"ceph v2\n";
/// Banner, the acceptor's address, and ours as it sees it.
pub(crate) const HELLO_LEN: usize = BANNER.len() + 2 * LEGACY_ADDR_LEN;

/// `CEPH_MSGR_TAG_*`.
pub(crate) mod tag {
    pub(crate) const READY: u8 = 1;
    pub(crate) const RESETSESSION: u8 = 2;
    pub(crate) const WAIT: u8 = 3;
    pub(crate) const RETRY_SESSION: u8 = 4;
    pub(crate) const RETRY_GLOBAL: u8 = 5;
    pub(crate) const CLOSE: u8 = 6;
    pub(crate) const MSG: u8 = 7;
    pub(crate) const ACK: u8 = 8;
    pub(crate) const KEEPALIVE: u8 = 9;
    pub(crate) const BADPROTOVER: u8 = 10;
    pub(crate) const BADAUTHORIZER: u8 = 11;
    pub(crate) const FEATURES: u8 = 12;
    pub(crate) const SEQ: u8 = 13;
    pub(crate) const KEEPALIVE2: u8 = 14;
    pub(crate) const KEEPALIVE2_ACK: u8 = 15;
    pub(crate) const CHALLENGE_AUTHORIZER: u8 = 16;
}

/// `CEPH_MSG_CONNECT_LOSSY`.
pub(crate) const CONNECT_LOSSY: u8 = 1;

/// `CEPH_MSG_FOOTER_*`.
pub(crate) mod footer_flag {
    pub(crate) const COMPLETE: u8 = 1;
    pub(crate) const NOCRC: u8 = 2;
    pub(crate) const SIGNED: u8 = 4;
}

/// `ceph_msg_connect`, 33 bytes: what a dialler offers. `authorizer_len` bytes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) features: Features,
    pub(crate) host_type: EntityType,
    pub(crate) global_seq: GlobalSeq,
    pub(crate) connect_seq: ConnectSeq,
    pub(crate) protocol_version: u32,
    pub(crate) authorizer_protocol: u32,
    pub(crate) authorizer_len: u32,
    pub(crate) flags: u8,
}

impl Connect {
    pub(crate) const LEN: usize = 33;

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("ceph_msg_connect");
        Ok(Self {
            features: Features(r.u64()?),
            // No type has a number beyond a byte.
            host_type: EntityType(r.u32()?.try_into().unwrap_or(0)),
            global_seq: r.get()?,
            connect_seq: r.get()?,
            protocol_version: r.u32()?,
            authorizer_protocol: r.u32()?,
            authorizer_len: r.u32()?,
            flags: r.u8()?,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(Features::ALL);
        w.u64(self.features.0).u32(self.host_type.0.into());
        w.u32(self.global_seq.0).u32(self.connect_seq.0).u32(self.protocol_version);
        w.u32(self.authorizer_protocol).u32(self.authorizer_len).u8(self.flags);
        w.into_vec()
    }
}

/// `ceph_msg_connect_reply`, 26 bytes. `authorizer_len` bytes follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectReply {
    /// `CEPH_MSGR_TAG_*`: the verdict; [`Self::tag_name`] names it.
    pub tag: u8,
    /// With READY and SEQ everything that the acceptor supports; with any other tag what both
    /// sides support and what the acceptor demands, in one word.
    pub features: Features,
    /// With READY and SEQ the acceptor's own, with RETRY_GLOBAL the highest that it has seen of us.
    pub global_seq: GlobalSeq,
    /// With READY and SEQ one more than was sent, with RETRY_SESSION what to send next.
    pub connect_seq: ConnectSeq,
    /// The acceptor's version of the protocol between the two kinds of entity.
    pub protocol_version: u32,
    /// Bytes that follow.
    pub authorizer_len: u32,
    /// `CEPH_MSG_CONNECT_*`; see [`Self::is_lossy`].
    pub flags: u8,
}

impl ConnectReply {
    pub(crate) const LEN: usize = 26;

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.what("ceph_msg_connect_reply");
        Ok(Self {
            tag: r.u8()?,
            features: Features(r.u64()?),
            global_seq: r.get()?,
            connect_seq: r.get()?,
            protocol_version: r.u32()?,
            authorizer_len: r.u32()?,
            flags: r.u8()?,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(Features::ALL);
        w.u8(self.tag).u64(self.features.0).u32(self.global_seq.0).u32(self.connect_seq.0);
        w.u32(self.protocol_version).u32(self.authorizer_len).u8(self.flags);
        w.into_vec()
    }

    /// Ceph's name of the tag, without `CEPH_MSGR_TAG_`; `None` where it is none of a reply.
    pub fn tag_name(&self) -> Option<&'static str> {
        Some(match self.tag {
            tag::READY => "READY",
            tag::RESETSESSION => "RESETSESSION",
            tag::WAIT => "WAIT",
            tag::RETRY_SESSION => "RETRY_SESSION",
            tag::RETRY_GLOBAL => "RETRY_GLOBAL",
            tag::BADPROTOVER => "BADPROTOVER",
            tag::BADAUTHORIZER => "BADAUTHORIZER",
            tag::FEATURES => "FEATURES",
            tag::SEQ => "SEQ",
            tag::CHALLENGE_AUTHORIZER => "CHALLENGE_AUTHORIZER",
            _ => return None,
        })
    }

    /// Whether a session that this reply opens does not survive a fault, as the acceptor decides.
    pub fn is_lossy(&self) -> bool {
        self.flags & CONNECT_LOSSY != 0
    }
}

/// `ceph_msg_header`, 53 bytes: what [`MsgHeader`] holds, the lengths of the segments, a crc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WireHeader {
    pub(crate) header: MsgHeader,
    pub(crate) front_len: u32,
    pub(crate) middle_len: u32,
    pub(crate) data_len: u32,
    /// crc of the 49 bytes before it: part of what is signed.
    pub(crate) crc: u32,
}

impl WireHeader {
    pub(crate) const LEN: usize = 53;
    const CRC_AT: usize = Self::LEN - 4;

    /// Bytes of the three segments.
    pub(crate) fn len(&self) -> usize {
        self.front_len as usize + self.middle_len as usize + self.data_len as usize
    }

    /// The header's bytes; `crc` is computed anew and returned with them.
    pub(crate) fn encode(&self) -> ([u8; Self::LEN], u32) {
        let h = &self.header;
        let mut w = Writer::with_capacity(Features::ALL, Self::LEN);
        w.u64(h.seq.0).u64(h.tid.0).u16(h.msg_type).u16(h.priority.0).u16(h.version);
        w.u32(self.front_len).u32(self.middle_len).u32(self.data_len).u16(h.data_off);
        w.put(&h.src).u16(h.compat_version).u16(0);
        let crc = ceph_crc32c(0, w.as_slice());
        w.u32(crc);
        let mut out = [0; Self::LEN];
        out.copy_from_slice(w.as_slice());
        (out, crc)
    }

    /// Checks the crc, then reads the fields.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut r = Reader::new(bytes);
        r.what("ceph_msg_header");
        let seq = Seq(r.u64()?);
        let tid = Tid(r.u64()?);
        let (msg_type, priority, version) = (r.u16()?, Priority(r.u16()?), r.u16()?);
        let (front_len, middle_len, data_len) = (r.u32()?, r.u32()?, r.u32()?);
        let data_off = r.u16()?;
        let src = r.get::<EntityName>()?;
        let compat_version = r.u16()?;
        let _reserved = r.u16()?;
        let crc = r.u32()?;
        if crc != ceph_crc32c(0, &bytes[..Self::CRC_AT]) {
            return Err(Fault::BadHeaderCrc);
        }
        let header =
            MsgHeader { seq, tid, msg_type, priority, version, compat_version, data_off, src };
        Ok(Self { header, front_len, middle_len, data_len, crc })
    }
}

/// `ceph_msg_footer`, 21 bytes, or `ceph_msg_footer_old`, 13 bytes without `sig`, for sessions
/// without MSG_AUTH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) front_crc: u32,
    pub(crate) middle_crc: u32,
    pub(crate) data_crc: u32,
    pub(crate) sig: u64,
    pub(crate) flags: u8,
}

impl Footer {
    /// Length of the form that a session with these features uses.
    pub(crate) fn len(features: Features) -> usize {
        if features.has(Features::MSG_AUTH) { 21 } else { 13 }
    }

    /// The checksums of these segments; the data's is left out where `crc_data` is off.
    pub(crate) fn of(front: &Bytes, middle: &Bytes, data: &Bytes, crc_data: bool) -> Self {
        Self {
            front_crc: ceph_crc32c(0, front),
            middle_crc: ceph_crc32c(0, middle),
            data_crc: if crc_data { ceph_crc32c(0, data) } else { 0 },
            sig: 0,
            flags: footer_flag::COMPLETE | if crc_data { 0 } else { footer_flag::NOCRC },
        }
    }

    pub(crate) fn encode(&self, features: Features) -> Vec<u8> {
        let mut w = Writer::with_capacity(features, Self::len(features));
        w.u32(self.front_crc).u32(self.middle_crc).u32(self.data_crc);
        if features.has(Features::MSG_AUTH) {
            w.u64(self.sig);
        }
        w.u8(self.flags);
        w.into_vec()
    }

    pub(crate) fn decode(bytes: &[u8], features: Features) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.what("ceph_msg_footer");
        let (front_crc, middle_crc, data_crc) = (r.u32()?, r.u32()?, r.u32()?);
        let sig = if features.has(Features::MSG_AUTH) { r.u64()? } else { 0 };
        let flags = r.u8()?;
        r.finish()?;
        Ok(Self { front_crc, middle_crc, data_crc, sig, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    #[test]
    fn the_connect_message_of_the_linux_client() {
        let connect = Connect {
            features: Features(0x2f01_8eb8_7aa4_aafe),
            host_type: EntityType::CLIENT,
            global_seq: GlobalSeq(1),
            connect_seq: ConnectSeq(0),
            protocol_version: 15,
            authorizer_protocol: 0,
            authorizer_len: 0,
            flags: 0,
        };
        let wire = hex("feaaa47ab88e012f 08000000 01000000 00000000 0f000000 00000000 00000000 00");
        assert_eq!(connect.encode(), wire);
        assert_eq!(wire.len(), 33);
    }

    #[test]
    fn the_replies_of_a_16_2_15_monitor_and_osd() {
        let reply = |s| ConnectReply::decode(&mut Reader::new(&hex(s))).unwrap();
        let seq = reply("0d fffffdffbdcf013f 26000000 01000000 0f000000 00000000 01");
        assert_eq!((seq.tag_name(), seq.is_lossy()), (Some("SEQ"), true));
        assert_eq!((seq.connect_seq, seq.protocol_version), (ConnectSeq(1), 15));
        assert_eq!(seq.features, Features(0x3f01_cfbd_fffd_ffff));
        let bad = reply("0a 0000044200020104 00000000 00000000 18000000 00000000 00");
        assert_eq!((bad.tag_name(), bad.is_lossy()), (Some("BADPROTOVER"), false));
        assert_eq!((bad.features, bad.protocol_version), (Features(0x0401_0200_4204_0000), 24));
        assert_eq!(ConnectReply { tag: tag::MSG, ..seq }.tag_name(), None);
    }

    /// The header of a signed message that a 16.2.15 OSD took.
    fn header() -> Vec<u8> {
        hex("0700000000000000 0900000000000000 6100 7f00 0100 03000000 00000000 04000000 0000 08
             9210000000000000 0100 0000 7c59e7d2")
    }

    #[test]
    fn a_header_that_an_osd_accepted() {
        let bytes = header();
        let h = WireHeader::decode(&bytes).unwrap();
        assert_eq!((h.header.seq, h.header.tid, h.header.msg_type), (Seq(7), Tid(9), 0x61));
        assert_eq!((h.front_len, h.middle_len, h.data_len), (3, 0, 4));
        assert_eq!(h.header.src, EntityName::new(EntityType::CLIENT, 0x1092));
        assert_eq!(h.encode(), (bytes.try_into().unwrap(), h.crc));
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_found() {
        for bit in 0..8 * WireHeader::LEN {
            let mut bytes = header();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(WireHeader::decode(&bytes), Err(Fault::BadHeaderCrc), "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_is_short() {
        use crate::denc::DecodeErrorKind::Short;
        let is_short = |e: Fault| matches!(e, Fault::Decode(e) if e.kind == Short);
        let header = header();
        for n in 0..header.len() {
            assert!(is_short(WireHeader::decode(&header[..n]).unwrap_err()), "header, {n} bytes");
        }
        for n in 0..ConnectReply::LEN {
            let reply = [1; ConnectReply::LEN];
            let e = ConnectReply::decode(&mut Reader::new(&reply[..n])).unwrap_err();
            assert_eq!(e.kind, Short, "reply, {n} bytes");
        }
        for features in [Features::NONE, Features::ALL] {
            for n in 0..Footer::len(features) {
                let e = Footer::decode(&[0; 21][..n], features).unwrap_err();
                assert_eq!(e.kind, Short, "footer, {n} bytes");
            }
        }
        Footer::decode(&[0; 21], Features::NONE).expect_err("the long footer is not the short one");
    }

    #[test]
    fn a_connect_reply_field_by_field() {
        // By the table: READY, all that 16.2.15 supports, lossy.
        let wire = hex("01 fffffdffbdcf013f 1a000000 01000000 0f000000 00000000 01");
        let reply = ConnectReply::decode(&mut Reader::new(&wire)).unwrap();
        assert_eq!((reply.tag, reply.features), (tag::READY, Features(0x3f01_cfbd_fffd_ffff)));
        assert_eq!((reply.global_seq, reply.connect_seq), (GlobalSeq(0x1a), ConnectSeq(1)));
        assert_eq!((reply.protocol_version, reply.authorizer_len, reply.flags), (15, 0, 1));
    }

    #[test]
    fn footers_of_both_forms() {
        let f = Footer::of(&b"abc"[..].into(), &Bytes::new(), &b"wxyz"[..].into(), true);
        assert_eq!(f.front_crc, 0x562f_9ccd);
        assert_eq!(f.data_crc, 0xc9a0_8964);
        let signed = Features::NONE.with(Features::MSG_AUTH);
        for features in [Features::NONE, signed] {
            let bytes = f.encode(features);
            assert_eq!(bytes.len(), Footer::len(features));
            assert_eq!(Footer::decode(&bytes, features), Ok(f));
        }
        assert_eq!((Footer::len(Features::NONE), Footer::len(signed)), (13, 21));
        let nocrc = Footer::of(&Bytes::new(), &Bytes::new(), &b"wxyz"[..].into(), false);
        assert_eq!((nocrc.data_crc, nocrc.flags), (0, 3));
    }
}
