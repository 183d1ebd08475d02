use byteorder::{ByteOrder as _, LE};

use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::msgr::{MsgHeader, Priority};
use crate::types::{EntityName, Seq, Tid};

/// `ceph_msg_header2`, segment 0 of a MESSAGE (tag 17), 41 bytes: what [`MsgHeader`] holds but for the
/// source, which is that of the session, and what v1 sends elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsgHeader2 {
    /// Number on the session.
    pub seq: Seq,
    /// Transaction of the application.
    pub tid: Tid,
    /// `CEPH_MSG_*` or `MSG_*`.
    pub msg_type: u16,
    /// Which of the waiting messages goes first.
    pub priority: Priority,
    /// Version of the body's encoding.
    pub version: u16,
    /// Not used: 0.
    pub data_pre_padding_len: u32,
    /// Low bits of the data's offset in its file or object.
    pub data_off: u16,
    /// The last message that the sender has received.
    pub ack_seq: Seq,
    /// `CEPH_MSG_FOOTER_*`.
    pub flags: u8,
    /// The oldest version that a reader must know.
    pub compat_version: u16,
}

impl MsgHeader2 {
    /// How long it is.
    pub const LEN: usize = 41;
    /// `CEPH_MSG_FOOTER_COMPLETE`, which the kernel sends alone; Ceph adds `NOCRC`, 2.
    pub const COMPLETE: u8 = 1;

    /// For a message that is about to go out.
    pub fn new(header: &MsgHeader, ack_seq: Seq) -> Self {
        Self {
            seq: header.seq,
            tid: header.tid,
            msg_type: header.msg_type,
            priority: header.priority,
            version: header.version,
            data_pre_padding_len: 0,
            data_off: header.data_off,
            ack_seq,
            flags: Self::COMPLETE,
            compat_version: header.compat_version,
        }
    }

    /// Of a message that came from `src`, the peer of the session.
    pub fn to_header(&self, src: EntityName) -> MsgHeader {
        MsgHeader {
            seq: self.seq,
            tid: self.tid,
            msg_type: self.msg_type,
            priority: self.priority,
            version: self.version,
            compat_version: self.compat_version,
            data_off: self.data_off,
            src,
        }
    }

    /// The segment.
    pub fn to_array(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        LE::write_u64(&mut out[0..], self.seq.0);
        LE::write_u64(&mut out[8..], self.tid.0);
        LE::write_u16(&mut out[16..], self.msg_type);
        LE::write_u16(&mut out[18..], self.priority.0);
        LE::write_u16(&mut out[20..], self.version);
        LE::write_u32(&mut out[22..], self.data_pre_padding_len);
        LE::write_u16(&mut out[26..], self.data_off);
        LE::write_u64(&mut out[28..], self.ack_seq.0);
        out[36] = self.flags;
        LE::write_u16(&mut out[37..], self.compat_version);
        out
    }
}

impl Encode for MsgHeader2 {
    fn encode(&self, w: &mut Writer) {
        w.bytes(&self.to_array());
    }
}

impl Decode for MsgHeader2 {
    const MIN: usize = Self::LEN;

    /// By [`Decode::from_bytes`] of another length it is refused, as the kernel does.
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let seq = r.what("ceph_msg_header2").get()?;
        let header = Self {
            seq,
            tid: r.get()?,
            msg_type: r.u16()?,
            priority: Priority(r.u16()?),
            version: r.u16()?,
            data_pre_padding_len: r.u32()?,
            data_off: r.u16()?,
            ack_seq: r.get()?,
            flags: r.u8()?,
            compat_version: r.u16()?,
        };
        let _reserved = r.u16()?;
        Ok(header)
    }
}
