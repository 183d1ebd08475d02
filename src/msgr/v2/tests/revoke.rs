//! Messages that are taken back while their frames wait in the out buffer.

use std::time::Instant;

use super::*;
use crate::auth::NoAuthorizer;
use crate::msgr::out_kvec::Revoked;
use crate::msgr::tx;
use crate::msgr::{ConState, Context, Local, Message, Options, Policy};
use crate::types::{EntityType, Seq, UTime};

#[test]
fn what_a_message_acknowledges_is_told_although_it_is_taken_back() {
    let local = Local::new(EntityType::CLIENT, 1, Options::default());
    let (now, wall) = (Instant::now(), UTime::default());
    let cx = Context { now, wall, local: &local, auth: &NoAuthorizer };
    let (_, mut tx) = connection(Peer {
        name: EntityName::new(EntityType::MDS, 0),
        addr: "v2:10.0.0.1:6800/1".parse().unwrap(),
        policy: Policy::LOSSLESS_CLIENT,
    });
    tx.set_framing(tx::Framing::V2(Framing(dialler_tx((V2_1, false)))));
    tx.set_state(ConState::Open);
    tx.session.take(Seq(1)).unwrap();
    let id = tx.send(Message::new(2, vec![0; 10]));
    let mut pipe = Pipe { budget: 0, ..Pipe::default() };
    assert_eq!(tx.try_write(&mut pipe, &cx), Ok(false));
    assert!(tx.revoke(id));

    pipe.budget = usize::MAX;
    assert_eq!(tx.try_write(&mut pipe, &cx), Ok(true));
    let ack = [1u64.to_le_bytes().to_vec(), vec![], vec![], vec![]];
    let got = read(&mut acceptor_rx((V2_1, false)), &pipe.output);
    assert_eq!(got, Ok(vec![Got::Frame(Tag::Ack, ack)]));
}

#[test]
fn what_follows_a_revoked_message_is_understood() {
    for mode in MODES {
        let (mut tx, mut rx) = (dialler_tx(mode), acceptor_rx(mode));
        let (first, second) = (segments([41, 5000, 0, 100]), segments([41, 18, 0, 0]));
        let (mut out, mut pipe) = (OutKvec::default(), Pipe::default());
        tx.add_frame(&mut out, message(&first)).unwrap();
        tx.add_frame(&mut out, OutFrame { id: Some(2), ..message(&second) }).unwrap();
        let revoked = out.revoke(1);
        assert!(out.write_to(&mut pipe).unwrap());

        let mut want = vec![Got::Frame(Tag::Message, second)];
        // What is sealed has had its nonce: without it the peer would open nothing that follows.
        if mode.1 {
            want.insert(0, Got::Frame(Tag::Message, first));
        }
        assert_eq!(revoked, if mode.1 { Revoked::Begun } else { Revoked::Whole }, "{mode:?}");
        assert_eq!(read(&mut rx, &pipe.output), Ok(want), "{mode:?}");
    }
}
