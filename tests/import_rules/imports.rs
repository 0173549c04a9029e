//! The paths that a Rust file names: enough of a lexer to see them all, whatever comments, strings
//! and groups stand between, and not a parser of Rust.

/// One lexeme that matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    PathSep,
    Char(char),
}

/// Words that may stand before a path that begins with `::`, and begin none themselves.
const KEYWORDS: [&str; 12] =
    ["use", "dyn", "impl", "in", "as", "mut", "return", "for", "where", "let", "const", "else"];

/// How a path is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// `pub use path`, also with a restriction: others find it here.
    Reexport,
    /// `use path`: its last name stands for it in this file.
    Use,
    /// In the code itself.
    Inline,
}

/// Every path that the file names, however it does.
pub(crate) fn paths(file: &str, text: &str) -> Vec<Vec<String>> {
    named(file, text).into_iter().map(|(_, path)| path).collect()
}

/// Every path that the file names, segment by segment, groups unfolded; `super` and `self` are
/// resolved to `crate::...` by the file's place below `src/`. What is under an inline `#[cfg(test)]`
/// is left out.
pub(crate) fn named(file: &str, text: &str) -> Vec<(How, Vec<String>)> {
    let tokens = without_tests(lex(text));
    let here = module_path(file);
    let mut found = Vec::new();
    // Names of inline modules that are open, each with the depth of braces at which it closes.
    let mut inside: Vec<(String, usize)> = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Char('{') => {
                if let (Some(Token::Word(name)), true) =
                    (before(&tokens, at, 1), before(&tokens, at, 2) == Some(&Token::Word("mod".into())))
                {
                    inside.push((name.clone(), depth));
                }
                depth += 1;
            }
            Token::Char('}') => {
                depth = depth.saturating_sub(1);
                if inside.last().is_some_and(|(_, opened)| *opened == depth) {
                    inside.pop();
                }
            }
            Token::Word(word) if KEYWORDS.contains(&word.as_str()) => {}
            // `pub(super)` says who may see what follows, and names nothing.
            Token::Word(_)
                if before(&tokens, at, 1) == Some(&Token::Char('('))
                    && before(&tokens, at, 2) == Some(&Token::Word("pub".into())) => {}
            Token::Word(_) if before(&tokens, at, 1) != Some(&Token::PathSep) || is_root(&tokens, at) => {
                let mut raw = Vec::new();
                let how = how(&tokens, at);
                at = read(&tokens, at, &mut Vec::new(), &mut raw);
                let base: Vec<String> =
                    here.iter().cloned().chain(inside.iter().map(|(name, _)| name.clone())).collect();
                found.extend(raw.into_iter().map(|path| (how, resolve(path, &base))));
                continue;
            }
            Token::Word(_) | Token::PathSep | Token::Char(_) => {}
        }
        at += 1;
    }
    found
}

/// By what stands before the path that begins at `at`.
fn how(tokens: &[Token], at: usize) -> How {
    let at = if before(tokens, at, 1) == Some(&Token::PathSep) { at - 1 } else { at };
    if before(tokens, at, 1) != Some(&Token::Word("use".into())) {
        return How::Inline;
    }
    match before(tokens, at, 2) {
        // Nothing but `pub(crate)` and its like ends with a bracket before a `use`.
        Some(Token::Char(')')) => How::Reexport,
        Some(Token::Word(word)) if word == "pub" => How::Reexport,
        Some(Token::Word(_) | Token::PathSep | Token::Char(_)) | None => How::Use,
    }
}

fn before(tokens: &[Token], at: usize, steps: usize) -> Option<&Token> {
    at.checked_sub(steps).and_then(|at| tokens.get(at))
}

/// `::name` at the start of a path, as in `use ::name`.
fn is_root(tokens: &[Token], at: usize) -> bool {
    before(tokens, at, 1) == Some(&Token::PathSep)
        && match before(tokens, at, 2) {
            Some(Token::Word(word)) => KEYWORDS.contains(&word.as_str()),
            Some(Token::Char(c)) => *c != '>',
            Some(Token::PathSep) | None => true,
        }
}

/// `monitor/probe/run.rs` is `crate::monitor::probe::run`; `mod.rs` and `lib.rs` stand for their folder.
fn module_path(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs");
    let parts = stem.split('/').filter(|part| !matches!(*part, "mod" | "lib"));
    std::iter::once("crate").chain(parts).map(str::to_owned).collect()
}

