//! What the machines are tried with that is no machine's own.

pub(crate) mod mutants;
mod sim;
