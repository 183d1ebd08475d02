use super::*;
use crate::denc::DecodeErrorKind;
use crate::hex::{hex, to_hex};
use crate::msgr::{MsgHeader, Priority};
use crate::types::{EntityAddr, EntityAddrVec, EntityName, EntityType, GlobalId, Seq, Tid, UTime};

/// v2:10.1.2.3:3300/9, as live daemons have it.
const ADDR: &str = "0101011c00000002000000090000001000000002000ce40a0102030000000000000000";
const ADDRVEC: &str =
    "02010000000101011c00000002000000090000001000000002000ce40a0102030000000000000000";

fn addr() -> EntityAddr {
    "v2:10.1.2.3:3300/9".parse().unwrap()
}

/// The bytes are the frame's, and no fewer will do; more are of a newer peer.
fn check<T: ControlFrame + PartialEq + std::fmt::Debug>(tag: u8, frame: &T, bytes: &str) {
    let bytes = hex(bytes);
    assert_eq!((T::TAG, to_hex(&frame.to_payload())), (tag, to_hex(&bytes)));
    assert_eq!(T::from_payload(&bytes).as_ref(), Ok(frame));
    for n in 0..bytes.len() {
        T::from_payload(&bytes[..n]).unwrap_err();
    }
    assert_eq!(T::from_payload(&[&bytes[..], b"newer"].concat()).as_ref(), Ok(frame));
}

#[test]
fn hello() {
    let frame = HelloFrame { entity_type: EntityType::CLIENT, peer_addr: addr() };
    check(1, &frame, &format!("08{ADDR}"));
    // Of a type that nobody knows, and with an address of the old form.
    let old = EntityAddr::legacy("10.1.2.3:3300".parse().unwrap(), 9);
    let bytes = [&[0x40][..], &old.encode_legacy()].concat();
    let read = HelloFrame::from_payload(&bytes).unwrap();
    assert_eq!(read, HelloFrame { entity_type: EntityType(0x40), peer_addr: old });
}

#[test]
fn authentication() {
    let offer = AuthOffer { method: 2, modes: vec![2, 1], payload: vec![10, 8] };
    check(2, &offer, "02000000 02000000 02000000 01000000 02000000 0a08");
    let bad = AuthBadMethod {
        method: 2,
        result: -13,
        allowed_methods: vec![2],
        allowed_modes: vec![2, 1],
    };
    check(3, &bad, "02000000 f3ffffff 01000000 02000000 02000000 02000000 01000000");
    check(4, &AuthReplyMoreFrame { payload: vec![1, 2, 3] }, "03000000 010203");
    check(5, &AuthRequestMoreFrame { payload: vec![1, 2, 3] }, "03000000 010203");
    let done = AuthDoneFrame { global_id: GlobalId(4190), con_mode: 1, payload: vec![0, 1] };
    // Begins as the one of a 20.2.4 monitor.
    check(6, &done, "5e10000000000000 01000000 02000000 0001");
    check(7, &AuthSignatureFrame([0xab; 32]), &"ab".repeat(32));
}

#[test]
fn idents() {
    let client = ClientIdentFrame {
        addrs: addr().into(),
        target_addr: addr(),
        gid: -1,
        global_seq: 3,
        supported_features: Features(0x3f01_cfbd_fffd_ffff),
        required_features: Features(1 << 59),
        flags: CLIENT_IDENT_LOSSY,
        cookie: 0x1122_3344_5566_7788,
    };
    let rest = "ffffffffffffffff 0300000000000000 fffffdffbdcf013f 0000000000000008 \
                0100000000000000 8877665544332211";
    check(8, &client, &format!("{ADDRVEC}{ADDR}{rest}"));
    // 123 bytes with one IPv4 address each.
    assert_eq!(client.to_payload().len(), 123);
    let server = ServerIdentFrame {
        addrs: client.addrs.clone(),
        gid: -1,
        global_seq: 3,
        supported_features: client.supported_features,
        required_features: client.required_features,
        flags: client.flags,
        cookie: client.cookie,
    };
    check(9, &server, &format!("{ADDRVEC}{rest}"));
    check(10, &IdentMissingFeaturesFrame(1 << 59), "0000000000000008");

    // A lone address is a vector of one; a vector that begins with 3 is none.
    let bytes = hex(&format!("{ADDR}{rest}"));
    assert_eq!(ServerIdentFrame::from_payload(&bytes), Ok(server));
    let e = ServerIdentFrame::from_payload(&[&[3], &bytes[..]].concat()).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::BadValue(3));
}

