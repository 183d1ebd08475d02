#!/bin/bash
# Builds the targets and runs each for a time: fuzz/run.sh [SECONDS [TARGET...]]; 60 seconds, all.
# Needs cargo-fuzz, which needs no nightly here: there is no sanitizer, for there is no unsafe code.
#
# What is found on the way is kept for the next run in fuzz/corpus/TARGET, or under the directory
# FUZZ_CORPUS, and an input that breaks something in fuzz/artifacts/TARGET. Prints a line for each target; fails if one has found something.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))
targets=("$@")
if ((${#targets[@]} == 0)); then
    for path in fuzz_targets/*.rs; do
        targets+=("$(basename "$path" .rs)")
    done
fi

command -v cargo-fuzz >/dev/null || {
    echo "run.sh: no cargo-fuzz: cargo install cargo-fuzz" >&2
    exit 1
}
corpus=${FUZZ_CORPUS:-corpus}
host=$(rustc -vV | sed -n 's/^host: //p')
bin=${CARGO_TARGET_DIR:-target}/$host/release
log=$(mktemp)
trap 'rm -f "$log"' EXIT

cargo fuzz build --fuzz-dir . --sanitizer none --features libfuzzer >"$log" 2>&1 || {
    cat "$log" >&2
    exit 1
}

found=0
printf '%-16s %12s %10s %8s %8s  %s\n' target runs exec/s coverage corpus findings
for target in "${targets[@]}"; do
    mkdir -p "$corpus/$target" "artifacts/$target"
    # Of what is found, only what is new in this run counts.
    before=$(find "artifacts/$target" -type f | wc -l)
    status=0
    # Not by cargo, which would build anew what is changed meanwhile.
    nice "$bin/$target" "$corpus/$target" "seeds/$target" -artifact_prefix="artifacts/$target/" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 \
        -print_final_stats=1 -verbosity=1 >"$log" 2>&1 || status=$?
    new=$(($(find "artifacts/$target" -type f | wc -l) - before))
    ((status == 0 || new > 0)) || new=1
    last=$(grep -aE '^#[0-9]+' "$log" | tail -1)
    value() { sed -n "s/.* $1: \([0-9]*\).*/\1/p" <<<"$last"; }
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    printf '%-16s %12s %10s %8s %8s  %s\n' "$target" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$(value cov)" "$(value corp)" "$new"
    if ((new > 0)); then
        found=1
        # What broke, and where the input is.
        grep -anE "panicked|^thread|assertion|left:|right:|ERROR: libFuzzer|Test unit written" -A1 "$log" >&2 || tail -20 "$log" >&2
    fi
done
exit "$found"
