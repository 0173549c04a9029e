//! Votes, quorum, the agent, the lone observer: one host, seen by each observer.

use std::time::Duration;

use super::site::{Site, ha, host, leaderless, plane, started};
use crate::judge::decision::No;
use crate::judge::freshness::Freshness;
use crate::judge::guard::guards;
use crate::judge::scene::{Testimony, Unreadable};
use crate::judge::verdict::{CannotTell, Verdict};
use crate::names::Epoch;
use crate::policy::Rule;
use crate::store::SerfHealth::{Critical, Passing};
use crate::tree::observer::PlaneAnswer;

/// Three HA nodes, twenty hosts, `h1` dead to all.
fn dead() -> Site {
    Site::new(3, 20).dead("h1")
}

/// As [`dead`], with one of three not voting: two remain, and the host is marked. With two
/// changed so, it is not.
fn takes_the_vote_away(change: impl Fn(&mut Testimony)) {
    let one = dead().says("h1", "ha1", &change);
    assert_eq!(one.proof("h1").voters, [ha("ha2"), ha("ha3")]);
    one.says("h1", "ha2", &change).has_votes("h1", 1);
}

#[test]
fn a_quorum_of_votes_and_a_critical_agent_is_dead() {
    let proof = dead().proof("h1");
    assert_eq!((proof.voters.len(), proof.quorum, proof.serf.as_str()), (3, 2, "critical"));
    assert_eq!(Site::new(3, 20).seen("h1", &["ha1", "ha3"], 3).proof("h1").voters, [ha("ha1"), ha("ha3")]);
}

#[test]
fn a_record_that_cannot_be_understood_is_no_vote_and_no_sign_of_life() {
    let garbled = |site: Site, observer: &str, modify_index: u64| {
        let mut site = site;
        let subject = site.subject("h1");
        subject.testimonies.remove(&ha(observer));
        subject.unreadable.insert(ha(observer), Unreadable { why: "garbage".into(), modify_index });
        site
    };
    let one = garbled(dead(), "ha1", 1_000);
    assert_eq!(one.proof("h1").voters, [ha("ha2"), ha("ha3")]);
    garbled(one, "ha2", 1_000).has_votes("h1", 1);
    // What ha2 said once, healthy, stands against a failure that is older, and not against what may be a newer one.
    let healthy = || {
        Site::new(3, 20).seen("h1", &["ha1", "ha2"], 3).says("h1", "ha2", |t| {
            (t.record.fails, t.modify_index, t.freshness) = (0, 500, Freshness::Stale);
        })
    };
    assert!(matches!(garbled(healthy(), "ha1", 499).verdict_on("h1"), Verdict::Alive(_)));
    assert!(matches!(garbled(healthy(), "ha1", 501).verdict_on("h1"), Verdict::CannotTell(_)));
}

#[test]
fn a_quorum_is_a_majority_of_the_configured() {
    for (ha_nodes, votes, marked) in [
        (2, 1, false),
        (2, 2, true),
        (3, 1, false),
        (3, 2, true),
        (4, 2, false),
        (4, 3, true),
        (5, 2, false),
        (5, 3, true),
    ] {
        let voters: Vec<String> = (1..=votes).map(|n| format!("ha{n}")).collect();
        let voters: Vec<&str> = voters.iter().map(String::as_str).collect();
        let site = Site::new(ha_nodes, 20).seen("h1", &voters, 3).anchor();
        assert_eq!(site.is_marked("h1"), marked, "{votes} of {ha_nodes}");
    }
}

#[test]
fn one_observer_that_is_cut_off_from_a_host_shoots_nobody() {
    Site::new(3, 20).seen("h1", &["ha1"], 1000).anchor().has_votes("h1", 1);
    for ha_nodes in 2..=5 {
        assert!(!Site::new(ha_nodes, 20).seen("h1", &["ha1"], 9).anchor().is_marked("h1"));
    }
}

#[test]
fn a_quorum_does_not_shrink_with_the_observers_that_are_left() {
    let site = dead().anchor().observer("ha1", Some(Critical)).observer("ha2", None);
    site.has_votes("h1", 1);
    site.policy(|p| p.single_observer = Some(true)).has_votes("h1", 1);
}

