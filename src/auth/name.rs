use std::fmt;
use std::str::FromStr;

use crate::denc::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::types::EntityType;

/// `EntityName`, `client.admin`: `u32` type, `string` id (`src/common/entity_name.h`). It names
/// who authenticates; [`crate::types::EntityName`] numbers a peer of the messenger.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityName {
    /// What kind of program.
    pub entity_type: EntityType,
    /// Which one, without the type: `admin`, `0`; empty for `mon.`.
    pub id: String,
}

impl EntityName {
    /// The name of `id` of that type.
    pub fn new(entity_type: EntityType, id: &str) -> Self {
        Self { entity_type, id: id.to_owned() }
    }
}

impl fmt::Display for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.entity_type, self.id)
    }
}

impl fmt::Debug for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not `type.id` with a type that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an entity: one like client.admin is expected")]
pub struct EntityNameParseError;

impl FromStr for EntityName {
    type Err = EntityNameParseError;

    fn from_str(s: &str) -> Result<Self, EntityNameParseError> {
        let (entity_type, id) = s.split_once('.').ok_or(EntityNameParseError)?;
        Ok(Self::new(entity_type.parse().map_err(|_| EntityNameParseError)?, id))
    }
}

impl Encode for EntityName {
    fn encode(&self, w: &mut Writer) {
        w.u32(self.entity_type.0.into()).string(&self.id);
    }
}

impl Decode for EntityName {
    const MIN: usize = 8;

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let n = r.what("EntityName").u32()?;
        let n = u8::try_from(n).map_err(|_| r.error(DecodeErrorKind::BadValue(n.into())))?;
        Ok(Self { entity_type: EntityType(n), id: r.string()? })
    }
}
