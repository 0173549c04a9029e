#!/bin/sh
# Runs each target, one after the other and in the background of whatever else goes on: RUNS executions (a million, where
# nothing is said), or at most SECONDS each. One line a target; a fault ends that target, and its input lies in artifacts/.
#     tests/fuzz/all.sh [RUNS [SECONDS]]
# With FOUND=FOLDER what a target found is kept in FOLDER/TARGET: tests/fuzz/lines.py measures what that reaches.
set -eu
cd "$(dirname "$0")/../.."
runs=${1:-1000000} seconds=${2:-0} failed=0
kept=$(mktemp -d)
for seeds in tests/fuzz/seeds/*; do
    target=${seeds##*/}
    corpus=${FOUND:-$kept}/$target && log=$(mktemp)
    mkdir -p "$corpus"
    mkdir -p "tests/fuzz/corpus/$target"
    if nice -n 19 cargo +nightly fuzz run --fuzz-dir tests/fuzz -s none "$target" \
        "$corpus" "tests/fuzz/corpus/$target" "$seeds" -- \
        -runs="$runs" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1500 >"$log" 2>&1; then
        echo "$target: $(grep -E '^#[0-9]+.*DONE' "$log")"
        rm -r "$log"
    else
        echo "$target: FAILED, see $log"
        failed=1
    fi
    rmdir "tests/fuzz/corpus/$target" 2>/dev/null || true
done
rm -r "$kept"
exit "$failed"
