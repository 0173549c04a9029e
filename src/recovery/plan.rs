//! Deciding: from facts to a plan, or to the reasons why not. Pure; `--plan` prints what it says.

use serde::{Deserialize, Serialize};

use super::capacity::Fit;
use super::evacuation::choice::{self, Surroundings};
use super::evacuation::treatment::Target;
use super::reports::watch::Reading;
use super::storage::answer::Answer;
use crate::fence::{Next, PowerState, Verdict};
use crate::incident::step::RECOVERY;
use crate::names::{HaNodeName, IncidentId};
use crate::nova::ownership;
use crate::nova::{NovaHost, Server, ServiceState, ServiceStatus};
use crate::tree::formats::Kind;
use crate::tree::nova_names::TreeMachine;
use crate::tree::record::Record;
use crate::tree::storage::Strategy;

mod facts;
mod guests;

pub use self::facts::{Facts, LevelFact, LevelState, NotAsked, NovaFacts, PlannedGuest, TargetFacts};

/// Why this HA node cannot recover this host now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// The reason.
    pub reason: String,
    /// The operator's next command.
    pub next: String,
}

/// What would be, or is being, done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Format version.
    pub version: u64,
    /// The incident.
    pub incident: IncidentId,
    /// Who would do it.
    pub by: HaNodeName,
    /// Steps in order.
    pub steps: Vec<String>,
    /// Fence levels in order, with what each said.
    pub fence: Vec<String>,
    /// Where the guests go.
    pub target: Target,
    /// Storage strategy.
    pub storage: String,
    /// Whether there is room for them, in one line.
    #[serde(default)]
    pub capacity: String,
    /// Guests.
    pub guests: Vec<PlannedGuest>,
    /// What a person should know beside.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What the guests' marks were read from; every run reads it anew.
    #[serde(skip)]
    pub surroundings: Surroundings,
    /// The run's first look at the host's reports to Nova; every run has its own.
    #[serde(skip)]
    pub first_reading: Option<Reading>,
}

impl Record for Plan {
    const VERSION: u64 = Kind::Plan.newest();
}

/// Decides.
pub fn plan(facts: &Facts) -> Result<Plan, Vec<Blocker>> {
    let host = facts.id.host();
    let mut blockers = Vec::new();
    let mut block = |reason: String, next: String| blockers.push(Blocker { reason, next });
    if facts.is_self {
        block(
            format!("{host} is this very HA node: nobody shoots itself"),
            format!("nova-ha host show {host}"),
        );
    }
    name_blockers(facts, &mut block);
    fence_blockers(facts, &mut block);
    if let Strategy::Refused { word, why } = &facts.storage.strategy {
        block(
            format!("storage strategy {word:?} cannot be used: {why}"),
            format!(
                "nova-ha ha-node add {} --replace --storage md --nova-mountpoint PATH   (or shared, exec)",
                facts.me
            ),
        );
    }
    // That the host lives is seen once it was begun: the step itself holds it for a person then.
    if let Some(answer @ (Answer::Refused { .. } | Answer::Contradicted { .. } | Answer::CannotTell { .. })) =
        &facts.storage_says
    {
        let by = match &facts.storage.strategy {
            Strategy::Exec { .. } => "storage program",
            Strategy::Md | Strategy::Shared | Strategy::Refused { .. } => "disks",
        };
        block(
            format!("the {by} of {}: {}", facts.me, answer.text()),
            format!("look at it on {}: nova-ha ha-node show {0}", facts.me),
        );
    }
    if let Some(why) = &facts.nova_user_unknown {
        block(
            format!("on {}: {why}", facts.me),
            format!("nova-ha ha-node add {} --replace --nova-user NAME   (id -u NAME there)", facts.me),
        );
    }
    let target = match &facts.nova {
        Err(NotAsked { why, next }) => {
            block(format!("Nova cannot be asked: {why}"), format!("{next}   (on {})", facts.me));
            None
        }
        Ok(nova) => nova_blockers(facts, nova, &mut block),
    };
    let planned = match (&target, &facts.nova) {
        (Some(target), Ok(nova)) => guests::planned(facts, nova, target),
        (None, _) | (_, Err(_)) => Vec::new(),
    };
    let capacity = match &facts.nova {
        Ok(nova) => guests::said_of_room(&planned, nova, target.as_ref()),
        Err(_) => String::new(),
    };
    if facts.capacity_blocks && planned.iter().any(|guest| guest.room == Some(Fit::Waits)) {
        blockers.push(Blocker {
            reason: capacity.clone(),
            next: "make room, or nova-ha policy set capacity_blocks false (recovers those with room)".into(),
        });
    }
    match (target, &facts.nova) {
        (Some(target), Ok(nova)) if blockers.is_empty() => Ok(Plan {
            version: Plan::VERSION,
            incident: facts.id.clone(),
            by: facts.me.clone(),
            steps: RECOVERY.iter().map(|row| row.step.name().to_owned()).collect(),
            fence: facts.levels.iter().map(|fact| fact.text()).collect(),
            capacity,
            guests: planned,
            notes: guests::notes(facts, nova),
            surroundings: nova.surroundings.clone(),
            first_reading: nova.first_reading.clone(),
            target,
            storage: match &facts.storage_says {
                None => facts.storage.strategy.word().to_owned(),
                Some(answer) => format!("{}, {}", facts.storage.strategy.word(), answer.text()),
            },
        }),
        _ => Err(blockers),
    }
}

