//! On which planes observers see a machine answer, without waiting for anybody.

use super::EvidenceError;
use super::testimonies::testimonies;
use super::witness::Witness;
use crate::judge::freshness::Freshness;
use crate::keys::{self, MachineKeys};
use crate::names::HaNodeName;
use crate::tree::Snapshot;
use crate::tree::observer::PlaneAnswer;

/// Each plane that answers an observer, with that observer. A record of which nobody can tell how old it is counts; one that
/// is old does not, and neither does one that cannot be understood.
///
/// # Errors
/// The tree cannot be read.
pub async fn answering(
    witness: &Witness<'_>,
    keys: &MachineKeys,
) -> Result<Vec<(HaNodeName, String)>, EvidenceError> {
    let tree = |source| EvidenceError::Tree { source };
    let prefixes = [keys::META.to_owned(), keys.observers(), keys.epoch()];
    let snapshot = Snapshot::read(witness.store, "what its observers see", &prefixes).await.map_err(tree)?;
    let epoch = snapshot.number(&keys.epoch()).map_err(tree)?.unwrap_or(0);
    let mut answering = Vec::new();
    for (observer, testimony) in testimonies(&snapshot, keys, Some(witness)).0 {
        let is_of_now = match testimony.freshness {
            Freshness::Fresh | Freshness::CannotTell => testimony.record.epoch.0 == epoch,
            Freshness::Stale => false,
        };
        for (plane, seen) in &testimony.record.planes {
            match seen.answer {
                PlaneAnswer::Healthy if is_of_now => answering.push((observer.clone(), plane.clone())),
                PlaneAnswer::Healthy | PlaneAnswer::Failed | PlaneAnswer::CannotTell => {}
            }
        }
    }
    Ok(answering)
}
