//! `quickstart`: both ends of the messenger in one process, without a cluster.
//!
//! ```text
//!  this process:   monitor's part          service's part
//!                   ▲ 1 login               ▲ 2 signed session
//!                   │ tickets               │ 3 messages   4 a socket lost   5 speed
//!                   └──────── client ───────┘
//! ```
//!
//! Every step is printed as it happens. The exit code is 0 only if every check held.

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

/// Longer than anything here takes.
fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

fn main() -> ExitCode {
    env_logger::init();
    match steps::run() {
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
