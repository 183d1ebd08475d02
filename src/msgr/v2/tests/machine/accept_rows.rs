//! What becomes of SESSION_RECONNECT and CLIENT_IDENT, row by row of the tables of an accepting side.

use super::dialler::*;
use super::far::*;
use super::sheets::*;
use super::*;
use crate::msgr::{Decision, Existing, Retry};

/// What the peer has been seen to use.
const SEEN: GlobalSeq = GlobalSeq(9);
/// In which states a session is that has no open socket and dials.
const DIALLING: [ConState; 7] = [
    ConState::Preopen,
    ConState::V2Banner,
    ConState::V2Hello,
    ConState::V2Auth,
    ConState::V2AuthSignature,
    ConState::V2SessionConnect,
    ConState::V2SessionReconnect,
];
const RESTING: [ConState; 2] = [ConState::Open, ConState::Standby];

fn everywhere() -> impl Iterator<Item = ConState> {
    DIALLING.into_iter().chain(RESTING)
}

/// A lossless session with a peer that may dial and be dialled, which began when the far dialler did.
fn existing(state: ConState, connect_seq: u32) -> Existing {
    Existing {
        state,
        connect_seq: ConnectSeq(connect_seq),
        peer_global_seq: SEEN,
        client_cookie: CLIENT_COOKIE,
        server_cookie: COOKIE,
        lossy: false,
        server: false,
        once_ready: true,
        replacing: false,
    }
}

/// Both ends are MDSs.
fn peers(policy: Policy) -> Listener {
    Listener::new(EntityType::MDS, policy)
}

/// Where an MDS of the tests listens, above and below ours.
fn above() -> Vec<u8> {
    addrs_of(&[addr_of(2, PEER_IP, PEER_PORT + 1, PEER_NONCE)])
}

fn below() -> Vec<u8> {
    addrs_of(&[addr_of(2, PEER_IP, PEER_PORT - 1, PEER_NONCE)])
}

fn ident(global_seq: u64) -> ClientIdent {
    ClientIdent { global_seq, addrs: above(), ..ClientIdent::lossless() }
}

fn reconnect(global_seq: u64, connect_seq: u64) -> Reconnect {
    Reconnect { addrs: above(), msg_seq: 2, ..Reconnect::again(COOKIE, global_seq, connect_seq) }
}

/// What is decided, and the frame that answers it. A session that goes on has taken 5 messages, has 3
/// on the wire that are not acknowledged, and one that waits.
fn answer(
    l: &Listener,
    ex: Option<Existing>,
    tag: u8,
    payload: &[u8],
) -> (Decision, Option<Frame>, Option<Con>) {
    let mut socket = l.signed_as(2);
    let offer = socket.receive_frame(l, tag, payload).unwrap().expect("an offer");
    let decision = offer.decide(ex.as_ref(), l.own());
    match decision {
        Decision::Retry(retry) => (decision, Some(socket.retry(retry)), None),
        Decision::Stale => (decision, None, None),
        _ => {
            let mut con = l.con(*offer.peer());
            if matches!(decision, Decision::Replace | Decision::ReplaceReset) {
                let ex = ex.unwrap();
                let session = &mut con.tx.session;
                session.in_seq = Seq(5);
                session.once_ready = true;
                (session.client_cookie, session.server_cookie) =
                    (ex.client_cookie, ex.server_cookie);
                (session.connect_seq, session.peer_global_seq) =
                    (ex.connect_seq, ex.peer_global_seq);
                con.send_each(1..=4);
                for _ in 0..3 {
                    con.tx.session.pop();
                }
            }
            l.take_over(&mut con, socket, offer, decision == Decision::ReplaceReset);
            con.run().unwrap();
            let out = con.pipe.take_output();
            let (frame, rest) = con.far.take(&out).unwrap();
            con.pipe.output = rest.to_vec();
            (decision, Some(frame), Some(con))
        }
    }
}

fn ask(
    l: &Listener,
    ex: Option<Existing>,
    ident: &ClientIdent,
) -> (Decision, Option<Frame>, Option<Con>) {
    answer(l, ex, CLIENT_IDENT, &ident.bytes())
}

