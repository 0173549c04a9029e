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
mod tests {
    use super::*;

    fn host() -> NovaHost {
        "compute1".parse().unwrap()
    }

    fn service(forced_down: bool, state: ServiceState, disabled_reason: Option<&str>) -> ComputeService {
        ComputeService {
            id: "00000000-0000-4000-8000-00000000000a".parse().unwrap(),
            host: host(),
            state,
            status: if disabled_reason.is_some() { ServiceStatus::Disabled } else { ServiceStatus::Enabled },
            disabled_reason: disabled_reason.map(str::to_owned),
            forced_down,
            updated_at: Some("2026-11-22T12:00:00".into()),
            zone: None,
        }
    }

    /// As a recovery left it.
    fn fenced() -> Facts {
        Facts {
            service: Some(service(true, ServiceState::Down, Some("nova-ha: incident compute1@0"))),
            in_flight: 0,
            done: 3,
            is_beating: false,
            aggregates: Ok(Vec::new()),
            was_fenced: true,
            is_flagged: true,
            disks: GuestDisks::NotOnArrays,
            leave_disabled: false,
            said_ours: false,
        }
    }

    fn word(facts: &Facts) -> String {
        match next(&host(), facts) {
            Next::Wait { why, .. } => format!("wait: {why}"),
            Next::Impossible { why, .. } => format!("impossible: {why}"),
            Next::TakeForcedDownBack(_) => "take back".into(),
            Next::Enable(_) => "enable".into(),
            Next::Reset => "reset".into(),
            Next::Finished => "finished".into(),
        }
    }

    #[test]
    fn each_step_follows_only_when_the_one_before_it_is_so() {
        use ServiceState::{Down, Up};
        let ours = Some("nova-ha: incident compute1@0");
        let with = |forced_down, state, reason, done, is_beating, is_flagged| Facts {
            service: Some(service(forced_down, state, reason)),
            done,
            is_beating,
            is_flagged,
            ..fenced()
        };
        for (name, facts, expected) in [
            ("unknown to Nova", Facts { service: None, ..fenced() }, "impossible: Nova knows no"),
            (
                "still being evacuated",
                Facts { in_flight: 1, is_beating: true, ..fenced() },
                "impossible: 1 evacuations",
            ),
            ("off", fenced(), "wait: nova-compute on compute1 does not report"),
            ("started before they were done", with(true, Down, ours, 3, true, true), "wait: 3 evacuations"),
            (
                "settled, and down again",
                with(true, Down, ours, 0, false, true),
                "wait: nova-compute on compute1 does not",
            ),
            ("settled", with(true, Down, ours, 0, true, true), "take back"),
            (
                "taken back, not heard of yet",
                with(false, Down, ours, 0, true, true),
                "wait: nova-compute on compute1 is down",
            ),
            ("up", with(false, Up, ours, 0, true, true), "enable"),
            ("enabled", with(false, Up, None, 0, true, true), "reset"),
            ("disabled by somebody else", with(false, Up, Some("broken fan"), 0, true, true), "reset"),
            ("reset", with(false, Up, None, 0, true, false), "finished"),
        ] {
            let found = word(&facts);
            assert!(found.starts_with(expected), "{name}: {found}");
        }
        let stay = Facts { leave_disabled: true, ..with(false, Up, ours, 0, true, true) };
        assert_eq!(word(&stay), "reset");
    }

    #[test]
    fn a_host_with_arrays_is_opened_to_new_guests_only_when_they_are_mounted() {
        let ours = Some("nova-ha: incident compute1@0");
        let up = |reason, is_flagged, disks| Facts {
            service: Some(service(false, ServiceState::Up, reason)),
            done: 0,
            is_flagged,
            disks,
            ..fenced()
        };
        use GuestDisks::{Mounted, NotYet};
        for (name, facts, expected) in [
            ("its guard waits for the reset", up(ours, true, NotYet), "reset"),
            ("reset, and a disk is missing", up(ours, false, NotYet), "wait: compute1 has not published"),
            ("reset and mounted", up(ours, false, Mounted), "enable"),
            ("it has no guard", up(ours, true, Mounted), "enable"),
            ("enabled", up(None, false, Mounted), "finished"),
            (
                "it was no recovery of ours that disabled it",
                up(Some("broken fan"), false, NotYet),
                "finished",
            ),
            ("nobody disabled it", up(None, false, NotYet), "finished"),
        ] {
            let found = word(&facts);
            assert!(found.starts_with(expected), "{name}: {found}");
        }
        let stay = Facts { leave_disabled: true, ..up(ours, false, NotYet) };
        assert!(word(&stay).starts_with("wait"), "it is not back either");
        let names: Vec<&str> = shown(&host(), &stay).iter().map(|step| step.step).collect();
        assert_eq!(names[3..], ["flags reset", "guests' disks mounted", "service as before"]);
    }

