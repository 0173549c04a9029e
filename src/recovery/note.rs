//! Waiting is said aloud: a note under the incident, one per HA node.

use std::convert::Infallible;
use std::time::Duration;

use super::queue::{self, Work};
use super::through;
use super::world::World;
use crate::incident::note::{Again, NOTED_EVERY, Tried, WaitingNote};
use crate::keys;
use crate::names::IncidentId;
use crate::say;
use crate::store::{Op, TxnOutcome};
use crate::tree::foreign::Foreign;
use crate::tree::formats::{Formats, Kind};
use crate::tree::record::{Record, bytes, parse};

/// Of one reason. Several fence devices may have something to say in one.
const MOST_CHARS: usize = 1200;

/// How often this HA node looks for incidents that wait behind the one at work.
const LOOK_BEHIND: Duration = Duration::from_secs(5);

/// Writes why this HA node cannot go on; unchanged reasons keep their *since* and write nothing, so
/// that a wait of hours is not a write every few seconds.
pub async fn write(world: &World, id: &IncidentId, reasons: &[String], next: &[String]) {
    write_if(world, id, (reasons, next), None, None).await;
}

/// As [`write()`], after a try: when that was is written beside it, at most once in [`NOTED_EVERY`].
pub async fn write_tried(world: &World, id: &IncidentId, reasons: &[String], next: &[String], again: Again) {
    write_if(world, id, (reasons, next), Some(again), None).await;
}

/// As [`write()`], unless the incident was claimed since it was looked at: the claim took all notes away. The lock key is
/// made by the first claim and never deleted.
pub async fn write_if_unclaimed(world: &World, id: &IncidentId, reasons: &[String], next: &[String]) {
    let unclaimed = Op::CheckAbsent(keys::incident(id).lock());
    write_if(world, id, (reasons, next), None, Some(unclaimed)).await;
}

/// As [`write()`], with a condition in the same transaction.
async fn write_if(
    world: &World,
    id: &IncidentId,
    (reasons, next): (&[String], &[String]),
    again: Option<Again>,
    condition: Option<Op>,
) {
    let key = keys::incident(id).preflight(&world.me);
    let reasons: Vec<String> =
        reasons.iter().take(16).map(|reason| say::clauses(reason, MOST_CHARS)).collect();
    let result = async {
        let before = world.store.get(&key).await?;
        let same = before
            .as_ref()
            .and_then(|entry| parse::<WaitingNote>(&entry.key, &entry.value).ok())
            .filter(|note| note.reasons == reasons);
        let now = world.clock.wall();
        if let Some(note) = &same
            && again.is_none_or(|again| is_noted(note, again, now))
        {
            return Ok(TxnOutcome::Committed(Vec::new()));
        }
        let tried = match again {
            Some(again) if may_say_when(world).await => Some(Tried { at: now, again }),
            Some(_) | None => None,
        };
        if same.is_some() && tried.is_none() {
            return Ok(TxnOutcome::Committed(Vec::new()));
        }
        let note = WaitingNote {
            version: WaitingNote::VERSION,
            node: world.me.clone(),
            reasons,
            next: next.to_vec(),
            since: same.map_or(now, |note| note.since),
            tried,
        };
        let ops: Vec<Op> = condition.into_iter().chain([Op::Set(key, bytes(&note))]).collect();
        world.store.transact(&ops).await
    };
    if let Err(error) = result.await {
        tracing::warn!(incident = %id, %error, "cannot write why this node waits");
    }
}

/// Whether the note says already that it was tried, a moment ago. One that a clock wrote which has been set back since is written
/// anew.
fn is_noted(note: &WaitingNote, again: Again, now: jiff::Timestamp) -> bool {
    // Of a note without it, as is written beside an older HA node, its own age tells how long that was not asked.
    let (at, same) = note.tried.map_or((note.since, true), |tried| (tried.at, tried.again == again));
    same && now.duration_since(at).unsigned_abs() < NOTED_EVERY
}

/// An older HA node would not read the note.
async fn may_say_when(world: &World) -> bool {
    let formats = Formats::read(world.store.as_ref()).await;
    formats.is_ok_and(|formats| formats.allows(Kind::WaitingNote, 2).is_ok())
}

/// This HA node goes on with what it held: what its note says is over. Where it cannot be removed, it
/// stands a while longer.
pub async fn over(world: &World, id: &IncidentId) {
    let key = keys::incident(id).preflight(&world.me);
    let result = async {
        match world.store.get(&key).await? {
            Some(_) => world.store.transact(&[Op::Delete(key)]).await.map(|_| ()),
            None => Ok(()),
        }
    };
    if let Err(error) = result.await {
        tracing::warn!(incident = %id, %error, "cannot remove why this node waited");
    }
}

/// Removes the notes of all HA nodes, in the transaction that makes them wrong: once somebody has
/// taken the incident, nobody waits to take it.
pub fn removed(id: &IncidentId) -> Op {
    Op::DeleteTree(keys::incident(id).preflights())
}

/// Why an HA node that is in use takes nothing else, and the operator's next command.
pub fn busy(world: &World, with: Option<&IncidentId>) -> (String, String) {
    match with {
        Some(with) => {
            (format!("HA node {} is in use for {with}", world.me), format!("nova-ha incident show {with}"))
        }
        None => {
            let flag = Foreign::InUse { node: world.me.clone() };
            (flag.text(), flag.next())
        }
    }
}

/// Says under every incident that nobody has taken yet why this HA node does not take it, for as
/// long as it works on another one. Without it an incident behind busy HA nodes would wait silently:
/// whoever could say why is at work.
pub async fn behind(world: &World, at_work: &IncidentId) -> Infallible {
    loop {
        world.clock.sleep(LOOK_BEHIND).await;
        let queue = match queue::look(world, None).await {
            Ok(queue) => queue,
            Err(error) => {
                tracing::info!(%error, "cannot look at what waits behind {at_work}");
                continue;
            }
        };
        // Of what has ended since, while this one works on another: it begins nothing for that any more.
        through::say(world, Some(at_work)).await;
        // Not before the claim: an adoption may wait for the earlier holder's session.
        if queue.in_use_by.as_ref() != Some(at_work) {
            continue;
        }
        let (reason, next) = busy(world, Some(at_work));
        for waiting in queue.pending.iter().filter(|pending| pending.work(&world.me) == Work::Claim) {
            let (reasons, next) = ([reason.clone()], [next.clone()]);
            write_if_unclaimed(world, waiting.id(), &reasons, &next).await;
        }
    }
}
