//! Maps of OSDs, and the commands that go to one daemon.

use std::collections::BTreeMap;
use std::fmt;

use super::{Body, types};
use crate::denc::{DecodeError, Reader, Writer};
use crate::types::{Epoch, Fsid};

/// Fsid, list of strings (`MCommand.h`); the input (inbl) is the data segment.
///
/// What `ceph tell` sends to an OSD, an MDS, the active manager and, since octopus
/// (`min_mon_release` of the monmap), a monitor.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MCommand {
    /// The cluster. A manager takes the all-zero one for an old client's command line, see
    /// [`mgr`](super::mgr); a monitor refuses any but its own.
    pub fsid: Fsid,
    /// The command as JSON: one string, `{"prefix": …}`.
    pub cmd: Vec<String>,
}

impl MCommand {
    /// The command `json` for a daemon of this cluster.
    pub fn new(fsid: Fsid, json: impl Into<String>) -> Self {
        Self { fsid, cmd: vec![json.into()] }
    }
}

impl Body for MCommand {
    const TYPE: u16 = types::MSG_COMMAND;

    fn encode(&self, w: &mut Writer) {
        w.put(&self.fsid).put(&self.cmd);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { fsid: r.get()?, cmd: r.get()? })
    }
}

impl fmt::Display for MCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command({})", self.cmd.join(" "))
    }
}

/// `i32` r, string rs (`MCommandReply.h`); the output (outbl) is the data segment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MCommandReply {
    /// 0 or more for success, or a negative errno.
    pub r: i32,
    /// What a person should read (outs).
    pub rs: String,
}

impl Body for MCommandReply {
    const TYPE: u16 = types::MSG_COMMAND_REPLY;

    fn encode(&self, w: &mut Writer) {
        w.i32(self.r).string(&self.rs);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { r: r.i32()?, rs: r.string()? })
    }
}

impl fmt::Display for MCommandReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command_reply({} {})", self.r, self.rs)
    }
}

/// Fsid, map of epoch to incremental, map of epoch to full map; v2: `u32` oldest, `u32` newest;
/// v4: map of pool to removed snaps, which is not read (`MOSDMap.h`).
///
/// At most 40 epochs come in one message (`osd_map_message_max`); a onetime subscription ends
/// with it even when `newest_map` is further on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MOSDMap {
    /// The cluster.
    pub fsid: Fsid,
    /// Encoded `OSDMap::Incremental`s.
    pub incremental_maps: BTreeMap<Epoch, Vec<u8>>,
    /// Encoded `OSDMap`s.
    pub maps: BTreeMap<Epoch, Vec<u8>>,
    /// The oldest epoch that the monitors have (`cluster_osdmap_trim_lower_bound`).
    pub oldest_map: Epoch,
    /// The newest.
    pub newest_map: Epoch,
}

impl MOSDMap {
    /// The first epoch in here.
    pub fn first(&self) -> Option<Epoch> {
        self.epochs().min()
    }

    /// The last epoch in here.
    pub fn last(&self) -> Option<Epoch> {
        self.epochs().max()
    }

    fn epochs(&self) -> impl Iterator<Item = Epoch> {
        self.incremental_maps.keys().chain(self.maps.keys()).copied()
    }
}

impl Body for MOSDMap {
    const TYPE: u16 = types::CEPH_MSG_OSD_MAP;
    const VERSION: u16 = 4;
    const COMPAT: u16 = 3;

    fn encode(&self, w: &mut Writer) {
        let maps = |w: &mut Writer, maps: &BTreeMap<Epoch, Vec<u8>>| {
            w.u32(maps.len() as u32);
            for (epoch, map) in maps {
                w.put(epoch).blob(map);
            }
        };
        w.put(&self.fsid);
        maps(w, &self.incremental_maps);
        maps(w, &self.maps);
        w.put(&self.oldest_map).put(&self.newest_map);
        // No gap_removed_snaps.
        w.u32(0);
    }

    fn decode(r: &mut Reader<'_>, version: u16) -> Result<Self, DecodeError> {
        let maps = |r: &mut Reader<'_>| r.map(8, |r| Ok((r.get()?, r.blob()?.to_vec())));
        let mut m =
            Self { fsid: r.get()?, incremental_maps: maps(r)?, maps: maps(r)?, ..Self::default() };
        if version >= 2 {
            m.oldest_map = r.get()?;
            m.newest_map = r.get()?;
        }
        Ok(m)
    }
}

impl fmt::Display for MOSDMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = Epoch(0);
        write!(f, "osd_map({}..{}", self.first().unwrap_or(none), self.last().unwrap_or(none))?;
        if self.oldest_map != none || self.newest_map != none {
            write!(f, " src has {}..{}", self.oldest_map, self.newest_map)?;
        }
        f.write_str(")")
    }
}

super::opaque_debug! { MCommand, MCommandReply }
