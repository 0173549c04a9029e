//! Fence: judge again with votes that are fresh now, power off, prove it, and see that the host
//! does not answer.

use crate::fence::off::{Changed, Settings, Why, power_off_with, prove_off_with};
use crate::fence::{Machine, Next, NotOff, PoweredOff, SaidOff};
use crate::incident::journal::{Event, Outcome};
use crate::incident::step::Step;
use crate::recovery::context::Context;
use crate::recovery::device_words::{self, Given};
use crate::recovery::proof::{KnownOff, Reader, says_on, speak};
use crate::recovery::rejudged::Rejudged;
use crate::recovery::steps::dump::left_to_finish;
use crate::recovery::steps::shot::{Ground, may_be_shot, not_answering};
use crate::recovery::stop::Stop;
use crate::recovery::word::{Refused, Whereabouts, Word, beside, found_before, heeded};
use crate::ssh::Answer;

/// Powers the host off, or finds it off.
pub async fn run<'a>(context: &mut Context<'a>) -> Result<KnownOff<'a>, Stop> {
    // However old the incident is, and also on resume: the shot is judged on votes of now.
    let mut judged_at = context.world.clock.boottime();
    let mut ground = may_be_shot(context).await?;
    let grace = left_to_finish(context, ground.ordered_by()).await?;
    if grace.waited {
        judged_at = context.world.clock.boottime();
        ground = may_be_shot(context).await?;
    }
    let mut facts = vec![ground.fact()];
    facts.extend(grace.fact);
    facts.push(format!("levels: {}", context.levels.levels().len()));
    match ground {
        // A host that answers here lives, whatever the votes say.
        Ground::Votes(_) if context.journal.status().started.is_none() => {
            not_answering(context, &reader(context).at.ask(context.world).await).await?;
        }
        Ground::Votes(_) => {}
        Ground::Order { order, .. } => context.journal.use_order(&order),
    }
    context.started(Step::Fence, facts).await?;
    let settings = Settings::of(&context.case.policy);
    let (now, good_for) = (&*context, context.case.policy.probe_interval);
    let judge = || async { may_be_shot(now).await.map(drop) };
    let may_command = Rejudged::new(now.world, &now.journal, good_for, judged_at, judge);
    let given = reader(now).device_words().await?;
    let clock = now.world.clock.as_ref();
    let off = power_off_with(now.levels, clock, &settings, &may_command, &given.words).await;
    let stopped = may_command.stopped();
    device_words::end_answered(now.world, &now.case.id, &given.words).await;
    if let Err(not_off) = &off {
        reader(now).say_silent(not_off).await;
    }
    let (proof, outcome) = match off {
        Ok((proof, Changed::Yes)) => (proof, Outcome::Changed),
        Ok((proof, Changed::AlreadySo)) => (proof, Outcome::AlreadySo),
        Err(NotOff::Lease { source, .. }) => return Err(stopped.unwrap_or_else(|| source.into())),
        Err(not_off) if says_on(&not_off) => return Err(waiting_for_off(context, &not_off, &given, None)),
        Err(not_off @ (NotOff::NoLevels { .. } | NotOff::NotProved { .. })) => {
            return match reader(context).by_word().await? {
                None => Err(waiting_for_off(context, &not_off, &given, None)),
                Some(Ok((proof, answer))) => fenced(context, proof, Outcome::AlreadySo, &answer).await,
                Some(Err(why)) => {
                    found_by(context, &why).await?;
                    Err(waiting_for_off(context, &not_off, &given, Some(&why)))
                }
            };
        }
    };
    let proof = its_own(context, proof).await?;
    let answer = after_off(context).await?;
    silent(context, &answer).await?;
    fenced(context, proof, outcome, &answer).await
}
/// A resumed recovery stands on a reading of now, never on the journal.
pub async fn prove_again<'a>(context: &mut Context<'a>) -> Result<KnownOff<'a>, Stop> {
    let (world, case) = (context.world, context.case);
    let settings = Settings::of(&case.policy);
    let given = reader(context).device_words().await?;
    let read = prove_off_with(context.levels, world.clock.as_ref(), &settings, &given.words).await;
    device_words::end_answered(world, &case.id, &given.words).await;
    match read {
        Ok(proof) => {
            let proof = its_own(context, proof).await?;
            let answer = after_off(context).await?;
            silent(context, &answer).await?;
            Ok(reader(context).known(proof))
        }
        Err(NotOff::NotProved { machine, levels })
            if levels.iter().any(|l| matches!(l.why, Why::StillOn | Why::Contradicted { .. })) =>
        {
            // It was proved off once. Somebody powered it on; another shot is a person's decision.
            let said: Vec<String> = levels.iter().map(ToString::to_string).collect();
            let lead_on = if context.journal.status().retry { "retry" } else { "resume" };
            Err(Stop::held(format!(
                "{machine} was fenced and is on again ({}): power it off, then nova-ha incident {lead_on} {} --by NAME",
                said.join("; "),
                case.id
            )))
        }
        Err(_) => {
            if let Some(Err(why)) = reader(context).by_word().await? {
                found_by(context, &why).await?;
            }
            // A device that answers at last says no more than one that answered at once.
            let known = reader(context).read().await?;
            let answer = after_off(context).await?;
            silent(context, &answer).await?;
            Ok(known)
        }
    }
}

