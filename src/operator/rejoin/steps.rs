//! What is next on a host's way back: pure, from what Nova and the tree say now.

use serde::Serialize;

use crate::incident::DISABLED_REASON;
use crate::nova::ownership;
use crate::nova::{
    Aggregate, ComputeService, MigrationStatus, NovaHost, ServiceId, ServiceState, ServiceStatus,
};

/// What is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Nova's service of the host.
    pub service: Option<ComputeService>,
    /// Evacuations away from it that are accepted or being built.
    pub in_flight: usize,
    /// Evacuations away from it that its nova-compute has not settled.
    pub done: usize,
    /// Whether its nova-compute was seen to report while we looked.
    pub is_beating: bool,
    /// Aggregates that the host is in, or why nobody can tell.
    pub aggregates: Result<Vec<Aggregate>, String>,
    /// Whether the incident of its present epoch came as far as the fence: then a recovery of ours
    /// went on to force it down.
    pub was_fenced: bool,
    /// Whether the tree calls it failed or recovered, or an HA node is in use for it.
    pub is_flagged: bool,
    /// What says that its guests' disks are where Nova looks for them.
    pub disks: GuestDisks,
    /// Whether a person wants it to stay disabled.
    pub leave_disabled: bool,
    /// Whether a person says that *forced down* is of a recovery of ours.
    pub said_ours: bool,
}

/// Whether the filesystems that hold the host's guests are mounted. Nova would build a new guest below the
/// mountpoint of one that is not, and the mount would hide it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestDisks {
    /// It published none on arrays.
    NotOnArrays,
    /// It published that they are, in a boot since it was fenced.
    Mounted,
    /// It published no such thing since.
    NotYet,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Something must happen on the host first.
    Wait {
        /// What.
        why: String,
        /// Where that is done.
        on_host: String,
    },
    /// It cannot go on by itself.
    Impossible {
        /// Why.
        why: String,
        /// The operator's next command.
        next: String,
    },
    /// Take *forced down* back.
    TakeForcedDownBack(ServiceId),
    /// Enable what our recovery disabled.
    Enable(ServiceId),
    /// Reset the flags.
    Reset,
    /// Nothing.
    Finished,
}

/// Evacuations by their status: how many are under way, and how many are `done`. One whose status
/// nobody here knows may be under way.
pub fn counted<'a>(statuses: impl IntoIterator<Item = &'a MigrationStatus>) -> (usize, usize) {
    let (mut in_flight, mut done) = (0, 0);
    for status in statuses {
        match status {
            MigrationStatus::Accepted | MigrationStatus::PreMigrating | MigrationStatus::Other(_) => {
                in_flight += 1;
            }
            MigrationStatus::Done => done += 1,
            MigrationStatus::Completed
            | MigrationStatus::Failed
            | MigrationStatus::Error
            | MigrationStatus::Cancelled => {}
        }
    }
    (in_flight, done)
}

/// Why *forced down* is not ours to take back, and what a person can do: another HA system may be
/// fencing the host or evacuating its guests, and a person may know why the host must stay down. Nova
/// keeps neither when nor by whom it was forced down. So it is ours only until the host is reset, which
/// is the last thing that rejoin does: forced down after that, it was somebody else, whatever reason
/// is left on it.
fn not_ours(host: &NovaHost, service: &ComputeService, facts: &Facts) -> Option<(String, String)> {
    if let Some(mark) = ownership::foreign_mark(service) {
        let reason = service.disabled_reason.as_deref().unwrap_or("");
        return Some((
            format!("{host} is forced down, with another HA system's mark ({mark}): {reason:?}"),
            "end the other system's recovery with its own tools".into(),
        ));
    }
    match &facts.aggregates {
        Err(why) => {
            return Some((
                format!("{host} is forced down, and nobody can tell whose it is: {why}"),
                "openstack aggregate list --long".into(),
            ));
        }
        Ok(aggregates) => {
            if let Some(owner) = ownership::foreign_owner(aggregates) {
                return Some((
                    format!("{host} is forced down, and another HA system's ({owner})"),
                    format!("give it back there, or set {} to {}", ownership::OWNER_KEY, ownership::OWNER),
                ));
            }
        }
    }
    let is_ours = facts.is_flagged && (facts.was_fenced || is_ours(service));
    (!is_ours && !facts.said_ours).then(|| {
        let since = match facts.is_flagged {
            true => "none of ours fenced it in this epoch",
            false => "it was reset since any recovery of ours",
        };
        (
            format!("{host} is forced down, and it may be a person who did it: {since}"),
            "ask who did; if it may return, the same with --forced-down-is-ours".to_owned(),
        )
    })
}

