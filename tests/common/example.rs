//! The examples as programs.

use std::path::PathBuf;
use std::process::Command;

/// Where the example is; built if it is not there or old.
///
/// # Panics
///
/// If it does not build.
pub(crate) fn build(name: &str) -> PathBuf {
    // target/PROFILE/deps/TEST-HASH
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("target/PROFILE");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", name]);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo");
    assert!(status.success(), "examples/{name}.rs does not build");
    profile.join("examples").join(name)
}