#[test]
fn a_policy_quorum_is_taken_but_one_of_several_is_never_enough() {
    assert!(!Site::new(3, 20).seen("h1", &["ha1", "ha2"], 3).policy(|p| p.quorum = Some(3)).is_marked("h1"));
    assert!(Site::new(5, 20).seen("h1", &["ha1", "ha2"], 3).policy(|p| p.quorum = Some(2)).is_marked("h1"));
    for ha_nodes in 2..=3 {
        let one = Site::new(ha_nodes, 20).seen("h1", &["ha1"], 3).anchor().policy(|p| p.quorum = Some(1));
        match one.no("h1") {
            No::CannotTell(CannotTell::Votes { have: 1, need: 2, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_observer_whose_own_agent_is_not_passing_has_no_vote() {
    for serf in [Some(Critical), None] {
        assert_eq!(dead().observer("ha1", serf).proof("h1").voters.len(), 2);
        dead().observer("ha1", serf).observer("ha2", serf).has_votes("h1", 1);
    }
}

#[test]
fn a_record_that_is_stale_or_of_unknown_age_is_no_vote() {
    takes_the_vote_away(|t| t.freshness = Freshness::Stale);
    takes_the_vote_away(|t| t.freshness = Freshness::CannotTell);
}

#[test]
fn a_record_of_another_epoch_is_no_vote() {
    takes_the_vote_away(|t| t.record.epoch = Epoch(1));
    dead().with("h1", |s| s.epoch = Epoch(1)).has_votes("h1", 0);
}

#[test]
fn fails_below_the_threshold_are_no_vote() {
    takes_the_vote_away(plane("management", PlaneAnswer::Failed, 2));
    takes_the_vote_away(|t| t.record.fails = 2);
}

#[test]
fn the_higher_of_the_probes_and_the_policys_threshold_counts() {
    takes_the_vote_away(|t| t.record.threshold = 4);
    // A probe that was given a lower one by hand does not lower the policy's, nor the policy a probe's.
    dead().policy(|p| p.threshold = 5).has_votes("h1", 0);
    takes_the_vote_away(|t| {
        t.record.threshold = 1;
        plane("management", PlaneAnswer::Failed, 2)(t);
    });
}

#[test]
fn one_failed_probe_is_no_vote_even_where_every_threshold_is_wrong() {
    let mut site = Site::new(3, 20).seen("h1", &["ha1", "ha2", "ha3"], 1).policy(|p| p.threshold = 0);
    for t in site.subject("h1").testimonies.values_mut() {
        t.record.threshold = 0;
    }
    site.has_votes("h1", 0);
}

#[test]
fn a_plane_that_cannot_be_judged_is_no_vote() {
    takes_the_vote_away(plane("management", PlaneAnswer::CannotTell, 99));
    takes_the_vote_away(|t| t.record.planes.clear());
}

#[test]
fn a_plane_that_answers_is_no_vote() {
    takes_the_vote_away(plane("management", PlaneAnswer::Healthy, 99));
}

#[test]
fn a_missing_record_is_no_vote() {
    let mut site = dead();
    site.subject("h1").testimonies.remove(&ha("ha1"));
    assert!(site.is_marked("h1"));
    site.subject("h1").testimonies.remove(&ha("ha2"));
    site.has_votes("h1", 1);
}

fn rule(planes: &[&str], agent_must_be_critical: bool) -> Rule {
    Rule { planes: planes.iter().map(|p| (*p).to_owned()).collect(), agent_must_be_critical }
}

#[test]
fn a_rule_needs_all_its_planes_from_the_same_observer() {
    let two = |storage: [PlaneAnswer; 3]| {
        let mut site = dead().policy(|p| p.rules = vec![rule(&["management", "storage"], true)]);
        for (n, answer) in storage.into_iter().enumerate() {
            site = site.says("h1", &format!("ha{}", n + 1), plane("storage", answer, 3));
        }
        site
    };
    use PlaneAnswer::{CannotTell as Unknown, Failed, Healthy};
    assert!(two([Failed, Failed, Failed]).is_marked("h1"));
    assert!(two([Failed, Failed, Healthy]).is_marked("h1"));
    two([Failed, Healthy, Unknown]).has_votes("h1", 1);
    two([Unknown, Unknown, Unknown]).has_votes("h1", 0);
    assert!(matches!(two([Healthy, Healthy, Unknown]).no("h1"), No::Alive(_)));
}

#[test]
fn any_rule_suffices_but_votes_of_two_rules_are_not_added() {
    let rules = vec![rule(&["management"], true), rule(&["storage"], true)];
    let mut site = dead().policy(|p| p.rules = rules);
    for observer in ["ha1", "ha2", "ha3"] {
        site = site.says("h1", observer, plane("storage", PlaneAnswer::Healthy, 0));
    }
    assert_eq!(site.proof("h1").planes, ["management"]);
    // ha1 fails on management only, ha2 on storage only: no rule has two votes.
    let split = Site::new(3, 20).policy(|p| p.rules = site.0.policy.rules.clone());
    let split = split.seen("h1", &["ha1", "ha2"], 3);
    let split = split.says("h1", "ha1", plane("storage", PlaneAnswer::CannotTell, 0));
    let split = split.says("h1", "ha2", plane("storage", PlaneAnswer::Failed, 3));
    let split = split.says("h1", "ha2", plane("management", PlaneAnswer::CannotTell, 0));
    split.has_votes("h1", 1);
}

#[test]
fn a_rule_that_names_no_plane_and_a_policy_without_rules_shoot_nobody() {
    dead().policy(|p| p.rules = vec![rule(&[], true)]).has_votes("h1", 0);
    dead().policy(|p| p.rules.clear()).has_votes("h1", 0);
}

#[test]
fn a_host_that_answers_under_one_rule_is_not_alive_while_another_cannot_tell() {
    let mut site = dead().policy(|p| p.rules = vec![rule(&["management"], true), rule(&["guests"], false)]);
    for observer in ["ha1", "ha2", "ha3"] {
        site = site.says("h1", observer, plane("management", PlaneAnswer::Healthy, 0));
        site = site.says("h1", observer, plane("guests", PlaneAnswer::Failed, 2));
    }
    site.has_votes("h1", 0);
}

#[test]
fn a_living_agent_against_the_votes_is_neither_dead_nor_alive_unless_the_rule_relaxes_it() {
    let alive = dead().with("h1", |s| s.serf = Some(Passing));
    assert!(matches!(alive.no("h1"), No::CannotTell(CannotTell::AgentAnswers { .. })));
    let relaxed = alive.policy(|p| p.rules = vec![rule(&["management"], false)]);
    assert_eq!(relaxed.proof("h1").serf, "passing (the rule allows it)");
}

#[test]
fn a_missing_serf_health_is_never_dead() {
    for rules in [vec![rule(&["management"], true)], vec![rule(&["management"], false)]] {
        let left = dead().policy(|p| p.rules = rules).with("h1", |s| s.serf = None);
        let no = left.no("h1");
        assert_eq!(no, No::CannotTell(CannotTell::AgentAbsent));
        assert!(no.needs_attention() && no.text().contains("UNPROTECTED"));
    }
}

#[test]
fn an_agent_that_left_is_told_also_while_votes_are_missing() {
    let left = Site::new(3, 20).seen("h1", &["ha1"], 1).with("h1", |s| s.serf = None);
    assert_eq!(left.no("h1"), No::CannotTell(CannotTell::AgentAbsent));
    let site = left.policy(|p| p.rules = vec![rule(&["management"], true), rule(&["x"], true)]);
    assert_eq!(site.no("h1"), No::CannotTell(CannotTell::AgentAbsent));
}

#[test]
fn a_host_without_an_agent_by_configuration_needs_votes_only_but_of_all_that_are_there() {
    for serf in [None, Some(Critical), Some(Passing)] {
        let site = dead().with("h1", |s| (s.has_agent, s.serf) = (false, serf));
        assert!(site.is_marked("h1"));
        // A quorum of two is not all three. With the third away it is all that are there.
        for fails in [0, 2] {
            let short = site.clone().seen("h1", &["ha3"], fails);
            short.has_votes("h1", 2);
            assert!(short.clone().observer("ha3", Some(Critical)).is_marked("h1"));
            assert!(short.with("h1", |s| (s.has_agent, s.serf) = (true, Some(Critical))).is_marked("h1"));
        }
        let alone = site.observer("ha2", None).observer("ha3", None);
        alone.has_votes("h1", 1);
    }
}

#[test]
fn one_that_sees_it_answer_does_not_overrule_a_quorum() {
    assert!(dead().seen("h1", &["ha3"], 0).is_marked("h1"));
    dead().seen("h1", &["ha2", "ha3"], 0).has_votes("h1", 1);
}

#[test]
fn a_host_that_answered_again_to_all_is_alive() {
    let back = Site::new(3, 20).seen("h1", &["ha1", "ha2", "ha3"], 0);
    assert!(matches!(back.no("h1"), No::Alive(_)));
}

#[test]
fn an_old_healthy_again_is_not_alive_beside_newer_failures_of_unknown_age() {
    let last_week = |t: &mut Testimony| (t.modify_index, t.freshness) = (7, Freshness::CannotTell);
    let unknown = |t: &mut Testimony| t.freshness = Freshness::CannotTell;
    let site = dead().seen("h1", &["ha3"], 0).says("h1", "ha3", last_week);
    let site = site.says("h1", "ha1", unknown).says("h1", "ha2", unknown);
    site.has_votes("h1", 0);
    // Written after those failures it is alive: they are left over from a prober that stopped.
    let later = site.says("h1", "ha3", |t| t.modify_index = 101);
    assert!(matches!(later.no("h1"), No::Alive(_)));
}

#[test]
fn the_healthy_record_of_an_observer_that_is_cut_off_or_of_another_epoch_is_not_alive() {
    let site = Site::new(3, 20).seen("h1", &["ha1"], 0);
    site.clone().observer("ha1", Some(Critical)).has_votes("h1", 0);
    site.says("h1", "ha1", |t| t.record.epoch = Epoch(4)).has_votes("h1", 0);
}

#[test]
fn an_observer_that_started_recently_must_have_seen_the_host_healthy() {
    takes_the_vote_away(started(Duration::from_secs(899), false));
    for (ago, seen) in [(899, true), (900, false), (10, true)] {
        let mut site = dead();
        for observer in ["ha1", "ha2", "ha3"] {
            site = site.says("h1", observer, started(Duration::from_secs(ago), seen));
        }
        assert_eq!(site.proof("h1").voters.len(), 3, "{ago} s, {seen}");
    }
}

#[test]
fn a_cold_start_of_the_whole_site_with_slow_hosts_shoots_nobody() {
    let mut site = Site::new(3, 20);
    for observer in ["ha1", "ha2", "ha3"] {
        site =
            site.seen("h1", &[observer], 40).says("h1", observer, started(Duration::from_secs(400), false));
    }
    site.anchor().has_votes("h1", 0);
}

#[test]
fn an_observer_that_had_no_leader_is_silent_until_it_saw_the_host_healthy_since_and_silences_nobody_else() {
    let minute = Duration::from_secs(60);
    takes_the_vote_away(leaderless(minute, false));
    // It alone: an agent that starts, a minority that was cut off.
    let one = dead().says("h1", "ha1", leaderless(minute, false));
    assert_eq!(one.proof("h1").voters, [ha("ha2"), ha("ha3")]);
    // The whole cluster.
    let all = |ago, seen| {
        ["ha1", "ha2", "ha3"].iter().fold(dead(), |site, name| site.says("h1", name, leaderless(ago, seen)))
    };
    all(minute, false).has_votes("h1", 0);
    assert!(all(minute, true).is_marked("h1"));
    assert!(all(Duration::from_secs(900), false).is_marked("h1"));
}

#[test]
fn fails_before_a_gap_are_no_part_of_a_vote_and_still_make_a_suspect() {
    let gap = |fails: u64, after: usize| {
        let mut site = dead().seen("h1", &["ha1", "ha2", "ha3"], fails);
        for t in site.subject("h1").testimonies.values_mut() {
            t.record.indices.truncate(after);
        }
        site
    };
    // Two fails, an hour without Consul, and one more.
    gap(3, 0).has_votes("h1", 0);
    gap(60, 1).has_votes("h1", 0);
    assert!(gap(60, 2).is_marked("h1"));
    assert!(guards(&gap(3, 0).0).suspects.contains(&host("h1")));
    // With a threshold above what is kept, the writes that are kept have to follow on each other.
    let high = |fails, after| gap(fails, after).policy(|p| p.threshold = 8);
    high(8, 3).has_votes("h1", 0);
    assert!(high(8, 4).is_marked("h1"));
}
