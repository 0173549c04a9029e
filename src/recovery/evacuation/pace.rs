//! How many evacuations are under way at once: the policy's number, less while Nova is slow or
//! refuses, and more again afterwards. Pure: it is told what Nova answered.

use std::time::Duration;

use crate::clock::BootInstant;

/// How Nova answered a request that it was to carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It took it, after this long.
    Took(Duration),
    /// It refused because of load or of a conflict, did not answer, or failed (409, 429, 5xx, silence).
    /// It may have said when to come again.
    Struggles(Option<Duration>),
}

/// An answer that took longer than this tells of a Nova that is behind. Well above what its API needs
/// for an evacuate (it waits for its database and one message), well below its clients' timeouts.
const SLOW: Duration = Duration::from_secs(10);

/// One halving for all that was asked in one burst: their answers come one after the other.
const ONE_BURST: Duration = Duration::from_secs(2);

/// Halved at each sign of trouble, one more after each full round of good answers.
#[derive(Debug, Clone)]
pub struct Pace {
    most: usize,
    limit: usize,
    good: usize,
    halved_at: Option<BootInstant>,
    not_before: Option<BootInstant>,
}

impl Pace {
    /// At most this many at once.
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { most, limit: most, good: 0, halved_at: None, not_before: None }
    }

    /// How many may be under way now.
    pub fn limit(&self, now: BootInstant) -> usize {
        match self.not_before {
            Some(until) if now < until => 0,
            Some(_) | None => self.limit,
        }
    }

    /// Nova answered a request.
    pub fn heard(&mut self, answer: Answer, now: BootInstant) {
        match answer {
            Answer::Took(time) if time <= SLOW => {
                self.good += 1;
                if self.good >= self.limit && self.limit < self.most {
                    self.limit += 1;
                    self.good = 0;
                }
            }
            Answer::Took(_) => self.halve(now),
            Answer::Struggles(again) => {
                self.halve(now);
                if let Some(again) = again {
                    let until = now.saturating_add(again.min(Duration::from_secs(60)));
                    self.not_before = Some(self.not_before.map_or(until, |known| known.max(until)));
                }
            }
        }
    }

    fn halve(&mut self, now: BootInstant) {
        self.good = 0;
        if self.halved_at.is_some_and(|at| now.saturating_duration_since(at) < ONE_BURST) {
            return;
        }
        self.halved_at = Some(now);
        self.limit = (self.limit / 2).max(1);
    }
}

/// How long to wait before Nova is asked again how far all of it is: a thirtieth of what an evacuation
/// takes here (or has taken so far, before the first has arrived), so that a slot stands empty for a
/// sixtieth of it on the average; at least 50 ms, at most what the policy says.
pub fn poll_pause(typical: Option<Duration>, oldest: Duration, most: Duration) -> Duration {
    let least = Duration::from_millis(50);
    (typical.unwrap_or(oldest) / 30).clamp(least, most.max(least))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::since_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn it_polls_as_often_as_evacuations_are_quick() {
        let pause = |typical: Option<u64>, oldest: u64| {
            let typical = typical.map(Duration::from_secs);
            poll_pause(typical, Duration::from_secs(oldest), Duration::from_secs(2)).as_millis()
        };
        assert_eq!(pause(None, 0), 50);
        assert_eq!(pause(None, 30), 1000);
        assert_eq!(pause(Some(2), 300), 66);
        assert_eq!(pause(Some(15), 0), 500);
        assert_eq!(pause(Some(300), 0), 2000);
    }

    const QUICK: Answer = Answer::Took(Duration::from_millis(100));

    #[test]
    fn it_halves_at_each_burst_of_trouble_and_never_below_one() {
        for trouble in [Answer::Struggles(None), Answer::Took(Duration::from_secs(11))] {
            let mut pace = Pace::new(32);
            for answer in 0..20 {
                pace.heard(trouble, at(answer / 10));
            }
            assert_eq!(pace.limit(at(2)), 16, "one burst, one halving: {trouble:?}");
            for second in 1..20 {
                pace.heard(trouble, at(second * 2));
            }
            assert_eq!(pace.limit(at(40)), 1);
        }
    }

    #[test]
    fn it_comes_back_one_step_a_round_and_never_above_the_policys_number() {
        let mut pace = Pace::new(4);
        pace.heard(Answer::Struggles(None), at(0));
        assert_eq!(pace.limit(at(0)), 2);
        pace.heard(QUICK, at(1));
        assert_eq!(pace.limit(at(1)), 2);
        pace.heard(QUICK, at(1));
        assert_eq!(pace.limit(at(1)), 3);
        for _ in 0..100 {
            pace.heard(QUICK, at(2));
        }
        assert_eq!(pace.limit(at(2)), 4);
    }

    #[test]
    fn nothing_is_asked_for_before_nova_said_so() {
        let mut pace = Pace::new(8);
        pace.heard(Answer::Struggles(Some(Duration::from_secs(5))), at(10));
        assert_eq!(pace.limit(at(14)), 0);
        assert_eq!(pace.limit(at(15)), 4);
        // An hour is not believed.
        pace.heard(Answer::Struggles(Some(Duration::from_secs(3600))), at(20));
        assert_eq!(pace.limit(at(79)), 0);
        assert_eq!(pace.limit(at(80)), 2);
    }
}
