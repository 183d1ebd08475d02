//! Reading: from bytes to whole things, on the socket of a session.

use std::fmt;
use std::sync::Arc;

use super::control::{AckFrame, ControlFrame, KeepAliveFrame, KeepAliveFrameAck, MsgHeader2};
use super::handshake::State;
use super::{BANNER_HEAD_LEN, Banner, Frame, Preamble, Read, Rx, Tag};
use crate::denc::Decode;
use crate::msgr::in_buf::InBuf;
use crate::msgr::{Budget, Fault, Message, Throttle, Transport};
use crate::types::{EntityName, Seq, UTime};

/// One whole thing that the peer sent.
pub enum Incoming {
    /// All bytes of its banner.
    Banner(Vec<u8>),
    /// The payload of a frame of the handshake.
    Control(Tag, Vec<u8>),
    /// A message that is what its sender sent.
    Message {
        /// It.
        msg: Message,
        /// Everything up to this number has arrived.
        ack_seq: Seq,
    },
    /// Everything up to this number has arrived.
    Ack(Seq),
    /// The peer wants its stamp back.
    Keepalive2(UTime),
    /// Our stamp comes back.
    Keepalive2Ack(UTime),
}

impl fmt::Debug for Incoming {
    /// Without the bytes of payloads: tickets are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Banner(banner) => write!(f, "banner ({} bytes)", banner.len()),
            Self::Control(tag, payload) => write!(f, "{tag} ({} bytes)", payload.len()),
            Self::Message { msg, ack_seq } => write!(f, "{msg:?} ack {ack_seq}"),
            Self::Ack(seq) => write!(f, "ack {seq}"),
            Self::Keepalive2(stamp) => write!(f, "keepalive2 {stamp}"),
            Self::Keepalive2Ack(stamp) => write!(f, "keepalive2_ack {stamp}"),
        }
    }
}

/// Reads a banner; `None` where it is not all there yet.
pub(super) fn read_banner(
    in_buf: &mut InBuf,
    t: &mut impl Transport,
) -> Result<Option<Vec<u8>>, Fault> {
    let all = in_buf.fill(BANNER_HEAD_LEN, t)?;
    // A peer that is none shows it in its first bytes, and need not send more.
    Banner::check_prefix(in_buf.peek())?;
    let Some(head) = in_buf.peek().first_chunk().filter(|_| all) else { return Ok(None) };
    let len = BANNER_HEAD_LEN + Banner::payload_len(head)?;
    Ok(in_buf.fill(len, t)?.then(|| in_buf.take(len).to_vec()))
}

