//! The two hellos and the first connect message: what is written when, and what is read when.

use super::acceptor::*;
use super::*;
use crate::hex::hex;

const HELLO: usize = 145;
const CONNECT: usize = 33;

fn dialled() -> Con {
    Scenario::lossless().until(ConState::V1Banner)
}

#[test]
fn the_bytes_of_the_linux_client() {
    let mut con = Scenario::lossless().peer_type(EntityType::MON).until(ConState::V1Banner);
    con.run().unwrap();
    let mut hello = b"ceph v027".to_vec();
    hello.extend(hex("00000000 78563412 0002 0000 00000000"));
    hello.resize(HELLO, 0);
    assert_eq!(con.pipe.take_output(), hello);
    // As a live 16.2.15 monitor sent it, but for the nonce that the tests dial.
    let mut wire = b"ceph v027".to_vec();
    wire.extend(hex("00000000 07000000 0002 9c41 7f000001"));
    wire.resize(145, 0);
    wire.extend(hex("00000000 00000000 0002 c82a 0a010203"));
    wire.resize(281, 0);
    con.receive(&wire).unwrap();
    assert_eq!(
        con.pipe.output,
        hex("feaaa47ab88e012f 08000000 01000000 00000000 0f000000 00000000 00000000 00")
    );
    assert_eq!(con.world.local.addr().to_string(), "v1:10.1.2.3:0/305419896");
}

#[test]
fn protocol_versions_by_type_of_peer() {
    for (peer, version) in
        [(EntityType::MON, 15), (EntityType::OSD, 24), (EntityType::MDS, 32), (EntityType::MGR, 0)]
    {
        let mut con = Scenario::lossless().peer_type(peer).until(ConState::Preopen);
        let request = con.dial_to_connect();
        assert_eq!(request.protocol_version, version, "{peer}");
        assert_eq!((request.host_type, request.flags), (8, 0));
    }
}

/// The order of the hellos and the connect message, for every number of bytes of our hello that the transport has taken and
/// every number of bytes of the peer's that are there already.
#[test]
fn nothing_but_the_hello_goes_out_before_the_peers_is_accepted() {
    let (ours, theirs) = (client_hello(), hello());
    for sent in 0..=HELLO {
        for got in 0..=theirs.len() {
            let mut con = dialled();
            con.pipe.budget = sent;
            con.pipe.feed(&theirs[..got]);
            con.run().unwrap();
            assert_eq!(con.pipe.output, ours[..sent], "{sent} sent, {got} there");
            if sent < HELLO {
                // Gated: no input is asked for, however much is there.
                assert_eq!(con.state(), ConState::V1Banner);
                assert!(con.tx.is_gated() && con.tx.wants_write());
                assert_eq!((con.pipe.calls.recv, con.pipe.unread()), (0, got));
                assert_eq!(con.tx.out_kvec.len(), HELLO - sent, "nothing is queued behind it");
            } else if got < theirs.len() {
                assert_eq!(con.state(), ConState::V1Banner);
                assert!(!con.tx.is_gated() && con.tx.out_kvec.is_empty());
            } else {
                // Both hellos are through: the connect message is ready, alone, and gates input.
                assert_eq!(con.state(), ConState::V1ConnectMsg);
                assert!(con.tx.is_gated());
                assert_eq!(con.tx.out_kvec.len(), CONNECT);
            }
            con.pipe.budget = usize::MAX;
            con.receive(&theirs[got..]).unwrap();
            assert_eq!(con.state(), ConState::V1ConnectMsg);
            assert_eq!(con.pipe.output[..HELLO], ours, "{sent} sent, {got} there");
            let (request, rest) = Request::parse(&con.pipe.output[HELLO..]);
            assert_eq!((request.global_seq, rest.len()), (1, 0));
        }
    }
}

/// The race for which the kernel took the reset out of the builder: the peer's hello is
/// there while our own is half written.
#[test]
fn a_hello_processed_while_ours_is_half_written_is_refused_and_cuts_nothing() {
    let mut con = dialled();
    con.pipe.budget = 100;
    con.run().unwrap();
    let mut other = Pipe::default();
    other.feed(&hello());
    let incoming = con.rx.read_partial(&mut other).unwrap().unwrap();
    let refused = con.rx.process(&mut con.tx, incoming, &con.world.cx());
    assert_eq!(refused, Err(Fault::ReplyBeforeRequest));
    assert_eq!((con.state(), con.tx.out_kvec.len()), (ConState::V1Banner, HELLO - 100));
}

