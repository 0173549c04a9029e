//! The HA node that holds an incident: whether it is dead, and whether it is proved off. Another HA
//! node adopts only on the first, and repeats what it had begun only on the second. Where it may have the
//! storage mounted, it is powered off for that.

use super::arming::{Armed, arm_machine};
use super::journal::Journal;
use super::only_said::OnlySaid;
use super::rejudged::Rejudged;
use super::silence::settled;
use super::stop::{Lives, Stop};
use super::word::Whereabouts;
use super::world::{World, chain};
use super::{hearsay, identified};
use crate::bindings::{self, Expected};
use crate::clock::BootInstant;
use crate::evidence::{About, Pins, look};
use crate::fence::off::{Changed, Settings, prove_off};
use crate::fence::{self, FenceLevels, Machine, Next, NotOff, PoweredOff, SaidOff};
use crate::judge::decision::{No, stops_an_ha_node};
use crate::judge::guard::guards;
use crate::judge::verdict::quorum_sees_alive;
use crate::judge::{Verdict, judge};
use crate::keys::{self, MachineKeys};
use crate::names::HaNodeName;
use crate::policy::Policy;
use crate::ssh::Answer;
use crate::tree::Snapshot;
use crate::tree::machine::SshAccess;
use crate::tree::maintenance::Maintenance;
use crate::tree::nova_names::TreeMachine;

/// What can be said of an HA node that holds an incident, by the same rules as of any host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// It is dead, by this verdict.
    Dead {
        /// In one line.
        verdict: String,
        /// What keeps it from being powered off all the same: a guard over the whole site.
        guard: Option<No>,
    },
    /// It lives. One on which `recover` merely crashed lives too, and resumes itself.
    Lives(Lives),
    /// Neither.
    CannotTell {
        /// Why.
        why: String,
    },
}

impl Life {
    /// Why it is not dead, for people.
    pub fn why_not_dead(&self) -> Option<String> {
        match self {
            Life::Dead { .. } => None,
            Life::Lives(lives) => Some(format!("it is alive: {}", lives.why)),
            Life::CannotTell { why } => Some(format!("cannot tell whether it is dead: {why}")),
        }
    }
}

/// Looks now.
pub async fn life(world: &World, holder: &HaNodeName) -> Result<Life, Stop> {
    let seen = look(&world.witness(), About::Suspects, true).await.map_err(|error| {
        Stop::waiting(
            format!("cannot judge HA node {holder}: {}", chain(&error)),
            error.hint().unwrap_or_default(),
        )
    })?;
    if let Some(error) = seen.unreadable_ha_nodes.get(holder) {
        return Err(Stop::waiting(
            format!("cannot judge HA node {holder}: {}", chain(error)),
            error.hint().unwrap_or_default(),
        ));
    }
    let Some(subject) = seen.ha_subjects.get(holder) else {
        return Ok(Life::CannotTell { why: "nobody configured it; nova-ha ha-node list".into() });
    };
    let doubtful = guards(&seen.scene).doubtful;
    Ok(match judge(&seen.scene, holder.as_str(), subject, &doubtful) {
        Verdict::Dead(proof) => {
            let voters: Vec<&str> = proof.voters.iter().map(|v| v.as_str()).collect();
            let verdict = format!(
                "{} of {} votes ({}), serfHealth {}",
                voters.len(),
                proof.quorum,
                voters.join(", "),
                proof.serf
            );
            Life::Dead { verdict, guard: stops_an_ha_node(&seen.scene) }
        }
        Verdict::Alive(why) => {
            let by_quorum = quorum_sees_alive(&seen.scene, holder.as_str(), subject, &doubtful);
            Life::Lives(Lives { node: holder.clone(), why, by_quorum })
        }
        Verdict::CannotTell(why) => Life::CannotTell { why: why.text() },
    })
}

/// Whether the earlier holder is proved off: then nothing it started can still be on its way. Reads only.
pub async fn is_off(world: &World, holder: &HaNodeName) -> Result<bool, Stop> {
    Ok(prove(world, holder).await?.is_some())
}

/// The proof that an earlier holder is off, where its devices give one. Reads only.
pub async fn prove(world: &World, holder: &HaNodeName) -> Result<Option<PoweredOff>, Stop> {
    let node = Node::read(world, holder).await?;
    let expected = node.expected(world).await?;
    let armed = node.arm(world, &expected).await;
    match prove_off(&armed.levels, world.clock.as_ref(), &Settings::of(&node.policy)).await {
        Ok(said) => Ok(node.believed(world, &armed.levels, &expected, said).await?.ok()),
        Err(_) => Ok(None),
    }
}

