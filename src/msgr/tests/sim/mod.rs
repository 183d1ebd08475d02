//! Many sessions between peers in memory, with a virtual clock: both sides dial, stand by, mark
//! down, restart and take messages back, and the transport splits, delays, stalls and cuts, all as
//! a seed says, through either protocol. `model.rs` has the rules that must hold.
//! `SIM_SEED=n cargo test --lib sim_v2` runs that seed alone and prints each step.

mod auth;
mod caller;
mod chaos;
mod con;
mod dial;
mod model;
mod mutants;
mod net;
mod node;
mod seeds;
mod world;

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::mutants::{Mutant, switch};
use model::Violation;
use seeds::Protocol;
use world::{Outcome, Stats, run};

/// How many are run, unless `SIM_SEEDS` says otherwise.
const SEEDS: u64 = 10_000;

/// What must have been seen of both protocols, or the seeds prove little.
const WANTED: [&str; 10] = [
    "WAIT",
    "trimmed",
    "requeued two or more",
    "replaced",
    "replaced with a reset",
    "replaced (lossy)",
    "woken from standby",
    "throttled",
    "race won",
    "race lost",
];

const WANTED_OF_V1: [&str; 6] = [
    "SEQ",
    "RETRY_GLOBAL",
    "RETRY_SESSION",
    "RESETSESSION",
    "CHALLENGE_AUTHORIZER",
    "revoked in mid-frame",
];

const WANTED_OF_V2: [&str; 10] = [
    "SERVER_IDENT",
    "SESSION_RECONNECT_OK",
    "SESSION_RETRY",
    "SESSION_RETRY_GLOBAL",
    "SESSION_RESET",
    "SESSION_RESET full",
    "AUTH_REPLY_MORE",
    "trimmed by who accepted",
    "damage found",
    "stale",
];

/// Runs one seed; a panic is a broken rule too.
fn run_one(protocol: Protocol, seed: u64, tracing: bool, base: Instant) -> Outcome {
    catch_unwind(|| run(protocol, seed, tracing, base)).unwrap_or_else(|_| {
        let violation = Violation { rule: "panic", text: "see above".into() };
        Outcome { violation: Some(violation), ..Outcome::default() }
    })
}

/// Runs seeds on all cores, and hands each outcome on, until it says false.
fn run_all(
    protocol: Protocol,
    seeds: u64,
    mutant: Option<Mutant>,
    each: impl FnMut(u64, Outcome) -> bool + Send,
) {
    let (next, base) = (AtomicU64::new(0), Instant::now());
    let each = Mutex::new(each);
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().min(8));
    let worker = || {
        switch(mutant);
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds {
                return;
            }
            let outcome = run_one(protocol, seed, false, base);
            if !(each.lock().unwrap())(seed, outcome) {
                next.store(seeds, Relaxed);
            }
        }
    };
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(worker);
        }
    });
}

/// The one seed that is to be run, by the environment.
fn only_seed() -> Option<u64> {
    std::env::var("SIM_SEED").ok()?.parse().ok()
}

#[test]
fn sim_v1() {
    sim(Protocol::V1, &WANTED_OF_V1);
}

#[test]
fn sim_v2() {
    sim(Protocol::V2, &WANTED_OF_V2);
}

fn sim(protocol: Protocol, wanted: &[&str]) {
    if let Some(seed) = only_seed() {
        let Outcome { stats, violation, .. } = run_one(protocol, seed, true, Instant::now());
        println!("{stats:?}");
        return assert!(violation.is_none(), "{protocol:?}, seed {seed}: {violation:?}");
    }
    let began = Instant::now();
    let (mut stats, mut counts, mut broken) = (Stats::default(), Vec::new(), BTreeMap::new());
    let seeds = std::env::var("SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(SEEDS);
    run_all(protocol, seeds, None, |seed, outcome| {
        stats.merge(&outcome.stats);
        counts.push((outcome.messages, outcome.faults));
        broken.extend(outcome.violation.map(|violation| (seed, violation)));
        broken.len() < 20
    });
    let per_second = counts.len() as f64 / began.elapsed().as_secs_f64();
    let faults = counts.iter().map(|c| c.1).min().unwrap();
    counts.sort_unstable();
    let (messages, _) = counts[counts.len() / 2];
    println!("simulation of {protocol:?}: {} seeds, {per_second:.0} a second", counts.len());
    println!("a median of {messages} messages, and at least {faults} faults in each");
    stats.0.iter().for_each(|(what, n)| println!("{n:>9} {what}"));
    for (seed, violation) in &broken {
        println!("SIM_SEED={seed}: {}: {}", violation.rule, violation.text);
    }
    assert!(broken.is_empty(), "{} seeds break a rule", broken.len());
    for what in WANTED.iter().chain(wanted) {
        assert!(stats.0.contains_key(what), "{what} was never seen");
    }
    assert!(messages >= 200 && faults >= 5, "{messages} messages, {faults} faults");
}
