//! What the other tests need, asked before any of them: its name makes this the first file that `cargo test` runs, which
//! goes on to no other once one has failed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests, all of it")]

use std::path::Path;
use std::process::{Command, Output};

fn needs(change: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/needs.sh"));
    change(&mut command);
    command.output().unwrap()
}

#[test]
fn this_machine_has_what_the_tests_need() {
    let output = needs(|_| {});
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim_end());
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let nothing = tempfile::tempdir().unwrap();
    let output = needs(|command| {
        command.env_clear().env("HOME", nothing.path()).env("NOVA_HA_LAB_CACHE", nothing.path());
    });
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("sushy-emulator") && said.contains("integration/lab test quick"), "{said}");
}

#[test]
fn no_other_file_of_tests_comes_before_this_one() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut names: Vec<_> = std::fs::read_dir(tests)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names[0], "a_bare_machine.rs");
}