fn come_back(
    l: &Listener,
    ex: Option<Existing>,
    reconnect: &Reconnect,
) -> (Decision, Option<Frame>, Option<Con>) {
    answer(l, ex, SESSION_RECONNECT, &reconnect.bytes())
}

/// An answer that opens nothing, byte for byte.
#[track_caller]
fn refuses(
    (decision, frame, con): (Decision, Option<Frame>, Option<Con>),
    retry: Retry,
    tag: u8,
    payload: &[u8],
) {
    let frame = frame.unwrap();
    assert_eq!((decision, frame.tag, frame.payload()), (Decision::Retry(retry), tag, payload));
    assert!(con.is_none());
}

#[track_caller]
fn goes_on((decision, frame, con): (Decision, Option<Frame>, Option<Con>), asked: &Reconnect) {
    let (frame, mut con) = (frame.unwrap(), con.unwrap());
    assert_eq!(decision, Decision::Replace);
    assert_eq!((frame.tag, read_u64(frame.payload())), (SESSION_RECONNECT_OK, 5));
    let said = con.said();
    assert_eq!((seqs(&said), fronts(&said)), (vec![3, 4], vec![3, 4]), "it has two");
    let session = &con.tx.session;
    assert_eq!(u64::from(session.connect_seq.0), asked.connect_seq);
    assert_eq!(u64::from(session.peer_global_seq.0), asked.global_seq);
    assert_eq!((session.client_cookie, session.server_cookie), (CLIENT_COOKIE, COOKIE));
    assert_eq!((session.in_seq, con.state()), (Seq(5), ConState::Open));
    assert!(matches!(con.take_events()[..], [Event::Accepted(_)]));
}

/// A session opens, which is new for the dialler. `kept` is what it gets of the one that was.
#[track_caller]
fn opens(
    l: &Listener,
    (want, kept): (Decision, &[u8]),
    (decision, frame, con): (Decision, Option<Frame>, Option<Con>),
    asked: &ClientIdent,
) {
    let (frame, mut con) = (frame.unwrap(), con.unwrap());
    assert_eq!((decision, frame.tag), (want, SERVER_IDENT));
    let reply = ServerIdent::read(frame.payload());
    let lossy = con.tx.session.lossy;
    let want = ServerIdent {
        addrs: addrs_of(&[peer_addr(), addr_of(1, PEER_IP, 40002, PEER_NONCE)]),
        gid: 3,
        // The next that the listener has given out.
        global_seq: reply.global_seq,
        supported: DAEMON.0,
        required: ADDR2,
        flags: lossy.into(),
        cookie: reply.cookie,
    };
    assert_eq!(reply, want);
    assert_eq!(reply.global_seq + 1, u64::from(l.local.global_seq(GlobalSeq(0)).0));
    assert_eq!(reply.cookie == 0, lossy);
    assert_ne!(reply.cookie, COOKIE, "a new one each time");
    let said = con.said();
    let numbers: Vec<u64> = (1..=kept.len() as u64).collect();
    assert_eq!((seqs(&said), fronts(&said)), (numbers, kept.to_vec()));
    let session = &con.tx.session;
    assert_eq!((session.in_seq, session.connect_seq), (Seq(0), ConnectSeq(0)));
    assert_eq!((session.client_cookie, session.server_cookie), (asked.cookie, reply.cookie));
    assert_eq!(u64::from(session.peer_global_seq.0), asked.global_seq);
    assert_eq!((con.state(), con.tx.features()), (ConState::Open, BOTH));
    let reset = decision == Decision::ReplaceReset;
    match &con.take_events()[..] {
        [Event::RemoteReset, Event::Accepted(_)] if reset => {}
        [Event::Accepted(_)] if !reset => {}
        events => panic!("{events:?}"),
    }
}

const FULL: Retry = Retry::ResetSession { full: true };
const NOT_FULL: Retry = Retry::ResetSession { full: false };

#[test]
fn reconnect_row_1_a_session_that_nobody_knows() {
    for policy in [Policy::STATEFUL_SERVER, Policy::LOSSLESS_PEER, Policy::STATELESS_SERVER] {
        let l = peers(policy);
        refuses(come_back(&l, None, &reconnect(10, 3)), FULL, SESSION_RESET, &[1]);
    }
}

