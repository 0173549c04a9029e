//! What holds for every scene, however odd.

use proptest::prelude::*;
use proptest::sample::select;

use super::site::{Site, ha, host};
use crate::judge::decision::{Decision, No};
use crate::judge::freshness::Freshness;
use crate::judge::guard::guards;
use crate::judge::scene::{Anchor, KnownIncident, Subject, Testimony};
use crate::names::{Epoch, HaNodeName, HostName};
use crate::store::SerfHealth;
use crate::tree::observer::PlaneAnswer;

const HOSTS: usize = 6;

fn freshness() -> impl Strategy<Value = Freshness> {
    prop_oneof![8 => Just(Freshness::Fresh), 1 => Just(Freshness::Stale), 1 => Just(Freshness::CannotTell)]
}

fn serf() -> impl Strategy<Value = Option<SerfHealth>> {
    prop_oneof![
        5 => Just(Some(SerfHealth::Critical)),
        1 => Just(Some(SerfHealth::Passing)),
        1 => Just(None),
    ]
}

/// One observer's word on one host: mostly none, or one that may count.
fn word() -> impl Strategy<Value = Option<Testimony>> {
    let answer = select(vec![
        PlaneAnswer::Failed,
        PlaneAnswer::Failed,
        PlaneAnswer::Failed,
        PlaneAnswer::Failed,
        PlaneAnswer::Healthy,
        PlaneAnswer::CannotTell,
    ]);
    let some =
        (select(vec![0, 1, 2, 3, 3, 3, 50]), freshness(), 0..12_u64, answer, 90..110_u64, any::<bool>())
            .prop_map(|(fails, freshness, epoch, answer, index, old)| {
                let mut t = super::site::testimony("ha1", fails);
                t.freshness = freshness;
                t.record.epoch = Epoch(u64::from(epoch == 0));
                t.modify_index = index;
                if fails > 0 {
                    super::site::plane("management", answer, fails)(&mut t);
                }
                t.record.life.seen_healthy = old;
                if !old && index % 5 == 0 {
                    t.record.life.boottime_ms = 1000;
                }
                t
            });
    prop_oneof![1 => Just(None), 2 => some.prop_map(Some)]
}

prop_compose! {
    fn site_of(least: usize)(ha_nodes in least..=5)(
        ha_nodes in Just(ha_nodes),
        limit in 1..=4_usize,
        quorum in prop_oneof![6 => Just(None), 1 => (1..=5_usize).prop_map(Some)],
        single in select(vec![None, Some(true), Some(false)]),
        anchor in any::<bool>(),
        observers in prop::collection::vec(
            prop_oneof![6 => Just(Some(SerfHealth::Passing)), 1 => Just(Some(SerfHealth::Critical)), 1 => Just(None)],
            5,
        ),
        hosts in prop::collection::vec(
            (prop::collection::vec(word(), 5), serf(), 0..20_u8, 0..30_u8, any::<bool>(), 0..6_u8),
            HOSTS,
        ),
    ) -> Site {
        let mut site = Site::new(ha_nodes, HOSTS).limit(limit).policy(|p| {
            p.quorum = quorum;
            p.single_observer = single;
        });
        for (n, serf) in observers.into_iter().take(ha_nodes).enumerate() {
            site = site.observer(&format!("ha{}", n + 1), serf);
        }
        if anchor {
            site = site.anchor();
        }
        for (n, (words, serf, odd, incident, last_hour, mood)) in hosts.into_iter().enumerate() {
            let name = format!("h{}", n + 1);
            let subject = site.subject(&name);
            subject.serf = serf;
            subject.has_agent = odd != 1;
            subject.maintenance = (odd == 2).then(|| "m".to_owned());
            subject.failed = odd == 3;
            for (o, word) in words.into_iter().take(ha_nodes).enumerate() {
                // Most hosts are well; some are dead to all; some are seen otherwise by each.
                let observer = format!("ha{}", o + 1);
                let word = match mood {
                    0..=2 => None,
                    3 | 4 => Some(word.filter(|w| w.record.fails > 2).unwrap_or(super::site::testimony(&observer, 4))),
                    _ => word,
                };
                if let Some(word) = word {
                    subject.testimonies.insert(ha(&observer), word);
                }
            }
            if incident < 3 {
                site = site.incident(&name, u64::from(incident), incident == 2, if last_hour { 5 } else { 600 });
            }
        }
        site
    }
}

fn site() -> impl Strategy<Value = Site> {
    site_of(1)
}

fn subject_of<'a>(site: &'a Site, name: &str) -> &'a Subject {
    &site.0.subjects[&host(name)]
}

/// Observers whose record must count, told again from the design's words and not from the code.
fn honest_votes(site: &Site, subject: &Subject) -> usize {
    let counts = |name: &HaNodeName, t: &Testimony| {
        let plane = t.record.planes.get("management");
        site.0.observers[name].serf == Some(SerfHealth::Passing)
            && t.freshness == Freshness::Fresh
            && t.record.epoch == subject.epoch
            && plane.is_some_and(|p| p.answer == PlaneAnswer::Failed && p.fails >= 3)
            && (t.record.life.seen_healthy || t.record.life.boottime_ms >= 900_000)
    };
    subject.testimonies.iter().filter(|(name, t)| counts(name, t)).count()
}

