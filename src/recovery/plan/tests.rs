//! Each blocker by itself, from facts that would make a plan.

use super::*;
use crate::fence::Privilege;
use crate::identity::Unclear;
use crate::nova::servers::Flavor;
use crate::nova::servers::tests::guest as running;
use crate::nova::{ComputeService, Migration, Room};
use crate::nova::{ServiceId, VmState};
use crate::tree::nova_names::Doubt;
use crate::tree::nova_names::TreeMachine;
use crate::tree::storage::Storage;

mod room;

fn service(host: &str) -> ComputeService {
    ComputeService {
        id: "00000000-0000-4000-8000-00000000000a".parse::<ServiceId>().unwrap(),
        host: host.parse().unwrap(),
        state: ServiceState::Up,
        status: ServiceStatus::Enabled,
        disabled_reason: None,
        forced_down: false,
        updated_at: None,
        zone: None,
    }
}

fn guest(name: &str, vm_state: &str) -> Server {
    Server { name: name.into(), vm_state: vm_state.to_owned().into(), ..running() }
}

fn level(identity: Verdict, privilege: Privilege) -> LevelFact {
    LevelFact {
        device: "ipmi admin@10.0.0.1".into(),
        state: LevelState::Answers { power: PowerState::On, identity, privilege },
        next: None,
    }
}

fn silent() -> LevelFact {
    LevelFact {
        device: "ipmi admin@10.0.0.1".into(),
        state: LevelState::NoAnswer { why: "no answer".into() },
        next: Some(Next::Look("ipmitool chassis power status".into())),
    }
}

fn differs() -> Verdict {
    Verdict::Differs { expected: "UUID a".into(), found: "UUID b".into() }
}

fn named(hosts: &[(&str, Option<ComputeService>)]) -> TargetFacts {
    TargetFacts::Named(hosts.iter().map(|(host, service)| (host.parse().unwrap(), service.clone())).collect())
}

fn room(host: &str, vcpus: u64) -> Room {
    Room { host: host.parse().unwrap(), vcpus, memory_mib: 1 << 20, disk_gib: None }
}

fn storage(strategy: Strategy) -> Storage {
    Storage { strategy, mountpoint: Some("/var/lib/nova/instances".into()), nova_user: "nova".into() }
}

fn refused() -> Strategy {
    Strategy::Refused { word: "lvm".into(), why: "there is none of this name".into() }
}

fn exec() -> Strategy {
    Strategy::Exec { program: "/usr/local/sbin/take".into(), args: vec![] }
}

/// Facts on which a plan is made.
fn good() -> Facts {
    Facts {
        id: "compute1@0".parse().unwrap(),
        me: "ha1".parse().unwrap(),
        is_self: false,
        levels: vec![level(Verdict::Matches, Privilege::Allowed)],
        weak_ways: Vec::new(),
        allow_unidentified_bmc: false,
        reset_and_evacuate: vec!["paused".into()],
        recover_only_opted_in: false,
        confirmed_off_by: None,
        word_refused: None,
        storage: storage(Strategy::Shared),
        storage_says: None,
        nova_user_unknown: None,
        own_nova_host: "ha1".parse().unwrap(),
        name_doubts: Vec::new(),
        identity_doubt: None,
        array_doubts: Vec::new(),
        attach_only: true,
        capacity_blocks: false,
        nova: Ok(NovaFacts {
            host: "compute1".parse().unwrap(),
            service: Some(service("compute1")),
            beside: Ok(Vec::new()),
            first_reading: None,
            targets: TargetFacts::Scheduler,
            servers: vec![guest("web", "active"), guest("odd", "paused")],
            rooms: Ok(vec![room("compute2", 64)]),
            live_migrations: vec![],
            surroundings: Surroundings::default(),
        }),
    }
}

/// The good facts with one difference in what Nova said.
fn with_nova(change: impl FnOnce(&mut NovaFacts)) -> Facts {
    let mut facts = good();
    if let Ok(nova) = &mut facts.nova {
        change(nova);
    }
    facts
}

fn not_asked() -> NotAsked {
    NotAsked { why: "timeout".into(), next: "openstack compute service list".into() }
}

