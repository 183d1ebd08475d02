//! What becomes of CLIENT_IDENT and SESSION_RECONNECT, given the session that their sender has here
//! already (`ProtocolV2::handle_existing_connection` and `handle_reconnect`).

use super::accept::{Ask, Ident, Reconnect};
use crate::msgr::existing::wins;
use crate::msgr::{ConState, Decision, Existing, Policy, Retry};
use crate::types::EntityAddr;

/// The tables. `policy` is that for the sender, `peer` its address and `own` this side's.
pub(super) fn decide(
    ask: &Ask,
    existing: Option<&Existing>,
    policy: Policy,
    peer: EntityAddr,
    own: EntityAddr,
) -> Decision {
    // Of a session that is closed nothing is left.
    let existing = existing.filter(|ex| ex.state != ConState::Closed);
    match ask {
        Ask::Ident(ident) => match existing.filter(|_| !policy.is_stateless()) {
            Some(ex) => decide_ident(ident, ex, policy, peer, own),
            None => Decision::Open,
        },
        Ask::Reconnect(reconnect) => match existing {
            Some(ex) => decide_reconnect(reconnect, ex, policy, peer, own),
            None => Decision::Retry(Retry::ResetSession { full: true }),
        },
    }
}

fn decide_ident(
    ident: &Ident,
    ex: &Existing,
    policy: Policy,
    peer: EntityAddr,
    own: EntityAddr,
) -> Decision {
    let stale = ident.global_seq < ex.peer_global_seq && !mutant!(StaleGlobalSeqTaken);
    if ex.replacing && !mutant!(ReservationIgnored) {
        // Nobody dials a client, the kernel's takes no WAIT, and it will come again.
        return if ex.server { Decision::Stale } else { Decision::Retry(Retry::Wait) };
    }
    if stale {
        return Decision::Stale;
    }
    if ex.lossy {
        return Decision::ReplaceLossy;
    }
    let known = ex.client_cookie != 0 && ex.server_cookie != 0;
    if known && ex.client_cookie != ident.client_cookie && !mutant!(ClientCookieIgnored) {
        return if policy.resetcheck { Decision::ReplaceReset } else { Decision::Replace };
    }
    // Its first attempt was interrupted, or it has been told to begin anew.
    let interrupted = ident.client_cookie != 0 && ex.client_cookie == ident.client_cookie;
    let connected = matches!(ex.state, ConState::Open | ConState::Standby);
    if interrupted || connected || ex.server || wins(peer, own) {
        return Decision::Replace;
    }
    Decision::Retry(Retry::Wait)
}

fn decide_reconnect(
    reconnect: &Reconnect,
    ex: &Existing,
    policy: Policy,
    peer: EntityAddr,
    own: EntityAddr,
) -> Decision {
    if ex.replacing && !mutant!(ReservationIgnored) {
        return Decision::Retry(Retry::Global(ex.peer_global_seq));
    }
    if ex.client_cookie != reconnect.client_cookie && !mutant!(ClientCookieIgnored) {
        return Decision::Retry(Retry::ResetSession { full: policy.resetcheck });
    }
    if ex.server_cookie == 0 && !mutant!(UnheardSessionTaken) {
        // This side dialled, and has never seen SERVER_IDENT.
        return Decision::Retry(Retry::ResetSession { full: false });
    }
    if ex.peer_global_seq > reconnect.global_seq && !mutant!(StaleGlobalSeqTaken) {
        return Decision::Retry(Retry::Global(ex.peer_global_seq));
    }
    if ex.connect_seq > reconnect.connect_seq {
        return Decision::Retry(Retry::Session(ex.connect_seq));
    }
    let race = ex.connect_seq == reconnect.connect_seq;
    if race && !ex.server && wins(own, peer) {
        return Decision::Retry(Retry::Wait);
    }
    Decision::Replace
}
