//! The cluster log: what daemons report to the monitors, and what `ceph -w` shows.

use std::fmt;

use super::{Body, PaxosHeader, types};
use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};
use crate::types::{EntityAddr, EntityAddrVec, EntityName, Fsid, UTime};

/// `clog_type`: how grave an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPriority(pub u16);

impl LogPriority {
    /// For developers.
    pub const DEBUG: Self = Self(0);
    /// What happens anyway.
    pub const INFO: Self = Self(1);
    /// About access.
    pub const SEC: Self = Self(2);
    /// Something is not as it should be.
    pub const WARN: Self = Self(3);
    /// Something is broken.
    pub const ERROR: Self = Self(4);
}

/// `LogEntry`: VER(5,5) name as `u32` type and string id, rank as `entity_name_t`, addrvec, stamp,
/// `u64` seq, `u16` prio, string msg, string channel. Before v5 it begins with `entity_inst_t`,
/// and the name is the last field, since v4; the channel is there since v3
/// (`src/common/LogEntry.cc`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Who says it, by the name it logs in with: type and id.
    pub name: (u32, String),
    /// Who says it, by number.
    pub rank: EntityName,
    /// Where it listens.
    pub addrs: EntityAddrVec,
    /// When.
    pub stamp: UTime,
    /// Counts the entries of the sender.
    pub seq: u64,
    /// How grave it is.
    pub prio: LogPriority,
    /// What happened.
    pub msg: String,
    /// `cluster` or `audit`.
    pub channel: String,
}

impl Encode for LogEntry {
    /// Always v5: there is no monitor before nautilus to report to.
    fn encode(&self, w: &mut Writer) {
        w.versioned(5, 5, |w| {
            w.put(&self.name).put(&self.rank).put(&self.addrs).put(&self.stamp);
            w.u64(self.seq).u16(self.prio.0).string(&self.msg).string(&self.channel);
        });
    }
}

impl Decode for LogEntry {
    const MIN: usize = 6 + 40;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.versioned("LogEntry", 5, |r, v| {
            let mut name = (0, String::new());
            if v >= 5 {
                name = r.get()?;
            }
            let rank = r.get()?;
            let addrs = if v >= 5 { r.get()? } else { r.get::<EntityAddr>()?.into() };
            let stamp = r.get()?;
            let seq = r.u64()?;
            let prio = LogPriority(r.u16()?);
            let msg = r.string()?;
            // There was only one log before channels.
            let channel = if v >= 3 { r.string()? } else { "cluster".to_owned() };
            if v == 4 {
                name = r.get()?;
            }
            Ok(Self { name, rank, addrs, stamp, seq, prio, msg, channel })
        })
    }
}

/// Paxos header, fsid, list of `LogEntry` (`MLog.h`). Monitors send it to who subscribed to
/// `log-debug`, `log-info`, `log-sec`, `log-warn` or `log-error`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MLog {
    /// The version of the log.
    pub paxos: PaxosHeader,
    /// The cluster.
    pub fsid: Fsid,
    /// What was logged.
    pub entries: Vec<LogEntry>,
}

impl Body for MLog {
    const TYPE: u16 = types::MSG_LOG;

    fn encode(&self, w: &mut Writer) {
        w.put(&self.paxos).put(&self.fsid).put(&self.entries);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { paxos: r.get()?, fsid: r.get()?, entries: r.get()? })
    }
}

impl fmt::Display for MLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log({} entries", self.entries.len())?;
        if let Some(first) = self.entries.first() {
            write!(f, " from seq {} at {}", first.seq, first.stamp)?;
        }
        f.write_str(")")
    }
}

/// Fsid, `u64` last, string channel, which very old monitors leave out (`MLogAck.h`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MLogAck {
    /// The cluster.
    pub fsid: Fsid,
    /// Entries up to this seq are stored.
    pub last: u64,
    /// The log they are in.
    pub channel: String,
}

impl Body for MLogAck {
    const TYPE: u16 = types::MSG_LOGACK;

    fn encode(&self, w: &mut Writer) {
        w.put(&self.fsid).u64(self.last).string(&self.channel);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self {
            fsid: r.get()?,
            last: r.u64()?,
            channel: if r.remaining() == 0 { String::new() } else { r.string()? },
        })
    }
}

impl fmt::Display for MLogAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log(last {})", self.last)
    }
}
