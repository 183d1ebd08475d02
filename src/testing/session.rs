use std::sync::Arc;

use serde_json::json;

use super::commands::{CommandReply, CommandRequest};
use super::monitor::Monitor;
use super::stats;
use super::subs::SubMap;
use crate::auth::{AuthPeer, AuthServiceHandler};
use crate::denc::DecodeError;
use crate::messages::auth::{MAuth, MAuthReply};
use crate::messages::log::{MLog, MLogAck};
use crate::messages::mon::{
    MMonCommand, MMonCommandAck, MMonGetVersion, MMonGetVersionReply, MMonMap, MMonSubscribe,
    MMonSubscribeAck, SubscribeItem,
};
use crate::messages::osd::{MCommand, MCommandReply, MOSDMap};
use crate::messages::{Body, MPing, PaxosHeader, types};
use crate::msgr::{Message, Priority};
use crate::types::{Epoch, Features, UTime};

const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;

/// Seconds after which an old client renews its subscriptions (`mon_subscribe_interval`).
const SUBSCRIBE_INTERVAL: u32 = 24 * 3600;

/// The bytes of a message are not what its type says: the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{msg_type}: {source}")]
pub struct MalformedMessage {
    /// The type, by name and number.
    pub msg_type: String,
    /// What is wrong.
    pub source: DecodeError,
}

/// A monitor's side of one connection (`MonSession`, `Monitor::dispatch_op`): messages in,
/// messages out.
///
/// Before the login only `MAuth`, pings and a `tell`, which is refused, are answered; all else is
/// dropped, as real monitors drop it. The monmap follows the end of a login by messages unasked,
/// unless the client has shown that it has it; after one in the handshake of messenger v2 it is
/// there for who subscribes.
#[derive(Debug)]
pub struct MonSession {
    monitor: Arc<Monitor>,
    features: Features,
    auth: AuthServiceHandler,
    authenticated: bool,
    subs: SubMap,
}

impl MonSession {
    pub(super) fn new(monitor: Arc<Monitor>, features: Features) -> Self {
        let auth = monitor.auth().start();
        Self::with_login(monitor, features, auth)
    }

    /// `auth` may have come through a login already, which needs no end by messages then.
    pub(super) fn with_login(
        monitor: Arc<Monitor>,
        features: Features,
        auth: AuthServiceHandler,
    ) -> Self {
        let authenticated = auth.peer().is_some();
        Self { monitor, features, auth, authenticated, subs: SubMap::default() }
    }

    /// Who the client has shown to be; `None` before the login.
    pub fn peer(&self) -> Option<&AuthPeer> {
        self.auth.peer()
    }

    /// What the client is subscribed to.
    pub fn subscriptions(&self) -> impl Iterator<Item = &str> {
        self.subs.names()
    }

    /// The answers to a message that has come.
    pub fn dispatch(
        &mut self,
        msg: &Message,
        now: UTime,
    ) -> Result<Vec<Message>, MalformedMessage> {
        let replies = match self.monitor.on_message(self.peer(), msg) {
            Some(replies) => replies,
            None => self.handle(msg, now).map_err(|source| MalformedMessage::new(msg, source))?,
        };
        Ok(with_high_priority(replies))
    }

    /// The maps that are due because there is a new version of them: for a driver to send to each
    /// client after a change.
    pub fn check_subs(&mut self) -> Vec<Message> {
        with_high_priority(self.subs.check(&self.monitor.maps(), self.features))
    }

    fn handle(&mut self, msg: &Message, now: UTime) -> Result<Vec<Message>, DecodeError> {
        match msg.header.msg_type {
            types::CEPH_MSG_AUTH => return self.handle_auth(msg, now),
            types::CEPH_MSG_PING => return Ok(vec![self.reply(&pong())]),
            types::MSG_COMMAND => return self.handle_tell(msg),
            _ => {}
        }
        let Some(peer) = self.peer().cloned() else {
            log::debug!("not logged in, {} is dropped", msg.header.type_name());
            return Ok(Vec::new());
        };
        match msg.header.msg_type {
            types::CEPH_MSG_MON_GET_MAP => Ok(self.latest_monmap().into_iter().collect()),
            types::CEPH_MSG_MON_SUBSCRIBE => self.handle_subscribe(msg),
            types::CEPH_MSG_MON_GET_VERSION => self.handle_get_version(msg),
            types::MSG_MON_COMMAND => self.handle_command(msg, peer),
            types::MSG_LOG => self.handle_log(msg),
            types::MSG_GETPOOLSTATS | types::CEPH_MSG_STATFS => {
                Ok(stats::answer(msg, self.monitor.fsid())?.into_iter().collect())
            }
            _ => {
                log::debug!("{}: nobody takes {}", peer.name, msg.header.type_name());
                Ok(Vec::new())
            }
        }
    }

    fn handle_auth(&mut self, msg: &Message, now: UTime) -> Result<Vec<Message>, DecodeError> {
        let m = MAuth::from_message(msg)?;
        let answer = self.auth.handle_request(m.protocol, &m.auth_payload, now);
        let reply = MAuthReply {
            protocol: answer.protocol,
            result: answer.result(),
            global_id: answer.global_id,
            result_bl: answer.payload().to_vec(),
            result_msg: String::new(),
        };
        let mut replies = vec![self.reply(&reply)];
        if !self.authenticated && self.auth.peer().is_some() {
            self.authenticated = true;
            let newest = self.monitor.maps().version("monmap").unwrap_or(0);
            if u64::from(m.monmap_epoch.0) < newest {
                replies.extend(self.latest_monmap());
            }
        }
        Ok(replies)
    }

