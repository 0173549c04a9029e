//! Guests that an incident left held: when a retry of them ends, and by itself begins.

use std::collections::BTreeMap;
use std::time::Duration;

use super::arming::arm;
use super::case::{self, Case};
use super::claim::{is_consumed, released};
use super::context::Context;
use super::gather;
use super::holder::{Life, life};
use super::identified;
use super::journal::{cut, moved, not_appended};
use super::note;
use super::queue::Pending;
use super::rarely;
use super::stop::Stop;
use super::world::{World, chain};
use crate::evidence::first_seen::counts;
use crate::evidence::{About, look};
use crate::fence;
use crate::fence::off::{Settings, prove_off};
use crate::incident::IncidentRecord;
use crate::incident::append::{Writer, next};
use crate::incident::held_guests::{HeldGuests, Unsettled};
use crate::incident::journal::Event;
use crate::incident::retry::{Scene, Who};
use crate::incident::said::Ordered;
use crate::judge::guard::guards;
use crate::judge::{Verdict, judge};
use crate::keys;
use crate::names::IncidentId;
use crate::nova::{Cloud, Server, ServerId, VmState};
use crate::own_files::OwnFileError;
use crate::recovery::evacuation::states::{Outcome, State, outcome};
use crate::store::{Op, TxnOutcome};
use crate::tree::record::bytes;

/// How often one HA node looks whether a guest that it left held is at rest: one request to Nova for each.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// The file that remembers when it looked last.
const LOOKED: &str = "held-guests-looked-at";

/// All answers together, of Nova and of the host's devices: this run has the file lock, and an incident that opens now waits
/// for it. Above the two readings of the power that make a proof.
const WITHIN: Duration = Duration::from_secs(20);

/// Guests that one retry names: a journal entry has room for them.
const MOST_GUESTS: usize = 100;

/// Why a retry is over that came to this stop before it asked for anything. What only waits is waited for as long as the
/// person's order counts that it stands on: an incident that stays open for one guest keeps its host from being given back.
///
/// # Errors
/// Whether an order counts cannot be read.
pub(super) async fn ends(
    context: &Context<'_>,
    stop: &Stop,
    is_patience_over: bool,
) -> Result<Option<String>, Stop> {
    if !context.journal.status().may_end_retry() {
        return Ok(None);
    }
    let is_over = async || {
        Ok::<_, Stop>(is_patience_over && !is_ordered(context.world, context.journal.record()).await?)
    };
    Ok(match stop {
        Stop::Held { reason, .. } | Stop::Withdrawn { reason } => Some(reason.clone()),
        Stop::Waiting { reasons, .. } => is_over().await?.then(|| reasons.join("; ")),
        Stop::OnlySaid { why } => is_over().await?.then(|| why.text()),
        Stop::Foreign { flag } => Some(flag.text()),
        // Another one goes on with it, or the next run does.
        Stop::HolderLives { .. }
        | Stop::Lease { .. }
        | Stop::Twin { .. }
        | Stop::Moved { .. }
        | Stop::Store { .. }
        | Stop::Tree { .. }
        | Stop::Journal { .. } => None,
    })
}

/// Whether it stands on a person's order that counts still.
async fn is_ordered(world: &World, record: &IncidentRecord) -> Result<bool, Stop> {
    let ordered = Ordered::read(world.store.as_ref(), record).await;
    let order = ordered.map_err(|source| Stop::Tree { source })?.order();
    Ok(order.is_some_and(|order| counts(&world.witness(), &record.id, &order).is_ok()))
}