/// The proof that an *off* is. Where somebody is heard at the host's address that is written, so that a person's word can
/// name it.
async fn its_own(context: &mut Context<'_>, said: SaidOff) -> Result<PoweredOff, Stop> {
    match reader(context).its_own(said).await {
        Err(Stop::OnlySaid { why }) => {
            if let Some(seen) = why.somebody() {
                found(context, seen).await?;
            }
            Err(Stop::OnlySaid { why })
        }
        proof => proof,
    }
}

/// *Finished: fence*, on this proof.
async fn fenced<'a>(
    context: &mut Context<'a>,
    proof: PoweredOff,
    outcome: Outcome,
    answer: &Answer,
) -> Result<KnownOff<'a>, Stop> {
    let said = match answer {
        Answer::OtherKey => "its address answers with another host key".to_owned(),
        Answer::CannotTell(why) if !answer.is_of_somebody() => {
            format!("whether it answers cannot be told: {why}")
        }
        somebody if somebody.is_of_somebody() => {
            format!("its address takes connections or refuses them ({}), as a person said", somebody.text())
        }
        Answer::Yes | Answer::NotPinned | Answer::No(_) | Answer::CannotTell(_) => {
            "it does not answer".into()
        }
    };
    let facts = vec![format!("off: {}", proof.by()), said];
    context.finished(Step::Fence, outcome, facts).await?;
    Ok(reader(context).known(proof))
}

/// Who answers at the host's address after *off*: the first answer that says who is there, or that nobody is.
///
/// # Errors
/// It answers with its own host key: held.
async fn after_off(context: &Context<'_>) -> Result<Answer, Stop> {
    match reader(context).answer().await {
        Answer::Yes => Err(Stop::held(format!(
            "the power of {} reads off, yet it answers with its own host key: the reading is false; nothing else was touched",
            context.case.id.host()
        ))),
        answer @ (Answer::OtherKey | Answer::NotPinned | Answer::No(_) | Answer::CannotTell(_)) => Ok(answer),
    }
}

/// Whoever takes a connection or refuses it, and does not say who it is, may be the host, too busy for that, or
/// its kernel without an sshd. Only a person who looked says that it is something else, in front of the host or in
/// its place: knowing of it, and later than it is in the journal.
async fn silent(context: &mut Context<'_>, answer: &Answer) -> Result<(), Stop> {
    if !answer.is_of_somebody() {
        return Ok(());
    }
    let refused = match heeded(context.world, &context.case.id).await? {
        Word::None => None,
        Word::Refused(why) => Some(why),
        Word::Given(given) => match given.against(context.world, answer).await? {
            Ok(_) => return Ok(()),
            Err(why) => Some(why),
        },
    };
    found(context, answer.text()).await?;
    let host = context.case.id.host();
    Err(Stop::waiting(
        format!(
            "the power of {host} reads off, yet its address takes connections or refuses them ({}){}",
            answer.text(),
            beside(refused.as_ref())
        ),
        format!("look at {host} itself; if it is off, whatever has its address: {}", although(context)),
    ))
}

/// Writes once that somebody answers at its address: a word that is to stand against it is given later.
async fn found(context: &mut Context<'_>, seen: String) -> Result<(), Stop> {
    if found_before(context.world, &context.case.id, u64::MAX).await? {
        return Ok(());
    }
    context.journal.append(Event::AddressAnswers { seen }, Vec::new()).await
}

/// As [`found`], where that is why a word does not count.
async fn found_by(context: &mut Context<'_>, why: &Refused) -> Result<(), Stop> {
    match why {
        Refused::AddressNotNamed { seen, .. } | Refused::AddressFoundLater { seen, .. } => {
            found(context, seen.text.clone()).await
        }
        Refused::Itself(_)
        | Refused::NotCounted(_)
        | Refused::OverElsewhere { .. }
        | Refused::OfOlder { .. }
        | Refused::Lives { .. } => Ok(()),
    }
}

fn although(context: &Context<'_>) -> String {
    let host = context.case.id.host();
    format!("nova-ha confirm-off {host} --by NAME --ttl 10m --although-its-address-answers")
}

/// What reads its power.
fn reader<'a>(context: &Context<'a>) -> Reader<'a> {
    let case = context.case;
    let address = case.ssh.address.as_deref().unwrap_or(case.id.host().as_str());
    let at = Whereabouts { address, port: case.ssh.port, pins: &case.pins };
    Reader {
        world: context.world,
        policy: &case.policy,
        levels: context.levels,
        incident: &case.id,
        at,
        expected: &case.expected,
    }
}

fn waiting_for_off(
    context: &Context<'_>,
    not_off: &NotOff,
    given: &Given,
    refused: Option<&Refused>,
) -> Stop {
    let host = context.case.id.host();
    let confirm = match refused {
        Some(Refused::AddressNotNamed { .. } | Refused::AddressFoundLater { .. }) => although(context),
        Some(
            Refused::Itself(_)
            | Refused::NotCounted(_)
            | Refused::OverElsewhere { .. }
            | Refused::OfOlder { .. }
            | Refused::Lives { .. },
        )
        | None => {
            format!("nova-ha confirm-off {host} --by NAME --ttl 10m")
        }
    };
    let change = Machine::Host(host.clone()).changed_by();
    let settles = not_off
        .next(&change)
        .unwrap_or_else(|| Next::Look(format!("look at its BMC: nova-ha host show {host}")));
    Stop::waiting(
        format!("{host} is not proved off: {not_off}{}{}", given.beside(), beside(refused)),
        speak(host, not_off, settles).then_word(&format!("pull its plug and: {confirm}")),
    )
}
