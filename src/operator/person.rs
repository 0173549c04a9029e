//! What a person types: who it is, and for how long; and words for a shell.

use std::time::Duration;

use super::OperatorError;

/// Who says so.
pub(super) fn person(by: &str) -> Result<String, OperatorError> {
    crate::confirm::person(by).map_err(|why| OperatorError::Input { option: "--by".into(), why: why.into() })
}

/// A word for a shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@/:".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("{text:?} is no time like 30s or 5m"))?;
    Duration::try_from(signed).map_err(|_| format!("{text:?} is negative"))
}