/// Ends a retry that this HA node cannot even take, when the order that it stands on is over, and nobody has it. Says why, where it
/// ended.
///
/// # Errors
/// Consul does not answer, or what is there cannot be understood.
pub(super) async fn end_untaken(
    world: &World,
    case: &Case,
    pending: &Pending,
    why: &str,
) -> Result<Option<String>, Stop> {
    let record = &case.record;
    let is_ours = record.holder.as_ref().is_none_or(|holder| *holder == world.me);
    let may_end = record.status.may_end_retry() && pending.locked_by.is_none() && is_ours;
    if !may_end || is_ordered(world, record).await? {
        return Ok(None);
    }
    let tree = |source| Stop::Tree { source };
    let keys = keys::incident(&case.id);
    let term = case.tree.number(&keys.term()).map_err(tree)?.unwrap_or(0);
    let (me, at, formats) = (world.me.as_str(), world.clock.wall(), &case.formats);
    let writer = Writer { by: me, machine: Some(&world.machine), term, at, formats };
    let event = cut(Event::RetryEnded { reason: why.to_owned() });
    let (next, entry) = next(record, event, &writer).map_err(|why| not_appended(&case.id, why))?;
    let mut ops = vec![
        Op::unchanged(keys.lock(), case.tree.get(&keys.lock())),
        Op::replace(keys.incident(), bytes(&next), case.tree.get(&keys.incident())),
        Op::replace(keys.journal_entry(entry.sequence), bytes(&entry), None),
        note::removed(&case.id),
    ];
    let own = keys::ha_node(&world.me);
    let used_for = case.tree.text(&own.in_use_by()).map_err(tree)?;
    if used_for.as_deref() == Some(case.id.to_string().as_str()) && !is_consumed(case, record) {
        ops.extend(released(&own, &case.tree));
    }
    let outcome = world.store.transact(&ops).await;
    match outcome.map_err(|source| Stop::Store { doing: "end its retry", source })? {
        TxnOutcome::Committed(_) => Ok(Some(why.to_owned())),
        TxnOutcome::Refused(refusals) => Err(moved(&refusals)),
    }
}

/// Opens again what this HA node recovered and that closed with held guests, for those that Nova shows at rest now. Only where
/// the host is dead by the votes and proved off, which the retry itself proves once more. Says how many it opened; the next
/// run works at them.
///
/// # Errors
/// Something does not answer, or is not understood: nothing was opened, or not all.
pub(super) async fn by_itself(world: &World) -> Result<usize, Stop> {
    tokio::select! {
        biased;
        opened = all_by_itself(world) => opened,
        () = world.clock.sleep(WITHIN) => Err(Stop::waiting(
            format!("whether held guests are at rest was not seen within {WITHIN:?}"),
            "nova-ha status",
        )),
    }
}

async fn all_by_itself(world: &World) -> Result<usize, Stop> {
    let tree = |source| Stop::Tree { source };
    let mut held: BTreeMap<IncidentId, Vec<Unsettled>> = BTreeMap::new();
    for guest in HeldGuests::read(world.store.as_ref()).await.map_err(tree)?.guests {
        held.entry(guest.incident.clone()).or_default().push(guest);
    }
    let memory = |error: OwnFileError| {
        Stop::waiting(
            format!("when held guests were looked at last cannot be remembered: {}", chain(&error)),
            format!("look at {}", rarely::file(world, LOOKED).display()),
        )
    };
    if held.is_empty() || !rarely::is_due(world, LOOKED, EVERY).map_err(memory)? {
        return Ok(0);
    }
    let mut opened = 0;
    for (id, guests) in held {
        opened += usize::from(one_by_itself(world, &id, &guests).await?);
    }
    Ok(opened)
}

