//! What becomes of a socket that a peer has dialled, given the session that it has here already: what
//! both protocols' tables look at, and what they decide.

use super::ConState;
use crate::types::{AddrType, ConnectSeq, EntityAddr, GlobalSeq};

/// The session that a peer with this address has here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Where it is in its life.
    pub state: ConState,
    /// Which connection of the session it is.
    pub connect_seq: ConnectSeq,
    /// The highest that the peer has been seen to use.
    pub peer_global_seq: GlobalSeq,
    /// Names the end of the side that dialled when it began (v2); 0 if that is not known.
    pub client_cookie: u64,
    /// The same of the side that accepted (v2).
    pub server_cookie: u64,
    /// Whether it ends with its socket.
    pub lossy: bool,
    /// Whether it never dials.
    pub server: bool,
    /// Whether both ends have known it to be open.
    pub once_ready: bool,
    /// Another socket is about to take its place.
    pub replacing: bool,
}

/// What becomes of the socket through which a peer asks for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A new session opens with it.
    Open,
    /// The lossy session ends, and a new one opens.
    ReplaceLossy,
    /// It takes the place of the session's socket.
    Replace,
    /// It takes the place of the session's socket, and the peer has lost the session.
    ReplaceReset,
    /// No session opens; the peer may try again on its socket.
    Retry(Retry),
    /// It is older than the session: it is closed, without a word.
    Stale,
}

/// An answer after which the dialler tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// With a higher global_seq than this.
    Global(GlobalSeq),
    /// With this connect_seq (v1), or a higher one (v2).
    Session(ConnectSeq),
    /// As one that has no session. What the peer has queued is lost too if it is `full`, as with v1 it
    /// always is.
    ResetSession {
        /// What SESSION_RESET of v2 says.
        full: bool,
    },
    /// Not at all for now: this side's own attempt is to be the connection, and needs a push.
    Wait,
}

/// Whether of two attempts that cross the one of `peer` is kept: that of the lower address, by the
/// bytes of the decoded structs as x86 has them in memory (`operator<` of `entity_addr_t`).
pub(super) fn wins(peer: EntityAddr, own: EntityAddr) -> bool {
    let (peer, own) = if mutant!(RaceTheOtherWay) { (own, peer) } else { (peer, own) };
    memory_order(peer) < memory_order(own)
}

/// Type and nonce in little-endian, then the sockaddr.
fn memory_order(addr: EntityAddr) -> ([u8; 8], [u8; 128]) {
    let legacy = addr.encode_legacy();
    let mut head = [0; 8];
    let AddrType(addr_type) = addr.addr_type;
    head[..4].copy_from_slice(&addr_type.to_le_bytes());
    head[4..].copy_from_slice(&addr.nonce.to_le_bytes());
    let mut sockaddr = [0; 128];
    sockaddr.copy_from_slice(&legacy[8..]);
    // The family is in host order there.
    sockaddr[..2].reverse();
    (head, sockaddr)
}
