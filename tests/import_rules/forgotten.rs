//! Every test file is in a binary: one that nobody names is compiled by nothing and passes always. And a new binary links all
//! of the product once more, so that they are few.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What each is about is in its `main.rs`.
const BINARIES: [&str; 8] = [
    "cli",
    "consul",
    "devices",
    "documents",
    "import_rules",
    "nova_contract",
    "nova_simcloud",
    "recovery_world",
];

/// Not of the tests: a workspace of its own, and data.
const OTHERS: [&str; 4] = ["a_bare_machine.rs", "data", "fuzz", "support"];

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let of = |path: PathBuf| match path.is_dir() {
        true => rust_files(&path),
        false if path.extension().is_some_and(|e| e == "rs") => vec![path],
        false => Vec::new(),
    };
    entries(folder).into_iter().flat_map(of).collect()
}

/// The file itself, and all that it names with `mod`, as the compiler looks for them.
fn named_by(file: &Path, named: &mut BTreeSet<PathBuf>) {
    if !named.insert(file.to_owned()) {
        return;
    }
    let text = std::fs::read_to_string(file).unwrap();
    let folder = file.parent().unwrap();
    let stem = file.file_stem().unwrap();
    let children = if stem == "main" || stem == "mod" { folder.to_owned() } else { folder.join(stem) };
    let mut elsewhere = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            elsewhere = Some(folder.join(path));
        }
        let words = line.strip_prefix("pub(crate) ").unwrap_or(line);
        let Some(name) = words.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) else { continue };
        let places = [children.join(format!("{name}.rs")), children.join(name).join("mod.rs")];
        let found = elsewhere.take().or_else(|| places.into_iter().find(|place| place.is_file()));
        named_by(&found.unwrap().canonicalize().unwrap(), named);
    }
}

#[test]
fn every_test_file_is_in_a_binary_and_the_binaries_are_few() {
    let tests = tests().canonicalize().unwrap();
    let folders = entries(&tests).into_iter().filter(|path| path.is_file() || !rust_files(path).is_empty());
    let names = folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let folders: BTreeSet<String> = names.filter(|name| !OTHERS.contains(&name.as_str())).collect();
    let known: BTreeSet<String> = BINARIES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(folders, known, "a test belongs into one of the binaries");
    // Comes first in `cargo test`, and so is by itself: it says what the machine lacks.
    let mut named = BTreeSet::from([tests.join("a_bare_machine.rs")]);
    for binary in BINARIES {
        named_by(&tests.join(binary).join("main.rs"), &mut named);
    }
    let is_other =
        |file: &PathBuf| ["data", "fuzz"].iter().any(|folder| file.starts_with(tests.join(folder)));
    let all = rust_files(&tests).into_iter().filter(|file| !is_other(file));
    let forgotten: Vec<_> = all.filter(|file| !named.contains(file)).collect();
    assert!(forgotten.is_empty(), "no binary has {forgotten:?}");
    assert!(named.len() > 80, "only {} files were found", named.len());
}
