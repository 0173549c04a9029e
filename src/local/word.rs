//! The text of `local.toml`: parsed strictly, written by `nova-ha local adopt`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::agents;
use crate::say::short;
use crate::tree::storage::{absolute, command};

/// The folder for secrets where the file names none.
pub const SECRET_FOLDER: &str = "/etc/nova-ha/secrets";

/// What the names of variables with secrets begin with where the file says nothing.
pub const VARIABLE_PREFIX: &str = "NOVA_HA_SECRET_";

/// What this machine's root allows beyond what is always allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Storage programs by their whole command lines, words parted by one blank.
    pub storage_programs: BTreeSet<String>,
    /// Agents beside those of the table, and options beside those of the table, with `_` for `-`.
    pub agents: BTreeMap<String, BTreeSet<String>>,
    /// Folders below which secrets may lie.
    pub secret_folders: BTreeSet<PathBuf>,
    /// Files elsewhere that hold secrets.
    pub secret_files: BTreeSet<PathBuf>,
    /// Variables whose names begin with this may hold secrets.
    pub secret_variable_prefix: String,
    /// Other variables that may.
    pub secret_variables: BTreeSet<String>,
}

impl Default for Word {
    /// Nothing but what is always allowed.
    fn default() -> Self {
        Self {
            storage_programs: BTreeSet::new(),
            agents: BTreeMap::new(),
            secret_folders: [PathBuf::from(SECRET_FOLDER)].into(),
            secret_files: BTreeSet::new(),
            secret_variable_prefix: VARIABLE_PREFIX.to_owned(),
            secret_variables: BTreeSet::new(),
        }
    }
}

/// Why a text is no local.toml.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", line.map(|line| format!("line {line}: ")).unwrap_or_default(), short(why))]
pub struct WordError {
    /// Which line, from 1, where it is one.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default)]
    storage_programs: Vec<Spanned<String>>,
    #[serde(default)]
    agents: BTreeMap<Spanned<String>, StoredAgent>,
    secret_folders: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    secret_files: Vec<Spanned<String>>,
    secret_variable_prefix: Option<Spanned<String>>,
    #[serde(default)]
    secret_variables: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAgent {
    #[serde(default)]
    options: Vec<Spanned<String>>,
}

impl Word {
    /// Reads one.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line. What this build does not know is wrong: it may be a restriction.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let line_of = |at: usize| text.get(..at).map(|before| before.matches('\n').count() + 1);
        let stored: Stored = toml::from_str(text).map_err(|error| WordError {
            line: error.span().and_then(|span| line_of(span.start)),
            why: error.message().to_owned(),
        })?;
        let wrong = |at: &Spanned<String>, why: String| WordError {
            line: line_of(at.span().start),
            why: format!("{:?}: {why}", at.get_ref()),
        };
        let each = |texts: &[Spanned<String>], good: &dyn Fn(&str) -> Result<String, String>| {
            let read = |text: &Spanned<String>| good(text.get_ref()).map_err(|why| wrong(text, why));
            texts.iter().map(read).collect::<Result<BTreeSet<String>, WordError>>()
        };
        let paths = |texts: &[Spanned<String>]| -> Result<BTreeSet<PathBuf>, WordError> {
            Ok(each(texts, &|text| path(text))?.into_iter().map(PathBuf::from).collect())
        };
        let mut named = BTreeMap::new();
        for (name, agent) in &stored.agents {
            agents::name(name.get_ref()).map_err(|why| wrong(name, why))?;
            let options =
                each(&agent.options, &|option| agents::may_be_set(option).map(|()| agents::listed(option)))?;
            named.insert(name.get_ref().clone(), options);
        }
        let default = Self::default();
        Ok(Self {
            storage_programs: each(&stored.storage_programs, &|line| program_line(line))?,
            agents: named,
            secret_folders: match &stored.secret_folders {
                Some(folders) => paths(folders)?,
                None => default.secret_folders,
            },
            secret_files: paths(&stored.secret_files)?,
            secret_variable_prefix: match &stored.secret_variable_prefix {
                Some(prefix) => variable(prefix.get_ref()).map_err(|why| wrong(prefix, why))?,
                None => default.secret_variable_prefix,
            },
            secret_variables: each(&stored.secret_variables, &|name| variable(name))?,
        })
    }

