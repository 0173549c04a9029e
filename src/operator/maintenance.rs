//! `nova-ha maintenance`: a machine that is worked on is not marked.

use clap::{Args, Subcommand};

use super::OperatorError;
use super::answer::{Answer, Outcome, done};
use super::cluster::Cluster;
use super::commit::commit;
use super::error::tree;
use super::machine_options::checked;
use crate::confirm::line;
use crate::keys::{self, MachineKeys};
use crate::store::{Op, Store};
use crate::tree::maintenance::Maintenance;
use crate::tree::record::{Record, bytes};

/// On or off.
#[derive(Debug, Subcommand)]
pub enum MaintenanceCommand {
    /// From now on this machine is not marked as failed.
    On(MaintenanceArgs),
    /// From now on it is protected again.
    Off(MaintenanceArgs),
}

/// `nova-ha maintenance on|off`.
#[derive(Debug, Args)]
pub struct MaintenanceArgs {
    /// A host, or an HA node.
    pub name: String,
    /// Why, for those who find it.
    #[arg(long)]
    pub reason: Option<String>,
    /// Who says so.
    #[arg(long, env = "USER")]
    pub by: String,
}

/// Runs one of them.
pub async fn run(command: MaintenanceCommand, store: &dyn Store) -> Result<Answer, OperatorError> {
    let (on, args) = match command {
        MaintenanceCommand::On(args) => (true, args),
        MaintenanceCommand::Off(args) => (false, args),
    };
    let record = record(on, args.reason.as_deref(), &args.by)?;
    let doing = format!("set the maintenance of {}", args.name);
    let cluster = Cluster::read(store, &doing).await?;
    let keys = machine(&cluster, &args.name)?;
    let before = Maintenance::of(&cluster.snapshot, &keys).map_err(tree(&doing))?;
    let word = if on { "on" } else { "off" };
    if before.on == on && (record.reason.is_none() || before.reason == record.reason) {
        return done(
            Outcome::AlreadySo,
            &format!("maintenance {word}"),
            &args.name,
            format!("{}: already so, maintenance is {word}", args.name),
        );
    }
    let key = keys.maintenance();
    let seen = cluster.snapshot.get(&key);
    let ops = [cluster.meta_unchanged(), Op::replace(key, bytes(&record), seen)];
    commit(store, &doing, &ops).await?;
    done(
        Outcome::Changed,
        &format!("maintenance {word}"),
        &args.name,
        format!("{}: maintenance is {word}", args.name),
    )
}

/// The record to store, validated.
pub(super) fn record(on: bool, reason: Option<&str>, by: &str) -> Result<Maintenance, OperatorError> {
    Ok(Maintenance {
        version: Maintenance::VERSION,
        on,
        reason: checked("--reason", reason, line)?,
        by: checked("--by", Some(by), line)?,
        at: Some(jiff::Timestamp::now()),
    })
}

/// Names are unique among hosts and HA nodes together.
fn machine(cluster: &Cluster, name: &str) -> Result<MachineKeys, OperatorError> {
    match cluster.ha_node(name) {
        Ok(node) => Ok(keys::ha_node(&node)),
        Err(_) => Ok(keys::host(&cluster.host(name)?)),
    }
}
