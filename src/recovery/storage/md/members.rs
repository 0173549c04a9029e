//! Whether the members that are here are the published array, and enough of it. Pure, from what the disks
//! themselves say.

use std::collections::BTreeSet;

use super::wanted::WantedArray;
use crate::disks::DiskId;
use crate::disks::md_superblock::{Role, Superblock};
use crate::disks::places::{Part, Place, Sight};

/// The members with all the data of their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// Where they are.
    pub places: BTreeSet<Place>,
    /// How many places of the array have none.
    pub missing: u32,
    /// How many it has.
    pub of: u32,
    /// Whether it was not stopped cleanly: the kernel resyncs it.
    pub is_dirty: bool,
    /// Whether one of them is older than mdadm would take by itself.
    pub is_forced: bool,
}

impl Members {
    /// For people.
    pub fn text(&self) -> String {
        let dirty = if self.is_dirty { ", not stopped cleanly: it is resynced" } else { "" };
        let forced = match self.is_forced {
            true => ", its disks refused a living host one by one",
            false => "",
        };
        match self.missing {
            0 => format!("all {} members{dirty}{forced}", self.of),
            missing => format!("DEGRADED, {missing} of {} members missing{dirty}{forced}", self.of),
        }
    }
}

/// Why they are not to be assembled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// Too few are here now.
    TooFew(String),
    /// They are not what was published.
    Another(String),
}

/// Looks at them. `sights` has no place that is not the array's. `reserved` are disks that this HA node has reserved, or one
/// that had them before: they may have refused a living host's writes one after the other.
///
/// md gives up a member that refuses, and writes that on the others before it tells anybody that the data is there.
/// The last copy of something it does not give up: what that one refuses nobody is told. So, where all copies of a piece of
/// data are on the same members, one that none of the newest has given up has what was told, however often the others
/// were written to meanwhile. Not so where copies overlap (raid10 with *far* or *offset* copies, or an odd number of members):
/// there md also keeps a member whose other neighbour was given up, and a write that it refused is told by its good copy.
/// What was on its way to a member in the moment in which that was given up may be told before it is written down; it is
/// on the copies that are reserved last, from which md resyncs (`reserve.rs`).
pub fn members(
    wanted: &WantedArray,
    sights: &[Sight],
    reserved: &BTreeSet<DiskId>,
) -> Result<Members, Unfit> {
    let uuid = wanted.uuid();
    if let Some((place, other)) = somebody_elses(uuid, sights) {
        return Err(Unfit::Another(format!("{uuid}: {place} is a member of another array now, {other}")));
    }
    let found: Vec<(&Place, &Superblock)> = sights
        .iter()
        .flat_map(|sight| sight.superblocks.iter().map(move |superblock| (&sight.place, superblock)))
        .filter(|(_, superblock)| superblock.array == uuid)
        .collect();
    // Kernel and mdadm may leave two good members one event apart; `mdadm --assemble` takes both.
    let newest = found.iter().map(|(_, member)| member.events).max().unwrap_or(0);
    // Of two that are one apart the newer one may have given the other up, and gone on alone: the kernel looks at that
    // since 6.8 only. What was written since, that one does not have.
    let freshest: Vec<&Superblock> =
        found.iter().map(|(_, member)| *member).filter(|member| member.events == newest).collect();
    for one in &freshest {
        let other = found.iter().find(|(_, other)| gives_up(one, other) && gives_up(other, one));
        // Neither was written by the other any more: each went on alone.
        if let Some((_, other)) = other {
            return Err(Unfit::Another(format!(
                "{uuid}: its members {} and {} have given each other up",
                one.number, other.number
            )));
        }
    }
    let listed: Vec<(&Place, &Superblock)> =
        found.into_iter().filter(|(_, member)| !freshest.iter().any(|by| gives_up(by, member))).collect();
    let is_current = |member: &Superblock| member.events.saturating_add(1) >= newest;
    let current: Vec<_> = listed.iter().copied().filter(|(_, member)| is_current(member)).collect();
    match fit(wanted, &current) {
        Err(Unfit::TooFew(why)) => {
            let may = |(place, member): &(&Place, &Superblock)| {
                is_current(member) || has_whole_copies(member) && reserved.contains(&place.disk)
            };
            let refusing: Vec<_> = listed.iter().copied().filter(may).collect();
            if refusing.len() == current.len() {
                return Err(Unfit::TooFew(why));
            }
            match fit(wanted, &refusing) {
                Ok(found) => Ok(Members { is_forced: true, ..found }),
                Err(Unfit::TooFew(_)) => Err(Unfit::TooFew(why)),
                Err(another) => Err(another),
            }
        }
        found => found,
    }
}

