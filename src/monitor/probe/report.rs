//! What a probe says: an exit code and one line that helps in Consul's UI.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::decide::{Findings, Next, Verdict};
use crate::exit::probe::{CRITICAL, PASSING, WARNING};
use crate::tree::observer::{PlaneAnswer, PlaneRecord};

/// Longest line: a key of the tree and a command that names it again must fit into what Consul shows
/// of a check's output without scrolling.
pub const MAX_LINE: usize = 200;

/// What is left of the reason however long the next command is.
const LEAST_WHY: usize = 60;

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
        Self::fault_with_next(machine, why, None)
    }

    /// As [`Report::fault`], with the operator's next command: it stays whole, whatever is cut of the
    /// reason.
    pub fn fault_with_next(machine: Option<&str>, why: &str, next: Option<&str>) -> Self {
        let who = machine.unwrap_or("nova-ha-probe");
        let said = format!("WARNING {who}: cannot tell: {why}");
        let line = with_end(&said, next);
        Self {
            exit: WARNING,
            machine: machine.map(str::to_owned),
            line,
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
                // No counter: it would change the text, and wake every watch on checks, at each run of a host that stays
                // dead. The record has it, and `nova-ha status` shows it.
                PlaneAnswer::Failed if plane.fails < threshold => {
                    write!(line, "{separator}{name} failed, not yet {threshold} times in a row ({why})")
                }
                PlaneAnswer::Failed => {
                    write!(line, "{separator}{name} failed {threshold} times in a row or more ({why})")
                }
                PlaneAnswer::CannotTell => write!(line, "{separator}{name} cannot tell ({why})"),
            };
        }
        Self {
            exit,
            machine: Some(machine.to_owned()),
            line: cut(&line, MAX_LINE),
            planes: next.planes.clone(),
            written: next.record.is_some(),
        }
    }

    /// The same, with a remark at the end that stays whole.
    pub fn with_note(self, note: Option<&str>) -> Self {
        Self { line: with_end(&self.line, note), ..self }
    }

    /// The line for stdout.
    pub fn text(&self, json: bool) -> String {
        match json {
            true => serde_json::to_string(self).unwrap_or_else(|_| self.line.clone()),
            false => self.line.clone(),
        }
    }
}

/// A line with an end that stays whole, whatever is cut of what is before it.
fn with_end(said: &str, end: Option<&str>) -> String {
    let Some(end) = end else { return cut(said, MAX_LINE) };
    let end = plain(end);
    let room = MAX_LINE.saturating_sub(end.chars().count() + 2).max(LEAST_WHY);
    format!("{}; {end}", cut(said, room))
}

/// Control characters out: a machine's words come from outside.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// One line, and not longer than `most`.
fn cut(text: &str, most: usize) -> String {
    let plain = plain(text);
    if plain.chars().count() <= most {
        return plain;
    }
    plain.chars().take(most.saturating_sub(3)).chain("...".chars()).collect()
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
    #[test]
    fn the_next_command_is_never_cut() {
        let next = "look at it: consul kv get ha_cluster/compute_nodes/compute1/internal/epoch";
        let report = Report::fault_with_next(Some("compute1"), &"why ".repeat(100), Some(next));
        assert_eq!(report.line.chars().count(), MAX_LINE);
        assert!(report.line.starts_with("WARNING compute1: cannot tell: why why"), "{}", report.line);
        assert!(report.line.ends_with(&format!("...; {next}")), "{}", report.line);
        let long = "x".repeat(300);
        let report = Report::fault_with_next(Some("compute1"), &long, Some(&long));
        assert!(report.line.starts_with("WARNING compute1: cannot tell: xxx"), "{}", report.line);
        assert!(report.line.ends_with(&long), "{}", report.line);
    }
}
