//! A real cluster on loopback, run by `tests/vstart.sh`.
//!
//! ```ignore
//! let Some(cluster) = Vstart::builder().osds(3).mgr().start() else { return };
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use super::skip;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vstart.sh");

/// A cluster that is up. Stopped when dropped, and at the latest when this process is gone.
#[derive(Debug)]
pub(crate) struct Vstart {
    dir: PathBuf,
    owned: bool,
}

/// Which daemons to start; see the usage of `tests/vstart.sh`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Builder {
    args: Vec<String>,
    needs: Vec<&'static str>,
}

impl Builder {
    /// How many mons instead of one.
    pub(crate) fn mons(self, n: usize) -> Self {
        self.args(["--mons", &n.to_string()])
    }

    /// How many OSDs instead of none.
    pub(crate) fn osds(self, n: usize) -> Self {
        self.args(["--osds", &n.to_string()]).needs("ceph-osd")
    }

    /// With `mgr.x`.
    pub(crate) fn mgr(self) -> Self {
        self.args(["--mgr"]).needs("ceph-mgr")
    }

    /// With `mds.a`, the file system "cephfs", and an OSD if there would be none.
    pub(crate) fn mds(self) -> Self {
        self.args(["--mds"]).needs("ceph-mds").needs("ceph-osd")
    }

    /// No daemon listens for msgr2.
    pub(crate) fn v1_only(self) -> Self {
        self.args(["--v1-only"])
    }

    /// All daemons, and clients that read the same file, allow this one connection mode and no other.
    pub(crate) fn only_mode(self, mode: &str) -> Self {
        let of = ["mon cluster", "mon service", "mon client", "cluster", "service", "client"];
        of.iter().fold(self, |builder, of| builder.conf(&format!("ms {of} mode = {mode}")))
    }

    /// OSDs that still have their data after a restart.
    pub(crate) fn bluestore(self) -> Self {
        self.args(["--bluestore"])
    }

    /// No authentication instead of cephx.
    pub(crate) fn auth_none(self) -> Self {
        self.args(["--auth", "none"])
    }

    /// A line `key = value` for `[global]`.
    pub(crate) fn conf(self, line: &str) -> Self {
        self.args(["--conf", line])
    }

    /// Starts it and waits until it is healthy. `None` if Ceph is not installed here: the test is
    /// then reported as skipped, and must return.
    ///
    /// # Panics
    ///
    /// If it does not become healthy.
    pub(crate) fn start(self) -> Option<Vstart> {
        self.try_start().map_err(|why| skip(&why)).ok()
    }

    fn try_start(self) -> Result<Vstart, String> {
        let tools = ["ceph", "ceph-authtool", "monmaptool", "ceph-mon"];
        if let Some(missing) = tools.iter().chain(&self.needs).find(|tool| !is_installed(tool)) {
            return Err(format!("{missing} is not installed"));
        }
        let dir = tempfile::Builder::new().prefix("vstart-").tempdir().expect("a directory").keep();
        let owner = std::process::id().to_string();
        let output = Command::new(SCRIPT)
            .arg("start")
            .arg(&dir)
            .args(&self.args)
            .args(["--owner", &owner, "--rm"])
            .stdin(Stdio::null())
            .output()
            .expect("tests/vstart.sh can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "vstart.sh start {} failed:\n{stderr}", dir.display());
        Ok(Vstart { dir, owned: true })
    }

    fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.args.extend(args.map(String::from));
        self
    }

    fn needs(mut self, tool: &'static str) -> Self {
        self.needs.push(tool);
        self
    }
}

impl Vstart {
    /// One mon with cephx and nothing else; the builder's methods add to it.
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    /// The cluster that all tests of this binary share: one mon, one mgr, three OSDs, or the vstart
    /// cluster that `CEPH_CONF` names. Who uses it must not stop its daemons, and deletes what he made.
    pub(crate) fn shared() -> Option<&'static Self> {
        // A static is never dropped; the cluster ends because its owner, this process, is gone.
        static SHARED: OnceLock<Result<Vstart, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| match std::env::var_os("CEPH_CONF") {
            Some(conf) => Self::existing(&conf),
            None => Self::builder().mgr().osds(3).try_start(),
        });
        shared.as_ref().map_err(|why| skip(why)).ok()
    }

    fn existing(conf: &OsString) -> Result<Self, String> {
        let conf = Path::new(conf).canonicalize().map_err(|e| format!("CEPH_CONF: {e}"))?;
        let dir = conf.parent().expect("a file is in a directory").to_path_buf();
        if !dir.join("daemons").exists() {
            return Err(format!("CEPH_CONF: {} is not of tests/vstart.sh", conf.display()));
        }
        Ok(Self { dir, owned: false })
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its `ceph.conf`, which also names the keyring of client.admin.
    pub(crate) fn conf(&self) -> PathBuf {
        self.dir.join("ceph.conf")
    }

    /// The keyring of client.admin.
    pub(crate) fn keyring(&self) -> PathBuf {
        self.dir.join("keyring")
    }

    /// Starts a daemon that was killed; ends it before if it still runs.
    pub(crate) fn restart(&self, daemon: &str) {
        self.script("restart", &[daemon]);
    }

    /// Sends a signal; if that is KILL, TERM or INT, returns when the daemon is gone.
    pub(crate) fn signal(&self, daemon: &str, signal: &str) {
        self.script("kill", &[daemon, signal]);
    }

    /// Waits until it is healthy (again), a minute at most.
    pub(crate) fn wait_healthy(&self) {
        self.script("wait", &[]);
    }

    /// The process of a daemon, if it runs.
    pub(crate) fn pid(&self, daemon: &str) -> Option<u32> {
        let output = self.run("pid", &[daemon]);
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }

    /// Runs the distribution's `ceph` against it, for half a minute at most.
    pub(crate) fn ceph(&self, args: &[&str]) -> Output {
        self.tool("ceph", args)
    }

    /// What `ceph ... -f json` answers.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub(crate) fn ceph_json(&self, args: &[&str]) -> serde_json::Value {
        let output = self.ceph(&[args, &["-f", "json"]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ceph {args:?}: {}: {stderr}", output.status);
        serde_json::from_slice(&output.stdout).expect("json")
    }

    /// Another tool that takes `-c CONF`, such as `rados`.
    pub(crate) fn tool(&self, tool: &str, args: &[&str]) -> Output {
        Command::new("timeout")
            .args(["-k", "5", "30", tool, "-c"])
            .arg(self.conf())
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("timeout can be run")
    }

    fn script(&self, command: &str, args: &[&str]) {
        let output = self.run(command, args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "vstart.sh {command} {args:?} failed:\n{stderr}");
    }

    fn run(&self, command: &str, args: &[&str]) -> Output {
        Command::new(SCRIPT)
            .arg(command)
            .arg(&self.dir)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("tests/vstart.sh can be run")
    }
}

impl Drop for Vstart {
    fn drop(&mut self) {
        if !self.owned {
            return;
        }
        let output = self.run("stop", &[]);
        if !output.status.success() {
            eprintln!("vstart.sh stop: {}", String::from_utf8_lossy(&output.stderr));
        }
        // The logs may tell why a test failed.
        if std::thread::panicking() {
            eprintln!("the cluster's logs: {}", self.dir.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(tool).is_file())
}