#[test]
fn reconnect_row_2_of_a_closed_session_nothing_is_left() {
    let l = peers(Policy::LOSSLESS_PEER);
    let ex = Existing { replacing: true, ..existing(ConState::Closed, 3) };
    refuses(come_back(&l, Some(ex), &reconnect(10, 4)), FULL, SESSION_RESET, &[1]);
}

#[test]
fn reconnect_row_3_the_session_is_being_replaced() {
    let l = peers(Policy::LOSSLESS_PEER);
    for state in everywhere() {
        let ex = Existing { replacing: true, server_cookie: 0, ..existing(state, 3) };
        for asked in [reconnect(10, 4), Reconnect { client_cookie: 1, ..reconnect(1, 0) }] {
            let answered = come_back(&l, Some(ex), &asked);
            let retry = Retry::Global(SEEN);
            refuses(answered, retry, SESSION_RETRY_GLOBAL, &9u64.to_le_bytes());
        }
    }
}

#[test]
fn reconnect_row_4_another_session_of_the_peer() {
    for (policy, retry, full) in [
        (Policy::STATEFUL_SERVER, FULL, 1),
        (Policy::LOSSLESS_PEER_REUSE, FULL, 1),
        (Policy::LOSSLESS_PEER, NOT_FULL, 0),
    ] {
        for state in everywhere() {
            let l = peers(policy);
            // Before any number is looked at.
            let ex = Existing { server_cookie: 0, ..existing(state, 9) };
            for client_cookie in [0, 1, CLIENT_COOKIE ^ 1, u64::MAX] {
                let asked = Reconnect { client_cookie, ..reconnect(1, 0) };
                refuses(come_back(&l, Some(ex), &asked), retry, SESSION_RESET, &[full]);
            }
        }
    }
}

#[test]
fn reconnect_row_5_this_side_dialled_and_was_never_answered() {
    for policy in [Policy::LOSSLESS_PEER, Policy::LOSSLESS_PEER_REUSE] {
        for state in everywhere() {
            let l = peers(policy);
            let ex = Existing { server_cookie: 0, ..existing(state, 9) };
            let answered = come_back(&l, Some(ex), &reconnect(1, 0));
            refuses(answered, NOT_FULL, SESSION_RESET, &[0]);
        }
    }
}

#[test]
fn reconnect_row_6_an_older_attempt() {
    let l = peers(Policy::LOSSLESS_PEER);
    for state in everywhere() {
        for connect_seq in [0, 3, 4, 100] {
            let answered = come_back(&l, Some(existing(state, 3)), &reconnect(8, connect_seq));
            refuses(answered, Retry::Global(SEEN), SESSION_RETRY_GLOBAL, &9u64.to_le_bytes());
        }
        // The same number is not older.
        let asked = reconnect(9, 4);
        goes_on(come_back(&l, Some(existing(state, 3)), &asked), &asked);
    }
}

#[test]
fn reconnect_row_7_an_older_connection_of_the_session() {
    let l = peers(Policy::LOSSLESS_PEER);
    for state in everywhere() {
        for connect_seq in [0, 1, 2] {
            let answered = come_back(&l, Some(existing(state, 3)), &reconnect(10, connect_seq));
            let retry = Retry::Session(ConnectSeq(3));
            refuses(answered, retry, SESSION_RETRY, &3u64.to_le_bytes());
        }
    }
}

#[test]
fn reconnect_row_8_both_dial() {
    for policy in [Policy::LOSSLESS_PEER, Policy::LOSSLESS_PEER_REUSE] {
        let l = peers(policy);
        for state in everywhere() {
            let ex = existing(state, 3);
            // The peer's address is above ours: this side's attempt is kept.
            refuses(come_back(&l, Some(ex), &reconnect(10, 3)), Retry::Wait, WAIT, &[]);
            // The attempt of the lower address wins.
            let asked = Reconnect { addrs: below(), ..reconnect(10, 3) };
            goes_on(come_back(&l, Some(ex), &asked), &asked);
            // What never dials has no attempt.
            let asked = reconnect(10, 3);
            goes_on(come_back(&l, Some(Existing { server: true, ..ex }), &asked), &asked);
        }
    }
}

