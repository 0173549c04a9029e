//! Guests that were in the middle of something when their host died.

use std::time::Duration;

use nova_ha::incident::guest::GuestState;
use nova_ha::incident::status::State;
use nova_ha::nova::{Migration, PowerState, VmState};

use super::seams::Fault;
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HOST, server};

/// The third guest was paused: it has to be reset, evacuated and stopped.
fn with_a_paused_guest() -> Stage {
    let stage = Stage::with_dead_host();
    stage.with(|u| {
        let guest = u.servers.get_mut(&server(3).id).unwrap();
        guest.vm_state = VmState::Paused;
        guest.power_state = PowerState::Paused;
    });
    stage
}

fn calls() -> Vec<String> {
    let stage = with_a_paused_guest();
    let process = stage.process("ha1", None);
    let _reports = block_on(&stage.time, process.run()).unwrap().unwrap();
    process.calls()
}

fn is_recovered_and_stopped(stage: &Stage, what: &str) {
    stage.all_is_recovered(what);
    stage.with(|u| {
        assert_eq!(u.servers[&server(3).id].vm_state, VmState::Stopped, "{what}");
        assert_eq!(u.servers[&server(1).id].vm_state, VmState::Active, "{what}");
        let resets = u.effects.iter().filter(|e| e.what.starts_with("reset")).count();
        assert!((1..=2).contains(&resets), "{what}: reset {resets} times");
    });
    let entry = &stage.guests()["guest3"];
    assert_eq!((entry.vm_state.as_str(), entry.ends_stopped), ("paused", true), "{what}");
}

#[test]
fn a_paused_guest_is_reset_evacuated_and_stopped_whatever_call_its_recovery_dies_at() {
    let calls = calls();
    for name in ["reset", "stop"] {
        assert_eq!(calls.iter().filter(|call| *call == name).count(), 1, "{calls:?}");
    }
    for (at, name) in calls.iter().enumerate() {
        for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::NoAnswer, Fault::AnswerLost] {
            let what = format!("{fault:?} at call {at} ({name})");
            let stage = with_a_paused_guest();
            let outcome = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
            stage.nothing_was_broken(&what);
            stage.wait(Duration::from_secs(1));
            let said = stage.recover_until_settled("ha1");
            is_recovered_and_stopped(&stage, &format!("{what}: {outcome:?}, then {said:?}"));
        }
    }
}

#[test]
fn another_ha_node_goes_on_with_a_paused_guest_from_any_call() {
    for (at, name) in calls().iter().enumerate() {
        let what = format!("ha1 dies and is off, call {at} ({name})");
        let stage = with_a_paused_guest();
        let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
        stage.with(|u| {
            u.dies("ha1");
            u.machines.get_mut("ha1").unwrap().power_on = false;
        });
        stage.wait(Duration::from_secs(60));
        stage.recover_until_settled("ha2");
        stage.nothing_was_broken(&what);
        stage.is_closed_without("ha1", "ha2", &what);
    }
}

#[test]
fn a_guest_that_may_run_on_the_destination_of_its_live_migration_is_held() {
    for (status, moved) in [("running", false), ("preparing", true), ("queued", true)] {
        let stage = Stage::with_dead_host();
        stage.with(|u| {
            let guest = u.servers.get_mut(&server(3).id).unwrap();
            guest.task_state = Some("migrating".into());
            u.live_migrations.push(Migration {
                id: 1,
                uuid: "live".into(),
                server: server(3).id,
                status: status.to_owned().into(),
                source: HOST.parse().unwrap(),
                dest: Some("compute2".parse().unwrap()),
                created_at: "1".into(),
                updated_at: None,
            });
        });
        stage.recover_until_settled("ha1");
        stage.nothing_was_broken(status);
        if moved {
            stage.all_is_recovered(status);
            continue;
        }
        let GuestState::Held { why, .. } = stage.guests()["guest3"].state.clone() else {
            panic!("{status}: {:#?}", stage.guests());
        };
        assert!(why.contains("compute2") && why.contains("running"), "{why}");
        assert!(stage.with(|u| u.effects.iter().all(|e| !e.what.ends_with(&server(3).id.to_string()))));
    }
}

