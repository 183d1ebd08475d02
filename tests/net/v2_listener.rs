//! Where a listener listens for messenger v2, and what a dialler is told of that; and who dials a port
//! of the other protocol.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::{ConState, Fault, Policy};
use ceph_msgr::types::{AddrType, EntityAddr};

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::dialler::*;
use crate::common::frames::*;
use crate::common::server::*;
use crate::common::{logs, skip};

/// The addresses in SERVER_IDENT, each as type, nonce and port.
fn addrs_in(ident: &V2Frame) -> Vec<(u32, u32, u16)> {
    let payload = ident.payload();
    let mut at = 5;
    let addrs = (0..u32_at(payload, 1)).map(|_| {
        let port = u16::from_be_bytes([payload[at + 21], payload[at + 22]]);
        let addr = (u32_at(payload, at + 7), u32_at(payload, at + 11), port);
        at += 7 + u32_at(payload, at + 3) as usize;
        addr
    });
    addrs.collect()
}

#[test]
fn addresses_of_both_protocols_are_one_listener() {
    let other = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
    let at = [v2(LOCALHOST), v1(LOCALHOST), v2(other)];
    let (messenger, listener, heards) = serve_at(&at, Policy::STATELESS_SERVER, patient(), |_| {});
    let addrs = listener.addrs().to_vec();
    assert!(addrs.iter().map(|a| a.addr_type).eq(at.map(|a| a.addr_type)));
    assert!(addrs.iter().all(|a| a.nonce == 7 && a.port() != 0), "{addrs:?}");
    // Those of v2 come first.
    let all = [addrs[0], addrs[2], addrs[1]];
    assert_eq!(messenger.local().addrs().0, all);
    let all = all.map(|a| (a.addr_type.0, 7, a.port()));
    let mut wires = Vec::new();
    for addr in [addrs[0], addrs[2]] {
        let mut wire = dial_v2(addr.sockaddr.unwrap());
        let hello = wire.hellos_v2(TYPE_CLIENT);
        // It is an OSD, and sees us there.
        let ours = wire.stream.local_addr().unwrap();
        assert_eq!(hello.payload(), hello_v2(TYPE_OSD, ours));
        wire.put(AUTH_REQUEST, &auth_request());
        let done = wire.expect(AUTH_DONE);
        assert_eq!(u32_at(done.payload(), 8), CRC);
        wire.put(AUTH_SIGNATURE, &[0; 32]);
        wire.expect(AUTH_SIGNATURE);
        let ident = wire.ident(1, 7);
        wire.put(CLIENT_IDENT, &ident.payload());
        assert_eq!(addrs_in(&wire.expect(SERVER_IDENT)), all);
        heards.accepted();
        wires.push(wire);
    }
    let mut wire = dial(addrs[1].sockaddr.unwrap());
    wire.open_session(1, &ask());
    heards.accepted();
    assert_eq!((listener.counts().sockets, listener.counts().connections), (3, 3));
    let mut types: Vec<_> =
        listener.connections().iter().map(|con| con.peer().addr.addr_type).collect();
    types.sort();
    assert_eq!(types, [AddrType::LEGACY, AddrType::MSGR2, AddrType::MSGR2]);
    for (n, wire) in (1..).zip(&mut wires) {
        wire.send(&message_v2(1, 42, &[n], b""));
        assert_eq!(heards.message().front[..], [n]);
    }
    wire.send_msg(1, 42, b"v1", b"");
    assert_eq!(heards.message().front[..], *b"v1");
    listener.close(soon()).unwrap();
    wires.iter_mut().for_each(V2Wire::wait_closed);
    wire.wait_closed();
}

#[test]
fn who_listens_everywhere_is_where_it_was_reached() {
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let at = [v2(everywhere), v1(everywhere)];
    let (_messenger, listener, heards) = serve_at(&at, Policy::STATELESS_SERVER, patient(), |_| {});
    let [port, other_port] = [0, 1].map(|n| listener.addrs()[n].port());
    for ip in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)] {
        let mut wire = dial_v2((ip, port).into());
        let ident = wire.open_session_v2(1, 7);
        // Both addresses have the IP address that was dialled.
        let mut legacy = addr_v2((ip, other_port).into(), 7);
        legacy[7] = 1;
        let addrs = addrvec(&[addr_v2((ip, port).into(), 7), legacy]);
        assert_eq!(ident.payload()[..addrs.len()], addrs);
        heards.accepted();
        drop(wire);
        heards.reset();
    }
    // Ours believes it too.
    let (ours, con, client) = call_at((Ipv4Addr::new(127, 0, 0, 3), port).into());
    client.connected();
    assert_eq!(con.state(), ConState::Open);
    ours.shutdown(soon()).unwrap();
    listener.close(soon()).unwrap();
}

