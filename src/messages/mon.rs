//! What a monitor and its clients say to each other.

use std::collections::BTreeMap;
use std::fmt;

use super::{Body, PaxosHeader, types};
use crate::denc::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::types::Fsid;

/// Blob monmapbl: a `MonMap` (`MMonMap.h`). Monitors push one after authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MMonMap {
    /// The encoded map.
    pub monmapbl: Vec<u8>,
}

impl Body for MMonMap {
    const TYPE: u16 = types::CEPH_MSG_MON_MAP;

    fn encode(&self, w: &mut Writer) {
        w.blob(&self.monmapbl);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { monmapbl: r.blob()?.to_vec() })
    }
}

impl fmt::Display for MMonMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mon_map")
    }
}

/// No body: asks for the monmap (`MMonGetMap.h`). On messenger v1 a monitor of 16.2.15 leaves it
/// unanswered before authentication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MMonGetMap;

impl Body for MMonGetMap {
    const TYPE: u16 = types::CEPH_MSG_MON_GET_MAP;

    fn encode(&self, _: &mut Writer) {}

    fn decode(_: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

impl fmt::Display for MMonGetMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mon_getmap")
    }
}

/// `ceph_mon_subscribe_item`: `u64` start, `u8` flags (`src/include/ceph_fs.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeItem {
    /// The first version that is wanted; 0 for whatever is newest.
    pub start: u64,
    /// [`ONETIME`](Self::ONETIME), or 0 to be sent every change.
    pub flags: u8,
}

impl SubscribeItem {
    /// `CEPH_SUBSCRIBE_ONETIME`: one answer, then the subscription ends.
    pub const ONETIME: u8 = 1;

    /// One answer, of version `start` or newer.
    pub fn onetime(start: u64) -> Self {
        Self { start, flags: Self::ONETIME }
    }

    /// Every version from `start` on.
    pub fn continuous(start: u64) -> Self {
        Self { start, flags: 0 }
    }
}

impl Encode for SubscribeItem {
    fn encode(&self, w: &mut Writer) {
        w.u64(self.start).u8(self.flags);
    }
}

impl Decode for SubscribeItem {
    const MIN: usize = 9;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { start: r.u64()?, flags: r.u8()? })
    }
}

/// Map of string to item; v3: string hostname (`MMonSubscribe.h`).
///
/// The keys: `monmap`, `osdmap`, `mgrmap`, `mdsmap[.FSCID]`, `fsmap`, `config`, `log-LEVEL` and
/// some more. Version 2 (luminous, and the kernel still) has no hostname; the forms before
/// SUBSCRIBE2 are refused, no peer of this library lacks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MMonSubscribe {
    /// What is wanted.
    pub what: BTreeMap<String, SubscribeItem>,
    /// Name of the client's machine, for `ceph tell mon.X sessions` and for config masks.
    pub hostname: String,
}

impl Body for MMonSubscribe {
    const TYPE: u16 = types::CEPH_MSG_MON_SUBSCRIBE;
    const VERSION: u16 = 3;
    const COMPAT: u16 = 1;

    fn encode(&self, w: &mut Writer) {
        w.put(&self.what).string(&self.hostname);
    }

    fn decode(r: &mut Reader<'_>, version: u16) -> Result<Self, DecodeError> {
        if version < 2 {
            return Err(r.error(DecodeErrorKind::TooOld(version as u8)));
        }
        Ok(Self {
            what: r.get()?,
            hostname: if version >= 3 { r.string()? } else { String::new() },
        })
    }
}

impl fmt::Display for MMonSubscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mon_subscribe({")?;
        for (i, (name, item)) in self.what.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let more = if item.flags & SubscribeItem::ONETIME == 0 { "+" } else { "" };
            write!(f, "{comma}{name}={}{more}", item.start)?;
        }
        f.write_str("})")
    }
}

/// `u32` interval, fsid (`MMonSubscribeAck.h`).
///
/// Only a client without SERVER_JEWEL gets it: for others a subscription lasts as long as the
/// session, and a lack of this answer means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MMonSubscribeAck {
    /// Seconds until the subscription must be renewed.
    pub interval: u32,
    /// The cluster.
    pub fsid: Fsid,
}

impl Body for MMonSubscribeAck {
    const TYPE: u16 = types::CEPH_MSG_MON_SUBSCRIBE_ACK;

    fn encode(&self, w: &mut Writer) {
        w.u32(self.interval).put(&self.fsid);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { interval: r.u32()?, fsid: r.get()? })
    }
}

impl fmt::Display for MMonSubscribeAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mon_subscribe_ack({}s)", self.interval)
    }
}