    fn handle_subscribe(&mut self, msg: &Message) -> Result<Vec<Message>, DecodeError> {
        let m = MMonSubscribe::from_message(msg)?;
        for (what, item) in &m.what {
            if !self.subs.add_update(what, *item) {
                log::warn!("a subscription too many, or to a name too long, is dropped");
            }
        }
        let mut replies = self.subs.check(&self.monitor.maps(), self.features);
        let lasts = m.what.values().any(|item| item.flags & SubscribeItem::ONETIME == 0);
        // Others know that a subscription lasts as long as the session.
        if lasts && !self.features.has(Features::SERVER_JEWEL) {
            let fsid = self.monitor.fsid();
            replies.push(self.reply(&MMonSubscribeAck { interval: SUBSCRIBE_INTERVAL, fsid }));
        }
        Ok(replies)
    }

    fn handle_get_version(&self, msg: &Message) -> Result<Vec<Message>, DecodeError> {
        let m = MMonGetVersion::from_message(msg)?;
        let what = match m.what.as_str() {
            "mdsmap" => "fsmap",
            "fsmap" | "osdmap" | "monmap" => &m.what,
            // As 16.2.15 does, which leaves the client waiting.
            _ => return Ok(Vec::new()),
        };
        let Some(version) = self.monitor.maps().version(what) else { return Ok(Vec::new()) };
        let reply = MMonGetVersionReply { handle: m.handle, version, oldest_version: version };
        Ok(vec![self.reply(&reply).with_tid(msg.header.tid)])
    }

    fn handle_command(&self, msg: &Message, peer: AuthPeer) -> Result<Vec<Message>, DecodeError> {
        let m = MMonCommand::from_message(msg)?;
        let CommandReply { r, outs, outbl } = if m.fsid != self.monitor.fsid() {
            CommandReply::error(EPERM, "wrong fsid")
        } else {
            match CommandRequest::parse(&m.cmd, msg.data.clone(), peer) {
                Ok(request) => self.run(&request),
                Err(why) => CommandReply::error(EINVAL, &why),
            }
        };
        let ack = MMonCommandAck { paxos: PaxosHeader::default(), r, rs: outs, cmd: m.cmd };
        Ok(vec![self.reply(&ack).with_tid(msg.header.tid).with_data(outbl)])
    }

    /// `ceph tell mon.X`: the same commands, in another message.
    fn handle_tell(&self, msg: &Message) -> Result<Vec<Message>, DecodeError> {
        let m = MCommand::from_message(msg)?;
        let CommandReply { r, outs, outbl } = match self.peer() {
            _ if m.fsid != self.monitor.fsid() => CommandReply::error(EACCES, "wrong fsid"),
            None => CommandReply::error(EACCES, "insufficient caps"),
            Some(peer) => match CommandRequest::parse(&m.cmd, msg.data.clone(), peer.clone()) {
                Ok(request) => self.run(&request),
                Err(why) => CommandReply::error(EINVAL, &why),
            },
        };
        let reply = self.reply(&MCommandReply { r, rs: outs });
        Ok(vec![reply.with_tid(msg.header.tid).with_data(outbl)])
    }

    /// The author's commands come first, then the monitor's own, then what the author has for all
    /// others.
    fn run(&self, request: &CommandRequest) -> CommandReply {
        let commands = self.monitor.commands();
        let own = match commands.has(&request.prefix) {
            true => None,
            false => self.getmap(&request.prefix),
        };
        own.unwrap_or_else(|| commands.run(request))
    }

    /// `osd getmap` and `mon getmap`: the newest map, as it is published.
    fn getmap(&self, prefix: &str) -> Option<CommandReply> {
        let what = match prefix {
            "osd getmap" => "osdmap",
            "mon getmap" => "monmap",
            _ => return None,
        };
        let (version, msg) = self.monitor.maps().latest(what, self.features)?;
        let outbl = match what {
            "osdmap" => MOSDMap::from_message(&msg).ok()?.maps.remove(&epoch(version)?)?,
            _ => MMonMap::from_message(&msg).ok()?.monmapbl,
        };
        let outs = format!("got {what} epoch {version}");
        Some(CommandReply { r: 0, outs, outbl: outbl.into() })
    }

    /// Everything is stored at once.
    fn handle_log(&self, msg: &Message) -> Result<Vec<Message>, DecodeError> {
        let m = MLog::from_message(msg)?;
        let Some(last) = m.entries.last() else { return Ok(Vec::new()) };
        let (last, channel) = (last.seq, last.channel.clone());
        Ok(vec![self.reply(&MLogAck { fsid: m.fsid, last, channel })])
    }

    fn latest_monmap(&self) -> Option<Message> {
        self.monitor.maps().latest("monmap", self.features).map(|(_, msg)| msg)
    }

    fn reply(&self, body: &impl Body) -> Message {
        body.to_message(self.features)
    }
}

impl MalformedMessage {
    pub(super) fn new(msg: &Message, source: DecodeError) -> Self {
        Self { msg_type: msg.header.type_name(), source }
    }
}

fn epoch(version: u64) -> Option<Epoch> {
    u32::try_from(version).ok().map(Epoch)
}

/// The health and the state of a monitor that is all alone and well.
fn pong() -> MPing {
    let pong = json!({
        "health": { "status": "HEALTH_OK", "checks": {}, "mutes": [] },
        "mon_status": { "name": super::MON_NAME, "rank": 0, "state": "leader", "quorum": [0] },
    });
    MPing { result: Some(pong.to_string()) }
}

/// All that a monitor sends goes ahead of what others send.
fn with_high_priority(mut messages: Vec<Message>) -> Vec<Message> {
    for msg in &mut messages {
        msg.header.priority = Priority::HIGH;
    }
    messages
}
