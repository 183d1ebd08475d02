//! What a cluster's users write down: ceph.conf, `CEPH_ARGS` and the command line
//! (`src/common/config.cc`).
//!
//! ```
//! use ceph_msgr::config::{Config, Env};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let conf = std::env::temp_dir().join(format!("doc-{}.conf", std::process::id()));
//! # std::fs::write(&conf, "[global]\nmon host = 192.0.2.1\n[client]\nrados mon op timeout = 1m\n")?;
//! # let conf = conf.to_str().ok_or("not UTF-8")?;
//! let config = Config::builder(Env::default()).conf(conf).args(["--id", "backup"]).load()?;
//! assert_eq!(config.name().to_string(), "client.backup");
//! assert_eq!(config.mon_hosts()?[0].name, "noname-a");
//! assert_eq!(config.get_duration("rados mon op timeout")?.map(|d| d.as_secs()), Some(60));
//! # std::fs::remove_file(conf)?;
//! # Ok(())
//! # }
//! ```
//!
//! An option is what the program [set](Config::set), else what the arguments say, else
//! `CEPH_KEYRING`, else the file's first of `[client.backup]`, `[client]` and `[global]`, else
//! Ceph's default. Ceph knows the type and default of every option; this library knows few, so an
//! option that nobody set is `None`, and a wrong value is an error when it is asked for.
//!
//! Reads files and, in [`Env::from_process`] only, the process; resolves no names. What it does is
//! compared with `ceph-conf` in `tests/ceph_conf.rs`.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod args;
mod env;
mod error;
mod expand;
mod keyring;
mod load;
mod mon_host;
mod ms_mode;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

pub use env::Env;
pub use error::{ConfigError, Origin};
pub use load::ConfigBuilder;
pub use mon_host::{MON_PORT_IANA, MON_PORT_LEGACY, MonAddr, MonHost};
pub use ms_mode::MsMode;

use crate::auth::{ConMode, EntityName};
use crate::ini::{Ini, IniValue, normalize_key};
use crate::types::EntityType;

use expand::Expander;

/// The defaults that this library needs, as in 16.2.15.
const DEFAULTS: [(&str, &str); 10] = [
    ("auth_client_required", "cephx, none"),
    ("auth_cluster_required", "cephx"),
    ("auth_service_required", "cephx"),
    (
        "keyring",
        "/etc/ceph/$cluster.$name.keyring,/etc/ceph/$cluster.keyring,\
         /etc/ceph/keyring,/etc/ceph/keyring.bin",
    ),
    ("ms_client_mode", "crc secure"),
    ("ms_cluster_mode", "crc secure"),
    ("ms_mon_client_mode", "secure crc"),
    ("ms_mon_cluster_mode", "secure crc"),
    ("ms_mon_service_mode", "secure crc"),
    ("ms_service_mode", "crc secure"),
];

/// Where a value was set, the strongest last; the file stands between the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Default,
    Environment,
    Arguments,
    Program,
}

/// Where [`Config::find`] found a value.
enum Found {
    At(Level),
    InFile(u32),
}

/// The options of one entity of one cluster.
#[derive(Clone)]
pub struct Config {
    name: EntityName,
    cluster: String,
    env: Env,
    path: Option<PathBuf>,
    /// Boxed, for its place in memory is `$cctid`.
    file: Box<Ini>,
    set: BTreeMap<String, BTreeMap<Level, Zeroizing<String>>>,
}

impl Config {
    /// Begins a configuration; nothing of the process is looked at but what `env` holds.
    pub fn builder(env: Env) -> ConfigBuilder {
        ConfigBuilder::new(env)
    }

