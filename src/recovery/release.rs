//! A person's order to give the storage of a host back, once its incident is over and no guest runs here
//! any more: the storage program's `release`, asked on the HA node that has it.

use super::claim;
use super::facts::{self, Case};
use super::stop::Stop;
use super::storage::contract::{Answer, Verb};
use super::storage::exec;
use super::world::{World, chain};
use crate::incident::IncidentRecord;
use crate::keys;
use crate::names::{HostName, IncidentId};
use crate::store::TxnOutcome;
use crate::tree::{Snapshot, TreeError};

/// Gives it back, or says why not; nothing is changed then, unless the program's answer was unclear.
///
/// Released it is when `release` and the `check` after it both say *ready*; only then is this HA node
/// marked free, which lets `reset` and `rejoin` go on. Says what the program said; who gave the order is
/// in the log. Killed anywhere it can be asked again.
///
/// The caller holds the lock of this HA node, so that no recovery here takes it meanwhile; no other HA
/// node takes it while this one is in use for the incident.
pub async fn run(world: &World, host: &HostName, by: &str) -> Result<String, Stop> {
    let id = in_use_by(world).await?.filter(|id| id.host() == host).ok_or_else(|| {
        Stop::waiting(
            format!("HA node {} is not in use for {host}: it has nothing of it to give back", world.me),
            "nova-ha ha-node list",
        )
    })?;
    let case = facts::load(world, &id).await?;
    if !case.record.status.is_over() {
        return Err(Stop::waiting(
            format!("incident {id} is open, and its guests need their disks here"),
            format!("nova-ha incident show {id}"),
        ));
    }
    let guests = guests_of(world, &case).await?;
    let Some(before) = exec::ask(world, &case, Verb::Check, &guests, None).await else {
        return Err(Stop::waiting(
            format!("storage strategy {:?} has nothing to give back", case.storage.strategy.word()),
            format!("nova-ha reset {host} --by NAME"),
        ));
    };
    match before {
        // `ready` may be what a release that was killed half way left: it is asked to the end.
        Answer::Taken { .. } | Answer::Ready { .. } => {}
        unclear @ (Answer::Refused { .. } | Answer::CannotTell { .. }) => {
            return Err(not_clear(world, &unclear));
        }
    }
    nobody_runs_here(world, &case).await?;
    let said = exec::ask(world, &case, Verb::Release, &guests, None).await;
    let after = exec::ask(world, &case, Verb::Check, &guests, None).await;
    match (said, after) {
        (Some(Answer::Ready { .. }), Some(Answer::Ready { detail })) => {
            free(world, &id).await?;
            tracing::info!(incident = %id, by, ha_node = %world.me, detail, "storage released");
            Ok(detail)
        }
        (Some(said), Some(after)) => Err(Stop::waiting(
            format!(
                "the storage program was asked to release ({}), and then says {}",
                said.text(),
                after.text()
            ),
            format!("look at {} on {}", keys::ha_node(&world.me).storage_exec(), world.me),
        )),
        (None, _) | (_, None) => {
            Err(Stop::waiting("this HA node has no storage program", "nova-ha ha-node list"))
        }
    }
}

/// This HA node has nothing of the host any more: it may be used for another one.
async fn free(world: &World, id: &IncidentId) -> Result<(), Stop> {
    let own = keys::ha_node(&world.me);
    let prefixes = [own.in_use(), own.in_use_by()];
    let tree = |source| Stop::Tree { source };
    let snapshot = Snapshot::read(world.store.as_ref(), "this HA node", &prefixes).await.map_err(tree)?;
    let again = || {
        Stop::waiting(
            format!("the storage is released, and {} could not be marked free: it was changed", world.me),
            format!("nova-ha ha-node show {}", world.me),
        )
    };
    if snapshot.text(&own.in_use_by()).map_err(tree)?.as_deref() != Some(id.to_string().as_str()) {
        return Err(again());
    }
    let ops = claim::released(&own, &snapshot);
    let outcome = world.store.transact(&ops).await;
    match outcome.map_err(|source| Stop::Store { doing: "mark this HA node free", source })? {
        TxnOutcome::Committed(_) => Ok(()),
        TxnOutcome::Refused(_) => Err(again()),
    }
}

fn not_clear(world: &World, answer: &Answer) -> Stop {
    Stop::waiting(
        format!("the storage program says {}: nothing was changed", answer.text()),
        format!("look at {} on {}", keys::ha_node(&world.me).storage_exec(), world.me),
    )
}

async fn in_use_by(world: &World) -> Result<Option<IncidentId>, Stop> {
    let tree = |source| Stop::Tree { source };
    let key = keys::ha_node(&world.me).in_use_by();
    let prefixes = [keys::META.to_owned(), key.clone()];
    let snapshot = Snapshot::read(world.store.as_ref(), "this HA node", &prefixes).await.map_err(tree)?;
    let Some(text) = snapshot.text(&key).map_err(tree)? else { return Ok(None) };
    let id = text.parse::<IncidentId>();
    id.map(Some).map_err(|why| tree(TreeError::Malformed { key, why: why.to_string() }))
}

/// The guests of the ledger: those whose disks came along.
async fn guests_of(world: &World, case: &Case) -> Result<Vec<String>, Stop> {
    let record: &IncidentRecord = &case.record;
    let prefix = keys::incident(&record.id).guests();
    let entries = world
        .store
        .list(&prefix)
        .await
        .map_err(|source| Stop::Store { doing: "read the guest ledger", source })?;
    Ok(entries.iter().filter_map(|entry| entry.key.strip_prefix(&prefix)).map(str::to_owned).collect())
}

/// A guest here would lose its disk under it.
async fn nobody_runs_here(world: &World, case: &Case) -> Result<(), Stop> {
    let own = &case.own_nova_host;
    let servers = facts::cloud(world, case)?.servers_on(own).await.map_err(|error| {
        Stop::waiting(
            format!("Nova does not list the guests of {own}: {}", chain(&error)),
            "openstack server list --all --host",
        )
    })?;
    if servers.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = servers.iter().take(5).map(|server| server.name.as_str()).collect();
    Err(Stop::waiting(
        format!("{} guests are on {own} ({}, ...)", servers.len(), names.join(", ")),
        format!("move them away or stop and migrate them: openstack server list --all --host {own}"),
    ))
}
