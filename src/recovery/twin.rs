//! Another machine that acts by this HA node's name is not this HA node: nothing is done beside it.
//!
//! Two signs. Consul's agent here is another node than the HA node's: seen before anything is done. And an incident is
//! held by this name, and its journal says that another machine took it: the file lock here
//! ([`super::single`]) says nothing about a process there.

use super::stop::{Stop, Twin};
use super::world::World;
use crate::incident::IncidentRecord;
use crate::incident::journal::{Event, JournalEntry};
use crate::keys;
use crate::machine_id::MachineId;
use crate::names::HaNodeName;
use crate::tree::machine::consul_node;
use crate::tree::meta::Meta;
use crate::tree::namesake::{OwnName, own_name};
use crate::tree::record::parse;
use crate::tree::{Snapshot, TreeError};

/// Whether Consul's agent here is this HA node's.
///
/// # Errors
/// It is another machine's: nothing may be done. Or the tree cannot be read.
pub async fn by_its_agent(world: &World) -> Result<OwnName, Stop> {
    let tree = |source| Stop::Tree { source };
    let own = keys::ha_node(&world.me);
    let prefixes = [keys::META.to_owned(), own.general(), own.names()];
    let snapshot =
        Snapshot::read(world.store.as_ref(), "the names of this HA node", &prefixes).await.map_err(tree)?;
    Meta::of(&snapshot).map_err(tree)?;
    if snapshot.get(&own.general()).is_none() {
        return Err(tree(TreeError::Unknown { what: "HA node", name: world.me.to_string() }));
    }
    let expected = consul_node(&snapshot, &own, world.me.as_str()).map_err(tree)?;
    match own_name(world.store.as_ref(), &world.me, &expected).await {
        OwnName::Anothers(namesake) => Err(Stop::Twin { twin: Twin::Agent(namesake) }),
        known @ (OwnName::Ours | OwnName::CannotTell { .. }) => Ok(known),
    }
}

/// Whether what this name holds is this machine's, by the incident's journal. What a build took that wrote no machine
/// id is this machine's if Consul's agent here is the HA node's, as it was before there were ids.
///
/// # Errors
/// Another machine took it: nothing may be done. Or nobody can tell, which is waited for.
pub async fn has(world: &World, agent: &OwnName, record: &IncidentRecord) -> Result<(), Stop> {
    let theirs = machine_of_holder(world, record).await?;
    match (theirs, agent) {
        (Some(theirs), _) if theirs == world.machine => Ok(()),
        (Some(theirs), _) => Err(Stop::Twin {
            twin: Twin::Holds {
                node: world.me.clone(),
                incident: record.id.clone(),
                theirs,
                ours: world.machine.clone(),
            },
        }),
        (None, OwnName::Ours) => Ok(()),
        (None, OwnName::Anothers(namesake)) => Err(Stop::Twin { twin: Twin::Agent(namesake.clone()) }),
        (None, OwnName::CannotTell { why }) => Err(Stop::waiting(
            format!(
                "whether this machine took {} cannot be told: its journal does not say which machine, and the Consul \
                 agent does not say which node it is ({why})",
                record.id
            ),
            "give the token of nova-ha-recover agent:read (nova-ha generate acl)",
        )),
    }
}

/// The machine that took an incident last, by its journal. One that was opened again is held by the HA node that has its
/// storage, whoever went on with it last: by the machine that took it under that name.
async fn machine_of_holder(world: &World, record: &IncidentRecord) -> Result<Option<MachineId>, Stop> {
    let entries = world
        .store
        .list(&keys::incident(&record.id).journal())
        .await
        .map_err(|source| Stop::Store { doing: "read its journal", source })?;
    let by_name = record.holder.as_ref().map(HaNodeName::as_str);
    let (mut holder, mut of_that_name) = (None, None);
    for stored in entries {
        let entry: JournalEntry =
            parse(&stored.key, &stored.value).map_err(|source| Stop::Tree { source })?;
        if let Some((node, machine)) = took(&entry) {
            if Some(node) == by_name {
                of_that_name.clone_from(&machine);
            }
            holder = machine;
        } else if matches!(entry.what, Event::Retried { .. }) {
            holder.clone_from(&of_that_name);
        }
    }
    Ok(holder)
}

/// The HA node and the machine that have the incident from this entry on; `None` if that stays as it was.
fn took(entry: &JournalEntry) -> Option<(&str, Option<MachineId>)> {
    match &entry.what {
        Event::Claimed { .. } | Event::Adopted { .. } => Some((&entry.by, entry.machine.clone())),
        Event::HandedBack { to, machine, .. } => Some((to.as_str(), Some(machine.clone()))),
        Event::Started { .. }
        | Event::Finished { .. }
        | Event::MembersSeen { .. }
        | Event::FencingHolder { .. }
        | Event::HolderFenced { .. }
        | Event::AddressAnswers { .. }
        | Event::Held { .. }
        | Event::Resumed { .. }
        | Event::Withdrawn { .. }
        | Event::Abandoned { .. }
        | Event::Closed { .. }
        | Event::Retried { .. }
        | Event::RetryEnded { .. } => None,
    }
}
