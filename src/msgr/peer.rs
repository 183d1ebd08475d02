use std::fmt;

use super::Policy;
use crate::types::{EntityAddr, EntityName, EntityType};

/// Whom a connection dials, and what the session promises.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Type and number, for the protocol version, the authorizer and the logs.
    pub name: EntityName,
    /// Where, with the nonce that the map gives.
    pub addr: EntityAddr,
    /// What happens after a fault.
    pub policy: Policy,
}

impl Peer {
    pub(crate) fn entity_type(&self) -> EntityType {
        self.name.entity_type
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As the kernel prints it: `osd.3 127.0.0.1:6801`.
        match self.addr.sockaddr {
            Some(addr) => write!(f, "{} {addr}", self.name),
            None => write!(f, "{} {}", self.name, self.addr),
        }
    }
}
