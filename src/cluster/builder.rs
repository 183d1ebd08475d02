use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Cluster;
use crate::auth::keyring::KeyringError;
use crate::auth::{AuthClient, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, EntityName};
use crate::config::{Config, ConfigBuilder, Env, MonAddr, MonHost};
use crate::crypto::CryptoKey;
use crate::error::{Error, ErrorKind, Result};
use crate::mon::{HuntOptions, MonClient, MonTarget};
use crate::msgr::Options;
use crate::net::{Deadline, Messenger, Resolver, Timeouts};
use crate::types::EntityType;

/// How long connecting, and each call, may take where nothing else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Says which cluster to open, and as whom. What is not said comes from the environment and from
/// ceph.conf, as for Ceph's own programs.
#[derive(Debug)]
pub struct ClusterBuilder {
    config: ConfigBuilder,
    given: Option<Config>,
    key: Option<CryptoKey>,
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    timeouts: Timeouts,
    options: Options,
    hunt: HuntOptions,
}

impl ClusterBuilder {
    pub(super) fn new() -> Self {
        Self {
            config: Config::builder(Env::from_process()),
            given: None,
            key: None,
            timeout: None,
            connect_timeout: None,
            timeouts: Timeouts::default(),
            options: Options::default(),
            hunt: HuntOptions::default(),
        }
    }

    fn configure(mut self, f: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Self {
        self.config = f(self.config);
        self
    }

    /// Reads this ceph.conf, and no other.
    #[must_use]
    pub fn conf(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_string_lossy().into_owned();
        self.configure(|c| c.conf(path))
    }

    /// Reads no ceph.conf: everything is said here.
    #[must_use]
    pub fn no_config_file(self) -> Self {
        self.configure(ConfigBuilder::no_config_file)
    }

    /// Uses a configuration that was loaded before; `conf`, `name` and `set` count no more.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.given = Some(config);
        self
    }

    /// Who this program is; `client.admin` if nobody says.
    #[must_use]
    pub fn name(self, name: EntityName) -> Self {
        self.configure(|c| c.name(name))
    }

    /// The monitors, as `mon host` has them.
    #[must_use]
    pub fn mon_host(self, mon_host: &str) -> Self {
        self.set("mon_host", mon_host)
    }

    /// The file with the key.
    #[must_use]
    pub fn keyring(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_string_lossy().into_owned();
        self.set("keyring", &path)
    }

