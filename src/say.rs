//! The one gate through which words reach a person, a check or a log.
//!
//! Much of what is shown was said by somebody else: a host, a BMC, Nova, whoever may write a key. A terminal obeys escape
//! sequences, and shows text in another order where a character tells it to. So every character that does not show
//! itself is shown by its number here, whoever forgot it before. Nothing else in this crate writes to stdout or stderr
//! (`tests/import_rules/main.rs`).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Whether a character acts on a terminal or on the text around it, or cannot be seen: control characters (C0, DEL, C1),
/// directions, invisible and deprecated format characters, line separators and tags. Source: Unicode 16, general categories Cc,
/// Cf, Zl and Zp, but for those that only occur within scripts (U+0600 to U+06DD, U+070F, U+08E2, U+110BD).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}')
}

/// A text in which every character shows itself; line ends stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    shown(text, |c, into| {
        let _never_fails = write!(into, "\\u{{{:x}}}", u32::from(c));
    })
}

/// The same for JSON that is written already: such a character can only be within a string there, and stays what it is for
/// whoever reads it.
pub fn visible_json(text: &str) -> Cow<'_, str> {
    shown(text, |c, into| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _never_fails = write!(into, "\\u{unit:04x}");
        }
    })
}

fn shown(text: &str, show: impl Fn(char, &mut String)) -> Cow<'_, str> {
    // Nearly all that is said is ASCII.
    let is_shown = |c: char| matches!(c, '\n' | ' '..='~') || !is_hidden(c);
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        match is_shown(c) {
            true => visible.push(c),
            false => show(c, &mut visible),
        }
    }
    Cow::Owned(visible)
}

/// Of somebody else's words in a sentence of ours.
const MOST_CHARS: usize = 300;

/// Somebody else's words as a part of a sentence of ours: no more than a person reads. A value that cannot be understood may be
/// half a megabyte long, and what is said of it quotes it.
pub fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST_CHARS) {
        Some((at, _)) => Cow::Owned(format!("{}...", text.get(..at).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// The same of a text of ours that may be long, cut where a clause ends: half a sentence says something else.
pub fn clauses(text: &str, most: usize) -> String {
    let Some((at, _)) = text.char_indices().nth(most) else { return text.to_owned() };
    let kept = text.get(..at).unwrap_or_default();
    let end =
        ["; ", ". ", ": ", ", ", " "].iter().find_map(|end| kept.rfind(end).filter(|end| *end > at / 2));
    format!("{} ...", kept.get(..end.unwrap_or(at)).unwrap_or_default())
}

/// A result, for people, on stdout.
///
/// # Errors
/// Nobody reads it any more, or the disk that it goes to is full.
pub fn result(text: &str) -> io::Result<()> {
    io::stdout().write_all(visible(text).as_bytes())
}

/// A result in JSON, on stdout.
///
/// # Errors
/// As [`result`].
pub fn json(text: &str) -> io::Result<()> {
    io::stdout().write_all(visible_json(text).as_bytes())
}

/// A line on stdout. That nobody reads it changes nothing about what was done.
pub fn line(text: &str) {
    let _nobody_reads = result(&format!("{text}\n"));
}

/// A line of JSON on stdout, as [`line()`].
pub fn json_line(text: &str) {
    let _nobody_reads = json(&format!("{text}\n"));
}

/// A line on stderr.
pub fn error(text: &str) {
    ask(&format!("{text}\n"));
}

/// A question on stderr, which the answer follows on the same line.
pub fn ask(text: &str) {
    // If it cannot be shown, whoever answers does not know to what, and the answer is not the one.
    let mut stderr = io::stderr();
    let _unseen = stderr.write_all(visible(text).as_bytes()).and_then(|()| stderr.flush());
}

/// Stderr for the log, which writes an event with one call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        io::stderr().write_all(visible(&text).as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_as_long_as_a_sentence_at_most() {
        assert!(matches!(short("plain"), Cow::Borrowed("plain")));
        let long = "é".repeat(500_000);
        assert_eq!(short(&long).chars().count(), MOST_CHARS + 3);
        assert!(short(&long).ends_with("é..."));
        assert_eq!(short(&"x".repeat(MOST_CHARS)).len(), MOST_CHARS);
    }

    #[test]
    fn a_long_text_ends_with_a_clause() {
        assert_eq!(clauses("short; enough", 100), "short; enough");
        let text = "ipmi a: it refuses cipher suite 17: exit 1; ipmi b: nothing answers there at all";
        assert_eq!(clauses(text, 60), "ipmi a: it refuses cipher suite 17: exit 1 ...");
        assert_eq!(clauses(&"x".repeat(50), 20), format!("{} ...", "x".repeat(20)));
        assert_eq!(clauses("é é é é é é é é", 9), "é é é é ...");
    }

    #[test]
    fn what_a_terminal_obeys_or_hides_is_shown_by_its_number() {
        let said = "a\u{1b}[2J\u{7}\u{9b}31m\u{202e}b\u{200b}c\rd\u{e0041}\te";
        let expected = r"a\u{1b}[2J\u{7}\u{9b}31m\u{202e}b\u{200b}c\u{d}d\u{e0041}\u{9}e";
        assert_eq!(visible(said), expected);
        for kept in ["plain", "two\nlines", "ünïcödé 日本 العربية", ""] {
            assert!(matches!(visible(kept), Cow::Borrowed(text) if text == kept));
        }
    }

    #[test]
    fn json_means_the_same_and_shows_itself() {
        let said = serde_json::json!({"why": "a\u{1b}b\u{9b}c\u{202e}d\u{e0041}"});
        let text = format!("{said:#}\n");
        let shown = visible_json(&text);
        assert!(shown.chars().all(|c| c == '\n' || !is_hidden(c)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), said);
    }
}