#[test]
fn the_urgent_are_asked_for_first_and_members_of_a_group_one_at_a_time() {
    let stage = Stage::with_dead_host();
    stage.with(|u| {
        let urgent = u.servers.get_mut(&server(3).id).unwrap();
        urgent.flavor.extra_specs.insert("instanceha:restart_priority".into(), "900".into());
        u.server_groups.push(nova_ha::nova::ServerGroup {
            id: "apart".into(),
            name: "apart".into(),
            policy: "anti-affinity".into(),
            members: vec![server(1).id.to_string(), server(2).id.to_string()],
        });
    });
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("urgent first");
    let posts: Vec<(Duration, String)> = stage.with(|u| {
        let post = |e: &super::universe::Effect| Some((e.at, e.what.strip_prefix("POST ")?.to_owned()));
        u.effects.iter().filter_map(post).collect()
    });
    assert_eq!(posts[0].1, server(3).id.to_string(), "{posts:?}");
    // One evacuation takes 5 s in this world.
    for pair in posts.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= Duration::from_secs(5), "{posts:?}");
    }
}

/// Found by scenario 58: what is asked for first was no more urgent than others while it was asked for.
#[test]
fn the_urgent_are_urgent_also_while_nova_is_being_asked() {
    let stage = Stage::with_dead_host();
    stage.with(|u| {
        let urgent = u.servers.get_mut(&server(3).id).unwrap();
        urgent.flavor.extra_specs.insert("instanceha:restart_priority".into(), "900".into());
        // Settled by one write, while the urgent one is on its way.
        let excluded = u.servers.get_mut(&server(1).id).unwrap();
        excluded.metadata.insert("nova_ha:recover".into(), "no".into());
    });
    stage.recover_until_settled("ha1");
    stage.nothing_was_broken("urgent while it is asked for");
    let posts: Vec<_> =
        stage.with(|u| u.effects.iter().filter(|e| e.what.starts_with("POST ")).cloned().collect());
    assert!(posts[0].what.ends_with(&server(3).id.to_string()), "{posts:?}");
    assert!(posts[1].at - posts[0].at >= Duration::from_secs(5), "{posts:?}");
}

#[test]
fn a_guest_that_is_opted_out_stays_and_is_accounted_for() {
    let stage = Stage::with_dead_host();
    stage.with(|u| {
        let guest = u.servers.get_mut(&server(1).id).unwrap();
        guest.metadata.insert("nova_ha:recover".into(), "no".into());
        let doubtful = u.servers.get_mut(&server(2).id).unwrap();
        doubtful.metadata.insert("HA_Enabled".into(), "Flase".into());
    });
    stage.recover_until_settled("ha1");
    stage.nothing_was_broken("opted out");
    assert_eq!(stage.record().status.state, State::Closed);
    assert!(matches!(stage.guests()["guest1"].state, GuestState::Excluded { .. }));
    assert!(matches!(stage.guests()["guest2"].state, GuestState::Recovered { .. }));
    assert_eq!(stage.with(|u| u.servers[&server(1).id].host.clone().unwrap().to_string()), HOST);
}

#[test]
fn a_host_that_an_aggregate_gives_to_another_system_is_not_even_shot() {
    for (key, value) in [("nova_ha:managed_by", "masakari"), ("evacuable", "false")] {
        let stage = Stage::with_dead_host();
        stage.with(|u| {
            u.aggregates.push(nova_ha::nova::Aggregate {
                name: "rack1".into(),
                hosts: vec![HOST.into()],
                metadata: [(key.to_owned(), value.to_owned())].into(),
            });
        });
        let said = stage.recover("ha1");
        stage.nothing_was_broken(key);
        assert!(said[0].text.contains("rack1"), "{said:?}");
        assert!(stage.with(|u| u.effects.clone()).is_empty(), "{key}");
    }
}

#[test]
fn a_guest_that_nova_never_evacuates_is_refused_in_novas_words_and_costs_no_other() {
    let stage = Stage::with_dead_host();
    let sealed = server(1);
    stage.with(|u| u.refused_by_nova.insert(sealed.id.clone()));
    let said = stage.recover_until_settled("ha1");
    stage.nothing_was_broken("a vTPM");
    assert_eq!(stage.record().status.state, State::Closed, "{said:?}");
    assert!(said.iter().any(|text| text.contains("PARTIAL: 2 recovered, 1 refused")), "{said:?}");
    let guests = stage.guests();
    let GuestState::Refused { why } = &guests[&sealed.name].state else { panic!("{guests:?}") };
    assert!(why.contains("not supported for vTPM-enabled instance"), "{why}");
    let asked = stage.with(|u| u.effects.iter().filter(|e| e.what == format!("POST {}", sealed.id)).count());
    assert_eq!(asked, 2, "once more, in case that it was about the host, and no oftener");
}