/// The addresses of a messenger are those that it was bound to last; each listener goes on at its own.
#[test]
fn two_listeners_of_one_messenger_are_both_reached() {
    let (messenger, first, heards) =
        serve_at(&[v2(LOCALHOST)], Policy::STATELESS_SERVER, patient(), |_| {});
    let (dispatcher, second_heards) = recorder();
    let second = messenger.bind(&[v2(LOCALHOST), v1(LOCALHOST)], acceptor(dispatcher)).unwrap();
    for (listener, heards) in [(&first, &heards), (&second, &second_heards)] {
        let (ours, con, client) = call_at(addr(listener));
        client.connected();
        heards.accepted();
        con.send(msg(b"there")).unwrap();
        assert_eq!(heards.message().front[..], *b"there");
        ours.shutdown(soon()).unwrap();
    }
    first.close(soon()).unwrap();
    second.close(soon()).unwrap();
}

/// A client of ours, of messenger v2 there.
fn call_at(at: SocketAddr) -> (ceph_msgr::net::Messenger, ceph_msgr::net::Connection, Heards) {
    let messenger = messenger(patient());
    let (dispatcher, heards) = recorder();
    let peer = ceph_msgr::msgr::Peer {
        addr: EntityAddr::msgr2(at, 7),
        ..peer_at(at, Policy::LOSSY_CLIENT)
    };
    let con = messenger.connect(peer, auth_none(), dispatcher).expect("a thread");
    (messenger, con, heards)
}

#[test]
fn ipv4_and_ipv6_share_a_port_and_both_are_answered() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        skip("no IPv6 on loopback");
        return;
    }
    let messenger = osd(Policy::STATELESS_SERVER, patient());
    let bound = (0..100).find_map(|_| {
        let port = TcpListener::bind(LOCALHOST).unwrap().local_addr().unwrap().port();
        let at = [
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        ];
        let (dispatcher, heards) = recorder();
        // Somebody else may have taken the port meanwhile.
        Some((messenger.bind(&at.map(v2), acceptor(dispatcher)).ok()?, heards, port))
    });
    let (listener, heards, port) = bound.expect("a port that is free in both");
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        let (ours, con, client) = call_at((ip, port).into());
        client.connected();
        heards.accepted();
        con.send(msg(b"there")).unwrap();
        assert_eq!(heards.message().front[..], *b"there");
        let back = only(&listener);
        assert_eq!(back.peer().addr.sockaddr.unwrap().ip(), ip);
        back.send(msg(b"and back")).unwrap();
        assert_eq!(client.message().front[..], *b"and back");
        con.close(soon()).unwrap();
        heards.reset();
        until("it is gone", || listener.counts().connections == 0);
        drop(ours);
        // Bytes that are not ours.
        let mut wire = dial_v2((ip, port).into());
        let hello = wire.hellos_v2(TYPE_CLIENT);
        assert_eq!(hello.payload(), hello_v2(TYPE_OSD, wire.stream.local_addr().unwrap()));
    }
    listener.close(soon()).unwrap();
}

#[test]
fn what_cannot_be_bound_is_said() {
    let (messenger, listener, _heards) =
        serve_at(&[v2(LOCALHOST)], Policy::STATELESS_SERVER, patient(), |_| {});
    let taken = addr(&listener);
    let (dispatcher, _) = recorder();
    let bind = |addrs: &[EntityAddr]| {
        messenger.bind(addrs, acceptor(dispatcher.clone())).map(drop).unwrap_err()
    };
    // Whichever protocol has the port.
    for at in [v2(taken), v1(taken)] {
        let error = bind(&[v1(LOCALHOST), at]);
        assert_eq!(error.kind(), ErrorKind::Io);
        let text = error.to_string();
        assert!(text.starts_with(&format!("bind to {at}: Address already in use")), "{text}");
    }
    let of_type = |addr_type| EntityAddr { addr_type, ..v2(LOCALHOST) };
    let nowhere = EntityAddr { sockaddr: None, ..v2(LOCALHOST) };
    for at in [of_type(AddrType::ANY), of_type(AddrType::NONE), of_type(AddrType(77)), nowhere] {
        let error = bind(&[v1(LOCALHOST), at]);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.contains("does not say where and how: v1:IP:PORT or v2:IP:PORT"), "{text}");
    }
    assert_eq!(messenger.local().addrs().0, listener.addrs(), "nothing has changed");
    listener.close(soon()).unwrap();
    // A port that was closed can be bound again at once, by the other protocol too.
    let (dispatcher, _) = recorder();
    messenger.bind(&[v1(taken)], acceptor(dispatcher)).unwrap().close(soon()).unwrap();
}

