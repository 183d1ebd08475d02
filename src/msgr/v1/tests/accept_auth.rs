//! Authorizers as the accepting side of a connection sees them.

use std::sync::Arc;

use super::acceptor::*;
use super::dialler::*;
use super::*;
use crate::auth::cephx::{
    AuthCapsInfo, AuthTicket, CephXServiceTicketInfo, CephxAuthorizeHandler, CephxAuthorizeOptions,
    ExpiringCryptoKey, RotatingKeyRing, RotatingSecrets,
};
use crate::crypto::tests::{aes256k, session_key};

pub(super) const ROTATING_SECRET: &str =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// When the tickets of the tests end.
const END: UTime = UTime { sec: 2000, nsec: 0 };

/// An MDS that knows the secret of its service.
fn mds(options: CephxAuthorizeOptions) -> Listener {
    let key = aes256k(ROTATING_SECRET);
    let secret = ExpiringCryptoKey { key, expiration: END };
    let ring = RotatingKeyRing::new(EntityType::MDS);
    ring.set_secrets(RotatingSecrets { secrets: [(2, secret)].into(), max_ver: 3 });
    let handler = CephxAuthorizeHandler::new(EntityType::MDS, Arc::new(ring), options);
    Listener::mds().auth(handler)
}

pub(super) fn strict() -> Listener {
    mds(CephxAuthorizeOptions { require_challenge: true })
}

pub(super) fn lenient() -> Listener {
    mds(CephxAuthorizeOptions { require_challenge: false })
}

/// What the monitors give `name` for the service with that secret.
pub(super) fn sealed(name: &str, session_key: &CryptoKey, secret: &str) -> CephXTicketBlob {
    let ticket = AuthTicket {
        name: name.parse().unwrap(),
        global_id: GlobalId(4242),
        old_auid: u64::MAX,
        created: UTime::default(),
        expires: END,
        caps: AuthCapsInfo::default(),
        flags: 0,
    };
    let info = CephXServiceTicketInfo { ticket, session_key: session_key.clone() };
    info.seal(2, &aes256k(secret)).unwrap()
}

/// Such a ticket, as it is shown to a service.
fn ticket(name: &str, service: EntityType, session_key: &CryptoKey, secret: &str) -> Authorizer {
    let sealed = sealed(name, session_key, secret);
    CephXAuthorizer::new(GlobalId(4242), service, &sealed, session_key, AUTH_NONCE).unwrap().into()
}

pub(super) fn authorizer(session_key: &CryptoKey) -> Authorizer {
    ticket("client.admin", EntityType::MDS, session_key, ROTATING_SECRET)
}

pub(super) fn showing(authorizer: &Authorizer) -> Request {
    Request::first().authorizer(2, authorizer.bytes())
}

/// Both types of session keys.
pub(super) fn keys() -> [CryptoKey; 2] {
    [aes_key(), session_key()]
}

/// Shows the authorizer, and answers the challenge.
fn challenged(l: &Listener, socket: &mut Socket, authorizer: &mut Authorizer) -> Reply {
    let reply = socket.refused(l, &showing(authorizer));
    assert_eq!(reply.tag, CHALLENGE);
    authorizer.add_challenge(&reply.authorizer).unwrap();
    reply
}

#[test]
fn a_challenge_and_the_proof_byte_for_byte() {
    for (key, challenge_len, proof_len) in [(aes_key(), 32, 36), (session_key(), 58, 62)] {
        let l = strict();
        let mut socket = l.introduced();
        let mut a = authorizer(&key);
        let challenge = challenged(&l, &mut socket, &mut a);
        let want = Reply {
            tag: CHALLENGE,
            features: Features(LINUX.0 & DAEMON.0),
            global_seq: 0,
            connect_seq: 0,
            protocol_version: 32,
            flags: 0,
            authorizer: challenge.authorizer.clone(),
            in_seq: 0,
        };
        assert_eq!((challenge.bytes(), challenge.authorizer.len()), (want.bytes(), challenge_len));
        let offer = socket.offered(&l, &showing(&a));
        let shown = accepted(&offer);
        assert_eq!(
            (&shown.session_key, shown.peer.global_id),
            (&Some(key.clone()), GlobalId(4242))
        );
        assert_eq!(offer.peer().name, EntityName::new(EntityType::CLIENT, 4242));
        let mut con = l.con(*offer.peer());
        l.take_over(&mut con, socket, offer, false);
        con.run().unwrap();
        let reply = Reply::parse(&con.pipe.take_output());
        let want = Reply { tag: SEQ, features: DAEMON, connect_seq: 1, global_seq: 1, ..want };
        let want = Reply { authorizer: reply.authorizer.clone(), ..want };
        assert_eq!((reply.bytes(), reply.authorizer.len()), (want.bytes(), proof_len));
        a.verify_reply(&reply.authorizer).unwrap();
    }
    // The bytes of type 1 are Ceph's own.
    let l = lenient();
    let request = showing(&authorizer(&aes_key())).without(Features::CEPHX_V2);
    let mut socket = l.introduced();
    let offer = socket.offered(&l, &request);
    assert_eq!(accepted(&offer).reply, authorizer_reply(&aes_key(), AUTH_NONCE));
}

