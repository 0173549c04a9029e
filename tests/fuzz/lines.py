#!/usr/bin/env python3
"""The third column of the figures in docs/fuzzing.md: which lines of its parsers a target's inputs reach.

    tests/fuzz/lines.py INPUTS [TARGET...]

INPUTS has a folder for each target, with what a run of it found; the seeds and the corpus are read with it. Needs llvm-profdata and
llvm-cov of the compiler's LLVM or newer (`rustup component add llvm-tools --toolchain nightly`), in PATH or in $LLVM_BIN.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
REPO = FUZZ.parent.parent
SRC = REPO / "src"
TEST = "fuzzing::replay::the_inputs_of_one_target_are_read"


def tool(name, *words):
    """What a program of LLVM says."""
    folder = os.environ.get("LLVM_BIN")
    return subprocess.run([f"{folder}/{name}" if folder else name, *map(str, words)], check=True, capture_output=True).stdout


def binary(folder):
    """The tests of the library, with counters in the product's own code and in no dependency's."""
    wrapper = folder / "wrapper"
    if not wrapper.exists():
        wrapper.write_text('#!/bin/sh\nexec "$@" -C instrument-coverage\n', encoding="utf-8")
        wrapper.chmod(0o755)
    env = os.environ | {"RUSTC_WORKSPACE_WRAPPER": str(wrapper), "LLVM_PROFILE_FILE": f"{folder}/build.profraw"}
    said = subprocess.run(["cargo", "test", "--lib", "--no-run", "--message-format=json"], cwd=REPO, env=env, check=True,
                          stdout=subprocess.PIPE).stdout
    made = (json.loads(line) for line in said.splitlines())
    return next(one["executable"] for one in made if one.get("executable"))


def parsers():
    """The files of each target's parsers, by its row: a path of modules, or of a function in one, wherever that is below src/."""
    rows = re.findall(r"^\| `(\w+)` \| (`[^|]*) \| [^|]*\|$", (REPO / "docs" / "fuzzing.md").read_text(encoding="utf-8"), re.M)
    return {target: {file for path in paths(words) for file in files(path)} for target, words in rows if "`" in words}


def paths(words):
    """`a::{b,c}` is a::b and a::c."""
    for quoted in re.findall(r"`([^`]+)`", words):
        before, _, within = quoted.partition("{")
        yield from (before + one for one in within.rstrip("}").split(",")) if within else [quoted]


def files(path):
    """A module's file and those below it; of several modules of this name the one that lies highest."""
    parts = path.split("::")
    for known in (parts, parts[:-1]):
        before = {file: f"/{file.relative_to(SRC).with_suffix('')}/".partition(f"/{'/'.join(known)}/") for file in SRC.rglob("*.rs")}
        found = {file: above.count("/") for file, (above, name, _) in before.items() if known and name}
        if found:
            return [file for file, depth in found.items() if depth == min(found.values())]
    raise SystemExit(f"docs/fuzzing.md names {path}, and there is no such file")


def measured(program, target, inputs, folder):
    """Of the lines of those functions in its parsers' files that it calls: how many it reaches, and how many there are."""
    raw, merged = folder / f"{target}.profraw", folder / f"{target}.profdata"
    given = [target, *(str(at / target) for at in (inputs, FUZZ / "seeds", FUZZ / "corpus"))]
    env = os.environ | {"NOVA_HA_FUZZED": "\n".join(given), "LLVM_PROFILE_FILE": str(raw)}
    subprocess.run([program, "--exact", "--ignored", TEST], cwd=REPO, env=env, check=True, stdout=subprocess.DEVNULL)
    tool("llvm-profdata", "merge", "-o", merged, raw)
    of = sorted(map(str, parsers()[target]))
    called = spans(json.loads(tool("llvm-cov", "export", program, f"-instr-profile={merged}", *of)))
    counts, file = {}, None
    for line in tool("llvm-cov", "export", "-format=lcov", program, f"-instr-profile={merged}", *of).decode().splitlines():
        word, _, value = line.partition(":")
        if word == "SF":
            file = value
        elif word == "DA":
            number, count = map(int, value.split(",")[:2])
            if any(first <= number <= last for first, last in called.get(file, ())):
                counts[file, number] = count
    return sum(count > 0 for count in counts.values()), len(counts)


def spans(export):
    """The first and last line of each function that was called, by its file; those of tests are left out."""
    found = {}
    for function in export["data"][0]["functions"]:
        if function["count"] and "5tests" not in function["name"]:
            own = [region for region in function["regions"] if region[5] == 0]
            found.setdefault(function["filenames"][0], set()).add((own[0][0], max(region[2] for region in own)))
    return found


def main():
    inputs, wanted = Path(sys.argv[1]).resolve(), sys.argv[2:]
    # Cargo builds anew for another path of the wrapper.
    folder = REPO / "target" / "lines"
    folder.mkdir(parents=True, exist_ok=True)
    program = binary(folder)
    for target in wanted or sorted(parsers()):
        reached, all_of_them = measured(program, target, inputs, folder)
        print(f"| `{target}` | {100 * reached // all_of_them} % ({reached} of {all_of_them}) |", flush=True)


if __name__ == "__main__":
    main()
