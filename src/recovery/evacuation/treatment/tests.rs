//! Each vm_state, and each kind of target.

use std::collections::BTreeMap;

use super::*;
use crate::nova::PowerState;
use crate::nova::servers::Flavor;

fn guest(vm_state: &str) -> Server {
    Server {
        id: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        name: "web".into(),
        host: Some("compute1".parse().unwrap()),
        hypervisor_hostname: None,
        vm_state: vm_state.to_owned().into(),
        task_state: None,
        power_state: PowerState::Running,
        locked: false,
        locked_reason: None,
        metadata: BTreeMap::new(),
        image: None,
        volumes: vec![],
        flavor: Flavor::default(),
        project: None,
        launched: true,
        fault: None,
        server_groups: vec![],
    }
}

fn host(reserved: bool) -> Target {
    Target::Host { host: "ha1".parse().unwrap(), reserved }
}

fn word(treatment: &Treatment) -> &'static str {
    match treatment {
        Treatment::Evacuate { .. } => "evacuate",
        Treatment::Exclude { .. } => "exclude",
        Treatment::Refuse { .. } => "refuse",
    }
}

#[test]
fn each_vm_state_is_treated_as_nova_would() {
    for (vm_state, launched, never_ran) in [
        ("active", "evacuate", "refuse"),
        ("stopped", "evacuate", "refuse"),
        ("error", "evacuate", "refuse"),
        ("building", "refuse", "refuse"),
        ("paused", "refuse", "refuse"),
        ("suspended", "refuse", "refuse"),
        ("rescued", "refuse", "refuse"),
        ("resized", "refuse", "refuse"),
        ("shelved", "refuse", "refuse"),
        ("shelved_offloaded", "exclude", "exclude"),
        ("soft-delete", "exclude", "exclude"),
        ("deleted", "exclude", "exclude"),
        ("a_state_of_next_year", "refuse", "refuse"),
    ] {
        let mut server = guest(vm_state);
        assert_eq!(word(&treat(&server, &Target::Scheduler)), launched, "{vm_state}");
        server.launched = false;
        assert_eq!(word(&treat(&server, &Target::Scheduler)), never_ran, "{vm_state}, never launched");
    }
}

#[test]
fn a_reason_names_the_state_that_nova_refuses() {
    for vm_state in ["paused", "rescued", "a_state_of_next_year"] {
        match treat(&guest(vm_state), &Target::Scheduler) {
            Treatment::Refuse { why } => assert!(why.contains(vm_state), "{why}"),
            other => panic!("{other:?}"),
        }
    }
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
        assert_eq!(word(&treat(&server, &Target::Scheduler)), expected, "{value:?}");
    }
    let mut server = guest("active");
    server.metadata.insert("ha_enabled_by".into(), "no".into());
    assert_eq!(word(&treat(&server, &Target::Scheduler)), "evacuate", "another key");
}

#[test]
fn only_a_reserved_spare_is_reached_past_the_scheduler() {
    let request = |target: &Target| match treat(&guest("active"), target) {
        Treatment::Evacuate { request, .. } => request,
        other => panic!("{other:?}"),
    };
    assert_eq!(request(&Target::Scheduler), EvacuateRequest::Scheduled268 { host: None });
    let ha1: NovaHost = "ha1".parse().unwrap();
    assert_eq!(request(&host(false)), EvacuateRequest::Scheduled268 { host: Some(ha1.clone()) });
    assert_eq!(request(&host(true)), EvacuateRequest::Pinned214 { host: ha1 });
}

#[test]
fn a_target_reads_like_a_sentence() {
    assert_eq!(Target::Scheduler.to_string(), "wherever Nova's scheduler says");
    assert_eq!(host(true).to_string(), "ha1 (reserved spare)");
    assert_eq!(host(false).to_string(), "ha1");
}
