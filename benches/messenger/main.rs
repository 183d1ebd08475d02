//! What the messenger costs beside raw TCP: both ends in one process, over loopback, taking turns.
//!
//! usage: cargo bench --bench messenger -- [--rounds N] [name ...]
//!
//! The names are `round-trip`, `stream`, `small`, `syscalls` and `held`; without one all run. Each
//! figure is the median of N rounds (11) with the least and the most in brackets. In a round every
//! contender has one turn, so that whatever else the machine does meets them all alike; the ratio is
//! the median of the rounds' own ratios. Exits with 1 if a target is missed. `cargo bench` builds
//! without link-time optimisation.

mod auth;
mod calls;
mod cpus;
mod held;
mod ours;
mod raw;
mod round_trip;
mod small;
mod stream;
mod table;

use std::process::ExitCode;

use anyhow::{Result, bail};
use table::Table;

const USAGE: &str = "usage: messenger [--rounds N] [round-trip] [stream] [small] [syscalls] [held]";

fn main() -> Result<ExitCode> {
    // What `cargo bench` adds says nothing here.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench").peekable();
    if args.next_if(|arg| arg == "--child").is_some() {
        return child(&args.collect::<Vec<_>>()).map(|()| ExitCode::SUCCESS);
    }
    let (mut rounds, mut names) = (11, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().unwrap_or_default().parse()?,
            name if !name.starts_with('-') => names.push(arg),
            _ => bail!("{USAGE}"),
        }
    }
    type Bench = fn(usize, &mut Table) -> Result<()>;
    let benches: [(&str, Bench); 5] = [
        ("round-trip", round_trip::run),
        ("stream", stream::run),
        ("small", small::run),
        ("syscalls", |_, table| calls::run(table)),
        ("held", |_, table| held::run(table)),
    ];
    if let Some(unknown) = names.iter().find(|name| !benches.iter().any(|(b, _)| b == name)) {
        bail!("no bench {unknown:?}\n{USAGE}");
    }
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!("{rounds} rounds; load before: {}", load.trim());
    let mut table = Table::default();
    for (name, run) in benches {
        if names.is_empty() || names.iter().any(|n| n == name) {
            eprintln!("{name} ...");
            run(rounds.max(1), &mut table)?;
        }
    }
    table.print();
    Ok(if table.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a process does that this one has started.
fn child(args: &[String]) -> Result<()> {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["calls", what, n] => calls::child(what, n.parse()?),
        ["held", side, ref rest @ ..] => held::child(side, rest),
        _ => bail!("no such child: {args:?}"),
    }
}
