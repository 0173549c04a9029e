//! Commands in the documents are commands of ours: each is parsed by the executable's own command line.
//!
//! Links, anchors and promises are looked at by `integration/novalab/tests`.

use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;
use nova_ha::policy::explained;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// All pages of the repository, by their names from its root.
fn pages() -> Vec<(String, String)> {
    fn within(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                within(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    within(Path::new(ROOT), &mut found);
    found.sort();
    let named = |path: PathBuf| {
        let name = path.strip_prefix(ROOT).unwrap().display().to_string();
        (name, std::fs::read_to_string(path).unwrap())
    };
    // A changelog says what was so then.
    found.into_iter().map(named).filter(|(name, _)| name != "CHANGELOG.md").collect()
}

/// The lines of a page's blocks of code, with those that go on put together.
fn block_lines(text: &str) -> Vec<String> {
    let (mut lines, mut inside, mut begun) = (Vec::new(), false, String::new());
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            match line.strip_suffix('\\') {
                Some(part) => begun += part,
                None => lines.push(std::mem::take(&mut begun) + line),
            }
        }
    }
    lines
}

/// The spans of code in a page's text, also over the end of a line.
fn spans(text: &str) -> Vec<String> {
    let mut outside = String::new();
    let mut inside = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            // A span does not go on over an empty line.
            outside += if line.is_empty() { "\u{0}" } else { line };
            outside.push(' ');
        }
    }
    let paragraphs = outside.split('\u{0}');
    paragraphs
        .flat_map(|text| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The words of one command, as a shell has them; it ends at a comment or where another command begins.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for letter in line.trim().trim_start_matches("$ ").chars() {
        match (quote, letter) {
            (Some(open), close) if open == close => quote = None,
            (Some(_), letter) => word.push(letter),
            (None, '\'' | '"') => (quote, begun) = (Some(letter), true),
            (None, '#') if word.is_empty() && !begun => break,
            (None, '|' | ';' | '&' | '>') if word.is_empty() => break,
            (None, letter) if letter.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (None, letter) => word.push(letter),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    // `[--guest ID]` is an option; of `HOST|--stays` a page means either.
    let one = |word: String| word.trim_matches(['[', ']']).split('|').next().unwrap().to_owned();
    words.into_iter().map(one).collect()
}

/// Placeholders, each with what may stand for it.
const STANDS_FOR: [(&str, &[&str]); 3] = [
    ("HOST@EPOCH", &["compute1@0"]),
    ("ID", &["compute1@0", "6f70656e-7374-4163-8b00-6e6f76612d68"]),
    ("UUID", &["6f70656e-7374-4163-8b00-6e6f76612d68", "6f70656e:73746163:6b006e6f:76612d68"]),
];

/// The same commands with something in the place of each placeholder.
fn filled(words: &[String]) -> Vec<Vec<String>> {
    words.iter().fold(vec![Vec::new()], |all, word| {
        let own = [word.as_str()];
        let values = STANDS_FOR.iter().find(|(name, _)| name == word).map_or(&own[..], |(_, values)| values);
        let with = |so_far: &Vec<String>, value: &&str| [so_far.clone(), vec![(*value).to_owned()]].concat();
        all.iter().flat_map(|so_far| values.iter().map(move |value| with(so_far, value))).collect()
    })
}

/// What is wrong with a command, if it is one of ours. `in_part`: it may lack what it needs.
fn fault(line: &str, in_part: bool) -> Option<String> {
    let mut words = words(line);
    let abridged = words.iter().any(|word| word == "...");
    words.retain(|word| word != "...");
    let faults: Vec<Option<String>> =
        filled(&words).iter().map(|words| fault_of(words, in_part || abridged)).collect();
    if faults.iter().any(Option::is_none) { None } else { faults.into_iter().flatten().next() }
}

fn fault_of(words: &[String], in_part: bool) -> Option<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let parsed = match *words.first()? {
        "nova-ha" => nova_ha::operator::Cli::try_parse_from(&words).map(drop),
        "nova-ha-probe" => nova_ha::monitor::probe::Args::try_parse_from(&words).map(drop),
        "nova-ha-mark-failed" => nova_ha::monitor::mark::Args::try_parse_from(&words).map(drop),
        "nova-ha-recover" => nova_ha::recovery::Args::try_parse_from(&words).map(drop),
        "nova-ha-runtime-info" => nova_ha::runtime_info::Args::try_parse_from(&words).map(drop),
        "nova-ha-boot-guard" => nova_ha::boot_guard::Args::try_parse_from(&words).map(drop),
        _ => return None,
    };
    let lacks = |kind| {
        matches!(
            kind,
            ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                | ErrorKind::InvalidValue
        )
    };
    match parsed {
        Ok(()) => setting(&words),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => None,
        // A value that is left out is *invalid* for clap; one that is there and wrong is not what is left out.
        Err(error) if in_part && lacks(error.kind()) => match error.kind() {
            ErrorKind::InvalidValue if !error.to_string().contains("a value is required") => {
                Some(said(&error))
            }
            _ => setting(&words),
        },
        Err(error) => Some(said(&error)),
    }
}

fn said(error: &clap::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// A policy setting that is named is one.
fn setting(words: &[&str]) -> Option<String> {
    match words {
        ["nova-ha", "policy", "set" | "unset" | "explain", name, ..] if is_name(name) => {
            explained(name).is_none().then(|| format!("{name} is no setting of the policy"))
        }
        _ => None,
    }
}

fn is_name(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[test]
fn every_command_in_a_block_is_one() {
    let mut found = 0;
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        for line in block_lines(&text) {
            found += usize::from(line.trim_start().starts_with("nova-ha"));
            wrong.extend(fault(&line, false).map(|why| format!("{page}: {}: {why}", line.trim())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found > 30, "only {found} commands were found");
}

#[test]
fn every_command_within_a_sentence_is_one_as_far_as_it_goes() {
    let mut found = 0;
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        for span in spans(&text) {
            found += usize::from(span.starts_with("nova-ha"));
            wrong.extend(fault(&span, true).map(|why| format!("{page}: {span}: {why}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found > 100, "only {found} commands were found");
}

#[test]
fn every_setting_that_is_named_with_the_policy_exists() {
    for (page, text) in pages() {
        for span in spans(&text) {
            if let Some(name) = span.strip_prefix("policy.").filter(|name| is_name(name)) {
                assert!(explained(name).is_some(), "{page}: {span}");
            }
        }
    }
}

/// (setting, default) of each row of a page's tables of settings, the default where the table has such a column.
fn settings_in_tables(text: &str) -> Vec<(String, Option<String>)> {
    let (mut rows, mut column) = (Vec::new(), None);
    let cells = |line: &str| -> Vec<String> {
        line.trim()
            .trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    for line in text.lines() {
        if !line.starts_with("| ") && !line.starts_with("|--") {
            column = None;
        } else if line.starts_with("| policy |") || line.starts_with("| setting |") {
            column = Some(cells(line).iter().position(|cell| cell == "default"));
        } else if let Some(default) = column.filter(|_| line.starts_with("| `")) {
            let row = cells(line);
            rows.push((row[0].clone(), default.map(|at| row[at].clone())));
        }
    }
    rows
}

#[test]
fn every_table_of_settings_has_settings_with_their_defaults() {
    let defaults = serde_json::to_value(nova_ha::policy::Policy::default()).unwrap();
    let mut found = 0;
    for (page, text) in pages() {
        for (name, default) in settings_in_tables(&text) {
            found += 1;
            assert!(explained(&name).is_some(), "{page}: {name} is no setting of the policy");
            let known = match &defaults[&name] {
                serde_json::Value::Null => "-".to_owned(),
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert!(
                default.as_ref().is_none_or(|said| *said == known),
                "{page}: {name}: {default:?} is {known}"
            );
        }
    }
    assert!(found > 45, "only {found} rows were found");
}

#[test]
fn what_is_no_command_is_found() {
    for good in [
        "nova-ha status",
        "$ nova-ha host add compute1 --bmc-confirmed-by ann --bmc-shows 'fru ABC' # a comment",
        "nova-ha incident show HOST@EPOCH | less",
        "nova-ha incident retry ID [--guest UUID] --by NAME",
        "nova-ha policy set threshold 3",
        "nova-ha --help",
        "openstack server list",
        "nova-ha host add compute1 --replace ...",
    ] {
        assert_eq!(fault(good, false), None, "{good}");
    }
    for bad in [
        "nova-ha statuss",
        "nova-ha confirm-off compute1",
        "nova-ha host add compute1 --bmc-adress 10.0.0.1",
        "nova-ha policy set tresholds 3",
        "nova-ha-recover --no-such-option",
        "nova-ha-mark-failed compute1 --ttl tomorrow",
        "nova-ha host frobnicate ...",
        "nova-ha incident show compute1",
    ] {
        assert!(fault(bad, false).is_some(), "{bad}");
    }
    assert_eq!(fault("nova-ha confirm-off", true), None);
    assert_eq!(fault("nova-ha confirm-off --by", true), None);
    assert!(fault("nova-ha confirm-of", true).is_some());
}
