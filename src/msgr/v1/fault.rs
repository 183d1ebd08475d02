use super::{ConState, Context, Rx};
use crate::msgr::{Consequence, Fault, Tx};

/// Takes a connection from its fault to the state that follows (`con_fault`): what was half read
/// or half written is dropped, and a session that survives has its unacknowledged messages in
/// front of the queue again.
pub fn con_fault(rx: &mut Rx, tx: &mut Tx, fault: &Fault, cx: &Context<'_>) -> Consequence {
    let was_open = tx.state == ConState::Open;
    let consequence = tx.con_fault(fault, cx);
    if !mutant!(ThrottleKeptAtFault) {
        rx.prepare_read_banner();
    }
    rx.signer = None;
    if was_open && consequence != Consequence::Close && !rx.peer.policy.server {
        // Once for each connection that was open; attempts that fail do not count.
        tx.session.connect_seq.0 = tx.session.connect_seq.0.wrapping_add(1);
    }
    consequence
}
