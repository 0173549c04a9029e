//! Judge, mark, look again: until nothing is left to mark.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cooldown;
use super::error::MarkError;
use super::lines::{
    answers_line, incident_of, is_unprotected, marked_line, next_of, no_line, unreadable, worth_a_line,
};
use super::open::{Ground, Opened, add_order, open, verdict_line};
use super::order::{Asked, Given, Ordered, consider};
use super::report::{Line, Result as LineResult};
use super::request::Request;
use crate::chain::chain;
use crate::clock::BootInstant;
use crate::evidence::{About, Seen, Witness, look};
use crate::incident::said::Layout;
use crate::judge::decision::{Decision, No, decide_with};
use crate::judge::guard::{Belief, Guards, guards};
use crate::judge::verdict::CannotTell;
use crate::keys;
use crate::monitor::{leaderless, readers};
use crate::names::{HaNodeName, HostName};
use crate::tree::cooldown::Cause;
use crate::tree::formats::Kind;
use crate::tree::formats::shown::show_that_it_may_open;
use crate::tree::machine::consul_node;
use crate::tree::namesake::{OwnName, own_name};

/// Refuses to judge by an HA node's name where that HA node is not. A machine that is no HA node judges by its own name.
async fn this_is_no_twin(witness: &Witness<'_>, seen: &Seen) -> Result<(), MarkError> {
    let Some(me) = witness.me.as_ref().filter(|me| seen.scene.observers.contains_key(*me)) else {
        return Ok(());
    };
    // Names that cannot be understood are said elsewhere, and cost this HA node its vote.
    let Ok(expected) = consul_node(&seen.tree, &keys::ha_node(me), me.as_str()) else { return Ok(()) };
    match own_name(witness.store, me, &expected).await {
        OwnName::Ours => Ok(()),
        OwnName::Anothers(namesake) => Err(MarkError::Namesake { namesake }),
        OwnName::CannotTell { why } => {
            tracing::info!(why, "the Consul agent does not say which node it is");
            Ok(())
        }
    }
}

/// Rounds of *look, judge, mark one*: each marking changes what the guards count, so each is
/// judged on a fresh look. Above any storm limit that makes sense, below for ever.
const MOST_ROUNDS: usize = 64;

/// Looks that a run takes once more, an interval later, because what the first saw may have been a moment: a storm, an
/// observer that doubts itself, too few that can be believed. The sweep's check has time for as many.
const MOST_SECOND_LOOKS: usize = 2;

/// What is looked at twice before anything follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Doubt {
    /// A cool-down is due: in these failure domains, none for the whole site or for one observer.
    Cooldown(Option<HaNodeName>, Vec<String>),
    /// Too few observers can be believed while a host fails.
    TooFew,
}

impl Doubt {
    fn of(guards: &Guards, due: Option<&Cause>) -> Option<Self> {
        match due {
            Some(Cause::Storm { domains, .. }) => Some(Doubt::Cooldown(None, domains.clone())),
            Some(Cause::SelfDoubt { observer }) => Some(Doubt::Cooldown(Some(observer.clone()), Vec::new())),
            Some(Cause::LeaderLost) => Some(Doubt::Cooldown(None, Vec::new())),
            None => (guards.belief == Belief::TooFew && !guards.suspects.is_empty()).then_some(Doubt::TooFew),
        }
    }
}