/// Whether the members that are here are still enough without those on some disks.
pub(super) fn is_enough_without(wanted: &WantedArray, sights: &[Sight], lost: &BTreeSet<DiskId>) -> bool {
    let left: Vec<Sight> = sights.iter().filter(|sight| !lost.contains(&sight.place.disk)).cloned().collect();
    members(wanted, &left, &BTreeSet::new()).is_ok()
}

/// Whether all copies of any piece of data are on the same members.
fn has_whole_copies(member: &Superblock) -> bool {
    let (near, far) = (member.layout & 0xff, member.layout >> 8 & 0xff);
    match member.level.as_str() {
        "raid1" => true,
        "raid10" => far == 1 && near > 0 && member.raid_disks.is_multiple_of(near),
        _ => false,
    }
}

/// Whether these are enough.
fn fit(wanted: &WantedArray, current: &[(&Place, &Superblock)]) -> Result<Members, Unfit> {
    let uuid = wanted.uuid();
    let (mut slots, mut doubtful) = (BTreeSet::new(), BTreeSet::new());
    let mut places = BTreeSet::new();
    let (mut is_dirty, mut shape) = (false, None);
    for (place, member) in current {
        as_published(wanted, member)?;
        if member.is_reshaping {
            return Err(Unfit::Another(format!("{uuid}: its shape was being changed")));
        }
        // What assembles it needs a rebuilding member too, or the rebuild would begin anew.
        places.insert((*place).clone());
        is_dirty |= !member.is_clean;
        shape = Some(*member);
        if let Role::Place(slot) = member.role
            && !member.is_recovering
        {
            let is_new = slots.insert(slot);
            if wanted.behind.contains(*place) {
                doubtful.insert(slot);
            }
            if !is_new {
                return Err(Unfit::Another(format!("{uuid}: two disks say that they are member {slot}")));
            }
        }
    }
    let Some(shape) = shape else {
        return Err(Unfit::TooFew(format!("{uuid}: none of its members is here")));
    };
    let missing_of = |slots: &BTreeSet<u16>| {
        shape.raid_disks.saturating_sub(u32::try_from(slots.len()).unwrap_or(u32::MAX))
    };
    // A disk that the array gave up looks as good as the others while none of those that went on is here.
    if missing_of(&slots) > 0 {
        slots.retain(|slot| !doubtful.contains(slot));
    }
    let missing = missing_of(&slots);
    let said = || format!("{uuid}: {missing} of {} members are missing", shape.raid_disks);
    if missing > 0 && !is_enough(&shape.level, shape.layout, shape.raid_disks, &slots) {
        return Err(Unfit::TooFew(format!("{}, too many for {}", said(), shape.level)));
    }
    // What was half written when the host died cannot be told from its data then (mdadm(8), --force).
    if missing > 0 && is_dirty && matches!(shape.level.as_str(), "raid4" | "raid5" | "raid6") {
        return Err(Unfit::TooFew(format!(
            "{}, and it was not stopped cleanly: only a person may force a {}",
            said(),
            shape.level
        )));
    }
    Ok(Members { places, missing, of: shape.raid_disks, is_dirty, is_forced: false })
}

/// Whether one member says that another one is none any more.
fn gives_up(by: &Superblock, member: &Superblock) -> bool {
    let Role::Place(place) = member.role else { return false };
    by.device != member.device && by.members.get(&member.number) != Some(&place)
}

/// A disk that was published as a member, and that another array has now. Of one whose partition nobody wrote down
/// nobody can tell.
fn somebody_elses<'a>(uuid: &str, sights: &'a [Sight]) -> Option<(&'a Place, &'a str)> {
    sights.iter().filter(|sight| sight.place.part != Part::Any).find_map(|sight| {
        let is_ours = sight.superblocks.iter().any(|found| found.array == uuid);
        let other = sight.superblocks.first().filter(|_| !is_ours)?;
        Some((&sight.place, other.array.as_str()))
    })
}

fn as_published(wanted: &WantedArray, found: &Superblock) -> Result<(), Unfit> {
    let published = &wanted.published;
    let differs = |what: &str, expected: String, found: String| {
        Err(Unfit::Another(format!("{}: {what} was published as {expected}, and is {found}", wanted.uuid())))
    };
    if published.level != found.level {
        return differs("its level", published.level.clone(), found.level.clone());
    }
    if let Some(places) = published.places()
        && places != found.raid_disks
    {
        return differs("its number of members", places.to_string(), found.raid_disks.to_string());
    }
    if let Some(layout) = published.layout
        && layout != found.layout
        && has_layout(&found.level)
    {
        return differs("its layout", layout.to_string(), found.layout.to_string());
    }
    Ok(())
}