/// The guests of a Nova host are evacuated because a machine is off: which Nova host that machine is may not be in doubt. Nor
/// whose the arrays are that would be taken.
fn name_blockers(facts: &Facts, block: &mut impl FnMut(String, String)) {
    let host = facts.id.host();
    for doubt in &facts.name_doubts {
        block(format!("{host}: {}", doubt.text()), doubt.next(host));
    }
    for doubt in &facts.array_doubts {
        block(format!("{host}: {}", doubt.text()), doubt.next(host));
    }
}

fn fence_blockers(facts: &Facts, block: &mut impl FnMut(String, String)) {
    let host = facts.id.host();
    for fact in &facts.levels {
        if let LevelState::Answers { identity: Verdict::Differs { .. }, .. } = &fact.state {
            block(
                fact.text(),
                format!(
                    "compare with: nova-ha host show {host}; then nova-ha host add {host} --replace --bmc-ip ..., or, if it is \
                     its own and this stands on it: --bmc-identity UUID|SERIAL"
                ),
            );
        }
    }
    if facts.levels.iter().any(|fact| fact.state.is_usable(facts.allow_unidentified_bmc)) {
        return;
    }
    let is_on = |fact: &&LevelFact| matches!(fact.state, LevelState::Answers { power: PowerState::On, .. });
    let said: Vec<String> = facts.levels.iter().map(LevelFact::text).collect();
    let settled = Next::of(facts.levels.iter().filter_map(|fact| fact.next.clone())).unwrap_or_else(|| {
        Next::Look(match facts.levels.len() {
            0 => format!(
                "nova-ha host add {host} --replace --bmc-ip ADDRESS --bmc-user NAME --bmc-password-file FILE"
            ),
            _ => format!("look at them: nova-ha host show {host}"),
        })
    });
    let at_last = format!("if the host is off: nova-ha confirm-off {host} --by NAME --ttl 10m");
    let next = match &facts.identity_doubt {
        Some(doubt) => doubt.next(&TreeMachine::Host(host.clone())),
        None => settled.then_word(&at_last),
    };
    match (&facts.confirmed_off_by, facts.levels.iter().find(is_on)) {
        (None, _) => block(
            format!(
                "no fence level of {host} can be used: {}{}",
                said.join("; "),
                facts.word_refused.as_ref().map_or_else(String::new, |why| format!("; {why}"))
            ),
            next,
        ),
        // It may not be used to switch off; what it reads counts all the same against a person's word,
        // which may have been given for the machine beside it.
        (Some(by), Some(on)) => block(
            format!("{host} is {by}, and a device of it says on: {}", on.text()),
            format!("look at {host} again: nova-ha host show {host}"),
        ),
        (Some(_), None) => {}
    }
}

