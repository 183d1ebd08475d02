//! The messages of the open sessions.

use super::*;
use crate::hex::to_hex;
use crate::msgr::Priority;
use crate::msgr::msg_type::*;
use crate::msgr::v2::control::AckFrame;
use crate::types::{Seq, Tid};
use Role::{Accepting, Connecting};

/// Header, front, middle and data of each message of that end.
fn messages(capture: &Capture, role: Role) -> Vec<(MsgHeader2, [Vec<u8>; 3])> {
    let messages = capture.frames_of(role).into_iter().filter_map(|frame| match frame {
        Got::Frame(Tag::Message, [header, front, middle, data]) => {
            Some((MsgHeader2::from_bytes(&header).unwrap(), [front, middle, data]))
        }
        _ => None,
    });
    messages.collect()
}

fn of(kind: &str) -> impl Iterator<Item = Capture> {
    captures().filter(move |c| c.name.starts_with(&format!("{kind}-rev")))
}

/// As a 16.2.15 daemon sends it, which says NOCRC too, for what messenger v1 has in its footer.
fn header(seq: u64, tid: u64, msg_type: u16, version: u16, ack_seq: u64) -> MsgHeader2 {
    MsgHeader2 {
        seq: Seq(seq),
        tid: Tid(tid),
        msg_type,
        priority: Priority::HIGH,
        version,
        data_pre_padding_len: 0,
        data_off: 0,
        ack_seq: Seq(ack_seq),
        flags: 3,
        compat_version: version,
    }
}

#[test]
fn a_monitor_answers() {
    for capture in of("mon") {
        let sent = messages(&capture, Connecting);
        let types: Vec<_> = sent.iter().map(|(h, ..)| (h.seq.0, h.ack_seq.0, h.msg_type)).collect();
        let asked = [
            (1, 0, CEPH_MSG_MON_GET_MAP),
            (2, 1, CEPH_MSG_MON_SUBSCRIBE),
            (3, 2, CEPH_MSG_MON_GET_VERSION),
            (4, 3, MSG_MON_COMMAND),
        ];
        assert_eq!(types, asked, "{}", capture.name);

        let got = messages(&capture, Accepting);
        let headers: Vec<_> = got.iter().map(|(header, ..)| *header).collect();
        let want = [
            header(1, 0, CEPH_MSG_MON_MAP, 1, 1),
            header(2, 0, CEPH_MSG_MON_MAP, 1, 2),
            header(3, 7, CEPH_MSG_MON_GET_VERSION_REPLY, 2, 3),
            header(4, 8, MSG_MON_COMMAND_ACK, 1, 4),
        ];
        assert_eq!(headers, want, "{}", capture.name);
        assert!(got.iter().all(|(_, [_, middle, _])| middle.is_empty()));

        let [map, subscribed, version, ack] = &got[..] else { panic!("four") };
        let front = &map.1[0];
        let len = u32::from_le_bytes(*front.first_chunk().unwrap()) as usize;
        assert_eq!((len, front), (front.len() - 4, &subscribed.1[0]));
        assert_eq!(version.1[0][..8], 7u64.to_le_bytes());
        // The fsid that the command was for, and its answer.
        let fsid = to_hex(&sent[3].1[0][18..34]);
        assert_eq!(String::from_utf8_lossy(&ack.1[2]).trim_end().replace('-', ""), fsid);
    }
}

#[test]
fn an_osd_answers() {
    for capture in of("osd") {
        let sent = messages(&capture, Connecting);
        assert_eq!(sent[0].0.msg_type, CEPH_MSG_PING);
        let (asked, [_, _, input]) = &sent[1];
        assert_eq!((asked.msg_type, asked.seq, &input[..]), (MSG_COMMAND, Seq(2), &b"input"[..]));
        let [(got, [front, _, output])] = &messages(&capture, Accepting)[..] else { panic!("one") };
        let want =
            MsgHeader2 { priority: Priority::DEFAULT, ..header(1, 9, MSG_COMMAND_REPLY, 1, 2) };
        assert_eq!((*got, &front[..]), (want, &[0; 8][..]), "{}", capture.name);
        assert!(String::from_utf8_lossy(output).contains("\"version\": \"16.2.15\""));
    }
}

#[test]
fn an_mds_acknowledges_and_does_so_again_on_the_next_socket() {
    for (kind, seq) in [("mds", 1), ("mds-reconnect", 2)] {
        for capture in of(kind) {
            let [(ping, ..)] = &messages(&capture, Connecting)[..] else { panic!("one") };
            assert_eq!((ping.msg_type, ping.seq), (CEPH_MSG_PING, Seq(seq)), "{}", capture.name);
            assert_eq!(capture.control(Accepting), Some(AckFrame(Seq(seq))), "{}", capture.name);
        }
    }
}
