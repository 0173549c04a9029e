//! The gates of the decision, self-doubt and the storm guard: many hosts at once.

use super::site::{Site, ha, host, noon};
use crate::judge::decision::{Decision, No, decide_again};
use crate::judge::freshness::Freshness;
use crate::judge::guard::{Belief, guards};
use crate::judge::scene::Anchor;
use crate::judge::second::Second;
use crate::judge::verdict::CannotTell;
use crate::names::Epoch;
use crate::policy::Domain;
use crate::store::SerfHealth::{Critical, Passing};
use crate::tree::cooldown::Cause;
use crate::tree::foreign::Foreign;
use jiff::Timestamp;
use std::time::Duration;

mod second;

const STORM: Cause = Cause::Storm { counted: 9, limit: 1, domains: Vec::new(), hosts: Vec::new() };

fn dead() -> Site {
    Site::new(3, 20).dead("h1")
}

fn many(limit: usize, names: &[&str]) -> Site {
    names.iter().fold(Site::new(3, 30).limit(limit), |site, name| site.dead(name))
}

fn is_storm(site: &Site, name: &str) -> (usize, usize) {
    match site.no(name) {
        No::Storm(storm) => (storm.hosts.len(), storm.limit),
        other => panic!("expected a storm for {name}, got {other:?}"),
    }
}

// ---- facts about the host ----

#[test]
fn a_host_that_nobody_configured_is_not_marked() {
    assert_eq!(dead().dead("typo").no("typo"), No::NotConfigured);
}

#[test]
fn a_host_that_nobody_reports_on_is_not_marked() {
    Site::new(3, 20).has_votes("h1", 0);
}

#[test]
fn maintenance_is_no_and_said_even_in_a_storm() {
    let site = many(1, &["h1", "h2", "h3"]).with("h1", |s| s.maintenance = Some("disk".into()));
    assert_eq!(site.no("h1"), No::Maintenance("disk".into()));
}

#[test]
fn an_open_incident_is_no_in_whatever_epoch() {
    for epoch in [0, 7] {
        assert!(matches!(dead().incident("h1", epoch, true, 5).no("h1"), No::OpenIncident(_)));
    }
}

#[test]
fn an_epoch_has_one_incident() {
    let ended = dead().incident("h1", 0, false, 600);
    assert!(matches!(ended.no("h1"), No::EpochSpent(_)));
    let mut reset = ended.with("h1", |s| s.epoch = Epoch(1));
    for t in reset.subject("h1").testimonies.values_mut() {
        t.record.epoch = Epoch(1);
    }
    assert!(reset.is_marked("h1"));
}

#[test]
fn flags_that_were_not_reset_are_no_without_an_incident_too() {
    let recovered_by_another = || No::Foreign(Foreign::Recovered { host: "h1".parse().unwrap() });
    for (failed, recovered, expected) in [
        (true, false, No::FailedByKey),
        (false, true, recovered_by_another()),
        (true, true, recovered_by_another()),
    ] {
        let site = dead().with("h1", |s| (s.failed, s.recovered) = (failed, recovered));
        assert_eq!(site.no("h1"), expected);
        assert!(expected.needs_attention());
    }
}

// ---- cool-down ----

#[test]
fn a_cooldown_holds_back_and_ends() {
    for cause in [STORM, Cause::LeaderLost] {
        assert!(matches!(dead().cooldown(cause.clone(), 14).no("h1"), No::Cooldown { .. }));
        assert!(dead().cooldown(cause, 15).is_marked("h1"));
    }
}

#[test]
fn extreme_times_do_not_panic() {
    for now in [Timestamp::MIN, Timestamp::MAX, noon()] {
        for began_at in [Timestamp::MIN, Timestamp::MAX] {
            for left in [Duration::ZERO, Duration::MAX] {
                let mut site = dead().cooldown(STORM, 0).incident("h9", 0, false, 0);
                site.0.now = now;
                site.0.incidents[0].opened_at = began_at;
                site.0.cooling.as_mut().unwrap().left = left;
                let _ = site.decide("h1");
                assert!(left.is_zero() || !site.is_marked("h1"));
            }
        }
    }
}

