//! Whether the simulation finds what it is there to find.

use std::collections::BTreeMap;

use super::super::mutants::Mutant;
use super::{only_seed, run_all};

/// Which rule finds which mutant, at the latest within some thousand seeds. One that no rule finds
/// would show what the simulation is blind to.
#[test]
fn each_mutant_is_caught() {
    if only_seed().is_some() {
        return;
    }
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        let (mut seeds, mut rules) = (0, BTreeMap::<_, u32>::new());
        run_all(10_000, Some(mutant), |_, outcome| {
            seeds += 1;
            if let Some(violation) = outcome.violation {
                *rules.entry(violation.rule).or_default() += 1;
            }
            rules.is_empty()
        });
        println!("mutant {mutant:?}: {rules:?} within {seeds} seeds");
        if rules.is_empty() {
            missed.push(mutant);
        }
    }
    assert!(missed.is_empty(), "no rule finds {missed:?}");
}