#[test]
fn input_waits_for_every_byte_of_the_connect_message() {
    for sent in 0..=CONNECT {
        let mut con = dialled();
        con.pipe.budget = HELLO + sent;
        con.receive(&hello()).unwrap();
        let recvs = con.pipe.calls.recv;
        // An early reply, in a segment of its own. Nobody looks.
        con.receive(&Reply::new(READY).bytes()).unwrap();
        assert_eq!(con.pipe.output.len(), HELLO + sent);
        if sent < CONNECT {
            assert_eq!((con.state(), con.pipe.calls.recv), (ConState::V1ConnectMsg, recvs));
        }
        con.pipe.budget = usize::MAX;
        con.run().unwrap();
        assert_eq!(con.state(), ConState::Open);
        Request::parse(&con.pipe.output[HELLO..]);
    }
}

#[test]
fn a_reply_in_the_segment_of_the_hello_is_a_fault_and_not_a_truncated_request() {
    let reply = Reply::new(READY).bytes();
    for early in 1..=reply.len() {
        let mut con = dialled();
        let segment = [&hello()[..], &reply[..early]].concat();
        assert_eq!(con.receive(&segment), Err(Fault::ReplyBeforeRequest), "{early} bytes");
        assert_eq!(con.pipe.output, client_hello(), "the hello, and no part of a request");
        assert_eq!(con.state(), ConState::V1Banner);
    }
}

#[test]
fn a_reply_behind_a_reply_that_asks_again_is_a_fault() {
    for tag in [RESETSESSION, RETRY_SESSION, RETRY_GLOBAL, BADAUTHORIZER] {
        let mut con = Scenario::lossless().connect();
        let both = [Reply::new(tag).bytes(), Reply::new(READY).bytes()].concat();
        assert_eq!(con.receive(&both), Err(Fault::ReplyBeforeRequest), "tag {tag}");
        assert_eq!(con.pipe.output, b"");
    }
    let mut con = Scenario::lossless().cephx().connect();
    let challenge = Reply::challenge(&aes_key(), 1).bytes();
    assert_eq!(con.receive(&[&challenge[..], &[READY]].concat()), Err(Fault::ReplyBeforeRequest));
    assert_eq!(con.pipe.output, b"");
}

#[test]
fn process_banner_changes_no_state_and_prepares_nothing() {
    let mut con = dialled();
    con.run().unwrap();
    con.pipe.feed(&hello());
    con.rx.readable();
    let Some(Incoming::Hello(hello)) = con.rx.read_partial(&mut con.pipe).unwrap() else {
        panic!("no hello");
    };
    let read = format!("{:?}", con.rx.read);
    con.rx.process_banner(&hello, &con.world.cx()).unwrap();
    assert_eq!((con.state(), con.tx.out_kvec.len()), (ConState::V1Banner, 0));
    assert_eq!(format!("{:?}", con.rx.read), read);
    assert!(con.rx.handshake.connect.is_none() && con.world.auth.asked().is_empty());
}

#[test]
fn prepare_write_connect_empties_the_out_buffer_itself() {
    let mut con = Scenario::lossless().cephx().until(ConState::V1Banner);
    for _ in 0..2 {
        con.tx.out_kvec.add(b"left over");
        con.rx.prepare_write_connect(&mut con.tx, &con.world.cx()).unwrap();
        con.try_write().unwrap();
        let request = con.request();
        assert_eq!(request.authorizer_protocol, 2);
    }
}

#[test]
fn without_an_authorizer_nothing_is_queued_and_nothing_dropped() {
    let mut con = Scenario::lossless().auth(Auth::NoTicket).until(ConState::V1Banner);
    con.run().unwrap();
    con.tx.out_kvec.add(b"kept");
    let fault = con.rx.prepare_write_connect(&mut con.tx, &con.world.cx()).unwrap_err();
    let service = EntityType::OSD;
    assert_eq!(fault, Fault::Auth(AuthError::NoTicket { service }));
    assert_eq!(con.tx.out_kvec.len(), 4);
    con.tx.out_kvec.reset();
    assert_eq!(con.receive(&hello()), Err(fault));
    assert_eq!(con.pipe.output, client_hello());
}

