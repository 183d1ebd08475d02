use std::sync::{Arc, Weak};

use super::client::{Inner, State};
use super::events::MapEvent;
use super::hunt::{Login, Pending, auth_message};
use super::{MgrMap, MonMap};
use crate::auth::{AuthError, Progress};
use crate::denc::{Decode, DecodeError};
use crate::error::{Error, ErrorKind};
use crate::messages::auth::MAuthReply;
use crate::messages::mgr::MMgrMap;
use crate::messages::mon::{MConfig, MMonGetVersionReply, MMonMap};
use crate::messages::osd::MOSDMap;
use crate::messages::{Body, types};
use crate::msgr::Message;
use crate::net::{Connection, Dispatcher, Timer};
use crate::types::Tid;

/// Hears what happens on the connections of a monitor client, as long as that lives.
pub(super) struct MonDispatcher(pub(super) Weak<Inner>);

impl Dispatcher for MonDispatcher {
    fn connected(&self, con: &Connection) {
        if let Some(inner) = self.0.upgrade() {
            inner.opened(con);
        }
    }

    fn dispatch(&self, con: &Connection, msg: Message) {
        if let Some(inner) = self.0.upgrade() {
            inner.dispatch(con, msg);
        }
    }

    fn reset(&self, con: &Connection, error: &Error) {
        let Some(inner) = self.0.upgrade() else { return };
        let mut state = inner.lock();
        if state.is_active(con) {
            log::info!("{error}; looking for another monitor");
            inner.session_lost(&mut state);
        } else {
            inner.pending_failed(&mut state, con, error.clone());
        }
    }
}

impl State {
    fn is_active(&self, con: &Connection) -> bool {
        self.active.as_ref().is_some_and(|a| a.con.id() == con.id())
    }
}

impl Inner {
    fn dispatch(self: &Arc<Self>, con: &Connection, msg: Message) {
        let (msg_type, len) = (msg.header.msg_type, msg.len());
        // A monitor that has not let us in has not shown that it is one, either.
        if msg_type != types::CEPH_MSG_AUTH_REPLY && !self.lock().is_active(con) {
            log::debug!("{}: not in use, {} is dropped", con.peer(), msg.header.type_name());
            return;
        }
        let outcome = match msg_type {
            types::CEPH_MSG_AUTH_REPLY => self.handle_auth_reply(con, &msg),
            types::CEPH_MSG_MON_MAP => self.handle_monmap(&msg),
            types::MSG_MGR_MAP => self.handle_mgrmap(&msg),
            types::CEPH_MSG_OSD_MAP => self.handle_osdmap(&msg),
            types::MSG_CONFIG => self.handle_config(&msg),
            types::MSG_MON_COMMAND_ACK => {
                let tid = msg.header.tid;
                self.lock().answer(tid, msg);
                Ok(())
            }
            types::CEPH_MSG_MON_GET_VERSION_REPLY => self.handle_version(msg),
            // The session is stateful: subscriptions need no renewal, the keepalives do it.
            types::CEPH_MSG_MON_SUBSCRIBE_ACK => Ok(()),
            other => {
                log::debug!("{}: nobody waits for a message of type {other}", con.peer());
                Ok(())
            }
        };
        if let Err(e) = outcome {
            log::warn!("{}: a message of type {msg_type} ({len} bytes): {e}", con.peer());
        }
    }

