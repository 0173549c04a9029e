//! One guest's next move, as tables: never a second POST while one may be on its way, and *cannot
//! tell* is held, never failed.

use super::*;
use crate::nova::servers::tests::guest as running;
use crate::tree::record::Record;

const GUEST: &str = "00000000-0000-4000-8000-000000000001";
const LIMITS: Limits = Limits { settle: Duration::from_secs(30), deadline: Duration::from_secs(600) };

fn source() -> NovaHost {
    "compute1".parse().unwrap()
}

fn after(seconds: u64) -> Elapsed {
    Elapsed {
        since_change: Duration::from_secs(seconds),
        earlier_holder_may_act: false,
        posting_of_an_earlier_process: false,
        answered: false,
        may_be_heard: false,
        others_gave_up: true,
    }
}

fn entry(state: GuestState, attempts: u32) -> GuestEntry {
    GuestEntry {
        version: GuestEntry::VERSION,
        server: GUEST.into(),
        name: "web".into(),
        from: "compute1".into(),
        term: 1,
        attempts,
        before: 10,
        migration: None,
        vm_state: "active".into(),
        ends_stopped: false,
        requests: vec![],
        sent: None,
        state,
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn accepted(attempts: u32) -> GuestEntry {
    entry(GuestState::Accepted { request_id: None }, attempts)
}

fn migration(id: i64, status: &str) -> Migration {
    Migration {
        id,
        uuid: format!("m{id}"),
        server: GUEST.parse().unwrap(),
        status: status.to_owned().into(),
        source: source(),
        dest: Some("ha1".parse().unwrap()),
        created_at: "2026-11-22T12:00:00".into(),
        updated_at: None,
    }
}

fn server(host: Option<&str>, vm_state: &str, task_state: Option<&str>) -> Server {
    Server {
        id: GUEST.parse().unwrap(),
        host: host.map(|host| host.parse().unwrap()),
        vm_state: vm_state.to_owned().into(),
        task_state: task_state.map(Into::into),
        ..running()
    }
}

/// A move in one word, for tables.
fn word(next: &Move) -> &'static str {
    match next {
        Move::Post => "post",
        Move::Wait => "wait",
        Move::Look => "look",
        Move::Stop { .. } => "stop",
        Move::Outlast => "outlast",
        Move::Done(state) => state.word(),
    }
}

#[test]
fn by_the_migration_list() {
    let (young, old, ancient) = (after(1), after(31), after(601));
    for (name, entry, status, elapsed, expected) in [
        ("nothing known yet", None, None, young, "look"),
        ("somebody else's is under way", None, Some("accepted"), young, "wait"),
        ("asked for, no answer yet", Some(entry(GuestState::Posting, 1)), None, young, "wait"),
        ("asked for, and it never came", Some(entry(GuestState::Posting, 1)), None, old, "look"),
        ("asked for, and there it is", Some(entry(GuestState::Posting, 1)), Some("accepted"), old, "wait"),
        ("accepted, not listed yet", Some(accepted(1)), None, young, "wait"),
        ("accepted, never listed", Some(accepted(1)), None, old, "look"),
        ("under way", Some(accepted(1)), Some("accepted"), young, "wait"),
        ("under way for long: is the guest still there?", Some(accepted(1)), Some("accepted"), old, "look"),
        ("building on the target", Some(accepted(1)), Some("pre-migrating"), young, "wait"),
        ("somebody else's, for long", None, Some("accepted"), old, "wait"),
        ("under way for too long", Some(accepted(1)), Some("pre-migrating"), ancient, "held"),
        ("done", Some(accepted(1)), Some("done"), young, "look"),
        ("completed proves nothing", Some(accepted(1)), Some("completed"), young, "look"),
        ("cancelled", Some(accepted(1)), Some("cancelled"), young, "look"),
        ("a status of next year", Some(accepted(1)), Some("quantum"), young, "look"),
        ("failed once", Some(accepted(1)), Some("failed"), young, "look"),
        ("no valid host, once", Some(accepted(1)), Some("error"), young, "look"),
        ("failed as often as we try", Some(accepted(MOST_ATTEMPTS)), Some("failed"), young, "look"),
    ] {
        let migration = status.map(|status| migration(11, status));
        let next = by_migration(entry.as_ref(), migration.as_ref(), elapsed, LIMITS);
        assert_eq!(word(&next), expected, "{name}: {next:?}");
    }
}

#[test]
fn what_is_accounted_for_is_never_looked_at_again() {
    for state in [
        GuestState::Recovered { to: "ha1".into() },
        GuestState::Excluded { why: "x".into() },
        GuestState::Refused { why: "x".into() },
        GuestState::Failed { why: "x".into() },
        GuestState::held("x".into()),
    ] {
        for status in ["accepted", "failed", "done"] {
            let entry = entry(state.clone(), 1);
            let next = by_migration(Some(&entry), Some(&migration(11, status)), after(601), LIMITS);
            assert_eq!(next, Move::Done(state.clone()), "{status}");
        }
    }
}

#[test]
fn a_post_of_an_earlier_holder_that_may_still_act_is_never_repeated() {
    for seconds in [1, 31, 601] {
        let elapsed = Elapsed { earlier_holder_may_act: true, ..after(seconds) };
        let next = by_migration(Some(&entry(GuestState::Posting, 1)), None, elapsed, LIMITS);
        assert_eq!(word(&next), "held", "{next:?}");
        // Its migration in Nova's list settles what became of the POST.
        let listed = migration(11, "accepted");
        let next = by_migration(Some(&entry(GuestState::Posting, 1)), Some(&listed), elapsed, LIMITS);
        assert_eq!(word(&next), if seconds == 601 { "held" } else { "wait" }, "{next:?}");
    }
}

#[test]
fn what_a_process_that_died_was_about_to_ask_for_is_no_attempt() {
    let here = server(Some("compute1"), "active", None);
    let posting = entry(GuestState::Posting, MOST_ATTEMPTS);
    for (of_earlier_process, expected) in [(true, "post"), (false, "held")] {
        let elapsed = Elapsed { posting_of_an_earlier_process: of_earlier_process, ..after(31) };
        let next = by_server(Some(&posting), None, Some(&here), &source(), elapsed, LIMITS);
        assert_eq!(word(&next), expected, "{next:?}");
    }
    // Nova heard it, and it failed: that was one.
    let elapsed = Elapsed { posting_of_an_earlier_process: true, ..after(31) };
    let failed = migration(11, "failed");
    let next = by_server(Some(&posting), Some(&failed), Some(&here), &source(), elapsed, LIMITS);
    assert_eq!(word(&next), "failed", "{next:?}");
}

#[test]
fn by_the_server_itself() {
    let (young, old) = (after(1), after(31));
    let here = |task| Some(server(Some("compute1"), "active", task));
    let there = |vm_state, task| Some(server(Some("ha1"), vm_state, task));
    for (name, entry, status, server, elapsed, expected) in [
        ("nobody ever asked", None, None, here(None), young, "post"),
        ("deleted by its owner", Some(accepted(1)), None, None, young, "excluded"),
        ("shelved meanwhile", None, None, Some(server(None, "shelved_offloaded", None)), young, "excluded"),
        ("the POST was never heard", Some(entry(GuestState::Posting, 1)), None, here(None), old, "post"),
        ("never heard, twice", Some(entry(GuestState::Posting, 2)), None, here(None), old, "held"),
        (
            "deleted, its migration under way for ever",
            Some(accepted(1)),
            Some("accepted"),
            None,
            old,
            "excluded",
        ),
        ("accepted, and no migration", Some(accepted(1)), None, here(None), old, "held"),
        ("failed once", Some(accepted(1)), Some("failed"), here(None), young, "post"),
        ("failed twice", Some(accepted(2)), Some("failed"), here(None), young, "failed"),
        ("nobody can tell", Some(accepted(1)), Some("completed"), here(None), young, "held"),
        ("done, Nova about to say so", Some(accepted(1)), Some("done"), here(None), young, "wait"),
        ("done, yet on the dead host", Some(accepted(1)), Some("done"), here(None), old, "held"),
        ("still under way", Some(accepted(1)), Some("accepted"), here(Some("rebuilding")), old, "wait"),
        ("there, and runs", Some(accepted(1)), Some("done"), there("active", None), young, "recovered"),
        ("there, migration gone", Some(accepted(1)), None, there("active", None), young, "recovered"),
        ("there, list is late", Some(accepted(1)), Some("accepted"), there("active", None), young, "wait"),
        ("there, spawning", Some(accepted(1)), Some("done"), there("active", Some("x")), young, "wait"),
        (
            "there, at work since it arrived",
            Some(accepted(1)),
            Some("done"),
            there("active", Some("x")),
            old,
            "recovered",
        ),
        (
            "there, spawning for ever",
            Some(accepted(1)),
            Some("completed"),
            there("active", Some("x")),
            after(601),
            "held",
        ),
        ("there, in ERROR", Some(accepted(1)), Some("failed"), there("error", None), young, "failed"),
        ("there, stopped", Some(accepted(1)), Some("done"), there("stopped", None), young, "recovered"),
        ("moved by somebody else", None, None, there("active", None), young, "recovered"),
    ] {
        let migration = status.map(|status| migration(11, status));
        let next = by_server(entry.as_ref(), migration.as_ref(), server.as_ref(), &source(), elapsed, LIMITS);
        assert_eq!(word(&next), expected, "{name}: {next:?}");
    }
}

#[test]
fn a_guest_on_another_host_than_its_migration_says_is_held_unless_it_is_known_to_have_arrived() {
    let on = server(Some("ha2"), "active", None);
    let next = |status: &str, others_gave_up| {
        let elapsed = Elapsed { others_gave_up, ..after(1) };
        let migration = migration(11, status);
        by_server(Some(&accepted(1)), Some(&migration), Some(&on), &source(), elapsed, LIMITS)
    };
    for (status, others_gave_up) in [("done", false), ("completed", true), ("failed", true)] {
        let next = next(status, others_gave_up);
        let Move::Done(GuestState::Held { why, cause: None }) = &next else { panic!("{status}: {next:?}") };
        assert!(why.contains("ha2"), "{why}");
    }
    // Its owner had it moved on since: our evacuation brought it to ha1, and no other one is in doubt.
    assert_eq!(next("done", true), Move::Done(GuestState::Recovered { to: "ha1".into() }));
    let list = |others: &[(i64, &str)]| {
        let others = others.iter().map(|(id, status)| migration(*id, status));
        others.chain([migration(14, "done")]).collect::<Vec<_>>()
    };
    let gave_up = |others: &[(i64, &str)]| others_gave_up(&list(others), GUEST, Some(&accepted(1)));
    assert!(gave_up(&[]) && gave_up(&[(9, "done"), (11, "failed")]), "what was before our POST is history");
    assert!(!gave_up(&[(11, "completed")]) && !gave_up(&[(12, "done")]) && !gave_up(&[(13, "accepted")]));
}

/// The rebuild of a guest by its owner, a resize, a pause: right after its evacuation ended, before anybody saw that.
#[test]
fn what_is_done_with_a_guest_after_its_evacuation_is_done_holds_no_incident() {
    const ALL: [(&str, Option<&str>, &str, &str); 13] = [
        // vm_state, task_state, at 31 s for one that ran, and for one that did not.
        ("active", Some("rebuilding"), "recovered", "wait"),
        ("active", Some("rebuild_spawning"), "recovered", "wait"),
        ("active", Some("resize_migrating"), "recovered", "wait"),
        ("active", Some("migrating"), "recovered", "wait"),
        ("active", Some("shelving"), "recovered", "wait"),
        ("active", Some("deleting"), "recovered", "wait"),
        ("stopped", Some("powering-on"), "recovered", "recovered"),
        ("paused", None, "recovered", "recovered"),
        ("rescued", None, "recovered", "recovered"),
        ("resized", None, "recovered", "recovered"),
        ("shelved", Some("shelving_offloading"), "recovered", "recovered"),
        ("soft-delete", None, "excluded", "excluded"),
        ("quantum", None, "wait", "wait"),
    ];
    for (vm_state, task, ran, did_not) in ALL {
        for (vm_before, expected) in [("active", ran), ("stopped", did_not)] {
            let entry = GuestEntry { vm_state: vm_before.into(), ..accepted(1) };
            let on = server(Some("ha1"), vm_state, task);
            let next = |status: Option<&str>, seconds| {
                let migration = status.map(|status| migration(11, status));
                by_server(Some(&entry), migration.as_ref(), Some(&on), &source(), after(seconds), LIMITS)
            };
            assert_eq!(word(&next(Some("done"), 31)), expected, "{vm_before}, {vm_state} {task:?}");
            // Whatever else it becomes, at its deadline it holds nobody but itself.
            let last = next(Some("done"), 601);
            let holds = matches!(&last, Move::Done(state) if !state.holds_its_incident());
            assert!(holds, "{vm_before}, {vm_state} {task:?}: {last:?}");
            // Where no record says that the evacuation is over, it is a doubt about that.
            if task.is_some() || vm_state == "quantum" {
                for status in [None, Some("completed"), Some("quantum")] {
                    let next = next(status, 601);
                    let holds = matches!(&next, Move::Done(state) if state.holds_its_incident());
                    assert!(holds, "{vm_state} {task:?} {status:?}: {next:?}");
                }
            }
        }
    }
}

#[test]
fn a_guest_that_was_stopped_is_not_recovered_while_it_runs() {
    let stopped = GuestEntry { vm_state: "stopped".into(), ..accepted(1) };
    let done = migration(11, "done");
    let on = |vm_state| server(Some("ha1"), vm_state, None);
    let next = |vm_state, seconds| {
        let server = on(vm_state);
        word(&by_server(Some(&stopped), Some(&done), Some(&server), &source(), after(seconds), LIMITS))
    };
    assert_eq!(next("active", 1), "wait", "Nova stops it by itself");
    assert_eq!(next("active", 31), "stop", "and did not");
    assert_eq!(next("active", 601), "stop", "nobody has asked for that yet");
    assert_eq!(next("stopped", 1), "recovered");
}

#[test]
fn only_a_migration_of_this_incident_counts() {
    let other = Migration {
        server: "00000000-0000-4000-8000-000000000002".parse().unwrap(),
        ..migration(20, "done")
    };
    let list = [migration(9, "failed"), migration(12, "failed"), migration(14, "done"), other];
    let id = |entry: Option<&GuestEntry>, list: &[Migration]| relevant(list, GUEST, entry).map(|m| m.id);
    // Newer than what was there before our first POST, the newest of them.
    assert_eq!(id(Some(&accepted(1)), &list), Some(14));
    // What was there before is history, also when it is all there is.
    assert_eq!(id(Some(&accepted(1)), &list[..1]), None);
    // Without an entry of ours, only what is under way.
    assert_eq!(id(None, &list), None);
    let under_way = [migration(9, "failed"), migration(13, "pre-migrating")];
    assert_eq!(id(None, &under_way), Some(13));
}

#[test]
fn a_guest_that_did_not_run_is_stopped_where_it_arrived() {
    let done = migration(11, "done");
    let next = |state: GuestState, vm_state: &str, task: Option<&str>, seconds| {
        let entry = GuestEntry { vm_state: "paused".into(), ends_stopped: true, ..entry(state, 1) };
        let server = server(Some("ha1"), vm_state, task);
        word(&by_server(Some(&entry), Some(&done), Some(&server), &source(), after(seconds), LIMITS))
    };
    let accepted = || GuestState::Accepted { request_id: None };
    let stopping = || GuestState::Stopping { to: "ha1".into() };
    assert_eq!(next(accepted(), "active", None, 1), "stop");
    assert_eq!(next(accepted(), "active", Some("rebuild_spawning"), 1), "wait");
    assert_eq!(next(accepted(), "stopped", None, 1), "recovered", "somebody stopped it already");
    assert_eq!(next(stopping(), "active", None, 1), "wait", "asked for a moment ago");
    assert_eq!(next(stopping(), "active", Some("powering-off"), 31), "wait");
    assert_eq!(next(stopping(), "active", None, 31), "stop", "asked for, and Nova never did");
    // Whoever starts it each time that we stop it keeps nobody waiting.
    assert_eq!(next(stopping(), "active", None, 601), "failed");
    assert_eq!(next(stopping(), "active", Some("powering-off"), 601), "held");
    assert_eq!(next(stopping(), "stopped", None, 1), "recovered");
    assert_eq!(next(stopping(), "error", None, 1), "failed");
}

#[test]
fn a_reset_is_looked_for_before_anything_else_is_asked() {
    let resetting = entry(GuestState::Resetting, 0);
    let by = |elapsed: Elapsed| word(&by_migration(Some(&resetting), None, elapsed, LIMITS));
    assert_eq!(by(after(1)), "wait", "it may be on its way");
    assert_eq!(by(after(31)), "look");
    assert_eq!(by(Elapsed { answered: true, ..after(1) }), "look");
    assert_eq!(by(Elapsed { earlier_holder_may_act: true, ..after(31) }), "held");
    // Reset or not: what to ask for next is the guest's state's business.
    let here = server(Some("compute1"), "error", None);
    let next = by_server(Some(&resetting), None, Some(&here), &source(), after(31), LIMITS);
    assert_eq!(word(&next), "post", "{next:?}");
}

#[test]
fn what_nova_may_hear_yet_is_never_asked_for_a_second_time() {
    let here = server(Some("compute1"), "active", None);
    let error = server(Some("compute1"), "error", None);
    let paused = |state| GuestEntry { vm_state: "paused".into(), ..entry(state, 0) };
    let heard = |may_be_heard, answered| Elapsed { may_be_heard, answered, ..after(3_600) };
    let gone = Elapsed { posting_of_an_earlier_process: true, ..heard(true, false) };
    for (name, entry, status, server, elapsed, expected) in [
        ("no answer", entry(GuestState::Posting, 1), None, &here, heard(true, false), "outlast"),
        (
            "no answer, its token is over",
            entry(GuestState::Posting, 1),
            None,
            &here,
            heard(false, false),
            "post",
        ),
        ("asked twice, no answer", entry(GuestState::Posting, 2), None, &here, heard(true, false), "outlast"),
        ("asked by a process that died", entry(GuestState::Posting, 1), None, &here, gone, "outlast"),
        ("a clear answer: not done", entry(GuestState::Posting, 1), None, &here, heard(true, true), "post"),
        (
            "heard, and it failed",
            entry(GuestState::Posting, 1),
            Some("failed"),
            &here,
            heard(true, false),
            "post",
        ),
        (
            "a reset without an answer",
            paused(GuestState::Resetting),
            None,
            &here,
            heard(true, false),
            "outlast",
        ),
        ("a reset that Nova shows", paused(GuestState::Resetting), None, &error, heard(true, false), "post"),
    ] {
        let migration = status.map(|status| migration(11, status));
        let next = by_server(Some(&entry), migration.as_ref(), Some(server), &source(), elapsed, LIMITS);
        assert_eq!(word(&next), expected, "{name}: {next:?}");
    }
}

#[test]
fn a_request_may_be_heard_for_as_long_as_its_token_is_taken() {
    let at = |second: i64| jiff::Timestamp::from_second(second).unwrap();
    let token = |now| Token {
        id: crate::nova::TokenId::new_one(),
        ends: at(9_000),
        now: at(now),
        life: Duration::from_secs(3_600),
    };
    let sent = |until| GuestEntry {
        sent: Some(Sent { token: "t".into(), until: at(until) }),
        ..entry(GuestState::Posting, 1)
    };
    let heard =
        |entry: &GuestEntry, now, waited| may_be_heard(entry, &token(now), Duration::from_secs(waited));
    assert!(heard(&sent(1_000), 1_004, 99_999), "clocks differ by some seconds");
    assert!(!heard(&sent(1_000), 1_005, 0));
    // An older build says nothing of its token: a whole life of one is waited, from when it was first seen.
    let of_old = entry(GuestState::Posting, 1);
    assert!(heard(&of_old, 8_000, 3_604) && !heard(&of_old, 0, 3_605));
    assert!(!heard(&entry(GuestState::Posting, 0), 0, 0), "nothing was ever asked");
}
