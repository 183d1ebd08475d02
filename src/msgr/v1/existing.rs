//! What becomes of a connect message, given the session that its sender has here already
//! (`ProtocolV1::handle_connect_message_2`).

use std::cmp::Ordering;

use super::wire::Connect;
use crate::msgr::existing::wins;
use crate::msgr::{ConState, Decision, Existing, Policy, Retry};
use crate::types::{ConnectSeq, EntityAddr};

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
        return if cseq.0 > 0 {
            Decision::Retry(Retry::ResetSession { full: true })
        } else {
            Decision::Open
        };
    };
    let stale = connect.global_seq < ex.peer_global_seq && !mutant!(StaleGlobalSeqTaken);
    if ex.replacing && !mutant!(ReservationIgnored) || stale {
        return Decision::Retry(Retry::Global(ex.peer_global_seq));
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
        Ordering::Less => Decision::Retry(Retry::Session(next)),
        Ordering::Equal if connected && policy.resetcheck && cseq.0 == 0 => Decision::Replace,
        Ordering::Equal if connected => Decision::Retry(Retry::Session(next)),
        Ordering::Equal if !is_dialling(ex) || wins(peer, own) => Decision::Replace,
        Ordering::Equal => Decision::Retry(Retry::Wait),
        Ordering::Greater if policy.resetcheck && ex.connect_seq.0 == 0 => {
            Decision::Retry(Retry::ResetSession { full: true })
        }
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
