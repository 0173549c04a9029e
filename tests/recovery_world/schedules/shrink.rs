//! A failing schedule with fewer events.

use super::event::Schedule;

/// Drops events, one after the other, while it still fails.
pub(crate) fn shrink(schedule: &Schedule, fails: impl Fn(&Schedule) -> bool) -> Schedule {
    let mut least = schedule.clone();
    let mut at = 0;
    while at < least.events.len() {
        let mut fewer = least.clone();
        fewer.events.remove(at);
        match fails(&fewer) {
            true => {
                least = fewer;
                at = 0;
            }
            false => at += 1,
        }
    }
    least
}

#[test]
fn what_a_failure_does_not_need_is_dropped() {
    let schedule = Schedule::of((0..).find(|seed| Schedule::of(*seed).events.len() == 6).unwrap());
    let needed = [schedule.events[1], schedule.events[4]];
    let least = shrink(&schedule, |fewer| needed.iter().all(|event| fewer.events.contains(event)));
    assert_eq!(least.events, needed);
}
