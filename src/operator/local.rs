//! `nova-ha local`: what the root of this HA node lets the tree have run and read here.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::OperatorError;
use super::answer::{Answer, Outcome, code};
use super::cluster::Cluster;
use super::confirm::confirm;
use super::leave::own_name;
use crate::chain::chain;
use crate::columns::wrap;
use crate::local::says::Says;
use crate::local::{Asked, Leave, Local, Word, file, open};
use crate::named::Named;
use crate::names::HaNodeName;
use crate::secret::MAX_SECRET_BYTES;
use crate::store::Store;
use crate::tree::nova_names::TreeMachine;

/// What can be done with it.
#[derive(Debug, Subcommand)]
pub enum LocalCommand {
    /// What this machine's local.toml says, and what the tree names of it that is not allowed.
    Show(ShowArgs),
    /// Show what the tree names of this HA node that its local.toml does not allow yet, ask, and write it there.
    Adopt(AdoptArgs),
}

/// `nova-ha local show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// This HA node's name in the tree; by default NOVA_HA_NODE, else the machine's host name.
    #[arg(long, value_name = "NAME")]
    pub ha_node: Option<String>,
}

/// `nova-ha local adopt`.
#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// This HA node's name in the tree; by default NOVA_HA_NODE, else the machine's host name.
    #[arg(long, value_name = "NAME")]
    pub ha_node: Option<String>,
    /// The HA node's name, once more: nothing is asked then.
    #[arg(long, value_name = "NAME")]
    pub yes: Option<String>,
}

/// Runs one of them.
pub async fn run(command: LocalCommand, store: &dyn Store) -> Result<Answer, OperatorError> {
    let ha_node = match &command {
        LocalCommand::Show(args) => args.ha_node.clone(),
        LocalCommand::Adopt(args) => args.ha_node.clone(),
    };
    let cluster = Cluster::read(store, "look at what the tree names of this HA node").await?;
    let me = cluster.ha_node(&ha_node.unwrap_or_else(own_name))?;
    let hosts = cluster.hosts.iter().cloned().map(TreeMachine::Host);
    let machines = hosts.chain(cluster.ha_nodes.iter().cloned().map(TreeMachine::HaNode));
    let named = Named::of_ha_node(&cluster.snapshot, &me, machines);
    let here = Here { local: Local::read(&file()), me, named };
    match command {
        LocalCommand::Show(_) => here.show(),
        LocalCommand::Adopt(args) => here.adopt(args.yes.as_deref()),
    }
}

/// This machine, as one HA node.
struct Here {
    local: Local,
    me: HaNodeName,
    named: Named,
}

/// Something that the tree names, as JSON.
#[derive(Debug, Serialize)]
struct Line {
    what: String,
    named_by: String,
}

