use std::env;
use std::fmt;

/// What Ceph takes from the process it runs in. Tests make one up; nothing else in this room
/// looks at the process.
#[derive(Clone, Default)]
pub struct Env {
    /// `CEPH_CONF`: configuration files to look for instead of the default ones.
    pub conf: Option<String>,
    /// `CEPH_ARGS`: arguments in front of those of the command line.
    pub args: Option<String>,
    /// `CEPH_KEYRING`: stands above `keyring` in the file.
    pub keyring: Option<String>,
    /// `HOME`, for `$home`.
    pub home: Option<String>,
    /// The host's name up to its first dot, for `$host`.
    pub host: String,
    /// The process, for `$pid`.
    pub pid: u32,
}

impl Env {
    /// Looks at the environment of this process, once. A variable that is not UTF-8 is as if unset.
    pub fn from_process() -> Self {
        let var = |name| env::var(name).ok();
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy();
        Self {
            conf: var("CEPH_CONF"),
            args: var("CEPH_ARGS"),
            keyring: var("CEPH_KEYRING"),
            home: var("HOME"),
            host: host.split('.').next().unwrap_or_default().to_owned(),
            pid: std::process::id(),
        }
    }
}

impl fmt::Debug for Env {
    /// Without the arguments, for a key may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("conf", &self.conf)
            .field("keyring", &self.keyring)
            .field("home", &self.home)
            .field("host", &self.host)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}
