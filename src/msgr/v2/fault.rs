use super::Rx;
use crate::msgr::{Consequence, Context, Fault, Tx};

/// Takes a connection from its fault to the state that follows (`con_fault`): what was half read
/// or half written is dropped, and a session that survives has its unacknowledged messages in
/// front of the queue again.
pub fn con_fault(rx: &mut Rx, tx: &mut Tx, fault: &Fault, cx: &Context<'_>) -> Consequence {
    let consequence = tx.con_fault(fault, cx);
    rx.prepare_read_banner();
    consequence
}
