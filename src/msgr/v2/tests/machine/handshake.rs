//! What is written when, and what is read when, from the banner to the open session.

use super::acceptor::Line;
use super::far::*;
use super::sheets::*;
use super::*;
use crate::hex::hex;
use crate::types::Tid;

#[test]
fn the_bytes_of_a_client_up_to_its_request() {
    let mut con = Scenario::lossy().shows(Shows::None).until(ConState::V2Banner);
    con.run().unwrap();
    let banner = hex("636570682076320a 1000 0100000000000000 0000000000000000");
    assert_eq!(con.pipe.take_output(), banner);
    con.far.read_banner(&banner);
    let far = con.far.banner();
    con.receive(&far).unwrap();
    let hello = con.wrote(HELLO);
    assert_eq!(
        hello,
        hex("08 0101011c000000 02000000 07000000 10000000 0200 9c41 7f000001 0000000000000000")
    );
    con.receive_frame(HELLO, &con.far_hello()).unwrap();
    let name = hex("01 08000000 05000000 61646d696e 9210000000000000");
    // Of the modes only the one that needs no key.
    assert_eq!(con.wrote(AUTH_REQUEST), auth_request(1, &[1], &name));
}

/// For every number of bytes of our banner that the transport has taken, and every number of bytes
/// of the peer's banner and HELLO that are there already.
#[test]
fn nothing_but_the_banner_goes_out_before_the_peers_is_accepted() {
    for revision in [1, 0] {
        for sent in 0..=BANNER {
            let mut con =
                Scenario::lossless().form((revision, ConMode::Crc)).until(ConState::V2Banner);
            let theirs = [con.far.banner(), con.far.frame(HELLO, &con.far_hello())].concat();
            for got in 0..=theirs.len() {
                let mut con = Scenario::lossless().until(ConState::V2Banner);
                con.pipe.budget = sent;
                con.receive(&theirs[..got]).unwrap();
                assert_eq!(con.pipe.output, banner(1, 0)[..sent], "{sent} sent, {got} there");
                if sent < BANNER {
                    // Gated: no input is asked for, however much is there.
                    assert!(con.tx.is_gated() && con.tx.wants_write());
                    assert_eq!((con.pipe.calls.recv, con.pipe.unread()), (0, got));
                    assert_eq!(con.tx.out_kvec.len(), BANNER - sent, "nothing is queued behind it");
                }
                let read = sent == BANNER && got >= BANNER;
                let state = if read { ConState::V2Hello } else { ConState::V2Banner };
                assert_eq!((con.state(), con.tx.is_gated()), (state, read || sent < BANNER));
                con.pipe.budget = usize::MAX;
                con.receive(&theirs[got..]).unwrap();
                assert_eq!(con.state(), ConState::V2Auth);
                let mut far = Far::new(revision, true);
                let out = con.pipe.take_output();
                let frames = far.read_banner(&out).to_vec();
                let tags: Vec<_> = far.read(&frames).iter().map(|f| f.tag).collect();
                assert_eq!(tags, [HELLO, AUTH_REQUEST], "{sent} sent, {got} there");
            }
        }
    }
}

#[test]
fn input_waits_for_every_byte_of_a_request() {
    // CLIENT_IDENT of 123 bytes.
    for sent in 0..=159 {
        let mut con = Scenario::lossless().until(ConState::V2AuthSignature);
        con.pipe.budget = sent;
        let signature = con.far.frame(AUTH_SIGNATURE, &[0; 32]);
        con.receive(&signature).unwrap();
        let recvs = con.pipe.calls.recv;
        // An early answer, in a segment of its own. Nobody looks.
        let answer = con.far.frame(SERVER_IDENT, &con.ident.bytes());
        con.receive(&answer).unwrap();
        assert_eq!(con.pipe.output.len(), sent);
        if sent < 159 {
            let state = (con.state(), con.pipe.calls.recv);
            assert_eq!(state, (ConState::V2SessionConnect, recvs));
        }
        con.pipe.budget = usize::MAX;
        con.run().unwrap();
        assert_eq!(con.state(), ConState::Open);
        con.wrote(CLIENT_IDENT);
    }
}

