use super::*;
use crate::denc::Writer;
use crate::types::Fsid;

/// An `MStatfs` or an `MGetPoolStats` as far as both are the same.
fn request(msg_type: u16, fsid: Fsid) -> Message {
    let mut w = Writer::new(FEATURES);
    w.put(&PaxosHeader::default()).put(&fsid);
    Message::new(msg_type, w.into_vec()).with_tid(Tid(5))
}

#[test]
fn a_cluster_without_pools_is_empty() {
    let monitor = monitor();
    let mut session = logged_in(&monitor);
    for (asked, told, len) in [
        (types::CEPH_MSG_STATFS, types::CEPH_MSG_STATFS_REPLY, 16 + 8 + 4 * 8),
        (types::MSG_GETPOOLSTATS, types::MSG_GETPOOLSTATSREPLY, 18 + 16 + 4 + 1),
    ] {
        let msg = request(asked, monitor.fsid());
        let replies = session.dispatch(&msg, NOW).unwrap();
        assert_eq!((kinds(&replies), replies[0].front.len()), (vec![told], len));
        assert_eq!(replies[0].header.tid, Tid(5));

        let elsewhere = request(asked, Fsid::default());
        assert_eq!(session.dispatch(&elsewhere, NOW).unwrap(), [], "another cluster is meant");
        let short = Message::new(asked, msg.front[..20].to_vec());
        assert!(session.dispatch(&short, NOW).is_err());
        assert_eq!(monitor.session(FEATURES).dispatch(&msg, NOW).unwrap(), [], "nobody logged in");
    }
}
