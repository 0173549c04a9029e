//! docs/reference.md says all that there is to set, to store and to end with, and docs/architecture.md which steps and gates
//! there are: compared with the code's own tables.
//!
//! After a change that is meant: `NOVA_HA_WRITE_REFERENCE=1 cargo test --test documents`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/all_keys.rs"]
mod all_keys;
mod exits;
#[path = "keys.rs"]
mod of_keys;
mod pages;
mod steps;
mod words;

use std::path::{Path, PathBuf};

use nova_ha::policy::{Policy, Subject, settings};
use serde_json::Value;

const PAGE: &str = "docs/reference.md";
pub(crate) const HOW: &str = "docs/architecture.md";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub(crate) fn file(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What stands between the marks of one generated part.
fn part<'a>(page: &str, text: &'a str, name: &str) -> (&'a str, &'a str, &'a str) {
    let (begin, end) = (format!("<!-- {name}: generated -->\n"), format!("<!-- {name}: end -->\n"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{page} has no {begin}"));
    let (within, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{page} has no {end}"));
    (&text[..before.len() + begin.len()], within, &text[text.len() - after.len() - end.len()..])
}

/// A cell: a bar would end it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn of_settings() -> String {
    let defaults = serde_json::to_value(Policy::default()).unwrap();
    let mut text = String::new();
    for subject in Subject::ALL {
        text += &format!(
            "### {}\n\n| setting | takes | default | does |\n|---|---|---|---|\n",
            subject.heading()
        );
        for setting in settings().iter().filter(|setting| setting.subject == subject) {
            let default = match &defaults[setting.name] {
                Value::Null => "-".to_owned(),
                Value::String(word) => format!("`{word}`"),
                other => format!("`{other}`"),
            };
            let takes = match setting.range {
                "" => setting.unit.to_owned(),
                range => format!("{}; {range}", setting.unit),
            };
            text += &format!(
                "| `{}` | {} | {} | {} |\n",
                setting.name,
                cell(&takes),
                cell(&default),
                cell(setting.about)
            );
        }
        text += "\n";
    }
    text
}

#[test]
fn the_pages_are_what_the_code_says() {
    let parts = [
        (PAGE, "settings", of_settings()),
        (PAGE, "keys", of_keys::tables()),
        (PAGE, "exit codes", exits::table()),
        (HOW, "steps", steps::table()),
    ];
    for (page, name, wanted) in parts {
        let text = file(page);
        let (before, known, after) = part(page, &text, name);
        if std::env::var_os("NOVA_HA_WRITE_REFERENCE").is_some() {
            std::fs::write(path(page), format!("{before}{wanted}{after}")).unwrap();
            continue;
        }
        let known_lines: Vec<&str> = known.lines().collect();
        let differs: Vec<&str> = wanted.lines().filter(|line| !known_lines.contains(line)).collect();
        assert!(
            differs.is_empty(),
            "{page}, {name}: NOVA_HA_WRITE_REFERENCE=1 writes\n{}",
            differs.join("\n")
        );
        assert_eq!(known, wanted, "{page}, {name}: it has lines that nothing stands behind");
    }
}
