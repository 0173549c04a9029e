//! Takes it: one thing after the other, each on a look of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use super::as_left;
use super::check::{decided, ground, look, published};
use super::decide::{Act, Next, has_its_filesystems};
use super::reserve::{Reserving, reserve_next};
use super::wanted::Wanted;
use super::whose;
use crate::disks::md::State;
use crate::disks::running::Running;
use crate::fence::PoweredOff;
use crate::fence::off::Settings;
use crate::incident::journal::{Event, MAX_MEMBERS, MemberSeen};
use crate::recovery::arrays::{Assembly, How, Scope, Seen, Start};
use crate::recovery::context::Context;
use crate::recovery::history::MembersSeen;
use crate::recovery::proof::KnownOff;
use crate::recovery::stop::Stop;
use crate::recovery::storage::answer::Answer;
use crate::recovery::takeovers::{self, Takeover};
use crate::recovery::world::chain;

/// How often the same thing is tried before it is left to the next run: a member may be held open for a moment
/// by whatever looks at new disks.
const MOST_TRIES: u32 = 3;

/// What becomes of one array: assembled to look, stopped, assembled; and once more each where a killed run left it
/// half.
const ACTS_PER_ARRAY: usize = 6;

/// Does what is to be done until all of it is here, or something is in the way.
///
/// # Errors
/// The lease or the proof of *off* is gone: nothing was begun after that.
pub async fn take(context: &mut Context<'_>, off: &mut KnownOff<'_>) -> Result<Answer, Stop> {
    let (world, case) = (context.world, context.case);
    let wanted = match published(case) {
        Ok(wanted) => wanted,
        Err(answer) => return Ok(answer),
    };
    if let Err(error) = takeovers::remember(&world.state_dir, &Takeover::of(world, case, &wanted)) {
        // Without it nobody could tell a half-made array of ours from somebody else's.
        return Ok(Answer::Refused { detail: format!("it could not be remembered here: {}", chain(&error)) });
    }
    let mut looked_at = BTreeSet::new();
    let (mut last, mut tries) = (None, 0);
    let mut reserving = Reserving::default();
    let mut is_own = false;
    let most = (wanted.arrays.len() * ACTS_PER_ARRAY + wanted.filesystems.len()) * MOST_TRIES as usize;
    for _ in 0..most {
        // Asked again before the act, which costs nothing then: what is written between look and act is not seen.
        off.fresh().await?;
        let seen = match look(world, case, &wanted, scope_after(last.as_ref())).await {
            Ok(seen) => seen,
            Err(answer) => return Ok(answer),
        };
        remember(context, &wanted, &seen).await?;
        let ground = match ground(world, case, &context.members_seen, looked_at.clone()) {
            Ok(ground) => ground,
            Err(answer) => return Ok(answer),
        };
        let (act, detail) = match decided(world, case, &wanted, &seen, &ground).await {
            Next::Say(answer) => return Ok(with(answer, reserving.said())),
            Next::Do { act, detail } => (act, detail),
        };
        if writes(&act) && !reserving.is_begun() {
            let left = until_they_may_be_written(context);
            if !left.is_zero() {
                world.clock.sleep(left).await;
                continue;
            }
        }
        if writes(&act) && !is_own {
            if let Some(doubt) = whose::doubts(world, case, &wanted).await?.first() {
                return Ok(Answer::Refused { detail: doubt.text() });
            }
            is_own = true;
        }
        if writes(&act) && !reserving.is_done() && case.policy.md_reserve_disks {
            if let Err(answer) = reserve_next(context, &wanted, &seen, &ground, off, &mut reserving).await? {
                return Ok(answer);
            }
            // What the host wrote until now, if it lives all the same, is to be seen.
            continue;
        }
        let verdict = match &act {
            Act::Stop { uuid, .. } => of_the_look(&wanted, &seen, uuid, &mut looked_at),
            Act::Assemble(_) | Act::Mount { .. } => None,
        };
        tries = if last.as_ref() == Some(&act) { tries + 1 } else { 1 };
        if tries > MOST_TRIES {
            return Ok(Answer::Refused { detail: format!("{}: no success, {tries} times", said_of(&act)) });
        }
        tracing::info!(incident = %case.id, host = %case.id.host(), step = "take storage", act = said_of(&act), detail);
        let proof = context.may_change(off).await?;
        let done = perform(context, &act, proof).await;
        if let Err(why) = &done {
            tracing::warn!(incident = %case.id, step = "take storage", act = said_of(&act), why, "looking again");
        }
        match (verdict, done) {
            // It was ours to look at, and is not what was published: stopped again, it is left as it was.
            (Some(answer), Ok(())) => return Ok(answer),
            (Some(_), Err(_)) | (None, Ok(())) => {}
            (None, Err(why)) if tries == MOST_TRIES => {
                return Ok(Answer::Refused { detail: format!("{}: {why}", said_of(&act)) });
            }
            (None, Err(_)) => {}
        }
        last = Some(act);
    }
    Ok(Answer::CannotTell { why: format!("it is not taken after {most} steps") })
}

