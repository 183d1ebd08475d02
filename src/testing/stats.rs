//! How full a cluster without pools is (`src/mon/MgrStatMonitor.cc`).

use crate::denc::{DecodeError, Reader, Writer};
use crate::messages::{PaxosHeader, types};
use crate::msgr::Message;
use crate::types::{Features, Fsid};

/// The answer to an `MGetPoolStats` or an `MStatfs`. `None`, as real monitors have it, for one that
/// is meant for another cluster.
pub(super) fn answer(msg: &Message, ours: Fsid) -> Result<Option<Message>, DecodeError> {
    let mut r = Reader::new(&msg.front);
    r.what("stats");
    // Both go on with which pools are meant; here are none.
    let (paxos, fsid): (PaxosHeader, Fsid) = (r.get()?, r.get()?);
    if fsid != ours {
        return Ok(None);
    }
    let reply = match msg.header.msg_type {
        types::CEPH_MSG_STATFS => statfs_reply(fsid),
        _ => getpoolstats_reply(paxos.version, fsid),
    };
    Ok(Some(reply.with_tid(msg.header.tid)))
}

/// `ceph_mon_statfs_reply`: fsid, `u64` version, then `u64` each: KiB, KiB used, KiB available, number
/// of objects (`src/include/ceph_fs.h`).
fn statfs_reply(fsid: Fsid) -> Message {
    let mut w = Writer::new(Features::default());
    w.put(&fsid).u64(0);
    w.u64(0).u64(0).u64(0).u64(0);
    Message::new(types::CEPH_MSG_STATFS_REPLY, w.into_vec())
}

/// Paxos header, fsid, map of pool to its statistics; v2: `bool` per_pool, whether OSDs count what
/// each pool uses (`MGetPoolStatsReply.h`).
fn getpoolstats_reply(version: u64, fsid: Fsid) -> Message {
    let mut w = Writer::new(Features::default());
    w.put(&PaxosHeader { version, ..PaxosHeader::default() }).put(&fsid).u32(0).bool(true);
    Message::new(types::MSG_GETPOOLSTATSREPLY, w.into_vec()).with_version(2, 1)
}
