//! What the log of a session says: at debug each change of state, at trace each message.

mod common;

use log::{Level, LevelFilter};

use common::live::connect;
use common::logs;
use common::vstart::Vstart;

#[test]
fn a_session_can_be_read_from_its_log() {
    logs::capture(LevelFilter::Trace);
    let Some(vstart) = Vstart::builder().osds(1).start() else { return };
    let cluster = connect(&vstart);
    cluster.mon_command(&"status".into()).expect("of the monitor");
    cluster.osd_command(0, &"version".into()).expect("of the OSD");
    let mon = cluster.mon().peer().expect("a session").to_string();
    let osd = cluster.osdmap().expect("a map").addrs(0).and_then(|a| a.legacy());
    let osd = format!("osd.0 {}", osd.and_then(|a| a.sockaddr).expect("an address"));
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
        let life = [
            "PREOPEN -> V1_BANNER",
            "V1_BANNER -> V1_CONNECT_MSG",
            "V1_CONNECT_MSG -> OPEN",
            "OPEN -> CLOSED",
        ];
        assert_eq!(changes, life, "{peer}");

        let frames = said(Level::Trace);
        for way in ["<", ">"] {
            let seqs: Vec<u64> = frames
                .iter()
                .filter_map(|text| text.strip_prefix(&format!("{way} msg type ")))
                .filter_map(|text| text.split_once(" seq ")?.1.split(' ').next()?.parse().ok())
                .collect();
            let all: Vec<u64> = (1..).take(seqs.len()).collect();
            assert!(!seqs.is_empty() && seqs == all, "{peer}: {way} {seqs:?}");
        }
        assert!(frames.iter().any(|text| text.starts_with("> Connect {")), "{frames:?}");
        assert!(frames.iter().any(|text| text.starts_with("< ConnectReply {")), "{frames:?}");
    }

    // A command and its answer, each way once.
    let of_type = |n: u32| logs::count(&mon, &format!(" msg type {n} seq "));
    let (commands, acks) = (of_type(50), of_type(51));
    assert!(commands > 0 && commands == acks, "{commands} commands, {acks} answers");
    assert_eq!(logs::count(&osd, "> msg type 97 "), 1);
    assert_eq!(logs::count(&osd, "< msg type 98 "), 1);
    assert!(lines.iter().all(|line| line.level > Level::Warn), "nothing to warn of: {lines:#?}");
}