#[test]
fn good_facts_make_a_plan_with_every_step_and_guest() {
    let plan = plan(&good()).unwrap();
    assert_eq!(plan.steps.first().map(String::as_str), RECOVERY.first().map(|row| row.step.name()));
    assert_eq!(plan.steps.len(), RECOVERY.len());
    assert_eq!(plan.target, Target::Scheduler);
    assert_eq!(plan.guests.len(), 2);
    assert!(plan.guests[0].treatment.starts_with("evacuate: "), "{:?}", plan.guests[0]);
    assert!(plan.guests[1].treatment.starts_with("reset, evacuate, stop: "), "{:?}", plan.guests[1]);
    let text = plan.text();
    assert!(text.contains("identity matches") && text.contains("nothing was done"), "{text}");
}

#[test]
fn each_blocker_alone_refuses_and_says_the_next_command() {
    let one = |levels| Facts { levels, ..good() };
    let marked = |reason: &str| {
        with_nova(|nova| {
            nova.service = Some(ComputeService {
                status: ServiceStatus::Disabled,
                disabled_reason: Some(reason.into()),
                ..service("compute1")
            });
        })
    };
    let in_doubt = |doubt| Facts { name_doubts: vec![doubt], ..good() };
    let targets = |targets| with_nova(|nova| nova.targets = targets);
    let state = |state, forced_down| Some(ComputeService { state, forced_down, ..service("ha1") });
    for (name, facts, reason, next) in [
        ("itself", Facts { is_self: true, ..good() }, "nobody shoots itself", "nova-ha host show compute1"),
        (
            "a name that it published itself",
            in_doubt(Doubt::Published { bound: "compute1".into(), published: "compute2".into() }),
            "publishes that Nova calls it compute2, and it is bound to compute1",
            "nova-ha host add compute1 --replace --nova-host NAME",
        ),
        (
            "a Nova host of two machines",
            in_doubt(Doubt::Shared {
                bound: "compute1".into(),
                others: vec![TreeMachine::Host("compute2".parse().unwrap())],
            }),
            "compute1: bound to Nova host compute1, as host compute2",
            "nova-ha host add compute1 --replace --nova-host NAME",
        ),
        ("no level at all", one(vec![]), "no fence level of compute1", "nova-ha confirm-off compute1"),
        ("a silent BMC", one(vec![silent()]), "no answer", "nova-ha confirm-off compute1"),
        (
            "the BMC of another machine",
            one(vec![level(differs(), Privilege::Allowed)]),
            "it is ANOTHER machine's: expected UUID a, found UUID b",
            "nova-ha host show compute1",
        ),
        (
            "one good BMC, and one of another machine",
            one(vec![level(Verdict::Matches, Privilege::Allowed), level(differs(), Privilege::Allowed)]),
            "ANOTHER machine's",
            "nova-ha host show compute1",
        ),
        (
            "a BMC that cannot say whose it is",
            one(vec![level(Verdict::CannotTell(Unclear::NotStated), Privilege::Allowed)]),
            "identity unknown (the device cannot say which machine it powers)",
            "nova-ha confirm-off compute1",
        ),
        (
            "an account that may only look",
            one(vec![level(Verdict::Matches, Privilege::Denied("USER".into()))]),
            "may NOT switch off: USER",
            "nova-ha confirm-off compute1",
        ),
        (
            "user",
            Facts {
                nova_user_unknown: Some("the user \"nova\" of nova-compute is not known here".into()),
                ..good()
            },
            "on ha1: the user \"nova\"",
            "--nova-user NAME",
        ),
        (
            "storage",
            Facts { storage: storage(refused()), ..good() },
            "\"lvm\" cannot be used: there is none of this name",
            "--storage md",
        ),
        (
            "Nova away",
            Facts { nova: Err(not_asked()), ..good() },
            "timeout",
            "openstack compute service list",
        ),
        (
            "a wrong Nova name",
            with_nova(|nova| nova.service = None),
            "Nova knows no nova-compute",
            "--nova-host",
        ),
        (
            "masakari's mark",
            marked("masakari: recovering"),
            "another HA system",
            "nova-ha maintenance on compute1",
        ),
        (
            "InstanceHA's mark",
            marked("InstanceHA evacuation"),
            "(instanceha)",
            "nova-ha maintenance on compute1",
        ),
        ("no target named", targets(named(&[])), "no target", "openstack compute service list"),
        (
            "target unknown",
            targets(named(&[("ha1", None)])),
            "ha1: Nova knows no",
            "openstack compute service list",
        ),
        (
            "target down",
            targets(named(&[("ha1", state(ServiceState::Down, false))])),
            "ha1: down",
            "openstack compute service list",
        ),
        (
            "target forced down",
            targets(named(&[("ha1", state(ServiceState::Up, true))])),
            "ha1: forced down",
            "openstack compute service list",
        ),
        (
            "the host itself as target",
            targets(named(&[("compute1", Some(service("compute1")))])),
            "no target",
            "openstack compute service list",
        ),
    ] {
        let blockers = plan(&facts).expect_err(name);
        let found = blockers.iter().any(|b| b.reason.contains(reason) && b.next.contains(next));
        assert!(found, "{name}: {blockers:#?}");
    }
}

