//! Who may import whom. The two halves meet in the incident only, and an executable of the monitor
//! half is unable to power anything off: by what it imports, and by what is linked into it.
//!
//! The table is complete: a module that is not in it, or an import that it does not name, fails. So
//! what follows from it (the closure) holds too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod circles;
mod forgotten;
mod imports;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use imports::paths;
use table::{BELOW_THE_HALVES, EFFECTS, MAY_IMPORT, NEVER, PURE};

/// `monitor/probe/run.rs` is of `monitor`, `keys.rs` of `keys`, `bin/nova-ha.rs` of `bin/nova-ha`.
fn module_of(file: &str) -> String {
    let stem = file.trim_end_matches(".rs");
    match stem.split_once('/') {
        Some(("bin", _)) | None => stem.to_owned(),
        Some((top, _)) => top.to_owned(),
    }
}

/// The top-level modules of this crate that a file of `module` names.
fn imported(file: &str, text: &str) -> BTreeSet<String> {
    let module = module_of(file);
    paths(file, text)
        .into_iter()
        .filter(|path| matches!(path[0].as_str(), "crate" | "nova_ha"))
        .filter_map(|path| path.get(1).cloned())
        .filter(|top| *top != module)
        .collect()
}

/// Every import that the table does not allow, as `file: what`.
fn violations(files: &[(String, String)]) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut found = Vec::new();
    for (file, text) in files.iter().filter(|(file, _)| file != "lib.rs") {
        let module = module_of(file);
        let Some(allowed) = table.get(module.as_str()) else {
            found.push(format!("{file}: the module {module} is not in the table"));
            continue;
        };
        for top in imported(file, text) {
            if !allowed.contains(&top.as_str()) {
                found.push(format!("{file}: {module} may not import {top}"));
            }
        }
        if PURE.contains(&module.as_str()) {
            for path in paths(file, text) {
                let path = path.join("::");
                let effect = |e: &&&str| path == **e || path.starts_with(&format!("{e}::"));
                if let Some(effect) = EFFECTS.iter().find(effect) {
                    found.push(format!("{file}: {module} is pure and may not use {effect} ({path})"));
                }
            }
        }
    }
    found
}

