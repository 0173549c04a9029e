//! `nova-ha ha-node`: the spares that watch and recover.

use clap::{Args, Subcommand, ValueEnum};

use super::OperatorError;
use super::answer::{Answer, Outcome, code, done};
use super::cluster::{Catalog, Cluster};
use super::commit::commit;
use super::confirm::confirm;
use super::error::tree;
use super::fault::faults_text;
use super::free::{self, FreeArgs};
use super::host::{Added, Published, RemoveArgs, add_machine};
use super::machine_options::{MachineOptions, Setting, checked, word};
use super::machine_view::{HaNodeView, MachineDetails, ha_nodes_table};
use crate::keys::{self, MachineKeys};
use crate::names::HaNodeName;
use crate::store::{Op, Store};
use crate::tree::flag;
use crate::tree::machine::Targets;
use crate::tree::nova_names::TreeMachine;
use crate::tree::storage::{absolute, command, user};

/// What can be done with HA nodes.
#[derive(Debug, Subcommand)]
pub enum HaNodeCommand {
    /// Add an HA node, or change one with --replace.
    Add(Box<AddArgs>),
    /// All HA nodes and their flags.
    List,
    /// Everything about one HA node; of secrets only whether they are set.
    Show {
        /// The HA node.
        name: String,
    },
    /// Free an HA node that is in use for no incident of ours: the original, or a person, left it so.
    Free(FreeArgs),
    /// Remove an HA node and all its keys.
    Remove(RemoveArgs),
}

/// `nova-ha ha-node add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The HA node, as it shall be called in the tree; best its Consul node name.
    pub name: HaNodeName,
    /// How to reach it, and how to power it off.
    #[command(flatten)]
    pub options: MachineOptions,
    /// Name of the cloud in this node's clouds.yaml.
    #[arg(long, value_name = "NAME")]
    pub os_cloud: Option<String>,
    /// Where Nova keeps its guests' disks as files on this node: then each disk is looked at before its
    /// guest is sent here. Leave it out where root disks are no files (RBD, LVM).
    #[arg(long, value_name = "PATH")]
    pub nova_mountpoint: Option<String>,
    /// The user that nova-compute runs as on this node; nova where it is not set.
    #[arg(long, value_name = "USER")]
    pub nova_user: Option<String>,
    /// Where guests go: this_ha_node (the default), scheduler, hosts:A,B,... or the JSON of them.
    #[arg(long, value_name = "TARGETS")]
    pub targets: Option<String>,
    /// How this node gets at the guests' storage.
    #[arg(long, value_enum)]
    pub storage: Option<Storage>,
    /// With --storage exec: the program's absolute path, and its arguments after blanks. They are no
    /// place for a secret.
    #[arg(long, value_name = "COMMAND")]
    pub storage_exec: Option<String>,
}

/// `config/storage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Storage {
    /// All hosts see it all the time (NFS, Ceph): nothing has to be taken.
    Shared,
    /// The host's own md arrays, on disks that this node sees too (docs/storage-md.md).
    Md,
    /// A program of yours takes it over (docs/storage-exec.md).
    Exec,
}

/// Runs one of them.
pub(super) async fn run(command: HaNodeCommand, store: &dyn Store) -> Result<Answer, OperatorError> {
    match command {
        HaNodeCommand::Add(args) => add(*args, store).await,
        HaNodeCommand::List => list(store).await,
        HaNodeCommand::Show { name } => show(&name, store).await,
        HaNodeCommand::Free(args) => free::run(args, store).await,
        HaNodeCommand::Remove(args) => remove(args, store).await,
    }
}

async fn add(args: AddArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let keys = keys::ha_node(&args.name);
    let mut settings = args.options.settings(&keys)?;
    let own = [
        (keys.os_cloud(), checked("--os-cloud", args.os_cloud.as_deref(), word)?),
        (keys.nova_mountpoint(), checked("--nova-mountpoint", args.nova_mountpoint.as_deref(), mountpoint)?),
        (keys.storage_exec(), checked("--storage-exec", args.storage_exec.as_deref(), storage_exec)?),
        (keys.nova_user(), checked("--nova-user", args.nova_user.as_deref(), user)?),
        (keys.targets(), args.targets.as_deref().map(targets).transpose()?),
        (
            keys.storage(),
            args.storage.map(|storage| match storage {
                Storage::Shared => "shared".to_owned(),
                Storage::Md => "md".to_owned(),
                Storage::Exec => "exec".to_owned(),
            }),
        ),
    ];
    settings.extend(own.into_iter().filter_map(|(key, value)| Some((key, value?.into_bytes()))));
    let (machine, published) = (TreeMachine::HaNode(args.name.clone()), Published::Stays);
    let skeleton = skeleton(&keys);
    let added = Added {
        what: "HA node",
        name: args.name.as_str(),
        keys: &keys,
        machine,
        published,
        skeleton: &skeleton,
    };
    add_machine(store, added, &args.options, &settings).await
}

/// The keys that every HA node has. The probes of the other HA nodes count `number_fails` here
/// too; for `epoch` and `maintenance` see [`super::host`].
fn skeleton(keys: &MachineKeys) -> Vec<Setting> {
    vec![
        (keys.in_use(), flag::text(false).into()),
        (keys.general(), Vec::new()),
        (keys.number_fails(), "0".into()),
        (keys.epoch(), "0".into()),
        (keys.maintenance(), flag::text(false).into()),
    ]
}

fn storage_exec(text: &str) -> Result<(), &'static str> {
    crate::confirm::line(text)?;
    command(text).map(drop)
}

