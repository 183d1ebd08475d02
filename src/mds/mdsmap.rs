use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::denc::{Decode, DecodeError, DecodeErrorKind, Reader};
use crate::types::{EntityAddrVec, Epoch, GlobalId, UTime};

/// `CEPH_MDS_STATE_*` (`src/include/ceph_fs.h`): below 0 a daemon without a rank's work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MdsState(pub i32);

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $n:literal, $shown:literal;)*) => {
        impl MdsState {
            $($(#[$doc])* pub const $name: Self = Self($n);)*

            /// Ceph's name for it (`ceph_mds_state_name`), `???` where it has none.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $shown,)*
                    _ => "???",
                }
            }
        }
    };
}

states! {
    /// Does not exist.
    DNE = 0, "down:dne";
    /// Was there, and left nothing behind.
    STOPPED = -1, "down:stopped";
    /// Has announced itself.
    BOOT = -4, "up:boot";
    /// Waits for work.
    STANDBY = -5, "up:standby";
    /// Makes a new rank.
    CREATING = -6, "up:creating";
    /// Takes up a rank that was stopped.
    STARTING = -7, "up:starting";
    /// Follows the journal of the one that it will replace.
    STANDBY_REPLAY = -8, "up:standby-replay";
    /// Reads its journal.
    REPLAY = 8, "up:replay";
    /// Settles what was under way with other ranks.
    RESOLVE = 9, "up:resolve";
    /// Waits for the clients it had.
    RECONNECT = 10, "up:reconnect";
    /// Joins its cache with those of other ranks.
    REJOIN = 11, "up:rejoin";
    /// Repeats what clients had under way.
    CLIENTREPLAY = 12, "up:clientreplay";
    /// Serves clients.
    ACTIVE = 13, "up:active";
    /// Gives its subtrees away.
    STOPPING = 14, "up:stopping";
    /// Cannot be started before it is repaired.
    DAMAGED = 15, "down:damaged";
}

impl fmt::Display for MdsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for MdsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "???" => write!(f, "{}", self.0),
            name => f.write_str(name),
        }
    }
}

/// `MDSMap::mds_info_t`: VER(10,4) `u64` global_id, string name, `i32` rank, `i32` inc, `i32`
/// state, `u64` state_seq, addrvec (one address before v8), laggy_since; what follows is not read
/// (`src/mds/MDSMap.cc`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdsInfo {
    /// The daemon's session with the monitors.
    pub global_id: GlobalId,
    /// The X of `mds.X`.
    pub name: String,
    /// Which part of the file system it serves, or stands by for; -1 for none.
    pub rank: i32,
    /// The epoch in which it got the rank.
    pub inc: i32,
    /// What it does.
    pub state: MdsState,
    /// How often the state changed.
    pub state_seq: u64,
    /// Where it listens.
    pub addrs: EntityAddrVec,
    /// Since when the monitors miss its beacons, zero if they do not.
    pub laggy_since: UTime,
}

impl Decode for MdsInfo {
    const MIN: usize = 6 + 8 + 4 + 4 + 4 + 4 + 8 + EntityAddrVec::MIN + 8;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        refuse_below(4, "mds_info_t", r)?;
        r.versioned("mds_info_t", 10, |r, _| {
            Ok(Self {
                global_id: r.get()?,
                name: r.string()?,
                rank: r.i32()?,
                inc: r.i32()?,
                state: MdsState(r.i32()?),
                state_seq: r.u64()?,
                addrs: r.get()?,
                laggy_since: r.get()?,
            })
        })
    }
}

/// Older encodings have no length and no compat; no peer with MDSENC sends them.
pub(super) fn refuse_below(
    oldest: u8,
    what: &'static str,
    r: &mut Reader<'_>,
) -> Result<(), DecodeError> {
    match r.peek_u8()? {
        v if v < oldest => Err(r.what(what).error(DecodeErrorKind::TooOld(v))),
        _ => Ok(()),
    }
}

/// `CompatSet`: three sets of features, each a mask and a map of names (`src/include/CompatSet.h`).
pub(super) fn skip_compat_set(r: &mut Reader<'_>) -> Result<(), DecodeError> {
    for _ in 0..3 {
        r.u64()?;
        r.get::<BTreeMap<u64, String>>()?;
    }
    Ok(())
}

