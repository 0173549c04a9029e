//! What a command has to say: for people and for programs.

use serde::Serialize;

use super::OperatorError;
use crate::exit;

/// The result of a command, in both forms; the binary prints the one that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// For people: at most 80 columns where words can be broken, ends in a newline.
    pub text: String,
    /// For programs: stable field names.
    pub json: serde_json::Value,
    /// One of [`crate::exit`].
    pub code: u8,
}

impl Answer {
    /// Both forms of one result.
    pub fn new(text: impl Into<String>, json: &impl Serialize) -> Result<Self, OperatorError> {
        let json = serde_json::to_value(json).map_err(|source| OperatorError::Render { source })?;
        let mut text = text.into();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(Self { text, json, code: exit::OK })
    }

    /// The same with another exit code.
    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// The exit code of a screen: bad data is a failure, something that waits for a person is not.
pub(super) fn code(faulty: bool, attention: bool) -> u8 {
    match (faulty, attention) {
        (true, _) => exit::FAILED,
        (false, true) => exit::ATTENTION,
        (false, false) => exit::OK,
    }
}

/// Whether a command changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The transaction happened.
    Changed,
    /// The tree already said so; nothing was written.
    AlreadySo,
}

/// The JSON of a command that changes one thing.
#[derive(Debug, Serialize)]
pub struct Done<'a> {
    /// Whether anything changed.
    pub outcome: Outcome,
    /// The verb and what it was about.
    pub action: &'a str,
    /// The host, HA node, incident or key.
    pub name: &'a str,
}

/// The answer of a command that changes one thing.
pub fn done(
    outcome: Outcome,
    action: &str,
    name: &str,
    text: impl Into<String>,
) -> Result<Answer, OperatorError> {
    Answer::new(text, &Done { outcome, action, name })
}
