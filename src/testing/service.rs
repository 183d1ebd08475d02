use std::fmt;
use std::sync::Arc;

use super::MalformedMessage;
use super::commands::{CommandReply, CommandRequest, Commands};
use crate::auth::cephx::{CephxAuthorizeHandler, CephxAuthorizeOptions, KeyStore};
use crate::auth::{AuthPeer, AuthServer};
use crate::denc::DecodeError;
use crate::messages::mgr::{MMgrCommand, MMgrCommandReply};
use crate::messages::osd::{MCommand, MCommandReply};
use crate::messages::{Body, types};
use crate::msgr::Message;
use crate::types::{EntityType, Features};

const EINVAL: i32 = 22;

type OnMessage = Arc<dyn Fn(&AuthPeer, &Message) -> Vec<Message> + Send + Sync>;

/// A daemon that is no monitor: an OSD, an MDS or a manager. It believes who has a ticket for it,
/// answers commands from a table, and leaves all else to its author.
#[derive(Clone)]
pub struct Service {
    auth_server: Arc<CephxAuthorizeHandler>,
    commands: Commands,
    on_message: Option<OnMessage>,
}

impl Service {
    /// A daemon of that type that opens tickets with the secrets of `keys`: those of a
    /// [`KeyServer`](crate::auth::cephx::KeyServer), which [`Monitor::service`] shares, or those
    /// that it fetched into a [`RotatingKeyRing`](crate::auth::cephx::RotatingKeyRing).
    ///
    /// [`Monitor::service`]: super::Monitor::service
    pub fn new(service: EntityType, keys: Arc<dyn KeyStore>, commands: Commands) -> Self {
        let options = CephxAuthorizeOptions::default();
        let auth_server = Arc::new(CephxAuthorizeHandler::new(service, keys, options));
        Self { auth_server, commands, on_message: None }
    }

    /// Who answers messages that are no commands; without it they are dropped.
    #[must_use]
    pub fn on_message(
        mut self,
        handler: impl Fn(&AuthPeer, &Message) -> Vec<Message> + Send + Sync + 'static,
    ) -> Self {
        self.on_message = Some(Arc::new(handler));
        self
    }

    /// Checks the authorizers of connections to this daemon.
    pub fn auth_server(&self) -> Arc<dyn AuthServer> {
        Arc::clone(&self.auth_server) as _
    }

    /// The answers to a message of that peer, whose connection has these features.
    pub fn dispatch(
        &self,
        peer: &AuthPeer,
        features: Features,
        msg: &Message,
    ) -> Result<Vec<Message>, MalformedMessage> {
        let reply = match msg.header.msg_type {
            types::MSG_COMMAND => self.handle_command(peer, features, msg),
            types::MSG_MGR_COMMAND => self.handle_mgr_command(peer, features, msg),
            _ => {
                let replies = self.on_message.as_ref().map(|handler| handler(peer, msg));
                return Ok(replies.unwrap_or_default());
            }
        };
        reply.map(|reply| vec![reply]).map_err(|source| MalformedMessage::new(msg, source))
    }

    fn handle_command(
        &self,
        peer: &AuthPeer,
        features: Features,
        msg: &Message,
    ) -> Result<Message, DecodeError> {
        let m = MCommand::from_message(msg)?;
        let CommandReply { r, outs, outbl } = self.run(peer, &m.cmd, msg);
        let reply = MCommandReply { r, rs: outs }.to_message(features);
        Ok(reply.with_tid(msg.header.tid).with_data(outbl))
    }

    fn handle_mgr_command(
        &self,
        peer: &AuthPeer,
        features: Features,
        msg: &Message,
    ) -> Result<Message, DecodeError> {
        let m = MMgrCommand::from_message(msg)?;
        let CommandReply { r, outs, outbl } = self.run(peer, &m.cmd, msg);
        let reply = MMgrCommandReply { r, rs: outs }.to_message(features);
        Ok(reply.with_tid(msg.header.tid).with_data(outbl))
    }

    fn run(&self, peer: &AuthPeer, cmd: &[String], msg: &Message) -> CommandReply {
        match CommandRequest::parse(cmd, msg.data.clone(), peer.clone()) {
            Ok(request) => self.commands.run(&request),
            Err(why) => CommandReply::error(EINVAL, &why),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("auth_server", &self.auth_server)
            .field("commands", &self.commands)
            .finish_non_exhaustive()
    }
}
