//! What is put into the out buffer while the peer is slow to take what is there.

use std::time::Instant;

use super::*;
use crate::auth::NoAuthorizer;
use crate::msgr::{ConState, Context, Local, Message, Options, Policy, tx};
use crate::types::{EntityType, UTime};

/// Longer than what is gathered for one write.
const LEN: usize = 200_000;

fn open(secure: bool) -> Tx {
    let name = EntityName::new(EntityType::OSD, 3);
    let addr = "v2:127.0.0.1:6800/7".parse().unwrap();
    let (_, mut tx) = connection(Peer { name, addr, policy: Policy::LOSSLESS_PEER });
    tx.set_framing(tx::Framing::V2(Framing(dialler_tx((V2_1, secure)))));
    tx.con_mode = Some(mode(secure));
    tx.set_state(ConState::Open);
    tx
}

#[test]
fn one_frame_is_sealed_ahead_and_not_more() {
    let local = Local::new(EntityType::CLIENT, 1, Options::default());
    let cx =
        Context { now: Instant::now(), wall: UTime::default(), local: &local, auth: &NoAuthorizer };
    for secure in [false, true] {
        let mut tx = open(secure);
        for _ in 0..4 {
            tx.send(Message::new(1, &b""[..]).with_data(vec![7; LEN]));
        }
        let mut pipe = Pipe { budget: 100, ..Pipe::default() };
        assert!(!tx.try_write(&mut pipe, &cx).unwrap());
        let ahead = if secure { 2 } else { 1 };
        for _ in 0..3 {
            assert_eq!(tx.session.out_queue.len(), 4 - ahead, "secure: {secure}");
            assert!(!tx.try_write(&mut pipe, &cx).unwrap());
        }
        // The end of the first, and the beginning of the second.
        pipe.budget = LEN + 1000;
        assert!(!tx.try_write(&mut pipe, &cx).unwrap());
        assert_eq!(tx.session.out_queue.len(), 3 - ahead, "secure: {secure}");
        pipe.budget = usize::MAX;
        assert!(tx.try_write(&mut pipe, &cx).unwrap());

        let got = read(&mut acceptor_rx((V2_1, secure)), &pipe.output).unwrap();
        let data = got.iter().map(|got| match got {
            Got::Frame(Tag::Message, [_, _, _, data]) => data.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(data.collect::<Vec<_>>(), [LEN; 4]);
    }
}
