//! What the tests against a running cluster have in common.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use ceph_msgr::auth::ConMode;
use ceph_msgr::cluster::ClusterBuilder;
use ceph_msgr::net::Deadline;
use ceph_msgr::types::{AddrType, Msgr};
use ceph_msgr::{Cluster, Command, Error};
use serde_json::Value;

use super::vstart::Vstart;

/// Enough for anything that is to succeed, on a machine that is busy.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// For calls that are to run out of time.
pub(crate) const SHORT: Duration = Duration::from_secs(1);
/// How much later than its deadline a call may return, on a machine that is busy.
const SLACK: Duration = Duration::from_secs(10);

/// What is spoken with the daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    V1,
    V2Crc,
    V2Secure,
}

impl Spoken {
    pub(crate) const ALL: [Self; 3] = [Self::V1, Self::V2Crc, Self::V2Secure];

    /// The type of the addresses that are dialled.
    pub(crate) fn addr_type(self) -> AddrType {
        match self {
            Self::V1 => AddrType::LEGACY,
            Self::V2Crc | Self::V2Secure => AddrType::MSGR2,
        }
    }

    /// The builder of a handle that speaks nothing else.
    pub(crate) fn by(self, builder: ClusterBuilder) -> ClusterBuilder {
        match self {
            Self::V1 => builder.msgr(Msgr::V1),
            Self::V2Crc => builder.msgr(Msgr::V2).con_modes(&[ConMode::Crc]),
            Self::V2Secure => builder.msgr(Msgr::V2).con_modes(&[ConMode::Secure]),
        }
    }

    /// A handle of client.admin.
    ///
    /// # Panics
    ///
    /// If there is no session with a monitor within a minute.
    pub(crate) fn connect(self, vstart: &Vstart) -> Cluster {
        self.by(builder(vstart)).connect().expect("a session with the monitors")
    }
}

/// For the cluster's client.admin, with a deadline that is not meant to pass.
pub(crate) fn builder(vstart: &Vstart) -> ClusterBuilder {
    Cluster::builder().conf(vstart.conf()).timeout(LONG)
}

/// A handle of client.admin.
///
/// # Panics
///
/// If there is no session with a monitor within a minute.
pub(crate) fn connect(vstart: &Vstart) -> Cluster {
    builder(vstart).connect().expect("a session with the monitors")
}

/// A deadline that is not meant to pass.
pub(crate) fn long() -> Deadline {
    Deadline::after(LONG)
}

/// Looks at something outside of this process until it is as wanted.
///
/// # Panics
///
/// After a minute.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a call that must fail says, provided that it ends not long after `limit`.
///
/// # Panics
///
/// If it succeeds, or hangs.
pub(crate) fn fails_within<T>(
    limit: Duration,
    call: impl FnOnce() -> ceph_msgr::Result<T>,
) -> Error {
    let begin = Instant::now();
    let outcome = call();
    let took = begin.elapsed();
    let Err(e) = outcome else { panic!("it succeeded after {took:?}") };
    assert!(took < limit + SLACK, "{took:?}, which is more than {limit:?}: {e}");
    e
}

/// Checks that a text has all of these in it.
///
/// # Panics
///
/// If not.
#[track_caller]
pub(crate) fn assert_says(text: impl ToString, parts: &[&str]) {
    let text = text.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// The output of a command of the monitors that answers with JSON.
pub(crate) fn mon_json(cluster: &Cluster, cmd: Command) -> Value {
    let output = cluster.mon_command(&cmd.arg("format", "json")).expect("it succeeds");
    serde_json::from_slice(&output.outbl).expect("json")
}

/// `osd set noout` or another flag: makes a new epoch of the OSD map.
pub(crate) fn osd_flag(cluster: &Cluster, set: bool, flag: &str) {
    let cmd = Command::new(if set { "osd set" } else { "osd unset" }).arg("key", flag);
    cluster.mon_command(&cmd).expect("a flag");
}

/// A daemon that is stopped by SIGSTOP, for as long as this lives.
pub(crate) struct Stopped<'a> {
    vstart: &'a Vstart,
    daemon: &'a str,
}

impl<'a> Stopped<'a> {
    pub(crate) fn new(vstart: &'a Vstart, daemon: &'a str) -> Self {
        vstart.signal(daemon, "STOP");
        Self { vstart, daemon }
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.vstart.signal(self.daemon, "CONT");
    }
}

/// A port of loopback at which somebody listens and does as he likes with each connection.
pub(crate) struct Peer {
    port: u16,
}

impl Peer {
    /// `f` is called with each connection; it is kept open for as long as `f` keeps it.
    pub(crate) fn new(mut f: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        // It ends with the process: nothing wakes an accept(2).
        thread::spawn(move || listener.incoming().flatten().for_each(&mut f));
        Self { port }
    }

    /// Takes connections, and never says a word.
    pub(crate) fn black_hole() -> Self {
        let mut kept = Vec::new();
        Self::new(move |stream| kept.push(stream))
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// As `mon host` names it.
    pub(crate) fn mon_host(&self) -> String {
        format!("v1:127.0.0.1:{}", self.port)
    }
}

/// A port at which nobody listens.
pub(crate) fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
