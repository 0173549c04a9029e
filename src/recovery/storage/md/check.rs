//! A look at the disks that changes nothing, and what follows from it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;

use super::decide::{Act, Ground, Next, decide};
use super::reserve;
use super::wanted::{Wanted, wanted};
use crate::chain::chain;
use crate::disks::owner_mark;
use crate::incident::step::Phase;
use crate::keys;
use crate::recovery::arrays::{Question, Scope, Seen};
use crate::recovery::case::Case;
use crate::recovery::history::MembersSeen;
use crate::recovery::storage::answer::Answer;
use crate::recovery::storage::progress::Progress;
use crate::recovery::takeovers;
use crate::recovery::world::World;
use crate::tree::bound::Bound;
use crate::tree::published::Published;
use crate::tree::runtime_config::RuntimeConfig;

/// Whether the host's storage is here, or could be taken.
pub async fn check(world: &World, case: &Case, progress: &Progress<'_>) -> Answer {
    let wanted = match published(case) {
        Ok(wanted) => wanted,
        Err(answer) => return answer,
    };
    let ground = match ground(world, case, progress.members_seen, BTreeSet::new()) {
        Ok(ground) => ground,
        Err(answer) => return answer,
    };
    let seen = match look(world, case, &wanted, Scope::All).await {
        Ok(seen) => seen,
        Err(answer) => return answer,
    };
    match decided(world, case, &wanted, &seen, &ground).await {
        Next::Say(answer) => answer,
        // After the claim the act itself says what stops it, and guests are waiting.
        Next::Do { detail, .. } if progress.phase > Phase::Open => Answer::Ready { detail },
        Next::Do { act, detail } => match is_able(world, case, &wanted, &ground, &act).await {
            Ok(()) => Answer::Ready { detail },
            Err(answer) => answer,
        },
    }
}

/// What follows from a look. Where too little of it seems to be here, and it was begun, the disks are asked whether it is
/// because they were reserved.
pub(super) async fn decided(
    world: &World,
    case: &Case,
    wanted: &Wanted,
    seen: &Seen,
    ground: &Ground<'_>,
) -> Next {
    match decide(wanted, seen, ground) {
        Next::Say(Answer::Refused { .. }) if ground.begun || !ground.earlier.is_empty() => {
            let reserved = reserve::ours(world, case, wanted, ground).await;
            decide(wanted, seen, &Ground { reserved, ..ground.clone() })
        }
        next => next,
    }
}

/// What would stop the first act here, known before anybody is shot.
async fn is_able(
    world: &World,
    case: &Case,
    wanted: &Wanted,
    ground: &Ground<'_>,
    act: &Act,
) -> Result<(), Answer> {
    let refused = |detail: String| Answer::Refused { detail };
    takeovers::can_remember(&world.state_dir).map_err(|error| refused(chain(&error)))?;
    match act {
        Act::Assemble(order) => {
            world.arrays.is_able(order, case.policy.storage_check_deadline).await.map_err(refused)?;
            reserve::is_free(world, case, wanted, ground).await
        }
        Act::Stop { .. } | Act::Mount { .. } => Ok(()),
    }
}

/// What the host published, if it is good enough to take its storage by. Asked until that is begun: a host that is booted
/// in the middle, and kept from its disks by its guard, publishes anew, and that it did not start them.
pub(super) fn published(case: &Case) -> Result<Wanted, Answer> {
    let host = case.id.host();
    let refused = |detail: String| Answer::Refused { detail };
    let config = config(case)?;
    if case.record.status.got_to_storage() {
        return wanted_of(case);
    }
    let is_claimed = case.record.status.phase > Phase::Open;
    if !is_claimed {
        is_recent(case, &config).map_err(refused)?;
    }
    let is_guarded =
        config.boot_guard == Some(true) || is_claimed && config.boot_guard.is_some() && is_later(case);
    if !is_guarded && !case.policy.allow_host_without_boot_guard {
        return Err(refused(format!(
            "nova-ha-boot-guard did not let the storage of {host} start: nothing would keep it from its disks when \
             it comes back (docs/boot-guard.md, policy allow_host_without_boot_guard)"
        )));
    }
    wanted_of(case)
}

