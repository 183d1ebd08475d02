#!/bin/bash
# Replays the saved inputs of all targets, for which cargo is enough: fuzz/smoke.sh [SECONDS]. With
# SECONDS, and where cargo-fuzz is installed, each target also runs for that time; building them takes
# a minute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# What the library depends on is there already if its own tests were built.
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../target} \
    timeout -k 10 600 cargo test --locked --lib --test replay -- --show-output

if ((${1:-0} == 0)); then
    exit
elif command -v cargo-fuzz >/dev/null; then
    ./run.sh "$1"
else
    # No SKIPPED: what was found is tried, and CI need not install a fuzzer.
    echo "smoke.sh: no cargo-fuzz: saved inputs only"
fi
