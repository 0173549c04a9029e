//! This machine's md arrays and their filesystems, in the form in which they are published.
//!
//! An array that is published stays so until it is clear that it is no more: a takeover must not lose it to
//! one bad look, and the boot guard knows by it which disks to ask. So an array that merely does not run
//! (it is stopped, its disks are away, the boot guard keeps it) stays; it is gone where all of its disks
//! are here and say that they are no members of it, or where a person says so (`--forget-array`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::disks::block::{Identity, Kind};
use crate::disks::md::{Array, State};
use crate::disks::mountinfo::Mount;
use crate::disks::namesakes::Namesakes;
use crate::disks::on_disk::{OnDisk, on_disk};
use crate::disks::owner_mark::{self, Owner};
use crate::disks::running::{self, Running};
use crate::disks::{DiskId, Roots, places};
use crate::names::HostName;
use crate::published_disks;
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::runtime_config::arrays::{Filesystem, MdArray, Member, OriginalDevice};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The arrays that run here, by UUID.
    pub arrays: BTreeMap<String, MdArray>,
    /// Those that run and cannot be described in full: better than nothing, and no better than what is published.
    pub partial: BTreeMap<String, MdArray>,
    /// Published ones that are no more.
    pub gone: BTreeSet<String>,
    /// Filesystems that are mounted from one of them.
    pub filesystems: Vec<Filesystem>,
    /// UUIDs of published filesystems that are on no array any more.
    pub unmade: BTreeSet<String>,
    /// Whether the kernel has any array.
    pub has_arrays: bool,
    /// What could not be read or is not as it should be, for people.
    pub unread: Vec<String>,
}

/// Looks at this machine. `instances` is where Nova has the guests' disks.
pub fn collect(roots: &Roots, host: &HostName, published: &RuntimeConfig, instances: Option<&str>) -> Found {
    let mut found = Found::default();
    let look = match running::look(roots) {
        Ok(look) => look,
        Err(error) => {
            found.unread.push(format!("block devices: {error}"));
            return found;
        }
    };
    found.has_arrays = !look.arrays.is_empty() || !look.unread.is_empty();
    found.unread.extend(look.unread.iter().map(|(device, why)| format!("{device}: {why}")));
    let mounts = match running::mounts(roots) {
        Ok(mounts) => mounts,
        Err(why) => {
            found.unread.push(why);
            Vec::new()
        }
    };
    let namesakes = Namesakes::look(roots, &look);
    found.unread.extend(namesakes.said());
    for running in &look.arrays {
        array(&mut found, host, running, (published, &namesakes));
        filesystems(&mut found, running, &mounts, instances);
    }
    found.filesystems.sort_by(|a, b| a.mountpoint.cmp(&b.mountpoint));
    for fs in &published.filesystems {
        let on =
            look.array(&fs.array).filter(|on| matches!(on.array.state, State::Running | State::ReadOnly));
        if on
            .is_some_and(|on| on.over.as_ref().is_ok_and(|over| over.iter().all(|over| over.uuid != fs.uuid)))
        {
            found.unmade.insert(fs.uuid.clone());
        }
    }
    for uuid in published.md_arrays.keys().filter(|uuid| look.array(uuid).is_none()) {
        absent(&mut found, roots, uuid, published);
    }
    found
}

/// What is called what, for people.
fn called(uuid: &str, name: &str) -> String {
    if name.is_empty() { format!("array {uuid}") } else { format!("array {name} ({uuid})") }
}

fn published_name(published: &RuntimeConfig, uuid: &str) -> String {
    let entry = published.md_arrays.get(uuid).and_then(|value| MdArray::of(uuid, value).ok());
    entry.map(|entry| entry.name).unwrap_or_default()
}

fn array(
    found: &mut Found,
    host: &HostName,
    running: &Running,
    (published, namesakes): (&RuntimeConfig, &Namesakes),
) {
    let array = &running.array;
    let Some(uuid) = array.uuid.clone() else {
        found.unread.push(format!("{}: nobody says its UUID", array.device));
        return;
    };
    let state = match array.state {
        State::Running => "clean",
        State::ReadOnly => "readonly",
        // The kernel does not know its shape then, or has lost its disks: what was published is better.
        State::Inactive | State::Broken => {
            found.unread.push(format!("{} ({}) does not work", array.device, called(&uuid, "")));
            return;
        }
    };
    let known_as = published_name(published, &uuid);
    let (members, unnamed) = members(array, namesakes);
    let is_whole = members.len() == array.members.len();
    let described = MdArray {
        uuid: uuid.clone(),
        name: name(found, host, array, &uuid, known_as),
        level: array.level.clone(),
        num_devices: array.raid_disks.to_string(),
        state: state.to_owned(),
        devices: devices(&members),
        members: members.into_iter().map(|(_, member)| member).collect(),
        layout: array.layout,
        metadata: Some(array.metadata.clone()),
        degraded: array.degraded,
    };
    match is_whole {
        true => found.arrays.insert(uuid, described),
        false => found.partial.insert(uuid, described),
    };
    found.unread.extend(unnamed);
}

