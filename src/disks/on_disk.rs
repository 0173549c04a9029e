//! Whose an array is, by what its members themselves say. Pure.

use std::collections::BTreeSet;

use super::md_superblock::Superblock;
use super::owner_mark::{self, Owner};
use super::places::Sight;

/// What the places of one array's members say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnDisk {
    /// An HA node has taken it.
    Taken {
        /// Which, as its mark has it.
        by: String,
    },
    /// Nobody has: the names that its members carry, usually one.
    Named(BTreeSet<String>),
    /// Every place was read, and none is a member of it any more.
    Gone,
    /// Not one member could be read; why.
    CannotTell(String),
}

/// Of the array with this UUID. A member that the array had given up before the others were last written says
/// what was so then: it does not count. But kernel and mdadm may leave two good members one event apart
/// (`mdadm --assemble` takes both), and the mark is written without raising the count.
pub fn on_disk(array: &str, sights: &[Sight]) -> OnDisk {
    let members: Vec<&Superblock> =
        sights.iter().flat_map(|sight| &sight.superblocks).filter(|found| found.array == array).collect();
    let Some(newest) = members.iter().map(|member| member.events).max() else {
        return without_members(sights);
    };
    let current = || members.iter().filter(|member| member.events.saturating_add(1) >= newest);
    let taken = current().find_map(|member| match owner_mark::read(&member.set_name) {
        Owner::Taken { by } => Some(by),
        Owner::Plain { .. } => None,
    });
    match taken {
        Some(by) => OnDisk::Taken { by },
        None => OnDisk::Named(current().map(|member| member.set_name.clone()).collect()),
    }
}

fn without_members(sights: &[Sight]) -> OnDisk {
    if let Some(why) = sights.iter().find_map(|sight| sight.unreadable.first()) {
        return OnDisk::CannotTell(why.clone());
    }
    match sights.iter().find(|sight| !sight.is_here) {
        Some(sight) => OnDisk::CannotTell(format!("disk {} is not here", sight.place.disk)),
        None => OnDisk::Gone,
    }
}

/// The places at which no member of this array could be read.
pub fn missing<'a>(array: &str, sights: &'a [Sight]) -> Vec<&'a Sight> {
    let is_member = |sight: &Sight| sight.superblocks.iter().any(|found| found.array == array);
    sights
        .iter()
        .filter(|sight| !is_member(sight) && (!sight.is_here || !sight.unreadable.is_empty()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::DiskId;
    use crate::disks::md_superblock::Role;
    use crate::disks::places::{Part, Place};

    const ARRAY: &str = "d39ac4e4:a56fab61:d4af28db:9db625d6";

    fn member(name: &str, events: u64) -> Superblock {
        Superblock {
            minor_version: 2,
            array: ARRAY.into(),
            set_name: name.into(),
            device: ARRAY.into(),
            level: "raid10".into(),
            layout: 258,
            raid_disks: 4,
            sectors: 0,
            events,
            role: Role::Place(0),
            number: 0,
            members: [(0, 0)].into(),
            is_clean: true,
            has_bitmap: false,
            is_recovering: false,
            is_reshaping: false,
            created: 0,
            updated: 0,
        }
    }

    fn sight(is_here: bool, superblocks: Vec<Superblock>, unreadable: &[&str]) -> Sight {
        let place = Place { disk: DiskId::parse("naa.5000cca04dab0000").unwrap(), part: Part::Whole };
        let unreadable = unreadable.iter().map(|&why| why.to_owned()).collect();
        Sight { place, is_here, superblocks, unreadable }
    }

    fn of(members: &[(&str, u64)]) -> OnDisk {
        let sights: Vec<Sight> =
            members.iter().map(|(name, events)| sight(true, vec![member(name, *events)], &[])).collect();
        on_disk(ARRAY, &sights)
    }

    fn named(name: &str) -> OnDisk {
        OnDisk::Named(BTreeSet::from([name.to_owned()]))
    }

    #[test]
    fn one_current_member_with_a_mark_is_enough() {
        let taken = OnDisk::Taken { by: "ha1".into() };
        let (own, mark) = ("compute1:md1", "nova-ha.ha1:md1");
        assert_eq!(of(&[(own, 7), (own, 7)]), named(own));
        assert_eq!(of(&[(mark, 7), (mark, 7)]), taken);
        // Killed between two members, or degraded: the mark itself raises no count.
        assert_eq!(of(&[(own, 7), (mark, 7)]), taken);
        // One that was missing at the takeover; the others went on.
        assert_eq!(of(&[(own, 7), (mark, 9)]), taken);
        assert_eq!(of(&[(own, 9), (mark, 8)]), taken);
        // Given back since, but for a disk that had failed on the HA node.
        assert_eq!(of(&[(own, 90), (mark, 9)]), named(own));
    }

    #[test]
    fn what_was_not_read_is_gone_only_where_everything_was_read() {
        let other = Superblock { array: "another".into(), ..member("x:y", 1) };
        let read = || sight(true, vec![other.clone()], &[]);
        assert_eq!(on_disk(ARRAY, &[read(), sight(true, vec![], &[])]), OnDisk::Gone);
        let absent = sight(false, vec![], &[]);
        let broken = sight(true, vec![], &["sda: Input/output error"]);
        for unknown in [absent.clone(), broken.clone()] {
            let said = on_disk(ARRAY, &[read(), unknown]);
            assert!(matches!(said, OnDisk::CannotTell(_)), "{said:?}");
        }
        assert_eq!(on_disk(ARRAY, &[]), OnDisk::Gone);
        // But one member says it for those that are not here.
        let one = sight(true, vec![member("compute1:md1", 3)], &[]);
        let sights = [one, absent, broken, read()];
        assert_eq!(on_disk(ARRAY, &sights), named("compute1:md1"));
        assert_eq!(missing(ARRAY, &sights).len(), 2);
    }
}
