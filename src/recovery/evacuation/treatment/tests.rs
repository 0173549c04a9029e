//! Each vm_state, and each kind of target.

use std::collections::BTreeMap;

use super::*;
use crate::nova::servers::tests::guest as running;

fn guest(vm_state: &str) -> Server {
    Server { vm_state: vm_state.to_owned().into(), ..running() }
}

fn host(reserved: bool) -> Target {
    Target::Host { host: "ha1".parse().unwrap(), reserved }
}

fn word(treatment: &Treatment) -> &'static str {
    match treatment {
        Treatment::Evacuate => "evacuate",
        Treatment::Exclude { .. } => "exclude",
        Treatment::Reset { .. } => "reset",
        Treatment::Refuse { .. } => "refuse",
        Treatment::Hold { .. } => "hold",
    }
}

static NOTHING: Surroundings = Surroundings {
    aggregates: Vec::new(),
    aggregates_unread: None,
    groups: Vec::new(),
    images: BTreeMap::new(),
    unread: Vec::new(),
};

fn with<'a>(live_migrations: &'a [Migration], reset: &'a [String]) -> Beside<'a> {
    Beside { live_migrations, asked: false, reset, surroundings: &NOTHING, only_opted_in: false }
}

/// With the default policy and nothing beside the record.
fn treat(server: &Server) -> Treatment {
    let reset = crate::policy::Policy::default().reset_and_evacuate;
    super::treat(server, with(&[], &reset))
}

#[test]
fn each_vm_state_is_treated_as_nova_would() {
    for (vm_state, expected) in [
        ("active", "evacuate"),
        ("stopped", "evacuate"),
        ("error", "evacuate"),
        ("paused", "reset"),
        ("rescued", "reset"),
        ("suspended", "refuse"),
        ("resized", "refuse"),
        ("shelved_offloaded", "exclude"),
        ("a_state_of_next_year", "refuse"),
    ] {
        assert_eq!(word(&treat(&guest(vm_state))), expected, "{vm_state}");
    }
}

#[test]
fn a_reason_names_the_state_that_nova_refuses() {
    for vm_state in ["suspended", "resized", "a_state_of_next_year"] {
        match treat(&guest(vm_state)) {
            Treatment::Refuse { why } => assert!(why.contains(vm_state), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_its_own_newest_live_migration_away_from_its_host_counts() {
    let migration = |id: i64, server: &str, source: &str, status: &str| Migration {
        id,
        uuid: format!("m{id}"),
        server: server.parse().unwrap(),
        status: status.to_owned().into(),
        source: source.parse().unwrap(),
        dest: Some("compute2".parse().unwrap()),
        created_at: String::new(),
        updated_at: None,
    };
    let mut server = guest("active");
    server.task_state = Some("migrating".into());
    let (own, other) = (server.id.to_string(), "00000000-0000-4000-8000-000000000002");
    let decide = |list: &[Migration]| word(&super::treat(&server, with(list, &[])));
    let queued = migration(9, &own, "compute1", "queued");
    assert_eq!(decide(&[]), "hold");
    assert_eq!(decide(&[migration(9, other, "compute1", "queued")]), "hold", "another guest's");
    assert_eq!(decide(&[migration(9, &own, "compute3", "queued")]), "hold", "from another host");
    assert_eq!(decide(std::slice::from_ref(&queued)), "evacuate");
    assert_eq!(decide(&[migration(10, &own, "compute1", "running"), queued.clone()]), "hold", "the newest");
    assert_eq!(decide(&[queued, migration(8, &own, "compute1", "running")]), "evacuate", "history");
}

#[test]
fn only_a_clear_no_in_the_metadata_opts_out() {
    for (value, expected) in [
        ("False", "exclude"),
        (" no ", "exclude"),
        ("0", "exclude"),
        ("f", "exclude"),
        ("True", "evacuate"),
        ("", "evacuate"),
        ("Flase", "evacuate"),
        ("none", "evacuate"),
    ] {
        let mut server = guest("active");
        server.metadata.insert("HA_Enabled".into(), value.into());
        assert_eq!(word(&treat(&server)), expected, "{value:?}");
    }
    let mut server = guest("active");
    server.metadata.insert("ha_enabled_by".into(), "no".into());
    assert_eq!(word(&treat(&server)), "evacuate", "another key");
}

#[test]
fn a_target_reads_like_a_sentence() {
    assert_eq!(Target::Scheduler.to_string(), "wherever Nova's scheduler says");
    assert_eq!(host(true).to_string(), "ha1 (reserved spare)");
    assert_eq!(host(false).to_string(), "ha1");
}
