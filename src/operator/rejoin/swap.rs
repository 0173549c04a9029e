//! `nova-ha rejoin HOST --swap-roles`: the data stays where it is. The HA node that took the host's
//! storage becomes a host, and the repaired host an HA node.
//!
//! For the repaired host the way is that of every `rejoin` ([`super::steps`]), but that it ends as a
//! spare; then the records of both are swapped in one transaction ([`records`]), last: until then the
//! host is *failed*, so that no recovery of it begins, and the HA node is *in use*, so that it takes
//! nothing else. Nothing is remembered before that. Killed anywhere and run again, it comes to the same
//! end; after it, the incident's `swap` note says so ([`told`] says what is left to do by hand).

mod ground;
mod records;
mod steps;
mod told;

use serde::Serialize;
use tokio::time::Instant;

use self::ground::Ground;
use self::records::{Swap, SwapNote};
use self::steps::{FormerSpare, Next, next, shown};
use self::told::INSTALLED_ANEW;
use super::steps::{Facts, GuestDisks, Pulse, Shown};
use super::{PAUSE, RejoinArgs, Seen, begin, cannot_ask, cloud, effect, look, nova_name, unless_it_may_pass};
use crate::chain::chain;
use crate::exit;
use crate::incident::SPARE_REASON;
use crate::keys;
use crate::names::{HaNodeName, HostName};
use crate::nova::{Cloud, NovaClient, NovaError, NovaHost};
use crate::operator::OperatorError;
use crate::operator::answer::{Answer, Outcome};
use crate::operator::cluster::{Catalog, Cluster};
use crate::operator::commit::{commit, committed};
use crate::operator::confirm::confirm;
use crate::operator::error::tree;
use crate::operator::guest::none_is_held;
use crate::operator::person::person;
use crate::operator::through::all_are_through;
use crate::policy::Policy;
use crate::store::Store;
use crate::tree::nova_names::TreeMachine;

/// The transaction is decided again on what is there, after so many refusals.
const MOST_LOOKS: usize = 10;

