//! What survives a fault: the queues, and the numbers that both ends agree on.

use std::collections::VecDeque;

use super::{Budget, Fault, Message};
use crate::limits;
use crate::types::{ConnectSeq, GlobalSeq, Seq};

/// A message that waits or is unacknowledged, with the id by which it can be revoked.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) id: u64,
    pub(crate) msg: Message,
}

/// What the receiver does with a message's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is the next one.
    Fresh,
    /// It came before: skip it and go on.
    Old,
}

/// One end of a session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Messages that are not on the wire yet. Those that carry a number were there before.
    pub(crate) out_queue: VecDeque<Queued>,
    /// Messages of a lossless session that are written and not acknowledged.
    pub(crate) out_sent: VecDeque<Queued>,
    /// Bytes of the messages in both: what a peer that takes or acknowledges nothing costs.
    pub(crate) queued_bytes: usize,
    /// Number of the last message that was given one.
    pub(crate) out_seq: Seq,
    /// Number of the last message taken.
    pub(crate) in_seq: Seq,
    /// The last number that the peer was told of.
    pub(crate) in_seq_acked: Seq,
    /// The last number that the peer acknowledged.
    pub(crate) out_acked: Seq,
    pub(crate) connect_seq: ConnectSeq,
    pub(crate) peer_global_seq: GlobalSeq,
    /// Names the dialler's end of the session, as long as it lives (v2); 0 before.
    pub(crate) client_cookie: u64,
    /// Names the accepting side's end (v2); while it is 0 there is no session to come back to.
    pub(crate) server_cookie: u64,
    /// `LOSSYTX`: the acceptor decided that this session does not survive a fault.
    pub(crate) lossy: bool,
    /// A number that leaves a gap is taken: a kernel client that revokes messages makes them.
    pub(crate) gaps: bool,
    /// Both ends have known the session to be open. Before, a dialler that begins with connect_seq
    /// 0 has not lost it: it has never heard of it.
    pub(crate) once_ready: bool,
}

impl Session {
    pub(crate) fn push(&mut self, mut queued: Queued) {
        self.queued_bytes += queued.msg.len();
        // A message that is passed on no longer weighs on the side that received it: the peer's
        // acks, behind which it would be released, may wait for that very room.
        queued.msg.budget = Budget::default();
        self.out_queue.push_back(queued);
    }

    /// The next message for the wire, with its number. A lossless session keeps a copy, which
    /// shares the segments.
    pub(crate) fn pop(&mut self) -> Option<Queued> {
        let mut queued = self.out_queue.pop_front()?;
        if queued.msg.header.seq == Seq(0) {
            self.out_seq = self.out_seq.next();
            queued.msg.header.seq = self.out_seq;
        }
        if self.lossy || mutant!(OutSentNotKept) {
            self.queued_bytes -= queued.msg.len();
        } else {
            self.out_sent.push_back(queued.clone());
        }
        Some(queued)
    }

    /// Forgets a message that was never on the wire.
    pub(crate) fn unqueue(&mut self, id: u64) {
        let unsent = |q: &Queued| q.id == id && q.msg.header.seq == Seq(0);
        if let Some(i) = self.out_queue.iter().position(unsent)
            && let Some(q) = self.out_queue.remove(i)
        {
            self.queued_bytes -= q.msg.len();
        }
    }

