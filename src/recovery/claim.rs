//! Taking an incident, and giving it back: one transaction each, all or nothing.

use super::case::Case;
use super::context::Context;
use super::foreign::nobody_else_recovers_it;
use super::journal::{AsTaken, Journal, cut, index_of, not_appended, not_held};
use super::lease::Lease;
use super::note;
use super::plan::Plan;
use super::queue::Pending;
use super::stop::Stop;
use super::world::World;
use crate::incident::IncidentRecord;
use crate::incident::append::{Writer, next};
use crate::incident::journal::{AdoptionGround, Event, JournalEntry};
use crate::incident::record::Holder;
use crate::keys;
use crate::names::{HaNodeName, IncidentId};
use crate::store::{MAX_OPS, Op, Refusal, TxnOutcome};
use crate::tree::foreign::Foreign;
use crate::tree::record::{Record, bytes};
use crate::tree::{Snapshot, flag};

/// A chunk of the plan: with base64 well below a value's limit, and several below a transaction's.
const CHUNK_BYTES: usize = 96 * 1024;

/// Chunks that fit into the claim beside its other operations, in bytes and in number.
const MOST_CHUNKS: usize = 3;

/// What became of a try.
pub enum Taken<'a> {
    /// It is ours.
    Yes(Box<Journal<'a>>),
    /// Somebody else was faster, or something changed: look again.
    No(Vec<Refusal>),
}

/// FNV-1a: to notice a plan whose chunks do not belong together, not to keep out an attacker (who
/// can write the journal itself).
fn hash(bytes: &[u8]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{hash:016x}-{}", bytes.len())
}

/// The plan in chunks; what does not fit is left out of the tree (it is for people: each guest is
/// decided again on fresh facts when its turn comes), and the hash says so by its length.
fn plan_ops(case: &Case, plan: &Plan) -> (Vec<Op>, String) {
    let stored = bytes(plan);
    let keys = keys::incident(&case.id);
    let ops = stored
        .chunks(CHUNK_BYTES)
        .take(MOST_CHUNKS)
        .enumerate()
        .map(|(number, chunk)| Op::Set(keys.plan(number), chunk.to_vec()))
        .collect();
    (ops, hash(&stored))
}

fn holder_value(world: &World, lease: &Lease<'_>, term: u64) -> Vec<u8> {
    bytes(&Holder {
        version: Holder::VERSION,
        node: world.me.clone(),
        session: lease.session().to_string(),
        term,
        since: world.clock.wall(),
    })
}

fn next_term(case: &Case) -> Result<u64, Stop> {
    let key = keys::incident(&case.id).term();
    Ok(case.tree.number::<u64>(&key).map_err(|source| Stop::Tree { source })?.unwrap_or(0) + 1)
}

/// The first entry of a term.
fn first(
    world: &World,
    case: &Case,
    record: &IncidentRecord,
    event: Event,
    term: u64,
) -> Result<(IncidentRecord, JournalEntry), Stop> {
    let at = world.clock.wall();
    let writer =
        Writer { by: world.me.as_str(), machine: Some(&world.machine), term, at, formats: &case.formats };
    let (record, entry) = next(record, cut(event), &writer).map_err(|why| not_appended(&case.id, why))?;
    Ok((record, JournalEntry { boot: Some(world.boot_id.clone()), ..entry }))
}

/// Whether this HA node is used up by an incident: from the moment at which its storage was begun to
/// be taken here it can take no other, until an administrator resets the host.
pub fn is_consumed(case: &Case, record: &IncidentRecord) -> bool {
    case.storage.strategy.is_taken() && record.status.got_to_storage()
}

