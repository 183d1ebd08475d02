//! A man in the middle of our own two machines, who changes what he likes and mends the checksums:
//! no message of it arrives, and nothing opens that is worth less than what both sides wanted.

use super::dialler::*;
use super::far::*;
use super::keys::*;
use super::pair::*;
use super::sheets::*;
use super::*;
use crate::crypto::KeyType;

const MESSAGES: u64 = 4;
/// AUTH_SIGNATURE, sealed.
const SIGNATURE: usize = 96;
const NOTHING: [Vec<u64>; 2] = [vec![], vec![]];

/// How the two sides know each other.
#[derive(Clone, Debug)]
enum Terms {
    /// A ticket for an MDS.
    Ticket(CryptoKey),
    /// A login at a monitor.
    Login(KeyType),
    /// The same where both would do without a proof.
    Lax(KeyType),
}

fn terms() -> Vec<Terms> {
    let tickets = session_keys().map(Terms::Ticket);
    tickets.into_iter().chain(KEY_TYPES.map(Terms::Login)).collect()
}

/// Both sides prefer what is sealed, and allow checksums.
fn pair(terms: &Terms) -> Pair {
    with_modes(terms, &[ConMode::Secure, ConMode::Crc])
}

fn with_modes(terms: &Terms, modes: &'static [ConMode]) -> Pair {
    let options = Options { modes, mon_modes: modes, ..Options::default() };
    let mut pair = match terms {
        Terms::Ticket(key) => {
            let listener = Listener::with(EntityType::MDS, Policy::STATEFUL_SERVER, options);
            let (policy, shows) = (Policy::LOSSLESS_CLIENT, shows_ticket(key));
            let listener = listener.auth(service());
            Pair::new(listener, EntityType::MDS, policy, shows, options, MESSAGES)
        }
        Terms::Login(key_type) | Terms::Lax(key_type) => {
            let (monitor, client) = match terms {
                Terms::Lax(_) => lax_monitor(*key_type),
                _ => cephx_monitor(*key_type),
            };
            let listener = Listener::with(EntityType::MON, Policy::STATELESS_SERVER, options);
            let (policy, shows) = (Policy::LOSSY_CLIENT, Shows::Login(client));
            let listener = listener.auth(monitor);
            Pair::new(listener, EntityType::MON, policy, shows, options, MESSAGES)
        }
    };
    pair.dial();
    pair
}

/// Tags and payloads of frames.
type Frames = Vec<(u8, Vec<u8>)>;
/// What he does with a frame in the clear: what passes in its place, and what goes back to its sender.
type Edit<'a> = &'a mut dyn FnMut(usize, &Frame) -> (Frames, Frames);

/// Reads frames in the clear, and writes them anew with right checksums.
struct Middle<'a> {
    /// Of the frames that the accepting side and the dialler write.
    revision: u8,
    buf: [Vec<u8>; 2],
    greeted: [bool; 2],
    /// From here on he lets everything pass.
    sealed: bool,
    /// Goes out with what passes next in that direction.
    behind: [Vec<u8>; 2],
    banner: &'a mut dyn FnMut(usize, Vec<u8>) -> Vec<u8>,
    edit: Edit<'a>,
}

impl Middle<'_> {
    fn pass(&mut self, to: usize, bytes: Vec<u8>) -> Vec<u8> {
        self.buf[to].extend(bytes);
        let mut out = std::mem::take(&mut self.behind[to]);
        if !self.greeted[to] {
            if self.buf[to].len() < BANNER {
                return out;
            }
            self.greeted[to] = true;
            let banner = self.buf[to].drain(..BANNER).collect();
            out.extend((self.banner)(to, banner));
        }
        let put = |out: &mut Vec<u8>, frames: Frames| {
            for (tag, payload) in frames {
                out.extend(Far::new(self.revision, false).frame(tag, &payload));
            }
        };
        while !self.sealed
            && let Some((frame, rest)) = Far::new(self.revision, false).take(&self.buf[to])
        {
            if frame.tag >= MESSAGE {
                // With checksums: what he could do there is not asked here.
                self.sealed = true;
                break;
            }
            let rest = rest.to_vec();
            self.sealed = frame.tag == AUTH_DONE && read_auth_done(frame.payload()).1 == 2;
            let (on, back) = (self.edit)(to, &frame);
            put(&mut out, on);
            put(&mut self.behind[1 - to], back);
            self.buf[to] = rest;
        }
        if self.sealed {
            out.append(&mut self.buf[to]);
        }
        out
    }
}

