//! Writing: how messages, acks and keepalives become bytes (`prepare_write_*`).

use super::sign::Signer;
use super::wire::{Footer, WireHeader, footer_flag, tag};
use crate::msgr::tx::Outgoing;
use crate::msgr::{Fault, Message, OutKvec, Tx};
use crate::types::{Features, Seq, UTime};

/// How an open session writes.
#[derive(Clone, Debug)]
pub(in crate::msgr) struct Framing {
    pub(super) signer: Option<Signer>,
    pub(super) features: Features,
    /// Whether data gets a checksum.
    pub(super) crc_data: bool,
}

impl Framing {
    #[cfg(test)]
    pub(in crate::msgr) fn is_signed(&self) -> bool {
        self.signer.is_some()
    }

    pub(in crate::msgr) fn prepare_write_message(
        &self,
        out: &mut OutKvec,
        Outgoing { id, msg, src, .. }: Outgoing,
    ) -> Result<(), Fault> {
        let Message { mut header, front, middle, data, .. } = msg;
        header.src = src;
        let header = WireHeader {
            header,
            front_len: front.len() as u32,
            middle_len: middle.len() as u32,
            data_len: data.len() as u32,
            crc: 0,
        };
        let (bytes, crc) = header.encode();
        let header = WireHeader { crc, ..header };
        let mut footer = Footer::of(&front, &middle, &data, self.crc_data);
        if let Some(signer) = &self.signer {
            footer.sig = signer.sign(&header, &footer)?;
            footer.flags |= footer_flag::SIGNED;
        }
        let mut tagged = [tag::MSG; 1 + WireHeader::LEN];
        tagged[1..].copy_from_slice(&bytes);
        out.add_header(id, &tagged);
        out.add_segment(id, front);
        out.add_segment(id, middle);
        out.add_segment(id, data);
        out.add_footer(id, &footer.encode(self.features));
        Ok(())
    }

    pub(in crate::msgr) fn prepare_write_keepalive(&self, out: &mut OutKvec, now: UTime) {
        if self.features.has(Features::MSGR_KEEPALIVE2) {
            out.add(&stamped(tag::KEEPALIVE2, now));
        } else {
            out.add(&[tag::KEEPALIVE]);
        }
    }
}

pub(in crate::msgr) fn prepare_write_ack(out: &mut OutKvec, seq: Seq) {
    let mut bytes = [tag::ACK; 9];
    bytes[1..].copy_from_slice(&seq.0.to_le_bytes());
    out.add(&bytes);
}

pub(in crate::msgr) fn prepare_write_keepalive2_ack(out: &mut OutKvec, stamp: UTime) {
    out.add(&stamped(tag::KEEPALIVE2_ACK, stamp));
}

fn stamped(tag: u8, stamp: UTime) -> [u8; 9] {
    let mut bytes = [tag; 9];
    bytes[1..5].copy_from_slice(&stamp.sec.to_le_bytes());
    bytes[5..].copy_from_slice(&stamp.nsec.to_le_bytes());
    bytes
}

impl Tx {
    /// Our in_seq, the last word of a handshake with SEQ.
    pub(super) fn prepare_write_seq(&mut self) {
        let seq = self.session.tell_in_seq();
        log::trace!("{}: > seq {seq}", self.peer);
        let seq = if mutant!(SeqOffByOne) { seq.next() } else { seq };
        self.out_kvec.add(&seq.0.to_le_bytes());
    }
}
