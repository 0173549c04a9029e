//! How an HA node gets at the guests' disks: `config/storage`, `config/storage_exec`,
//! `config/nova_mountpoint`, `config/nova_user`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Snapshot, TreeError};
use crate::keys::MachineKeys;

/// What the original means by a tree without `config/storage`.
const DEFAULT: &str = "md";

/// The user that nova-compute runs as, where `config/nova_user` says nothing.
pub const NOVA_USER: &str = "nova";

/// `config/storage`, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// Every host sees the guests' disks all the time: nothing is taken.
    Shared,
    /// The host's own md arrays, on disks that this HA node sees too (docs/storage-md.md): what the original does.
    Md,
    /// A site's own program takes it (docs/storage-exec.md).
    Exec {
        /// An absolute path.
        program: PathBuf,
        /// Its arguments; no shell reads them.
        args: Vec<String>,
    },
    /// What cannot work, and why.
    Refused {
        /// As it is written in the tree.
        word: String,
        /// Why.
        why: String,
    },
}

/// A strategy by its name, as the journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyName {
    /// See [`Strategy::Shared`].
    Shared,
    /// See [`Strategy::Md`].
    Md,
    /// See [`Strategy::Exec`].
    Exec,
}

impl StrategyName {
    /// As it is written in the tree.
    pub fn word(self) -> &'static str {
        match self {
            StrategyName::Shared => "shared",
            StrategyName::Md => "md",
            StrategyName::Exec => "exec",
        }
    }

    /// The strategy of this word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Shared, Self::Md, Self::Exec].into_iter().find(|name| name.word() == word)
    }
}

impl Strategy {
    /// Its name; `None` of one that cannot work.
    pub fn name(&self) -> Option<StrategyName> {
        match self {
            Strategy::Shared => Some(StrategyName::Shared),
            Strategy::Md => Some(StrategyName::Md),
            Strategy::Exec { .. } => Some(StrategyName::Exec),
            Strategy::Refused { .. } => None,
        }
    }

    /// As it is written in the tree.
    pub fn word(&self) -> &str {
        match self {
            Strategy::Shared => "shared",
            Strategy::Md => "md",
            Strategy::Exec { .. } => "exec",
            Strategy::Refused { word, .. } => word,
        }
    }

    /// Whether the HA node itself takes the storage, so that guests can run nowhere else, and this HA
    /// node can take no second one. Of one that is refused it is assumed.
    pub fn is_taken(&self) -> bool {
        match self {
            Strategy::Shared => false,
            Strategy::Md | Strategy::Exec { .. } | Strategy::Refused { .. } => true,
        }
    }
}

/// How an HA node gets at the guests' disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// What it does for it.
    pub strategy: Strategy,
    /// Where Nova keeps its guests on this HA node (`instances_path`), where somebody said so.
    pub mountpoint: Option<PathBuf>,
    /// The user that nova-compute runs as there.
    pub nova_user: String,
}

impl Storage {
    /// Reads an HA node's settings.
    pub fn of(snapshot: &Snapshot, keys: &MachineKeys) -> Result<Self, TreeError> {
        let text = |key: String| snapshot.text(&key);
        let mountpoint = match text(keys.nova_mountpoint())? {
            None => None,
            Some(path) => Some(absolute(&path).map_err(|why| malformed(keys.nova_mountpoint(), why))?),
        };
        let nova_user = match text(keys.nova_user())? {
            None => NOVA_USER.to_owned(),
            Some(name) => {
                user(&name).map_err(|why| malformed(keys.nova_user(), why))?;
                name
            }
        };
        let word = text(keys.storage())?.unwrap_or_else(|| DEFAULT.to_owned());
        let refused = |why: String| Strategy::Refused { word: word.clone(), why };
        let strategy = match (word.as_str(), text(keys.storage_exec())?) {
            ("shared", _) => Strategy::Shared,
            ("md" | "exec", _) if mountpoint.is_none() => {
                refused(format!("{} is not set", keys.nova_mountpoint()))
            }
            ("md", _) => Strategy::Md,
            ("exec", None) => refused(format!("{} is not set", keys.storage_exec())),
            ("exec", Some(line)) => match command(&line) {
                Ok((program, args)) => Strategy::Exec { program, args },
                Err(why) => refused(format!("{}: {why}", keys.storage_exec())),
            },
            (_, _) => refused("there is none of this name (md, shared and exec are)".to_owned()),
        };
        Ok(Self { strategy, mountpoint, nova_user })
    }
}

fn malformed(key: String, why: &str) -> TreeError {
    TreeError::Malformed { key, why: why.to_owned() }
}

/// An absolute path without `..`.
pub fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    if !text.starts_with('/') || text.split('/').any(|part| part == "..") || text.contains(char::is_control) {
        return Err("it is no absolute path");
    }
    Ok(PathBuf::from(text))
}

/// A user by name, as `useradd` takes it: what could be an option is none.
pub fn user(text: &str) -> Result<(), &'static str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let good = (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-');
    if good { Ok(()) } else { Err("it is no user name: 1 to 64 of A-Z a-z 0-9 . _ -") }
}

/// `PATH [ARG...]`, split at blanks; there is no quoting, and no shell.
pub fn command(line: &str) -> Result<(PathBuf, Vec<String>), &'static str> {
    let mut words = line.split_whitespace();
    let program = absolute(words.next().unwrap_or_default())?;
    let args: Vec<String> = words.map(str::to_owned).collect();
    if args.iter().any(|arg| arg.contains(char::is_control)) {
        return Err("an argument has control characters");
    }
    Ok((program, args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_absolute_path_and_words() {
        let (program, args) = command(" /usr/local/sbin/take  --pool tank ").unwrap();
        assert_eq!(
            (program.to_str().unwrap(), args),
            ("/usr/local/sbin/take", vec!["--pool".into(), "tank".into()])
        );
        for bad in ["", "take", "./take", "/a/../b", "~/take"] {
            assert!(command(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_user_is_never_an_option() {
        for good in ["nova", "nova-compute", "svc.nova", "107"] {
            assert!(user(good).is_ok(), "{good}");
        }
        for bad in ["", "-r", "no va", "nova;id", "nova\n"] {
            assert!(user(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_shared_storage_consumes_nothing() {
        assert!(!Strategy::Shared.is_taken());
        assert!(Strategy::Md.is_taken());
        assert!(Strategy::Exec { program: "/x".into(), args: vec![] }.is_taken());
        assert!(Strategy::Refused { word: "lvm".into(), why: String::new() }.is_taken());
    }
}