    /// The same as a text, with what each of it means.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# What the tree in Consul may have run and read on this machine: docs/local.md.\n\
             # Only root may write this file. Look at it with: nova-ha local show\n\n\
             # Storage programs (config/storage_exec), by their whole command lines.\n",
        );
        let paths = |paths: &BTreeSet<PathBuf>| paths.iter().map(|path| path.display().to_string()).collect();
        text += &list("storage_programs", &self.storage_programs);
        text += "\n# Below these folders files may hold secrets (file:/path): of root's, and no links.\n";
        text += &list("secret_folders", &paths(&self.secret_folders));
        text += "\n# Files elsewhere that may.\n";
        text += &list("secret_files", &paths(&self.secret_files));
        text += "\n# Variables that may hold secrets (env:NAME): those that begin so, and these.\n";
        text += &format!("secret_variable_prefix = {}\n", quoted(&self.secret_variable_prefix));
        text += &list("secret_variables", &self.secret_variables);
        if !self.agents.is_empty() {
            text += "\n# Fence agents and options beside those of the shipped table.\n";
        }
        for (agent, options) in &self.agents {
            text += &format!("\n[agents.{agent}]\n{}", list("options", options));
        }
        text
    }

    /// Whether a secret may lie there.
    pub(super) fn has_secret(&self, file: &Path) -> bool {
        self.secret_files.contains(file) || self.secret_folders.iter().any(|folder| file.starts_with(folder))
    }

    /// Whether a variable may hold a secret.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.secret_variables.contains(name) || name.starts_with(&self.secret_variable_prefix)
    }
}

/// `PATH [ARG...]` with one blank between the words: how two lines are compared.
///
/// # Errors
/// It is no command line.
pub fn program_line(line: &str) -> Result<String, String> {
    let (program, args) = command(line).map_err(str::to_owned)?;
    Ok(joined(&program, &args))
}

/// The same of what was split.
pub fn joined(program: &Path, args: &[String]) -> String {
    args.iter().fold(program.display().to_string(), |line, arg| line + " " + arg)
}

fn path(text: &str) -> Result<String, String> {
    let path = absolute(text).map_err(str::to_owned)?;
    match path == Path::new("/") {
        true => Err("that would be every file of the machine".to_owned()),
        false => Ok(path.display().to_string()),
    }
}

fn variable(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match good {
        true => Ok(text.to_owned()),
        false => Err("a variable's name is at least one of A-Z a-z 0-9 _".to_owned()),
    }
}

fn list(name: &str, entries: &BTreeSet<String>) -> String {
    match entries.is_empty() {
        true => format!("{name} = []\n"),
        false => {
            let lines: String = entries.iter().map(|entry| format!("    {},\n", quoted(entry))).collect();
            format!("{name} = [\n{lines}]\n")
        }
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\U{:08X}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
storage_programs = ["/usr/local/sbin/take  --pool tank"]
secret_folders = ["/root/bmc"]
secret_files = ["/etc/nova-ha/bmc"]
secret_variable_prefix = "SITE_"
secret_variables = ["BMC_PW"]

[agents.fence_custom]
options = ["ip", "outlet-group"]
[agents.fence_virsh]
options = ["missing_as_off"]
"#;

    #[test]
    fn what_it_names_is_read_and_written_again_as_it_was() {
        let word = Word::parse(WHOLE).unwrap();
        assert!(word.storage_programs.contains("/usr/local/sbin/take --pool tank"));
        assert!(word.agents["fence_custom"].contains("outlet_group"));
        assert!(
            word.has_secret(Path::new("/root/bmc/a/b")) && word.has_secret(Path::new("/etc/nova-ha/bmc"))
        );
        assert!(
            !word.has_secret(Path::new("/root/bmc2")) && !word.has_secret(Path::new("/etc/nova-ha/tokens"))
        );
        assert!(word.has_variable("SITE_X") && word.has_variable("BMC_PW") && !word.has_variable("HOME"));
        assert_eq!(Word::parse(&word.text()), Ok(word));
        let odd = Word { storage_programs: ["/a \"b\" \\ é".to_owned()].into(), ..Word::default() };
        assert_eq!(Word::parse(&odd.text()), Ok(odd));
    }

    #[test]
    fn an_empty_one_allows_what_is_always_allowed() {
        let word = Word::parse("# nothing\n").unwrap();
        assert_eq!(word, Word::default());
        assert_eq!(Word::parse(&word.text()), Ok(word));
        assert!(!Word::parse("secret_folders = []").unwrap().has_secret(Path::new("/etc/nova-ha/secrets/a")));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line, why) in [
            ("x = ", Some(1), ""),
            ("\nstorage_program = []\n", Some(2), "unknown field `storage_program`"),
            ("storage_programs = \"/a\"\n", Some(1), "invalid type"),
            ("storage_programs = [\n  \"/a\",\n  \"b\",\n]\n", Some(3), "no absolute path"),
            ("\n[agents.fence_virsh]\noptions = [\"ssh_options\"]\n", Some(3), "may not be set"),
            ("[agents.fence_virsh]\noptions = [\"a\"]\nmore = 1\n", Some(3), "unknown field `more`"),
            ("[agents.sh]\noptions = []\n", Some(1), "the name of a fence agent"),
            ("secret_folders = [\"/\"]", Some(1), "every file"),
            ("secret_folders = [\"/a/../etc\"]", Some(1), "no absolute path"),
            ("secret_variable_prefix = \"\"", Some(1), "a variable's name"),
            ("secret_files = []\nsecret_files = []\n", Some(2), "duplicate key"),
        ] {
            let error = Word::parse(text).expect_err(text);
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.why.contains(why), "{text}: {error}");
        }
    }
}
