use std::collections::BTreeMap;

use super::*;
use crate::messages::log::{LogEntry, LogPriority, MLog, MLogAck};
use crate::messages::mds::MMDSMap;
use crate::messages::mon::{
    MMonGetMap, MMonGetVersion, MMonGetVersionReply, MMonSubscribe, MMonSubscribeAck, SubscribeItem,
};
use crate::messages::osd::MOSDMap;
use crate::msgr::Priority;

fn subscribe(items: &[(&str, SubscribeItem)]) -> MMonSubscribe {
    let what = items.iter().map(|(what, item)| ((*what).to_owned(), *item)).collect();
    MMonSubscribe { what, hostname: "h".into() }
}

fn osdmap(monitor: &Monitor, epoch: u32) -> SimpleOSDMap {
    SimpleOSDMap { fsid: monitor.fsid(), epoch: Epoch(epoch), ..SimpleOSDMap::default() }
}

fn osd_epochs(messages: &[Message]) -> Vec<u32> {
    messages.iter().map(|msg| MOSDMap::from_message(msg).unwrap().last().unwrap().0).collect()
}

/// What librados subscribes to when it starts gets an answer each, in the order of the names.
#[test]
fn all_that_librados_waits_for_comes() {
    let mut session = logged_in(&monitor());
    let newest = SubscribeItem::continuous(0);
    let what = ["config", "monmap", "mgrmap", "osdmap", "fsmap", "fsmap.user", "servicemap"];
    let replies = ask(&mut session, &subscribe(&what.map(|what| (what, newest))));
    assert_eq!(
        kinds(&replies),
        [
            types::MSG_CONFIG,
            types::CEPH_MSG_FS_MAP,
            types::CEPH_MSG_FS_MAP_USER,
            types::MSG_MGR_MAP,
            types::CEPH_MSG_MON_MAP,
            types::CEPH_MSG_OSD_MAP,
        ]
    );
    assert!(replies.iter().all(|msg| msg.header.priority == Priority::HIGH));
    assert_eq!(session.subscriptions().count(), what.len(), "one is not published yet");
    assert_eq!(session.check_subs(), []);
}

#[test]
fn a_continuing_subscription_brings_each_new_version_once() {
    let monitor = monitor();
    let mut session = logged_in(&monitor);
    let mut later = logged_in(&monitor);
    let from = |start| subscribe(&[("osdmap", SubscribeItem::continuous(start))]);
    assert_eq!(osd_epochs(&ask(&mut session, &from(0))), [1]);
    assert_eq!(ask(&mut later, &from(3)), []);
    monitor.set_osdmap(osdmap(&monitor, 2));
    assert_eq!(osd_epochs(&session.check_subs()), [2]);
    assert_eq!(later.check_subs(), []);
    monitor.set_osdmap(osdmap(&monitor, 3));
    monitor.set_osdmap(osdmap(&monitor, 5));
    assert_eq!(osd_epochs(&session.check_subs()), [5]);
    assert_eq!(osd_epochs(&later.check_subs()), [5]);
    assert_eq!((session.check_subs(), later.check_subs()), (vec![], vec![]));
    // Whoever asks for an old one anew gets what there is.
    assert_eq!(osd_epochs(&ask(&mut session, &from(2))), [5]);
}

#[test]
fn a_onetime_subscription_ends_with_its_answer() {
    let monitor = monitor();
    let mut session = logged_in(&monitor);
    let once = |start| subscribe(&[("osdmap", SubscribeItem::onetime(start))]);
    assert_eq!(osd_epochs(&ask(&mut session, &once(1))), [1]);
    assert_eq!(session.subscriptions().count(), 0);
    assert_eq!(ask(&mut session, &once(2)), []);
    monitor.set_osdmap(osdmap(&monitor, 2));
    assert_eq!(osd_epochs(&session.check_subs()), [2]);
    monitor.set_osdmap(osdmap(&monitor, 3));
    assert_eq!(session.check_subs(), []);
}