    /// The key itself.
    #[must_use]
    pub fn key(mut self, key: CryptoKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets an option, above the file and the environment.
    #[must_use]
    pub fn set(self, option: &str, value: &str) -> Self {
        self.configure(|c| c.set(option, value))
    }

    /// How long connecting and each call may take; otherwise `rados mon op timeout` if it is
    /// set, and 30 seconds if not.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long connecting may take; otherwise `client mount timeout` if it is set, and what
    /// `timeout` says if not.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// The time-outs of single steps, below those of calls.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Features, checksums and signatures of all connections.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// How monitors are looked for.
    #[must_use]
    pub fn hunt(mut self, hunt: HuntOptions) -> Self {
        self.hunt = hunt;
        self
    }

    /// Finds a monitor and logs in.
    pub fn connect(self) -> Result<Cluster> {
        let config = match self.given {
            Some(config) => config,
            None => self.config.load().map_err(config_error)?,
        };
        let seconds = |option: &str| match config.get_duration(option) {
            Ok(d) => Ok(d.filter(|d| !d.is_zero())),
            Err(e) => Err(config_error(e)),
        };
        let timeout = match self.timeout {
            Some(timeout) => timeout,
            None => seconds("rados_mon_op_timeout")?.unwrap_or(DEFAULT_TIMEOUT),
        };
        let connect_timeout = match self.connect_timeout.or(self.timeout) {
            Some(timeout) => timeout,
            None => seconds("client_mount_timeout")?.unwrap_or(timeout),
        };
        let deadline = Deadline::after(connect_timeout);
        let (auth, keyless) = auth_client(&config, self.key)?;
        let targets = resolve(config.mon_hosts().map_err(config_error)?, deadline)?;
        let messenger = Messenger::new(EntityType::CLIENT, self.options, self.timeouts)?;
        let mon = MonClient::new(messenger.clone(), auth.clone(), targets, self.hunt)?;
        let cluster = Cluster::new(messenger, auth, mon, timeout);
        match (cluster.mon().authenticate(deadline), keyless) {
            (Ok(()), _) => Ok(cluster),
            // It was tried without a key, and that is why it failed.
            (Err(e), Some(why)) if e.kind() == ErrorKind::Auth => {
                let text = format!("{why}; without a key: {e}");
                Err(why.told_as(ErrorKind::Config, text))
            }
            (Err(e), _) => Err(e),
        }
    }
}

fn config_error(e: crate::config::ConfigError) -> Error {
    Error::new(ErrorKind::Config, e.to_string()).with_source(e)
}

/// Name, key and methods of the entity; and why there is no key, where it may go without.
fn auth_client(
    config: &Config,
    key: Option<CryptoKey>,
) -> Result<(Arc<AuthClient>, Option<Error>)> {
    let methods: Vec<u32> = config
        .auth_client_methods()
        .iter()
        .filter_map(|method| match method.as_str() {
            "cephx" => Some(CEPH_AUTH_CEPHX),
            "none" => Some(CEPH_AUTH_NONE),
            _ => None,
        })
        .collect();
    let (key, keyless) = match key {
        None if methods.contains(&CEPH_AUTH_CEPHX) => match find_key(config) {
            Ok(key) => (Some(key), None),
            // A cluster that lets everybody in needs no key.
            Err(e) if methods.contains(&CEPH_AUTH_NONE) => (None, Some(e)),
            Err(e) => return Err(e),
        },
        key => (key, None),
    };
    let services = [EntityType::MON, EntityType::OSD, EntityType::MDS, EntityType::MGR];
    let client = AuthClient::new(config.name().clone(), key, &methods, &services)
        .map_err(|e| Error::new(ErrorKind::Auth, e.to_string()).with_source(e))?;
    Ok((Arc::new(client), keyless))
}

/// The key that `key`, `keyfile` or the keyrings have for the entity.
fn find_key(config: &Config) -> Result<CryptoKey> {
    let broken = |e: KeyringError| Error::new(ErrorKind::Config, e.to_string()).with_source(e);
    config.keyring().map_err(broken)?.key(config.name()).cloned().map_err(broken)
}

/// The monitors' addresses of messenger v1.
fn resolve(hosts: Vec<MonHost>, deadline: Deadline) -> Result<Vec<MonTarget>> {
    let resolver = Resolver::default();
    let mut targets = Vec::new();
    let mut failed = None;
    let mut only_v2 = None;
    for host in hosts {
        let resolved = match &host.at {
            MonAddr::Addrs(_) => vec![host],
            MonAddr::Host { host: name, port } => {
                match resolver.resolve(name, *port, deadline) {
                    Ok(addrs) => {
                        let ips: Vec<_> = addrs.iter().map(|a| a.ip()).collect();
                        host.resolved(&ips)
                    }
                    Err(e) => {
                        // One monitor that is not found does not keep us from the others.
                        log::warn!("{e}");
                        failed = Some(e);
                        continue;
                    }
                }
            }
        };
        for mon in resolved {
            let MonAddr::Addrs(addrs) = mon.at else { continue };
            match addrs.legacy() {
                Some(addr) => targets.push(MonTarget { rank: targets.len(), addr }),
                None => only_v2 = Some(addrs),
            }
        }
    }
    match (targets.is_empty(), failed, only_v2) {
        (false, ..) => Ok(targets),
        (_, Some(e), _) => Err(e),
        (_, _, Some(addrs)) => Err(Error::new(
            ErrorKind::Config,
            format!("mon host has no address of messenger v1, only {addrs}"),
        )),
        _ => Err(Error::new(ErrorKind::Config, "mon host names no monitor")),
    }
}