fn same_banner(_: usize, banner: Vec<u8>) -> Vec<u8> {
    banner
}

/// The two sides talk, through him.
fn attack(
    pair: &mut Pair,
    revision: u8,
    banner: &mut dyn FnMut(usize, Vec<u8>) -> Vec<u8>,
    edit: Edit<'_>,
) {
    let (buf, greeted, behind) = Default::default();
    let mut middle = Middle { revision, buf, greeted, sealed: false, behind, banner, edit };
    pair.settle(&mut |to, bytes| middle.pass(to, bytes));
}

/// Nothing arrived, nothing is open, and somebody knows why.
#[track_caller]
fn caught(pair: &Pair, what: &str) {
    assert_eq!(pair.got, NOTHING, "{what}");
    assert_eq!(pair.open(), [false; 2], "{what}");
    assert!(pair.faults.iter().any(Option::is_some), "{what}");
    assert!(pair.dialler.world.auth.take_login().is_none() || pair.faults[0].is_some(), "{what}");
}

fn as_it_is(frame: &Frame) -> (Frames, Frames) {
    (vec![(frame.tag, frame.payload().to_vec())], vec![])
}

/// Payloads of each frame of the handshake that can be changed, in each direction.
fn lengths(terms: &Terms) -> Vec<(usize, u8, usize)> {
    let (mut pair, mut lengths) = (pair(terms), Vec::new());
    attack(&mut pair, 1, &mut same_banner, &mut |to, frame| {
        lengths.push((to, frame.tag, frame.payload().len()));
        as_it_is(frame)
    });
    assert_eq!(pair.got, [(1..=MESSAGES).collect::<Vec<_>>(), (1..=MESSAGES).collect()]);
    assert_eq!(pair.dialler.tx.con_mode(), Some(ConMode::Secure));
    let tags: Vec<_> = lengths.iter().map(|l| l.1).collect();
    let round = [AUTH_REQUEST, AUTH_REPLY_MORE, AUTH_REQUEST_MORE, AUTH_DONE];
    assert_eq!(tags, [&[HELLO; 2][..], &round].concat());
    lengths
}

#[test]
fn any_bit_of_a_handshake_frame_with_its_checksum_mended() {
    for terms in terms() {
        for (dir, tag, len) in lengths(&terms) {
            for at in 0..len {
                for bit in if at < 40 { 0..8 } else { at % 8..at % 8 + 1 } {
                    let mut pair = pair(&terms);
                    attack(&mut pair, 1, &mut same_banner, &mut |to, frame| {
                        let mut payload = frame.payload().to_vec();
                        // What the peer makes has not always the same length.
                        if (to, frame.tag) == (dir, tag) && at < payload.len() {
                            payload[at] ^= 1 << bit;
                        }
                        (vec![(frame.tag, payload)], vec![])
                    });
                    caught(&pair, &format!("bit {bit} of byte {at} of tag {tag} to {dir}"));
                }
            }
        }
    }
}

/// Checksums and lengths too: it is a fault, or somebody waits for what does not come.
#[test]
fn any_bit_of_the_handshake_as_it_is_on_the_wire() {
    let terms = Terms::Ticket(aes_key());
    for dir in [THERE, BACK] {
        for bit in 0.. {
            let mut pair = pair(&terms);
            let (mut at, mut hit) = (0, false);
            // In clear up to AUTH_DONE: he sees where that ends.
            let mut clear = true;
            pair.settle(&mut |to, mut bytes| {
                let done = to == BACK && bytes.get(..2) == Some(&[AUTH_DONE, 1]);
                if to == dir && clear {
                    let end = at + if done { bytes.len() - SIGNATURE } else { bytes.len() };
                    if (at..end).contains(&(bit / 8)) {
                        bytes[bit / 8 - at] ^= 1 << (bit % 8);
                        hit = true;
                    }
                    at = end;
                }
                clear &= !done;
                bytes
            });
            if !hit {
                assert!(bit > 8 * 300, "{bit}");
                break;
            }
            assert_eq!(pair.got, NOTHING, "bit {bit} to {dir}");
            assert_eq!(pair.open(), [false; 2], "bit {bit} to {dir}");
        }
    }
}

