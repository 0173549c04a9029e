//! Destructive commands want the name typed.

use super::OperatorError;
use crate::confirm::typed;

/// Passes when `--yes` holds exactly the name, or a person types it on a terminal. `command` is
/// the exact command line that would confirm, for the hint.
pub fn confirm(name: &str, yes: Option<&str>, what: &str, command: &str) -> Result<(), OperatorError> {
    typed(name, yes, what)
        .map_err(|why| OperatorError::NotConfirmed { why, command: format!("{command} --yes {name}") })
}
