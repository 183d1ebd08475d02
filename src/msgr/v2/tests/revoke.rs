//! Messages that are taken back while their frames wait in the out buffer.

use super::*;
use crate::msgr::out_kvec::Revoked;

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