#[test]
fn the_cooldown_of_one_doubtful_observer_rests_its_votes_only() {
    let doubted = |observer: &str| Cause::SelfDoubt { observer: ha(observer) };
    assert_eq!(dead().cooldown(doubted("ha1"), 5).proof("h1").voters, [ha("ha2"), ha("ha3")]);
    assert_eq!(dead().cooldown(doubted("ha1"), 15).proof("h1").voters.len(), 3);
    Site::new(3, 20).seen("h1", &["ha1", "ha2"], 3).cooldown(doubted("ha1"), 5).has_votes("h1", 1);
    assert!(!Site::new(1, 20).dead("h1").anchor().cooldown(doubted("ha1"), 5).is_marked("h1"));
}

#[test]
fn a_storm_is_said_before_its_cooldown() {
    is_storm(&many(1, &["h1", "h2"]).cooldown(STORM, 5), "h1");
}

// ---- self-doubt ----

#[test]
fn one_observer_that_doubts_itself_leaves_the_decision_to_the_others() {
    let mut site = Site::new(3, 20).dead("h1");
    for n in 2..=20 {
        site = site.seen(&format!("h{n}"), &["ha1"], 50);
    }
    assert_eq!(site.proof("h1").voters, [ha("ha2"), ha("ha3")]);
    assert!(!site.is_marked("h2"));
    // Of the other two one must not vote for the count to fall short.
    let short = site.says("h1", "ha2", |t| t.freshness = Freshness::Stale);
    assert!(!short.is_marked("h1"));
}

#[test]
fn two_of_five_that_are_ill_neither_shoot_nor_block() {
    let mut site = Site::new(5, 20);
    for n in 1..=20 {
        site = site.seen(&format!("h{n}"), &["ha1", "ha2"], 50);
    }
    for n in 1..=20 {
        assert!(!site.is_marked(&format!("h{n}")));
    }
    assert_eq!(site.dead("h1").proof("h1").voters, [ha("ha3"), ha("ha4"), ha("ha5")]);
}

#[test]
fn a_lasting_fault_between_one_observer_and_one_host_blocks_nobody() {
    // ha1 has not reached h9 for a week; h1 dies, and ha1 has not noticed yet, or never does.
    for fails in [0, 1, 3] {
        let site = Site::new(3, 20).limit(1).seen("h9", &["ha1"], 60_000).dead("h1");
        let site = site.seen("h1", &["ha1"], fails);
        assert!(site.is_marked("h1"), "ha1 counts {fails}");
        assert!(!site.is_marked("h9"));
    }
    let five = Site::new(5, 20).limit(1).seen("h8", &["ha1"], 900).seen("h9", &["ha2"], 900);
    assert!(five.seen("h1", &["ha3", "ha4", "ha5"], 3).is_marked("h1"));
}

#[test]
fn a_host_that_others_have_seen_fail_once_is_a_suspect_of_the_site() {
    // It dies a moment after h1: not to be mistaken for a fault of one path.
    let site = Site::new(3, 20).limit(1).seen("h1", &["ha2", "ha3"], 3).seen("h2", &["ha1"], 2);
    assert!(site.is_marked("h1"));
    is_storm(&site.seen("h2", &["ha2"], 1), "h1");
}

#[test]
fn when_everybody_doubts_it_is_a_storm() {
    let site = many(2, &["h1", "h2", "h3", "h4"]);
    assert_eq!(guards(&site.0).doubtful.len(), 3);
    for name in ["h1", "h2", "h3", "h4"] {
        assert_eq!(is_storm(&site, name), (4, 2));
        assert!(site.no(name).needs_attention());
    }
}

