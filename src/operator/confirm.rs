//! Destructive commands want the name typed.

use std::io::{BufRead, IsTerminal, Write};

use super::OperatorError;

/// Passes when `--yes` holds exactly the name, or a person types it on a terminal. `command` is
/// the exact command line that would confirm, for the hint.
pub fn confirm(name: &str, yes: Option<&str>, what: &str, command: &str) -> Result<(), OperatorError> {
    let refuse =
        |why: String| Err(OperatorError::NotConfirmed { why, command: format!("{command} --yes {name}") });
    match yes {
        Some(typed) if typed == name => return Ok(()),
        Some(typed) => return refuse(format!("{typed:?} is not {name}")),
        None => {}
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return refuse("there is no terminal to ask on".into());
    }
    let mut stderr = std::io::stderr();
    // If the question cannot be shown, the answer read below will not be the name.
    let _unseen = write!(stderr, "{what}\nType {name} to go on: ").and_then(|()| stderr.flush());
    let mut line = String::new();
    match stdin.lock().read_line(&mut line) {
        Ok(_) if line.trim() == name => Ok(()),
        Ok(_) => refuse(format!("{:?} is not {name}", line.trim())),
        Err(error) => refuse(format!("the answer cannot be read: {error}")),
    }
}
