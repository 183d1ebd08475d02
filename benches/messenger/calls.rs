//! System calls for each message, both ends together: a run with many under strace(1), less one
//! with a single message, which has all that happens once. strace slows each call down, so that less
//! comes together in one than does otherwise.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};

use crate::ours::{Echo, MODES, OneWay, Pair};
use crate::table::{Samples, Table, Target};
use crate::{raw, round_trip, small};

const N: u64 = 4000;

pub(crate) fn run(table: &mut Table) -> Result<()> {
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output()
        .is_ok_and(|out| out.status.success());
    if !works {
        println!("SKIPPED syscalls: strace is not installed, or may not trace");
        return Ok(());
    }
    for (what, title) in [
        ("round-trip", "system calls of a round trip"),
        ("small", "system calls of a small message"),
    ] {
        let ours = per_message(what)?;
        let raw = per_message(&format!("raw-{what}"))?;
        let sum = |calls: &BTreeMap<String, f64>| Samples(vec![calls.values().sum()]);
        table.add(
            format!("{}: {title}", MODES[0].name),
            &sum(&ours),
            Some(&sum(&raw)),
            Target::None,
        );
        for (side, calls) in [("ours", ours), ("raw", raw)] {
            let calls = calls.iter().filter(|(_, n)| **n >= 0.005);
            let calls: Vec<_> = calls.map(|(name, n)| format!("{name} {n:.2}")).collect();
            println!("  {what}, {side}: {}", calls.join(", "));
        }
    }
    Ok(())
}

fn per_message(what: &str) -> Result<BTreeMap<String, f64>> {
    let (one, many) = (count(what, 1)?, count(what, 1 + N)?);
    let once = |name: &str| one.get(name).copied().unwrap_or(0);
    let per = |(name, n): (String, u64)| {
        let n = n.saturating_sub(once(&name)) as f64 / N as f64;
        (name, n)
    };
    Ok(many.into_iter().map(per).collect())
}

/// Calls by name.
fn count(what: &str, n: u64) -> Result<BTreeMap<String, u64>> {
    let dir = tempfile::tempdir()?;
    let summary = dir.path().join("summary");
    let out = Command::new("strace")
        .args(["-f", "-c", "-U", "name,calls", "-o"])
        .arg(&summary)
        .arg(std::env::current_exe()?)
        .args(["--child", "calls", what, &n.to_string()])
        .stdin(Stdio::null())
        .output()?;
    ensure!(out.status.success(), "{what}: {}", String::from_utf8_lossy(&out.stderr));
    let summary = std::fs::read_to_string(&summary)?;
    let lines = summary.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    let counts =
        lines.filter_map(|(name, calls)| Some((name.to_owned(), calls.trim().parse().ok()?)));
    let mut counts: BTreeMap<String, u64> = counts.collect();
    counts.remove("total").context("a summary of strace")?;
    Ok(counts)
}

/// What is traced.
pub(crate) fn child(what: &str, n: u64) -> Result<()> {
    match what {
        "round-trip" => {
            let pair = Pair::new(MODES[0], Arc::new(Echo))?;
            round_trip::ask(&pair, n)?;
            pair.close()
        }
        "small" => {
            let pair = OneWay::new(MODES[0])?;
            pair.run(&small::message(), n)?;
            pair.close()
        }
        "raw-round-trip" => {
            let mut sock = raw::Echo::new(round_trip::LEN)?;
            sock.run(n)?;
            sock.close();
            Ok(())
        }
        "raw-small" => {
            let mut sock = raw::OneWay::new(small::LEN << 6)?;
            sock.run(&[7; small::LEN], n)?;
            sock.close();
            Ok(())
        }
        _ => bail!("nothing to trace: {what}"),
    }
}
