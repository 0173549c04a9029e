//! One look at the disks, and what follows from it: done, the next thing to do, or why not. Pure.
//!
//! A takeover is this function asked again after each thing that was done, so that it goes on from wherever it was
//! killed. It never stands on what was done before but on what is seen now. All that it takes from memory: whether this HA
//! node had begun, which HA nodes had before it, how the members were before anybody began, and whether a person cut the host's
//! power. With these it tells its own half-made array from somebody else's, and a host that lives from one that died.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::as_left;
use super::members::{Members, Unfit, members};
use super::wanted::{Wanted, WantedArray, WantedFilesystem, is_its_own};
use crate::disks::DiskId;
use crate::disks::md::State;
use crate::disks::mountinfo::Mount;
use crate::disks::on_disk::{OnDisk, on_disk};
use crate::disks::owner_mark::{self, is_another_home};
use crate::disks::running::{Over, Running, places_of};
use crate::policy::Policy;
use crate::recovery::arrays::{Assembly, How, Mountpoint, Seen, Start};
use crate::recovery::history::MembersSeen;
use crate::recovery::storage::answer::Answer;

/// What it stands on beside the look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground<'a> {
    /// This HA node.
    pub me: &'a str,
    /// Whether this HA node remembers that it had begun to take it.
    pub begun: bool,
    /// Marks of HA nodes that had it before, by the journal; of this one's own only [`Ground::begun`] counts, because
    /// another machine may call itself so: as [`crate::disks::owner_mark::holder`] writes them.
    pub earlier: BTreeSet<String>,
    /// Arrays that were looked at read-only in this run, and are what was published.
    pub looked_at: BTreeSet<String>,
    /// Whether an array that has lost members is taken.
    pub allow_degraded: bool,
    /// Under which types of filesystem are mounted.
    pub policy: &'a Policy,
    /// Types of filesystem that an operator accepted of the host; `None` where nobody bound it.
    pub bound_filesystems: Option<BTreeSet<String>>,
    /// Disks that this HA node has reserved, or one that had them before.
    pub reserved: BTreeSet<DiskId>,
    /// Whether a person cut the host's power after it was held because it lived.
    pub cut_by_hand: bool,
    /// What the members said first, by the journal.
    pub members_seen: &'a MembersSeen,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// One thing is to be done; then look again.
    Do {
        /// What.
        act: Act,
        /// What was found, for people.
        detail: String,
    },
    /// Nothing is, or nothing may be.
    Say(Answer),
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Assemble an array: to look at it, or to have it.
    Assemble(Assembly),
    /// Stop an array that this HA node had assembled to look at, or half.
    Stop {
        /// Its name here.
        device: String,
        /// In mdadm's form.
        uuid: String,
    },
    /// Mount a filesystem.
    Mount {
        /// The name of its device here.
        device: String,
        /// `xfs`, ...
        fs_type: String,
        /// Where.
        at: PathBuf,
    },
}

/// A reason to do nothing.
type No = Answer;

fn contradicted<T>(detail: String) -> Result<T, No> {
    Err(Answer::Contradicted { detail })
}

fn refused<T>(detail: String) -> Result<T, No> {
    Err(Answer::Refused { detail })
}

/// Decides.
pub fn decide(wanted: &Wanted, seen: &Seen, ground: &Ground<'_>) -> Next {
    match next(wanted, seen, ground) {
        Ok(next) => next,
        Err(answer) => Next::Say(answer),
    }
}

/// How one array stands.
enum Standing<'a> {
    /// It runs, and its mark is ours.
    Ours(&'a Running),
    /// This first.
    First(Act),
}

