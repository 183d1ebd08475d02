//! Our own dialler against our own accepting side, over sockets that are cut anywhere: everything
//! arrives once and in order, in both directions.

use super::accept_auth::{ROTATING_SECRET, keys, sealed, strict};
use super::acceptor::READY;
use super::dialler::*;
use super::*;
use crate::types::Tid;

/// Messages in each direction.
const MESSAGES: u64 = 30;
/// Bytes of the hello, the first connect message, and the first messages of the dialler.
const TO_ACCEPTOR: usize = 145 + 33 + 8 + 200;
/// The same of the accepting side.
const TO_DIALLER: usize = 281 + 26 + 8 + 200;

/// What both sides promise, and what they can.
#[derive(Clone, Copy, Debug)]
struct Terms {
    dialler: Policy,
    acceptor: Policy,
    reconnect_seq: bool,
    /// The accepting side finds out that a socket is gone before the next one is there.
    notices: bool,
}

fn lossless() -> Vec<Terms> {
    let mut all = Vec::new();
    for (dialler, acceptor) in [
        (Policy::LOSSLESS_CLIENT, Policy::STATEFUL_SERVER),
        (Policy::LOSSLESS_PEER, Policy::LOSSLESS_PEER),
        (Policy::LOSSLESS_PEER_REUSE, Policy::LOSSLESS_PEER_REUSE),
    ] {
        for (reconnect_seq, notices) in [(true, true), (true, false), (false, true), (false, false)]
        {
            all.push(Terms { dialler, acceptor, reconnect_seq, notices });
        }
    }
    all
}

/// Both sides, and the socket between them.
#[derive(Debug)]
struct Pair {
    terms: Terms,
    dialler: Con,
    owner: Owner,
    /// A socket that has no session yet.
    socket: Option<Socket>,
    /// Bytes that still pass before the socket is cut: to the accepting side, and to the dialler.
    left: [usize; 2],
    answers_queued: bool,
    /// tids of what arrived, in order.
    at_acceptor: Vec<u64>,
    at_dialler: Vec<u64>,
}

fn numbered(tid: u64) -> Message {
    Message::new(42, vec![tid as u8; 3]).with_data(vec![tid as u8; 4]).with_tid(Tid(tid))
}

fn collect(con: &mut Con, into: &mut Vec<u64>) {
    for event in con.take_events() {
        match event {
            Event::Message(m) => into.push(m.header.tid.0),
            Event::RemoteReset => panic!("{}: nobody began anew", con.tx.peer),
            _ => {}
        }
    }
}

/// Lets bytes pass, and tells whether some are lost because the socket is cut.
fn pass(left: &mut usize, bytes: Vec<u8>, to: &mut Pipe) -> bool {
    let n = bytes.len().min(*left);
    *left -= n;
    to.feed(&bytes[..n]);
    n < bytes.len()
}

/// The accepting side's end of the socket.
fn far_end<'a>(socket: &'a mut Option<Socket>, owner: &'a mut Owner) -> &'a mut Pipe {
    match (socket, &mut owner.con) {
        (Some(socket), _) => &mut socket.pipe,
        (None, Some(con)) => &mut con.pipe,
        (None, None) => panic!("nobody holds the socket"),
    }
}

impl Pair {
    fn new(terms: Terms) -> Self {
        let missing = if terms.reconnect_seq {
            Features::NONE
        } else {
            Features(Features::RECONNECT_SEQ.mask)
        };
        let options = Options { supported: LINUX.missing_in(missing), ..Options::default() };
        // A nonce below the listener's, so that this side's attempts win.
        let local = Local::new(EntityType::CLIENT, 1, options);
        let name = EntityName::new(EntityType::MDS, 3);
        let peer = Peer { name, addr: PEER.parse().unwrap(), policy: terms.dialler };
        let (rx, tx) = connection(peer, &local);
        let auth =
            TestAuth { auth: Auth::Absent, asked: Mutex::default(), invalidated: Mutex::default() };
        let world = World { now: Instant::now(), wall: UTime { sec: 5, nsec: 6 }, local, auth };
        let (pipe, peer) = (Pipe::default(), Reply::new(READY));
        let mut dialler = Con { rx, tx, world, pipe, events: Vec::new(), peer };
        (1..=MESSAGES).for_each(|tid| {
            dialler.tx.send(numbered(tid));
        });
        Self {
            terms,
            dialler,
            owner: Owner::new(Listener::new(EntityType::MDS, terms.acceptor)),
            socket: None,
            left: [usize::MAX; 2],
            answers_queued: false,
            at_acceptor: Vec::new(),
            at_dialler: Vec::new(),
        }
    }

