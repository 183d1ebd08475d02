//! The scripted peers against our own connecting side, which real daemons have proved, and their
//! maps against those of real monitors. Here no byte passes a socket.

mod commands;
mod login;
mod service;
mod stats;
mod subscriptions;
mod vectors;

use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::auth::{
    AuthClient, AuthClientHandler, AuthError, AuthRequest, CEPH_AUTH_CEPHX, EntityName, Progress,
};
use crate::crypto::{CryptoKey, KeyType};
use crate::messages::auth::{MAuth, MAuthReply};
use crate::messages::{Body, PaxosHeader, types};
use crate::msgr::Message;
use crate::types::{EntityAddr, EntityType, Epoch, Features, Tid, UTime};

const NOW: UTime = UTime { sec: 1_800_000_000, nsec: 0 };
const FEATURES: Features = DAEMON_FEATURES;

fn addr() -> EntityAddr {
    "v1:127.0.0.1:6789".parse().unwrap()
}

fn build(builder: MonitorBuilder) -> Arc<Monitor> {
    builder.build(addr().into(), NOW).unwrap()
}

fn monitor() -> Arc<Monitor> {
    build(Monitor::builder())
}

fn admin() -> EntityName {
    EntityName::new(EntityType::CLIENT, "admin")
}

/// client.admin as the monitor knows it.
fn client(monitor: &Monitor) -> Arc<AuthClient> {
    let key = monitor.keyring().key(&admin()).unwrap().clone();
    let services = [EntityType::OSD, EntityType::MGR];
    Arc::new(AuthClient::new(admin(), Some(key), &[CEPH_AUTH_CEPHX], &services).unwrap())
}

fn mauth(request: AuthRequest, monmap_epoch: u32) -> Message {
    let AuthRequest { protocol, payload: auth_payload } = request;
    let (paxos, monmap_epoch) = (PaxosHeader::default(), Epoch(monmap_epoch));
    MAuth { paxos, protocol, auth_payload, monmap_epoch }.to_message(FEATURES)
}

/// Goes on until the login is over. What the monitor sends besides its answers.
fn talk(
    session: &mut MonSession,
    handler: &mut AuthClientHandler,
    mut request: AuthRequest,
    monmap_epoch: u32,
) -> Result<Vec<Message>, AuthError> {
    let now = Instant::now();
    loop {
        let mut replies = session.dispatch(&mauth(request, monmap_epoch), NOW).unwrap();
        let m = MAuthReply::from_message(&replies.remove(0)).unwrap();
        match handler.handle_reply(m.protocol, m.result, m.global_id, &m.result_bl, now)? {
            Progress::Send(next) => {
                assert_eq!(replies, [], "nothing but the answer before the end");
                request = next;
            }
            _ => return Ok(replies),
        }
    }
}

/// A session that client.admin has opened.
fn logged_in(monitor: &Arc<Monitor>) -> MonSession {
    let mut session = monitor.session(FEATURES);
    let (mut handler, hello) = client(monitor).start();
    talk(&mut session, &mut handler, hello, 0).unwrap();
    session
}

fn ask(session: &mut MonSession, body: &impl Body) -> Vec<Message> {
    session.dispatch(&body.to_message(FEATURES).with_tid(Tid(5)), NOW).unwrap()
}

fn kinds(messages: &[Message]) -> Vec<u16> {
    messages.iter().map(|msg| msg.header.msg_type).collect()
}
