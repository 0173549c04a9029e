//! Storage `md`: the dead host's array is taken over, by one HA node at a time, and given back.

use std::path::Path;
use std::time::Duration;

use nova_ha::disks::md::State as ArrayState;
use nova_ha::incident::guest::GuestState;
use nova_ha::incident::journal::{Event, JournalEntry, Outcome};
use nova_ha::incident::lead::Lead;
use nova_ha::incident::status::State;
use nova_ha::incident::step::Phase;
use nova_ha::keys;
use nova_ha::recovery::stop::Stop;
use nova_ha::recovery::{release, takeovers};
use nova_ha::tree::formats::published::Published;

use super::arrays::{NAME, OnMachine};
use super::seams::Fault;
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HOST, Universe, incident};

/// Calls that reach for the disks.
const OF_THE_DISKS: [&str; 8] =
    ["disks", "holders", "reserve", "assemble", "stop", "mount", "unmount", "rename"];

pub(crate) fn staged() -> Stage {
    let stage = Stage::with_dead_host();
    stage.with(Universe::on_an_array);
    stage
}

fn calls() -> Vec<String> {
    let stage = staged();
    let process = stage.process("ha1", None);
    let reports = block_on(&stage.time, process.run()).unwrap().unwrap();
    all_runs_on(&stage, "ha1", &format!("no fault: {reports:?}"));
    process.calls()
}

/// Every guest was asked for once and runs where the array is; that HA node is used up.
pub(crate) fn all_runs_on(stage: &Stage, node: &str, what: &str) {
    stage.all_runs_on(node, what);
    stage.with(|u| {
        let array = u.the_array();
        let has = array.on.get(node).unwrap_or_else(|| panic!("{what}: {node} does not have it"));
        assert!(array.on.len() == 1 && has.mounted_at.as_deref() == Some(Path::new("/instances")), "{what}");
        let mark = nova_ha::disks::owner_mark::mark(node, NAME);
        let marked = (0..4).filter(|slot| !array.away.contains(slot)).all(|slot| array.names[slot] == mark);
        assert!(marked, "{what}: {:?}", array.names);
        let reservation = &array.reservation;
        assert!(reservation.unknown || reservation.by == Some(super::reservations::key(node)), "{what}");
    });
}

pub(crate) fn effects(stage: &Stage, by: &str) -> Vec<String> {
    stage.with(|u| u.effects.iter().filter(|e| e.by == by).map(|e| e.what.clone()).collect())
}

#[test]
fn it_is_looked_at_named_and_mounted_in_this_order_and_once() {
    let stage = staged();
    stage.recover("ha1");
    all_runs_on(&stage, "ha1", "no fault");
    let done: Vec<String> =
        effects(&stage, "ha1").into_iter().filter(|what| !what.starts_with("POST")).collect();
    let expected = [
        "off compute1",
        "look",
        "stop",
        "reserve",
        "reserve",
        "assemble as nova-ha.ha1:md1",
        "mount at /instances",
    ];
    assert_eq!(done.iter().filter(|what| expected.contains(&what.as_str())).collect::<Vec<_>>(), expected);
    let taken = stage.journal().into_iter().find_map(|entry| match entry.what {
        Event::Finished { outcome: Outcome::Changed, facts, .. } if facts[0].starts_with("taken") => {
            Some(facts)
        }
        _ => None,
    });
    let taken = taken.unwrap();
    assert!(taken[0].contains("all 4 members") && taken[1].contains("all 3 guests are here"), "{taken:?}");
}

#[test]
fn killed_at_any_call_it_takes_the_array_once_and_only_from_a_host_that_is_off() {
    for (at, name) in calls().iter().enumerate() {
        for fault in [Fault::DiesBefore, Fault::DiesAfter] {
            let what = format!("{fault:?} at call {at} ({name})");
            let stage = staged();
            let _died = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
            stage.nothing_was_broken(&what);
            stage.wait(Duration::from_secs(1));
            stage.recover_until_settled("ha1");
            all_runs_on(&stage, "ha1", &what);
        }
    }
}

