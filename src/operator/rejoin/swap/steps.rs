//! What is next on the way to swapped roles: pure, from what Nova and the tree say now.

use super::super::steps::{self, Facts, Shown};
use crate::incident::{DISABLED_REASON, SPARE_REASON};
use crate::nova::{ComputeService, NovaHost, ServiceId, ServiceState, ServiceStatus};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Something must happen on a machine first.
    Wait {
        /// What.
        why: String,
        /// Where that is done.
        there: String,
    },
    /// It cannot go on by itself.
    Impossible {
        /// Why.
        why: String,
        /// The operator's next command.
        next: String,
    },
    /// Take *forced down* of the repaired host back.
    TakeForcedDownBack(ServiceId),
    /// Keep the repaired host, which becomes a spare, out of scheduling.
    Reserve(ServiceId),
    /// New guests may be scheduled to the former HA node, which becomes a host.
    Open(ServiceId),
    /// Swap the records, last: until then no recovery of either can begin beside us.
    Swap,
}

/// The former HA node, as Nova has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FormerSpare {
    pub(super) name: NovaHost,
    pub(super) service: Option<ComputeService>,
}

/// Decides. The way of the repaired host is that of every `rejoin`, but that it stays disabled.
pub(super) fn next(host: &NovaHost, facts: &Facts, spare: &FormerSpare) -> Next {
    match steps::next(host, facts) {
        steps::Next::Wait { why, on_host } => return Next::Wait { why, there: on_host },
        steps::Next::Impossible { why, next } => return Next::Impossible { why, next },
        steps::Next::TakeForcedDownBack(service) => return Next::TakeForcedDownBack(service),
        steps::Next::Enable(_) | steps::Next::Reset | steps::Next::Finished => {}
    }
    let name = &spare.name;
    let Some(other) = &spare.service else {
        return Next::Impossible {
            why: format!("Nova knows no nova-compute on {name}"),
            next: "openstack compute service list".into(),
        };
    };
    if other.forced_down {
        return Next::Impossible {
            why: format!("{name} is forced down"),
            next: "ask who did; openstack compute service set --up HOST nova-compute".into(),
        };
    }
    if other.state != ServiceState::Up {
        return Next::Wait {
            why: format!("nova-compute on {name} is down"),
            there: format!("start nova-compute on {name} (systemctl start nova-compute)"),
        };
    }
    match &facts.service {
        Some(service) if is_to_be_reserved(service) => Next::Reserve(service.id.clone()),
        Some(_) | None if is_reserved(other) && !facts.leave_disabled => Next::Open(other.id.clone()),
        Some(_) | None => Next::Swap,
    }
}

/// Enabled, or disabled by the recovery. What anybody else disabled stays as they left it.
fn is_to_be_reserved(service: &ComputeService) -> bool {
    service.status == ServiceStatus::Enabled || has_reason(service, DISABLED_REASON)
}

fn is_reserved(service: &ComputeService) -> bool {
    service.status == ServiceStatus::Disabled && has_reason(service, SPARE_REASON)
}

fn has_reason(service: &ComputeService, begins: &str) -> bool {
    service.disabled_reason.as_deref().is_some_and(|reason| reason.starts_with(begins))
}

/// All steps in order, with what is so.
pub(super) fn shown(
    host: &NovaHost,
    facts: &Facts,
    spare: &FormerSpare,
    storage_is_away: &str,
    is_swapped: bool,
) -> Vec<Shown> {
    let mut steps = vec![Shown { step: "storage is away", done: true, says: storage_is_away.to_owned() }];
    // What comes after these is another than when a host is given back.
    steps.extend(steps::shown(host, facts).into_iter().take(3));
    let status = |service: Option<&ComputeService>| match service {
        None => "Nova has none".to_owned(),
        Some(service) => match (&service.status, service.disabled_reason.as_deref()) {
            (ServiceStatus::Enabled, _) => "enabled".to_owned(),
            (ServiceStatus::Disabled, reason) => format!("disabled ({})", reason.unwrap_or("")),
        },
    };
    let service = facts.service.as_ref();
    steps.push(Shown {
        step: "host is a spare",
        done: service.is_some_and(|service| !is_to_be_reserved(service)),
        says: format!("{host}: {}", status(service)),
    });
    let other = spare.service.as_ref();
    steps.push(Shown {
        step: "spare is a host",
        done: other.is_some_and(|other| !is_reserved(other) || facts.leave_disabled),
        says: format!("{}: {}", spare.name, status(other)),
    });
    steps.push(Shown {
        step: "records swapped",
        done: is_swapped,
        says: if is_swapped { "in the tree" } else { "not yet" }.into(),
    });
    steps
}