fn mountpoint(text: &str) -> Result<(), &'static str> {
    crate::confirm::line(text)?;
    absolute(text).map(drop)
}

/// The short forms people type, or the JSON that is stored.
fn targets(text: &str) -> Result<String, OperatorError> {
    let refuse = |why: String| OperatorError::Input { option: "--targets".into(), why };
    let targets = match text.trim() {
        "this_ha_node" => Targets::ThisHaNode,
        "scheduler" => Targets::Scheduler,
        short if short.starts_with("hosts:") => Targets::Hosts {
            hosts: short.trim_start_matches("hosts:").split(',').map(|host| host.trim().to_owned()).collect(),
        },
        json => serde_json::from_str(json).map_err(|error| {
            refuse(format!("neither this_ha_node, scheduler, hosts:A,B,... nor JSON of them ({error})"))
        })?,
    };
    if let Targets::Hosts { hosts } = &targets {
        if hosts.is_empty() {
            return Err(refuse("the list of hosts is empty".into()));
        }
        for host in hosts {
            super::machine_options::word(host).map_err(|why| refuse(format!("{host:?}: {why}")))?;
        }
    }
    serde_json::to_string(&targets).map_err(|source| OperatorError::Render { source })
}

async fn list(store: &dyn Store) -> Result<Answer, OperatorError> {
    #[derive(serde::Serialize)]
    struct HaNodes<'a> {
        ha_nodes: &'a [HaNodeView],
    }
    let cluster = Cluster::read(store, "list the HA nodes").await?;
    let catalog = Catalog::read(store).await;
    let nodes: Vec<HaNodeView> =
        cluster.ha_nodes.iter().map(|node| HaNodeView::of(&cluster, &catalog, node)).collect();
    let text = match nodes.is_empty() {
        true => "no HA nodes yet; add one: nova-ha ha-node add NAME ...".to_owned(),
        false => nodes.iter().fold(ha_nodes_table(&nodes), |text, one| text + &faults_text(&one.faults)),
    };
    let faulty = nodes.iter().any(|node| !node.faults.is_empty());
    Ok(Answer::new(text, &HaNodes { ha_nodes: &nodes })?.with_code(code(faulty, false)))
}

async fn show(name: &str, store: &dyn Store) -> Result<Answer, OperatorError> {
    #[derive(serde::Serialize)]
    struct HaNode<'a> {
        ha_node: &'a HaNodeView,
        config: &'a MachineDetails,
    }
    let cluster = Cluster::read(store, &format!("show HA node {name}")).await?;
    let node = cluster.ha_node(name)?;
    let catalog = Catalog::read(store).await;
    let view = HaNodeView::of(&cluster, &catalog, &node);
    let details = MachineDetails::of(&cluster.snapshot, &keys::ha_node(&node));
    let text = format!("{}{}", view.text(), details.text());
    let faulty = !view.faults.is_empty() || !details.faults.is_empty();
    Ok(Answer::new(text, &HaNode { ha_node: &view, config: &details })?.with_code(code(faulty, false)))
}

async fn remove(args: RemoveArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let doing = format!("remove HA node {}", args.name);
    let cluster = Cluster::read(store, &doing).await?;
    let node: HaNodeName = cluster.ha_node(&args.name)?;
    let keys = keys::ha_node(&node);
    let by = cluster.snapshot.text(&keys.in_use_by()).map_err(tree(&doing))?;
    if by.is_some() || cluster.snapshot.flag(&keys.in_use()).map_err(tree(&doing))? {
        return Err(OperatorError::InUse { name: node.to_string(), by });
    }
    confirm(
        node.as_str(),
        args.yes.as_deref(),
        &format!("This removes HA node {node} with all its keys; the quorum is counted anew without it."),
        &format!("nova-ha ha-node remove {node}"),
    )?;
    // A claim writes both in its transaction.
    let ops = [
        cluster.meta_unchanged(),
        Op::unchanged(keys.in_use(), cluster.snapshot.get(&keys.in_use())),
        Op::unchanged(keys.in_use_by(), cluster.snapshot.get(&keys.in_use_by())),
        Op::DeleteTree(keys.all()),
    ];
    commit(store, &doing, &ops).await?;
    done(
        Outcome::Changed,
        "ha-node remove",
        node.as_str(),
        format!("{node}: removed\nnow generate anew: nova-ha generate consul-config, nova-ha generate acl"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_typed_short_and_stored_as_the_recovery_reads_them() {
        assert_eq!(targets("this_ha_node").unwrap(), r#"{"mode":"this_ha_node"}"#);
        assert_eq!(targets("scheduler").unwrap(), r#"{"mode":"scheduler"}"#);
        assert_eq!(targets("hosts:a, b").unwrap(), r#"{"mode":"hosts","hosts":["a","b"]}"#);
        assert_eq!(
            targets(r#"{"mode":"hosts","hosts":["a"]}"#).unwrap(),
            r#"{"mode":"hosts","hosts":["a"]}"#
        );
        for bad in ["", "hosts:", "hosts:a,,b", "elsewhere", r#"{"mode":"hosts","hosts":[]}"#, "{}"] {
            assert!(targets(bad).is_err(), "{bad:?} was taken for targets");
        }
    }

    #[test]
    fn a_mountpoint_is_an_absolute_path() {
        assert!(mountpoint("/var/lib/nova/instances").is_ok());
        for bad in ["instances", "/a/../b", "/a\nb", ""] {
            assert!(mountpoint(bad).is_err(), "{bad:?}");
        }
    }
}