#[test]
fn a_storm_is_counted_when_those_without_doubt_are_no_quorum() {
    // ha3 is slow to notice: it believes itself, but it alone decides nothing.
    let mut site = Site::new(3, 20).limit(1);
    for name in ["h1", "h2", "h3"] {
        site = site.seen(name, &["ha1", "ha2"], 3).seen(name, &["ha3"], 1);
    }
    assert_eq!(guards(&site.0).doubtful.len(), 2);
    assert_eq!(is_storm(&site, "h1"), (3, 1));
}

#[test]
fn an_observer_that_is_cut_off_has_no_suspects() {
    let mut site = Site::new(3, 20).dead("h1").observer("ha1", Some(Critical));
    for n in 2..=20 {
        site = site.seen(&format!("h{n}"), &["ha1"], 50);
    }
    assert!(guards(&site.0).doubtful.is_empty());
    assert!(site.is_marked("h1"));
    assert!(!site.observer("ha1", Some(Passing)).is_marked("h2"));
}

#[test]
fn one_that_doubts_itself_beside_one_that_gossip_lost_is_neither_a_storm_nor_a_death() {
    let mut site = Site::new(3, 4).seen("h1", &["ha2", "ha3"], 3);
    for n in 1..=4 {
        site = site.seen(&format!("h{n}"), &["ha1"], 50);
    }
    assert_eq!(site.proof("h1").voters, [ha("ha2"), ha("ha3")]);
    let flap = site.clone().observer("ha3", Some(Critical));
    let found = guards(&flap.0);
    assert!(found.belief == Belief::TooFew && found.over.storms.is_empty(), "{found:?}");
    flap.has_votes("h1", 1);
    // What a quorum agrees on is a storm, believed or not: h1 to h3 are lost to ha2 as well.
    let storm = flap.seen("h2", &["ha2"], 3).seen("h3", &["ha2"], 3);
    assert_eq!(guards(&storm.0).belief, Belief::Quorum);
    is_storm(&storm, "h1");
}

#[test]
fn two_ill_observers_that_lose_different_hosts_are_no_storm() {
    let mut site = Site::new(3, 20);
    for n in 1..=3 {
        site = site.seen(&format!("h{n}"), &["ha1"], 50).seen(&format!("h{}", n + 10), &["ha2"], 50);
    }
    let found = guards(&site.0);
    assert!(found.belief == Belief::TooFew && found.over.storms.is_empty(), "{found:?}");
    assert!((1..=20).all(|n| !site.is_marked(&format!("h{n}"))));
}

// ---- the second host ----

fn two_of(ha_nodes: usize, hosts: usize) -> Site {
    Site::new(ha_nodes, hosts).dead("h1").dead("h2").all_see_healthy("h3")
}

// ---- judged again, with the incident open ----

#[test]
fn whoever_was_marked_is_judged_again_by_every_guard() {
    let marked = |site: Site| site.incident("h1", 0, true, 1).with("h1", |s| s.failed = true);
    let again = |site: &Site| decide_again(&site.0, &host("h1"));
    assert!(matches!(again(&marked(dead())), Decision::Mark(_)));
    assert!(matches!(again(&marked(two_of(3, 4))), Decision::Mark(_)));
    let no = |site: Site| match again(&marked(site)) {
        Decision::No(no) => no,
        Decision::Mark(proof) => panic!("{proof:?}"),
    };
    assert!(matches!(no(two_of(3, 4).dead("h4")), No::Storm(_)), "more failed since");
    assert!(matches!(no(two_of(3, 4).observer("ha1", None)), No::Second(_)));
    assert!(matches!(no(dead().cooldown(STORM, 1)), No::Cooldown { .. }));
    assert!(matches!(no(many(1, &["h1"]).incident("h2", 0, false, 5)), No::NoAnchor(_)));
    assert!(matches!(no(dead().with("h1", |s| s.maintenance = Some("m".into()))), No::Maintenance(_)));
    let day = dead().policy(|p| p.storm_limit_day = Some(1));
    assert!(matches!(again(&marked(day)), Decision::Mark(_)), "the day's limit is about markings");
}