/// Judges until nothing is left to mark; a line per host that was asked about or is a suspect.
/// What was marked before an error is in `marked` all the same.
///
/// # Errors
/// There is no evidence, or Consul did not take what was to be written.
pub async fn run(witness: &Witness<'_>, request: &Request, marked: &mut Vec<Line>) -> Result<(), MarkError> {
    let mut asked = BTreeSet::new();
    let mut second_looks = 0;
    let mut seen_once: Option<Doubt> = None;
    for look_number in 0..MOST_ROUNDS {
        let about = match (&request.hosts, request.sweep) {
            (_, true) => About::All,
            (named, false) if !named.is_empty() => About::Hosts(named.clone()),
            (_, false) => About::Suspects,
        };
        let began = witness.clock.boottime();
        let seen = look(witness, about, false).await.map_err(|source| {
            if source.is_no_leader() {
                remember_no_leader(witness);
            }
            MarkError::Evidence { source }
        })?;
        if look_number == 0 {
            this_is_no_twin(witness, &seen).await?;
            warn_of_lost_votes(&seen);
            show_its_right(witness, request, &seen).await;
            if let Err(error) = readers::leave(&witness.run_dir, &seen.formats) {
                tracing::warn!(
                    error = error.with_cause(),
                    "the probes here cannot be told what the HA nodes read: they write as before"
                );
            }
        }
        asked = asked_about(request, &seen);
        asked.retain(|host| !marked.iter().any(|line| line.host == *host));
        let took = witness.clock.boottime().saturating_duration_since(began);
        if took > seen.deadline {
            // What it saw is of then, and nothing of now follows from it.
            tracing::warn!(?took, deadline = ?seen.deadline, "this look was slept through, looking again");
            continue;
        }
        let guards = guards(&seen.scene);
        let due = what_is_due(witness, &seen, &guards).await;
        let doubt = Doubt::of(&guards, due.as_ref());
        // Written when it is seen for the second time.
        if doubt.is_none() || seen_once == doubt {
            keep_cool(witness, &seen, due).await;
        }
        let (lines, moved) = round(witness, request, &seen, &guards, &asked).await?;
        let (newly, rest): (Vec<Line>, Vec<Line>) =
            lines.into_iter().partition(|l| matches!(l.result, LineResult::Marked | LineResult::Ordered));
        let again = moved || !newly.is_empty();
        marked.extend(newly);
        if again {
            continue;
        }
        match doubt {
            Some(now) if seen_once.as_ref() != Some(&now) && second_looks < MOST_SECOND_LOOKS => {
                tracing::info!(doubt = ?now, "seen once; looking again in a moment");
                second_looks += 1;
                seen_once = Some(now);
                witness.clock.sleep(seen.scene.policy.probe_interval.min(LONGEST_PAUSE)).await;
            }
            _ => {
                marked.extend(rest);
                return Ok(());
            }
        }
    }
    let unjudged = asked.into_iter().filter(|host| !marked.iter().any(|line| line.host == *host));
    let lines: Vec<Line> = unjudged
        .map(|host| {
            let why = format!(
                "not judged: in each of {MOST_ROUNDS} looks the tree moved, or this machine was asleep"
            );
            let next = Some(format!("nova-ha-mark-failed {host}"));
            Line { next, ..no_line(&host, None, why, true) }
        })
        .collect();
    marked.extend(lines);
    Ok(())
}

/// A check's own run shows its HA node's `recover` that its token may open incidents. A person's run has another token.
async fn show_its_right(witness: &Witness<'_>, request: &Request, seen: &Seen) {
    let Some(me) = witness.me.as_ref().filter(|_| request.hosts.is_empty() && request.order.is_none()) else {
        return;
    };
    if let Err(error) = show_that_it_may_open(witness.store, me, &seen.formats).await {
        let next = "nova-ha generate acl (and load the policy of mark-failed again)";
        tracing::warn!(
            %error, next,
            "its token may not write below {}: incidents are opened as by an older build", keys::OPENED
        );
    }
}

fn remember_no_leader(witness: &Witness<'_>) {
    let now = witness.clock.boottime().saturating_duration_since(BootInstant::since_boot(Duration::ZERO));
    if let Err(error) = leaderless::met(&witness.run_dir, &witness.boot_id, now) {
        tracing::warn!(error = error.with_cause(), "Consul has no leader, and this cannot be remembered");
    }
}

/// Whatever the policy's interval, nobody waits longer for a second look.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// An HA node that nobody can read has no vote: a person mends it before the others are too few.
fn warn_of_lost_votes(seen: &Seen) {
    for (ha_node, error) in &seen.unreadable_ha_nodes {
        let next = error.hint().unwrap_or_default();
        tracing::warn!(%ha_node, error = %chain(error), next, "this HA node has no vote; the others go on");
    }
}

/// The hosts named by hand; else all that were looked at.
fn asked_about(request: &Request, seen: &Seen) -> BTreeSet<HostName> {
    if request.hosts.is_empty() {
        seen.scene.subjects.keys().chain(seen.unreadable.keys()).cloned().collect()
    } else {
        request.hosts.iter().cloned().collect()
    }
}

/// The cool-down that has to be written, if any; one that is over is removed.
async fn what_is_due(witness: &Witness<'_>, seen: &Seen, guards: &Guards) -> Option<Cause> {
    let cause = cooldown::cause(guards, witness.me.as_ref());
    if cause.is_none()
        && let Err(error) = cooldown::end(witness.store, seen).await
    {
        tracing::warn!(%error, "cannot remove a cool-down that is over; the next run will");
    }
    cooldown::due(seen, cause?)
}

/// Begins a cool-down. This very run marks nobody that it is about, whether or not it could be written: a storm and an
/// observer's doubt are known to the guards already.
async fn keep_cool(witness: &Witness<'_>, seen: &Seen, due: Option<Cause>) {
    let Some(cause) = due else { return };
    match cooldown::begin(witness.store, witness.clock, seen, cause).await {
        Ok(true) => {}
        Ok(false) => tracing::info!("somebody wrote meanwhile; the next run looks again"),
        Err(error) => tracing::warn!(%error, "cannot write the cool-down; the next run will"),
    }
}

