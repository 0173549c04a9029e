//! `nova-ha generate`: files for Consul, for the machines that are in the tree now.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

use super::OperatorError;
use super::answer::Answer;
use super::cluster::Cluster;
use super::error::tree;
use crate::confirm::line;
use crate::generate::site::{Machine, Places};
use crate::generate::{File, Site, TemplateError, acl, consul_config};
use crate::keys::{self, MachineKeys};
use crate::policy::Policy;
use crate::store::Store;
use crate::tree::machine::{SshAccess, consul_node};
use crate::tree::{Snapshot, TreeError};

/// What can be generated.
#[derive(Debug, Subcommand)]
pub enum GenerateCommand {
    /// Checks and watches for one machine's Consul agent: DIR/nova-ha.json.
    ConsulConfig(ConsulConfigArgs),
    /// One least-privilege ACL policy per executable: DIR/nova-ha-*.hcl.
    Acl(AclArgs),
}

/// `nova-ha generate consul-config`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whose").required(true))]
pub struct ConsulConfigArgs {
    /// For this HA node: probes of every host and HA node, the sweep and the watches.
    #[arg(long, value_name = "NAME", group = "whose")]
    pub ha_node: Option<String>,
    /// For this host: it publishes what it is.
    #[arg(long, value_name = "NAME", group = "whose")]
    pub host: Option<String>,
    /// Folder to write into; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Folder of the executables and of start-recover on that machine.
    #[arg(long, value_name = "DIR", default_value = "/usr/bin")]
    pub bin_dir: String,
    /// Folder with one token file per executable (probe, mark-failed, recover, runtime-info).
    #[arg(long, value_name = "DIR")]
    pub token_dir: Option<String>,
    /// The user as whom Consul's agent runs there (the packages' default is consul); its checks then need
    /// nothing of root's.
    #[arg(long, value_name = "USER", default_value = "root", value_parser = user)]
    pub consul_user: String,
    /// A further check of every host, as nova-ha-probe --tcp takes it.
    #[arg(long, value_name = "[PLANE=][ADDRESS:]PORT")]
    pub tcp: Vec<String>,
}

