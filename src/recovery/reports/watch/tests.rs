use super::*;

const INTERVAL: Duration = Duration::from_secs(10);

/// Seconds of Nova's clocks and of ours; they have nothing to do with each other.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn boot(seconds: u64) -> BootInstant {
    BootInstant::since_boot(Duration::from_secs(seconds))
}

/// A cloud whose clocks agree: the answer's `Date` is `now`, and another host reported a second ago.
fn reading(moved: i64, now: i64) -> Reading {
    let asked = boot(u64::try_from(now + 1000).unwrap());
    Reading {
        moved_at: Some(at(moved)),
        answered_at: Some(at(now)),
        newest_elsewhere: Some(at(now - 1)),
        asked,
        answered: asked,
    }
}

/// The same without what makes the record's age known.
fn dateless(moved: i64, now: i64) -> Reading {
    Reading { answered_at: None, ..reading(moved, now) }
}

#[test]
fn a_record_older_than_an_interval_and_a_margin_is_silent_at_the_first_look() {
    let word = Watch::new(INTERVAL, Some(&reading(0, 5))).look(&reading(0, 17));
    assert_eq!(word, Word::Ceased(Ground::Age(Duration::from_secs(16))));
    let word = Watch::new(INTERVAL, Some(&reading(0, 5))).look(&reading(0, 16));
    assert_eq!(word, Word::NotYet { left: Duration::from_secs(4) }, "15 s is not more than 15 s");
}

#[test]
fn a_host_that_reported_a_second_before_its_power_went_is_waited_for() {
    let mut watch = Watch::new(INTERVAL, Some(&reading(-9, 0)));
    assert_eq!(watch.look(&reading(1, 2)), Word::NotYet { left: Duration::from_secs(15) });
    assert_eq!(watch.look(&reading(1, 10)), Word::NotYet { left: Duration::from_secs(7) });
    assert_eq!(watch.look(&reading(1, 18)), Word::Ceased(Ground::Age(Duration::from_secs(16))));
}

#[test]
fn a_living_twin_is_never_silent_and_is_held_at_its_second_report() {
    let mut watch = Watch::new(INTERVAL, Some(&reading(-1, 0)));
    let mut words = Vec::new();
    for second in 1..60 {
        words.push(watch.look(&reading(second / 10 * 10, second)));
    }
    assert!(words.iter().all(|word| !matches!(word, Word::Ceased(_))), "{words:?}");
    let held = words.iter().position(|word| matches!(word, Word::StillReports { .. }));
    assert_eq!(held, Some(19), "the reports of second 10 and of second 20");
}

#[test]
fn without_a_date_only_standing_still_counts_and_from_when_the_run_began() {
    let mut watch = Watch::new(INTERVAL, Some(&dateless(0, 3)));
    assert_eq!(watch.look(&dateless(0, 17)), Word::NotYet { left: Duration::from_secs(1) });
    assert_eq!(
        watch.look(&dateless(0, 18)),
        Word::Ceased(Ground::StoodStill(INTERVAL + BEYOND_THE_INTERVAL))
    );
    // Years by Nova's clock say nothing without a Date.
    let mut watch = Watch::new(INTERVAL, None);
    assert_eq!(watch.look(&dateless(-1_000_000, 3)), Word::NotYet { left: Duration::from_secs(15) });
}

#[test]
fn a_slow_answer_shortens_what_stood_still() {
    // Asked at 3, answered at 9: the record may have moved at 8.
    let slow = Reading { answered: boot(1009), ..dateless(0, 3) };
    let mut watch = Watch::new(INTERVAL, Some(&slow));
    assert_eq!(watch.look(&dateless(0, 18)), Word::NotYet { left: Duration::from_secs(6) });
}

