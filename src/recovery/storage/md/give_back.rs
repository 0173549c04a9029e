//! The way back: unmounted, stopped, and named as before, so that the host's boot guard lets it have its disks.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::check::{begun, look, wanted_of};
use super::members::{Unfit, members};
use super::reserve::give_up;
use super::wanted::{Wanted, WantedArray, is_its_own};
use crate::chain::chain;
use crate::disks::mountinfo::Mount;
use crate::disks::on_disk::{OnDisk, on_disk};
use crate::disks::owner_mark::{holder, is_another_home};
use crate::disks::places::{Place, Sight};
use crate::disks::running::Running;
use crate::fence::off::Settings;
use crate::keys;
use crate::recovery::arrays::{Scope, Seen};
use crate::recovery::case::Case;
use crate::recovery::storage::answer::Answer;
use crate::recovery::world::World;
use crate::tree::TreeError;
use crate::tree::published::Published;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    Unmount { at: PathBuf },
    Stop { device: String, uuid: String },
    Rename { uuid: String, members: BTreeSet<Place>, name: String },
}

/// As for taking it.
const MOST_TRIES: usize = 3;

/// Does what is to be done until none of it is here; *ready* then. The caller has made sure that no guest is.
pub async fn give_back(world: &World, case: &Case) -> Answer {
    match run(world, case).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn run(world: &World, case: &Case) -> Result<Answer, Answer> {
    let wanted = wanted_of(case)?;
    let begun = begun(world, case)?;
    let within = Settings::of(&case.policy).attempt;
    let mut done: Vec<Act> = Vec::new();
    loop {
        let seen = look(world, case, &wanted, Scope::All).await?;
        let Some(act) = next(&wanted, &seen, world.me.as_str(), begun)? else {
            give_up(world, case, &wanted).await?;
            return Ok(Answer::Ready { detail: given_back(&wanted, &seen) });
        };
        if done.iter().filter(|before| **before == act).count() >= MOST_TRIES {
            return Err(Answer::Refused { detail: format!("{act:?}: no success, {MOST_TRIES} times") });
        }
        if let Act::Rename { uuid, name, .. } = &act
            && !done.iter().any(|before| matches!(before, Act::Stop { uuid: stopped, .. } if stopped == uuid))
        {
            host_is_kept_from(case, name)?;
        }
        tracing::info!(incident = %case.id, host = %case.id.host(), step = "give back", ?act);
        let arrays = world.arrays.as_ref();
        let outcome = match &act {
            Act::Unmount { at } => arrays.unmount(at, within).await,
            Act::Stop { device, uuid } => arrays.stop(device, uuid, within).await,
            Act::Rename { uuid, members, name } => arrays.rename(uuid, members, name, within).await,
        };
        if let Err(why) = outcome {
            // A filesystem that is in use stays in use: trying again at once would not help.
            if matches!(act, Act::Unmount { .. }) {
                return Err(Answer::Refused { detail: why });
            }
            tracing::warn!(incident = %case.id, step = "give back", ?act, why, "looking again");
        }
        done.push(act);
    }
}

/// An array that did not run here just now may run on its host: a person may have said that this HA node has nothing
/// of it any more, and let the host start. Writing a name into its members would be a second writer.
fn host_is_kept_from(case: &Case, name: &str) -> Result<(), Answer> {
    let host = case.id.host();
    let unclear = |error: TreeError| Answer::CannotTell { why: chain(&error) };
    let keys = keys::host(host);
    let written = |key: &str| case.tree.get(key).map(|entry| entry.modify_index);
    let key = keys.runtime_config();
    let published = Published::of(&case.tree, &keys).disks().map_err(unclear)?;
    // By Consul's order of writes: what it published before it was marked is of the boot that ended with the fence, and
    // an override that was given after it last published is not in that yet.
    let is_marked = case.tree.flag(&keys.failed()).map_err(unclear)?;
    let is_later = written(&key) > written(&keys.failed());
    let has_them = published.guests_mounted_in.is_some() && (is_later || !is_marked);
    let is_overridden = match is_marked {
        true => written(&keys.boot_guard()) > written(&keys.failed()),
        false => written(&keys.boot_guard()) > written(&key),
    };
    let is_kept = is_marked || published.boot_guard == Some(false);
    if is_kept && !has_them && !is_overridden {
        return Ok(());
    }
    Err(Answer::Refused {
        detail: format!(
            "{name} does not run here, and {host} may have it: it is not marked failed, or an override let it start its \
             disks, or it has published that they are mounted. Nothing was written. If {host} has it: docs/storage-md.md, \"Disks that a \
             host took back by an override\"; else boot {host}, and ask again once its nova-ha-runtime-info ran"
        ),
    })
}

/// The next thing; `None`: all is done.
fn next(wanted: &Wanted, seen: &Seen, me: &str, begun: bool) -> Result<Option<Act>, Answer> {
    let contradicted = |detail: String| Err(Answer::Contradicted { detail });
    if let Some((device, why)) = seen.unread.first() {
        return Err(Answer::CannotTell {
            why: format!("{device} may be an array, and cannot be read: {why}"),
        });
    }
    let running = |array: &WantedArray| {
        seen.running.iter().find(|running| running.array.uuid.as_deref() == Some(array.uuid()))
    };
    // Unmounting or stopping it would write to what another one has.
    for (array, sights) in wanted.arrays.iter().zip(&seen.sights) {
        if let Some(running) = running(array)
            && let OnDisk::Taken { by } = on_disk(array.uuid(), sights)
            && by != holder(me)
            && !is_its_own(array, &by)
        {
            let (device, name) = (&running.array.device, &array.published.name);
            return contradicted(format!(
                "{device} is {name} and runs here, and the disks say that HA node {by} has it"
            ));
        }
    }
    // What is in another's place goes first.
    for fs in wanted.filesystems.iter().rev() {
        let Some(array) = wanted.arrays.get(fs.array).and_then(running) else { continue };
        let mount = seen.mounts.iter().rfind(|mount| mount.mountpoint == fs.at.to_string_lossy());
        if mount.is_some_and(|mount| is_of(mount, array)) {
            return Ok(Some(Act::Unmount { at: fs.at.clone() }));
        }
    }
    for (array, sights) in wanted.arrays.iter().zip(&seen.sights) {
        let name = &array.published.name;
        let on_disk = on_disk(array.uuid(), sights);
        let is_ours = matches!(&on_disk, OnDisk::Taken { by } if *by == holder(me));
        if let Some(running) = running(array) {
            if let Some(mount) = seen.mounts.iter().find(|mount| is_of(mount, running)) {
                return contradicted(format!("{name} is mounted at {} too", mount.mountpoint));
            }
            if !is_ours && !begun {
                return contradicted(format!(
                    "{} is {name}, and nova-ha did not assemble it",
                    running.array.device
                ));
            }
            let (device, uuid) = (running.array.device.clone(), array.uuid().to_owned());
            return Ok(Some(Act::Stop { device, uuid }));
        }
        match on_disk {
            OnDisk::Taken { .. } if is_ours => {
                if let Some((device, _)) = seen.strangers.iter().find(|(_, uuid)| uuid == array.uuid()) {
                    return contradicted(format!(
                        "{device} says that it is a member of {name}, and was not published as one: it would keep the name \
                         of this HA node (docs/storage-md.md, \"A disk that was added meanwhile\")"
                    ));
                }
                return rename(array, sights).map(Some);
            }
            // The host's own, or taken by another one since this HA node was powered off: nothing of it is here.
            OnDisk::Taken { .. } => {}
            OnDisk::Named(names) => {
                if let Some(other) = names.iter().find(|now| is_another_home(name, now)) {
                    return contradicted(format!("the disks of {name} say that it is {other}"));
                }
            }
            OnDisk::Gone => {
                return contradicted(format!("the disks of {name} are no members of it any more"));
            }
            OnDisk::CannotTell(why) => return Err(Answer::CannotTell { why: format!("{name}: {why}") }),
        }
    }
    Ok(None)
}

/// What became of each array, for people.
fn given_back(wanted: &Wanted, seen: &Seen) -> String {
    let said = |(array, sights): (&WantedArray, &Vec<Sight>)| {
        let name = &array.published.name;
        match on_disk(array.uuid(), sights) {
            OnDisk::Taken { by } if !is_its_own(array, &by) => {
                format!("nothing of {name} is here, HA node {by} has it")
            }
            OnDisk::Taken { .. } | OnDisk::Named(_) | OnDisk::Gone | OnDisk::CannotTell(_) => {
                format!("{name} unmounted, stopped, named as before")
            }
        }
    };
    wanted.arrays.iter().zip(&seen.sights).map(said).collect::<Vec<_>>().join("; ")
}

fn rename(array: &WantedArray, sights: &[Sight]) -> Result<Act, Answer> {
    match members(array, sights, &BTreeSet::new()) {
        Ok(found) => Ok(Act::Rename {
            uuid: array.uuid().to_owned(),
            members: found.places,
            name: array.published.name.clone(),
        }),
        Err(Unfit::TooFew(detail)) => Err(Answer::Refused { detail }),
        Err(Unfit::Another(detail)) => Err(Answer::Contradicted { detail }),
    }
}

/// Whether a mount is of this array. What is on one that cannot be read may be.
fn is_of(mount: &Mount, running: &Running) -> bool {
    mount.device == running.array.number
        || running.over.as_ref().is_ok_and(|over| over.iter().any(|over| over.number == mount.device))
}

#[cfg(test)]
mod tests;