async fn one_by_itself(world: &World, id: &IncidentId, held: &[Unsettled]) -> Result<bool, Stop> {
    let tree = |source| Stop::Tree { source };
    let Some(scene) = Scene::read(world.store.as_ref(), id).await.map_err(tree)? else { return Ok(false) };
    if !scene.allows().map_err(tree)? || !is_for_me(world, &scene).await? {
        return Ok(false);
    }
    let case = case::load(world, id).await?;
    let cloud = gather::cloud(world, &case)?;
    let mut at_rest = Vec::new();
    for guest in held.iter().take(MOST_GUESTS) {
        if is_at_rest(&case, cloud.as_ref(), guest).await? {
            at_rest.push(guest.server.clone());
        }
    }
    if at_rest.is_empty() || !is_dead(world, id).await? || !is_off(world, &case).await {
        return Ok(false);
    }
    let who = Who::HaNode { node: &world.me, machine: &world.machine };
    let Ok(ops) = scene.transaction(who, &at_rest, world.clock.wall()).map_err(tree)? else {
        return Ok(false);
    };
    let outcome = world.store.transact(&ops).await;
    match outcome.map_err(|source| Stop::Store { doing: "open it again", source })? {
        TxnOutcome::Committed(_) => {
            tracing::info!(incident = %id, host = %id.host(), guests = at_rest.join(" "), "held guests are at rest: opened again");
            Ok(true)
        }
        // Somebody wrote it since: the next look decides on that.
        TxnOutcome::Refused(_) => Ok(false),
    }
}

/// Whether this HA node is the one that looks: whoever has the storage, and nobody else; else whoever recovered the host, or
/// any HA node where that one is gone for good. That two look does no harm: who opens it compares what it saw.
async fn is_for_me(world: &World, scene: &Scene) -> Result<bool, Stop> {
    if let Some(keeper) = scene.used_up().map_err(|source| Stop::Tree { source })? {
        return Ok(*keeper == world.me);
    }
    match scene.holder() {
        Some(holder) if *holder == world.me => Ok(true),
        Some(holder) if scene.is_configured(holder) => {
            Ok(matches!(life(world, holder).await?, Life::Dead { .. }))
        }
        // It was removed; or nobody took the last retry, and it ended.
        Some(_) | None => Ok(true),
    }
}

/// Whether what held it is over by Nova's word: it is gone or elsewhere, or nothing is being done with it and it can be
/// evacuated.
async fn is_at_rest(case: &Case, cloud: &dyn Cloud, guest: &Unsettled) -> Result<bool, Stop> {
    let silent = |why: String| {
        Stop::waiting(format!("Nova does not show {}: {why}", guest.name), "openstack server show")
    };
    let id: ServerId = guest.server.parse().map_err(|error| silent(chain(&error)))?;
    let server = cloud.server(&id).await.map_err(|error| silent(chain(&error)))?;
    Ok(server.is_none_or(|server| rests(&server, case)))
}

fn rests(server: &Server, case: &Case) -> bool {
    if server.task_state.is_some() {
        return false;
    }
    if server.host.as_ref() != Some(&case.nova_host) {
        // What this build does not understand would be held again.
        return !matches!(server.vm_state, VmState::Building | VmState::Other(_));
    }
    let state = State {
        vm_state: &server.vm_state,
        task_state: None,
        power_state: server.power_state,
        launched: server.launched,
        live_migration: None,
        asked: false,
    };
    match outcome(&state, &case.policy.reset_and_evacuate) {
        Outcome::Evacuate | Outcome::Reset => true,
        Outcome::Exclude { .. } | Outcome::Refuse { .. } | Outcome::Hold { .. } => false,
    }
}

/// By votes of now: nobody gave an order.
async fn is_dead(world: &World, id: &IncidentId) -> Result<bool, Stop> {
    let host = id.host();
    let cannot = |why: String| Stop::waiting(format!("cannot judge {host} again: {why}"), "nova-ha status");
    let seen = look(&world.witness(), About::Hosts(vec![host.clone()]), false).await;
    let seen = seen.map_err(|error| cannot(chain(&error)))?;
    let Some(subject) = seen.scene.subjects.get(host) else { return Ok(false) };
    let verdict = judge(&seen.scene, host.as_str(), subject, &guards(&seen.scene).doubtful);
    Ok(matches!(verdict, Verdict::Dead(_)))
}

async fn is_off(world: &World, case: &Case) -> bool {
    let armed = arm(world, case).await;
    let clock = world.clock.as_ref();
    let Ok(said) = prove_off(&armed.levels, clock, &Settings::of(&case.policy)).await else { return false };
    identified::its_own(&armed.levels, &case.expected, &case.policy, clock, &said).await
        == fence::Verdict::Matches
}