fn sources() -> Vec<(String, String)> {
    fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                // Unit tests in files of their own may use whatever they need.
                true if path.ends_with("tests") => {}
                true => collect(&path, into),
                false if path.ends_with("tests.rs") || path.extension().is_none_or(|e| e != "rs") => {}
                false => into.push(path),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// All that a module can reach by the table.
fn closure(of: &str) -> BTreeSet<&'static str> {
    let table: BTreeMap<&str, &[&'static str]> = MAY_IMPORT.iter().copied().collect();
    let mut reached = BTreeSet::new();
    let mut left: Vec<&str> = table[of].to_vec();
    while let Some(next) = left.pop() {
        if reached.insert(MAY_IMPORT.iter().map(|(name, _)| *name).find(|name| *name == next).unwrap()) {
            left.extend(table[next]);
        }
    }
    reached
}

#[test]
fn every_import_is_in_the_table() {
    let files = sources();
    assert!(files.len() > 100, "only {} files were found", files.len());
    let found = violations(&files);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What a host, a BMC or Nova said is shown by people's terminals: nothing of it goes around the gate.
#[test]
fn words_reach_people_through_one_gate() {
    let ways = [
        "println!",
        "print!(",
        "eprintln!",
        "eprint!(",
        "io::stdout()",
        "io::stderr()",
        "io::Stderr",
        "dbg!(",
    ];
    let mut found = Vec::new();
    for (file, text) in sources().iter().filter(|(file, _)| file != "say.rs") {
        // Whether a person reads it may be asked anywhere.
        let text = text.split("#[cfg(test)]").next().unwrap().replace("().is_terminal()", "");
        let of = ways.iter().filter(|way| text.contains(**way)).map(|way| format!("{file}: {way}"));
        found.extend(of);
    }
    assert!(found.is_empty(), "use crate::say: {found:#?}");
}

#[test]
fn the_table_itself_keeps_the_halves_apart() {
    for (module, never) in NEVER {
        let reached = closure(module);
        let wrong: Vec<_> = never.iter().filter(|other| reached.contains(**other)).collect();
        assert!(wrong.is_empty(), "{module} reaches {wrong:?}");
    }
    for module in BELOW_THE_HALVES {
        let reached = closure(module);
        for half in ["monitor", "recovery", "operator", "runtime_info"] {
            assert!(!reached.contains(half), "{module} reaches {half}");
        }
    }
}

#[test]
fn the_table_has_no_module_that_is_gone() {
    let modules: BTreeSet<String> = sources().iter().map(|(file, _)| module_of(file)).collect();
    for (module, _) in MAY_IMPORT {
        assert!(modules.contains(*module), "{module}");
    }
}

#[test]
fn a_violation_is_found_however_it_is_written() {
    for (file, text, expected) in [
        ("monitor/x.rs", "use crate::recovery::run;", "monitor may not import recovery"),
        ("monitor/x.rs", "use crate::{keys, fence::{self, off}};", "monitor may not import fence"),
        ("monitor/x.rs", "use crate::{\n    names,\n    recovery as other,\n};", "may not import recovery"),
        ("monitor/probe/x.rs", "fn f() { crate::nova::cloud(); }", "monitor may not import nova"),
        ("monitor/probe/x.rs", "use super::super::super::fence;", "monitor may not import fence"),
        ("monitor/mod.rs", "use super::operator;", "monitor may not import operator"),
        ("monitor/x.rs", "mod inner { use super::super::super::fence::off; }", "may not import fence"),
        ("monitor/x.rs", "type T = Vec<crate::fence::Level>;", "monitor may not import fence"),
        ("monitor/x.rs", "fn f<'a>(x: &'a ::nova_ha::nova::Server) {}", "monitor may not import nova"),
        ("monitor/x.rs", "use crate::*;", "monitor may not import *"),
        ("monitor/x.rs", "pub use crate::program::run as r;", "monitor may not import program"),
        ("monitor/x.rs", "use r#crate::recovery;", "monitor may not import recovery"),
        ("recovery/steps/x.rs", "pub(crate) use crate::monitor::mark;", "recovery may not import monitor"),
        ("fence/x.rs", "fn f(x: &dyn ::nova_ha::recovery::World) {}", "fence may not import recovery"),
        ("bin/nova-ha-probe.rs", "use nova_ha::fence::power_off;", "may not import fence"),
        ("judge/x.rs", "use std::{fmt, net::IpAddr};", "judge is pure and may not use std::net"),
        ("judge/x.rs", "async fn f() { tokio::time::sleep(d).await }", "judge is pure and may not use tokio"),
        ("keys.rs", "fn f() { std::fs::read(\"x\"); }", "keys is pure and may not use std::fs"),
        ("incident/x.rs", "use crate::consul::Consul;", "incident may not import consul"),
        ("surprise/x.rs", "", "the module surprise is not in the table"),
    ] {
        let found = violations(&[(file.to_owned(), text.to_owned())]);
        assert!(found.iter().any(|f| f.contains(expected)), "{file}: {text}\nfound {found:?}");
    }
}

#[test]
fn what_is_no_import_is_not_taken_for_one() {
    let innocent = r##"
        //! See [`crate::recovery`].
        /* crate::fence::off /* nested crate::nova */ */
        use crate::{keys as paths, names::{self as n, HostName}};
        pub(crate) struct S<'a>(&'a str);
        const A: &str = "crate::fence \" crate::nova";
        const B: &str = r#"use crate::recovery;"#;
        const C: char = '"';
        const D: char = '\'';
        const E: &[u8] = b"crate::nova";
        fn f(crate_fence: u8, x: super::fence) {}
        #[cfg(test)]
        mod tests { use crate::recovery::{self}; fn g() { "}"; } }
    "##;
    let found = violations(&[("monitor/probe/x.rs".to_owned(), innocent.to_owned())]);
    assert!(found.is_empty(), "{found:?}");
}

/// Words that only the code of a fence device, or of Nova's effects, holds.
const WEAPONS: [&str; 6] =
    ["lanplus", "ForceOff", "ComputerSystem.Reset", "os-services", "os-migrations", "OS_AUTH_URL"];

/// Parts of the symbols of functions; only a build that is not stripped has them.
const SYMBOLS: [&str; 4] = ["nova_ha5fence", "nova_ha4nova", "nova_ha8recovery", "nova_ha7program"];

/// Which of the words a file holds.
fn held(binary: &str, words: &[&'static str]) -> BTreeSet<&'static str> {
    // By grep: a search of our own through 60 MB in a debug build takes longer than all other tests.
    let mut grep = std::process::Command::new("grep");
    grep.args(["--text", "--only-matching", "--fixed-strings"]);
    for word in words {
        grep.args(["-e", word]);
    }
    let output = grep.arg("--").arg(binary).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let found = String::from_utf8(output.stdout).unwrap();
    words.iter().copied().filter(|word| found.lines().any(|line| line == *word)).collect()
}

#[test]
fn a_binary_of_the_monitor_half_is_unable_to_power_anything_off() {
    let mut words = WEAPONS.to_vec();
    if cfg!(debug_assertions) {
        words.extend(SYMBOLS);
    }
    // The words are in what may: else their absence would prove nothing.
    let all: BTreeSet<&str> = words.iter().copied().collect();
    assert_eq!(held(env!("CARGO_BIN_EXE_nova-ha-recover"), &words), all);
    for binary in [
        env!("CARGO_BIN_EXE_nova-ha-probe"),
        env!("CARGO_BIN_EXE_nova-ha-mark-failed"),
        env!("CARGO_BIN_EXE_nova-ha-runtime-info"),
    ] {
        assert_eq!(held(binary, &words), BTreeSet::new(), "linked into {binary}");
    }
}