/// `nova-ha generate acl`.
#[derive(Debug, Args)]
pub struct AclArgs {
    /// Folder to write into; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Runs one of them.
pub async fn run(command: GenerateCommand, store: &dyn Store) -> Result<Answer, OperatorError> {
    match command {
        GenerateCommand::ConsulConfig(args) => consul(args, store).await,
        GenerateCommand::Acl(args) => policies(&args.out, store).await,
    }
}

async fn consul(args: ConsulConfigArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let places = Places {
        bin: folder("--bin-dir", &args.bin_dir)?,
        tokens: args.token_dir.as_deref().map(|dir| folder("--token-dir", dir)).transpose()?,
        consul_user: (args.consul_user != "root").then_some(args.consul_user),
        tcp: args.tcp,
    };
    for check in &places.tcp {
        line(check).map_err(|why| OperatorError::Input { option: "--tcp".into(), why: why.into() })?;
    }
    let doing = "generate Consul's configuration";
    let cluster = Cluster::read(store, doing).await?;
    let site = site(&cluster, doing)?;
    let mut notes = places.tokens.as_deref().map_or_else(Vec::new, |tokens| open_tokens(Path::new(tokens)));
    notes.extend(of_another_user(&places, args.host.is_some()));
    let file = match (&args.ha_node, &args.host) {
        (Some(name), _) => {
            let me = cluster.ha_node(name)?;
            notes.extend(consul_config::unwatched_planes(&site.policy, &places).into_iter().map(|plane| {
                format!(
                    "the policy's rules name the plane {plane:?}, which no check looks at: --tcp {plane}=PORT"
                )
            }));
            consul_config::ha_node(&site, &me, &places)
        }
        (None, Some(name)) => consul_config::host(&cluster.host(name)?, &places),
        // clap demands one of them.
        (None, None) => return Err(input("--ha-node", "it or --host is needed")),
    };
    write(&args.out, vec![file.map_err(filled)?], notes)
}

/// What else that machine needs where its Consul is not root.
fn of_another_user(places: &Places, is_host: bool) -> Vec<String> {
    let Some(user) = &places.consul_user else { return Vec::new() };
    let tokens = places.tokens.as_deref();
    let owned = |owner: &str, mode: &str, names: &str| {
        tokens.map(|tokens| {
            format!("tokens, as root: cd {tokens} && chown {owner} {names} && chmod {mode} {names}")
        })
    };
    match is_host {
        true => {
            let unit = "as root: systemctl enable --now nova-ha-runtime-info.timer (this check shows what it said)";
            [Some(unit.to_owned()), owned("root:root", "0600", "runtime-info boot-guard")].into_iter().flatten().collect()
        }
        false => [
            Some(format!(
                "as root: install -d -o {user} -m 0755 /run/nova-ha-monitor /var/lib/nova-ha-monitor, at each boot \
                 (consul-watches/tmpfiles)"
            )),
            Some("as root: systemctl enable --now nova-ha-recover.path (it starts a recovery when Consul asks)".to_owned()),
            owned(&format!("root:{user}"), "0640", "probe mark-failed"),
            owned("root:root", "0600", "recover"),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

/// A name as useradd takes it: it is put into a command that is shown.
fn user(text: &str) -> Result<String, String> {
    let first = |b: u8| b.is_ascii_lowercase() || b == b'_';
    let rest = |b: u8| first(b) || b.is_ascii_digit() || b == b'-';
    match text.bytes().next().is_some_and(first) && text.bytes().all(rest) && text.len() <= 32 {
        true => Ok(text.to_owned()),
        false => Err("expected the name of a user".to_owned()),
    }
}

/// Token files on this machine that everybody may read. A group is named on purpose: that of the user as whom Consul runs its
/// checks. Where the folder is another machine's nothing can be said.
fn open_tokens(folder: &Path) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let open = files.filter_map(|file| {
        let mode = file.metadata().ok().filter(std::fs::Metadata::is_file)?.permissions().mode() & 0o7777;
        let path = file.path();
        (mode & 0o004 != 0)
            .then(|| format!("everybody may read the token {} ({mode:04o}): chmod o= {0}", path.display()))
    });
    open.collect()
}

async fn policies(out: &Path, store: &dyn Store) -> Result<Answer, OperatorError> {
    let doing = "generate the ACL policies";
    let cluster = Cluster::read(store, doing).await?;
    let site = site(&cluster, doing)?;
    let mut notes: Vec<String> = Vec::new();
    for host in &cluster.hosts {
        notes.extend(incomplete(&cluster, &keys::host(host), &format!("host add {host}")));
    }
    for node in &cluster.ha_nodes {
        notes.extend(incomplete(&cluster, &keys::ha_node(node), &format!("ha-node add {node}")));
    }
    notes.push("they name every machine: make them anew after each host add and ha-node add".into());
    write(out, acl::policies(&site).map_err(filled)?, notes)
}

/// A tree that the original wrote lacks keys which transactions compare, and Consul lets a token
/// compare an absent key only if it may write it.
fn incomplete(cluster: &Cluster, keys: &MachineKeys, command: &str) -> Option<String> {
    let lacking =
        [keys.epoch(), keys.maintenance()].into_iter().find(|key| cluster.snapshot.get(key).is_none())?;
    Some(format!("{lacking} is missing, and these policies need it: nova-ha {command} --replace"))
}

fn site(cluster: &Cluster, doing: &str) -> Result<Site, OperatorError> {
    let tree_of = &cluster.snapshot;
    let machines = || -> Result<_, crate::tree::TreeError> {
        let mut hosts = Vec::new();
        for name in &cluster.hosts {
            let consul_node = consul_node(tree_of, &keys::host(name), name.as_str())?;
            let is_known_by_key = is_known_by_key(tree_of, &keys::host(name))?;
            hosts.push(Machine { name: name.clone(), consul_node, is_known_by_key });
        }
        let mut ha_nodes = Vec::new();
        for name in &cluster.ha_nodes {
            let consul_node = consul_node(tree_of, &keys::ha_node(name), name.as_str())?;
            let is_known_by_key = is_known_by_key(tree_of, &keys::ha_node(name))?;
            ha_nodes.push(Machine { name: name.clone(), consul_node, is_known_by_key });
        }
        Ok(Site { hosts, ha_nodes, policy: Policy::of(tree_of)? })
    };
    machines().map_err(tree(doing))
}

fn is_known_by_key(snapshot: &Snapshot, keys: &MachineKeys) -> Result<bool, TreeError> {
    Ok(!SshAccess::of(snapshot, keys)?.host_keys.is_empty())
}

fn write(out: &Path, files: Vec<File>, notes: Vec<String>) -> Result<Answer, OperatorError> {
    #[derive(Serialize)]
    struct Written {
        written: Vec<PathBuf>,
        notes: Vec<String>,
    }
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| OperatorError::File { doing: "write", path, source }
    };
    std::fs::create_dir_all(out).map_err(fault(out))?;
    let mut written = Vec::new();
    for file in files {
        let path = out.join(&file.name);
        // A reader never sees half a file.
        let mut whole = tempfile::NamedTempFile::new_in(out).map_err(fault(&path))?;
        whole.write_all(file.text.as_bytes()).map_err(fault(&path))?;
        readable(&whole).map_err(fault(&path))?;
        whole.persist(&path).map_err(|error| fault(&path)(error.error))?;
        written.push(path);
    }
    let mut text: String = written.iter().map(|path| format!("{}\n", path.display())).collect();
    for note in &notes {
        text += &format!("note: {note}\n");
    }
    Answer::new(text, &Written { written, notes })
}

/// A temporary file is for its owner alone; Consul's agent has another one.
fn readable(file: &tempfile::NamedTempFile) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))
}

fn folder(option: &str, text: &str) -> Result<String, OperatorError> {
    if !text.starts_with('/') {
        return Err(input(option, "it is no absolute path"));
    }
    line(text).map_err(|why| input(option, why))?;
    Ok(text.to_owned())
}

fn input(option: &str, why: &str) -> OperatorError {
    OperatorError::Input { option: option.into(), why: why.into() }
}

fn filled(source: TemplateError) -> OperatorError {
    OperatorError::Template { source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_that_everybody_may_read_is_named_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [("probe", 0o640), ("recover", 0o644), ("mark-failed", 0o600)] {
            std::fs::write(folder.path().join(name), "token").unwrap();
            std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(mode))
                .unwrap();
        }
        let notes = open_tokens(folder.path());
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("(0644): chmod o= ") && notes[0].ends_with("/recover"), "{notes:?}");
        assert_eq!(open_tokens(Path::new("/nonexistent")), Vec::<String>::new());
    }
}
