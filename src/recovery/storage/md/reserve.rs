//! The disks of what is taken are reserved for this HA node before its mark is written on them.

use std::collections::BTreeSet;

use super::as_left::SHOWS_ITSELF_WITHIN;
use super::decide::Ground;
use super::members::is_enough_without;
use super::wanted::{Wanted, WantedArray};
use crate::disks::DiskId;
use crate::disks::md_superblock::Role;
use crate::disks::owner_mark::{self, Owner};
use crate::disks::places::Place;
use crate::disks::reservation_key::ReservationKey;
use crate::fence::off::Settings;
use crate::recovery::arrays::Seen;
use crate::recovery::case::Case;
use crate::recovery::context::Context;
use crate::recovery::proof::KnownOff;
use crate::recovery::reservations::{Kept, Order, Reserved};
use crate::recovery::stop::Stop;
use crate::recovery::storage::answer::Answer;
use crate::recovery::world::World;

fn members(wanted: &Wanted) -> Vec<(String, Vec<Place>)> {
    let places = |array: &WantedArray| array.places.iter().cloned().collect();
    wanted.arrays.iter().map(|array| (array.uuid().to_owned(), places(array))).collect()
}

/// From the array's last place to its first. What a living host writes meanwhile, and its md has no time to write down, is
/// then on the copies that refuse it last, and these are the ones that md resyncs the others from.
fn in_order(wanted: &Wanted, seen: &Seen) -> Vec<(String, Vec<Place>)> {
    let mut found = members(wanted);
    for ((uuid, places), sights) in found.iter_mut().zip(&seen.sights) {
        let slot = |place: &Place| {
            let sight = sights.iter().find(|sight| sight.place == *place)?;
            sight.superblocks.iter().filter(|found| found.array == *uuid).find_map(|found| match found.role {
                Role::Place(slot) => Some(slot),
                Role::Spare | Role::Faulty | Role::Journal => None,
            })
        };
        places.sort_by_cached_key(|place| slot(place).map_or((0, 0), |slot| (1, u16::MAX - slot)));
    }
    found
}

/// Disks that themselves say that this HA node has reserved them, or one that had them before.
pub(super) async fn ours(
    world: &World,
    case: &Case,
    wanted: &Wanted,
    ground: &Ground<'_>,
) -> BTreeSet<DiskId> {
    let mut keys = earlier(wanted, ground);
    keys.insert(key(world));
    let holders = world.reservations.holders(&members(wanted), case.policy.storage_check_deadline).await;
    holders.into_iter().filter(|(_, key)| keys.contains(key)).map(|(disk, _)| disk).collect()
}

fn key(world: &World) -> ReservationKey {
    ReservationKey::of_holder(&owner_mark::holder(world.me.as_str()))
}

/// HA nodes that had it before: by the journal, and by the name under which the host published it, which was an HA
/// node when it took it.
fn earlier(wanted: &Wanted, ground: &Ground<'_>) -> BTreeSet<ReservationKey> {
    let published = wanted.arrays.iter().filter_map(|array| match owner_mark::read(&array.published.name) {
        Owner::Taken { by } => Some(by),
        Owner::Plain { .. } => None,
    });
    published.chain(ground.earlier.iter().cloned()).map(|holder| ReservationKey::of_holder(&holder)).collect()
}

/// Whether no HA node has reserved one that had it not before. Known before anybody is shot.
pub(super) async fn is_free(
    world: &World,
    case: &Case,
    wanted: &Wanted,
    ground: &Ground<'_>,
) -> Result<(), Answer> {
    if !case.policy.md_reserve_disks {
        return Ok(());
    }
    let (members, key, earlier) = (members(wanted), key(world), earlier(wanted, ground));
    let order = Order { members: &members, key, earlier: &earlier };
    let holders = world.reservations.holders(&members, case.policy.storage_check_deadline).await;
    match holders.into_iter().find(|(_, key)| !order.may_preempt(*key)) {
        None => Ok(()),
        Some((disk, key)) => Err(kept(&Kept::ByAnHaNode { disk: disk.to_string(), key })),
    }
}