#[test]
fn only_an_old_client_is_told_when_to_renew() {
    let monitor = monitor();
    let old = Features(FEATURES.0 & !Features::SERVER_JEWEL.mask);
    for (features, item, acked) in [
        (old, SubscribeItem::continuous(9), true),
        (old, SubscribeItem::onetime(9), false),
        (FEATURES, SubscribeItem::continuous(9), false),
    ] {
        let mut session = monitor.session(features);
        let (mut handler, hello) = client(&monitor).start();
        talk(&mut session, &mut handler, hello, 0).unwrap();
        let replies = ask(&mut session, &subscribe(&[("monmap", item)]));
        assert_eq!(replies.len(), usize::from(acked));
        for reply in replies {
            let ack = MMonSubscribeAck::from_message(&reply).unwrap();
            assert_eq!((ack.interval, ack.fsid), (86_400, monitor.fsid()));
        }
    }
}

#[test]
fn what_an_author_publishes_can_be_subscribed_to() {
    let monitor = monitor();
    let mut session = logged_in(&monitor);
    let newest = SubscribeItem::continuous(0);
    assert_eq!(ask(&mut session, &subscribe(&[("mdsmap", newest)])), []);
    let fsid = monitor.fsid();
    monitor.publish("mdsmap", 4, move |features| {
        MMDSMap { fsid, epoch: Epoch(4), ..MMDSMap::default() }.to_message(features)
    });
    let due = session.check_subs();
    assert_eq!(MMDSMap::from_message(&due[0]).unwrap().epoch, Epoch(4));
    let config: BTreeMap<_, _> = [("debug_ms".to_owned(), "1".to_owned())].into();
    ask(&mut session, &subscribe(&[("config", newest)]));
    monitor.set_config(config);
    assert_eq!(kinds(&session.check_subs()), [types::MSG_CONFIG]);
}

#[test]
fn one_client_cannot_subscribe_to_everything() {
    let mut session = logged_in(&monitor());
    let endless = SubscribeItem::continuous(0);
    assert_eq!(ask(&mut session, &subscribe(&[(&"x".repeat(1025), endless)])), []);
    assert_eq!(session.subscriptions().count(), 0);
    let what = (0..2000).map(|n| (n.to_string(), endless)).collect();
    ask(&mut session, &MMonSubscribe { what, hostname: String::new() });
    assert_eq!(session.subscriptions().count(), 1024);
    // The others may still be moved.
    ask(&mut session, &subscribe(&[("0", SubscribeItem::onetime(0))]));
    assert_eq!(session.subscriptions().count(), 1024);
}

#[test]
fn versions_and_maps_are_told_on_request() {
    let monitor = monitor();
    let mut session = logged_in(&monitor);
    monitor.set_osdmap(osdmap(&monitor, 7));
    for (what, version) in [("osdmap", 7), ("monmap", 1), ("fsmap", 1), ("mdsmap", 1)] {
        let replies = ask(&mut session, &MMonGetVersion { handle: 3, what: what.to_owned() });
        let reply = MMonGetVersionReply::from_message(&replies[0]).unwrap();
        assert_eq!((reply.handle, reply.version), (3, version), "{what}");
        assert_eq!((reply.oldest_version, replies[0].header.tid), (version, Tid(5)));
    }
    for what in ["mgrmap", "config", "nonsense"] {
        let silence = ask(&mut session, &MMonGetVersion { handle: 3, what: what.to_owned() });
        assert_eq!(silence, [], "{what}: 16.2.15 does not answer either");
    }
    assert_eq!(kinds(&ask(&mut session, &MMonGetMap)), [types::CEPH_MSG_MON_MAP]);
}

#[test]
fn log_entries_are_acknowledged() {
    let monitor = monitor();
    let mut session = logged_in(&monitor);
    let entry = |seq| LogEntry {
        name: (8, "admin".into()),
        rank: crate::types::EntityName::new(EntityType::CLIENT, 4101),
        addrs: addr().into(),
        stamp: NOW,
        seq,
        prio: LogPriority::INFO,
        msg: "m".into(),
        channel: "audit".into(),
    };
    let fsid = monitor.fsid();
    let log = |entries| MLog { fsid, entries, ..MLog::default() };
    let replies = ask(&mut session, &log(vec![entry(4), entry(5)]));
    let ack = MLogAck::from_message(&replies[0]).unwrap();
    assert_eq!((ack.fsid, ack.last, ack.channel.as_str()), (fsid, 5, "audit"));
    assert_eq!(ask(&mut session, &log(vec![])), []);
}
