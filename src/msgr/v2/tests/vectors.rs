//! Bytes that 16.2.15 daemons took, and every way of cutting them.

use super::*;
use crate::hex::{hex, to_hex};

/// `ceph_msg_header2`: seq 1, tid 2, type 3, priority 127, version 1, ack 9, flags 1, compat 1.
const HEADER2: &str = "0100000000000000 0200000000000000 0300 7f00 0100 00000000 0000 \
                       0900000000000000 01 0100 0000";

enum What {
    Keepalive2,
    Wait,
    Message,
    Control64,
}
use What::{Control64, Keepalive2, Message, Wait};

/// Frames in a row, from the first of their connection on.
type Frames = &'static [(What, &'static str)];

const VECTORS: [(Mode, Frames); 11] = [
    (
        (V2_1, false),
        &[(
            Keepalive2,
            "12010800000008000000000000000000000000000000000000000000d8d5f599\
             01020304050607087ee076b9",
        )],
    ),
    ((V2_1, false), &[(Wait, "10010000000008000000000000000000000000000000000000000000c8e3aab0")]),
    (
        (V2_1, false),
        &[(
            Message,
            "11042900000008000300000008000000000008000a000000001000008e6736e5\
             0100000000000000020000000000000003007f00010000000000000009000000\
             000000000101000000f386a0d3616263303132333435363738390e48c0b4c9ff\
             ffffff61f9f3d7",
        )],
    ),
    (
        (V2_1, true),
        &[
            (
                Keepalive2,
                "4be816477793cc7cbb381480b30cc69431dabdf879b50b483d403cfd6bc7a481\
                 47c435f9d649f09e5036a3b4f02908ecd7f8cc4f2688a28ab01f761aeee6fdba\
                 01654a9d4a848c689172d4521fcf810829eb70ca211d2b8212d3d12123a80219",
            ),
            (
                Keepalive2,
                "9b2b276ff8ab6493c71f43d671c4a3a38a8577da66639b20d42f05058f563f16\
                 5393241fed0d02188c13817b172af539e096a5a2c0183c65656b15d047b91e7a\
                 e9f5a5aadcdc5350ca29264420199b1b8a6aca0afe782e5b074085f38e552dab",
            ),
        ],
    ),
    (
        (V2_1, true),
        &[(
            Message,
            "48ed37477793cc7cb8381480bb0cc69431dab5f873b50b483d503cfd3d7567fd\
             47c636fdd34ff7965236a3b4f02908ecd4f8b34f2788a28ab01f761ae7e6fdba\
             01654a9d4b858c689172d4521fcf81083c039ca1489ac594730d83aecfd9331e\
             e8484c6ff8ab6c93c71f43d671c4a3a3bab445e95256ad17ec1605055783ca8f\
             5c91271be80b05108c13817b172af539039b6ff33a406189d557f420a6154d84",
        )],
    ),
    (
        (V2_1, true),
        &[(
            Control64,
            "5ce85e477793cc7cbb381480b30cc69431dabdf879b50b483d403cfd0c7d75c6\
             7ac636fdd34ff7965036a3b4f02908ecd7f8cc4f2688a28ab01f761aeee6fdba\
             01654a9d4a848c689172d4521fcf810878053641cf6e73d967218de9b1756d5c\
             892a2f6ff8ab6c93c71f43d671c4a3a33cf657d5756c6018db6561efe18e9c2f",
        )],
    ),
    (
        (V2_0, false),
        &[(
            Keepalive2,
            "12010800000008000000000000000000000000000000000000000000d8d5f599\
             0102030405060708007ee076b9000000000000000000000000",
        )],
    ),
    (
        (V2_0, false),
        &[(
            Wait,
            "10010000000008000000000000000000000000000000000000000000c8e3aab0\
             00ffffffff000000000000000000000000",
        )],
    ),
    (
        (V2_0, false),
        &[(
            Message,
            "11042900000008000300000008000000000008000a000000001000008e6736e5\
             0100000000000000020000000000000003007f00010000000000000009000000\
             0000000001010000006162633031323334353637383900f386a0d348c0b4c9ff\
             ffffff61f9f3d7",
        )],
    ),
    (
        (V2_0, true),
        &[
            (
                Keepalive2,
                "4be816477793cc7cbb381480b30cc69431dabdf879b50b483d403cfd6bc7a481\
                 47c435f9d649f09e5036a3b4f02908ecd7f8cc4f2688a28ab01f761aeee6fdba\
                 b5432b29ee86b1882ac6b8e91e495464",
            ),
            (
                Keepalive2,
                "517d0c6d6da2a8f9b81ff71940c00bf9f582a067b034585a204605a42f43caf1\
                 22227bf80b524ac612192f4ec1da508edbdde92a2bad512c05e22be605cbba7f\
                 59e9f48a218c2b7ecbf719b5540ac40a",
            ),
        ],
    ),
    (
        (V2_0, true),
        &[(
            Message,
            "48ed37477793cc7cb8381480bb0cc69431dab5f873b50b483d503cfd3d7567fd\
             47c636fdd34ff7965236a3b4f02908ecd4f8b34f2788a28ab01f761ae7e6fdba\
             01654a9d4b858c689172d4521fcf8108fb7c03f2bfcbdefacab7e5641d80fd9c\
             4351fccb95d182cfe56548f436dd9f1aef1323c4d68d4781dfaa7790cf850a6b\
             ca246691d4eb5ae89b02dfd230057d98",
        )],
    ),
];