// ---- storm guard ----

#[test]
fn the_default_limit_is_a_tenth_of_the_hosts_and_two_where_all_of_three_ha_nodes_say_so() {
    let limits = |ha_nodes, hosts| {
        let limits = guards(&Site::new(ha_nodes, hosts).0).limits;
        (limits.by_quorum, limits.by_all)
    };
    for (ha_nodes, hosts, expected) in [
        (3, 1, (1, 1)),
        (3, 3, (1, 1)),
        (3, 4, (1, 2)),
        (3, 19, (1, 2)),
        (3, 20, (2, 2)),
        (3, 500, (3, 3)),
        (1, 500, (1, 1)),
        (2, 19, (1, 1)),
        (0, 0, (1, 1)),
    ] {
        assert_eq!(limits(ha_nodes, hosts), expected, "{ha_nodes} HA nodes, {hosts} hosts");
    }
}

#[test]
fn two_dead_within_a_limit_of_two_are_both_marked_in_turn() {
    let site = many(2, &["h1", "h2"]);
    assert!(site.is_marked("h1") && site.is_marked("h2"));
    let next = site.incident("h1", 0, true, 0).with("h1", |s| s.failed = true);
    assert!(matches!(next.no("h1"), No::OpenIncident(_)));
    assert!(next.is_marked("h2"));
}

#[test]
fn three_dead_within_a_limit_of_three_are_all_marked_in_turn() {
    let mut site = many(3, &["h1", "h2", "h3"]);
    for name in ["h1", "h2", "h3"] {
        assert!(site.is_marked(name));
        site = site.incident(name, 0, true, 0);
    }
}

#[test]
fn over_the_limit_nobody_is_marked_not_even_the_first_few() {
    let site = many(2, &["h1", "h2", "h3"]);
    for name in ["h1", "h2", "h3"] {
        assert_eq!(is_storm(&site, name), (3, 2));
    }
}

#[test]
fn hosts_count_from_their_second_fail() {
    let three = |fails| many(2, &["h1", "h2"]).seen("h3", &["ha1", "ha2", "ha3"], fails);
    assert!(three(1).is_marked("h1"));
    is_storm(&three(2), "h1");
}

#[test]
fn a_suspect_of_unknown_age_counts_and_a_stale_one_does_not_while_its_agent_answers() {
    let aged = |freshness| {
        let mut site = many(2, &["h1", "h2", "h3"]).with("h3", |s| s.serf = Some(Passing));
        for t in site.subject("h3").testimonies.values_mut() {
            t.freshness = freshness;
        }
        site
    };
    is_storm(&aged(Freshness::CannotTell), "h1");
    assert!(aged(Freshness::Stale).is_marked("h1"));
}

#[test]
fn probes_that_fall_behind_hide_no_host_that_gossip_has_lost_too() {
    let slow = |fails, serf| {
        let seen = many(2, &["h1", "h2"]).seen("h3", &["ha1", "ha2", "ha3"], fails);
        seen.with("h3", |subject| {
            subject.serf = serf;
            subject.testimonies.values_mut().for_each(|t| t.freshness = Freshness::Stale);
        })
    };
    is_storm(&slow(2, Some(Critical)), "h1");
    for serf in [Some(Passing), None] {
        assert!(slow(2, serf).is_marked("h1"));
    }
    // The last thing that they wrote is that it answers.
    assert!(slow(0, Some(Critical)).is_marked("h1"));
}

#[test]
fn incidents_of_the_last_hour_count_and_older_ones_do_not_however_open_they_are() {
    let two = |open, minutes| many(2, &["h1", "h2"]).incident("h3", 0, open, minutes);
    for open in [true, false] {
        is_storm(&two(open, 5), "h1");
        is_storm(&two(open, 60), "h1");
        assert!(two(open, 61).is_marked("h1"), "a known case, {open}");
    }
    // A clock that is ahead at its opening only lengthens the hour.
    is_storm(&two(false, -600), "h1");
}

