//! Which connections a messenger has: by id those whose thread runs, and by the peer's address the
//! session that a peer which dials again may come back to.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::connection::{Connection, Handle, Shared};
use crate::types::EntityAddr;

/// The connections of a messenger; it keeps none of them alive.
#[derive(Debug, Default)]
pub(super) struct Registry {
    by_id: HashMap<u64, Weak<Shared>>,
    /// Sessions that a peer can come back to.
    by_addr: HashMap<EntityAddr, (u64, Weak<Shared>, Weak<Handle>)>,
}

impl Registry {
    /// Knows a connection from now on.
    pub(super) fn insert(&mut self, con: &Connection) {
        self.by_id.insert(con.id(), Arc::downgrade(con.shared()));
    }

    /// Makes a connection the one of its peer's address.
    pub(super) fn register(&mut self, con: &Connection) {
        let (shared, handle) = con.downgrade();
        self.by_addr.insert(con.peer().addr, (con.id(), shared, handle));
    }

    /// The session with the peer of this address, even if its owner has let go of it and its worker
    /// has yet to notice.
    pub(super) fn existing(&self, addr: EntityAddr) -> Option<Arc<Shared>> {
        self.by_addr.get(&addr)?.1.upgrade()
    }

    /// A handle of the session with the peer of this address, unless it has ended.
    pub(super) fn connection_to(&self, addr: EntityAddr) -> Option<Connection> {
        let (_, shared, handle) = self.by_addr.get(&addr)?;
        let con = Connection::for_callback(&shared.upgrade()?, handle)?;
        (!con.is_closed()).then_some(con)
    }

    /// All that have a thread.
    pub(super) fn all(&self) -> Vec<Arc<Shared>> {
        self.by_id.values().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn remove(&mut self, id: u64) {
        if let Some(con) = self.by_id.remove(&id).and_then(|c| c.upgrade())
            && self.by_addr.get(&con.peer.addr).is_some_and(|(registered, ..)| *registered == id)
        {
            self.by_addr.remove(&con.peer.addr);
        }
    }
}
