//! Writing: how messages, acks and keepalives become frames (`prepare_write_*`).

use super::control::{AckFrame, ControlFrame, KeepAliveFrame, KeepAliveFrameAck, MsgHeader2};
use super::{FrameTx, OutFrame, Tag};
use crate::msgr::tx::Outgoing;
use crate::msgr::{Fault, Message, OutKvec};
use crate::types::{Seq, UTime};

/// How an open session writes.
#[derive(Debug)]
pub(in crate::msgr) struct Framing(pub(super) FrameTx);

impl Framing {
    /// A message, which also says what has arrived.
    pub(in crate::msgr) fn prepare_write_message(
        &mut self,
        out: &mut OutKvec,
        Outgoing { id, msg, ack_seq, .. }: Outgoing,
    ) -> Result<(), Fault> {
        let Message { header, front, middle, data, .. } = msg;
        let header = MsgHeader2::new(&header, ack_seq).to_array();
        self.0.add_frame(out, OutFrame::message(id, &header, front, middle, data))
    }

    pub(in crate::msgr) fn prepare_write_ack(
        &mut self,
        out: &mut OutKvec,
        seq: Seq,
    ) -> Result<(), Fault> {
        self.0.add_control(out, &AckFrame(seq))
    }

    pub(in crate::msgr) fn prepare_write_keepalive2(
        &mut self,
        out: &mut OutKvec,
        now: UTime,
    ) -> Result<(), Fault> {
        self.0.add_control(out, &KeepAliveFrame(now))
    }

    pub(in crate::msgr) fn prepare_write_keepalive2_ack(
        &mut self,
        out: &mut OutKvec,
        stamp: UTime,
    ) -> Result<(), Fault> {
        self.0.add_control(out, &KeepAliveFrameAck(stamp))
    }
}

impl FrameTx {
    /// Puts a control frame behind what is in the out buffer.
    pub(super) fn add_control<T: ControlFrame>(
        &mut self,
        out: &mut OutKvec,
        frame: &T,
    ) -> Result<(), Fault> {
        let tag = Tag::try_from(T::TAG)?;
        self.add_frame(out, OutFrame::control(tag, &frame.to_payload()))
    }
}
