//! Files of this machine that others write or have their say in, and what is written on stdin.

use super::holds::{error, sentence};
use crate::local::Word;
use crate::monitor::mark::hint;
use crate::runtime_info::nova_conf::NovaConf;
use crate::say;
use crate::ssh::PinnedKey;

/// What a Consul watch writes on stdin: it is a hint, and a number of checks at most.
pub(super) fn watch_view(data: &[u8]) {
    match hint::parse(data) {
        // `{"CheckID":"x"}` and a comma.
        Ok(checks) => assert!(checks <= data.len() / 15 + 1),
        Err(why) => error(&why),
    }
}

/// What it allows is written and read again as it was; and it allows no file of the machine at all.
pub(super) fn local_toml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Word::parse(&text) {
        Ok(word) => {
            assert!(!word.secret_folders.iter().any(|folder| folder.as_os_str() == "/"));
            assert!(!word.secret_variable_prefix.is_empty(), "every variable is a secret");
            assert!(word.secret_folders.iter().chain(&word.secret_files).all(|path| path.is_absolute()));
            assert_eq!(Word::parse(&word.text()).as_ref(), Ok(&word), "{}", word.text());
        }
        Err(why) => {
            assert!(why.line.is_none_or(|line| line >= 1 && line <= text.split('\n').count()), "{why}");
            error(&why);
        }
    }
}

/// A path of bounded length from the root, or a sentence.
pub(super) fn nova_conf(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let conf = NovaConf::of(&text);
    assert_ne!(conf.host().as_deref(), Some(""));
    match conf.instances_path() {
        Ok(path) => assert!(path.starts_with('/') && path.len() <= 4096, "{} bytes", path.len()),
        Err(why) => sentence(&why),
    }
}

/// Lines of keys, and the gate through which everybody's words are shown.
pub(super) fn ssh_key(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.lines().collect();
    for text in &lines {
        match PinnedKey::parse(text) {
            Ok(key) => {
                assert!(!key.is(b""), "a key of nothing");
                let plain = text.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ");
                assert_eq!(PinnedKey::parse(&plain).as_ref(), Ok(&key), "the comment is a part of it");
            }
            Err(why) => error(&why),
        }
    }
    let known = PinnedKey::parse_known(&lines);
    assert_eq!(PinnedKey::parse_all(&lines).is_ok(), known.len() == lines.len());
    let shown = say::visible(&text);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "a terminal would obey {shown:?}");
    assert_eq!(say::visible(&shown), shown);
    let json = serde_json::to_string(&text).unwrap_or_default();
    assert_eq!(serde_json::from_str::<String>(&say::visible_json(&json)).ok().as_deref(), Some(&*text));
}