/// Claims: `failed` is True at the index that was read, `recovered` goes False to True, this HA
/// node's `in_use` goes False to True, the lock is ours, the term is raised, plan and first journal
/// entry are written.
pub async fn claim<'a>(
    world: &'a World,
    lease: &'a Lease<'a>,
    case: &Case,
    plan: &Plan,
) -> Result<Taken<'a>, Stop> {
    let host = keys::host(case.id.host());
    let own = keys::ha_node(&world.me);
    let incident = keys::incident(&case.id);
    let seen = |key: &str| case.tree.get(key);
    let is_true = |key: &str| case.tree.flag(key).map_err(|source| Stop::Tree { source });
    if case.record.holder.is_some() || is_true(&own.in_use())? {
        let what = "somebody claimed it, or this HA node is in use".into();
        return Ok(Taken::No(vec![Refusal { key: host.status(), what }]));
    }
    if is_true(&host.recovered())? {
        return Err(Stop::Foreign { flag: Foreign::RecoveredUnclaimed { incident: case.id.clone() } });
    }
    // Only a person writes it so. Nobody else's turn comes while it lasts: it is said aloud.
    if !is_true(&host.failed())? {
        return Err(Stop::waiting(
            format!("{} is not True, as a claim needs it", host.failed()),
            format!(
                "nova-ha incident abandon {0} --by NAME, then nova-ha reset {1} --by NAME",
                case.id,
                case.id.host()
            ),
        ));
    }
    nobody_else_recovers_it(world, case).await?;
    let term = next_term(case)?;
    let (plan_ops, plan_hash) = plan_ops(case, plan);
    let claimed = IncidentRecord { holder: Some(world.me.clone()), ..case.record.clone() };
    let (record, entry) = first(world, case, &claimed, Event::Claimed { plan_hash }, term)?;
    let mut ops = vec![
        Op::unchanged(host.failed(), seen(&host.failed())),
        Op::replace(host.recovered(), flag::text(true), seen(&host.recovered())),
        Op::replace(own.in_use(), flag::text(true), seen(&own.in_use())),
        Op::replace(own.in_use_by(), case.id.to_string(), seen(&own.in_use_by())),
        Op::Lock(incident.lock(), holder_value(world, lease, term), lease.session().clone()),
        Op::replace(incident.term(), term.to_string(), seen(&incident.term())),
        Op::replace(incident.incident(), bytes(&record), seen(&incident.incident())),
        Op::replace(incident.journal_entry(entry.sequence), bytes(&entry), None),
        note::removed(&case.id),
    ];
    ops.extend(plan_ops);
    ops.extend(not_held(&case.formats, &world.me, &case.id));
    finish(world, lease, case, ops, (record, term)).await
}

/// Adopts an incident that this HA node or another one held. With our own earlier session on the
/// lock, unlocking and locking in one transaction needs no lock-delay (seen); a session that ended
/// leaves the lock closed for the lock-delay, and Consul refuses until it is over.
pub async fn adopt<'a>(
    world: &'a World,
    lease: &'a Lease<'a>,
    case: &Case,
    pending: &Pending,
    plan: &Plan,
    ground: AdoptionGround,
) -> Result<Taken<'a>, Stop> {
    let own = keys::ha_node(&world.me);
    let incident = keys::incident(&case.id);
    let from = case.record.holder.clone();
    let term = next_term(case)?;
    let value = holder_value(world, lease, term);
    let mut ops = Vec::new();
    match (&pending.locked_by, &ground) {
        (None, _) => {}
        // Our own earlier process: the file lock proves that it is gone.
        (Some(old), AdoptionGround::SameNode) => {
            ops.push(Op::Unlock(incident.lock(), value.clone(), old.clone()));
        }
        (Some(_), AdoptionGround::HolderDead { .. } | AdoptionGround::NobodyHeld) => {
            return Ok(Taken::No(vec![Refusal {
                key: incident.lock(),
                what: "its holder's session has not ended yet".into(),
            }]));
        }
    }
    let (plan_ops, _) = plan_ops(case, plan);
    let adopted = IncidentRecord { holder: Some(world.me.clone()), ..case.record.clone() };
    // Nothing was done since it was taken up last: that entry makes room for this one.
    let idle = case.idle.as_ref().filter(|idle| {
        let same = idle.by == world.me && idle.boot.as_deref() == Some(world.boot_id.as_str());
        ground == AdoptionGround::SameNode && same && idle.sequence == case.record.head
    });
    let head = idle.map_or(case.record.head, |idle| idle.sequence.saturating_sub(1));
    let adopted = IncidentRecord { head, ..adopted };
    let event = Event::Adopted { from: from.clone(), ground };
    let (record, entry) = first(world, case, &adopted, event, term)?;
    let index = idle.map_or(0, |idle| idle.index);
    ops.extend([
        Op::Lock(incident.lock(), value, lease.session().clone()),
        Op::replace(incident.term(), term.to_string(), case.tree.get(&incident.term())),
        Op::replace(incident.incident(), bytes(&record), case.tree.get(&incident.incident())),
        Op::Cas(incident.journal_entry(entry.sequence), bytes(&entry), index),
        Op::replace(own.in_use(), flag::text(true), case.tree.get(&own.in_use())),
        Op::replace(own.in_use_by(), case.id.to_string(), case.tree.get(&own.in_use_by())),
        note::removed(&case.id),
    ]);
    ops.extend(plan_ops);
    ops.extend(not_held(&case.formats, &world.me, &case.id));
    // Only what it asks from now on, alive, is an answer to this adoption.
    if let Some(before) = from.as_ref().filter(|node| **node != world.me) {
        ops.push(Op::Delete(incident.ask(before)));
    }
    // Used up by its storage, the earlier holder is free again only by a person's reset.
    if let Some(before) = from.filter(|node| *node != world.me && !is_consumed(case, &case.record)) {
        ops.extend(freed(world, &before, case).await?);
    }
    finish(world, lease, case, ops, (record, term)).await
}

