//! From whole things to events, with both halves in hand.

use super::{Incoming, Rx};
use crate::msgr::{Context, Event, Fault, Tx};

impl Rx {
    /// Acts on one thing that the peer sent. After a fault it is that fault for ever, until the banner
    /// of another socket is prepared.
    pub fn process(
        &mut self,
        tx: &mut Tx,
        incoming: Incoming,
        cx: &Context<'_>,
    ) -> Result<Option<Event>, Fault> {
        let awaited = self.awaiting();
        let outcome = self.process_one(tx, incoming, cx);
        if let Err(fault) = &outcome {
            self.set_faulted(fault, awaited);
        }
        outcome
    }

    fn process_one(
        &mut self,
        tx: &mut Tx,
        incoming: Incoming,
        cx: &Context<'_>,
    ) -> Result<Option<Event>, Fault> {
        if tx.is_gated() {
            return Err(Fault::ReplyBeforeRequest);
        }
        match incoming {
            Incoming::Banner(banner) => self.process_banner(tx, &banner, cx).map(|()| None),
            Incoming::Control(tag, payload) => self.process_control(tx, tag, &payload, cx),
            Incoming::Message { msg, ack_seq } => {
                tx.discard_sent(ack_seq);
                Ok(tx.take(msg)?.map(Event::Message))
            }
            Incoming::Ack(seq) => {
                log::trace!("{}: < ack {seq}", self.peer);
                Ok(Some(tx.discard_sent(seq)))
            }
            Incoming::Keepalive2(stamp) => {
                log::trace!("{}: < keepalive2 {stamp}", self.peer);
                tx.keepalive2_ack_due = Some(stamp);
                Ok(None)
            }
            Incoming::Keepalive2Ack(stamp) => {
                log::trace!("{}: < keepalive2_ack {stamp}", self.peer);
                Ok(Some(Event::KeepaliveAck(stamp)))
            }
        }
    }
}