#[cfg(test)]
mod tests {
    use super::super::super::steps::GuestDisks;
    use super::*;

    fn service(host: &str, reason: Option<&str>) -> ComputeService {
        ComputeService {
            id: "00000000-0000-4000-8000-00000000000a".parse().unwrap(),
            host: host.parse().unwrap(),
            state: ServiceState::Up,
            status: if reason.is_some() { ServiceStatus::Disabled } else { ServiceStatus::Enabled },
            disabled_reason: reason.map(str::to_owned),
            forced_down: false,
            updated_at: Some("2026-11-22T12:00:00".into()),
            zone: None,
        }
    }

    fn facts(service: ComputeService) -> Facts {
        Facts {
            service: Some(service),
            in_flight: 0,
            done: 0,
            is_beating: true,
            aggregates: Ok(Vec::new()),
            was_fenced: true,
            is_flagged: true,
            disks: GuestDisks::NotOnArrays,
            leave_disabled: true,
            said_ours: false,
        }
    }

    fn word(facts: &Facts, spare: Option<ComputeService>) -> String {
        let spare = FormerSpare { name: "ha1".parse().unwrap(), service: spare };
        match next(&"compute1".parse().unwrap(), facts, &spare) {
            Next::Wait { why, .. } => format!("wait: {why}"),
            Next::Impossible { why, .. } => format!("impossible: {why}"),
            Next::TakeForcedDownBack(_) => "take back".into(),
            Next::Reserve(_) => "reserve".into(),
            Next::Open(_) => "open".into(),
            Next::Swap => "swap".into(),
        }
    }

    #[test]
    fn the_records_are_swapped_last() {
        let ours = Some("nova-ha: incident compute1@0");
        let spare = Some("nova-ha: spare compute1");
        let host = |reason| service("compute1", reason);
        let node = |reason| service("ha1", reason);
        let forced = |service| ComputeService { forced_down: true, ..service };
        let down = |service| ComputeService { state: ServiceState::Down, ..service };
        let open = |facts| Facts { leave_disabled: false, ..facts };
        for (name, facts, node, expected) in [
            ("forced down", facts(forced(down(host(ours)))), Some(node(None)), "take back"),
            (
                "forced down and unsettled",
                Facts { done: 2, ..facts(forced(down(host(ours)))) },
                Some(node(None)),
                "wait: 2 evacuations",
            ),
            ("down", facts(down(host(ours))), Some(node(None)), "wait: nova-compute on compute1 is down"),
            ("disabled by the recovery", facts(host(ours)), Some(node(None)), "reserve"),
            ("enabled", facts(host(None)), Some(node(None)), "reserve"),
            ("disabled by somebody else", facts(host(Some("fan"))), Some(node(None)), "swap"),
            ("a spare", facts(host(spare)), Some(node(None)), "swap"),
            ("both spares", open(facts(host(spare))), Some(node(Some("nova-ha: spare ha1"))), "open"),
            ("both spares, left so", facts(host(spare)), Some(node(Some("nova-ha: spare ha1"))), "swap"),
            ("the node disabled by somebody", open(facts(host(spare))), Some(node(Some("fan"))), "swap"),
            ("the node unknown", facts(host(spare)), None, "impossible: Nova knows no"),
            ("the node down", facts(host(spare)), Some(down(node(None))), "wait: nova-compute on ha1"),
            (
                "the node forced down",
                facts(host(spare)),
                Some(forced(node(None))),
                "impossible: ha1 is forced",
            ),
        ] {
            let found = word(&facts, node);
            assert!(found.starts_with(expected), "{name}: {found}");
        }
    }
}
