use std::fmt;
use std::str::FromStr;

use crate::denc::{Decode, DecodeError, Encode, Reader, Writer};

/// `CEPH_ENTITY_TYPE_*`: what kind of program a peer is; also a bit in a mask of services.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityType(pub u8);

impl EntityType {
    /// Monitor.
    pub const MON: Self = Self(0x01);
    /// Metadata server.
    pub const MDS: Self = Self(0x02);
    /// Object storage daemon.
    pub const OSD: Self = Self(0x04);
    /// Client.
    pub const CLIENT: Self = Self(0x08);
    /// Manager.
    pub const MGR: Self = Self(0x10);
    /// The ticket service of the monitors.
    pub const AUTH: Self = Self(0x20);
    /// Any of them.
    pub const ANY: Self = Self(0xff);

    /// Ceph's name for it (`ceph_entity_type_name`), `unknown` where it has none.
    pub fn name(self) -> &'static str {
        match self {
            Self::MON => "mon",
            Self::MDS => "mds",
            Self::OSD => "osd",
            Self::CLIENT => "client",
            Self::MGR => "mgr",
            Self::AUTH => "auth",
            Self::ANY => "any",
            _ => "unknown",
        }
    }
}

impl fmt::Display for EntityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for EntityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "unknown" => write!(f, "unknown({:#x})", self.0),
            name => f.write_str(name),
        }
    }
}

/// There is no entity type of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a type of entity: mon, mds, osd, client, mgr or auth is expected")]
pub struct EntityTypeParseError;

impl FromStr for EntityType {
    type Err = EntityTypeParseError;

    fn from_str(s: &str) -> Result<Self, EntityTypeParseError> {
        [Self::MON, Self::MDS, Self::OSD, Self::CLIENT, Self::MGR, Self::AUTH]
            .into_iter()
            .find(|t| t.name() == s)
            .ok_or(EntityTypeParseError)
    }
}

/// `entity_name_t`: `u8` type, `i64` number, -1 for "not numbered yet" (`src/msg/msg_types.h`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityName {
    /// What kind of program.
    pub entity_type: EntityType,
    /// Which one: rank of a monitor, id of an OSD, global_id of a client.
    pub num: i64,
}

impl EntityName {
    /// The number of an entity that has none yet.
    pub const NEW: i64 = -1;

    /// The name of `num` of that type.
    pub fn new(entity_type: EntityType, num: i64) -> Self {
        Self { entity_type, num }
    }

    /// Whether it is a client, of the kernel or of userspace.
    pub fn is_client(self) -> bool {
        self.entity_type == EntityType::CLIENT
    }
}

impl fmt::Display for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.num {
            n if n < 0 => write!(f, "{}.?", self.entity_type),
            n => write!(f, "{}.{n}", self.entity_type),
        }
    }
}

impl fmt::Debug for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Encode for EntityName {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.entity_type.0).i64(self.num);
    }
}

impl Decode for EntityName {
    const MIN: usize = 9;
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { entity_type: EntityType(r.u8()?), num: r.i64()? })
    }
}