/// Each request, with an answer that is there before it was made.
#[test]
fn an_answer_that_comes_with_what_its_request_follows_is_a_fault_and_no_request() {
    let early = |state, tag, payload: &dyn Fn(&mut Con) -> Vec<u8>, answer| {
        for n in 1..=32 {
            let mut con = Scenario::lossless().cephx(aes_key()).until(state);
            let payload = payload(&mut con);
            let first = con.far.frame(tag, &payload);
            let next = con.far.frame(answer, &[0; 40]);
            assert_eq!(con.receive(&[&first, &next[..n]].concat()), Err(Fault::ReplyBeforeRequest));
            assert_eq!(con.pipe.output, b"", "{n} bytes behind tag {tag}");
        }
    };
    early(ConState::V2Hello, HELLO, &|con| con.far_hello(), AUTH_REPLY_MORE);
    let key = aes_key();
    let challenge = |_: &mut Con| more(&challenge(&key, 1));
    early(ConState::V2Auth, AUTH_REPLY_MORE, &challenge, AUTH_DONE);
    let signature = |con: &mut Con| con.far.signature(Some(&key));
    early(ConState::V2AuthSignature, AUTH_SIGNATURE, &signature, SERVER_IDENT);
    let seven = |_: &mut Con| 7u64.to_le_bytes().to_vec();
    early(ConState::V2SessionReconnect, SESSION_RETRY, &seven, SESSION_RECONNECT_OK);
    early(ConState::V2SessionReconnect, SESSION_RETRY_GLOBAL, &seven, SESSION_RECONNECT_OK);
    early(ConState::V2SessionReconnect, SESSION_RESET, &|_| vec![0], SERVER_IDENT);
    early(ConState::V2SessionReconnect, SESSION_RESET, &|_| vec![1], SERVER_IDENT);
}

/// A frame is processed with the out buffer half written: whoever calls like this cuts nothing.
#[test]
fn a_frame_processed_while_a_request_is_half_written_is_refused() {
    let mut con = Scenario::lossless().until(ConState::V2AuthSignature);
    con.pipe.budget = 100;
    let signature = con.far.frame(AUTH_SIGNATURE, &[0; 32]);
    con.receive(&signature).unwrap();
    let mut other = Pipe::default();
    other.feed(&con.far.frame(SERVER_IDENT, &con.ident.bytes()));
    con.rx.readable();
    let incoming = con.rx.read_partial(&mut other).unwrap().unwrap();
    let refused = con.rx.process(&mut con.tx, incoming, &con.world.cx());
    assert_eq!(refused, Err(Fault::ReplyBeforeRequest));
    assert_eq!((con.state(), con.tx.out_kvec.len()), (ConState::V2SessionConnect, 59));
}

/// AUTH_SIGNATURE comes with AUTH_DONE, and messages with the answer that opens the session.
#[test]
fn what_may_come_together_does() {
    for form in FORMS {
        let mut con = Scenario::lossless().form(form).until(ConState::V2Auth);
        let (proof, secret) = con.far_proof();
        let done = con.far.frame(AUTH_DONE, &auth_done(4242, form.1.number(), &proof));
        if !secret.is_empty() {
            con.far.set_secure(&secret);
        }
        let signature = con.far.signature(con.key().as_ref());
        let signature = con.far.frame(AUTH_SIGNATURE, &signature);
        con.receive(&[done, signature].concat()).unwrap();
        assert_eq!(con.state(), ConState::V2SessionConnect, "{form:?}");
        let out = con.pipe.take_output();
        let frames = con.far.read(&out);
        let tags: Vec<_> = frames.iter().map(|f| f.tag).collect();
        assert_eq!(tags, [AUTH_SIGNATURE, CLIENT_IDENT], "{form:?}");
        let ident = con.far.frame(SERVER_IDENT, &con.ident.bytes());
        let messages = con.far.msgs([1, 2]);
        con.receive(&[ident, messages].concat()).unwrap();
        assert_eq!(con.received(), [1, 2], "{form:?}");
        assert_eq!(con.said(), [Said::Ack(2)], "{form:?}");
    }
}

