//! A monitor that does what a test says: the login is that of the library's accepting side, the rest
//! a script over an [`Acceptor`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ceph_msgr::Cluster;
use ceph_msgr::auth::cephx::{KeyServer, KeyServerOptions};
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::auth::{
    AuthClient, AuthMonitor, AuthMonitorOptions, AuthServiceHandler, CEPH_AUTH_CEPHX,
    CEPH_AUTH_NONE, EntityName, GlobalIdAllocator,
};
use ceph_msgr::crypto::{CryptoKey, KeyType};
use ceph_msgr::denc::{Encode as _, Writer};
use ceph_msgr::error::Result;
use ceph_msgr::messages::auth::{MAuth, MAuthReply};
use ceph_msgr::messages::mgr::MMgrMap;
use ceph_msgr::messages::mon::{MMonMap, MMonSubscribe};
use ceph_msgr::messages::{Body, types};
use ceph_msgr::mon::{HuntOptions, MonClient, MonMap, MonTarget};
use ceph_msgr::msgr::Message;
use ceph_msgr::net::{Messenger, Timeouts};
use ceph_msgr::types::{EntityAddr, EntityType, Epoch, Features, Fsid, GlobalId, UTime};

use super::acceptor::*;
use super::client::PATIENCE;

/// `-EACCES`, a monitor's answer to a wrong key.
pub(crate) const EACCES: i32 = -13;

#[derive(Debug)]
struct GlobalIds(AtomicU64);

impl GlobalIdAllocator for GlobalIds {
    fn assign_global_id(&self) -> Option<GlobalId> {
        Some(GlobalId(self.0.fetch_add(1, Relaxed)))
    }
}

/// A monitor, and the only client that it lets in: `client.admin`.
#[derive(Debug)]
pub(crate) struct Monitor {
    acceptor: Acceptor,
    auth: Arc<AuthMonitor>,
    key: CryptoKey,
}

/// The monitor's end of one connection.
#[derive(Debug)]
pub(crate) struct MonSession {
    pub(crate) wire: Wire,
    pub(crate) auth: AuthServiceHandler,
    seq: u64,
}

pub(crate) fn wall() -> UTime {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").into()
}

pub(crate) fn client_admin() -> EntityName {
    "client.admin".parse().expect("a name")
}

/// Lets `client.admin` in with that key, and gives numbers from `first_id` on and tickets that live so
/// long, which another one of these does not believe.
pub(crate) fn auth_monitor(
    key: &CryptoKey,
    method: u32,
    life: Duration,
    first_id: u64,
) -> Arc<AuthMonitor> {
    let mut keyring = Keyring::new();
    keyring.set_key(&client_admin(), key.clone());
    let options = KeyServerOptions { auth_service_ticket_ttl: life, ..Default::default() };
    let keys = Arc::new(KeyServer::new(keyring, options, wall()).expect("secrets"));
    let ids = Box::new(GlobalIds(AtomicU64::new(first_id)));
    let options = AuthMonitorOptions { methods: vec![method], ..Default::default() };
    Arc::new(AuthMonitor::new(keys, ids, options))
}

impl Monitor {
    /// Lets everybody in who says a name.
    pub(crate) fn open_to_all() -> Self {
        Self::with(CEPH_AUTH_NONE, Duration::from_secs(3600))
    }

    /// Wants a proof, and gives tickets that live so long.
    pub(crate) fn with_tickets(life: Duration) -> Self {
        Self::with(CEPH_AUTH_CEPHX, life)
    }

    fn with(method: u32, life: Duration) -> Self {
        let key = CryptoKey::generate(KeyType::Aes, wall()).expect("a key");
        let auth = auth_monitor(&key, method, life, 4100);
        Self { acceptor: Acceptor::new(), auth, key }
    }

    fn mon_host(&self) -> String {
        format!("v1:{}", self.acceptor.addr())
    }

    /// The client that it lets in.
    pub(crate) fn client(&self, messenger: Messenger) -> MonClient {
        self.try_client(messenger).expect("a client")
    }

    pub(crate) fn try_client(&self, messenger: Messenger) -> Result<MonClient> {
        self.try_client_beside(&[], messenger, HuntOptions::default())
    }

    /// The same client, which knows other addresses as well.
    pub(crate) fn client_beside(
        &self,
        others: &[EntityAddr],
        messenger: Messenger,
        hunt: HuntOptions,
    ) -> MonClient {
        self.try_client_beside(others, messenger, hunt).expect("a client")
    }

    /// Where it is.
    pub(crate) fn addr(&self) -> EntityAddr {
        EntityAddr::legacy(self.acceptor.addr(), 0)
    }

