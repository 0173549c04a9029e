//! One function from (status, event) to status, for live recording and for replay.

use serde::{Deserialize, Serialize};

use super::journal::{Event, JournalEntry};
use super::step::{Phase, Step};

/// Whether anybody may work on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum State {
    /// Waiting for a claim, or being worked on.
    Active,
    /// Only a person leads out of it.
    Held {
        /// Why.
        reason: String,
    },
    /// Ended: the host came back before the point of no return.
    Withdrawn,
    /// Ended by a person.
    Abandoned,
    /// Ended: every guest accounted for.
    Closed,
}

/// Where an incident stands: the fold of its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The last guarantee reached.
    pub phase: Phase,
    /// A step that was started and not finished.
    pub started: Option<Step>,
    /// Whether *started: fence* was ever written.
    pub past_no_return: bool,
    /// Whether anybody may work on it.
    pub state: State,
    /// Whether it is open again only for guests that it left held. Since version 3.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
}

/// An event that cannot follow: the journal and this code disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot follow phase {phase} ({state})")]
pub struct Illegal {
    event: String,
    phase: &'static str,
    state: String,
}

impl Default for Status {
    fn default() -> Self {
        Self { phase: Phase::Open, started: None, past_no_return: false, state: State::Active, retry: false }
    }
}

impl Status {
    /// Whether the incident has ended.
    pub fn is_over(&self) -> bool {
        match self.state {
            State::Active | State::Held { .. } => false,
            State::Withdrawn | State::Abandoned | State::Closed => true,
        }
    }

    /// Whether taking the storage was begun, if there was any to take.
    pub fn got_to_storage(&self) -> bool {
        self.started == Some(Step::TakeStorage) || self.phase >= Phase::StorageTaken
    }

    /// Whether it is a retry that has not come to asking for guests: it may end at any time as if nothing had been.
    pub fn may_end_retry(&self) -> bool {
        let asks = self.started == Some(Step::Evacuate) || self.phase >= Phase::Evacuated;
        self.retry && self.state == State::Active && !asks
    }

    /// The next step of a claimed incident.
    pub fn next_step(&self) -> Option<Step> {
        Step::after(self.phase)
    }

    /// What follows from an event.
    pub fn after(&self, event: &Event) -> Result<Status, Illegal> {
        let illegal = || Illegal {
            event: format!("{event:?}").chars().take(120).collect(),
            phase: self.phase.name(),
            state: format!("{:?}", self.state).chars().take(120).collect(),
        };
        let active = self.state == State::Active;
        let claimed = self.phase > Phase::Open && self.phase < Phase::Closed;
        let mut next = self.clone();
        match event {
            Event::Claimed { .. } if active && self.phase == Phase::Open => next.phase = Phase::Claimed,
            Event::Adopted { .. }
            | Event::MembersSeen { .. }
            | Event::FencingHolder { .. }
            | Event::HolderFenced { .. }
            | Event::AddressAnswers { .. }
            | Event::HandedBack { .. }
                if active && claimed => {}
            Event::Started { step, .. } if active && self.next_step() == Some(*step) => {
                next.started = Some(*step);
                next.past_no_return |= step.row().point_of_no_return;
            }
            Event::Finished { step, .. } if active && self.started == Some(*step) => {
                next.started = None;
                next.phase = step.row().reaches;
            }
            Event::Held { reason, .. } if !self.is_over() => {
                next.state = State::Held { reason: reason.clone() };
            }
            Event::Resumed { .. } if matches!(self.state, State::Held { .. }) => next.state = State::Active,
            Event::Withdrawn { .. } if active && !self.past_no_return => next.state = State::Withdrawn,
            Event::Abandoned { .. } if !self.is_over() => {
                (next.state, next.retry) = (State::Abandoned, false)
            }
            Event::Closed { .. } if active && self.phase == Phase::Verified => {
                (next.phase, next.state, next.retry) = (Phase::Closed, State::Closed, false);
            }
            // That the storage was taken is so only as a look shows it, which the next step begins with; what was taken
            // before uses an HA node up as before.
            Event::Retried { .. } if self.state == State::Closed => {
                (next.phase, next.state, next.retry) = (Phase::StorageTaken, State::Active, true);
            }
            Event::RetryEnded { .. } if self.may_end_retry() => {
                (next.phase, next.started) = (Phase::Closed, None);
                (next.state, next.retry) = (State::Closed, false);
            }
            Event::Claimed { .. }
            | Event::Adopted { .. }
            | Event::MembersSeen { .. }
            | Event::FencingHolder { .. }
            | Event::HolderFenced { .. }
            | Event::AddressAnswers { .. }
            | Event::HandedBack { .. }
            | Event::Started { .. }
            | Event::Finished { .. }
            | Event::Held { .. }
            | Event::Resumed { .. }
            | Event::Withdrawn { .. }
            | Event::Abandoned { .. }
            | Event::Closed { .. }
            | Event::Retried { .. }
            | Event::RetryEnded { .. } => return Err(illegal()),
        }
        Ok(next)
    }

