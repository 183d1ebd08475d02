//! What `openssl s_client` is for TLS: connects to a Ceph daemon without a key and tells what it
//! sees, step by step, and which step failed.
//!
//! ```text
//! $ cargo run --example probe -- 127.0.0.1:6789
//! ```
//!
//! It opens several connections, each to learn one thing: the hello; the kind of daemon and the
//! features that it demands, by offering none; those that it supports; whether it opens a session
//! without a proof; which protocols of authentication a monitor takes. What a daemon demands only of
//! those who show a ticket (CEPHX_V2) stays unseen. It drives the machine of `ceph_msgr::msgr::v1`
//! by hand; `RUST_LOG=trace` shows its frames.

mod link;
mod report;
mod steps;
mod target;

use std::process::ExitCode;
use std::time::Duration;

use ceph_msgr::types::EntityType;
use clap::Parser;

use report::Report;
use steps::Probe;
use target::Target;

/// Connects to a Ceph daemon over messenger v1, without a key, and tells what it sees.
///
/// The exit code is 0 if every step passed, 1 if one failed, 2 for a wrong command line.
#[derive(Debug, Parser)]
#[command(name = "probe")]
struct Args {
    /// The kind of daemon; found out by its protocol version if not given.
    #[arg(long = "type", value_name = "mon|osd|mds|mgr", value_parser = kind)]
    kind: Option<EntityType>,

    /// How long a step may take.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,

    /// Print one JSON object at the end instead of lines.
    #[arg(long)]
    json: bool,

    /// [v1:]IP[:PORT][/NONCE] as a map has it, or HOST[:PORT]; the port is 6789 if not given.
    addr: Target,
}

fn kind(s: &str) -> Result<EntityType, String> {
    match s.parse() {
        Ok(t @ (EntityType::MON | EntityType::OSD | EntityType::MDS | EntityType::MGR)) => Ok(t),
        _ => Err("mon, osd, mds or mgr is expected".to_owned()),
    }
}

fn seconds(s: &str) -> Result<Duration, String> {
    let d = s.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    d.filter(|d| !d.is_zero()).ok_or_else(|| "a number above 0 is expected".to_owned())
}

fn main() -> ExitCode {
    env_logger::init();
    let args = Args::parse();
    let report = Report::new(args.json, &args.addr.to_string());
    let report = Probe::new(args.addr, args.kind, args.timeout, report).run();
    if report.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
