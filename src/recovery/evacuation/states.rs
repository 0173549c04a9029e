//! What a guest's state at the moment of death means for its recovery: pure, and one table.
//!
//! Decided by vm_state, task_state and power_state, never by the derived `status`. The table is
//! also the page `docs/guests.md`; a test compares them. Facts of Nova are from its source,
//! commit 00a03040 (2026-08): `nova/compute/api.py` and `nova/compute/manager.py`.

use crate::nova::{Migration, PowerState, TaskState, VmState};

/// What is known of one guest's state.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// What it is.
    pub vm_state: &'a VmState,
    /// What was being done with it.
    pub task_state: Option<&'a TaskState>,
    /// What the hypervisor last said.
    pub power_state: PowerState,
    /// Whether it ever ran.
    pub launched: bool,
    /// The newest live migration away from the dead host, if Nova shows one.
    pub live_migration: Option<&'a Migration>,
    /// Whether this recovery asked for an evacuation of it before: then *rebuilding* is ours.
    pub asked: bool,
}

/// What its state means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Evacuate it.
    Evacuate,
    /// Nova evacuates it only from ERROR: `os-resetState` first, stopped in the end.
    Reset,
    /// Nothing to recover.
    Exclude {
        /// Why.
        why: String,
    },
    /// Nova would not, or it would lose something: a person decides.
    Refuse {
        /// Why, and what next.
        why: String,
    },
    /// Nobody can tell what its disk or its whereabouts are: a person looks first.
    Hold {
        /// Why, and what next.
        why: String,
    },
}

/// What a row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Evacuate,
    Reset,
    Exclude,
    Refuse,
    Hold,
    /// task_state only: as if there were none.
    AsVmState,
    /// task_state only: where it may run already is in Nova's record of the live migration.
    ByLiveMigration,
}

/// One row: states as Nova spells them, what follows, how it ends, and why.
struct Row {
    states: &'static [&'static str],
    says: Says,
    /// In the end, where it is recovered; else what to do next (`ID` is the guest's).
    then: &'static str,
    why: &'static str,
}

/// By vm_state, for a guest that ever ran and with which nothing was being done.
const VM_STATES: &[Row] = &[
    Row { states: &["active"], says: Says::Evacuate, then: "ACTIVE", why: "it was running" },
    Row {
        states: &["stopped"],
        says: Says::Evacuate,
        then: "SHUTOFF (Nova starts it there and shuts it down again)",
        why: "its owner finds it where it can be started",
    },
    Row {
        states: &["error"],
        says: Says::Evacuate,
        then: "ACTIVE, as Nova leaves it; SHUTOFF, by us, where its power_state was shut down",
        why: "ERROR says that an operation failed, nothing about its disk",
    },
    Row {
        states: &["paused"],
        says: Says::Reset,
        then: "SHUTOFF, by us: it was not running",
        why: "its memory went with the host; Nova evacuates no paused guest",
    },
    Row {
        states: &["rescued"],
        says: Says::Reset,
        then: "SHUTOFF, by us: its own disk was under repair",
        why: "it ran from a rescue image; Nova evacuates no rescued guest",
    },
    Row {
        states: &["suspended"],
        says: Says::Reset,
        then: "SHUTOFF, by us: it was not running (by default refused, see below)",
        why: "its memory is saved on the dead host only, and an evacuation gives it up",
    },
    Row {
        states: &["resized"],
        says: Says::Refuse,
        then: "openstack server resize confirm ID, then (on shared storage) openstack server evacuate ID",
        why: "its resize is not confirmed: to evacuate it now would take the way back from its owner and leave the \
              old disk and its room on the host it came from, which can still confirm",
    },
    Row {
        states: &["building"],
        says: Says::Refuse,
        then: "delete it and create it again",
        why: "it never ran: Nova evacuates only what was launched",
    },
    Row {
        states: &["shelved"],
        says: Says::Refuse,
        then: "unshelve it when the host is back; its image is in the image store",
        why: "its owner put it away, and Nova evacuates no shelved guest",
    },
    Row {
        states: &["shelved_offloaded"],
        says: Says::Exclude,
        then: "",
        why: "shelved: on no host, unshelve it anywhere",
    },
    Row { states: &["deleted", "soft-delete"], says: Says::Exclude, then: "", why: "deleted" },
];

