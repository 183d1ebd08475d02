//! Captures on loopback, by tshark.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, ChildStdout, Command as Process, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::vstart::Vstart;

const PATIENCE: Duration = Duration::from_secs(30);

/// Below the ephemeral ones, as `tests/vstart.sh` chooses them.
pub(crate) fn is_daemon_port(port: u16) -> bool {
    port < 32768
}

/// The ports of the cluster's daemons, and the markers.
pub(crate) fn filter(cluster: &Vstart) -> String {
    let block = fs::read_to_string(cluster.dir().join("block")).expect("the cluster's ports");
    let block = block.trim();
    format!("tcp portrange {block}00-{block}99 or udp")
}

/// The local ports of this process' TCP connections to daemons.
pub(crate) fn own_ports() -> BTreeSet<u16> {
    let fds = fs::read_dir("/proc/self/fd").expect("/proc");
    let links = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    let links: BTreeSet<_> = links.map(|link| link.display().to_string()).collect();
    let port = |addr: &str| u16::from_str_radix(addr.rsplit(':').next()?, 16).ok();
    let table = fs::read_to_string("/proc/self/net/tcp").expect("/proc");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| links.contains(&format!("socket:[{}]", row[9])))
        .filter(|row| port(row[2]).is_some_and(|port| port != 0 && is_daemon_port(port)))
        .filter_map(|row| port(row[1]))
        .collect()
}

/// A capture that is running. Datagrams to ourselves show it: one that is in the capture says that
/// everything later is, and one at the end that everything before is.
pub(crate) struct Capture {
    tshark: Child,
    /// The UDP ports of what has been captured.
    seen: Receiver<u16>,
    marker: UdpSocket,
}

impl Capture {
    pub(crate) fn start(filter: &str, file: &Path) -> Result<Self, String> {
        let mut tshark = Process::new("tshark")
            .args(["-i", "lo", "-f", filter, "-P", "-l", "-T", "fields", "-e", "udp.dstport"])
            .arg("-w")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("tshark: {e}"))?;
        let stdout = tshark.stdout.take().expect("it is piped");
        let mut capture = Self { seen: ports(stdout), tshark, marker: marker() };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            capture.mark();
            match capture.await_marker(Duration::from_millis(100)) {
                Ok(()) => return Ok(capture),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let mut why = String::new();
                    let stderr = capture.tshark.stderr.take();
                    let _ = stderr.expect("it is piped").read_to_string(&mut why);
                    let why = why.lines().last().unwrap_or("it ended").to_owned();
                    return Err(format!("tshark cannot capture here: {why}"));
                }
            }
        }
        panic!("tshark captures nothing");
    }

    pub(crate) fn stop(mut self) {
        // Another port, for markers of the start may still be under way.
        self.marker = marker();
        self.mark();
        self.await_marker(PATIENCE).expect("the last packet is captured");
        kill_process(Pid::from_child(&self.tshark), Signal::INT).expect("it runs");
        self.tshark.wait().expect("it ends");
    }

    fn mark(&self) {
        let own = self.marker.local_addr().expect("it is bound");
        self.marker.send_to(b"marker", own).expect("loopback");
    }

    fn await_marker(&self, patience: Duration) -> Result<(), RecvTimeoutError> {
        let own = self.marker.local_addr().expect("it is bound").port();
        while self.seen.recv_timeout(patience)? != own {}
        Ok(())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Where it has been stopped these do nothing.
        let _ = self.tshark.kill();
        let _ = self.tshark.wait();
    }
}

fn marker() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").expect("loopback")
}

/// A line for each packet, empty unless it is UDP.
fn ports(stdout: ChildStdout) -> Receiver<u16> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Ok(port) = line.trim().parse() {
                let _ = sender.send(port);
            }
        }
    });
    receiver
}

/// What tshark prints of a capture.
pub(crate) fn tshark(file: &Path, args: &[&str]) -> String {
    let output = Process::new("tshark").arg("-r").arg(file).args(args).output().expect("tshark");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("utf-8")
}
