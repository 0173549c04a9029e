//! The way back: two HA nodes never wait for each other.
//!
//! An HA node that took the storage of a host, and was voted dead, may come back with all of it mounted, while another
//! one has adopted the incident. The adopter may not take what a living HA node has, and that one may not go on with
//! what is not its own any more. So the earlier holder *asks* for the incident (its `recover` runs, and says whether
//! it has the storage), and the adopter gives it back in one transaction if it has begun nothing. Where it may not be
//! given back, the incident is held, with the words of both.
//!
//! Start at [`decide`], which is pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::case::Case;
use super::claim;
use super::context::Context;
use super::stop::{Lives, Stop};
use super::storage::answer::Answer;
use super::storage::progress::Progress;
use super::storage::strategy;
use super::takeovers;
use super::world::{World, chain};
use crate::incident::journal::Event;
use crate::incident::open::wake;
use crate::keys;
use crate::machine_id::MachineId;
use crate::names::HaNodeName;
use crate::store::{Op, TxnOutcome};
use crate::tree::Snapshot;
use crate::tree::record::{Record, bytes, parse};
use crate::tree::storage::Strategy;

/// How often an incident is given back before a person looks, counted from their last *resume*.
const MOST_RETURNS: u32 = 2;

/// How long an earlier holder that lives may take to ask. Its timer runs its `recover` once a minute.
pub const ASKS_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Whether an HA node has a host's storage, by its own look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Has {
    /// It is here.
    Yes,
    /// It is not here.
    No,
    /// Neither can be said.
    CannotTell,
}

/// `incidents/{id}/asks/{ha-node}`: an earlier holder that lives asks for the incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Format version.
    pub version: u64,
    /// Who asks.
    pub node: HaNodeName,
    /// Which machine that is.
    pub machine: MachineId,
    /// Whether it has the storage.
    pub has: Has,
    /// What its look at the storage said, for people.
    pub said: String,
    /// Wall clock, for people.
    pub since: Timestamp,
}

impl Record for Ask {
    const VERSION: u64 = 1;
}

impl Ask {
    /// For people.
    fn text(&self) -> String {
        let has = match self.has {
            Has::Yes => "has the storage",
            Has::No => "says that the storage is not there",
            Has::CannotTell => "cannot tell whether it has the storage",
        };
        format!("{} asks for it and {has} ({})", self.node, self.said)
    }
}

/// Asks for an incident that this HA node held and is in use for, while another one that lives has it. Says so in one
/// line; `None` where there is nothing to ask for.
///
/// # Errors
/// The tree cannot be read or written.
pub async fn ask(world: &World, case: &Case) -> Result<Option<String>, Stop> {
    let guests = guests_of(world, case).await?;
    let (has, said) = match strategy::check(world, case, &Progress::of(case), &guests).await {
        None => return Ok(None),
        Some(Answer::Taken { detail, .. }) => (Has::Yes, detail),
        Some(Answer::Ready { detail }) => (Has::No, detail),
        Some(
            unclear @ (Answer::Refused { .. }
            | Answer::Contradicted { .. }
            | Answer::HostLives { .. }
            | Answer::CannotTell { .. }),
        ) => (Has::CannotTell, unclear.text()),
    };
    let key = keys::incident(&case.id).ask(&world.me);
    let ask = Ask {
        version: Ask::VERSION,
        node: world.me.clone(),
        machine: world.machine.clone(),
        has,
        said: said.chars().take(300).collect(),
        since: world.clock.wall(),
    };
    let doing = "ask for the incident";
    let store = |source| Stop::Store { doing, source };
    let before = world.store.get(&key).await.map_err(store)?;
    let is_same = |before: &Ask| Ask { since: before.since, ..ask.clone() } == *before;
    let same =
        before.and_then(|entry| parse::<Ask>(&entry.key, &entry.value).ok()).is_some_and(|b| is_same(&b));
    if !same {
        match world.store.transact(&[Op::Set(key, bytes(&ask))]).await.map_err(store)? {
            TxnOutcome::Committed(_) => {}
            TxnOutcome::Refused(why) => tracing::warn!(incident = %case.id, ?why, "not asked for"),
        }
    }
    Ok(Some(ask.text()))
}

async fn guests_of(world: &World, case: &Case) -> Result<Vec<String>, Stop> {
    let prefix = keys::incident(&case.id).guests();
    let listed = world.store.keys(&prefix, false).await;
    let names = listed.map_err(|source| Stop::Store { doing: "read the guest ledger", source })?;
    Ok(names.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect())
}