#[test]
fn reconnect_row_9_the_peer_goes_on() {
    for policy in [Policy::STATEFUL_SERVER, Policy::LOSSLESS_PEER, Policy::LOSSLESS_PEER_REUSE] {
        for state in everywhere() {
            for connect_seq in [4, 9, 1000] {
                let l = peers(policy);
                let asked = reconnect(10, connect_seq);
                goes_on(come_back(&l, Some(existing(state, 3)), &asked), &asked);
                // What it thinks that our end is called is not looked at.
                let asked = Reconnect { server_cookie: 77, ..asked };
                goes_on(come_back(&l, Some(existing(state, 3)), &asked), &asked);
            }
        }
    }
}

#[test]
fn ident_row_1_a_stateless_server_opens_whatever_was_before() {
    for ex in [
        None,
        Some(existing(ConState::Open, 7)),
        Some(Existing { replacing: true, ..existing(ConState::Open, 7) }),
        Some(existing(ConState::Closed, 0)),
    ] {
        let l = peers(Policy::STATELESS_SERVER);
        // However old it is.
        let asked = ident(1);
        opens(&l, (Decision::Open, &[]), ask(&l, ex, &asked), &asked);
    }
}

#[test]
fn ident_row_2_of_a_closed_session_nothing_is_left() {
    for policy in
        [Policy::STATEFUL_SERVER, Policy::LOSSLESS_PEER, Policy::STATELESS_REGISTERED_SERVER]
    {
        let l = peers(policy);
        let asked = ident(1);
        opens(&l, (Decision::Open, &[]), ask(&l, None, &asked), &asked);
        let l = peers(policy);
        let ex = Existing { replacing: true, ..existing(ConState::Closed, 3) };
        opens(&l, (Decision::Open, &[]), ask(&l, Some(ex), &asked), &asked);
    }
}

#[test]
fn ident_row_3_the_session_is_being_replaced() {
    let l = peers(Policy::LOSSLESS_PEER);
    for state in everywhere() {
        let ex = Existing { replacing: true, ..existing(state, 3) };
        for global_seq in [1, 10] {
            refuses(ask(&l, Some(ex), &ident(global_seq)), Retry::Wait, WAIT, &[]);
            // Nobody dials a client, and the kernel's takes no WAIT.
            let server = Existing { server: true, ..ex };
            assert_eq!(ask(&l, Some(server), &ident(global_seq)).0, Decision::Stale);
        }
    }
}

#[test]
fn ident_row_4_an_older_attempt_is_closed_in_silence() {
    for lossy in [false, true] {
        for state in everywhere() {
            let l = peers(Policy::STATELESS_REGISTERED_SERVER);
            let ex = Existing { lossy, ..existing(state, 0) };
            let (decision, frame, _) = ask(&l, Some(ex), &ident(8));
            assert_eq!((decision, frame), (Decision::Stale, None));
            // The same number is not older.
            assert_ne!(ask(&l, Some(ex), &ident(9)).0, Decision::Stale);
        }
    }
}

#[test]
fn ident_row_5_a_lossy_session_makes_way() {
    for state in everywhere() {
        for cookie in [0, CLIENT_COOKIE, 1] {
            let l = peers(Policy::STATELESS_REGISTERED_SERVER);
            let (client_cookie, server_cookie) = (0, 0);
            let ex = Existing { lossy: true, client_cookie, server_cookie, ..existing(state, 0) };
            let asked = ClientIdent { cookie, ..ident(10) };
            opens(&l, (Decision::ReplaceLossy, &[]), ask(&l, Some(ex), &asked), &asked);
        }
    }
}

#[test]
fn ident_row_6_the_peer_began_anew() {
    for state in everywhere() {
        for cookie in [0, 1, CLIENT_COOKIE ^ 1] {
            let asked = ClientIdent { cookie, ..ident(10) };
            for policy in [Policy::STATEFUL_SERVER, Policy::LOSSLESS_PEER_REUSE] {
                let l = peers(policy);
                let answered = ask(&l, Some(existing(state, 3)), &asked);
                opens(&l, (Decision::ReplaceReset, &[]), answered, &asked);
            }
            // Without a check nobody minds, and it gets what waits.
            let l = peers(Policy::LOSSLESS_PEER);
            let answered = ask(&l, Some(existing(state, 3)), &asked);
            opens(&l, (Decision::Replace, &[1, 2, 3, 4]), answered, &asked);
        }
    }
}

