//! The second host of an hour, and the last one of a day.

use super::*;

fn second(site: &Site, name: &str) -> Second {
    match site.no(name) {
        No::Second(why) => why,
        other => panic!("expected a second host that is not believed, got {other:?}"),
    }
}

#[test]
fn two_hosts_at_once_are_believed_on_four_hosts_and_not_on_three_nor_with_two_ha_nodes() {
    let four = two_of(3, 4);
    assert!(four.is_marked("h1") && four.is_marked("h2"));
    for small in [two_of(3, 3), two_of(2, 4)] {
        assert_eq!(is_storm(&small, "h1"), (2, 1));
    }
    assert_eq!(is_storm(&four.dead("h4"), "h1"), (3, 2));
}

#[test]
fn two_hosts_at_once_need_the_votes_of_all_ha_nodes() {
    let missing = |site: Site| match second(&site, "h1") {
        Second::NotAll { counted, missing } => (counted, missing),
        other @ Second::NoHealthyHost { .. } => panic!("{other:?}"),
    };
    for site in [
        two_of(3, 4).observer("ha3", Some(Critical)),
        two_of(3, 4).says("h1", "ha3", |t| t.freshness = Freshness::Stale),
        two_of(3, 4).seen("h1", &["ha3"], 2),
        two_of(3, 4).cooldown(Cause::SelfDoubt { observer: ha("ha3") }, 5),
    ] {
        assert_eq!(missing(site), (2, vec![ha("ha3")]));
    }
    assert_eq!(missing(two_of(5, 4).observer("ha4", None)), (2, vec![ha("ha4")]));
}

#[test]
fn two_hosts_at_once_need_another_that_the_same_voters_see_healthy_now() {
    let none = |site: Site| assert_eq!(second(&site, "h1"), Second::NoHealthyHost { counted: 2 });
    let blind = || Site::new(3, 6).dead("h1").dead("h2");
    // The Consul leader is none.
    none(blind().anchor());
    none(blind().sees_healthy("h3", &["ha1", "ha2"]));
    none(blind().sees_healthy("h3", &["ha1", "ha2"]).sees_healthy("h4", &["ha3"]));
    for not_well in ["h1", "h2", "stranger"] {
        none(blind().all_see_healthy(not_well));
    }
    let well = || blind().all_see_healthy("h3");
    none(well().seen("h3", &["ha2"], 1));
    none(well().incident("h3", 0, true, 600));
    none(well().with("h3", |s| s.serf = Some(Critical)));
    assert!(well().is_marked("h1"));
    assert!(well().with("h3", |s| s.serf = Some(Passing)).seen("h3", &["ha2"], 0).is_marked("h1"));
}

#[test]
fn a_second_host_within_the_hour_of_the_first_needs_the_same() {
    let after = |minutes, open| {
        Site::new(3, 4).dead("h2").incident("h1", 0, open, minutes).with("h1", |s| s.failed = true)
    };
    assert!(matches!(second(&after(5, true), "h2"), Second::NoHealthyHost { .. }));
    assert!(after(5, true).all_see_healthy("h3").is_marked("h2"));
    assert!(after(61, true).is_marked("h2"), "a stuck incident is a known case");
    // Closed: one host alone, with the anchor.
    assert!(matches!(after(5, false).no("h2"), No::NoAnchor(_)));
    assert!(after(5, false).anchor().is_marked("h2"));
}

#[test]
fn a_limit_that_a_person_set_needs_a_quorum_only() {
    assert!(Site::new(3, 4).limit(2).dead("h1").dead("h2").is_marked("h1"));
}

// ---- the day's limit ----

#[test]
fn a_day_of_markings_by_votes_ends_with_a_person() {
    let day = |hosts: usize, by_votes: usize| {
        let mut site = Site::new(3, hosts).dead("h1");
        for n in 0..by_votes {
            site = site.incident(&format!("h{}", n + 2), 0, n % 2 == 0, 120 + 60 * i64::try_from(n).unwrap());
        }
        site
    };
    assert!(day(20, 3).is_marked("h1"));
    assert_eq!(day(20, 4).no("h1"), No::Day { marked: 4, limit: 4 });
    assert!(day(60, 5).is_marked("h1"));
    assert_eq!(day(60, 6).no("h1"), No::Day { marked: 6, limit: 6 });
    assert!(day(20, 4).policy(|p| p.storm_limit_day = Some(5)).is_marked("h1"));
    let mut ordered = day(20, 4);
    ordered.0.incidents[0].by_votes = false;
    assert!(ordered.is_marked("h1"), "what a person ordered is not counted");
    let mut yesterday = day(20, 4);
    yesterday.0.incidents[0].opened_at =
        noon() - jiff::SignedDuration::from_hours(24) - jiff::SignedDuration::from_secs(1);
    assert!(yesterday.is_marked("h1"));
}
