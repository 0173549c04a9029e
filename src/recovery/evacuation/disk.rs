//! What is at a guest's place on this HA node: a look through the seam, and a pure judgement of it.
//!
//! Nova's own look at the target is one question (may the directory be written?), and where the
//! answer is no, a disk may be built anew. So each guest is looked at here before it is asked for,
//! and what was seen is a value that the request for it demands ([`Seen`]).

use std::time::Duration;

use crate::clock::BootInstant;
use crate::nova::ServerId;
use crate::recovery::guest_folder::strange::Strange;
use crate::recovery::world::{DiskFile, Look, NovaUser, Place, World};
use crate::tree::storage::Storage;

/// That a guest's directory was there, as it must be, at a moment. Only a look makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    server: ServerId,
    at: BootInstant,
    said: String,
}

impl Seen {
    /// For the journal and for people.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// Whether it is this guest's, and still young enough to act on.
    pub fn counts_for(&self, server: &ServerId, now: BootInstant, max_age: Duration) -> bool {
        self.server == *server && now.saturating_duration_since(self.at) <= max_age
    }
}

/// What is at a guest's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// Nobody looked: it is not this HA node that will run the guest.
    NotLooked,
    /// No directory.
    Absent,
    /// A directory that Nova can write, with the root disk in it.
    Whole(Seen),
    /// A directory that Nova can write, without a root disk, and with a further local disk or not.
    /// libvirt makes a directory for every guest, also for one that was booted from a volume.
    Rootless {
        /// The look.
        seen: Seen,
        /// Whether there is an ephemeral disk in it.
        ephemeral: bool,
    },
    /// Something in it that nova-compute must not open here.
    Strange(Strange),
    /// Something that Nova could not use.
    Unusable {
        /// Why.
        why: String,
    },
    /// The look failed.
    CannotTell {
        /// Why.
        why: String,
    },
}

/// Looks at one guest's place on this HA node, now.
pub async fn look(world: &World, storage: &Storage, server: &ServerId) -> Disk {
    let Some(mountpoint) = &storage.mountpoint else { return Disk::NotLooked };
    // Before the look: what is old by then was old all the more when it was seen.
    let at = world.clock.boottime();
    match world.disks.look(mountpoint, server, &storage.nova_user).await {
        Ok(look) => judge(server, &look, at),
        Err(why) => Disk::CannotTell { why },
    }
}

/// The same for several guests.
pub async fn look_at_each(world: &World, storage: &Storage, servers: &[ServerId]) -> Vec<Disk> {
    let Some(mountpoint) = &storage.mountpoint else { return vec![Disk::NotLooked; servers.len()] };
    let at = world.clock.boottime();
    let looks = world.disks.look_at_each(mountpoint, servers, &storage.nova_user).await;
    let judged = |(server, look): (&ServerId, Result<Look, String>)| match look {
        Ok(look) => judge(server, &look, at),
        Err(why) => Disk::CannotTell { why },
    };
    servers.iter().zip(looks).map(judged).collect()
}

/// Judges a look.
pub fn judge(server: &ServerId, look: &Look, at: BootInstant) -> Disk {
    let directory = match &look.place {
        Place::Absent => return Disk::Absent,
        Place::NoDirectory => return Disk::Unusable { why: "what is there is no directory".into() },
        Place::Directory(directory) => directory,
    };
    if let Some(strange) = &directory.strange {
        return Disk::Strange(strange.clone());
    }
    let owner = format!("{}:{} mode {:04o}", directory.uid, directory.gid, directory.mode);
    if directory.read_only {
        return Disk::Unusable { why: "its filesystem is mounted read-only".into() };
    }
    if !may_write(&look.user, directory.uid, directory.gid, directory.mode) {
        let user = &look.user;
        let why = format!("{owner}: user {} (uid {} here) may not write it", user.name, user.uid);
        return Disk::Unusable { why };
    }
    let bad = |name: &str, file: &DiskFile| match file {
        DiskFile { is_file: false, .. } => Some(format!("its {name} is no file")),
        DiskFile { bytes: 0, .. } => Some(format!("its {name} is empty")),
        DiskFile { .. } => None,
    };
    let faults = [("disk", &directory.disk), ("disk.eph0", &directory.ephemeral)];
    let fault = faults.into_iter().find_map(|(name, file)| bad(name, file.as_ref()?));
    if let Some(why) = fault {
        return Disk::Unusable { why };
    }
    let seen = |what: &str| Seen { server: server.clone(), at, said: format!("directory {owner}, {what}") };
    match &directory.disk {
        Some(disk) => Disk::Whole(seen(&format!("disk of {} bytes", disk.bytes))),
        None => Disk::Rootless { seen: seen("no root disk"), ephemeral: directory.ephemeral.is_some() },
    }
}

