//! What the integration tests share: a real cluster, a peer that follows a script, and how to skip a
//! test where something is missing.
//!
//! A test file says `mod common;` and uses a part of it, so what one does not use is not dead.
#![allow(dead_code)]

pub(crate) mod acceptor;
pub(crate) mod capture;
pub(crate) mod client;
pub(crate) mod dialler;
pub(crate) mod example;
pub(crate) mod frames;
pub(crate) mod live;
pub(crate) mod logs;
pub(crate) mod monitor;
pub(crate) mod server;
pub(crate) mod vstart;

use std::fs::OpenOptions;
use std::io::Write as _;

/// Says that the test which calls this is skipped, on a line that libtest does not hold back, and in
/// the file that `SKIP_LOG` names, where `tests/run.sh` counts them. The test then returns.
pub(crate) fn skip(why: &str) {
    // libtest runs each test in a thread with its name.
    let thread = std::thread::current();
    let binary = env!("CARGO_CRATE_NAME");
    let test = thread.name().unwrap_or("?");
    let line = format!("SKIPPED {binary}::{test}: {why}\n");
    // print! would be captured.
    let _ = std::io::stdout().write_all(line.as_bytes());
    if let Some(log) = std::env::var_os("SKIP_LOG") {
        let file = OpenOptions::new().create(true).append(true).open(log);
        file.and_then(|mut f| f.write_all(line.as_bytes())).expect("SKIP_LOG can be written");
    }
}