fn nova_blockers(facts: &Facts, nova: &NovaFacts, block: &mut impl FnMut(String, String)) -> Option<Target> {
    let host = facts.id.host();
    match &nova.service {
        None => block(
            format!("Nova knows no nova-compute on host {}", nova.host),
            format!("nova-ha host add {host} --replace --nova-host NAME   (openstack compute service list)"),
        ),
        Some(service) => {
            if let Some(mark) = ownership::foreign_mark(service) {
                let reason = service.disabled_reason.as_deref().unwrap_or("").to_ascii_lowercase();
                block(
                    format!("another HA system has its mark on {} ({mark}): {reason:?}", nova.host),
                    format!("end the other system's recovery, or nova-ha maintenance on {host}"),
                );
            }
        }
    }
    let aggregates = &nova.surroundings.aggregates;
    // For a guest what is unread is no *no*; for a host it must not become *ours*.
    if let Some(why) = &nova.surroundings.aggregates_unread {
        block(
            format!("nobody can tell whether another HA system recovers {}: {why}", nova.host),
            format!("openstack aggregate list   (on {})", facts.me),
        );
    }
    if let Some(owner) = ownership::foreign_owner(aggregates) {
        block(
            format!("another HA system recovers {}: {owner}", nova.host),
            format!("nova-ha maintenance on {host}, or set {} to {}", ownership::OWNER_KEY, ownership::OWNER),
        );
    }
    // Nobody is shot for guests that nobody wants recovered.
    let wanted = |server: &Server| {
        choice::wish(server, &nova.surroundings, facts.recover_only_opted_in).excluded.is_none()
    };
    if let Some(why) = choice::host_opted_out(aggregates)
        && !nova.servers.iter().any(wanted)
    {
        block(
            format!("{} is opted out ({why}), and no flavor of its guests opts one in", nova.host),
            format!("nova-ha maintenance on {host}, or change the aggregate"),
        );
    }
    let target = choose(&nova.targets, &nova.host);
    let is_here = |target: &Target| target.host() == Some(&facts.own_nova_host);
    if matches!(facts.storage.strategy, Strategy::Md | Strategy::Exec { .. })
        && target.as_ref().is_some_and(|target| !is_here(target))
    {
        block(
            format!(
                "HA node {} takes the storage over, and its guests would go elsewhere: {}",
                facts.me,
                said_of(&nova.targets)
            ),
            format!("nova-ha ha-node add {} --replace --targets this_ha_node", facts.me),
        );
    }
    if target.is_none() {
        block(
            format!("no target can take guests: {}", said_of(&nova.targets)),
            "openstack compute service list; start nova-compute on a target".into(),
        );
    }
    target
}

/// The first named target that is up and is not the host itself.
fn choose(targets: &TargetFacts, source: &NovaHost) -> Option<Target> {
    match targets {
        TargetFacts::Scheduler => Some(Target::Scheduler),
        TargetFacts::Named(candidates) => candidates.iter().find_map(|(host, service)| {
            let service = service.as_ref()?;
            let able = host != source && service.state == ServiceState::Up && !service.forced_down;
            able.then(|| Target::Host {
                host: host.clone(),
                reserved: service.status == ServiceStatus::Disabled,
            })
        }),
    }
}

fn said_of(targets: &TargetFacts) -> String {
    match targets {
        TargetFacts::Scheduler => "scheduler".into(),
        TargetFacts::Named(candidates) => candidates
            .iter()
            .map(|(host, service)| match service {
                None => format!("{host}: Nova knows no nova-compute there"),
                Some(s) if s.forced_down => format!("{host}: forced down"),
                Some(s) => format!("{host}: {:?}", s.state).to_lowercase(),
            })
            .collect::<Vec<_>>()
            .join("; "),
    }
}

impl Plan {
    /// As a person reads it.
    pub fn text(&self) -> String {
        let mut lines = vec![
            format!("incident {}, by {}", self.incident, self.by),
            format!("steps    {}", self.steps.join(" -> ")),
            format!("target   {}", self.target),
            format!("storage  {}", self.storage),
            format!("capacity {}", self.capacity),
        ];
        lines.extend(self.fence.iter().map(|level| format!("fence    {level}")));
        lines.extend(self.guests.iter().map(|g| {
            let waits = if g.room == Some(Fit::Waits) { "; NO ROOM" } else { "" };
            format!("guest    {:<20} {:<8} {}{waits}", g.name, g.vm_state, g.treatment)
        }));
        lines.extend(self.notes.iter().map(|note| format!("note     {note}")));
        lines.push(format!("{} guests; nothing was done (--plan)", self.guests.len()));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests;
