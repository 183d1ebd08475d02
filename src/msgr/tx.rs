//! The writing half of a connection, and its session: what to write, and in which order
//! (`ceph_con_send`, `try_write`). How it becomes bytes is the protocol's.

use super::out_kvec::Revoked;
use super::session::{Queued, Session, Taken};
use super::{
    ConState, Consequence, Context, Event, Existing, Fault, Message, OutKvec, Peer, Transport, v1,
    v2,
};
use crate::auth::ConMode;
use crate::types::{EntityName, Features, Seq, UTime};

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

/// The writing half, and the session.
#[derive(Debug)]
pub struct Tx {
    pub(super) peer: Peer,
    pub(super) state: ConState,
    pub(crate) session: Session,
    pub(crate) out_kvec: OutKvec,
    pub(super) features: Features,
    /// How frames of messenger v2 are kept from harm, once both sides know each other.
    pub(super) con_mode: Option<ConMode>,
    /// Known once the handshake has come so far, on each socket anew.
    framing: Option<Framing>,
    pub(super) keepalive_due: bool,
    pub(super) keepalive2_ack_due: Option<UTime>,
    /// The peer takes no keepalives.
    pub(super) quiet: bool,
    next_id: u64,
}

/// How what an open session has to say becomes bytes.
#[derive(Debug)]
pub(super) enum Framing {
    V1(v1::Framing),
    V2(v2::Framing),
}

/// A message with its number, on its way into the out buffer.
pub(super) struct Outgoing {
    /// By what the out buffer knows it.
    pub(super) id: u64,
    pub(super) msg: Message,
    /// The last message that was received.
    pub(super) ack_seq: Seq,
    /// Who sends it.
    pub(super) src: EntityName,
}

impl Framing {
    fn message(&mut self, out: &mut OutKvec, mut msg: Outgoing) -> Result<(), Fault> {
        if mutant!(AckTooEarly) {
            msg.ack_seq = msg.ack_seq.next();
        }
        match self {
            Self::V1(framing) => framing.prepare_write_message(out, msg),
            Self::V2(framing) => framing.prepare_write_message(out, msg),
        }
    }

    fn ack(&mut self, out: &mut OutKvec, seq: Seq) -> Result<(), Fault> {
        let seq = if mutant!(AckTooEarly) { seq.next() } else { seq };
        match self {
            Self::V1(_) => {
                v1::prepare_write_ack(out, seq);
                Ok(())
            }
            Self::V2(framing) => framing.prepare_write_ack(out, seq),
        }
    }

    fn keepalive(&mut self, out: &mut OutKvec, now: UTime) -> Result<(), Fault> {
        match self {
            Self::V1(framing) => {
                framing.prepare_write_keepalive(out, now);
                Ok(())
            }
            Self::V2(framing) => framing.prepare_write_keepalive2(out, now),
        }
    }

    fn keepalive2_ack(&mut self, out: &mut OutKvec, stamp: UTime) -> Result<(), Fault> {
        match self {
            Self::V1(_) => {
                v1::prepare_write_keepalive2_ack(out, stamp);
                Ok(())
            }
            Self::V2(framing) => framing.prepare_write_keepalive2_ack(out, stamp),
        }
    }

    /// Whether a message tells the peer what has arrived, so that no ack need go before it.
    fn acks_with_messages(&self) -> bool {
        matches!(self, Self::V2(_))
    }
}

impl Tx {
    /// Of a connection that is to be opened.
    pub(super) fn new(peer: Peer) -> Self {
        Self {
            peer,
            state: ConState::Preopen,
            session: Session::default(),
            out_kvec: OutKvec::default(),
            features: Features::NONE,
            con_mode: None,
            framing: None,
            keepalive_due: false,
            keepalive2_ack_due: None,
            quiet: false,
            next_id: 0,
        }
    }

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

