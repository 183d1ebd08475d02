//! Reading: from bytes to whole things (`read_partial_*`), and from them to events
//! (`process_*`).

use std::sync::Arc;

use bytes::Bytes;

use super::banner::{Hello, check_banner};
use super::wire::{BANNER, ConnectReply, Footer, HELLO_LEN, WireHeader, footer_flag, tag};
use super::{ConState, Context, Event, Rx};
use crate::crc32c::ceph_crc32c;
use crate::denc::Reader;
use crate::limits;
use crate::msgr::{Budget, Fault, Message, Throttle, Transport, Tx};
use crate::types::{EntityAddr, Seq, UTime};

/// What is being read.
#[derive(Debug)]
pub(super) enum ReadState {
    Banner,
    Addrs,
    ConnectReply,
    Authorizer(ConnectReply),
    Seq(ConnectReply),
    PeerSeq,
    Tag,
    Header,
    /// There is no room for this message.
    Throttled(WireHeader),
    Body(Box<Body>),
    Ack,
    Keepalive2,
    Keepalive2Ack,
    Faulted(Fault),
}

/// A message of which the header is there.
#[derive(Debug)]
pub(super) struct Body {
    header: WireHeader,
    /// Front and middle, in one buffer.
    head: Vec<u8>,
    pub(super) data: Vec<u8>,
    budget: Budget,
}

/// One whole thing that the peer sent.
#[derive(Debug)]
pub enum Incoming {
    /// Banner and addresses.
    Hello(Hello),
    /// The answer to a connect message, and the authorizer bytes behind it.
    ConnectReply(ConnectReplyMsg),
    /// The acceptor's in_seq, the second half of a SEQ reply.
    Seq(ConnectReplyMsg, Seq),
    /// A dialler's in_seq, its answer to SEQ.
    PeerSeq(Seq),
    /// A message whose checksums and signature are right.
    Message(Message),
    /// Everything up to this number has arrived.
    Ack(Seq),
    /// The peer wants to know that we are alive, and gets no answer.
    Keepalive,
    /// The peer wants its stamp back.
    Keepalive2(UTime),
    /// Our stamp comes back.
    Keepalive2Ack(UTime),
    /// The peer ends the session.
    Close,
}

/// A connect reply with its authorizer bytes.
#[derive(Debug)]
pub struct ConnectReplyMsg {
    /// The 26 bytes.
    pub reply: ConnectReply,
    /// What followed them: a challenge, or the proof that the acceptor read our authorizer.
    pub authorizer: Vec<u8>,
}

