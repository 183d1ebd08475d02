//! Messages in an open session: segments, checksums, signatures, limits, and what they cost.

use super::acceptor::*;
use super::*;
use crate::crypto::SignatureForm;
use crate::crypto::tests::session_key;
use crate::hex::hex;
use crate::limits::{MSG_MAX_DATA_LEN, MSG_MAX_FRONT_LEN, MSG_MAX_MIDDLE_LEN};
use crate::types::Tid;
use bytes::Bytes;

const V2: SignatureForm = SignatureForm::CephxV2;
const OLD: SignatureForm = SignatureForm::Old;

/// A message with all three segments.
fn full() -> Msg {
    Msg { middle: vec![0x33; 7], data: vec![0xdd; 9], ..Msg::new(1) }
}

/// Sessions with either footer, and whether it has a place for a signature.
fn both_footers() -> [(Scenario, bool); 2] {
    [(Scenario::lossy(), true), (Scenario::lossy().without(Features::MSG_AUTH), false)]
}

#[test]
fn all_segments_arrive_with_either_footer() {
    for (scenario, msg_auth) in both_footers() {
        let mut con = scenario.open();
        con.receive(&Msg { tid: 99, ..full() }.bytes(msg_auth)).unwrap();
        let [Event::Message(m)] = &con.take_events()[..] else { panic!("no message") };
        let h = m.header;
        assert_eq!((h.seq, h.tid, h.msg_type, h.priority.0), (Seq(1), Tid(99), 42, 127));
        assert_eq!((h.version, h.compat_version, h.data_off), (1, 1, 0));
        assert_eq!(h.src.to_string(), "osd.3");
        assert_eq!(
            (&m.front[..], &m.middle[..], &m.data[..]),
            (&[1; 5][..], &[0x33; 7][..], &[0xdd; 9][..])
        );
    }
}

#[test]
fn segments_may_be_empty_in_every_combination() {
    for (i, (scenario, msg_auth)) in (0..8).flat_map(|i| both_footers().map(|s| (i, s))) {
        let len = |bit: usize| if i & bit == 0 { vec![] } else { vec![bit as u8; 3] };
        let sent = Msg { front: len(1), middle: len(2), data: len(4), ..full() };
        let mut con = scenario.open();
        con.receive(&sent.bytes(msg_auth)).unwrap();
        let Some(Event::Message(m)) = con.take_events().pop() else { panic!("no message") };
        assert_eq!(
            (&m.front[..], &m.middle[..], &m.data[..]),
            (&len(1)[..], &len(2)[..], &len(4)[..])
        );
        // And back.
        con.tx
            .send(Message { middle: len(2).into(), ..Message::new(42, len(1)) }.with_data(len(4)));
        con.run().unwrap();
        assert_eq!(con.frames(), [Frame::Msg(sent)]);
    }
}

/// Every bit behind the tag, with either footer.
#[test]
fn a_flipped_bit_is_found_by_the_crc_of_its_segment() {
    for msg_auth in [true, false] {
        let good = full().bytes(msg_auth);
        for bit in 8..8 * good.len() {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let scenario = both_footers().into_iter().find(|s| s.1 == msg_auth).unwrap().0;
            let mut con = scenario.open();
            let fault = con.receive(&bad);
            let footer = 54 + 5 + 7 + 9;
            let want = match bit / 8 {
                ..54 => Err(Fault::BadHeaderCrc),
                54..59 => Err(Fault::BadCrc("front")),
                59..66 => Err(Fault::BadCrc("middle")),
                66..75 => Err(Fault::BadCrc("data")),
                at if at < footer + 4 => Err(Fault::BadCrc("front")),
                at if at < footer + 8 => Err(Fault::BadCrc("middle")),
                at if at < footer + 12 => Err(Fault::BadCrc("data")),
                // The flag COMPLETE; the other flags and the place of a signature in a session
                // without a key are not checked.
                at if at == good.len() - 1 && bit % 8 == 0 => Err(Fault::Aborted),
                _ => Ok(()),
            };
            assert_eq!(fault, want, "bit {bit}");
            assert_eq!(con.events.len(), usize::from(want.is_ok()));
        }
    }
}

