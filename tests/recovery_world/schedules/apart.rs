//! What the README does not promise: a run in which that strikes first is counted apart, and said.

use std::time::Duration;

use super::invariants::{Invariant, Violation};

/// By what it was struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NotPromised {
    /// An HA node's process stood still in the very call of its effect, after its look at the clock.
    StoodStillInTheCall,
    /// Its virtual machine was paused, and its clock, which stood too, allows effects until the lease is over by it.
    PausedMachine,
}

/// What is left of a lease at most, when a machine that was paused goes on.
const LEASE: Duration = Duration::from_secs(15);

/// Whether it is named in the README's *What it does not promise*.
pub(crate) fn of(violation: &Violation) -> Option<NotPromised> {
    let actor = violation.actor.as_ref()?;
    match violation.invariant {
        Invariant::Shot | Invariant::FreshOff | Invariant::World | Invariant::OnlyOfTheDead => {
            if actor.in_call.is_some() {
                return Some(NotPromised::StoodStillInTheCall);
            }
            let woke = actor.last.filter(|freeze| freeze.clock_stands);
            woke.filter(|freeze| violation.at - freeze.ended <= LEASE).map(|_| NotPromised::PausedMachine)
        }
        Invariant::OneEvacuation
        | Invariant::OneMachine
        | Invariant::OneClaim
        | Invariant::Flags
        | Invariant::Fold
        | Invariant::Progress => None,
    }
}