    fn given_to(owner: &str) -> Facts {
        let metadata = [(ownership::OWNER_KEY.to_owned(), owner.to_owned())].into();
        let aggregate = Aggregate { name: "rack1".into(), hosts: vec!["compute1".into()], metadata };
        Facts { aggregates: Ok(vec![aggregate]), done: 0, is_beating: true, ..fenced() }
    }

    #[test]
    fn what_another_one_forced_down_stays_so() {
        let reason = |reason| Facts {
            service: Some(service(true, ServiceState::Down, reason)),
            done: 0,
            is_beating: true,
            ..fenced()
        };
        let unknown = |text| Facts { was_fenced: false, ..reason(text) };
        let reset = |text| Facts { is_flagged: false, ..reason(text) };
        let ours = Some("nova-ha: incident compute1@0");
        for (name, facts, expected) in [
            ("ours", reason(ours), "take back"),
            ("masakari's mark", reason(Some("by Masakari")), "impossible: compute1 is forced down, with"),
            ("InstanceHA's mark", reason(Some("instanceha evacuation")), "impossible: compute1 is forced"),
            (
                "masakari's aggregate",
                given_to("masakari"),
                "impossible: compute1 is forced down, and another",
            ),
            ("our aggregate", given_to("nova-ha"), "take back"),
            (
                "aggregates unread",
                Facts { aggregates: Err("403".into()), ..reason(ours) },
                "impossible: compute1 is forced down, and nobody can tell",
            ),
            ("disabled before, and ours", reason(Some("broken fan")), "take back"),
            (
                "by hand, disabled",
                unknown(Some("broken fan")),
                "impossible: compute1 is forced down, and it may",
            ),
            ("by hand, enabled", unknown(None), "impossible: compute1 is forced down, and it may"),
            ("by hand, once it had rejoined", reset(None), "impossible: compute1 is forced down, and it may"),
            (
                "by hand, once it had rejoined and stayed disabled",
                reset(ours),
                "impossible: compute1 is forced down, and it may",
            ),
            ("said to be ours", Facts { said_ours: true, ..reset(None) }, "take back"),
            (
                "said to be ours, and masakari's",
                Facts { said_ours: true, ..reset(Some("by Masakari")) },
                "impossible: compute1 is forced down, with",
            ),
            ("ours, its incident long gone", unknown(ours), "take back"),
        ] {
            let found = word(&facts);
            assert!(found.starts_with(expected), "{name}: {found}");
        }
    }

    #[test]
    fn a_status_that_nobody_knows_may_be_under_way() {
        let statuses = ["accepted", "pre-migrating", "post-migrating", "done", "completed", "failed"];
        let statuses = statuses.map(|text| MigrationStatus::from(text.to_owned()));
        assert_eq!(counted(&statuses), (3, 1));
    }

    #[test]
    fn flags_are_never_reset_before_nova_has_the_host_back() {
        for forced_down in [true, false] {
            for state in [ServiceState::Up, ServiceState::Down] {
                for (done, in_flight, is_beating) in
                    [(0, 0, false), (0, 0, true), (1, 0, true), (0, 1, true), (1, 1, false)]
                {
                    let service = Some(service(forced_down, state, None));
                    let facts = Facts { service, done, in_flight, is_beating, ..fenced() };
                    let reset = next(&host(), &facts) == Next::Reset;
                    assert!(
                        !reset || (!forced_down && state == ServiceState::Up && in_flight == 0),
                        "{facts:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_move_of_its_record_is_no_heartbeat() {
        let mut pulse = Pulse::default();
        for (seen, expected) in [
            (Some("1"), false),
            (Some("1"), false),
            (None, false),
            (Some("2"), false),
            (Some("2"), false),
            (Some("3"), true),
        ] {
            pulse.saw(seen);
            assert_eq!(pulse.is_beating(), expected, "{seen:?}");
        }
        let mut pulse = Pulse::default();
        for seen in ["1", "2", "3"] {
            pulse.touched();
            pulse.saw(Some(seen));
        }
        assert!(!pulse.is_beating(), "each move was ours");
    }

    #[test]
    fn what_is_shown_is_in_the_order_in_which_it_is_done() {
        let steps = shown(&host(), &fenced());
        let names: Vec<&str> = steps.iter().map(|step| step.step).collect();
        assert_eq!(
            names,
            [
                "nova-compute reports",
                "evacuations settled",
                "forced down taken back",
                "service as before",
                "flags reset"
            ]
        );
        assert!(steps.iter().all(|step| !step.done && step.text().len() <= 80), "{steps:#?}");
    }
}
