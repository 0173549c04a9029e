//! The second host within the hour, where the site is too small for a share of it to be believed.
//!
//! Two hosts of a few that fail at once may as well be a switch, or the network of whoever looks. They are
//! believed when every HA node says so, three of them at least, and each of these sees yet another
//! compute host healthy in the same look. The Consul leader would not do as that anchor: it may be one of them.

use std::collections::BTreeSet;

use super::guard::Guards;
use super::scene::{Scene, Subject};
use super::verdict::Proof;
use crate::names::{HaNodeName, HostName};
use crate::store::SerfHealth;

/// Why the second host is not believed (yet).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Second {
    /// Not every HA node votes so.
    NotAll {
        /// Hosts counted.
        counted: usize,
        /// Who does not.
        missing: Vec<HaNodeName>,
    },
    /// There is no other compute host that all of them see healthy.
    NoHealthyHost {
        /// Hosts counted.
        counted: usize,
    },
}

impl Second {
    /// For people: one line.
    pub fn text(&self) -> String {
        match self {
            Second::NotAll { counted, missing } => {
                let missing: Vec<&str> = missing.iter().map(|name| name.as_str()).collect();
                format!(
                    "{counted} hosts fail or failed within the hour: they are marked only by the votes of all HA \
                     nodes, and {} does not vote so",
                    missing.join(", ")
                )
            }
            Second::NoHealthyHost { counted } => format!(
                "{counted} hosts fail or failed within the hour: they are marked only beside another compute host \
                 that all HA nodes see healthy in the same look, and there is none"
            ),
        }
    }
}

/// Whether this proof is enough for a host that is not the only one; the host that stands as its anchor.
pub(super) fn believed(
    scene: &Scene,
    guards: &Guards,
    host: &HostName,
    subject: &Subject,
    proof: &Proof,
) -> Result<HostName, Second> {
    let counted = guards.counted();
    let missing: Vec<HaNodeName> =
        scene.observers.keys().filter(|name| !proof.voters.contains(name)).cloned().collect();
    if !missing.is_empty() {
        return Err(Second::NotAll { counted, missing });
    }
    // What each voter saw healthy is in the very record that votes.
    let mut healthy: Option<BTreeSet<&HostName>> = None;
    for voter in &proof.voters {
        let sees = subject.testimonies.get(voter).map(|t| t.record.sees_healthy.iter().collect());
        let sees: BTreeSet<&HostName> = sees.unwrap_or_default();
        healthy = Some(match healthy {
            None => sees,
            Some(known) => known.intersection(&sees).copied().collect(),
        });
    }
    let is_anchor = |other: &&HostName| *other != host && is_well(scene, guards, other);
    match healthy.unwrap_or_default().into_iter().find(is_anchor) {
        Some(anchor) => Ok(anchor.clone()),
        None => Err(Second::NoHealthyHost { counted }),
    }
}

/// A configured host that nobody reports as failing, and with nothing else against it.
fn is_well(scene: &Scene, guards: &Guards, host: &HostName) -> bool {
    let is_case =
        guards.suspects.contains(host) || scene.incidents.iter().any(|i| i.open && i.id.host() == host);
    let is_well = scene.subjects.get(host).is_none_or(|subject| {
        let fails =
            subject.testimonies.values().any(|t| t.record.epoch == subject.epoch && t.record.fails > 0);
        !fails && !subject.failed && subject.serf != Some(SerfHealth::Critical)
    });
    scene.hosts.contains(host) && !is_case && is_well
}
