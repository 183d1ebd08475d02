//! Whether the simulation finds what it is there to find.

use std::collections::BTreeMap;

use super::super::mutants::Mutant;
use super::seeds::Protocol;
use super::{only_seed, run_all};

#[test]
fn each_mutant_of_v1_is_caught() {
    each_is_caught(Protocol::V1, &Mutant::of_v1());
}

#[test]
fn each_mutant_of_v2_is_caught() {
    each_is_caught(Protocol::V2, &Mutant::of_v2());
}

/// Which rule finds which mutant, at the latest within some thousand seeds. One that no rule finds
/// would show what the simulation is blind to.
fn each_is_caught(protocol: Protocol, mutants: &[Mutant]) {
    if only_seed().is_some() {
        return;
    }
    let mut missed = Vec::new();
    for &mutant in mutants {
        let (mut seeds, mut rules) = (0, BTreeMap::<_, u32>::new());
        run_all(protocol, 10_000, Some(mutant), |_, outcome| {
            seeds += 1;
            if let Some(violation) = outcome.violation {
                *rules.entry(violation.rule).or_default() += 1;
            }
            rules.is_empty()
        });
        println!("{protocol:?} mutant {mutant:?}: {rules:?} within {seeds} seeds");
        if rules.is_empty() {
            missed.push(mutant);
        }
    }
    assert!(missed.is_empty(), "no rule finds {missed:?}");
}