/// Whether an earlier holder that may have the storage mounted may be powered off: by which votes it is dead, in one
/// line. Not one that is in maintenance, nor one that shows its own host key.
///
/// # Errors
/// It may not: it lives, or waiting, and why.
pub async fn may_be_shot(world: &World, holder: &HaNodeName) -> Result<String, Stop> {
    let verdict = match life(world, holder).await? {
        Life::Dead { verdict, guard: None } => verdict,
        Life::Dead { guard: Some(no), .. } => {
            return Err(Stop::waiting(
                format!(
                    "HA node {holder} may have the storage mounted and is dead, but nobody is shot: {}",
                    no.text()
                ),
                format!("nova-ha status; if {holder} has nothing of it mounted, power it off"),
            ));
        }
        Life::Lives(lives) => return Err(Stop::HolderLives { lives }),
        Life::CannotTell { why } => {
            return Err(Stop::waiting(
                format!(
                    "HA node {holder} may have the storage mounted; cannot tell whether it is dead: {why}"
                ),
                format!(
                    "look at {holder}: if it has nothing of it mounted, power it off; nova-ha ha-node show {holder}"
                ),
            ));
        }
    };
    let node = Node::read(world, holder).await?;
    let tree = |source| Stop::Tree { source };
    let maintenance = Maintenance::of(&node.snapshot, &node.keys).map_err(tree)?;
    if maintenance.on {
        let why = maintenance.reason.unwrap_or_else(|| "no reason given".into());
        return Err(Stop::waiting(
            format!("HA node {holder} may have the storage mounted, and is in maintenance ({why})"),
            format!("power {holder} off, or nova-ha maintenance off {holder}"),
        ));
    }
    let said = match node.door()?.at(holder).ask(world).await {
        Answer::Yes => "answers with its own host key",
        // It may be the HA node, and nobody can tell; it is not *dead*.
        Answer::NotPinned => "an SSH server answers at its address (no host key of it is pinned)",
        Answer::OtherKey | Answer::No(_) | Answer::CannotTell(_) => return Ok(verdict),
    };
    Err(Stop::waiting(
        format!("HA node {holder} may have the storage mounted, and {said}"),
        format!("look at {holder}: nova-ha ha-node show {holder}"),
    ))
}

/// Powers off an earlier holder of which [`may_be_shot`] said so just now.
///
/// # Errors
/// It is not proved off; commands may have been sent.
pub async fn power_off(
    world: &World,
    holder: &HaNodeName,
    journal: &Journal<'_>,
    judged_at: BootInstant,
) -> Result<(PoweredOff, Changed), Stop> {
    let node = Node::read(world, holder).await?;
    let expected = node.expected(world).await?;
    let armed = node.arm(world, &expected).await;
    let settings = Settings::of(&node.policy);
    let judge = || async { may_be_shot(world, holder).await.map(drop) };
    let may_command = Rejudged::new(world, journal, node.policy.probe_interval, judged_at, judge);
    let off = fence::off::power_off(&armed.levels, world.clock.as_ref(), &settings, &may_command).await;
    let stopped = may_command.stopped();
    let (said, changed) = match off {
        Ok(off) => off,
        Err(NotOff::Lease { source, .. }) => return Err(stopped.unwrap_or_else(|| source.into())),
        Err(not_off @ (NotOff::NoLevels { .. } | NotOff::NotProved { .. })) => {
            let said: Vec<String> = armed.facts.iter().map(super::plan::LevelFact::text).collect();
            let wrong = Next::of(armed.facts.iter().filter_map(|fact| fact.next.clone()));
            let next = match wrong {
                Some(Next::Setting(command)) => command,
                Some(Next::Look(_)) | None => format!(
                    "power {holder} off, and make its BMC answer as its own (nova-ha ha-node add {holder} --replace \
                     --bmc-identity UUID, its DMI system UUID): nova-ha ha-node show {holder}"
                ),
            };
            return Err(Stop::waiting(
                format!(
                    "HA node {holder} may have the storage mounted, and is not proved off: {not_off} ({})",
                    said.join("; ")
                ),
                next,
            ));
        }
    };
    let door = node.door()?;
    let answer = settled(world.clock.as_ref(), || async { door.at(&node.name).ask(world).await }).await;
    if answer.is_of_somebody() {
        return Err(Stop::waiting(
            format!(
                "the power of HA node {holder} reads off, yet its address takes connections or refuses them ({})",
                answer.text()
            ),
            format!(
                "see what has the address of {holder}, and whether it is off: nova-ha ha-node show {holder}"
            ),
        ));
    }
    if answer == Answer::Yes {
        return Err(Stop::held(format!(
            "the power of HA node {holder} reads off, yet it answers with its own host key: the reading is false"
        )));
    }
    match node.believed(world, &armed.levels, &expected, said).await? {
        Ok(proof) => Ok((proof, changed)),
        Err(why) => Err(Stop::OnlySaid { why: Box::new(why) }),
    }
}

