use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Cluster;
use super::targets::resolve;
use crate::auth::keyring::KeyringError;
use crate::auth::{AuthClient, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, ConMode, EntityName};
use crate::config::{Config, ConfigBuilder, Env, MsMode, Origin};
use crate::crypto::CryptoKey;
use crate::error::{Error, ErrorKind, Result};
use crate::mon::{HuntOptions, MonClient};
use crate::msgr::Options;
use crate::net::{Deadline, Messenger, Timeouts};
use crate::types::{EntityType, Msgr};

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
    msgr: Option<Msgr>,
    con_modes: Option<Vec<ConMode>>,
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
            msgr: None,
            con_modes: None,
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

    /// Features, checksums and signatures of all connections. The modes in it do not count, for
    /// they are what [`con_modes`](Self::con_modes) or the configuration says.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Which messenger is spoken with monitors and daemons; otherwise what `ms mode` says
    /// ([`Config::ms_mode`]), and that of the options if nothing does. Where only secure mode is
    /// allowed messenger v1 is never spoken.
    #[must_use]
    pub fn msgr(mut self, msgr: Msgr) -> Self {
        self.msgr = Some(msgr);
        self
    }

    /// The connection modes of messenger v2 that are allowed with everybody, the best first;
    /// otherwise what `ms mode` says, and `ms mon client mode` and `ms client mode` if nothing does.
    #[must_use]
    pub fn con_modes(mut self, modes: &[ConMode]) -> Self {
        self.con_modes = Some(modes.to_vec());
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
        let options = with_modes(self.options, self.msgr, self.con_modes.as_deref(), &config)?;
        let (auth, keyless) = auth_client(&config, self.key)?;
        let targets = resolve(config.mon_hosts().map_err(config_error)?, &options, deadline)?;
        let messenger = Messenger::new(EntityType::CLIENT, options, self.timeouts)?;
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

/// The options, with messenger and connection modes as the program or the configuration has them.
fn with_modes(
    options: Options,
    msgr: Option<Msgr>,
    con_modes: Option<&[ConMode]>,
    config: &Config,
) -> Result<Options> {
    let ms_mode = config.ms_mode().map_err(config_error)?;
    let modes = |peer| match (con_modes, ms_mode) {
        (Some([]), _) => Err(Error::new(ErrorKind::Config, "no connection mode is allowed")),
        (Some(modes), _) => Ok(ConMode::list(modes)),
        (None, Some(ms_mode)) => Ok(ms_mode.con_modes()),
        (None, None) => {
            let modes = config.con_modes(EntityType::CLIENT, peer).map_err(config_error)?;
            Ok(ConMode::list(&modes))
        }
    };
    Ok(Options {
        msgr: msgr.or_else(|| ms_mode.map(MsMode::msgr)).unwrap_or(options.msgr),
        mon_modes: modes(EntityType::MON)?,
        modes: modes(EntityType::OSD)?,
        ..options
    })
}

/// Name, key and methods of the entity; and why there is no key, where it may go without.
fn auth_client(
    config: &Config,
    key: Option<CryptoKey>,
) -> Result<(Arc<AuthClient>, Option<Error>)> {
    let mut methods: Vec<u32> = config
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
    // Who has a key and does not ask for `none` is not to be talked into it.
    let asked = ["auth_supported", "auth_client_required"].map(|option| config.origin(option));
    if key.is_some() && asked.iter().all(|o| matches!(o, None | Some(Origin::Default))) {
        methods.retain(|method| *method != CEPH_AUTH_NONE);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use ConMode::{Crc, Secure};

    /// What messenger is spoken with everybody, and in which modes with the monitors and others.
    fn chosen(
        conf: &[(&str, &str)],
        msgr: Option<Msgr>,
        con_modes: Option<&[ConMode]>,
    ) -> Result<(Msgr, Vec<ConMode>, Vec<ConMode>)> {
        let builder = Config::builder(Env::default()).no_config_file();
        let config = conf.iter().fold(builder, |c, (option, value)| c.set(option, *value));
        let options = Options { msgr: Msgr::Auto, ..Options::default() };
        let options = with_modes(options, msgr, con_modes, &config.load().unwrap())?;
        Ok((options.msgr, options.mon_modes.to_vec(), options.modes.to_vec()))
    }

    #[test]
    fn the_program_stands_above_ms_mode_and_that_above_the_others() {
        let defaults = (Msgr::Auto, vec![Secure, Crc], vec![Crc, Secure]);
        assert_eq!(chosen(&[], None, None).unwrap(), defaults);
        let ceph = [("ms mon client mode", "crc"), ("ms client mode", "secure crc")];
        let modes = (Msgr::Auto, vec![Crc], vec![Secure, Crc]);
        assert_eq!(chosen(&ceph, None, None).unwrap(), modes);
        let kernel = [&ceph[..], &[("ms mode", "secure")]].concat();
        assert_eq!(chosen(&kernel, None, None).unwrap(), (Msgr::V2, vec![Secure], vec![Secure]));
        let kernel = [&ceph[..], &[("ms mode", "legacy")]].concat();
        assert_eq!(chosen(&kernel, None, None).unwrap(), (Msgr::V1, vec![Crc], vec![Crc]));
        let kernel = [&ceph[..], &[("ms mode", "prefer-secure")]].concat();
        let both = vec![Secure, Crc];
        assert_eq!(chosen(&kernel, None, None).unwrap(), (Msgr::V2, both.clone(), both.clone()));
        assert_eq!(
            chosen(&kernel, Some(Msgr::Auto), Some(&[Crc])).unwrap(),
            (Msgr::Auto, vec![Crc], vec![Crc])
        );
        assert_eq!(chosen(&kernel, Some(Msgr::V1), None).unwrap(), (Msgr::V1, both.clone(), both));
        let twice = [Secure, Secure, Crc];
        assert_eq!(chosen(&[], None, Some(&twice)).unwrap().1, [Secure, Crc]);
    }

    #[test]
    fn what_cannot_be_said_of_modes_is_an_error() {
        for (conf, says) in [
            (&[("ms mode", "v2")][..], "ms_mode"),
            (&[("ms client mode", "legacy")], "ms_client_mode"),
            (&[("ms mon client mode", ";")], "ms_mon_client_mode"),
        ] {
            let e = chosen(conf, None, None).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Config);
            assert!(e.to_string().contains(says), "{e}");
        }
        let e = chosen(&[], None, Some(&[])).unwrap_err();
        assert_eq!(
            (e.kind(), e.to_string().as_str()),
            (ErrorKind::Config, "no connection mode is allowed")
        );
    }

    /// What an AUTH_BAD_METHOD says is signed by nobody.
    #[test]
    fn who_has_a_key_goes_without_it_only_where_that_was_said() {
        let key = || CryptoKey::generate(crate::crypto::KeyType::Aes, Default::default()).unwrap();
        for (option, key, methods) in [
            (None, Some(key()), vec![CEPH_AUTH_CEPHX]),
            (Some("cephx, none"), Some(key()), vec![CEPH_AUTH_NONE, CEPH_AUTH_CEPHX]),
            (None, None, vec![CEPH_AUTH_NONE]),
            (Some("none"), None, vec![CEPH_AUTH_NONE]),
        ] {
            let builder = Config::builder(Env::default()).no_config_file();
            let builder = builder.set("keyring", "/nowhere");
            let builder = match option {
                Some(methods) => builder.set("auth_client_required", methods),
                None => builder,
            };
            let (client, _) = auth_client(&builder.load().unwrap(), key).unwrap();
            assert_eq!(client.start().0.methods(), methods, "{option:?}");
        }
    }
}
