//! Where a listener listens, and what a dialler is told of that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use ceph_msgr::error::ErrorKind;
use ceph_msgr::msgr::Peer;
use ceph_msgr::msgr::Policy;
use ceph_msgr::types::{EntityName, EntityType};

use crate::common::acceptor::*;
use crate::common::client::*;
use crate::common::dialler::*;
use crate::common::server::*;
use crate::common::skip;

fn has_ipv6() -> bool {
    let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        skip("no IPv6 on loopback");
    }
    has
}

#[test]
fn several_addresses_are_one_listener() {
    let messenger = osd(Policy::STATELESS_SERVER, patient());
    let (dispatcher, heards) = recorder();
    let other = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
    let at = [LOCALHOST, other, LOCALHOST];
    let listener = messenger.bind(&at.map(v1), acceptor(dispatcher)).unwrap();
    let addrs: Vec<_> = listener.addrs().iter().map(|a| a.sockaddr.unwrap()).collect();
    assert_eq!(addrs.iter().map(SocketAddr::ip).collect::<Vec<_>>(), at.map(|a| a.ip()));
    assert!(addrs.iter().all(|a| a.port() != 0) && addrs[0] != addrs[2], "{addrs:?}");
    assert!(listener.addrs().iter().all(|a| a.nonce == 7));
    assert_eq!(messenger.local().addr(), listener.addrs()[0], "the first is its own");
    let mut wires = Vec::new();
    for addr in &addrs {
        let mut wire = dial(*addr);
        let theirs = wire.introduce(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), 1);
        // Its own address is the one that was dialled, and ours the one that it sees.
        assert_eq!(theirs[9..145], legacy_addr(*addr, 7));
        assert_eq!(theirs[145..], legacy_addr(wire.stream().local_addr().unwrap(), 0));
        assert_eq!(wire.connect(&ask()).0, SEQ);
        wire.send(&[0; 8]);
        heards.accepted();
        wires.push(wire);
    }
    assert_eq!((listener.counts().sockets, listener.counts().connections), (3, 3));
    listener.close(soon()).unwrap();
    wires.iter_mut().for_each(Wire::wait_closed);
}

#[test]
fn ipv4_and_ipv6_share_a_port_and_both_are_answered() {
    if !has_ipv6() {
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
        Some((messenger.bind(&at.map(v1), acceptor(dispatcher)).ok()?, heards, port))
    });
    let (listener, heards, port) = bound.expect("a port that is free in both");
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        let client = crate::common::client::messenger(patient());
        let (dispatcher, client_heards) = recorder();
        let addr = ceph_msgr::types::EntityAddr::legacy(SocketAddr::new(ip, port), 7);
        let name = EntityName::new(EntityType::OSD, 3);
        let peer = Peer { name, addr, policy: Policy::LOSSY_CLIENT };
        let con = client.connect(peer, auth_none(), dispatcher).unwrap();
        client_heards.connected();
        heards.accepted();
        con.send(msg(b"there")).unwrap();
        assert_eq!(heards.message().front[..], *b"there");
        let back = only(&listener);
        assert_eq!(back.peer().addr.sockaddr.unwrap().ip(), ip);
        back.send(msg(b"and back")).unwrap();
        assert_eq!(client_heards.message().front[..], *b"and back");
        con.close(soon()).unwrap();
        heards.reset();
        until("it is gone", || listener.counts().connections == 0);
    }
    listener.close(soon()).unwrap();
}

#[test]
fn an_address_in_use_and_none_at_all_are_errors_with_names() {
    let (messenger, listener, _heards) = serve(Policy::STATELESS_SERVER, patient());
    let taken = addr(&listener);
    let (dispatcher, _) = recorder();
    let error =
        messenger.bind(&[v1(LOCALHOST), v1(taken)], acceptor(dispatcher.clone())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let text = error.to_string();
    assert!(text.starts_with(&format!("bind to v1:{taken}/0: Address already in use")), "{text}");
    assert_eq!(messenger.local().addr(), listener.addrs()[0], "nothing has changed");
    let error = messenger.bind(&[], acceptor(dispatcher)).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::InvalidInput, "no address to listen at")
    );
    listener.close(soon()).unwrap();
    // A port that was closed can be bound again at once.
    let (dispatcher, _) = recorder();
    messenger.bind(&[v1(taken)], acceptor(dispatcher)).unwrap().close(soon()).unwrap();
}