#[test]
fn storage_that_this_ha_node_takes_wants_its_guests_here() {
    for (name, found, expected) in [
        ("here", named(&[("ha1", Some(service("ha1")))]), true),
        ("scheduler", TargetFacts::Scheduler, false),
        ("elsewhere", named(&[("ha2", Some(service("ha2")))]), false),
    ] {
        let facts = Facts { storage: storage(exec()), ..with_nova(|nova| nova.targets = found) };
        let plan = plan(&facts);
        assert_eq!(plan.is_ok(), expected, "{name}: {plan:#?}");
        if let Err(blockers) = plan {
            assert!(blockers.iter().any(|b| b.next.contains("--targets this_ha_node")), "{blockers:#?}");
        }
    }
}

#[test]
fn storage_that_could_not_be_taken_is_known_before_the_claim() {
    let here = || with_nova(|nova| nova.targets = named(&[("ha1", Some(service("ha1")))]));
    let said = || "pool tank".to_owned();
    for (answer, expected) in [
        (Answer::Ready { detail: said() }, true),
        (Answer::Taken { detail: said(), more: None }, true),
        (Answer::Refused { detail: said() }, false),
        (Answer::Contradicted { detail: said() }, false),
        (Answer::HostLives { detail: said() }, true),
        (Answer::CannotTell { why: said() }, false),
    ] {
        for strategy in [exec(), Strategy::Md] {
            let facts = Facts { storage: storage(strategy), storage_says: Some(answer.clone()), ..here() };
            match plan(&facts) {
                Ok(plan) => assert!(expected && plan.storage.contains("pool tank"), "{answer:?}: {plan:?}"),
                Err(blockers) => {
                    assert!(!expected && blockers[0].reason.contains("pool tank"), "{blockers:#?}");
                }
            }
        }
    }
}

/// It is the one command that can cost data.
#[test]
fn a_persons_word_is_the_last_advice_and_none_for_a_wrong_setting() {
    let next = |levels: Vec<LevelFact>| {
        let blockers = plan(&Facts { levels, ..good() }).unwrap_err();
        blockers.into_iter().map(|blocker| blocker.next).collect::<Vec<_>>().join(" | ")
    };
    let command = "nova-ha host add compute1 --replace --bmc-cipher 3";
    let refused = LevelFact {
        device: "ipmi admin@10.0.0.2".into(),
        state: LevelState::NoAnswer { why: "it refuses cipher suite 17".into() },
        next: Some(Next::Setting(command.into())),
    };
    assert_eq!(next(vec![refused.clone()]), command);
    assert_eq!(next(vec![silent(), refused]), command, "first what is wrong for certain");
    let last = "at last, if the host is off: nova-ha confirm-off compute1 --by NAME --ttl 10m";
    for (levels, first) in [
        (vec![silent()], "ipmitool chassis power status"),
        (vec![], "nova-ha host add compute1 --replace --bmc-ip"),
        (vec![LevelFact { next: None, ..silent() }], "look at them: nova-ha host show compute1"),
    ] {
        let said = next(levels);
        assert!(said.starts_with(first) && said.ends_with(last), "{said}");
    }
}

