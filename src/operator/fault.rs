//! What cannot be understood, or is not as it should be, with what to type.

use serde::Serialize;

use super::table::field;
use crate::chain::chain;
use crate::tree::TreeError;

/// Where what is said begins, as in the view of a machine.
const FAULTS_AT: usize = 20;

/// A key that cannot be understood, and what to type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Names the key.
    pub what: String,
    /// The operator's next command.
    pub next: Option<String>,
}

impl From<TreeError> for Fault {
    fn from(error: TreeError) -> Self {
        let next = error.hint();
        Self { what: chain(&error), next }
    }
}

/// Keeps what can be read, and notes what cannot.
pub(super) fn look<T>(faults: &mut Vec<Fault>, read: Result<T, TreeError>) -> Option<T> {
    let note = |error: TreeError| {
        let fault = Fault::from(error);
        // One key may be read for several answers.
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    };
    read.map_err(note).ok()
}

/// Faults, each with what to type.
pub(super) fn faults_text(faults: &[Fault]) -> String {
    let mut text = String::new();
    for fault in faults {
        text += &field("BAD DATA", Some(&fault.what), FAULTS_AT);
        if let Some(next) = &fault.next {
            text += &next_text(next);
        }
    }
    text
}

/// What to type, never broken: a broken command cannot be copied.
pub(super) fn next_text(next: &str) -> String {
    format!("  next: {next}\n")
}