/// The earlier holder is not in use for this incident any more.
async fn freed(world: &World, node: &HaNodeName, case: &Case) -> Result<Vec<Op>, Stop> {
    let keys = keys::ha_node(node);
    let snapshot =
        Snapshot::read(world.store.as_ref(), "the earlier holder", &[keys.in_use(), keys.in_use_by()])
            .await
            .map_err(|source| Stop::Tree { source })?;
    let holds = snapshot.text(&keys.in_use_by()).map_err(|source| Stop::Tree { source })?;
    if holds.as_deref() != Some(case.id.to_string().as_str()) {
        return Ok(Vec::new());
    }
    Ok(released(&keys, &snapshot))
}

/// `in_use` falls back to False, with its `in_use_by`.
pub fn released(keys: &keys::MachineKeys, snapshot: &Snapshot) -> Vec<Op> {
    let mut ops = vec![Op::replace(keys.in_use(), flag::text(false), snapshot.get(&keys.in_use()))];
    if let Some(entry) = snapshot.get(&keys.in_use_by()) {
        ops.push(Op::DeleteCas(keys.in_use_by(), entry.modify_index));
    }
    ops
}

async fn finish<'a>(
    world: &'a World,
    lease: &'a Lease<'a>,
    case: &Case,
    ops: Vec<Op>,
    (record, term): (IncidentRecord, u64),
) -> Result<Taken<'a>, Stop> {
    debug_assert!(ops.len() <= MAX_OPS);
    lease.in_time()?;
    let asked = world.clock.boottime();
    let outcome = world
        .store
        .transact(&ops)
        .await
        .map_err(|source| Stop::Store { doing: "take the incident", source })?;
    match outcome {
        TxnOutcome::Committed(entries) => {
            let index = index_of(&entries, &keys::incident(&record.id).incident())?;
            tracing::info!(incident = %record.id, host = %record.id.host(), term, "taken");
            lease.holds(keys::incident(&record.id).lock());
            let taken = AsTaken { term, formats: case.formats.clone(), record, index, asked };
            Ok(Taken::Yes(Box::new(Journal::continued(world, lease, taken))))
        }
        TxnOutcome::Refused(why) => Ok(Taken::No(why)),
    }
}

/// The operations that give an incident back, for the transaction that ends or holds it: the lock
/// is unlocked, and this HA node is free again unless it is used up (see [`is_consumed`]).
pub async fn give_back(
    world: &World,
    lease: &Lease<'_>,
    case: &Case,
    record: &IncidentRecord,
    term: u64,
) -> Result<Vec<Op>, Stop> {
    let own = keys::ha_node(&world.me);
    let snapshot = Snapshot::read(world.store.as_ref(), "this HA node", &[own.in_use(), own.in_use_by()])
        .await
        .map_err(|source| Stop::Tree { source })?;
    let holds = snapshot.text(&own.in_use_by()).map_err(|source| Stop::Tree { source })?;
    // In use for another incident it stays.
    let mut ops = match holds {
        Some(id) if id == record.id.to_string() && !is_consumed(case, record) => released(&own, &snapshot),
        Some(_) | None => Vec::new(),
    };
    ops.push(unlocked(world, lease, &record.id, term));
    Ok(ops)
}

/// The lock is given back, in a transaction that follows at once.
pub fn unlocked(world: &World, lease: &Lease<'_>, id: &IncidentId, term: u64) -> Op {
    lease.gives_back();
    Op::Unlock(keys::incident(id).lock(), holder_value(world, lease, term), lease.session().clone())
}

/// Unlocks an incident that stays ours (its record says so), where nothing that we started is under
/// way: whoever resumes it needs not wait for the lock-delay, which the end of a session would
/// begin. Best effort.
pub async fn unlock(context: &Context<'_>) {
    let (world, lease, record) = (context.world, context.lease, context.journal.record());
    let unlock = unlocked(world, lease, &record.id, context.journal.term());
    match world.store.transact(&[unlock]).await {
        Ok(TxnOutcome::Committed(_)) => {}
        // An adopter has it by now.
        Ok(TxnOutcome::Refused(why)) => tracing::info!(incident = %record.id, ?why, "not unlocked"),
        Err(error) => tracing::info!(incident = %record.id, %error, "the lock is left to its session"),
    }
}
