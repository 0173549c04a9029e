//! What a takeover of this host is to have here: from what the host published, and where this HA node keeps
//! guests. Pure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::disks::owner_mark::{self, Owner};
use crate::disks::places::Place;
use crate::published_disks::{instances_path, namesakes, of_the_guests, places};
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::runtime_config::arrays::MdArray;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The arrays that the guests' filesystems are on, each once.
    pub arrays: Vec<WantedArray>,
    /// The filesystems, each after the one that its place is in.
    pub filesystems: Vec<WantedFilesystem>,
}

/// One array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedArray {
    /// As it was published.
    pub published: MdArray,
    /// Where its members were.
    pub places: BTreeSet<Place>,
    /// Those of them that were being rebuilt, or were given up, when it was published.
    pub behind: BTreeSet<Place>,
}

impl WantedArray {
    /// In mdadm's form.
    pub fn uuid(&self) -> &str {
        &self.published.uuid
    }
}

/// One filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFilesystem {
    /// In the form of its own tools.
    pub uuid: String,
    /// `xfs`, ...
    pub fs_type: String,
    /// The array that it is on, by its number in [`Wanted::arrays`].
    pub array: usize,
    /// Where it is to be mounted here.
    pub at: PathBuf,
}

/// Works it out. `mountpoint` is where this HA node's nova-compute looks for guests.
///
/// # Errors
/// What was published is not enough, or cannot be mounted so that the guests are where they must be.
pub fn wanted(config: &RuntimeConfig, mountpoint: &Path) -> Result<Wanted, String> {
    // The mount table writes no slash at the end.
    let mountpoint: PathBuf = mountpoint.components().collect();
    let instances = instances_path(config);
    let filesystems = of_the_guests(config);
    let Some(holding) = filesystems.first().filter(|fs| instances.starts_with(&fs.mountpoint)) else {
        return Err(format!(
            "the host published no filesystem on an md array that holds {}",
            instances.display()
        ));
    };
    if holding.mountpoint == "/" {
        return Err(format!("its guests are on its root filesystem ({})", instances.display()));
    }
    // What is beneath the filesystem's own root on the host is beneath it here too.
    let below = instances.strip_prefix(&holding.mountpoint).unwrap_or(Path::new(""));
    let root = root_for(&mountpoint, below)?;
    let mut wanted = Wanted { arrays: Vec::new(), filesystems: Vec::new() };
    for fs in &filesystems {
        let at = match Path::new(&fs.mountpoint).strip_prefix(instances) {
            Ok(rest) if fs != holding => mountpoint.join(rest),
            Ok(_) | Err(_) => root.clone(),
        };
        let array = match wanted.arrays.iter().position(|array| array.uuid() == fs.array) {
            Some(known) => known,
            None => {
                wanted.arrays.push(array(config, &fs.array)?);
                wanted.arrays.len() - 1
            }
        };
        let (uuid, fs_type) = (fs.uuid.clone(), fs.fs_type.clone());
        wanted.filesystems.push(WantedFilesystem { uuid, fs_type, array, at });
    }
    wanted.filesystems.sort_by_key(|fs| fs.at.components().count());
    Ok(wanted)
}

/// Where the filesystem goes whose folder `below` must become `mountpoint`.
fn root_for(mountpoint: &Path, below: &Path) -> Result<PathBuf, String> {
    let mut root = mountpoint.to_owned();
    let is_so = mountpoint.ends_with(below) && below.components().all(|_| root.pop());
    if is_so && root.parent().is_some() {
        return Ok(root);
    }
    Err(format!(
        "its guests are in the folder {} of their filesystem, and nova_mountpoint here is {}: it must end with \
         that folder",
        below.display(),
        mountpoint.display()
    ))
}

