//! What becomes of a connect message, row by row of the table of an accepting side.

use super::acceptor::*;
use super::dialler::*;
use super::*;

/// What the peer has seen of a session that it has here.
const SEEN: GlobalSeq = GlobalSeq(9);

/// A lossless session with a peer that need not be a client, open on both sides.
fn existing(state: ConState, connect_seq: u32) -> Existing {
    Existing {
        state,
        connect_seq: ConnectSeq(connect_seq),
        peer_global_seq: SEEN,
        lossy: false,
        server: false,
        once_ready: true,
        replacing: false,
        client_cookie: 0,
        server_cookie: 0,
    }
}

/// A monitor's connect message to a monitor.
fn peer_request(connect_seq: u32) -> Request {
    let first = Request { host_type: 1, protocol_version: 13, ..Request::first() };
    first.seqs(10, connect_seq)
}

fn peers(policy: Policy) -> Listener {
    Listener::new(EntityType::MON, policy)
}

/// What is decided, and the reply to it. A session that goes on has taken 5 messages.
fn answer(l: &Listener, ex: Option<Existing>, request: &Request) -> (Decision, Reply, Vec<Event>) {
    let mut socket = l.introduced();
    let offer = socket.offered(l, request);
    let decision = offer.decide(ex.as_ref(), l.own());
    let Decision::Retry(retry) = decision else {
        let mut con = l.con(*offer.peer());
        if matches!(decision, Decision::Replace | Decision::ReplaceReset) {
            con.tx.session.in_seq = Seq(5);
        }
        l.take_over(&mut con, socket, offer, decision == Decision::ReplaceReset);
        con.run().unwrap();
        // A dialler without SEQ is told by an ack what has been taken.
        let reply = Reply::split(&con.pipe.take_output()).0;
        return (decision, reply, con.take_events());
    };
    let reply = socket.retry(l, &offer, retry);
    (decision, reply, Vec::new())
}

/// The reply that opens a session, byte for byte.
#[track_caller]
fn opens(reply: &Reply, tag: u8, request: &Request, flags: u8, in_seq: u64) {
    let want = Reply {
        tag,
        features: DAEMON,
        // The first that the listener has given out.
        global_seq: 1,
        connect_seq: request.connect_seq + 1,
        protocol_version: request.protocol_version,
        flags,
        authorizer: Vec::new(),
        in_seq,
    };
    assert_eq!(reply.bytes(), want.bytes(), "{reply:?}");
}

/// A reply that opens nothing, byte for byte.
#[track_caller]
fn refuses(reply: &Reply, tag: u8, protocol_version: u32, global_seq: u32, connect_seq: u32) {
    let want = Reply {
        tag,
        features: Features(LINUX.0 & DAEMON.0),
        global_seq,
        connect_seq,
        protocol_version,
        flags: 0,
        authorizer: Vec::new(),
        in_seq: 0,
    };
    assert_eq!(reply.bytes(), want.bytes(), "{reply:?}");
}

#[test]
fn row_1_another_protocol_version() {
    let l = Listener::mds();
    for version in [0, 31, 33, u32::MAX] {
        let mut socket = l.introduced();
        let wrong = Request { protocol_version: version, ..Request::first() };
        refuses(&socket.refused(&l, &wrong), BADPROTOVER, 32, 0, 0);
        // The same socket takes a better one.
        socket.offered(&l, &Request::first());
    }
}

#[test]
fn rows_2_and_3_features_are_missing() {
    let crush = Features(1 << 18 | 1 << 58);
    let options = Options { supported: DAEMON, required: crush, ..Options::default() };
    let l = Listener::with(EntityType::MDS, Policy::STATEFUL_SERVER, options);
    let mut socket = l.introduced();
    let without = Request { features: LINUX.0 & !(1 << 18), ..Request::first() };
    let reply = socket.refused(&l, &without);
    let features = Features(without.features & DAEMON.0 | crush.0);
    let want = Reply::new(FEATURES).features(features).global_seq(0).connect_seq(0);
    assert_eq!(reply.bytes(), Reply { protocol_version: 32, ..want }.bytes());
    socket.offered(&l, &Request::first());
    // Before the authorizer is looked at, and after the version.
    let both = Request { protocol_version: 1, ..without.clone().authorizer(2, b"junk") };
    assert_eq!(socket.refused(&l, &both).tag, BADPROTOVER);
    assert_eq!(socket.refused(&l, &without.authorizer(2, b"junk")).tag, FEATURES);
}

