//! Which kind of thing a fence agent is: what it reads, and what its *off* is.
//!
//! A power switch reads the power, and that is a proof. An agent that sends a message, or takes disks away, reads whether it has done
//! that, and nothing of the machine; and what it reads may have been so from the start. Its *off* is a command, after which the machine is
//! dead once its own watchdog must have fired. What evacuates, or takes silence for death, is neither.

/// What an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It reads the power and cuts it.
    Power,
    /// Its *off* is a message to the machine, or to its disks; some time after that the machine has stopped itself.
    Message,
    /// Nothing that fences; why.
    Neither(&'static str),
}

/// What this agent is. One that nobody here knows is taken for a power switch, as root's local.toml names it.
pub(super) fn kind(agent: &str) -> Kind {
    match agent {
        "fence_scsi" | "fence_mpath" | "fence_sbd" | "fence_sanlock" => Kind::Message,
        "fence_compute" | "fence_evacuate" => Kind::Neither(
            "evacuates guests by itself, and calls a host off that Nova calls down: it cuts no power",
        ),
        "fence_ack_manual" => Kind::Neither("is a person's word: nova-ha confirm-off"),
        "fence_crosslink" | "fence_heuristics_ping" => Kind::Neither("takes silence for off"),
        "fence_kdump" => {
            Kind::Neither("takes a crash dump for off; nova-ha waits for one by itself (docs/kdump.md)")
        }
        _ => Kind::Power,
    }
}

/// Whether an agent may be a level, with this wait.
///
/// # Errors
/// Why not, and what it needs.
pub(super) fn may_fence(agent: &str, wait_seconds: Option<u64>) -> Result<(), String> {
    match (kind(agent), wait_seconds) {
        (Kind::Power, None) | (Kind::Message, Some(_)) => Ok(()),
        (Kind::Power, Some(_)) => Err(format!(
            "{agent} reads the power itself: \"wait_seconds\" is for fence_sbd, fence_sanlock, fence_scsi, fence_mpath"
        )),
        (Kind::Message, None) => Err(format!(
            "{agent} sends a command, and the machine stops itself later: it needs \"wait_seconds\", the time in which its own watchdog \
             must have fired (for sbd its msgwait; docs/bmc.md), and a deadline_seconds that is longer"
        )),
        (Kind::Neither(why), _) => Err(format!("{agent} {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_a_power_switch_or_a_message_with_a_wait_or_no_level_at_all() {
        for (agent, without, with) in [
            ("fence_apc_snmp", true, false),
            ("fence_custom", true, false),
            ("fence_scsi", false, true),
            ("fence_mpath", false, true),
            ("fence_sbd", false, true),
            ("fence_sanlock", false, true),
            ("fence_compute", false, false),
            ("fence_evacuate", false, false),
            ("fence_kdump", false, false),
            ("fence_heuristics_ping", false, false),
        ] {
            let may = [may_fence(agent, None).is_ok(), may_fence(agent, Some(60)).is_ok()];
            assert_eq!(may, [without, with], "{agent}");
        }
        assert!(may_fence("fence_compute", None).unwrap_err().contains("evacuates guests by itself"));
    }
}
