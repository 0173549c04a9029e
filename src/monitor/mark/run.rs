//! Judge, mark, look again: until nothing is left to mark.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::cooldown;
use super::open::{AddOrderError, Ground, Opened, add_order, open, verdict_line};
use super::order::{Ordered, consider};
use super::report::{Line, Result as LineResult};
use crate::evidence::{About, EvidenceError, Seen, Witness, look};
use crate::incident::record::Order;
use crate::judge::decision::{Decision, No, decide_with};
use crate::judge::guard::{Guards, guards};
use crate::judge::scene::Subject;
use crate::judge::verdict::CannotTell;
use crate::names::{HostName, IncidentId};
use crate::store::StoreError;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Hosts named by hand; empty for a watch or a sweep.
    pub hosts: Vec<HostName>,
    /// A person's own order for the named hosts.
    pub order: Option<Order>,
    /// Look at every host: what is unprotected is said, and a `failed` written by hand gets its
    /// incident.
    pub sweep: bool,
    /// Where markers of this boot lie, usually `/run/nova-ha`.
    pub run_dir: PathBuf,
    /// Name of this machine, for the record.
    pub machine: String,
}

/// Why a run could not judge.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// There is no evidence.
    #[error("cannot judge: nothing was marked")]
    Evidence {
        /// The cause.
        source: EvidenceError,
    },
    /// The marking transaction did not get through.
    #[error("cannot open the incident of {host}")]
    Open {
        /// Which host.
        host: HostName,
        /// The cause.
        source: StoreError,
    },
    /// An order could not be recorded.
    #[error("cannot record the order for {host}")]
    Order {
        /// Which host.
        host: HostName,
        /// The cause.
        source: super::open::AddOrderError,
    },
}

impl MarkError {
    /// The operator's next command, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            MarkError::Evidence { source } => source.hint(),
            MarkError::Open { source, .. }
            | MarkError::Order { source: AddOrderError::Write { source }, .. } => Some(source.hint()),
            MarkError::Order { source: AddOrderError::Read { source }, .. } => source.hint(),
        }
    }
}

/// Rounds of *look, judge, mark one*: each marking changes what the guards count, so each is
/// judged on a fresh look. Above any storm limit that makes sense, below for ever.
const MOST_ROUNDS: usize = 64;

/// Judges until nothing is left to mark; a line per host that was asked about or is a suspect.
pub async fn run(witness: &Witness<'_>, request: &Request) -> Result<Vec<Line>, MarkError> {
    let mut marked: Vec<Line> = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let about = match (&request.hosts, request.sweep) {
            (_, true) => About::All,
            (named, false) if !named.is_empty() => About::Hosts(named.clone()),
            (_, false) => About::Suspects,
        };
        let seen = look(witness, about, false).await.map_err(|source| {
            if source.is_no_leader() {
                cooldown::leave_marker(&request.run_dir);
            }
            MarkError::Evidence { source }
        })?;
        let guards = guards(&seen.scene);
        let cooling = keep_cool(witness, request, &seen, &guards).await;
        let (lines, moved) = round(witness, request, &seen, &guards, &marked, cooling).await?;
        let (newly, rest): (Vec<Line>, Vec<Line>) =
            lines.into_iter().partition(|l| matches!(l.result, LineResult::Marked | LineResult::Ordered));
        let again = moved || !newly.is_empty();
        marked.extend(newly);
        if !again {
            let known: BTreeSet<HostName> = marked.iter().map(|l| l.host.clone()).collect();
            marked.extend(rest.into_iter().filter(|l| !known.contains(&l.host)));
            break;
        }
    }
    Ok(marked)
}

/// Begins a cool-down where one is due. Says whether this very run must not mark: what it judged on
/// does not know of a cool-down that begins now, and one that could not be written holds all the
/// same. (An observer's doubt only rests its own votes, which the guards know already.)
async fn keep_cool(witness: &Witness<'_>, request: &Request, seen: &Seen, guards: &Guards) -> bool {
    let lost = cooldown::marker_is_there(&request.run_dir);
    let Some(cause) = cooldown::cause(guards, witness.me.as_ref(), lost) else { return false };
    let for_all = cause.silences().is_none();
    match cooldown::begin(witness.store, witness.clock, seen, cause).await {
        Ok(_) => cooldown::remove_marker(&request.run_dir),
        Err(error) => tracing::warn!(%error, "cannot write the cool-down; this run marks nobody"),
    }
    for_all
}

