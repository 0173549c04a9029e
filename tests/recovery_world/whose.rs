//! By whose word a recovery acts: what an operator bound, and a host's own word only while nobody contradicts it.

use nova_ha::bindings::arrays::bound;
use nova_ha::keys;
use nova_ha::keys::MachineKeys;
use nova_ha::tree::bound::Bound;
use nova_ha::tree::record::{Record, bytes};
use nova_ha::tree::runtime_config::arrays::MdArray;
use serde_json::{Value, json};

use super::arrays::UUID;
use super::md;
use super::seams::Fault;
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HOST, Universe};

fn host(name: &str) -> MachineKeys {
    keys::host(&name.parse().unwrap())
}

fn published(u: &Universe, name: &str) -> Value {
    match u.kv.get(&host(name).runtime_config()) {
        Some(entry) if !entry.value.is_empty() => serde_json::from_slice(&entry.value).unwrap(),
        Some(_) | None => json!({"version": 1}),
    }
}

fn publishes(u: &mut Universe, name: &str, field: &str, value: Value) {
    let mut record = published(u, name);
    record[field] = value;
    u.kv.put(&host(name).runtime_config(), record.to_string());
}

/// What `nova-ha host accept` writes, of compute1's serial number and arrays, for any host.
fn binds(u: &mut Universe, name: &str, serial: Option<&str>, arrays: Option<&Value>) {
    let array = |(uuid, value): (&String, &Value)| (uuid.clone(), bound(&MdArray::of(uuid, value).unwrap()));
    let record = Bound {
        version: Bound::VERSION,
        system_uuid: None,
        system_serial: serial.map(str::to_owned),
        arrays: arrays.iter().flat_map(|all| all.as_object().unwrap()).map(array).collect(),
        filesystems: [].into(),
        by: "ann".into(),
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    u.kv.put(&host(name).bound(), bytes(&record));
}

fn arrays_of_compute1(u: &Universe) -> Value {
    published(u, HOST)["md_arrays"].clone()
}

pub(crate) fn binds_the_array_to(u: &mut Universe, name: &str) {
    let arrays = arrays_of_compute1(u);
    binds(u, name, None, Some(&arrays));
}

/// compute1 is known by what it publishes, and by nothing that a person typed.
fn known_by_its_own_word() -> Stage {
    let stage = Stage::with_dead_host();
    stage.with(|u| {
        u.kv.remove(&host(HOST).bmc_field("identity"));
        publishes(u, HOST, "system_serial", "SN-compute1".into());
    });
    stage
}

/// It waits with this reason and this command, and nobody was shot for it.
#[track_caller]
fn waits(stage: &Stage, reason: &str, next: &str) {
    let reports = stage.recover("ha1");
    let report = &reports[0];
    assert!(report.text.contains(reason), "{report:#?}");
    assert!(report.next.iter().any(|command| command.starts_with(next)), "{report:#?}");
    assert!(stage.with(|u| u.effects.is_empty()), "nobody is shot for it");
}

#[test]
fn a_hosts_own_word_is_enough_while_nobody_contradicts_it() {
    let stage = known_by_its_own_word();
    stage.recover("ha1");
    stage.all_is_recovered("first sight");
}

#[test]
fn two_that_claim_one_identity_with_the_same_right_both_wait_until_a_person_binds_one() {
    let stage = known_by_its_own_word();
    stage.with(|u| {
        u.kv.remove(&host("compute2").bmc_field("identity"));
        publishes(u, "compute2", "system_serial", "SN-compute1".into());
    });
    waits(&stage, "host compute2 publishes it too", "nova-ha host accept compute1");
    stage.with(|u| binds(u, HOST, Some("SN-compute1"), None));
    stage.recover("ha1");
    stage.all_is_recovered("bound by a person");
}

#[test]
fn what_others_publish_never_weighs_against_a_binding() {
    let stage = known_by_its_own_word();
    stage.with(|u| {
        binds(u, HOST, Some("SN-compute1"), None);
        for liar in ["compute2", "compute3"] {
            u.kv.remove(&host(liar).bmc_field("identity"));
            publishes(u, liar, "system_serial", "SN-compute1".into());
            publishes(u, liar, "nova_host", "compute1".into());
        }
    });
    stage.recover("ha1");
    stage.all_is_recovered("compute2 and compute3 claim to be it");
}

#[test]
fn a_host_that_publishes_another_ones_identity_shoots_nobody_with_the_others_bmc() {
    let stage = known_by_its_own_word();
    stage.with(|u| {
        // Its configured address leads to the BMC of compute2, by mistake or malice; by its own word that is its own.
        u.machines.get_mut(HOST).unwrap().bmc_is_of = Some("compute2".into());
        publishes(u, HOST, "system_serial", "SN-compute2".into());
    });
    waits(&stage, "host compute2 is bound to it", "nova-ha host add compute1 --replace --bmc-identity");
}

#[test]
fn what_a_bound_host_publishes_later_is_not_used() {
    let stage = known_by_its_own_word();
    stage.with(|u| {
        binds(u, HOST, Some("SN-compute1"), None);
        publishes(u, HOST, "system_serial", "SN-another".into());
    });
    stage.recover("ha1");
    stage.all_is_recovered("its board says otherwise since");
}

#[test]
fn its_own_word_that_cannot_be_understood_costs_a_bound_host_nothing() {
    for garbage in ["{", "[]", r#"{"version":99}"#, r#"{"nova_host":7,"system_uuid":[],"ssh_host_keys":"x"}"#]
    {
        let stage = Stage::with_dead_host();
        stage.with(|u| u.kv.put(&host(HOST).runtime_config(), garbage));
        stage.recover("ha1");
        stage.all_is_recovered(garbage);
    }
}

fn on_arrays() -> Stage {
    md::staged()
}

#[test]
fn an_array_that_another_machine_is_bound_to_is_not_taken_and_costs_that_one_nothing() {
    let stage = on_arrays();
    stage.with(|u| binds_the_array_to(u, "compute2"));
    waits(
        &stage,
        &format!("it publishes array {UUID}, and host compute2 is bound to it"),
        "on compute1: mdadm",
    );
}

#[test]
fn two_that_publish_one_array_both_wait_until_a_person_binds_it() {
    let stage = on_arrays();
    stage.with(|u| {
        let arrays = arrays_of_compute1(u);
        publishes(u, "compute2", "md_arrays", arrays);
    });
    waits(&stage, "host compute2 publishes it too", "nova-ha host accept compute1");
    stage.with(|u| binds_the_array_to(u, HOST));
    stage.recover("ha1");
    md::all_runs_on(&stage, "ha1", "bound by a person");
}

#[test]
fn a_bound_host_has_no_other_array_and_no_other_level() {
    for (change, reason) in [
        (json!({}), "which is not among those that it is bound to"),
        (json!({"level": "raid1"}), "it publishes level \"raid10\""),
        (json!({"name": "compute9:md1"}), ""),
    ] {
        let stage = on_arrays();
        stage.with(|u| {
            let mut arrays = arrays_of_compute1(u);
            for (field, value) in change.as_object().unwrap() {
                arrays[UUID][field] = value.clone();
            }
            let none = change.as_object().unwrap().is_empty();
            binds(u, HOST, None, (!none).then_some(&arrays));
        });
        match reason {
            // Its own name is always a good homehost.
            "" => {
                stage.recover("ha1");
                md::all_runs_on(&stage, "ha1", "another homehost was bound");
            }
            reason => waits(&stage, reason, "nova-ha host accept compute1"),
        }
    }
}

#[test]
fn a_member_where_another_machines_array_is_bound_stops_its_publisher() {
    let stage = on_arrays();
    stage.with(|u| {
        let mut arrays = arrays_of_compute1(u);
        let array = arrays[UUID].take();
        let mut other = array.clone();
        other["uuid"] = "0:0:0:1".into();
        let other = json!({"0:0:0:1": other});
        binds(u, "compute2", None, Some(&other));
    });
    waits(
        &stage,
        "has a member at naa.5000cca04dab0000, where host compute2 is bound to it",
        "nova-ha host accept compute2",
    );
    // A host that is bound to its own members there is not held up by another one that claims them.
    stage.with(|u| binds_the_array_to(u, HOST));
    stage.recover("ha1");
    md::all_runs_on(&stage, "ha1", "its own members are bound");
}

#[test]
fn a_persons_word_leads_on_where_two_machines_claim_one_identity() {
    let stage = known_by_its_own_word();
    stage.with(|u| {
        u.kv.remove(&host("compute2").bmc_field("identity"));
        publishes(u, "compute2", "system_serial", "SN-compute1".into());
        let machine = u.machines.get_mut(HOST).unwrap();
        (machine.power_on, machine.bmc) = (false, false);
    });
    super::words::confirm_off(&stage, []);
    stage.recover("ha1");
    stage.all_is_recovered("a person has looked");
}

#[test]
fn an_array_that_is_bound_to_another_one_meanwhile_is_not_written_to() {
    let calls = {
        let stage = on_arrays();
        let process = stage.process("ha1", None);
        block_on(&stage.time, process.run()).unwrap().unwrap();
        process.calls()
    };
    let off = calls.iter().position(|name| name == "switch off").unwrap();
    let reserved = calls.iter().position(|name| name == "reserve").unwrap();
    for at in [off + 1, reserved - 4] {
        let stage = on_arrays();
        let process = stage.process("ha1", Some((at, Fault::ArrayIsBoundElsewhere)));
        let reports = block_on(&stage.time, process.run()).unwrap().unwrap();
        stage.nothing_was_broken("bound elsewhere in the middle");
        assert!(reports[0].text.contains("host compute2 is bound to it"), "{at}: {reports:#?}");
        let done = md::effects(&stage, "ha1");
        let writes = |what: &&String| what.starts_with("reserve") || what.starts_with("assemble as");
        assert!(!done.iter().any(|what| writes(&what)), "{at}: {done:?}");
    }
}
