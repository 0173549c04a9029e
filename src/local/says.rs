//! The question, and the answer.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::agents;
use super::open::{self, OpenError, Opened};
use super::word::{Word, joined};

/// Where root's word lies.
const FILE: &str = "/etc/nova-ha/local.toml";

/// The largest.
const MAX_BYTES: usize = 256 * 1024;

/// Where this machine's root says it: `NOVA_HA_LOCAL_FILE`, or `/etc/nova-ha/local.toml`. Who sets the environment of an
/// executable is root, or Consul, which starts it.
pub fn file() -> PathBuf {
    std::env::var_os("NOVA_HA_LOCAL_FILE").map_or_else(|| FILE.into(), PathBuf::from)
}

/// Something that the tree wants to have run or read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// A storage program, by its whole command line, words parted by one blank.
    Program(String),
    /// A fence agent that is not in the shipped table, by name.
    Agent(String),
    /// An option that is not in the shipped table for its agent.
    Option {
        /// The agent.
        agent: String,
        /// The option, as the tree spells it.
        option: String,
    },
    /// A file with a secret.
    SecretFile(PathBuf),
    /// A variable with a secret.
    Variable(String),
}

impl Asked {
    /// A storage program that was split into words.
    pub fn program(program: &Path, args: &[String]) -> Self {
        Self::Program(joined(program, args))
    }

    /// Where local.toml would name it.
    fn entry(&self) -> String {
        match self {
            Asked::Program(_) => "storage_programs".to_owned(),
            Asked::Agent(agent) => format!("a table [agents.{agent}]"),
            Asked::Option { agent, .. } => format!("options of [agents.{agent}]"),
            Asked::SecretFile(_) => "secret_files (or its folder to secret_folders)".to_owned(),
            Asked::Variable(_) => "secret_variables".to_owned(),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::Program(line) => write!(f, "storage program {line:?}"),
            Asked::Agent(agent) => write!(f, "agent {agent}"),
            Asked::Option { agent, option } => write!(f, "option {option} of {agent}"),
            Asked::SecretFile(path) => write!(f, "secret file:{}", path.display()),
            Asked::Variable(name) => write!(f, "secret env:{name}"),
        }
    }
}

/// Whether it may be.
#[derive(Debug, PartialEq, Eq)]
pub enum Leave {
    /// Root names it.
    Given,
    /// This machine has no local.toml: it goes on as it was before there was one.
    FirstSight,
    /// It may not.
    Refused(Box<Refused>),
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The file does not name it.
    #[error("{} of this machine does not allow the {asked}: add it to {}", file.display(), asked.entry())]
    NotNamed {
        /// The file.
        file: PathBuf,
        /// What was asked.
        asked: Asked,
    },
    /// The file cannot be used: that is never *no restrictions*.
    #[error("the {asked} is refused, as {} of this machine cannot be used: {why}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What was asked.
        asked: Asked,
        /// Why, with the line where it is one.
        why: String,
    },
}

impl Refused {
    /// What was asked.
    pub fn asked(&self) -> &Asked {
        match self {
            Refused::NotNamed { asked, .. } | Refused::Unusable { asked, .. } => asked,
        }
    }

    /// That it may not, with the next command, in one short line.
    pub fn in_short(&self) -> &'static str {
        match self {
            Refused::NotNamed { .. } => "local.toml of this machine does not allow it: nova-ha local adopt",
            Refused::Unusable { .. } => "local.toml of this machine cannot be used: nova-ha local show",
        }
    }

    /// The next command, on this machine.
    pub fn hint(&self) -> &'static str {
        match self {
            Refused::NotNamed { .. } => "there, as root: nova-ha local adopt   (shows it and asks first)",
            Refused::Unusable { .. } => "mend the file there, then: nova-ha local show",
        }
    }
}

/// What root says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// There is no file.
    Nothing,
    /// What is in it.
    Word(Word),
    /// It cannot be used.
    Unusable(String),
}

/// This machine's local.toml, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    file: PathBuf,
    says: Says,
}