#[test]
fn the_authorizer_stands_behind_the_connect_message() {
    let mut con = Scenario::lossless().cephx().until(ConState::Preopen);
    let request = con.dial_to_connect();
    assert_eq!(request.authorizer_protocol, 2);
    // Part a: version 1, global_id, service OSD, the ticket. Nonce 0x55, no challenge answered.
    let part_a = hex("01 9210000000000000 04000000 01 0200000000000000 70000000");
    assert_eq!(request.authorizer[..26], part_a);
    assert_eq!(
        request.authorizer[26 + 112..],
        hex("20000000 979eeb6e12f4322ef510d7f1d9aefec5 6929305f510d0ff3abea904640aa11b2")
    );

    let mut con = Scenario::lossless().auth(Auth::None).until(ConState::Preopen);
    let request = con.dial_to_connect();
    assert_eq!(request.authorizer_protocol, 1);
    assert_eq!(request.authorizer, hex("01 08000000 05000000 61646d696e 9210000000000000"));
}

#[test]
fn who_answers_must_be_the_one_that_was_dialled() {
    let wrong = |peer_addr: &[u8]| {
        let mut con = Scenario::lossless().cephx().until(ConState::V1Banner);
        let fault = con.receive(&hello_from(peer_addr)).unwrap_err();
        assert!(matches!(fault, Fault::WrongPeer { .. }), "{fault:?}");
        // No authorizer for a stranger, no address believed from one.
        assert_eq!(con.pipe.output, client_hello());
        assert!(con.world.auth.asked().is_empty() && con.world.local.addr().is_blank_ip());
    };
    wrong(&addr(PEER_IP, PEER_PORT, PEER_NONCE + 1));
    wrong(&addr(PEER_IP, PEER_PORT + 1, PEER_NONCE));
    wrong(&addr([127, 0, 0, 2], PEER_PORT, PEER_NONCE));
    wrong(&addr([0; 4], PEER_PORT + 1, PEER_NONCE));
    wrong(&addr([0; 4], PEER_PORT, 0));
    // A family that is none, which also is how a family in little-endian reads.
    let mut family = addr(PEER_IP, PEER_PORT, PEER_NONCE);
    family[8..10].reverse();
    wrong(&family);

    let mut con = Scenario::lossless().cephx().until(ConState::V1Banner);
    con.receive(&hello_from(&addr([0; 4], PEER_PORT, PEER_NONCE))).unwrap();
    assert_eq!(con.state(), ConState::V1ConnectMsg, "a peer that does not know its own IP");
}

#[test]
fn an_address_with_a_type_is_malformed() {
    for kind in [1, 2, 3, 255] {
        let mut bytes = addr(PEER_IP, PEER_PORT, PEER_NONCE);
        bytes[0] = kind;
        let fault = dialled().receive(&hello_from(&bytes)).unwrap_err();
        assert!(matches!(fault, Fault::Decode(_)), "{fault:?}");
    }
}

#[test]
fn what_is_no_banner_is_refused_at_its_first_wrong_byte() {
    let refused = |bytes: &[u8]| {
        let whole = dialled().receive(bytes).unwrap_err();
        // Byte by byte: as soon as it cannot become a banner any more, and with the same word.
        let mut con = dialled();
        let first = (1..=bytes.len()).find(|n| con.receive(&bytes[n - 1..*n]).is_err());
        (whole, first.unwrap())
    };
    assert_eq!(refused(b"HTTP/1.1 400 Bad Request"), (Fault::BadBanner, 1));
    assert_eq!(refused(b"SSH-2.0-OpenSSH"), (Fault::BadBanner, 1));
    assert_eq!(refused(b"ceph v026........"), (Fault::BadBanner, 9));
    assert_eq!(refused(b"ceph v3\n...."), (Fault::BadBanner, 7));
    assert_eq!(refused(b"ceph v2\n\x10\0................").0, Fault::PeerSpeaksV2);
    assert_eq!(refused(b"ceph v2\n\x10\0................").1, 8);
    assert_eq!(refused(b"ceph v2x").0, Fault::BadBanner);
}

#[test]
fn a_peer_that_closes_inside_its_hello_or_its_reply() {
    let reply = Reply::new(SEQ).authorizer(&[]).bytes();
    for n in 0..=hello().len() {
        let mut con = dialled();
        con.pipe.feed(&hello()[..n]);
        con.pipe.eof = true;
        let want = con.rx.awaiting();
        assert_eq!(want, "banner");
        let fault = std::iter::repeat_with(|| con.run()).take(3).find_map(Result::err);
        assert_eq!(fault, Some(Fault::PeerClosed), "{n} bytes");
    }
    for n in 0..reply.len() {
        let mut con = Scenario::lossless().connect();
        con.pipe.feed(&reply[..n]);
        con.pipe.eof = true;
        let fault = std::iter::repeat_with(|| con.run()).take(3).find_map(Result::err);
        assert_eq!(fault, Some(Fault::PeerClosed), "{n} bytes");
        assert_eq!(con.state(), ConState::V1ConnectMsg);
    }
}

