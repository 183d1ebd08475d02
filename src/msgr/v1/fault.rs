use super::{ConState, Context, Rx, Tx};
use crate::msgr::{Consequence, Fault};

/// Takes a connection from its fault to the state that follows (`con_fault`): what was half read
/// or half written is dropped, and a session that survives has its unacknowledged messages in
/// front of the queue again.
pub fn con_fault(rx: &mut Rx, tx: &mut Tx, fault: &Fault, cx: &Context<'_>) -> Consequence {
    let policy = rx.peer.policy;
    let idle = tx.session.is_idle() && !tx.keepalive_due;
    let consequence = fault.consequence(policy, tx.state, tx.session.lossy, idle);
    match consequence {
        Consequence::Close => log::debug!("{}: {}: {fault}", tx.peer, tx.state),
        _ => log::warn!("{}: {}: {fault}; {consequence:?}", tx.peer, tx.state),
    }
    if fault.is_auth() {
        cx.auth.invalidate(rx.peer.entity_type());
    }
    if !mutant!(ThrottleKeptAtFault) {
        rx.prepare_read_banner();
    }
    rx.signer = None;
    tx.signer = None;
    tx.out_kvec.reset();
    tx.keepalive2_ack_due = None;
    if consequence == Consequence::Close {
        tx.close();
        return consequence;
    }
    if tx.state == ConState::Open && !policy.server {
        // Once for each connection that was open; attempts that fail do not count.
        tx.session.connect_seq.0 = tx.session.connect_seq.0.wrapping_add(1);
    }
    tx.session.requeue();
    tx.set_state(match consequence {
        Consequence::Standby => ConState::Standby,
        _ => ConState::Preopen,
    });
    consequence
}