#[test]
fn a_host_with_an_incident_is_counted_once() {
    let site = many(2, &["h1", "h2"]).incident("h2", 0, true, 5);
    assert_eq!(guards(&site.0).counted(), 2);
    assert!(site.is_marked("h1"));
}

#[test]
fn hosts_in_maintenance_of_another_epoch_or_unknown_to_the_site_do_not_count() {
    let base = || many(1, &["h1", "h2"]);
    is_storm(&base(), "h1");
    assert!(base().with("h2", |s| s.maintenance = Some("x".into())).is_marked("h1"));
    assert!(base().with("h2", |s| s.epoch = Epoch(3)).is_marked("h1"));
    let mut ghost = base();
    ghost.0.hosts.remove(&host("h2"));
    assert!(ghost.is_marked("h1"));
}

#[test]
fn a_host_that_was_recovered_and_is_still_off_is_a_known_case_and_not_a_suspect() {
    let site = many(1, &["h1", "h2"]).incident("h2", 0, false, 600);
    assert!(site.is_marked("h1"));
    // Reset since (another epoch) and failing again it counts.
    is_storm(&many(1, &["h1", "h2"]).incident("h2", 9, false, 600), "h1");
}

#[test]
fn one_host_alone_over_the_limit_needs_an_anchor() {
    let mut site = many(1, &["h1"]).incident("h2", 0, false, 30);
    assert!(matches!(site.no("h1"), No::NoAnchor(_)));
    site.0.anchor = Anchor::NotReached("x".into());
    assert!(site.no("h1").needs_attention());
    assert!(site.anchor().is_marked("h1"));
}

#[test]
fn one_host_is_not_alone_beside_an_open_incident_or_a_second_suspect() {
    let site = many(1, &["h1"]).incident("h2", 0, true, 30).anchor();
    assert_eq!(is_storm(&site, "h1"), (2, 1));
    let site = many(1, &["h1"]).incident("h2", 0, false, 30).seen("h3", &["ha1", "ha2"], 2).anchor();
    assert!(!site.is_marked("h1"));
}

#[test]
fn an_ill_observer_does_not_take_away_the_exception_for_one_host_alone() {
    let mut site = many(1, &["h1"]).incident("h2", 0, false, 30).anchor();
    for n in 5..=20 {
        site = site.seen(&format!("h{n}"), &["ha1"], 50);
    }
    assert_eq!(site.proof("h1").voters, [ha("ha2"), ha("ha3")]);
}

#[test]
fn a_storm_names_the_incidents_that_are_counted_because_nobody_can_read_them() {
    let site = many(1, &["h1"]).unreadable_incident("h7", 3).incident("h8", 0, true, 5);
    assert_eq!(is_storm(&site, "h1"), (3, 1));
    let text = site.no("h1").text();
    assert!(text.contains("nobody can read them: h7@3") && !text.contains("h8@"), "{text}");
    // Of a domain's storm only the domain's own.
    let rack = |hosts: &[&str]| Domain {
        name: "rack1".into(),
        hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
        limit: 1,
    };
    let site = site.limit(9).policy(|p| p.domains = vec![rack(&["h1", "h8"])]);
    let text = site.no("h1").text();
    assert!(text.contains("rack1") && !text.contains("nobody can read"), "{text}");
}

