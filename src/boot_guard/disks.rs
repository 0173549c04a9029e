//! What the host's disks say: pure, from what was published of them and what is seen now.
//!
//! Consul's word is not enough. One that was restored from before a takeover says *mine* to the host while an
//! HA node has its arrays mounted; the disks were not restored with it ([`crate::disks::owner_mark`]). And
//! nova-compute without its guests' filesystem would build their disks anew beneath the mountpoint.

use crate::disks::mountinfo::Mount;
use crate::disks::on_disk::{OnDisk, missing, on_disk};
use crate::disks::owner_mark::{self, is_another_home};
use crate::disks::places::Sight;
use crate::disks::running::{Look, places_of};
use crate::names::HostName;
use crate::published_disks::of_the_guests;
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::runtime_config::arrays::MdArray;

/// A published array, and what is seen at its members' places; why not, where nobody can look.
pub type Sighted = (MdArray, Result<Vec<Sight>, String>);

/// What keeps something from starting, and the operator's next command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Another machine has it.
    Taken {
        /// Why.
        why: String,
        /// What to type.
        next: String,
    },
    /// The disks are silent.
    CannotTell {
        /// Why.
        why: String,
        /// What to type.
        next: String,
    },
    /// It is this host's own, and what it needs is not there yet.
    NotReady {
        /// Why.
        why: String,
        /// What to type.
        next: String,
    },
}

/// Whether the disks let the storage start. `is_early`: disks that are not here may still come.
pub fn storage(host: &HostName, arrays: &[Sighted], is_early: bool) -> Option<Kept> {
    let mut silent = None;
    for (array, sights) in arrays {
        match of_array(host, array, sights, is_early) {
            taken @ Some(Kept::Taken { .. }) => return taken,
            other => silent = silent.or(other),
        }
    }
    silent
}

fn called(array: &MdArray) -> String {
    let name = if array.name.is_empty() { &array.uuid } else { &array.name };
    format!("array {name}")
}

fn override_word(host: &HostName) -> String {
    format!("nova-ha-boot-guard --override {host} --by NAME")
}

fn of_array(
    host: &HostName,
    array: &MdArray,
    sights: &Result<Vec<Sight>, String>,
    is_early: bool,
) -> Option<Kept> {
    // Other metadata has no name that could be changed: no takeover marks it.
    if array.metadata.as_ref().is_some_and(|version| !version.starts_with("1.")) {
        return None;
    }
    let called = called(array);
    let cannot_tell = |why: String| {
        Some(Kept::CannotTell {
            why: format!("{called}: {why}"),
            next: format!(
                "lsblk, mdadm --examine DISK; if it is no more, or nobody else has it: {}",
                override_word(host)
            ),
        })
    };
    let sights = match sights {
        Ok(sights) => sights,
        Err(why) => return cannot_tell(why.clone()),
    };
    match on_disk(&array.uuid, sights) {
        // As an HA node it took the array, and then became a host with it (`nova-ha rejoin --swap-roles`).
        OnDisk::Taken { by } if by == owner_mark::holder(host.as_str()) => None,
        OnDisk::Taken { by } => Some(Kept::Taken {
            why: format!("the disks say that HA node {by} has {called}"),
            next: format!(
                "on {by}: nova-ha-recover {host} --release-storage --yes {host} --by NAME; only if no machine has it: {}",
                override_word(host)
            ),
        }),
        OnDisk::Named(names) => match names.iter().find(|name| is_another_home(&array.name, name)) {
            Some(name) => Some(Kept::Taken {
                why: format!("the disks of {called} say that it is {name}"),
                next: format!("mdadm --examine DISK; only if no machine has it: {}", override_word(host)),
            }),
            None if is_early => {
                let missing = missing(&array.uuid, sights);
                let first = missing.first()?;
                cannot_tell(format!(
                    "waiting for {} of its {} disks ({})",
                    missing.len(),
                    sights.len(),
                    first.place.disk
                ))
            }
            None => None,
        },
        OnDisk::Gone => None,
        OnDisk::CannotTell(why) => cannot_tell(why),
    }
}

/// Whether the guests' filesystems let nova-compute start.
pub fn compute(published: &RuntimeConfig, look: &Look, mounts: &[Mount]) -> Option<Kept> {
    let is_mounted = |uuid: &str, array: &str, place: &str| {
        let over = look.array(array).and_then(|running| running.over.as_ref().ok()).into_iter().flatten();
        over.filter(|over| over.uuid == uuid).any(|over| places_of(mounts, &over.number).contains(&place))
    };
    of_the_guests(published).into_iter().find(|fs| !is_mounted(&fs.uuid, &fs.array, &fs.mountpoint)).map(
        |fs| Kept::NotReady {
            why: format!("filesystem {} is not mounted at {}", fs.uuid, fs.mountpoint),
            next: format!("systemctl status nova-ha-guest-storage; findmnt {}", fs.mountpoint),
        },
    )
}

/// The guests' arrays that the kernel runs already.
pub fn running_already(published: &RuntimeConfig, look: &Look) -> Vec<String> {
    let mut found: Vec<String> = of_the_guests(published)
        .into_iter()
        .filter_map(|fs| look.array(&fs.array))
        .map(|running| running.array.device.clone())
        .collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests;
