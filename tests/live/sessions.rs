//! What daemons answer to a dialler of messenger v2 that has lost count, speaks out of turn or takes
//! back what it sent; and that a listener of this library answers the same.

use std::sync::Arc;

use bytes::Bytes;
use ceph_msgr::auth::{AuthNoneAuthorizeHandler, ConMode};
use ceph_msgr::crc32c::ceph_crc32c;
use ceph_msgr::messages::Body as _;
use ceph_msgr::messages::mon::{MMonGetVersion, MMonGetVersionReply};
use ceph_msgr::msgr::v2::control::{
    AckFrame, ControlFrame, KeepAliveFrame, KeepAliveFrameAck, MsgHeader2, ReconnectOkFrame,
    ResetFrame, ServerIdentFrame, WaitFrame,
};
use ceph_msgr::msgr::v2::{MSGR2_FEATURE_REVISION_1, OutFrame, Preamble, Tag};
use ceph_msgr::msgr::{Fault, Message, MsgHeader, Options, Policies, Policy};
use ceph_msgr::net::{Acceptor, Messenger};
use ceph_msgr::types::{EntityAddr, EntityName as PeerName, EntityType, Features, Seq, Tid};

use crate::common::client::{hook, patient};
use crate::common::vstart::Vstart;
use crate::lab::{COOKIE, LAYOUTS, Lab, STAMP, nowhere, reconnect};
use crate::link::Link;

const REV1: u64 = MSGR2_FEATURE_REVISION_1;

fn get_version() -> Message {
    let get_version = MMonGetVersion { handle: 7, what: "osdmap".to_owned() };
    get_version.to_message(Features::SUPPORTED).with_tid(Tid(7))
}

fn assert_closed(link: &mut Link, why: &str) {
    match link.get_any() {
        Err(Fault::PeerClosed | Fault::Io(std::io::ErrorKind::ConnectionReset)) => {}
        other => panic!("{why}: {other:?}"),
    }
}

#[test]
fn daemons_answer_whoever_has_lost_count_or_speaks_out_of_turn() {
    let Some(vstart) = Vstart::builder().mds().start() else { return };
    let lab = Lab::new(&vstart);
    let daemons = [
        (lab.mon, EntityType::MON),
        (lab.osd(&vstart), EntityType::OSD),
        (lab.mds(&vstart), EntityType::MDS),
    ];
    whoever_has_lost_count_or_speaks_out_of_turn(&lab, daemons);
}

#[test]
fn our_listener_answers_the_same() {
    let mds = Policies::new(Policy::STATEFUL_SERVER);
    let ours = [
        (EntityType::MON, Policies::new(Policy::STATELESS_SERVER)),
        (EntityType::OSD, Policies::new(Policy::STATELESS_REGISTERED_SERVER)),
        (EntityType::MDS, mds.with(EntityType::MDS, Policy::LOSSLESS_PEER)),
    ];
    let ours = ours.map(|(kind, policies)| {
        let name = PeerName::new(kind, 0);
        let messenger = Messenger::with_nonce(name, 0x77, Options::default(), patient());
        messenger.set_policies(policies);
        let at = EntityAddr::msgr2(([127, 0, 0, 1], 0).into(), 0);
        let acceptor = Acceptor::new(Arc::new(AuthNoneAuthorizeHandler), hook(|_, _| {}));
        let listener = messenger.bind(&[at], acceptor).expect("a free port");
        (kind, messenger, listener)
    });
    let daemons = ours.each_ref().map(|(kind, _, listener)| (listener.addrs()[0], *kind));
    let lab = Lab::without_proof(daemons[0].0);
    whoever_has_lost_count_or_speaks_out_of_turn(&lab, daemons);
}

fn whoever_has_lost_count_or_speaks_out_of_turn(lab: &Lab, daemons: [(EntityAddr, EntityType); 3]) {
    let [_, (osd, _), (mds, _)] = daemons;
    a_session_that_is_not_there_is_begun_anew_on_the_same_socket(lab, &daemons);
    a_lossy_session_is_not_gone_on_with(lab, osd);
    an_mds_takes_equal_and_later_attempts(lab, mds);
    an_mds_resets_whoever_is_another_by_its_cookie(lab, mds);
    frames_out_of_turn_end_the_connection(lab, &daemons);
}

