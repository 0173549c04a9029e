//! What a device or its tool said, made fit for an error: one line, short, without secrets.

use secrecy::{ExposeSecret, SecretString};

use crate::program::{Ended, Finished};
use crate::say::clauses;

/// Enough for a message, too little for a flood.
const MAX_CHARS: usize = 200;

/// One line of a text from outside. Secrets are masked (a tool may echo its options), control
/// characters become spaces (a terminal would obey them).
pub(super) fn one_line(text: &str, secrets: &[&SecretString]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().map(|s| s.expose_secret()).filter(|s| !s.is_empty()) {
        text = text.replace(secret, "***");
    }
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    clauses(&line, MAX_CHARS)
}

/// How a tool ended and what it said, stderr first: that is where errors are.
pub(super) fn by_tool(finished: &Finished, secrets: &[&SecretString]) -> String {
    let ended = match finished.ended {
        Ended::Exit(code) => format!("exit {code}"),
        Ended::Signal(signal) => format!("signal {signal}"),
        Ended::Deadline => "killed at its deadline".to_owned(),
    };
    let stderr = String::from_utf8_lossy(&finished.stderr.bytes);
    let stdout = String::from_utf8_lossy(&finished.stdout.bytes);
    let said = one_line(&format!("{stderr} {stdout}"), secrets);
    if said.is_empty() { format!("{ended}, without a word") } else { format!("{ended}: {said}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_secret_no_control_character_and_an_end() {
        let secret = SecretString::from("Test123.");
        let shown = one_line("options: password=Test123.\n\x1b[31mred\x07", &[&secret]);
        assert_eq!(shown, "options: password=*** [31mred");
        assert_eq!(one_line(&"é".repeat(1000), &[]).chars().count(), MAX_CHARS + " ...".len());
    }
}
