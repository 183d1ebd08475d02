use std::fmt;
use std::path::PathBuf;

use crate::ini::FileError;

/// Why there is no configuration, or why an option in it cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Of the files that were asked for none can be opened.
    #[error("none of these files can be opened: {0}")]
    NoFile(String),
    /// Not the name of an entity.
    #[error("{0:?} is not TYPE.ID with one of the types auth, mon, osd, mds, mgr, client")]
    BadName(String),
    /// An option ends the arguments that needs a value behind it.
    #[error("option {0} requires an argument")]
    MissingArgument(String),
    /// The value of an option is not of the form that the option has.
    #[error("{key} from {origin}: {value:?} is not {expected}")]
    BadValue {
        /// The option.
        key: String,
        /// Who set it.
        origin: Origin,
        /// What it was set to.
        value: String,
        /// The form that is expected.
        expected: &'static str,
    },
    /// No monitor is named by `mon host` or by `mon addr` of a `[mon.X]` section.
    #[error(
        "no monitors: set `mon host` (monitors are not looked up by DNS SRV, _ceph-mon._tcp, \
         as Ceph does at this point)"
    )]
    NoMonHost,
    /// An item of `mon host` is neither an address nor a vector of them nor a host name.
    #[error("mon host: {item:?}: {reason}")]
    BadMonHost {
        /// The rest of the list, from the item on.
        item: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Who set an option, from the weakest to the strongest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Ceph's own default.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u32,
    },
    /// `CEPH_KEYRING`.
    Environment,
    /// The command line or `CEPH_ARGS`.
    Arguments,
    /// The program that uses this library.
    Program,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment => f.write_str("the environment"),
            Self::Arguments => f.write_str("the command line or CEPH_ARGS"),
            Self::Program => f.write_str("the program"),
        }
    }
}
