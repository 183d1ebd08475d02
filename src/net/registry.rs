//! The connections of a messenger, by number, and by the address that their peers claim.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use super::connection::{Connection, Handle, Shared};
use crate::auth::AuthPeer;
use crate::msgr::Peer;
use crate::types::{AddrType, EntityAddr};

/// The connections of a messenger; it keeps none of them alive.
#[derive(Debug, Default)]
pub(super) struct Registry {
    by_id: HashMap<u64, Weak<Shared>>,
    /// Sessions that a peer can come back to. An address is a claim: whose session it is shows in
    /// what the peer has shown, and two may claim the same.
    by_addr: HashMap<Key, Vec<Registered>>,
}

/// What tells addresses apart: neither the way they were written nor an IPv6 scope, but whether it is
/// messenger v1 that is spoken there.
type Key = (Option<(IpAddr, u16)>, u32, bool);

#[derive(Debug)]
struct Registered {
    id: u64,
    shared: Weak<Shared>,
    handle: Weak<Handle>,
}

fn key(addr: EntityAddr) -> Key {
    let legacy = addr.addr_type == AddrType::LEGACY;
    (addr.place(), addr.nonce, legacy)
}

impl Registry {
    /// Knows a connection from now on.
    pub(super) fn insert(&mut self, con: &Connection) {
        self.by_id.insert(con.id(), Arc::downgrade(con.shared()));
    }

    /// Makes a connection one of its peer's address.
    pub(super) fn register(&mut self, con: &Connection) {
        let (shared, handle) = con.downgrade();
        let registered = Registered { id: con.id(), shared, handle };
        self.by_addr.entry(key(con.peer().addr)).or_default().push(registered);
    }

    fn at(&self, addr: EntityAddr) -> impl Iterator<Item = (&Registered, Arc<Shared>)> {
        let all = self.by_addr.get(&key(addr)).into_iter().flatten();
        // The newest first: an older one may have ended.
        all.rev().filter_map(|r| Some((r, r.shared.upgrade()?)))
    }

    /// The session of a peer that has shown this, even if its owner has let go of it and its worker
    /// has yet to notice.
    pub(super) fn existing(&self, peer: &Peer, shown: Option<&AuthPeer>) -> Option<Arc<Shared>> {
        self.at(peer.addr).map(|(_, con)| con).find(|con| con.is_of(peer, shown))
    }

    /// A handle of the session with that peer under the same policy, unless it has ended.
    pub(super) fn connection_to(&self, peer: &Peer) -> Option<Connection> {
        let same = |con: &Shared| con.is_with(peer) && con.peer.policy == peer.policy;
        self.at(peer.addr)
            .filter(|(_, con)| same(con))
            .filter_map(|(r, con)| Connection::for_callback(&con, &r.handle))
            .find(|con| !con.is_closed())
    }

    /// All that have a thread.
    pub(super) fn all(&self) -> Vec<Arc<Shared>> {
        self.by_id.values().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn remove(&mut self, id: u64) {
        let Some(con) = self.by_id.remove(&id).and_then(|con| con.upgrade()) else { return };
        let key = key(con.peer.addr);
        if let Some(all) = self.by_addr.get_mut(&key) {
            all.retain(|r| r.id != id);
            if all.is_empty() {
                self.by_addr.remove(&key);
            }
        }
    }
}
