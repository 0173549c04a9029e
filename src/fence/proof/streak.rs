//! Consecutive reads of *off* by one device, counted.

use super::{By, SaidOff};
use crate::clock::Clock;
use crate::fence::{FenceError, Identity, Machine, PowerState, PowerSwitch, Seen};

/// Two reads at least: one may fall into a restart, in which the power is off for a moment.
pub(in crate::fence) const LEAST_READS: u32 = 2;

/// Consecutive reads of *off* by one device.
pub(in crate::fence) struct Streak {
    machine: Machine,
    by: String,
    needed: u32,
    seen: u32,
    stated: Option<Identity>,
}

/// One look at the power.
#[derive(Debug)]
pub(in crate::fence) enum Look {
    /// Enough consecutive reads of *off*.
    Said(SaidOff),
    /// An answer that is not (yet) a proof.
    Seen(PowerState),
    /// No answer.
    Failed(FenceError),
}

impl Streak {
    pub(in crate::fence) fn new(machine: Machine, switch: &dyn PowerSwitch, needed: u32) -> Self {
        Self { machine, by: switch.describe(), needed: needed.max(LEAST_READS), seen: 0, stated: None }
    }

    /// How many consecutive reads said *off* so far.
    pub(in crate::fence) fn seen(&self) -> u32 {
        self.seen
    }

    /// Reads once more. Anything but *off* starts the count anew, also a read that was given up on, and one about another
    /// machine than the read before.
    pub(in crate::fence) async fn look(&mut self, switch: &dyn PowerSwitch, clock: &dyn Clock) -> Look {
        let read_at = clock.boottime();
        let before = std::mem::take(&mut self.seen);
        match switch.look().await {
            Ok(Seen { power: PowerState::Off, identity }) => {
                if let Some(changed) = self.is_about(identity) {
                    return Look::Seen(PowerState::Unknown(changed));
                }
                self.seen = before.saturating_add(1);
                if self.seen < self.needed {
                    return Look::Seen(PowerState::Off);
                }
                let (device, stated, channel) = (self.by.clone(), self.stated.clone(), switch.channel());
                let by = vec![By { device, stated, word: None, channel }];
                Look::Said(SaidOff { machine: self.machine.clone(), read_at, by })
            }
            Ok(Seen { power: power @ (PowerState::On | PowerState::Unknown(_)), identity: _ }) => {
                Look::Seen(power)
            }
            Err(error) => Look::Failed(error),
        }
    }

    /// Keeps which machine the answers are about. One that changes is said, and counted from there.
    fn is_about(&mut self, now: Option<Identity>) -> Option<String> {
        let now = now?;
        match self.stated.take() {
            Some(before) if before.contradicts(&now) => {
                let said =
                    format!("off, but of {before} first, and of {now} then: it is one machine or the other");
                self.stated = Some(now);
                Some(said)
            }
            Some(before) => {
                self.stated = Some(before.with(now));
                None
            }
            None => {
                self.stated = Some(now);
                None
            }
        }
    }
}
