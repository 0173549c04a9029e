//! The journal as a person reads it: when each guarantee was reached.

use jiff::Timestamp;
use serde::Serialize;

use super::evidence::Evidence;
use super::journal::{Event, JournalEntry};
use super::record::IncidentRecord;

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Milestone {
    /// What was reached.
    pub phase: String,
    /// Wall clock of who wrote it.
    pub at: Timestamp,
    /// Seconds since the line before.
    pub seconds: f64,
}

/// Detected, judged, then what the journal says was reached.
pub fn milestones(
    record: &IncidentRecord,
    evidence: Option<&Evidence>,
    journal: &[JournalEntry],
) -> Vec<Milestone> {
    let mut points: Vec<(String, Timestamp)> = Vec::new();
    if let Some(evidence) = evidence {
        points.push(("detected".into(), evidence.detected_at));
    }
    points.push(("judged".into(), record.opened_at));
    for entry in journal {
        let phase = match &entry.what {
            Event::Claimed { .. } => "claimed".to_owned(),
            Event::Finished { step, .. } => step.row().reaches.name().to_owned(),
            Event::Adopted { .. } => "adopted".to_owned(),
            Event::Held { .. } => "held".to_owned(),
            Event::Resumed { .. } => "resumed".to_owned(),
            Event::Withdrawn { .. } => "withdrawn".to_owned(),
            Event::Abandoned { .. } => "abandoned".to_owned(),
            Event::Closed { .. } => "closed".to_owned(),
            Event::HolderFenced { .. } => "earlier holder off".to_owned(),
            Event::HandedBack { .. } => "handed back".to_owned(),
            Event::Retried { .. } => "retried".to_owned(),
            Event::RetryEnded { .. } => "retry ended".to_owned(),
            Event::Started { .. }
            | Event::MembersSeen { .. }
            | Event::FencingHolder { .. }
            | Event::AddressAnswers { .. } => continue,
        };
        points.push((phase, entry.at));
    }
    let mut before: Option<Timestamp> = None;
    points
        .into_iter()
        .map(|(phase, at)| {
            let seconds = before.map_or(0.0, |b| at.duration_since(b).as_secs_f64());
            before = Some(at);
            Milestone { phase, at, seconds: (seconds * 1000.0).round() / 1000.0 }
        })
        .collect()
}
