//! What depends on who the two sides are: protocol versions, policies, and who wins a race.

use super::acceptor::{addr, client_hello};
use super::dialler::*;
use super::*;
use crate::msgr::protocol_version;

#[test]
fn protocol_versions_of_both_sides() {
    let (mon, osd, mds) = (EntityType::MON, EntityType::OSD, EntityType::MDS);
    let (mgr, client) = (EntityType::MGR, EntityType::CLIENT);
    for (serving, dialler, version) in [
        (mon, client, 15),
        (osd, client, 24),
        (mds, client, 32),
        (mgr, client, 0),
        (client, client, 0),
        (mon, mon, 13),
        (osd, osd, 10),
        (mds, mds, 36),
        (mgr, mgr, 0),
        // As a live monitor answers whoever is none.
        (mon, mds, 15),
        (mon, osd, 15),
        (mon, mgr, 15),
        (mon, EntityType::AUTH, 15),
        (mon, EntityType(0), 15),
        (osd, mds, 24),
        (osd, mgr, 24),
        (mds, mgr, 32),
    ] {
        assert_eq!(protocol_version(serving, dialler), version, "{dialler} to {serving}");
        // And so the machine has it.
        let l = Listener::new(serving, Policy::STATEFUL_SERVER);
        let host_type = u32::from(dialler.0);
        let right = Request { host_type, protocol_version: version, ..Request::first() };
        let wrong = Request { protocol_version: version + 1, ..right.clone() };
        let mut socket = l.introduced();
        let reply = socket.refused(&l, &wrong);
        assert_eq!((reply.tag, reply.protocol_version), (acceptor::BADPROTOVER, version));
        assert_eq!(socket.offered(&l, &right).peer().name, EntityName::new(dialler, -1));
    }
}

#[test]
fn policies_field_by_field() {
    let fields = |p: Policy| [p.lossy, p.server, p.standby, p.resetcheck].map(u8::from);
    for (policy, want, registered) in [
        (Policy::STATEFUL_SERVER, [0, 1, 1, 1], false),
        (Policy::STATELESS_SERVER, [1, 1, 0, 0], false),
        (Policy::STATELESS_REGISTERED_SERVER, [1, 1, 0, 0], true),
        (Policy::LOSSLESS_PEER, [0, 0, 1, 0], false),
        (Policy::LOSSLESS_PEER_REUSE, [0, 0, 1, 1], false),
        (Policy::LOSSY_CLIENT, [1, 0, 0, 0], false),
    ] {
        assert_eq!(fields(policy), want, "{policy:?}");
        assert_eq!(policy.register_lossy_clients, registered);
    }
}

#[test]
fn each_kind_of_peer_has_its_own_policy() {
    let mut l = Listener::new(EntityType::MON, Policy::STATELESS_SERVER);
    l.policies = l.policies.with(EntityType::MON, Policy::LOSSLESS_PEER);
    l.policies = l.policies.with(EntityType::MON, Policy::LOSSLESS_PEER_REUSE);
    for (host_type, protocol_version, policy) in [
        (8, 15, Policy::STATELESS_SERVER),
        (4, 15, Policy::STATELESS_SERVER),
        (1, 13, Policy::LOSSLESS_PEER_REUSE),
    ] {
        let request = Request { host_type, protocol_version, ..Request::first() };
        assert_eq!(l.introduced().offered(&l, &request).peer().policy, policy);
    }
    // A type beyond a byte is none.
    let request = Request { host_type: 0x108, protocol_version: 15, ..Request::first() };
    assert_eq!(l.introduced().offered(&l, &request).peer().name.entity_type, EntityType(0));
}

/// Whether of two attempts that cross the one that comes in from `peer` to `own` is kept.
fn incoming_wins(peer: &[u8], own: &str) -> bool {
    let l = Listener::new(EntityType::MON, Policy::LOSSLESS_PEER_REUSE);
    let mut socket = l.introduced_as(&[b"ceph v027", peer].concat());
    let request = Request { host_type: 1, protocol_version: 13, ..Request::first() };
    let offer = socket.offered(&l, &request);
    let dialling = Existing {
        state: ConState::V1ConnectMsg,
        connect_seq: ConnectSeq(0),
        peer_global_seq: GlobalSeq(0),
        lossy: false,
        server: false,
        once_ready: false,
        replacing: false,
        client_cookie: 0,
        server_cookie: 0,
    };
    match offer.decide(Some(&dialling), own.parse().unwrap()) {
        Decision::Replace => true,
        Decision::Retry(Retry::Wait) => false,
        other => panic!("{other:?}"),
    }
}

fn v6(ip: [u8; 16], port: u16, nonce: u32) -> Vec<u8> {
    let mut out = [&[0; 4][..], &nonce.to_le_bytes(), &[0, 10], &port.to_be_bytes()].concat();
    out.extend([&[0; 4][..], &ip].concat());
    out.resize(136, 0);
    out
}

#[test]
fn two_monitors_as_they_were_measured() {
    let a = "v1:127.0.0.1:42301/0";
    assert!(!incoming_wins(&addr([127, 0, 0, 1], 42302, 0), a));
    assert!(incoming_wins(&addr([127, 0, 0, 1], 42300, 0), a));
}

/// By the bytes in memory: type and nonce have their lowest byte in front, port and IP their
/// highest, and the family again its lowest.
#[test]
fn the_order_of_addresses_is_that_of_their_bytes() {
    let ip = [10, 0, 0, 1];
    for (lower, higher) in [
        (addr(ip, 1, 256), addr(ip, 1, 255)),
        (addr(ip, 1, 0x0100_0000), addr(ip, 1, 1)),
        (addr(ip, 1, 0xffff_ff00), addr(ip, 1, 1)),
        // The nonce counts before all else.
        (addr([200, 0, 0, 1], 9, 1), addr(ip, 1, 2)),
        (addr(ip, 255, 7), addr(ip, 256, 7)),
        (addr(ip, 0x01ff, 7), addr(ip, 0x0200, 7)),
        (addr(ip, 42299, 0), addr(ip, 42300, 0)),
        // The port before the IP.
        (addr([200, 0, 0, 1], 1, 7), addr(ip, 2, 7)),
        (addr([10, 0, 0, 255], 1, 7), addr([10, 0, 1, 0], 1, 7)),
        (addr([127, 0, 0, 1], 1, 7), addr([128, 0, 0, 1], 1, 7)),
        // IPv4 is family 2 and IPv6 10, whatever the port.
        (addr(ip, 0xffff, 7), v6([1; 16], 1, 7)),
        (v6([1; 16], 1, 7), v6([2; 16], 1, 7)),
    ] {
        let name = |bytes: &[u8]| {
            let mut r = crate::denc::Reader::new(bytes);
            EntityAddr::decode_legacy(&mut r).unwrap().to_string()
        };
        assert!(incoming_wins(&lower, &name(&higher)), "{}", name(&lower));
        assert!(!incoming_wins(&higher, &name(&lower)), "{}", name(&higher));
        assert!(!incoming_wins(&lower, &name(&lower)), "nobody dials himself");
    }
}

#[test]
fn the_address_that_counts_is_the_one_that_was_learned() {
    // It claims none, and has the one of its socket: 10.1.2.3, port 0, beside its nonce.
    let l = Listener::new(EntityType::MON, Policy::LOSSLESS_PEER_REUSE);
    let mut socket = l.introduced_as(&client_hello());
    let request = Request { host_type: 1, protocol_version: 13, ..Request::first() };
    let peer = *socket.offered(&l, &request).peer();
    assert_eq!(peer.addr.to_string(), "v1:10.1.2.3:0/305419896");
}