/// The name that its members had before anybody took it: that is what a takeover looks for, and puts back.
///
/// Its own mark is as good a name: as an HA node it took the array, and then became a host with it.
fn name(found: &mut Found, host: &HostName, array: &Array, uuid: &str, known_as: String) -> String {
    let Some(now) = &array.name else { return known_as };
    match owner_mark::read(now) {
        Owner::Plain { .. } => now.clone(),
        Owner::Taken { .. } if owner_mark::is_marked_by(now, host.as_str()) => now.clone(),
        Owner::Taken { by } => {
            found.unread.push(format!(
                "{} runs here, and its disks say that HA node {by} has it: see docs/boot-guard.md",
                called(uuid, &known_as)
            ));
            known_as
        }
    }
}

type Named<'a> = (&'a DiskId, Member);

/// Its members, and why others cannot be named to another machine. Those that share their name were said already.
fn members<'a>(array: &'a Array, namesakes: &Namesakes) -> (Vec<Named<'a>>, Vec<String>) {
    let (mut named, mut unnamed) = (Vec::new(), Vec::new());
    for member in &array.members {
        let why = match &member.identity {
            Identity::Disk { id, .. } if namesakes.share(id) => continue,
            Identity::Disk { id, kind, partition } => {
                let kind = match kind {
                    Kind::Scsi => "scsi",
                    Kind::Nvme => "nvme",
                    Kind::Multipath => "multipath",
                };
                let member = Member {
                    disk: id.as_str().to_owned(),
                    partition: *partition,
                    kind: kind.to_owned(),
                    slot: member.slot,
                    in_sync: member.is_in_sync(),
                };
                named.push((id, member));
                continue;
            }
            Identity::Md(_) => "it is an array itself",
            Identity::Unknown(why) => why,
        };
        unnamed.push(format!("{} of {}: {why}", member.name, array.device));
    }
    // By place, spares last; kernel names may change from boot to boot.
    let order = |member: &Member| (member.slot.is_none(), member.slot, member.disk.clone(), member.partition);
    named.sort_by_key(|(_, member)| order(member));
    (named, unnamed)
}

/// The same for the original, which knows whole SCSI disks only.
fn devices(members: &[Named<'_>]) -> BTreeMap<String, OriginalDevice> {
    members
        .iter()
        .map(|(id, _)| (id.scsi_id(), OriginalDevice { kind: "scsi".to_owned(), uuid: id.scsi_id() }))
        .collect()
}

fn filesystems(found: &mut Found, running: &Running, mounts: &[Mount], instances: Option<&str>) {
    let Some(uuid) = running.array.uuid.as_deref() else { return };
    let over = match &running.over {
        Ok(over) => over,
        Err(why) => {
            found.unread.push(format!("filesystems on {}: {why}", running.array.device));
            return;
        }
    };
    for over in over {
        let places = running::places_of(mounts, &over.number);
        // Mounted twice: where the guests are counts, and else where it was mounted first.
        let holds = |place: &&&str| instances.is_some_and(|path| Path::new(path).starts_with(place));
        let Some(place) = places.iter().filter(holds).max_by_key(|place| place.len()).or(places.first())
        else {
            continue;
        };
        if found.filesystems.iter().any(|known| known.uuid == over.uuid) {
            found.unread.push(format!("filesystem {} is on more than one array", over.uuid));
            continue;
        }
        found.filesystems.push(Filesystem {
            uuid: over.uuid.clone(),
            fs_type: over.fs_type.clone(),
            mountpoint: (*place).to_owned(),
            array: uuid.to_owned(),
        });
    }
}

/// A published array that the kernel does not have.
fn absent(found: &mut Found, roots: &Roots, uuid: &str, published: &RuntimeConfig) {
    let name = called(uuid, &published_name(published, uuid));
    let Some(value) = published.md_arrays.get(uuid) else { return };
    let places = MdArray::of(uuid, value).and_then(|array| published_disks::places(&array));
    let sights = places.and_then(|places| places::look(roots, &places).map_err(|error| error.to_string()));
    match sights {
        Ok(sights) if !sights.is_empty() && on_disk(uuid, &sights) == OnDisk::Gone => {
            tracing::info!(array = uuid, "its disks are here and are no members of it any more: it is gone");
            found.gone.insert(uuid.to_owned());
        }
        Ok(_) => found.unread.push(format!(
            "{name} is published and does not run here; if it is no more: nova-ha-runtime-info --forget-array {uuid}"
        )),
        Err(why) => found.unread.push(format!("{name} does not run here, and its disks cannot be looked at: {why}")),
    }
}

#[cfg(test)]
mod tests;
