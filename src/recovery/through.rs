//! Says under each incident that this machine held, and that has ended, that no process of it works on it any more.
//!
//! Called under the file lock, by a process that works on one incident at a time: whatever an earlier process of this
//! machine did is over, and this one begins nothing for an incident that has ended. Of the one that it is at work on it
//! says nothing before that work is over: a person may have ended the incident while an effect is under way.

use super::world::{World, chain};
use crate::incident::IncidentRecord;
use crate::incident::journal::JournalEntry;
use crate::incident::through::{Through, holdings};
use crate::keys;
use crate::names::{Epoch, IncidentId, NameError};
use crate::store::{Op, TxnOutcome};
use crate::tree::incidents::IncidentNames;
use crate::tree::record::{Record, bytes, parse};
use crate::tree::{Snapshot, TreeError};

/// Says it where it is not said yet, but for the incident that this process is at work on. Whatever goes wrong is logged: the host is given back later, and the next run says it.
pub async fn say(world: &World, at_work: Option<&IncidentId>) {
    let (tree, ended) = match ended(world).await {
        Ok(found) => found,
        Err(error) => return tracing::warn!(error = %chain(&error), "cannot see which incidents have ended"),
    };
    for id in ended.into_iter().filter(|id| Some(id) != at_work) {
        match say_of(world, &id, &tree).await {
            Ok(true) => {
                tracing::info!(incident = %id, ha_node = %world.me, "said that this machine is through with it");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(incident = %id, error = %chain(&error), "cannot say that this machine is through with it");
            }
        }
    }
}

/// Incidents that have ended, and whose host was not reset since: what is said of the others nobody reads.
async fn ended(world: &World) -> Result<(Snapshot, Vec<IncidentId>), TreeError> {
    let ids = IncidentNames::list(world.store.as_ref()).await?.ids;
    let prefixes: Vec<String> = ids
        .iter()
        .flat_map(|id| {
            let incident = keys::incident(id);
            [incident.incident(), incident.gone(&world.me), keys::host(id.host()).epoch()]
        })
        .collect();
    let snapshot = Snapshot::read(world.store.as_ref(), "the incidents", &prefixes).await?;
    let mut ended = Vec::new();
    for id in ids {
        let epoch = Epoch(snapshot.number(&keys::host(id.host()).epoch())?.unwrap_or(0));
        // What cannot be read keeps no other from being said.
        let Ok(Some(record)) = snapshot.record::<IncidentRecord>(&keys::incident(&id).incident()) else {
            continue;
        };
        if record.status.is_over() && id.epoch() == epoch {
            ended.push(id);
        }
    }
    Ok((snapshot, ended))
}

/// Of one; whether it had to be said.
async fn say_of(world: &World, id: &IncidentId, tree: &Snapshot) -> Result<bool, TreeError> {
    let keys = keys::incident(id);
    let said: Option<Through> = tree.record(&keys.gone(&world.me))?;
    let read = |source| TreeError::Read { what: format!("the journal of {id}"), source };
    let mut journal: Vec<JournalEntry> = Vec::new();
    for stored in world.store.list(&keys.journal()).await.map_err(read)? {
        journal.push(parse(&stored.key, &stored.value)?);
    }
    let no_name = |error: NameError| TreeError::Malformed { key: keys.journal(), why: error.to_string() };
    let of_this_machine = holdings(&journal).map_err(no_name)?.into_iter().filter(|held| {
        held.node == world.me && held.machine.as_ref().is_none_or(|machine| *machine == world.machine)
    });
    let Some(term) = of_this_machine.map(|held| held.term).max() else { return Ok(false) };
    if said.is_some_and(|said| said.machine == world.machine && said.term >= term) {
        return Ok(false);
    }
    let through =
        Through { version: Through::VERSION, machine: world.machine.clone(), term, at: world.clock.wall() };
    let ops = [
        Op::unchanged(keys.incident(), tree.get(&keys.incident())),
        Op::Set(keys.gone(&world.me), bytes(&through)),
    ];
    let write = |source| TreeError::Read { what: keys.gone(&world.me), source };
    Ok(matches!(world.store.transact(&ops).await.map_err(write)?, TxnOutcome::Committed(_)))
}