impl Here {
    fn show(&self) -> Result<Answer, OperatorError> {
        #[derive(Serialize)]
        struct Shown<'a> {
            ha_node: &'a HaNodeName,
            file: &'a Path,
            says: &'static str,
            why_not: Option<&'a str>,
            not_allowed: Vec<Line>,
        }
        let (says, why_not) = match self.local.says() {
            Says::Nothing => ("nothing", None),
            Says::Word(_) => ("this", None),
            Says::Unusable(why) => ("unusable", Some(why.as_str())),
        };
        let path = self.local.file();
        let mut text = match self.local.says() {
            Says::Nothing => format!("{} is not there\n", path.display()),
            Says::Word(word) => format!("{}\n\n{}", path.display(), word.text()),
            Says::Unusable(why) => {
                format!("{}\n", wrap(&format!("{} cannot be used: {why}", path.display()), 0))
            }
        };
        let new = self.not_allowed_yet();
        if !new.is_empty() {
            text += match self.local.says() {
                Says::Nothing => "\nthe tree names, and it goes on as it was:\n",
                Says::Word(_) | Says::Unusable(_) => "\nthe tree names, and it is refused here:\n",
            };
            text += &lines(&new);
            text += "  next: nova-ha local adopt   (as root, once the file can be used)\n";
        }
        let not_allowed = new.iter().map(|(asked, key)| line_of(asked, key)).collect();
        let waits = why_not.is_some() || !new.is_empty();
        let shown = Shown { ha_node: &self.me, file: path, says, why_not, not_allowed };
        Ok(Answer::new(text, &shown)?.with_code(code(false, waits)))
    }

    /// What the tree names and this machine does not allow yet.
    fn not_allowed_yet(&self) -> Vec<(&Asked, &str)> {
        let named = self.named.iter();
        named
            .filter(|(asked, _)| match self.local.leave(asked) {
                Leave::Given => false,
                Leave::FirstSight => self.local.is_first_sight(asked),
                Leave::Refused(_) => true,
            })
            .collect()
    }

    fn adopt(&self, yes: Option<&str>) -> Result<Answer, OperatorError> {
        let not_now = |why: String, next: String| OperatorError::NotNow {
            name: self.me.to_string(),
            doing: "settled",
            why,
            next: Some(next),
        };
        if !rustix::process::geteuid().is_root() {
            let why = format!("only root writes {}", self.local.file().display());
            return Err(not_now(why, "the same command as root".into()));
        }
        let before = match self.local.says() {
            Says::Nothing => None,
            Says::Word(word) => Some(word.clone()),
            Says::Unusable(why) => {
                let why = format!("{} cannot be used: {why}", self.local.file().display());
                return Err(not_now(why, "mend it, or move it away; then the same command".into()));
            }
        };
        let (new, path) = (self.not_allowed_yet(), self.local.file());
        let mut word = before.clone().unwrap_or_default();
        new.iter().for_each(|(asked, _)| allow(&mut word, asked));
        // What is written must not take from a recovery what it had.
        let (mends, absent) = self.secrets_in_the_way();
        if !mends.is_empty() {
            let why = format!("no file is read then that others may write or link: {}", mends.join("; "));
            return Err(not_now(why, "mend each, then the same command".into()));
        }
        let mut text = match new.is_empty() {
            true => format!("the tree names nothing of {} that needs to be allowed\n", self.me),
            false => format!("the tree names of {}:\n{}", self.me, lines(&new)),
        };
        text += &absent
            .iter()
            .map(|path| format!("note: {} is not there now\n", path.display()))
            .collect::<String>();
        if before.as_ref() == Some(&word) {
            text += &format!("{}: already so, nothing was written\n", path.display());
            return self.adopted(text, Outcome::AlreadySo, &new);
        }
        let ask =
            format!("{text}This is written to {}; what it does not name is refused here.", path.display());
        confirm(self.me.as_str(), yes, &ask, "nova-ha local adopt")?;
        write(path, &word.text()).map_err(|source| OperatorError::File {
            doing: "write",
            path: path.to_owned(),
            source,
        })?;
        text += &format!("{}: written; what it does not name is refused here\n", path.display());
        text += "  next: nova-ha-recover   (or wait for its next run); nova-ha status\n";
        self.adopted(text, Outcome::Changed, &new)
    }

    fn adopted(
        &self,
        text: String,
        outcome: Outcome,
        new: &[(&Asked, &str)],
    ) -> Result<Answer, OperatorError> {
        #[derive(Serialize)]
        struct Adopted<'a> {
            outcome: Outcome,
            ha_node: &'a HaNodeName,
            file: &'a Path,
            allowed: Vec<Line>,
        }
        let allowed = new.iter().map(|(asked, key)| line_of(asked, key)).collect();
        Answer::new(text, &Adopted { outcome, ha_node: &self.me, file: self.local.file(), allowed })
    }

    /// The files with secrets that would not be read with a local.toml, each with the fix; and those that are not there.
    fn secrets_in_the_way(&self) -> (Vec<String>, Vec<PathBuf>) {
        let (mut mends, mut absent) = (Vec::new(), Vec::new());
        for (asked, _) in self.named.iter() {
            let Asked::SecretFile(path) = asked else { continue };
            match open::owned(path, MAX_SECRET_BYTES) {
                Ok(_) => {}
                Err(error) if error.is_absent() => absent.push(path.clone()),
                Err(error) => mends.push(chain(&error)),
            }
        }
        (mends, absent)
    }
}

fn line_of(asked: &Asked, key: &str) -> Line {
    Line { what: asked.to_string(), named_by: key.to_owned() }
}

fn lines(new: &[(&Asked, &str)]) -> String {
    let line = |(asked, key): &(&Asked, &str)| format!("  {}\n", wrap(&format!("{asked}, by {key}"), 4));
    new.iter().map(line).collect()
}

/// As narrow as it can be: a file, not its folder; an option, not its agent's.
fn allow(word: &mut Word, asked: &Asked) {
    match asked {
        Asked::Program(line) => {
            word.storage_programs.insert(line.clone());
        }
        Asked::Agent(agent) => {
            word.agents.entry(agent.clone()).or_default();
        }
        Asked::Option { agent, option } => {
            word.agents.entry(agent.clone()).or_default().insert(option.replace('-', "_"));
        }
        Asked::SecretFile(path) => {
            word.secret_files.insert(path.clone());
        }
        Asked::Variable(name) => {
            word.secret_variables.insert(name.clone());
        }
    }
}

/// Whole or not at all. Nothing in it is a secret, and a probe that Consul runs as a user of its own reads it too.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let mut whole = tempfile::NamedTempFile::new_in(folder)?;
    whole.write_all(text.as_bytes())?;
    whole.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    whole.as_file().sync_all()?;
    // What could not be read afterwards would be refused as broken, and with it what a recovery needs.
    open::owned(whole.path(), text.len()).map_err(|error| std::io::Error::other(chain(&error)))?;
    whole.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}