#[test]
fn a_banner_that_is_longer_counts_whole_and_one_that_lacks_or_demands_is_refused() {
    let key = aes_key();
    let mut con = Scenario::lossless().cephx(key.clone()).until(ConState::V2Banner);
    con.run().unwrap();
    let out = con.pipe.take_output();
    con.far.read_banner(&out);
    let mut long = banner(3, 1);
    (long[8], long[9]) = (20, 0);
    long.extend(b"more");
    con.far.say(long.clone());
    con.receive(&long).unwrap();
    con.wrote(HELLO);
    con.receive_frame(HELLO, &con.far_hello()).unwrap();
    con.wrote(AUTH_REQUEST);
    let (proof, _) = con.far_proof();
    con.receive_frame(AUTH_DONE, &auth_done(4242, 1, &proof)).unwrap();
    // Signed with the payload that nobody understands.
    assert_eq!(con.wrote(AUTH_SIGNATURE), con.far.expected(Some(&key)));

    let refused = |bytes: &[u8]| {
        let mut con = Scenario::lossless().until(ConState::V2Banner);
        let fault = con.receive(bytes).unwrap_err();
        assert_eq!(con.pipe.output, banner(1, 0), "the banner, and nothing else");
        assert_eq!(con.receive(&banner(1, 0)), Err(fault.clone()), "for ever");
        fault
    };
    assert_eq!(refused(&banner(3, 2)), Fault::Msgr2FeaturesMissing(2));
    assert_eq!(refused(b"ceph v027"), Fault::PeerSpeaksV1);
    assert_eq!(refused(b"HTTP/1.1 400 Bad Request"), Fault::BadBanner);
    let short = [&b"ceph v2\n\x08\0"[..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert!(matches!(refused(&short), Fault::Decode(_)));
    let long = [&b"ceph v2\n\x01\x10"[..]].concat();
    assert_eq!(refused(&long), Fault::TooLong { segment: "banner payload", len: 4097 });
}

#[test]
fn what_is_no_banner_is_refused_at_its_first_wrong_byte() {
    for (bytes, first, fault) in [
        (&b"HTTP/1.1"[..], 1, Fault::BadBanner),
        (b"ceph v3\n", 7, Fault::BadBanner),
        (b"ceph v2\r", 8, Fault::BadBanner),
        (b"ceph v027", 7, Fault::PeerSpeaksV1),
    ] {
        let mut con = Scenario::lossless().until(ConState::V2Banner);
        let wrong = (1..=bytes.len()).find(|n| con.receive(&bytes[n - 1..*n]).is_err());
        assert_eq!((wrong, con.run()), (Some(first), Err(fault)));
    }
}

/// A session with a challenge, messages, acks and keepalives both ways, a cut, and its continuation
/// after both kinds of RETRY: what the machine and the acceptor have got of it.
fn conversation(form: (u8, ConMode), mut piece: impl FnMut() -> usize) -> (Vec<Event>, Vec<u64>) {
    let mut line = Line::new(Scenario::lossless().form(form));
    let numbered = |tid: u64| msg(tid as u8).with_tid(Tid(tid));
    line.con.tx.send(numbered(1));
    line.con.tx.keepalive();
    assert!(line.settle(&mut piece).unwrap());
    for len in [0, 300, 20_000] {
        line.acceptor.send(len);
    }
    assert!(line.settle(&mut piece).unwrap());
    line.end();
    line.con.fault(&Fault::PeerClosed);
    line.con.tx.send(numbered(2));
    line.acceptor.send(7);
    line.acceptor.retry = Some(SESSION_RETRY);
    line.dial();
    while line.con.state() != ConState::Open || !line.acceptor.output.is_empty() {
        line.con.run().unwrap();
        let out = line.con.pipe.take_output();
        line.acceptor.hear(&out);
        if line.acceptor.tags.ends_with(&[SESSION_RECONNECT])
            && line.acceptor.tags.len() == 4 + usize::from(line.con.key().is_some())
        {
            line.acceptor.retry = Some(SESSION_RETRY_GLOBAL);
        }
        let n = piece().min(line.acceptor.output.len());
        let bytes: Vec<u8> = line.acceptor.output.drain(..n).collect();
        line.con.receive(&bytes).unwrap();
    }
    line.acceptor.ack();
    assert!(line.settle(&mut piece).unwrap());
    let reconnects = line.acceptor.tags.iter().filter(|t| **t == SESSION_RECONNECT).count();
    assert_eq!(reconnects, 3);
    assert!(line.acceptor.is_acked());
    // When acks were due differs by how the bytes came.
    line.events.retain(|e| !matches!(e, Event::Acked(_)));
    (line.events, line.acceptor.received)
}

#[test]
fn every_split_of_the_stream_gives_the_same() {
    for form in FORMS {
        let whole = conversation(form, || usize::MAX);
        let kinds: Vec<_> = whole.0.iter().map(std::mem::discriminant).collect();
        assert_eq!((kinds.len(), &whole.1[..]), (7, &[1, 2][..]), "{:?}", whole.0);
        for n in (1..40).chain([57, 96, 100, 159, 4096, 16 << 10]) {
            assert!(conversation(form, || n) == whole, "{form:?} in pieces of {n}");
        }
        for seed in 0..100 {
            let mut random = Random(seed);
            let piece = || 1 + random.below(97) * (1 + seed as usize % 40);
            assert!(conversation(form, piece) == whole, "{form:?} seed {seed}");
        }
    }
}
