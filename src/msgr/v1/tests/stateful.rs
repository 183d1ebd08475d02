//! One session through its whole life, beside what was measured against a real daemon.

use super::accept_auth::{authorizer, showing, strict};
use super::acceptor::*;
use super::dialler::*;
use super::*;
use crate::crypto::SignatureForm;

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
