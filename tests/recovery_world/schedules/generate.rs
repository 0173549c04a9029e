//! A schedule from a seed.

use std::time::Duration;

use super::event::{Event, Job, KINDS, Schedule, Storage, Who};
use super::weather::Answers;

/// splitmix64: the same numbers for the same seed, on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    /// Short ones are as frequent as long ones: of a call, of a lease, of an outage, up to ten minutes.
    fn length(&mut self) -> Duration {
        match self.below(4) {
            0 => self.millis(500, 10_000),
            1 => self.millis(10_000, 80_000),
            2 => self.millis(80_000, 200_000),
            _ => self.millis(200_000, 600_000),
        }
    }
}

/// Everything happens within this time after the host died; most of it while a recovery is at work.
const WITHIN: u64 = 300_000;

impl Schedule {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::of(seed);
        let storage = match seed % 3 {
            0 => Storage::Shared,
            1 => Storage::Md,
            _ => Storage::Exec,
        };
        // What an HA node takes over is nowhere but there.
        let scheduled = storage == Storage::Shared && (seed / 3).is_multiple_of(2);
        let number = 1 + random.below(6);
        let mut events: Vec<(Duration, Event)> = (0..number)
            .map(|_| {
                let at = match random.below(4) {
                    0 => random.millis(0, WITHIN),
                    _ => random.millis(25_000, 120_000),
                };
                (at, event(&mut random))
            })
            .collect();
        events.sort_by_key(|(at, _)| *at);
        Self { storage, scheduled, seed, events }
    }
}

impl Schedule {
    /// With a guest that its owner was rebuilding when the host died, and a person who has it retried.
    pub(crate) fn of_a_tenant(seed: u64) -> Self {
        let mut schedule = Self::of(seed);
        let mut random = Random::of(seed ^ 0x7e4a47);
        schedule.events.push((Duration::ZERO, Event::Rebuilds));
        for _ in 0..random.below(3) {
            let more = random.one_of(&[Event::Rests, Event::Rebuilds]);
            schedule.events.push((random.millis(30_000, 900_000), more));
        }
        for _ in 0..1 + random.below(3) {
            schedule.events.push((random.millis(60_000, 1_200_000), Event::Retry));
        }
        schedule.events.push((random.millis(100_000, 1_200_000), Event::Rests));
        schedule.events.sort_by_key(|(at, _)| *at);
        schedule
    }
}

fn event(random: &mut Random) -> Event {
    let who = match random.below(2) {
        0 => Who::Holder,
        _ => random.one_of(&[Who::Ha1, Who::Ha2, Who::Ha3]),
    };
    let job = random.one_of(&[Job::Recover, Job::Recover, Job::Recover, Job::MarkFailed]);
    match random.below(20) {
        0 | 1 => Event::Kill(who, job),
        2 | 3 => Event::Stop(who, job, random.length()),
        4 => Event::Pause(who, random.length()),
        5 | 6 => Event::CutOff(who, random.length()),
        7 => Event::PowerCut(who, random.length()),
        8 => {
            let length = random.length();
            Event::HostReturns(random.one_of(&[None, Some(length)]))
        }
        9 => Event::HostBmcSilent(random.length()),
        10 => Event::BmcSilent(who, random.length()),
        11 | 12 => {
            Event::NoAnswers(who, random.one_of(&[Answers::NeverHeard, Answers::Lost]), random.length())
        }
        13..=15 => {
            let (_, kind) = random.one_of(&KINDS);
            Event::Late(who, kind, random.length())
        }
        16 => Event::SessionEnds,
        17 => Event::Hold,
        18 => Event::Resume,
        _ => random.one_of(&[Event::Order(who), Event::Word]),
    }
}