fn next(wanted: &Wanted, seen: &Seen, ground: &Ground<'_>) -> Result<Next, No> {
    if let Some((device, why)) = seen.unread.first() {
        return Err(Answer::CannotTell {
            why: format!("{device} may be an array, and cannot be read: {why}"),
        });
    }
    // Before all else: what a host that lives does to its members looks like many another thing.
    if let Some(detail) = as_left::written_since(wanted, seen, ground.members_seen, ground.cut_by_hand) {
        return Err(Answer::HostLives { detail });
    }
    let mut details = Vec::new();
    let mut standings = Vec::new();
    for (array, sights) in wanted.arrays.iter().zip(&seen.sights) {
        if let Some((device, _)) = seen.strangers.iter().find(|(_, uuid)| uuid == array.uuid()) {
            return contradicted(format!(
                "{device} says that it is a member of {}, and was not published as one",
                called(array)
            ));
        }
        whose(array, on_disk(array.uuid(), sights), ground)?;
        let found = match members(array, sights, &ground.reserved) {
            Ok(found) => found,
            Err(Unfit::TooFew(why)) => return refused(why),
            Err(Unfit::Another(why)) => return contradicted(why),
        };
        let standing = standing(array, sights, seen, ground, &found)?;
        if found.is_forced {
            may_be_forced(array, &standing, &found, ground)?;
        }
        // Once it runs here, what it has lost since is the array's own matter.
        if found.missing > 0 && !ground.allow_degraded && matches!(standing, Standing::First(_)) {
            return refused(format!(
                "{}: {}; policy md_allow_degraded is false",
                called(array),
                found.text()
            ));
        }
        details.push(format!("{} with {}", called(array), found.text()));
        standings.push(standing);
    }
    if standings.len() != wanted.arrays.len() {
        return Err(Answer::CannotTell { why: "the look at the disks is not whole".into() });
    }
    for (number, fs) in wanted.filesystems.iter().enumerate() {
        if !way_is_free(wanted, number, fs, seen, &standings)? {
            is_mounted_here(fs, ground)?;
        }
    }
    let (mut running, mut acts) = (Vec::new(), Vec::new());
    for standing in standings {
        match standing {
            Standing::First(act) => acts.push(act),
            Standing::Ours(array) => running.push(array),
        }
    }
    // All are looked at before the mark is written on the first.
    let is_look = |act: &Act| !matches!(act, Act::Assemble(Assembly { how: How::Named(_), .. }));
    let first = acts.iter().position(is_look).unwrap_or(0);
    if let Some(act) = acts.into_iter().nth(first) {
        return Ok(Next::Do { act, detail: details.join("; ") });
    }
    for fs in &wanted.filesystems {
        let Some(array) = running.get(fs.array) else { continue };
        let over = filesystem(fs, array)?;
        match places_of(&seen.mounts, &over.number).contains(&text(&fs.at)) {
            true => details.push(format!("{} at {}", fs.uuid, fs.at.display())),
            false => {
                let (device, fs_type) = (over.device.clone(), fs.fs_type.clone());
                let act = Act::Mount { device, fs_type, at: fs.at.clone() };
                return Ok(Next::Do { act, detail: details.join("; ") });
            }
        }
    }
    Ok(Next::Say(Answer::Taken { detail: details.join("; "), more: None }))
}

/// That its members are so far apart shows that the host wrote while they were reserved one by one.
fn may_be_forced(
    array: &WantedArray,
    standing: &Standing<'_>,
    found: &Members,
    ground: &Ground<'_>,
) -> Result<(), No> {
    let said = || format!("{} with {}", called(array), found.text());
    match standing {
        // It has lost them since, for a reason of its own.
        Standing::Ours(_) => refused(said()),
        Standing::First(_) if ground.cut_by_hand => Ok(()),
        Standing::First(_) => Err(Answer::HostLives { detail: said() }),
    }
}

fn called(array: &WantedArray) -> String {
    format!("array {} ({})", array.published.name, array.uuid())
}

fn text(path: &Path) -> &str {
    // A mountpoint comes from JSON, so it is text.
    path.to_str().unwrap_or_default()
}