impl Rx {
    /// What the machine waits for, in the words of an error: "no {} in time".
    pub fn awaiting(&self) -> &'static str {
        match self.read {
            ReadState::Banner => "banner",
            ReadState::Addrs => "addresses behind the banner",
            ReadState::ConnectReply => "connect reply",
            ReadState::Authorizer(_) => "authorizer behind the connect reply",
            ReadState::Seq(_) | ReadState::PeerSeq => "sequence number behind SEQ",
            ReadState::Tag => "message",
            ReadState::Header | ReadState::Body(_) => "rest of a message",
            ReadState::Throttled(_) => "room for a message",
            ReadState::Ack | ReadState::Keepalive2 | ReadState::Keepalive2Ack => "rest of a frame",
            ReadState::Faulted(_) => self.awaited,
        }
    }

    /// The next thing is a connect reply.
    pub(super) fn prepare_read_connect(&mut self) {
        self.read = ReadState::ConnectReply;
    }

    /// The next thing is any of an open session.
    pub(super) fn prepare_read_tag(&mut self) {
        self.read = ReadState::Tag;
    }

    /// Reads until one whole thing is there; `None` where the transport has no more for now.
    /// After a fault it is that fault for ever, until the banner of another socket is prepared.
    pub fn read_partial(&mut self, t: &mut impl Transport) -> Result<Option<Incoming>, Fault> {
        let outcome = self.read_one(t);
        if let Err(fault) = &outcome {
            self.read = ReadState::Faulted(fault.clone());
        }
        outcome
    }

    fn read_one(&mut self, t: &mut impl Transport) -> Result<Option<Incoming>, Fault> {
        loop {
            self.awaited = self.awaiting();
            let need = match &mut self.read {
                ReadState::Faulted(fault) => return Err(fault.clone()),
                ReadState::Banner => BANNER.len(),
                ReadState::Addrs => HELLO_LEN - BANNER.len(),
                ReadState::ConnectReply => ConnectReply::LEN,
                ReadState::Authorizer(reply) => reply.authorizer_len as usize,
                ReadState::Seq(_) | ReadState::PeerSeq | ReadState::Ack => 8,
                ReadState::Keepalive2 | ReadState::Keepalive2Ack => 8,
                ReadState::Tag => 1,
                ReadState::Header => WireHeader::LEN,
                ReadState::Throttled(header) => {
                    let header = *header;
                    match self.prepare_read_body(header) {
                        true => continue,
                        false => return Ok(None),
                    }
                }
                ReadState::Body(body) => {
                    let (h, f) = (&body.header, Footer::len(self.features));
                    let head = h.front_len as usize + h.middle_len as usize;
                    if !self.in_buf.fill_segment(&mut body.head, head, t)?
                        || !self.in_buf.fill_segment(&mut body.data, h.data_len as usize, t)?
                    {
                        return Ok(None);
                    }
                    f
                }
            };
            if !self.in_buf.fill(need, t)? {
                // A peer that is none shows it in its first bytes, and need not send more.
                if matches!(self.read, ReadState::Banner) {
                    refuse_other_prefix(self.in_buf.peek())?;
                }
                return Ok(None);
            }
            let done = match std::mem::replace(&mut self.read, ReadState::Tag) {
                ReadState::Banner => self.read_banner()?,
                ReadState::Addrs => Some(self.read_addrs()?),
                ReadState::ConnectReply => self.read_partial_connect()?,
                ReadState::Authorizer(reply) => {
                    let authorizer = self.in_buf.take(need).to_vec();
                    Some(Incoming::ConnectReply(ConnectReplyMsg { reply, authorizer }))
                }
                ReadState::Seq(reply) => {
                    let msg = ConnectReplyMsg { reply, authorizer: Vec::new() };
                    Some(Incoming::Seq(msg, Reader::new(self.in_buf.take(8)).get()?))
                }
                ReadState::PeerSeq => {
                    Some(Incoming::PeerSeq(Reader::new(self.in_buf.take(8)).get()?))
                }
                ReadState::Tag => self.read_tag()?,
                // Goes on, or not, before anything is filled.
                ReadState::Throttled(header) => {
                    self.read = ReadState::Throttled(header);
                    None
                }
                ReadState::Header => self.read_header()?,
                ReadState::Body(body) => Some(self.read_footer(*body)?),
                ReadState::Faulted(fault) => return Err(fault),
                ReadState::Ack => Some(Incoming::Ack(Reader::new(self.in_buf.take(8)).get()?)),
                ReadState::Keepalive2 => {
                    Some(Incoming::Keepalive2(Reader::new(self.in_buf.take(8)).get()?))
                }
                ReadState::Keepalive2Ack => {
                    Some(Incoming::Keepalive2Ack(Reader::new(self.in_buf.take(8)).get()?))
                }
            };
            if done.is_some() {
                return Ok(done);
            }
        }
    }

    fn read_banner(&mut self) -> Result<Option<Incoming>, Fault> {
        check_banner(self.in_buf.take(BANNER.len()))?;
        self.read = ReadState::Addrs;
        Ok(None)
    }

    fn read_addrs(&mut self) -> Result<Incoming, Fault> {
        let mut r = Reader::new(self.in_buf.take(HELLO_LEN - BANNER.len()));
        Ok(Incoming::Hello(Hello {
            peer_addr: EntityAddr::decode_legacy(&mut r)?,
            peer_addr_for_me: EntityAddr::decode_legacy(&mut r)?,
        }))
    }

    fn read_partial_connect(&mut self) -> Result<Option<Incoming>, Fault> {
        let reply = ConnectReply::decode(&mut Reader::new(self.in_buf.take(ConnectReply::LEN)))?;
        if reply.authorizer_len > limits::AUTHORIZER_MAX_LEN {
            return Err(Fault::AuthorizerTooLong(reply.authorizer_len));
        }
        self.read = ReadState::Authorizer(reply);
        Ok(None)
    }

    /// The acceptor's in_seq follows a reply with SEQ.
    pub(super) fn prepare_read_seq(&mut self, reply: ConnectReply) {
        self.read = ReadState::Seq(reply);
    }

    fn read_tag(&mut self) -> Result<Option<Incoming>, Fault> {
        let &[tag] = self.in_buf.take(1) else { return Ok(None) };
        match tag {
            tag::MSG => self.read = ReadState::Header,
            tag::ACK => self.read = ReadState::Ack,
            tag::KEEPALIVE => return Ok(Some(Incoming::Keepalive)),
            tag::KEEPALIVE2 => self.read = ReadState::Keepalive2,
            tag::KEEPALIVE2_ACK => self.read = ReadState::Keepalive2Ack,
            tag::CLOSE => return Ok(Some(Incoming::Close)),
            other => return Err(Fault::BadTag(other)),
        }
        Ok(None)
    }

    fn read_header(&mut self) -> Result<Option<Incoming>, Fault> {
        let header = WireHeader::decode(self.in_buf.take(WireHeader::LEN))?;
        for (segment, len, max) in [
            ("front", header.front_len, limits::MSG_MAX_FRONT_LEN),
            ("middle", header.middle_len, limits::MSG_MAX_MIDDLE_LEN),
            ("data", header.data_len, limits::MSG_MAX_DATA_LEN),
        ] {
            if len > max {
                return Err(Fault::TooLong { segment, len });
            }
        }
        if self.small_only && header.len() > limits::MAX_UNAUTHENTICATED_LEN {
            let len = header.len().try_into().unwrap_or(u32::MAX);
            return Err(Fault::TooLong { segment: "message before a login", len });
        }
        self.prepare_read_body(header);
        Ok(None)
    }

    /// Takes room for a message, and then memory; false where there is no room.
    fn prepare_read_body(&mut self, header: WireHeader) -> bool {
        let budget = match &self.throttle {
            None => Budget::default(),
            Some(throttle) => match throttle.try_get(header.len()) {
                Some(budget) => budget,
                None => {
                    self.read = ReadState::Throttled(header);
                    return false;
                }
            },
        };
        let head = Vec::with_capacity(header.front_len as usize + header.middle_len as usize);
        let data = Vec::with_capacity(header.data_len as usize);
        self.read = ReadState::Body(Box::new(Body { header, head, data, budget }));
        true
    }

    /// The throttle that has no room for the next message, if that is what keeps this side from
    /// reading on.
    pub fn throttled(&self) -> Option<&Arc<Throttle>> {
        self.throttle.as_ref().filter(|_| matches!(self.read, ReadState::Throttled(_)))
    }

    /// How long the message is whose beginning is there, and not its end; 0 where even that is not
    /// known yet.
    pub fn amid_message(&self) -> Option<usize> {
        match &self.read {
            ReadState::Header => Some(0),
            ReadState::Body(body) => Some(body.header.len()),
            _ => None,
        }
    }

    /// The length of the message that is half read, for which it holds room.
    #[cfg(test)]
    pub(crate) fn reading(&self) -> Option<usize> {
        match &self.read {
            ReadState::Body(body) => Some(body.header.len()),
            _ => None,
        }
    }

    /// Whether somebody waits for the room that messages on this connection hold.
    pub fn is_contended(&self) -> bool {
        self.throttle.as_ref().is_some_and(|throttle| throttle.is_contended())
    }

    /// Sets what bounds the messages that were received and are not done with.
    pub fn set_throttle(&mut self, throttle: Option<Arc<Throttle>>) {
        self.throttle = throttle;
    }

    /// Takes, or no longer takes, only small messages: of a peer that may be anyone.
    pub fn set_small_only(&mut self, small_only: bool) {
        self.small_only = small_only;
    }

    fn read_footer(&mut self, body: Body) -> Result<Incoming, Fault> {
        let len = Footer::len(self.features);
        let footer = Footer::decode(self.in_buf.take(len), self.features)?;
        let Body { header, head, data, budget } = body;
        let mut front = Bytes::from(head);
        let middle = front.split_off((header.front_len as usize).min(front.len()));
        let data = Bytes::from(data);
        if footer.flags & footer_flag::COMPLETE == 0 {
            return Err(Fault::Aborted);
        }
        // The flags are not signed, so in a signed session only a crc that is absent excuses.
        let excused = footer.flags & footer_flag::NOCRC != 0
            && (self.signer.is_none() || footer.data_crc == 0);
        let nocrc = !self.crc_data || excused;
        for (segment, bytes, crc, checked) in [
            ("front", &front, footer.front_crc, true),
            ("middle", &middle, footer.middle_crc, true),
            ("data", &data, footer.data_crc, !nocrc),
        ] {
            if checked && ceph_crc32c(0, bytes) != crc {
                return Err(Fault::BadCrc(segment));
            }
        }
        if let Some(signer) = &self.signer {
            signer.check(&header, &footer)?;
        }
        Ok(Incoming::Message(Message { header: header.header, front, middle, data, budget }))
    }

    /// Acts on one thing that the peer sent.
    pub fn process(
        &mut self,
        tx: &mut Tx,
        incoming: Incoming,
        cx: &Context<'_>,
    ) -> Result<Option<Event>, Fault> {
        if tx.is_gated() {
            return Err(Fault::ReplyBeforeRequest);
        }
        // Of READY the peer shows only so that it has reached it.
        tx.session.once_ready |= tx.state == ConState::Open;
        match incoming {
            Incoming::Hello(hello) => {
                self.process_banner(&hello, cx)?;
                self.prepare_write_connect(tx, cx)?;
                self.prepare_read_connect();
                tx.set_state(ConState::V1ConnectMsg);
                Ok(None)
            }
            Incoming::ConnectReply(msg) => self.process_connect(tx, msg, cx),
            Incoming::Seq(msg, seq) => self.process_seq(tx, &msg.reply, seq, cx).map(Some),
            Incoming::PeerSeq(seq) => self.process_peer_seq(tx, seq).map(Some),
            Incoming::Message(msg) => Ok(tx.take(msg)?.map(Event::Message)),
            Incoming::Ack(seq) => {
                log::trace!("{}: < ack {seq}", tx.peer);
                Ok(Some(tx.discard_sent(seq)))
            }
            Incoming::Keepalive => {
                log::trace!("{}: < keepalive", tx.peer);
                Ok(None)
            }
            Incoming::Keepalive2(stamp) => {
                log::trace!("{}: < keepalive2 {stamp}", tx.peer);
                tx.keepalive2_ack_due = Some(stamp);
                Ok(None)
            }
            Incoming::Keepalive2Ack(stamp) => {
                log::trace!("{}: < keepalive2_ack {stamp}", tx.peer);
                Ok(Some(Event::KeepaliveAck(stamp)))
            }
            Incoming::Close => Err(Fault::CloseTag),
        }
    }
}

/// Refuses the beginning of a banner that can no longer become one.
pub(super) fn refuse_other_prefix(start: &[u8]) -> Result<(), Fault> {
    let n = start.len();
    match (BANNER.get(..n), super::wire::BANNER_V2.get(..n)) {
        (Some(v1), _) if start == v1 => Ok(()),
        (_, Some(v2)) if start == v2 && n < 8 => Ok(()),
        _ => check_banner(start),
    }
}