    /// Replays a journal.
    pub fn replay<'a>(entries: impl IntoIterator<Item = &'a JournalEntry>) -> Result<Status, Illegal> {
        entries.into_iter().try_fold(Status::default(), |status, entry| status.after(&entry.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::journal::Outcome;
    use crate::incident::step::RECOVERY;

    fn claimed() -> Status {
        Status::default().after(&Event::Claimed { plan_hash: String::new() }).unwrap()
    }

    fn started(step: Step) -> Event {
        Event::Started { step, strategy: None, facts: vec![] }
    }

    #[test]
    fn a_recovery_runs_through_its_table_and_no_step_can_be_skipped() {
        let mut status = claimed();
        for row in &RECOVERY {
            for other in &RECOVERY {
                assert_eq!(status.after(&started(other.step)).is_ok(), other.step == row.step);
            }
            status = status.after(&started(row.step)).unwrap();
            status = status
                .after(&Event::Finished { step: row.step, outcome: Outcome::Changed, facts: vec![] })
                .unwrap();
        }
        let closed = status.after(&Event::Closed { summary: String::new() }).unwrap();
        assert!(closed.is_over());
        assert!(claimed().after(&Event::Closed { summary: String::new() }).is_err());
    }

    #[test]
    fn only_what_has_closed_is_retried_and_it_ends_as_it_was_until_a_guest_is_asked_for() {
        let retried = Event::Retried { by: "p".into(), guests: vec![] };
        let ended = Event::RetryEnded { reason: "x".into() };
        let closed =
            Status { phase: Phase::Closed, past_no_return: true, state: State::Closed, ..Status::default() };
        for state in [State::Active, State::Held { reason: "x".into() }, State::Withdrawn, State::Abandoned] {
            assert!(Status { state, ..closed.clone() }.after(&retried).is_err());
        }
        let open = closed.after(&retried).unwrap();
        assert!(open.got_to_storage() && open.past_no_return && open.retry);
        assert_eq!(open.next_step(), Some(Step::ReadyTarget));
        assert_eq!(open.after(&ended).unwrap(), closed);
        assert!(open.after(&Event::Withdrawn { reason: "x".into() }).is_err());
        let looks = open.after(&started(Step::ReadyTarget)).unwrap();
        assert_eq!(looks.after(&ended).unwrap(), closed);
        let finished = |step| Event::Finished { step, outcome: Outcome::AlreadySo, facts: vec![] };
        let asks =
            looks.after(&finished(Step::ReadyTarget)).unwrap().after(&started(Step::Evacuate)).unwrap();
        assert!(asks.after(&ended).is_err());
        let verified = asks.after(&finished(Step::Evacuate)).unwrap().after(&started(Step::Verify)).unwrap();
        assert!(verified.after(&ended).is_err());
        let verified = verified.after(&finished(Step::Verify)).unwrap();
        assert_eq!(verified.after(&Event::Closed { summary: String::new() }).unwrap(), closed);
        assert!(closed.after(&ended).is_err() && claimed().after(&ended).is_err());
    }

    #[test]
    fn after_the_point_of_no_return_nothing_is_withdrawn() {
        let withdrawn = Event::Withdrawn { reason: String::new() };
        assert!(claimed().after(&withdrawn).unwrap().is_over());
        let started = claimed().after(&started(Step::Fence)).unwrap();
        assert!(started.past_no_return);
        assert!(started.after(&withdrawn).is_err());
    }

    #[test]
    fn only_a_person_leads_out_of_a_hold_and_nothing_out_of_the_end() {
        let held = claimed().after(&Event::Held { reason: "x".into(), cause: None }).unwrap();
        assert!(held.after(&started(Step::Fence)).is_err());
        let resumed = held.after(&Event::Resumed { by: "p".into(), gone: None }).unwrap();
        assert_eq!(resumed, claimed());
        let over = resumed.after(&Event::Abandoned { by: "p".into() }).unwrap();
        assert!(over.after(&Event::Resumed { by: "p".into(), gone: None }).is_err());
        assert!(over.after(&started(Step::Fence)).is_err());
    }
}
