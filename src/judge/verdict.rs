//! Whether a machine is dead: a quorum of votes, and its agent silent.

use std::collections::BTreeSet;

use super::freshness::Freshness;
use super::quorum::{electors, votes_needed};
use super::scene::{Anchor, Observer, Scene, Subject, Unreadable};
use super::votes::{NoVote, Vote, absentees, vote};
use crate::names::HaNodeName;
use crate::policy::Rule;
use crate::store::SerfHealth;

/// What can be said of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A quorum says so, and why it may.
    Dead(Proof),
    /// Somebody sees it answer, or its agent lives.
    Alive(String),
    /// Neither. Never taken for either.
    CannotTell(CannotTell),
}

/// What a verdict of *dead* rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Who voted.
    pub voters: Vec<HaNodeName>,
    /// Votes needed.
    pub quorum: usize,
    /// The rule's planes.
    pub planes: Vec<String>,
    /// What the agent's health said.
    pub serf: String,
}

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CannotTell {
    /// Too few votes.
    Votes {
        /// Counted.
        have: usize,
        /// Needed.
        need: usize,
        /// Who does not vote, and why.
        absent: String,
    },
    /// The machine should run an agent and the catalog has none: it left, or was reaped.
    AgentAbsent,
    /// A quorum votes dead while its agent answers: neither side is to be believed alone, and it is
    /// not *alive*, or an incident would be withdrawn on one gossip packet.
    AgentAnswers {
        /// Votes counted.
        votes: usize,
    },
    /// One observer alone may not decide here.
    LoneObserver(String),
}

impl CannotTell {
    /// How much a person needs to know it.
    fn weight(&self) -> u8 {
        match self {
            CannotTell::Votes { .. } => 0,
            CannotTell::LoneObserver(_) => 1,
            CannotTell::AgentAbsent | CannotTell::AgentAnswers { .. } => 2,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            CannotTell::Votes { have, need, absent } if absent.is_empty() => {
                format!("{have} of {need} votes")
            }
            CannotTell::Votes { have, need, absent } => format!("{have} of {need} votes ({absent})"),
            CannotTell::AgentAnswers { votes } => {
                format!("{votes} votes say dead, but its Consul agent answers (serfHealth passing)")
            }
            CannotTell::AgentAbsent => "its Consul agent left: UNPROTECTED until the agent is back".into(),
            CannotTell::LoneObserver(why) => why.clone(),
        }
    }
}

/// The verdict on one machine. `doubtful` are the observers that doubt themselves.
///
/// Any rule may say *dead*; *alive* needs all of them, because a host that answers on the plane of
/// one rule may be short of a vote under another. Of several *cannot tell*, the one that a person
/// must know wins.
pub fn judge(
    scene: &Scene,
    subject_name: &str,
    subject: &Subject,
    doubtful: &BTreeSet<HaNodeName>,
) -> Verdict {
    let mut alive = None;
    let mut cannot_tell: Option<CannotTell> = None;
    for rule in &scene.policy.rules {
        match by_rule(scene, subject_name, subject, doubtful, rule) {
            Verdict::Dead(proof) => return Verdict::Dead(proof),
            Verdict::Alive(why) => alive = alive.or(Some(why)),
            Verdict::CannotTell(why) => {
                if cannot_tell.as_ref().is_none_or(|known| why.weight() > known.weight()) {
                    cannot_tell = Some(why);
                }
            }
        }
    }
    match (cannot_tell, alive) {
        (Some(why), _) => Verdict::CannotTell(why),
        (None, Some(why)) => Verdict::Alive(why),
        (None, None) => Verdict::CannotTell(CannotTell::Votes { have: 0, need: 1, absent: "no rule".into() }),
    }
}

/// Who sees a machine answer, if under each rule that is a quorum of the observers that may vote on it, and its agent
/// answers where it has one. Stricter than [`Verdict::Alive`], which one observer can say.
pub fn quorum_sees_alive(
    scene: &Scene,
    subject_name: &str,
    subject: &Subject,
    doubtful: &BTreeSet<HaNodeName>,
) -> bool {
    if subject.has_agent && subject.serf != Some(SerfHealth::Passing) {
        return false;
    }
    let electors = electors(&scene.observers, subject_name);
    let need = votes_needed(&scene.policy, electors.len());
    !scene.policy.rules.is_empty()
        && scene.policy.rules.iter().all(|rule| {
            let healthy = electors.iter().filter(|(name, observer)| {
                let testimony = subject.testimonies.get(*name);
                let doubts = doubtful.contains(*name);
                vote(observer, testimony, subject, rule, &scene.policy, doubts) == Vote::Healthy
            });
            healthy.count() >= need
        })
}

