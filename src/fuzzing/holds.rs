//! What must hold of anything that is said of foreign bytes.

use std::borrow::Cow;

use crate::chain::chain;
use crate::say;

/// No sentence about foreign bytes is longer, with all its causes.
pub(super) const MOST_CHARS: usize = 2000;

/// A secret that seeds have where a tool or a device may echo it.
pub(super) const CANARY: &str = "Test123.";

/// The first byte says which of `many`, as `a`, `b`, ...; the rest is for it.
pub(super) fn which(data: &[u8], many: usize) -> Option<(usize, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((usize::from(first.wrapping_sub(b'a')) % many, rest))
}

/// A sentence that a person may come to read.
pub(super) fn sentence(text: &str) {
    let length = text.chars().count();
    assert!(length <= MOST_CHARS, "{length} characters: {}...", text.chars().take(300).collect::<String>());
    if let Cow::Owned(shown) = say::visible(text) {
        assert_eq!(say::visible(&shown), shown, "what is shown is hidden again");
    }
}

/// The same of an error with all its causes.
pub(super) fn error(error: &dyn std::error::Error) {
    sentence(&chain(error));
}

/// The same of words that were made one line already, without the secret.
pub(super) fn line(text: &str) {
    sentence(text);
    assert!(!text.chars().any(char::is_control), "a control character is in {text:?}");
    // What was cut ends in three points, and so may look like the last character of the secret.
    assert!(!text.trim_end_matches("...").contains(CANARY), "a secret is in {text:?}");
}

/// The same bytes by another reading, to compare with: whole, where the product passes over what it does not use. `None` where
/// that is no JSON (no text, a number out of range, too deep).
pub(super) fn json(bytes: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_str(&String::from_utf8_lossy(bytes)).ok()
}

/// What is kept of some bytes is not much more than they were.
pub(super) fn bounded(kept: usize, of: &[u8]) {
    assert!(kept <= 64 * of.len() + 16 * 1024, "{kept} bytes of {}", of.len());
}
