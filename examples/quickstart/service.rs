//! The service's part: it believes the monitor's tickets, and sends messages back or counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::Result;
use ceph_msgr::auth::AuthServer;
use ceph_msgr::msgr::{Message, Policies, Policy};
use ceph_msgr::net::{Acceptor, Connection, Dispatcher, Listener, Messenger, Timeouts};
use ceph_msgr::types::{EntityName, EntityType};

use crate::protocol::Protocol;

/// A message that is to come back.
pub(crate) const ECHO: u16 = 1000;
/// A message that is only counted.
pub(crate) const COUNT: u16 = 1001;
/// Asks how many were counted since the last time.
pub(crate) const HOW_MANY: u16 = 1002;

/// Who the service is: clients keep lossless sessions with an MDS alone.
pub(crate) fn name() -> EntityName {
    EntityName::new(EntityType::MDS, 0)
}

/// Listens at a free port; the sessions of those who dial outlive their sockets.
pub(crate) fn start(auth_server: Arc<dyn AuthServer>, protocol: Protocol) -> Result<Listener> {
    let (nonce, options) = (std::process::id(), protocol.options());
    let messenger = Messenger::with_nonce(name(), nonce, options, Timeouts::default());
    messenger.set_policies(Policies::new(Policy::STATEFUL_SERVER));
    let acceptor = Acceptor::new(auth_server, Arc::new(Service::default()));
    Ok(messenger.bind(&[protocol.any_port()], acceptor)?)
}

#[derive(Default)]
struct Service {
    counted: AtomicU32,
}

impl Dispatcher for Service {
    fn dispatch(&self, con: &Connection, msg: Message) {
        let reply = match msg.header.msg_type {
            ECHO => msg,
            HOW_MANY => {
                let counted = self.counted.swap(0, Relaxed);
                Message::new(HOW_MANY, counted.to_le_bytes().to_vec())
            }
            _ => {
                self.counted.fetch_add(1, Relaxed);
                return;
            }
        };
        // Only a closed connection takes nothing, and its owner knows.
        let _ = con.send(Message::new(reply.header.msg_type, reply.front).with_data(reply.data));
    }
}
