//! `ceph_msg`: header, front, middle, data, footer (`src/include/msgr.h`,
//! `include/linux/ceph/msgr.h`).

use std::fmt;

use bytes::Bytes;

use super::{Budget, msg_type};
use crate::types::{EntityName, EntityType, Seq, Tid};

/// `CEPH_MSG_PRIO_*`: which of the messages that wait goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u16);

impl Priority {
    /// Background work.
    pub const LOW: Self = Self(64);
    /// Most messages.
    pub const DEFAULT: Self = Self(127);
    /// Maps and authentication.
    pub const HIGH: Self = Self(196);
    /// Above all.
    pub const HIGHEST: Self = Self(255);
}

/// What a message header carries beside the lengths of its segments (`ceph_msg_header`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsgHeader {
    /// Number on the session; given when the message is first put on the wire, 0 before.
    pub seq: Seq,
    /// Transaction of the application; a reply repeats it.
    pub tid: Tid,
    /// `CEPH_MSG_*` or `MSG_*`.
    pub msg_type: u16,
    /// Which of the waiting messages goes first.
    pub priority: Priority,
    /// Version of the body's encoding.
    pub version: u16,
    /// The oldest version that a reader must know.
    pub compat_version: u16,
    /// Low bits of the data's offset in its file or object, for the receiver to align its buffer.
    pub data_off: u16,
    /// Who sent it, as the sender says.
    pub src: EntityName,
}

impl MsgHeader {
    /// The type as Ceph's logs name it, with its number: `mon_command(50)`.
    pub fn type_name(&self) -> String {
        let n = self.msg_type;
        format!("{}({n})", msg_type::name(n).unwrap_or("type"))
    }
}

/// One message: a header and up to three segments, which travel without a copy.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Everything but the segments.
    pub header: MsgHeader,
    /// The typed body.
    pub front: Bytes,
    /// A second body, of messages to and from an MDS.
    pub middle: Bytes,
    /// The payload.
    pub data: Bytes,
    /// What a message that came holds of its messenger's throttle, until its last clone is
    /// dropped.
    pub(crate) budget: Budget,
}

impl Message {
    /// A message of that type, version 1, with this front and nothing else.
    pub fn new(msg_type: u16, front: impl Into<Bytes>) -> Self {
        Self {
            header: MsgHeader {
                seq: Seq(0),
                tid: Tid(0),
                msg_type,
                priority: Priority::DEFAULT,
                version: 1,
                compat_version: 1,
                data_off: 0,
                src: EntityName::new(EntityType::CLIENT, EntityName::NEW),
            },
            front: front.into(),
            middle: Bytes::new(),
            data: Bytes::new(),
            budget: Budget::default(),
        }
    }

    /// Sets the version of the body's encoding and the oldest one that reads it.
    #[must_use]
    pub fn with_version(mut self, version: u16, compat_version: u16) -> Self {
        self.header.version = version;
        self.header.compat_version = compat_version;
        self
    }

    /// Sets the transaction.
    #[must_use]
    pub fn with_tid(mut self, tid: Tid) -> Self {
        self.header.tid = tid;
        self
    }

    /// Sets the second body.
    #[must_use]
    pub fn with_middle(mut self, middle: impl Into<Bytes>) -> Self {
        self.middle = middle.into();
        self
    }

    /// Sets the payload.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Bytes of the three segments.
    pub fn len(&self) -> usize {
        self.front.len() + self.middle.len() + self.data.len()
    }

    /// Whether all three segments are empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Message {
    /// The header and the lengths: a segment may carry a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let h = &self.header;
        write!(
            f,
            "{} seq {} tid {} v{} from {:?} ({}+{}+{})",
            h.type_name(),
            h.seq,
            h.tid,
            h.version,
            h.src,
            self.front.len(),
            self.middle.len(),
            self.data.len()
        )
    }
}
