//! Every state, and the page that operators read.

use super::*;

fn live(status: &str) -> Migration {
    Migration {
        id: 7,
        uuid: "m7".into(),
        server: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        status: status.to_owned().into(),
        source: "compute1".parse().unwrap(),
        dest: Some("compute2".parse().unwrap()),
        created_at: "2026-11-22T12:00:00".into(),
        updated_at: None,
    }
}

fn default_reset() -> Vec<String> {
    crate::policy::Policy::default().reset_and_evacuate
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Evacuate => "evacuate",
        Outcome::Reset => "reset",
        Outcome::Exclude { .. } => "exclude",
        Outcome::Refuse { .. } => "refuse",
        Outcome::Hold { .. } => "hold",
    }
}

fn decide(vm_state: &str, task: Option<&str>, change: impl FnOnce(&mut State<'_>)) -> Outcome {
    migrating(vm_state, task, None, change)
}

fn migrating(
    vm_state: &str,
    task: Option<&str>,
    live_migration: Option<&Migration>,
    change: impl FnOnce(&mut State<'_>),
) -> Outcome {
    let vm_state = VmState::from(vm_state.to_owned());
    let task = task.map(TaskState::from);
    let mut state = State {
        vm_state: &vm_state,
        task_state: task.as_ref(),
        power_state: PowerState::Running,
        launched: true,
        live_migration,
        asked: false,
    };
    change(&mut state);
    outcome(&state, &default_reset())
}

#[test]
fn each_vm_state_launched_and_never_launched() {
    for (vm_state, launched, never) in [
        ("active", "evacuate", "refuse"),
        ("stopped", "evacuate", "refuse"),
        ("error", "evacuate", "refuse"),
        ("paused", "reset", "refuse"),
        ("rescued", "reset", "refuse"),
        ("suspended", "refuse", "refuse"),
        ("resized", "refuse", "refuse"),
        ("building", "refuse", "refuse"),
        ("shelved", "refuse", "refuse"),
        ("shelved_offloaded", "exclude", "exclude"),
        ("soft-delete", "exclude", "exclude"),
        ("deleted", "exclude", "exclude"),
        ("a_state_of_next_year", "refuse", "refuse"),
    ] {
        assert_eq!(word(&decide(vm_state, None, |_| ())), launched, "{vm_state}");
        assert_eq!(
            word(&decide(vm_state, None, |s| s.launched = false)),
            never,
            "{vm_state}, never launched"
        );
    }
}

#[test]
fn what_was_being_done_decides_before_the_vm_state() {
    for (task, active, paused) in [
        ("rebooting_hard", "evacuate", "reset"),
        ("powering-off", "evacuate", "reset"),
        ("image_uploading", "evacuate", "reset"),
        ("shelving", "evacuate", "reset"),
        ("resize_prep", "evacuate", "reset"),
        ("resize_migrating", "hold", "hold"),
        ("resize_migrated", "hold", "hold"),
        ("resize_finish", "hold", "hold"),
        ("resize_reverting", "hold", "hold"),
        ("resize_confirming", "hold", "hold"),
        ("rebuilding", "hold", "hold"),
        ("rebuild_spawning", "hold", "hold"),
        ("unshelving", "hold", "hold"),
        ("deleting", "exclude", "exclude"),
        ("soft-deleting", "exclude", "exclude"),
        ("migrating", "hold", "hold"),
        ("a_task_of_next_year", "hold", "hold"),
    ] {
        assert_eq!(word(&decide("active", Some(task), |_| ())), active, "active, {task}");
        assert_eq!(word(&decide("paused", Some(task), |_| ())), paused, "paused, {task}");
    }
}

#[test]
fn a_live_migration_that_had_begun_is_never_evacuated() {
    for (status, expected) in [
        ("accepted", "evacuate"),
        ("queued", "evacuate"),
        ("preparing", "evacuate"),
        ("running", "hold"),
        ("post-migrating", "hold"),
        ("completed", "hold"),
        ("error", "hold"),
        ("failed", "hold"),
        ("cancelled", "hold"),
        ("a_status_of_next_year", "hold"),
        ("anything else, or no record", "hold"),
    ] {
        let migration = live(status);
        let found = migrating("active", Some("migrating"), Some(&migration), |_| ());
        assert_eq!(word(&found), expected, "{status}");
    }
    let running = live("running");
    match migrating("active", Some("migrating"), Some(&running), |_| ()) {
        Outcome::Hold { why } => assert!(why.contains("compute2") && why.contains("next:"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_migration_record_without_the_task_is_history() {
    let running = live("running");
    assert_eq!(word(&migrating("active", None, Some(&running), |_| ())), "evacuate");
}

#[test]
fn rebuilding_after_our_own_request_is_no_rebuild_of_somebody_else() {
    for task in ["rebuilding", "rebuild_block_device_mapping", "rebuild_spawning"] {
        assert_eq!(word(&decide("active", Some(task), |s| s.asked = true)), "evacuate", "{task}");
    }
    assert_eq!(word(&decide("active", Some("resize_finish"), |s| s.asked = true)), "hold");
}

#[test]
fn the_policy_says_which_states_are_reset() {
    let state = |vm_state: &VmState, reset: &[&str]| {
        let state = State {
            vm_state,
            task_state: None,
            power_state: PowerState::Paused,
            launched: true,
            live_migration: None,
            asked: false,
        };
        outcome(&state, &reset.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(state(&VmState::Suspended, &["suspended"]), Outcome::Reset);
    match state(&VmState::Paused, &["rescued"]) {
        Outcome::Refuse { why } => {
            assert!(why.contains(r#"nova-ha policy set reset_and_evacuate '["rescued","paused"]'"#), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_did_not_run_is_not_left_running() {
    for (vm_state, power, expected) in [
        ("active", PowerState::Running, false),
        ("active", PowerState::Shutdown, false),
        ("stopped", PowerState::Shutdown, true),
        ("stopped", PowerState::Running, true),
        ("paused", PowerState::Paused, true),
        ("suspended", PowerState::Suspended, true),
        ("rescued", PowerState::Running, true),
        ("error", PowerState::Running, false),
        ("error", PowerState::NoState, false),
        ("error", PowerState::Shutdown, true),
    ] {
        let found = ends_stopped(&VmState::from(vm_state.to_owned()), power);
        assert_eq!(found, expected, "{vm_state} {power:?}");
    }
}

/// Every task_state of Nova (nova/objects/fields.py, InstanceTaskState, at 00a03040).
const NOVAS_TASKS: &[&str] = &[
    "scheduling",
    "block_device_mapping",
    "networking",
    "spawning",
    "image_snapshot",
    "image_snapshot_pending",
    "image_pending_upload",
    "image_uploading",
    "image_backup",
    "updating_password",
    "resize_prep",
    "resize_migrating",
    "resize_migrated",
    "resize_finish",
    "resize_reverting",
    "resize_confirming",
    "rebooting",
    "reboot_pending",
    "reboot_started",
    "rebooting_hard",
    "reboot_pending_hard",
    "reboot_started_hard",
    "pausing",
    "unpausing",
    "suspending",
    "resuming",
    "powering-off",
    "powering-on",
    "rescuing",
    "unrescuing",
    "rebuilding",
    "rebuild_block_device_mapping",
    "rebuild_spawning",
    "migrating",
    "deleting",
    "soft-deleting",
    "restoring",
    "shelving",
    "shelving_image_pending_upload",
    "shelving_image_uploading",
    "shelving_offloading",
    "unshelving",
];

#[test]
fn every_state_of_nova_is_in_the_table_once() {
    for task in NOVAS_TASKS {
        let rows = TASK_STATES.iter().filter(|row| row.states.contains(task)).count();
        assert_eq!(rows, 1, "{task}");
    }
    assert_eq!(TASK_STATES.iter().map(|row| row.states.len()).sum::<usize>(), NOVAS_TASKS.len());
    for row in VM_STATES {
        for state in row.states {
            assert!(!matches!(VmState::from((*state).to_owned()), VmState::Other(_)), "{state}");
        }
    }
    assert_eq!(VM_STATES.iter().map(|row| row.states.len()).sum::<usize>(), 12);
}

#[test]
fn the_page_for_operators_is_this_table() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guests.md");
    let text = std::fs::read_to_string(page).unwrap();
    assert!(text.contains(&markdown()), "docs/guests.md must hold:\n{}", markdown());
}