/// By task_state, which comes first: what was being done when the host died.
const TASK_STATES: &[Row] = &[
    Row {
        states: &[
            "image_snapshot",
            "image_snapshot_pending",
            "image_pending_upload",
            "image_uploading",
            "image_backup",
            "updating_password",
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
            "restoring",
            "scheduling",
            "block_device_mapping",
            "networking",
            "spawning",
            "shelving",
            "shelving_image_pending_upload",
            "shelving_image_uploading",
            "shelving_offloading",
        ],
        says: Says::AsVmState,
        then: "",
        why: "what was asked for is lost and may be asked for again; its disk is as it was",
    },
    Row {
        states: &["resize_prep"],
        says: Says::AsVmState,
        then: "",
        why: "Nova writes resize_migrating before it touches the disk",
    },
    Row {
        states: &["migrating"],
        says: Says::ByLiveMigration,
        then: "",
        why: "a live migration away from the dead host",
    },
    Row {
        states: &["deleting", "soft-deleting"],
        says: Says::Exclude,
        then: "",
        why: "its owner was deleting it",
    },
    Row {
        states: &[
            "resize_migrating",
            "resize_migrated",
            "resize_finish",
            "resize_reverting",
            "resize_confirming",
        ],
        says: Says::Hold,
        then: "look at its directory and its directory _resize; openstack server set --state active ID; retry",
        why: "in the middle of a resize its directory may be renamed or half copied, and Nova would build its disk \
              anew from the image",
    },
    Row {
        states: &["rebuilding", "rebuild_block_device_mapping", "rebuild_spawning"],
        says: Says::Hold,
        then: "look at its disk; openstack server set --state active ID; retry",
        why: "it was being rebuilt, and no evacuation is under way: its disk may be half written",
    },
    Row {
        states: &["unshelving"],
        says: Says::Hold,
        then: "look whether its disk is whole; openstack server set --state active ID; retry",
        why: "it was being unshelved: its disk may be half written",
    },
];

/// By the newest live migration away from the dead host (os-migrations), where task_state is
/// *migrating*. The source's nova-compute writes *running* before its hypervisor begins
/// (`_do_live_migration`: `_set_migration_status(migration, 'running')`, then
/// `driver.live_migration`), so before it nothing runs anywhere else. From then on the guest may
/// run on its destination while Nova still names the source; *error* is written too when only the
/// clean-up after a successful migration failed.
const LIVE_MIGRATIONS: &[Row] = &[
    Row {
        states: &["accepted", "queued", "preparing"],
        says: Says::AsVmState,
        then: "",
        why: "the source had not begun to move it",
    },
    Row {
        states: &["anything else, or no record"],
        says: Says::Hold,
        then: "if its destination (openstack server migration list --server ID) does not run it: openstack server \
               set --state active ID; retry",
        why: "it may run on its destination already",
    },
];

const UNKNOWN_TASK: &str = "what was being done with it is unknown to this build";

/// vm_states that Nova evacuates only after `os-resetState`; a policy says which of them.
pub const RESETTABLE: [&str; 3] = ["paused", "rescued", "suspended"];

