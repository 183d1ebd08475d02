//! A lossless session over sockets that are cut anywhere, against a model of an acceptor that
//! keeps the session: nothing is lost, doubled or out of order, in either direction.

use std::collections::VecDeque;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::acceptor::*;
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
    /// The next connect message is answered with RETRY_GLOBAL.
    RetryGlobal,
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
        1 => Just(Op::RetryGlobal),
    ]
}

/// What the acceptor reads next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    /// Nothing: there is no socket.
    Nothing,
    Hello,
    Connect,
    Seq,
    Frame,
}

/// The accepting end: what the tables of the protocol say, and no more.
#[derive(Debug)]
struct Acceptor {
    /// SEQ where true; READY, after which everything is sent again, where not.
    reconnect_seq: bool,
    connect_seq: u32,
    peer_global_seq: u32,
    in_seq: u64,
    out_seq: u64,
    unacked: VecDeque<(u64, Vec<u8>)>,
    received: Vec<u64>,
    retry_global: bool,
    next: Next,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Acceptor {
    fn new(reconnect_seq: bool) -> Self {
        Self {
            reconnect_seq,
            connect_seq: 0,
            peer_global_seq: 0,
            in_seq: 0,
            out_seq: 0,
            unacked: VecDeque::new(),
            received: Vec::new(),
            retry_global: false,
            next: Next::Hello,
            input: Vec::new(),
            output: hello(),
        }
    }

    fn new_socket(&mut self) {
        self.next = Next::Hello;
        self.output = hello();
    }

    fn cut(&mut self) {
        self.next = Next::Nothing;
        self.input.clear();
        self.output.clear();
    }

    fn send(&mut self, len: usize) {
        self.out_seq += 1;
        let seq = self.out_seq;
        let bytes = Msg { tid: seq, data: vec![seq as u8; len], ..Msg::new(seq) }.bytes(true);
        if self.next == Next::Frame {
            self.output.extend(&bytes);
        }
        self.unacked.push_back((seq, bytes));
    }

    fn ack(&mut self) {
        if self.next == Next::Frame {
            self.output.push(8);
            self.output.extend(self.in_seq.to_le_bytes());
        }
    }

    fn trim(&mut self, seq: u64) {
        assert!(seq <= self.out_seq, "ack {seq} of {}", self.out_seq);
        self.unacked.retain(|(n, _)| *n > seq);
    }

    fn open(&mut self) {
        self.next = Next::Frame;
        self.unacked.iter().for_each(|(_, bytes)| self.output.extend(bytes));
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        let left = match self.next {
            Next::Nothing => return false,
            Next::Hello => {
                let Some(rest) = self.input.get(145..) else { return false };
                assert!(self.input.starts_with(b"ceph v027"));
                self.next = Next::Connect;
                rest.to_vec()
            }
            Next::Connect => {
                let Some((request, rest)) = Request::try_parse(&self.input) else { return false };
                let rest = rest.to_vec();
                assert!(rest.is_empty(), "bytes behind a connect message");
                self.connect(&request);
                rest
            }
            Next::Seq => {
                let Some((seq, rest)) = self.input.split_at_checked(8) else { return false };
                let (seq, rest) = (u64::from_le_bytes(seq.try_into().unwrap()), rest.to_vec());
                self.trim(seq);
                self.open();
                rest
            }
            Next::Frame => {
                let Some((frame, rest)) = parse_frame(&self.input, true) else { return false };
                let rest = rest.to_vec();
                self.frame(frame);
                rest
            }
        };
        self.input = left;
        true
    }

    fn connect(&mut self, request: &Request) {
        assert!(request.global_seq > self.peer_global_seq, "a number of old");
        self.peer_global_seq = request.global_seq;
        let reply = if std::mem::take(&mut self.retry_global) {
            Reply::new(RETRY_GLOBAL).global_seq(request.global_seq + 3)
        } else if request.connect_seq <= self.connect_seq && self.connect_seq > 0 {
            Reply::new(RETRY_SESSION).connect_seq(self.connect_seq + 1)
        } else {
            self.connect_seq = request.connect_seq + 1;
            let tag = if self.reconnect_seq { SEQ } else { READY };
            Reply::new(tag).connect_seq(self.connect_seq).in_seq(self.in_seq)
        };
        self.output.extend(reply.bytes());
        match reply.tag {
            SEQ => self.next = Next::Seq,
            READY => self.open(),
            _ => {}
        }
    }

    fn frame(&mut self, frame: Frame) {
        match frame {
            Frame::Msg(m) if m.seq <= self.in_seq && !self.reconnect_seq => {}
            Frame::Msg(m) => {
                assert_eq!(m.seq, self.in_seq + 1, "doubled, or a gap");
                self.in_seq = m.seq;
                self.received.push(m.tid);
            }
            Frame::Ack(seq) => self.trim(seq),
            Frame::Keepalive2(sec, nsec) => {
                self.output.push(15);
                self.output.extend([sec.to_le_bytes(), nsec.to_le_bytes()].concat());
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Both ends, and what is between them.
#[derive(Debug)]
struct Pair {
    con: Con,
    acceptor: Acceptor,
    sent: u64,
    received: Vec<u64>,
}

impl Pair {
    fn new(reconnect_seq: bool) -> Self {
        let con = Scenario::lossless().until(ConState::V1Banner);
        let mut pair =
            Self { con, acceptor: Acceptor::new(reconnect_seq), sent: 0, received: Vec::new() };
        // From here on both have the session; before, a cut leaves the acceptor with one that
        // the client does not know of, which is a reset and no reconnect.
        pair.settle();
        pair
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Send(len) => {
                self.sent += 1;
                let data = vec![self.sent as u8; len];
                self.con
                    .tx
                    .send(Message::new(42, vec![7; 3]).with_data(data).with_tid(Tid(self.sent)));
            }
            Op::PeerSend(len) => self.acceptor.send(len),
            Op::PeerAck => self.acceptor.ack(),
            Op::Keepalive => self.con.tx.keepalive(),
            Op::ToPeer(n) => {
                // What the transport takes is what arrives: the rest waits in the machine.
                self.con.pipe.budget = n;
                self.work();
                let bytes = self.con.pipe.take_output();
                self.acceptor.receive(&bytes);
                self.con.pipe.budget = 0;
            }
            Op::FromPeer(n) => {
                let n = n.min(self.acceptor.output.len());
                let bytes: Vec<u8> = self.acceptor.output.drain(..n).collect();
                self.con.pipe.feed(&bytes);
                self.work();
            }
            Op::Cut => {
                if !matches!(self.con.state(), ConState::Preopen | ConState::Standby) {
                    self.con.fault(&Fault::PeerClosed);
                    self.con.pipe = Pipe { budget: 0, ..Pipe::default() };
                    self.acceptor.cut();
                }
            }
            Op::RetryGlobal => self.acceptor.retry_global = true,
        }
        if self.con.state() == ConState::Preopen {
            self.acceptor.new_socket();
            self.con.dial();
            self.con.pipe.budget = 0;
        }
    }

    /// The worker's loop; the only fault in this world is the cut.
    fn work(&mut self) {
        self.con.run().unwrap();
        for event in self.con.take_events() {
            match event {
                Event::Message(m) => {
                    assert!(m.data.iter().all(|b| *b == m.header.tid.0 as u8));
                    self.received.push(m.header.tid.0);
                }
                Event::RemoteReset => panic!("a reset"),
                _ => {}
            }
        }
    }

    /// Lets everything that is on its way arrive.
    fn settle(&mut self) {
        loop {
            let before = (self.sent, self.received.len(), self.acceptor.received.len());
            let mut moved = false;
            for _ in 0..20 {
                self.run(Op::ToPeer(1 << 30));
                moved |= !self.acceptor.output.is_empty();
                self.run(Op::FromPeer(1 << 30));
            }
            let after = (self.sent, self.received.len(), self.acceptor.received.len());
            if before == after && (!moved || self.con.state() == ConState::Open) {
                return;
            }
        }
    }

    fn check(mut self) {
        // A session in standby wakes when there is something to say, and the peer is heard then.
        self.run(Op::Keepalive);
        self.settle();
        self.run(Op::PeerAck);
        self.settle();
        assert_eq!(self.con.state(), ConState::Open);
        assert_eq!(self.acceptor.received, (1..=self.sent).collect::<Vec<_>>());
        assert_eq!(self.received, (1..=self.acceptor.out_seq).collect::<Vec<_>>());
        assert!(self.con.tx.session.is_idle() && self.con.tx.is_flushed());
        assert_eq!(self.con.tx.progress(), (Seq(self.sent), Seq(self.sent)));
        assert_eq!(self.con.tx.queued_bytes(), 0);
        if self.acceptor.reconnect_seq {
            assert!(self.acceptor.unacked.is_empty(), "all was acknowledged to the peer");
        }
    }
}

fn holds(reconnect_seq: bool) {
    let config = Config { cases: 128, failure_persistence: None, ..Config::default() };
    // The same cases in each run.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let run = |ops: Vec<Op>| {
        let mut pair = Pair::new(reconnect_seq);
        ops.into_iter().for_each(|op| pair.run(op));
        pair.check();
        Ok(())
    };
    let ops = prop::collection::vec(op(), 0..80);
    if let Err(e) = TestRunner::new_with_rng(config, rng).run(&ops, run) {
        panic!("{e}");
    }
}

#[test]
fn nothing_is_lost_doubled_or_reordered_with_seq() {
    holds(true);
}

#[test]
fn nothing_is_lost_doubled_or_reordered_with_ready() {
    holds(false);
}