fn resolve(path: Vec<String>, base: &[String]) -> Vec<String> {
    let mut base = base.to_vec();
    let mut rest = path.as_slice();
    match rest.first().map(String::as_str) {
        Some("self") if rest.len() > 1 => rest = &rest[1..],
        Some("super") => {}
        _ => return path,
    }
    while rest.first().is_some_and(|segment| segment == "super") {
        if base.len() > 1 {
            base.pop();
        }
        rest = &rest[1..];
    }
    base.extend(rest.iter().cloned());
    base
}

/// Reads one path, or one tree of a `use`, from `at`; returns where it ends.
fn read(tokens: &[Token], mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let length = prefix.len();
    loop {
        match tokens.get(at) {
            Some(Token::Word(word)) => prefix.push(word.clone()),
            Some(Token::Char('*')) => prefix.push("*".into()),
            Some(Token::Char('{')) => {
                at += 1;
                loop {
                    match tokens.get(at) {
                        None => break,
                        Some(Token::Char('}')) => {
                            at += 1;
                            break;
                        }
                        // The other name of what was just read.
                        Some(Token::Word(word)) if word == "as" => at += 2,
                        Some(Token::Word(_) | Token::Char('*' | '{')) => at = read(tokens, at, prefix, found),
                        Some(Token::PathSep | Token::Char(_)) => at += 1,
                    }
                }
                prefix.truncate(length);
                return at;
            }
            Some(Token::PathSep | Token::Char(_)) | None => break,
        }
        at += 1;
        if tokens.get(at) != Some(&Token::PathSep) {
            break;
        }
        at += 1;
    }
    found.push(prefix.clone());
    prefix.truncate(length);
    at
}

/// Leaves out each `#[cfg(test)] mod name { ... }`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let word = |text: &str| Token::Word(text.into());
    let mark = [
        Token::Char('#'),
        Token::Char('['),
        word("cfg"),
        Token::Char('('),
        word("test"),
        Token::Char(')'),
        Token::Char(']'),
        word("mod"),
    ];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].starts_with(&mark) && tokens.get(at + mark.len() + 1) == Some(&Token::Char('{')) {
            at += mark.len() + 1;
            let mut depth = 0_usize;
            while let Some(token) = tokens.get(at) {
                match token {
                    Token::Char('{') => depth += 1,
                    Token::Char('}') => depth -= 1,
                    Token::Word(_) | Token::PathSep | Token::Char(_) => {}
                }
                at += 1;
                if depth == 0 {
                    break;
                }
            }
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn lex(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let peek = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match (peek(at), peek(at + 1)) {
            ('/', '/') => at = skip_until(&chars, at, |at| peek(at) == '\n'),
            ('/', '*') => at = skip_comment(&chars, at),
            ('"', _) => at = skip_string(&chars, at + 1),
            ('\'', _) => at = skip_quote(&chars, at),
            (':', ':') => {
                tokens.push(Token::PathSep);
                at += 2;
            }
            (c, _) if is_word(c) => {
                let end = skip_until(&chars, at, |at| !is_word(peek(at)));
                let word: String = chars[at..end].iter().collect();
                at = end;
                match (word.as_str(), peek(at)) {
                    ("b" | "c", '"') => at = skip_string(&chars, at + 1),
                    ("b", '\'') => at = skip_quote(&chars, at),
                    // A raw word: `r#crate` is read as the word that it hides.
                    ("r", '#') if is_word(peek(at + 1)) => at += 1,
                    ("r" | "br" | "cr", '"' | '#') => at = skip_raw(&chars, at),
                    _ => tokens.push(Token::Word(word)),
                }
            }
            (c, _) => {
                if !c.is_whitespace() {
                    tokens.push(Token::Char(c));
                }
                at += 1;
            }
        }
    }
    tokens
}

fn skip_until(chars: &[char], mut at: usize, end: impl Fn(usize) -> bool) -> usize {
    while at < chars.len() && !end(at) {
        at += 1;
    }
    at
}

fn skip_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < chars.len() {
        match chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// From behind the opening quote to behind the closing one.
fn skip_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// A character, or a lifetime.
fn skip_quote(chars: &[char], at: usize) -> usize {
    match chars[at..] {
        ['\'', '\\', ..] => skip_until(chars, at + 3, |at| chars[at] == '\'') + 1,
        ['\'', _, '\'', ..] => at + 3,
        _ => skip_until(chars, at + 1, |at| chars[at] != '_' && !chars[at].is_alphanumeric()),
    }
}

/// From the first `#` or quote of a raw string to behind its end.
fn skip_raw(chars: &[char], at: usize) -> usize {
    let open = skip_until(chars, at, |at| chars[at] != '#');
    let hashes = open - at;
    let is_end = |at: usize| {
        chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    skip_until(chars, open + 1, is_end) + 1 + hashes
}