/// AUTH_SIGNATURE, the idents and the messages.
#[test]
fn any_bit_of_what_is_sealed() {
    for dir in [THERE, BACK] {
        for bit in 0.. {
            let mut pair = pair(&Terms::Login(KeyType::Aes256k));
            let (mut at, mut sealed, mut hit) = (0, false, false);
            pair.settle(&mut |to, mut bytes| {
                let done = to == BACK && bytes.get(..2) == Some(&[AUTH_DONE, 1]);
                // The accepting side's signature is behind AUTH_DONE, and the dialler's answers it.
                let from = match sealed {
                    true => 0,
                    false if done => bytes.len() - SIGNATURE,
                    false => bytes.len(),
                };
                sealed |= done;
                if to == dir {
                    let end = at + bytes.len() - from;
                    if (at..end).contains(&(bit / 8)) {
                        bytes[from + bit / 8 - at] ^= 1 << (bit % 8);
                        hit = true;
                    }
                    at = end;
                }
                bytes
            });
            if !hit {
                // That was all of it, unchanged.
                let all: Vec<u64> = (1..=MESSAGES).collect();
                assert!(pair.got == [all.clone(), all] && bit > 8 * 700, "{bit}");
                break;
            }
            assert_eq!(pair.faults[dir], Some(Fault::BadSeal), "bit {bit} to {dir}");
            // What came before it came; of what it was in, and what was behind, nothing.
            let got = &pair.got[dir];
            let all: Vec<u64> = (1..=MESSAGES).collect();
            assert!(all.starts_with(got) && got.len() < all.len(), "bit {bit}: {got:?}");
        }
    }
}

#[test]
fn the_modes_that_are_offered() {
    for terms in terms() {
        for modes in [&[1][..], &[1, 2], &[2], &[2, 1, 3], &[]] {
            let mut pair = pair(&terms);
            attack(&mut pair, 1, &mut same_banner, &mut |_, frame| {
                if frame.tag != AUTH_REQUEST {
                    return as_it_is(frame);
                }
                let (method, _, payload) = read_auth_request(frame.payload());
                (vec![(frame.tag, auth_request(method, modes, &payload))], vec![])
            });
            caught(&pair, &format!("{modes:?} of {terms:?}"));
        }
    }
}

/// The accepting side has taken checksums, and what the dialler sees is what it has offered.
#[test]
fn both_the_offer_and_the_answer() {
    for terms in terms() {
        for told in [1, 2] {
            let mut pair = pair(&terms);
            attack(&mut pair, 1, &mut same_banner, &mut |_, frame| match frame.tag {
                AUTH_REQUEST => {
                    let (method, _, payload) = read_auth_request(frame.payload());
                    (vec![(frame.tag, auth_request(method, &[1], &payload))], vec![])
                }
                AUTH_DONE => {
                    let (id, _, payload) = read_auth_done(frame.payload());
                    (vec![(frame.tag, auth_done(id, told, &payload))], vec![])
                }
                _ => as_it_is(frame),
            });
            caught(&pair, &format!("{told} of {terms:?}"));
            // The secret that sealing takes is in what only the two can open.
            if told == 2 {
                let why = Fault::Auth(AuthError::ConnectionSecretTooShort(0));
                assert_eq!(pair.faults[1], Some(why));
            }
        }
    }
}

#[test]
fn the_mode_that_was_chosen() {
    for terms in terms() {
        for mode in [0, 1, 3, u32::MAX] {
            let mut pair = pair(&terms);
            attack(&mut pair, 1, &mut same_banner, &mut |_, frame| {
                if frame.tag != AUTH_DONE {
                    return as_it_is(frame);
                }
                let (id, _, payload) = read_auth_done(frame.payload());
                (vec![(frame.tag, auth_done(id, mode, &payload))], vec![])
            });
            caught(&pair, &format!("{mode} of {terms:?}"));
        }
    }
}