/// What of it is here, or is to be.
pub(in crate::recovery) fn wanted_of(case: &Case) -> Result<Wanted, Answer> {
    let refused = |detail: String| Answer::Refused { detail };
    let Some(mountpoint) = &case.storage.mountpoint else {
        return Err(refused("nova_mountpoint is not set".into()));
    };
    wanted(&config(case)?, mountpoint).map_err(refused)
}

fn config(case: &Case) -> Result<RuntimeConfig, Answer> {
    let host = case.id.host();
    let keys = keys::host(host);
    match case.tree.get(&keys.runtime_config()) {
        Some(_) => {
            let disks = Published::of(&case.tree, &keys).disks();
            disks.map_err(|error| Answer::CannotTell { why: chain(&error) })
        }
        None => {
            let detail =
                format!("{host} published nothing of its disks (nova-ha-runtime-info, while it lives)");
            Err(Answer::Refused { detail })
        }
    }
}

/// Compared with when the incident opened, so that a long recovery does not make it older.
fn is_recent(case: &Case, config: &RuntimeConfig) -> Result<(), String> {
    let host = case.id.host();
    let Some(at) = &config.time else {
        return Err(format!("what {host} published of its disks does not say when"));
    };
    let opened = SignedDuration::from_millis(case.record.opened_at.as_millisecond()).as_secs_f64();
    let age = Duration::try_from_secs_f64((opened - at.timestamp).abs()).unwrap_or(Duration::MAX);
    if age <= case.policy.md_record_max_age {
        return Ok(());
    }
    Err(format!(
        "what {host} published of its disks is of {}, and the incident of {}: more apart than policy \
         md_record_max_age ({:?})",
        at.datetime, case.record.opened_at, case.policy.md_record_max_age
    ))
}

/// Whether it was published after the host was marked, by Consul's order of writes: the claim was made on what stood
/// there before.
fn is_later(case: &Case) -> bool {
    let host = keys::host(case.id.host());
    let written = |key: String| case.tree.get(&key).map(|entry| entry.modify_index);
    written(host.runtime_config()) > written(host.failed())
}

/// What a decision stands on beside the look.
pub(super) fn ground<'a>(
    world: &'a World,
    case: &'a Case,
    members_seen: &'a MembersSeen,
    looked_at: BTreeSet<String>,
) -> Result<Ground<'a>, Answer> {
    Ok(Ground {
        me: world.me.as_str(),
        begun: begun(world, case)?,
        earlier: case.disks.marked.iter().map(|node| owner_mark::holder(node.as_str())).collect(),
        looked_at,
        allow_degraded: case.policy.md_allow_degraded,
        policy: &case.policy,
        bound_filesystems: bound_filesystems(case)?,
        reserved: BTreeSet::new(),
        cut_by_hand: case.disks.cut_by_hand,
        members_seen,
    })
}

fn bound_filesystems(case: &Case) -> Result<Option<BTreeSet<String>>, Answer> {
    let bound: Option<Bound> = case
        .tree
        .record(&keys::host(case.id.host()).bound())
        .map_err(|error| Answer::CannotTell { why: chain(&error) })?;
    Ok(bound.map(|bound| bound.filesystems))
}

/// Whether this HA node remembers that it began to take it.
pub(super) fn begun(world: &World, case: &Case) -> Result<bool, Answer> {
    let mine = takeovers::of(&world.state_dir, &case.id);
    mine.map(|mine| mine.is_some_and(|mine| mine.is_of(&world.machine)))
        .map_err(|error| Answer::CannotTell { why: chain(&error) })
}

/// One look.
pub(super) async fn look(world: &World, case: &Case, wanted: &Wanted, scope: Scope) -> Result<Seen, Answer> {
    let question = Question {
        arrays: wanted.arrays.iter().map(|a| (a.uuid().to_owned(), a.places.clone())).collect(),
        mountpoints: wanted.filesystems.iter().map(|fs| fs.at.clone()).collect(),
        scope,
        within: case.policy.storage_check_deadline,
    };
    world.arrays.look(&question).await.map_err(|why| Answer::CannotTell { why })
}
