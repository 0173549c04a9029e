//! What a site's own storage program is told on stdin and may answer on stdout. Written down for its
//! authors in docs/storage-exec.md.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Answer;
use crate::program::Ended;
use crate::recovery::world::Said;

/// The version of both documents.
pub const VERSION: u64 = 1;

/// What is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Look; change nothing.
    Check,
    /// Make the storage usable here. Only ever asked while the host is proved off.
    Take,
    /// Undo `take`, so that the host may have it again. Only a person asks for it.
    Release,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Order<'a> {
    /// [`VERSION`].
    pub version: u64,
    /// What is asked.
    pub verb: Verb,
    /// The incident's id, for its log.
    pub incident: &'a str,
    /// The host whose storage it is.
    pub host: &'a str,
    /// What Nova calls the host.
    pub nova_host: &'a str,
    /// The HA node that asks: this machine.
    pub ha_node: &'a str,
    /// Where the guests' directories must be afterwards.
    pub mountpoint: &'a Path,
    /// What the host published about itself, as it is in the tree; `null` where it is not.
    pub runtime_info: &'a Value,
    /// Nova's ids of the guests on the host.
    pub guests: Vec<&'a str>,
    /// For `take`: how the host was proved off, a moment ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<&'a str>,
}

/// Its answer, as it comes. Fields that nobody here knows are ignored.
#[derive(Debug, Deserialize)]
struct Document {
    version: u64,
    state: String,
    detail: String,
    #[serde(default)]
    mounted: Vec<Mounted>,
}

/// Something that is in place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Mounted {
    /// A device, dataset or folder.
    pub what: String,
    /// Where it is seen.
    #[serde(rename = "where")]
    pub place: String,
}

/// The longest detail that is kept.
const MOST_DETAIL: usize = 300;

/// What a run of the program means.
pub fn answer(said: &Said, mountpoint: &Path) -> Answer {
    let stderr = || {
        let last = said.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").trim();
        if last.is_empty() { String::new() } else { format!("; it says: {}", shortened(last)) }
    };
    let cannot_tell = |why: String| Answer::CannotTell { why: why + &stderr() };
    match said.ended {
        Ended::Exit(0) => {}
        Ended::Exit(code) => return cannot_tell(format!("it ended with exit code {code}")),
        Ended::Signal(number) => return cannot_tell(format!("signal {number} ended it")),
        Ended::Deadline => return cannot_tell("it was killed at its deadline".into()),
    }
    if said.cut {
        return cannot_tell("it said more than is read".into());
    }
    let document: Document = match serde_json::from_slice(&said.stdout) {
        Ok(document) => document,
        Err(error) => return cannot_tell(format!("its answer cannot be understood ({error})")),
    };
    if document.version != VERSION {
        return cannot_tell(format!("its answer has version {}, not {VERSION}", document.version));
    }
    let detail = shortened(&document.detail);
    let in_place = |mounted: &Mounted| Path::new(&mounted.place) == mountpoint;
    match document.state.as_str() {
        "taken" if !document.mounted.iter().any(in_place) => {
            cannot_tell(format!("it says taken, and nothing of it at {}", mountpoint.display()))
        }
        "taken" => {
            let what: Vec<&str> =
                document.mounted.iter().filter(|m| in_place(m)).map(|m| m.what.as_str()).collect();
            Answer::Taken { detail: shortened(&format!("{detail} ({})", what.join(", "))), more: None }
        }
        "ready" => Answer::Ready { detail },
        "refused" => Answer::Refused { detail },
        other => cannot_tell(format!("it says {:?}, which is no state", shortened(other))),
    }
}

/// One line that can be shown.
fn shortened(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_DETAIL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ended: Ended, stdout: &str) -> Said {
        Said { ended, stdout: stdout.into(), cut: false, stderr: "\nno such pool\n\n".into() }
    }

    #[test]
    fn only_a_clear_answer_counts() {
        let ok = |stdout: &str| said(Ended::Exit(0), stdout);
        let taken = r#"{"version":1,"state":"taken","detail":"pool tank","mounted":[{"what":"tank/nova","where":"/instances"}],"more":1}"#;
        for (name, said, expected) in [
            ("taken", ok(taken), "taken: pool tank (tank/nova)"),
            ("ready", ok(r#"{"version":1,"state":"ready","detail":"x"}"#), "ready: x"),
            ("refused", ok(r#"{"version":1,"state":"refused","detail":"no path"}"#), "refused: no path"),
            (
                "a good answer and a bad end",
                said(Ended::Exit(3), taken),
                "cannot tell: it ended with exit code 3; it says: no such pool",
            ),
            ("killed", said(Ended::Signal(9), taken), "cannot tell: signal 9"),
            ("too slow", said(Ended::Deadline, taken), "cannot tell: it was killed at its deadline"),
            ("too much", Said { cut: true, ..ok(taken) }, "cannot tell: it said more"),
            ("nothing", ok(""), "cannot tell: its answer cannot be understood"),
            ("no JSON", ok("taken"), "cannot tell: its answer cannot be understood"),
            ("half", ok(taken.split_at(40).0), "cannot tell: its answer cannot be understood"),
            ("two documents", ok(&format!("{taken}{taken}")), "cannot tell: its answer cannot be understood"),
            ("no version", ok(r#"{"state":"ready","detail":"x"}"#), "cannot tell: its answer"),
            (
                "of next year",
                ok(r#"{"version":2,"state":"ready","detail":"x"}"#),
                "cannot tell: its answer has version 2",
            ),
            (
                "another state",
                ok(r#"{"version":1,"state":"TAKEN","detail":"x"}"#),
                "cannot tell: it says \"TAKEN\"",
            ),
            (
                "taken, nowhere",
                ok(r#"{"version":1,"state":"taken","detail":"x"}"#),
                "cannot tell: it says taken, and nothing",
            ),
            (
                "taken, elsewhere",
                ok(
                    r#"{"version":1,"state":"taken","detail":"x","mounted":[{"what":"a","where":"/instances2"}]}"#,
                ),
                "cannot tell: it says taken, and nothing",
            ),
        ] {
            let found = answer(&said, Path::new("/instances")).text();
            assert!(found.starts_with(expected), "{name}: {found}");
        }
    }

    #[test]
    fn what_it_says_is_one_short_line() {
        let long = format!(r#"{{"version":1,"state":"ready","detail":"a\nb{}"}}"#, "x".repeat(4000));
        let text = answer(&said(Ended::Exit(0), &long), Path::new("/")).text();
        assert!(text.starts_with("ready: a b") && text.len() < 400, "{}", text.len());
    }
}