    /// What a Ceph program without arguments would use: the process's environment and the file
    /// that it names or that is found at the usual places.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::builder(Env::from_process()).load()
    }

    /// Who the program is.
    pub fn name(&self) -> &EntityName {
        &self.name
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The file that was read, if one was.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The sections of that file.
    pub fn file(&self) -> &Ini {
        &self.file
    }

    /// Sets an option, above all else.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.set_at(Level::Program, option_key(key), Zeroizing::new(value.into()));
    }

    /// The value of an option, its references expanded. In `key` blanks, dashes and underscores
    /// are alike and case counts. (In a file Ceph finds only what is written without dashes.)
    pub fn get(&self, key: &str) -> Option<String> {
        self.get_secret(key).map(|value| value.as_str().to_owned())
    }

    /// As [`get`](Self::get), wiped on drop: for `key`.
    pub fn get_secret(&self, key: &str) -> Option<Zeroizing<String>> {
        let key = option_key(key);
        let raw = self.raw(&key)?;
        Some(self.expander(|expander| expander.value(&key, raw)))
    }

    /// An option that is `true` or `false`, in any case, or a number that is not 0 for true.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.parsed(key, "true, false or a number", value::boolean)
    }

    /// A number, with `K`, `M`, `G`, `T`, `P` or `E` for powers of 1000: Ceph's options of type
    /// `uint`.
    pub fn get_u64(&self, key: &str) -> Result<Option<u64>, ConfigError> {
        self.parsed(key, "a number, K M G T P E allowed behind it", value::si_number)
    }

    /// A number of bytes, with `K`, `Ki` or `KB` and so on for powers of 1024: Ceph's options of
    /// type `size`.
    pub fn get_size(&self, key: &str) -> Result<Option<u64>, ConfigError> {
        self.parsed(key, "a size, B K M G T P E allowed behind it", value::iec_size)
    }

    /// Seconds such as `1.5`, or a time span such as `1h 30m`.
    pub fn get_duration(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        self.parsed(key, "seconds, or a time span such as 1h 30m", value::duration)
    }

    /// The items of a list, parted by commas, semicolons, blanks or `=`.
    pub fn get_list(&self, key: &str) -> Vec<String> {
        let text = self.get(key).unwrap_or_default();
        value::list(&text).map(str::to_owned).collect()
    }

    /// Who set the option that [`get`](Self::get) returns.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        Some(match self.find(&option_key(key))?.1 {
            Found::At(Level::Default) => Origin::Default,
            Found::At(Level::Environment) => Origin::Environment,
            Found::At(Level::Arguments) => Origin::Arguments,
            Found::At(Level::Program) => Origin::Program,
            Found::InFile(line) => {
                Origin::File { path: self.path.clone().unwrap_or_default(), line }
            }
        })
    }

    /// The monitors to begin with: `mon host override`, else `mon host`, else the `mon addr` of
    /// every section `[mon.X]`, where one that is no address is skipped with a warning.
    pub fn mon_hosts(&self) -> Result<Vec<MonHost>, ConfigError> {
        for key in ["mon_host_override", "mon_host"] {
            let mons = mon_host::parse(&self.get(key).unwrap_or_default())?;
            if !mons.is_empty() {
                return Ok(mons);
            }
        }
        let mut mons = Vec::new();
        for (section, _) in self.file.sections() {
            let Some(id) = section.strip_prefix("mon.").filter(|id| !id.is_empty()) else {
                continue;
            };
            let sections = [section, "mon", "global"];
            let Some(addr) = sections.iter().find_map(|s| self.file.get(s, "mon_addr")) else {
                continue;
            };
            let text = self.expand(&addr.text);
            if let Err(e) = mon_host::add_mon_addr(&mut mons, id, &text) {
                log::warn!("[{section}] mon addr = {}: {e}", text.as_str());
            }
        }
        if mons.is_empty() { Err(ConfigError::NoMonHost) } else { Ok(mons) }
    }

    /// The names of the methods that a client may authenticate by, the best first: `auth supported`
    /// if it is set, else `auth client required`.
    pub fn auth_client_methods(&self) -> Vec<String> {
        match self.get_list("auth_supported") {
            methods if methods.is_empty() => self.get_list("auth_client_required"),
            methods => methods,
        }
    }

    /// The connection modes of msgr2 that a program of type `own` allows with a peer, the best first:
    /// `ms client mode` and its kin. A name that is no mode is skipped with a warning; that there is
    /// none is an error.
    pub fn con_modes(
        &self,
        own: EntityType,
        peer: EntityType,
    ) -> Result<Vec<ConMode>, ConfigError> {
        let key = con_mode_key(own, peer);
        let modes = self.parsed(key, "a list of crc and secure", |text| {
            let modes: Vec<_> = value::list(text)
                .filter_map(|name| {
                    let mode = ConMode::from_name(name);
                    if mode.is_none() {
                        log::warn!("{key}: {name:?} is no connection mode");
                    }
                    mode
                })
                .collect();
            (!modes.is_empty()).then_some(modes)
        })?;
        Ok(modes.unwrap_or_default())
    }

    /// `ms mode`, if it is set. Ceph's programs do not know it; with the kernel's client it is a mount
    /// option. It is meant to stand above `ms client mode` and its kin.
    pub fn ms_mode(&self) -> Result<Option<MsMode>, ConfigError> {
        let expected = "one of legacy, crc, secure, prefer-crc and prefer-secure";
        self.parsed("ms_mode", expected, MsMode::from_name)
    }

    fn set_at(&mut self, level: Level, key: String, value: Zeroizing<String>) {
        self.set.entry(key).or_default().insert(level, value);
    }

    fn raw(&self, key: &str) -> Option<&str> {
        self.find(key).map(|(value, _)| value)
    }

    /// The value as it was written, and by whom; `key` must be normalized.
    fn find(&self, key: &str) -> Option<(&str, Found)> {
        let set = self.set.get(key);
        let strongest = set.and_then(|set| set.last_key_value());
        if let Some((&level, value)) = strongest.filter(|(level, _)| **level > Level::Default) {
            return Some((value, Found::At(level)));
        }
        let name = self.name.to_string();
        let sections = [name.as_str(), self.name.entity_type.name(), "global"];
        if let Some(value) = sections.iter().find_map(|s| self.in_section(s, key)) {
            return Some((&value.text, Found::InFile(value.line)));
        }
        let default = strongest.map(|(_, value)| value.as_str());
        default
            .or_else(|| DEFAULTS.iter().find(|(k, _)| *k == key).map(|(_, value)| *value))
            .map(|value| (value, Found::At(Level::Default)))
    }

    /// A setting of the file. Ceph does not find one that is written with dashes; here it stands
    /// in where the section has no other.
    fn in_section(&self, section: &str, key: &str) -> Option<&IniValue> {
        let dashed = || {
            let (_, section) = self.file.sections().find(|(name, _)| *name == section)?;
            let alike = |(k, _): &(&String, _)| k.replace('-', "_") == key;
            section.settings.iter().find(alike).map(|(_, value)| value)
        };
        self.file.get(section, key).or_else(dashed)
    }

    fn parsed<T>(
        &self,
        key: &str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        parse(&value).map(Some).ok_or_else(|| {
            let key = option_key(key);
            let value = if key == "key" { "(hidden)".to_owned() } else { value };
            let origin = self.origin(&key).unwrap_or(Origin::Default);
            ConfigError::BadValue { key, origin, value, expected }
        })
    }

    /// A text of the file or of a search list, its references expanded.
    fn expand(&self, text: &str) -> Zeroizing<String> {
        self.expander(|expander| expander.text(text))
    }

    fn expander<T>(&self, f: impl FnOnce(&mut Expander<'_>) -> T) -> T {
        let meta = |name: &str| self.metavariable(name);
        let option = |name: &str| self.raw(name);
        f(&mut Expander::new(&meta, &option))
    }

    fn metavariable(&self, name: &str) -> Option<String> {
        Some(match name {
            "cluster" => self.cluster.clone(),
            "name" => self.name.to_string(),
            "type" => self.name.entity_type.to_string(),
            "id" | "num" => self.name.id.clone(),
            "host" => match self.raw("host").filter(|host| !host.is_empty()) {
                Some(host) => host.to_owned(),
                None => self.env.host.clone(),
            },
            "pid" => self.env.pid.to_string(),
            "cctid" => std::ptr::from_ref(&*self.file).addr().to_string(),
            // Ceph drops what stands in front of it; that is not followed.
            "home" => self.env.home.clone().unwrap_or_default(),
            _ => return None,
        })
    }
}

impl fmt::Debug for Config {
    /// Without values, for a key may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .field("path", &self.path)
            .field("set", &self.set.keys())
            .finish_non_exhaustive()
    }
}

/// Which option says how a program and its peer talk (`AuthRegistry::get_supported_methods`).
fn con_mode_key(own: EntityType, peer: EntityType) -> &'static str {
    let peer_is_daemon =
        [EntityType::MON, EntityType::MGR, EntityType::MDS, EntityType::OSD].contains(&peer);
    match (own, peer) {
        (EntityType::CLIENT, EntityType::MON) => "ms_mon_client_mode",
        (EntityType::CLIENT, _) => "ms_client_mode",
        (EntityType::MON, EntityType::MON) => "ms_mon_cluster_mode",
        (EntityType::MON, _) => "ms_mon_service_mode",
        _ if peer_is_daemon => "ms_cluster_mode",
        _ => "ms_service_mode",
    }
}

/// An option's name as a program or a command line may write it.
fn option_key(key: &str) -> String {
    normalize_key(key).replace('-', "_")
}

#[cfg(test)]
mod tests;