async fn round(
    witness: &Witness<'_>,
    request: &Request,
    seen: &Seen,
    guards: &Guards,
    marked: &[Line],
    cooling: bool,
) -> Result<(Vec<Line>, bool), MarkError> {
    let scene = &seen.scene;
    let mut lines = Vec::new();
    let mut asked: BTreeSet<HostName> = request.hosts.iter().cloned().collect();
    if asked.is_empty() {
        asked.extend(scene.subjects.keys().cloned());
        asked.extend(seen.unreadable.keys().cloned());
    }
    for host in asked.iter().filter(|host| !marked.iter().any(|line| line.host == **host)) {
        if let Some(error) = seen.unreadable.get(host) {
            lines.push(unreadable(host, error));
            continue;
        }
        if let Some(order) = &request.order {
            match by_order(witness, request, seen, guards, host, order).await? {
                Some(line) => lines.push(line),
                None => return Ok((lines, true)),
            }
            continue;
        }
        let decision = decide_with(scene, guards, host);
        let subject = scene.subjects.get(host);
        let (ground, because) = match (&decision, subject) {
            (Decision::Mark(_), _) if cooling => {
                let why = "a cool-down begins (Consul had no leader)".to_owned();
                lines.push(no_line(host, None, why, true));
                continue;
            }
            (Decision::Mark(proof), Some(_)) => (Ground::Votes(proof), verdict_line(proof)),
            (Decision::No(No::NotReset { failed: true, recovered: false }), Some(_)) if request.sweep => {
                (Ground::Key, "status/failed was written by hand; it is judged before the shot".to_owned())
            }
            (Decision::No(No::CannotTell(_)), Some(subject)) if is_unprotected(subject) => {
                lines.push(no_line(host, None, CannotTell::AgentAbsent.text(), true));
                continue;
            }
            (Decision::No(no), _) => {
                if worth_a_line(no, request) {
                    let line = no_line(host, incident_of(no), no.text(), no.needs_attention());
                    lines.push(Line { next: next_of(no, host), ..line });
                }
                continue;
            }
            (Decision::Mark(_), None) => continue,
        };
        let Some(subject) = subject else { continue };
        let opened = open(witness.store, seen, guards, host, subject, ground, &request.machine)
            .await
            .map_err(|source| MarkError::Open { host: host.clone(), source })?;
        return Ok(match opened {
            Opened::Yes(id) => {
                lines.push(marked_line(host, id, because));
                (lines, true)
            }
            Opened::Moved(why) => {
                tracing::info!(%host, ?why, "the tree moved since it was judged, looking again");
                (lines, true)
            }
        });
    }
    Ok((lines, false))
}

async fn by_order(
    witness: &Witness<'_>,
    request: &Request,
    seen: &Seen,
    guards: &Guards,
    host: &HostName,
    order: &Order,
) -> Result<Option<Line>, MarkError> {
    match consider(&seen.scene, host, order) {
        Ordered::No(why) => Ok(Some(no_line(host, None, why, true))),
        Ordered::AddTo(id) => {
            let refused = add_order(witness.store, seen, &id, order)
                .await
                .map_err(|source| MarkError::Order { host: host.clone(), source })?;
            Ok(Some(match refused {
                None => Line {
                    host: host.clone(),
                    result: LineResult::Ordered,
                    because: format!("incident {id} goes on by the word of {}", order.by),
                    incident: Some(id),
                    attention: false,
                    next: None,
                },
                Some(why) => no_line(host, Some(id), why, true),
            }))
        }
        Ordered::Open(subject) => {
            let ground = Ground::Order(order);
            let opened = open(witness.store, seen, guards, host, subject, ground, &request.machine)
                .await
                .map_err(|source| MarkError::Open { host: host.clone(), source })?;
            Ok(match opened {
                Opened::Yes(id) => Some(marked_line(host, id, format!("ordered by {}", order.by))),
                Opened::Moved(_) => None,
            })
        }
    }
}

/// A watch or a sweep is silent on hosts that are simply well; a host that was asked about always
/// gets its line.
fn worth_a_line(no: &No, request: &Request) -> bool {
    if !request.hosts.is_empty() {
        return true;
    }
    match no {
        No::Alive(_) | No::NotConfigured => false,
        No::CannotTell(_) => no.needs_attention() || !request.sweep,
        No::EpochSpent(_)
        | No::OpenIncident(_)
        | No::NotReset { .. }
        | No::Maintenance(_)
        | No::Cooldown { .. }
        | No::Storm(_)
        | No::NoAnchor(_) => true,
    }
}

/// Its agent left or was reaped: whatever the observers see, it cannot be judged dead.
fn is_unprotected(subject: &Subject) -> bool {
    subject.has_agent && subject.serf.is_none()
}

fn incident_of(no: &No) -> Option<IncidentId> {
    match no {
        No::OpenIncident(id) | No::EpochSpent(id) => Some(id.clone()),
        No::NotConfigured
        | No::NotReset { .. }
        | No::Maintenance(_)
        | No::Alive(_)
        | No::CannotTell(_)
        | No::Cooldown { .. }
        | No::Storm(_)
        | No::NoAnchor(_) => None,
    }
}

/// What a person does about a *no* that needs one.
fn next_of(no: &No, host: &HostName) -> Option<String> {
    match no {
        No::NotConfigured => Some("nova-ha host list".into()),
        No::NotReset { .. } => Some(format!("nova-ha reset {host} --by NAME")),
        No::Cooldown { .. } | No::Storm(_) | No::NoAnchor(_) => Some("nova-ha status".into()),
        No::CannotTell(_) if no.needs_attention() => Some(format!("nova-ha host show {host}")),
        No::CannotTell(_) | No::OpenIncident(_) | No::EpochSpent(_) | No::Maintenance(_) | No::Alive(_) => {
            None
        }
    }
}

fn no_line(host: &HostName, incident: Option<IncidentId>, because: String, attention: bool) -> Line {
    Line { host: host.clone(), result: LineResult::No, incident, because, attention, next: None }
}

fn marked_line(host: &HostName, id: IncidentId, because: String) -> Line {
    Line {
        host: host.clone(),
        result: LineResult::Marked,
        incident: Some(id),
        because,
        attention: true,
        next: None,
    }
}

fn unreadable(host: &HostName, error: &EvidenceError) -> Line {
    let mut because = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        because = format!("{because}: {cause}");
        source = cause.source();
    }
    Line {
        host: host.clone(),
        result: LineResult::Unreadable,
        incident: None,
        because,
        attention: true,
        next: error.hint(),
    }
}