/// What a decision stands on: an earlier holder may have the storage, and lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<'a> {
    /// What the earlier holder asked for.
    pub ask: Option<&'a Ask>,
    /// The machine that held it, by the journal.
    pub machine: Option<&'a MachineId>,
    /// Whether a quorum sees it alive.
    pub by_quorum: bool,
    /// Whether this HA node has begun anything since it adopted.
    pub begun: bool,
    /// Whether a command to the earlier holder's device may be on its way.
    pub commanded: bool,
    /// How often it was given back since a person last led on.
    pub returns: u32,
    /// Whether the earlier holder had its time to ask.
    pub waited: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is given back.
    GiveBack,
    /// Not now.
    Wait(Wait),
    /// A person must look.
    Hold(Hold),
}

/// For what it is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It has not asked.
    Ask,
    /// Too few see it alive.
    Quorum,
    /// A power-off that was sent to it may still arrive.
    Command,
}

/// Why a person must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Its time to ask is over.
    NotAsked,
    /// Its time is over, and too few see it alive.
    NoQuorum,
    /// Another machine asks than the one that held it, or nobody knows which one held it.
    AnotherMachine,
    /// This HA node has begun.
    Begun,
    /// It went to and fro.
    Returns,
}

/// Decides.
pub fn decide(seen: &Seen<'_>) -> Decision {
    let wait = |wait, hold| if seen.waited { Decision::Hold(hold) } else { Decision::Wait(wait) };
    let Some(ask) = seen.ask else { return wait(Wait::Ask, Hold::NotAsked) };
    if seen.machine != Some(&ask.machine) {
        return Decision::Hold(Hold::AnotherMachine);
    }
    if seen.begun {
        return Decision::Hold(Hold::Begun);
    }
    if seen.returns >= MOST_RETURNS {
        return Decision::Hold(Hold::Returns);
    }
    if !seen.by_quorum {
        return wait(Wait::Quorum, Hold::NoQuorum);
    }
    if seen.commanded {
        return Decision::Wait(Wait::Command);
    }
    Decision::GiveBack
}

impl Wait {
    fn text(self) -> &'static str {
        match self {
            Wait::Ask => "it has not asked for the incident (its nova-ha-recover says so when it runs)",
            Wait::Quorum => "too few HA nodes see it alive to give the incident back",
            Wait::Command => "a power-off that was sent to it may still arrive",
        }
    }
}

impl Hold {
    fn text(self, me: &HaNodeName) -> String {
        match self {
            Hold::NotAsked => {
                format!("it did not ask for the incident within {} min", ASKS_WITHIN.as_secs() / 60)
            }
            Hold::NoQuorum => "too few HA nodes see it alive to give the incident back".into(),
            Hold::AnotherMachine => "by the journal that is not the machine that held it".into(),
            Hold::Begun => format!("{me} has begun to go on with it, and cannot give it back"),
            Hold::Returns => format!("it was given back {MOST_RETURNS} times already"),
        }
    }
}

/// What became of it.
pub enum Turn {
    /// The earlier holder has it again.
    GivenBack,
    /// It has not.
    Not(Stop),
}

/// One look at what can be done about an earlier holder that may have the storage and lives. `waited` says whether it had
/// its time to ask.
///
/// # Errors
/// The incident is not ours any more, or the tree cannot be read.
pub async fn turn(context: &mut Context<'_>, lives: &Lives, waited: bool) -> Result<Turn, Stop> {
    let (world, case, me) = (context.world, context.case, &context.world.me);
    let key = context.journal.keys().ask(&lives.node);
    let stored = world.store.get(&key).await;
    let stored = stored.map_err(|source| Stop::Store { doing: "see whether it is asked for", source })?;
    let ask: Option<Ask> = match &stored {
        Some(entry) => Some(parse(&entry.key, &entry.value).map_err(|source| Stop::Tree { source })?),
        None => None,
    };
    let remembered = takeovers::of(&world.state_dir, &case.id).map_err(|error| {
        Stop::waiting(
            format!("what this HA node took cannot be read: {}", chain(&error)),
            format!("look at {}", error.path.display()),
        )
    })?;
    // Of a site's own program nothing remembers whether a run that died had begun to take it, or whether an earlier one has
    // it still: before another HA node had the incident in between.
    let is_unknown = case.storage.strategy != Strategy::Md
        && (!context.earlier.adopted_now || context.earlier.took_before);
    let seen = Seen {
        ask: ask.as_ref(),
        machine: context.earlier.machines.get(&lives.node),
        by_quorum: lives.by_quorum,
        begun: context.earlier.begun_here || is_unknown || remembered.is_some(),
        commanded: context.earlier.may_be_commanded(
            &lives.node,
            world.clock.boottime(),
            case.policy.lock_delay,
        ),
        returns: context.earlier.returns,
        waited,
    };
    let said = ask.as_ref().map(Ask::text);
    let words = |why: String| {
        let said = said.as_ref().map_or_else(String::new, |said| format!("; {said}"));
        format!("HA node {} may have the storage mounted, and lives: {}{said}; {why}", lives.node, lives.why)
    };
    let next = format!(
        "power off the one of {} and {me} that is not to go on; the other one then does: nova-ha ha-node show {}",
        lives.node, lives.node
    );
    match decide(&seen) {
        Decision::Wait(wait) => Ok(Turn::Not(Stop::waiting(words(wait.text().into()), next))),
        Decision::Hold(hold) => Ok(Turn::Not(Stop::held(format!("{}; {next}", words(hold.text(me)))))),
        Decision::GiveBack => {
            let (Some(ask), Some(stored)) = (ask, stored) else {
                return Ok(Turn::Not(Stop::waiting(words(Wait::Ask.text().into()), next)));
            };
            give_back(context, &ask, Op::DeleteCas(key, stored.modify_index)).await?;
            Ok(Turn::GivenBack)
        }
    }
}