    /// Takes a message back (`ceph_msg_revoke`): it is neither sent nor resent. With messenger v1 one
    /// whose first byte is out already reaches the peer as zeros, incomplete; with v2 it goes out, and
    /// so does one that has been sealed. Returns false for these, and where the message has left this
    /// side wholly.
    pub fn revoke(&mut self, id: MsgId) -> bool {
        match self.out_kvec.revoke(id.0) {
            Revoked::Begun => false,
            unsent => {
                let acks =
                    self.framing.as_ref().is_some_and(|framing| framing.acks_with_messages());
                if unsent == Revoked::Whole && acks && !mutant!(AckLostAtRevoke) {
                    self.session.forget_told();
                }
                self.session.remove(id.0) || unsent != Revoked::Absent
            }
        }
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

    fn has_work(&self) -> bool {
        self.keepalive_due
            || self.keepalive2_ack_due.is_some()
            || !self.session.out_queue.is_empty()
            || self.session.ack_due()
    }

    /// Writes what there is to write; true when all is out, false when the transport would block.
    pub fn try_write(&mut self, t: &mut impl Transport, cx: &Context<'_>) -> Result<bool, Fault> {
        loop {
            if !self.out_kvec.write_to(t)? {
                self.prepare_ahead(cx)?;
                return Ok(false);
            }
            if self.state != ConState::Open || !self.has_work() {
                return Ok(true);
            }
            self.prepare_write(cx)?;
        }
    }

    /// While the peer takes what the transport has, the next frame can be sealed.
    fn prepare_ahead(&mut self, cx: &Context<'_>) -> Result<(), Fault> {
        let sealed = self.con_mode == Some(ConMode::Secure) && self.out_kvec.slots() <= 1;
        if sealed && self.state == ConState::Open && !self.session.out_queue.is_empty() {
            self.prepare_write(cx)?;
        }
        Ok(())
    }

    /// Fills the out buffer: keepalives first, then messages, then an ack of its own.
    fn prepare_write(&mut self, cx: &Context<'_>) -> Result<(), Fault> {
        let Self { framing, out_kvec, session, .. } = self;
        let framing = framing.as_mut().ok_or(Fault::Io(std::io::ErrorKind::NotConnected))?;
        if let Some(stamp) = self.keepalive2_ack_due.take() {
            framing.keepalive2_ack(out_kvec, stamp)?;
        }
        if std::mem::take(&mut self.keepalive_due) {
            framing.keepalive(out_kvec, cx.wall)?;
        }
        let full = out_kvec.len() + COALESCE;
        while out_kvec.len() < full
            && let Some(Queued { id, msg }) = session.pop()
        {
            log::trace!("{}: > {msg:?}", self.peer);
            // An ack that is due goes into the same packet, in front.
            if session.ack_due() && !framing.acks_with_messages() {
                framing.ack(out_kvec, session.tell_in_seq())?;
            }
            let (ack_seq, src) = (session.tell_in_seq(), cx.local.name());
            framing.message(out_kvec, Outgoing { id, msg, ack_seq, src })?;
        }
        if session.ack_due() {
            let seq = session.tell_in_seq();
            log::trace!("{}: > ack {seq}", self.peer);
            framing.ack(out_kvec, seq)?;
        }
        Ok(())
    }

    /// Takes a message that came, unless it came before (`process_message`).
    pub(super) fn take(&mut self, msg: Message) -> Result<Option<Message>, Fault> {
        log::trace!("{}: < {msg:?}", self.peer);
        match self.session.take(msg.header.seq)? {
            Taken::Fresh => Ok(Some(msg)),
            Taken::Old => {
                log::info!("{}: skipped a message that came before: {msg:?}", self.peer);
                Ok(None)
            }
        }
    }

    /// The peer has everything up to `seq`.
    pub(super) fn discard_sent(&mut self, seq: Seq) -> Event {
        self.session.discard_sent(seq);
        Event::Acked(self.session.out_acked)
    }

    /// Whether what is sent is signed (v1).
    #[cfg(test)]
    pub(crate) fn is_signed(&self) -> bool {
        matches!(&self.framing, Some(Framing::V1(framing)) if framing.is_signed())
    }

    /// The handshake has found out how messages are written.
    pub(super) fn set_framing(&mut self, framing: Framing) {
        self.framing = Some(framing);
    }

    /// Whether input must wait: in a handshake nothing is read before everything is written.
    /// While this holds the transport must not be polled for reading.
    pub fn is_gated(&self) -> bool {
        self.state != ConState::Open && !self.out_kvec.is_empty()
    }

    /// The socket is of no use any more: what was half written is dropped, and a session that
    /// survives has its unacknowledged messages in front of the queue again.
    pub(super) fn con_fault(&mut self, fault: &Fault, cx: &Context<'_>) -> Consequence {
        let idle = self.session.is_idle() && !self.keepalive_due;
        let lossy = self.session.lossy;
        let consequence = fault.consequence(self.peer.policy, self.state, lossy, idle);
        match consequence {
            Consequence::Close => log::debug!("{}: {}: {fault}", self.peer, self.state),
            _ => log::warn!("{}: {}: {fault}; {consequence:?}", self.peer, self.state),
        }
        if fault.blames_tickets() {
            cx.auth.invalidate(self.peer.entity_type());
        }
        self.framing = None;
        self.con_mode = None;
        self.out_kvec.reset();
        self.keepalive2_ack_due = None;
        if consequence == Consequence::Close {
            self.close();
            return consequence;
        }
        self.session.requeue();
        self.set_state(match consequence {
            Consequence::Standby => ConState::Standby,
            _ => ConState::Preopen,
        });
        consequence
    }

    /// The session goes on with another socket.
    pub(super) fn prepare_take_over(&mut self, peer: &Peer) {
        log::debug!("{peer}: takes over an accepted socket");
        if !mutant!(OutKvecKeptAtReplace) {
            self.out_kvec.reset();
        }
        self.framing = None;
        self.con_mode = None;
        self.keepalive2_ack_due = None;
        // A kernel client takes neither keepalive of v1 nor that of v2, and cannot be told from other
        // clients.
        self.quiet = peer.name.is_client();
        self.keepalive_due &= !self.quiet;
        self.session.requeue();
        if mutant!(InSeqLostAtReplace) {
            self.session.in_seq = Seq(0);
        }
    }

    /// Where the connection is in its life.
    pub fn state(&self) -> ConState {
        self.state
    }

    pub(super) fn set_state(&mut self, new: ConState) {
        if self.state != new {
            log::debug!("{}: {} -> {new}", self.peer, self.state);
            self.state = new;
        }
    }

    /// What both sides can do, once the session is open.
    pub fn features(&self) -> Features {
        self.features
    }

    /// The mode of a connection of messenger v2, once it is known.
    pub fn con_mode(&self) -> Option<ConMode> {
        self.con_mode
    }

    /// Bytes of messages that wait for the wire or, on a lossless session, for the peer's
    /// acknowledgement.
    pub fn queued_bytes(&self) -> usize {
        self.session.queued_bytes
    }

    /// How many messages [`Self::queued_bytes`] are the bytes of.
    pub fn queued_messages(&self) -> usize {
        self.session.queued_messages()
    }

    /// Whether everything that was sent has been handed to the transport.
    pub fn is_flushed(&self) -> bool {
        self.session.out_queue.is_empty() && self.out_kvec.is_empty()
    }

    /// Whether the peer has acknowledged everything that was sent.
    pub fn is_acked(&self) -> bool {
        self.session.is_idle()
    }

    /// Whether the transport has taken all that was prepared for it.
    pub fn is_unblocked(&self) -> bool {
        self.out_kvec.is_empty()
    }

    /// Whether the transport is to be polled for writing.
    pub fn wants_write(&self) -> bool {
        !self.out_kvec.is_empty() || (self.state == ConState::Open && self.has_work())
    }

    /// Whether the peer can be asked for signs of life.
    pub fn takes_keepalives(&self) -> bool {
        !self.quiet
    }

    /// Whether its silence then means something.
    pub fn answers_keepalives(&self) -> bool {
        let knows = self.con_mode.is_some() || self.features.has(Features::MSGR_KEEPALIVE2);
        knows && self.takes_keepalives()
    }

    /// The number of the last message given to the wire, and the last that the peer acknowledged.
    pub fn progress(&self) -> (Seq, Seq) {
        (self.session.out_seq, self.session.out_acked)
    }

    /// The session as a connect message that claims to continue it finds it. Whether another socket
    /// is about to be taken over, and whose it is, the owner knows.
    pub fn existing(&self) -> Existing {
        Existing {
            state: self.state,
            connect_seq: self.session.connect_seq,
            peer_global_seq: self.session.peer_global_seq,
            client_cookie: self.session.client_cookie,
            server_cookie: self.session.server_cookie,
            lossy: self.session.lossy,
            server: self.peer.policy.server,
            once_ready: self.session.once_ready,
            replacing: false,
        }
    }

    /// Connection is no more; nothing is kept.
    pub fn close(&mut self) {
        self.set_state(ConState::Closed);
        self.session.reset();
        self.out_kvec.reset();
        self.framing = None;
        self.con_mode = None;
        self.keepalive_due = false;
        self.keepalive2_ack_due = None;
    }
}
