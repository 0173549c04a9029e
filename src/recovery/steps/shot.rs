//! Whether the host may be shot now: votes of now, or a person's order in its time.
//!
//! Asked right before *started: fence*, however old the incident is and also on resume. An order stands in for
//! the votes and for the guards, for its time; what says that the host lives and was not known when the order
//! was given waits for a second word. Maintenance stands above both.

use std::collections::BTreeSet;

use crate::evidence::first_seen::counts;
use crate::evidence::signs::{SignSeen, beside, look_for_life, of_answer, text};
use crate::evidence::{About, EvidenceError, look};
use crate::incident::record::{Order, Origin};
use crate::incident::said::Ordered;
use crate::incident::step::Step;
use crate::judge::decision::{Decision, decide_again};
use crate::judge::guard::guards;
use crate::judge::scene::Scene;
use crate::judge::{Verdict, judge};
use crate::keys;
use crate::recovery::context::Context;
use crate::recovery::foreign::nobody_else_recovers_it;
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;
use crate::ssh::Answer;
use crate::tree::Snapshot;
use crate::tree::maintenance::Maintenance;
use crate::tree::sign::Sign;

/// On what the shot stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// Votes of now, in one line.
    Votes(String),
    /// A person's order.
    Order {
        /// As it was given.
        order: Order,
        /// In one line.
        fact: String,
    },
}

impl Ground {
    /// For the journal.
    pub fn fact(&self) -> String {
        match self {
            Ground::Votes(fact) | Ground::Order { fact, .. } => fact.clone(),
        }
    }

    /// Whose order it stands on, if on one.
    pub fn ordered_by(&self) -> Option<&str> {
        match self {
            Ground::Votes(_) => None,
            Ground::Order { order, .. } => Some(&order.by),
        }
    }
}

/// On what the host may be shot now.
///
/// # Errors
/// It may not: waiting, withdrawn or held, and why.
pub async fn may_be_shot(context: &Context<'_>) -> Result<Ground, Stop> {
    not_in_maintenance(context).await?;
    let ground = ground(context).await?;
    // Last, as it is what changes without a word of ours; past *started: fence* it is our recovery.
    if context.journal.status().started.is_none() {
        nobody_else_recovers_it(context.world, context.case).await?;
    }
    Ok(ground)
}

async fn ground(context: &Context<'_>) -> Result<Ground, Stop> {
    let mut over = None;
    let record = context.journal.record();
    let ordered = Ordered::read(context.world.store.as_ref(), record).await;
    let ordered = ordered.map_err(|source| Stop::Tree { source })?;
    if let Ordered::OfOlder { by } = &ordered {
        over = Some(format!(
            "; the order of {by} was given by an older nova-ha and does not count: say it again"
        ));
    }
    if let Some(order) = &ordered.order() {
        let begun = context.journal.status().started == Some(Step::Fence);
        match counts(&context.world.witness(), &context.case.id, order) {
            Ok(()) => return by_order(context, order).await,
            // Good for the fence that was begun on it. What its giver knew then is over: any sign of life counts now.
            Err(_) if order.used && begun => {
                let late = Order { although: BTreeSet::new(), ..order.clone() };
                return by_order(context, &late).await;
            }
            Err(why) => over = Some(format!("; the order of {} does not count: {}", order.by, chain(&why))),
        }
    }
    let by_votes = by_votes(context).await;
    match (by_votes, over) {
        (Err(Stop::Waiting { mut reasons, next }), Some(over)) => {
            if let Some(last) = reasons.last_mut() {
                last.push_str(&over);
            }
            Err(Stop::Waiting { reasons, next })
        }
        (by_votes, _) => by_votes,
    }
}

fn unjudged(context: &Context<'_>, error: &EvidenceError) -> Stop {
    Stop::waiting(
        format!("cannot judge {} again: {}", context.case.id.host(), chain(error)),
        error.hint().unwrap_or_default(),
    )
}

/// How a person orders it.
fn by_hand(context: &Context<'_>) -> String {
    let host = context.case.id.host();
    format!("if it must be fenced: nova-ha-mark-failed {host} --by NAME --yes {host}")
}

async fn not_in_maintenance(context: &Context<'_>) -> Result<(), Stop> {
    let host = context.case.id.host();
    let keys = keys::host(host);
    let tree = |source| Stop::Tree { source };
    let prefixes = [keys::META.to_owned(), keys.maintenance(), keys.failed()];
    let snapshot =
        Snapshot::read(context.world.store.as_ref(), "maintenance", &prefixes).await.map_err(tree)?;
    let maintenance = Maintenance::of(&snapshot, &keys).map_err(tree)?;
    if maintenance.on {
        let why = maintenance.reason.unwrap_or_else(|| "no reason given".into());
        return Err(Stop::waiting(
            format!("{host} is in maintenance ({why})"),
            format!("nova-ha maintenance off {host}"),
        ));
    }
    if !snapshot.flag(&keys.failed()).map_err(tree)? {
        return Err(Stop::waiting(
            format!("status/failed of {host} was set to False by hand"),
            format!("nova-ha incident abandon {} --by NAME", context.case.id),
        ));
    }
    Ok(())
}

