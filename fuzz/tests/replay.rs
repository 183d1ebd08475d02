//! The targets without libFuzzer: each saved input, its prefixes, and some hundred changes of it
//! that are the same each time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ceph_msgr_fuzz::targets::{TARGETS, Target};

/// Changes of each input.
const CHANGES: u64 = 100;
/// Prefixes of each input, spread over its length.
const PREFIXES: usize = 50;

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

fn saved(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = seeds().join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % n.max(1) as u64) as usize
    }

    /// As a fuzzer: bits flipped, bytes set to what is often an edge, parts repeated or left out.
    fn change(&mut self, data: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(data.len());
            let len = self.below(16).min(data.len() - at);
            match self.below(5) {
                0 if !data.is_empty() => data[at] ^= 1 << self.below(8),
                1 if !data.is_empty() => data[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                2 => drop(data.drain(at..at + len)),
                3 => drop(data.splice(at..at, data[at..at + len].to_vec())),
                _ => data.insert(at, self.below(256) as u8),
            }
        }
    }
}

fn check(run: Target, path: &Path, what: &str, data: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| run(data))).is_err() {
        let hex: String = data.iter().map(|b| format!("{b:02x}")).collect();
        panic!("{}, {what}: {hex}", path.display());
    }
}

#[test]
fn saved_inputs_and_what_is_near_them() {
    for (target, run) in TARGETS {
        let saved = saved(target);
        assert!(!saved.is_empty(), "{target} has no saved inputs");
        for (path, data) in &saved {
            check(*run, path, "as it is", data);
            for n in (0..data.len()).step_by(data.len() / PREFIXES + 1) {
                check(*run, path, "cut", &data[..n]);
            }
            let mut random = Random(data.len() as u64);
            for _ in 0..CHANGES {
                let mut changed = data.clone();
                random.change(&mut changed);
                check(*run, path, "changed", &changed);
            }
        }
        println!("{target}: {} inputs", saved.len());
    }
}

/// A directory that no target has, or one without a binary, would never be run.
#[test]
fn targets_seeds_and_binaries_are_the_same() {
    let names = |dir: PathBuf| {
        let entries = std::fs::read_dir(dir).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut names: Vec<_> = entries.map(|entry| stem(entry.unwrap().path())).collect();
        names.sort();
        names
    };
    let targets: Vec<_> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names(seeds()), targets);
    assert_eq!(names(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets")), targets);
}