impl Rx {
    /// What the machine waits for, in the words of an error: "no {} in time".
    pub fn awaiting(&self) -> &'static str {
        match &self.state {
            State::Banner => "banner",
            State::Hello(_) => "HELLO",
            State::Auth(..) => "answer to AUTH_REQUEST",
            State::AuthSignature(..) => "AUTH_SIGNATURE",
            State::SessionConnect(_) => "answer to CLIENT_IDENT",
            State::SessionReconnect(_) => "answer to SESSION_RECONNECT",
            State::Ready(_) if self.throttled.is_some() => "room for a message",
            State::Ready(rx) if rx.under_way().is_some() => "rest of a message",
            State::Ready(_) => "message",
            State::Faulted(_) => self.awaited,
        }
    }

    /// Reads until one whole thing is there; `None` where the transport has no more for now.
    /// After a fault it is that fault for ever, until the banner of another socket is prepared.
    pub fn read_partial(&mut self, t: &mut impl Transport) -> Result<Option<Incoming>, Fault> {
        let outcome = self.read_one(t);
        if let Err(fault) = &outcome {
            self.set_faulted(fault, self.awaiting());
        }
        outcome
    }

    fn read_one(&mut self, t: &mut impl Transport) -> Result<Option<Incoming>, Fault> {
        loop {
            if let Some(preamble) = self.throttled
                && !self.prepare_read_message(preamble)
            {
                return Ok(None);
            }
            let ready = matches!(self.state, State::Ready(_));
            let frames = match &mut self.state {
                State::Faulted(fault) => return Err(fault.clone()),
                State::Banner => {
                    return Ok(read_banner(&mut self.in_buf, t)?.map(Incoming::Banner));
                }
                State::Hello(frames)
                | State::Auth(frames, _)
                | State::AuthSignature(frames, _)
                | State::SessionConnect(frames)
                | State::SessionReconnect(frames) => &mut frames.rx,
                State::Ready(rx) => rx,
            };
            match frames.read(&mut self.in_buf, t)? {
                None => return Ok(None),
                Some(Read::Header(preamble)) if preamble.tag == Tag::Message => {
                    // Not even as an announcement: it would be kept in memory for the next one.
                    if preamble.lens[0] as usize != MsgHeader2::LEN {
                        return Err(Fault::BadPreamble("not the header of a message"));
                    }
                    if !self.prepare_read_message(preamble) {
                        return Ok(None);
                    }
                }
                Some(Read::Header(_)) => {}
                // Where messages are, a frame may be taken back; a handshake is not.
                Some(Read::Aborted(preamble)) if !ready => {
                    return Err(Fault::UnexpectedTag(preamble.tag));
                }
                Some(Read::Aborted(preamble)) => {
                    log::debug!("{}: {} taken back by its sender", self.peer, preamble.tag);
                    self.budget = Budget::default();
                }
                Some(Read::Frame(frame)) => {
                    let budget = std::mem::take(&mut self.budget);
                    return match ready {
                        true => incoming(frame, self.src, budget).map(Some),
                        false => Ok(Some(Incoming::Control(frame.tag, frame.payload.to_vec()))),
                    };
                }
            }
        }
    }

    /// Takes room for a message; false where there is none.
    fn prepare_read_message(&mut self, preamble: Preamble) -> bool {
        let budget = match &self.throttle {
            None => Some(Budget::default()),
            Some(throttle) => throttle.try_get(preamble.tail_len()),
        };
        self.throttled = budget.is_none().then_some(preamble);
        self.budget = budget.unwrap_or_default();
        self.throttled.is_none()
    }

    /// The throttle that has no room for the next message, if that is what keeps this side from
    /// reading on.
    pub fn throttled(&self) -> Option<&Arc<Throttle>> {
        self.throttle.as_ref().filter(|_| self.throttled.is_some())
    }

    /// How long the message is whose beginning is there, and not its end; 0 where even that is not
    /// known yet.
    pub fn amid_message(&self) -> Option<usize> {
        let State::Ready(rx) = &self.state else { return None };
        match rx.under_way() {
            _ if self.throttled.is_some() => None,
            Some(preamble) => Some(preamble.tail_len()),
            None => (self.in_buf.len() > 0).then_some(0),
        }
    }

    /// The length of the message that is half read, for which it holds room.
    #[cfg(test)]
    pub(crate) fn reading(&self) -> Option<usize> {
        let State::Ready(rx) = &self.state else { return None };
        let message = rx.under_way().filter(|p| p.tag == Tag::Message && self.throttled.is_none());
        message.map(|preamble| preamble.tail_len())
    }

    /// Whether somebody waits for the room that messages on this connection hold.
    pub fn is_contended(&self) -> bool {
        self.throttle.as_ref().is_some_and(|throttle| throttle.is_contended())
    }

    /// Sets what bounds the messages that were received and are not done with.
    pub fn set_throttle(&mut self, throttle: Option<Arc<Throttle>>) {
        self.throttle = throttle;
    }
}

/// A frame of an open session; `src` is who is at the other end.
fn incoming(frame: Frame<'_>, src: EntityName, budget: Budget) -> Result<Incoming, Fault> {
    let Frame { tag, payload, front, middle, data } = frame;
    Ok(match tag {
        Tag::Message => {
            let header = MsgHeader2::from_bytes(payload)?;
            let msg = Message { header: header.to_header(src), front, middle, data, budget };
            Incoming::Message { msg, ack_seq: header.ack_seq }
        }
        Tag::Ack => Incoming::Ack(AckFrame::from_payload(payload)?.0),
        Tag::Keepalive2 => Incoming::Keepalive2(KeepAliveFrame::from_payload(payload)?.0),
        Tag::Keepalive2Ack => Incoming::Keepalive2Ack(KeepAliveFrameAck::from_payload(payload)?.0),
        other => return Err(Fault::UnexpectedTag(other)),
    })
}