/// As the kernel decides for a user that is not root: the first of owner, group and others that
/// fits, and no other. To make something in a directory both its *w* and its *x* are needed.
fn may_write(user: &NovaUser, uid: u32, gid: u32, mode: u32) -> bool {
    let bits = if user.uid == uid {
        mode >> 6
    } else if user.gids.contains(&gid) {
        mode >> 3
    } else {
        mode
    };
    bits & 0o3 == 0o3
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::recovery::world::Directory;

    const NOVA: u32 = 162;

    fn id() -> ServerId {
        "00000000-0000-4000-8000-000000000001".parse().unwrap()
    }

    fn file(bytes: u64) -> Option<DiskFile> {
        Some(DiskFile { is_file: true, bytes })
    }

    fn directory() -> Directory {
        Directory {
            uid: NOVA,
            gid: NOVA,
            mode: 0o755,
            read_only: false,
            disk: file(7),
            ephemeral: None,
            strange: None,
        }
    }

    fn judged(place: Place) -> Disk {
        let user = NovaUser { name: "nova".into(), uid: NOVA, gids: vec![NOVA, 36] };
        judge(&id(), &Look { user, place }, BootInstant::since_boot(Duration::ZERO))
    }

    /// What a look at a good directory makes.
    pub(crate) fn whole(server: &ServerId) -> Disk {
        let user = NovaUser { name: "nova".into(), uid: NOVA, gids: vec![NOVA] };
        judge(
            server,
            &Look { user, place: Place::Directory(directory()) },
            BootInstant::since_boot(Duration::ZERO),
        )
    }

    /// What a look at a directory without a root disk makes.
    pub(crate) fn rootless(server: &ServerId, ephemeral: bool) -> Disk {
        let user = NovaUser { name: "nova".into(), uid: NOVA, gids: vec![NOVA] };
        let ephemeral = if ephemeral { file(1) } else { None };
        let place = Place::Directory(Directory { disk: None, ephemeral, ..directory() });
        judge(server, &Look { user, place }, BootInstant::since_boot(Duration::ZERO))
    }

    #[test]
    fn a_place_is_whole_only_with_a_directory_that_nova_can_write_and_a_disk() {
        let with = |directory| judged(Place::Directory(directory));
        for (name, disk, expected) in [
            ("nothing", judged(Place::Absent), "absent"),
            ("a file or a link", judged(Place::NoDirectory), "no directory"),
            ("all is well", with(directory()), "whole"),
            ("by its group", with(Directory { uid: 0, gid: 36, mode: 0o775, ..directory() }), "whole"),
            ("by everybody", with(Directory { uid: 0, gid: 0, mode: 0o777, ..directory() }), "whole"),
            (
                "another uid, as on the dead host",
                with(Directory { uid: 64055, gid: 64055, ..directory() }),
                "(uid 162 here)",
            ),
            ("owned, and closed", with(Directory { mode: 0o555, ..directory() }), "may not write"),
            ("owned, no x", with(Directory { mode: 0o655, ..directory() }), "may not write"),
            (
                "the owner's bits count for the owner",
                with(Directory { mode: 0o077, ..directory() }),
                "may not write",
            ),
            (
                "the group's for the group",
                with(Directory { uid: 0, mode: 0o757, ..directory() }),
                "may not write",
            ),
            (
                "a link in it",
                with(Directory { strange: Some(Strange::Link { file: "disk".into() }), ..directory() }),
                "its disk is a link",
            ),
            ("read-only", with(Directory { read_only: true, ..directory() }), "read-only"),
            ("no disk", with(Directory { disk: None, ..directory() }), "rootless"),
            (
                "only an ephemeral one",
                with(Directory { disk: None, ephemeral: file(1), ..directory() }),
                "rootless+",
            ),
            ("an empty disk", with(Directory { disk: file(0), ..directory() }), "disk is empty"),
            (
                "an empty ephemeral one",
                with(Directory { ephemeral: file(0), ..directory() }),
                "disk.eph0 is empty",
            ),
            (
                "a disk that is a directory",
                with(Directory { disk: Some(DiskFile { is_file: false, bytes: 4096 }), ..directory() }),
                "no file",
            ),
        ] {
            let found = match &disk {
                Disk::NotLooked => "not looked".to_owned(),
                Disk::Absent => "absent".into(),
                Disk::Whole(_) => "whole".into(),
                Disk::Rootless { ephemeral: false, .. } => "rootless".into(),
                Disk::Rootless { ephemeral: true, .. } => "rootless+".into(),
                Disk::Strange(strange) => strange.to_string(),
                Disk::Unusable { why } | Disk::CannotTell { why } => why.clone(),
            };
            assert!(found.contains(expected), "{name}: {found}");
        }
    }

    #[test]
    fn what_was_seen_counts_for_that_guest_and_for_a_while() {
        let Disk::Whole(seen) = whole(&id()) else { panic!("not whole") };
        let (max, other) = (Duration::from_secs(30), "00000000-0000-4000-8000-000000000002".parse().unwrap());
        let at =
            |seconds| BootInstant::since_boot(Duration::ZERO).saturating_add(Duration::from_secs(seconds));
        assert!(seen.counts_for(&id(), at(30), max));
        assert!(!seen.counts_for(&id(), at(31), max));
        assert!(!seen.counts_for(&other, at(1), max));
    }
}
