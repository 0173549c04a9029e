//! The rule: when a record of Nova's has stood still for long enough. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::BootInstant;
use crate::nova::Reports;

/// Beyond one interval: nova-compute's report passes the message bus and a conductor before it is in the record.
const BEYOND_THE_INTERVAL: Duration = Duration::from_secs(5);

/// Moves of the record, after the proof of *off*, that nobody but a living nova-compute makes. One may be a report that
/// was on the message bus when the host lost its power.
const MOVES_OF_THE_LIVING: u32 = 2;

/// Nova answers a change with the time as it has it in memory, and reads back what the database kept of it: whole
/// seconds, cut or rounded (seen on Nova 34 with MariaDB).
const KEPT_BY_THE_DATABASE: SignedDuration = SignedDuration::from_secs(1);

/// One look at a host's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// When Nova last wrote the record, by the conductors' clock. `None`: Nova does not say.
    pub moved_at: Option<Timestamp>,
    /// `Date` of the answer, by the API's clock.
    pub answered_at: Option<Timestamp>,
    /// The newest report of any other host, by the conductors' clock.
    pub newest_elsewhere: Option<Timestamp>,
    /// This machine's boot clock right before Nova was asked.
    pub asked: BootInstant,
    /// This machine's boot clock when the answer was there.
    pub answered: BootInstant,
}

impl Reading {
    /// Of an answer that was asked for at `asked` and was there at `answered`.
    pub fn of(reports: &Reports, asked: BootInstant, answered: BootInstant) -> Self {
        Self {
            moved_at: reports.service.record_moved_at(),
            answered_at: reports.answered_at,
            newest_elsewhere: reports.newest_elsewhere,
            asked,
            answered,
        }
    }

    /// How old the record was in this answer. Both the API's and the conductors' clock must say so: a `Date` that is
    /// ahead of the conductors would make every living host look silent.
    fn age(&self) -> Option<SignedDuration> {
        let reference = self.answered_at?.min(self.newest_elsewhere?);
        Some(reference.duration_since(self.moved_at?))
    }
}

/// How it is known that reports have ceased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// The record was this old in Nova's own answer.
    Age(Duration),
    /// The record did not move for this long, by this machine's boot clock.
    StoodStill(Duration),
}

impl Ground {
    /// For the journal.
    pub fn text(&self) -> String {
        match self {
            Ground::Age(age) => {
                format!("the last report to Nova was {} s old in Nova's own answer", age.as_secs())
            }
            Ground::StoodStill(time) => format!("no report reached Nova for {} s", time.as_secs()),
        }
    }
}

/// What a look says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Nothing reports under this name.
    Ceased(Ground),
    /// Not known yet: look again, for at most this long.
    NotYet {
        /// What is left of the time for which the record must stand still.
        left: Duration,
    },
    /// Nova does not say when the record moved.
    CannotTell,
    /// The record moves on although the host is off: somebody else has its name.
    StillReports {
        /// The last report.
        last: Timestamp,
    },
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    moved_at: Timestamp,
    since: BootInstant,
    /// Whether it is Nova's answer to our own change, which a read confirms only to the second.
    ours: bool,
}

/// What one run has seen of one host's record.
#[derive(Debug, Clone)]
pub struct Watch {
    limit: Duration,
    seen: Option<Seen>,
    /// The reading of before the proof of *off* is replaced by the first one after it: a dying host may report.
    host_is_off: bool,
    ceased: Option<Ground>,
    moves: u32,
}

impl Watch {
    /// For a cloud whose nova-computes report every `interval`, from what was read when the run began.
    pub fn new(interval: Duration, first: Option<&Reading>) -> Self {
        let mut watch = Self {
            limit: interval + BEYOND_THE_INTERVAL,
            seen: None,
            host_is_off: false,
            ceased: None,
            moves: 0,
        };
        if let Some(reading) = first {
            watch.seen = reading.moved_at.map(|moved_at| seen(moved_at, reading.answered));
        }
        watch
    }

    /// A look while the host is proved off.
    pub fn look(&mut self, reading: &Reading) -> Word {
        let Some(now) = reading.moved_at else { return Word::CannotTell };
        let stands = self.seen.filter(|seen| seen.is(now));
        match stands {
            Some(seen) => self.seen = Some(Seen { moved_at: now, ours: false, ..seen }),
            None => {
                self.moves += u32::from(self.host_is_off && self.seen.is_some());
                self.seen = Some(seen(now, reading.answered));
                self.ceased = None;
            }
        }
        self.host_is_off = true;
        if self.moves >= MOVES_OF_THE_LIVING {
            return Word::StillReports { last: now };
        }
        if let Some(ground) = &self.ceased {
            return Word::Ceased(ground.clone());
        }
        let still = stands.map_or(Duration::ZERO, |seen| reading.asked.saturating_duration_since(seen.since));
        let age = reading.age().and_then(|age| Duration::try_from(age).ok());
        let ground = match age {
            Some(age) if age > self.limit => Some(Ground::Age(age)),
            Some(_) | None => (still >= self.limit).then_some(Ground::StoodStill(still)),
        };
        self.ceased.clone_from(&ground);
        match ground {
            Some(ground) => Word::Ceased(ground),
            None => Word::NotYet { left: self.limit.saturating_sub(still) },
        }
    }

    /// We changed the record ourselves, and Nova answered that it moved then. `None`: Nova's answer was lost, and
    /// what is read next is looked at from its beginning.
    pub fn changed_by_us(&mut self, moved_at: Option<Timestamp>, answered: BootInstant) {
        self.seen = moved_at.map(|moved_at| Seen { ours: true, ..seen(moved_at, answered) });
        if self.seen.is_none() {
            self.ceased = None;
        }
    }
}

fn seen(moved_at: Timestamp, since: BootInstant) -> Seen {
    Seen { moved_at, since, ours: false }
}

impl Seen {
    fn is(&self, now: Timestamp) -> bool {
        match self.ours {
            true => now.duration_since(self.moved_at).abs() <= KEPT_BY_THE_DATABASE,
            false => now == self.moved_at,
        }
    }
}

#[cfg(test)]
mod tests;
