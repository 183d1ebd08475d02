//! Sessions that were opened here for a dialler that may never have heard of it.

use super::acceptor::*;
use super::*;
use crate::types::{ConnectSeq, GlobalSeq};

/// A connection that has accepted a socket with this tag.
fn accepted(tag: u8) -> Con {
    let mut con = Scenario::lossless().until(ConState::Preopen);
    let reply = ConnectReply {
        tag,
        features: LINUX,
        global_seq: GlobalSeq(5),
        connect_seq: ConnectSeq(1),
        protocol_version: 0,
        authorizer_len: 0,
        flags: 0,
    };
    let socket = TakeOver {
        in_buf: InBuf::new(),
        reply,
        proof: Vec::new(),
        peer: con.rx.peer,
        peer_global_seq: GlobalSeq(3),
        features: LINUX,
        signer: None,
        reset: false,
    };
    con.rx.take_over(&mut con.tx, socket);
    con.try_write().unwrap();
    con.pipe.take_output();
    con
}

#[test]
fn ready_is_in_doubt_until_something_is_heard_or_sent() {
    let mut con = accepted(READY);
    assert!(!con.tx.existing().once_ready, "nobody may have heard it");
    con.receive(&[9]).unwrap();
    assert!(con.tx.existing().once_ready, "a keepalive has come");

    let mut con = accepted(READY);
    con.send(1);
    con.try_write().unwrap();
    assert!(con.tx.existing().once_ready, "a message may have come");

    let mut con = accepted(SEQ);
    assert_eq!(con.state(), ConState::AcceptingWaitSeq);
    con.send(1);
    con.try_write().unwrap();
    assert!(!con.tx.existing().once_ready);
    con.receive(&[0; 8]).unwrap();
    assert!(con.tx.existing().once_ready, "its number has come");
}

#[test]
fn a_session_that_the_dialler_never_heard_of_is_not_lost_when_it_says_so() {
    let mut con = accepted(SEQ);
    con.send_each([1, 2]);
    con.fault(&Fault::PeerClosed);
    assert_eq!(con.dial_to_connect().connect_seq, 1);
    con.receive(&Reply::new(RESETSESSION).bytes()).unwrap();
    assert_eq!(con.request().connect_seq, 0);
    con.receive(&Reply::new(SEQ).bytes()).unwrap();
    assert!(matches!(con.take_events()[..], [Event::Connected(_)]), "and no reset");
    let out = con.pipe.take_output();
    let seqs: Vec<_> = parse_frames(&out[8..], true)
        .into_iter()
        .filter_map(|f| match f {
            Frame::Msg(m) => Some(m.seq),
            _ => None,
        })
        .collect();
    assert_eq!(seqs, [1, 2]);
}
