//! One line per host, and whether a person should look.

use serde::Serialize;

use crate::names::{HostName, IncidentId};

/// What became of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Result {
    /// Its incident was opened.
    Marked,
    /// It was not marked.
    No,
    /// A person's order was added to the incident that was open already.
    Ordered,
    /// A person ordered it, and it answers: the order needs a second word.
    Answers,
    /// What is written under its keys cannot be understood.
    Unreadable,
    /// It was not judged, as nobody suspects it; and not all HA nodes see it.
    Unwatched,
    /// It was not judged, as nobody suspects it; and it would not be recovered.
    Unprotected,
    /// It was not judged, as nobody suspects it; and a recovery would act by its own word.
    FirstSight,
}

/// One host's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which host.
    pub host: HostName,
    /// What became of it.
    pub result: Result,
    /// Its incident, if one was opened or is open.
    pub incident: Option<IncidentId>,
    /// Why.
    pub because: String,
    /// Whether a person should look.
    pub attention: bool,
    /// The operator's next command, where there is one.
    pub next: Option<String>,
}

impl Line {
    /// As a person reads it.
    pub fn text(&self) -> String {
        match self.result {
            Result::Marked => format!("{}: MARKED failed, because {}", self.host, self.because),
            Result::Ordered => format!("{}: ordered, {}", self.host, self.because),
            Result::No => format!("{}: no, {}", self.host, self.because),
            Result::Answers => format!("{}: NOT ordered, it may live: {}", self.host, self.because),
            Result::Unreadable => format!("{}: ERROR {}", self.host, self.because),
            Result::Unwatched | Result::Unprotected | Result::FirstSight => {
                format!("{}: {}", self.host, self.because)
            }
        }
    }
}