#[test]
fn the_learned_address_goes_into_the_next_hello() {
    let mut con = Scenario::lossless().open();
    con.fault(&Fault::PeerClosed);
    con.dial();
    con.run().unwrap();
    let learned = [&b"ceph v027"[..], &addr([10, 1, 2, 3], 0, NONCE)].concat();
    assert_eq!(con.pipe.output, learned);
}

/// Everything the peer says in a session with a challenge, SEQ, messages, acks and keepalives,
/// in the parts that wait for a request each.
fn parts() -> [Vec<u8>; 5] {
    let key = aes_key();
    let form = crate::crypto::SignatureForm::CephxV2;
    let long = Msg { middle: vec![9; 300], data: vec![7; 20_000], ..Msg::new(2) };
    let open = [
        Msg::new(1).signed(&key, form).bytes(true),
        vec![9],
        long.signed(&key, form).bytes(true),
        [&[15][..], &[1, 0, 0, 0, 2, 0, 0, 0]].concat(),
        [&[8][..], &1u64.to_le_bytes()].concat(),
        Msg::new(3).signed(&key, form).bytes(true),
        [&[14][..], &[3, 0, 0, 0, 4, 0, 0, 0]].concat(),
    ];
    let proof = authorizer_reply(&key, AUTH_NONCE);
    [
        hello(),
        Reply::challenge(&key, 0x10).bytes(),
        Reply::new(RETRY_GLOBAL).authorizer(&proof).global_seq(9).bytes(),
        Reply::new(SEQ).authorizer(&proof).bytes(),
        open.concat(),
    ]
}

/// The events of that session, and what we wrote in its handshake, for a stream cut like this.
fn conversation(parts: &[Vec<u8>; 5], cut: impl Fn(&[u8]) -> Vec<usize>) -> (Vec<Event>, Vec<u8>) {
    let mut con = Scenario::lossless().cephx().until(ConState::V1Banner);
    con.send(1);
    for part in parts {
        let mut at = 0;
        for len in cut(part) {
            con.receive(&part[at..at + len]).unwrap();
            at += len;
        }
        con.receive(&part[at..]).unwrap();
    }
    // Only the acks differ by when they were due: they are checked as what they sum up to.
    let out = con.pipe.take_output();
    let (_, rest) = Request::parse(&out[HELLO..]);
    let (_, rest) = Request::parse(rest);
    let (_, rest) = Request::parse(rest);
    let (seq, rest) = rest.split_at(8);
    assert_eq!(seq, 0u64.to_le_bytes());
    let frames = parse_frames(rest, true);
    let acks: Vec<u64> =
        frames.iter().filter_map(|f| if let Frame::Ack(n) = f { Some(*n) } else { None }).collect();
    assert!(acks.is_sorted() && acks.last() == Some(&3), "{acks:?}");
    assert_eq!((seqs(&frames), frames.contains(&Frame::Keepalive2Ack(3, 4))), (vec![1], true));
    let handshake = out[..out.len() - rest.len()].to_vec();
    (con.events, handshake)
}

#[test]
fn every_split_of_the_stream_gives_the_same() {
    let parts = parts();
    let whole = conversation(&parts, |_| vec![]);
    assert_eq!(whole.0.len(), 6, "{:?}", whole.0);
    // Pieces of one length, small enough to cut all parts everywhere and large ones too.
    for n in (1..60).chain([100, 281, 4096, 16 << 10]) {
        let pieces = |part: &[u8]| vec![n; part.len() / n];
        assert!(conversation(&parts, pieces) == whole, "pieces of {n}");
    }
    // Two pieces, cut at each byte of the short parts and around the ends of the long one.
    for at in (0..700).chain(20_300..20_800) {
        assert!(conversation(&parts, |part| vec![at.min(part.len())]) == whole, "cut at {at}");
    }
    // Pieces of random lengths.
    for seed in 0..200 {
        let random = std::cell::RefCell::new(Random(seed));
        let pieces = |part: &[u8]| {
            let (mut pieces, mut left) = (Vec::new(), part.len());
            while left > 0 {
                let n = (1 + random.borrow_mut().below(97) * (1 + seed as usize % 40)).min(left);
                pieces.push(n);
                left -= n;
            }
            pieces
        };
        assert!(conversation(&parts, pieces) == whole, "seed {seed}");
    }
}