#[test]
fn sessions() {
    let reconnect = ReconnectFrame {
        addrs: addr().into(),
        client_cookie: 1,
        server_cookie: 2,
        global_seq: 3,
        connect_seq: 4,
        msg_seq: Seq(5),
    };
    let rest = "0100000000000000 0200000000000000 0300000000000000 0400000000000000 \
                0500000000000000";
    check(11, &reconnect, &format!("{ADDRVEC}{rest}"));
    check(12, &ResetFrame(true), "01");
    check(12, &ResetFrame(false), "00");
    check(13, &RetryFrame(7), "0700000000000000");
    check(14, &RetryGlobalFrame(7), "0700000000000000");
    check(15, &ReconnectOkFrame(Seq(7)), "0700000000000000");
    check(16, &WaitFrame, "");
}

#[test]
fn the_open_session_and_compression() {
    let stamp = UTime { sec: 0x0403_0201, nsec: 0x0807_0605 };
    check(18, &KeepAliveFrame(stamp), "0102030405060708");
    check(19, &KeepAliveFrameAck(stamp), "0102030405060708");
    check(20, &AckFrame(Seq(2)), "0200000000000000");
    let request = CompressionRequestFrame { is_compress: true, preferred_methods: vec![1, 3] };
    check(21, &request, "01 02000000 01000000 03000000");
    let done = CompressionDoneFrame { is_compress: true, method: 1 };
    check(22, &done, "01 01000000");
}

#[test]
fn a_list_that_does_not_fit_is_refused_before_memory_is_taken() {
    for bytes in ["02000000 ffffffff 02000000 01000000", "02000000 03000000 02000000 01000000"] {
        let e = AuthOffer::from_payload(&hex(bytes)).unwrap_err();
        assert!(matches!(e.kind, DecodeErrorKind::BadCount(_)), "{e}");
    }
    let e = AuthBadMethod::from_payload(&hex("02000000 f3ffffff 00000000 ffffff7f")).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::BadCount(0x7fff_ffff));
    let e = AuthReplyMoreFrame::from_payload(&hex("ffffffff 00")).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::Short);
    let e = CompressionRequestFrame::from_payload(&hex("01 ffffffff 00")).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::BadCount(u32::MAX));
    let e = EntityAddrVec::from_bytes(&hex("02 ffffffff")).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::BadCount(u32::MAX));
}

#[test]
fn the_header_of_a_message() {
    // As code that live daemons took for Ceph's sent it: seq 1, tid 2, type 3, ack 9.
    let bytes = hex("0100000000000000 0200000000000000 0300 7f00 0100 00000000 0000
         0900000000000000 01 0100 0000");
    let header = MsgHeader {
        seq: Seq(1),
        tid: Tid(2),
        msg_type: 3,
        priority: Priority::DEFAULT,
        version: 1,
        compat_version: 1,
        data_off: 0,
        src: EntityName::new(EntityType::MON, 0),
    };
    let header2 = MsgHeader2::new(&header, Seq(9));
    assert_eq!(header2.to_array(), bytes[..]);
    assert_eq!(MsgHeader2::from_bytes(&bytes), Ok(header2));
    assert_eq!(header2.to_header(header.src), header);
    for n in 0..bytes.len() {
        assert_eq!(MsgHeader2::from_bytes(&bytes[..n]).unwrap_err().kind, DecodeErrorKind::Short);
    }
    let e = MsgHeader2::from_bytes(&[&bytes[..], &[0]].concat()).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::Trailing(1));

    // Each field has a place of its own.
    let distinct: Vec<u8> = (1..=39).chain([0, 0]).collect();
    let read = MsgHeader2::from_bytes(&distinct).unwrap();
    assert_eq!(to_hex(&read.to_array()), to_hex(&distinct));
    assert_eq!((read.ack_seq, read.flags), (Seq(0x2423_2221_201f_1e1d), 37));
    assert_eq!((read.data_pre_padding_len, read.data_off), (0x1a19_1817, 0x1c1b));
    assert_eq!((read.version, read.compat_version), (0x1615, 0x2726));
}
