//! Lines for people: 80 columns, broken between words.

use std::io::IsTerminal;

/// Columns of a terminal that nobody resized.
pub const WIDTH: usize = 80;

/// Breaks a text between words so that it fits from `column` to the right edge; the lines after
/// the first begin at `column` too. A word longer than that is left whole: a broken key or path
/// cannot be copied.
pub fn wrap(text: &str, column: usize) -> String {
    let room = WIDTH.saturating_sub(column).max(20);
    let mut wrapped = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(column));
            used = 0;
        } else if used > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += length;
    }
    wrapped
}

/// One line as it goes to stdout: broken where a person reads it, whole where a program does (what
/// Consul, cron or a log keeps is one line).
pub fn line(text: &str) -> String {
    if std::io::stdout().is_terminal() && !text.contains('\n') { hanging(text) } else { text.to_owned() }
}

/// Broken, and from the second line on indented by two.
fn hanging(text: &str) -> String {
    let broken = wrap(text, 2);
    broken.trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_hangs_and_a_path_stays_whole() {
        let path = format!("/{}", "x".repeat(100));
        let text = hanging(&format!("compute1: no, {} {path} end", "because ".repeat(20)));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH || line.trim() == path), "{text}");
        assert!(lines[0].starts_with("compute1: no, because"), "{text}");
        assert!(lines[1..].iter().all(|line| line.starts_with("  ") && !line.starts_with("   ")), "{text}");
        assert!(text.contains(&path), "{text}");
    }
}