fn a_session_that_is_not_there_is_begun_anew_on_the_same_socket(
    lab: &Lab,
    daemons: &[(EntityAddr, EntityType)],
) {
    for &(daemon, kind) in daemons {
        let mut link = lab.connect(daemon, kind, REV1, ConMode::Crc);
        let addr = nowhere();
        link.put(&reconnect(addr, 77, 1));
        assert!(link.get::<ResetFrame>().0, "{kind}");
        link.open(addr, 0, COOKIE);
    }
}

/// A monitor looks for no session of a client, and one client may have many. An OSD has one for each
/// address, which is found, is none to go on with, and ends when there is another.
fn a_lossy_session_is_not_gone_on_with(lab: &Lab, osd: EntityAddr) {
    for (daemon, kind) in [(lab.mon, EntityType::MON), (osd, EntityType::OSD)] {
        let is_found = kind == EntityType::OSD;
        let addr = nowhere();
        let connect = || lab.connect(daemon, kind, REV1, ConMode::Crc);
        let mut first = connect();
        first.open(addr, 0, COOKIE);
        let mut link = connect();
        link.put(&reconnect(addr, 77, 1));
        assert_eq!(link.get::<ResetFrame>().0, !is_found, "{kind}");
        link.open(addr, 0, COOKIE);
        if is_found {
            assert_closed(&mut first, "another session of that client");
        } else {
            first.put(&KeepAliveFrame(STAMP));
            assert_eq!(first.get::<KeepAliveFrameAck>().0, STAMP);
        }
    }
}

/// Attempts may have the same number: an MDS never dials its clients, so there is no race.
fn an_mds_takes_equal_and_later_attempts(lab: &Lab, mds: EntityAddr) {
    let connect = || lab.connect(mds, EntityType::MDS, REV1, ConMode::Crc);
    let addr = nowhere();
    let mut link = connect();
    let server = link.open(addr, 0, COOKIE);
    for connect_seq in [1, 1, 9, 9] {
        let mut next = connect();
        next.put(&reconnect(addr, server.cookie, connect_seq));
        assert_eq!(next.get::<ReconnectOkFrame>().0, Seq(0), "attempt {connect_seq}");
        assert_closed(&mut link, "another socket has the session");
        link = next;
    }
    // Its own cookie is not compared.
    link = connect();
    link.put(&reconnect(addr, server.cookie ^ 1, 10));
    assert_eq!(link.get::<ReconnectOkFrame>().0, Seq(0));
}

/// A client is to be told that its state is gone (`resetcheck`), and a peer is not.
fn an_mds_resets_whoever_is_another_by_its_cookie(lab: &Lab, mds: EntityAddr) {
    for (own, full) in [(EntityType::CLIENT, true), (EntityType::MDS, false)] {
        let connect = || {
            let link = Link::dial_as(own, mds, EntityType::MDS, REV1);
            lab.authenticated(link, EntityType::MDS, ConMode::Crc)
        };
        let addr = nowhere();
        let mut first = connect();
        // Of a peer it demands the feature UID.
        let mut ident = first.client_ident(addr, 0, COOKIE);
        ident.supported_features.0 |= 1;
        first.put(&ident);
        let server: ServerIdentFrame = first.get();

        let mut link = connect();
        let mut other = reconnect(addr, server.cookie, 1);
        other.client_cookie ^= 1;
        link.put(&other);
        assert_eq!(link.get::<ResetFrame>().0, full, "{own}");
        // The MDS hangs up on a client whose session it has just ended, sooner or later.
        if !full {
            (ident.cookie, ident.global_seq) = (other.client_cookie, other.global_seq + 1);
            link.put(&ident);
            assert_ne!(link.get::<ServerIdentFrame>().cookie, server.cookie);
        }
    }
}