/// `MDSMap`: the metadata servers of one file system (`src/mds/MDSMap.cc`).
///
/// VER(5,4): `u32` epoch, `u32` flags, `u32` last_failure, `i32` root, `u32` session_timeout,
/// `u32` session_autoclose, `u64` max_file_size, `i32` max_mds, map of gid to `mds_info_t`, list
/// of `i64` data_pools, `i64` cas_pool; then `u16` ev, the version of the rest: compat set, `i64`
/// metadata_pool, created, modified, `i32` tableserver, set of `i32` in, map of `i32` to `i32`
/// inc, map of rank to gid up, sets of `i32` failed and stopped, `u32` last_failure_osd_epoch;
/// ev 6: `u8` ever_allowed, `u8` explicitly_allowed; ev 7: bool inline_data; ev 8: bool enabled,
/// string fs_name. What follows is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MDSMap {
    /// Version of the map.
    pub epoch: Epoch,
    /// `CEPH_MDSMAP_*`.
    pub flags: u32,
    /// Seconds without a renewal after which a client's session is stale.
    pub session_timeout: u32,
    /// Seconds after which it is closed.
    pub session_autoclose: u32,
    /// The largest size of a file.
    pub max_file_size: u64,
    /// How many ranks are wanted.
    pub max_mds: i32,
    /// The daemons of this file system by gid.
    pub mds_info: BTreeMap<GlobalId, MdsInfo>,
    /// Pools for data; the first is the default.
    pub data_pools: Vec<i64>,
    /// The pool for metadata.
    pub metadata_pool: i64,
    /// When the file system was made.
    pub created: UTime,
    /// When this epoch was made.
    pub modified: UTime,
    /// Ranks that exist (`in`).
    pub in_: BTreeSet<i32>,
    /// The daemon that holds each rank.
    pub up: BTreeMap<i32, GlobalId>,
    /// Ranks that nobody holds.
    pub failed: BTreeSet<i32>,
    /// Whether there is a file system at all.
    pub enabled: bool,
    /// Its name.
    pub fs_name: String,
}

impl MDSMap {
    /// The daemon that holds a rank, whatever its state.
    pub fn of_rank(&self, rank: i32) -> Option<&MdsInfo> {
        self.mds_info.get(self.up.get(&rank)?)
    }

    /// The daemon that holds a rank, if it serves clients.
    pub fn active(&self, rank: i32) -> Option<&MdsInfo> {
        self.of_rank(rank).filter(|mds| mds.state == MdsState::ACTIVE)
    }

    /// The daemon of that name.
    pub fn named(&self, name: &str) -> Option<&MdsInfo> {
        self.mds_info.values().find(|mds| mds.name == name)
    }
}

impl Decode for MDSMap {
    const MIN: usize = 6 + 36;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        refuse_below(4, "MDSMap", r)?;
        r.versioned("MDSMap", 5, |r, _| {
            let epoch = r.get()?;
            let flags = r.u32()?;
            r.u32()?; // last_failure
            r.i32()?; // root
            let session_timeout = r.u32()?;
            let session_autoclose = r.u32()?;
            let max_file_size = r.u64()?;
            let max_mds = r.i32()?;
            let mds_info = r.get()?;
            let data_pools = r.get()?;
            r.i64()?; // cas_pool
            let ev = r.u16()?;
            if ev >= 3 {
                skip_compat_set(r)?;
            }
            let metadata_pool = if ev >= 5 { r.i64()? } else { r.u32()?.into() };
            let created = r.get()?;
            let modified = r.get()?;
            r.i32()?; // tableserver
            let in_ = r.get()?;
            r.get::<BTreeMap<i32, i32>>()?; // inc
            let up = r.get()?;
            let failed = r.get()?;
            r.get::<BTreeSet<i32>>()?; // stopped
            if ev >= 4 {
                r.u32()?; // last_failure_osd_epoch
            }
            if ev >= 6 {
                r.bytes(2)?; // ever_allowed, explicitly_allowed
            }
            if ev >= 7 {
                r.bool()?; // inline_data
            }
            // Before that the one file system was there as soon as an MDS had been.
            let (enabled, fs_name) =
                if ev >= 8 { r.get()? } else { (epoch > Epoch(1), String::new()) };
            Ok(Self {
                epoch,
                flags,
                session_timeout,
                session_autoclose,
                max_file_size,
                max_mds,
                mds_info,
                data_pools,
                metadata_pool,
                created,
                modified,
                in_,
                up,
                failed,
                enabled,
                fs_name,
            })
        })
    }
}