#[test]
fn disks_that_do_not_answer_are_never_taken_for_an_answer() {
    let all = calls();
    let of_the_disks = all.iter().enumerate().filter(|(_, name)| OF_THE_DISKS.contains(&name.as_str()));
    for (at, name) in of_the_disks {
        for fault in [Fault::NoAnswer, Fault::AnswerLost, Fault::SessionEnds, Fault::PersonHolds] {
            let what = format!("{fault:?} at call {at} ({name})");
            let stage = staged();
            let _said = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
            stage.nothing_was_broken(&what);
            if name == "disks" && matches!(fault, Fault::NoAnswer | Fault::AnswerLost) {
                // A look that failed is looked at again, by nobody's order.
                stage.recover_until_settled("ha1");
                all_runs_on(&stage, "ha1", &what);
                continue;
            }
            for _ in 0..3 {
                stage.resume();
                stage.wait(Duration::from_secs(70));
                stage.recover_until_settled("ha1");
            }
            all_runs_on(&stage, "ha1", &what);
        }
    }
}

#[test]
fn an_ha_node_that_goes_on_with_it_shoots_the_one_that_may_have_it_mounted_first() {
    let all = calls();
    let from = all.iter().position(|name| name == "assemble").unwrap();
    for (at, name) in all.iter().enumerate().skip(from) {
        let what = format!("ha1 dies after call {at} ({name})");
        let stage = staged();
        let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
        // Voted dead, its power on: it has the array.
        stage.with(|u| u.dies("ha1"));
        stage.wait(Duration::from_secs(60));
        // With every guest accounted for only closing is left: nothing is done to the disks any more.
        let status = stage.record().status;
        let is_over = status.is_over() || status.phase >= Phase::Evacuated;
        let said = stage.recover_until_settled("ha2");
        stage.nothing_was_broken(&what);
        if is_over {
            stage.is_closed_without("ha1", "ha2", &what);
            continue;
        }
        assert!(!stage.with(|u| u.machines["ha1"].power_on), "{what}: {said:?} {:#?}", stage.journal());
        let said: Vec<_> = stage
            .journal()
            .into_iter()
            .filter_map(|entry| match entry.what {
                Event::FencingHolder { node, .. } => Some(format!("fencing {node}")),
                Event::HolderFenced { node, outcome, .. } => Some(format!("{node} {outcome:?}")),
                _ => None,
            })
            .collect();
        assert_eq!(said, ["fencing ha1", "ha1 Changed"], "{what}");
        let states: Vec<GuestState> = stage.guests().into_values().map(|guest| guest.state).collect();
        if states.iter().all(|state| *state == GuestState::Recovered { to: "ha2".into() }) {
            all_runs_on(&stage, "ha2", &what);
        }
        stage.is_closed_without("ha1", "ha2", &what);
    }
}

/// ha1 has the array mounted, asked Nova for nothing yet, and is dead with its power on.
fn ha1_dies_with_it() -> Stage {
    let stage = staged();
    let at = calls().iter().position(|name| name == "mount").unwrap();
    let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
    stage.with(|u| u.dies("ha1"));
    stage.wait(Duration::from_secs(60));
    stage
}