/// Three guests of one vcpu, one that is not evacuated, and this much room.
#[test]
fn all_blockers_are_said_at_once() {
    let facts = Facts {
        is_self: true,
        levels: vec![],
        storage: storage(refused()),
        nova: Err(not_asked()),
        ..good()
    };
    assert_eq!(plan(&facts).unwrap_err().len(), 4);
}

#[test]
fn a_word_that_the_host_is_off_stands_in_for_a_bmc_but_not_for_one_of_another_machine() {
    let off = |levels| Facts { levels, confirmed_off_by: Some("ann".into()), ..good() };
    assert!(plan(&off(vec![])).is_ok());
    assert!(plan(&off(vec![silent()])).is_ok());
    assert!(plan(&off(vec![level(differs(), Privilege::Allowed)])).is_err());
}

#[test]
fn against_a_device_that_says_on_no_word_counts_also_where_it_may_not_switch_off() {
    let with = |level| Facts { levels: vec![level], confirmed_off_by: Some("off by ann".into()), ..good() };
    let unused = [
        (Verdict::Matches, Privilege::Denied("USER".into())),
        (Verdict::CannotTell(Unclear::NotStated), Privilege::Allowed),
    ];
    for (identity, privilege) in unused {
        let blockers = plan(&with(level(identity.clone(), privilege.clone()))).unwrap_err();
        assert_eq!(blockers.len(), 1, "{blockers:?}");
        assert!(blockers[0].reason.contains("off by ann, and a device of it says on"), "{blockers:?}");
        let mut off = level(identity, privilege);
        if let LevelState::Answers { power, .. } = &mut off.state {
            *power = PowerState::Off;
        }
        assert!(plan(&with(off)).is_ok());
    }
}

#[test]
fn an_unidentified_bmc_is_for_the_policy_to_allow() {
    let levels = vec![level(Verdict::CannotTell(Unclear::NotStated), Privilege::Allowed)];
    let facts = |allow_unidentified_bmc| Facts { levels: levels.clone(), allow_unidentified_bmc, ..good() };
    assert!(plan(&facts(false)).is_err());
    assert!(plan(&facts(true)).is_ok());
    let other =
        Facts { levels: vec![level(differs(), Privilege::Allowed)], allow_unidentified_bmc: true, ..good() };
    assert!(plan(&other).is_err(), "never the BMC of another machine");
}

#[test]
fn one_usable_level_of_several_is_enough() {
    let facts = Facts { levels: vec![silent(), level(Verdict::Matches, Privilege::Allowed)], ..good() };
    let plan = plan(&facts).unwrap();
    assert_eq!(plan.fence.len(), 2, "the silent one is shown too: {:?}", plan.fence);
}

#[test]
fn a_host_that_nova_shows_as_disabled_is_recovered_all_the_same() {
    for reason in [None, Some("broken fan, ann"), Some("nova-ha compute1@0")] {
        let facts = with_nova(|nova| {
            nova.service = Some(ComputeService {
                status: ServiceStatus::Disabled,
                disabled_reason: reason.map(str::to_owned),
                ..service("compute1")
            });
        });
        assert!(plan(&facts).is_ok(), "{reason:?}");
    }
}

#[test]
fn the_first_target_that_is_up_is_taken_and_a_disabled_one_is_a_reserved_spare() {
    let down = ComputeService { state: ServiceState::Down, ..service("ha1") };
    let spare = ComputeService { status: ServiceStatus::Disabled, ..service("ha2") };
    let facts = with_nova(|nova| {
        nova.targets = named(&[("ha1", Some(down)), ("ha2", Some(spare)), ("ha3", Some(service("ha3")))]);
    });
    assert_eq!(plan(&facts).unwrap().target, Target::Host { host: "ha2".parse().unwrap(), reserved: true });
}

#[test]
fn a_plan_survives_its_stored_form() {
    let plan = plan(&good()).unwrap();
    let bytes = crate::tree::record::bytes(&plan);
    assert_eq!(crate::tree::record::parse::<Plan>("k", &bytes).unwrap(), plan);
}