#[test]
fn row_4_an_authorizer_where_none_is_asked_for() {
    let l = Listener::mds();
    let mut socket = l.introduced();
    let reply = socket.refused(&l, &Request::first().authorizer(2, &[1; 174]));
    refuses(&reply, BADAUTHORIZER, 32, 0, 0);
    socket.offered(&l, &Request::first());
}

#[test]
fn row_5_a_stateless_server_opens_whatever_was_before() {
    let l = Listener::new(EntityType::MON, Policy::STATELESS_SERVER);
    for ex in [None, Some(existing(ConState::Open, 7)), Some(existing(ConState::Closed, 0))] {
        for connect_seq in [0, 5] {
            let request = Request { protocol_version: 15, ..Request::first() }.seqs(3, connect_seq);
            let (decision, reply, _) = answer(&l, ex, &request);
            assert_eq!(decision, Decision::Open);
            assert_eq!((reply.tag, reply.connect_seq), (SEQ, connect_seq + 1));
            assert_eq!((reply.flags, reply.features, reply.in_seq), (1, DAEMON, 0));
        }
    }
    let l = Listener::new(EntityType::MON, Policy::STATELESS_SERVER);
    let request = Request { protocol_version: 15, ..Request::first() };
    opens(&answer(&l, None, &request).1, SEQ, &request, 1, 0);
}

#[test]
fn row_6_of_a_closed_session_nothing_is_left() {
    let l = Listener::mds();
    let mut ex = existing(ConState::Closed, 3);
    ex.peer_global_seq = GlobalSeq(99);
    let request = Request::first();
    let (decision, reply, _) = answer(&l, Some(ex), &request);
    assert_eq!(decision, Decision::Open);
    opens(&reply, SEQ, &request, 0, 0);
    // Ceph would open this too, and the peer would not learn what it has lost.
    let (decision, reply, _) = answer(&l, Some(ex), &Request::first().seqs(100, 4));
    assert_eq!(decision, Decision::Retry(Retry::ResetSession { full: true }));
    refuses(&reply, RESETSESSION, 32, 0, 0);
}

#[test]
fn row_7_the_session_is_being_replaced() {
    let l = Listener::mds();
    for connect_seq in [0, 3, 4] {
        let mut ex = existing(ConState::Open, 3);
        ex.replacing = true;
        let (decision, reply, _) = answer(&l, Some(ex), &Request::first().seqs(50, connect_seq));
        assert_eq!(decision, Decision::Retry(Retry::Global(SEEN)));
        refuses(&reply, RETRY_GLOBAL, 32, 9, 0);
    }
}

#[test]
fn row_8_an_older_attempt() {
    for (policy, lossy) in
        [(Policy::STATEFUL_SERVER, false), (Policy::STATELESS_REGISTERED_SERVER, true)]
    {
        let l = Listener::new(EntityType::MDS, policy);
        let ex = Existing { lossy, ..existing(ConState::Open, 1) };
        let (decision, reply, _) = answer(&l, Some(ex), &Request::first().seqs(8, 0));
        assert_eq!(decision, Decision::Retry(Retry::Global(SEEN)));
        refuses(&reply, RETRY_GLOBAL, 32, 9, 0);
        // The same number is not older.
        let (decision, ..) = answer(&l, Some(ex), &Request::first().seqs(9, 2));
        assert!(!matches!(decision, Decision::Retry(Retry::Global(_))), "{decision:?}");
    }
}

#[test]
fn row_9_a_lossy_session_makes_way() {
    for connect_seq in [0, 1, 7] {
        let l = Listener::new(EntityType::OSD, Policy::STATELESS_REGISTERED_SERVER);
        let request = Request { protocol_version: 24, ..Request::first() }.seqs(10, connect_seq);
        let ex = Existing { lossy: true, server: true, ..existing(ConState::Open, 1) };
        let (decision, reply, events) = answer(&l, Some(ex), &request);
        assert_eq!((decision, events.len()), (Decision::ReplaceLossy, 0));
        opens(&reply, SEQ, &request, 1, 0);
    }
}

