//! Fresh by order, and the own record by this machine's own clock.

use std::time::Duration;

use super::site::record;
use crate::judge::freshness::{Freshness, Life, foreign, own, yardstick};
use crate::tree::observer::ObserverRecord;

fn life(boottime_ms: u64) -> Life {
    Life { boot_id: "b".into(), boottime: Duration::from_millis(boottime_ms) }
}

/// Written 100 s after the boot, probing each 10 s.
fn written(fails: u64, indices: &[u64]) -> ObserverRecord {
    let mut own = record("ha1", fails);
    own.life.boottime_ms = 100_000;
    own.indices = indices.to_vec();
    own
}

#[test]
fn an_own_record_is_fresh_for_two_and_a_half_intervals() {
    let record = written(3, &[]);
    for (now, expected) in [
        (100_000, Freshness::Fresh),
        (125_000, Freshness::Fresh),
        (125_001, Freshness::Stale),
        (u64::MAX, Freshness::Stale),
    ] {
        assert_eq!(own(&record, &life(now)), expected, "at {now} ms");
    }
}

#[test]
fn an_own_record_of_another_boot_is_stale_however_its_times_compare() {
    let record = written(3, &[]);
    for now in [0, 100_000, 110_000] {
        let other = Life { boot_id: "another".into(), ..life(now) };
        assert_eq!(own(&record, &other), Freshness::Stale);
        assert_eq!(yardstick(&written(3, &[10, 20]), 100, &other), None);
    }
}

#[test]
fn an_own_record_from_the_future_of_this_boot_tells_nothing() {
    assert_eq!(own(&written(3, &[]), &life(99_999)), Freshness::CannotTell);
    assert_eq!(yardstick(&written(3, &[10, 20]), 100, &life(99_999)), None);
}

#[test]
fn hostile_numbers_in_an_own_record_do_not_panic() {
    for interval_ms in [0, 1, u64::MAX] {
        for boottime_ms in [0, u64::MAX] {
            let mut record = written(u64::MAX, &[u64::MAX, 0]);
            record.interval_ms = interval_ms;
            record.life.boottime_ms = boottime_ms;
            for now in [0, u64::MAX] {
                let _ = own(&record, &life(now));
                let _ = yardstick(&record, 100, &life(now));
            }
        }
    }
}

#[test]
fn the_yardstick_is_the_own_write_of_two_intervals_ago() {
    for (indices, expected) in [
        (&[][..], None),
        (&[10], None),
        (&[10, 20], Some(10)),
        (&[5, 10, 20], Some(10)),
        (&[1, 5, 10, 20], Some(10)),
    ] {
        assert_eq!(yardstick(&written(3, indices), 100, &life(110_000)), expected, "{indices:?}");
    }
}

#[test]
fn a_stale_or_healthy_own_record_is_no_yardstick() {
    assert_eq!(yardstick(&written(3, &[10, 20]), 100, &life(130_000)), None);
    assert_eq!(yardstick(&written(0, &[10, 20]), 100, &life(110_000)), None);
}

#[test]
fn a_foreign_record_is_fresh_only_when_written_after_the_yardstick() {
    for (index, yardstick, expected) in [
        (11, Some(10), Freshness::Fresh),
        (10, Some(10), Freshness::Stale),
        (9, Some(10), Freshness::Stale),
        (u64::MAX, None, Freshness::CannotTell),
    ] {
        assert_eq!(foreign(index, yardstick), expected);
    }
}

#[test]
fn an_own_record_whose_index_is_not_above_those_before_it_is_no_yardstick() {
    let of = |index| yardstick(&written(3, &[10, 20]), index, &life(110_000));
    assert_eq!(
        [of(21), of(20), of(5)],
        [Some(10), None, None],
        "a tree that was imported into another Consul"
    );
}
