//! `quickstart`: both ends of the messenger in one process, without a cluster, with messenger v1 and
//! with v2 in both of its modes.
//!
//! ```text
//!  this process:   monitor's part          service's part
//!                   ▲ 2 login               ▲ 3 session, signed or sealed
//!                   │ tickets               │ 4 messages   5 sockets lost   6 speed
//!                   └──────── client ───────┘
//! ```
//!
//! Every step is printed as it happens. The exit code is 0 only if every check held.

#[path = "quickstart/protocol.rs"]
mod protocol;

#[path = "quickstart/raw.rs"]
mod raw;
#[path = "quickstart/service.rs"]
mod service;
#[path = "quickstart/speed.rs"]
mod speed;
#[path = "quickstart/steps.rs"]
mod steps;

use std::process::ExitCode;
use std::time::Duration;

use ceph_msgr::net::Deadline;
use clap::Parser;
use protocol::Protocol;

/// Runs both ends of the messenger in this process, first with v1, then with v2 in crc and in secure
/// mode, and says how fast each is.
#[derive(Parser)]
#[command(name = "quickstart")]
struct Args {
    /// Run with this messenger alone, or with both
    #[arg(long, value_name = "v1|v2|auto", value_parser = ["v1", "v2", "auto"])]
    #[arg(default_value = "auto")]
    msgr: String,
    /// Run with messenger v2 in this mode alone
    #[arg(long, value_name = "crc|secure", value_parser = ["crc", "secure"])]
    ms_mode: Option<String>,
}

impl Args {
    fn wants(&self, protocol: Protocol) -> bool {
        let is_msgr = [protocol.msgr(), "auto"].contains(&&*self.msgr);
        is_msgr && self.ms_mode.as_ref().is_none_or(|mode| mode == protocol.ms_mode())
    }
}

/// Longer than anything here takes.
fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

fn main() -> ExitCode {
    env_logger::init();
    let args = Args::parse();
    let wanted: Vec<_> = Protocol::ALL.into_iter().filter(|p| args.wants(*p)).collect();
    if wanted.is_empty() {
        eprintln!("messenger v1 has no modes; see --help");
        return ExitCode::from(2);
    }
    match steps::run(&wanted) {
        Ok(()) => {
            println!("\nEvery check held.");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("\nFAILED: {e:#}");
            ExitCode::FAILURE
        }
    }
}
