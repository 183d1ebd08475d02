//! What the log of a session says: at debug each change of state, at trace each message.

mod common;

use ceph_msgr::types::{EntityName, EntityType, Msgr};
use log::{Level, LevelFilter};

use common::live::builder;
use common::logs;
use common::vstart::Vstart;

/// The states of a connection in which all goes well, and its handshake's frames.
const V1: (&[&str], &[&str]) = (
    &[
        "PREOPEN -> V1_BANNER",
        "V1_BANNER -> V1_CONNECT_MSG",
        "V1_CONNECT_MSG -> OPEN",
        "OPEN -> CLOSED",
    ],
    &["> Connect {", "< ConnectReply {"],
);
const V2: (&[&str], &[&str]) = (
    &[
        "PREOPEN -> V2_BANNER",
        "V2_BANNER -> V2_HELLO",
        "V2_HELLO -> V2_AUTH",
        "V2_AUTH -> V2_AUTH_SIGNATURE",
        "V2_AUTH_SIGNATURE -> V2_SESSION_CONNECT",
        "V2_SESSION_CONNECT -> OPEN",
        "OPEN -> CLOSED",
    ],
    &["< AUTH_DONE ", "> ClientIdentFrame {", "< ServerIdentFrame {"],
);

#[test]
fn a_session_can_be_read_from_its_log() {
    logs::capture(LevelFilter::Trace);
    let Some(vstart) = Vstart::builder().osds(1).start() else { return };
    session_can_be_read(&vstart, Msgr::V1, V1);
    session_can_be_read(&vstart, Msgr::V2, V2);
}

fn session_can_be_read(vstart: &Vstart, msgr: Msgr, (life, handshake): (&[&str], &[&str])) {
    let cluster = builder(vstart).msgr(msgr).connect().expect("a session");
    cluster.mon_command(&"status".into()).expect("of the monitor");
    cluster.osd_command(0, &"version".into()).expect("of the OSD");
    let mon = cluster.mon().peer().expect("a session").to_string();
    let osd = EntityName::new(EntityType::OSD, 0);
    let addrs = cluster.osdmap().expect("a map").addrs(0).cloned().expect("addresses");
    let addr = cluster.addr_of(osd, &addrs).expect("one of them").sockaddr.expect("an IP address");
    let osd = format!("{osd} {addr}");
    cluster.close().expect("it ends");
    let lines = logs::lines();

    for peer in [&mon, &osd] {
        let prefix = format!("{peer}: ");
        let said = |level: Level| {
            let said = lines.iter().filter(move |line| line.level == level);
            said.filter_map(|line| line.text.strip_prefix(&prefix)).collect::<Vec<_>>()
        };
        let changes: Vec<_> =
            said(Level::Debug).into_iter().filter(|text| text.contains(" -> ")).collect();
        assert_eq!(changes, life, "{peer}");

        let frames = said(Level::Trace);
        for way in ["<", ">"] {
            // `> mon_command(50) seq 4 tid 1 ...`; frames without a message have no tid.
            let seq = |text: &&str| {
                let text = text.strip_prefix(way)?.split_once(" seq ")?.1;
                let (seq, _) = text.split_once(" tid ")?;
                seq.parse().ok()
            };
            let seqs: Vec<u64> = frames.iter().filter_map(seq).collect();
            let all: Vec<u64> = (1..).take(seqs.len()).collect();
            assert!(!seqs.is_empty() && seqs == all, "{peer}: {way} {seqs:?}");
        }
        for frame in handshake {
            assert!(frames.iter().any(|text| text.starts_with(frame)), "{frame}: {frames:?}");
        }
    }

    // Commands and their answers, by name.
    let (commands, acks) =
        (logs::count(&mon, "> mon_command(50) "), logs::count(&mon, "< mon_command_ack(51) "));
    assert!(commands > 0 && commands == acks, "{commands} commands, {acks} answers");
    assert_eq!(logs::count(&osd, "> command(97) "), 1);
    assert_eq!(logs::count(&osd, "< command_reply(98) "), 1);
    assert!(lines.iter().all(|line| line.level > Level::Warn), "nothing to warn of: {lines:#?}");
}