#[test]
fn the_revision() {
    for terms in terms() {
        for (there, back) in [(true, true), (true, false), (false, true)] {
            for bits in [0, 2] {
                let mut pair = pair(&terms);
                let mut older = |to: usize, ours: Vec<u8>| match [there, back][to] {
                    true => banner(bits, 0),
                    false => ours,
                };
                let mut keep = |_: usize, frame: &Frame| as_it_is(frame);
                if there && back {
                    attack(&mut pair, 0, &mut older, &mut keep);
                } else {
                    // They do not even understand each other.
                    let mut greeted = [false; 2];
                    pair.settle(&mut |to, mut bytes| {
                        if !bytes.is_empty() && !std::mem::replace(&mut greeted[to], true) {
                            let rest = bytes.split_off(BANNER);
                            bytes = [older(to, bytes), rest].concat();
                        }
                        bytes
                    });
                }
                assert_eq!(pair.got, NOTHING);
                assert_eq!(pair.open(), [false; 2]);
            }
        }
    }
}

/// Whatever AUTH_BAD_METHOD says, a dialler offers no mode less, and no method that it does not allow.
#[test]
fn a_refusal_that_nobody_sent() {
    for terms in terms() {
        for (method, result, methods, modes) in [
            (2, -95, &[2][..], &[1][..]),
            (2, -95, &[2], &[2]),
            (2, -95, &[1], &[1]),
            (2, -95, &[1, 2], &[1, 2]),
            (2, -13, &[2], &[1]),
            (2, 0, &[2], &[1]),
            (1, -95, &[2], &[1]),
        ] {
            for round in [AUTH_REQUEST, AUTH_REQUEST_MORE] {
                let mut pair = pair(&terms);
                let mut requests = 0;
                attack(&mut pair, 1, &mut same_banner, &mut |_, frame| {
                    requests += usize::from(frame.tag == AUTH_REQUEST);
                    if frame.tag != round {
                        return as_it_is(frame);
                    }
                    let refusal = bad_method(method, result, methods, modes);
                    (vec![], vec![(AUTH_BAD_METHOD, refusal)])
                });
                assert_eq!(requests, 1, "nothing else is offered");
                assert!(matches!(pair.faults[1], Some(Fault::Auth(_))), "{:?}", pair.faults);
                caught(&pair, &format!("{methods:?} {modes:?} of {terms:?}"));
            }
        }
    }
}

/// Where the modes that are left would do for both: a refusal that comes before the request has gone
/// on is in the signed bytes of the one side, and not of the other.
#[test]
fn a_refusal_and_then_the_request_itself() {
    for terms in [Terms::Lax(KeyType::Aes), Terms::Lax(KeyType::Aes256k)] {
        let mut pair = pair(&terms);
        let mut refused = false;
        attack(&mut pair, 1, &mut same_banner, &mut |_, frame| {
            if frame.tag != AUTH_REQUEST || std::mem::replace(&mut refused, true) {
                return as_it_is(frame);
            }
            // The monitor, too, has refused one that nobody sent.
            let refusal = bad_method(2, -95, &[2], &[1]);
            (vec![], vec![(AUTH_BAD_METHOD, refusal)])
        });
        // It asks for a proof all the same: none is left to be offered.
        caught(&pair, &format!("{terms:?}"));
    }
}

