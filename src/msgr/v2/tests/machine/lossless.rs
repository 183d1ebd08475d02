//! A lossless session over sockets that are cut anywhere, against an acceptor that keeps the session:
//! nothing is lost, doubled or out of order, in either direction.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::acceptor::Line;
use super::far::*;
use super::*;
use crate::types::Tid;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// We send a message with that much data.
    Send(usize),
    /// The peer does.
    PeerSend(usize),
    /// The peer acknowledges what it has.
    PeerAck,
    Keepalive,
    /// So many bytes of ours reach the peer.
    ToPeer(usize),
    /// So many bytes of the peer's reach us.
    FromPeer(usize),
    /// The socket is gone, with all that is on its way.
    Cut,
    /// The next SESSION_RECONNECT is answered with this.
    Retry(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let size = prop_oneof![3 => 0usize..50, 1 => 0usize..40_000];
    prop_oneof![
        4 => size.clone().prop_map(Op::Send),
        4 => size.clone().prop_map(Op::PeerSend),
        2 => Just(Op::PeerAck),
        1 => Just(Op::Keepalive),
        8 => (1usize..400).prop_map(Op::ToPeer),
        2 => size.clone().prop_map(Op::ToPeer),
        8 => (1usize..400).prop_map(Op::FromPeer),
        2 => size.prop_map(Op::FromPeer),
        2 => Just(Op::Cut),
        1 => Just(Op::Retry(SESSION_RETRY)),
        1 => Just(Op::Retry(SESSION_RETRY_GLOBAL)),
    ]
}

/// A session that both ends have, and how many messages this one has sent.
struct Run {
    line: Line,
    sent: u64,
}

impl Run {
    fn new(form: (u8, ConMode)) -> Self {
        let mut line = Line::new(Scenario::lossless().form(form));
        assert!(line.settle(|| usize::MAX).unwrap());
        line.con.pipe.budget = 0;
        Self { line, sent: 0 }
    }

    fn op(&mut self, op: Op) {
        let Line { con, acceptor, .. } = &mut self.line;
        match op {
            Op::Send(len) => {
                self.sent += 1;
                let data = vec![self.sent as u8; len];
                con.tx.send(msg(7).with_data(data).with_tid(Tid(self.sent)));
            }
            Op::PeerSend(len) => acceptor.send(len),
            Op::PeerAck => acceptor.ack(),
            Op::Keepalive => con.tx.keepalive(),
            Op::ToPeer(n) => {
                // What the transport takes is what arrives: the rest waits in the machine.
                con.pipe.budget = n;
                self.work();
                let Line { con, acceptor, .. } = &mut self.line;
                acceptor.hear(&con.pipe.take_output());
                con.pipe.budget = 0;
            }
            Op::FromPeer(n) => {
                let n = n.min(acceptor.output.len());
                let bytes: Vec<u8> = acceptor.output.drain(..n).collect();
                con.pipe.feed(&bytes);
                self.work();
            }
            Op::Cut => {
                if !matches!(con.state(), ConState::Preopen | ConState::Standby) {
                    con.fault(&Fault::PeerClosed);
                    con.pipe = Pipe { budget: 0, ..Pipe::default() };
                    acceptor.cut();
                }
            }
            Op::Retry(tag) => acceptor.retry = Some(tag),
        }
        if self.line.con.state() == ConState::Preopen {
            self.line.dial();
            self.line.con.pipe.budget = 0;
        }
    }

    /// The worker's loop; the only fault in this world is the cut.
    fn work(&mut self) {
        self.line.con.run().unwrap();
        for event in self.line.con.take_events() {
            match &event {
                Event::Message(m) => {
                    assert!(m.data.iter().all(|b| *b == m.header.tid.0 as u8));
                    self.line.events.push(event);
                }
                Event::RemoteReset => panic!("a reset"),
                _ => {}
            }
        }
    }

    fn check(mut self) {
        // A session in standby wakes when there is something to say, and the peer is heard then.
        self.op(Op::Keepalive);
        for acked in [false, true] {
            if acked {
                self.op(Op::PeerAck);
            }
            for _ in 0..30 {
                self.op(Op::ToPeer(1 << 30));
                self.op(Op::FromPeer(1 << 30));
            }
        }
        let Line { con, acceptor, .. } = &self.line;
        assert_eq!(con.state(), ConState::Open);
        assert_eq!(acceptor.received, (1..=self.sent).collect::<Vec<_>>());
        assert_eq!(self.line.got(), (1..=acceptor.out_seq).collect::<Vec<_>>());
        assert!(con.tx.session.is_idle() && con.tx.is_flushed() && acceptor.is_acked());
        assert_eq!(con.tx.progress(), (Seq(self.sent), Seq(self.sent)));
        assert_eq!(con.tx.queued_bytes(), 0);
        assert_eq!(u64::from(con.tx.session.connect_seq.0), acceptor.connect_seq);
    }
}

#[test]
fn nothing_is_lost_doubled_or_reordered() {
    for form in FORMS {
        let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
        // The same cases in each run.
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let run = |ops: Vec<Op>| {
            let mut run = Run::new(form);
            ops.into_iter().for_each(|op| run.op(op));
            run.check();
            Ok(())
        };
        let ops = prop::collection::vec(op(), 0..80);
        if let Err(e) = TestRunner::new_with_rng(config, rng).run(&ops, run) {
            panic!("{form:?}: {e}");
        }
    }
}