fn by_rule(
    scene: &Scene,
    subject_name: &str,
    subject: &Subject,
    doubtful: &BTreeSet<HaNodeName>,
    rule: &Rule,
) -> Verdict {
    let electors = electors(&scene.observers, subject_name);
    let votes: Vec<(HaNodeName, Vote)> = electors
        .iter()
        .map(|(name, observer)| {
            let testimony = subject.testimonies.get(*name);
            let doubts = doubtful.contains(*name);
            let vote = match vote(observer, testimony, subject, rule, &scene.policy, doubts) {
                Vote::None(NoVote::NoRecord) => Vote::None(without_record(subject, name)),
                vote @ (Vote::Dead | Vote::Healthy | Vote::None(_)) => vote,
            };
            ((*name).clone(), vote)
        })
        .collect();
    let voters: Vec<HaNodeName> =
        votes.iter().filter(|(_, v)| *v == Vote::Dead).map(|(name, _)| name.clone()).collect();
    let need = match subject.has_agent {
        true => votes_needed(&scene.policy, electors.len()),
        false => votes_needed(&scene.policy, electors.len()).max(passing(&electors)),
    };
    if voters.len() >= need && voters.len() > 1 {
        return with_agent(subject, rule, voters, need, false);
    }
    // One voter, or fewer than a quorum.
    match lone_observer(scene, &electors, voters.len()) {
        Lone::May => with_agent(subject, rule, voters, 1, true),
        Lone::MayNot(why) => Verdict::CannotTell(CannotTell::LoneObserver(why)),
        Lone::Several => {
            if voters.is_empty() && is_seen_to_answer(&votes, subject) {
                return Verdict::Alive(absentees(&votes));
            }
            if subject.has_agent && subject.serf.is_none() {
                return Verdict::CannotTell(CannotTell::AgentAbsent);
            }
            let absent = absentees(&votes);
            Verdict::CannotTell(CannotTell::Votes { have: voters.len(), need, absent })
        }
    }
}

/// Why an observer without a record does not vote.
fn without_record(subject: &Subject, observer: &HaNodeName) -> NoVote {
    match subject.unreadable.get(observer) {
        Some(Unreadable { why, .. }) => NoVote::Unreadable { why: why.clone() },
        None => NoVote::NoRecord,
    }
}

/// Whether somebody saw it answer after the last failure that anybody holds. The record that says
/// *healthy again* is written once and stays: one from last week must not outvote failures of now
/// whose age the reader happens not to be able to tell.
fn is_seen_to_answer(votes: &[(HaNodeName, Vote)], subject: &Subject) -> bool {
    let of = |healthy: bool| {
        votes
            .iter()
            .filter(move |(_, vote)| (*vote == Vote::Healthy) == healthy)
            .filter_map(|(name, _)| subject.testimonies.get(name))
    };
    let last_failure = of(false)
        .filter(|t| t.record.epoch == subject.epoch && t.record.fails > 0)
        .map(|t| t.modify_index)
        // What cannot be understood of one who may vote may say so too.
        .chain(votes.iter().filter_map(|(name, _)| Some(subject.unreadable.get(name)?.modify_index)))
        .max();
    of(true).any(|t| t.freshness == Freshness::Fresh || Some(t.modify_index) > last_failure)
}

/// How many are there to say anything. A host without an agent has the logins as its only sign of life: all of them have
/// to find it dead, for a fault between some observers and the host would look the same.
fn passing(electors: &[(&HaNodeName, &Observer)]) -> usize {
    electors.iter().filter(|(_, observer)| observer.serf == Some(SerfHealth::Passing)).count()
}

enum Lone {
    May,
    MayNot(String),
    Several,
}

/// Where one observer alone remains (one configured, or one left of two), policy and an anchor
/// decide. With more the quorum never shrinks by itself. What counts is how many are configured
/// and not how many may vote: of two HA nodes, the one that judges the other is one left of two.
fn lone_observer(scene: &Scene, electors: &[(&HaNodeName, &Observer)], votes: usize) -> Lone {
    let policy = &scene.policy;
    let configured = scene.observers.len();
    if votes != 1 || configured > 2 || policy.quorum.is_some_and(|quorum| quorum > 1) {
        return Lone::Several;
    }
    let passing = passing(electors);
    let allowed = match (configured, passing) {
        (1, _) => policy.single_observer.unwrap_or(true),
        (_, 1) => policy.single_observer.unwrap_or(false),
        // Two observers live and one of them does not agree.
        _ => return Lone::Several,
    };
    if !allowed {
        return Lone::MayNot("one observer alone may not decide here: policy single_observer".into());
    }
    match &scene.anchor {
        Anchor::Reached(_) => Lone::May,
        Anchor::NotReached(what) => {
            Lone::MayNot(format!("one observer alone, and it reaches no anchor ({what})"))
        }
        Anchor::NotAsked => Lone::MayNot("one observer alone, and no anchor was asked".into()),
    }
}

/// The agent's part: `serfHealth` must be critical, unless the rule or the host says that it has
/// none. A lone observer needs it always.
fn with_agent(subject: &Subject, rule: &Rule, voters: Vec<HaNodeName>, quorum: usize, lone: bool) -> Verdict {
    let serf = match (subject.has_agent, subject.serf) {
        (true, Some(SerfHealth::Critical)) => "critical",
        (true, Some(SerfHealth::Passing)) if rule.agent_must_be_critical || lone => {
            return Verdict::CannotTell(CannotTell::AgentAnswers { votes: voters.len() });
        }
        (true, Some(SerfHealth::Passing)) => "passing (the rule allows it)",
        (true, None) => return Verdict::CannotTell(CannotTell::AgentAbsent),
        (false, _) if lone => {
            return Verdict::CannotTell(CannotTell::LoneObserver(
                "one observer alone needs a critical serfHealth, and this host runs no agent".into(),
            ));
        }
        (false, _) => "none (config/agent)",
    };
    Verdict::Dead(Proof { voters, quorum, planes: rule.planes.clone(), serf: serf.into() })
}