#[test]
fn without_cephx_v2_there_is_no_challenge_or_no_session() {
    for key in keys() {
        let request = showing(&authorizer(&key)).without(Features::CEPHX_V2);
        let mut socket = strict().introduced();
        let reply = socket.refused(&strict(), &request);
        assert_eq!((reply.tag, reply.authorizer.len()), (FEATURES, 0));
        assert!(reply.features.has(Features::CEPHX_V2));
        // What the client cannot do anyway is not required of it.
        assert_eq!(reply.features.0 & !DAEMON.0, 0);
    }
    let l = lenient();
    let request = showing(&authorizer(&aes_key())).without(Features::CEPHX_V2);
    l.introduced().offered(&l, &request);
}

/// A key of type 2 has no signature of the old form, and says so before it lets anybody in.
#[test]
fn a_key_of_type_2_wants_cephx_v2_of_who_signs() {
    let l = lenient();
    let request = showing(&authorizer(&session_key())).without(Features::CEPHX_V2);
    let reply = l.introduced().refused(&l, &request);
    assert_eq!(reply.tag, FEATURES);
    assert!(reply.features.has(Features::CEPHX_V2));
    l.introduced().offered(&l, &request.without(Features::MSG_AUTH));
}

#[test]
fn the_proof_goes_with_every_answer() {
    for (retry, tag) in [
        (Retry::Global(GlobalSeq(500)), RETRY_GLOBAL),
        (Retry::Session(ConnectSeq(9)), RETRY_SESSION),
        (Retry::ResetSession { full: true }, RESETSESSION),
        (Retry::Wait, WAIT),
    ] {
        let l = strict();
        let mut socket = l.introduced();
        let mut a = authorizer(&aes_key());
        challenged(&l, &mut socket, &mut a);
        let offer = socket.offered(&l, &showing(&a));
        let reply = socket.retry(&l, &offer, retry);
        assert_eq!((reply.tag, reply.authorizer.len()), (tag, 36));
        a.verify_reply(&reply.authorizer).unwrap();
        // The same answer is good for the next message on this socket.
        let offer = socket.offered(&l, &showing(&a).seqs(501, 9));
        let mut con = l.con(*offer.peer());
        l.take_over(&mut con, socket, offer, false);
        con.run().unwrap();
        let reply = Reply::parse(&con.pipe.take_output());
        assert_eq!((reply.tag, reply.connect_seq), (SEQ, 10));
        a.verify_reply(&reply.authorizer).unwrap();
    }
}

#[test]
fn what_is_not_believed_gets_a_tag_without_bytes_and_another_try() {
    for key in keys() {
        let good = || authorizer(&key);
        let other_service = ticket("client.admin", EntityType::OSD, &key, ROTATING_SECRET);
        let other_secret = ticket("client.admin", EntityType::MDS, &key, &"ab".repeat(32));
        let mut flipped = good().bytes().to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        let mut other_id = good().bytes().to_vec();
        other_id[1] ^= 1;
        for (what, protocol, bytes) in [
            ("no authorizer", 0, vec![]),
            ("empty", 2, vec![]),
            ("junk", 2, vec![0xff; 100]),
            ("cut", 2, good().bytes()[..100].to_vec()),
            ("auth none", 1, good().bytes().to_vec()),
            ("unknown protocol", 3, good().bytes().to_vec()),
            ("another service", 2, other_service.bytes().to_vec()),
            ("another secret", 2, other_secret.bytes().to_vec()),
            ("another global_id", 2, other_id),
            ("a proof that was changed", 2, flipped),
        ] {
            let l = strict();
            let mut socket = l.introduced();
            let reply = socket.refused(&l, &Request::first().authorizer(protocol, &bytes));
            let want = Reply::new(BADAUTHORIZER).features(Features(LINUX.0 & DAEMON.0));
            let want = Reply { protocol_version: 32, ..want.global_seq(0).connect_seq(0) };
            assert_eq!(reply.bytes(), want.bytes(), "{what}");
            // A good one on the same socket.
            let mut a = good();
            challenged(&l, &mut socket, &mut a);
            socket.offered(&l, &showing(&a));
        }
    }
}