/// Whether this HA node may have it, by what its members themselves say.
fn whose(array: &WantedArray, said: OnDisk, ground: &Ground<'_>) -> Result<(), No> {
    let me = owner_mark::holder(ground.me);
    match said {
        // The host was an HA node when it took it, and kept the name.
        OnDisk::Taken { by } if is_its_own(array, &by) => Ok(()),
        OnDisk::Taken { by } if by == me && ground.begun => Ok(()),
        OnDisk::Taken { by } if by == me => contradicted(format!(
            "the disks of {} say that this HA node has it, and nothing here knows of that: another machine of its name \
             has it, or this one was installed anew",
            called(array)
        )),
        OnDisk::Taken { by } if ground.earlier.contains(&by) => Ok(()),
        OnDisk::Taken { by } => {
            contradicted(format!("the disks of {} say that HA node {by} has it", called(array)))
        }
        OnDisk::Named(names) => {
            match names.iter().find(|name| is_another_home(&array.published.name, name)) {
                None => Ok(()),
                Some(name) => contradicted(format!("the disks of {} say that it is {name}", called(array))),
            }
        }
        OnDisk::Gone => contradicted(format!(
            "the disks of {} are here, and are no members of it any more",
            called(array)
        )),
        OnDisk::CannotTell(why) => refused(format!("{}: {why}", called(array))),
    }
}

fn standing<'a>(
    array: &WantedArray,
    sights: &[crate::disks::places::Sight],
    seen: &'a Seen,
    ground: &Ground<'_>,
    found: &Members,
) -> Result<Standing<'a>, No> {
    let mut running = seen.running.iter().filter(|r| r.array.uuid.as_deref() == Some(array.uuid()));
    let is_ours = matches!(on_disk(array.uuid(), sights),
        OnDisk::Taken { by } if by == owner_mark::holder(ground.me));
    let (here, another) = (running.next(), running.next());
    if let (Some(one), Some(two)) = (here, another) {
        return contradicted(format!(
            "{} runs here twice: {}, {}",
            called(array),
            one.array.device,
            two.array.device
        ));
    }
    let Some(here) = here else {
        let how = match is_ours || ground.looked_at.contains(array.uuid()) {
            true => How::Named(owner_mark::mark(ground.me, &array.published.name)),
            false => How::ReadOnly,
        };
        let assembly = Assembly {
            uuid: array.uuid().to_owned(),
            members: found.places.clone(),
            start: match (found.missing, found.is_forced) {
                (_, true) => Start::Forced,
                (0, false) => Start::Whole,
                (_, false) => Start::Degraded,
            },
            how,
        };
        return Ok(Standing::First(Act::Assemble(assembly)));
    };
    let device = &here.array.device;
    let behind_our_back = |what: &str| {
        contradicted(format!(
            "{device} is {} {what}: something else here assembled it (mdadm.conf, udev: see docs/storage-md.md)",
            called(array)
        ))
    };
    match here.array.state {
        State::Running if is_ours => Ok(Standing::Ours(here)),
        State::Running => behind_our_back("and runs"),
        State::ReadOnly | State::Inactive if !ground.begun => behind_our_back("and does not run"),
        State::ReadOnly | State::Inactive if is_mounted(seen, here) => {
            contradicted(format!("{device} is {}, cannot be written, and is mounted", called(array)))
        }
        State::ReadOnly | State::Inactive => {
            Ok(Standing::First(Act::Stop { device: device.clone(), uuid: array.uuid().to_owned() }))
        }
        State::Broken => contradicted(format!("{device} is {} and has lost too many members", called(array))),
    }
}

fn is_mounted(seen: &Seen, running: &Running) -> bool {
    match &running.over {
        // What cannot be read may be.
        Err(_) => true,
        Ok(over) => seen.mounts.iter().any(|mount| {
            mount.device == running.array.number || over.iter().any(|over| over.number == mount.device)
        }),
    }
}

/// Whether an array has the filesystems that were published of it. Asked of one that was assembled to be looked
/// at, before its mark is written.
///
/// # Errors
/// Which one is not there, or nobody can tell.
pub fn has_its_filesystems(wanted: &Wanted, running: &Running) -> Result<(), Answer> {
    let is_on = |fs: &&WantedFilesystem| {
        let array = wanted.arrays.get(fs.array);
        array.is_some_and(|array| running.array.uuid.as_deref() == Some(array.uuid()))
    };
    wanted.filesystems.iter().filter(is_on).try_for_each(|fs| filesystem(fs, running).map(drop))
}

