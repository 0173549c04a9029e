//! An *off* that anyone on the network can have said: it is believed only while the machine is silent on every way on
//! which this HA node, the observers and Consul could hear it.
//!
//! The shot itself is never refused for it. Asked with each reading of the power, so that a machine that is heard later
//! ends what was begun.

use super::only_said::OnlySaid;
use super::stop::Stop;
use super::word::Whereabouts;
use super::world::{World, chain};
use crate::evidence::planes;
use crate::fence::silence::{AgentSays, Looked};
use crate::fence::{Hearsay, Machine, PoweredOff, Silence};
use crate::keys::{self, MachineKeys};
use crate::store::SerfHealth;
use crate::tree::{Snapshot, machine};

/// The proof, if the machine is silent now.
///
/// # Errors
/// Nobody can look: the tree or Consul cannot be read.
pub async fn believed(
    world: &World,
    hearsay: Hearsay,
    at: Whereabouts<'_>,
) -> Result<Result<PoweredOff, OnlySaid>, Stop> {
    let machine = hearsay.machine().clone();
    let began = world.clock.boottime();
    let looked = look(world, &machine, at).await?;
    let heard = match Silence::of(machine.clone(), began, &looked) {
        Ok(silence) => {
            return hearsay.with(&silence).map(Ok).map_err(|why| Stop::waiting(chain(&why), String::new()));
        }
        Err(heard) => heard,
    };
    Ok(Err(OnlySaid::new(&hearsay, heard)))
}

async fn look(world: &World, machine: &Machine, at: Whereabouts<'_>) -> Result<Looked, Stop> {
    let (keys, name) = match machine {
        Machine::Host(host) => (keys::host(host), host.as_str()),
        Machine::HaNode(node) => (keys::ha_node(node), node.as_str()),
    };
    let address = format!("{}:{}", at.address, at.port);
    let planes = planes::answering(&world.witness(), &keys).await.map_err(|error| {
        Stop::waiting(
            format!("what its observers see of {machine} cannot be read: {}", chain(&error)),
            error.hint().unwrap_or_default(),
        )
    })?;
    let agent = agent(world, &keys, name).await?;
    Ok(Looked { addresses: vec![(address, at.ask(world).await)], agent, planes })
}

async fn agent(world: &World, keys: &MachineKeys, name: &str) -> Result<AgentSays, Stop> {
    let tree = |source| Stop::Tree { source };
    let prefixes = [keys::META.to_owned(), keys.agent(), keys.names()];
    let snapshot = Snapshot::read(world.store.as_ref(), "its agent", &prefixes).await.map_err(tree)?;
    if !machine::has_agent(&snapshot, keys).map_err(tree)? {
        return Ok(AgentSays::RunsNone);
    }
    let node = machine::consul_node(&snapshot, keys, name).map_err(tree)?;
    let read = |source| Stop::Store { doing: "read serfHealth", source };
    let health = world.store.serf_health().await.map_err(read)?;
    Ok(match health.iter().find(|of| of.node.eq_ignore_ascii_case(&node)).map(|of| of.serf) {
        Some(SerfHealth::Passing) => AgentSays::Passing,
        Some(SerfHealth::Critical) => AgentSays::Silent,
        None => AgentSays::NotKnown,
    })
}