    /// Forgets a message: it is neither sent nor resent.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let queues = [&mut self.out_queue, &mut self.out_sent];
        for queue in queues.into_iter().take(if mutant!(RevokeForgetsOutSent) { 1 } else { 2 }) {
            if let Some(i) = queue.iter().position(|q| q.id == id)
                && let Some(q) = queue.remove(i)
            {
                self.queued_bytes -= q.msg.len();
                return true;
            }
        }
        false
    }

    /// The peer has everything up to `seq` (`ceph_con_discard_sent`).
    pub(crate) fn discard_sent(&mut self, seq: Seq) {
        while let Some(q) = self.out_sent.front()
            && seq.ahead_of(q.msg.header.seq) >= 0
        {
            self.queued_bytes -= q.msg.len();
            self.out_sent.pop_front();
        }
        // Where no SEQ came, what waits to be sent again may have arrived the first time: the peer
        // would skip it, and not acknowledge it once more.
        while self.out_sent.is_empty()
            && let Some(q) = self.out_queue.front()
            && q.msg.header.seq != Seq(0)
            && seq.ahead_of(q.msg.header.seq) >= 0
        {
            self.queued_bytes -= q.msg.len();
            self.out_queue.pop_front();
        }
        self.acked(seq);
    }

    /// The peer had everything up to `seq` when it lost the last socket
    /// (`ceph_con_discard_requeued`). What it lacks gets the numbers that follow, which are those
    /// it had but for a message that was revoked: the kernel takes no gap.
    pub(crate) fn discard_requeued(&mut self, seq: Seq) -> Result<(), Fault> {
        // It may be more than was sent, where a reset was heard on one side alone, but no session
        // comes so far that the numbers after it are at their end.
        if seq.0 > limits::MAX_SEQ {
            return Err(Fault::BadSeq(seq.0));
        }
        while let Some(q) = self.out_queue.front() {
            let lacks = seq.ahead_of(q.msg.header.seq) < 0 || mutant!(SeqTrimsNothing);
            if q.msg.header.seq == Seq(0) || lacks {
                break;
            }
            self.queued_bytes -= q.msg.len();
            self.out_queue.pop_front();
        }
        // A peer that has lost its session has less now than it acknowledged.
        self.out_acked = seq.min(self.out_seq);
        self.out_seq = seq;
        self.renumber();
        Ok(())
    }

    /// Numbers what was on the wire already anew, from the number that follows `out_seq`.
    fn renumber(&mut self) {
        for q in self.out_queue.iter_mut().take_while(|q| q.msg.header.seq != Seq(0)) {
            self.out_seq = self.out_seq.next();
            q.msg.header.seq = self.out_seq;
        }
    }

    /// A new session has what waits of the old one: the peer has nothing of it, and both sides count
    /// from 1. Everything unacknowledged is in front of the queue already.
    pub(crate) fn begin_anew(&mut self) {
        self.out_seq = Seq(0);
        self.renumber();
        if !mutant!(InSeqKeptAnew) {
            self.in_seq = Seq(0);
        }
        (self.in_seq_acked, self.out_acked) = (Seq(0), Seq(0));
        self.connect_seq = ConnectSeq(0);
        self.once_ready = false;
    }

    /// A peer cannot have what was never sent: a number beyond our last counts as that one.
    fn acked(&mut self, seq: Seq) {
        let seq = if seq.ahead_of(self.out_seq) > 0 { self.out_seq } else { seq };
        if seq.ahead_of(self.out_acked) > 0 {
            self.out_acked = seq;
        }
    }

    /// The socket is gone: puts what is not acknowledged in front of what waits. Our own acks may
    /// be lost with it, and are due again where no SEQ tells the number: nothing else would make
    /// the peer forget what it sends twice.
    pub(crate) fn requeue(&mut self) {
        if mutant!(RequeueSkipped) {
            return;
        }
        self.forget_told();
        while let Some(q) = self.out_sent.pop_back() {
            self.out_queue.push_front(q);
        }
    }

    /// Looks at the number of a message that came, and takes it.
    pub(crate) fn take(&mut self, seq: Seq) -> Result<Taken, Fault> {
        match seq.ahead_of(self.in_seq) {
            ..1 => Ok(Taken::Old),
            1 => {
                self.in_seq = seq;
                Ok(Taken::Fresh)
            }
            _ if self.gaps => {
                log::debug!("messages {} to before {seq} are missing", self.in_seq.next());
                self.in_seq = seq;
                Ok(Taken::Fresh)
            }
            _ => Err(Fault::OutOfOrder { want: self.in_seq.next(), got: seq }),
        }
    }

    /// This side has opened the session, without a word from the peer that it has heard of that.
    pub(crate) fn is_unheard_of(&self) -> bool {
        !self.once_ready && self.connect_seq.0 > 0
    }

    /// Whether a message was taken that the peer has not been told of.
    pub(crate) fn ack_due(&self) -> bool {
        !self.lossy && self.in_seq.ahead_of(self.in_seq_acked) > 0
    }

    /// What the peer is to be told that it need not send again.
    pub(crate) fn tell_in_seq(&mut self) -> Seq {
        self.in_seq_acked = self.in_seq;
        self.in_seq
    }

    /// What the peer was told may not arrive: it is due again.
    pub(crate) fn forget_told(&mut self) {
        self.in_seq_acked = Seq(0);
    }

    /// How many messages wait or are unacknowledged.
    pub(crate) fn queued_messages(&self) -> usize {
        self.out_queue.len() + self.out_sent.len()
    }

    /// Whether there is anything that the peer has to get.
    pub(crate) fn is_idle(&self) -> bool {
        self.out_queue.is_empty() && self.out_sent.is_empty()
    }

    /// Forgets the session: what was queued is lost, and the numbers begin anew
    /// (`ceph_con_reset_session`).
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(id: u64) -> Queued {
        Queued { id, msg: Message::new(2, vec![0; 10]) }
    }

    fn seqs(q: &VecDeque<Queued>) -> Vec<u64> {
        q.iter().map(|q| q.msg.header.seq.0).collect()
    }

    #[test]
    fn a_number_is_given_on_the_way_out_and_kept_on_the_second() {
        let mut s = Session::default();
        (1..=3).for_each(|id| s.push(queued(id)));
        assert_eq!(s.queued_bytes, 30);
        assert_eq!(s.pop().unwrap().msg.header.seq, Seq(1));
        assert_eq!(s.pop().unwrap().msg.header.seq, Seq(2));
        s.requeue();
        assert_eq!((seqs(&s.out_queue), s.queued_bytes), (vec![1, 2, 0], 30));
        s.discard_requeued(Seq(1)).unwrap();
        assert_eq!(s.pop().unwrap().msg.header.seq, Seq(2));
        assert_eq!(s.pop().unwrap().msg.header.seq, Seq(3));
        assert_eq!((seqs(&s.out_sent), s.queued_bytes), (vec![2, 3], 20));
        s.discard_sent(Seq(3));
        assert_eq!((seqs(&s.out_sent), s.queued_bytes), (vec![], 0));
    }

    #[test]
    fn seq_trims_only_what_was_on_the_wire() {
        let mut s = Session::default();
        s.push(queued(1));
        s.discard_requeued(Seq(9)).unwrap();
        assert_eq!(s.out_queue.len(), 1);
        let far = Seq(u64::MAX);
        assert_eq!(s.discard_requeued(far), Err(Fault::BadSeq(far.0)), "0 would be the next");
        assert_eq!(s.pop().unwrap().msg.header.seq, Seq(10));
    }

    /// Without a reset that anybody would hear of, where there is no `resetcheck`.
    #[test]
    fn a_peer_that_has_less_than_it_acknowledged_counts_anew() {
        let mut s = Session::default();
        (1..=3).for_each(|id| s.push(queued(id)));
        while s.pop().is_some() {}
        s.discard_sent(Seq(2));
        s.requeue();
        s.discard_requeued(Seq(0)).unwrap();
        assert_eq!((seqs(&s.out_queue), s.out_acked), (vec![1], Seq(0)));
        s.pop();
        s.discard_sent(Seq(1));
        assert_eq!((s.out_seq, s.out_acked), (Seq(1), Seq(1)));
    }

    #[test]
    fn an_ack_frees_everything_up_to_it() {
        let mut s = Session::default();
        (1..=3).for_each(|id| s.push(queued(id)));
        while s.pop().is_some() {}
        s.discard_sent(Seq(2));
        assert_eq!((seqs(&s.out_sent), s.out_acked), (vec![3], Seq(2)));
        s.discard_sent(Seq(1));
        assert_eq!((seqs(&s.out_sent), s.out_acked), (vec![3], Seq(2)));
    }

    #[test]
    fn an_ack_frees_what_waits_to_be_sent_again() {
        let mut s = Session::default();
        (1..=3).for_each(|id| s.push(queued(id)));
        s.pop();
        s.pop();
        s.requeue();
        s.discard_sent(Seq(1));
        assert_eq!((seqs(&s.out_queue), s.queued_bytes), (vec![2, 0], 20));
        s.discard_sent(Seq(9));
        assert_eq!((seqs(&s.out_queue), s.queued_bytes), (vec![0], 10));
    }

    #[test]
    fn a_lossy_session_keeps_no_copy_and_owes_no_ack() {
        let mut s = Session { lossy: true, ..Session::default() };
        s.push(queued(1));
        s.pop();
        s.take(Seq(1)).unwrap();
        assert!(s.out_sent.is_empty() && !s.ack_due());
    }

    #[test]
    fn an_old_number_is_skipped_and_a_gap_refused() {
        let mut s = Session::default();
        assert_eq!(s.take(Seq(1)), Ok(Taken::Fresh));
        assert_eq!(s.take(Seq(1)), Ok(Taken::Old));
        assert_eq!(s.take(Seq(0)), Ok(Taken::Old));
        assert_eq!(s.take(Seq(3)), Err(Fault::OutOfOrder { want: Seq(2), got: Seq(3) }));
        assert_eq!(s.take(Seq(2)), Ok(Taken::Fresh));
        assert!(s.ack_due());
    }

    #[test]
    fn only_what_was_never_on_the_wire_is_taken_back_in_silence() {
        let mut s = Session::default();
        (1..=3).for_each(|id| s.push(queued(id)));
        s.pop();
        s.requeue();
        s.unqueue(1);
        s.unqueue(2);
        assert_eq!((seqs(&s.out_queue), s.queued_bytes), (vec![1, 0], 20));
    }

    #[test]
    fn a_message_is_removed_wherever_it_waits() {
        let mut s = Session::default();
        (1..=3).for_each(|id| s.push(queued(id)));
        s.pop();
        assert!(s.remove(1) && s.remove(3) && !s.remove(9));
        assert_eq!((s.out_sent.len(), s.out_queue.len(), s.queued_bytes), (0, 1, 10));
    }
}
