//! Handshakes of messenger v2 that went wrong on the way, from either side: each costs its own socket.
//! No other test in this process has anything that panics.

mod common;

use std::io::Write as _;
use std::net::Shutdown;

use ceph_msgr::msgr::Policy;

use common::acceptor::*;
use common::client::*;
use common::dialler::{TYPE_CLIENT, TYPE_OSD};
use common::frames::*;
use common::logs;
use common::server::*;

const ROUNDS: u64 = 1500;

/// Numbers that look random (xorshift), from a seed that a failure names.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    /// One change: a bit, a number, a frame that is lost, doubled or moved, an end, or more bytes.
    fn change(&mut self, pieces: &mut Vec<Vec<u8>>) {
        let at = self.below(pieces.len());
        let len = pieces[at].len();
        match self.below(9) {
            0 => {
                let byte = self.below(len);
                pieces[at][byte] ^= 1 << self.below(8);
            }
            1 => drop(pieces.remove(at)),
            2 => {
                let again = pieces[at].clone();
                pieces.insert(at, again);
            }
            3 => {
                let other = self.below(pieces.len());
                pieces.swap(at, other);
            }
            4 => pieces[at].truncate(self.below(len)),
            5 => pieces[at].extend((0..self.below(100)).map(|n| n as u8)),
            // Frames whose checksums are right: another tag, another payload.
            6 if at > 0 => {
                let payload = pieces[at][32..len - 4].to_vec();
                pieces[at] = frame(self.below(25) as u8, &[&payload]);
            }
            7 if at > 0 => {
                let (tag, mut payload) = (pieces[at][0], pieces[at][32..len - 4].to_vec());
                let byte = self.below(payload.len());
                payload[byte] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)];
                pieces[at] = frame(tag, &[&payload]);
            }
            8 if at > 0 => {
                let (tag, mut payload) = (pieces[at][0], pieces[at][32..len - 4].to_vec());
                payload.resize(self.below(6000), 0xff);
                pieces[at] = frame(tag, &[&payload]);
            }
            _ => {}
        }
    }
}

#[test]
fn diallers_that_say_something_else_cost_their_sockets_alone() {
    logs::capture(log::LevelFilter::Debug);
    let at = [v2(LOCALHOST)];
    let (_messenger, listener, heards) =
        serve_at(&at, Policy::STATEFUL_SERVER, patient(), |a| a.max_connections = 10_000);
    let at = addr(&listener);
    let whole = {
        let ident = Ident { flags: 0, cookie: 9, ..dial_v2(at).ident(1, 7) };
        let signature = frame(AUTH_SIGNATURE, &[&[0; 32]]);
        [
            BANNER_V2.to_vec(),
            frame(HELLO, &[&hello_v2(TYPE_CLIENT, at)]),
            frame(AUTH_REQUEST, &[&auth_request()]),
            signature,
            frame(CLIENT_IDENT, &[&ident.payload()]),
        ]
    };
    for seed in 1..=ROUNDS {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut pieces = whole.to_vec();
        for _ in 0..=random.below(2) {
            random.change(&mut pieces);
            if pieces.is_empty() || pieces.iter().any(|p| p.len() < 40) {
                break;
            }
        }
        let mut wire = dial_v2(at);
        let message = message_v2(1, 42, b"front", b"");
        // It may be closed by the other side meanwhile.
        let _ = wire.stream.write_all(&pieces.concat());
        let _ = wire.stream.write_all(&message);
        let _ = wire.stream.shutdown(Shutdown::Write);
        wire.wait_closed();
        assert_eq!(logs::count("", "panicked"), 0, "seed {seed}");
    }
    until("nothing is half open", || listener.counts().half_open <= 1);
    // Whatever came of them, it goes on.
    let _ = heards.rest();
    let mut wire = dial_v2(at);
    wire.open_session_v2(99, 7);
    until("it is heard", || heards.rest().iter().any(|h| matches!(h, Heard::Accepted)));
    listener.close(soon()).unwrap();
}

#[test]
fn acceptors_that_say_something_else_end_in_an_error() {
    let messenger = messenger(patient());
    let acceptor = Acceptor::new();
    for seed in 1..=ROUNDS {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (dispatcher, heards) = recorder();
        let peer = acceptor.peer_v2(Policy::LOSSY_CLIENT);
        let con = messenger.connect(peer, auth_none(), dispatcher).unwrap();
        let mut wire = acceptor.accept_v2();
        let ours = wire.stream.peer_addr().unwrap();
        let ident = server_ident(&[addr_v2(acceptor.addr(), 0)], 3, LOSSY, 0);
        let whole = vec![
            BANNER_V2.to_vec(),
            frame(HELLO, &[&hello_v2(TYPE_OSD, ours)]),
            frame(AUTH_DONE, &[&auth_done(4100, CRC)]),
            frame(AUTH_SIGNATURE, &[&[0; 32]]),
            frame(SERVER_IDENT, &[&ident]),
        ];
        let mut pieces = whole.clone();
        random.change(&mut pieces);
        let right = pieces.iter().zip(&whole).take_while(|(piece, whole)| piece == whole).count();
        // Each where its turn is, and all that follows the change at once.
        for (n, piece) in pieces.iter().enumerate() {
            match n {
                0 => assert_eq!(wire.recv(26), BANNER_V2),
                _ if n <= right.min(4) => drop(wire.frame()),
                _ => {}
            }
            // It may be closed by the other side meanwhile.
            if wire.stream.write_all(piece).is_err() {
                break;
            }
        }
        let _ = wire.stream.shutdown(Shutdown::Write);
        let why = loop {
            match heards.next() {
                Heard::Reset(_, why) => break why,
                Heard::Connected => {}
                other => panic!("seed {seed}: {other:?}"),
            }
        };
        assert!(!why.contains("panicked"), "seed {seed}: {why}");
        con.close(soon()).unwrap();
    }
}
