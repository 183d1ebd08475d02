use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::args::Args;
use super::{Config, ConfigError, Env, Level, option_key, value};
use crate::auth::EntityName;
use crate::ini::{self, FileError, Ini};

/// Where Ceph looks when it is told nothing (`CEPH_CONF_FILE_DEFAULT`); `$data_dir/config`, which
/// stands in front of these, is for daemons only.
const DEFAULT_SEARCH: &str = "/etc/ceph/$cluster.conf,$home/.ceph/$cluster.conf,$cluster.conf";

/// How a [`Config`] comes about; what is said here stands above the command line, and that above
/// `CEPH_ARGS`.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ConfigBuilder {
    env: Env,
    args: Vec<Zeroizing<String>>,
    conf: Option<String>,
    cluster: Option<String>,
    name: Option<EntityName>,
    no_config_file: bool,
    set: Vec<(String, Zeroizing<String>)>,
}

impl ConfigBuilder {
    pub(super) fn new(env: Env) -> Self {
        Self { env, ..Self::default() }
    }

    /// The file to read, or several between commas: the first that can be opened is read, and
    /// one must be. `$cluster` and `$home` may be used.
    pub fn conf(mut self, search: impl Into<String>) -> Self {
        self.conf = Some(search.into());
        self
    }

    /// Reads no file at all, whatever the environment says.
    pub fn no_config_file(mut self) -> Self {
        self.no_config_file = true;
        self
    }

    /// The cluster's name: `$cluster`. Without it `x` if the file is `x.conf` and was asked for,
    /// otherwise `ceph`.
    pub fn cluster(mut self, cluster: impl Into<String>) -> Self {
        self.cluster = Some(cluster.into());
        self
    }

    /// Who the program is; `client.admin` without it.
    pub fn name(mut self, name: EntityName) -> Self {
        self.name = Some(name);
        self
    }

    /// Arguments of the program's command line, without the program's own name.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| Zeroizing::new(arg.into())));
        self
    }

    /// Sets an option, above all that files, environment and arguments say.
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set.push((option_key(key), Zeroizing::new(value.into())));
        self
    }

    /// Reads it all. That no file is there is an error only if one was asked for.
    pub fn load(self) -> Result<Config, ConfigError> {
        let mut args = Args::new();
        // Blanks are the only thing that parts arguments there, quotes mean nothing.
        let env_args = self.env.args.as_deref().unwrap_or_default();
        args.parse(env_args.split(' ').filter(|arg| !arg.is_empty()))?;
        args.parse(self.args.iter().map(|arg| arg.as_str()))?;

        let conf = self.conf.or(args.conf).filter(|list| !list.is_empty());
        let env_conf = self.env.conf.clone().filter(|list| !list.is_empty());
        let asked_for = conf.is_some() || env_conf.is_some();
        let mut cluster = self.cluster.or(args.cluster);
        if conf.is_none() {
            cluster = cluster.or_else(|| Some("ceph".to_owned()));
        }
        let mut config = Config {
            name: self.name.unwrap_or(args.name),
            cluster: cluster.clone().unwrap_or_default(),
            env: self.env,
            path: None,
            file: Box::new(Ini::default()),
            set: BTreeMap::new(),
        };
        if !(self.no_config_file || args.no_config_file) {
            let search = conf.or(env_conf).unwrap_or_else(|| DEFAULT_SEARCH.to_owned());
            config.read_first(&search, asked_for)?;
        }
        config.cluster = cluster.unwrap_or_else(|| match &config.path {
            Some(path) if path.extension().is_some_and(|e| e == "conf") => {
                path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
            }
            _ => "ceph".to_owned(),
        });

        for (key, value) in args.defaults {
            config.set_at(Level::Default, key, value);
        }
        if let Some(keyring) = config.env.keyring.clone() {
            config.set_at(Level::Environment, "keyring".to_owned(), Zeroizing::new(keyring));
        }
        for (key, value) in args.set {
            config.set_at(Level::Arguments, key, value);
        }
        if let Some(keyfile) = args.keyfile {
            // Read at once, for so given it stands above a `key` in the file.
            let key = read_keyfile(Path::new(&keyfile))?;
            config.set_at(Level::Arguments, "key".to_owned(), key);
        }
        for (key, value) in self.set {
            config.set_at(Level::Program, key, value);
        }
        Ok(config)
    }
}

impl Config {
    fn read_first(&mut self, search: &str, asked_for: bool) -> Result<(), ConfigError> {
        let mut unreadable = None;
        let mut tried = Vec::new();
        for path in value::paths(search).filter(|path| !path.contains("$data_dir")) {
            let path = PathBuf::from(self.expand(path).as_str());
            match ini::open(&path) {
                Ok(file) => {
                    *self.file = ini::read_ini(file, &path)?;
                    self.path = Some(path);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(source) if unreadable.is_none() => {
                    unreadable = Some(FileError::Read { path: path.clone(), source });
                }
                Err(_) => {}
            }
            tried.push(path.display().to_string());
        }
        match unreadable {
            // The one reason that helps, where there is one.
            Some(e) => Err(e.into()),
            None if asked_for => Err(ConfigError::NoFile(tried.join(", "))),
            None => Ok(()),
        }
    }
}

/// Reads a file that holds a key and nothing else.
pub(super) fn read_keyfile(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let file =
        ini::open(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    ini::read_text(file, path)
}