#[test]
fn a_ticket_that_has_ended_is_refused() {
    let mut l = strict();
    l.wall = END;
    let mut socket = l.introduced();
    assert_eq!(socket.refused(&l, &showing(&authorizer(&aes_key()))).tag, BADAUTHORIZER);
    l.wall = UTime { sec: END.sec - 1, nsec: 999_999_999 };
    let mut a = authorizer(&aes_key());
    challenged(&l, &mut socket, &mut a);
    // It ends between the challenge and the answer.
    l.wall = END;
    assert_eq!(socket.refused(&l, &showing(&a)).tag, BADAUTHORIZER);
}

#[test]
fn an_answer_is_good_on_its_own_socket_alone() {
    for key in keys() {
        let l = strict();
        let (mut first, mut second) = (l.introduced(), l.introduced());
        let mut a = authorizer(&key);
        challenged(&l, &mut first, &mut a);
        let recorded = showing(&a);
        first.offered(&l, &recorded);
        // On a new socket it is an authorizer like any other, to be challenged.
        assert_eq!(second.refused(&l, &recorded).tag, CHALLENGE);
        assert_eq!(second.refused(&l, &recorded).tag, BADAUTHORIZER);
        // And an answer to nothing is challenged again.
        assert_eq!(second.refused(&l, &recorded).tag, CHALLENGE);
    }
}

#[test]
fn a_fresh_authorizer_where_an_answer_is_due_is_refused_once() {
    let l = strict();
    let mut socket = l.introduced();
    let fresh = showing(&authorizer(&aes_key()));
    assert_eq!(socket.refused(&l, &fresh).tag, CHALLENGE);
    let reply = socket.refused(&l, &fresh);
    assert_eq!((reply.tag, reply.authorizer.len()), (BADAUTHORIZER, 0));
    assert_eq!(socket.refused(&l, &fresh).tag, CHALLENGE);
}

#[test]
fn a_ticket_of_another_kind_of_entity_is_refused() {
    for (name, host_type, ok) in [
        ("client.admin", 8, true),
        ("client.admin", 1, false),
        ("client.admin", 4, false),
        ("client.admin", 0, false),
        ("osd.3", 4, true),
        // A program that shows a daemon's name: `ceph -n osd.3`.
        ("osd.3", 8, true),
        ("mon.a", 1, true),
    ] {
        let l = strict();
        let mut socket = l.introduced();
        let mut a = ticket(name, EntityType::MDS, &aes_key(), ROTATING_SECRET);
        let as_type = |a: &Authorizer| Request { host_type, ..showing(a) };
        let challenge = socket.refused(&l, &as_type(&a));
        assert_eq!(challenge.tag, CHALLENGE);
        a.add_challenge(&challenge.authorizer).unwrap();
        if ok {
            let peer = *socket.offered(&l, &as_type(&a)).peer();
            let num = [(8, 4242), (4, 3), (1, -1)];
            let num = num.iter().find(|(t, _)| *t == host_type).unwrap().1;
            assert_eq!(peer.name, EntityName::new(EntityType(host_type as u8), num));
            continue;
        }
        let reply = socket.refused(&l, &as_type(&a));
        assert_eq!((reply.tag, reply.authorizer.len()), (BADAUTHORIZER, 0), "{name} {host_type}");
        // Whatever comes next is challenged, as after each refusal: it cannot have answered.
        let mut a = authorizer(&aes_key());
        challenged(&l, &mut socket, &mut a);
        socket.offered(&l, &showing(&a));
    }
}

#[test]
fn none_asks_for_a_name_and_proves_nothing() {
    let l = Listener::mds().auth(crate::auth::AuthNoneAuthorizeHandler);
    let name = "client.admin".parse().unwrap();
    let a: Authorizer = (&AuthNoneAuthorizer { name, global_id: GlobalId(4242) }).into();
    let mut socket = l.introduced();
    for (protocol, bytes) in [(0, &[][..]), (2, a.bytes()), (1, &a.bytes()[1..]), (1, &[])] {
        let reply = socket.refused(&l, &Request::first().authorizer(protocol, bytes));
        assert_eq!((reply.tag, reply.authorizer.len()), (BADAUTHORIZER, 0), "{protocol}");
    }
    let as_mon = Request { host_type: 1, ..Request::first().authorizer(1, a.bytes()) };
    assert_eq!(socket.refused(&l, &as_mon).tag, BADAUTHORIZER, "another kind of entity");
    let offer = socket.offered(&l, &Request::first().authorizer(1, a.bytes()));
    assert_eq!(offer.peer().name.num, 4242);
    let mut con = l.con(*offer.peer());
    l.take_over(&mut con, socket, offer, false);
    con.run().unwrap();
    let reply = Reply::parse(&con.pipe.take_output());
    assert_eq!((reply.tag, reply.authorizer.len()), (SEQ, 0));
    assert!(con.rx.signer.is_none() && !con.tx.is_signed());
}