#[test]
fn ident_row_7_its_first_attempt_was_interrupted() {
    for policy in [Policy::STATEFUL_SERVER, Policy::LOSSLESS_PEER, Policy::LOSSLESS_PEER_REUSE] {
        for state in everywhere() {
            for server_cookie in [COOKIE, 0] {
                let l = peers(policy);
                let ex = Existing { server_cookie, ..existing(state, 0) };
                let asked = ident(10);
                let answered = ask(&l, Some(ex), &asked);
                opens(&l, (Decision::Replace, &[1, 2, 3, 4]), answered, &asked);
            }
        }
    }
}

/// The cookies are not both known, so that nothing can be said about the peer.
fn half_known(state: ConState) -> Existing {
    Existing { client_cookie: 1, server_cookie: 0, ..existing(state, 0) }
}

#[test]
fn ident_row_8_a_session_that_is_connected() {
    for state in RESTING {
        let l = peers(Policy::LOSSLESS_PEER_REUSE);
        let asked = ident(10);
        let answered = ask(&l, Some(half_known(state)), &asked);
        opens(&l, (Decision::Replace, &[1, 2, 3, 4]), answered, &asked);
    }
}

#[test]
fn ident_row_9_both_dial_and_the_lower_address_wins() {
    for state in DIALLING {
        let l = peers(Policy::LOSSLESS_PEER_REUSE);
        let asked = ClientIdent { addrs: below(), ..ident(10) };
        let answered = ask(&l, Some(half_known(state)), &asked);
        opens(&l, (Decision::Replace, &[1, 2, 3, 4]), answered, &asked);
        // What never dials has no attempt.
        let l = peers(Policy::LOSSLESS_PEER_REUSE);
        let server = Existing { server: true, ..half_known(state) };
        let asked = ident(10);
        let answered = ask(&l, Some(server), &asked);
        opens(&l, (Decision::Replace, &[1, 2, 3, 4]), answered, &asked);
    }
}

#[test]
fn ident_row_10_both_dial_and_this_side_wins() {
    let l = peers(Policy::LOSSLESS_PEER_REUSE);
    for state in DIALLING {
        refuses(ask(&l, Some(half_known(state)), &ident(10)), Retry::Wait, WAIT, &[]);
        // No cookie is no sign that it is the same end.
        let ex = Existing { client_cookie: 0, ..half_known(state) };
        let asked = ClientIdent { cookie: 0, ..ident(10) };
        refuses(ask(&l, Some(ex), &asked), Retry::Wait, WAIT, &[]);
    }
}

/// Type, nonce and sockaddr as they lie in memory: port in network order.
#[test]
fn whose_attempt_wins() {
    let wins = |addr: Vec<u8>| {
        let l = peers(Policy::LOSSLESS_PEER_REUSE);
        let asked = ClientIdent { addrs: addrs_of(&[addr]), ..ident(10) };
        let answered = ask(&l, Some(half_known(ConState::V2SessionConnect)), &asked);
        answered.0 == Decision::Replace
    };
    let (ip, port, nonce) = (PEER_IP, PEER_PORT, PEER_NONCE);
    assert!(wins(addr_of(2, ip, port - 1, nonce)));
    assert!(!wins(addr_of(2, ip, port + 1, nonce)));
    assert!(!wins(addr_of(2, ip, port, nonce)), "nobody dials itself");
    assert!(wins(addr_of(2, ip, port + 1, nonce - 1)), "the nonce counts before");
    assert!(wins(addr_of(2, ip, port + 1, 0x100)), "by its lowest byte");
    assert!(wins(addr_of(1, ip, port + 1, nonce + 1)), "and the type before that");
    assert!(!wins(addr_of(3, ip, port - 1, nonce)));
    assert!(wins(addr_of(2, [126, 255, 255, 255], port, nonce)));
    assert!(!wins(addr_of(2, [128, 0, 0, 1], port, nonce)));
}