/// Paxos header, fsid, list of strings (`MMonCommand.h`); the input (inbl) is the data segment.
///
/// For what the monitors do themselves. A `tell mon.X` is this only before octopus; since then
/// it is an [`MCommand`](super::osd::MCommand) on a connection of its own to that monitor.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MMonCommand {
    /// A client's.
    pub paxos: PaxosHeader,
    /// The cluster; monitors refuse another's.
    pub fsid: Fsid,
    /// The command as JSON: one string, `{"prefix": …}`.
    pub cmd: Vec<String>,
}

impl MMonCommand {
    /// The command `json` for this cluster.
    pub fn new(fsid: Fsid, json: impl Into<String>) -> Self {
        Self { paxos: PaxosHeader::default(), fsid, cmd: vec![json.into()] }
    }
}

impl Body for MMonCommand {
    const TYPE: u16 = types::MSG_MON_COMMAND;

    fn encode(&self, w: &mut Writer) {
        w.put(&self.paxos).put(&self.fsid).put(&self.cmd);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { paxos: r.get()?, fsid: r.get()?, cmd: r.get()? })
    }
}

impl fmt::Display for MMonCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mon_command({} v {})", self.cmd.join(" "), self.paxos.version)
    }
}

/// Paxos header, `i32` r, string rs, list of strings (`MMonCommandAck.h`); the output (outbl) is
/// the data segment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MMonCommandAck {
    /// The version of the service's state that answers.
    pub paxos: PaxosHeader,
    /// 0 or more for success, or a negative errno.
    pub r: i32,
    /// What a person should read (outs).
    pub rs: String,
    /// The command that is answered.
    pub cmd: Vec<String>,
}

impl Body for MMonCommandAck {
    const TYPE: u16 = types::MSG_MON_COMMAND_ACK;

    fn encode(&self, w: &mut Writer) {
        w.put(&self.paxos).i32(self.r).string(&self.rs).put(&self.cmd);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { paxos: r.get()?, r: r.i32()?, rs: r.string()?, cmd: r.get()? })
    }
}

impl fmt::Display for MMonCommandAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cmd, version) = (self.cmd.join(","), self.paxos.version);
        write!(f, "mon_command_ack([{cmd}]={} {} v{version})", self.r, self.rs)
    }
}

/// `u64` handle, string what: which version of `osdmap`, `mdsmap`, … is the newest
/// (`MMonGetVersion.h`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MMonGetVersion {
    /// The reply repeats it; the header's tid is not used.
    pub handle: u64,
    /// The map.
    pub what: String,
}

impl Body for MMonGetVersion {
    const TYPE: u16 = types::CEPH_MSG_MON_GET_VERSION;

    fn encode(&self, w: &mut Writer) {
        w.u64(self.handle).string(&self.what);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { handle: r.u64()?, what: r.string()? })
    }
}

impl fmt::Display for MMonGetVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mon_get_version(what={} handle={})", self.what, self.handle)
    }
}

/// `u64` handle, `u64` version; v2: `u64` oldest_version (`MMonGetVersionReply.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MMonGetVersionReply {
    /// That of the request.
    pub handle: u64,
    /// The newest version.
    pub version: u64,
    /// The oldest that the monitors still have.
    pub oldest_version: u64,
}

impl Body for MMonGetVersionReply {
    const TYPE: u16 = types::CEPH_MSG_MON_GET_VERSION_REPLY;
    const VERSION: u16 = 2;

    fn encode(&self, w: &mut Writer) {
        w.u64(self.handle).u64(self.version).u64(self.oldest_version);
    }

    fn decode(r: &mut Reader<'_>, version: u16) -> Result<Self, DecodeError> {
        Ok(Self {
            handle: r.u64()?,
            version: r.u64()?,
            oldest_version: if version >= 2 { r.u64()? } else { 0 },
        })
    }
}

impl fmt::Display for MMonGetVersionReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mon_get_version_reply(handle={} version={})", self.handle, self.version)
    }
}

/// Map of option to value (`MConfig.h`): the part of the cluster's configuration that is meant
/// for this client. Sent to those who subscribed to `config`, since mimic.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MConfig {
    /// The options.
    pub config: BTreeMap<String, String>,
}

impl Body for MConfig {
    const TYPE: u16 = types::MSG_CONFIG;

    fn encode(&self, w: &mut Writer) {
        w.put(&self.config);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { config: r.get()? })
    }
}

impl fmt::Display for MConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "config({} keys)", self.config.len())
    }
}

super::opaque_debug! { MMonCommand, MMonCommandAck, MConfig }