fn filesystem<'a>(fs: &WantedFilesystem, running: &'a Running) -> Result<&'a Over, No> {
    let device = &running.array.device;
    let over = match &running.over {
        Ok(over) => over,
        Err(why) => return Err(Answer::CannotTell { why: format!("what is on {device}: {why}") }),
    };
    let mut found = over.iter().filter(|over| over.uuid == fs.uuid && !over.is_the_array_again);
    match (found.next(), found.next()) {
        (Some(one), None) if one.fs_type == fs.fs_type => Ok(one),
        (Some(one), None) => contradicted(format!(
            "filesystem {} was published as {}, and is {}",
            fs.uuid, fs.fs_type, one.fs_type
        )),
        (Some(_), Some(_)) => contradicted(format!("filesystem {} is on {device} twice", fs.uuid)),
        (None, _) => {
            let has: Vec<String> =
                over.iter().map(|over| format!("{} {}", over.fs_type, over.uuid)).collect();
            let has = if has.is_empty() { "none".into() } else { has.join(", ") };
            contradicted(format!("filesystem {} is not on {device}; there is: {has}", fs.uuid))
        }
    }
}

/// Refused before anything is assembled: the kernel would read the disk as whatever the host says that it is.
fn is_mounted_here(fs: &WantedFilesystem, ground: &Ground<'_>) -> Result<(), No> {
    let policy = ground.policy;
    if policy.mounts_of(&fs.fs_type, ground.bound_filesystems.as_ref()) {
        return Ok(());
    }
    let how = policy.how_to_mount(&fs.fs_type).map(|how| format!("; if it is to be mounted: {how}"));
    let why = policy.why_not_mounted(&fs.fs_type);
    refused(format!("filesystem {}: {why}{}", fs.uuid, how.unwrap_or_default()))
}

/// Whether a filesystem is where it must be already; if it is not, nothing is in its way there.
fn way_is_free(
    wanted: &Wanted,
    number: usize,
    fs: &WantedFilesystem,
    seen: &Seen,
    standings: &[Standing<'_>],
) -> Result<bool, No> {
    let over = match standings.get(fs.array) {
        Some(Standing::Ours(running)) => Some(filesystem(fs, running)?),
        Some(Standing::First(_)) | None => None,
    };
    let at = fs.at.display();
    let is_own = |mount: &Mount| over.is_some_and(|over| mount.device == over.number);
    if let Some(over) = over {
        let place = text(&fs.at);
        if places_of(&seen.mounts, &over.number).contains(&place) {
            let mount = seen.mounts.iter().rfind(|mount| mount.mountpoint == place);
            return match mount {
                Some(mount) if !mount.is_read_only() => Ok(true),
                Some(_) | None => {
                    contradicted(format!("filesystem {} is mounted read-only at {at}", fs.uuid))
                }
            };
        }
        if let Some(mount) = seen.mounts.iter().find(|mount| is_own(mount)) {
            return contradicted(format!(
                "filesystem {} is mounted at {}, which is not {at}: nova-ha did not do it",
                fs.uuid, mount.mountpoint
            ));
        }
    }
    // Beneath it too: what is there would be hidden.
    let foreign = seen.mounts.iter().find(|mount| Path::new(&mount.mountpoint).starts_with(&fs.at));
    if let Some(mount) = foreign {
        return contradicted(format!(
            "another filesystem is mounted at {}: {} {}",
            mount.mountpoint, mount.fs_type, mount.source
        ));
    }
    // One within another's place is seen only once that is mounted.
    let inside = wanted.filesystems.iter().take(number).any(|other| {
        fs.at.starts_with(&other.at) && !seen.mounts.iter().any(|mount| mount.mountpoint == text(&other.at))
    });
    match seen.mountpoints.get(number) {
        _ if inside => Ok(false),
        Some(Mountpoint::Directory { guests: 0 }) => Ok(false),
        Some(Mountpoint::Directory { guests }) => {
            contradicted(format!("{guests} guests of this HA node's own are in {at}, which it would cover"))
        }
        Some(Mountpoint::Absent) => refused(format!("{at} is not there: mkdir {at}")),
        Some(Mountpoint::NoDirectory) => refused(format!("{at} is no directory")),
        Some(Mountpoint::Elsewhere(real)) => {
            refused(format!("{at} is really {0}: set nova_mountpoint so that it says that", real.display()))
        }
        None => Err(Answer::CannotTell { why: format!("nobody looked at {at}") }),
    }
}

#[cfg(test)]
mod tests;
