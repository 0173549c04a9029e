//! Schedules that broke something once, or struck what is not promised: replayed in each run.

use super::event::Schedule;
use super::run::{Outcome, run};

/// What a kept schedule may become: nothing is broken, and where the file says so, it may be counted apart.
fn kept(text: &str) -> (Schedule, Option<String>) {
    let (may, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("may "));
    let may = may.first().map(|line| line.trim_start_matches("may ").trim().to_owned());
    (rest.join("\n").parse().unwrap(), may)
}

#[test]
fn what_broke_once_breaks_nothing_any_more() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recovery_world/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "nothing is kept in {folder}");
    for file in files {
        let (schedule, may) = kept(&std::fs::read_to_string(&file).unwrap());
        let outcome = run(&schedule, None).outcome;
        let is_good = match &outcome {
            Outcome::Clean(_) => true,
            Outcome::Apart(why, _) => may == Some(format!("{why:?}")),
            Outcome::Broken(_) => false,
        };
        assert!(is_good, "{}: {outcome:?}", file.display());
    }
}

#[test]
fn a_schedule_is_the_same_when_it_was_written_and_read_again() {
    for seed in 0..200 {
        let schedule = Schedule::of(seed);
        assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
    }
}

#[test]
fn the_same_schedule_is_the_same_run() {
    for seed in 0..12 {
        let effects = || {
            let run = run(&Schedule::of(seed), None);
            let effects = run.stage.with(|u| u.effects.clone());
            let effects: Vec<_> =
                effects.into_iter().map(|effect| (effect.at, effect.by, effect.what)).collect();
            (format!("{:?}", run.outcome), run.stage.time.now(), effects)
        };
        assert_eq!(effects(), effects(), "seed {seed}");
    }
}
