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
//!
//! Which messenger is spoken, the first bytes of the peer tell. Of one that speaks v2 there is more to
//! be seen without a key: the revisions of its frames and whether it compresses, what it is, and all
//! methods and modes that it allows, for it lists them to whoever offers a method that there is not.

mod link;
mod report;
mod steps;
mod target;
mod v2_link;
mod v2_steps;

use std::process::ExitCode;
use std::time::Duration;

use ceph_msgr::auth::ConMode;
use ceph_msgr::types::{EntityType, Msgr, MsgrParseError};
use clap::Parser;

use report::Report;
use steps::Probe;
use target::Target;

/// Connects to a Ceph daemon without a key, and tells what it sees.
///
/// The exit code is 0 if every step passed, 1 if one failed, 2 for a wrong command line.
#[derive(Debug, Parser)]
#[command(name = "probe")]
struct Args {
    /// Which messenger to speak: v1, v2, or auto for the one that the peer begins with.
    #[arg(long, value_name = "v1|v2|auto", value_parser = msgr)]
    msgr: Option<Msgr>,

    /// Offer this mode of messenger v2 alone.
    #[arg(long, value_name = "crc|secure", value_parser = ms_mode)]
    ms_mode: Option<ConMode>,

    /// The kind of daemon; found out by what it says if not given.
    #[arg(long = "type", value_name = "mon|osd|mds|mgr", value_parser = kind)]
    kind: Option<EntityType>,

    /// How long a step may take.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,

    /// Print one JSON object at the end instead of lines.
    #[arg(long)]
    json: bool,

    /// [v1:|v2:]IP[:PORT][/NONCE] as a map has it, or HOST[:PORT]; if not given, the port is 6789, or
    /// 3300 with v2.
    addr: Target,
}

fn kind(s: &str) -> Result<EntityType, String> {
    match s.parse() {
        Ok(t @ (EntityType::MON | EntityType::OSD | EntityType::MDS | EntityType::MGR)) => Ok(t),
        _ => Err("mon, osd, mds or mgr is expected".to_owned()),
    }
}

fn msgr(s: &str) -> Result<Msgr, MsgrParseError> {
    s.parse()
}

fn ms_mode(s: &str) -> Result<ConMode, String> {
    ConMode::from_name(s).ok_or_else(|| "crc or secure is expected".to_owned())
}

fn seconds(s: &str) -> Result<Duration, String> {
    let d = s.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    d.filter(|d| !d.is_zero()).ok_or_else(|| "a number above 0 is expected".to_owned())
}

fn main() -> ExitCode {
    env_logger::init();
    let Args { msgr, ms_mode, kind, timeout, json, mut addr } = Args::parse();
    let msgr = match (msgr.filter(|msgr| *msgr != Msgr::Auto), addr.msgr) {
        (Some(msgr), Some(named)) if msgr != named => {
            eprintln!("the address is of messenger {named}, and --msgr says {msgr}; see --help");
            return ExitCode::from(2);
        }
        (msgr, named) => msgr.or(named).unwrap_or(Msgr::Auto),
    };
    if let (Msgr::V1, Some(mode)) = (msgr, ms_mode) {
        eprintln!("messenger v1 has no {mode} mode; see --help");
        return ExitCode::from(2);
    }
    addr.set_default_port(msgr);
    let report = Report::new(json, &addr.to_string());
    let modes = ms_mode.map_or_else(|| vec![ConMode::Crc, ConMode::Secure], |mode| vec![mode]);
    let report = Probe::new(addr, kind, timeout, report, msgr, modes).run();
    if report.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
