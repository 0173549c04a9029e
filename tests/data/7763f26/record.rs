//! Trees as the build 7763f26 leaves them, recorded in its own simulated world. `record.sh` puts this file into that
//! commit's tests and runs it; it is no part of the tests of today.

use std::collections::BTreeMap;
use std::time::Duration;

use nova_ha::fence::proof::ConfirmOff;
use nova_ha::incident::dump_grace::DumpGrace;
use nova_ha::incident::journal::Event;
use nova_ha::incident::note::WaitingNote;
use nova_ha::incident::record::Order;
use nova_ha::keys;
use nova_ha::monitor::mark::{Request, run as mark};
use nova_ha::policy::Policy;
use nova_ha::tree::cooldown::{Cause, Cooldown};
use nova_ha::tree::machine::OtherNames;
use nova_ha::tree::maintenance::Maintenance;
use nova_ha::tree::record::{Record, bytes};

use super::md::staged;
use super::reservations::Writes;
use super::seams::{FIRST_EVACUATE, Fault};
use super::stage::{Stage, append};
use super::time::{block_on, wall};
use super::universe::{HOST, Universe, incident};

/// All keys with their values, as text.
fn save(stage: &Stage, name: &str) {
    let tree: BTreeMap<String, String> = stage.with(|u| {
        let entries = u.kv.below("ha_cluster/").into_iter();
        entries.map(|entry| (entry.key, String::from_utf8(entry.value).unwrap())).collect()
    });
    let folder = std::env::var("RECORD_TO").expect("RECORD_TO");
    let text = serde_json::to_string_pretty(&tree).unwrap() + "\n";
    std::fs::write(std::path::Path::new(&folder).join(format!("{name}.json")), text).unwrap();
}

/// ha1 dies at its first call of this name.
fn dies_at(stage: &Stage, name: &str, fault: Fault, calls: &[String]) {
    let at = calls.iter().position(|call| call == name).unwrap_or_else(|| panic!("no {name} in {calls:?}"));
    let _died = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
}

fn calls_of(stage: &Stage) -> Vec<String> {
    let process = stage.process("ha1", None);
    let _reports = block_on(&stage.time, process.run());
    process.calls()
}

fn lives() -> Stage {
    let stage = staged();
    stage.with(|u| {
        let reservation = &mut u.the_array().reservation;
        (reservation.living, reservation.unknown) = (Some(Writes::Unrefused), true);
    });
    stage
}

#[test]
fn record_shared() {
    save(&Stage::with_dead_host(), "opened");
    let ordered = Stage::with_votes();
    let order = Order { by: "maria".into(), at: wall(Duration::from_secs(10_040)) };
    let request =
        Request { hosts: vec![HOST.parse().unwrap()], order: Some(order), sweep: false, machine: "ha1".into() };
    let world = ordered.process("ha1", None).world();
    block_on(&ordered.time, mark(&world.witness(), &request, &mut Vec::new())).unwrap();
    save(&ordered, "ordered");

    let calls = calls_of(&Stage::with_dead_host());
    let stage = Stage::with_dead_host();
    dies_at(&stage, "switch off", Fault::DiesBefore, &calls);
    save(&stage, "before_the_shot");
    let stage = Stage::with_dead_host();
    let _died = block_on(&stage.time, stage.process("ha1", Some((FIRST_EVACUATE, Fault::DiesAfter))).run());
    save(&stage, "evacuating");
    let stage = Stage::with_dead_host();
    stage.recover("ha1");
    save(&stage, "closed");

    let stage = Stage::with_dead_host();
    dies_at(&stage, "switch off", Fault::DiesBefore, &calls);
    let quoted = "compute1: its power reads off, and it writes to its disks: it lives, says the log (by maria)";
    stage.with(|u| append(u, Event::Held { reason: quoted.into() }));
    stage.with(|u| append(u, Event::Resumed { by: "maria".into() }));
    save(&stage, "a_person_quoted_it");
}

#[test]
fn record_md() {
    let stage = lives();
    stage.recover("ha1");
    save(&stage, "md_host_lives");
    stage.resume();
    save(&stage, "md_host_lives_resumed");

    let calls = calls_of(&staged());
    let stage = staged();
    dies_at(&stage, "assemble", Fault::DiesAfter, &calls);
    save(&stage, "md_taking");
    stage.with(|u| u.dies("ha1"));
    stage.wait(Duration::from_secs(60));
    stage.recover_until_settled("ha2");
    save(&stage, "md_adopted");
}

#[test]
fn record_exec() {
    let stage = Stage::with_dead_host();
    stage.with(Universe::on_a_pool);
    stage.recover("ha1");
    save(&stage, "exec_closed");
}

/// Records that no schedule above writes.
#[test]
fn record_others() {
    let stage = Stage::with_dead_host();
    let at = wall(Duration::from_secs(10_000));
    stage.with(|u| {
        let (host, id) = (keys::host(&HOST.parse().unwrap()), incident());
        let cooldown = Cooldown { version: 1, cause: Cause::Storm { counted: 4, limit: 1 }, began_at: at, seconds: 900 };
        u.kv.put(keys::COOLDOWN, bytes(&cooldown));
        u.kv.put(keys::POLICY, bytes(&Policy { storm_limit: Some(2), ..Policy::default() }));
        let word = ConfirmOff {
            version: ConfirmOff::VERSION,
            host: HOST.parse().unwrap(),
            incident: id.clone(),
            by: "maria".into(),
            at,
            ttl_seconds: 600,
        };
        u.kv.put(&keys::incident(&id).confirm_off(), bytes(&word));
        let mut grace = DumpGrace::new();
        grace.charge(Duration::from_secs(5));
        u.kv.put(&keys::incident(&id).kdump(), bytes(&grace));
        let note = WaitingNote {
            version: 1,
            node: "ha1".parse().unwrap(),
            reasons: vec!["its BMC does not answer".into()],
            next: vec!["nova-ha host show compute1".into()],
            since: at,
        };
        u.kv.put(&keys::incident(&id).preflight(&"ha1".parse().unwrap()), bytes(&note));
        let maintenance = Maintenance {
            version: 1,
            on: true,
            reason: Some("disks".into()),
            by: Some("maria".into()),
            at: Some(at),
        };
        u.kv.put(&host.maintenance(), bytes(&maintenance));
        let names = OtherNames { version: 1, nova_host: Some("c1".into()), ..OtherNames::default() };
        u.kv.put(&host.names(), bytes(&names));
    });
    save(&stage, "others");
}
