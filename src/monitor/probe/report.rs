//! What a probe says: an exit code and one line that helps in Consul's UI.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::decide::{Findings, Next, Verdict};
use crate::exit::probe::{CRITICAL, PASSING, WARNING};
use crate::tree::observer::{PlaneAnswer, PlaneRecord};

/// Longest line: what fits where Consul shows a check's output.
pub const MAX_LINE: usize = 150;

/// The result of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Exit code, see [`crate::exit::probe`].
    pub exit: u8,
    /// Who was looked at; absent when that could not be told from the arguments.
    pub machine: Option<String>,
    /// One line, at most [`MAX_LINE`] characters.
    pub line: String,
    /// What each plane answered; empty when none was asked.
    pub planes: BTreeMap<String, PlaneRecord>,
    /// Whether the observer record was written.
    pub written: bool,
}

impl Report {
    /// A fault of our own, or something in the tree that cannot be used: warning, never critical.
    pub fn fault(machine: Option<&str>, why: &str) -> Self {
        let who = machine.unwrap_or("nova-ha-probe");
        Self {
            exit: WARNING,
            machine: machine.map(str::to_owned),
            line: one_line(&format!("WARNING {who}: cannot tell: {why}")),
            planes: BTreeMap::new(),
            written: false,
        }
    }

    /// What was found, and recorded if there was something to record.
    pub fn found(machine: &str, findings: &Findings, next: &Next, threshold: u64) -> Self {
        let (exit, word) = match next.verdict {
            Verdict::Healthy => (PASSING, "OK"),
            Verdict::CannotTell | Verdict::Failing => (WARNING, "WARNING"),
            Verdict::Critical => (CRITICAL, "CRITICAL"),
        };
        let mut line = format!("{word} {machine}:");
        // What failed first: a long line is cut at its end.
        let order = |answer: PlaneAnswer| match answer {
            PlaneAnswer::Failed => 0,
            PlaneAnswer::CannotTell => 1,
            PlaneAnswer::Healthy => 2,
        };
        let mut planes: Vec<_> = next.planes.iter().collect();
        planes.sort_by_key(|(name, plane)| (order(plane.answer), name.as_str()));
        for (index, (name, plane)) in planes.iter().enumerate() {
            let separator = if index == 0 { " " } else { "; " };
            let why = findings.get(*name).map(|f| f.why.as_str()).unwrap_or_default();
            // Writing to a String cannot fail.
            let _infallible = match plane.answer {
                PlaneAnswer::Healthy => write!(line, "{separator}{name} healthy"),
                PlaneAnswer::Failed => {
                    write!(line, "{separator}{name} failed {} of {threshold} ({why})", plane.fails)
                }
                PlaneAnswer::CannotTell => write!(line, "{separator}{name} cannot tell ({why})"),
            };
        }
        Self {
            exit,
            machine: Some(machine.to_owned()),
            line: one_line(&line),
            planes: next.planes.clone(),
            written: next.record.is_some(),
        }
    }

    /// The line for stdout.
    pub fn text(&self, json: bool) -> String {
        match json {
            true => serde_json::to_string(self).unwrap_or_else(|_| self.line.clone()),
            false => self.line.clone(),
        }
    }
}

/// Control characters out (a machine's words come from outside), and not longer than [`MAX_LINE`].
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if plain.chars().count() <= MAX_LINE {
        return plain;
    }
    plain.chars().take(MAX_LINE - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_a_fault_is_never_critical() {
        let report = Report::fault(Some("node1"), &format!("a\nb\u{1b}[31m{}", "x".repeat(300)));
        assert_eq!(report.exit, WARNING);
        assert_eq!(report.line.chars().count(), MAX_LINE);
        assert!(report.line.starts_with("WARNING node1: cannot tell: a b [31mxxx"), "{}", report.line);
        assert!(!report.line.contains('\n') && report.line.ends_with("..."));
    }
}
