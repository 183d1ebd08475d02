//! What the frames up to the open session say.

use super::*;
use crate::auth::CEPH_AUTH_CEPHX;
use crate::msgr::v2::control::{
    AuthBadMethod, AuthDoneFrame, AuthSignatureFrame, CLIENT_IDENT_LOSSY, ClientIdentFrame,
    HelloFrame, IdentMissingFeaturesFrame, ReconnectFrame, ReconnectOkFrame, ResetFrame,
    RetryFrame, RetryGlobalFrame, ServerIdentFrame,
};
use crate::types::{AddrType, Features, Seq};
use Role::{Accepting, Connecting};

/// Of 16.2.15.
const SUPPORTED: Features = Features(0x3f01_cfbd_fffd_ffff);
/// Of our end of the sessions that last.
const COOKIE: u64 = 0x1122_3344_5566_7788;

fn daemon(capture: &Capture) -> EntityType {
    match capture.name.split('-').next() {
        Some("mon") => EntityType::MON,
        Some("osd") => EntityType::OSD,
        _ => EntityType::MDS,
    }
}

#[test]
fn each_side_has_signed_what_it_received() {
    for capture in captures() {
        for role in ROLES {
            let (received, sent) = (capture.signed_by(other(role)), capture.signed_by(role));
            let key = capture.session_key.as_ref();
            let signatures = AuthSignatures::new(key, &received, &sent).unwrap();
            let ours: AuthSignatureFrame = capture.control(role).unwrap();
            let theirs: AuthSignatureFrame = capture.control(other(role)).unwrap();
            assert_eq!(signatures.ours(), ours.0, "{}", capture.name);
            assert_eq!(signatures.check(&theirs.0), Ok(()), "{}", capture.name);
            assert_eq!(key.is_none(), ours.0 == [0; 32], "{}", capture.name);
        }
    }
}

#[test]
fn each_side_says_hello_and_where_it_sees_the_other() {
    for capture in captures() {
        let ours = HelloFrame { entity_type: EntityType::CLIENT, peer_addr: capture.dialled };
        assert_eq!(capture.control(Connecting), Some(ours));
        let peer_addr = EntityAddr::msgr2(capture.from, 0);
        let theirs = HelloFrame { entity_type: daemon(&capture), peer_addr };
        assert_eq!(capture.control(Accepting), Some(theirs));
    }
}

#[test]
fn the_mode_is_what_was_asked_for() {
    for capture in captures() {
        let done: AuthDoneFrame = capture.control(Accepting).unwrap();
        assert_eq!(done.con_mode, mode(capture.mode.1).number(), "{}", capture.name);
        assert_ne!(done.global_id.0, 0);
        let refused: Option<AuthBadMethod> = capture.control(Accepting);
        assert_eq!(refused.is_some(), capture.session_key.is_none(), "{}", capture.name);
        if let Some(AuthBadMethod { method, result, allowed_methods, allowed_modes }) = refused {
            assert_eq!((method, result), (CEPH_AUTH_CEPHX, -95));
            // It allows a mode that it could not have.
            assert_eq!((&allowed_methods[..], &allowed_modes[..]), (&[1][..], &[2, 1][..]));
        }
    }
}

#[test]
fn the_daemon_says_what_becomes_of_the_session() {
    for capture in captures() {
        let Some(server) = capture.control::<ServerIdentFrame>(Accepting) else { continue };
        let mut asked: Vec<ClientIdentFrame> = capture.controls(Connecting);
        let client = asked.pop().unwrap();
        let refused = asked.pop().map(|first| {
            let missing = server.required_features.missing_in(first.supported_features);
            IdentMissingFeaturesFrame(missing.0)
        });
        assert_eq!(capture.control(Accepting), refused, "{}", capture.name);
        assert_eq!(refused.is_some(), capture.name.starts_with("mon-missing"));
        assert_eq!(client.target_addr, capture.dialled);
        assert_eq!(client.addrs.0[0].addr_type, AddrType::ANY);
        assert_eq!((client.gid, client.addrs.0.len()), (-1, 1));

        assert_eq!(server.addrs.of_type(AddrType::MSGR2), Some(capture.dialled));
        assert_eq!(server.supported_features, SUPPORTED, "{}", capture.name);
        assert!(server.required_features.has(Features::MSG_ADDR2));
        assert!(server.required_features.missing_in(client.supported_features).is_empty());
        assert_ne!(server.global_seq, 0);
        // Whatever the dialler asks for: a monitor was asked for a session that lasts, and an MDS for
        // one that does not.
        let lasts = daemon(&capture) == EntityType::MDS;
        assert_eq!(server.flags, if lasts { 0 } else { CLIENT_IDENT_LOSSY }, "{}", capture.name);
        assert_eq!(server.cookie != 0, lasts, "{}", capture.name);
    }
}

#[test]
fn a_session_is_found_again_or_reset() {
    let find = |name| captures().find(|c| c.name == name).unwrap();
    for mode in ["crc", "secure"] {
        let first = find(format!("mds-rev1-{mode}"));
        let again = find(format!("mds-reconnect-rev1-{mode}"));
        let behind = find(format!("mds-retry-rev1-{mode}"));
        let unknown = find(format!("mds-reset-rev1-{mode}"));
        let client: ClientIdentFrame = first.control(Connecting).unwrap();
        let server: ServerIdentFrame = first.control(Accepting).unwrap();

        let reconnect: ReconnectFrame = again.control(Connecting).unwrap();
        assert_eq!((reconnect.client_cookie, reconnect.server_cookie), (COOKIE, server.cookie));
        assert_eq!((&reconnect.addrs, reconnect.connect_seq), (&client.addrs, 5));
        assert!(reconnect.global_seq > client.global_seq);
        assert_eq!(again.control(Accepting), Some(ReconnectOkFrame(Seq(1))));

        let tries: Vec<ReconnectFrame> = behind.controls(Connecting);
        let tries: Vec<_> = tries.iter().map(|t| (t.connect_seq, t.global_seq)).collect();
        let [(2, later), (6, 1), (6, last)] = tries[..] else { panic!("{tries:?}") };
        assert!(reconnect.global_seq < later && later < last);
        assert_eq!(behind.control(Accepting), Some(RetryFrame(5)));
        // Of an attempt that came to nothing it has kept no number.
        assert_eq!(behind.control(Accepting), Some(RetryGlobalFrame(reconnect.global_seq)));
        assert_eq!(behind.control(Accepting), Some(ReconnectOkFrame(Seq(2))));

        let reconnect: ReconnectFrame = unknown.control(Connecting).unwrap();
        assert_ne!(reconnect.addrs, client.addrs);
        assert_eq!(unknown.control(Accepting), Some(ResetFrame(true)));
    }
}
