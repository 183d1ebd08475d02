//! Signatures of a session that was accepted with a ticket.

use super::accept_auth::{authorizer, lenient, showing, strict};
use super::acceptor::*;
use super::dialler::*;
use super::*;
use crate::crypto::tests::session_key;
use crate::crypto::{SignatureForm, SignedFields, calc_signature};

/// Opens a session with these features; both sides then have the key.
fn open(l: &Listener, key: &CryptoKey, features: Features) -> Con {
    let mut socket = l.introduced();
    let mut a = authorizer(key);
    let of = |a: &Authorizer| Request { features: features.0, ..showing(a) };
    if features.has(Features::CEPHX_V2) {
        let challenge = socket.refused(l, &of(&a));
        a.add_challenge(&challenge.authorizer).unwrap();
    }
    let offer = socket.offered(l, &of(&a));
    let mut con = l.con(*offer.peer());
    l.take_over(&mut con, socket, offer, false);
    con.run().unwrap();
    con.pipe.take_output();
    con.receive(&0u64.to_le_bytes()).unwrap();
    assert_eq!((con.state(), con.tx.features()), (ConState::Open, features & DAEMON));
    con.take_events();
    con
}

/// The signature that the bytes of one message of ours must have.
fn signature(bytes: &[u8], m: &Msg, key: &CryptoKey, form: SignatureForm) -> u64 {
    let fields = SignedFields {
        header_crc: u32::from_le_bytes(bytes[50..54].try_into().unwrap()),
        front_crc: crc(&m.front),
        front_len: m.front.len() as u32,
        middle_crc: 0,
        middle_len: 0,
        data_crc: crc(&m.data),
        data_len: m.data.len() as u32,
        seq: m.seq,
    };
    calc_signature(key, form, &fields).unwrap()
}

#[test]
fn messages_are_signed_and_checked_in_the_form_that_both_know() {
    let old = LINUX.missing_in(Features(Features::CEPHX_V2.mask));
    for (key, features, form) in [
        (aes_key(), LINUX, SignatureForm::CephxV2),
        (session_key(), LINUX, SignatureForm::CephxV2),
        (aes_key(), old, SignatureForm::Old),
    ] {
        let mut con = open(&lenient(), &key, features);
        con.receive(&Msg::new(1).signed(&key, form).bytes(true)).unwrap();
        assert_eq!(con.received(), [1]);
        con.pipe.take_output();
        con.send(1);
        con.run().unwrap();
        let out = con.pipe.take_output();
        let frames = parse_frames(&out, true);
        let [Frame::Msg(m)] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((m.sig, m.flags), (signature(&out, m, &key, form), COMPLETE | SIGNED));
        // Without a signature, and with another one.
        for bad in [Msg::new(2), Msg { sig: 1, ..Msg::new(2).signed(&key, form) }] {
            let mut con = open(&lenient(), &key, features);
            assert_eq!(con.receive(&bad.bytes(true)), Err(Fault::BadSignature));
            assert!(con.received().is_empty());
        }
    }
}

#[test]
fn without_msg_auth_or_where_it_is_switched_off_nothing_is_signed() {
    let unsigned = LINUX.missing_in(Features(Features::MSG_AUTH.mask));
    let mut con = open(&strict(), &aes_key(), unsigned);
    con.receive(&Msg::new(1).bytes(false)).unwrap();
    con.send(1);
    con.run().unwrap();
    let frames = con.frames();
    assert!(matches!(&frames[..], [Frame::Ack(1), Frame::Msg(m)] if m.flags == COMPLETE));

    let mut l = strict();
    l.options.sign_messages = false;
    l.local = Local::new(EntityType::MDS, PEER_NONCE, l.options);
    let mut con = open(&l, &aes_key(), LINUX);
    con.receive(&Msg::new(1).bytes(true)).unwrap();
    assert_eq!(con.received(), [1]);
}

#[test]
fn the_keys_of_the_last_socket_do_not_sign_on_the_next() {
    let l = strict();
    let mut con = open(&l, &aes_key(), LINUX);
    con.fault(&Fault::PeerClosed);
    let mut socket = l.introduced();
    let mut a = authorizer(&session_key());
    let challenge = socket.refused(&l, &showing(&a));
    a.add_challenge(&challenge.authorizer).unwrap();
    let offer = socket.offered(&l, &showing(&a).seqs(11, 2));
    l.take_over(&mut con, socket, offer, false);
    con.run().unwrap();
    con.receive(&0u64.to_le_bytes()).unwrap();
    let form = SignatureForm::CephxV2;
    con.receive(&Msg::new(1).signed(&session_key(), form).bytes(true)).unwrap();
    assert_eq!(con.received(), [1]);
    let bad = Msg::new(2).signed(&aes_key(), form).bytes(true);
    assert_eq!(con.receive(&bad), Err(Fault::BadSignature));
}
