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
use crate::crypto::{SignatureForm, SignedFields, calc_signature};

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

fn lenient() -> Listener {
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

fn authorizer(session_key: &CryptoKey) -> Authorizer {
    ticket("client.admin", EntityType::MDS, session_key, ROTATING_SECRET)
}

fn showing(authorizer: &Authorizer) -> Request {
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
        (Retry::ResetSession, RESETSESSION),
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
        ("osd.3", 8, false),
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
            let num = [("client.admin", 4242), ("osd.3", 3), ("mon.a", -1)];
            let num = num.iter().find(|(n, _)| *n == name).unwrap().1;
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
fn who_is_refused_a_session_that_is_not_its_own_may_show_another_authorizer() {
    let l = strict();
    let mut socket = l.introduced();
    let mut a = authorizer(&aes_key());
    challenged(&l, &mut socket, &mut a);
    let offer = socket.offered(&l, &showing(&a));
    let reply = socket.retry(&l, &offer, Retry::BadAuthorizer);
    assert_eq!((reply.tag, reply.authorizer.len()), (BADAUTHORIZER, 0));
    let mut a = ticket("client.other", EntityType::MDS, &aes_key(), ROTATING_SECRET);
    challenged(&l, &mut socket, &mut a);
    assert_eq!(accepted(&socket.offered(&l, &showing(&a))).peer.name.id, "other");
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
    assert!(con.rx.signer.is_none() && con.tx.signer.is_none());
}

/// Opens a session with these features; both sides then have the key.
fn open(l: &Listener, key: &CryptoKey, features: Features) -> Con {
    let mut socket = l.introduced();
    let mut a = authorizer(key);
    let of = |a: &Authorizer| Request { features: features.0, ..showing(a) };
    if features.has(Features::CEPHX_V2) {
        let challenge = socket.refused(l, &of(&a));
        a.add_challenge(&challenge.authorizer).unwrap();
    }
    let offer = socket.offered(l, &of(&a));
    let mut con = l.con(*offer.peer());
    l.take_over(&mut con, socket, offer, false);
    con.run().unwrap();
    con.pipe.take_output();
    con.receive(&0u64.to_le_bytes()).unwrap();
    assert_eq!((con.state(), con.tx.features()), (ConState::Open, features & DAEMON));
    con.take_events();
    con
}

/// The signature that the bytes of one message of ours must have.
fn signature(bytes: &[u8], m: &Msg, key: &CryptoKey, form: SignatureForm) -> u64 {
    let fields = SignedFields {
        header_crc: u32::from_le_bytes(bytes[50..54].try_into().unwrap()),
        front_crc: crc(&m.front),
        front_len: m.front.len() as u32,
        middle_crc: 0,
        middle_len: 0,
        data_crc: crc(&m.data),
        data_len: m.data.len() as u32,
        seq: m.seq,
    };
    calc_signature(key, form, &fields).unwrap()
}

#[test]
fn messages_are_signed_and_checked_in_the_form_that_both_know() {
    let old = LINUX.missing_in(Features(Features::CEPHX_V2.mask));
    for (key, features, form) in [
        (aes_key(), LINUX, SignatureForm::CephxV2),
        (session_key(), LINUX, SignatureForm::CephxV2),
        (aes_key(), old, SignatureForm::Old),
    ] {
        let mut con = open(&lenient(), &key, features);
        con.receive(&Msg::new(1).signed(&key, form).bytes(true)).unwrap();
        assert_eq!(con.received(), [1]);
        con.pipe.take_output();
        con.send(1);
        con.run().unwrap();
        let out = con.pipe.take_output();
        let frames = parse_frames(&out, true);
        let [Frame::Msg(m)] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((m.sig, m.flags), (signature(&out, m, &key, form), COMPLETE | SIGNED));
        // Without a signature, and with another one.
        for bad in [Msg::new(2), Msg { sig: 1, ..Msg::new(2).signed(&key, form) }] {
            let mut con = open(&lenient(), &key, features);
            assert_eq!(con.receive(&bad.bytes(true)), Err(Fault::BadSignature));
            assert!(con.received().is_empty());
        }
    }
}

#[test]
fn without_msg_auth_or_where_it_is_switched_off_nothing_is_signed() {
    let unsigned = LINUX.missing_in(Features(Features::MSG_AUTH.mask));
    let mut con = open(&strict(), &aes_key(), unsigned);
    con.receive(&Msg::new(1).bytes(false)).unwrap();
    con.send(1);
    con.run().unwrap();
    let frames = con.frames();
    assert!(matches!(&frames[..], [Frame::Ack(1), Frame::Msg(m)] if m.flags == COMPLETE));

    let mut l = strict();
    l.options.sign_messages = false;
    l.local = Local::new(EntityType::MDS, PEER_NONCE, l.options);
    let mut con = open(&l, &aes_key(), LINUX);
    con.receive(&Msg::new(1).bytes(true)).unwrap();
    assert_eq!(con.received(), [1]);
}

#[test]
fn the_keys_of_the_last_socket_do_not_sign_on_the_next() {
    let l = strict();
    let mut con = open(&l, &aes_key(), LINUX);
    con.fault(&Fault::PeerClosed);
    let mut socket = l.introduced();
    let mut a = authorizer(&session_key());
    let challenge = socket.refused(&l, &showing(&a));
    a.add_challenge(&challenge.authorizer).unwrap();
    let offer = socket.offered(&l, &showing(&a).seqs(11, 2));
    l.take_over(&mut con, socket, offer, false);
    con.run().unwrap();
    con.receive(&0u64.to_le_bytes()).unwrap();
    let form = SignatureForm::CephxV2;
    con.receive(&Msg::new(1).signed(&session_key(), form).bytes(true)).unwrap();
    assert_eq!(con.received(), [1]);
    let bad = Msg::new(2).signed(&aes_key(), form).bytes(true);
    assert_eq!(con.receive(&bad), Err(Fault::BadSignature));
}

/// What was measured against an MDS of 16.2.15, but that a session is taken over at once where that
/// one first says RETRY_GLOBAL to its own new socket.
#[test]
fn the_life_of_a_session_as_it_was_measured() {
    let mut owner = Owner::new(strict());
    let key = aes_key();
    let show = |owner: &mut Owner, seqs: &[(u32, u32)]| -> Vec<Reply> {
        let mut socket = owner.listener.introduced();
        let mut a = authorizer(&key);
        let l = &owner.listener;
        let challenge = socket.refused(l, &showing(&a).seqs(seqs[0].0, seqs[0].1));
        a.add_challenge(&challenge.authorizer).unwrap();
        let mut replies = vec![challenge];
        let mut socket = Some(socket);
        for (global_seq, connect_seq) in seqs {
            let mut s = socket.take().expect("a socket");
            let offer = s.offered(&owner.listener, &showing(&a).seqs(*global_seq, *connect_seq));
            let reply = match owner.act(s, offer).1 {
                Some(mut s) => {
                    assert!(s.run(&owner.listener).unwrap().is_none());
                    let reply = Reply::parse(&s.pipe.take_output());
                    socket = Some(s);
                    reply
                }
                None => {
                    let con = owner.con.as_mut().unwrap();
                    con.run().unwrap();
                    Reply::parse(&con.pipe.take_output())
                }
            };
            a.verify_reply(&reply.authorizer).unwrap();
            replies.push(reply);
        }
        replies
    };
    let tags = |replies: &[Reply]| replies.iter().map(|r| r.tag).collect::<Vec<_>>();
    let signed = |n| Msg::new(n).signed(&key, SignatureForm::CephxV2).bytes(true);

    // A new session, and three messages.
    let replies = show(&mut owner, &[(10, 0)]);
    assert_eq!(tags(&replies), [CHALLENGE, SEQ]);
    assert_eq!((replies[1].connect_seq, replies[1].flags, replies[1].in_seq), (1, 0, 0));
    let con = owner.con.as_mut().unwrap();
    con.receive(&0u64.to_le_bytes()).unwrap();
    con.receive(&[signed(1), signed(2), signed(3)].concat()).unwrap();
    assert_eq!(con.received(), [1, 2, 3]);
    con.pipe.take_output();

    // A second socket: too old; of the same connection; and then its successor.
    let replies = show(&mut owner, &[(5, 0), (11, 1), (13, 2)]);
    assert_eq!(tags(&replies), [CHALLENGE, RETRY_GLOBAL, RETRY_SESSION, SEQ]);
    assert_eq!((replies[1].global_seq, replies[1].authorizer.len()), (10, 36));
    assert_eq!((replies[2].connect_seq, replies[2].authorizer.len()), (2, 36));
    assert_eq!((replies[3].connect_seq, replies[3].in_seq), (3, 3));
    owner.con.as_mut().unwrap().receive(&0u64.to_le_bytes()).unwrap();

    // The socket breaks; a dialler that counts as we do, one that counts on, one that is stale.
    for (gseq, cseq, then) in [(20, 3, 4), (21, 6, 0), (22, 1, 8)] {
        let con = owner.con.as_mut().unwrap();
        con.fault(&Fault::PeerClosed);
        assert_eq!(con.state(), ConState::Standby);
        let replies = match then {
            0 => show(&mut owner, &[(gseq, cseq)]),
            _ => show(&mut owner, &[(gseq, cseq), (gseq, then)]),
        };
        let last = replies.last().unwrap();
        assert_eq!((last.tag, last.in_seq), (SEQ, 3));
        if then > 0 {
            assert_eq!((replies[1].tag, replies[1].connect_seq), (RETRY_SESSION, then));
        }
        owner.con.as_mut().unwrap().receive(&0u64.to_le_bytes()).unwrap();
        owner.con.as_mut().unwrap().take_events();
    }

    // The client began anew.
    let replies = show(&mut owner, &[(30, 0)]);
    assert_eq!(tags(&replies), [CHALLENGE, READY]);
    assert_eq!((replies[1].connect_seq, replies[1].in_seq), (1, 0));
    let con = owner.con.as_mut().unwrap();
    assert!(matches!(con.take_events()[..], [Event::RemoteReset, Event::Accepted(_)]));
    con.receive(&signed(1)).unwrap();
    assert_eq!(con.received(), [1]);

    // Nobody knows the session: RESETSESSION, and on the same socket a new one.
    owner.con = None;
    let replies = show(&mut owner, &[(40, 7), (41, 0)]);
    assert_eq!(tags(&replies), [CHALLENGE, RESETSESSION, SEQ]);
    assert_eq!((replies[2].connect_seq, replies[2].in_seq), (1, 0));
}