/// Decides.
///
/// Source: nova-compute settles the evacuations away from its host when it starts
/// (`_destroy_evacuated_instances`: `done` becomes `completed`), which it does while forced down, too;
/// Nova refuses to take *forced down* back before (`_check_for_evacuations`, 400).
pub fn next(host: &NovaHost, facts: &Facts) -> Next {
    let start = format!("start nova-compute on {host} (systemctl start nova-compute)");
    let Some(service) = &facts.service else {
        return Next::Impossible {
            why: format!("Nova knows no nova-compute on {host}"),
            next: "openstack compute service list".into(),
        };
    };
    if facts.in_flight > 0 {
        // Starting its nova-compute would settle these too, although their guests are nowhere yet.
        return Next::Impossible {
            why: format!("{} evacuations away from {host} are under way", facts.in_flight),
            next: format!("do not start nova-compute there; openstack server migration list --host {host}"),
        };
    }
    if service.forced_down {
        if let Some((why, next)) = not_ours(host, service, facts) {
            return Next::Impossible { why, next };
        }
        if !facts.is_beating {
            return Next::Wait { why: format!("nova-compute on {host} does not report"), on_host: start };
        }
        if facts.done > 0 {
            return Next::Wait {
                why: format!(
                    "{} evacuations away from {host} are done and not completed: its nova-compute has not been started since",
                    facts.done
                ),
                on_host: format!("restart nova-compute on {host} (systemctl restart nova-compute)"),
            };
        }
        return Next::TakeForcedDownBack(service.id.clone());
    }
    if service.state != ServiceState::Up {
        return Next::Wait { why: format!("nova-compute on {host} is down"), on_host: start };
    }
    // Its boot guard lets its disks start only when the flags are reset.
    let disks_are_awaited = is_ours(service) && facts.disks == GuestDisks::NotYet;
    if disks_are_awaited && !facts.is_flagged {
        return Next::Wait {
            why: format!("{host} has not published that what holds its guests is mounted"),
            on_host: format!(
                "on {host}: systemctl status nova-ha-guest-storage; findmnt; nova-ha-runtime-info --host {host} \
                 (it runs every 5 minutes by itself)"
            ),
        };
    }
    if is_ours(service) && !facts.leave_disabled && !disks_are_awaited {
        return Next::Enable(service.id.clone());
    }
    if facts.is_flagged { Next::Reset } else { Next::Finished }
}

/// Disabled by a recovery of ours.
pub(super) fn is_ours(service: &ComputeService) -> bool {
    service.status == ServiceStatus::Disabled
        && service.disabled_reason.as_deref().is_some_and(|reason| reason.starts_with(DISABLED_REASON))
}

/// Whether nova-compute reports, seen by its record alone: it says *down* while it is forced down,
/// however well it is. Its `updated_at` also moves when anybody changes the record, so one move is no
/// sign; it moves by itself again and again.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    last: Option<String>,
    moves: u32,
}

/// A second change by somebody else within seconds is taken for a beat; Nova then still refuses what
/// must not be while evacuations are unsettled.
const BEATS: u32 = 2;

impl Pulse {
    /// A look at the record.
    pub fn saw(&mut self, updated_at: Option<&str>) {
        let Some(now) = updated_at else { return };
        if self.last.as_deref().is_some_and(|last| last != now) {
            self.moves += 1;
        }
        self.last = Some(now.to_owned());
    }

    /// We change it ourselves: the next move is ours.
    pub fn touched(&mut self) {
        self.last = None;
    }

    /// Whether it moved by itself.
    pub fn is_beating(&self) -> bool {
        self.moves >= BEATS
    }
}

/// One step as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The step.
    pub step: &'static str,
    /// Whether it is done.
    pub done: bool,
    /// What Nova or the tree says.
    pub says: String,
}

impl Shown {
    /// For people.
    pub fn text(&self) -> String {
        format!("{:<4}  {:<22} {}", if self.done { "ok" } else { "-" }, self.step, self.says)
    }
}

/// All steps in order, with what is so.
pub fn shown(host: &NovaHost, facts: &Facts) -> Vec<Shown> {
    let Some(service) = &facts.service else {
        return vec![Shown {
            step: "nova-compute reports",
            done: false,
            says: format!("Nova has none on {host}"),
        }];
    };
    let up = service.state == ServiceState::Up || facts.is_beating;
    let reason = service.disabled_reason.as_deref().unwrap_or("");
    let enabled = match service.status {
        ServiceStatus::Enabled => "enabled".to_owned(),
        ServiceStatus::Disabled if is_ours(service) => format!("disabled by us ({reason})"),
        ServiceStatus::Disabled => format!("disabled by somebody else, and left so ({reason})"),
    };
    let mut steps = vec![
        Shown {
            step: "nova-compute reports",
            done: up,
            says: format!("last at {}", service.updated_at.as_deref().unwrap_or("(never)")),
        },
        Shown {
            step: "evacuations settled",
            done: facts.done == 0 && facts.in_flight == 0,
            says: format!("{} done, {} under way", facts.done, facts.in_flight),
        },
        Shown {
            step: "forced down taken back",
            done: !service.forced_down,
            says: format!("forced_down={}", service.forced_down),
        },
    ];
    let service =
        Shown { step: "service as before", done: !is_ours(service) || facts.leave_disabled, says: enabled };
    let flags = Shown {
        step: "flags reset",
        done: !facts.is_flagged,
        says: if facts.is_flagged { "failed or recovered, or an HA node in use" } else { "none set" }.into(),
    };
    let disks = |done, says: &str| Shown { step: "guests' disks mounted", done, says: says.into() };
    match facts.disks {
        GuestDisks::NotOnArrays => steps.extend([service, flags]),
        GuestDisks::Mounted => steps.extend([flags, disks(true, "published since it was fenced"), service]),
        GuestDisks::NotYet => {
            steps.extend([flags, disks(false, "not published since it was fenced"), service])
        }
    }
    steps
}

#[cfg(test)]
mod tests;