    fn dial(&mut self, left: [usize; 2]) {
        self.left = left;
        self.dialler.dial();
        self.socket = Some(self.owner.listener.socket());
    }

    /// What the accepting side's worker and owner do.
    fn work(&mut self) {
        if let Some(mut socket) = self.socket.take() {
            match socket.run(&self.owner.listener).unwrap() {
                None => self.socket = Some(socket),
                Some(offer) => {
                    self.socket = self.owner.act(socket, offer).1;
                    if self.socket.is_some() {
                        return self.work();
                    }
                }
            }
        }
        if self.socket.is_some() {
            return;
        }
        let Some(con) = &mut self.owner.con else { return };
        if !std::mem::replace(&mut self.answers_queued, true) {
            (1..=MESSAGES).for_each(|tid| {
                con.tx.send(numbered(tid));
            });
        }
        con.run().unwrap();
        collect(con, &mut self.at_acceptor);
    }

    /// Lets bytes pass until there are none, or until the socket is cut; false where it is.
    fn settle(&mut self) -> bool {
        loop {
            self.dialler.run().unwrap();
            collect(&mut self.dialler, &mut self.at_dialler);
            let out = self.dialler.pipe.take_output();
            let mut moved = out.len();
            let cut = pass(&mut self.left[0], out, far_end(&mut self.socket, &mut self.owner));
            self.work();
            let out = far_end(&mut self.socket, &mut self.owner).take_output();
            moved += out.len();
            let cut = pass(&mut self.left[1], out, &mut self.dialler.pipe) || cut;
            if cut {
                // What has passed arrives all the same.
                self.dialler.run().unwrap();
                collect(&mut self.dialler, &mut self.at_dialler);
                return false;
            }
            if moved == 0 {
                return true;
            }
        }
    }

    /// The socket is gone.
    fn cut(&mut self) {
        self.dialler.fault(&Fault::PeerClosed);
        let of_session = self.socket.take().is_none();
        if let Some(con) = &mut self.owner.con
            && of_session
        {
            if self.terms.notices {
                con.fault(&Fault::PeerClosed);
            }
            con.pipe = Pipe { budget: 0, ..Pipe::default() };
        }
        if self.dialler.state() == ConState::Standby {
            self.dialler.tx.keepalive();
        }
    }

    fn check(&mut self, row: &str) {
        let all: Vec<_> = (1..=MESSAGES).collect();
        assert_eq!(self.at_acceptor, all, "{row}");
        assert_eq!(self.at_dialler, all, "{row}");
        let con = self.owner.con.as_ref().unwrap();
        assert_eq!((self.dialler.state(), con.state()), (ConState::Open, ConState::Open), "{row}");
        assert_eq!(self.dialler.tx.session.connect_seq, con.tx.session.connect_seq, "{row}");
        let lossy = self.terms.acceptor.lossy;
        for tx in [&self.dialler.tx, &con.tx] {
            let rest = (tx.is_acked(), tx.is_flushed(), tx.queued_bytes());
            assert_eq!(rest, (true, true, 0), "{} of {row}", tx.peer);
            assert_eq!(tx.progress().0, Seq(MESSAGES), "{row}");
            assert!(lossy || tx.progress().1 == Seq(MESSAGES), "{row}");
        }
    }
}

