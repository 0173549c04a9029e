//! Fence: judge again with votes that are fresh now, power off, prove it, and see that the host
//! does not answer.

use crate::evidence::{About, look};
use crate::fence::off::{Changed, Settings, Why, power_off};
use crate::fence::{NotOff, prove_off};
use crate::incident::journal::Outcome;
use crate::incident::record::Origin;
use crate::incident::step::Step;
use crate::judge::guard::guards;
use crate::judge::{Verdict, judge};
use crate::recovery::executor::Context;
use crate::recovery::proof::{KnownOff, confirmed, says_on};
use crate::recovery::silence::settled;
use crate::recovery::steps::dump::left_to_finish;
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;
use crate::ssh::Answer;

/// Powers the host off, or finds it off.
pub async fn run<'a>(context: &mut Context<'a>) -> Result<KnownOff<'a>, Stop> {
    // However old the incident is, and also on resume: the shot is judged on votes of now.
    let mut facts = vec![still_dead(context).await?];
    let grace = left_to_finish(context).await?;
    if grace.waited {
        facts = vec![still_dead(context).await?];
    }
    facts.extend(grace.fact);
    facts.push(format!("levels: {}", context.levels.levels().len()));
    // A host that answers here lives, whatever the votes say.
    if context.case.record.order.is_none() && context.journal.status().started.is_none() {
        not_answering(context, "before the fence").await?;
    }
    context.started(Step::Fence, facts).await?;
    let settings = Settings::of(&context.case.policy);
    let (proof, outcome) = if context.levels.levels().is_empty() {
        (None, Outcome::AlreadySo)
    } else {
        match power_off(context.levels, context.world.clock.as_ref(), &settings, context.lease).await {
            Ok((proof, Changed::Yes)) => (Some(proof), Outcome::Changed),
            Ok((proof, Changed::AlreadySo)) => (Some(proof), Outcome::AlreadySo),
            Err(NotOff::Lease { source, .. }) => return Err(source.into()),
            Err(not_off) if says_on(&not_off) => return Err(waiting_for_off(context, &not_off)),
            Err(not_off @ (NotOff::NoLevels { .. } | NotOff::NotProved { .. })) => {
                match confirmed(context.world, &context.case.id).await? {
                    Some(proof) => (Some(proof), Outcome::AlreadySo),
                    None => return Err(waiting_for_off(context, &not_off)),
                }
            }
        }
    };
    let proof = match proof {
        Some(proof) => proof,
        None => confirmed(context.world, &context.case.id).await?.ok_or_else(|| {
            Stop::waiting(
                format!("no fence level of {} can be used", context.case.id.host()),
                format!("nova-ha confirm-off {} --by NAME --ttl 10m", context.case.id.host()),
            )
        })?,
    };
    let mut facts = vec![format!("off: {}", proof.by())];
    facts.push(silent_after_off(context).await?);
    context.finished(Step::Fence, outcome, facts).await?;
    let (world, case) = (context.world, context.case);
    Ok(KnownOff::from_proof(world, &case.policy, context.levels, &case.id, proof))
}

/// A resumed recovery stands on a reading of now, never on the journal.
pub async fn prove_again<'a>(context: &Context<'a>) -> Result<KnownOff<'a>, Stop> {
    let (world, case) = (context.world, context.case);
    let settings = Settings::of(&case.policy);
    let known = match prove_off(context.levels, world.clock.as_ref(), &settings).await {
        Ok(proof) => KnownOff::from_proof(world, &case.policy, context.levels, &case.id, proof),
        Err(NotOff::NotProved { machine, levels })
            if levels.iter().any(|l| matches!(l.why, Why::StillOn | Why::Contradicted { .. })) =>
        {
            // It was proved off once. Somebody powered it on; another shot is a person's decision.
            let said: Vec<String> = levels.iter().map(ToString::to_string).collect();
            return Err(Stop::held(format!(
                "{machine} was fenced and is on again ({}): power it off, then nova-ha incident resume {} --by NAME",
                said.join("; "),
                case.id
            )));
        }
        Err(_) => KnownOff::read(world, &case.policy, context.levels, &case.id).await?,
    };
    silent_after_off(context).await?;
    Ok(known)
}

