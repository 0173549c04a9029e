//! What this HA node remembers of the storage that it took, apart from the tree: a Consul that was restored from a
//! snapshot has forgotten it, while the filesystems are mounted here.
//!
//! A file for each takeover below `/var/lib/nova-ha/takeovers`, written before the first array is assembled and
//! removed when the storage was given back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::case::Case;
use super::stop::{Stop, Twin};
use super::storage::md::wanted::Wanted;
use super::world::World;
use crate::incident::IncidentRecord;
use crate::keys;
use crate::machine_id::MachineId;
use crate::names::IncidentId;
use crate::own_files::{self, Folder, Lasts, OwnFileError, ReadBy};
use crate::tree::meta::Meta;
use crate::tree::record::{Record, parse};
use crate::tree::{Snapshot, TreeError};

/// One takeover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Takeover {
    /// Format version.
    pub version: u64,
    /// Whose storage, in which epoch.
    pub incident: IncidentId,
    /// The tree that it was ordered by.
    pub generation: String,
    /// Wall clock.
    pub at: Timestamp,
    /// The machine that began it; absent in files of builds that did not write it. A file that was copied with its disk
    /// to another machine is no memory of that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// The arrays' names before, by UUID.
    pub arrays: BTreeMap<String, String>,
}

impl Record for Takeover {
    /// 2: with the machine that began it.
    const VERSION: u64 = 2;
}

impl Takeover {
    /// What is about to be taken.
    pub fn of(world: &World, case: &Case, wanted: &Wanted) -> Self {
        let name = |array: &super::storage::md::wanted::WantedArray| {
            (array.uuid().to_owned(), array.published.name.clone())
        };
        Self {
            version: Self::VERSION,
            incident: case.id.clone(),
            generation: case.generation.clone(),
            at: world.clock.wall(),
            machine: Some(world.machine.clone()),
            arrays: wanted.arrays.iter().map(name).collect(),
        }
    }
}

impl Takeover {
    /// Whether this machine began it, by what it says; a build that wrote no machine id wrote it here.
    pub fn is_of(&self, machine: &MachineId) -> bool {
        self.machine.as_ref().is_none_or(|began| began == machine)
    }
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct MemoryError {
    /// The file, or its folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

const FOLDER: &str = "takeovers";

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER)
}

fn name(id: &IncidentId) -> String {
    format!("{id}.json")
}

fn file(state_dir: &Path, id: &IncidentId) -> PathBuf {
    folder(state_dir).join(name(id))
}

fn opened(state_dir: &Path) -> Result<Option<Folder>, OwnFileError> {
    match Folder::open(state_dir)? {
        None => Ok(None),
        Some(state) => state.within(Some(FOLDER)),
    }
}

fn failed(path: &Path) -> impl Fn(String) -> MemoryError {
    let path = path.to_owned();
    move |why| MemoryError { path: path.clone(), why }
}

/// Whether [`remember`] could write.
///
/// # Errors
/// It could not: the folder, and why.
pub fn can_remember(state_dir: &Path) -> Result<(), MemoryError> {
    const TRIED: &str = ".tmp-tried";
    let tried = || {
        let folder = Folder::make(state_dir)?.make_within(Some(FOLDER))?;
        folder.write(TRIED, b"", Lasts::WhileItRuns, ReadBy::Owner)?;
        folder.remove(TRIED).map(drop)
    };
    tried().map_err(|error: OwnFileError| failed(&folder(state_dir))(error.with_cause()))
}

/// Remembers one; what is remembered already stays as it is.
///
/// # Errors
/// It cannot be written so that it outlasts a power cut, or what is there cannot be read.
pub fn remember(state_dir: &Path, takeover: &Takeover) -> Result<(), MemoryError> {
    if of(state_dir, &takeover.incident)?.is_some() {
        return Ok(());
    }
    let path = file(state_dir, &takeover.incident);
    let failed = failed(&path);
    let text = serde_json::to_string(takeover).map_err(|error| failed(error.to_string()))?;
    let file = format!("{FOLDER}/{}", name(&takeover.incident));
    own_files::write_whole(state_dir, &file, &text).map_err(|error| failed(error.with_cause()))
}

/// The takeover of this incident, if this HA node began one.
///
/// # Errors
/// What is there cannot be read: that is no *none*.
pub fn of(state_dir: &Path, id: &IncidentId) -> Result<Option<Takeover>, MemoryError> {
    let path = file(state_dir, id);
    match own_files::read(state_dir, &format!("{FOLDER}/{}", name(id))) {
        Ok(Some(bytes)) => read(&path, &bytes).map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(failed(&path)(error.with_cause())),
    }
}

fn read(path: &Path, bytes: &[u8]) -> Result<Takeover, MemoryError> {
    parse(&path.display().to_string(), bytes).map_err(|error: TreeError| failed(path)(error.to_string()))
}

/// All of them.
///
/// # Errors
/// As [`of`].
pub fn all(state_dir: &Path) -> Result<Vec<Takeover>, MemoryError> {
    let folder = folder(state_dir);
    let failed = failed(&folder);
    let unreadable = |error: OwnFileError| failed(error.with_cause());
    let Some(opened) = opened(state_dir).map_err(unreadable)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for name in opened.names().map_err(unreadable)? {
        // What a power cut left of a file that was being written is none.
        if !name.ends_with(".json") {
            continue;
        }
        let gone = || failed(format!("{name} went away while it was read"));
        let bytes = opened.read(&name).map_err(unreadable)?.ok_or_else(gone)?;
        found.push(read(&folder.join(&name), &bytes)?);
    }
    found.sort_by(|a, b| a.incident.cmp(&b.incident));
    Ok(found)
}

