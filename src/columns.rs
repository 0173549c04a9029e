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

/// Lines as they go to stdout: broken where a person reads them, whole where a program does (what
/// Consul, cron or a log keeps is one line).
pub fn line(text: &str) -> String {
    if std::io::stdout().is_terminal() { hanging(text) } else { text.to_owned() }
}

/// As [`line()`], for what goes to stderr.
pub fn error_line(text: &str) -> String {
    if std::io::stderr().is_terminal() { hanging(text) } else { text.to_owned() }
}

/// Each line broken, and from its second row on indented by two. What is aligned in columns stays so
/// in the first row.
fn hanging(text: &str) -> String {
    text.lines().map(row).collect::<Vec<String>>().join("\n")
}

fn row(line: &str) -> String {
    let Some((over, _)) = line.char_indices().nth(WIDTH) else { return line.to_owned() };
    let indent = line.len() - line.trim_start().len();
    let last_space = line.get(..over).and_then(|fits| fits.rfind(' ')).filter(|at| *at > indent);
    // A word that is longer than a row stays whole, and what follows it begins a new one.
    let after_the_word = || line.get(indent..)?.find(' ').map(|at| at + indent);
    match last_space.or_else(after_the_word).and_then(|at| line.split_at_checked(at)) {
        Some((first, rest)) => format!("{}\n  {}", first.trim_end(), wrap(rest, 2)),
        None => line.to_owned(),
    }
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

    #[test]
    fn several_lines_keep_their_columns_and_only_what_is_too_long_is_broken() {
        let short = "target   ha1 (reserved spare)";
        let long = format!("guest    {:<20} {:<8} {}", "web", "active", "local disk, attach only ".repeat(4));
        let text = hanging(&format!("{short}\n{long}"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], short);
        assert!(lines[1].starts_with("guest    web                  active   local disk"), "{text}");
        assert!(lines[2].starts_with("  "), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{text}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&text), words(&format!("{short}\n{long}")), "nothing is lost");
        let path = "x".repeat(200);
        assert_eq!(hanging(&path), path);
        assert_eq!(hanging(&format!("{path} end")), format!("{path}\n  end"));
        assert_eq!(hanging(&format!("{} y", "é".repeat(79))), format!("{}\n  y", "é".repeat(79)));
    }
}
