//! The order of a recovery, as one table.

use serde::{Deserialize, Serialize};

/// What a recovery does. Steps lead to [`Phase`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Power off, hard, and prove it.
    Fence,
    /// Nova: forced down first, then disabled with our reason.
    DeclareDown,
    /// Make the guests' storage available where they will run.
    TakeStorage,
    /// The target's nova-compute is up and known by one name.
    ReadyTarget,
    /// Every guest, by priority, in parallel within limits.
    Evacuate,
    /// Every guest is where it should be, or accounted for.
    Verify,
}

/// A guarantee that holds from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Judged dead; nobody works on it.
    Open,
    /// One HA node has it.
    Claimed,
    /// The host was proved off.
    Fenced,
    /// Nova will not use the host.
    DeclaredDown,
    /// The guests' storage is where they will run.
    StorageTaken,
    /// The target can take guests.
    TargetReady,
    /// Every evacuation that was to be asked for has ended.
    Evacuated,
    /// Every guest is accounted for.
    Verified,
    /// What may be released is released.
    Closed,
}

/// What a step has to do with the proof that the host is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerOff {
    /// The step makes it.
    Proves,
    /// The step is done only with it, and it is fresh at each effect.
    Needed,
    /// As *needed*, where a guest is left that something must be done for; else the step only reads.
    NeededForWhoIsLeft,
    /// The step changes nothing that a living host could be harmed by.
    NotNeeded,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What is done.
    pub step: Step,
    /// As people read it; the journal writes `declare_down` and its like.
    pub name: &'static str,
    /// What holds afterwards.
    pub reaches: Phase,
    /// Whether *started* of this step is the point of no return: before it a host that came back
    /// withdraws the incident, after it there is only forward, or hold.
    pub point_of_no_return: bool,
    /// What it has to do with the proof that the host is off.
    pub power_off: PowerOff,
}

const fn row(step: Step, name: &'static str, reaches: Phase, power_off: PowerOff) -> Row {
    Row { step, name, reaches, point_of_no_return: matches!(power_off, PowerOff::Proves), power_off }
}

/// A recovery, in order. Whoever drives one reads it here, and nothing else says what comes after what.
pub const RECOVERY: [Row; 6] = [
    row(Step::Fence, "fence", Phase::Fenced, PowerOff::Proves),
    row(Step::DeclareDown, "declare down", Phase::DeclaredDown, PowerOff::Needed),
    row(Step::TakeStorage, "take storage", Phase::StorageTaken, PowerOff::Needed),
    row(Step::ReadyTarget, "ready target", Phase::TargetReady, PowerOff::NotNeeded),
    row(Step::Evacuate, "evacuate", Phase::Evacuated, PowerOff::Needed),
    row(Step::Verify, "verify", Phase::Verified, PowerOff::NeededForWhoIsLeft),
];

/// The table, checked by the compiler: each step stands at its own place and leads one phase on, from *claimed* to
/// *verified*; the proof is made first, and that is the one point of no return.
#[allow(clippy::indexing_slicing, reason = "the compiler checks it here")]
const _: () = {
    let mut at = 0;
    while at < RECOVERY.len() {
        let row = RECOVERY[at];
        assert!(row.step as usize == at, "a step stands at another step's place");
        assert!(row.reaches as usize == Phase::Claimed as usize + 1 + at, "a phase is passed over");
        assert!(row.point_of_no_return == (at == 0), "the point of no return is the fence alone");
        assert!(
            matches!(row.power_off, PowerOff::Proves) == (at == 0),
            "the proof is made by the fence alone"
        );
        at += 1;
    }
    assert!(Phase::Claimed as usize + RECOVERY.len() == Phase::Verified as usize, "the last step verifies");
};

impl Step {
    /// Its row.
    pub fn row(self) -> &'static Row {
        match self {
            Step::Fence => &RECOVERY[0],
            Step::DeclareDown => &RECOVERY[1],
            Step::TakeStorage => &RECOVERY[2],
            Step::ReadyTarget => &RECOVERY[3],
            Step::Evacuate => &RECOVERY[4],
            Step::Verify => &RECOVERY[5],
        }
    }

    /// The step that a phase is followed by; `None` when only closing is left, or before a claim.
    pub fn after(phase: Phase) -> Option<Step> {
        match phase {
            Phase::Open => None,
            Phase::Claimed
            | Phase::Fenced
            | Phase::DeclaredDown
            | Phase::StorageTaken
            | Phase::TargetReady
            | Phase::Evacuated
            | Phase::Verified
            | Phase::Closed => RECOVERY.iter().find(|row| row.reaches > phase).map(|row| row.step),
        }
    }

    /// As people read it.
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

impl Phase {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Open => "open",
            Phase::Claimed => "claimed",
            Phase::Fenced => "fenced",
            Phase::DeclaredDown => "declared down",
            Phase::StorageTaken => "storage taken",
            Phase::TargetReady => "target ready",
            Phase::Evacuated => "evacuated",
            Phase::Verified => "verified",
            Phase::Closed => "closed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_is_followed_by_the_step_that_leads_on_from_it() {
        let mut phase = Phase::Claimed;
        for row in &RECOVERY {
            assert_eq!(Step::after(phase), Some(row.step));
            assert_eq!(row.step.row(), row);
            phase = row.reaches;
        }
        assert_eq!((phase, Step::after(phase)), (Phase::Verified, None));
        assert_eq!((Step::after(Phase::Open), Step::after(Phase::Closed)), (None, None));
    }
}