/// Forgets one that was given back.
///
/// # Errors
/// It may be remembered still.
pub fn forget(state_dir: &Path, id: &IncidentId) -> Result<(), MemoryError> {
    let path = file(state_dir, id);
    let gone = opened(state_dir).and_then(|folder| match folder {
        Some(folder) => folder.remove(&name(id)).map(drop),
        None => Ok(()),
    });
    gone.map_err(|error| failed(&path)(error.with_cause()))
}

/// Refuses to work beside a tree that has forgotten what this HA node has: it would say to the host that its
/// storage is its own, and to every HA node that it can be taken.
///
/// # Errors
/// Waiting, with what the tree lacks; or it cannot be read.
pub async fn are_known_to_the_tree(world: &World) -> Result<(), Stop> {
    let unreadable = |error: MemoryError| {
        Stop::waiting(
            format!("what this HA node took cannot be read: {error}"),
            format!("look at {}", folder(&world.state_dir).display()),
        )
    };
    for takeover in all(&world.state_dir).map_err(unreadable)? {
        if let Some(theirs) = takeover.machine.clone().filter(|began| *began != world.machine) {
            let (node, ours) = (world.me.clone(), world.machine.clone());
            let path = file(&world.state_dir, &takeover.incident);
            return Err(Stop::Twin { twin: Twin::Remembers { node, path, theirs, ours } });
        }
        if let Some(lack) = lack(world, &takeover).await.map_err(|source| Stop::Tree { source })? {
            let (id, me) = (&takeover.incident, &world.me);
            return Err(Stop::waiting(
                format!(
                    "{me} took the storage of {} ({id}, {}), and {lack}: was Consul restored from a snapshot, or the \
                     storage said to be released? Nothing is done beside such a tree",
                    id.host(),
                    takeover.at
                ),
                format!(
                    "docs/storage-md.md, \"A tree that has forgotten\"; once no guest is on {me}: nova-ha-recover \
                     {0} --release-storage --yes {0} --by NAME; if nothing of it is here any more: rm {1}",
                    id.host(),
                    file(&world.state_dir, id).display()
                ),
            ));
        }
    }
    Ok(())
}

/// What the tree does not say of it.
async fn lack(world: &World, takeover: &Takeover) -> Result<Option<String>, TreeError> {
    let own = keys::ha_node(&world.me);
    let incident = keys::incident(&takeover.incident).incident();
    let prefixes = [keys::META.to_owned(), own.in_use_by(), incident.clone()];
    let tree = Snapshot::read(world.store.as_ref(), "what this HA node took", &prefixes).await?;
    let generation = Meta::of(&tree)?.generation;
    if generation != takeover.generation {
        return Ok(Some(format!("the tree is another one ({generation}, not {})", takeover.generation)));
    }
    let in_use_by = tree.text(&own.in_use_by())?;
    if in_use_by.as_deref() != Some(takeover.incident.to_string().as_str()) {
        return Ok(Some(format!("{} does not say so", own.in_use_by())));
    }
    let record: Option<IncidentRecord> = tree.record(&incident)?;
    let got_there = record.is_some_and(|record| record.status.got_to_storage());
    Ok((!got_there).then(|| format!("{incident} does not say so")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takeover(id: &str) -> Takeover {
        Takeover {
            version: 1,
            incident: id.parse().unwrap(),
            generation: "g1".into(),
            at: Timestamp::UNIX_EPOCH,
            machine: None,
            arrays: BTreeMap::from([("u".to_owned(), "compute1:md1".to_owned())]),
        }
    }

    #[test]
    fn what_was_taken_is_remembered_until_it_is_given_back() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(all(state.path()).unwrap(), []);
        let (one, two) = (takeover("compute1@3"), takeover("compute2@0"));
        remember(state.path(), &two).unwrap();
        remember(state.path(), &one).unwrap();
        remember(state.path(), &Takeover { generation: "g2".into(), ..one.clone() }).unwrap();
        assert_eq!(all(state.path()).unwrap(), [one.clone(), two.clone()]);
        assert_eq!(of(state.path(), &one.incident).unwrap(), Some(one.clone()));
        forget(state.path(), &one.incident).unwrap();
        forget(state.path(), &one.incident).unwrap();
        assert_eq!(all(state.path()).unwrap(), [two]);
    }

    #[test]
    fn what_cannot_be_read_is_no_nothing() {
        let state = tempfile::tempdir().unwrap();
        let one = takeover("compute1@3");
        remember(state.path(), &one).unwrap();
        std::fs::write(file(state.path(), &one.incident), "{").unwrap();
        assert!(all(state.path()).is_err());
        assert!(of(state.path(), &one.incident).is_err());
        assert!(remember(state.path(), &one).is_err());
        std::fs::write(state.path().join("takeovers/.tmpX"), "{").unwrap();
        forget(state.path(), &one.incident).unwrap();
        assert_eq!(all(state.path()).unwrap(), []);
    }
}