impl Local {
    /// Reads it. That it cannot be read is what it says then.
    pub fn read(file: &Path) -> Self {
        // Whose the folder is says nothing where there is no file.
        let is_absent =
            std::fs::symlink_metadata(file).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if is_absent {
            return Self { file: file.to_owned(), says: Says::Nothing };
        }
        let says = match open::owned(file, MAX_BYTES) {
            Ok(Opened { bytes, .. }) => match String::from_utf8(bytes) {
                Ok(text) => {
                    Word::parse(&text).map_or_else(|error| Says::Unusable(error.to_string()), Says::Word)
                }
                Err(_) => Says::Unusable("it is not UTF-8 text".to_owned()),
            },
            Err(error) => Says::Unusable(crate::chain::chain(&error)),
        };
        Self { file: file.to_owned(), says }
    }

    /// That of a machine which cannot be looked at from here: nothing is known of it.
    pub fn unseen() -> Self {
        Self { file: FILE.into(), says: Says::Nothing }
    }

    /// Where it lies.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What it says.
    pub fn says(&self) -> &Says {
        &self.says
    }

    /// Whether this may be.
    pub fn leave(&self, asked: &Asked) -> Leave {
        match &self.says {
            Says::Word(word) if is_named(word, asked) => Leave::Given,
            Says::Word(_) => {
                Leave::Refused(Box::new(Refused::NotNamed { file: self.file.clone(), asked: asked.clone() }))
            }
            Says::Nothing => Leave::FirstSight,
            Says::Unusable(why) => Leave::Refused(Box::new(Refused::Unusable {
                file: self.file.clone(),
                asked: asked.clone(),
                why: why.clone(),
            })),
        }
    }

    /// Whether it counts as first sight: nothing said that it may be, and it would not be so by default either.
    pub fn is_first_sight(&self, asked: &Asked) -> bool {
        let by_default = match asked {
            // One that is there has to be one that could be read under every rule.
            Asked::SecretFile(path) => {
                let look = open::owned(path, MAX_BYTES);
                is_named(&Word::default(), asked) && look.map_or_else(|error| error.is_absent(), |_| true)
            }
            Asked::Program(_) | Asked::Agent(_) | Asked::Option { .. } | Asked::Variable(_) => {
                is_named(&Word::default(), asked)
            }
        };
        self.leave(asked) == Leave::FirstSight && !by_default
    }

    /// Reads a file that holds a secret, if it may be read.
    ///
    /// # Errors
    /// It may not, or cannot.
    pub fn secret_file(&self, path: &Path, limit: usize) -> Result<Opened, SecretFileError> {
        let opened = match self.leave(&Asked::SecretFile(path.to_owned())) {
            Leave::Given => open::owned(path, limit),
            Leave::FirstSight => open::anywhere(path, limit),
            Leave::Refused(refused) => return Err(SecretFileError::Refused(refused)),
        };
        let opened = opened.map_err(SecretFileError::Open)?;
        if let Some(mode) = opened.readable {
            let (file, fix) = (path.display(), format!("chmod o= {}", path.display()));
            tracing::warn!(%file, mode = format!("{mode:04o}"), fix, "everybody may read this secret");
        }
        Ok(opened)
    }
}

/// Why a file with a secret was not read.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It may not be.
    #[error(transparent)]
    Refused(Box<Refused>),
    /// It cannot be.
    #[error(transparent)]
    Open(OpenError),
}