fn row(table: &'static [Row], state: &str) -> Option<&'static Row> {
    table.iter().find(|row| row.states.contains(&state))
}

fn hold(row: &Row, what: &str) -> Outcome {
    Outcome::Hold { why: format!("{what}: {}; next: {}", row.why, row.then) }
}

/// Decides. `reset` are the vm_states that the policy lets be reset and evacuated.
pub fn outcome(state: &State<'_>, reset: &[String]) -> Outcome {
    if let Some(task) = state.task_state {
        match row(TASK_STATES, task.word()) {
            Some(row) => match row.says {
                Says::AsVmState => {}
                Says::Exclude => return Outcome::Exclude { why: row.why.into() },
                Says::ByLiveMigration => {
                    let status = state.live_migration.map(|m| m.status.to_string());
                    let row = status.as_deref().and_then(|status| self::row(LIVE_MIGRATIONS, status));
                    if row.is_none_or(|row| row.says != Says::AsVmState) {
                        return live_hold(state.live_migration);
                    }
                }
                Says::Hold if state.asked && task.is_rebuild() => {}
                Says::Hold | Says::Evacuate | Says::Reset | Says::Refuse => return hold(row, task.word()),
            },
            None => {
                let next = "look at it; openstack server set --state active ID; retry";
                return Outcome::Hold { why: format!("{task}: {UNKNOWN_TASK}; next: {next}") };
            }
        }
    }
    by_vm_state(state, reset)
}

fn live_hold(migration: Option<&Migration>) -> Outcome {
    let what = match migration {
        Some(m) => {
            let dest = m.dest.as_ref().map_or("an unknown host", |host| host.as_str());
            format!("its live migration {} to {dest} is {}", m.id, m.status)
        }
        None => "it was being migrated live, and Nova shows no record of it".into(),
    };
    match LIVE_MIGRATIONS.last() {
        Some(row) => hold(row, &what),
        None => Outcome::Hold { why: what },
    }
}

fn by_vm_state(state: &State<'_>, reset: &[String]) -> Outcome {
    let word = state.vm_state.to_string();
    let Some(row) = row(VM_STATES, &word) else {
        return Outcome::Refuse { why: format!("{word}: a vm_state that this build does not know") };
    };
    let never = || Outcome::Refuse {
        why: "it never ran: Nova does not evacuate it; next: delete it and create it again".into(),
    };
    let with_next = || format!("{word}: {}; next: {}", row.why, row.then);
    match row.says {
        Says::Exclude => Outcome::Exclude { why: row.why.into() },
        Says::Evacuate | Says::Reset if !state.launched => never(),
        Says::Evacuate => Outcome::Evacuate,
        Says::Reset if reset.contains(&word) => Outcome::Reset,
        Says::Reset => {
            let listed =
                reset.iter().chain([&word]).map(|s| format!("\"{s}\"")).collect::<Vec<_>>().join(",");
            let next = format!("nova-ha policy set reset_and_evacuate '[{listed}]'");
            let why = format!("{word}: {}, and the policy does not allow it; next: {next}", row.why);
            Outcome::Refuse { why }
        }
        Says::Refuse => Outcome::Refuse { why: with_next() },
        Says::Hold | Says::AsVmState | Says::ByLiveMigration => Outcome::Hold { why: with_next() },
    }
}

/// Whether it must not be left running: it was not, or not by itself. Nova has no way to evacuate a
/// guest without starting it: also one that was SHUTOFF runs for some seconds.
pub fn ends_stopped(vm_state: &VmState, power_state: PowerState) -> bool {
    match vm_state {
        VmState::Stopped | VmState::Paused | VmState::Suspended | VmState::Rescued => true,
        VmState::Error => power_state == PowerState::Shutdown,
        VmState::Active
        | VmState::Building
        | VmState::Resized
        | VmState::SoftDeleted
        | VmState::Deleted
        | VmState::Shelved
        | VmState::ShelvedOffloaded
        | VmState::Other(_) => false,
    }
}

impl Says {
    fn text(self) -> &'static str {
        match self {
            Says::Evacuate => "evacuated",
            Says::Reset => "reset, evacuated, stopped",
            Says::Exclude => "excluded",
            Says::Refuse => "refused",
            Says::Hold => "held",
            Says::AsVmState => "as its vm_state says",
            Says::ByLiveMigration => "by its live migration, below",
        }
    }
}

/// The three tables as an operator reads them: the middle of `docs/guests.md`.
pub fn markdown() -> String {
    let mut text = String::new();
    for (head, table) in [
        ("vm_state", VM_STATES),
        ("task_state", TASK_STATES),
        ("live migration, where task_state is `migrating`", LIVE_MIGRATIONS),
    ] {
        text += &format!("| {head} | what is done | in the end, or next | why |\n|---|---|---|---|\n");
        for row in table {
            let states =
                row.states.iter().map(|s| if s.contains(' ') { (*s).into() } else { format!("`{s}`") });
            let states = states.collect::<Vec<String>>().join(", ");
            text += &format!("| {states} | {} | {} | {} |\n", row.says.text(), row.then, row.why);
        }
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests;