#[test]
fn without_crc_of_data_on_this_side() {
    let scenario = || Scenario::lossy().options(|o| o.crc_data = false);
    let mut con = scenario().open();
    let mut bytes = full().bytes(true);
    bytes[66] ^= 1;
    con.receive(&bytes).unwrap();
    assert_eq!(con.received(), [1]);
    con.send(1);
    con.run().unwrap();
    // The data's crc is 0, the front's is not: the acceptor has looked at that.
    let frames = con.frames();
    let [Frame::Msg(m)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(m.flags, COMPLETE | NOCRC);

    for at in [54, 59] {
        let mut bytes = full().bytes(true);
        bytes[at] ^= 1;
        assert!(matches!(scenario().open().receive(&bytes), Err(Fault::BadCrc(_))), "byte {at}");
    }
}

#[test]
fn without_crc_of_data_on_the_peers_side() {
    let mut con = Scenario::lossy().open();
    let mut bytes = Msg { flags: COMPLETE | NOCRC, ..full() }.bytes(true);
    bytes[66] ^= 1;
    con.receive(&bytes).unwrap();
    assert_eq!(con.received(), [1]);
}

#[test]
fn a_signed_message_byte_by_byte() {
    // What a 16.2.15 OSD took: seq 7, tid 9, front "abc", data "wxyz", key 00..0f.
    let header = "0700000000000000 0900000000000000 6100 7f00 0100 03000000 00000000 04000000 0000
        08 9210000000000000 0100 0000 7c59e7d2";
    let wire = |footer: &str| {
        let mut out = vec![7];
        out.extend(hex(&header.split_whitespace().collect::<String>()));
        out.extend(b"abcwxyz");
        out.extend(hex(&footer.split_whitespace().collect::<String>()));
        out
    };
    // crcs, signature, COMPLETE and SIGNED.
    let crcs = "cd9c2f56 00000000 6489a0c9";
    for (scenario, wire) in [
        (Scenario::lossy(), wire(&format!("{crcs} 540c0628f9162b87 05"))),
        (
            Scenario::lossy().without(Features::CEPHX_V2),
            wire(&format!("{crcs} e4b70126f33f7477 05")),
        ),
    ] {
        let mut con = scenario.cephx().open();
        con.world.local.set_num(0x1092);
        con.tx.session.out_seq = Seq(6);
        con.tx.send(Message::new(0x61, &b"abc"[..]).with_data(&b"wxyz"[..]).with_tid(Tid(9)));
        con.run().unwrap();
        assert_eq!(con.pipe.output, wire);
        con.tx.session.in_seq = Seq(6);
        con.receive(&wire).unwrap();
        let Some(Event::Message(m)) = con.take_events().pop() else { panic!("no message") };
        assert_eq!((&m.front[..], &m.data[..]), (&b"abc"[..], &b"wxyz"[..]));
    }
}

/// Sessions that sign: key of type 1 in both forms, key of type 2.
fn signing() -> [(Scenario, CryptoKey, SignatureForm); 3] {
    let key2 = session_key();
    [
        (Scenario::lossless().cephx(), aes_key(), V2),
        (Scenario::lossless().cephx().without(Features::CEPHX_V2), aes_key(), OLD),
        (Scenario::lossless().auth(Auth::Cephx(key2.clone())), key2, V2),
    ]
}

#[test]
fn signatures_are_made_and_checked_in_every_form() {
    for (scenario, key, form) in signing() {
        let mut con = scenario.open();
        con.receive(&full().signed(&key, form).bytes(true)).unwrap();
        assert_eq!(con.received(), [1], "{form:?}");
        con.pipe.take_output();
        con.send(9);
        con.run().unwrap();
        let frames = con.frames();
        let [Frame::Msg(m)] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!(m.flags, COMPLETE | SIGNED);
        // The acceptor's header is an OSD's, ours a client's: only the crc of the header differs.
        let fields = crate::crypto::SignedFields {
            header_crc: con.tx_header_crc(m),
            front_crc: crc(&m.front),
            front_len: m.front.len() as u32,
            data_crc: crc(&m.data),
            data_len: m.data.len() as u32,
            seq: m.seq,
            ..Default::default()
        };
        assert_eq!(crate::crypto::check_signature(&key, form, &fields, m.sig), Ok(()));
    }
}

impl Con {
    /// The crc of the header of a message that we sent.
    fn tx_header_crc(&self, m: &Msg) -> u32 {
        let mut header = m.header();
        header[36] = 8;
        header[37..45].fill(0xff);
        crc(&header[..49])
    }
}

#[test]
fn a_flipped_or_absent_signature_is_refused() {
    for i in 0..signing().len() {
        let at = 54 + 5 + 7 + 9 + 12;
        for bit in 0..64 {
            let (scenario, key, form) = signing().into_iter().nth(i).unwrap();
            let mut con = scenario.open();
            let mut bytes = full().signed(&key, form).bytes(true);
            bytes[at + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(con.receive(&bytes), Err(Fault::BadSignature), "{form:?} bit {bit}");
            assert!(con.events.is_empty());
        }
        let open = || signing().into_iter().nth(i).unwrap().0.open();
        assert_eq!(open().receive(&full().bytes(true)), Err(Fault::BadSignature), "unsigned");
        let flag_alone = Msg { flags: COMPLETE | SIGNED, ..full() };
        assert_eq!(open().receive(&flag_alone.bytes(true)), Err(Fault::BadSignature));
        // The flag itself is not asked: a good signature without it is a good signature.
        let (_, key, form) = &signing()[i];
        let unflagged = Msg { flags: COMPLETE, ..full().signed(key, *form) };
        assert_eq!(open().receive(&unflagged.bytes(true)), Ok(()));
    }
}

#[test]
fn a_signature_of_the_other_form_or_under_another_key_is_refused() {
    let mut con = Scenario::lossy().cephx().open();
    assert_eq!(con.receive(&full().signed(&aes_key(), OLD).bytes(true)), Err(Fault::BadSignature));
    let mut con = Scenario::lossy().cephx().without(Features::CEPHX_V2).open();
    assert_eq!(con.receive(&full().signed(&aes_key(), V2).bytes(true)), Err(Fault::BadSignature));
    let mut con = Scenario::lossy().cephx().open();
    assert_eq!(
        con.receive(&full().signed(&session_key(), V2).bytes(true)),
        Err(Fault::BadSignature)
    );
}

#[test]
fn what_is_signed_cannot_be_changed_with_its_crcs_set_right() {
    let signed = full().signed(&aes_key(), V2);
    let moved =
        Msg { middle: vec![0x33; 6], data: [&[0x33][..], &[0xdd; 9]].concat(), ..signed.clone() };
    for changed in [
        Msg { tid: 1, ..signed.clone() },
        Msg { front: vec![2; 5], ..signed.clone() },
        Msg { middle: vec![2; 7], ..signed.clone() },
        Msg { data: vec![2; 9], ..signed.clone() },
        Msg { middle: vec![], ..signed.clone() },
        moved,
    ] {
        let mut con = Scenario::lossy().cephx().open();
        assert_eq!(con.receive(&changed.bytes(true)), Err(Fault::BadSignature), "{changed:?}");
    }
    // An old message cannot be sent again under a new number, nor a later one now.
    let mut con = Scenario::lossy().cephx().open();
    con.receive(&signed.bytes(true)).unwrap();
    assert_eq!(con.receive(&Msg { seq: 2, ..signed }.bytes(true)), Err(Fault::BadSignature));
}

#[test]
fn a_key_of_type_2_opens_no_session_that_it_cannot_sign() {
    let scenario = Scenario::lossless().auth(Auth::Cephx(session_key()));
    let scenario = scenario.without(Features::CEPHX_V2);
    let mut con = scenario.connect();
    con.answer_challenge();
    let opening = con.peer.clone().connect_seq(1).bytes();
    let lacking = Fault::PeerLacksFeatures(Features::NONE.with(Features::CEPHX_V2));
    assert_eq!(con.receive(&opening), Err(lacking.clone()));
    assert!(lacking.is_final(), "the next attempt would end the same way");
    assert_ne!(con.state(), ConState::Open);
}

#[test]
fn nocrc_excuses_no_crc_that_is_signed() {
    // The flags of a footer are not signed: whoever changes data on the way could set NOCRC too.
    for (scenario, key, form) in signing() {
        let mut wire = full().signed(&key, form).bytes(true);
        let len = wire.len();
        wire[len - 22] ^= 1;
        *wire.last_mut().unwrap() |= NOCRC;
        let mut con = scenario.open();
        assert_eq!(con.receive(&wire), Err(Fault::BadCrc("data")), "{form:?}");
    }
}

#[test]
fn an_unsigned_session_sends_no_signature_and_asks_for_none() {
    let mut con = Scenario::lossy().cephx().options(|o| o.sign_messages = false).open();
    con.receive(&full().bytes(true)).unwrap();
    con.send(1);
    con.run().unwrap();
    let frames = con.frames();
    let [Frame::Msg(m)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((m.sig, m.flags), (0, COMPLETE));
}

#[test]
fn an_incomplete_message_is_an_aborted_one() {
    for (scenario, msg_auth) in both_footers() {
        let mut con = scenario.open();
        assert_eq!(con.receive(&Msg { flags: 0, ..full() }.bytes(msg_auth)), Err(Fault::Aborted));
        assert!(con.events.is_empty());
    }
}

#[test]
fn a_length_is_held_against_its_limit_before_memory_is_taken() {
    let limits = [MSG_MAX_FRONT_LEN, MSG_MAX_MIDDLE_LEN, MSG_MAX_DATA_LEN];
    for (i, segment) in ["front", "middle", "data"].into_iter().enumerate() {
        for len in [limits[i] + 1, 1 << 31, u32::MAX] {
            let mut con = Scenario::lossy().open();
            let mut lens = [0; 3];
            lens[i] = len;
            let fault = con.receive(&[&[7][..], &Msg::header_of(1, 0, lens)].concat());
            assert_eq!(fault, Err(Fault::TooLong { segment, len }));
            assert!(!matches!(con.rx.read, ReadState::Body(_)), "nothing was allocated");
        }
    }
    let mut con = Scenario::lossy().open();
    con.receive(&[&[7][..], &Msg::header_of(1, 0, limits)].concat()).unwrap();
    assert!(matches!(con.rx.read, ReadState::Body(_)), "the limits themselves are allowed");
    assert_eq!(con.rx.awaiting(), "rest of a message");
}

#[test]
fn a_tag_that_has_no_place_in_an_open_session() {
    for tag in 0..=255 {
        let mut con = Scenario::lossy().open();
        let want = match tag {
            6 => Err(Fault::CloseTag),
            7 | 8 | 9 | 14 | 15 => Ok(()),
            tag => Err(Fault::BadTag(tag)),
        };
        assert_eq!(con.receive(&[tag]), want, "tag {tag}");
        assert_eq!((con.events.len(), con.pipe.output.len()), (0, 0));
    }
}

#[test]
fn a_message_cut_off_at_any_byte_is_no_message() {
    for i in 0..2 {
        let bytes = full().bytes(both_footers()[i].1);
        for n in 0..bytes.len() {
            let mut con = both_footers().into_iter().nth(i).unwrap().0.open();
            con.receive(&bytes[..n]).unwrap();
            con.pipe.eof = true;
            assert_eq!(con.run(), Err(Fault::PeerClosed), "{n} bytes");
            assert!(con.events.is_empty());
        }
    }
}

#[test]
fn a_small_message_costs_one_call_each_way() {
    let mut con = Scenario::lossy().open();
    con.pipe = Pipe::default();
    con.send(1);
    assert!(con.try_write().unwrap());
    assert_eq!((con.pipe.calls.send, con.pipe.calls.blocked), (1, 0));
    con.pipe.feed(&Msg { data: vec![1; 4096], ..full() }.bytes(true));
    con.try_read().unwrap();
    assert_eq!((con.pipe.calls.recv, con.pipe.calls.blocked), (1, 0), "no read in vain");
    assert_eq!(con.received(), [1]);
}

#[test]
fn messages_that_wait_share_a_call() {
    let mut con = Scenario::lossy().open();
    con.pipe = Pipe::default();
    con.send_each(1..=10);
    con.try_write().unwrap();
    assert_eq!(con.pipe.calls.send, 1);
    assert_eq!(seqs(&con.frames()), (1..=10).collect::<Vec<_>>());
}

#[test]
fn payloads_are_not_copied_on_their_way_out() {
    let mut con = Scenario::lossless().cephx().open();
    con.pipe = Pipe::default();
    let [front, middle, data] = [200, 300, 1 << 20].map(|n| Bytes::from(vec![n as u8; n]));
    con.tx.send(
        Message { middle: middle.clone(), ..Message::new(42, front.clone()) }
            .with_data(data.clone()),
    );
    con.try_write().unwrap();
    for segment in [front, middle, data] {
        assert!(con.pipe.slices.contains(&(segment.as_ptr(), segment.len())), "{}", segment.len());
    }
}

#[test]
fn a_large_payload_is_read_into_the_buffer_that_the_owner_gets() {
    let mut con = Scenario::lossy().open();
    con.pipe = Pipe::default();
    let bytes = Msg { data: vec![5; 1 << 20], ..Msg::new(1) }.bytes(true);
    con.receive(&bytes[..100_000]).unwrap();
    let ReadState::Body(body) = &con.rx.read else { panic!("no message begun") };
    let begun = body.data.as_ptr();
    assert!(con.pipe.calls.recv_spare > 0, "past the prefetch");
    con.receive(&bytes[100_000..]).unwrap();
    let Some(Event::Message(m)) = con.take_events().pop() else { panic!("no message") };
    assert_eq!((m.data.as_ptr(), m.data.len()), (begun, 1 << 20));
}