/// `none` proves nothing and signs nothing: with both sides' leave, and with that alone, he has them
/// do without a proof, and without a seal.
#[test]
fn who_would_do_without_a_proof_can_be_made_to() {
    let offers_none = |terms: &Terms, modes| {
        let mut pair = with_modes(terms, modes);
        attack(&mut pair, 1, &mut same_banner, &mut |_, frame| match frame.tag {
            AUTH_REQUEST if read_auth_request(frame.payload()).0 == 2 => {
                (vec![], vec![(AUTH_BAD_METHOD, bad_method(2, -95, &[1], &[1]))])
            }
            _ => as_it_is(frame),
        });
        pair
    };
    let both: &[ConMode] = &[ConMode::Secure, ConMode::Crc];
    for key_type in KEY_TYPES {
        let pair = offers_none(&Terms::Lax(key_type), both);
        assert_eq!((pair.open(), pair.dialler.tx.con_mode()), ([true; 2], Some(ConMode::Crc)));
        // Whoever demands either is safe from it.
        caught(&offers_none(&Terms::Login(key_type), both), "a proof");
        caught(&offers_none(&Terms::Lax(key_type), &[ConMode::Secure]), "a seal");
    }
    // And a service that is shown a name where it takes tickets.
    for key in session_keys() {
        let mut pair = pair(&Terms::Ticket(key));
        attack(&mut pair, 1, &mut same_banner, &mut |_, frame| match frame.tag {
            AUTH_REQUEST => {
                let none = auth_request(1, &[1], &none_authorizer(8));
                (vec![(frame.tag, none)], vec![])
            }
            _ => as_it_is(frame),
        });
        caught(&pair, "none in place of a ticket");
    }
}

/// He has no key: nothing that he signs, and nothing that was signed elsewhere, is believed.
#[test]
fn signatures_of_his_own() {
    for terms in terms() {
        // With checksums he can change the signatures themselves.
        let crc: &'static [ConMode] = &[ConMode::Crc];
        let mut elsewhere = Vec::new();
        let mut other = with_modes(&terms, crc);
        attack(&mut other, 1, &mut same_banner, &mut |to, frame| {
            if frame.tag == AUTH_SIGNATURE {
                elsewhere.push((to, frame.payload().to_vec()));
            }
            as_it_is(frame)
        });
        assert_eq!((elsewhere.len(), other.open()), (2, [true; 2]));
        for forged in
            [vec![0; 32], vec![0xff; 32]].into_iter().chain(elsewhere.into_iter().map(|e| e.1))
        {
            for dir in [THERE, BACK] {
                let mut pair = with_modes(&terms, crc);
                attack(&mut pair, 1, &mut same_banner, &mut |to, frame| match frame.tag {
                    AUTH_SIGNATURE if to == dir => (vec![(frame.tag, forged.clone())], vec![]),
                    _ => as_it_is(frame),
                });
                caught(&pair, "a forged signature");
                assert_eq!(pair.faults[dir], Some(Fault::BadAuthSignature));
            }
        }
        // The dialler's own, sent back to it.
        let mut pair = with_modes(&terms, crc);
        let mut theirs = Vec::new();
        attack(&mut pair, 1, &mut same_banner, &mut |to, frame| match (frame.tag, to) {
            (AUTH_SIGNATURE, BACK) => (vec![], vec![]),
            (AUTH_SIGNATURE, THERE) => {
                theirs = frame.payload().to_vec();
                (vec![], vec![(AUTH_SIGNATURE, theirs.clone())])
            }
            _ => as_it_is(frame),
        });
        assert_eq!((pair.open(), &pair.got), ([false; 2], &NOTHING));
    }
}

/// A session that was sealed may come back with checksums, if both sides allow them: he cannot have
/// them do so.
#[test]
fn a_session_that_comes_back_is_as_safe_as_the_first_time() {
    for key in session_keys() {
        let terms = Terms::Ticket(key);
        let mut pair = pair(&terms);
        pair.settle(&mut |_, bytes| bytes);
        assert_eq!(pair.open(), [true; 2]);
        pair.dialler.fault(&Fault::PeerClosed);
        pair.owner.con.as_mut().unwrap().fault(&Fault::PeerClosed);
        pair.dialler.tx.send(numbered(9));
        pair.dial();
        pair.got = Default::default();
        attack(&mut pair, 1, &mut same_banner, &mut |_, frame| {
            if frame.tag != AUTH_REQUEST {
                return as_it_is(frame);
            }
            let (method, _, payload) = read_auth_request(frame.payload());
            (vec![(frame.tag, auth_request(method, &[1], &payload))], vec![])
        });
        caught(&pair, "a reconnect");
    }
}
