//! Peers that speak revision 2.0 of messenger v2 and no other, on either side.

use ceph_msgr::msgr::{Message, Policy};

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::dialler::{TYPE_CLIENT, TYPE_OSD};
use crate::common::frames::*;
use crate::common::server::*;

/// No feature is supported, and none required.
fn banner() -> [u8; 26] {
    let mut banner = *BANNER_V2;
    banner[10] = 0;
    banner
}

/// That very frame comes.
#[track_caller]
fn hear(wire: &mut V2Wire, tag: u8, payload: &[u8]) {
    let want = frame_rev0(tag, &[payload]);
    assert_eq!(wire.recv(want.len()), want);
}

/// A frame of that tag comes; its payload.
#[track_caller]
fn payload_of(wire: &mut V2Wire, tag: u8) -> Vec<u8> {
    let head = wire.recv(32);
    assert_eq!((head[0], head[1]), (tag, 1));
    let payload = wire.recv(u32_at(&head, 2) as usize);
    let rest = frame_rev0(tag, &[&payload]).split_off(32 + payload.len());
    assert_eq!(wire.recv(17), rest);
    payload
}

#[test]
fn an_acceptor_of_revision_0_is_talked_to() {
    let acceptor = Acceptor::new();
    let messenger = messenger(patient());
    let (dispatcher, heards) = recorder();
    let peer = acceptor.peer_v2(Policy::LOSSLESS_CLIENT);
    let con = messenger.connect(peer, auth_none(), dispatcher).expect("a thread");
    let mut wire = acceptor.accept_v2();
    assert_eq!(wire.recv(26), BANNER_V2);
    wire.send(&banner());
    hear(&mut wire, HELLO, &hello_v2(TYPE_CLIENT, acceptor.addr()));
    let ours = wire.stream.peer_addr().unwrap();
    wire.send(&frame_rev0(HELLO, &[&hello_v2(TYPE_OSD, ours)]));
    payload_of(&mut wire, AUTH_REQUEST);
    wire.send(&frame_rev0(AUTH_DONE, &[&auth_done(4100, CRC)]));
    wire.send(&frame_rev0(AUTH_SIGNATURE, &[&[0; 32]]));
    hear(&mut wire, AUTH_SIGNATURE, &[0; 32]);
    payload_of(&mut wire, CLIENT_IDENT);
    let ident = server_ident(&[addr_v2(acceptor.addr(), 0)], 3, 0, 77);
    wire.send(&frame_rev0(SERVER_IDENT, &[&ident]));
    heards.connected();
    con.send(Message::new(42, &b"front"[..]).with_data(&b"data"[..])).unwrap();
    let frame = wire.recv(32 + 41 + 5 + 4 + 17);
    let want = frame_rev0(MESSAGE, &[&frame[32..73], b"front", &[], b"data"]);
    assert_eq!(frame, want);
    // One that is taken back in its late flags, and one that is not.
    let mut aborted = frame_rev0(MESSAGE, &[&header2(1, 4), b"not this"]);
    let flags = aborted.len() - 17;
    aborted[flags] = 1;
    wire.send(&aborted);
    wire.send(&frame_rev0(MESSAGE, &[&header2(1, 4), b"this"]));
    assert_eq!(heards.message().front[..], *b"this");
    hear(&mut wire, ACK_V2, &1u64.to_le_bytes());
    wire.send(&frame_rev0(KEEPALIVE2_V2, &[&[5; 8]]));
    hear(&mut wire, KEEPALIVE2_ACK_V2, &[5; 8]);
    con.close(soon()).unwrap();
}

#[test]
fn a_dialler_of_revision_0_is_let_in() {
    let at = [v2(LOCALHOST)];
    let (_messenger, listener, heards) = serve_at(&at, Policy::STATELESS_SERVER, patient(), |_| {});
    let mut wire = dial_v2(addr(&listener));
    wire.send(&banner());
    wire.send(&frame_rev0(HELLO, &[&hello_v2(TYPE_CLIENT, addr(&listener))]));
    assert_eq!(wire.recv(26), BANNER_V2);
    let ours = wire.stream.local_addr().unwrap();
    hear(&mut wire, HELLO, &hello_v2(TYPE_OSD, ours));
    wire.send(&frame_rev0(AUTH_REQUEST, &[&auth_request()]));
    payload_of(&mut wire, AUTH_DONE);
    hear(&mut wire, AUTH_SIGNATURE, &[0; 32]);
    wire.send(&frame_rev0(AUTH_SIGNATURE, &[&[0; 32]]));
    wire.send(&frame_rev0(CLIENT_IDENT, &[&wire.ident(1, 7).payload()]));
    payload_of(&mut wire, SERVER_IDENT);
    heards.accepted();
    wire.send(&frame_rev0(MESSAGE, &[&header2(1, 42), b"front", b"middle", b"data"]));
    let heard = heards.message();
    assert_eq!((&heard.front[..], &heard.middle[..]), (&b"front"[..], &b"middle"[..]));
    assert_eq!(heard.data[..], *b"data");
    only(&listener).send(msg(b"answer")).unwrap();
    let frame = wire.recv(32 + 41 + 6 + 17);
    assert_eq!(frame, frame_rev0(MESSAGE, &[&frame[32..73], b"answer"]));
    listener.close(soon()).unwrap();
}