fn has_layout(level: &str) -> bool {
    matches!(level, "raid10" | "raid5" | "raid6" | "raid0")
}

/// Whether every piece of data has a copy, or can be computed. A level that is not known needs all.
fn is_enough(level: &str, layout: u32, disks: u32, present: &BTreeSet<u16>) -> bool {
    let missing = disks.saturating_sub(u32::try_from(present.len()).unwrap_or(u32::MAX));
    match level {
        "raid1" => missing < disks,
        "raid4" | "raid5" => missing <= 1,
        "raid6" => missing <= 2,
        "raid10" => {
            // md.rst: near copies, far copies, and above them how the far ones are laid out.
            let (near, far) = (layout & 0xff, layout >> 8 & 0xff);
            let copies = near.saturating_mul(far);
            match (near, far) {
                // Then each `near` neighbours hold the same.
                (1.., 1) if disks.is_multiple_of(near) => (0..disks / near).all(|set| {
                    (set * near..(set + 1) * near)
                        .any(|slot| u16::try_from(slot).is_ok_and(|slot| present.contains(&slot)))
                }),
                _ => missing < copies,
            }
        }
        _ => missing == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::storage::md::example::{array, sights, superblock};

    fn of(change: impl Fn(usize, &mut Superblock)) -> Result<Members, Unfit> {
        let found = (0..4).map(|slot| {
            let mut member = superblock(slot);
            change(slot, &mut member);
            member
        });
        members(&array(), &sights(&found.map(Some).collect::<Vec<_>>()), &BTreeSet::new())
    }

    #[test]
    fn all_that_are_current_count() {
        let all = of(|_, _| {}).unwrap();
        assert_eq!((all.places.len(), all.missing, all.is_dirty), (4, 0, false));
        assert!(of(|_, member| member.is_clean = false).unwrap().text().contains("resynced"));
        // The one before last may be one event behind, as after a power cut.
        assert_eq!(of(|slot, member| member.events -= u64::from(slot == 1)).unwrap().missing, 0);
        let stale = of(|slot, member| member.events -= 2 * u64::from(slot == 1)).unwrap();
        assert_eq!((stale.places.len(), stale.missing), (3, 1));
        // The array went on without it, and wrote that once before it died.
        let given_up = of(|slot, member| {
            member.events -= u64::from(slot == 1);
            if slot != 1 {
                member.members.remove(&1);
            }
        });
        let given_up = given_up.unwrap();
        assert_eq!((given_up.places.len(), given_up.missing), (3, 1));
        let rebuilding = of(|slot, member| member.is_recovering = slot == 1).unwrap();
        assert_eq!((rebuilding.places.len(), rebuilding.missing), (4, 1));
        let spare = of(|slot, member| {
            if slot == 1 {
                member.role = Role::Spare;
            }
        });
        assert_eq!(spare.unwrap().missing, 1);
    }

    #[test]
    fn the_last_copy_of_what_refused_a_living_host_has_all_of_it() {
        // From the last to the first, as they are reserved: each mirror's second half is given up, and written so.
        let refused = |slot: usize| {
            let given_up: &[u32] = match slot {
                3 => &[],
                2 | 1 => &[3],
                _ => &[1, 3],
            };
            let mut member = superblock(slot);
            member.events += 4 - slot as u64;
            member.members.retain(|number, _| !given_up.contains(number));
            member
        };
        let of = |wanted: &WantedArray, found: &[Option<Superblock>], reserved: &[usize]| {
            let sights = sights(found);
            let reserved = reserved.iter().map(|slot| sights[*slot].place.disk.clone()).collect();
            members(wanted, &sights, &reserved)
        };
        let too_few = |found: Result<Members, Unfit>| matches!(found, Err(Unfit::TooFew(_)));
        let all: Vec<_> = (0..4).map(|slot| Some(refused(slot))).collect();
        assert!(too_few(of(&array(), &all, &[])), "mdadm would not");
        assert!(too_few(of(&array(), &all, &[0, 1, 3])), "the one that is behind is not reserved");
        let found = of(&array(), &all, &[0, 1, 2, 3]).unwrap();
        let slots: Vec<usize> =
            (0..4).filter(|slot| found.places.contains(&sights(&all)[*slot].place)).collect();
        assert_eq!((slots, found.missing, found.is_forced), (vec![0, 2], 2, true));
        // One that was given up is none of it, also where nothing else is left.
        let mut without = all.clone();
        without[2] = None;
        assert!(too_few(of(&array(), &without, &[0, 1, 3])));
        // A parity says nothing of what was refused, and where copies overlap one may have missed what was told.
        for (level, layout) in [("raid5", 2), ("raid10", 513), ("raid10", 66049)] {
            let mut wanted = array();
            (wanted.published.level, wanted.published.layout) = (level.into(), Some(layout));
            let other = |slot| Some(Superblock { level: level.into(), layout, ..refused(slot) });
            let all: Vec<_> = (0..4).map(other).collect();
            assert!(too_few(of(&wanted, &all, &[0, 1, 2, 3])), "{level} {layout}");
        }
    }

    #[test]
    fn another_array_than_the_published_one_is_no_member_of_it() {
        for (name, change) in [
            ("level", (|_, member| member.level = "raid5".into()) as fn(usize, &mut Superblock)),
            ("number", |_, member| member.raid_disks = 6),
            ("layout", |_, member| member.layout = 513),
            ("shape", |slot, member| member.is_reshaping = slot == 2),
            ("two disks", |_, member| {
                (member.role, member.members) = (Role::Place(0), (0..4).map(|number| (number, 0)).collect());
            }),
            ("each other up", |slot, member| {
                let half: &[u32] = if slot < 2 { &[0, 1] } else { &[2, 3] };
                member.members.retain(|number, _| half.contains(number));
                member.events += slot as u64;
            }),
        ] {
            let Err(Unfit::Another(why)) = of(change) else { panic!("{name}") };
            assert!(why.contains(name), "{name}: {why}");
        }
        let one = of(|slot, member| {
            if slot == 2 {
                member.array = "another".into();
            }
        });
        let Err(Unfit::Another(why)) = one else { panic!("{one:?}") };
        assert!(why.contains("another array now, another"), "{why}");
    }

    #[test]
    fn every_piece_of_data_must_be_here() {
        let (near2, far2, offset2, near3) = (258, 513, 66049, 259);
        for (level, layout, disks, present, expected) in [
            ("raid10", near2, 4, &[0, 2][..], true),
            ("raid10", near2, 4, &[0, 1], false),
            ("raid10", near2, 4, &[1, 2, 3], true),
            ("raid10", near2, 5, &[0, 1, 2, 3], true),
            ("raid10", near2, 5, &[0, 1, 2], false),
            ("raid10", far2, 4, &[0, 1, 2], true),
            ("raid10", far2, 4, &[0, 2], false),
            ("raid10", offset2, 4, &[0, 1, 2], true),
            ("raid10", near3, 6, &[0, 5], true),
            ("raid10", 0, 4, &[0, 1, 2], false),
            ("raid1", 0, 2, &[1], true),
            ("raid1", 0, 2, &[], false),
            ("raid5", 2, 3, &[0, 1], true),
            ("raid5", 2, 3, &[0], false),
            ("raid6", 2, 4, &[0, 1], true),
            ("raid6", 2, 4, &[0], false),
            ("raid0", 0, 2, &[0], false),
            ("linear", 0, 2, &[0, 1], true),
            ("raid99", 0, 2, &[0], false),
        ] {
            let present: BTreeSet<u16> = present.iter().copied().collect();
            assert_eq!(is_enough(level, layout, disks, &present), expected, "{level} {layout} {present:?}");
        }
    }

    #[test]
    fn a_disk_that_was_behind_counts_only_beside_all_others() {
        let mut wanted = array();
        wanted.behind = wanted.places.iter().take(1).cloned().collect();
        let with = |slots: &[usize]| {
            let found: Vec<_> = (0..4).map(|slot| slots.contains(&slot).then(|| superblock(slot))).collect();
            members(&wanted, &sights(&found), &BTreeSet::new())
        };
        assert_eq!(with(&[0, 1, 2, 3]).unwrap().missing, 0, "it was rebuilt since");
        assert_eq!(with(&[0, 1, 2]).unwrap().missing, 2);
        assert!(matches!(with(&[0, 2]), Err(Unfit::TooFew(_))), "nothing that is here went on");
    }

    #[test]
    fn nobody_forces_a_parity_that_may_not_fit_its_data() {
        let wanted = {
            let mut wanted = array();
            wanted.published.level = "raid5".into();
            wanted
        };
        let member = |slot: usize, is_clean: bool| {
            let (level, events) = ("raid5".to_owned(), if slot == 3 { 1 } else { 7 });
            Some(Superblock { level, events, is_clean, ..superblock(slot) })
        };
        let found = |is_clean| {
            let all: Vec<_> = (0..4).map(|slot| member(slot, is_clean)).collect();
            members(&wanted, &sights(&all), &BTreeSet::new())
        };
        assert_eq!(found(true).unwrap().missing, 1);
        assert!(matches!(found(false), Err(Unfit::TooFew(why)) if why.contains("force")));
    }
}