#[test]
fn a_guest_on_its_way_to_the_dead_host_is_named_and_left_to_its_source() {
    let arriving = |status: &str, source: &str, dest: &str| Migration {
        id: 1,
        uuid: "m1".into(),
        server: "00000000-0000-4000-8000-000000000009".parse().unwrap(),
        status: status.to_owned().into(),
        source: source.parse().unwrap(),
        dest: Some(dest.parse().unwrap()),
        created_at: String::new(),
        updated_at: None,
    };
    for (migration, named) in [
        (arriving("running", "compute2", "compute1"), true),
        (arriving("preparing", "compute2", "compute1"), true),
        (arriving("completed", "compute2", "compute1"), false),
        (arriving("failed", "compute2", "compute1"), false),
        (arriving("running", "compute1", "compute2"), false),
    ] {
        let plan = plan(&with_nova(|nova| nova.live_migrations = vec![migration.clone()])).unwrap();
        assert_eq!(!plan.notes.is_empty(), named, "{migration:?}");
        assert_eq!(plan.text().contains("compute2"), named, "{}", plan.text());
        assert_eq!(plan.guests.len(), 2);
    }
}

#[test]
fn a_host_of_another_system_or_one_that_nobody_wants_recovered_is_refused() {
    let with_marks = |key: &str, value: &str, own: Option<&str>, flavor: Option<&str>| {
        let facts = with_nova(|nova| {
            nova.surroundings.aggregates = vec![crate::nova::Aggregate {
                name: "rack1".into(),
                hosts: vec!["compute1".into()],
                metadata: [(key.to_owned(), value.to_owned())].into(),
            }];
            for (server, word) in nova.servers.iter_mut().zip(own) {
                server.metadata.insert("nova_ha:recover".into(), word.into());
            }
            for (server, word) in nova.servers.iter_mut().zip(flavor) {
                server.flavor.extra_specs.insert("nova_ha:recover".into(), word.into());
            }
        });
        plan(&facts).map_err(|blockers| blockers.into_iter().map(|b| b.reason).collect::<Vec<_>>().join("; "))
    };
    let marked = |key: &str, value: &str, own: Option<&str>| with_marks(key, value, own, None);
    assert!(marked("nova_ha:managed_by", "masakari", None).unwrap_err().contains("masakari"));
    assert!(marked("nova_ha:managed_by", "nova-ha", None).is_ok());
    let unread = with_nova(|nova| nova.surroundings.aggregates_unread = Some("Nova says 503".into()));
    let why = plan(&unread).unwrap_err();
    assert!(why[0].reason.contains("nobody can tell") && why[0].reason.contains("503"), "{why:?}");
    assert!(marked("evacuable", "false", None).unwrap_err().contains("opted out"));
    // A tenant has no host shot that its operators opted out.
    assert!(marked("evacuable", "false", Some("yes")).unwrap_err().contains("opted out"));
    let one = with_marks("evacuable", "false", None, Some("yes")).unwrap();
    assert!(one.guests[0].treatment.starts_with("evacuate"), "{one:?}");
    assert!(one.guests[1].treatment.starts_with("exclude"), "{one:?}");
    assert!(marked("evacuable", "flase", None).unwrap().text().contains("flase"), "said, and no more");
}

#[test]
fn a_second_nova_compute_on_the_machine_is_named_and_blocks_nothing() {
    let notes = |beside| plan(&with_nova(|nova| nova.beside = beside)).unwrap().notes.join("; ");
    assert_eq!(notes(Ok(vec![])), "");
    let said = notes(Ok(vec!["compute1-gpu".parse().unwrap()]));
    assert!(
        said.contains("compute1-gpu at the address of compute1") && said.contains("not recovered"),
        "{said}"
    );
    assert!(notes(Err("no answer".into())).contains("cannot be told: no answer"));
}

#[test]
fn who_else_can_say_that_the_host_is_off_is_a_note_of_the_plan() {
    let open = "anyone on this network can say that compute1 is off".to_owned();
    let facts = Facts { weak_ways: vec![open.clone()], ..good() };
    assert_eq!(plan(&facts).unwrap().notes, [open]);
}
