//! The manager: its map, and its commands.
//!
//! Three kinds of command reach a manager, and the message tells them apart (`MgrClient.cc`,
//! `DaemonServer::_handle_command`):
//!
//! | what | message | fsid |
//! | --- | --- | --- |
//! | a command of the manager or its modules (`osd df`, `pg dump`) | [`MMgrCommand`] | zero |
//! | the same, to an active manager before octopus | [`MCommand`] | zero |
//! | `tell mgr…`: what the admin socket offers | [`MCommand`] | the cluster's |
//!
//! Which of the first two is decided by `active_mgr_features` of the mgrmap (SERVER_OCTOPUS),
//! not by the features of the connection. Only the active manager listens: a `tell` to a standby
//! cannot be sent, and Ceph's client answers it with ENXIO.
//!
//! [`MCommand`]: super::osd::MCommand

use std::fmt;

use super::{Body, types};
use crate::denc::{DecodeError, Reader, Writer};
use crate::types::Fsid;

/// A `MgrMap`, without a length before it (`MMgrMap.h`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MMgrMap {
    /// The encoded map: all of the front.
    pub mgrmapbl: Vec<u8>,
}

impl Body for MMgrMap {
    const TYPE: u16 = types::MSG_MGR_MAP;

    fn encode(&self, w: &mut Writer) {
        w.bytes(&self.mgrmapbl);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { mgrmapbl: r.rest().to_vec() })
    }
}

impl fmt::Display for MMgrMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mgrmap")
    }
}

/// Fsid, list of strings (`MMgrCommand.h`); the input (inbl) is the data segment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MMgrCommand {
    /// Zero from Ceph's own clients, and not looked at.
    pub fsid: Fsid,
    /// The command as JSON: one string, `{"prefix": …}`.
    pub cmd: Vec<String>,
}

impl MMgrCommand {
    /// The command `json`.
    pub fn new(json: impl Into<String>) -> Self {
        Self { fsid: Fsid::default(), cmd: vec![json.into()] }
    }
}

impl Body for MMgrCommand {
    const TYPE: u16 = types::MSG_MGR_COMMAND;

    fn encode(&self, w: &mut Writer) {
        w.put(&self.fsid).put(&self.cmd);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { fsid: r.get()?, cmd: r.get()? })
    }
}

impl fmt::Display for MMgrCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mgr_command({})", self.cmd.join(" "))
    }
}

/// `i32` r, string rs (`MMgrCommandReply.h`); the output (outbl) is the data segment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MMgrCommandReply {
    /// 0 or more for success, or a negative errno.
    pub r: i32,
    /// What a person should read (outs).
    pub rs: String,
}

impl Body for MMgrCommandReply {
    const TYPE: u16 = types::MSG_MGR_COMMAND_REPLY;

    fn encode(&self, w: &mut Writer) {
        w.i32(self.r).string(&self.rs);
    }

    fn decode(r: &mut Reader<'_>, _: u16) -> Result<Self, DecodeError> {
        Ok(Self { r: r.i32()?, rs: r.string()? })
    }
}

impl fmt::Display for MMgrCommandReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mgr_command_reply({} {})", self.r, self.rs)
    }
}

super::opaque_debug! { MMgrCommand, MMgrCommandReply }
