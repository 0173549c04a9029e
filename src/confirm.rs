//! Destructive commands want the host's name typed.

use std::io::{BufRead, IsTerminal, Write};

/// Passes when `yes` holds exactly the name, or a person types it on a terminal; otherwise says why
/// not.
pub fn typed(name: &str, yes: Option<&str>, what: &str) -> Result<(), String> {
    match yes {
        Some(typed) if typed == name => return Ok(()),
        Some(typed) => return Err(format!("{typed:?} is not {name}")),
        None => {}
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err("there is no terminal to ask on".into());
    }
    let mut stderr = std::io::stderr();
    // If the question cannot be shown, the answer read below will not be the name.
    let _unseen = write!(stderr, "{what}\nType {name} to go on: ").and_then(|()| stderr.flush());
    let mut line = String::new();
    match stdin.lock().read_line(&mut line) {
        Ok(_) if line.trim() == name => Ok(()),
        Ok(_) => Err(format!("{:?} is not {name}", line.trim())),
        Err(error) => Err(format!("the answer cannot be read: {error}")),
    }
}