/// An earlier holder, by the tree.
struct Node {
    name: HaNodeName,
    keys: MachineKeys,
    snapshot: Snapshot,
    policy: Policy,
}

impl Node {
    async fn read(world: &World, name: &HaNodeName) -> Result<Self, Stop> {
        let keys = keys::ha_node(name);
        let tree = |source| Stop::Tree { source };
        let own = [keys.config(), keys.runtime_config(), keys.observers()];
        let prefixes = [keys::META.to_owned(), keys::POLICY.to_owned()].into_iter().chain(own);
        let prefixes: Vec<String> = prefixes.collect();
        let snapshot =
            Snapshot::read(world.store.as_ref(), "the earlier holder", &prefixes).await.map_err(tree)?;
        let policy = Policy::of(&snapshot).map_err(tree)?;
        Ok(Self { name: name.clone(), keys, snapshot, policy })
    }

    /// Its devices, as far as they are its own.
    async fn arm(&self, world: &World, expected: &Expected) -> Armed {
        let machine = Machine::HaNode(self.name.clone());
        let may = self.policy.allow_unidentified_bmc;
        arm_machine(world, machine, &self.snapshot, &self.keys, expected, may).await
    }

    /// What its BMC must say it is.
    async fn expected(&self, world: &World) -> Result<Expected, Stop> {
        let own = TreeMachine::HaNode(self.name.clone());
        let expected = bindings::expect(world.store.as_ref(), &self.snapshot, &own).await;
        expected.map_err(|source| Stop::Tree { source })
    }

    /// The proof that an *off* of it is.
    async fn believed(
        &self,
        world: &World,
        levels: &FenceLevels,
        expected: &Expected,
        said: SaidOff,
    ) -> Result<Result<PoweredOff, OnlySaid>, Stop> {
        let clock = world.clock.as_ref();
        let why = match identified::its_own(levels, expected, &self.policy, clock, &said).await {
            fence::Verdict::Matches => None,
            fence::Verdict::CannotTell(why) => {
                Some(format!("does not say any more that it is {}'s: {why}", self.name))
            }
            fence::Verdict::Differs { expected, found } => {
                Some(format!("is ANOTHER machine's now: expected {expected}, found {found}"))
            }
        };
        if let Some(why) = why {
            return Err(Stop::waiting(
                format!("{} says that HA node {} is off, and {why}", said.by(), self.name),
                format!("nova-ha ha-node show {}; whose BMC is it?", self.name),
            ));
        }
        match said.by_itself() {
            Ok(proof) => Ok(Ok(proof)),
            Err(hearsay) => hearsay::believed(world, hearsay, self.door()?.at(&self.name)).await,
        }
    }

    /// Where it answers, and by which keys it is known.
    fn door(&self) -> Result<Door, Stop> {
        let tree = |source| Stop::Tree { source };
        let ssh = SshAccess::of(&self.snapshot, &self.keys).map_err(tree)?;
        let pins = Pins::of(&self.snapshot, &self.keys, &ssh).map_err(tree)?;
        Ok(Door { address: ssh.address, port: ssh.port, pins })
    }
}

/// Where an earlier holder answers.
struct Door {
    address: Option<String>,
    port: u16,
    pins: Pins,
}

impl Door {
    fn at<'a>(&'a self, name: &'a HaNodeName) -> Whereabouts<'a> {
        let address = self.address.as_deref().unwrap_or(name.as_str());
        Whereabouts { address, port: self.port, pins: &self.pins }
    }
}
