//! Where a bug can be put in to see that a test finds it: see `tests/mutants.rs`. Without tests this
//! is `false`.

#[cfg(test)]
macro_rules! mutant {
    ($name:ident) => {
        $crate::msgr::tests::mutants::active($crate::msgr::tests::mutants::Mutant::$name)
    };
}

#[cfg(not(test))]
macro_rules! mutant {
    ($name:ident) => {
        false
    };
}
