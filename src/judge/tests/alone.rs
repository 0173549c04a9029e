//! One observer alone, HA nodes as the subject, and names that look alike.

use std::time::Duration;

use super::site::{Site, ha, host, started};
use crate::judge::decision::No;
use crate::judge::freshness::Freshness;
use crate::judge::scene::Anchor;
use crate::judge::verdict::{CannotTell, Verdict};
use crate::store::SerfHealth::{Critical, Passing};

fn alone() -> Site {
    Site::new(1, 20).dead("h1").anchor()
}

fn is_refused_as_alone(site: &Site) {
    let no = site.no("h1");
    assert!(matches!(no, No::CannotTell(CannotTell::LoneObserver(_))), "{no:?}");
    assert!(no.needs_attention());
}

#[test]
fn the_only_observer_decides_with_an_anchor_unless_policy_says_no() {
    assert_eq!(alone().proof("h1").quorum, 1);
    assert!(alone().policy(|p| p.single_observer = Some(true)).is_marked("h1"));
    is_refused_as_alone(&alone().policy(|p| p.single_observer = Some(false)));
    alone().policy(|p| p.quorum = Some(2)).has_votes("h1", 1);
}

#[test]
fn the_only_observer_needs_a_reachable_anchor() {
    for anchor in [Anchor::NotAsked, Anchor::NotReached("10.0.0.1:80".into())] {
        let mut site = alone();
        site.0.anchor = anchor;
        is_refused_as_alone(&site);
    }
}

#[test]
fn the_only_observer_needs_a_critical_agent_whatever_the_rule_says() {
    let relaxed = alone().policy(|p| p.rules[0].agent_must_be_critical = false);
    assert!(relaxed.is_marked("h1"));
    let answers = relaxed.clone().with("h1", |s| s.serf = Some(Passing));
    assert_eq!(answers.no("h1"), No::CannotTell(CannotTell::AgentAnswers { votes: 1 }));
    let left = relaxed.clone().with("h1", |s| s.serf = None);
    assert_eq!(left.no("h1"), No::CannotTell(CannotTell::AgentAbsent));
    is_refused_as_alone(&relaxed.with("h1", |s| s.has_agent = false));
}

#[test]
fn the_only_observer_obeys_every_gate_of_a_vote() {
    assert!(!alone().says("h1", "ha1", |t| t.freshness = Freshness::CannotTell).is_marked("h1"));
    assert!(!alone().observer("ha1", Some(Critical)).is_marked("h1"));
    assert!(!alone().says("h1", "ha1", started(Duration::from_secs(5), false)).is_marked("h1"));
}

#[test]
fn one_left_of_two_decides_only_if_policy_says_so_and_the_other_is_away() {
    let two = Site::new(2, 20).seen("h1", &["ha1"], 3).anchor();
    two.has_votes("h1", 1);
    two.clone().policy(|p| p.single_observer = Some(true)).has_votes("h1", 1);
    for serf in [Some(Critical), None] {
        let left = two.clone().observer("ha2", serf);
        is_refused_as_alone(&left);
        is_refused_as_alone(&left.clone().policy(|p| p.single_observer = Some(false)));
        let allowed = left.policy(|p| p.single_observer = Some(true));
        assert!(allowed.is_marked("h1"));
        let mut cut_off = allowed;
        cut_off.0.anchor = Anchor::NotReached("x".into());
        is_refused_as_alone(&cut_off);
    }
}

// ---- an HA node as the subject ----

fn dead_ha_node(ha_nodes: usize, name: &str) -> Site {
    let mut site = Site::new(ha_nodes, 20).dead(name).anchor();
    if let Some(observer) = site.0.observers.get_mut(&ha(&name.to_lowercase())) {
        observer.serf = Some(Critical);
    }
    site
}

#[test]
fn an_ha_node_is_judged_by_the_others_and_never_by_itself() {
    for name in ["ha3", "HA3"] {
        let mut site = dead_ha_node(3, name);
        // Even if its own agent came back: it has no vote on itself.
        site.0.observers.get_mut(&ha("ha3")).unwrap().serf = Some(Passing);
        match site.verdict_on(name) {
            Verdict::Dead(proof) => assert_eq!((proof.voters, proof.quorum), (vec![ha("ha1"), ha("ha2")], 2)),
            other => panic!("{other:?}"),
        }
        site.subject(name).testimonies.remove(&ha("ha2"));
        assert!(matches!(
            site.verdict_on(name),
            Verdict::CannotTell(CannotTell::Votes { have: 1, need: 2, .. })
        ));
    }
}

#[test]
fn of_three_ha_nodes_one_never_judges_another_alone() {
    let site = dead_ha_node(3, "ha3").observer("ha2", None).policy(|p| p.single_observer = Some(true));
    assert!(matches!(site.verdict_on("ha3"), Verdict::CannotTell(CannotTell::Votes { have: 1, .. })));
}

#[test]
fn of_two_ha_nodes_one_judges_the_other_only_if_policy_says_so() {
    let site = dead_ha_node(2, "ha2");
    assert!(matches!(site.verdict_on("ha2"), Verdict::CannotTell(CannotTell::LoneObserver(_))));
    let site = site.policy(|p| p.single_observer = Some(true));
    assert!(matches!(site.verdict_on("ha2"), Verdict::Dead(_)));
    assert!(matches!(dead_ha_node(1, "ha1").verdict_on("ha1"), Verdict::CannotTell(_)));
}

#[test]
fn names_are_whole_names() {
    let mut site = Site::new(3, 0);
    site.0.hosts = ["node1", "node10", "node1.example.org"].map(host).into();
    for dead in ["node1", "node10", "node1.example.org"] {
        let one = site.clone().dead(dead);
        for other in ["node1", "node10", "node1.example.org"] {
            assert_eq!(one.is_marked(other), other == dead, "{dead} is dead, asked for {other}");
        }
        let known = one.incident("node10", 0, true, 5).limit(2);
        assert_eq!(known.is_marked(dead), dead != "node10");
    }
}