    fn handle_auth_reply(
        self: &Arc<Self>,
        con: &Connection,
        msg: &Message,
    ) -> Result<(), DecodeError> {
        let mut state = self.lock();
        let reply = match MAuthReply::from_message(msg) {
            Ok(reply) => reply,
            Err(e) => {
                let error =
                    Error::new(ErrorKind::Protocol, format!("{}: MAuthReply: {e}", con.peer()));
                if state.is_active(con) {
                    self.session_lost(&mut state);
                } else {
                    self.pending_failed(&mut state, con, error.with_source(e));
                }
                return Err(e);
            }
        };
        let now = Timer::now();
        let epoch = state.monmap_epoch();
        let hunting = !state.is_active(con);
        let handler = if hunting {
            match state.hunt.pending.get_mut(&con.id()) {
                Some(Pending { login: Login::Handler(handler), .. }) => Some(handler),
                // It was not asked, and what comes unasked is no login.
                _ => None,
            }
        } else {
            state.active.as_mut().map(|a| &mut a.handler)
        };
        let Some(handler) = handler else { return Ok(()) };
        match handler.handle_reply(
            reply.protocol,
            reply.result,
            reply.global_id,
            &reply.result_bl,
            now,
        ) {
            Ok(Progress::Send(request)) => {
                let _ = con.send_now(auth_message(request, epoch));
            }
            Ok(Progress::Done) if hunting => self.finish_hunting(&mut state, con),
            Ok(Progress::Done) => {
                log::debug!("{}: tickets renewed", con.peer());
                if let Some(active) = &mut state.active {
                    active.renewing = None;
                }
                self.schedule_renewal(&mut state);
                self.changed.notify_all();
            }
            Ok(Progress::RotatingSecrets(_)) => {}
            Err(e) if hunting => {
                let error = Error::new(ErrorKind::Auth, format!("{}: {e}", con.peer()));
                self.pending_failed(&mut state, con, error.with_source(e));
            }
            Err(e) => self.renewal_failed(&mut state, con, &e),
        }
        Ok(())
    }

    /// A monitor that no longer believes us is left: the next login shows whether any does.
    fn renewal_failed(self: &Arc<Self>, state: &mut State, con: &Connection, e: &AuthError) {
        log::warn!("{}: renewing tickets: {e}", con.peer());
        self.session_lost(state);
    }

    fn handle_version(&self, msg: Message) -> Result<(), DecodeError> {
        let handle = MMonGetVersionReply::from_message(&msg)?.handle;
        self.lock().answer(Tid(handle), msg);
        Ok(())
    }

    fn handle_monmap(&self, msg: &Message) -> Result<(), DecodeError> {
        let map = Arc::new(MonMap::from_bytes(&MMonMap::from_message(msg)?.monmapbl)?);
        let mut state = self.lock();
        log::debug!("monmap epoch {}", map.epoch);
        state.subs.got("monmap", map.epoch.0.into());
        if state.monmap.as_ref().is_some_and(|old| old.epoch > map.epoch) {
            return Ok(());
        }
        let targets = super::targets(&map, &self.messenger);
        if !targets.is_empty() {
            state.targets = targets;
        }
        state.monmap = Some(map.clone());
        self.tell(&state, &MapEvent::MonMap(map));
        Ok(())
    }

    fn handle_mgrmap(&self, msg: &Message) -> Result<(), DecodeError> {
        let map = Arc::new(MgrMap::from_bytes(&MMgrMap::from_message(msg)?.mgrmapbl)?);
        let mut state = self.lock();
        log::debug!("map of the managers, epoch {}", map.epoch);
        state.subs.got("mgrmap", map.epoch.0.into());
        if state.mgrmap.as_ref().is_some_and(|old| old.epoch > map.epoch) {
            return Ok(());
        }
        state.mgrmap = Some(map.clone());
        self.tell(&state, &MapEvent::MgrMap(map));
        Ok(())
    }

    fn handle_osdmap(&self, msg: &Message) -> Result<(), DecodeError> {
        let maps = Arc::new(MOSDMap::from_message(msg)?);
        let mut state = self.lock();
        if let Some(last) = maps.last() {
            state.subs.got("osdmap", last.0.into());
            state.osd_epoch = state.osd_epoch.max(last);
            log::debug!("OSD map up to epoch {last}");
        }
        self.tell(&state, &MapEvent::OsdMap(maps));
        Ok(())
    }

    fn handle_config(&self, msg: &Message) -> Result<(), DecodeError> {
        let config = Arc::new(MConfig::from_message(msg)?);
        self.tell(&self.lock(), &MapEvent::Config(config));
        Ok(())
    }

    fn tell(&self, state: &State, event: &MapEvent) {
        state.watchers.tell(event);
        self.changed.notify_all();
    }
}