#[test]
fn the_array_stays_where_it_is_while_its_holder_may_live() {
    let silent = |stage: &Stage| stage.with(|u| u.machines.get_mut("ha1").unwrap().bmc = false);
    let maintained = |stage: &Stage| {
        let key = keys::ha_node(&"ha1".parse().unwrap()).maintenance();
        stage.with(|u| u.kv.put(&key, "True"));
    };
    for (name, change) in
        [("its BMC is silent", &silent as &dyn Fn(&Stage)), ("it is in maintenance", &maintained)]
    {
        let stage = ha1_dies_with_it();
        change(&stage);
        let said = stage.recover("ha2");
        stage.nothing_was_broken(name);
        assert!(
            said.iter().any(|report| report.text.contains("ha1 may have the storage")),
            "{name}: {said:?}"
        );
        // Written before it is tried, and once, however often that is.
        let fencing = |entry: &&JournalEntry| matches!(entry.what, Event::FencingHolder { .. });
        let written = stage.journal().iter().filter(fencing).count();
        assert_eq!(written, usize::from(name == "its BMC is silent"), "{name}: {:#?}", stage.journal());
        stage.with(|u| {
            assert!(u.machines["ha1"].power_on, "{name}");
            assert_eq!(u.the_array().on.keys().collect::<Vec<_>>(), ["ha1"], "{name}");
            u.machines.get_mut("ha1").unwrap().bmc = true;
            u.machines.get_mut("ha1").unwrap().power_on = false;
        });
        stage.wait(Duration::from_secs(60));
        stage.recover_until_settled("ha2");
        all_runs_on(&stage, "ha2", name);
    }
}

#[test]
fn an_ha_node_that_comes_back_without_it_is_free_again_and_touches_nothing() {
    let stage = ha1_dies_with_it();
    stage.recover_until_settled("ha2");
    all_runs_on(&stage, "ha2", "adopted");
    stage.with(|u| {
        u.machines.get_mut("ha1").unwrap().power_on = true;
        u.returns("ha1");
    });
    let before = effects(&stage, "ha1");
    let said = released(&stage, "ha1", None).0.unwrap().unwrap();
    assert!(said.contains("ha2 has it"), "{said}");
    assert_eq!(effects(&stage, "ha1"), before);
    let in_use = stage.with(|u| u.kv.get(&keys::ha_node(&"ha1".parse().unwrap()).in_use()).unwrap().value);
    assert_eq!(in_use, b"False");
    all_runs_on(&stage, "ha2", "as before");
}

#[test]
fn a_recover_that_crashed_on_a_living_ha_node_never_costs_it_its_power() {
    let stage = staged();
    let at = calls().iter().position(|name| name == "mount").unwrap();
    let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
    stage.wait(Duration::from_secs(120));
    let said = stage.recover("ha2");
    assert!(said[0].text.contains("ha1 has it"), "{said:?}");
    assert!(stage.with(|u| u.machines["ha1"].power_on));
    stage.recover_until_settled("ha1");
    all_runs_on(&stage, "ha1", "resumed");
}

