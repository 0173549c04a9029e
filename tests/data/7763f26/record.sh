#!/bin/sh
# Records the trees beside this file anew: the simulated world of the commit 7763f26, run by that commit's own code.
# Usage: tests/data/7763f26/record.sh   (from a clone that has the commit; takes some minutes to build)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'git -C "$here" worktree remove --force "$tree"' EXIT
git -C "$here" worktree add -q --detach "$tree" 7763f26
world=$tree/tests/recovery_world
cp "$here/record.rs" "$world/record.rs"
sed -i 's/^mod reservations;/mod record;\nmod reservations;/' "$world/main.rs"
cd "$tree"
RECORD_TO=$here cargo test --test recovery_world record:: -- --test-threads 1
