//! Every tag in every state of an accepted socket, and what the dialler must say of itself.

use super::dialler::*;
use super::far::*;
use super::sheets::*;
use super::*;
use crate::limits;
use crate::msgr::Retry;
use crate::msgr::v2::{Offer, Tag};

/// A socket in each state, and the tags that have a place there.
fn states(l: &Listener) -> [(Socket, &'static str, &'static [u8]); 4] {
    [
        (l.greeted(), "HELLO", &[HELLO]),
        (l.introduced(8), "AUTH_REQUEST", &[AUTH_REQUEST, AUTH_REQUEST_MORE]),
        (l.authenticated(8), "AUTH_SIGNATURE", &[AUTH_SIGNATURE]),
        (l.signed(), "CLIENT_IDENT or SESSION_RECONNECT", &[CLIENT_IDENT, SESSION_RECONNECT]),
    ]
}

#[test]
fn every_tag_in_every_state() {
    for revision in [0, 1] {
        let l = Listener { revision, ..Listener::mds() };
        for state in 0..4 {
            for tag in 0..=u8::MAX {
                let [(mut socket, awaiting, taken)] =
                    [states(&l)].map(|s| s.into_iter().nth(state).unwrap());
                assert_eq!(socket.accept.awaiting(), awaiting);
                if taken.contains(&tag) {
                    continue;
                }
                let fault = socket.receive_frame(&l, tag, &[0; 8]).unwrap_err();
                let want = match Tag::try_from(tag) {
                    Err(fault) => fault,
                    Ok(Tag::Message) => Fault::BadTag(MESSAGE),
                    Ok(tag) => Fault::UnexpectedTag(tag),
                };
                assert_eq!((&fault, socket.pipe.output.len()), (&want, 0), "{awaiting}");
                assert_eq!(socket.receive(&l, &[0; 100]).unwrap_err(), want, "for ever");
            }
        }
    }
}

#[test]
fn a_payload_that_is_cut_is_malformed_wherever_it_has_a_place() {
    let l = Listener::mds();
    for state in 0..4 {
        let tags = states(&l).into_iter().nth(state).unwrap().2;
        for &tag in tags {
            let mut socket = states(&l).into_iter().nth(state).unwrap().0;
            let fault = socket.receive_frame(&l, tag, &[]).unwrap_err();
            assert!(matches!(fault, Fault::Decode(_)), "{tag}: {fault:?}");
        }
    }
    for (tag, whole) in [
        (CLIENT_IDENT, ClientIdent::lossless().bytes()),
        (SESSION_RECONNECT, Reconnect::again(1, 10, 1).bytes()),
    ] {
        for n in 0..whole.len() {
            let fault = l.signed().receive_frame(&l, tag, &whole[..n]).unwrap_err();
            assert!(matches!(fault, Fault::Decode(_)), "{tag}, {n} bytes: {fault:?}");
        }
        let newer = [&whole[..], b"newer"].concat();
        assert!(l.signed().receive_frame(&l, tag, &newer).unwrap().is_some());
    }
}