/// A client of ours at a port of the other protocol: each side says so.
#[test]
fn a_client_at_a_port_of_the_other_protocol_hears_it_and_so_does_the_log() {
    logs::capture(log::LevelFilter::Debug);
    let at = [v1(LOCALHOST), v2(LOCALHOST)];
    let (_messenger, listener, heards) = serve_at(&at, Policy::STATELESS_SERVER, patient(), |_| {});
    let spoken = listener.addrs().to_vec();
    let spoken = [spoken[0], spoken[1]];
    let other = [
        EntityAddr { addr_type: AddrType::MSGR2, ..spoken[0] },
        EntityAddr { addr_type: AddrType::LEGACY, ..spoken[1] },
    ];
    let faults = [
        (Fault::PeerSpeaksV1, "V2_BANNER", Fault::PeerSpeaksV2),
        (Fault::PeerSpeaksV2, "V1_BANNER", Fault::PeerSpeaksV1),
    ];
    for (wrong, (heard, state, said)) in other.into_iter().zip(faults) {
        let before = logs::count("", &said.to_string());
        let messenger = messenger(patient());
        let (dispatcher, client) = recorder();
        // Even of a lossless client: it would not help to try again.
        let at = wrong.sockaddr.unwrap();
        let peer = ceph_msgr::msgr::Peer { addr: wrong, ..peer_at(at, Policy::LOSSLESS_CLIENT) };
        let con = messenger.connect(peer, auth_none(), dispatcher).expect("a thread");
        let (kind, text) = client.reset();
        assert_eq!(kind, ErrorKind::Protocol);
        assert_eq!(text, format!("{}: {state}: {heard}", con.peer()));
        assert_eq!(con.wait_open(soon()).unwrap_err().fault::<Fault>(), Some(&heard));
        until("the log tells", || logs::count("", &said.to_string()) > before);
    }
    until("nothing is left", || listener.counts().half_open == 0);
    assert!(heards.rest().is_empty());
    // It goes on with those who speak what it does.
    dial_v2(spoken[1].sockaddr.unwrap()).open_session_v2(1, 7);
    heards.accepted();
    listener.close(soon()).unwrap();
}

/// The first bytes are enough, and are answered with what is spoken here.
#[test]
fn a_dialler_of_the_other_protocol_is_closed_at_its_first_bytes() {
    let at = [v1(LOCALHOST), v2(LOCALHOST)];
    let (_messenger, listener, heards) = serve_at(&at, Policy::STATELESS_SERVER, patient(), |_| {});
    let [v1_port, v2_port] = [0, 1].map(|n| listener.addrs()[n].sockaddr.unwrap());
    for bytes in [&b"ceph v0"[..], &hello(LOCALHOST, 1)] {
        let mut wire = dial_v2(v2_port);
        wire.send(bytes);
        assert_eq!(wire.recv(26), BANNER_V2);
        wire.wait_closed();
    }
    for bytes in [&b"ceph v2\n"[..], BANNER_V2] {
        let mut wire = dial(v1_port);
        wire.send(bytes);
        assert_eq!(wire.recv(281)[..9], BANNER[..]);
        wire.wait_closed();
    }
    until("nothing is left", || listener.counts().half_open == 0);
    assert!(heards.rest().is_empty());
    listener.close(soon()).unwrap();
}

/// The target of CLIENT_IDENT must be one of its addresses, nonce and type included.
#[test]
fn who_dials_someone_else_is_turned_away() {
    let at = [v2(LOCALHOST), v1(LOCALHOST)];
    let (_messenger, listener, heards) = serve_at(&at, Policy::STATELESS_SERVER, patient(), |_| {});
    let here = addr(&listener);
    let other_port = SocketAddr::from((Ipv4Addr::LOCALHOST, here.port() ^ 1));
    let other_ip = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), here.port()));
    for (target, target_nonce) in [(other_port, 7), (other_ip, 7), (here, 0), (here, 8)] {
        let mut wire = dial_v2(here);
        wire.log_in();
        let ident = Ident { target, target_nonce, ..wire.ident(1, 7) };
        wire.put(CLIENT_IDENT, &ident.payload());
        wire.wait_closed();
    }
    // Its address of v1 is one of its own.
    let mut wire = dial_v2(here);
    wire.log_in();
    let legacy = listener.addrs()[1].sockaddr.unwrap();
    let mut payload = Ident { target: legacy, ..wire.ident(1, 7) }.payload();
    let type_of_target = 5 + addr_v2(here, 0).len() + 7;
    payload[type_of_target] = 1;
    wire.put(CLIENT_IDENT, &payload);
    wire.expect(SERVER_IDENT);
    heards.accepted();
    listener.close(soon()).unwrap();
}
