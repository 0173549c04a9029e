//! Random schedules of several faults, from a seed, beside running processes of all HA nodes.
//!
//! `event` is a schedule and its text, `generate` makes one from a seed, `engine` runs it, `strike` is
//! what each event does, `invariants` are what must be
//! true after every event, `apart` what docs/promises.md does not promise, `run` is one schedule and what became of it,
//! `shrink` drops the events that a failure does not need. To see one again: `NOVA_HA_SCHEDULES_FROM=SEED
//! NOVA_HA_SCHEDULES=1 cargo nextest run --test recovery_world schedules`; CI sets `NOVA_HA_SCHEDULES` in `.ci/run`.

mod apart;
mod corpus;
mod engine;
mod event;
mod generate;
pub(crate) mod invariants;
mod paused;
mod planted;
mod run;
mod shrink;
mod strike;
pub(crate) mod weather;

use std::collections::BTreeMap;

use nova_ha::incident::journal::{Event, JournalEntry};
use nova_ha::keys;

use event::{Schedule, Storage};
use run::{Outcome, run};
use shrink::shrink;

use super::stage::Stage;
use super::time::wall;
use super::universe::incident;

/// In each test run; CI takes more.
const SCHEDULES: u64 = 300;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

fn all_of(storage: Storage) {
    let from = number("NOVA_HA_SCHEDULES_FROM", 1);
    let seeds = from..from + number("NOVA_HA_SCHEDULES", SCHEDULES);
    let schedules = seeds.map(Schedule::of).filter(|schedule| schedule.storage == storage);
    none_breaks(schedules, &format!("storage {storage:?}"));
}

/// Says in how many of them a closed incident was opened again.
fn none_breaks(schedules: impl Iterator<Item = Schedule>, what: &str) -> usize {
    let began = std::time::Instant::now();
    let (mut runs, mut ends, mut apart) = (0, BTreeMap::new(), BTreeMap::new());
    let (mut failed, mut retried) = (Vec::new(), 0);
    for schedule in schedules {
        runs += 1;
        let ran = run(&schedule, None);
        retried += usize::from(is_retried(&ran.stage));
        match ran.outcome {
            Outcome::Clean(end) => *ends.entry(end).or_insert(0) += 1,
            Outcome::Apart(why, violation) => {
                println!("apart: seed {}: {why:?}: {}", schedule.seed, violation.what);
                *apart.entry(why).or_insert(0) += 1;
            }
            Outcome::Broken(violation) => {
                let invariant = violation.invariant;
                let least = shrink(&schedule, |fewer| match run(fewer, None).outcome {
                    Outcome::Broken(violation) => violation.invariant == invariant,
                    Outcome::Apart(..) | Outcome::Clean(_) => false,
                });
                println!("BROKEN {:?} by seed {}\n{least}", violation.invariant, schedule.seed);
                println!("# at {:?}: {}", violation.at, violation.what);
                tell(&run(&least, None).stage);
                failed.push((violation.invariant, schedule.seed));
            }
        }
    }
    println!(
        "{runs} schedules with {what} in {:?}: {ends:?}, apart: {apart:?}, retried: {retried}",
        began.elapsed()
    );
    assert!(failed.is_empty(), "{failed:?}: see above, and replay with NOVA_HA_SCHEDULES_FROM=SEED");
    retried
}

fn is_retried(stage: &Stage) -> bool {
    let is_one = |entry: &JournalEntry| matches!(entry.what, Event::Retried { .. });
    stage.is_marked() && stage.journal().iter().any(is_one)
}

/// What happened, for people.
fn tell(stage: &Stage) {
    if !stage.is_marked() {
        return println!("# no incident was opened");
    }
    for entry in stage.journal() {
        println!("#   {} {} {:?}", entry.at, entry.by, entry.what);
    }
    for effect in stage.with(|u| u.effects.clone()) {
        println!("#   {} {}: {}", wall(effect.at), effect.by, effect.what);
    }
    for (name, guest) in stage.guests() {
        println!("#   {name}: {:?}", guest.state);
    }
    let notes = stage.with(|u| u.kv.below(&keys::incident(&incident()).all()));
    for note in notes.iter().filter(|entry| entry.key.contains("preflight")) {
        println!("#   {}: {}", note.key, String::from_utf8_lossy(&note.value));
    }
}

#[test]
fn random_schedules_with_shared_storage_break_no_invariant() {
    all_of(Storage::Shared);
}

#[test]
fn random_schedules_with_md_arrays_break_no_invariant() {
    all_of(Storage::Md);
}

#[test]
fn random_schedules_with_a_storage_program_break_no_invariant() {
    all_of(Storage::Exec);
}

/// Fewer: what is between the death and the first end is the others' to find.
#[test]
fn random_schedules_with_a_tenants_rebuild_and_retries_break_no_invariant() {
    let from = number("NOVA_HA_SCHEDULES_FROM", 1);
    let seeds = from..from + number("NOVA_HA_SCHEDULES", SCHEDULES).div_ceil(10);
    let schedules: Vec<Schedule> = seeds.map(Schedule::of_a_tenant).collect();
    let all = schedules.len();
    let retried = none_breaks(schedules.into_iter(), "a tenant's rebuild");
    assert!(all < 20 || retried * 3 > all, "{retried} of {all} were retried");
}