impl What {
    fn got(&self) -> Got {
        let control = |tag, payload| Got::Frame(tag, [payload, vec![], vec![], vec![]]);
        match self {
            Keepalive2 => control(Tag::Keepalive2, (1..=8).collect()),
            Wait => control(Tag::Wait, vec![]),
            Message => Got::Frame(
                Tag::Message,
                [hex(HEADER2), b"abc".to_vec(), vec![], b"0123456789".to_vec()],
            ),
            // A blob of 60 zeros.
            Control64 => control(Tag::AuthRequestMore, [&[60][..], &[0; 63]].concat()),
        }
    }
}

fn out(got: &Got) -> OutFrame<'_> {
    match got {
        Got::Frame(Tag::Message, segments) => message(segments),
        Got::Frame(tag, [payload, ..]) => OutFrame::control(*tag, payload),
        Got::Aborted(_) => panic!("no vector is"),
    }
}

#[test]
fn our_bytes_are_the_foreign_ones() {
    for (mode, frames) in VECTORS {
        let mut tx = dialler_tx(mode);
        for (what, bytes) in frames {
            assert_eq!(to_hex(&wire(&mut tx, out(&what.got()))), *bytes, "{mode:?}");
        }
    }
}

#[test]
fn foreign_bytes_are_understood_in_every_split() {
    for (mode, frames) in VECTORS {
        let all: Vec<u8> = frames.iter().flat_map(|(_, bytes)| hex(bytes)).collect();
        let want: Vec<Got> = frames.iter().map(|(what, _)| what.got()).collect();
        for per_recv in 1..=all.len() {
            let mut pipe = Pipe { per_recv, ..Pipe::default() };
            pipe.feed(&all);
            let got = read_all(&mut acceptor_rx(mode), &mut InBuf::new(), &mut pipe);
            assert_eq!(got.as_ref(), Ok(&want), "{mode:?}, {per_recv} bytes at a time");
        }
        for cut in 0..=all.len() {
            let (mut rx, mut in_buf, mut pipe) = (acceptor_rx(mode), InBuf::new(), Pipe::default());
            pipe.feed(&all[..cut]);
            let mut got = read_all(&mut rx, &mut in_buf, &mut pipe).unwrap();
            assert_eq!(got.len() == want.len(), cut == all.len(), "{mode:?} cut at {cut}");
            pipe.feed(&all[cut..]);
            got.extend(read_all(&mut rx, &mut in_buf, &mut pipe).unwrap());
            assert_eq!(got, want, "{mode:?} cut at {cut}");
        }
    }
}

#[test]
fn a_peer_that_closes_amid_a_frame_has_closed() {
    for (mode, frames) in VECTORS {
        let all: Vec<u8> = frames.iter().flat_map(|(_, bytes)| hex(bytes)).collect();
        for cut in 0..all.len() {
            let mut pipe = Pipe { eof: true, ..Pipe::default() };
            pipe.feed(&all[..cut]);
            let (mut rx, mut in_buf) = (acceptor_rx(mode), InBuf::new());
            let fault = loop {
                in_buf.readable();
                match rx.read(&mut in_buf, &mut pipe) {
                    Ok(_) => {}
                    Err(fault) => break fault,
                }
            };
            assert_eq!(fault, Fault::PeerClosed, "{mode:?} cut at {cut}");
        }
    }
}
