//! Destructive commands want the host's name typed, and to know who says so.

use std::io::{BufRead, IsTerminal};

use crate::say;

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
    say::ask(&format!("{what}\nType {name} to go on: "));
    let mut line = String::new();
    match stdin.lock().read_line(&mut line) {
        Ok(_) if line.trim() == name => Ok(()),
        Ok(_) => Err(format!("{:?} is not {name}", line.trim())),
        Err(error) => Err(format!("the answer cannot be read: {error}")),
    }
}

/// The name of `--by`, trimmed: it is what stays on record of who gave an order.
///
/// # Errors
/// It is no [`line()`].
pub fn person(text: &str) -> Result<String, &'static str> {
    line(text.trim()).map(|()| text.trim().to_owned())
}

/// One line of printable characters that cannot be read as an option.
pub fn line(text: &str) -> Result<(), &'static str> {
    match text {
        _ if text.is_empty() => Err("it is empty"),
        _ if text.len() > 253 => Err("it is longer than 253 bytes"),
        _ if text.starts_with('-') => Err("it begins with '-'"),
        _ if text.chars().any(char::is_control) => Err("it contains a control character"),
        _ => Ok(()),
    }
}