/// How far the disks of what is taken are reserved, in this run.
#[derive(Debug, Default)]
pub(super) struct Reserving {
    done: Done,
    /// Disks of the first turn.
    first: BTreeSet<DiskId>,
    /// What became of all of them until now.
    reserved: Reserved,
    /// How often a disk did not answer.
    unclear: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Done {
    #[default]
    Nothing,
    /// Those that the arrays can lose.
    Some,
    All,
}

impl Reserving {
    pub(super) fn is_begun(&self) -> bool {
        self.done != Done::Nothing
    }

    pub(super) fn is_done(&self) -> bool {
        self.done == Done::All
    }

    /// What there is to say of it.
    pub(super) fn said(&self) -> Option<String> {
        Some(self.reserved.text()).filter(|said| !said.is_empty())
    }
}

/// How often a disk that does not answer is asked in one run.
const MOST_ASKED: u32 = 3;

/// Reserves the next of them: first those that the arrays can lose, and then gives a host that lives its time to be refused
/// by them and to write that on the others, where the next look finds it. Were all of them reserved at once, nothing would be
/// left for it to write on. Then all of them.
///
/// # Errors
/// Outer: the lease or the proof of *off* is gone. Inner: somebody else has one, or one does not answer.
pub(super) async fn reserve_next(
    context: &Context<'_>,
    wanted: &Wanted,
    seen: &Seen,
    ground: &Ground<'_>,
    off: &mut KnownOff<'_>,
    reserving: &mut Reserving,
) -> Result<Result<(), Answer>, Stop> {
    let (world, case) = (context.world, context.case);
    let mut members = in_order(wanted, seen);
    if reserving.done == Done::Nothing {
        reserving.first = can_be_lost(wanted, seen);
    }
    let is_first = reserving.done == Done::Nothing && !reserving.first.is_empty();
    // Each disk once: all of a turn are to be done within a part of the lease.
    let is_its_turn = |place: &Place| reserving.first.contains(&place.disk) == is_first;
    members.iter_mut().for_each(|(_, places)| places.retain(is_its_turn));
    let earlier = earlier(wanted, ground);
    let order = Order { members: &members, key: key(world), earlier: &earlier };
    let within = Settings::of(&case.policy).attempt;
    let proof = context.may_change(off).await?;
    match world.reservations.reserve(&order, proof, within).await {
        Ok(reserved) => {
            let is_any = reserved.disks > 0;
            reserving.reserved.add(reserved);
            reserving.done = if is_first { Done::Some } else { Done::All };
            if is_first && is_any {
                world.clock.sleep(SHOWS_ITSELF_WITHIN).await;
            }
            Ok(Ok(()))
        }
        Err(why @ Kept::Unclear { .. }) => {
            reserving.unclear += 1;
            Ok(if reserving.unclear < MOST_ASKED { Ok(()) } else { Err(kept(&why)) })
        }
        Err(why @ (Kept::ByAnHaNode { .. } | Kept::Still { .. })) => Ok(Err(kept(&why))),
    }
}

/// Disks without which, all of them at once, each array still has all of its data; by the arrays' places from the last to
/// the first.
fn can_be_lost(wanted: &Wanted, seen: &Seen) -> BTreeSet<DiskId> {
    let is_whole_without = |lost: &BTreeSet<DiskId>| {
        wanted.arrays.iter().zip(&seen.sights).all(|(array, sights)| is_enough_without(array, sights, lost))
    };
    let mut lost = BTreeSet::new();
    for place in in_order(wanted, seen).into_iter().flat_map(|(_, places)| places) {
        let is_new = lost.insert(place.disk.clone());
        if is_new && !is_whole_without(&lost) {
            lost.remove(&place.disk);
        }
    }
    lost
}

/// Gives them up, so that the host can write to its disks again. It takes away nothing but this HA node's own, so it may
/// outlast a lease.
pub(super) async fn give_up(world: &World, case: &Case, wanted: &Wanted) -> Result<(), Answer> {
    let within = case.policy.storage_check_deadline;
    let done = world.reservations.give_up(&members(wanted), key(world), within).await;
    done.map_err(|why| Answer::Refused {
        detail: format!("a disk is still reserved for this HA node: {why}"),
    })
}

fn kept(why: &Kept) -> Answer {
    match why {
        Kept::ByAnHaNode { disk, key } => Answer::Contradicted {
            detail: format!(
                "{disk} is reserved by key {key}, which is an HA node's that has not had it before, by what is known \
                 here: see which, docs/storage-md.md, \"Reservations\""
            ),
        },
        Kept::Still { disk, why } => {
            Answer::Refused { detail: format!("{disk} is reserved, and stays so: {why}") }
        }
        Kept::Unclear { why } => Answer::Refused {
            detail: format!(
                "whether the disks can be reserved is not known: {why} (docs/storage-md.md, \"Reservations\")"
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::md_superblock::Superblock;
    use crate::disks::places::Sight;
    use crate::recovery::storage::md::example::{host, sights, superblock};
    use crate::recovery::storage::md::wanted::wanted;

    /// Four members at these slots, on as many disks.
    fn at(slots: [usize; 4], change: impl Fn(&mut Superblock)) -> Vec<Sight> {
        let found: Vec<_> = slots
            .into_iter()
            .map(|slot| {
                let mut found = superblock(slot);
                change(&mut found);
                Some(found)
            })
            .collect();
        sights(&found)
    }

    fn lost(wanted: &Wanted, sights: Vec<Sight>) -> Vec<usize> {
        let places: Vec<DiskId> = sights.iter().map(|sight| sight.place.disk.clone()).collect();
        let lost = can_be_lost(wanted, &Seen { sights: vec![sights], ..Seen::default() });
        (0..places.len()).filter(|&at| lost.contains(&places[at])).collect()
    }

    #[test]
    fn of_each_mirror_all_copies_but_the_first_can_be_lost() {
        let mut wanted = wanted(&host(), "/instances".as_ref()).unwrap();
        let none = |_: &mut Superblock| {};
        assert_eq!(lost(&wanted, at([0, 1, 2, 3], none)), [1, 3]);
        assert_eq!(lost(&wanted, at([2, 0, 3, 1], none)), [2, 3], "by their slots, not by the disks' order");
        // One half of a mirror is away already: the other one is kept.
        let mut sights = at([0, 1, 2, 3], none);
        sights[0].superblocks.clear();
        assert_eq!(lost(&wanted, sights), [0, 3]);
        // A level that bears one, and that would not start without it where it was not stopped cleanly.
        let published = &mut wanted.arrays[0].published;
        (published.level, published.layout) = ("raid5".into(), Some(2));
        let raid5 = |is_clean: bool| {
            move |of: &mut Superblock| {
                (of.level, of.layout, of.is_clean) = ("raid5".into(), 2, is_clean);
            }
        };
        assert_eq!(lost(&wanted, at([0, 1, 2, 3], raid5(true))), [3]);
        assert_eq!(lost(&wanted, at([0, 1, 2, 3], raid5(false))), Vec::<usize>::new());
    }

    #[test]
    fn the_copies_that_md_resyncs_from_are_reserved_last() {
        let wanted = wanted(&host(), "/instances".as_ref()).unwrap();
        let mut found: Vec<_> = [2, 0, 3, 1].map(|slot| Some(superblock(slot))).into();
        found[2].as_mut().unwrap().role = Role::Spare;
        let seen = Seen { sights: vec![sights(&found)], ..Seen::default() };
        let places: Vec<Place> = sights(&found).into_iter().map(|sight| sight.place).collect();
        let order = &in_order(&wanted, &seen)[0].1;
        assert_eq!(*order, [2, 0, 3, 1].map(|at: usize| places[at].clone()), "a spare, then 2, 1, 0");
    }
}
