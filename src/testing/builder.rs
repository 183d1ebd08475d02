use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::commands::Commands;
use super::monitor::{Monitor, OnMessage};
use crate::auth::cephx::{KeyServer, KeyServerOptions};
use crate::auth::keyring::Keyring;
use crate::auth::{AuthMonitorOptions, AuthPeer, ConMode, EntityName};
use crate::crypto::{CryptoError, CryptoKey, KeyType};
use crate::msgr::Message;
use crate::types::{EntityAddrVec, EntityType, Fsid, Msgr, UTime};

/// What a [`Monitor`] is like.
#[derive(Clone)]
pub struct MonitorBuilder {
    keyring: Option<Keyring>,
    pub(super) fsid: Option<Fsid>,
    pub(super) config: BTreeMap<String, String>,
    pub(super) auth_options: AuthMonitorOptions,
    pub(super) key_server_options: KeyServerOptions,
    pub(super) commands: Commands,
    pub(super) on_message: Option<OnMessage>,
    pub(super) msgr: Msgr,
    pub(super) con_modes: Vec<ConMode>,
}

impl Default for MonitorBuilder {
    fn default() -> Self {
        Self {
            keyring: None,
            fsid: None,
            config: BTreeMap::new(),
            auth_options: AuthMonitorOptions::default(),
            // A type that daemons of every release know.
            key_server_options: KeyServerOptions {
                auth_service_cipher: KeyType::Aes,
                ..KeyServerOptions::default()
            },
            commands: Commands::new(),
            on_message: None,
            msgr: Msgr::Auto,
            con_modes: vec![ConMode::Secure, ConMode::Crc],
        }
    }
}

impl MonitorBuilder {
    /// Who may log in. Without it `client.admin` may, with a new key and caps for everything.
    #[must_use]
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.keyring = Some(keyring);
        self
    }

    /// The cluster; without it one that is always the same.
    #[must_use]
    pub fn fsid(mut self, fsid: Fsid) -> Self {
        self.fsid = Some(fsid);
        self
    }

    /// An option that every client gets from the monitors.
    #[must_use]
    pub fn config(mut self, option: &str, value: &str) -> Self {
        self.config.insert(option.to_owned(), value.to_owned());
        self
    }

    /// How clients may log in.
    #[must_use]
    pub fn auth_options(mut self, options: AuthMonitorOptions) -> Self {
        self.auth_options = options;
        self
    }

    /// How long tickets live.
    #[must_use]
    pub fn key_server_options(mut self, options: KeyServerOptions) -> Self {
        self.key_server_options = options;
        self
    }

    /// What the monitor answers to commands.
    #[must_use]
    pub fn commands(mut self, commands: Commands) -> Self {
        self.commands = commands;
        self
    }

    /// Who sees every message first, with the peer if it has logged in. `Some` takes the place of
    /// the monitor's own answers; an empty one leaves the message unanswered.
    #[must_use]
    pub fn on_message(
        mut self,
        handler: impl Fn(Option<&AuthPeer>, &Message) -> Option<Vec<Message>> + Send + Sync + 'static,
    ) -> Self {
        self.on_message = Some(Arc::new(handler));
        self
    }

    /// Which messenger is spoken where a [`Mon`](super::Mon) is [started](Self::start), and by the
    /// daemons that it starts; without it either, as real daemons do.
    #[must_use]
    pub fn msgr(mut self, msgr: Msgr) -> Self {
        self.msgr = msgr;
        self
    }

    /// The connection modes of messenger v2 that are allowed there; without it either. Which one it
    /// becomes is for the client's preference.
    #[must_use]
    pub fn con_modes(mut self, modes: &[ConMode]) -> Self {
        self.con_modes = modes.to_vec();
        self
    }

    /// The monitor, which its clients reach at these addresses: they find the one that they have
    /// dialled in the monmap, or else they leave. Fails where there are no random bytes.
    pub fn build(self, addrs: EntityAddrVec, now: UTime) -> Result<Arc<Monitor>, CryptoError> {
        Monitor::new(self, addrs, now).map(Arc::new)
    }

    pub(super) fn keyring_or_new(&self, now: UTime) -> Result<Keyring, CryptoError> {
        if let Some(keyring) = &self.keyring {
            return Ok(keyring.clone());
        }
        let admin = EntityName::new(EntityType::CLIENT, "admin");
        let mut keyring = Keyring::new();
        keyring.set_key(&admin, CryptoKey::generate(KeyType::Aes, now)?);
        for service in ["mds", "mgr", "mon", "osd"] {
            keyring.set_caps(&admin, service, "allow *");
        }
        Ok(keyring)
    }
}

impl fmt::Debug for MonitorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fsid, commands) = (&self.fsid, &self.commands);
        f.debug_struct("MonitorBuilder")
            .field("fsid", fsid)
            .field("commands", commands)
            .finish_non_exhaustive()
    }
}

pub(super) fn key_server(
    keyring: Keyring,
    options: KeyServerOptions,
    now: UTime,
) -> Result<Arc<KeyServer>, CryptoError> {
    KeyServer::new(keyring, options, now).map(Arc::new)
}