/// Looks, does what is next, and looks again.
pub(in crate::operator) async fn run(args: RejoinArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let by = person(&args.by)?;
    let doing = format!("swap the roles of host {}", args.host);
    let cluster = Cluster::read(store, &doing).await?;
    if let Some(note) = swapped_already(&cluster, &args.host, store, &doing).await? {
        return already_so(&cluster, &note);
    }
    let host = cluster.host(&args.host)?;
    let command = args.command(&host);
    let ground = on(&cluster, &host, &args, store, &doing).await?;
    let cloud = cloud(args.os_cloud.as_deref(), &cluster, &doing)?;
    let names = nova_names(&cluster, &ground.swap, &doing)?;
    confirm(host.as_str(), args.yes.as_deref(), &what_it_does(&ground.swap), &command)?;
    let began = Instant::now();
    let is_time_left = || began.elapsed() < args.wait;
    let mut pulse = Pulse::default();
    let mut refused = 0;
    loop {
        // What may not be while somebody works on either is looked at again before every effect.
        let looked = stands(&host, &args, began, store).await;
        let Some((cluster, ground)) = unless_it_may_pass(looked, is_time_left()).await? else { continue };
        let (facts, spare) = match seen(&cloud, &names, &mut pulse, &ground, &args).await {
            Ok(seen) => seen,
            Err(error) if error.is_retryable() && is_time_left() => {
                tracing::warn!(%host, error = %chain(&error), "Nova does not answer, trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(cannot_ask(&doing, &error)),
        };
        let step = next(&names.0, &facts, &spare);
        tracing::info!(%host, ha_node = %ground.swap.ha_node, next = ?step, "rejoin --swap-roles");
        let steps = |swapped| shown(&names.0, &facts, &spare, &ground.storage_is_away, swapped);
        match step {
            Next::Wait { why, there } => {
                begin(&cluster, &host, &ground.standing, &by, store, &doing).await?;
                if !is_time_left() {
                    return waiting(&ground, why, format!("{there}; then {command}"), steps(false));
                }
                tokio::time::sleep(PAUSE).await;
            }
            Next::Impossible { why, next } => return waiting(&ground, why, next, steps(false)),
            Next::TakeForcedDownBack(service) => {
                pulse.touched();
                match cloud.set_forced_down(&service, false).await {
                    // Nova says 400 while evacuations are `done`: one ended since we looked.
                    Err(NovaError::BadRequest { message, .. }) if is_time_left() => {
                        tracing::warn!(%host, message, "Nova refuses");
                        tokio::time::sleep(PAUSE).await;
                    }
                    outcome => effect(&doing, outcome, is_time_left()).await?,
                }
            }
            Next::Reserve(service) => {
                let reason = format!("{SPARE_REASON}{host}");
                effect(&doing, cloud.disable(&service, &reason).await, is_time_left()).await?;
            }
            Next::Open(service) => {
                effect(&doing, cloud.enable(&service).await, is_time_left()).await?;
            }
            Next::Swap => match write(&cluster, &ground.swap, &by, store, &doing).await {
                Ok(()) => return swapped(&cluster, &ground, steps(true)),
                Err(OperatorError::Moved { .. }) if refused < MOST_LOOKS => refused += 1,
                Err(error) => return Err(error),
            },
        }
    }
}

/// The tree as it is now, where the roles may still be swapped.
async fn stands(
    host: &HostName,
    args: &RejoinArgs,
    since: Instant,
    store: &dyn Store,
) -> Result<(Cluster, Ground), OperatorError> {
    let doing = format!("swap the roles of host {host}");
    let cluster = Cluster::read(store, &doing).await?;
    let ground = on(&cluster, host, args, store, &doing).await?;
    if let Some(id) = &ground.standing.ended {
        let command = args.command(host);
        all_are_through(&cluster, &args.back(host, id, &command, since), store).await?;
    }
    Ok((cluster, ground))
}

async fn on(
    cluster: &Cluster,
    host: &HostName,
    args: &RejoinArgs,
    store: &dyn Store,
    doing: &str,
) -> Result<Ground, OperatorError> {
    let ground =
        ground::of(cluster, host, &Catalog::read(store).await, args.storage_is_not_there, doing).await?;
    none_is_held(host, ground.standing.ended.as_ref(), "swapped", cluster, store).await?;
    Ok(ground)
}

/// The swap that made this machine, which is an HA node now, one.
async fn swapped_already(
    cluster: &Cluster,
    name: &str,
    store: &dyn Store,
    doing: &str,
) -> Result<Option<SwapNote>, OperatorError> {
    let is_ha_node = cluster.ha_nodes.iter().any(|node| node.as_str() == name);
    if !is_ha_node || cluster.hosts.iter().any(|host| host.as_str() == name) {
        return Ok(None);
    }
    let Some(last) =
        cluster.incidents.iter().filter(|id| id.host().as_str() == name).max_by_key(|id| id.epoch())
    else {
        return Ok(None);
    };
    let key = keys::incident(last).swap();
    let entry = store
        .get(&key)
        .await
        .map_err(|source| tree(doing)(crate::tree::TreeError::Read { what: key.clone(), source }))?;
    entry.map(|entry| crate::tree::record::parse(&entry.key, &entry.value)).transpose().map_err(tree(doing))
}

/// What Nova calls the host, and the HA node.
fn nova_names(cluster: &Cluster, swap: &Swap, doing: &str) -> Result<(NovaHost, NovaHost), OperatorError> {
    let of = |machine| nova_name(cluster, &machine, doing);
    Ok((of(TreeMachine::Host(swap.host.clone()))?, of(TreeMachine::HaNode(swap.ha_node.clone()))?))
}

async fn seen(
    cloud: &NovaClient,
    names: &(NovaHost, NovaHost),
    pulse: &mut Pulse,
    ground: &Ground,
    args: &RejoinArgs,
) -> Result<(Facts, FormerSpare), NovaError> {
    let Seen { service, in_flight, done, aggregates } = look(cloud, &names.0, pulse).await?;
    let facts = Facts {
        service,
        in_flight,
        done,
        aggregates,
        was_fenced: ground.standing.was_fenced,
        is_beating: pulse.is_beating(),
        is_flagged: ground.standing.is_flagged,
        // They stay where they are.
        disks: GuestDisks::NotOnArrays,
        leave_disabled: args.leave_disabled,
        said_ours: args.forced_down_is_ours,
    };
    Ok((facts, FormerSpare { name: names.1.clone(), service: cloud.service(&names.1).await? }))
}

/// The transaction, and what somebody changed in the moment before it.
async fn write(
    cluster: &Cluster,
    swap: &Swap,
    by: &str,
    store: &dyn Store,
    doing: &str,
) -> Result<(), OperatorError> {
    let ops = swap.transaction(cluster, by, jiff::Timestamp::now()).map_err(tree(doing))?;
    let read = committed(store, doing, &ops).await?;
    let late = swap.late(cluster, &read);
    match late.is_empty() {
        true => Ok(()),
        false => commit(store, "carry over what was changed meanwhile; the roles are swapped", &late).await,
    }
}

fn what_it_does(swap: &Swap) -> String {
    format!(
        "Install {1} anew before this: {INSTALLED_ANEW}, and what is on a host that failed may be anybody's. This makes {0} a \
         host with the storage that {1} had, and {1} an HA node, kept as a spare.",
        swap.ha_node, swap.host
    )
}

#[derive(Serialize)]
struct Said<'a> {
    outcome: Option<Outcome>,
    action: &'static str,
    name: &'a HostName,
    ha_node: &'a HaNodeName,
    waits_for: Option<String>,
    next: Vec<String>,
    steps: Vec<Shown>,
}

fn said<'a>(swap: (&'a HostName, &'a HaNodeName), outcome: Option<Outcome>, steps: Vec<Shown>) -> Said<'a> {
    let (name, ha_node) = swap;
    Said { outcome, action: "rejoin --swap-roles", name, ha_node, waits_for: None, next: Vec::new(), steps }
}

fn lines(steps: &[Shown]) -> String {
    steps.iter().map(|step| format!("{}\n", step.text())).collect()
}

fn waiting(ground: &Ground, why: String, next: String, steps: Vec<Shown>) -> Result<Answer, OperatorError> {
    let swap = &ground.swap;
    let text = format!(
        "{}{host}: waiting: {why}\n  next: {next}\n  {host} must be installed anew before it is an HA node: {INSTALLED_ANEW}",
        lines(&steps),
        host = swap.host,
    );
    let said =
        Said { waits_for: Some(why), next: vec![next], ..said((&swap.host, &swap.ha_node), None, steps) };
    Ok(Answer::new(text, &said)?.with_code(exit::ATTENTION))
}

fn swapped(cluster: &Cluster, ground: &Ground, steps: Vec<Shown>) -> Result<Answer, OperatorError> {
    let swap = &ground.swap;
    let mut text = lines(&steps);
    text += &format!("{0} is a host now, and {1} an HA node\n", swap.ha_node, swap.host);
    let pair = (&swap.host, &swap.ha_node);
    told_with(cluster, text, pair, said(pair, Some(Outcome::Changed), steps))
}

fn already_so(cluster: &Cluster, note: &SwapNote) -> Result<Answer, OperatorError> {
    let text =
        format!("{}: already so, swapped with {} by {} at {}\n", note.host, note.ha_node, note.by, note.at);
    let pair = (&note.host, &note.ha_node);
    told_with(cluster, text, pair, said(pair, Some(Outcome::AlreadySo), Vec::new()))
}

/// With what is left to do by hand.
fn told_with(
    cluster: &Cluster,
    text: String,
    (host, ha_node): (&HostName, &HaNodeName),
    said: Said<'_>,
) -> Result<Answer, OperatorError> {
    // Who cannot read the policy is told less, and nothing wrong.
    let policy = Policy::of(&cluster.snapshot).unwrap_or_default();
    let others: Vec<String> = cluster
        .ha_nodes
        .iter()
        .filter(|node| *node != ha_node && node.as_str() != host.as_str())
        .map(ToString::to_string)
        .collect();
    let left = told::left_to_do(host, ha_node, &others, &policy);
    let text = format!("{text}\n{}", told::text(ha_node, host, &left));
    let next = left.into_iter().flat_map(|part| part.commands).collect();
    Answer::new(text, &Said { next, ..said })
}

/// For [`crate::fuzzing`]: the note that this value is, as it is stored.
#[cfg(any(test, fuzzing))]
pub(crate) fn note_rewritten(key: &str, value: &[u8]) -> Result<Vec<u8>, crate::tree::TreeError> {
    crate::tree::record::parse::<SwapNote>(key, value).map(|note| crate::tree::record::bytes(&note))
}
