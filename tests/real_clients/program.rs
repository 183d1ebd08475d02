//! Ceph's programs, each with a configuration of its own.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ceph_msgr::auth::ConMode;
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::testing::{Mon, MonitorBuilder};
use ceph_msgr::types::Msgr;
use tempfile::TempDir;

/// Whether there is such a program; says so if not.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(program).exists());
    if !found {
        super::common::skip(&format!("{program} is not installed"));
    }
    found
}

/// How Ceph's programs speak with the scripted peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    V1,
    /// Messenger v2 in that mode.
    V2(ConMode),
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::V1, Self::V2(ConMode::Crc), Self::V2(ConMode::Secure)];

    /// A monitor to which they come that way. It takes either mode, so which one it becomes is theirs.
    pub(crate) fn mon(self) -> MonitorBuilder {
        Mon::builder().msgr(match self {
            Self::V1 => Msgr::V1,
            Self::V2(_) => Msgr::Auto,
        })
    }

    pub(crate) fn con_mode(self) -> Option<ConMode> {
        match self {
            Self::V1 => None,
            Self::V2(mode) => Some(mode),
        }
    }

    /// Lines of a ceph.conf.
    fn conf(self) -> String {
        match self {
            Self::V1 => "ms_bind_msgr2 = false\n".to_owned(),
            Self::V2(mode) => ["cluster", "service", "client"]
                .map(|with| format!("ms_{with}_mode = {mode}\nms_mon_{with}_mode = {mode}\n"))
                .concat(),
        }
    }
}

/// A directory with a ceph.conf and a keyring.
#[derive(Debug)]
pub(crate) struct Site(TempDir);

/// What a program printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

/// A program that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    child: Child,
    site: &'a Site,
}

impl Site {
    /// For the clients of that monitor, which speak with it, and listen, in that way.
    pub(crate) fn of(mon: &Mon, way: Way) -> Self {
        Self::new(&mon.mon_host(), mon.monitor().keyring(), way)
    }

    pub(crate) fn new(mon_host: &str, keyring: &Keyring, way: Way) -> Self {
        let site = Self(TempDir::new().expect("a directory"));
        site.file("keyring", &keyring.to_text());
        let dir = site.0.path().display();
        fs::create_dir(site.0.path().join("data")).expect("a directory");
        let conf = format!(
            "[global]\n\
             mon_host = {mon_host}\n\
             keyring = {dir}/keyring\n\
             log_file = {dir}/$name.log\n\
             admin_socket =\n\
             pid_file =\n\
             run_dir = {dir}\n\
             crash_dir = {dir}\n\
             {}\
             public_addr = 127.0.0.1\n\
             cluster_addr = 127.0.0.1\n\
             osd_data = {dir}/data\n\
             osd_objectstore = memstore\n\
             memstore_device_bytes = 64M\n",
            way.conf()
        );
        site.file("ceph.conf", &conf);
        site
    }

    /// Writes a file, and says where.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn conf(&self) -> String {
        self.0.path().join("ceph.conf").to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn keyring(&self) -> String {
        self.0.path().join("keyring").to_str().expect("UTF-8").to_owned()
    }

    /// Runs one of Ceph's programs with this configuration, for at most a minute.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Run {
        self.run_bare(program, &[&["-c", &self.conf()], args].concat())
    }

    /// The same without saying where the configuration is.
    pub(crate) fn run_bare(&self, program: &str, args: &[&str]) -> Run {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "60", program]).args(args).stdin(Stdio::null());
        let output = without_env(&mut command).output().expect("timeout(1) runs");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Run {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            code: output.status.code(),
        }
    }

    /// Starts a program; one of Ceph's gets this configuration. What it prints goes to files.
    pub(crate) fn spawn(&self, program: &str, args: &[&str]) -> Running<'_> {
        let mut command = Command::new(program);
        if program.starts_with("ceph") {
            command.args(["-c", &self.conf()]);
        }
        let to = |name: &str| File::create(self.0.path().join(name)).expect("a file");
        command.args(args).stdin(Stdio::null()).stdout(to("stdout")).stderr(to("stderr"));
        let child = without_env(&mut command).spawn().expect("it starts");
        Running { child, site: self }
    }

    fn read(&self, name: &str) -> String {
        let path: &Path = self.0.path();
        String::from_utf8_lossy(&fs::read(path.join(name)).expect("the file")).into_owned()
    }
}

impl Running<'_> {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&self) -> String {
        self.site.read("stdout")
    }

    pub(crate) fn stderr(&self) -> String {
        self.site.read("stderr")
    }

    /// The exit code, if it has ended; `Some(None)` for one that a signal ended.
    pub(crate) fn code(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().expect("it is a child").map(|status| status.code())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn without_env(command: &mut Command) -> &mut Command {
    command.env_remove("CEPH_ARGS").env_remove("CEPH_CONF").env_remove("CEPH_KEYRING")
}
