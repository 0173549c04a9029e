//! An error with its causes.

use crate::say::short;

/// An error with its causes, on one line. `Display` of our errors never prints its source. Causes are others' errors, which quote
/// what they could not read.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {}", short(&cause.to_string()));
        source = cause.source();
    }
    text
}