fn is_named(word: &Word, asked: &Asked) -> bool {
    match asked {
        Asked::Program(line) => word.storage_programs.contains(line),
        Asked::Agent(agent) => word.agents.contains_key(agent),
        Asked::Option { agent, option } => {
            word.agents.get(agent).is_some_and(|options| options.contains(&agents::listed(option)))
        }
        Asked::SecretFile(path) => word.has_secret(path),
        Asked::Variable(name) => word.has_variable(name),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn local(text: Option<&str>) -> (tempfile::TempDir, Local) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("local.toml");
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let local = Local::read(&file);
        (folder, local)
    }

    fn asked() -> Vec<Asked> {
        let option = |agent: &str, option: &str| Asked::Option { agent: agent.into(), option: option.into() };
        vec![
            Asked::program(Path::new("/usr/local/sbin/take"), &["--pool".into(), "tank".into()]),
            Asked::Agent("fence_custom".into()),
            option("fence_custom", "outlet-group"),
            option("fence_virsh", "missing_as_off"),
            Asked::SecretFile("/root/bmc".into()),
            Asked::Variable("BMC_PW".into()),
        ]
    }

    const ALL: &str = r#"
storage_programs = ["/usr/local/sbin/take --pool tank"]
secret_files = ["/root/bmc"]
secret_variables = ["BMC_PW"]
[agents.fence_custom]
options = ["outlet_group"]
[agents.fence_virsh]
options = ["missing_as_off"]
"#;

    #[test]
    fn without_a_file_everything_goes_on_as_first_sight() {
        let (_folder, local) = local(None);
        for asked in asked() {
            assert_eq!(local.leave(&asked), Leave::FirstSight, "{asked}");
            assert!(local.is_first_sight(&asked), "{asked}");
        }
        assert!(!local.is_first_sight(&Asked::Variable("NOVA_HA_SECRET_BMC".into())));
    }

    #[test]
    fn a_folder_of_anothers_disarms_nobody_while_there_is_no_file_in_it() {
        let (folder, _) = local(None);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let file = folder.path().join("local.toml");
        assert_eq!(Local::read(&file).says(), &Says::Nothing);
        std::fs::write(&file, "").unwrap();
        assert!(matches!(Local::read(&file).says(), Says::Unusable(why) if why.contains("chmod go-w")));
    }

    #[test]
    fn a_file_allows_what_it_names_and_refuses_the_rest_with_where_it_would_stand() {
        let (_folder, all) = local(Some(ALL));
        let (_keep, none) = local(Some(""));
        for asked in asked() {
            assert_eq!(all.leave(&asked), Leave::Given, "{asked}");
            let Leave::Refused(refused) = none.leave(&asked) else { panic!("{asked}") };
            let text = refused.to_string();
            assert!(text.contains(&asked.to_string()) && text.contains("local.toml"), "{text}");
            assert!(refused.hint().contains("nova-ha local adopt"), "{}", refused.hint());
        }
        let longer = Asked::program(Path::new("/usr/local/sbin/take"), &["--pool".into()]);
        assert!(matches!(all.leave(&longer), Leave::Refused(_)), "the whole line counts");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_never_no_restrictions() {
        let (_folder, broken) = local(Some("storage_programs = [\n \"x\" ]"));
        let (folder, open) = local(Some(ALL));
        std::fs::set_permissions(open.file(), std::fs::Permissions::from_mode(0o666)).unwrap();
        let writable = Local::read(open.file());
        std::fs::remove_file(open.file()).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), open.file()).unwrap();
        let link = Local::read(open.file());
        for (local, why) in [(broken, "line 2"), (writable, "chmod go-w"), (link, "is a link")] {
            for asked in asked() {
                let Leave::Refused(refused) = local.leave(&asked) else { panic!("{asked}: {local:?}") };
                assert!(matches!(*refused, Refused::Unusable { .. }), "{refused}");
                assert!(refused.to_string().contains(why), "{refused}");
                assert!(refused.hint().contains("nova-ha local show"));
            }
        }
    }

    #[test]
    fn a_secret_is_read_only_where_it_may_lie_and_as_a_link_only_at_first_sight() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, link) = (folder.path().join("bmc"), folder.path().join("link"));
        std::fs::write(&secret, "pw").unwrap();
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        let read = |local: &Local, path: &Path| local.secret_file(path, 100).map(|opened| opened.bytes);
        let (_keep, nothing) = local(None);
        assert_eq!(read(&nothing, &link).unwrap(), b"pw");
        let (_keep, here) = local(Some(&format!("secret_folders = [{:?}]", folder.path())));
        assert_eq!(read(&here, &secret).unwrap(), b"pw");
        assert!(matches!(read(&here, &link), Err(SecretFileError::Open(OpenError::Link { .. }))));
        let (_keep, elsewhere) = local(Some(""));
        assert!(matches!(read(&elsewhere, &secret), Err(SecretFileError::Refused(_))));
        let out = folder.path().join("../../etc/shadow");
        assert!(read(&here, &out).is_err(), "no way out of the folder");
    }
}