#[test]
fn row_10_the_peer_began_anew() {
    for (policy, told) in [(Policy::LOSSLESS_PEER_REUSE, true), (Policy::LOSSLESS_PEER, false)] {
        for state in [ConState::Open, ConState::Standby, ConState::V1ConnectMsg] {
            let l = peers(policy);
            let request = peer_request(0);
            let (decision, reply, events) = answer(&l, Some(existing(state, 3)), &request);
            assert_eq!(decision, Decision::ReplaceReset);
            // Neither number is worth anything: READY, although the peer can do SEQ.
            opens(&reply, READY, &request, 0, 0);
            assert_eq!(events.contains(&Event::RemoteReset), told);
            assert!(matches!(events.last(), Some(Event::Accepted(_))));
        }
    }
}

#[test]
fn row_11_an_older_connection_of_the_session() {
    for state in [ConState::Open, ConState::Standby, ConState::Preopen, ConState::V1ConnectMsg] {
        for connect_seq in [1, 2] {
            let l = peers(Policy::LOSSLESS_PEER);
            let (decision, reply, _) =
                answer(&l, Some(existing(state, 3)), &peer_request(connect_seq));
            assert_eq!(decision, Decision::Retry(Retry::Session(ConnectSeq(4))));
            refuses(&reply, RETRY_SESSION, 13, 0, 4);
        }
    }
}

#[test]
fn row_12_the_connection_that_is_there() {
    for policy in [Policy::LOSSLESS_PEER, Policy::LOSSLESS_PEER_REUSE] {
        for state in [ConState::Open, ConState::Standby] {
            let l = peers(policy);
            let (decision, reply, _) = answer(&l, Some(existing(state, 3)), &peer_request(3));
            assert_eq!(decision, Decision::Retry(Retry::Session(ConnectSeq(4))));
            refuses(&reply, RETRY_SESSION, 13, 0, 4);
            // A session that never was, in standby.
            let l = peers(policy);
            let (decision, reply, _) = answer(&l, Some(existing(state, 0)), &peer_request(0));
            if policy.resetcheck {
                assert_eq!(decision, Decision::Replace);
                opens(&reply, SEQ, &peer_request(0), 0, 5);
            } else {
                assert_eq!(decision, Decision::Retry(Retry::Session(ConnectSeq(1))));
                refuses(&reply, RETRY_SESSION, 13, 0, 1);
            }
        }
    }
}

#[test]
fn row_13_both_dial() {
    for state in [ConState::Preopen, ConState::V1Banner, ConState::V1ConnectMsg] {
        for connect_seq in [0, 3] {
            let request = peer_request(connect_seq);
            let ex = existing(state, connect_seq);
            // The dialler of the tests has the greater nonce: the attempt of this side is kept.
            let l = peers(Policy::LOSSLESS_PEER_REUSE);
            let (decision, reply, _) = answer(&l, Some(ex), &request);
            assert_eq!(decision, Decision::Retry(Retry::Wait));
            refuses(&reply, WAIT, 13, 0, 0);
            // What never dials has no attempt.
            let (decision, reply, _) = answer(&l, Some(Existing { server: true, ..ex }), &request);
            assert_eq!(decision, Decision::Replace);
            opens(&reply, SEQ, &request, 0, 5);
            // The attempt of the lower address wins.
            let l = peers(Policy::LOSSLESS_PEER_REUSE);
            let hello = [&b"ceph v027"[..], &addr([127, 0, 0, 1], 40000, PEER_NONCE)].concat();
            let mut socket = l.introduced_as(&hello);
            let offer = socket.offered(&l, &request);
            assert_eq!(offer.decide(Some(&ex), l.own()), Decision::Replace);
        }
    }
}

/// A socket that was accepted and whose end went unnoticed here is nobody's attempt: there is
/// nothing that the peer could wait for.
#[test]
fn row_13_a_session_that_waits_for_the_peer_s_number_does_not_dial() {
    let l = peers(Policy::LOSSLESS_PEER);
    let request = peer_request(3);
    let (decision, reply, _) = answer(&l, Some(existing(ConState::AcceptingWaitSeq, 3)), &request);
    assert_eq!(decision, Decision::Replace);
    opens(&reply, SEQ, &request, 0, 5);
}

