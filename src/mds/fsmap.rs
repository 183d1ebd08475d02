use std::collections::BTreeMap;

use super::mdsmap::{MDSMap, MdsInfo, refuse_below, skip_compat_set};
use crate::denc::{Decode, DecodeError, Reader};
use crate::types::{Epoch, GlobalId};

/// `Filesystem`: VER(2,1) `i32` fscid, blob mds_map; what follows is not read
/// (`src/mds/FSMap.cc`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// Its number.
    pub fscid: i32,
    /// Its metadata servers.
    pub mds_map: MDSMap,
}

impl Decode for Filesystem {
    const MIN: usize = 6 + 8 + MDSMap::MIN;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.versioned("Filesystem", 2, |r, _| {
            let fscid = r.i32()?;
            let len = r.u32()?;
            Ok(Self { fscid, mds_map: r.sub(len as usize)?.get()? })
        })
    }
}

/// `FSMap`: all file systems, and the metadata servers that wait (`src/mds/FSMap.cc`).
///
/// VER(8,6): `u32` epoch, `u64` next_filesystem_id, `i32` legacy_client_fscid, compat set, bool
/// enable_multiple, list of `Filesystem`, map of gid to `i32` mds_roles, map of gid to
/// `mds_info_t` standby_daemons. What follows is not read. Below v6 it is an `MDSMap`, as jewel's
/// predecessors kept it, and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FSMap {
    /// Version of the map.
    pub epoch: Epoch,
    /// What a client mounts that names none; -1 for none.
    pub legacy_client_fscid: i32,
    /// The file systems.
    pub filesystems: Vec<Filesystem>,
    /// Daemons without a file system.
    pub standby_daemons: BTreeMap<GlobalId, MdsInfo>,
}

impl FSMap {
    /// The file system of that number.
    pub fn filesystem(&self, fscid: i32) -> Option<&Filesystem> {
        self.filesystems.iter().find(|fs| fs.fscid == fscid)
    }

    /// The file system of that name.
    pub fn filesystem_named(&self, name: &str) -> Option<&Filesystem> {
        self.filesystems.iter().find(|fs| fs.mds_map.fs_name == name)
    }

    /// Every daemon, those that wait last.
    pub fn daemons(&self) -> impl Iterator<Item = &MdsInfo> {
        let ranked = self.filesystems.iter().flat_map(|fs| fs.mds_map.mds_info.values());
        ranked.chain(self.standby_daemons.values())
    }
}

impl Decode for FSMap {
    const MIN: usize = 6 + 16;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        refuse_below(6, "FSMap", r)?;
        r.versioned("FSMap", 8, |r, _| {
            let epoch = r.get()?;
            r.u64()?; // next_filesystem_id
            let legacy_client_fscid = r.i32()?;
            skip_compat_set(r)?;
            r.bool()?; // enable_multiple
            let filesystems = r.get()?;
            r.get::<BTreeMap<GlobalId, i32>>()?; // mds_roles
            let standby_daemons = r.get()?;
            Ok(Self { epoch, legacy_client_fscid, filesystems, standby_daemons })
        })
    }
}