#[test]
fn a_frame_of_the_handshake_cannot_be_aborted() {
    let l = Listener { revision: 0, ..Listener::mds() };
    for state in 0..4 {
        let (mut socket, _, taken) = states(&l).into_iter().nth(state).unwrap();
        let bytes = socket.far.frame_of(taken[0], [&[0; 40], &[], &[], &[]], 1);
        let want = Fault::UnexpectedTag(Tag::try_from(taken[0]).unwrap());
        assert_eq!(socket.receive(&l, &bytes).unwrap_err(), want);
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_there() {
    let l = Listener::mds();
    let len = limits::FRAME_MAX_UNAUTHENTICATED_LEN + 1;
    let fault = Fault::TooLong { segment: "segment 0", len };
    for state in 0..4 {
        let (mut socket, _, taken) = states(&l).into_iter().nth(state).unwrap();
        let bytes = socket.far.frame(taken[0], &vec![0; len as usize]);
        assert_eq!(socket.receive(&l, &bytes[..32]).unwrap_err(), fault);
    }
    // The rounds before the signature are bounded together too.
    let mut socket = l.introduced(8);
    let long = auth_request(7, &[1], &[0; 5000]);
    let fault = (0..9).find_map(|_| socket.receive_frame(&l, AUTH_REQUEST, &long).err()).unwrap();
    assert!(matches!(fault, Fault::TooLong { segment: "handshake", .. }), "{fault:?}");

    let mut socket = l.socket();
    let fault = Fault::TooLong { segment: "banner payload", len: 4097 };
    assert_eq!(socket.receive(&l, b"ceph v2\n\x01\x10").unwrap_err(), fault);
}

#[test]
fn the_banner_goes_out_at_once_and_nothing_else_before_the_diallers() {
    for sent in 0..BANNER {
        let l = Listener::mds();
        let mut socket = l.socket();
        socket.pipe.budget = sent;
        let banner = socket.far.banner();
        socket.receive(&l, &banner).unwrap();
        // Nobody reads before it is out.
        assert_eq!((socket.pipe.unread(), socket.pipe.output.len()), (BANNER, sent));
        assert!(socket.accept.read_partial(&mut socket.pipe).unwrap().is_none());
        socket.pipe.budget = usize::MAX;
        socket.run(&l).unwrap();
        let out = socket.pipe.take_output();
        let rest = socket.far.read_banner(&out).to_vec();
        socket.far.read_one(HELLO, &rest);
    }
    for (bytes, fault) in [
        (&b"ceph v027"[..], Fault::PeerSpeaksV1),
        (b"GET / HTTP", Fault::BadBanner),
        (&banner(1, 4), Fault::Msgr2FeaturesMissing(4)),
    ] {
        let mut socket = Listener::mds().socket();
        assert_eq!(socket.receive(&Listener::mds(), bytes).unwrap_err(), fault);
        assert_eq!(socket.pipe.output, banner(1, 0));
    }
}

#[test]
fn the_policy_is_that_of_the_type_that_was_shown() {
    let mut l = Listener::new(EntityType::MDS, Policy::STATELESS_SERVER);
    l.policies = l.policies.with(EntityType::CLIENT, Policy::STATEFUL_SERVER);
    l.policies = l.policies.with(EntityType::MDS, Policy::LOSSLESS_PEER);
    for (entity_type, policy, num) in [
        (8, Policy::STATEFUL_SERVER, 4242),
        (2, Policy::LOSSLESS_PEER, 5),
        (4, Policy::STATELESS_SERVER, 5),
    ] {
        let mut socket = l.signed_as(entity_type);
        let offer = socket.ident(&l, &ClientIdent::lossless());
        assert_eq!(offer.peer().policy, policy);
        let name = EntityName::new(EntityType(entity_type), num);
        assert_eq!(offer.peer().name, name, "the number that was shown, and not the gid");
    }
}

fn identified(change: impl FnOnce(&mut ClientIdent)) -> Result<Offer, Fault> {
    let l = Listener::mds();
    let mut ident = ClientIdent::lossless();
    change(&mut ident);
    let mut socket = l.signed();
    let offer = socket.receive_frame(&l, CLIENT_IDENT, &ident.bytes());
    if offer.is_err() {
        assert_eq!(socket.pipe.output, b"", "no reason goes out");
    }
    offer.map(|offer| offer.expect("an offer"))
}

#[test]
fn the_address_that_was_dialled_must_be_ours() {
    let (ip, port, nonce) = (PEER_IP, PEER_PORT, PEER_NONCE);
    for wrong in [
        addr_of(2, ip, port, nonce + 1),
        addr_of(2, ip, port, 0),
        addr_of(2, ip, port + 1, nonce),
        addr_of(2, [127, 0, 0, 2], port, nonce),
        addr_of(1, ip, port, nonce),
        addr_of(3, ip, port, nonce),
        no_addr(),
    ] {
        let fault = identified(|i| i.target = wrong).unwrap_err();
        assert!(matches!(fault, Fault::WrongPeer { .. }), "{fault:?}");
    }
    // Any of ours, as Ceph has it.
    identified(|i| i.target = addr_of(1, ip, port + 1, nonce)).unwrap();
}

#[test]
fn the_dialler_must_have_an_address_and_may_leave_its_ip_to_the_socket() {
    for none in [addrs_of(&[]), addrs_of(&[no_addr()]), no_addr()] {
        assert_eq!(identified(|i| i.addrs = none.clone()).unwrap_err(), Fault::NoPeerAddress);
        let l = Listener::mds();
        let reconnect = Reconnect { addrs: none, ..Reconnect::again(1, 10, 1) };
        let fault = l.signed().receive_frame(&l, SESSION_RECONNECT, &reconnect.bytes());
        assert_eq!(fault.unwrap_err(), Fault::NoPeerAddress);
    }
    let claimed = |addrs: &[Vec<u8>]| {
        identified(|i| i.addrs = addrs_of(addrs)).unwrap().peer().addr.to_string()
    };
    assert_eq!(claimed(&[client_addr()]), "any:10.1.2.3:0/305419896");
    assert_eq!(claimed(&[addr_of(3, [0; 4], 0, 9)]), "any:10.1.2.3:0/9");
    assert_eq!(claimed(&[addr_of(2, [0; 4], 6800, 9)]), "v2:10.1.2.3:6800/9");
    let both = [addr_of(1, [10, 0, 0, 1], 1, 9), addr_of(2, [10, 0, 0, 1], 2, 9)];
    assert_eq!(claimed(&both), "v2:10.0.0.1:2/9");
    assert_eq!(claimed(&both[..1]), "v1:10.0.0.1:1/9");
    assert!(matches!(identified(|i| i.addrs[0] = 3).unwrap_err(), Fault::Decode(_)));
}

#[test]
fn features_that_are_missing_are_named_and_the_dialler_may_try_again() {
    let crush = Features(1 << 18 | 1 << 58);
    let options = Options { supported: DAEMON, required: crush, ..Options::default() };
    let l = Listener::with(EntityType::MDS, Policy::STATEFUL_SERVER, options);
    let mut socket = l.signed();
    for (supported, missing) in
        [(LINUX.0 & !(1 << 18), 1 << 18), (LINUX.0 & !ADDR2, ADDR2), (0, crush.0 | ADDR2)]
    {
        let ident = ClientIdent { supported, ..ClientIdent::lossless() };
        assert!(socket.receive_frame(&l, CLIENT_IDENT, &ident.bytes()).unwrap().is_none());
        assert_eq!(read_u64(&socket.wrote(IDENT_MISSING_FEATURES)), missing);
    }
    // What it demands of us is for itself to find out.
    let ident = ClientIdent { required: 1 << 63, ..ClientIdent::lossless() };
    let offer = socket.ident(&l, &ident);
    let mut con = l.con(*offer.peer());
    l.take_over(&mut con, socket, offer, false);
    con.run().unwrap();
    let reply = ServerIdent::read(&con.wrote(SERVER_IDENT));
    assert_eq!((reply.supported, reply.required), (DAEMON.0, ADDR2 | crush.0));
    assert_eq!(con.take_events(), [Event::Accepted(BOTH)]);
}

#[test]
fn numbers_that_no_messenger_has_are_refused() {
    let far = u64::from(u32::MAX) + 1;
    assert_eq!(identified(|i| i.global_seq = far).unwrap_err(), Fault::BadGlobalSeq(far));
    identified(|i| i.global_seq = far - 1).unwrap();
    let l = Listener::mds();
    let reconnect = |reconnect: Reconnect| {
        l.signed().receive_frame(&l, SESSION_RECONNECT, &reconnect.bytes()).map(drop)
    };
    let again = |global_seq, connect_seq| Reconnect::again(1, global_seq, connect_seq);
    assert_eq!(reconnect(again(far, 1)), Err(Fault::BadGlobalSeq(far)));
    assert_eq!(reconnect(again(1, far)), Err(Fault::ConnectSeqTooHigh(far)));
    // Nobody comes so far, and the dialler could not go on.
    let most = far / 2 - 1;
    assert_eq!(reconnect(again(1, most)), Err(Fault::ConnectSeqTooHigh(most)));
    assert_eq!(reconnect(again(far - 1, most - 1)), Ok(()));
    let msg_seq = u64::MAX;
    assert_eq!(reconnect(Reconnect { msg_seq, ..again(1, 1) }), Err(Fault::BadSeq(msg_seq)));
}

#[test]
fn an_offer_may_be_made_again_after_each_answer() {
    let l = Listener::mds();
    for retry in [
        Retry::Global(GlobalSeq(500)),
        Retry::Session(ConnectSeq(9)),
        Retry::ResetSession { full: true },
        Retry::Wait,
    ] {
        let mut socket = l.signed();
        let offer = socket.reconnect(&l, &Reconnect::again(COOKIE, 10, 1));
        assert_eq!(offer.connect_seq(), ConnectSeq(1));
        socket.retry(retry);
        let offer = socket.ident(&l, &ClientIdent::lossless());
        assert_eq!(offer.connect_seq(), ConnectSeq(0));
    }
}

/// In every split, and closed at every byte.
#[test]
fn a_socket_in_pieces() {
    let l = Listener::mds();
    // With `none` there is nothing in it that differs between sockets.
    let mut far = Far::new(1, false);
    let mut all = far.banner();
    all.extend(far.frame(HELLO, &hello(8, &peer_addr())));
    all.extend(far.frame(AUTH_REQUEST, &auth_request(1, &[1], &none_authorizer(8))));
    all.extend(far.frame(AUTH_SIGNATURE, &[0; 32]));
    all.extend(far.frame(CLIENT_IDENT, &ClientIdent::lossless().bytes()));
    for n in 1..=all.len() {
        let mut socket = l.socket();
        let mut offers = 0;
        for piece in all.chunks(n) {
            offers += usize::from(socket.receive(&l, piece).unwrap().is_some());
        }
        assert_eq!((offers, socket.pipe.unread()), (1, 0), "pieces of {n}");
    }
    for n in 0..all.len() {
        let mut socket = l.socket();
        assert!(socket.receive(&l, &all[..n]).unwrap().is_none());
        socket.pipe.eof = true;
        let fault = (0..3).find_map(|_| socket.run(&l).err());
        assert_eq!(fault, Some(Fault::PeerClosed), "{n} bytes");
    }
}