fn every_host() -> Vec<String> {
    (1..=HOSTS).map(|n| format!("h{n}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        // 256; PROPTEST_CASES raises it.
        cases: ProptestConfig::default().cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The heart of it: no mark without a quorum of counting votes, but for the lone observer.
    #[test]
    fn nobody_is_marked_without_a_quorum(site in site()) {
        let configured = site.0.observers.len();
        for name in every_host() {
            let Decision::Mark(proof) = site.decide(&name) else { continue };
            let subject = subject_of(&site, &name);
            let votes = honest_votes(&site, subject);
            prop_assert!(proof.voters.len() <= votes);
            prop_assert!(subject.serf == Some(SerfHealth::Critical) || !subject.has_agent);
            if votes == 1 || proof.voters.len() == 1 {
                let passing = site.0.observers.values().filter(|o| o.serf == Some(SerfHealth::Passing)).count();
                prop_assert!(configured <= 2 && passing == 1);
                prop_assert!(site.0.policy.single_observer.unwrap_or(configured == 1));
                prop_assert!(matches!(site.0.anchor, Anchor::Reached(_)) && subject.has_agent);
                prop_assert!(site.0.policy.quorum.is_none_or(|q| q == 1));
            } else {
                prop_assert!(proof.voters.len() >= site.0.policy.quorum.unwrap_or(configured / 2 + 1));
            }
        }
    }

    /// Over the limit there is no mark, but for one host alone with an anchor.
    #[test]
    fn nobody_is_marked_over_the_limit(site in site()) {
        let found = guards(&site.0);
        for name in every_host().iter().filter(|name| site.is_marked(name)) {
            prop_assert!(found.suspects.contains(&host(name)), "whoever is marked is a suspect");
            if found.counted() > found.limits.by_all {
                prop_assert_eq!(found.suspects.len(), 1);
                prop_assert!(matches!(site.0.anchor, Anchor::Reached(_)));
                let of_now = |i: &&KnownIncident| found.incidents.contains(i.id.host());
                prop_assert!(!site.0.incidents.iter().filter(of_now).any(|i| i.open));
            }
        }
    }

    /// Less evidence on a host never marks it. (On *other* hosts it may: an observer that sees
    /// less failing may stop to doubt itself, and a storm may pass.)
    #[test]
    fn less_evidence_on_a_host_never_marks_it(
        site in site(),
        name in select(every_host()),
        observer in 1..=5_usize,
        how in 0..3_u8,
    ) {
        let mut less = site.clone();
        let observer = ha(&format!("ha{observer}"));
        let all = &mut less.subject(&name).testimonies;
        match (how, all.get_mut(&observer)) {
            (0, Some(t)) => t.freshness = Freshness::Stale,
            // Of unknown age: no vote any more, but still a suspect.
            (1, Some(t)) if t.freshness == Freshness::Fresh => t.freshness = Freshness::CannotTell,
            _ => { all.remove(&observer); }
        }
        prop_assert!(!less.is_marked(&name) || site.is_marked(&name));
    }

    /// One more suspect never turns a no into a mark, unless it makes its observer doubt itself:
    /// that observer's other suspects are then not believed either.
    #[test]
    fn one_more_suspect_never_marks_another(
        site in site(),
        observer in 1..=5_usize,
        fails in 1..=9_u64,
    ) {
        let observer = format!("ha{}", (observer - 1) % site.0.observers.len() + 1);
        let clean = site.with("h6", |s| { s.testimonies.remove(&ha(&observer)); });
        let more = clean.clone().seen("h6", &[&observer], fails);
        prop_assume!(guards(&more.0).doubtful == guards(&clean.0).doubtful);
        for name in every_host().iter().filter(|name| *name != "h6") {
            prop_assert!(!more.is_marked(name) || clean.is_marked(name), "{}", name);
        }
    }

    /// One more open incident never turns a no into a mark, unless it takes a doubt away (its
    /// host is then a known case and no longer a suspect). It never helps one host alone.
    #[test]
    fn one_more_open_incident_never_marks_another(site in site()) {
        let more = site.clone().incident("h6", 0, true, 5);
        prop_assert!(!more.is_marked("h6"));
        prop_assume!(guards(&more.0).doubtful == guards(&site.0).doubtful);
        for name in every_host() {
            prop_assert!(!more.is_marked(&name) || site.is_marked(&name), "{}", name);
        }
    }

    /// Each of these alone is enough for a no.
    #[test]
    fn a_gate_that_is_shut_stays_shut(site in site(), name in select(every_host()), gate in 0..8_u8) {
        let shut = match gate {
            0 => site.with(&name, |s| s.maintenance = Some("m".into())),
            1 => site.incident(&name, 5, true, 5),
            2 => site.incident(&name, 0, false, 6000),
            3 => site.with(&name, |s| s.failed = true),
            4 => site.with(&name, |s| s.recovered = true),
            5 => site.with(&name, |s| (s.has_agent, s.serf) = (true, None)),
            6 => site.with(&name, |s| (s.has_agent, s.serf) = (true, Some(SerfHealth::Passing))),
            _ => site.cooldown(crate::tree::cooldown::Cause::LeaderLost, 1),
        };
        prop_assert!(!shut.is_marked(&name));
        if gate == 1 {
            prop_assert!(matches!(shut.no(&name), No::OpenIncident(_)));
        }
    }

    /// No minority of observers, whatever it writes, marks a host that the others see well.
    #[test]
    fn an_ill_minority_shoots_nobody(site in site_of(2), ill in 0..5_usize) {
        let ill = ill.min((site.0.observers.len() - 1) / 2);
        let mut site = site.policy(|p| p.quorum = None);
        for (name, observer) in site.0.observers.iter_mut().skip(ill) {
            observer.serf = Some(SerfHealth::Passing);
            for subject in site.0.subjects.values_mut() {
                subject.testimonies.remove(name);
            }
        }
        for name in every_host() {
            prop_assert!(!site.is_marked(&name));
        }
    }

    /// No minority of observers, whatever it writes, keeps a host unmarked that all the others
    /// vote dead, while nothing else fails.
    #[test]
    fn an_ill_minority_blocks_nobody(site in site_of(3), ill in 0..5_usize) {
        let ill = ill.min((site.0.observers.len() - 1) / 2);
        let mut site = site.policy(|p| p.quorum = None);
        site.0.incidents.clear();
        let well: Vec<String> = site.0.observers.keys().skip(ill).map(ToString::to_string).collect();
        for name in &well {
            site = site.observer(name, Some(SerfHealth::Passing));
            for subject in site.0.subjects.values_mut() {
                subject.testimonies.remove(&ha(name));
            }
        }
        let site = site.seen("h1", &well.iter().map(String::as_str).collect::<Vec<_>>(), 3).with("h1", |s| {
            (s.has_agent, s.serf, s.maintenance, s.failed) = (true, Some(SerfHealth::Critical), None, false);
        });
        prop_assert!(site.is_marked("h1"), "{:?}", site.decide("h1"));
    }

    /// Names carry no meaning.
    #[test]
    fn a_permutation_of_names_changes_nothing(site in site(), turn in 1..HOSTS, swap in 1..5_usize) {
        let n = site.0.observers.len();
        let number = |name: &str, prefix: &str| name[prefix.len()..].parse::<usize>().unwrap() - 1;
        let of_host = |h: &HostName| host(&format!("h{}", (number(h.as_str(), "h") + turn) % HOSTS + 1));
        let of_ha = |o: &HaNodeName| ha(&format!("ha{}", (number(o.as_str(), "ha") + swap) % n + 1));
        let mut turned = site.clone();
        turned.0.observers = site.0.observers.iter().map(|(o, v)| (of_ha(o), v.clone())).collect();
        turned.0.subjects = site.0.subjects.iter().map(|(h, s)| {
            let testimonies = s.testimonies.iter().map(|(o, t)| (of_ha(o), t.clone())).collect();
            (of_host(h), Subject { testimonies, ..s.clone() })
        }).collect();
        for (new, old) in turned.0.incidents.iter_mut().zip(&site.0.incidents) {
            new.id = crate::names::IncidentId::new(of_host(old.id.host()), old.id.epoch());
        }
        for name in site.0.hosts.iter() {
            let (before, after) = (site.decide(name.as_str()), turned.decide(of_host(name).as_str()));
            let kind = |d: &Decision| match d {
                Decision::Mark(proof) => (true, proof.voters.len(), proof.quorum, None),
                Decision::No(no) => (false, 0, 0, Some(std::mem::discriminant(no))),
            };
            prop_assert_eq!(kind(&before), kind(&after));
        }
    }

    /// Nothing panics, and every answer has words.
    #[test]
    fn a_person_can_read_every_decision(site in site()) {
        for name in every_host() {
            match site.decide(&name) {
                Decision::Mark(proof) => prop_assert!(!proof.voters.is_empty()),
                Decision::No(no) => prop_assert!(!no.text().is_empty()),
            }
        }
    }
}

#[test]
fn the_scenes_of_these_properties_hold_marks_and_every_kind_of_no() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut marks, mut kinds) = (0, std::collections::HashSet::new());
    for _ in 0..1500 {
        let site = site().new_tree(&mut runner).unwrap().current();
        for name in every_host() {
            match site.decide(&name) {
                Decision::Mark(_) => marks += 1,
                Decision::No(no) => {
                    kinds.insert(std::mem::discriminant(&no));
                }
            }
        }
    }
    assert!(marks > 300, "only {marks} marks");
    assert!(kinds.len() >= 8, "only {} kinds of no", kinds.len());
}
