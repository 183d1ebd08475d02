use std::collections::BTreeMap;

use super::OsdState;
use crate::crc32c::ceph_crc32c;
use crate::denc::{Decode, DecodeError, DecodeErrorKind, Reader};
use crate::types::{EntityAddrVec, Epoch, Fsid, UTime};

/// `OSDMap`: which OSDs there are, and where (`src/osd/OSDMap.cc`).
///
/// VER(8,7): the client's part VER(10,1), the OSDs' part, which is skipped, and, since v8, `u32`
/// crc: CRC-32C, from -1 and not inverted, of all bytes but these four. The old form below v7 is
/// refused: no peer with OSDMAP_ENC gets it.
///
/// The client's part: fsid, `u32` epoch, created, modified, map of `i64` to `pg_pool_t`, map of
/// `i64` to pool name, `i32` pool_max, `u32` flags, `i32` max_osd, list of `u32` state (`u8`
/// before v5), list of `u32` weight, list of client addrvec (address before v8). What follows is
/// for placing objects and not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OSDMap {
    /// The cluster.
    pub fsid: Fsid,
    /// Version of the map.
    pub epoch: Epoch,
    /// When the first one was made.
    pub created: UTime,
    /// When this epoch was made.
    pub modified: UTime,
    /// Names of the pools by id.
    pub pool_name: BTreeMap<i64, String>,
    /// The highest pool id that was ever given.
    pub pool_max: i32,
    /// `CEPH_OSDMAP_*`.
    pub flags: u32,
    /// One more than the highest OSD id.
    pub max_osd: i32,
    /// State by OSD id.
    pub osd_state: Vec<OsdState>,
    /// Weight by OSD id: 0x10000 is in, 0 is out.
    pub osd_weight: Vec<u32>,
    /// Where each OSD listens for clients, by id.
    pub client_addrs: Vec<EntityAddrVec>,
}

impl OSDMap {
    /// Whether there is an OSD of that id.
    pub fn exists(&self, osd: i32) -> bool {
        self.state(osd).contains(OsdState::EXISTS)
    }

    /// Whether the OSD of that id exists and runs.
    pub fn is_up(&self, osd: i32) -> bool {
        self.exists(osd) && self.state(osd).contains(OsdState::UP)
    }

    /// Whether the OSD of that id exists and is not weighted out.
    pub fn is_in(&self, osd: i32) -> bool {
        self.exists(osd) && by_id(&self.osd_weight, osd).is_some_and(|w| *w != 0)
    }

    /// Where the OSD of that id listens; `None` if it does not exist. One that is down keeps its
    /// last addresses.
    pub fn addrs(&self, osd: i32) -> Option<&EntityAddrVec> {
        by_id(&self.client_addrs, osd).filter(|_| self.exists(osd))
    }

    /// The id of the pool of that name.
    pub fn pool_id(&self, name: &str) -> Option<i64> {
        self.pool_name.iter().find(|(_, n)| *n == name).map(|(id, _)| *id)
    }

    /// State of the OSD of that id, empty for an id that was never used.
    pub fn state(&self, osd: i32) -> OsdState {
        by_id(&self.osd_state, osd).copied().unwrap_or_default()
    }

    fn decode_client_part(r: &mut Reader<'_>, v: u8) -> Result<Self, DecodeError> {
        Ok(Self {
            fsid: r.get()?,
            epoch: r.get()?,
            created: r.get()?,
            modified: r.get()?,
            pool_name: {
                for _ in 0..r.count(8 + 6)? {
                    r.i64()?;
                    r.skip_versioned()?;
                }
                r.get()?
            },
            pool_max: r.i32()?,
            flags: r.u32()?,
            max_osd: r.i32()?,
            osd_state: if v >= 5 { r.get()? } else { r.list(1, |r| Ok(OsdState(r.u8()?.into())))? },
            osd_weight: r.get()?,
            client_addrs: r.get()?,
        })
    }
}

fn by_id<T>(list: &[T], osd: i32) -> Option<&T> {
    list.get(usize::try_from(osd).ok()?)
}

impl Decode for OSDMap {
    const MIN: usize = 12;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match r.peek_u8()? {
            v @ 0..7 => Err(r.what("OSDMap").error(DecodeErrorKind::TooOld(v))),
            _ => decode_checked(r),
        }
    }
}

/// The wrapper, whose crc covers what stands before it and after it.
fn decode_checked(r: &mut Reader<'_>) -> Result<OSDMap, DecodeError> {
    let mut whole = r.clone();
    let start = r.position();
    let (map, crc) = r.versioned("OSDMap", 8, |r, v| {
        let map = r.versioned("OSDMap client part", 10, OSDMap::decode_client_part)?;
        r.skip_versioned()?;
        let at = r.position() - start;
        Ok((map, if v >= 8 { Some((at, r.u32()?)) } else { None }))
    })?;
    if let Some((at, crc)) = crc {
        let before = whole.bytes(at)?;
        whole.u32()?;
        let after = whole.bytes(r.position() - whole.position())?;
        if ceph_crc32c(ceph_crc32c(u32::MAX, before), after) != crc {
            return Err(whole.what("OSDMap crc").error(DecodeErrorKind::BadValue(crc.into())));
        }
    }
    Ok(map)
}
