//! What a machine's BMC must say it is, and whether another machine claims to be the same.

use std::fmt;

use super::rival::{Rival, Standing, accept};
use crate::identity::{Identity, Unclear, Verdict, compare};
use crate::keys::MachineKeys;
use crate::tree::bound::Bound;
use crate::tree::nova_names::TreeMachine;
use crate::tree::published::Published;
use crate::tree::{Snapshot, TreeError};

/// By whose word an identity is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A person typed it (`config/bmc/identity`).
    Typed,
    /// A person accepted what the machine had published (`config/bound`).
    Accepted,
    /// The machine's own word, which nobody bound.
    FirstSight,
}

/// What a machine's BMC must say it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// UUID and serial number.
    pub identity: Identity,
    /// By whose word.
    pub source: Source,
    /// What other machines claim with a right that weighs against this one's.
    others: Vec<Claimant>,
}

/// What another machine claims to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claimant {
    pub(super) rival: Rival,
    pub(super) identity: Identity,
}

/// A part of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The UUID: some vendors ship one on a whole batch.
    Uuid,
    /// The serial number: the blades of a chassis may all state that of the chassis.
    Serial,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Uuid => f.write_str("UUID"),
            Part::Serial => f.write_str("serial number"),
        }
    }
}

/// Another machine that has the UUID or the serial number of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// What both have.
    pub what: Part,
    /// The other.
    pub rival: Rival,
}

impl Twin {
    /// For people: a predicate, after the machine's name and a colon.
    pub fn text(&self) -> String {
        let Self { what, rival } = self;
        let why = match rival.standing {
            Standing::Bound => "is bound to it too",
            Standing::Published | Standing::Named => "publishes it too",
        };
        format!(
            "twin of {}, which {why}: one {what} on both. A device is told by what is left, and has to state it",
            rival.machine
        )
    }
}

impl Expected {
    fn by(source: Source, identity: Identity) -> Self {
        Self { identity, source, others: Vec::new() }
    }

    /// What a machine publishes of itself, whatever it is bound to.
    pub(super) fn published(identity: Identity) -> Self {
        Self::by(Source::FirstSight, identity)
    }

    /// The same beside what others claim: a binding weighs, and what another machine merely publishes only against what this
    /// one merely publishes. One that is bound goes before one that publishes.
    pub(super) fn beside(self, others: impl Iterator<Item = Claimant>) -> Self {
        let weighs = |other: &Claimant| match (self.source, other.rival.standing) {
            (_, Standing::Bound) | (Source::FirstSight, Standing::Published | Standing::Named) => true,
            (Source::Typed | Source::Accepted, Standing::Published | Standing::Named) => false,
        };
        let mut others: Vec<Claimant> = others.filter(weighs).collect();
        others.sort_by_key(|other| other.rival.standing != Standing::Bound);
        Self { others, ..self }
    }

    /// Compares it with what a device states.
    ///
    /// A number that another machine is bound to is that machine's, whatever the UUID says. A UUID decides alone only while no
    /// other machine claims it; else one of the numbers has to be equal, and to be nobody else's.
    pub fn compare(&self, found: &Identity) -> Verdict {
        let (own, expected) = (&self.identity, self.identity.to_string());
        if own.same_uuid(found) == Some(false) {
            return Verdict::Differs { expected, found: found.to_string() };
        }
        for other in &self.others {
            let Some(serial) = other.identity.serial_of_both_but(found, own) else { continue };
            return match other.rival.standing {
                Standing::Bound => {
                    let found = format!("{found} ({} is bound to serial {serial})", other.rival.machine);
                    Verdict::Differs { expected, found }
                }
                Standing::Published | Standing::Named => self.claimed("serial", &other.rival),
            };
        }
        match (own.same_uuid(found), own.same_serial(found)) {
            (None, None) => {
                Verdict::CannotTell(Unclear::NotComparable { expected: own.clone(), found: found.clone() })
            }
            (None, Some(false)) => Verdict::Differs { expected, found: found.to_string() },
            (Some(true), serial) => match (self.rival_by(Identity::same_uuid), serial) {
                (None, _) => Verdict::Matches,
                (Some(_), Some(true)) if self.rival_by(Identity::same_serial).is_none() => Verdict::Matches,
                (Some(rival), _) => self.claimed("UUID", &rival),
            },
            (None, Some(true)) => match self.rival_by(Identity::same_serial) {
                None => Verdict::Matches,
                Some(rival) => self.claimed("serial", &rival),
            },
            // Answered above.
            (Some(false), _) => Verdict::Differs { expected, found: found.to_string() },
        }
    }

    fn claimed(&self, what: &str, rival: &Rival) -> Verdict {
        let why = format!(
            "it states the {what} of {}, and that does not tell them apart: {rival}; {}",
            self.identity, TOLD_APART
        );
        let next = match self.source {
            Source::FirstSight => "nova-ha host accept --all --by NAME   (shows it first)".to_owned(),
            Source::Typed | Source::Accepted => settled(rival),
        };
        Verdict::CannotTell(Unclear::Claimed { why, next })
    }

    fn rival_by(&self, same: fn(&Identity, &Identity) -> Option<bool>) -> Option<Rival> {
        let is_it = |other: &&Claimant| same(&self.identity, &other.identity) == Some(true);
        self.others.iter().find(is_it).map(|other| other.rival.clone())
    }

