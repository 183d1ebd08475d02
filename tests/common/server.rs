//! A daemon's side of the network tests: a messenger that listens, and what its dispatcher hears.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ceph_msgr::auth::{AuthNoneAuthorizeHandler, AuthPeer, MonAuthServer};
use ceph_msgr::msgr::{Message, Options, Peer, Policies, Policy};
use ceph_msgr::net::{Acceptor, Connection, Dispatcher, Listener, Messenger, Timeouts};
use ceph_msgr::types::{EntityAddr, EntityName, EntityType, GlobalId};

use super::client::*;

/// A free port of IPv4.
pub(crate) const LOCALHOST: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// There messenger v1 is spoken.
pub(crate) fn v1(addr: SocketAddr) -> EntityAddr {
    EntityAddr::legacy(addr, 0)
}

/// There messenger v2 is spoken.
pub(crate) fn v2(addr: SocketAddr) -> EntityAddr {
    EntityAddr::msgr2(addr, 0)
}

/// `osd.3`, with that policy towards all.
pub(crate) fn osd(policy: Policy, timeouts: Timeouts) -> Messenger {
    let name = EntityName::new(EntityType::OSD, 3);
    let messenger = Messenger::with_nonce(name, 7, Options::default(), timeouts);
    messenger.set_policies(Policies::new(policy));
    messenger
}

/// Lets everybody in who names itself.
pub(crate) fn acceptor(dispatcher: Arc<dyn Dispatcher>) -> Acceptor {
    Acceptor::new(Arc::new(AuthNoneAuthorizeHandler), dispatcher)
}

/// `mon.0`, at which one logs in with messages.
pub(crate) fn mon(
    timeouts: Timeouts,
    tune: impl FnOnce(&mut Acceptor),
) -> (Messenger, Listener, Heards) {
    let name = EntityName::new(EntityType::MON, 0);
    let messenger = Messenger::with_nonce(name, 0, Options::default(), timeouts);
    let (dispatcher, heards) = recorder();
    let mut acceptor = Acceptor::new(Arc::new(MonAuthServer), dispatcher);
    tune(&mut acceptor);
    let listener = messenger.bind(&[v1(LOCALHOST)], acceptor).expect("a free port");
    (messenger, listener, heards)
}

/// `osd.3` at a free port, with a recorder.
pub(crate) fn serve(policy: Policy, timeouts: Timeouts) -> (Messenger, Listener, Heards) {
    serve_with(policy, timeouts, |_| {})
}

/// The same with other caps.
pub(crate) fn serve_with(
    policy: Policy,
    timeouts: Timeouts,
    tune: impl FnOnce(&mut Acceptor),
) -> (Messenger, Listener, Heards) {
    serve_at(&[v1(LOCALHOST)], policy, timeouts, tune)
}

/// The same at these addresses.
pub(crate) fn serve_at(
    addrs: &[EntityAddr],
    policy: Policy,
    timeouts: Timeouts,
    tune: impl FnOnce(&mut Acceptor),
) -> (Messenger, Listener, Heards) {
    let messenger = osd(policy, timeouts);
    let (dispatcher, heards) = recorder();
    let mut acceptor = acceptor(dispatcher);
    tune(&mut acceptor);
    let listener = messenger.bind(addrs, acceptor).expect("a free port");
    (messenger, listener, heards)
}

/// Where it can be dialled.
pub(crate) fn addr(listener: &Listener) -> SocketAddr {
    listener.addrs()[0].sockaddr.expect("an IP address")
}

/// A client of `osd.3` there.
pub(crate) fn call(listener: &Listener, policy: Policy) -> (Messenger, Connection, Heards) {
    let messenger = messenger(patient());
    let (dispatcher, heards) = recorder();
    let name = EntityName::new(EntityType::OSD, 3);
    let peer = Peer { name, addr: listener.addrs()[0], policy };
    let con = messenger.connect(peer, auth_none(), dispatcher).expect("a thread");
    (messenger, con, heards)
}

/// The one connection that it has.
#[track_caller]
pub(crate) fn only(listener: &Listener) -> Connection {
    let mut all = listener.connections();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// A message with that front.
pub(crate) fn msg(front: &[u8]) -> Message {
    Message::new(42, front.to_vec())
}

/// Who has logged in.
pub(crate) fn somebody() -> AuthPeer {
    let name = "client.admin".parse().expect("a name");
    AuthPeer { name, global_id: GlobalId(4100), caps: Default::default() }
}
