use super::mds::{MClientSession, SessionOp};
use super::mgr::{MMgrCommand, MMgrCommandReply};
use super::mon::*;
use super::osd::{MCommand, MCommandReply};
use super::*;
use crate::types::{Fsid, Seq, Tid};

#[test]
fn a_subscription_as_luminous_and_later_send_it() {
    let body = MMonSubscribe {
        what: [
            ("osdmap".to_owned(), SubscribeItem::onetime(7)),
            ("mgrmap".to_owned(), SubscribeItem::continuous(0)),
        ]
        .into(),
        hostname: "h".into(),
    };
    let msg = body.to_message(Features::ALL);
    assert_eq!((msg.header.msg_type, msg.header.version, msg.header.compat_version), (15, 3, 1));
    let wire =
        b"\x02\0\0\0\x06\0\0\0mgrmap\0\0\0\0\0\0\0\0\0\x06\0\0\0osdmap\x07\0\0\0\0\0\0\0\x01\
        \x01\0\0\0h";
    assert_eq!(msg.front, wire[..]);
    assert_eq!(MMonSubscribe::from_message(&msg), Ok(body.clone()));
    assert_eq!(body.to_string(), "mon_subscribe({mgrmap=0+,osdmap=7})");

    // Version 2 ends before the hostname.
    let old = Message::new(15, &wire[..wire.len() - 5]).with_version(2, 2);
    assert_eq!(MMonSubscribe::from_message(&old).unwrap().hostname, "");
    let ancient = Message::new(15, &wire[..]).with_version(1, 1);
    let e = MMonSubscribe::from_message(&ancient).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::TooOld(1));
}

#[test]
fn only_the_type_and_compat_version_refuse_a_message() {
    let front = b"\x05\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0more";
    let reply = |version, compat| {
        MMonGetVersionReply::from_message(
            &Message::new(20, &front[..]).with_version(version, compat),
        )
    };
    let read = MMonGetVersionReply { handle: 5, version: 9, oldest_version: 1 };
    assert_eq!(reply(9, 2), Ok(read));
    assert_eq!(reply(1, 1), Ok(MMonGetVersionReply { oldest_version: 0, ..read }));
    let e = reply(9, 3).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::Incompatible { compat: 3, known: 2 });
    assert_eq!(e.what, "mon_get_version_reply");
    let e = MMonGetVersion::from_message(&Message::new(20, &front[..])).unwrap_err();
    assert_eq!(e.kind, DecodeErrorKind::BadValue(20));
}

#[test]
fn a_command_keeps_its_data_and_tid_outside_the_body() {
    let fsid: Fsid = "9b3cdeef-6a4b-41dd-b94e-047dbfe16ecb".parse().unwrap();
    let msg = MMonCommand::new(fsid, "{}")
        .to_message(Features::ALL)
        .with_tid(Tid(42))
        .with_data(&b"in"[..]);
    // The front of a luminous client's command, from Ceph's object corpus.
    assert_eq!(
        msg.front,
        b"\0\0\0\0\0\0\0\0\xff\xff\0\0\0\0\0\0\0\0\x9b\x3c\xde\xef\x6a\x4b\x41\xdd\xb9\x4e\x04\x7d\
          \xbf\xe1\x6e\xcb\x01\0\0\0\x02\0\0\0{}"[..]
    );
    assert_eq!((msg.header.seq, msg.header.tid, &msg.data[..]), (Seq(0), Tid(42), &b"in"[..]));
    assert_eq!((msg.header.version, msg.header.compat_version), (1, 1));
}

#[test]
fn auth_messages_do_not_print_their_payload() {
    let body = auth::MAuth { auth_payload: b"secret".to_vec(), protocol: 2, ..Default::default() };
    assert_eq!(format!("{body:?} {body}"), ["auth(proto 2 6 bytes epoch 0)"; 2].join(" "));
    // The kernel's has no monmap epoch at its end.
    let mut front = body.to_message(Features::ALL).front.to_vec();
    front.truncate(front.len() - 4);
    assert_eq!(auth::MAuth::from_message(&Message::new(17, front)), Ok(body));
}

#[test]
fn names_of_types() {
    assert_eq!(types::name(types::CEPH_MSG_OSD_OP), Some("osd_op"));
    assert_eq!(types::name(0x709), Some("mgr_command"));
    assert_eq!(types::name(3), None);
}

#[test]
fn a_session_is_opened_with_metadata_and_closed_without() {
    let mut open = MClientSession::new(SessionOp::REQUEST_OPEN, 0);
    open.metadata.insert("hostname".into(), "h".into());
    open.supported_features = vec![0xff, 0x3f];
    let msg = open.to_message(Features::ALL);
    assert_eq!((msg.header.version, msg.header.compat_version), (5, 1));
    // The head, the metadata, the features, no metrics, no flags.
    let tail = b"\x01\0\0\0\x08\0\0\0hostname\x01\0\0\0h\x02\0\0\0\xff\x3f\
        \x01\x01\x04\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!((&msg.front[..28], &msg.front[28..]), (&[0; 28][..], &tail[..]));
    assert_eq!(MClientSession::from_message(&msg), Ok(open.clone()));
    // 16.2.15 writes version 4, which ends before the flags; reef and later go on to 7.
    for (version, len) in [(4, msg.front.len() - 4), (7, msg.front.len())] {
        let mut front = msg.front[..len].to_vec();
        front.extend(b"cap_auths");
        let other = Message::new(22, front).with_version(version, 1);
        assert_eq!(MClientSession::from_message(&other), Ok(open.clone()), "version {version}");
    }
    let close = MClientSession::new(SessionOp::REQUEST_CLOSE, 3).to_message(Features::ALL);
    assert_eq!((close.header.version, close.front.len()), (1, 28));
}

#[test]
fn a_ping_is_answered_with_text() {
    let reply = Message::new(types::CEPH_MSG_PING, &b"\x02\0\0\0{}"[..]);
    assert_eq!(MPing::from_message(&reply), Ok(MPing { result: Some("{}".into()) }));
    assert!(MPing::default().to_message(Features::ALL).is_empty());
}

#[test]
fn what_may_carry_a_key_is_not_shown() {
    use crate::error::CommandOutput;
    let secret = || "AQDU+QVrUuc8".to_owned();
    let (cmd, rs) = (vec![secret()], secret());
    let config = [("key".to_owned(), secret())].into();
    let said = [
        format!("{:?}", MMonCommand { cmd: cmd.clone(), ..Default::default() }),
        format!("{:?}", MMonCommandAck { cmd: cmd.clone(), rs: rs.clone(), ..Default::default() }),
        format!("{:?}", MCommand { cmd: cmd.clone(), ..Default::default() }),
        format!("{:?}", MCommandReply { rs: rs.clone(), ..Default::default() }),
        format!("{:?}", MMgrCommand { cmd, ..Default::default() }),
        format!("{:?}", MMgrCommandReply { rs, ..Default::default() }),
        format!("{:?}", MConfig { config }),
        format!("{:?}", CommandOutput { outs: secret(), outbl: secret().into() }),
    ];
    for text in said {
        assert!(!text.contains(&secret()), "{text}");
    }
}