    /// Whether a machine that states this is another one. What cannot be compared contradicts nothing.
    pub fn contradicts(&self, stated: &Identity) -> bool {
        matches!(compare(&self.identity, stated), Verdict::Differs { .. })
    }

    /// Why it does not decide which device is the machine's: another machine claims all of it.
    pub fn doubt(&self) -> Option<IdentityDoubt> {
        let (uuid, serial) = (self.rival_by(Identity::same_uuid), self.rival_by(Identity::same_serial));
        let tells =
            (self.identity.has_uuid() && uuid.is_none()) || (self.identity.has_serial() && serial.is_none());
        let rival = uuid.or(serial).filter(|_| !tells)?;
        Some(IdentityDoubt { identity: self.identity.clone(), source: self.source, rival })
    }

    /// Another machine that has a part of it: what is left tells them apart.
    pub fn twin(&self) -> Option<Twin> {
        let of = |what, rival: Option<Rival>| rival.map(|rival| Twin { what, rival });
        of(Part::Uuid, self.rival_by(Identity::same_uuid))
            .or_else(|| of(Part::Serial, self.rival_by(Identity::same_serial)))
    }
}

/// What a device has to state where two machines have one UUID.
const TOLD_APART: &str = "a device that states a serial number as well is told apart by that";

/// What settles that two machines claim the same.
fn settled(rival: &Rival) -> String {
    format!(
        "nova-ha host show {}; whose is it? nova-ha host add HOST --replace --bmc-identity SERIAL   (as its BMC states it)",
        rival.machine.name()
    )
}

/// What the BMC of a machine must say it is: what is bound, and the machine's own word only where nothing is. Whether another
/// machine claims the same, [`super::expect`] says.
///
/// # Errors
/// What an operator wrote cannot be understood. What the machine published and cannot be understood is none.
pub fn expected(snapshot: &Snapshot, keys: &MachineKeys) -> Result<Expected, TreeError> {
    if let Some(typed) = snapshot.text(&keys.bmc_field("identity"))? {
        return Ok(Expected::by(Source::Typed, Identity::pinned(&typed)));
    }
    let bound: Option<Bound> = snapshot.record(&keys.bound())?;
    if let Some(bound) = bound {
        let identity =
            Identity { uuid: bound.system_uuid, serial: bound.system_serial, ..Identity::default() };
        if identity.is_usable() {
            return Ok(Expected::by(Source::Accepted, identity));
        }
    }
    let published = Published::of(snapshot, keys);
    let identity = Identity {
        uuid: published.system_uuid().ok().flatten(),
        serial: published.system_serial().ok().flatten(),
        ..Identity::default()
    };
    Ok(Expected::by(Source::FirstSight, identity))
}

/// All that a machine claims to be: whatever an operator bound it to, or else what it publishes. What cannot be understood is a
/// fault of its own, and claims nothing.
pub(super) fn claimed(snapshot: &Snapshot, keys: &MachineKeys) -> Vec<(Identity, Standing)> {
    let typed = snapshot.text(&keys.bmc_field("identity")).ok().flatten();
    let bound: Option<Bound> = snapshot.record(&keys.bound()).ok().flatten();
    let accepted = bound.map(|bound| Identity {
        uuid: bound.system_uuid,
        serial: bound.system_serial,
        ..Identity::default()
    });
    let bound: Vec<(Identity, Standing)> = [typed.map(|typed| Identity::pinned(&typed)), accepted]
        .into_iter()
        .flatten()
        .filter(Identity::is_usable)
        .map(|identity| (identity, Standing::Bound))
        .collect();
    if !bound.is_empty() {
        return bound;
    }
    let known = expected(snapshot, keys).ok().filter(|known| known.identity.is_usable());
    known.map(|known| (known.identity, Standing::Published)).into_iter().collect()
}

/// Another machine claims all that a machine is known by, with the same right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityDoubt {
    /// What both claim.
    pub identity: Identity,
    /// By whose word the machine is known by it.
    pub source: Source,
    /// The other.
    pub rival: Rival,
}

impl IdentityDoubt {
    /// For people: a predicate, after the machine's name and a colon.
    pub fn text(&self) -> String {
        match self.source {
            Source::FirstSight => format!(
                "it publishes that it is the machine with {}, and {}; a machine's own word does not decide which BMC is its own",
                self.identity, self.rival
            ),
            Source::Typed | Source::Accepted => format!(
                "it is bound to {}, and {}; so nobody can tell which of the two a BMC belongs to that states this",
                self.identity, self.rival
            ),
        }
    }

    /// The operator's next command.
    pub fn next(&self, machine: &TreeMachine) -> String {
        let what = match self.source {
            Source::FirstSight => "UUID",
            // The UUID is what they have in common, in all that was seen.
            Source::Typed | Source::Accepted => "SERIAL",
        };
        match (machine, self.source, self.rival.standing) {
            (TreeMachine::Host(host), Source::FirstSight, Standing::Published | Standing::Named) => {
                accept(host)
            }
            (TreeMachine::Host(host), _, _) => {
                format!("nova-ha host add {host} --replace --bmc-identity {what}   (as its BMC states it)")
            }
            (TreeMachine::HaNode(node), _, _) => {
                format!("nova-ha ha-node add {node} --replace --bmc-identity {what}   (as its BMC states it)")
            }
        }
    }
}

#[cfg(test)]
mod tests;
