use std::fmt;
use std::str::FromStr;

use super::ConfigError;
use crate::types::EntityType;

/// `EntityName`: who a program is to cephx and in ceph.conf, such as `client.admin`
/// (`src/common/entity_name.h`). Not the numbered name of the messenger,
/// [`types::EntityName`](crate::types::EntityName).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityName {
    /// What kind of program.
    pub entity_type: EntityType,
    /// Which one; may be empty, as in `mon.`, and may contain dots.
    pub id: String,
}

impl EntityName {
    /// `client.` and that id.
    pub fn client(id: impl Into<String>) -> Self {
        Self { entity_type: EntityType::CLIENT, id: id.into() }
    }
}

impl Default for EntityName {
    /// `client.admin`, who a program is that says nothing else.
    fn default() -> Self {
        Self::client("admin")
    }
}

impl FromStr for EntityName {
    type Err = ConfigError;

    fn from_str(s: &str) -> Result<Self, ConfigError> {
        let bad = || ConfigError::BadName(s.to_owned());
        let (entity_type, id) = s.split_once('.').ok_or_else(bad)?;
        Ok(Self { entity_type: entity_type.parse().map_err(|_| bad())?, id: id.to_owned() })
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