fn frames_out_of_turn_end_the_connection(lab: &Lab, daemons: &[(EntityAddr, EntityType)]) {
    fn put<T: ControlFrame>(link: &mut Link, frame: &T, kind: EntityType) {
        link.put(frame);
        assert_closed(link, &format!("{kind}, tag {}", T::TAG));
    }
    for &(daemon, kind) in daemons {
        let connect = || lab.connect(daemon, kind, REV1, ConMode::Crc);
        let open = || {
            let mut link = connect();
            link.open(nowhere(), 0, COOKIE);
            link
        };
        put(&mut Link::dial(daemon, kind, REV1), &KeepAliveFrame(STAMP), kind);
        put(&mut connect(), &KeepAliveFrame(STAMP), kind);
        put(&mut connect(), &AckFrame(Seq(0)), kind);
        put(&mut connect(), &WaitFrame, kind);
        put(&mut open(), &WaitFrame, kind);
        put(&mut open(), &ResetFrame(true), kind);
        let mut link = open();
        let again = link.client_ident(nowhere(), 0, COOKIE);
        put(&mut link, &again, kind);
        // An incarnation of the daemon that is not this one.
        let mut link = connect();
        let mut stranger = link.client_ident(nowhere(), 0, COOKIE);
        stranger.target_addr.nonce ^= 1;
        put(&mut link, &stranger, kind);

        // The dialler need not wait: the session is open when the next frame is looked at.
        let mut link = connect();
        let ident = link.client_ident(nowhere(), !0, COOKIE);
        link.put(&ident);
        link.put(&KeepAliveFrame(STAMP));
        assert_eq!(link.get::<ServerIdentFrame>().flags & !1, 0, "{kind}");
        assert_eq!(link.get::<KeepAliveFrameAck>().0, STAMP);
    }
}

#[test]
fn what_was_taken_back_has_no_number_but_its_nonces_are_used() {
    let Some(vstart) = Vstart::builder().start() else { return };
    let lab = Lab::new(&vstart);
    for (banner, mode, _) in LAYOUTS {
        let mut link = lab.connect(lab.mon, EntityType::MON, banner, mode);
        link.open(nowhere(), 0, COOKIE);
        let message = get_version();
        let header = MsgHeader { seq: Seq(1), ..message.header };
        let header = MsgHeader2::new(&header, Seq(0)).to_array();
        let data = Bytes::from(vec![1; 100]);
        let frame = OutFrame::message(1, &header, message.front.clone(), Bytes::new(), data);
        link.add("MESSAGE", OutFrame { aborted: true, ..frame });
        link.put(&KeepAliveFrame(STAMP));
        assert_eq!(link.get::<KeepAliveFrameAck>().0, STAMP);
        // With number 1 too.
        assert_eq!(link.ask::<MMonGetVersionReply>(&message).0.handle, 7);
    }
    a_monitor_takes_alignments_that_it_can_allocate(&lab);
}

/// An alignment that is above 8 and no power of two ends the connection.
fn a_monitor_takes_alignments_that_it_can_allocate(lab: &Lab) {
    let crc = |bytes: &[u8]| ceph_crc32c(u32::MAX, bytes).to_le_bytes();
    let (message, data) = (get_version(), [1; 100]);
    let header = MsgHeader { seq: Seq(1), ..message.header };
    let header = MsgHeader2::new(&header, Seq(0)).to_array();
    let preamble = Preamble::new(Tag::Message, [41, message.front.len() as u32, 0, 100]);
    for (alignment, taken) in [
        (0_u16, true),
        (1, true),
        (3, true),
        (64, true),
        (32768, true),
        (24, false),
        (65535, false),
    ] {
        for segment in [1, 3] {
            let mut frame = preamble.encode().to_vec();
            let at = 2 + 6 * segment + 4;
            frame[at..at + 2].copy_from_slice(&alignment.to_le_bytes());
            let preamble_crc = ceph_crc32c(0, &frame[..28]).to_le_bytes();
            frame[28..].copy_from_slice(&preamble_crc);
            frame.extend([&header[..], &crc(&header), &message.front, &data, &[0xe]].concat());
            frame.extend([crc(&message.front), crc(&[]), crc(&data)].concat());
            let mut link = lab.connect(lab.mon, EntityType::MON, REV1, ConMode::Crc);
            link.open(nowhere(), 0, COOKIE);
            link.write(&frame);
            if taken {
                let got = link.get_any().map(|got| got.tag);
                assert_eq!(got, Ok(Tag::Message), "alignment {alignment}");
            } else {
                assert_closed(&mut link, &format!("alignment {alignment}"));
            }
        }
    }
}