async fn round(
    witness: &Witness<'_>,
    request: &Request,
    seen: &Seen,
    guards: &Guards,
    asked: &BTreeSet<HostName>,
) -> Result<(Vec<Line>, bool), MarkError> {
    let scene = &seen.scene;
    let mut lines = Vec::new();
    for host in asked {
        if let Some(error) = seen.unreadable.get(host) {
            lines.push(unreadable(host, error));
            continue;
        }
        if let Some(order) = &request.order {
            match by_order(witness, request, seen, guards, host, order).await? {
                Some(line) => lines.push(line),
                None => return Ok((lines, true)),
            }
            continue;
        }
        let decision = decide_with(scene, guards, host);
        let subject = scene.subjects.get(host);
        let (ground, because) = match (&decision, subject) {
            (Decision::Mark(proof), Some(_)) => (Ground::Votes(proof), verdict_line(proof)),
            (Decision::No(No::FailedByKey), Some(_)) if request.sweep => {
                (Ground::Key, "status/failed was written by hand; it is judged before the shot".to_owned())
            }
            (Decision::No(No::CannotTell(_)), Some(subject)) if is_unprotected(subject) => {
                lines.push(no_line(host, None, CannotTell::AgentAbsent.text(), true));
                continue;
            }
            (Decision::No(no), _) => {
                if worth_a_line(no, request) {
                    let line = no_line(host, incident_of(no), no.text(), no.needs_attention());
                    lines.push(Line { next: next_of(no, host), ..line });
                }
                continue;
            }
            (Decision::Mark(_), None) => continue,
        };
        let Some(subject) = subject else { continue };
        let opened = open(witness.store, seen, guards, host, subject, ground, &request.machine)
            .await
            .map_err(|source| MarkError::Open { host: host.clone(), source })?;
        return Ok(match opened {
            Opened::Yes(id) => {
                lines.push(marked_line(host, id, because));
                (lines, true)
            }
            Opened::Moved(why) => {
                tracing::info!(%host, ?why, "the tree moved since it was judged, looking again");
                (lines, true)
            }
        });
    }
    Ok((lines, false))
}

async fn by_order(
    witness: &Witness<'_>,
    request: &Request,
    seen: &Seen,
    guards: &Guards,
    host: &HostName,
    asked: &Asked,
) -> Result<Option<Line>, MarkError> {
    let ordered = match consider(&seen.scene, host, asked.by()) {
        Ordered::No(why) => return Ok(Some(no_line(host, None, why, true))),
        ordered @ (Ordered::AddTo(_) | Ordered::Open(_)) => ordered,
    };
    let order = match asked.given(host) {
        Given::Order(order) => order,
        Given::Answers(what) => return Ok(Some(answers_line(host, asked.by(), &what))),
        Given::NotLooked(why) => {
            let why = format!("nobody could see whether it answers: {why}");
            return Ok(Some(no_line(host, None, why, true)));
        }
    };
    let written = match Layout::of(&seen.formats) {
        Layout::WithinIncident => seen.formats.allows(Kind::Incident, order.since()),
        Layout::ByWriter => seen.formats.allows(Kind::Order, Kind::Order.newest()),
    };
    if let Err(held) = written {
        return Ok(Some(Line { next: Some(held.hint()), ..no_line(host, None, held.to_string(), true) }));
    }
    match ordered {
        Ordered::No(why) => Ok(Some(no_line(host, None, why, true))),
        Ordered::AddTo(id) => {
            let refused = add_order(witness.store, seen, &id, &order)
                .await
                .map_err(|source| MarkError::Order { host: host.clone(), source })?;
            Ok(Some(match refused {
                None => Line {
                    host: host.clone(),
                    result: LineResult::Ordered,
                    because: format!(
                        "incident {id} goes on by the word of {}, which counts for {} s",
                        order.by,
                        order.ttl().as_secs()
                    ),
                    incident: Some(id),
                    attention: false,
                    next: None,
                },
                Some(why) => no_line(host, Some(id), why, true),
            }))
        }
        Ordered::Open(subject) => {
            let ground = Ground::Order(&order);
            let opened = open(witness.store, seen, guards, host, subject, ground, &request.machine)
                .await
                .map_err(|source| MarkError::NotOrdered { host: host.clone(), source })?;
            let because = format!("ordered by {}, for {} s", order.by, order.ttl().as_secs());
            Ok(match opened {
                Opened::Yes(id) => Some(marked_line(host, id, because)),
                Opened::Moved(_) => None,
            })
        }
    }
}