#[test]
fn a_domain_has_a_limit_of_its_own() {
    let rack = |hosts: &[&str], limit| Domain {
        name: "rack1".into(),
        hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
        limit,
    };
    let site = many(3, &["h1", "h2"]);
    let inside = site.clone().policy(|p| p.domains = vec![rack(&["H1", "h2"], 1)]);
    let No::Storm(storm) = inside.no("h1") else { panic!("{:?}", inside.no("h1")) };
    assert_eq!((storm.domain.as_deref(), storm.hosts.len(), storm.limit), (Some("rack1"), 2, 1));
    for domain in [rack(&["h1", "h2"], 2), rack(&["h1", "h10"], 1)] {
        assert!(site.clone().policy(|p| p.domains = vec![domain]).is_marked("h1"));
    }
    // The rack's storm is the rack's: whoever fails elsewhere is marked, and its cool-down is about the rack too.
    let elsewhere = many(3, &["h1", "h2", "h9"]).policy(|p| p.domains = vec![rack(&["h1", "h2"], 1)]);
    assert!(elsewhere.is_marked("h9") && !elsewhere.is_marked("h1"));
    let rests = |domain: &str| {
        let cause = Cause::Storm { counted: 2, limit: 1, domains: vec![domain.into()], hosts: Vec::new() };
        many(3, &["h1", "h9"]).policy(|p| p.domains = vec![rack(&["h1", "h2"], 1)]).cooldown(cause, 5)
    };
    assert!(rests("rack1").is_marked("h9"));
    assert!(matches!(rests("rack1").no("h1"), No::Cooldown { .. }));
    // Nobody can say who was in a domain that the policy no longer has.
    assert!(matches!(rests("rack7").no("h9"), No::Cooldown { .. }));
    // One alone within the hour after another of its rack.
    let after = many(3, &["h1"]).incident("h2", 0, false, 30);
    let after = after.policy(|p| p.domains = vec![rack(&["h1", "h2"], 1)]);
    assert!(matches!(after.no("h1"), No::NoAnchor(_)));
    assert!(after.anchor().is_marked("h1"));
}

#[test]
fn every_no_says_something_to_a_person() {
    let noes = [
        dead().no("nobody"),
        dead().incident("h1", 0, true, 1).no("h1"),
        dead().incident("h1", 0, false, 1).no("h1"),
        dead().with("h1", |s| s.failed = true).no("h1"),
        dead().with("h1", |s| s.maintenance = Some("m".into())).no("h1"),
        dead().with("h1", |s| s.serf = Some(Passing)).no("h1"),
        dead().with("h1", |s| s.serf = None).no("h1"),
        dead().cooldown(Cause::SelfDoubt { observer: ha("ha1") }, 1).seen("h1", &["ha2"], 1).no("h1"),
        many(1, &["h1", "h2"]).no("h1"),
        many(1, &["h1"]).incident("h2", 0, false, 1).no("h1"),
        Site::new(1, 1).dead("h1").no("h1"),
        two_of(3, 4).observer("ha1", None).no("h1"),
        Site::new(3, 4).dead("h1").dead("h2").no("h1"),
        dead().policy(|p| p.storm_limit_day = Some(1)).incident("h9", 0, true, 90).no("h1"),
    ];
    for no in &noes {
        assert!(no.text().len() > 10 && !no.text().contains("HaNodeName("), "{}", no.text());
    }
    assert!(matches!(&noes[7], No::CannotTell(CannotTell::Votes { have: 1, .. })));
}

#[test]
fn what_an_observer_left_that_does_not_look_any_more_is_no_storm_when_gossip_flaps() {
    let left = |unchanged_for: Duration| {
        let seen = many(2, &["h1", "h2"]).seen("h3", &["ha1", "ha2", "ha3"], 2);
        seen.with("h3", |subject| {
            subject.serf = Some(Critical);
            for testimony in subject.testimonies.values_mut() {
                (testimony.freshness, testimony.unchanged_for) = (Freshness::Stale, unchanged_for);
            }
        })
    };
    let cooldown = crate::policy::Policy::default().cooldown;
    is_storm(&left(Duration::ZERO), "h1");
    is_storm(&left(cooldown - Duration::from_secs(1)), "h1");
    assert!(left(cooldown).is_marked("h1"));
}
