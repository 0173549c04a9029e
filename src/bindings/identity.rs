//! What a machine's BMC must say it is, and whether another machine claims to be the same.

use super::rival::{Rival, Standing, accept};
use crate::fence::Identity;
use crate::fence::identity::{Verdict, compare};
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

impl Source {
    /// How it stands against another machine's claim.
    pub(super) fn standing(self) -> Standing {
        match self {
            Source::Typed | Source::Accepted => Standing::Bound,
            Source::FirstSight => Standing::Published,
        }
    }
}

/// What a machine's BMC must say it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// UUID and serial number.
    pub identity: Identity,
    /// By whose word.
    pub source: Source,
    /// Another machine that claims to be the same, where this one is known by its own word only.
    pub rival: Option<Rival>,
}

impl Expected {
    fn by(source: Source, identity: Identity) -> Self {
        Self { identity, source, rival: None }
    }

    /// Compares it with what a device states. As long as another machine claims to be the same, a device that
    /// states this does not tell which of them it powers.
    pub fn compare(&self, found: &Identity) -> Verdict {
        match (compare(&self.identity, found), self.doubt()) {
            (Verdict::Matches, Some(doubt)) => Verdict::CannotTell(doubt.text()),
            (verdict, _) => verdict,
        }
    }

    /// Whether a machine that states this is another one. What cannot be compared contradicts nothing.
    pub fn contradicts(&self, stated: &Identity) -> bool {
        matches!(compare(&self.identity, stated), Verdict::Differs { .. })
    }

    /// Why it does not decide which device is the machine's.
    pub fn doubt(&self) -> Option<IdentityDoubt> {
        let rival = self.rival.clone()?;
        Some(IdentityDoubt { identity: self.identity.clone(), rival })
    }
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
        let identity = Identity { uuid: bound.system_uuid, serial: bound.system_serial };
        if identity.is_usable() {
            return Ok(Expected::by(Source::Accepted, identity));
        }
    }
    let published = Published::of(snapshot, keys);
    let identity = Identity {
        uuid: published.system_uuid().ok().flatten(),
        serial: published.system_serial().ok().flatten(),
    };
    Ok(Expected::by(Source::FirstSight, identity))
}

/// A machine is known by its own word only, and another one claims to be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityDoubt {
    /// What both claim.
    pub identity: Identity,
    /// The other.
    pub rival: Rival,
}

impl IdentityDoubt {
    /// For people: a predicate, after the machine's name and a colon.
    pub fn text(&self) -> String {
        format!(
            "it publishes that it is the machine with {}, and {}; a machine's own word does not decide which BMC is its own",
            self.identity, self.rival
        )
    }

    /// The operator's next command.
    pub fn next(&self, machine: &TreeMachine) -> String {
        match (machine, self.rival.standing) {
            (TreeMachine::Host(host), Standing::Published | Standing::Named) => accept(host),
            (TreeMachine::Host(host), Standing::Bound) => {
                format!("nova-ha host add {host} --replace --bmc-identity UUID   (as its BMC states it)")
            }
            (TreeMachine::HaNode(node), Standing::Bound | Standing::Published | Standing::Named) => {
                format!("nova-ha ha-node add {node} --replace --bmc-identity UUID   (as its BMC states it)")
            }
        }
    }
}

/// Whether two machines claim to be the same one: everything that both state agrees.
pub(super) fn is_same(a: &Identity, b: &Identity) -> bool {
    compare(a, b) == Verdict::Matches
}
