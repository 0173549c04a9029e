//! From a decision on a host to its line: whether it is worth one, and the next command.

use super::report::{Line, Result as LineResult};
use super::request::Request;
use crate::chain::chain;
use crate::evidence::EvidenceError;
use crate::judge::decision::No;
use crate::judge::scene::Subject;
use crate::names::{HostName, IncidentId};

/// It answers, and the person did not say that it is to be fenced all the same.
pub(super) fn answers_line(host: &HostName, by: &str, what: &str) -> Line {
    let next = format!("nova-ha-mark-failed {host} --by {by} --yes {host} --although-it-answers");
    Line { result: LineResult::Answers, next: Some(next), ..no_line(host, None, what.to_owned(), true) }
}

/// A watch or a sweep is silent on hosts that are simply well; a host that was asked about always
/// gets its line.
pub(super) fn worth_a_line(no: &No, request: &Request) -> bool {
    if !request.hosts.is_empty() {
        return true;
    }
    match no {
        No::Alive(_) | No::NotConfigured => false,
        No::CannotTell(_) => no.needs_attention() || !request.sweep,
        No::EpochSpent(_)
        | No::OpenIncident(_)
        | No::FailedByKey
        | No::Foreign(_)
        | No::Maintenance(_)
        | No::Cooldown { .. }
        | No::Storm(_)
        | No::NoAnchor(_)
        | No::Second(_)
        | No::Day { .. } => true,
    }
}

/// Its agent left or was reaped: whatever the observers see, it cannot be judged dead.
pub(super) fn is_unprotected(subject: &Subject) -> bool {
    subject.has_agent && subject.serf.is_none()
}

pub(super) fn incident_of(no: &No) -> Option<IncidentId> {
    match no {
        No::OpenIncident(id) | No::EpochSpent(id) => Some(id.clone()),
        No::NotConfigured
        | No::FailedByKey
        | No::Foreign(_)
        | No::Maintenance(_)
        | No::Alive(_)
        | No::CannotTell(_)
        | No::Cooldown { .. }
        | No::Storm(_)
        | No::NoAnchor(_)
        | No::Second(_)
        | No::Day { .. } => None,
    }
}

/// What a person does about a *no* that needs one.
pub(super) fn next_of(no: &No, host: &HostName) -> Option<String> {
    match no {
        No::NotConfigured => Some("nova-ha host list".into()),
        // A sweep that opens it says so in its place.
        No::FailedByKey => {
            Some(format!("nova-ha-mark-failed --sweep; or, if it is healthy: nova-ha reset {host} --by NAME"))
        }
        No::Foreign(flag) => Some(flag.next()),
        No::Cooldown { .. } => Some(format!("nova-ha cooldown show; {}", by_hand(host))),
        No::Storm(_) | No::NoAnchor(_) | No::Second(_) | No::Day { .. } => Some(by_hand(host)),
        // Nova may keep it disabled since: a reset alone would leave it so.
        No::EpochSpent(_) => Some(format!("once it is repaired and booted: nova-ha rejoin {host} --by NAME")),
        No::CannotTell(_) if no.needs_attention() => Some(format!("nova-ha host show {host}")),
        No::CannotTell(_) | No::OpenIncident(_) | No::Maintenance(_) | No::Alive(_) => None,
    }
}

fn by_hand(host: &HostName) -> String {
    format!("if you have looked and it is dead: nova-ha-mark-failed {host} --by NAME")
}

pub(super) fn no_line(
    host: &HostName,
    incident: Option<IncidentId>,
    because: String,
    attention: bool,
) -> Line {
    Line { host: host.clone(), result: LineResult::No, incident, because, attention, next: None }
}

pub(super) fn marked_line(host: &HostName, id: IncidentId, because: String) -> Line {
    Line {
        host: host.clone(),
        result: LineResult::Marked,
        incident: Some(id),
        because,
        attention: true,
        next: None,
    }
}

pub(super) fn unreadable(host: &HostName, error: &EvidenceError) -> Line {
    Line {
        host: host.clone(),
        result: LineResult::Unreadable,
        incident: None,
        because: chain(error),
        attention: true,
        next: error.hint(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::judge::limit::Storm;
    use crate::judge::second::Second;
    use crate::judge::verdict::CannotTell;
    use crate::tree::foreign::Foreign;

    /// One of each: a new one does not compile before it is here.
    fn all(id: &IncidentId) -> Vec<No> {
        let storm =
            Storm { domain: None, hosts: [id.host().clone()].into(), limit: 2, unreadable: Vec::new() };
        let all = vec![
            No::NotConfigured,
            No::OpenIncident(id.clone()),
            No::FailedByKey,
            No::Foreign(Foreign::Recovered { host: id.host().clone() }),
            No::EpochSpent(id.clone()),
            No::Maintenance("disks".into()),
            No::Alive("its serfHealth passes".into()),
            No::CannotTell(CannotTell::Votes { have: 1, need: 2, absent: String::new() }),
            No::CannotTell(CannotTell::AgentAbsent),
            No::CannotTell(CannotTell::AgentAnswers { votes: 2 }),
            No::CannotTell(CannotTell::LoneObserver("one of two".into())),
            No::Cooldown { left: Duration::from_secs(5), cause: "a storm".into() },
            No::Storm(storm),
            No::NoAnchor("none".into()),
            No::Second(Second::NoHealthyHost { counted: 2 }),
            No::Day { marked: 4, limit: 4 },
        ];
        for no in &all {
            match no {
                No::NotConfigured | No::OpenIncident(_) | No::FailedByKey | No::EpochSpent(_) => {}
                No::Foreign(_) => {}
                No::Maintenance(_) | No::Alive(_) | No::CannotTell(_) | No::Cooldown { .. } => {}
                No::Storm(_) | No::NoAnchor(_) | No::Second(_) | No::Day { .. } => {}
            }
        }
        all
    }

    #[test]
    fn every_no_that_a_person_must_know_names_the_next_command() {
        let id: IncidentId = "c1@0".parse().unwrap();
        for no in all(&id) {
            assert!(!no.text().is_empty(), "{no:?}");
            if no.needs_attention() {
                let next = next_of(&no, id.host()).unwrap_or_default();
                assert!(next.contains("nova-ha"), "{no:?}: {next:?}");
            }
        }
    }

    #[test]
    fn the_text_of_a_cooldown_does_not_change_while_it_lasts() {
        let text = |left| No::Cooldown { left: Duration::from_secs(left), cause: "a storm".into() }.text();
        assert_eq!(text(899), text(1));
    }
}
