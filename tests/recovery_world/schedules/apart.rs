//! What docs/promises.md does not promise: a run in which that strikes first is counted apart, and said.

use std::time::Duration;

use super::invariants::{Invariant, Violation};

/// By what it was struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NotPromised {
    /// An HA node's process stood still in the very call of its effect, after its look at the clock.
    StoodStillInTheCall,
    /// Its virtual machine was paused between Consul's word that the incident is its own and the effect: its clock, which
    /// stood too, says that this was a moment ago.
    PausedMachine,
}

/// From the moment at which Consul says it to the effect, by the machine's own clock: the second that a write counts for,
/// and the way of one call.
const A_MOMENT: Duration = Duration::from_millis(1_400);

/// Whether it is named in *What it does not promise* of docs/promises.md.
pub(crate) fn of(violation: &Violation) -> Option<NotPromised> {
    let actor = violation.actor.as_ref()?;
    match violation.invariant {
        Invariant::Shot | Invariant::FreshOff | Invariant::World | Invariant::OnlyOfTheDead => {
            if actor.in_call.is_some() {
                return Some(NotPromised::StoodStillInTheCall);
            }
            let woke = actor.last.is_some_and(|freeze| freeze.clock_stands);
            let was_asked = actor.asked_ago.is_some_and(|ago| ago <= A_MOMENT);
            (woke && was_asked).then_some(NotPromised::PausedMachine)
        }
        Invariant::OneEvacuation
        | Invariant::OneMachine
        | Invariant::OneClaim
        | Invariant::Flags
        | Invariant::Fold
        | Invariant::Progress => None,
    }
}
