//! Both ends of each capture are played by this library: it understands what the other end sent, and
//! would have sent the same.

use super::*;
use crate::msgr::v2::control::{
    AckFrame, AuthBadMethod, AuthDoneFrame, AuthOffer, AuthReplyMoreFrame, AuthRequestMoreFrame,
    AuthSignatureFrame, ClientIdentFrame, HelloFrame, IdentMissingFeaturesFrame, KeepAliveFrame,
    KeepAliveFrameAck, ReconnectFrame, ReconnectOkFrame, ResetFrame, RetryFrame, RetryGlobalFrame,
    ServerIdentFrame,
};

#[test]
fn both_ends_understand_each_other_however_the_bytes_come() {
    for capture in captures() {
        for role in ROLES {
            let bytes = capture.bytes_of(other(role));
            let titles: Vec<_> = capture.sent_by(other(role)).skip(1).map(|(t, _)| t).collect();
            for per_recv in [1, 2, 3, 31, 32, 33, 96, 1000, usize::MAX] {
                let (got, signed) = capture.read(role, &bytes, per_recv).unwrap();
                assert_eq!(got.iter().map(title).collect::<Vec<_>>(), titles, "{}", capture.name);
                assert_eq!(signed, capture.signed_by(other(role)), "{}", capture.name);
            }
        }
    }
}

#[test]
fn both_ends_would_have_sent_the_same_bytes() {
    for capture in captures() {
        for role in ROLES {
            let (mut tx, mut rx) = capture.end(role);
            let mut sent = capture.sent_by(role);
            let (_, banner) = sent.next().unwrap();
            // Who hides the revision is spoken to in the old one.
            let hides = role == Role::Connecting && capture.mode.0 == V2_0;
            assert_eq!(banner, Banner { supported: u64::from(!hides), required: 0 }.encode());
            tx.transcript().add(banner).unwrap();
            let mut signed = Vec::new();
            for (frame, (title, bytes)) in capture.frames_of(role).iter().zip(sent) {
                if title == "AUTH_SIGNATURE" {
                    signed = tx.transcript().take();
                    capture.authenticated(&mut tx, &mut rx);
                }
                let Got::Frame(tag, segments) = frame else { panic!("aborted") };
                let out = match tag {
                    Tag::Message => message(segments),
                    _ => OutFrame::control(*tag, &segments[0]),
                };
                assert_eq!(wire(&mut tx, out), bytes, "{} {title}", capture.name);
            }
            assert_eq!(signed, capture.signed_by(role), "{}", capture.name);
        }
    }
}

/// The payload, read and written again.
fn again<T: ControlFrame>(payload: &[u8]) -> Vec<u8> {
    T::from_payload(payload).unwrap().to_payload()
}

#[test]
fn every_payload_is_written_as_it_was_read() {
    let mut seen = std::collections::BTreeSet::new();
    for capture in captures() {
        for role in ROLES {
            for frame in capture.frames_of(role) {
                let Got::Frame(tag, [payload, ..]) = &frame else { panic!("aborted") };
                let again = match tag {
                    Tag::Hello => again::<HelloFrame>,
                    Tag::AuthRequest => again::<AuthOffer>,
                    Tag::AuthBadMethod => again::<AuthBadMethod>,
                    Tag::AuthReplyMore => again::<AuthReplyMoreFrame>,
                    Tag::AuthRequestMore => again::<AuthRequestMoreFrame>,
                    Tag::AuthDone => again::<AuthDoneFrame>,
                    Tag::AuthSignature => again::<AuthSignatureFrame>,
                    Tag::ClientIdent => again::<ClientIdentFrame>,
                    Tag::ServerIdent => again::<ServerIdentFrame>,
                    Tag::IdentMissingFeatures => again::<IdentMissingFeaturesFrame>,
                    Tag::SessionReconnect => again::<ReconnectFrame>,
                    Tag::SessionReset => again::<ResetFrame>,
                    Tag::SessionRetry => again::<RetryFrame>,
                    Tag::SessionRetryGlobal => again::<RetryGlobalFrame>,
                    Tag::SessionReconnectOk => again::<ReconnectOkFrame>,
                    Tag::Keepalive2 => again::<KeepAliveFrame>,
                    Tag::Keepalive2Ack => again::<KeepAliveFrameAck>,
                    Tag::Ack => again::<AckFrame>,
                    Tag::Message => |p: &[u8]| MsgHeader2::from_bytes(p).unwrap().to_array().into(),
                    other => panic!("{other} is in no capture"),
                };
                assert_eq!(again(payload), *payload, "{} {}", capture.name, title(&frame));
                seen.insert(*tag as u8);
            }
        }
    }
    assert_eq!(seen.len(), 19, "{seen:?}");
}
