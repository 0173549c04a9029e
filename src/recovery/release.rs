//! A person's order to give the storage of a host back, once its incident is over and no guest runs here
//! any more, on the HA node that has it.

use super::case::{self, Case};
use super::claim;
use super::gather;
use super::stop::Stop;
use super::storage::answer::Answer;
use super::storage::strategy;
use super::takeovers;
use super::twin;
use super::world::{World, chain};
use crate::incident::status::State;
use crate::incident::{IncidentRecord, held_guests};
use crate::keys;
use crate::names::{HostName, IncidentId};
use crate::store::TxnOutcome;
use crate::tree::{Snapshot, TreeError};

/// Gives it back, or says why not.
///
/// Only when all of it is given back is this HA node marked free, which lets `reset` and `rejoin` go on. Says what
/// was done; who gave the order is in the log. Killed anywhere it can be asked again.
///
/// The caller holds the lock of this HA node, so that no recovery here takes it meanwhile; no other HA
/// node takes it while this one is in use for the incident.
pub async fn run(world: &World, host: &HostName, by: &str) -> Result<String, Stop> {
    twin::by_its_agent(world).await?;
    let case = case_of(world, host).await?;
    let id = &case.id;
    if !case.record.status.is_over() {
        return Err(Stop::waiting(
            format!("incident {id} is open, and its guests need their disks here"),
            format!("nova-ha incident show {id}"),
        ));
    }
    none_is_held(world, &case).await?;
    let guests = guests_of(world, &case).await?;
    nobody_runs_here(world, &case).await?;
    let answer = strategy::release(world, &case, &guests).await.ok_or_else(|| {
        Stop::waiting(
            format!("storage strategy {:?} has nothing to give back", case.storage.strategy.word()),
            format!("nova-ha reset {host} --by NAME"),
        )
    })?;
    let detail = match answer {
        Answer::Ready { detail } => detail,
        unclear @ (Answer::Taken { .. }
        | Answer::Refused { .. }
        | Answer::Contradicted { .. }
        | Answer::HostLives { .. }
        | Answer::CannotTell { .. }) => {
            return Err(Stop::waiting(
                format!("the storage of {host} is not released: {}", unclear.text()),
                format!("look at {}", strategy::place(world, &case)),
            ));
        }
    };
    // In this order: killed between the two, the tree still says whose storage to ask about.
    takeovers::forget(&world.state_dir, id).map_err(|error| {
        Stop::waiting(
            format!("the storage is released, and this HA node cannot forget that it had it: {error}"),
            format!("remove {}", error.path.display()),
        )
    })?;
    free(world, id).await?;
    tracing::info!(incident = %id, by, ha_node = %world.me, detail, "storage released");
    Ok(detail)
}

/// The incident by which this HA node has storage of the host: by the tree, or, where that has forgotten it, by its
/// own memory.
async fn case_of(world: &World, host: &HostName) -> Result<Case, Stop> {
    if let Some(id) = in_use_by(world).await?.filter(|id| id.host() == host) {
        return case::load(world, &id).await;
    }
    let remembered = takeovers::all(&world.state_dir).map_err(|error| {
        Stop::waiting(
            format!("what this HA node took cannot be read: {error}"),
            format!("look at {}", error.path.display()),
        )
    })?;
    let taken = remembered.into_iter().find(|taken| taken.incident.host() == host);
    match taken {
        Some(taken) => case::load_forgotten(world, &taken.incident, taken.at).await,
        None => Err(Stop::waiting(
            format!("HA node {} is not in use for {host}: it has nothing of it to give back", world.me),
            "nova-ha ha-node list",
        )),
    }
}

/// This HA node has nothing of the host any more: it may be used for another one.
async fn free(world: &World, id: &IncidentId) -> Result<(), Stop> {
    let own = keys::ha_node(&world.me);
    let prefixes = [own.in_use(), own.in_use_by()];
    let tree = |source| Stop::Tree { source };
    let snapshot = Snapshot::read(world.store.as_ref(), "this HA node", &prefixes).await.map_err(tree)?;
    if snapshot.text(&own.in_use_by()).map_err(tree)?.as_deref() != Some(id.to_string().as_str()) {
        // A tree that has forgotten it calls this HA node free, or in use for another.
        return Ok(());
    }
    let again = || {
        Stop::waiting(
            format!("the storage is released, and {} could not be marked free: it was changed", world.me),
            format!("nova-ha ha-node show {}", world.me),
        )
    };
    let ops = claim::released(&own, &snapshot);
    let outcome = world.store.transact(&ops).await;
    match outcome.map_err(|source| Stop::Store { doing: "mark this HA node free", source })? {
        TxnOutcome::Committed(_) => Ok(()),
        TxnOutcome::Refused(_) => Err(again()),
    }
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

/// A guest that was left held could not be retried any more: its disk would be its host's again.
async fn none_is_held(world: &World, case: &Case) -> Result<(), Stop> {
    if case.record.status.state != State::Closed {
        return Ok(());
    }
    let held = held_guests::of(world.store.as_ref(), &case.id).await;
    let held = held.map_err(|source| Stop::Tree { source })?;
    let Some(first) = held.first() else { return Ok(()) };
    let names: Vec<&str> = held.iter().take(20).map(|guest| guest.name.as_str()).collect();
    Err(Stop::waiting(
        format!("guests of {} are held, and their disks are here: {}", case.id, names.join(", ")),
        format!("{}; or {}", first.retry(), first.settle()),
    ))
}

/// A guest here would lose its disk under it.
async fn nobody_runs_here(world: &World, case: &Case) -> Result<(), Stop> {
    let own = &case.own_nova_host;
    let servers = gather::cloud(world, case)?.servers_on(own).await.map_err(|error| {
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
