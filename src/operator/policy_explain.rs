//! `nova-ha policy explain`: what each setting is for, with its default and the values it takes.

use serde::Serialize;
use serde_json::{Map, Value};

use super::OperatorError;
use super::answer::Answer;
use super::policy_values::{object, plain};
use crate::columns::wrap;
use crate::policy::{Policy, Setting, Subject, explained, settings};

#[derive(Serialize)]
struct Explained<'a> {
    setting: &'a str,
    subject: &'a str,
    unit: &'a str,
    range: &'a str,
    default: Value,
    about: &'a str,
}

/// All settings, or the one that is named.
///
/// # Errors
/// There is no such setting.
pub(super) fn run(key: Option<&str>) -> Result<Answer, OperatorError> {
    let defaults = object(&Policy::default())?;
    let shown: Vec<&Setting> = match key {
        None => settings().iter().collect(),
        Some(key) => vec![explained(key).ok_or_else(|| OperatorError::Input {
            option: key.to_owned(),
            why: "there is no such setting; nova-ha policy explain lists all".into(),
        })?],
    };
    let mut text = String::new();
    for subject in Subject::ALL {
        let rows: Vec<&&Setting> = shown.iter().filter(|setting| setting.subject == subject).collect();
        if rows.is_empty() {
            continue;
        }
        text += &format!("{}{}\n", if text.is_empty() { "" } else { "\n" }, subject.heading());
        for setting in rows {
            text += &lines(setting, &defaults);
        }
    }
    let json: Vec<Explained<'_>> = shown.into_iter().map(|setting| row(setting, &defaults)).collect();
    Answer::new(text, &json)
}

fn row<'a>(setting: &'a Setting, defaults: &Map<String, Value>) -> Explained<'a> {
    Explained {
        setting: setting.name,
        subject: setting.subject.heading(),
        unit: setting.unit,
        range: setting.range,
        default: defaults.get(setting.name).cloned().unwrap_or_default(),
        about: setting.about,
    }
}

fn lines(setting: &Setting, defaults: &Map<String, Value>) -> String {
    let range = if setting.range.is_empty() { String::new() } else { format!("; {}", setting.range) };
    let default = match defaults.get(setting.name) {
        // What the default is then, the text says.
        None | Some(Value::Null) => String::new(),
        Some(value) => format!("; default {}", plain(value)),
    };
    let head = format!("{} ({}{range}{default})", setting.name, setting.unit);
    format!("  {}\n      {}\n", wrap(&head, 6), wrap(setting.about, 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_setting_is_explained_with_its_default_and_a_mistyped_one_is_named() {
        let answer = run(Some("off_reads")).unwrap();
        assert!(answer.text.contains("off_reads (number; at least 2; default 3)"), "{}", answer.text);
        assert_eq!(answer.json[0]["default"], 3);
        assert!(run(Some("off_read")).is_err());
    }

    #[test]
    fn all_settings_are_explained_within_80_columns() {
        let answer = run(None).unwrap();
        assert_eq!(answer.json.as_array().unwrap().len(), settings().len());
        for line in answer.text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