/// A look as soon as the host is off.
///
/// # Errors
/// The journal cannot be written. That nobody can look is found again by whoever takes it.
pub async fn first_look(context: &mut Context<'_>) -> Result<(), Stop> {
    let (world, case) = (context.world, context.case);
    let Ok(wanted) = published(case) else { return Ok(()) };
    match look(world, case, &wanted, Scope::All).await {
        Ok(seen) => remember(context, &wanted, &seen).await,
        Err(answer) => {
            tracing::info!(incident = %case.id, answer = answer.text(), "the disks cannot be looked at yet");
            Ok(())
        }
    }
}

/// How long until a host that lives has had its time to show it, since the first look.
fn until_they_may_be_written(context: &Context<'_>) -> Duration {
    let now = context.world.clock.boottime();
    let since = context.members_first_seen.map(|first| now.saturating_duration_since(first));
    as_left::SHOWS_ITSELF_WITHIN.saturating_sub(since.unwrap_or_default())
}

/// Members that the journal does not know yet are written there, before anything is done to them.
async fn remember(context: &mut Context<'_>, wanted: &Wanted, seen: &Seen) -> Result<(), Stop> {
    let mut new: Vec<(String, MemberSeen)> = as_left::members(wanted, seen).into_iter().collect();
    new.retain(|(member, _)| !context.members_seen.contains_key(member));
    // Of one that comes late the first look is as late.
    if context.members_first_seen.is_none() || !new.is_empty() {
        context.members_first_seen = Some(context.world.clock.boottime());
    }
    for some in new.chunks(MAX_MEMBERS) {
        let members: MembersSeen = some.iter().cloned().collect();
        context.members_seen.extend(members.clone());
        context.journal.append(Event::MembersSeen { members }, Vec::new()).await?;
    }
    Ok(())
}

/// Whether it writes to members: its name, or that they are current.
fn writes(act: &Act) -> bool {
    match act {
        Act::Assemble(order) => order.start == Start::Forced || matches!(order.how, How::Named(_)),
        Act::Stop { .. } | Act::Mount { .. } => false,
    }
}

/// How much is to be seen after an act. Before anything is written all disks are: the acts that write to members come after a
/// *stop*, or after one of their kind.
fn scope_after(last: Option<&Act>) -> Scope {
    match last {
        // A *stop* follows, or the end.
        Some(Act::Assemble(Assembly { how: How::ReadOnly, .. }) | Act::Mount { .. }) => Scope::Members,
        Some(Act::Assemble(Assembly { how: How::Named(_), .. }) | Act::Stop { .. }) | None => Scope::All,
    }
}

/// With what the disks were found to keep of it.
fn with(answer: Answer, reserved: Option<String>) -> Answer {
    match (answer, reserved) {
        (Answer::Taken { detail, .. }, more @ Some(_)) => Answer::Taken { detail, more },
        (Answer::HostLives { detail }, Some(said)) => {
            Answer::HostLives { detail: format!("{detail}; {said}") }
        }
        (answer, _) => answer,
    }
}

/// What is wrong with an array that was assembled to look at. One that does not run has shown nothing, and is
/// looked at once more.
fn of_the_look(wanted: &Wanted, seen: &Seen, uuid: &str, looked_at: &mut BTreeSet<String>) -> Option<Answer> {
    let is_it = |running: &&Running| running.array.uuid.as_deref() == Some(uuid);
    let running = seen.running.iter().find(is_it).filter(|running| running.array.state == State::ReadOnly)?;
    match has_its_filesystems(wanted, running) {
        Ok(()) => {
            looked_at.insert(uuid.to_owned());
            None
        }
        Err(answer) => Some(answer),
    }
}

async fn perform(context: &Context<'_>, act: &Act, off: &PoweredOff) -> Result<(), String> {
    let arrays = context.world.arrays.as_ref();
    let policy = &context.case.policy;
    // Below the lock-delay, like every effect. A mount replays a log and is exempt: it is local, and who adopts
    // fences this HA node first.
    let attempt = Settings::of(policy).attempt;
    match act {
        Act::Assemble(order) => arrays.assemble(order, off, attempt).await,
        Act::Stop { device, uuid } => arrays.stop(device, uuid, attempt).await,
        Act::Mount { device, fs_type, at } => {
            arrays.mount(device, fs_type, at, off, policy.storage_take_deadline).await
        }
    }
}

fn said_of(act: &Act) -> String {
    match act {
        Act::Assemble(Assembly { uuid, how: How::ReadOnly, .. }) => format!("assemble {uuid} read-only"),
        Act::Assemble(Assembly { uuid, how: How::Named(name), .. }) => format!("assemble {uuid} as {name}"),
        Act::Stop { device, uuid } => format!("stop {device} ({uuid})"),
        Act::Mount { device, at, .. } => format!("mount {device} at {}", at.display()),
    }
}
