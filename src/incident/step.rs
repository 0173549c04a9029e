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

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What is done.
    pub step: Step,
    /// What holds afterwards.
    pub reaches: Phase,
    /// Whether *started* of this step is the point of no return: before it a host that came back
    /// withdraws the incident, after it there is only forward, or hold.
    pub point_of_no_return: bool,
    /// Whether the step may only be done with a fresh proof that the host is off.
    pub needs_power_off_proof: bool,
}

/// A recovery, in order.
pub const RECOVERY: [Row; 6] = [
    Row { step: Step::Fence, reaches: Phase::Fenced, point_of_no_return: true, needs_power_off_proof: false },
    Row {
        step: Step::DeclareDown,
        reaches: Phase::DeclaredDown,
        point_of_no_return: false,
        needs_power_off_proof: true,
    },
    Row {
        step: Step::TakeStorage,
        reaches: Phase::StorageTaken,
        point_of_no_return: false,
        needs_power_off_proof: true,
    },
    Row {
        step: Step::ReadyTarget,
        reaches: Phase::TargetReady,
        point_of_no_return: false,
        needs_power_off_proof: false,
    },
    Row {
        step: Step::Evacuate,
        reaches: Phase::Evacuated,
        point_of_no_return: false,
        needs_power_off_proof: true,
    },
    Row {
        step: Step::Verify,
        reaches: Phase::Verified,
        point_of_no_return: false,
        needs_power_off_proof: false,
    },
];

impl Step {
    /// Its row.
    pub fn row(self) -> &'static Row {
        const { assert!(RECOVERY.len() == 6) };
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
            Phase::Open | Phase::Verified | Phase::Closed => None,
            Phase::Claimed => Some(Step::Fence),
            Phase::Fenced => Some(Step::DeclareDown),
            Phase::DeclaredDown => Some(Step::TakeStorage),
            Phase::StorageTaken => Some(Step::ReadyTarget),
            Phase::TargetReady => Some(Step::Evacuate),
            Phase::Evacuated => Some(Step::Verify),
        }
    }

    /// As it is written in the journal.
    pub fn name(self) -> &'static str {
        match self {
            Step::Fence => "fence",
            Step::DeclareDown => "declare down",
            Step::TakeStorage => "take storage",
            Step::ReadyTarget => "ready target",
            Step::Evacuate => "evacuate",
            Step::Verify => "verify",
        }
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
    fn the_table_is_a_chain_with_one_point_of_no_return_before_every_effect_on_guests() {
        let mut phase = Phase::Claimed;
        for row in &RECOVERY {
            assert_eq!(Step::after(phase), Some(row.step));
            assert_eq!(row.step.row(), row);
            phase = row.reaches;
        }
        assert_eq!((phase, Step::after(phase)), (Phase::Verified, None));
        assert_eq!(RECOVERY.iter().filter(|row| row.point_of_no_return).count(), 1);
        assert!(RECOVERY[0].point_of_no_return);
    }
}
