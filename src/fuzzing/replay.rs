//! Everything that is kept for fuzzing, given to the same functions on any toolchain: the seeds, which are recorded answers
//! and what the tests beside the parsers read, and the corpus, which is what fuzzing made of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::tree::RECORDS;
use super::{TARGETS, run};

/// All that is kept, of all targets: it is in every clone of the repository.
const MOST_BYTES: u64 = 1_500_000;
/// No input of a few KiB takes a parser longer, on a busy machine and without optimisation.
const PATIENCE: Duration = Duration::from_secs(5);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The names below a folder, sorted.
fn names(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn targets() -> BTreeSet<String> {
    TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// What is kept of a kind (`seeds`, `corpus`) for a target.
fn kept(kind: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder().join(kind).join(target);
    let read = |name: String| {
        let path = folder.join(name);
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    };
    names(&folder).into_iter().map(read).collect()
}

#[test]
fn what_is_kept_for_fuzzing_is_read_without_a_fault() {
    let mut bytes = 0;
    for (target, _) in TARGETS {
        let seeds = kept("seeds", target);
        assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
        for (path, data) in seeds.into_iter().chain(kept("corpus", target)) {
            bytes += u64::try_from(data.len()).unwrap();
            let began = Instant::now();
            let outcome = std::panic::catch_unwind(|| run(target, &data));
            assert!(outcome.is_ok(), "cargo fuzz run --fuzz-dir tests/fuzz {target} {}", path.display());
            assert!(began.elapsed() < PATIENCE, "{}: {:?}", path.display(), began.elapsed());
        }
    }
    assert!(bytes <= MOST_BYTES, "{bytes} bytes are kept");
}

/// `NOVA_HA_FUZZED` is a target and folders of inputs for it, each on a line of its own.
#[test]
#[ignore = "for tests/fuzz/lines.py, which measures what a target's inputs reach"]
fn the_inputs_of_one_target_are_read() {
    let named = std::env::var("NOVA_HA_FUZZED").unwrap();
    let (target, folders) = named.split_once('\n').unwrap();
    for folder in folders.lines().map(Path::new) {
        names(folder).iter().for_each(|name| run(target, &std::fs::read(folder.join(name)).unwrap()));
    }
}

#[test]
fn every_target_has_a_binary_seeds_and_a_row_and_nothing_else_has() {
    let folder = folder();
    for kept in ["seeds", "corpus"] {
        let unknown: Vec<_> = names(&folder.join(kept)).difference(&targets()).cloned().collect();
        assert!(unknown.is_empty(), "{kept}: {unknown:?}");
    }
    let sources: BTreeSet<String> =
        names(&folder.join("targets")).iter().map(|file| file.trim_end_matches(".rs").to_owned()).collect();
    assert_eq!(sources, targets());
    for target in &sources {
        let source = std::fs::read_to_string(folder.join(format!("targets/{target}.rs"))).unwrap();
        assert!(source.contains(&format!("run(\"{target}\", data)")), "{source}");
    }
    let manifest: toml::Table =
        toml::from_str(&std::fs::read_to_string(folder.join("Cargo.toml")).unwrap()).unwrap();
    let binaries = manifest["bin"].as_array().unwrap().iter();
    let binaries: BTreeSet<String> = binaries.map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(binaries, targets());
    let document = include_str!("../../docs/fuzzing.md");
    let row = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let documented: BTreeSet<String> = document.lines().filter_map(row).collect();
    assert_eq!(documented, targets(), "docs/fuzzing.md");
}

/// A seed that nothing understands leads a fuzzer nowhere.
#[test]
fn every_kind_of_record_has_a_seed_that_is_read() {
    let seeds = kept("seeds", "record");
    for (number, (name, rewrite)) in RECORDS.iter().enumerate() {
        let letter = b'a' + u8::try_from(number).unwrap();
        let of_it = seeds.iter().filter_map(|(_, seed)| seed.strip_prefix(&[letter]));
        assert!(of_it.into_iter().any(|value| rewrite("k", value).is_ok()), "{name}");
    }
}
