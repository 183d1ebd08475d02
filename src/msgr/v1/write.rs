//! Writing: `try_write` and what it finds to do (`prepare_write_*`).

use super::wire::{Footer, WireHeader, tag};
use super::{ConState, Context, Tx};
use crate::msgr::out_kvec::Revoked;
use crate::msgr::session::Queued;
use crate::msgr::{Fault, Message, Transport};
use crate::types::{Features, UTime};

/// Messages that wait are put into one write until it has this many bytes.
const COALESCE: usize = 128 << 10;

/// Names a message of one connection, for revoking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MsgId(u64);

#[cfg(test)]
impl MsgId {
    /// As the out buffer knows the message.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

impl Tx {
    /// Queues a message (`ceph_con_send`). A session in standby wakes; a closed connection drops
    /// it.
    pub fn send(&mut self, msg: Message) -> MsgId {
        let id = self.next_id;
        self.next_id += 1;
        if self.state != ConState::Closed {
            self.session.push(Queued { id, msg });
            self.clear_standby();
        }
        MsgId(id)
    }

    /// Takes a message back (`ceph_msg_revoke`): it is neither sent nor resent. One whose first
    /// byte is out already reaches the peer as zeros, incomplete. Returns false where the message
    /// has left this side wholly.
    pub fn revoke(&mut self, id: MsgId) -> bool {
        let unsent = self.out_kvec.revoke(id.0);
        self.session.remove(id.0) || unsent != Revoked::Absent
    }

    /// Takes a message back only if no part of it has been prepared for the wire.
    pub(crate) fn unqueue(&mut self, id: MsgId) {
        self.session.unqueue(id.0);
    }

    /// Asks the peer for a sign of life (`ceph_con_keepalive`); not a client that was accepted, for
    /// the kernel's takes no keepalive.
    pub fn keepalive(&mut self) {
        if self.quiet {
            return;
        }
        self.keepalive_due = true;
        self.clear_standby();
    }

    fn clear_standby(&mut self) {
        if self.state == ConState::Standby && !self.peer.policy.server && !mutant!(StandbySleepsOn)
        {
            self.set_state(ConState::Preopen);
        }
    }

    pub(super) fn has_work(&self) -> bool {
        self.keepalive_due
            || self.keepalive2_ack_due.is_some()
            || !self.session.out_queue.is_empty()
            || self.session.ack_due()
    }

    /// Writes what there is to write; true when all is out, false when the transport would block.
    pub fn try_write(&mut self, t: &mut impl Transport, cx: &Context<'_>) -> Result<bool, Fault> {
        loop {
            if !self.out_kvec.write_to(t)? {
                return Ok(false);
            }
            if self.state != ConState::Open || !self.has_work() {
                return Ok(true);
            }
            self.prepare_write(cx)?;
        }
    }

    /// Fills the out buffer: keepalives first, then messages, then an ack of its own.
    fn prepare_write(&mut self, cx: &Context<'_>) -> Result<(), Fault> {
        if let Some(stamp) = self.keepalive2_ack_due.take() {
            self.prepare_write_keepalive2(tag::KEEPALIVE2_ACK, stamp);
        }
        if std::mem::take(&mut self.keepalive_due) {
            self.prepare_write_keepalive(cx.wall);
        }
        while self.out_kvec.len() < COALESCE
            && let Some(queued) = self.session.pop()
        {
            self.prepare_write_message(queued, cx)?;
        }
        if self.session.ack_due() {
            self.prepare_write_ack();
        }
        Ok(())
    }

    fn prepare_write_message(&mut self, queued: Queued, cx: &Context<'_>) -> Result<(), Fault> {
        let Queued { id, msg } = queued;
        let Message { mut header, front, middle, data, .. } = msg;
        header.src = cx.local.name();
        let header = WireHeader {
            header,
            front_len: front.len() as u32,
            middle_len: middle.len() as u32,
            data_len: data.len() as u32,
            crc: 0,
        };
        let (bytes, crc) = header.encode();
        let header = WireHeader { crc, ..header };
        let mut footer = Footer::of(&front, &middle, &data, cx.local.options.crc_data);
        if let Some(signer) = &self.signer {
            footer.sig = signer.sign(&header, &footer)?;
            footer.flags |= super::wire::footer_flag::SIGNED;
        }
        log::trace!(
            "{}: > {} seq {} tid {} ({}+{}+{})",
            self.peer,
            header.header.type_name(),
            header.header.seq,
            header.header.tid,
            front.len(),
            middle.len(),
            data.len()
        );
        // An ack that is due goes into the same packet, in front.
        if self.session.ack_due() {
            self.prepare_write_ack();
        }
        let mut tagged = [tag::MSG; 1 + WireHeader::LEN];
        tagged[1..].copy_from_slice(&bytes);
        self.out_kvec.add_header(id, &tagged);
        self.out_kvec.add_segment(id, front);
        self.out_kvec.add_segment(id, middle);
        self.out_kvec.add_segment(id, data);
        self.out_kvec.add_footer(id, &footer.encode(self.features));
        Ok(())
    }

    fn prepare_write_ack(&mut self) {
        let seq = self.session.in_seq;
        log::trace!("{}: > ack {seq}", self.peer);
        self.session.in_seq_acked = seq;
        let seq = if mutant!(AckTooEarly) { seq.next() } else { seq };
        let mut out = [tag::ACK; 9];
        out[1..].copy_from_slice(&seq.0.to_le_bytes());
        self.out_kvec.add(&out);
    }

    /// Our in_seq, the last word of a handshake with SEQ.
    pub(super) fn prepare_write_seq(&mut self) {
        let seq = self.session.in_seq;
        log::trace!("{}: > seq {seq}", self.peer);
        self.session.in_seq_acked = seq;
        let seq = if mutant!(SeqOffByOne) { seq.next() } else { seq };
        self.out_kvec.add(&seq.0.to_le_bytes());
    }

    fn prepare_write_keepalive(&mut self, now: UTime) {
        if self.features.has(Features::MSGR_KEEPALIVE2) {
            self.prepare_write_keepalive2(tag::KEEPALIVE2, now);
        } else {
            log::trace!("{}: > keepalive", self.peer);
            self.out_kvec.add(&[tag::KEEPALIVE]);
        }
    }

    fn prepare_write_keepalive2(&mut self, tag: u8, stamp: UTime) {
        log::trace!("{}: > keepalive2 (tag {tag}) {stamp}", self.peer);
        let mut out = [tag; 9];
        out[1..5].copy_from_slice(&stamp.sec.to_le_bytes());
        out[5..].copy_from_slice(&stamp.nsec.to_le_bytes());
        self.out_kvec.add(&out);
    }
}
