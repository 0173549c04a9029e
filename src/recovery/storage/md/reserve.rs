//! The disks of what is taken are reserved for this HA node before its mark is written on them.

use std::collections::BTreeSet;

use super::decide::Ground;
use super::wanted::Wanted;
use crate::disks::owner_mark::{self, Owner};
use crate::disks::places::Place;
use crate::disks::reservation_key::ReservationKey;
use crate::fence::off::{Permission, Settings};
use crate::recovery::executor::Context;
use crate::recovery::facts::Case;
use crate::recovery::proof::KnownOff;
use crate::recovery::reservations::{Kept, Order};
use crate::recovery::stop::Stop;
use crate::recovery::storage::answer::Answer;
use crate::recovery::world::World;

fn members(wanted: &Wanted) -> Vec<(String, BTreeSet<Place>)> {
    wanted.arrays.iter().map(|array| (array.uuid().to_owned(), array.places.clone())).collect()
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
    match holders.into_iter().find(|holder| !order.may_preempt(*holder)) {
        None => Ok(()),
        Some(holder) => Err(kept(&Kept::ByAnHaNode { disk: "one of its disks".into(), key: holder })),
    }
}

/// Reserves them; what there is to say of it.
///
/// # Errors
/// Outer: the lease or the proof of *off* is gone. Inner: somebody else has one.
pub(super) async fn reserve(
    context: &Context<'_>,
    wanted: &Wanted,
    ground: &Ground<'_>,
    off: &mut KnownOff<'_>,
) -> Result<Result<String, Answer>, Stop> {
    let (world, case) = (context.world, context.case);
    let (members, key, earlier) = (members(wanted), key(world), earlier(wanted, ground));
    let order = Order { members: &members, key, earlier: &earlier };
    let within = Settings::of(&case.policy).attempt;
    let proof = off.fresh().await?;
    context.lease.check()?;
    let done = world.reservations.reserve(&order, proof, within).await;
    Ok(done.map(|reserved| reserved.text()).map_err(|why| kept(&why)))
}

/// Gives them up, so that the host can write to its disks again.
pub(super) async fn give_up(world: &World, case: &Case, wanted: &Wanted) -> Result<(), Answer> {
    let within = Settings::of(&case.policy).attempt;
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
    }
}