#[test]
fn with_every_policy_a_few_dozen_messages_go_both_ways() {
    let mut all = lossless();
    for acceptor in [Policy::STATELESS_SERVER, Policy::STATELESS_REGISTERED_SERVER] {
        for reconnect_seq in [true, false] {
            let dialler = Policy::LOSSY_CLIENT;
            all.push(Terms { dialler, acceptor, reconnect_seq, notices: true });
        }
    }
    for terms in all {
        let mut pair = Pair::new(terms);
        pair.dial([usize::MAX; 2]);
        assert!(pair.settle());
        pair.check(&format!("{terms:?}"));
    }
}

#[test]
fn a_cut_at_every_byte_of_handshake_and_first_messages_loses_nothing() {
    for terms in lossless() {
        let to_acceptor = (0..TO_ACCEPTOR).map(|n| [n, usize::MAX]);
        let to_dialler = (0..TO_DIALLER).map(|n| [usize::MAX, n]);
        for left in to_acceptor.chain(to_dialler) {
            let row = format!("{left:?} of {terms:?}");
            let mut pair = Pair::new(terms);
            pair.dial(left);
            assert!(!pair.settle(), "{row}");
            pair.cut();
            pair.dial([usize::MAX; 2]);
            assert!(pair.settle(), "{row}");
            pair.check(&row);
        }
    }
}

#[test]
fn sockets_that_are_cut_again_and_again_lose_nothing() {
    for terms in lossless() {
        for seed in 0..60 {
            let row = format!("seed {seed} of {terms:?}");
            let mut random = Random(seed);
            let mut pair = Pair::new(terms);
            for _ in 0..8 {
                pair.dial([random.below(2500), random.below(2500)]);
                pair.settle();
                pair.cut();
            }
            pair.dial([usize::MAX; 2]);
            assert!(pair.settle(), "{row}");
            pair.check(&row);
        }
    }
}

/// With tickets there are two rounds, and each socket has keys of its own.
#[test]
fn with_cephx_a_cut_anywhere_loses_nothing_either() {
    for (key, terms) in keys().into_iter().zip(lossless()) {
        let ticket = sealed("client.admin", &key, ROTATING_SECRET);
        let new = || {
            let mut pair = Pair::new(terms);
            pair.owner.listener = strict();
            pair.dialler.world.auth.auth = Auth::Ticket(ticket.clone(), key.clone());
            pair
        };
        let to_acceptor = (140..900).map(|n| [n, usize::MAX]);
        let to_dialler = (280..600).map(|n| [usize::MAX, n]);
        for left in to_acceptor.chain(to_dialler) {
            let row = format!("{left:?} of {terms:?}");
            let mut pair = new();
            pair.dial(left);
            assert!(!pair.settle(), "{row}");
            pair.cut();
            pair.dial([usize::MAX; 2]);
            assert!(pair.settle(), "{row}");
            pair.check(&row);
            let con = pair.owner.con.as_ref().unwrap();
            assert!(con.rx.signer.is_some() && con.tx.is_signed(), "{row}");
        }
    }
}

/// A lossy session ends with its socket: what arrives is a beginning of what was sent, and the next
/// one begins anew, also where the accepting side still holds on to the last.
#[test]
fn a_lossy_session_that_is_cut_anywhere_makes_way_to_a_new_one() {
    for acceptor in [Policy::STATELESS_SERVER, Policy::STATELESS_REGISTERED_SERVER] {
        for notices in [true, false] {
            for n in 0..TO_ACCEPTOR {
                let terms =
                    Terms { dialler: Policy::LOSSY_CLIENT, acceptor, reconnect_seq: true, notices };
                let row = format!("{n} of {terms:?}");
                let mut pair = Pair::new(terms);
                pair.dial([n, usize::MAX]);
                assert!(!pair.settle(), "{row}");
                let got = pair.at_acceptor.len() as u64;
                assert_eq!(pair.at_acceptor, (1..=got).collect::<Vec<_>>(), "{row}");
                pair.cut();
                assert_eq!(pair.dialler.state(), ConState::Closed, "{row}");
                // Another connection of the same process: its global_seq goes on.
                let world = pair.dialler.world;
                let mut next = Pair::new(terms);
                next.owner = pair.owner;
                next.dialler.world = world;
                next.dial([usize::MAX; 2]);
                assert!(next.settle(), "{row}");
                next.check(&row);
            }
        }
    }
}