/// One transaction: the earlier holder is the holder again, this HA node is free, the lock is unlocked, the HA nodes are
/// woken.
async fn give_back(context: &mut Context<'_>, ask: &Ask, answered: Op) -> Result<(), Stop> {
    let (world, case, term) = (context.world, context.case, context.journal.term());
    let own = keys::ha_node(&world.me);
    let prefixes = [own.in_use(), own.in_use_by(), keys::RECOVERY_QUEUE.to_owned()];
    let snapshot = Snapshot::read(world.store.as_ref(), "this HA node", &prefixes).await;
    let snapshot = snapshot.map_err(|source| Stop::Tree { source })?;
    let in_use_by = snapshot.text(&own.in_use_by()).map_err(|source| Stop::Tree { source })?;
    let mut ops = vec![claim::unlocked(world, context.lease, &case.id, term), answered];
    if in_use_by.as_deref() == Some(case.id.to_string().as_str()) {
        ops.extend(claim::released(&own, &snapshot));
    }
    ops.extend(wake(&case.id));
    let before = context.journal.hand_over(Some(ask.node.clone()));
    let event = Event::HandedBack {
        to: ask.node.clone(),
        machine: ask.machine.clone(),
        said: ask.text().chars().take(500).collect(),
    };
    let written = context.journal.append(event, ops).await;
    if written.is_err() {
        // Not written, it is still ours.
        context.journal.hand_over(before);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(digit: &str) -> MachineId {
        digit.repeat(32).try_into().unwrap()
    }

    fn ask() -> Ask {
        Ask {
            version: 1,
            node: "ha1".parse().unwrap(),
            machine: machine("a"),
            has: Has::Yes,
            said: "mounted".into(),
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn it_is_given_back_only_if_everything_speaks_for_it_and_nothing_waits_for_ever() {
        let (ask, held_it, other) = (ask(), machine("a"), machine("b"));
        let good = Seen {
            ask: Some(&ask),
            machine: Some(&held_it),
            by_quorum: true,
            begun: false,
            commanded: false,
            returns: 0,
            waited: false,
        };
        assert_eq!(decide(&good), Decision::GiveBack);
        assert_eq!(decide(&Seen { returns: 1, waited: true, ..good.clone() }), Decision::GiveBack);
        for (seen, now, later) in [
            (Seen { ask: None, ..good.clone() }, Decision::Wait(Wait::Ask), Hold::NotAsked),
            (Seen { by_quorum: false, ..good.clone() }, Decision::Wait(Wait::Quorum), Hold::NoQuorum),
            (
                Seen { machine: Some(&other), ..good.clone() },
                Decision::Hold(Hold::AnotherMachine),
                Hold::AnotherMachine,
            ),
            (
                Seen { machine: None, ..good.clone() },
                Decision::Hold(Hold::AnotherMachine),
                Hold::AnotherMachine,
            ),
            (Seen { begun: true, ..good.clone() }, Decision::Hold(Hold::Begun), Hold::Begun),
            (Seen { returns: MOST_RETURNS, ..good.clone() }, Decision::Hold(Hold::Returns), Hold::Returns),
        ] {
            assert_eq!(decide(&seen), now);
            assert_eq!(decide(&Seen { waited: true, ..seen }), Decision::Hold(later));
        }
        // A command ends by itself: no person is asked for it.
        for waited in [false, true] {
            let seen = Seen { commanded: true, waited, ..good.clone() };
            assert_eq!(decide(&seen), Decision::Wait(Wait::Command));
        }
    }
}