#[test]
fn a_date_an_hour_off_makes_nobody_silent() {
    for off in [3600, 30, 12, -12, -3600] {
        let shifted = |moved, now| Reading { answered_at: Some(at(now + off)), ..reading(moved, now) };
        let mut watch = Watch::new(INTERVAL, Some(&shifted(-1, 0)));
        for second in 1..20 {
            let word = watch.look(&shifted(second / 10 * 10, second));
            assert!(matches!(word, Word::NotYet { .. }), "{off} s off, second {second}: {word:?}");
        }
        // And a dead host is known as one by standing still, whatever the Date.
        let mut watch = Watch::new(INTERVAL, Some(&shifted(0, 1)));
        assert!(matches!(watch.look(&shifted(0, 16)), Word::Ceased(Ground::StoodStill(_))), "{off}");
    }
}

#[test]
fn where_nobody_else_reports_the_age_is_not_known() {
    let alone = |moved, now| Reading { newest_elsewhere: None, ..reading(moved, now) };
    let mut watch = Watch::new(INTERVAL, None);
    assert!(matches!(watch.look(&alone(-3600, 0)), Word::NotYet { .. }));
    assert!(matches!(watch.look(&alone(-3600, 15)), Word::Ceased(Ground::StoodStill(_))));
}

#[test]
fn what_moved_before_the_proof_of_off_is_no_move_and_one_late_report_is_looked_at_again() {
    let mut watch = Watch::new(INTERVAL, Some(&reading(-20, 0)));
    assert!(matches!(watch.look(&reading(1, 2)), Word::NotYet { .. }), "it died after this report");
    assert!(matches!(watch.look(&reading(3, 4)), Word::NotYet { .. }), "on the message bus when it died");
    assert!(matches!(watch.look(&reading(3, 19)), Word::Ceased(_)));
    assert_eq!(watch.look(&reading(20, 20)), Word::StillReports { last: at(20) });
}

#[test]
fn our_own_change_is_the_new_baseline_and_must_not_move() {
    let ceased = || {
        let mut watch = Watch::new(INTERVAL, Some(&reading(0, 1)));
        assert!(matches!(watch.look(&reading(0, 20)), Word::Ceased(_)));
        watch.changed_by_us(Some(at(21) + SignedDuration::from_millis(600)), boot(1021));
        watch
    };
    // The database keeps whole seconds, cut or rounded.
    for kept in [21, 22] {
        let mut watch = ceased();
        assert!(matches!(watch.look(&reading(kept, 23)), Word::Ceased(_)), "{kept}");
        assert!(matches!(watch.look(&reading(kept, 24)), Word::Ceased(_)), "{kept}");
        // From the first read on it is exact.
        assert!(matches!(watch.look(&reading(kept + 1, 25)), Word::NotYet { .. }), "{kept}");
    }
    let mut watch = ceased();
    assert!(matches!(watch.look(&reading(24, 25)), Word::NotYet { .. }), "somebody reports: looked at again");
    assert!(matches!(watch.look(&reading(24, 40)), Word::Ceased(_)), "it was one late report");
    let mut watch = ceased();
    assert!(matches!(watch.look(&reading(24, 25)), Word::NotYet { .. }));
    assert!(matches!(watch.look(&reading(34, 35)), Word::StillReports { .. }));
}

#[test]
fn where_the_answer_to_our_change_was_lost_the_record_is_looked_at_from_its_beginning() {
    let mut watch = Watch::new(INTERVAL, Some(&reading(0, 1)));
    assert!(matches!(watch.look(&reading(0, 20)), Word::Ceased(_)));
    watch.changed_by_us(None, boot(1021));
    assert_eq!(watch.look(&reading(21, 22)), Word::NotYet { left: Duration::from_secs(15) });
    assert!(matches!(watch.look(&reading(21, 37)), Word::Ceased(_)));
    assert_eq!(watch.moves, 0, "our own change is nobody's report");
}

#[test]
fn a_record_without_a_time_tells_nothing() {
    let silent = |now| Reading { moved_at: None, ..reading(0, now) };
    let mut watch = Watch::new(INTERVAL, Some(&silent(0)));
    assert_eq!(watch.look(&silent(3600)), Word::CannotTell);
}
