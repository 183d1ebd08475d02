use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::messages::mon::{MMonCommand, MMonCommandAck};
use crate::messages::osd::{MCommand, MCommandReply};
use crate::types::Fsid;

fn commands() -> Commands {
    let mgr = Commands::new().on("pg stat", "show placement group status.", |_| panic!("not here"));
    Commands::new()
        .on("status", "show cluster status", |cmd| match cmd.arg("format") {
            Some("json") => CommandReply::ok(r#"{"health":"HEALTH_OK"}"#),
            _ => CommandReply::ok("HEALTH_OK\n"),
        })
        .on("osd pool rm name=pool,type=CephPoolname", "remove pool", |_| {
            CommandReply::error(2, "no such pool")
        })
        .on("echo", "", |cmd| CommandReply {
            r: 7,
            outs: cmd.peer.name.to_string(),
            outbl: cmd.inbl.clone(),
        })
        .with_mgr(&mgr)
}

fn run(session: &mut MonSession, fsid: Fsid, cmd: &[&str], inbl: &[u8]) -> (MMonCommandAck, Bytes) {
    let cmd = cmd.iter().map(|&piece| piece.to_owned()).collect();
    let msg = MMonCommand { fsid, cmd, ..MMonCommand::default() }.to_message(FEATURES);
    let msg = msg.with_tid(Tid(90)).with_data(inbl.to_vec());
    let replies = session.dispatch(&msg, NOW).unwrap();
    assert_eq!((replies.len(), replies[0].header.tid), (1, Tid(90)));
    (MMonCommandAck::from_message(&replies[0]).unwrap(), replies[0].data.clone())
}

#[test]
fn a_command_reaches_its_handler_and_the_reply_the_client() {
    let monitor = build(Monitor::builder().commands(commands()));
    let mut session = logged_in(&monitor);
    let mut run = |cmd: &str| {
        let (ack, data) = run(&mut session, monitor.fsid(), &[cmd], b"in");
        assert_eq!(ack.cmd, [cmd]);
        (ack.r, ack.rs, String::from_utf8(data.to_vec()).unwrap())
    };
    let reply = |r, rs: &str, data: &str| (r, rs.to_owned(), data.to_owned());
    assert_eq!(run(r#"{"prefix":"status"}"#), reply(0, "", "HEALTH_OK\n"));
    let json = run(r#"{"prefix":"status","format":"json"}"#);
    assert_eq!(json, reply(0, "", r#"{"health":"HEALTH_OK"}"#));
    assert_eq!(run(r#"{"prefix":"osd pool rm","pool":"p"}"#), reply(-2, "no such pool", ""));
    assert_eq!(run(r#"{"prefix":"echo"}"#), reply(7, "client.admin", "in"));
    // It is the manager's.
    assert_eq!(run(r#"{"prefix":"pg stat"}"#), reply(-22, "command not known", ""));
}

/// The errnos and texts of a 16.2.15 monitor for these.
#[test]
fn what_is_no_command_is_refused_in_ceph_s_words() {
    let monitor = build(Monitor::builder().commands(commands()));
    let mut session = logged_in(&monitor);
    let ours = monitor.fsid();
    for (fsid, cmd, r, rs) in [
        (Fsid::default(), &[r#"{"prefix":"status"}"#][..], -1, "wrong fsid"),
        (ours, &[], -22, "no command specified"),
        (ours, &["status"], -22, "unparseable JSON status"),
        (ours, &[r#"{"foo":1}"#], -22, "command prefix not found"),
        (ours, &[r#"{"prefix":""}"#], -22, "command prefix must not be empty"),
        (ours, &[r#"{"prefix":"nope"}"#], -22, "command not known"),
        // Not in its words: it aborts.
        (ours, &[r#"{"prefix":1}"#], -22, "command prefix not found"),
        (ours, &[r#"{"prefix":"#, r#""status"}"#], 0, ""),
    ] {
        let (ack, _) = run(&mut session, fsid, cmd, b"");
        assert_eq!((ack.r, ack.rs.as_str()), (r, rs), "{cmd:?}");
    }
}

#[test]
fn descriptions_are_as_monitors_send_them() {
    let again = commands().on("status", "of another kind", |_| CommandReply::ok(""));
    let monitor = build(Monitor::builder().commands(again));
    let mut session = logged_in(&monitor);
    let cmd = r#"{"prefix":"get_command_descriptions"}"#;
    let (ack, data) = run(&mut session, monitor.fsid(), &[cmd], b"");
    assert_eq!((ack.r, ack.rs.as_str()), (0, ""));
    let json: Value = serde_json::from_slice(&data).unwrap();
    let sigs: Vec<_> = json.as_object().unwrap().values().map(|d| d["sig"].clone()).collect();
    let pool_rm = json!(["osd", "pool", "rm", {"name": "pool", "type": "CephPoolname"}]);
    assert_eq!(sigs, [pool_rm, json!(["echo"]), json!(["pg", "stat"]), json!(["status"])]);
    assert_eq!((&json["cmd002"]["flags"], &json["cmd003"]["flags"]), (&json!(8), &json!(0)));
    assert_eq!(json["cmd003"]["help"], "of another kind");
}

#[test]
fn whoever_answers_all_else_is_asked_last() {
    let commands = commands().otherwise(|cmd| CommandReply::error(95, &cmd.prefix));
    let monitor = build(Monitor::builder().commands(commands));
    let mut session = logged_in(&monitor);
    let mut run = |cmd| run(&mut session, monitor.fsid(), &[cmd], b"").0;
    assert_eq!(run(r#"{"prefix":"osd tree"}"#).rs, "osd tree");
    assert_eq!(run(r#"{"prefix":"status"}"#).r, 0);
}

#[test]
fn a_tell_runs_the_same_commands() {
    let monitor = build(Monitor::builder().commands(commands()));
    let mut session = logged_in(&monitor);
    for (fsid, r, out) in [(monitor.fsid(), 0, "HEALTH_OK\n"), (Fsid::default(), -13, "")] {
        let replies = ask(&mut session, &MCommand::new(fsid, r#"{"prefix":"status"}"#));
        let reply = MCommandReply::from_message(&replies[0]).unwrap();
        assert_eq!((reply.r, &replies[0].data[..]), (r, out.as_bytes()));
        assert_eq!(replies[0].header.tid, Tid(5));
    }
}

#[test]
fn logs_do_not_tell_arguments_or_output() {
    let monitor = monitor();
    let session = logged_in(&monitor);
    let peer = session.peer().unwrap().clone();
    let cmd = [r#"{"prefix":"config-key set","val":"hidden"}"#.to_owned()];
    let request = CommandRequest::parse(&cmd, Bytes::from_static(b"hidden"), peer).unwrap();
    let reply = CommandReply { r: 0, outs: "hidden".into(), outbl: "hidden".into() };
    let shown = format!("{request:?} {reply:?} {monitor:?}");
    assert!(shown.contains("config-key set") && !shown.contains("hidden"), "{shown}");
}