fn array(config: &RuntimeConfig, uuid: &str) -> Result<WantedArray, String> {
    let Some(value) = config.md_arrays.get(uuid) else {
        return Err(format!("array {uuid} is not among those that it published"));
    };
    let published = MdArray::of(uuid, value)?;
    match published.metadata.as_deref() {
        Some(version) if version.starts_with("1.") => {}
        Some(other) => {
            return Err(format!("array {uuid} has metadata {other}, which has no name to mark it by"));
        }
        None => return Err(format!("how array {uuid} is built is not published (by the original?)")),
    }
    if published.name.is_empty() {
        return Err(format!("array {uuid} has no name"));
    }
    let places = places(&published)?;
    if let Some(why) = namesakes(&published) {
        return Err(format!("array {uuid}: {why}: which disk is which cannot be told"));
    }
    if places.is_empty() {
        return Err(format!("where array {uuid} has its members is not published"));
    }
    let behind: Vec<_> = published.members.iter().filter(|member| !member.in_sync).cloned().collect();
    let behind = match behind.is_empty() {
        true => BTreeSet::new(),
        false => self::places(&MdArray { members: behind, ..published.clone() })?,
    };
    Ok(WantedArray { published, places, behind })
}

/// Whether this is the mark by which the host published the array.
pub(super) fn is_its_own(array: &WantedArray, by: &str) -> bool {
    matches!(owner_mark::read(&array.published.name), Owner::Taken { by: own } if own == by)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::storage::md::example::{host, published};

    fn at(config: &RuntimeConfig, mountpoint: &str) -> Result<Vec<(String, String)>, String> {
        let wanted = wanted(config, Path::new(mountpoint))?;
        let place = |fs: &WantedFilesystem| (fs.uuid.clone(), fs.at.display().to_string());
        Ok(wanted.filesystems.iter().map(place).collect())
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(uuid, at)| ((*uuid).to_owned(), (*at).to_owned())).collect()
    }

    #[test]
    fn guests_are_where_nova_here_looks_for_them() {
        for (instances, mounts, mountpoint, expected) in [
            (None, &["/var/lib/nova/instances"][..], "/instances", &[("fs0", "/instances")][..]),
            (None, &["/var/lib/nova/instances"], "/instances/", &[("fs0", "/instances")]),
            (Some("/srv/nova/"), &["/srv"], "/taken/nova/", &[("fs0", "/taken")]),
            (Some("/srv/nova"), &["/srv"], "/srv/nova", &[("fs0", "/srv")]),
            (Some("/srv/nova"), &["/srv"], "/taken/nova", &[("fs0", "/taken")]),
            (
                Some("/srv/nova"),
                &["/srv/nova/big", "/srv/nova", "/home"],
                "/instances",
                &[("fs1", "/instances"), ("fs0", "/instances/big")],
            ),
        ] {
            let config = published(instances, mounts);
            assert_eq!(at(&config, mountpoint).unwrap(), pairs(expected), "{mounts:?}");
        }
    }

    #[test]
    fn what_cannot_be_mounted_so_is_refused() {
        let refused = |config: &RuntimeConfig, mountpoint: &str| at(config, mountpoint).unwrap_err();
        for mountpoint in ["/srv", "/instances", "/nova"] {
            let why = refused(&published(Some("/srv/nova"), &["/srv"]), mountpoint);
            assert!(why.contains("must end with"), "{why}");
        }
        assert!(refused(&published(None, &["/"]), "/x").contains("root filesystem"));
        assert!(refused(&published(None, &["/home"]), "/x").contains("holds /var/lib/nova/instances"));
        assert!(refused(&RuntimeConfig::default(), "/x").contains("no filesystem"));
    }

    #[test]
    fn an_array_that_could_not_be_told_from_another_is_refused() {
        let good = host();
        let changed = |field: &str, value: serde_json::Value| {
            let mut config = good.clone();
            for array in config.md_arrays.values_mut() {
                array[field] = value.clone();
            }
            at(&config, "/instances").unwrap_err()
        };
        assert!(at(&good, "/instances").is_ok());
        assert!(changed("metadata", "0.90".into()).contains("0.90"));
        assert!(changed("metadata", serde_json::Value::Null).contains("not published"));
        assert!(changed("name", "".into()).contains("has no name"));
        assert!(changed("members", serde_json::json!([])).contains("members"));
        let mut two = good.md_arrays.values().next().unwrap()["members"].clone();
        two[1]["disk"] = two[0]["disk"].clone();
        let why = changed("members", two);
        assert!(why.contains("have one world-wide name"), "{why}");
        let none = RuntimeConfig { md_arrays: [].into(), ..good.clone() };
        assert!(at(&none, "/instances").unwrap_err().contains("not among"));
    }
}
