//! What becomes of a connect message, given the session that its sender has here already
//! (`ProtocolV1::handle_connect_message_2`).

use std::cmp::Ordering;

use super::wire::Connect;
use crate::msgr::{ConState, Policy};
use crate::types::{ConnectSeq, EntityAddr, GlobalSeq};

/// The session that a peer with this address has here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Where it is in its life.
    pub state: ConState,
    /// Which connection of the session it is.
    pub connect_seq: ConnectSeq,
    /// The highest that the peer has been seen to use.
    pub peer_global_seq: GlobalSeq,
    /// Whether it ends with its socket.
    pub lossy: bool,
    /// Whether it never dials.
    pub server: bool,
    /// Whether both ends have known it to be open.
    pub once_ready: bool,
    /// Another socket is about to take its place.
    pub replacing: bool,
    /// It is another entity's, which happens to have, or claims, the same address: for an owner that
    /// keeps one session for each address.
    pub stranger: bool,
}

/// What becomes of the socket that a connect message came through.
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
    /// The peer is to try again with a higher global_seq than this.
    RetryGlobal(GlobalSeq),
    /// The peer is to try again with this connect_seq.
    RetrySession(ConnectSeq),
    /// The peer has a session that is not known here.
    ResetSession,
    /// This side's own attempt is to be the connection, and needs a push.
    Wait,
    /// The session is not the sender's.
    BadAuthorizer,
}

/// The table, for a message that has passed the checks of version, features and authorizer.
/// `policy` is that for the sender, `peer` its address and `own` this side's.
pub(super) fn decide(
    connect: &Connect,
    existing: Option<&Existing>,
    policy: Policy,
    peer: EntityAddr,
    own: EntityAddr,
) -> Decision {
    let cseq = connect.connect_seq;
    if policy.is_stateless() {
        return Decision::Open;
    }
    // Of a session that is closed nothing is left: here Ceph opens even what has been open before,
    // and the peer would never learn that it lost something.
    let Some(ex) = existing.filter(|ex| ex.state != ConState::Closed) else {
        return if cseq.0 > 0 { Decision::ResetSession } else { Decision::Open };
    };
    if ex.stranger {
        return Decision::BadAuthorizer;
    }
    let stale = connect.global_seq < ex.peer_global_seq && !mutant!(StaleGlobalSeqTaken);
    if ex.replacing && !mutant!(ReservationIgnored) || stale {
        return Decision::RetryGlobal(ex.peer_global_seq);
    }
    if ex.lossy {
        return Decision::ReplaceLossy;
    }
    let next = ConnectSeq(ex.connect_seq.0.wrapping_add(1));
    let connected = matches!(ex.state, ConState::Open | ConState::Standby);
    match cseq.cmp(&ex.connect_seq) {
        // Its first attempt was answered, and the answer got lost: there is nothing to reset.
        _ if accepted_unheard(ex) => Decision::Replace,
        Ordering::Less if cseq.0 == 0 => Decision::ReplaceReset,
        Ordering::Less => Decision::RetrySession(next),
        Ordering::Equal if connected && policy.resetcheck && cseq.0 == 0 => Decision::Replace,
        Ordering::Equal if connected => Decision::RetrySession(next),
        Ordering::Equal if !is_dialling(ex) || wins(peer, own) => Decision::Replace,
        Ordering::Equal => Decision::Wait,
        Ordering::Greater if policy.resetcheck && ex.connect_seq.0 == 0 => Decision::ResetSession,
        Ordering::Greater => Decision::Replace,
    }
}

/// A session that this side has opened, without a word from the peer that it has heard of that.
fn accepted_unheard(ex: &Existing) -> bool {
    !ex.once_ready && ex.connect_seq.0 > 0
}

/// Whether this side has an attempt of its own that the peer could wait for, now or after a backoff.
fn is_dialling(ex: &Existing) -> bool {
    !ex.server && ex.state != ConState::AcceptingWaitSeq
}

/// Whether of two attempts that cross the one of `peer` is kept: that of the lower address, by the
/// bytes of the decoded structs as x86 has them in memory (`operator<` of `entity_addr_t`).
fn wins(peer: EntityAddr, own: EntityAddr) -> bool {
    let (peer, own) = if mutant!(RaceTheOtherWay) { (own, peer) } else { (peer, own) };
    memory_order(peer) < memory_order(own)
}

/// Type and nonce in little-endian, then the sockaddr.
fn memory_order(addr: EntityAddr) -> ([u8; 8], [u8; 128]) {
    let legacy = addr.encode_legacy();
    let mut head = [0; 8];
    head[..4].copy_from_slice(&addr.addr_type.0.to_le_bytes());
    head[4..].copy_from_slice(&addr.nonce.to_le_bytes());
    let mut sockaddr = [0; 128];
    sockaddr.copy_from_slice(&legacy[8..]);
    // The family is in host order there.
    sockaddr[..2].reverse();
    (head, sockaddr)
}
