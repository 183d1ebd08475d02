//! Our own dialler against our own accepting side, with something between them; and sockets that are
//! cut anywhere: everything arrives once and in order, in both directions.

use super::dialler::*;
use super::keys::*;
use super::*;
use crate::msgr::Decision;
use crate::types::Tid;

/// Towards the accepting side.
pub(super) const THERE: usize = 0;
/// Towards the dialler.
pub(super) const BACK: usize = 1;

/// Both sides, and the socket between them.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) dialler: Con,
    pub(super) owner: Owner,
    /// A socket that has no session yet.
    socket: Option<Socket>,
    /// What ended the accepting side of the socket, and the dialler's.
    pub(super) faults: [Option<Fault>; 2],
    /// tids of what arrived there, in order.
    pub(super) got: [Vec<u64>; 2],
    messages: u64,
    answered: bool,
}

pub(super) fn numbered(tid: u64) -> Message {
    msg(tid as u8).with_tid(Tid(tid))
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

impl Pair {
    /// Each side has so many messages for the other. A lower nonce than the listener's has the
    /// dialler, so that its attempts win.
    pub(super) fn new(
        listener: Listener,
        peer_type: EntityType,
        policy: Policy,
        shows: Shows,
        options: Options,
        messages: u64,
    ) -> Self {
        let local = Local::new(EntityType::CLIENT, 1, options);
        let name = EntityName::new(peer_type, 3);
        let peer = Peer { name, addr: PEER.parse().unwrap(), policy };
        let mut dialler = Con::new(peer, local, shows);
        (1..=messages).for_each(|tid| {
            dialler.tx.send(numbered(tid));
        });
        Self {
            dialler,
            owner: Owner::new(listener),
            socket: None,
            faults: [None, None],
            got: Default::default(),
            messages,
            answered: false,
        }
    }

    pub(super) fn dial(&mut self) {
        self.faults = [None, None];
        self.dialler.dial();
        self.socket = Some(self.owner.listener.socket());
    }

    /// Whether a session is open, there or here.
    pub(super) fn open(&self) -> [bool; 2] {
        let there = self.owner.con.as_ref().is_some_and(|con| con.state() == ConState::Open);
        [there, self.dialler.state() == ConState::Open]
    }

    /// The accepting side's worker, and its owner.
    fn accept(&mut self) -> Result<(), Fault> {
        while let Some(mut socket) = self.socket.take() {
            let Some(offer) = socket.run(&self.owner.listener)? else {
                self.socket = Some(socket);
                return Ok(());
            };
            self.socket = self.owner.act(socket, offer).1;
        }
        let Some(con) = &mut self.owner.con else { return Ok(()) };
        if !std::mem::replace(&mut self.answered, true) {
            (1..=self.messages).for_each(|tid| {
                con.tx.send(numbered(tid));
            });
        }
        let outcome = con.run();
        collect(con, &mut self.got[0]);
        outcome
    }

    fn work(&mut self, side: usize) {
        if self.faults[side].is_some() {
            return;
        }
        let outcome = match side {
            0 => self.accept(),
            _ => {
                let outcome = self.dialler.run();
                collect(&mut self.dialler, &mut self.got[1]);
                outcome
            }
        };
        self.faults[side] = outcome.err();
    }

    /// The end of the socket at the accepting side.
    fn far_end(&mut self) -> Option<&mut Pipe> {
        match (&mut self.socket, &mut self.owner.con) {
            (Some(socket), _) => Some(&mut socket.pipe),
            (None, Some(con)) => Some(&mut con.pipe),
            (None, None) => None,
        }
    }

    /// Lets bytes pass as `middle` has them, until there are none.
    pub(super) fn settle(&mut self, middle: &mut dyn FnMut(usize, Vec<u8>) -> Vec<u8>) {
        loop {
            self.work(1);
            let out = self.dialler.pipe.take_output();
            let there = middle(THERE, out);
            if let Some(pipe) = self.far_end() {
                pipe.feed(&there);
            }
            self.work(0);
            let out = self.far_end().map(Pipe::take_output).unwrap_or_default();
            let back = middle(BACK, out);
            self.dialler.pipe.feed(&back);
            if there.is_empty() && back.is_empty() {
                return;
            }
        }
    }

    /// Lets so many bytes pass in each direction; true where that was all.
    fn settle_within(&mut self, mut left: [usize; 2]) -> bool {
        let mut whole = true;
        self.settle(&mut |to, mut bytes| {
            whole &= bytes.len() <= left[to];
            bytes.truncate(left[to]);
            left[to] -= bytes.len();
            bytes
        });
        assert_eq!(self.faults, [None, None]);
        whole
    }

    /// The socket is gone; the accepting side finds that out before the next one is there, or not.
    fn cut(&mut self, notices: bool) {
        self.dialler.fault(&Fault::PeerClosed);
        let of_session = self.socket.take().is_none();
        if let Some(con) = &mut self.owner.con
            && of_session
        {
            if notices {
                con.fault(&Fault::PeerClosed);
            }
            con.pipe = Pipe { budget: 0, ..Pipe::default() };
        }
        if self.dialler.state() == ConState::Standby {
            self.dialler.tx.keepalive();
        }
    }

    fn check(&self, row: &str) {
        let all: Vec<_> = (1..=self.messages).collect();
        assert_eq!(self.got, [all.clone(), all], "{row}");
        assert_eq!((self.open(), self.owner.resets), ([true; 2], 0), "{row}");
        let con = self.owner.con.as_ref().unwrap();
        let (a, b) = (&self.dialler.tx.session, &con.tx.session);
        assert_eq!(
            (a.connect_seq, a.client_cookie, a.server_cookie),
            (b.connect_seq, b.client_cookie, b.server_cookie),
            "{row}"
        );
        assert_eq!(self.dialler.tx.con_mode(), con.tx.con_mode(), "{row}");
        for tx in [&self.dialler.tx, &con.tx] {
            let rest = (tx.is_acked(), tx.is_flushed(), tx.queued_bytes());
            assert_eq!(rest, (true, true, 0), "{} of {row}", tx.peer);
            assert_eq!(tx.progress().0, Seq(self.messages), "{row}");
        }
    }
}

/// What both sides promise.
const LOSSLESS: [(Policy, Policy); 3] = [
    (Policy::LOSSLESS_CLIENT, Policy::STATEFUL_SERVER),
    (Policy::LOSSLESS_PEER, Policy::LOSSLESS_PEER),
    (Policy::LOSSLESS_PEER_REUSE, Policy::LOSSLESS_PEER_REUSE),
];

/// A dialler and an MDS, with checksums and without a proof, or sealed.
fn mds_pair((dialler, acceptor): (Policy, Policy), secure: bool, messages: u64) -> Pair {
    let options = Options { supported: LINUX, ..Options::default() };
    let modes: &[ConMode] = if secure { &[ConMode::Secure] } else { &[ConMode::Crc] };
    let options = Options { modes, ..options };
    let listener = Listener::with(EntityType::MDS, acceptor, options);
    let (listener, shows) = match secure {
        true => (listener.auth(service()), shows_ticket(&session_key())),
        false => (listener, Shows::None),
    };
    Pair::new(listener, EntityType::MDS, dialler, shows, options, messages)
}

#[test]
fn with_every_policy_a_few_dozen_messages_go_both_ways() {
    let lossy = [Policy::STATELESS_SERVER, Policy::STATELESS_REGISTERED_SERVER]
        .map(|acceptor| (Policy::LOSSY_CLIENT, acceptor));
    for policies in LOSSLESS.into_iter().chain(lossy) {
        for secure in [false, true] {
            let mut pair = mds_pair(policies, secure, 30);
            pair.dial();
            assert!(pair.settle_within([usize::MAX; 2]));
            pair.check(&format!("{policies:?}"));
        }
    }
}

#[test]
fn a_login_and_messages_with_both_types_of_keys_in_both_modes() {
    for key_type in KEY_TYPES {
        for mon_modes in [&[ConMode::Secure][..], &[ConMode::Crc], &[ConMode::Secure, ConMode::Crc]]
        {
            let (monitor, client) = cephx_monitor(key_type);
            let mon_modes: &'static [ConMode] = mon_modes.to_vec().leak();
            let options = Options { mon_modes, ..Options::default() };
            let policy = Policy::STATELESS_SERVER;
            let listener = Listener::with(EntityType::MON, policy, options).auth(monitor);
            let shows = Shows::Login(client);
            let dialler = Policy::LOSSY_CLIENT;
            let mut pair = Pair::new(listener, EntityType::MON, dialler, shows, options, 5);
            pair.dial();
            assert!(pair.settle_within([usize::MAX; 2]));
            pair.check("a login");
            assert_eq!(pair.dialler.tx.con_mode(), Some(mon_modes[0]));
            assert!(pair.dialler.world.auth.take_login().is_some());
        }
    }
}

/// Bytes that pass of the handshake and the first messages.
fn lengths(policies: (Policy, Policy), secure: bool) -> [usize; 2] {
    let mut pair = mds_pair(policies, secure, 3);
    let mut lengths = [0; 2];
    pair.dial();
    pair.settle(&mut |to, bytes| {
        lengths[to] += bytes.len();
        bytes
    });
    lengths
}

#[test]
fn a_cut_at_every_byte_of_handshake_and_first_messages_loses_nothing() {
    for policies in LOSSLESS {
        for (secure, step) in [(false, 1), (true, 5)] {
            let [there, back] = lengths(policies, secure);
            let there = (0..there).step_by(step).map(|n| [n, usize::MAX]);
            let back = (0..back).step_by(step).map(|n| [usize::MAX, n]);
            for left in there.chain(back) {
                for notices in [true, false] {
                    let row = format!("{left:?} of {policies:?}, {secure} {notices}");
                    let mut pair = mds_pair(policies, secure, 3);
                    pair.dial();
                    if pair.settle_within(left) {
                        // Sealed with another key, and shorter by that.
                        continue;
                    }
                    pair.cut(notices);
                    pair.dial();
                    assert!(pair.settle_within([usize::MAX; 2]), "{row}");
                    pair.check(&row);
                }
            }
        }
    }
}

#[test]
fn sockets_that_are_cut_again_and_again_lose_nothing() {
    for policies in LOSSLESS {
        for seed in 0..120 {
            let row = format!("seed {seed} of {policies:?}");
            let mut random = Random(seed);
            let mut pair = mds_pair(policies, seed % 4 == 0, 30);
            for _ in 0..8 {
                pair.dial();
                pair.settle_within([random.below(3000), random.below(3000)]);
                pair.cut(random.below(2) == 0);
            }
            pair.dial();
            assert!(pair.settle_within([usize::MAX; 2]), "{row}");
            pair.check(&row);
        }
    }
}

/// A lossy session ends with its socket: what arrives is a beginning of what was sent, and the next
/// one begins anew, also where the accepting side still holds on to the last.
#[test]
fn a_lossy_session_that_is_cut_anywhere_makes_way_to_a_new_one() {
    for acceptor in [Policy::STATELESS_SERVER, Policy::STATELESS_REGISTERED_SERVER] {
        let policies = (Policy::LOSSY_CLIENT, acceptor);
        let [there, _] = lengths(policies, false);
        for n in 0..there {
            let row = format!("{n} of {acceptor:?}");
            let mut pair = mds_pair(policies, false, 3);
            pair.dial();
            assert!(!pair.settle_within([n, usize::MAX]), "{row}");
            let got = pair.got[0].len() as u64;
            assert_eq!(pair.got[0], (1..=got).collect::<Vec<_>>(), "{row}");
            pair.cut(n % 2 == 0);
            assert_eq!(pair.dialler.state(), ConState::Closed, "{row}");
            // Another connection of the same process: its global_seq goes on.
            let world = pair.dialler.world;
            let mut next = mds_pair(policies, false, 3);
            next.owner = pair.owner;
            next.dialler.world = world;
            next.dial();
            assert!(next.settle_within([usize::MAX; 2]), "{row}");
            next.check(&row);
        }
    }
}

/// An attempt that was overtaken by a later one finds out by a closed socket.
#[test]
fn an_attempt_of_old_is_closed_in_silence() {
    let mut pair = mds_pair(LOSSLESS[0], false, 1);
    pair.dial();
    assert!(pair.settle_within([usize::MAX; 2]));
    let mut socket = pair.owner.listener.signed();
    let ident = ClientIdent { global_seq: 0, ..ClientIdent::lossless() };
    let offer = socket.ident(&pair.owner.listener, &ident);
    let existing = pair.owner.con.as_ref().unwrap().tx.existing();
    let own = pair.owner.listener.own();
    assert_eq!(offer.decide(Some(&existing), own), Decision::Stale);
    let (decision, socket) = pair.owner.act(socket, offer);
    assert!(decision == Decision::Stale && socket.is_none());
    assert_eq!(pair.open(), [true; 2]);
}
