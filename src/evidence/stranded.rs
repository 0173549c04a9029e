//! HA nodes that have guests and are dead: judged by the same rules as an HA node that holds an incident. Nothing is done on it.

use super::EvidenceError;
use super::look::{About, look};
use super::witness::Witness;
use crate::incident::guests_seen::NovaSays;
use crate::incident::on_ha_nodes::{Fate, OnHaNodes, Stranded};
use crate::judge::guard::guards;
use crate::judge::verdict::CannotTell;
use crate::judge::{Verdict, judge};

/// Looks, where a ledger says that an HA node has guests; else nothing more is read than that.
///
/// # Errors
/// There is no evidence: Consul does not answer, or the tree cannot be understood.
pub async fn stranded(witness: &Witness<'_>) -> Result<Vec<Stranded>, EvidenceError> {
    let on_ha_nodes = OnHaNodes::read(witness.store).await;
    let mut on_ha_nodes = on_ha_nodes.map_err(|source| EvidenceError::Tree { source })?;
    on_ha_nodes.guests.retain(|_, guests| {
        guests.retain(|guest| !guest.nova.as_ref().is_some_and(NovaSays::has_left));
        !guests.is_empty()
    });
    if on_ha_nodes.guests.is_empty() {
        return Ok(Vec::new());
    }
    let seen = look(witness, About::Suspects, true).await?;
    let doubtful = guards(&seen.scene).doubtful;
    let fate = |node: &crate::names::HaNodeName| {
        let subject = seen.ha_subjects.get(node)?;
        match judge(&seen.scene, node.as_str(), subject, &doubtful) {
            Verdict::Dead(_) => Some(Fate::Dead),
            Verdict::CannotTell(CannotTell::AgentAbsent) => Some(Fate::AgentAbsent),
            Verdict::CannotTell(
                CannotTell::Votes { .. } | CannotTell::AgentAnswers { .. } | CannotTell::LoneObserver(_),
            )
            | Verdict::Alive(_) => None,
        }
    };
    let guests = on_ha_nodes.guests.into_iter();
    Ok(guests.filter_map(|(node, guests)| Some(Stranded { fate: fate(&node)?, node, guests })).collect())
}
