//! Maps of metadata servers, and a client's session with one.

use std::collections::BTreeMap;
use std::fmt;

use super::{Body, types};
use crate::denc::{DecodeError, Reader, Writer};
use crate::types::{Epoch, Fsid, UTime};

/// Fsid, `u32` epoch, blob encoded; v2: string map_fs_name (`MMDSMap.h`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MMDSMap {
    /// The cluster.
    pub fsid: Fsid,
    /// Version of the map.
    pub epoch: Epoch,
    /// An `MDSMap`.
    pub encoded: Vec<u8>,
    /// The file system that was subscribed to, empty before v2.
    pub map_fs_name: String,
}

impl Body for MMDSMap {
    const TYPE: u16 = types::CEPH_MSG_MDS_MAP;
    const VERSION: u16 = 2;
    const COMPAT: u16 = 1;

    fn encode(&self, w: &mut Writer) {
        w.put(&self.fsid).put(&self.epoch).blob(&self.encoded).string(&self.map_fs_name);
    }

    fn decode(r: &mut Reader<'_>, version: u16) -> Result<Self, DecodeError> {
        Ok(Self {
            fsid: r.get()?,
            epoch: r.get()?,
            encoded: r.blob()?.to_vec(),
            map_fs_name: if version >= 2 { r.string()? } else { String::new() },
        })
    }
}

impl fmt::Display for MMDSMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mdsmap(e {})", self.epoch)
    }
}

/// `u32` epoch, then an `FSMap` without a length before it (`MFSMap.h`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MFSMap {
    /// Version of the map.
    pub epoch: Epoch,
    /// The encoded map: all that is left of the front.
    pub fsmapbl: Vec<u8>,
}

impl Body for MFSMap {
    const TYPE: u16 = types::CEPH_MSG_FS_MAP;

    fn encode(&self, w: &mut Writer) {
        w.put(&self.epoch).bytes(&self.fsmapbl);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { epoch: r.get()?, fsmapbl: r.rest().to_vec() })
    }
}

impl fmt::Display for MFSMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fsmap(e {})", self.epoch)
    }
}

/// `CEPH_SESSION_*`: what a session message is for (`src/include/ceph_fs.h`).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SessionOp(pub u32);

macro_rules! session_ops {
    ($($name:ident = $n:literal, $shown:literal, $doc:literal;)*) => {
        impl SessionOp {
            $(#[doc = $doc] pub const $name: Self = Self($n);)*

            /// Ceph's name for it (`ceph_session_op_name`), `???` where it has none.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $shown,)*
                    _ => "???",
                }
            }
        }
    };
}

session_ops! {
    REQUEST_OPEN = 0, "request_open", "A client wants a session.";
    OPEN = 1, "open", "It has one.";
    REQUEST_CLOSE = 2, "request_close", "A client wants to end it.";
    CLOSE = 3, "close", "It has ended.";
    REQUEST_RENEWCAPS = 4, "request_renewcaps", "A client is still there.";
    RENEWCAPS = 5, "renewcaps", "The MDS has noticed.";
    STALE = 6, "stale", "No renewal came in time.";
    RECALL_STATE = 7, "recall_state", "The client is to give up capabilities.";
    FLUSHMSG = 8, "flushmsg", "The client is to answer once all before this is done.";
    FLUSHMSG_ACK = 9, "flushmsg_ack", "All before that is done.";
    FORCE_RO = 10, "force_ro", "The file system has become read-only.";
    REJECT = 11, "reject", "The client may not have a session.";
    REQUEST_FLUSH_MDLOG = 12, "request_flushmdlog", "The MDS is to write its journal.";
}

impl fmt::Display for SessionOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for SessionOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "???" => write!(f, "{}", self.0),
            name => f.write_str(name),
        }
    }
}

/// `ceph_mds_session_head`: `u32` op, `u64` seq, stamp, `u32` max_caps, `u32` max_leases; v2: map
/// of strings metadata; v3: blob supported_features; v4: VER(1,1) blob metric_flags; v5: `u32`
/// flags; v6 and v7 add what is not read here (`MClientSession.h`).
///
/// As in Ceph a message without metadata and features is sent as v1, which is what an MDS sends
/// and what everything but an open needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MClientSession {
    /// What it is for.
    pub op: SessionOp,
    /// Counts renewals, and what the MDS pushes.
    pub seq: u64,
    /// When it was sent; of some operations only.
    pub stamp: UTime,
    /// How many capabilities the client may keep, of RECALL_STATE.
    pub max_caps: u32,
    /// How many leases the client may keep, of RECALL_STATE.
    pub max_leases: u32,
    /// Who the client is: `hostname`, `entity_id`, `root`, …; of REQUEST_OPEN.
    pub metadata: BTreeMap<String, String>,
    /// `feature_bitset_t`: `CEPHFS_FEATURE_*`, the lowest bit first.
    pub supported_features: Vec<u8>,
    /// `metric_spec_t`: which metrics the client can send, bits alike.
    pub metric_flags: Vec<u8>,
    /// [`BLOCKLISTED`](Self::BLOCKLISTED).
    pub flags: u32,
}

impl MClientSession {
    /// Of REJECT and CLOSE: the client is on the blocklist.
    pub const BLOCKLISTED: u32 = 1;

    /// A message of that kind and nothing else.
    pub fn new(op: SessionOp, seq: u64) -> Self {
        Self { op, seq, ..Self::default() }
    }
}

impl Body for MClientSession {
    const TYPE: u16 = types::CEPH_MSG_CLIENT_SESSION;
    const VERSION: u16 = 5;
    const COMPAT: u16 = 1;

    fn version(&self) -> u16 {
        if self.metadata.is_empty() && self.supported_features.is_empty() {
            1
        } else {
            Self::VERSION
        }
    }

    fn encode(&self, w: &mut Writer) {
        w.u32(self.op.0).u64(self.seq).put(&self.stamp).u32(self.max_caps).u32(self.max_leases);
        if self.version() > 1 {
            w.put(&self.metadata).blob(&self.supported_features);
            w.versioned(1, 1, |w| {
                w.blob(&self.metric_flags);
            });
            w.u32(self.flags);
        }
    }

    fn decode(r: &mut Reader<'_>, version: u16) -> Result<Self, DecodeError> {
        let mut m = Self {
            op: SessionOp(r.u32()?),
            seq: r.u64()?,
            stamp: r.get()?,
            max_caps: r.u32()?,
            max_leases: r.u32()?,
            ..Self::default()
        };
        if version >= 2 {
            m.metadata = r.get()?;
        }
        if version >= 3 {
            m.supported_features = r.blob()?.to_vec();
        }
        if version >= 4 {
            m.metric_flags = r.versioned("metric_spec_t", 1, |r, _| Ok(r.blob()?.to_vec()))?;
        }
        if version >= 5 {
            m.flags = r.u32()?;
        }
        Ok(m)
    }
}

impl fmt::Display for MClientSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client_session({}", self.op)?;
        if self.seq != 0 {
            write!(f, " seq {}", self.seq)?;
        }
        if self.op == SessionOp::RECALL_STATE {
            write!(f, " max_caps {} max_leases {}", self.max_caps, self.max_leases)?;
        }
        f.write_str(")")
    }
}
