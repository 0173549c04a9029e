//! The HA node that holds an incident: whether it is dead, and whether it is proved off. Another HA
//! node adopts only on the first, and repeats what it had begun only on the second.

use super::facts;
use super::stop::Stop;
use super::world::{World, chain};
use crate::evidence::{About, look};
use crate::fence::off::{Settings, prove_off};
use crate::fence::{Identity, Machine};
use crate::judge::guard::guards;
use crate::judge::{Verdict, judge};
use crate::keys;
use crate::names::HaNodeName;
use crate::policy::Policy;
use crate::tree::Snapshot;
use crate::tree::runtime_config::RuntimeConfig;

/// Whether the HA node that holds an incident is dead by the same rules as any host: the verdict,
/// or why it is not. An HA node on which `recover` merely crashed is alive, and resumes itself.
pub async fn is_dead(world: &World, holder: &HaNodeName) -> Result<Result<String, String>, Stop> {
    let seen = look(&world.witness(), About::Suspects, true).await.map_err(|error| {
        Stop::waiting(
            format!("cannot judge HA node {holder}: {}", chain(&error)),
            error.hint().unwrap_or_default(),
        )
    })?;
    if let Some(error) = seen.unreadable_ha_nodes.get(holder) {
        return Err(Stop::waiting(
            format!("cannot judge HA node {holder}: {}", chain(error)),
            error.hint().unwrap_or_default(),
        ));
    }
    let Some(subject) = seen.ha_subjects.get(holder) else {
        return Ok(Err("nobody configured it; nova-ha ha-node list".into()));
    };
    let doubtful = guards(&seen.scene).doubtful;
    Ok(match judge(&seen.scene, holder.as_str(), subject, &doubtful) {
        Verdict::Dead(proof) => {
            let voters: Vec<&str> = proof.voters.iter().map(|v| v.as_str()).collect();
            Ok(format!(
                "{} of {} votes ({}), serfHealth {}",
                voters.len(),
                proof.quorum,
                voters.join(", "),
                proof.serf
            ))
        }
        Verdict::Alive(why) => Err(format!("it is alive: {why}")),
        Verdict::CannotTell(why) => Err(format!("cannot tell whether it is dead: {}", why.text())),
    })
}

/// Whether the earlier holder is proved off: then nothing it started can still be on its way.
/// Reads only; with storage `shared` nobody needs to shoot it.
pub async fn is_off(world: &World, holder: &HaNodeName) -> Result<bool, Stop> {
    let keys = keys::ha_node(holder);
    let tree = |source| Stop::Tree { source };
    let prefixes = [keys::META.to_owned(), keys::POLICY.to_owned(), keys.config(), keys.runtime_config()];
    let snapshot =
        Snapshot::read(world.store.as_ref(), "the earlier holder", &prefixes).await.map_err(tree)?;
    let policy = Policy::of(&snapshot).map_err(tree)?;
    let expected = match snapshot.text(&keys.bmc_field("identity")).map_err(tree)? {
        Some(pinned) => Identity::pinned(&pinned),
        None => match snapshot.get(&keys.runtime_config()) {
            Some(entry) => {
                let published = RuntimeConfig::parse(&entry.key, &entry.value).map_err(tree)?;
                Identity { uuid: published.system_uuid, serial: published.system_serial }
            }
            None => Identity::default(),
        },
    };
    let machine = Machine::HaNode(holder.clone());
    let armed =
        facts::arm_machine(world, machine, &snapshot, &keys, &expected, policy.allow_unidentified_bmc).await;
    Ok(prove_off(&armed.levels, world.clock.as_ref(), &Settings::of(&policy)).await.is_ok())
}
