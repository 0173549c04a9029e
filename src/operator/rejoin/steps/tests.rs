//! Tables: what is so, and what is next.

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
        ("it was no recovery of ours that disabled it", up(Some("broken fan"), false, NotYet), "finished"),
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
        ("masakari's aggregate", given_to("masakari"), "impossible: compute1 is forced down, and another"),
        ("our aggregate", given_to("nova-ha"), "take back"),
        (
            "aggregates unread",
            Facts { aggregates: Err("403".into()), ..reason(ours) },
            "impossible: compute1 is forced down, and nobody can tell",
        ),
        ("disabled before, and ours", reason(Some("broken fan")), "take back"),
        ("by hand, disabled", unknown(Some("broken fan")), "impossible: compute1 is forced down, and it may"),
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
                assert!(!reset || (!forced_down && state == ServiceState::Up && in_flight == 0), "{facts:?}");
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
