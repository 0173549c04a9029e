//! How much a person has to know something.

use serde::Serialize;

/// Ordered: the worst of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing to do.
    Fine,
    /// It waits for a person: `nova-ha status` ends with 3, the sweep's check is a warning.
    Warning,
    /// It has waited for too long: the sweep's check is critical.
    Critical,
}

/// One row of the table: what is said, and what to type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// How much a person has to know it.
    pub severity: Severity,
    /// For people. Without counters and without what changes by itself: it is the text of a check.
    pub text: String,
    /// The operator's next commands.
    pub next: Vec<String>,
}