#[test]
fn what_is_not_as_published_is_known_before_anybody_is_shot() {
    type Change = fn(&mut Universe);
    let cases: [(&str, Change, &str); 11] = [
        ("two away of one mirror", |u| u.the_array().away.extend([0, 1]), "too many for raid10"),
        ("all away", |u| u.the_array().away.extend([0, 1, 2, 3]), "is not here"),
        ("another of its name", |u| u.the_array().uuid = "another".into(), "no members of it"),
        (
            "another HA node's",
            |u| u.the_array().names = [0; 4].map(|_| "nova-ha.ha9:md1".into()),
            "ha9 has it",
        ),
        ("a clone", |u| u.the_array().stranger = true, "sdx says"),
        ("a foreign mount", |u| u.the_array().foreign_mount = true, "another filesystem is mounted"),
        ("no mdadm here", |u| u.the_array().unable = true, "mdadm is not installed"),
        ("assembled by udev", assembled_by_udev, "something else here assembled it"),
        (
            "an old record",
            |u| u.publishes(u.now.saturating_sub(Duration::from_secs(9_000)), true),
            "more apart",
        ),
        ("no boot guard", |u| u.publishes(u.now, false), "nova-ha-boot-guard did not let"),
        ("nothing published", nothing_published, "does not say when"),
    ];
    for (name, change, expected) in cases {
        let stage = staged();
        stage.with(|u| {
            u.kv.put(keys::POLICY, r#"{"version":1,"md_record_max_age":"1h"}"#);
            change(u);
        });
        let said = stage.recover("ha1");
        stage.nothing_was_broken(name);
        assert!(said.iter().any(|report| report.text.contains(expected)), "{name}: {said:#?}");
        assert!(stage.with(|u| u.machines[HOST].power_on), "{name}: shot");
        assert_eq!(stage.record().holder, None, "{name}");
    }
}

#[test]
fn a_host_that_is_booted_in_the_middle_and_says_so_stops_nobody() {
    let all = calls();
    let claimed = all.iter().position(|name| name == "switch off").unwrap();
    for (at, name) in all.iter().enumerate().skip(claimed) {
        let what = format!("killed after call {at} ({name})");
        let stage = staged();
        let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
        // Its guard keeps it from its disks, and it is off again when anybody looks.
        stage.with(|u| u.publishes(u.now, false));
        stage.wait(Duration::from_secs(1));
        stage.recover_until_settled("ha1");
        all_runs_on(&stage, "ha1", &what);
    }
}

#[test]
fn who_writes_to_the_disks_within_some_seconds_after_they_were_looked_at_keeps_them() {
    let all = calls();
    let disabled = all.iter().position(|name| name.contains("disable")).unwrap();
    let first = all.iter().position(|name| name == "disks").unwrap();
    let look = disabled + all[disabled..].iter().position(|name| name == "disks").unwrap();
    assert!(
        all[..disabled].iter().filter(|name| *name == "disks").count() >= 2,
        "at off, beside declare down: {first}"
    );
    let stage = staged();
    let _died = block_on(&stage.time, stage.process("ha1", Some((look, Fault::DiesBefore))).run());
    // A person was at the disks since: what they said before does not count any more.
    stage.with(|u| {
        super::stage::say(u, Lead::Hold { reason: "look".into() });
    });
    stage.resume();
    stage.with(|u| u.the_array().written_at = Some(u.now + Duration::from_secs(4)));
    stage.recover("ha1");
    let held = matches!(stage.record().status.state, State::Held { .. });
    assert!(held, "{:#?}", stage.journal());
    let done = effects(&stage, "ha1");
    assert!(!done.iter().any(|what| what == "reserve" || what.starts_with("assemble as")), "{done:?}");
}

fn assembled_by_udev(u: &mut Universe) {
    let has = OnMachine { state: ArrayState::Running, mounted_at: None };
    u.the_array().on.insert("ha1".into(), has);
}

fn nothing_published(u: &mut Universe) {
    let key = keys::host(&HOST.parse().unwrap()).runtime_config();
    u.kv.put(&key, "");
}

#[test]
fn what_turns_out_wrong_after_the_fence_is_said_and_nothing_is_written() {
    type Change = fn(&mut Universe);
    let wrong_filesystem: Change = |u| u.the_array().filesystem = "another".into();
    let cases: [(&str, Change, &str); 3] = [
        ("another filesystem on it", wrong_filesystem, "is not on md127"),
        ("a clone", |u| u.the_array().stranger = true, "sdx says"),
        ("a foreign mount", |u| u.the_array().foreign_mount = true, "another filesystem is mounted"),
    ];
    let all = calls();
    let off = all.iter().rposition(|name| name == "reach").unwrap();
    for (name, change, expected) in cases {
        let stage = staged();
        let _died = block_on(&stage.time, stage.process("ha1", Some((off, Fault::DiesAfter))).run());
        stage.with(change);
        let _reports = stage.recover("ha1");
        stage.nothing_was_broken(name);
        let reports = stage.recover("ha1");
        assert!(reports.iter().any(|report| report.text.contains(expected)), "{name}: {reports:#?}");
        stage.with(|u| {
            assert_eq!(u.the_array().names, [0; 4].map(|_| NAME.to_owned()), "{name}");
            assert!(u.the_array().on.is_empty(), "{name}: it is left as it was");
        });
    }
}

#[test]
fn a_degraded_array_is_taken_only_where_the_policy_says_so() {
    for (policy, expected) in [("true", true), ("false", false)] {
        let stage = staged();
        stage.with(|u| {
            u.kv.put(keys::POLICY, format!(r#"{{"version":1,"md_allow_degraded":{policy}}}"#));
            u.the_array().away.insert(2);
        });
        let said = stage.recover("ha1");
        stage.nothing_was_broken(policy);
        match expected {
            true => all_runs_on(&stage, "ha1", policy),
            false => {
                assert!(said[0].text.contains("md_allow_degraded is false"), "{said:?}");
                assert!(stage.with(|u| u.machines[HOST].power_on));
            }
        }
    }
}

pub(crate) fn released(
    stage: &Stage,
    node: &str,
    fault: Option<(usize, Fault)>,
) -> (Option<Result<String, Stop>>, Vec<String>) {
    let process = stage.process(node, fault);
    let world = process.world();
    let host = HOST.parse().unwrap();
    let outcome = block_on(&stage.time, process.until_it_dies(release::run(&world, &host, "maria")));
    stage.nothing_was_broken("release");
    (outcome, process.calls())
}

/// Recovered on ha1, and every guest moved off since.
fn over_and_moved_off() -> Stage {
    let stage = staged();
    stage.recover("ha1");
    all_runs_on(&stage, "ha1", "before the release");
    stage.with(|u| u.servers.values_mut().for_each(|s| s.host = Some("compute2".parse().unwrap())));
    stage
}

fn is_given_back(stage: &Stage, what: &str) {
    stage.with(|u| {
        assert_eq!(u.the_array().names, [0; 4].map(|_| NAME.to_owned()), "{what}");
        assert!(u.the_array().on.is_empty(), "{what}");
        assert_eq!(u.the_array().reservation.by, None, "{what}");
        let in_use = u.kv.get(&keys::ha_node(&"ha1".parse().unwrap()).in_use()).unwrap().value;
        assert_eq!(in_use, b"False", "{what}");
        let state = u.state_dirs.path().join("ha1");
        assert_eq!(takeovers::all(&state).unwrap(), [], "{what}");
    });
}

#[test]
fn it_is_given_back_whole_whatever_call_the_release_dies_at() {
    let stage = staged();
    stage.recover("ha1");
    let refused = released(&stage, "ha1", None).0.unwrap().unwrap_err().to_string();
    assert!(refused.contains("3 guests are on ha1"), "{refused}");
    let stage = over_and_moved_off();
    let (outcome, calls) = released(&stage, "ha1", None);
    outcome.unwrap().unwrap();
    is_given_back(&stage, "no fault");
    for (at, name) in calls.iter().enumerate() {
        for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::NoAnswer, Fault::AnswerLost] {
            let what = format!("{fault:?} at call {at} ({name})");
            let stage = over_and_moved_off();
            let first = released(&stage, "ha1", Some((at, fault))).0;
            // Where only the last answer was lost there is nothing more to give back.
            let again = released(&stage, "ha1", None).0.unwrap();
            assert!(
                again.is_ok() || again.unwrap_err().to_string().contains("not in use"),
                "{what}: {first:?}"
            );
            is_given_back(&stage, &what);
        }
    }
}

#[test]
fn nothing_is_written_to_disks_that_the_host_took_back_by_a_persons_word() {
    let stage = over_and_moved_off();
    // ha1 was dead, a person said that it has nothing of them any more, and overrode the guard of the host.
    let marked = "nova-ha.ha1:md1".to_owned();
    stage.with(|u| {
        let (host, own) = (keys::host(&HOST.parse().unwrap()), keys::ha_node(&"ha1".parse().unwrap()));
        u.kv.put(&host.failed(), "False");
        u.kv.put(&own.in_use(), "False");
        u.kv.remove(&own.in_use_by());
        let runs =
            OnMachine { state: ArrayState::Running, mounted_at: Some("/var/lib/nova/instances".into()) };
        u.machines.get_mut(HOST).unwrap().power_on = true;
        u.the_array().on = [(HOST.to_owned(), runs)].into();
        assert_eq!(u.the_array().names[0], marked);
    });
    let refused = released(&stage, "ha1", None).0.unwrap().unwrap_err().to_string();
    assert!(refused.contains("compute1 may have it") && refused.contains("Nothing was written"), "{refused}");
    // Nor where it has no guard, or was overridden while it is marked, or since it last published.
    let host = keys::host(&HOST.parse().unwrap());
    let mounted = |u: &mut Universe| {
        u.publishes(u.now, false);
        let entry = u.kv.get(&host.runtime_config()).unwrap();
        let mut record: serde_json::Value = serde_json::from_slice(&entry.value).unwrap();
        record["guests_mounted_in"] = "boot2".into();
        u.kv.put(&host.runtime_config(), record.to_string());
    };
    let overridden = |u: &mut Universe| u.kv.put(&host.boot_guard(), "{}");
    for (name, failed, is_mounted) in [
        ("no guard", "False", true),
        ("marked, and it says so", "True", true),
        ("overridden", "False", false),
        ("marked", "True", false),
    ] {
        stage.with(|u| {
            u.kv.put(&host.failed(), failed);
            u.kv.remove(&host.boot_guard());
            u.publishes(u.now, false);
            match is_mounted {
                true => mounted(u),
                false => {
                    overridden(u);
                }
            }
        });
        let refused = released(&stage, "ha1", None).0.unwrap().unwrap_err().to_string();
        assert!(refused.contains("Nothing was written"), "{name}: {refused}");
    }
    stage.with(|u| {
        u.kv.put(&host.failed(), "False");
        u.kv.remove(&host.boot_guard());
    });
    stage.with(|u| assert_eq!(u.the_array().names[0], marked));
    // Booted anew, its guard keeps it from them.
    stage.with(|u| {
        u.the_array().on.clear();
        u.publishes(u.now, false);
    });
    released(&stage, "ha1", None).0.unwrap().unwrap();
    is_given_back(&stage, "the host has it not");
}

#[test]
fn beside_a_tree_that_has_forgotten_it_nothing_is_taken_a_second_time() {
    let stage = staged();
    let before = stage.with(|u| u.kv.snapshot());
    stage.recover("ha1");
    all_runs_on(&stage, "ha1", "before the restore");
    stage.with(|u| u.kv.restore(before));
    // Its incident is open again, and nobody works on it.
    let process = stage.process("ha1", None);
    let refused = block_on(&stage.time, process.run()).unwrap().unwrap_err();
    assert!(refused.to_string().contains("ha1 took the storage of compute1"), "{refused}");
    assert!(refused.hint().unwrap().contains("--release-storage"), "{refused:?}");
    // What a status says, wherever it is asked.
    let says_why = |stage: &Stage| {
        let key = keys::ha_node(&"ha1".parse().unwrap()).formats();
        let said = stage.with(|u| u.kv.get(&key).unwrap());
        Published::parse(&said.key, &said.value).unwrap().stopped
    };
    let stopped = says_why(&stage).unwrap();
    assert!(stopped.why.contains("ha1 took the storage of compute1"), "{stopped:?}");
    let said = stage.recover("ha2");
    stage.nothing_was_broken("ha2");
    assert!(
        said[0].text.contains("the disks of array compute1:md1") && said[0].text.contains("ha1 has it"),
        "{said:?}"
    );
    stage.with(|u| assert_eq!(u.the_array().on.keys().collect::<Vec<_>>(), ["ha1"]));
    // A person ends that incident, moves the guests off, and gives the array back by what ha1 remembers.
    let open = released(&stage, "ha1", None).0.unwrap().unwrap_err().to_string();
    assert!(open.contains("is open"), "{open}");
    stage.with(|u| {
        super::stage::append(u, Event::Abandoned { by: "maria".into() });
        u.servers.values_mut().for_each(|s| s.host = Some("compute2".parse().unwrap()));
    });
    released(&stage, "ha1", None).0.unwrap().unwrap();
    is_given_back(&stage, "forgotten");
    assert_eq!(stage.record().id, incident());
    let world = stage.process("ha1", None).world();
    block_on(&stage.time, takeovers::are_known_to_the_tree(&world)).unwrap();
    stage.recover("ha1");
    assert_eq!(says_why(&stage), None);
}
