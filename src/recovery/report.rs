//! What one execution of `nova-ha-recover` says of an incident, and what of it is noted under the incident.

use serde::Serialize;

use super::note;
use super::options::Options;
use super::plan::Plan;
use super::stop::Stop;
use super::world::{World, chain};
use crate::attention::Severity;
use crate::incident::note::Again;
use crate::names::{HaNodeName, IncidentId};

/// What became of one incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Result {
    /// Every guest accounted for.
    Closed,
    /// Closed, and not every guest runs.
    Partial,
    /// The host came back before the point of no return.
    Withdrawn,
    /// Only a person leads on.
    Held,
    /// Something must change first; the next run tries again.
    Waiting,
    /// Another HA node has it.
    Elsewhere,
    /// What would be done (`--plan`).
    Planned,
    /// The lease or Consul was lost; the next run resumes.
    Interrupted,
    /// What is written of it cannot be understood: nobody works on it.
    Unreadable,
}

/// One incident's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which.
    pub incident: IncidentId,
    /// What became of it.
    pub result: Result,
    /// Why, in one line (several for a plan).
    pub text: String,
    /// The operator's next commands.
    pub next: Vec<String>,
    /// With `--plan`, the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<Plan>>,
}

impl Report {
    /// Whether a person should look.
    pub fn needs_attention(&self) -> bool {
        match self.result {
            Result::Closed | Result::Elsewhere | Result::Planned => false,
            Result::Partial
            | Result::Withdrawn
            | Result::Held
            | Result::Waiting
            | Result::Interrupted
            | Result::Unreadable => true,
        }
    }
}

pub(super) async fn waiting(
    world: &World,
    id: &IncidentId,
    reasons: Vec<String>,
    next: Vec<String>,
) -> Report {
    note::write_tried(world, id, &reasons, &next, Again::NextRun).await;
    would_wait(id, &reasons, next)
}

pub(super) fn would_wait(id: &IncidentId, reasons: &[String], next: Vec<String>) -> Report {
    Report {
        incident: id.clone(),
        result: Result::Waiting,
        text: format!("waiting: {}", reasons.join("; ")),
        next,
        plan: None,
    }
}

pub(super) async fn stopped(world: &World, options: &Options, id: &IncidentId, stop: Stop) -> Report {
    let row = stop.row(id);
    match stop {
        Stop::HolderLives { lives } => {
            let (reason, next) = (lives.text(), lives.next());
            waiting(world, id, vec![reason], vec![next]).await
        }
        Stop::Foreign { flag } if options.plan_only => would_wait(id, &[flag.text()], vec![flag.next()]),
        Stop::Foreign { flag } => waiting(world, id, vec![flag.text()], vec![flag.next()]).await,
        Stop::OnlySaid { why } => waiting(world, id, vec![why.text()], why.next()).await,
        // A plan changes nothing, not even the note of why this node waits.
        Stop::Waiting { reasons, next } if options.plan_only => would_wait(id, &reasons, next),
        Stop::Waiting { reasons, next } => waiting(world, id, reasons, next).await,
        Stop::Held { reason, .. } => Report {
            incident: id.clone(),
            result: Result::Held,
            text: format!("held: {reason}"),
            next: row.next,
            plan: None,
        },
        Stop::Withdrawn { reason } => Report {
            incident: id.clone(),
            result: Result::Withdrawn,
            text: format!("withdrawn: {reason}"),
            next: row.next,
            plan: None,
        },
        other @ (Stop::Lease { .. }
        | Stop::Twin { .. }
        | Stop::Moved { .. }
        | Stop::Store { .. }
        | Stop::Tree { .. }
        | Stop::Journal { .. }) => Report {
            incident: id.clone(),
            result: Result::Interrupted,
            text: format!("interrupted: {}", chain(&other)),
            next: match row.severity {
                Severity::Fine => vec![format!("nova-ha incident show {id}; the next run resumes")],
                Severity::Warning | Severity::Critical => row.next,
            },
            plan: None,
        },
    }
}

pub(super) fn given_back(id: &IncidentId, to: &HaNodeName) -> Report {
    Report {
        incident: id.clone(),
        result: Result::Elsewhere,
        text: format!("given back to HA node {to}, which lives and asked for it"),
        next: Vec::new(),
        plan: None,
    }
}

pub(super) fn elsewhere(id: &IncidentId, why: &[crate::store::Refusal]) -> Report {
    let why = why.first().map_or_else(|| "it moved".to_owned(), |r| format!("{}: {}", r.key, r.what));
    Report {
        incident: id.clone(),
        result: Result::Elsewhere,
        text: format!("not taken: {why}"),
        next: Vec::new(),
        plan: None,
    }
}