/// An order in its time, or on which the fence was begun: good unless something says that the host lives which its
/// giver did not name.
async fn by_order(context: &Context<'_>, order: &Order) -> Result<Ground, Stop> {
    let host = context.case.id.host();
    let world = context.world;
    let seen = look_for_life(&world.witness(), world.reach.as_ref(), host)
        .await
        .map_err(|error| unjudged(context, &error))?;
    let unknown: Vec<SignSeen> =
        beside(seen.signs, &order.although).into_iter().filter(|seen| says_it_lives(seen.sign)).collect();
    if !unknown.is_empty() {
        let what = text(&unknown);
        if context.journal.status().retry {
            return Err(Stop::held(format!(
                "{host} lives: {what}; nothing is shot for guests that were held"
            )));
        }
        if context.journal.status().past_no_return {
            return Err(Stop::held(format!(
                "{host} was being fenced by the order of {} and lives: {what}; nova-ha incident resume {} --by NAME, and \
                 nova-ha-mark-failed {host} --by NAME --yes {host} --although-it-answers if it must be fenced",
                order.by, context.case.id
            )));
        }
        return Err(Stop::waiting(
            format!("since the order of {} something says that {host} lives: {what}", order.by),
            format!(
                "if it must be fenced: nova-ha-mark-failed {host} --by NAME --yes {host} --although-it-answers"
            ),
        ));
    }
    let fact = match order.although.is_empty() {
        true => format!("by the order of {} at {}", order.by, order.at),
        false => format!("by the order of {} at {}, although it answered", order.by, order.at),
    };
    Ok(Ground::Order { order: order.clone(), fact })
}

/// A kernel that refuses a connection may be that of a host that hangs: it is why a person orders the shot. An
/// SSH server, an agent or an observer that is answered is another thing.
fn says_it_lives(sign: Sign) -> bool {
    match sign {
        Sign::OwnKey | Sign::UnknownKey | Sign::Agent | Sign::Observers => true,
        Sign::Address => false,
    }
}

/// The verdict of now, in one line; or why there is none.
async fn by_votes(context: &Context<'_>) -> Result<Ground, Stop> {
    let case = context.case;
    let host = case.id.host();
    let mut seen = look(&context.world.witness(), About::Hosts(vec![host.clone()]), false)
        .await
        .map_err(|error| unjudged(context, &error))?;
    if let Some(error) = seen.unreadable.remove(host) {
        return Err(unjudged(context, &error));
    }
    let Some(subject) = seen.scene.subjects.get(host) else {
        let why = format!("nothing can be read about {host} now");
        return Err(Stop::waiting(why, by_hand(context)));
    };
    let doubtful = guards(&seen.scene).doubtful;
    match judge(&seen.scene, host.as_str(), subject, &doubtful) {
        Verdict::Dead(proof) => {
            guards_allow(context, &seen.scene)?;
            let voters: Vec<&str> = proof.voters.iter().map(|v| v.as_str()).collect();
            let fact =
                format!("judged again: {} of {} votes ({})", voters.len(), proof.quorum, voters.join(", "));
            Ok(Ground::Votes(fact))
        }
        Verdict::Alive(why) if context.journal.status().past_no_return => {
            Err(Stop::held(format!("{host} was being fenced and is seen alive: {why}")))
        }
        Verdict::Alive(why) => match &case.record.origin {
            Origin::Observers | Origin::Person { .. } => {
                Err(Stop::Withdrawn { reason: format!("{host} is alive: {why}") })
            }
            // Somebody wrote `failed` by hand on a living host: it is neither shot nor dropped.
            Origin::Key => Err(Stop::waiting(
                format!("failed was written by hand, and {host} is alive: {why}"),
                by_hand(context),
            )),
        },
        Verdict::CannotTell(why) => Err(Stop::waiting(
            format!("cannot tell whether {host} is dead now: {}", why.text()),
            by_hand(context),
        )),
    }
}

/// The guards of the marking, asked again: a host that was marked alone may be one of many by now, and one of many is not
/// shot. Only before *started: fence*: past it, whoever stops leaves a host half recovered.
fn guards_allow(context: &Context<'_>, scene: &Scene) -> Result<(), Stop> {
    if context.journal.status().past_no_return {
        return Ok(());
    }
    match decide_again(scene, context.case.id.host()) {
        Decision::Mark(_) => Ok(()),
        Decision::No(no) => Err(Stop::waiting(no.text(), by_hand(context))),
    }
}

/// Before a shot by votes: a host that shows its own key over SSH is not dead for us.
///
/// # Errors
/// It answers, or an SSH server does of which nobody can tell whose it is.
pub async fn not_answering(context: &Context<'_>, answer: &Answer) -> Result<(), Stop> {
    let host = context.case.id.host();
    let Some(seen) = of_answer(answer) else { return Ok(()) };
    match (seen.sign, &context.case.record.origin) {
        (Sign::OwnKey, Origin::Observers | Origin::Person { .. }) => {
            Err(Stop::Withdrawn { reason: format!("{host} answers with its own host key, before the fence") })
        }
        // As for the votes: neither shot nor dropped.
        (Sign::OwnKey, Origin::Key) => Err(Stop::waiting(
            format!("failed was written by hand, and {host} answers with its own host key"),
            by_hand(context),
        )),
        // It may be the host, and nobody can tell; it is not *dead*.
        (Sign::UnknownKey, _) => Err(Stop::waiting(
            format!(
                "an SSH server answers at the address of {host}, before the fence, and no host key is pinned"
            ),
            format!(
                "nova-ha host add {host} --replace --ssh-host-key-file FILE; if it is not {host}, {}",
                by_hand(context)
            ),
        )),
        (Sign::Address | Sign::Agent | Sign::Observers, _) => Ok(()),
    }
}