    fn try_client_beside(
        &self,
        others: &[EntityAddr],
        messenger: Messenger,
        hunt: HuntOptions,
    ) -> Result<MonClient> {
        let services = [EntityType::MON, EntityType::OSD, EntityType::MDS, EntityType::MGR];
        let methods = [CEPH_AUTH_CEPHX, CEPH_AUTH_NONE];
        let auth = AuthClient::new(client_admin(), Some(self.key.clone()), &methods, &services);
        let all = [self.addr()].into_iter().chain(others.iter().copied());
        let targets = all.map(|addr| MonTarget { rank: 0, addr }).collect();
        let auth = Arc::new(auth.expect("a client"));
        MonClient::new(messenger, auth, targets, hunt)
    }

    /// A handle for the whole cluster, with its session open and a monmap there. The monitor's end
    /// comes with it.
    pub(crate) fn cluster(&self, timeouts: Timeouts) -> (Cluster, MonSession) {
        let builder = Cluster::builder()
            .no_config_file()
            .name(client_admin())
            .key(self.key.clone())
            .mon_host(&self.mon_host())
            .set("auth_client_required", "cephx, none")
            .timeouts(timeouts)
            .timeout(PATIENCE);
        thread::scope(|scope| {
            let connected = scope.spawn(|| builder.connect());
            let mut session = self.session();
            session.subscription();
            session.send_monmap();
            let cluster = connected.join().expect("it returns").expect("a session");
            cluster.fsid().expect("a monmap");
            (cluster, session)
        })
    }

    /// The next connection, not logged in yet.
    pub(crate) fn accept(&self) -> MonSession {
        let wire = self.acceptor.open(true);
        MonSession { wire, auth: self.auth.start(), seq: 0 }
    }

    /// The next connection, logged in; what the client subscribes to comes next.
    pub(crate) fn session(&self) -> MonSession {
        let mut session = self.accept();
        while session.auth.peer().is_none() {
            let request = session.auth_request();
            session.auth_reply(&request);
        }
        session
    }
}

impl MonSession {
    /// The next message, which is of that type.
    #[track_caller]
    pub(crate) fn body<B: Body>(&mut self) -> B {
        let msg = self.wire.msg();
        let msg = Message::new(msg.msg_type, msg.front).with_version(B::VERSION, B::COMPAT);
        B::from_message(&msg).expect("of that type")
    }

    #[track_caller]
    pub(crate) fn auth_request(&mut self) -> MAuth {
        self.body()
    }

    /// What a real monitor says to a request.
    pub(crate) fn auth_reply(&mut self, request: &MAuth) {
        let reply = self.auth.handle_request(request.protocol, &request.auth_payload, wall());
        self.send(&MAuthReply {
            protocol: reply.protocol,
            result: reply.result(),
            global_id: reply.global_id,
            result_bl: reply.payload().to_vec(),
            result_msg: String::new(),
        });
    }

    /// What a monitor says to a wrong key.
    pub(crate) fn refuse(&mut self) {
        self.send(&MAuthReply { result: EACCES, ..MAuthReply::default() });
    }

    /// What the client subscribes to, by name.
    #[track_caller]
    pub(crate) fn subscription(&mut self) -> BTreeSet<String> {
        self.body::<MMonSubscribe>().what.into_keys().collect()
    }

    /// A monmap without monitors: the client goes on with those that it knows.
    pub(crate) fn send_monmap(&mut self) {
        let fsid = Fsid([7; 16]);
        let map = MonMap { epoch: Epoch(1), fsid, ..MonMap::default() };
        self.send(&MMonMap { monmapbl: map.to_bytes(Features::ALL) });
    }

    /// An active manager at that address, as a monitor says it to a client of before nautilus; it
    /// takes commands as such a manager does.
    pub(crate) fn send_mgrmap(&mut self, addr: SocketAddr) {
        let mut w = Writer::new(Features::ALL);
        w.versioned(5, 1, |w| {
            w.u32(1).put(&EntityAddr::legacy(addr, 0)).u64(4000).bool(true).string("x");
            // Standbys, modules, those that are available, services, and what they are.
            w.u32(0).u32(0).u32(0).u32(0).u32(0);
        });
        self.send(&MMgrMap { mgrmapbl: w.into_vec() });
    }

    pub(crate) fn send(&mut self, body: &impl Body) {
        self.answer(0, body);
    }

    /// The answer to the request with that tid.
    pub(crate) fn answer(&mut self, tid: u64, body: &impl Body) {
        let msg = body.to_message(Features::ALL);
        self.answer_bytes(tid, msg.header.msg_type, &msg.front);
    }

    fn answer_bytes(&mut self, tid: u64, msg_type: u16, front: &[u8]) {
        self.seq += 1;
        self.wire.send_answer(self.seq, tid, msg_type, front);
    }

    /// An `MAuthReply` that ends before its payload.
    pub(crate) fn send_half_a_reply(&mut self) {
        self.answer_bytes(0, types::CEPH_MSG_AUTH_REPLY, &[2, 0, 0, 0, 0, 0]);
    }
}