/// The verdict of now, in one line; or why there is none.
async fn still_dead(context: &Context<'_>) -> Result<String, Stop> {
    let case = context.case;
    let host = case.id.host();
    if let Some(order) = &case.record.order {
        return Ok(format!("by the order of {} at {}", order.by, order.at));
    }
    let seen =
        look(&context.world.witness(), About::Hosts(vec![host.clone()]), false).await.map_err(|error| {
            Stop::waiting(
                format!("cannot judge {host} again: {}", chain(&error)),
                error.hint().unwrap_or_default(),
            )
        })?;
    let by_hand = format!("if it must be fenced: nova-ha-mark-failed {host} --by NAME --yes {host}");
    let Some(subject) = seen.scene.subjects.get(host) else {
        if let Some(error) = seen.unreadable.get(host) {
            let next = error.hint().map_or_else(|| by_hand.clone(), |look| format!("{look}; {by_hand}"));
            return Err(Stop::waiting(format!("cannot judge {host} again: {}", chain(error)), next));
        }
        return Err(Stop::waiting(format!("nothing can be read about {host} now"), by_hand));
    };
    if !subject.failed {
        return Err(Stop::waiting(
            format!("status/failed of {host} was set to False by hand"),
            format!("nova-ha incident abandon {} --by NAME", case.id),
        ));
    }
    if let Some(why) = &subject.maintenance {
        return Err(Stop::waiting(
            format!("{host} is in maintenance ({why})"),
            format!("nova-ha maintenance off {host}"),
        ));
    }
    let doubtful = guards(&seen.scene).doubtful;
    match judge(&seen.scene, host.as_str(), subject, &doubtful) {
        Verdict::Dead(proof) => {
            let voters: Vec<&str> = proof.voters.iter().map(|v| v.as_str()).collect();
            Ok(format!("judged again: {} of {} votes ({})", voters.len(), proof.quorum, voters.join(", ")))
        }
        Verdict::Alive(why) if context.journal.status().past_no_return => {
            Err(Stop::held(format!("{host} was being fenced and is seen alive: {why}")))
        }
        Verdict::Alive(why) => match &case.record.origin {
            Origin::Observers | Origin::Person { .. } => {
                Err(Stop::Withdrawn { reason: format!("{host} is alive: {why}") })
            }
            // Somebody wrote `failed` by hand on a living host: it is neither shot nor dropped.
            Origin::Key => {
                Err(Stop::waiting(format!("failed was written by hand, and {host} is alive: {why}"), by_hand))
            }
        },
        Verdict::CannotTell(why) => {
            Err(Stop::waiting(format!("cannot tell whether {host} is dead now: {}", why.text()), by_hand))
        }
    }
}

/// Before the shot: a host that shows its own key over SSH is not dead for us.
async fn not_answering(context: &Context<'_>, when: &str) -> Result<(), Stop> {
    let host = context.case.id.host();
    match (reach(context).await, &context.case.record.origin) {
        (Answer::Yes, Origin::Observers | Origin::Person { .. }) => {
            Err(Stop::Withdrawn { reason: format!("{host} answers with its own host key, {when}") })
        }
        // As for the votes: neither shot nor dropped.
        (Answer::Yes, Origin::Key) => Err(Stop::waiting(
            format!("failed was written by hand, and {host} answers with its own host key"),
            format!("if it must be fenced: nova-ha-mark-failed {host} --by NAME --yes {host}"),
        )),
        // It may be the host, and nobody can tell; it is not *dead*.
        (Answer::NotPinned, _) => Err(Stop::waiting(
            format!("an SSH server answers at the address of {host}, {when}, and no host key is pinned"),
            format!(
                "if it is not {host}, or must be fenced: nova-ha-mark-failed {host} --by NAME --yes {host}; else \
                 nova-ha host add {host} --replace --ssh-host-key-file FILE"
            ),
        )),
        (Answer::OtherKey | Answer::No(_) | Answer::CannotTell(_), _) => Ok(()),
    }
}

/// After *off*: an answer with its own key means that the proof is false. Whoever takes a connection or refuses it, and
/// does not say who it is, may be the host, too busy for that, or its kernel without an sshd.
async fn silent_after_off(context: &Context<'_>) -> Result<String, Stop> {
    let (host, clock) = (context.case.id.host(), context.world.clock.as_ref());
    match settled(clock, || async { Ok::<_, Stop>(reach(context).await) }).await? {
        // Whoever looked says that it is something else, in front of the host or in its place.
        somebody
            if somebody.is_of_somebody() && confirmed(context.world, &context.case.id).await?.is_some() =>
        {
            Ok(format!(
                "off by a person's word, although its address takes connections or refuses them ({})",
                somebody.text()
            ))
        }
        somebody if somebody.is_of_somebody() => Err(Stop::waiting(
            format!(
                "the power of {host} reads off, yet its address takes connections or refuses them ({})",
                somebody.text()
            ),
            format!(
                "look at {host} itself; if it is off, whatever has its address: nova-ha confirm-off {host} --by NAME --ttl 10m"
            ),
        )),
        Answer::Yes => Err(Stop::held(format!(
            "the power of {} reads off, yet it answers with its own host key: the reading is false; nothing else was touched",
            host
        ))),
        Answer::OtherKey => Ok("its address answers with another host key".into()),
        // Somebody's, all of them: met above.
        Answer::NotPinned | Answer::No(_) => Ok("it does not answer".into()),
        Answer::CannotTell(why) => Ok(format!(
            "whether it answers cannot be told: {}",
            format!("{why:?}").chars().take(80).collect::<String>()
        )),
    }
}

async fn reach(context: &Context<'_>) -> Answer {
    let ssh = &context.case.ssh;
    let address = ssh.address.clone().unwrap_or_else(|| context.case.id.host().to_string());
    context.world.reach.answers(&address, ssh.port, &context.case.pins).await
}

fn waiting_for_off(context: &Context<'_>, not_off: &NotOff) -> Stop {
    let host = context.case.id.host();
    Stop::waiting(
        format!("{host} is not proved off: {not_off}"),
        format!("make its BMC answer, or pull its plug and: nova-ha confirm-off {host} --by NAME --ttl 10m"),
    )
}
