//! Asks the fence devices of a machine who they are, before anything is decided. Changes nothing.

use super::case::Case;
use super::identified::whose;
use super::plan::{LevelFact, LevelState};
use super::world::{World, chain};
use crate::bindings::Expected;
use crate::fence::{Channel, Device, FenceLevels, Machine, Mark, Privilege, Seen, Unclear, Verdict};
use crate::keys;
use crate::tree::Snapshot;

/// The fence levels of a machine that answered just now as its own; the others are left out, so
/// that a device that nobody has identified cannot be used later in the same run.
pub struct Armed {
    /// What each configured level answered.
    pub facts: Vec<LevelFact>,
    /// Those that may be used.
    pub levels: FenceLevels,
}

/// Asks every fence level who it is, whether it answers and whether it may switch off.
pub async fn arm(world: &World, case: &Case) -> Armed {
    let machine = Machine::Host(case.id.host().clone());
    let host = keys::host(case.id.host());
    arm_machine(world, machine, &case.tree, &host, &case.expected, case.policy.allow_unidentified_bmc).await
}

/// As [`arm`], for any machine.
pub async fn arm_machine(
    world: &World,
    machine: Machine,
    snapshot: &Snapshot,
    keys: &keys::MachineKeys,
    expected: &Expected,
    allow_unidentified: bool,
) -> Armed {
    let mut levels = match world.fences.levels(machine.clone(), snapshot, keys) {
        Ok(levels) => levels,
        Err(error) => {
            let why = format!("{}; next: {}", chain(&error), error.hint(&machine));
            let state = LevelState::NoAnswer { why };
            let facts = vec![LevelFact { device: "fence configuration".into(), state, next: None }];
            return Armed { facts, levels: FenceLevels::new(machine, Vec::new()) };
        }
    };
    let mut facts = Vec::new();
    let change = machine.changed_by();
    for level in levels.levels() {
        let mut of_its_devices = Vec::new();
        for device in level.devices() {
            of_its_devices.push(armed(device, expected, &change).await);
        }
        facts.extend(LevelFact::together(of_its_devices));
    }
    let usable: Vec<bool> = facts.iter().map(|fact| fact.state.is_usable(allow_unidentified)).collect();
    levels.keep(&usable);
    Armed { facts, levels }
}

/// Asks one device.
async fn armed(device: &Device, expected: &Expected, change: &str) -> LevelFact {
    let switch = device.switch();
    let (state, next) = match switch.look().await {
        Err(error) => (LevelState::NoAnswer { why: chain(&error) }, Some(error.next(change))),
        Ok(Seen { power, identity: stated }) => {
            let identity = whose(device, expected, stated.as_ref()).await;
            let settles = match &identity {
                Verdict::CannotTell(unclear) => Some(settles(device, unclear, change).await),
                Verdict::Matches | Verdict::Differs { .. } => None,
            };
            let privilege = switch.can_switch_off().await;
            let privilege = privilege.unwrap_or_else(|error| Privilege::CannotTell(chain(&error)));
            let may = matches!(privilege, Privilege::Denied(_)).then(|| {
                format!("an account that may switch off: {change} --bmc-user NAME --bmc-password-file FILE")
            });
            (LevelState::Answers { power, identity, privilege }, settles.or(may))
        }
    };
    LevelFact { device: switch.describe(), state, next }
}

/// What settles whose a device is of which nobody can tell.
async fn settles(device: &Device, unclear: &Unclear, change: &str) -> String {
    match unclear {
        Unclear::Claimed { next, .. } => match device.switch().shows().await {
            Ok(Mark::Nothing) | Err(_) => next.clone(),
            Ok(mark) => format!(
                "{next}; or, if you have looked that this device is the machine's: {change} --bmc-confirmed-by NAME --bmc-shows \
                 '{mark}'"
            ),
        },
        Unclear::NotAnswered(_) => format!("make it answer, or: {change} --bmc-ip ADDRESS"),
        // It says who it is, and nobody knows who the machine is.
        Unclear::NotComparable { expected, found } if !expected.is_usable() && found.is_usable() => format!(
            "on the machine: nova-ha-runtime-info; or, if this is what stands on it: {change} --bmc-identity UUID|SERIAL"
        ),
        Unclear::NotComparable { .. } | Unclear::NotStated | Unclear::NotAsConfirmed { .. } => {
            match (device.switch().shows().await.ok(), device.switch().channel()) {
                (None, _) => format!("make it answer, or: {change} --bmc-ip ADDRESS"),
                (Some(_), Channel::Agent) => format!(
                    "if you have looked that this device is the machine's: {change} --fence-file FILE   (with \
                     \"identity_confirmed_by\": \"NAME\" in its level)"
                ),
                (Some(Mark::Nothing), Channel::Shown | Channel::Open(_)) => format!(
                    "it shows nothing of itself, so that another device like it at this address would not be told from it; if you \
                     have looked, and keep its address: {change} --bmc-confirmed-by NAME --bmc-shows nothing   (docs/bmc.md)"
                ),
                (Some(mark), Channel::Shown | Channel::Open(_)) => format!(
                    "if you have looked that this device is the machine's: {change} --bmc-confirmed-by NAME --bmc-shows '{mark}'"
                ),
            }
        }
    }
}
