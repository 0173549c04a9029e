//! Decides how long a host that announces a crash dump is left alone. Pure.
//!
//! | question | answer |
//! |---|---|
//! | Has the grace been used up, by whomever? | the fence goes on: announcements may be forged, or never end |
//! | Has the host been silent for as long as the policy listens? | there is no dump, or it has ended |
//! | else | wait a slice, which is paid for first (see [`crate::incident::dump_grace`]) |

use std::time::Duration;

/// The longest slice: a person's hold or order is seen between two of them.
pub const SLICE: Duration = Duration::from_secs(5);

/// What the policy says.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long at most, in all.
    pub grace: Duration,
    /// How long without an announcement means that there is none, or none any more.
    pub listen: Duration,
}

/// What is known now.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Used up of the grace, in every run of every HA node.
    pub charged: Duration,
    /// For how long nothing has been heard from the host, in this run.
    pub silent: Duration,
    /// Whether it was ever heard, in any run.
    pub announced: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Pay for this long, then listen for this long.
    Wait(Duration),
    /// Nothing is waited for any more.
    GoOn(Ended),
}

/// Why nothing is waited for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It announced nothing.
    NotAnnounced,
    /// It announced a dump, and does not any more.
    Finished,
    /// The grace is used up.
    UsedUp,
}

/// The decision.
pub fn decide(limits: Limits, seen: Seen) -> Next {
    let quiet = limits.listen.saturating_sub(seen.silent);
    if quiet.is_zero() {
        return Next::GoOn(if seen.announced { Ended::Finished } else { Ended::NotAnnounced });
    }
    let left = limits.grace.saturating_sub(seen.charged);
    if left.is_zero() {
        return Next::GoOn(Ended::UsedUp);
    }
    Next::Wait(SLICE.min(left).min(quiet))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { grace: Duration::from_secs(300), listen: Duration::from_secs(30) };

    fn seen(charged: u64, silent: u64, announced: bool) -> Seen {
        Seen { charged: Duration::from_secs(charged), silent: Duration::from_secs(silent), announced }
    }

    #[test]
    fn the_table() {
        for (charged, silent, announced, next) in [
            (0, 0, false, Next::Wait(SLICE)),
            (27, 27, false, Next::Wait(Duration::from_secs(3))),
            (30, 30, false, Next::GoOn(Ended::NotAnnounced)),
            // An announcement begins the listening anew, and buys nothing beyond the grace.
            (30, 0, true, Next::Wait(SLICE)),
            (60, 30, true, Next::GoOn(Ended::Finished)),
            (298, 1, true, Next::Wait(Duration::from_secs(2))),
            (300, 0, true, Next::GoOn(Ended::UsedUp)),
            (300, 0, false, Next::GoOn(Ended::UsedUp)),
            // A policy that was shortened meanwhile, or a charge that nobody can have waited.
            (u64::MAX, 0, true, Next::GoOn(Ended::UsedUp)),
            // It resumes with a rest of the grace: that rest, and no more.
            (299, 0, false, Next::Wait(Duration::from_secs(1))),
        ] {
            assert_eq!(
                decide(LIMITS, seen(charged, silent, announced)),
                next,
                "{charged} {silent} {announced}"
            );
        }
        let none = Limits { grace: Duration::ZERO, ..LIMITS };
        assert_eq!(decide(none, seen(0, 0, true)), Next::GoOn(Ended::UsedUp));
    }

    proptest! {
        /// Whatever is announced when, and however often it is begun anew, in mid-slice too.
        #[test]
        fn all_slices_together_are_no_longer_than_the_grace(
            grace in 0u64..400,
            listen in 1u64..60,
            runs in prop::collection::vec((0usize..40, prop::collection::vec(any::<bool>(), 0..100)), 1..12),
        ) {
            let limits = Limits { grace: Duration::from_secs(grace), listen: Duration::from_secs(listen) };
            let (mut charged, mut waited) = (Duration::ZERO, Duration::ZERO);
            for (killed_after, announcements) in runs {
                let mut silent = Duration::ZERO;
                for (slices, heard) in announcements.into_iter().enumerate() {
                    let Next::Wait(slice) = decide(limits, Seen { charged, silent, announced: true }) else { break };
                    prop_assert!(!slice.is_zero() && slice <= SLICE);
                    charged += slice;
                    if slices == killed_after { break; }
                    waited += slice;
                    silent = if heard { Duration::ZERO } else { silent + slice };
                }
            }
            prop_assert!(waited <= charged && charged <= limits.grace);
        }

        #[test]
        fn a_silent_host_is_listened_to_once_for_as_long_as_the_policy_says(listen in 1u64..60) {
            let limits = Limits { listen: Duration::from_secs(listen), ..LIMITS };
            let mut waited = Duration::ZERO;
            while let Next::Wait(slice) = decide(limits, Seen { charged: waited, silent: waited, announced: false }) {
                waited += slice;
            }
            prop_assert_eq!(waited, limits.listen);
        }
    }
}