#[test]
fn row_14_this_side_has_no_session_any_more() {
    for state in [ConState::Preopen, ConState::V1ConnectMsg, ConState::Standby] {
        let l = peers(Policy::LOSSLESS_PEER_REUSE);
        let (decision, reply, _) = answer(&l, Some(existing(state, 0)), &peer_request(4));
        assert_eq!(decision, Decision::Retry(Retry::ResetSession { full: true }));
        refuses(&reply, RESETSESSION, 13, 0, 0);
        // Without a check the peer just goes on.
        let l = peers(Policy::LOSSLESS_PEER);
        let (decision, ..) = answer(&l, Some(existing(state, 0)), &peer_request(4));
        assert_eq!(decision, Decision::Replace);
    }
}

#[test]
fn row_15_the_peer_reconnects() {
    let states = [
        ConState::Open,
        ConState::Standby,
        ConState::Preopen,
        ConState::V1Banner,
        ConState::V1ConnectMsg,
        ConState::AcceptingWaitSeq,
    ];
    for policy in [Policy::STATEFUL_SERVER, Policy::LOSSLESS_PEER, Policy::LOSSLESS_PEER_REUSE] {
        for (state, connect_seq) in states.into_iter().flat_map(|s| [(s, 4), (s, 9)]) {
            let l = peers(policy);
            let request = peer_request(connect_seq);
            let (decision, reply, events) = answer(&l, Some(existing(state, 3)), &request);
            assert_eq!((decision, events), (Decision::Replace, vec![]), "{state}");
            opens(&reply, SEQ, &request, 0, 5);
            // A dialler that cannot do SEQ gets READY.
            let l = peers(policy);
            let old = request.without(Features::RECONNECT_SEQ);
            let (_, reply, events) = answer(&l, Some(existing(state, 3)), &old);
            opens(&reply, READY, &old, 0, 0);
            assert!(matches!(events[..], [Event::Accepted(_)]));
        }
    }
}

#[test]
fn row_16_a_session_that_nobody_knows_here() {
    for policy in [Policy::STATEFUL_SERVER, Policy::STATELESS_REGISTERED_SERVER] {
        let l = Listener::new(EntityType::MDS, policy);
        let mut socket = l.introduced();
        let offer = socket.offered(&l, &Request::first().seqs(10, 7));
        assert_eq!(
            offer.decide(None, l.own()),
            Decision::Retry(Retry::ResetSession { full: true })
        );
        let reply = socket.retry(&l, &offer, Retry::ResetSession { full: true });
        refuses(&reply, RESETSESSION, 32, 0, 0);
        // And then as one that has none, on the same socket.
        let offer = socket.offered(&l, &Request::first().seqs(11, 0));
        assert_eq!(offer.decide(None, l.own()), Decision::Open);
    }
}

#[test]
fn row_17_a_new_session() {
    for (policy, flags) in [(Policy::STATEFUL_SERVER, 0), (Policy::STATELESS_REGISTERED_SERVER, 1)]
    {
        let l = Listener::new(EntityType::MDS, policy);
        let request = Request::first();
        let (decision, reply, events) = answer(&l, None, &request);
        assert_eq!((decision, events), (Decision::Open, vec![]));
        opens(&reply, SEQ, &request, flags, 0);
        let l = Listener::new(EntityType::MDS, policy);
        let old = request.without(Features::RECONNECT_SEQ);
        let (decision, reply, events) = answer(&l, None, &old);
        assert_eq!(decision, Decision::Open);
        opens(&reply, READY, &old, flags, 0);
        assert_eq!(events, [Event::Accepted(Features(old.features & DAEMON.0))]);
    }
}

/// The answer to its first attempt got lost: a dialler that comes again with 0 has lost nothing.
#[test]
fn a_session_that_its_dialler_has_not_heard_of_is_replaced_without_a_reset() {
    for state in [ConState::AcceptingWaitSeq, ConState::Open, ConState::Standby] {
        for connect_seq in [0, 1, 2] {
            let l = Listener::mds();
            let ex = Existing { once_ready: false, ..existing(state, 1) };
            let request = Request::first().seqs(10, connect_seq);
            let (decision, reply, events) = answer(&l, Some(ex), &request);
            assert_eq!((decision, events), (Decision::Replace, vec![]), "{state}");
            opens(&reply, SEQ, &request, 0, 5);
            // An attempt that is older than that one is refused all the same.
            let old = Request::first().seqs(8, connect_seq);
            assert_eq!(answer(&l, Some(ex), &old).0, Decision::Retry(Retry::Global(SEEN)));
        }
    }
}
